//! A table that grows while threads use it: what is in it stays where it is until all of it goes.

use std::array;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Elements are made, empty, a bucket at a time; each bucket has twice as many as the one before.
pub(crate) struct Table<T> {
    buckets: [OnceLock<Box<[T]>>; BUCKETS],
    len: AtomicU32,
}

impl<T: Default> Table<T> {
    pub(crate) fn new() -> Self {
        Self { buckets: array::from_fn(|_| OnceLock::new()), len: AtomicU32::new(0) }
    }

    /// The number of a new element; `None` if there are `most` already.
    pub(crate) fn add(&self, most: u32) -> Option<u32> {
        let more = |len| (len < most).then_some(len + 1);
        let number = self.len.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        let (bucket, _) = place(number);
        self.buckets[bucket].get_or_init(|| (0..1_u64 << bucket).map(|_| T::default()).collect());
        Some(number)
    }

    /// `None` if there is no such element yet.
    #[inline]
    pub(crate) fn at(&self, number: u32) -> Option<&T> {
        let (bucket, offset) = place(number);
        self.buckets.get(bucket)?.get()?.get(offset)
    }

    /// All that were added, with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..self.len.load(Ordering::Relaxed)).filter_map(|number| Some((number, self.at(number)?)))
    }
}

/// The bucket of an element, and where it is in that.
#[inline]
fn place(number: u32) -> (usize, usize) {
    let shifted = u64::from(number) + 1;
    let bucket = shifted.ilog2();
    #[expect(clippy::cast_possible_truncation, reason = "it is below `number`")]
    let offset = (shifted - (1 << bucket)) as usize;
    (bucket as usize, offset)
}

const BUCKETS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_element_has_a_place_of_its_own() {
        let table = Table::<u32>::new();
        assert!(table.at(0).is_none());
        for expected in 0..5000 {
            assert_eq!(table.add(u32::MAX), Some(expected));
        }
        let mut places: Vec<_> = table.iter().map(|(_, place)| std::ptr::from_ref(place)).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 5000);
        assert_eq!(table.add(5000), None);
        assert!(table.at(u32::MAX).is_none());
    }
}
