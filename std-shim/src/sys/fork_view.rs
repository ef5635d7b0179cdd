//! What a forked child finds of memory that was hidden from it.

/// What a forked child finds at the address of some pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForkView {
    /// Zeros, in pages of the child's own.
    Zeroed,
    /// Nothing: the pages are not mapped in the child.
    Absent,
    /// A copy of the contents. From [`LockedPages::prefer_locked`](crate::LockedPages::prefer_locked) only.
    Copied,
}
