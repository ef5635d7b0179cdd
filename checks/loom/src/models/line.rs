//! Whoever waits for room is woken when there is some: a wake-up that is lost leaves a model with
//! threads that wait for ever, which loom reports.

use std::rc::Rc;
use std::task::Waker;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread::{self, JoinHandle};

#[path = "../../../../std-shim/src/vault/queue.rs"]
#[allow(dead_code, reason = "the models use the part that threads race for")]
mod queue;

/// What the line shares between threads, as loom sees it.
mod sync {
    pub(super) use crate::sync::{AtomicUsize, fence};

    #[derive(Default)]
    pub(super) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(super) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }

    /// No waker of a model panics, but loom does when it has found something.
    pub(super) fn apart(work: impl FnOnce()) {
        work();
    }

    /// Parking as the standard library has it. Loom's own loses a wake-up for a thread that waits for a
    /// lock at that moment.
    pub(super) mod thread {
        use std::sync::Arc;

        use loom::sync::{Condvar, Mutex};

        #[derive(Clone, Default)]
        pub(crate) struct Thread(Arc<(Mutex<bool>, Condvar)>);

        impl Thread {
            pub(crate) fn unpark(&self) {
                *self.0.0.lock().unwrap() = true;
                self.0.1.notify_one();
            }
        }

        loom::thread_local! {
            static CURRENT: Thread = Thread::default();
        }

        pub(crate) fn current() -> Thread {
            CURRENT.with(Thread::clone)
        }

        pub(crate) fn park() {
            let Thread(token) = current();
            let mut is_woken = token.0.lock().unwrap();
            while !*is_woken {
                is_woken = token.1.wait(is_woken).unwrap();
            }
            *is_woken = false;
        }

        /// Time does not pass in a model: this is a wake-up out of the blue.
        pub(crate) fn park_timeout(_: std::time::Duration) {
            loom::thread::yield_now();
        }
    }
}

/// Time does not pass in a model, so nobody is late.
mod watch {
    pub(super) fn begin<T>(
        _: &str,
        _: std::sync::Weak<T>,
        _: std::time::Duration,
        _: fn(&T, std::time::Instant) -> bool,
        _: fn(&T) -> bool,
    ) -> std::io::Result<()> {
        Ok(())
    }
}

use self::queue::{Kind, Queue, Shape};
use crate::sync::AtomicUsize;

const ONE: Shape = Shape { len: 1, secrets: 1 };

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
    let place = vault.queue.join(ONE, 0, Kind::Task, Waker::noop());
    let waiter = vault.spawn(Vault::wait);
    let maker = vault.spawn(Vault::make_room);
    drop(place);
    waiter.join().unwrap();
    maker.join().unwrap();
}

/// The first in line finds room and is served while it is its turn; then the second is.
pub(super) fn first_is_served() {
    let vault = Vault::new();
    let place = vault.queue.join(ONE, 0, Kind::Task, Waker::noop());
    let waiter = vault.spawn(Vault::wait);
    vault.make_room();
    let served = place.attempt(Waker::noop(), |_| vault.take_room());
    place.leave(|_| false);
    assert!(served.is_some(), "there was room, and it was the first's turn");
    vault.make_room();
    waiter.join().unwrap();
}

/// There is room for both who wait; whoever is served first looks whether there is some for the other,
/// and takes it for a moment.
pub(super) fn one_looks_while_the_other_tries() {
    let vault = Vault::new();
    let waiters = [(); 2].map(|()| vault.spawn(Vault::wait));
    vault.make_room();
    vault.make_room();
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
}

/// Room for two, and the line of those who wait for it.
struct Vault {
    rooms: [AtomicBool; 2],
    /// Changed with each secret that is dropped, after its room was made.
    users: AtomicUsize,
    queue: Queue,
}

impl Vault {
    fn new() -> Rc<Self> {
        let rooms = [(); 2].map(|()| AtomicBool::new(false));
        Rc::new(Self { rooms, users: AtomicUsize::new(0), queue: Queue::default() })
    }

    fn spawn(self: &Rc<Self>, work: impl FnOnce(&Self) + 'static) -> JoinHandle<()> {
        let vault = Rc::clone(self);
        thread::spawn(move || work(&vault))
    }

    fn wait(&self) {
        assert!(self.queue.wait(ONE, 0, None, |_| self.take_room(), |_, _| self.probe()).is_some());
    }

    /// No stronger than an arena's cells: whoever has left was counted in one order with the line.
    fn take_room(&self) -> Option<&AtomicBool> {
        self.users.load(Ordering::SeqCst);
        self.rooms.iter().find(|room| {
            room.compare_exchange(true, false, Ordering::Acquire, Ordering::Relaxed).is_ok()
        })
    }

    /// Whether there is room: takes it for a moment.
    fn probe(&self) -> bool {
        let taken = self.take_room();
        taken.inspect(|room| room.store(true, Ordering::Release)).is_some()
    }

    fn make_room(&self) {
        // Whoever makes more room than was taken has two places to make it in.
        let free = |room: &&AtomicBool| !room.load(Ordering::Relaxed);
        if let Some(room) = self.rooms.iter().find(free) {
            room.store(true, Ordering::Release);
        }
        self.users.fetch_and(0, Ordering::SeqCst);
        self.queue.room_made();
    }
}
