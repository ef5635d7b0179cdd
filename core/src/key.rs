//! The master key: two random shares in two cells, joined only for the time of a call.
//!
//! The key is share 0 XOR share 1. One share alone says nothing about it, `refresh` makes what was
//! learned of a share before worthless, and the whole key is never written to memory that lasts.
//!
//! Readers take no lock. A sequence number, odd while the shares are being changed, tells them to
//! read again (a seqlock: Boehm, "Can Seqlocks Get Along With Programming Language Memory Models?",
//! MSPC 2012), and then under the writers' lock: nobody reads again and again while a writer, who may
//! need the processor, is not done.

use core::mem::MaybeUninit;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::fence;

use crate::arena::Arena;
use crate::error::AllocateError;
use crate::lock::Mutex;
use crate::owner::{Door, Owner};
use crate::secret::Secret;
use crate::sync::{AtomicBool, AtomicUsize, PlainWord};
use crate::wipe::wipe;

/// A random key in two shares.
pub(crate) struct Key<'a, O: Owner> {
    shares: [Secret<'a, Share, O>; 2],
    arena: &'a Arena<'a, O>,
    sequence: AtomicUsize,
    destroyed: AtomicBool,
    writer: Mutex<(), O::Lock>,
}

impl<'a, O: Owner> Key<'a, O> {
    /// A fresh random key: both shares are, so it need not be known.
    pub(crate) fn random(arena: &'a Arena<'_, O>) -> Result<Self, AllocateError> {
        let key = Self {
            shares: [Secret::build_aside(arena, zeros)?, Secret::build_aside(arena, zeros)?],
            arena,
            sequence: AtomicUsize::new(0),
            destroyed: AtomicBool::new(false),
            writer: Mutex::new(()),
        };
        for share in &key.shares {
            let _window = arena.owner().open(Door::Key);
            let fresh = Bytes::random(arena);
            fresh.words().zip(share.value()).for_each(|(new, word)| word.store(new, Relaxed));
        }
        Ok(key)
    }

    /// Lends the joined key to `work`, and wipes it before it returns.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&[u8; KEY]) -> R) -> Result<R, Destroyed> {
        let mut joined = Bytes::zero();
        self.join(&mut joined.0)?;
        Ok(work(&joined.0))
    }

    /// Changes both shares, but not the key.
    pub(crate) fn refresh(&self) {
        if self.arena.is_lost() {
            return;
        }
        let fresh = Bytes::random(self.arena);
        self.write(|| {
            for share in &self.shares {
                for (new, word) in fresh.words().zip(share.value()) {
                    word.store(word.load(Relaxed) ^ new, Relaxed);
                }
            }
        });
    }

    /// Wipes both shares. Calls that have joined the key already still end.
    pub(crate) fn destroy(&self) {
        if self.arena.is_lost() {
            return;
        }
        self.write(|| {
            self.destroyed.store(true, Relaxed);
            self.shares.iter().flat_map(Secret::value).for_each(|word| word.store(0, Relaxed));
        });
    }

    /// Whether there is no key to lend any more.
    pub(crate) fn is_destroyed(&self) -> bool {
        self.destroyed.load(Relaxed) || self.arena.is_lost()
    }

    #[inline]
    fn join(&self, key: &mut [u8; KEY]) -> Result<(), Destroyed> {
        if self.arena.is_lost() {
            return Err(Destroyed);
        }
        let _window = self.arena.owner().open(Door::Key);
        let before = self.sequence.load(Acquire);
        let joined = self.join_words(key);
        // The words are read before the number is read again.
        fence(Acquire);
        if before.is_multiple_of(2) && self.sequence.load(Relaxed) == before {
            return joined;
        }
        let _unchanged = self.writer.lock();
        self.join_words(key)
    }

    /// Joins the shares as they are, whole or not.
    #[inline]
    fn join_words(&self, key: &mut [u8; KEY]) -> Result<(), Destroyed> {
        let words = self.shares[0].value().iter().zip(self.shares[1].value());
        for (bytes, (a, b)) in key.as_chunks_mut().0.iter_mut().zip(words) {
            *bytes = (a.load(Relaxed) ^ b.load(Relaxed)).to_ne_bytes();
        }
        if self.is_destroyed() { Err(Destroyed) } else { Ok(()) }
    }

    /// Makes `change` seen whole or not at all.
    fn write(&self, change: impl FnOnce()) {
        let _window = self.arena.owner().open(Door::Key);
        let _alone = self.writer.lock();
        let before = self.sequence.load(Relaxed);
        self.sequence.store(before.wrapping_add(1), Relaxed);
        // The number is odd before a word changes.
        fence(Release);
        change();
        self.sequence.store(before.wrapping_add(2), Release);
    }
}

