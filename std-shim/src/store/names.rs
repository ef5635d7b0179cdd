//! The map of a store: names to entries.
//!
//! ```text
//! shard    one of several, by a hash's upper byte: a lock for those who change it, and its table
//! table    [hash, slot | name and entry] [hash, slot | name and entry] ...
//!          by the hash's lower bits: there, or behind
//! ```
//! Who looks takes no lock. The lock is held for numbers and pointers alone: a hash is kept, so that a
//! table grows without a look at its names, and the caller's code (giving a name's bytes, and dropping it)
//! runs outside. What is taken out goes once nobody looks who may have seen it ([`seize`]).
//!
//! Beside the hash stands the slot of the name's record, so that the record can be fetched while name and entry
//! still are: among a million names neither is in the cache.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use seize::{Collector, Guard, LocalGuard, reclaim};

use super::entry::{Entry, Word};
use super::name::Name;
use crate::records;

pub(super) struct Names<N, S = RandomState> {
    shards: [Shard<N>; SHARDS],
    hasher: S,
    collector: Collector,
    /// A name is put in by one thread, looked at by others, and dropped by another.
    for_threads: PhantomData<(Mutex<Box<N>>, Box<N>)>,
}

/// The names, to one who looks: what it shows stays as long as this does.
pub(super) struct Looking<'n, N, S = RandomState> {
    names: &'n Names<N, S>,
    guard: LocalGuard<'n>,
}

/// Why a name is not put in.
#[derive(Debug)]
pub(super) enum NotInserted {
    /// It stands for this.
    Present(Word),
    /// There is no memory for a larger table.
    NoMemory,
}

#[repr(align(64))]
struct Shard<N> {
    /// Null until something is put in.
    table: AtomicPtr<Table<N>>,
    /// Whoever has it, and nobody else, changes the table.
    counts: Mutex<Counts>,
}

/// Of one table.
#[derive(Default)]
struct Counts {
    names: usize,
    /// Slots that are not empty: a name that was taken out leaves its hash behind.
    used: usize,
}

/// A power of two of slots, some of them empty.
struct Table<N> {
    slots: Box<[Slot<N>]>,
}

/// A [`Mark`]'s bits; and whose it is, null if that was taken out.
type Slot<N> = (AtomicU64, AtomicPtr<Named<N>>);

/// What is known of a name before it is looked at.
#[derive(Clone, Copy)]
struct Mark {
    /// The lower half of its hash; 0 where there was no name yet.
    hash: u32,
    /// Where its record lies, or did before.
    record: records::Slot,
}

struct Named<N> {
    name: N,
    entry: Entry,
}

impl<N, S: BuildHasher + Default> Names<N, S> {
    /// With room for so many, if there is memory for that.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        // Some shards have more than others.
        let each = capacity / SHARDS;
        let each = if capacity == 0 { 0 } else { each.saturating_add(each / 16 + 16) };
        Self {
            shards: std::array::from_fn(|_| Shard::with_capacity(each)),
            hasher: S::default(),
            collector: Collector::new(),
            for_threads: PhantomData,
        }
    }

    #[inline]
    pub(super) fn look(&self) -> Looking<'_, N, S> {
        Looking { names: self, guard: self.collector.enter() }
    }

    /// The shard of a name, and the half of its hash that is kept there: never 0.
    #[inline]
    fn shard(&self, name: &[u8]) -> (&Shard<N>, u32) {
        let mut hasher = self.hasher.build_hasher();
        // Without their length, which `Hash` would have hashed first: nothing comes after them.
        hasher.write(name);
        let hash = hasher.finish();
        let [upper, ..] = hash.to_be_bytes();
        #[expect(clippy::cast_possible_truncation, reason = "its lower half is wanted")]
        let lower = hash as u32;
        (&self.shards[usize::from(upper) % SHARDS], lower.max(1))
    }
}

