//! What was measured and what it was held against, as it is written to JSON and read by the tables
//! and curves.

use serde::Serialize;

use crate::harness::{Paired, Spread};
use crate::machine::Machine;

#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    /// `full` or `quick`.
    pub(crate) mode: &'static str,
    pub(crate) density: Vec<Density>,
    pub(crate) mixed: Vec<Mixed>,
    pub(crate) among: Vec<Among>,
    pub(crate) page_each: Vec<PageEach>,
    pub(crate) speed: Vec<Speed>,
    pub(crate) growth: Vec<Growth>,
    pub(crate) renewed: Vec<Renewed>,
    pub(crate) threads: Vec<Threads>,
    pub(crate) one_core: Vec<OneCore>,
    pub(crate) vault_threads: Vec<VaultThreads>,
    pub(crate) waiters: Vec<Waiters>,
    pub(crate) calls: Vec<Call>,
    pub(crate) sealing: Vec<Sealing>,
    pub(crate) parts: Vec<Part>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) stores: Option<Stores>,
    pub(crate) windows: Vec<BesideOther>,
    pub(crate) libraries: Vec<BesideOther>,
    pub(crate) at_rest: Vec<AtRest>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) bars: Vec<Bar>,
}

/// How many secrets of one size were live when the next was refused.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Density {
    pub(crate) peer: &'static str,
    /// Bytes of locked memory.
    pub(crate) region: usize,
    /// Bytes of each secret.
    pub(crate) size: usize,
    pub(crate) live: usize,
}

impl Density {
    /// The share of the locked bytes that is payload.
    pub(crate) fn payload(&self) -> f64 {
        (self.live * self.size) as f64 / self.region as f64
    }
}

/// The share of the locked bytes that was payload when a mixed load was refused: for the first time, and later
/// on.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Mixed {
    pub(crate) peer: &'static str,
    pub(crate) region: usize,
    pub(crate) payload: Spread,
    pub(crate) worn: Option<Spread>,
    pub(crate) seeds: u64,
}

/// How many longer secrets fit among short ones that stay when all others of a full region are released.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Among {
    pub(crate) peer: &'static str,
    /// A random one in so many stays.
    pub(crate) one_in: usize,
    /// Bytes of each longer secret.
    pub(crate) size: usize,
    pub(crate) fit: Spread,
}

/// Locked bytes for each secret of a peer that gives each its own pages, as the kernel counts them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PageEach {
    pub(crate) peer: &'static str,
    pub(crate) size: usize,
    pub(crate) locked: f64,
}

/// Release + allocate + write, against glibc.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Speed {
    pub(crate) peer: &'static str,
    pub(crate) scenario: String,
    /// Live secrets.
    pub(crate) live: usize,
    pub(crate) paired: Paired,
}

/// An operation in a large region, against the same in the smallest.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Growth {
    pub(crate) row: String,
    /// Bytes of the large region.
    pub(crate) region: usize,
    pub(crate) paired: Paired,
}

/// How many secrets of one size fit a fresh arena, and one after many operations and when all was
/// freed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Renewed {
    pub(crate) region: usize,
    pub(crate) operations: usize,
    /// Bytes of each secret.
    pub(crate) size: usize,
    pub(crate) fresh: usize,
    pub(crate) after: usize,
}

/// What threads did on one shared store.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Threads {
    pub(crate) peer: &'static str,
    pub(crate) count: usize,
    /// Operations per second of all threads, in times of one glibc thread's in the same round.
    pub(crate) against_floor: Spread,
    /// In times of its own with one thread, in the same round.
    pub(crate) against_one: Spread,
    /// In times of its own with two threads, in the same round.
    pub(crate) against_two: Spread,
    /// Operations per second that a processor worked, in times of its own with one thread: 1 if the
    /// threads do not slow each other down, whatever else the machine does.
    pub(crate) each: Spread,
}

/// What threads did on one processor that they share.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OneCore {
    pub(crate) peer: &'static str,
    /// Bytes of each secret.
    pub(crate) size: usize,
    pub(crate) count: usize,
    /// Operations per second of all threads, in times of one thread's in the same round.
    pub(crate) against_one: Spread,
    /// The same per second that the processor worked for them, whatever else it had to do.
    pub(crate) each: Spread,
    /// Milliseconds of the longest call that was seen, other threads' turns included.
    pub(crate) longest_ms: f64,
}

/// What threads did on one vault or what it is made of, each with one secret at a time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct VaultThreads {
    pub(crate) peer: &'static str,
    /// Bytes of each secret.
    pub(crate) size: usize,
    pub(crate) count: usize,
    /// Operations per second of all threads, in times of one thread's in the same round.
    pub(crate) against_one: Spread,
    /// The same per second that a processor worked: 1 if the threads do not slow each other down,
    /// whatever else the machine does.
    pub(crate) each: Spread,
}

