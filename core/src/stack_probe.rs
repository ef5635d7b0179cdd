//! For tests: runs work on a stack of the test's own and shows what the work left there.
//!
//! ```text
//! low                                                              high
//! | painted, untouched |  what the work touched  | depth frame | start |
//!                      '-------- `left` ---------'
//! ```

use core::ffi::c_void;
use core::hint::black_box;
use core::mem::MaybeUninit;
use core::ptr;
use std::vec;
use std::vec::Vec;

/// A stack to run work on, always at the same addresses.
pub(crate) struct StackProbe {
    stack: Vec<u128>,
}

impl StackProbe {
    /// A painted stack.
    pub(crate) fn new() -> Self {
        Self { stack: vec![PAINT; STACK / 16] }
    }

    /// Runs `work` and returns the bytes below its caller's frame down to the lowest that it
    /// touched, highest last.
    pub(crate) fn run<F: FnMut() + Send>(&mut self, work: F) -> Vec<u8> {
        self.stack.fill(PAINT);
        let mut job = Job { work, top: 0 };
        run_on(&mut self.stack, &mut job);
        let top = (job.top - self.stack.as_ptr().addr()) / 16;
        let lowest = self.stack.iter().position(|word| *word != PAINT).unwrap_or(top);
        self.stack[lowest.min(top)..top].iter().flat_map(|word| word.to_ne_bytes()).collect()
    }
}

/// The work, and the address below which its frames lie.
struct Job<F> {
    work: F,
    top: usize,
}

fn run_on<F: FnMut() + Send>(stack: &mut [u128], job: &mut Job<F>) {
    let mut attributes = MaybeUninit::uninit();
    // SAFETY: `attributes` is memory for one pthread_attr_t.
    check(unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) });
    // SAFETY: pthread_attr_init returned zero, so it is initialised.
    let mut attributes = unsafe { attributes.assume_init() };
    let base = stack.as_mut_ptr().cast();
    // SAFETY: `base` is valid for `size_of_val(stack)` bytes, and nothing else uses them while the
    // thread runs: `stack` is borrowed until it was joined, below.
    check(unsafe { libc::pthread_attr_setstack(&raw mut attributes, base, size_of_val(stack)) });
    let mut thread = MaybeUninit::uninit();
    let argument = ptr::from_mut(job).cast();
    // SAFETY: `start::<F>` takes a pointer to a Job<F>, which outlives the thread, and F is Send.
    check(unsafe {
        libc::pthread_create(thread.as_mut_ptr(), &raw const attributes, start::<F>, argument)
    });
    // SAFETY: pthread_create returned zero, so it was written.
    let thread = unsafe { thread.assume_init() };
    // SAFETY: the thread was created joinable and is joined once.
    check(unsafe { libc::pthread_join(thread, ptr::null_mut()) });
    // SAFETY: initialised above, and not used again.
    check(unsafe { libc::pthread_attr_destroy(&raw mut attributes) });
}

extern "C" fn start<F: FnMut()>(job: *mut c_void) -> *mut c_void {
    // SAFETY: `run_on` passes its Job<F> and does not touch it until the thread has ended.
    let job: &mut Job<F> = unsafe { &mut *job.cast() };
    descend(job);
    ptr::null_mut()
}

/// Goes down past what the thread's start and end use.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "it is there to take room")]
fn descend<F: FnMut()>(job: &mut Job<F>) {
    let frame = [0_u8; DEPTH];
    black_box(&frame);
    job.top = frame.as_ptr().addr();
    (job.work)();
    black_box(&frame);
}

fn check(error: i32) {
    assert_eq!(error, 0, "pthread call failed");
}

/// Bytes of stack.
const STACK: usize = 1 << 19;
/// Bytes between the thread's first frames and the work.
const DEPTH: usize = 1 << 16;
/// What untouched stack holds.
const PAINT: u128 = u128::from_ne_bytes([0xa5; 16]);