impl<N: Name, S: BuildHasher + Default> Looking<'_, N, S> {
    #[inline]
    pub(super) fn get(&self, name: &[u8]) -> Option<&Entry> {
        self.get_and_fetch(name, |_| ())
    }

    /// The same; `fetch` is told where the record may lie before the name is looked at.
    #[inline]
    pub(super) fn get_and_fetch(
        &self,
        name: &[u8],
        fetch: impl Fn(records::Slot),
    ) -> Option<&Entry> {
        let (shard, hash) = self.names.shard(name);
        let mut found =
            shard.table(&self.guard)?.with_hash(hash).filter_map(|(mark, (_, whose))| {
                fetch(mark.record);
                self.named(whose)
            });
        found.find(|named| named.name.name_bytes() == name).map(|named| &named.entry)
    }

    /// Notes where the record of a name lies now.
    pub(super) fn note_record(&self, name: &[u8], birth: u64, record: records::Slot) {
        let (shard, hash) = self.names.shard(name);
        let _counts = shard.lock();
        let table = shard.table(&self.guard);
        if let Some((own, _)) = table.and_then(|table| self.slot_of(table, hash, birth)) {
            own.store(Mark { hash, record }.bits(), Ordering::Release);
        }
    }

    /// Puts a name in, unless it stands for something.
    pub(super) fn insert(&self, name: N, birth: u64, word: Word) -> Result<(), NotInserted> {
        let (shard, hash) = self.names.shard(name.name_bytes());
        let mark = Mark { hash, record: word.slot() };
        let new = Box::new(Named { name, entry: Entry::new(birth, word) });
        // Of this hash and not this name; and of this name, but standing for nothing any more.
        let (mut others, mut dead) = (Vec::new(), None::<&Named<N>>);
        loop {
            let mut counts = shard.lock();
            let unknown = shard.table(&self.guard).and_then(|table| {
                let is_known = |named: &Named<N>| {
                    dead.into_iter()
                        .chain(others.iter().copied())
                        .any(|known| ptr::eq(known, named))
                };
                let mut found =
                    table.with_hash(hash).filter_map(|(_, (_, whose))| self.named(whose));
                found.find(|named| !is_known(named))
            });
            if let Some(unknown) = unknown {
                drop(counts);
                if unknown.name.name_bytes() != new.name.name_bytes() {
                    others.push(unknown);
                } else if let Some(word) = unknown.entry.word() {
                    return Err(NotInserted::Present(word));
                } else {
                    // Whoever removes it finds that it is gone.
                    dead = Some(unknown);
                }
                continue;
            }
            let old_table = shard.make_room(&mut counts, &self.guard)?;
            let Some(table) = shard.table(&self.guard) else { return Err(NotInserted::NoMemory) };
            let replaced = table.put(mark, Box::into_raw(new), dead, &mut counts);
            drop(counts);
            self.retire(old_table);
            self.retire(replaced);
            return Ok(());
        }
    }

    /// Removes a name whose entry has this number.
    pub(super) fn remove(&self, name: &[u8], birth: u64) {
        let (shard, hash) = self.names.shard(name);
        let mut counts = shard.lock();
        let Some(table) = shard.table(&self.guard) else { return };
        // Another may have taken its place already.
        let Some((_, whose)) = self.slot_of(table, hash, birth) else { return };
        let removed = whose.swap(ptr::null_mut(), Ordering::Relaxed);
        counts.names -= 1;
        drop(counts);
        self.retire(removed);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&N, &Entry)> {
        let tables = self.names.shards.iter().filter_map(|shard| shard.table(&self.guard));
        let all = tables.flat_map(|table| &table.slots);
        all.filter_map(|(_, whose)| self.named(whose)).map(|named| (&named.name, &named.entry))
    }

    /// The slot of the entry with this number.
    fn slot_of<'t>(&self, table: &'t Table<N>, hash: u32, birth: u64) -> Option<&'t Slot<N>> {
        table
            .with_hash(hash)
            .map(|(_, slot)| slot)
            .find(|(_, whose)| self.named(whose).is_some_and(|named| named.entry.birth == birth))
    }

    /// Whose a hash is, if it still is anybody's.
    #[inline]
    fn named(&self, whose: &AtomicPtr<Named<N>>) -> Option<&Named<N>> {
        let named = self.guard.protect(whose, Ordering::Acquire);
        // SAFETY: it is null, or came from a box and was complete when it was put into a table, and is
        // shared from then on. It is retired only after it was taken out, which frees it when this guard
        // and all others of that moment are gone.
        unsafe { named.as_ref() }
    }

    /// Drops what was taken out, once nobody looks who may have seen it.
    fn retire<T>(&self, taken_out: *mut T) {
        if !taken_out.is_null() {
            // SAFETY: it came from a box, was taken out of where others find it by the one who asks, under
            // the shard's lock, so just once; and is not used any more.
            unsafe { self.guard.defer_retire(taken_out, reclaim::boxed) };
        }
    }
}

