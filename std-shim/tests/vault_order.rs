//! Many tasks under one event loop: they are served in the order in which they came, and what that costs
//! for each does not grow with the line.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::mem;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use strongroom::{Opened, Opening, Sealed, Vault};

#[path = "support/tasks.rs"]
mod tasks;
#[path = "support/watchdog.rs"]
mod watchdog;

use tasks::poll;
use watchdog::ends_within;

const TASKS: usize = 2000;
const FEWEST_TASKS: usize = 100;
/// When a task may have been passed, on a machine that is so busy.
const SLOW: Duration = Duration::from_millis(40);

/// What else happens while they wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// In each turn somebody in the middle of the line is cancelled.
    Cancelled,
    /// In each turn many are polled that were not called, as a `select!` does.
    PolledForNothing,
}

/// The numbers of those who were woken, in order.
type Woken = Arc<Mutex<Vec<usize>>>;

struct Bell {
    number: usize,
    woken: Woken,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.woken.lock().unwrap().push(self.number);
    }
}

enum Task<'v> {
    Waits(Opening<'v, 'v, Box<[u8]>>),
    Holds { _opened: Opened<'v>, turns: usize },
    Done,
}

/// Polls in each turn those who were woken by then. Whoever is served holds its secret for a turn or two.
struct EventLoop<'v> {
    tasks: Vec<Task<'v>>,
    wakers: Vec<Waker>,
    woken: Woken,
    holders: Vec<usize>,
    seen: Seen,
}

/// What a run of the loop showed.
#[derive(Default)]
struct Seen {
    /// Who was served, in this order.
    served: Vec<usize>,
    cancelled: usize,
    polls: usize,
    polls_for_nothing: usize,
    most_in_a_turn: usize,
    idle: usize,
    /// The longest turn: whoever is called in one is polled in the next.
    slowest: Duration,
}

impl<'v> EventLoop<'v> {
    fn new(vault: &'v Vault, sealed: &'v Sealed, tasks: usize) -> Self {
        let woken = Woken::default();
        let bell = |number| Arc::new(Bell { number, woken: Arc::clone(&woken) });
        Self {
            tasks: (0..tasks).map(|_| Task::Waits(vault.open(sealed, b""))).collect(),
            wakers: (0..tasks).map(|number| Waker::from(bell(number))).collect(),
            woken,
            holders: Vec::new(),
            seen: Seen::default(),
        }
    }

    fn run(mut self, beside: Beside) -> Seen {
        let tasks = self.tasks.len();
        self.turn((0..tasks).collect());
        while self.seen.served.len() + self.seen.cancelled < tasks {
            let begun = Instant::now();
            self.let_go();
            if beside == Beside::Cancelled {
                self.cancel();
            }
            let woken = mem::take(&mut *self.woken.lock().unwrap());
            if woken.is_empty() && self.holders.is_empty() {
                // Somebody was passed, and whoever looks after the line calls the next.
                self.seen.idle += 1;
                thread::sleep(Duration::from_millis(1));
            }
            self.seen.most_in_a_turn = self.seen.most_in_a_turn.max(woken.len());
            self.turn(woken);
            if beside == Beside::PolledForNothing {
                self.poll_for_nothing();
            }
            self.seen.slowest = self.seen.slowest.max(begun.elapsed());
        }
        self.seen
    }

    fn turn(&mut self, woken: Vec<usize>) {
        for number in woken {
            self.seen.polls += 1;
            self.poll(number);
        }
    }

    fn poll(&mut self, number: usize) {
        let Task::Waits(opening) = &mut self.tasks[number] else { return };
        if let Poll::Ready(opened) = poll(opening, &self.wakers[number]) {
            let turns = 1 + number % 2;
            self.tasks[number] = Task::Holds { _opened: opened.unwrap(), turns };
            self.holders.push(number);
            self.seen.served.push(number);
        }
    }

    fn let_go(&mut self) {
        for number in mem::take(&mut self.holders) {
            match &mut self.tasks[number] {
                Task::Holds { turns: 1, .. } => self.tasks[number] = Task::Done,
                Task::Holds { turns, .. } => {
                    *turns -= 1;
                    self.holders.push(number);
                }
                _ => unreachable!("it holds a secret"),
            }
        }
    }

    /// One in the middle of the line, and one who was called.
    fn cancel(&mut self) {
        let next = self.seen.served.iter().max().unwrap() + 1;
        for number in [usize::midpoint(next, self.tasks.len()), next] {
            if matches!(self.tasks.get(number), Some(Task::Waits(_))) {
                self.tasks[number] = Task::Done;
                self.seen.cancelled += 1;
            }
        }
    }

    /// From the end of the line on.
    fn poll_for_nothing(&mut self) {
        for number in (0..self.tasks.len()).rev().step_by(100) {
            self.seen.polls_for_nothing += 1;
            self.poll(number);
        }
    }
}

/// Runs it until no turn was so slow that somebody may have been passed, and judges that run.
fn runs_in_order(beside: Beside) {
    ends_within(Duration::from_secs(60), move || {
        let vault = Vault::new(16 * 1024).unwrap();
        let sealed = vault.seal(&[7; 3000], b"").unwrap();
        let cells = {
            let all: Vec<_> = std::iter::from_fn(|| vault.try_open(&sealed, b"").ok()).collect();
            all.len()
        };
        // Fewer with windows, where the key has a page of its own.
        assert!((3..=5).contains(&cells), "{cells}");
        let mut tasks = TASKS;
        let seen = loop {
            let seen = EventLoop::new(&vault, &sealed, tasks).run(beside);
            if seen.slowest < SLOW {
                break seen;
            }
            eprintln!("too slow: {:?} for a turn of {}", seen.slowest, seen.most_in_a_turn);
            // A shorter run is more likely to be left alone.
            tasks = (tasks / 2).max(FEWEST_TASKS);
        };
        assert_eq!((vault.held(), vault.waiters()), (0, 0));
        let off = seen.served.windows(2).filter(|pair| pair[0] > pair[1]).count();
        let counted = format!(
            "{beside:?}: {} served, {off} times out of order, {} polls, at most {} in a turn",
            seen.served.len(),
            seen.polls,
            seen.most_in_a_turn,
        );
        eprintln!("counted: {counted}");
        assert!(off == 0, "{counted}: {:?} …", &seen.served[..40]);
        // To come, and to be called; and whoever is called after another is cancelled.
        assert_eq!(seen.idle, 0, "{counted}");
        assert!(seen.polls <= tasks * 2 + seen.cancelled, "{counted}");
        assert!(seen.most_in_a_turn <= cells + 1, "{counted}");
    });
}

#[test]
fn two_thousand_tasks_are_served_in_order() {
    runs_in_order(Beside::Nothing);
}

#[test]
fn so_they_are_while_some_are_cancelled() {
    runs_in_order(Beside::Cancelled);
}

#[test]
fn so_they_are_while_some_are_polled_for_nothing() {
    runs_in_order(Beside::PolledForNothing);
}
