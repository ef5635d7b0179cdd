//! What comes over the border as pointers: here C's word is taken for them, once for all.

use std::ffi::{CStr, c_char, c_void};
use std::slice;

use crate::status::Failure;

/// Bytes that C lends for a call; none if there are to be none.
///
/// # Safety
/// If it is not NULL, as many bytes may be read there for as long as the answer is used.
pub(crate) unsafe fn bytes<'c>(
    first: *const c_void,
    len: usize,
    name: &'static str,
) -> Result<&'c [u8], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    check(first.is_null(), len, name)?;
    // SAFETY: it is not NULL, so the caller promises that they may be read; they are no more than an
    // object can have.
    Ok(unsafe { slice::from_raw_parts(first.cast(), len) })
}

/// Bytes that C lends for a call to be written.
///
/// # Safety
/// If it is not NULL, as many bytes may be written there, by nobody else, for as long as the answer is
/// used.
pub(crate) unsafe fn bytes_mut<'c>(
    first: *mut c_void,
    len: usize,
    name: &'static str,
) -> Result<&'c mut [u8], Failure> {
    if len == 0 {
        return Ok(&mut []);
    }
    check(first.is_null(), len, name)?;
    // SAFETY: it is not NULL, so the caller promises that they may be written by this call alone; they
    // are no more than an object can have. What was in them is nobody's business, and any bytes are bytes.
    Ok(unsafe { slice::from_raw_parts_mut(first.cast(), len) })
}

fn check(is_null: bool, len: usize, name: &'static str) -> Result<(), Failure> {
    if is_null {
        return Err(Failure::Null(name));
    }
    if isize::try_from(len).is_err() {
        return Err(Failure::Invalid(format!("`{name}` cannot have {len} bytes: no object has")));
    }
    Ok(())
}

/// A text that C lends for a call.
///
/// # Safety
/// If it is not NULL, it ends with a zero byte, and stays as long as the answer is used.
pub(crate) unsafe fn text<'c>(
    first: *const c_char,
    name: &'static str,
) -> Result<&'c str, Failure> {
    if first.is_null() {
        return Err(Failure::Null(name));
    }
    // SAFETY: it is not NULL, so the caller promises a text with an end.
    let text = unsafe { CStr::from_ptr(first) };
    text.to_str().map_err(|_| Failure::Invalid(format!("`{name}` is not UTF-8")))
}

/// What a handle or another pointer stands for, to be looked at.
///
/// # Safety
/// If it is not NULL, it stands for a `T` that nobody changes or takes back meanwhile.
pub(crate) unsafe fn shared<'c, T>(
    pointer: *const T,
    name: &'static str,
) -> Result<&'c T, Failure> {
    // SAFETY: it is NULL, or the caller promises that it stands for one.
    unsafe { pointer.as_ref() }.ok_or(Failure::Null(name))
}

/// What a handle or another pointer stands for, to be changed.
///
/// # Safety
/// If it is not NULL, it stands for a `T` that nobody else uses meanwhile.
pub(crate) unsafe fn alone<'c, T>(
    pointer: *mut T,
    name: &'static str,
) -> Result<&'c mut T, Failure> {
    // SAFETY: it is NULL, or the caller promises that it stands for one that is this call's.
    unsafe { pointer.as_mut() }.ok_or(Failure::Null(name))
}

/// A place for an answer. What is there already need not be anything: a handle is never dropped with it.
///
/// # Safety
/// If it is not NULL, a `T` may be written there.
pub(crate) unsafe fn place<T: Copy>(
    pointer: *mut T,
    name: &'static str,
) -> Result<Place<T>, Failure> {
    if pointer.is_null() { Err(Failure::Null(name)) } else { Ok(Place(pointer)) }
}

/// Where an answer goes.
#[derive(Clone, Copy)]
pub(crate) struct Place<T>(*mut T);

impl<T> Place<T> {
    pub(crate) fn put(self, answer: T) {
        // SAFETY: whoever made the place was promised that one may be written there.
        unsafe { self.0.write(answer) };
    }
}

/// A place for a handle, which is NULL until there is one.
///
/// # Safety
/// If it is not NULL, a pointer may be written there.
pub(crate) unsafe fn handle_place<T>(
    pointer: *mut *mut T,
    name: &'static str,
) -> Result<Place<*mut T>, Failure> {
    // SAFETY: the contract is the same.
    let place = unsafe { place(pointer, name) }?;
    Place(place.0).put(std::ptr::null_mut());
    Ok(place)
}

/// Places for several handles, each of which is NULL until there is one.
///
/// # Safety
/// If it is not NULL, so many pointers may be written there.
pub(crate) unsafe fn handle_places<T>(
    first: *mut *mut T,
    count: usize,
    name: &'static str,
) -> Result<Places<T>, Failure> {
    check(first.is_null(), count.saturating_mul(size_of::<*mut T>()), name)?;
    let places = Places { first, count };
    places.all().for_each(|place| place.put(std::ptr::null_mut()));
    Ok(places)
}

/// Where several handles go.
pub(crate) struct Places<T> {
    first: *mut *mut T,
    count: usize,
}

impl<T> Places<T> {
    fn all(&self) -> impl Iterator<Item = Place<*mut T>> {
        (0..self.count).map(|number| Place(self.first.wrapping_add(number)))
    }

    /// Gives out as many handles as there are places.
    pub(crate) fn give(&self, values: impl IntoIterator<Item = T>) {
        self.all().zip(values).for_each(|(place, value)| place.give(value));
    }
}

impl<T> Place<*mut T> {
    /// Gives out a handle, which [`take_back`] takes back.
    pub(crate) fn give(self, value: T) {
        self.put(Box::into_raw(Box::new(value)));
    }
}

/// Takes back what a handle stands for, if it is not NULL, and makes it NULL.
///
/// # Safety
/// If it is not NULL, there is a handle there that was given out and nobody uses any more, or NULL.
pub(crate) unsafe fn take_back<T>(
    handle: *mut *mut T,
    name: &'static str,
) -> Result<Option<Box<T>>, Failure> {
    // SAFETY: the caller promises that there is a handle.
    let handle = unsafe { alone(handle, name) }?;
    let value = std::mem::replace(handle, std::ptr::null_mut());
    if value.is_null() {
        return Ok(None);
    }
    // SAFETY: it was given out by `give`, and as it is NULL now it is taken back once.
    Ok(Some(unsafe { Box::from_raw(value) }))
}
