//! What PKCS#8 has for a private key of Ed25519 and X25519 (RFC 8410, section 7): the 32 bytes, as an
//! `OCTET STRING` inside another.

use super::{Found, INNER};

pub(crate) fn from_inner(inner: &[u8]) -> Option<Found<'_>> {
    Some(Found { private: inner.strip_prefix(&HEADER)?, public: None })
}

pub(crate) fn to_inner<'k>(private: &[u8], place: &'k mut [u8; INNER]) -> Option<&'k [u8]> {
    let place = place.get_mut(..HEADER.len() + private.len())?;
    let (header, rest) = place.split_at_mut(HEADER.len());
    header.copy_from_slice(&HEADER);
    rest.copy_from_slice(private);
    Some(place)
}

/// An `OCTET STRING`, and its length.
const HEADER: [u8; 2] = [0x04, 32];
