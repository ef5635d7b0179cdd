//! The master key: two random shares in two cells, joined only for the time of a call.
//!
//! The key is share 0 XOR share 1. One share alone says nothing about it, `refresh` makes what was
//! learned of a share before worthless, and the whole key is never written to memory that lasts.
//!
//! Readers take no lock. A sequence number, odd while the shares are being changed, tells them to
//! read again (a seqlock: Boehm, "Can Seqlocks Get Along With Programming Language Memory Models?",
//! MSPC 2012), and then under the writers' lock: nobody reads again and again while a writer, who may
//! need the processor, is not done.
//!
//! Where a [`ShareKeeper`] has one of the shares, nothing is locked while it is asked. So the shares are
//! changed in versions: whichever the keeper gives, the own share of that is in the cell `version % 2`.
//! The sequence number is odd for good then, `2 * version + 1`, and all readers leave the common way:
//! who has no keeper pays nothing for it.

use core::mem::MaybeUninit;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::fence;

use crate::arena::Arena;
use crate::error::{AllocateError, ShareError};
use crate::keeper::{SHARE_BYTES, ShareKeeper};
use crate::lock::Mutex;
use crate::owner::{Door, Owner};
use crate::secret::Secret;
use crate::sync::{AtomicBool, AtomicUsize, PlainWord};
use crate::wipe::Wiped;

/// A random key in two shares.
pub(crate) struct Key<'a, O: Owner> {
    shares: [Secret<'a, Share, O>; 2],
    arena: &'a Arena<'a, O>,
    sequence: AtomicUsize,
    destroyed: AtomicBool,
    writer: Mutex<Changing, O::Lock>,
    /// Has the other share; then the cells are for two versions of the own one.
    keeper: Option<&'a dyn ShareKeeper>,
}

/// Whether the own share of the next version is there too, for a keeper who is being given the other.
type Changing = bool;

impl<'a, O: Owner> Key<'a, O> {
    /// A fresh random key: both shares are, so it need not be known.
    pub(crate) fn random(arena: &'a Arena<'_, O>) -> Result<Self, AllocateError> {
        let key = Self {
            shares: [Secret::build_aside(arena, zeros)?, Secret::build_aside(arena, zeros)?],
            arena,
            sequence: AtomicUsize::new(0),
            destroyed: AtomicBool::new(false),
            writer: Mutex::new(false),
            keeper: None,
        };
        for share in &key.shares {
            let _window = arena.owner().open(Door::Key);
            let fresh = Bytes::random(arena)?;
            fresh.words().zip(share.value()).for_each(|(new, word)| word.store(new, Relaxed));
        }
        Ok(key)
    }

    /// Lends the joined key to `work`, and wipes it before it returns.
    #[inline]
    pub(crate) fn with<R>(&self, work: impl FnOnce(&[u8; KEY]) -> R) -> Result<R, NoKey> {
        let mut joined = Bytes::zero();
        self.join(&mut joined.0)?;
        // What was wiped while it was read is no key.
        if self.is_destroyed() { Err(NoKey::Destroyed) } else { Ok(work(&joined.0)) }
    }

    /// Changes both shares, but not the key.
    pub(crate) fn refresh(&self) {
        let Ok(fresh) = Bytes::random(self.arena) else { return };
        if let Some(keeper) = self.keeper {
            self.refresh_kept(keeper, &fresh);
            return;
        }
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
        let wipe = || {
            self.destroyed.store(true, Relaxed);
            self.shares.iter().for_each(wipe_share);
        };
        match self.keeper {
            None => self.write(wipe),
            Some(keeper) => {
                self.alone(|_| wipe());
                keeper.forget();
            }
        }
    }

    /// Whether there is no key to lend any more.
    pub(crate) fn is_destroyed(&self) -> bool {
        self.destroyed.load(Relaxed) || self.arena.is_lost()
    }