impl<N> Shard<N> {
    fn with_capacity(capacity: usize) -> Self {
        let slots = capacity.saturating_mul(4).div_ceil(3);
        let table = if capacity == 0 { None } else { Table::with_slots(slots) };
        let table = table.map_or(ptr::null_mut(), |table| Box::into_raw(Box::new(table)));
        Self { table: AtomicPtr::new(table), counts: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn table<'g>(&self, guard: &'g LocalGuard<'_>) -> Option<&'g Table<N>> {
        // SAFETY: it is null, or came from a box and was complete when it was stored; it is shared from
        // then on, and is retired only after another took its place, which frees it when this guard and
        // all others of that moment are gone.
        unsafe { guard.protect(&self.table, Ordering::Acquire).as_ref() }
    }

    /// Sees to an empty slot, and to another after that. The table that another took the place of, if so.
    fn make_room(
        &self,
        counts: &mut Counts,
        guard: &LocalGuard<'_>,
    ) -> Result<*mut Table<N>, NotInserted> {
        let old = self.table(guard);
        let slots = old.map_or(0, |table| table.slots.len());
        if counts.used + 1 < slots - slots / 4 {
            return Ok(ptr::null_mut());
        }
        let wanted = (counts.names + 1).saturating_mul(2).max(FEWEST);
        let table = Table::with_slots(wanted).ok_or(NotInserted::NoMemory)?;
        *counts = Counts::default();
        for (own, whose) in old.iter().flat_map(|table| &table.slots) {
            let named = whose.load(Ordering::Relaxed);
            if !named.is_null() {
                table.put(Mark::of(own.load(Ordering::Relaxed)), named, None, counts);
            }
        }
        Ok(self.table.swap(Box::into_raw(Box::new(table)), Ordering::AcqRel))
    }
}

impl<N> Table<N> {
    /// `None` if there is no memory for it.
    fn with_slots(slots: usize) -> Option<Self> {
        let slots = slots.checked_next_power_of_two()?;
        Some(Self { slots: bytemuck::try_zeroed_slice_box(slots).ok()? })
    }

    /// All slots, from where a hash belongs.
    #[inline]
    fn from(&self, hash: u32) -> impl Iterator<Item = &Slot<N>> {
        let mask = self.slots.len() - 1;
        let first = hash as usize;
        (0..=mask).map(move |step| &self.slots[first.wrapping_add(step) & mask])
    }

    /// The slots of a hash, and what they say.
    #[inline]
    fn with_hash(&self, hash: u32) -> impl Iterator<Item = (Mark, &Slot<N>)> {
        let marked = self.from(hash).map(|slot| (Mark::of(slot.0.load(Ordering::Acquire)), slot));
        let used = marked.take_while(|(mark, _)| mark.hash != EMPTY);
        used.filter(move |(mark, _)| mark.hash == hash)
    }

    /// Puts in a name that is in no slot yet: where `dead` is, if it still is, or where nobody is.
    /// What it took the place of.
    fn put(
        &self,
        mark: Mark,
        new: *mut Named<N>,
        dead: Option<&Named<N>>,
        counts: &mut Counts,
    ) -> *mut Named<N> {
        let is_dead = |(_, (_, whose)): &(Mark, &Slot<N>)| {
            let named = whose.load(Ordering::Relaxed).cast_const();
            dead.is_some_and(|dead| ptr::eq(named, dead))
        };
        if dead.is_some()
            && let Some((_, (own, whose))) = self.with_hash(mark.hash).find(is_dead)
        {
            own.store(mark.bits(), Ordering::Release);
            return whose.swap(new, Ordering::AcqRel);
        }
        let vacant = |(_, whose): &&Slot<N>| whose.load(Ordering::Relaxed).is_null();
        if let Some((own, whose)) = self.from(mark.hash).find(vacant) {
            counts.names += 1;
            let was = Mark::of(own.load(Ordering::Relaxed));
            counts.used += usize::from(was.hash == EMPTY);
            // Whoever sees the hash sees whose it is.
            whose.store(new, Ordering::Release);
            own.store(mark.bits(), Ordering::Release);
        }
        ptr::null_mut()
    }
}

impl Mark {
    #[inline]
    fn of(bits: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "it is the lower half")]
        let record = records::Slot(bits as u32);
        Self { hash: (bits >> 32) as u32, record }
    }

