//! The map of a store: names, each with its hash, to entries.
//!
//! The hash is kept, so that the map grows and passes over other names without asking the caller's types.

use std::borrow::Borrow;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};

use papaya::{Compute, Equivalent, HashMap, HashMapRef, LocalGuard, Operation, ResizeMode};

use super::entry::{Entry, Word};

pub(super) struct Names<N> {
    map: HashMap<Hashed<N>, Entry, Kept>,
    hasher: RandomState,
}

/// The same, while one looks: what it shows stays as long as this does.
pub(super) struct Looking<'n, N> {
    map: HashMapRef<'n, Hashed<N>, Entry, Kept, LocalGuard<'n>>,
    hasher: &'n RandomState,
}

struct Hashed<N> {
    hash: u64,
    name: N,
}

/// What a name is looked for by.
struct Wanted<'q, Q: ?Sized> {
    hash: u64,
    name: &'q Q,
}

impl<N> Names<N> {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        // Otherwise, as of papaya 0.2.5, `compute` takes some ten times as long.
        let map = HashMap::builder().resize_mode(ResizeMode::Blocking).capacity(capacity);
        Self { map: map.hasher(Kept::default()).build(), hasher: RandomState::new() }
    }

    #[inline]
    pub(super) fn look(&self) -> Looking<'_, N> {
        Looking { map: self.map.pin(), hasher: &self.hasher }
    }
}

impl<N: Hash + Eq> Looking<'_, N> {
    #[inline]
    pub(super) fn get<Q>(&self, name: &Q) -> Option<&Entry>
    where
        N: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.get(&self.wanted(name))
    }

    /// Puts in a name that stands for nothing; what it stands for, if it does for something.
    pub(super) fn insert(&self, name: N, birth: u64, word: Word) -> Result<(), Word> {
        let hashed = Hashed { hash: self.hasher.hash_one(&name), name };
        let inserted = self.map.compute(hashed, |present| {
            match present.and_then(|(_, entry)| entry.word()) {
                Some(word) => Operation::Abort(word),
                // What there was is dead: whoever removes it finds that it is gone.
                None => Operation::Insert(Entry::new(birth, word)),
            }
        });
        if let Compute::Aborted(word) = inserted { Err(word) } else { Ok(()) }
    }

    /// Removes a name whose entry this is.
    pub(super) fn remove<Q>(&self, name: &Q, birth: u64)
    where
        N: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        // Another may have taken its place already.
        let _ = self.map.remove_if(&self.wanted(name), |_, entry| entry.birth == birth);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&N, &Entry)> {
        self.map.iter().map(|(hashed, entry)| (&hashed.name, entry))
    }

    #[inline]
    fn wanted<'q, Q: Hash + ?Sized>(&self, name: &'q Q) -> Wanted<'q, Q> {
        Wanted { hash: self.hasher.hash_one(name), name }
    }
}

impl<N: Eq> PartialEq for Hashed<N> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.name == other.name
    }
}

impl<N: Eq> Eq for Hashed<N> {}

impl<N> Hash for Hashed<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<Q: ?Sized> Hash for Wanted<'_, Q> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<N: Borrow<Q>, Q: Eq + ?Sized> Equivalent<Hashed<N>> for Wanted<'_, Q> {
    #[inline]
    fn equivalent(&self, hashed: &Hashed<N>) -> bool {
        self.hash == hashed.hash && self.name == hashed.name.borrow()
    }
}

/// Gives the hash that was kept.
type Kept = BuildHasherDefault<KeptHash>;

#[derive(Default)]
struct KeptHash(u64);

impl Hasher for KeptHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a hash is one number")
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