    #[inline]
    fn join(&self, key: &mut [u8; KEY]) -> Result<(), NoKey> {
        if self.arena.is_lost() {
            return Err(NoKey::Destroyed);
        }
        let before = {
            let _window = self.arena.owner().open(Door::Key);
            let before = self.sequence.load(Acquire);
            self.join_words(key);
            // The words are read before the number is read again.
            fence(Acquire);
            if before.is_multiple_of(2) && self.sequence.load(Relaxed) == before {
                return Ok(());
            }
            before
        };
        self.join_slowly(key, before)
    }

    /// Joins the shares while they are being changed, or if a keeper has one. `before` is the sequence
    /// number.
    #[cold]
    #[inline(never)]
    fn join_slowly(&self, key: &mut [u8; KEY], before: usize) -> Result<(), NoKey> {
        match self.keeper {
            Some(keeper) => self.join_kept(keeper, key, before)?,
            None => self.alone(|_| self.join_words(key)),
        }
        // The words are read before it is asked whether they were wiped.
        fence(Acquire);
        Ok(())
    }

    /// Joins the own share with the one that a keeper has.
    fn join_kept(
        &self,
        keeper: &dyn ShareKeeper,
        key: &mut [u8; KEY],
        mut before: usize,
    ) -> Result<(), NoKey> {
        loop {
            let mut other = Kept::zero();
            let loaded = keeper.load(&mut other.0);
            let joined = self.alone(|&mut is_changing| {
                if self.is_destroyed() {
                    return Err(NoKey::Destroyed);
                }
                loaded.map_err(NoKey::Share)?;
                let now = self.sequence.load(Relaxed);
                let version = other.version();
                if version == now / 2 || is_changing && version == next(now) / 2 {
                    let own = self.shares[version % 2].value().iter();
                    for (bytes, word) in key.as_chunks_mut().0.iter_mut().zip(own) {
                        *bytes = word.load(Relaxed).to_ne_bytes();
                    }
                    xor(key, other.share());
                    return Ok(true);
                }
                // Unless both were changed twice meanwhile.
                if now == before {
                    Err(NoKey::Share(ShareError::Changed))
                } else {
                    before = now;
                    Ok(false)
                }
            });
            if joined? {
                return Ok(());
            }
        }
    }

    /// Gives the second share to a keeper.
    pub(crate) fn keep_share_with(
        &mut self,
        keeper: &'a dyn ShareKeeper,
    ) -> Result<(), ShareError> {
        if self.is_destroyed() {
            return Ok(());
        }
        let mut other = Kept::zero();
        if let Some(former) = self.keeper {
            former.load(&mut other.0)?;
        } else {
            let _window = self.arena.owner().open(Door::Key);
            for (bytes, word) in
                other.share_mut().as_chunks_mut().0.iter_mut().zip(self.shares[1].value())
            {
                *bytes = word.load(Relaxed).to_ne_bytes();
            }
        }
        keeper.store(&other.0)?;
        match self.keeper.replace(keeper) {
            Some(former) if core::ptr::addr_eq(former, keeper) => {}
            Some(former) => former.forget(),
            None => {
                let _window = self.arena.owner().open(Door::Key);
                wipe_share(&self.shares[1]);
                self.sequence.store(1, Relaxed);
            }
        }
        Ok(())
    }

    /// Changes the own share and the one that a keeper has, in a new version.
    #[cold]
    fn refresh_kept(&self, keeper: &dyn ShareKeeper, fresh: &Bytes) {
        let Some(now) = self.alone(|is_changing| {
            let may = !self.is_destroyed() && !core::mem::replace(is_changing, true);
            may.then(|| self.sequence.load(Relaxed))
        }) else {
            return;
        };
        let [old, new] = [now, next(now)].map(|sequence| &self.shares[sequence / 2 % 2]);
        let mut other = Kept::zero();
        let is_kept = keeper.load(&mut other.0).is_ok() && other.version() == now / 2;
        if is_kept {
            self.alone(|_| {
                for (word, (own, fresh)) in
                    new.value().iter().zip(old.value().iter().zip(fresh.words()))
                {
                    // What was destroyed meanwhile stays so.
                    let own = if self.is_destroyed() { 0 } else { own.load(Relaxed) ^ fresh };
                    word.store(own, Relaxed);
                }
            });
            xor(other.share_mut(), &fresh.0);
            other.set_version(next(now) / 2);
        }
        let is_stored = is_kept && keeper.store(&other.0).is_ok();
        self.alone(|is_changing| {
            *is_changing = false;
            if is_stored {
                self.sequence.store(next(now), Relaxed);
            }
            wipe_share(if is_stored { old } else { new });
        });
        // It may have been stored after whoever destroyed the key had it forgotten.
        if is_stored && self.is_destroyed() {
            keeper.forget();
        }
    }

