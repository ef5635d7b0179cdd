//! Tasks of an RTOS that wait in its own way: the holder of the arena's lock runs at the highest
//! priority of those who use it, and who waits gives way to the scheduler.
//!
//! ```sh
//! cargo run -p strongroom-core --example rtos
//! ```
//!
//! Here threads stand for tasks, and `kernel` for what an RTOS has.

use std::cell::UnsafeCell;
use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use strongroom_core::{
    Arena, Door, Enclave, Entropy, EntropyError, Lock, Owner, Place, Sealed, Shards,
};

static REGION: Place<[u8; 16 * 1024]> = Place::empty();
static ARENA: Place<Arena<'static, Tasks>> = Place::empty();

/// A lock with a priority ceiling. Where no task of a priority in between can run, none keeps the
/// holder from giving it up.
struct Ceiling {
    held: AtomicBool,
    /// The holder's own priority, kept while it holds the lock.
    before: UnsafeCell<u8>,
}

// SAFETY: the priority is touched by the holder only, of which there is one.
unsafe impl Sync for Ceiling {}

// SAFETY: who finds the lock free and takes it is alone until it is given up; acquire and release
// order what they write.
unsafe impl Lock for Ceiling {
    const UNLOCKED: Self =
        Self { held: AtomicBool::new(false), before: UnsafeCell::new(kernel::IDLE) };

    fn acquire(&self) {
        let before = kernel::raise_priority(kernel::CEILING);
        while self.held.swap(true, Ordering::Acquire) {
            kernel::yield_now();
        }
        // SAFETY: the lock is held from here on.
        unsafe { *self.before.get() = before };
    }

    unsafe fn release(&self) {
        // SAFETY: the lock is held up to here.
        let before = unsafe { *self.before.get() };
        self.held.store(false, Ordering::Release);
        kernel::restore_priority(before);
    }
}

/// The owner of the region: who uses it, and how.
struct Tasks;

impl Owner for Tasks {
    type Lock = Ceiling;
    /// Four tasks, and each remembers for itself where there was room.
    type Shards = Shards<4>;
    /// No gate before the memory.
    type Window<'o> = ();

    fn open(&self, _: Door) {}

    fn shard(&self, _: usize) -> usize {
        kernel::task()
    }
}

/// What a task does, again and again: it draws a challenge, and opens the key to answer it.
fn serve(enclave: &Enclave<'static, Tasks>, record: &[u8; RECORD]) -> bool {
    let sealed = Sealed::from_record(record);
    (0..ROUNDS).all(|_| {
        let mut challenge = [0; 16];
        enclave.arena().fill_random(&mut challenge);
        let key = enclave.open(&sealed, b"device key");
        let opened = key.is_ok_and(|key| key.constant_time_eq(KEY));
        opened && kernel::priority() == kernel::task_priority()
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let arena = ARENA.make(|place| Arena::new_in(place, REGION.take()?, &mut Board, Tasks))?;
    let enclave = Enclave::new(arena)?;
    let mut record = [0; RECORD];
    enclave.seal(KEY, b"device key", &mut record)?;

    let served = thread::scope(|scope| {
        let (enclave, record) = (&enclave, &record);
        let spawn = |task| scope.spawn(move || kernel::run(task, || serve(enclave, record)));
        let tasks = [0, 1, 2, 3].map(spawn);
        tasks.map(|task| task.join().is_ok_and(|served| served))
    });
    assert_eq!(served, [true; 4], "a task found no key, or went on at another's priority");
    let raised = kernel::times_raised();
    assert!(raised >= 4 * ROUNDS, "the generator's lock was another one");
    assert_eq!(arena.verify(), Ok(()));
    println!("four tasks opened a key {ROUNDS} times each; {raised} times one took a lock");
    Ok(())
}

const KEY: &[u8] = b"a device's key, 32 bytes of it..";
/// How often each task is asked.
const ROUNDS: usize = 500;

const RECORD: usize = Enclave::record_len(KEY.len());

/// What an RTOS has, made of threads.
mod kernel {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    pub(crate) const IDLE: u8 = 0;
    /// The highest priority of a task that uses the arena.
    pub(crate) const CEILING: u8 = 4;

    thread_local! {
        static TASK: Cell<usize> = const { Cell::new(0) };
        static PRIORITY: Cell<u8> = const { Cell::new(IDLE) };
    }
    static RAISED: AtomicUsize = AtomicUsize::new(0);

    /// Runs a task with this number, at its priority.
    pub(crate) fn run<R>(number: usize, task: impl FnOnce() -> R) -> R {
        TASK.set(number);
        PRIORITY.set(task_priority());
        task()
    }

    pub(crate) fn task() -> usize {
        TASK.get()
    }

    /// The priority that the running task was given.
    pub(crate) fn task_priority() -> u8 {
        [1, 2, 3, CEILING][task()]
    }

    pub(crate) fn priority() -> u8 {
        PRIORITY.get()
    }

    pub(crate) fn raise_priority(ceiling: u8) -> u8 {
        RAISED.fetch_add(1, Ordering::Relaxed);
        PRIORITY.replace(ceiling)
    }

    pub(crate) fn restore_priority(before: u8) {
        PRIORITY.set(before);
    }

    pub(crate) fn yield_now() {
        thread::yield_now();
    }

    pub(crate) fn times_raised() -> usize {
        RAISED.load(Ordering::Relaxed)
    }
}

/// What is random here: on a board, its generator.
struct Board;

impl Entropy for Board {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        let file = File::open("/dev/urandom");
        file.and_then(|mut file| file.read_exact(bytes)).map_err(|_| EntropyError)
    }
}
