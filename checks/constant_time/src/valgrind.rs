//! Requests to valgrind's memcheck, as in its `valgrind.h` and `memcheck.h`.
//!
//! A request is four rotations of a register that change nothing, which valgrind knows. Without
//! valgrind it does nothing and answers 0.

use std::arch::asm;
use std::ptr;

/// Whether this program is being run by valgrind.
pub(crate) fn is_there() -> bool {
    request([RUNNING_ON_VALGRIND, 0, 0]) > 0
}

/// Has memcheck report every jump and every address that depends on these bytes.
pub(crate) fn make_undefined<T: ?Sized>(secret: &T) {
    request([MAKE_MEM_UNDEFINED, address(secret), size_of_val(secret)]);
}

/// Tells memcheck that these bytes may be known from now on.
pub(crate) fn make_defined<T: ?Sized>(public: &T) {
    request([MAKE_MEM_DEFINED, address(public), size_of_val(public)]);
}

/// A value that may be known from now on, in any register too.
pub(crate) fn known<T: Copy>(value: T) -> T {
    let public = value;
    make_defined(&public);
    // SAFETY: a reference can be read.
    unsafe { ptr::read_volatile(&raw const public) }
}

/// How many errors memcheck has found so far, the same place counted each time.
pub(crate) fn errors() -> usize {
    request([COUNT_ERRORS, 0, 0])
}

/// Exposed, so that the bytes are in memory when valgrind is told of them.
fn address<T: ?Sized>(bytes: &T) -> usize {
    ptr::from_ref(bytes).cast::<u8>().expose_provenance()
}

fn request([number, first, second]: [usize; 3]) -> usize {
    let arguments = [number, first, second, 0, 0, 0];
    let mut answer = 0_usize;
    // SAFETY: the rotations add up to whole turns, and the exchange is of a register with itself.
    // Valgrind reads the six words that `rax` points to and writes to `rdx` only.
    unsafe {
        asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") arguments.as_ptr(),
            inout("rdx") answer,
        );
    }
    answer
}

const RUNNING_ON_VALGRIND: usize = 0x1001;
const COUNT_ERRORS: usize = 0x1201;
const MEMCHECK: usize = (b'M' as usize) << 24 | (b'C' as usize) << 16;
const MAKE_MEM_UNDEFINED: usize = MEMCHECK + 1;
const MAKE_MEM_DEFINED: usize = MEMCHECK + 2;
