//! The work that is timed: release a random secret, allocate one in its place, write it.

use std::hint::black_box;
use std::mem;

use crate::peers::Store;
use crate::random::Random;

/// How long the secrets are, and how many are live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) shortest: usize,
    pub(crate) longest: usize,
    pub(crate) live: usize,
    /// Begin with twice as many, of which a random half is released.
    pub(crate) fragment: bool,
}

impl Load {
    pub(crate) const fn uniform(size: usize, live: usize) -> Self {
        Self { shortest: size, longest: size, live, fragment: false }
    }

    /// The most that are live at any time.
    pub(crate) const fn most_live(self) -> usize {
        if self.fragment { 2 * self.live } else { self.live }
    }

    /// A heap full of holes.
    pub(crate) const FRAGMENTED: Self =
        Self { shortest: 16, longest: 256, live: 10_000, fragment: true };
}

/// A set of live secrets in a store.
pub(crate) struct Workload<'s, S: Store> {
    store: &'s S,
    live: Vec<Option<S::Secret<'s>>>,
    load: Load,
    random: Random,
    /// What is written. Each time it begins elsewhere, so that nobody is lucky or unlucky in how
    /// the places of source and secret in their pages relate (loads wait for stores that seem to be
    /// to the same place).
    source: Vec<u8>,
    offset: usize,
    /// Allocations that were refused while the work went on.
    refused: usize,
}

impl<'s, S: Store> Workload<'s, S> {
    /// Fills the store. Says how many secrets were live when it refused the next, if it did.
    pub(crate) fn new(store: &'s S, load: Load, seed: u64) -> Result<Self, usize> {
        let source = vec![0xa5; PAGE + load.longest];
        let random = Random::new(seed);
        let mut work =
            Self { store, live: Vec::new(), load, random, source, offset: 0, refused: 0 };
        let count = load.most_live();
        work.live.reserve_exact(count);
        for number in 0..count {
            let secret = work.allocate().ok_or(number)?;
            work.live.push(Some(secret));
        }
        work.random.shuffle(&mut work.live);
        for secret in work.live.drain(load.live..).flatten() {
            store.release(secret);
        }
        Ok(work)
    }

    pub(crate) fn refused(&self) -> usize {
        self.refused
    }

    /// Not inlined, so that each contestant's loop is compiled by itself.
    #[inline(never)]
    pub(crate) fn run(&mut self, operations: u64) {
        for _ in 0..operations {
            let index = self.random.below(self.live.len());
            if let Some(secret) = self.live[index].take() {
                self.store.release(secret);
            }
            let secret = self.allocate();
            self.refused += usize::from(secret.is_none());
            self.live[index] = secret;
        }
    }

    #[inline(always)]
    fn allocate(&mut self) -> Option<S::Secret<'s>> {
        // The length is opaque, as it is where secrets come from outside.
        let len = black_box(self.len());
        let mut secret = self.store.allocate(len)?;
        self.offset = (self.offset + STEP) % PAGE;
        self.store.write(&mut secret, &self.source[self.offset..self.offset + len]);
        Some(secret)
    }

    #[inline(always)]
    fn len(&mut self) -> usize {
        let Load { shortest, longest, .. } = self.load;
        if shortest == longest {
            shortest
        } else {
            shortest + self.random.below(longest - shortest + 1)
        }
    }
}

impl<S: Store> Workload<'_, S> {
    /// Ends a workload whose store goes with it: nothing is released that need not be.
    pub(crate) fn end(mut self) {
        give_back(self.store, self.live.drain(..).flatten());
    }
}

impl<S: Store> Drop for Workload<'_, S> {
    fn drop(&mut self) {
        for secret in self.live.drain(..).flatten() {
            self.store.release(secret);
        }
    }
}

const PAGE: usize = 4096;
/// A cache line.
const STEP: usize = 64;

/// Releases what is live when a measurement is over, if the store wants it.
pub(crate) fn give_back<'s, S: Store>(store: &'s S, live: impl Iterator<Item = S::Secret<'s>>) {
    if S::WANTS_ALL_BACK {
        live.for_each(|secret| store.release(secret));
    } else {
        live.for_each(mem::forget);
    }
}