    /// Does `work` under the writers' lock.
    fn alone<R>(&self, work: impl FnOnce(&mut Changing) -> R) -> R {
        let _window = self.arena.owner().open(Door::Key);
        work(&mut self.writer.lock())
    }

    /// Joins the shares as they are, whole or not.
    #[inline]
    fn join_words(&self, key: &mut [u8; KEY]) {
        let words = self.shares[0].value().iter().zip(self.shares[1].value());
        for (bytes, (a, b)) in key.as_chunks_mut().0.iter_mut().zip(words) {
            *bytes = (a.load(Relaxed) ^ b.load(Relaxed)).to_ne_bytes();
        }
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

/// Why there is no key to lend.
pub(crate) enum NoKey {
    Destroyed,
    Share(ShareError),
}

/// Bytes of a key or a share.
type Bytes = Wiped<KEY>;

impl Bytes {
    fn random<O: Owner>(arena: &Arena<'_, O>) -> Result<Self, AllocateError> {
        let mut bytes = Self::zero();
        arena.draw(&mut bytes.0)?;
        Ok(bytes)
    }

    fn words(&self) -> impl Iterator<Item = usize> {
        self.0.as_chunks().0.iter().map(|&bytes| usize::from_ne_bytes(bytes))
    }
}

/// What a keeper has: a share, then its version.
type Kept = Wiped<SHARE_BYTES>;

impl Kept {
    fn share(&self) -> &[u8] {
        &self.0[..KEY]
    }

    fn share_mut(&mut self) -> &mut [u8] {
        &mut self.0[..KEY]
    }

    fn set_version(&mut self, version: usize) {
        self.0[KEY..].copy_from_slice(&(version as u64).to_ne_bytes());
    }

    /// A version that no share has, if it is none.
    fn version(&self) -> usize {
        let number = self.0.last_chunk().map_or(u64::MAX, |&number| u64::from_ne_bytes(number));
        usize::try_from(number).unwrap_or(usize::MAX)
    }
}

/// The sequence number of the next version. After the last one the first comes again.
fn next(sequence: usize) -> usize {
    sequence.wrapping_add(2)
}

fn xor(bytes: &mut [u8], with: &[u8]) {
    bytes.iter_mut().zip(with).for_each(|(byte, with)| *byte ^= with);
}

fn wipe_share<O: Owner>(share: &Secret<'_, Share, O>) {
    share.value().iter().for_each(|word| word.store(0, Relaxed));
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
    use std::sync::Barrier;
    use std::thread;
    use std::time::Duration;
    use std::vec::Vec;

    use super::*;
    use crate::testing::{REFUSED, Shelf, rounds, with_arena};

    fn joined<O: Owner>(key: &Key<'_, O>) -> [u8; KEY] {
        key.with(|key| *key).unwrap_or_default()
    }

    /// Both shares.
    fn words<O: Owner>(key: &Key<'_, O>) -> [Vec<usize>; 2] {
        let _window = key.arena.owner().open(Door::Key);
        let one = |share: &Secret<'_, Share, O>| {
            share.value().iter().map(|word| word.load(Relaxed)).collect()
        };
        key.shares.each_ref().map(one)
    }

    #[test]
    fn refresh_changes_both_shares_and_not_the_key() {
        with_arena(4096, |arena| {
            let key = Key::random(arena).unwrap();
            let (before, shares) = (joined(&key), words(&key));
            assert_ne!(before, [0; KEY]);
            key.refresh();
            assert_eq!(joined(&key), before);
            assert_ne!(words(&key)[0], shares[0]);
            assert_ne!(words(&key)[1], shares[1]);
        });
    }

    #[test]
    fn destroy_leaves_nothing() {
        with_arena(4096, |arena| {
            let key = Key::random(arena).unwrap();
            key.destroy();
            assert!(key.with(|_| ()).is_err());
            assert!(words(&key).iter().flatten().all(|&word| word == 0));
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

    #[test]
    fn one_share_alone_is_left_when_a_keeper_has_the_other() {
        let (shelf, other) = (Shelf::default(), Shelf::default());
        with_arena(4096, |arena| {
            let mut key = Key::random(arena).unwrap();
            let (before, [own, handed]) = (joined(&key), words(&key));
            key.keep_share_with(&shelf).unwrap();
            assert_eq!(joined(&key), before);
            assert_eq!(words(&key), [own, [0; WORDS].to_vec()]);
            let handed: Vec<_> = handed.iter().flat_map(|word| word.to_ne_bytes()).collect();
            assert_eq!(shelf.kept()[..KEY], handed);
            for _ in 0..2 {
                key.keep_share_with(&other).unwrap();
                assert_eq!(joined(&key), before);
                assert!(shelf.is_empty(), "it has moved");
            }
        });
    }

    #[test]
    fn refresh_changes_the_share_of_a_keeper_too() {
        let shelf = Shelf::default();
        with_arena(4096, |arena| {
            let mut key = Key::random(arena).unwrap();
            let before = joined(&key);
            key.keep_share_with(&shelf).unwrap();
            for _ in 0..3 {
                let (shares, kept) = (words(&key), shelf.kept());
                key.refresh();
                assert_eq!(joined(&key), before);
                let now = words(&key);
                assert!(
                    now.iter().any(|share| share.iter().all(|&word| word == 0)),
                    "one own share"
                );
                assert!(now.iter().all(|share| !shares.contains(share) || share.contains(&0)));
                assert_ne!(shelf.kept()[..KEY], kept[..KEY]);
            }
            shelf.refuses.store(true, Relaxed);
            let shares = words(&key);
            key.refresh();
            assert_eq!(words(&key), shares, "refused, so nothing has changed");
            assert!(matches!(key.with(|_| ()), Err(NoKey::Share(REFUSED))));
            shelf.refuses.store(false, Relaxed);
            assert_eq!(joined(&key), before);
            key.refresh();
            assert_eq!(joined(&key), before, "and it can be changed again");
        });
    }

    #[test]
    fn after_the_last_version_the_first_comes_again() {
        let shelf = Shelf::default();
        with_arena(4096, |arena| {
            let mut key = Key::random(arena).unwrap();
            let before = joined(&key);
            key.keep_share_with(&shelf).unwrap();
            key.refresh();
            key.sequence.store(usize::MAX, Relaxed);
            let mut kept = Wiped(shelf.kept());
            kept.set_version(usize::MAX / 2);
            shelf.store(&kept.0).unwrap();
            for sequence in [usize::MAX, 1, 3] {
                assert_eq!((joined(&key), key.sequence.load(Relaxed)), (before, sequence));
                key.refresh();
            }
        });
    }

    /// Pauses before it answers with the share.
    struct Pausing(Shelf, Barrier);

    impl ShareKeeper for Pausing {
        fn store(&self, share: &[u8; SHARE_BYTES]) -> Result<(), ShareError> {
            self.0.store(share)
        }

        fn load(&self, share: &mut [u8; SHARE_BYTES]) -> Result<(), ShareError> {
            let loaded = self.0.load(share);
            self.1.wait();
            self.1.wait();
            loaded
        }

        fn forget(&self) {
            self.0.forget();
        }
    }

    #[test]
    fn a_share_that_is_stored_when_the_key_is_destroyed_is_forgotten() {
        let pausing = Pausing(Shelf::default(), Barrier::new(2));
        with_arena(4096, |arena| {
            let mut key = Key::random(arena).unwrap();
            key.keep_share_with(&pausing).unwrap();
            thread::scope(|scope| {
                let refreshing = scope.spawn(|| key.refresh());
                pausing.1.wait();
                key.destroy();
                pausing.1.wait();
                refreshing.join().unwrap();
            });
            assert_eq!((pausing.0.stores.load(Relaxed), pausing.0.is_empty()), (2, true));
        });
    }

    #[test]
    fn what_is_wrong_with_a_kept_share_is_said() {
        let shelf = Shelf::default();
        with_arena(4096, |arena| {
            let mut key = Key::random(arena).unwrap();
            shelf.refuses.store(true, Relaxed);
            assert_eq!(key.keep_share_with(&shelf), Err(REFUSED));
            assert!(key.with(|_| ()).is_ok(), "it is where it was");
            shelf.refuses.store(false, Relaxed);
            key.keep_share_with(&shelf).unwrap();
            let kept = shelf.kept();
            for version in [1, 7, u64::MAX] {
                let mut changed = kept;
                changed[KEY..].copy_from_slice(&version.to_ne_bytes());
                shelf.store(&changed).unwrap();
                assert!(matches!(key.with(|_| ()), Err(NoKey::Share(ShareError::Changed))));
                key.refresh();
                assert_eq!(
                    shelf.kept(),
                    changed,
                    "nothing is made of a share that is not the key's"
                );
            }
            shelf.store(&kept).unwrap();
            assert!(key.with(|_| ()).is_ok());
            key.destroy();
            assert!(matches!(key.with(|_| ()), Err(NoKey::Destroyed)));
            assert!(shelf.is_empty());
            assert!(words(&key).iter().flatten().all(|&word| word == 0));
            key.refresh();
            assert!(matches!(key.with(|_| ()), Err(NoKey::Destroyed)));
        });
    }

    #[test]
    fn readers_never_see_a_torn_key_with_a_keeper() {
        for delay in [Duration::ZERO, Duration::from_micros(10)] {
            never_torn(&Shelf::slow(delay));
        }
    }

    fn never_torn(shelf: &Shelf) {
        with_arena(4096, |arena| {
            let mut key = Key::random(arena).unwrap();
            let expected = joined(&key);
            key.keep_share_with(shelf).unwrap();
            let (key, reads) = (&key, rounds(20_000, 30));
            thread::scope(|scope| {
                let readers: Vec<_> = (0..2)
                    .map(|_| scope.spawn(move || (0..reads).all(|_| joined(key) == expected)))
                    .collect();
                let refresher = || (0..rounds(4_000, 10)).for_each(|_| key.refresh());
                scope.spawn(refresher);
                refresher();
                assert!(readers.into_iter().all(|reader| reader.join().unwrap()));
            });
            assert_eq!(joined(key), expected);
            assert!(shelf.stores.load(Relaxed) > 1);
        });
    }

    #[test]
    #[cfg(target_os = "linux")]
    #[cfg_attr(miri, ignore = "it reads another thread's stack")]
    fn neither_key_nor_kept_share_is_left_on_the_stack() {
        let shelf = Shelf::default();
        with_arena(4096, |arena| {
            let mut key = Key::random(arena).unwrap();
            let pieces = |bytes: &[u8]| bytes.as_chunks::<8>().0.to_vec();
            let whole = pieces(&joined(&key));
            key.keep_share_with(&shelf).unwrap();
            let mut probe = crate::stack_probe::StackProbe::new();
            let is_in = |left: &[u8], what: &[[u8; 8]]| {
                left.windows(8).any(|eight| what.iter().any(|piece| piece == eight))
            };
            let other = pieces(&shelf.kept()[..KEY]);
            let left = probe.run(|| key.with(|_| ()).unwrap_or_default());
            assert!(!is_in(&left, &whole), "key");
            assert!(!is_in(&left, &other), "kept share");
            let left = probe.run(|| key.refresh());
            let now = pieces(&shelf.kept()[..KEY]);
            assert!(!is_in(&left, &whole) && !is_in(&left, &other) && !is_in(&left, &now));
            let planted = probe.run(|| key.with(plant).unwrap_or_default());
            assert!(is_in(&planted, &whole), "then this would prove nothing");
        });
    }
}