    fn bits(self) -> u64 {
        u64::from(self.hash) << 32 | u64::from(self.record.0)
    }
}

impl<N, S> Drop for Names<N, S> {
    fn drop(&mut self) {
        for shard in &mut self.shards {
            let table = *shard.table.get_mut();
            if table.is_null() {
                continue;
            }
            // SAFETY: it came from a box, and nobody else is left who may look at it.
            let mut table = unsafe { Box::from_raw(table) };
            for (_, whose) in &mut table.slots {
                let named = *whose.get_mut();
                if !named.is_null() {
                    // SAFETY: as above; and what is in a table was not retired, and is there once.
                    drop(unsafe { Box::from_raw(named) });
                }
            }
        }
    }
}

const EMPTY: u32 = 0;

/// Slots.
const FEWEST: usize = 8;

const SHARDS: usize = 16;

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::HashMap;
    use std::hash::{BuildHasherDefault, Hasher};
    use std::sync::Arc;
    use std::thread::scope;

    use super::*;

    /// Tells four names apart, so that all others share a hash with some.
    type FewHashes = BuildHasherDefault<FewHash>;

    #[derive(Default)]
    struct FewHash(u64);

    impl Hasher for FewHash {
        fn finish(&self) -> u64 {
            self.0 % 4
        }

        fn write(&mut self, bytes: &[u8]) {
            self.0 += bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        }
    }

    type Number = [u8; 4];

    fn word(number: u32) -> Word {
        Word::new(records::Slot(number), 1)
    }

    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state >> 20
    }

    /// What `end` of a store does.
    fn end<S: BuildHasher + Default>(
        looking: &Looking<'_, Number, S>,
        name: Number,
    ) -> Option<Word> {
        let entry = looking.get(&name)?;
        let word = entry.word()?;
        entry.replace(word, None).then(|| looking.remove(&name, entry.birth))?;
        Some(word)
    }

    fn like_a_map<S: BuildHasher + Default>(names: u64, steps: usize) {
        let (own, mut model) = (Names::<Number, S>::with_capacity(0), HashMap::new());
        let mut state = 0x9E37_79B9_7F4A_7C15;
        for step in 0..u32::try_from(steps).unwrap() {
            let looking = own.look();
            let name = u32::try_from(random(&mut state) % names).unwrap().to_le_bytes();
            match random(&mut state) % 4 {
                0 => assert_eq!(end(&looking, name), model.remove(&name)),
                1 => {
                    let entry = looking.get(&name).and_then(Entry::word);
                    assert_eq!(entry, model.get(&name).copied());
                }
                2 => {
                    // Its entry is dead and is there still: another takes its place.
                    if let Some(word) = model.remove(&name) {
                        assert!(looking.get(&name).unwrap().replace(word, None));
                    }
                }
                _ => match looking.insert(name, Entry::birth(), word(step)) {
                    Ok(()) => assert_eq!(model.insert(name, word(step)), None),
                    Err(NotInserted::Present(word)) => assert_eq!(model.get(&name), Some(&word)),
                    Err(NotInserted::NoMemory) => panic!("there is memory"),
                },
            }
        }
        let looking = own.look();
        let live = looking.iter().filter_map(|(&name, entry)| Some((name, entry.word()?)));
        let live: Vec<_> = live.collect();
        assert_eq!(live.len(), model.len());
        assert_eq!(live.into_iter().collect::<HashMap<_, _>>(), model);
    }

    #[test]
    fn names_are_as_in_a_map() {
        let steps = if cfg!(miri) { 300 } else { 100_000 };
        like_a_map::<RandomState>(10, steps);
        like_a_map::<RandomState>(3000, steps);
    }

    #[test]
    fn names_that_share_a_hash_are_told_apart() {
        let steps = if cfg!(miri) { 200 } else { 20_000 };
        like_a_map::<FewHashes>(6, steps);
        like_a_map::<FewHashes>(60, steps);
    }

    #[test]
    fn what_is_fetched_is_where_the_record_lies() {
        let names = Names::<Number>::with_capacity(0);
        let looking = names.look();
        let fetched = |number: u32| {
            let told = RefCell::new(Vec::new());
            looking.get_and_fetch(&number.to_le_bytes(), |slot| told.borrow_mut().push(slot));
            told.into_inner()
        };
        for number in 0..100 {
            let name = u32::to_le_bytes(number);
            looking.insert(name, Entry::birth(), word(number)).unwrap();
            assert_eq!(fetched(number), [records::Slot(number)]);
            let entry = looking.get(&name).unwrap();
            looking.note_record(&name, entry.birth, records::Slot(1000 + number));
            // Of another entry, which is there no more.
            looking.note_record(&name, Entry::birth(), records::Slot(7));
        }
        // The tables have grown since.
        for number in 0..100 {
            let name = u32::to_le_bytes(number);
            assert_eq!(fetched(number), [records::Slot(1000 + number)]);
            assert!(looking.get(&name).unwrap().replace(word(number), None));
            looking.insert(name, Entry::birth(), word(2000 + number)).unwrap();
            assert_eq!(
                fetched(number),
                [records::Slot(2000 + number)],
                "in the place of what was dead"
            );
        }
        assert_eq!(fetched(100), []);
    }

    #[test]
    fn tables_do_not_grow_with_what_was_removed() {
        let names = Names::<Number>::with_capacity(0);
        let slots = || {
            let tables = names.shards.iter().filter_map(|shard| {
                shard.table(&names.look().guard).map(|table| table.slots.len())
            });
            tables.sum::<usize>()
        };
        for number in 0..if cfg!(miri) { 300 } else { 100_000 } {
            let looking = names.look();
            let name = u32::to_le_bytes(number);
            looking.insert(name, Entry::birth(), word(1)).unwrap();
            assert_eq!(end(&looking, name), Some(word(1)));
        }
        assert!(slots() <= SHARDS * FEWEST, "{} slots", slots());
    }

    #[test]
    fn a_capacity_that_there_is_no_memory_for_is_left_out() {
        for capacity in [1, 1000, usize::MAX / 2, usize::MAX] {
            let names = Names::<Number>::with_capacity(capacity);
            names.look().insert([1; 4], Entry::birth(), word(1)).unwrap();
            assert!(names.look().get(&[1; 4]).is_some());
        }
    }

    /// A name that is counted as long as it is there.
    #[derive(Clone)]
    struct Counted(Number, #[expect(dead_code, reason = "is counted")] Arc<()>);

    impl Name for Counted {
        fn name_bytes(&self) -> &[u8] {
            &self.0
        }
    }

    /// All put in, look up and remove the same few names: of those who put one in, one does, and a name
    /// is dropped once.
    fn by_threads<S: BuildHasher + Default + Sync>(steps: usize) {
        let there = Arc::new(());
        let names = Names::<Counted, S>::with_capacity(0);
        let live = AtomicU64::new(0);
        scope(|scope| {
            for thread in 1..=4_u64 {
                let (names, live, there) = (&names, &live, &there);
                scope.spawn(move || {
                    let mut state = thread.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                    for step in 0..steps {
                        // Some grow the table, some are contended for.
                        let number = if random(&mut state).is_multiple_of(8) {
                            u32::try_from(step).unwrap() * 8 + u32::try_from(thread).unwrap()
                        } else {
                            u32::try_from(random(&mut state) % 6).unwrap()
                        };
                        let (looking, name) =
                            (names.look(), Counted(number.to_le_bytes(), there.clone()));
                        if random(&mut state).is_multiple_of(2) {
                            let own = word(number);
                            match looking.insert(name, Entry::birth(), own) {
                                Ok(()) => drop(live.fetch_add(1, Ordering::Relaxed)),
                                Err(NotInserted::Present(present)) => assert_eq!(present, own),
                                Err(NotInserted::NoMemory) => panic!("there is memory"),
                            }
                        } else if let Some(entry) = looking.get(&name.0)
                            && let Some(present) = entry.word()
                        {
                            assert_eq!(present, word(number), "another's");
                            if entry.replace(present, None) {
                                looking.remove(&name.0, entry.birth);
                                live.fetch_sub(1, Ordering::Relaxed);
                            }
                        }
                    }
                });
            }
        });
        let looking = names.look();
        assert_eq!(looking.iter().count() as u64, live.load(Ordering::Relaxed));
        drop(looking);
        drop(names);
        assert_eq!(Arc::strong_count(&there), 1);
    }

    #[test]
    fn threads_agree_on_what_is_there_and_drop_it_once() {
        by_threads::<RandomState>(if cfg!(miri) { 60 } else { 100_000 });
        by_threads::<FewHashes>(if cfg!(miri) { 40 } else { 2000 });
    }
}