/// What many threads did that may have to wait for room.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Waiters {
    pub(crate) peer: &'static str,
    /// Bytes of each secret.
    pub(crate) size: usize,
    pub(crate) count: usize,
    /// Of all threads, in each turn.
    pub(crate) operations: u64,
    /// `None` where nothing is opened.
    pub(crate) line: Option<Line>,
    /// Operations per second of all threads, in times of one thread's that did as many in the same
    /// round.
    pub(crate) against_one: Spread,
    /// The same per second that a processor worked for them.
    pub(crate) each: Spread,
}

/// What those who opened secrets had to wait for, and how they waited, over all rounds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Line {
    /// How many secrets can be open at a time.
    pub(crate) places: usize,
    /// Calls that waited.
    pub(crate) waits: usize,
    pub(crate) longest_wait_ms: f64,
}

/// A call, against another that does less or more.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) floor: &'static str,
    /// Bytes of the secret.
    pub(crate) size: usize,
    pub(crate) paired: Paired,
}

/// Sealing or opening, against another.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sealing {
    pub(crate) peer: &'static str,
    pub(crate) floor: &'static str,
    pub(crate) operation: &'static str,
    /// Bytes of the secret.
    pub(crate) size: usize,
    pub(crate) paired: Paired,
}

/// Sealing or opening a stream, against another's.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Stream {
    pub(crate) operation: &'static str,
    /// Bytes of plaintext in a whole chunk.
    pub(crate) chunk: usize,
    /// Bytes of plaintext in all.
    pub(crate) text: usize,
    pub(crate) paired: Paired,
}

/// A store, beside what a program would do without one.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Stores {
    pub(crate) times: Vec<BesideOther>,
    pub(crate) threads: Vec<VaultThreads>,
    /// How many are many.
    pub(crate) count: u64,
    /// Bytes that each of many takes in the store's slabs.
    pub(crate) record_bytes: f64,
}

/// Something, beside the same done otherwise.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BesideOther {
    pub(crate) what: &'static str,
    pub(crate) other: &'static str,
    pub(crate) ratio: Spread,
    pub(crate) ns: f64,
}

/// What a part of sealing or opening takes of the whole.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Part {
    pub(crate) operation: &'static str,
    pub(crate) name: &'static str,
    /// In times of ring's whole operation.
    pub(crate) ratio: f64,
    pub(crate) ns: f64,
}

/// Sealed secrets in ordinary memory.
#[derive(Clone, Debug, Serialize, serde::Deserialize)]
pub(crate) struct AtRest {
    pub(crate) peer: String,
    pub(crate) count: usize,
    pub(crate) size: usize,
    /// Bytes by which resident memory grew for each.
    pub(crate) resident: f64,
    /// Time to open one of all, in times of one of a thousand: in the order of sealing, and shuffled.
    pub(crate) in_order: f64,
    pub(crate) shuffled: f64,
    /// The same, less the time to read a byte of each record in the same order (the cache's part).
    pub(crate) in_order_less_cache: f64,
    pub(crate) shuffled_less_cache: f64,
    /// Nanoseconds to open one of a thousand.
    pub(crate) ns: f64,
}

/// What was not measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Skipped {
    pub(crate) what: String,
    pub(crate) why: String,
}

/// One figure that must be reached.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Bar {
    pub(crate) what: String,
    pub(crate) target: Target,
    /// `None` if it was not measured.
    pub(crate) measured: Option<f64>,
    pub(crate) unit: Unit,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) enum Unit {
    Secrets,
    Bytes,
    /// A share of one.
    Share,
    /// Times something else.
    Times,
}

impl Bar {
    /// `None` if it was not measured.
    pub(crate) fn holds(&self) -> Option<bool> {
        let measured = self.measured?;
        Some(match self.target {
            Target::AtLeast(target) => measured >= target,
            Target::AtMost(target) => measured <= target,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(target: Target, measured: Option<f64>) -> Bar {
        Bar { what: String::new(), target, measured, unit: Unit::Times }
    }

    #[test]
    fn a_bar_that_is_just_reached_holds() {
        assert_eq!(bar(Target::AtMost(2.0), Some(2.0)).holds(), Some(true));
        assert_eq!(bar(Target::AtMost(2.0), Some(2.01)).holds(), Some(false));
        assert_eq!(bar(Target::AtLeast(850.0), Some(850.0)).holds(), Some(true));
        assert_eq!(bar(Target::AtLeast(850.0), Some(849.0)).holds(), Some(false));
        assert_eq!(bar(Target::AtMost(2.0), None).holds(), None);
    }
}
