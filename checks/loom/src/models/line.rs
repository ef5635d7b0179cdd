//! Whoever waits for room is woken when there is some: a wake-up that is lost leaves a model with
//! threads that wait for ever, which loom reports.

use std::rc::Rc;
use std::task::Waker;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread::{self, JoinHandle};

#[path = "../../../../std-shim/src/vault/queue.rs"]
#[allow(dead_code, reason = "the models use the part that threads race for")]
mod queue;

/// What the line shares between threads, as loom sees it: the line has fences of its own, and they
/// are what is tried.
mod sync {
    pub(super) use loom::sync::atomic::{AtomicUsize, fence};
    pub(super) use loom::sync::{Mutex, MutexGuard};

    pub(super) mod thread {
        pub(crate) use loom::thread::{Thread, current, park};

        /// Time does not pass in a model: this is a wake-up out of the blue.
        pub(crate) fn park_timeout(_: std::time::Duration) {
            loom::thread::yield_now();
        }
    }
}

use self::queue::Queue;

/// Room is made while one begins to wait for it.
pub(super) fn one_waits() {
    let vault = Vault::new();
    let waiter = vault.spawn(Vault::wait);
    vault.make_room();
    waiter.join().unwrap();
}

/// Room is made for the first of two; it makes room for the second.
pub(super) fn two_wait() {
    let vault = Vault::new();
    let waiters = [(); 2].map(|()| {
        vault.spawn(|vault| {
            vault.wait();
            vault.make_room();
        })
    });
    vault.make_room();
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
}

/// Room is made while the first in line gives up: the second has it.
pub(super) fn first_gives_up() {
    let vault = Vault::new();
    let place = vault.queue.join(Waker::noop());
    let waiter = vault.spawn(Vault::wait);
    let maker = vault.spawn(Vault::make_room);
    drop(place);
    waiter.join().unwrap();
    maker.join().unwrap();
}

/// The first in line finds room and is served while it is its turn; then the second is.
pub(super) fn first_is_served() {
    let vault = Vault::new();
    let place = vault.queue.join(Waker::noop());
    let waiter = vault.spawn(Vault::wait);
    vault.make_room();
    let served = place.try_first(|| vault.take_room());
    drop(place);
    assert!(served.is_some(), "there was room, and it was the first's turn");
    vault.make_room();
    waiter.join().unwrap();
}

/// Room for one, and the line of those who wait for it.
struct Vault {
    has_room: AtomicBool,
    queue: Queue,
}

impl Vault {
    fn new() -> Rc<Self> {
        Rc::new(Self { has_room: AtomicBool::new(false), queue: Queue::default() })
    }

    fn spawn(self: &Rc<Self>, work: impl FnOnce(&Self) + 'static) -> JoinHandle<()> {
        let vault = Rc::clone(self);
        thread::spawn(move || work(&vault))
    }

    fn wait(&self) {
        assert!(self.queue.wait(None, || self.take_room()).is_some());
    }

    /// No stronger than an arena's cells: the fences of the line have to do the rest.
    fn take_room(&self) -> Option<()> {
        let taken =
            self.has_room.compare_exchange(true, false, Ordering::Acquire, Ordering::Relaxed);
        taken.is_ok().then_some(())
    }

    fn make_room(&self) {
        self.has_room.store(true, Ordering::Release);
        self.queue.wake();
    }
}