/// The key was destroyed.
pub(crate) struct Destroyed;

/// Key bytes on the stack, wiped when they go.
struct Bytes([u8; KEY]);

impl Bytes {
    fn zero() -> Self {
        Self([0; KEY])
    }

    fn random<O: Owner>(arena: &Arena<'_, O>) -> Self {
        let mut bytes = Self::zero();
        arena.fill_random(&mut bytes.0);
        bytes
    }

    fn words(&self) -> impl Iterator<Item = usize> {
        self.0.as_chunks().0.iter().map(|&bytes| usize::from_ne_bytes(bytes))
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn zeros(place: &mut MaybeUninit<Share>) -> &mut Share {
    place.write([const { PlainWord::new(0) }; WORDS])
}

/// Words of one share.
type Share = [PlainWord; WORDS];
const WORDS: usize = KEY / size_of::<PlainWord>();

/// Bytes in a `ChaCha20` key.
const KEY: usize = 32;

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;
    use std::vec::Vec;

    use super::*;
    use crate::owner::Spin;
    use crate::testing::{rounds, with_arena};

    fn joined(key: &Key<'_, Spin>) -> [u8; KEY] {
        key.with(|key| *key).unwrap_or_default()
    }

    fn words(share: &Secret<'_, Share>) -> Vec<usize> {
        share.value().iter().map(|word| word.load(Relaxed)).collect()
    }

    #[test]
    fn refresh_changes_both_shares_and_not_the_key() {
        with_arena(4096, |arena| {
            let key = Key::random(arena).unwrap();
            let (before, shares) = (joined(&key), key.shares.each_ref().map(words));
            assert_ne!(before, [0; KEY]);
            key.refresh();
            assert_eq!(joined(&key), before);
            assert_ne!(words(&key.shares[0]), shares[0]);
            assert_ne!(words(&key.shares[1]), shares[1]);
        });
    }

    #[test]
    fn destroy_leaves_nothing() {
        with_arena(4096, |arena| {
            let key = Key::random(arena).unwrap();
            key.destroy();
            assert!(key.with(|_| ()).is_err());
            assert!(key.shares.iter().all(|share| words(share).iter().all(|&word| word == 0)));
            key.refresh();
            assert!(key.with(|_| ()).is_err(), "refresh brings nothing back");
        });
    }

    #[test]
    #[cfg(target_os = "linux")]
    #[cfg_attr(miri, ignore = "it reads another thread's stack")]
    fn the_joined_key_is_not_left_on_the_stack() {
        with_arena(4096, |arena| {
            let key = Key::random(arena).unwrap();
            let pieces = joined(&key).as_chunks::<8>().0.to_vec();
            let is_in =
                |left: Vec<u8>| left.windows(8).any(|eight| pieces.iter().any(|p| p == eight));
            let mut probe = crate::stack_probe::StackProbe::new();
            assert!(!is_in(probe.run(|| key.with(|_| ()).unwrap_or_default())));
            let kept = probe.run(|| key.with(plant).unwrap_or_default());
            assert!(is_in(kept), "then this would prove nothing");
        });
    }

    #[cfg(target_os = "linux")]
    #[inline(never)]
    fn plant(key: &[u8; KEY]) {
        let copy = core::hint::black_box(*key);
        core::hint::black_box(&copy);
    }

    #[test]
    fn a_reader_waits_until_a_change_is_whole() {
        with_arena(4096, |arena| {
            let key = Key::random(arena).unwrap();
            let expected = joined(&key);
            let reading = AtomicBool::new(false);
            let flip = |share: usize| key.shares[share].value()[0].fetch_xor(1, Relaxed);
            thread::scope(|scope| {
                let mut reader = None;
                key.write(|| {
                    flip(0);
                    reader = Some(scope.spawn(|| {
                        reading.store(true, Relaxed);
                        joined(&key)
                    }));
                    while !reading.load(Relaxed) {
                        thread::yield_now();
                    }
                    thread::sleep(Duration::from_millis(20));
                    flip(1);
                });
                assert_eq!(reader.unwrap().join().unwrap(), expected, "half a change");
            });
        });
    }

    #[test]
    fn readers_never_see_a_torn_key() {
        with_arena(4096, |arena| {
            let key = Key::random(arena).unwrap();
            let expected = joined(&key);
            thread::scope(|scope| {
                let reader =
                    scope.spawn(|| (0..rounds(20_000, 30)).all(|_| joined(&key) == expected));
                (0..rounds(2_000, 10)).for_each(|_| key.refresh());
                assert!(reader.join().unwrap());
            });
        });
    }
}
