//! What a vault is asked for: a record to open, or room to allocate; or several of these together.

use std::alloc::Layout;
use std::array;
use std::cmp::Reverse;
use std::slice;

use strongroom_core::{Enclave, Sealed};

use super::error::{Denied, OpenError};
use super::segment::VaultOwner;

/// One secret to be opened or allocated, where addresses are a multiple of `align`.
#[derive(Clone, Copy, Debug)]
pub enum Request<'r> {
    Open { record: Sealed<&'r [u8]>, context: &'r [u8], align: usize },
    Allocate { len: usize, align: usize },
}

impl<'r> Request<'r> {
    #[inline]
    pub(super) fn open<S: AsRef<[u8]>>(sealed: &'r Sealed<S>, context: &'r [u8]) -> Self {
        Self::open_aligned(sealed, context, 1)
    }

    /// What is opened as a `T`; a record that holds anything else is refused.
    pub(super) fn open_value<T, S: AsRef<[u8]>>(
        sealed: &'r Sealed<S>,
        context: &'r [u8],
    ) -> Result<Self, OpenError> {
        let (len, size) = (sealed.secret_len(), size_of::<T>());
        if len == size {
            Ok(Self::open_aligned(sealed, context, align_of::<T>()))
        } else {
            Err(strongroom_core::OpenError::OtherSize { len, size }.into())
        }
    }

    /// What is opened as several `T`; a record of another length is refused.
    pub(super) fn open_values<T, S: AsRef<[u8]>>(
        sealed: &'r Sealed<S>,
        context: &'r [u8],
    ) -> Result<Self, OpenError> {
        let (len, size) = (sealed.secret_len(), size_of::<T>());
        if len.checked_rem(size).unwrap_or(len) == 0 {
            Ok(Self::open_aligned(sealed, context, align_of::<T>()))
        } else {
            Err(strongroom_core::OpenError::OtherSize { len, size }.into())
        }
    }

    #[inline]
    fn open_aligned<S: AsRef<[u8]>>(
        sealed: &'r Sealed<S>,
        context: &'r [u8],
        align: usize,
    ) -> Self {
        Self::Open { record: Sealed::from_record(sealed.record()), context, align }
    }

    #[inline]
    pub(super) fn allocate(len: usize) -> Self {
        Self::Allocate { len, align: 1 }
    }

    /// Room for `count` values of a type.
    pub(super) fn allocate_values<T>(count: usize) -> Self {
        Self::Allocate { len: count.saturating_mul(size_of::<T>()), align: align_of::<T>() }
    }

    /// The secret's length in bytes, with what its alignment may take.
    #[inline]
    pub(super) fn len(&self) -> usize {
        let (len, align) = self.len_and_align();
        len.saturating_add(align.saturating_sub(ALWAYS))
    }

    /// `None` if no memory could ever have it.
    #[inline]
    pub(super) fn layout(&self) -> Option<Layout> {
        let (len, align) = self.len_and_align();
        Layout::from_size_align(len, align).ok()
    }

    #[inline]
    fn len_and_align(&self) -> (usize, usize) {
        match self {
            Self::Open { record, align, .. } => (record.secret_len(), *align),
            Self::Allocate { len, align } => (*len, *align),
        }
    }

    /// Whether it can be done at all, as far as is known without a look at the record: for those who wait
    /// while the key is destroyed.
    #[inline]
    pub(super) fn check(&self, enclave: &Enclave<'_, VaultOwner>) -> Result<(), OpenError> {
        match self {
            Self::Open { .. } if enclave.is_destroyed() => Err(OpenError::Destroyed),
            _ => Ok(()),
        }
    }

    /// Does it in memory of its layout, all zero.
    #[inline]
    pub(super) fn fulfil(
        &self,
        enclave: &Enclave<'_, VaultOwner>,
        memory: &mut [u8],
    ) -> Result<(), Denied> {
        match self {
            Self::Open { record, context, .. } => Ok(enclave.open_into(record, context, memory)?),
            Self::Allocate { .. } => Ok(()),
        }
    }

    /// Whether it could be done if there were room.
    pub(super) fn authenticate(&self, enclave: &Enclave<'_, VaultOwner>) -> Result<(), OpenError> {
        match self {
            Self::Open { record, context, .. } => Ok(enclave.authenticate(record, context)?),
            Self::Allocate { .. } => Ok(()),
        }
    }
}

/// What is granted together or not at all: one, as many as are known when the program is compiled, for
/// which nothing is allocated, or as many as there are.
pub trait Requests: Sync {
    /// As many of something else.
    type Each<T>;

    fn all(&self) -> &[Request<'_>];

    /// Calls `act` for each, until it fails for one. The longest come first, which find no room between the
    /// others.
    fn longest_first<T, E>(
        &self,
        act: impl FnMut(&Request<'_>) -> Result<T, E>,
    ) -> Result<Self::Each<T>, E>;

    fn map<T, U>(each: Self::Each<T>, act: impl FnMut(T) -> U) -> Self::Each<U>;
}

impl Requests for Request<'_> {
    type Each<T> = T;

    #[inline]
    fn all(&self) -> &[Request<'_>] {
        slice::from_ref(self)
    }

    #[inline]
    fn longest_first<T, E>(
        &self,
        mut act: impl FnMut(&Request<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        act(self)
    }

    #[inline]
    fn map<T, U>(each: T, mut act: impl FnMut(T) -> U) -> U {
        act(each)
    }
}

impl<const N: usize> Requests for [Request<'_>; N] {
    type Each<T> = [T; N];

    #[inline]
    fn all(&self) -> &[Request<'_>] {
        self
    }

    #[inline]
    fn longest_first<T, E>(
        &self,
        act: impl FnMut(&Request<'_>) -> Result<T, E>,
    ) -> Result<[T; N], E> {
        let mut order: [_; N] = array::from_fn(|index| index);
        let mut done = [const { None }; N];
        in_order(self, &mut order, &mut done, act)?;
        Ok(done.map(was_done))
    }

    #[inline]
    fn map<T, U>(each: [T; N], act: impl FnMut(T) -> U) -> [U; N] {
        each.map(act)
    }
}

impl Requests for [Request<'_>] {
    type Each<T> = Vec<T>;

    fn all(&self) -> &[Request<'_>] {
        self
    }

    fn longest_first<T, E>(
        &self,
        act: impl FnMut(&Request<'_>) -> Result<T, E>,
    ) -> Result<Vec<T>, E> {
        let mut order: Vec<_> = (0..self.len()).collect();
        let mut done: Vec<_> = self.iter().map(|_| None).collect();
        in_order(self, &mut order, &mut done, act)?;
        Ok(done.into_iter().map(was_done).collect())
    }

    fn map<T, U>(each: Vec<T>, act: impl FnMut(T) -> U) -> Vec<U> {
        each.into_iter().map(act).collect()
    }
}

#[inline]
fn in_order<T, E>(
    requests: &[Request<'_>],
    order: &mut [usize],
    done: &mut [Option<T>],
    mut act: impl FnMut(&Request<'_>) -> Result<T, E>,
) -> Result<(), E> {
    order.sort_unstable_by_key(|&index| Reverse(requests[index].len()));
    for &index in &*order {
        done[index] = Some(act(&requests[index])?);
    }
    Ok(())
}

#[inline]
fn was_done<T>(done: Option<T>) -> T {
    done.unwrap_or_else(|| unreachable!("none has failed"))
}

/// The alignment that every secret has in any case.
const ALWAYS: usize = 8;
