//! Reading private keys as they are written down: nothing here allocates or copies, but the decoded text.

use pem_rfc7468::Decoder;
use pkcs8::PrivateKeyInfoRef;

use super::{Algorithm, Found};
use crate::error::{Format, KeyError};

/// What a text says it holds, and how many bytes that takes when it is decoded.
pub(super) fn label(text: &[u8]) -> Result<(Format, usize), KeyError> {
    let decoder = decoder(text)?;
    let format = match decoder.type_label() {
        "PRIVATE KEY" => Format::Pkcs8,
        "EC PRIVATE KEY" => Format::Sec1,
        "RSA PRIVATE KEY" => Format::Pkcs1,
        "OPENSSH PRIVATE KEY" => Format::OpenSsh,
        "ENCRYPTED PRIVATE KEY" => return Err(KeyError::Encrypted { format: Format::Pkcs8 }),
        other => return Err(KeyError::OtherLabel { found: other.into() }),
    };
    Ok((format, decoder.remaining_len()))
}

/// Decodes a text into as many bytes as its label says.
pub(super) fn decode(text: &[u8], place: &mut [u8]) -> Result<(), KeyError> {
    let decoded = decoder(text)?.decode(place).map(|_| ());
    decoded.map_err(|_| KeyError::Malformed(Format::Pem))
}

fn decoder(text: &[u8]) -> Result<Decoder<'_>, KeyError> {
    Decoder::new_detect_wrap(text).map_err(|error| match error {
        // Old OpenSSL: `Proc-Type: 4,ENCRYPTED`.
        pem_rfc7468::Error::HeaderDisallowed => KeyError::Encrypted { format: Format::Pem },
        _ => KeyError::Malformed(Format::Pem),
    })
}

/// Finds the private key of an algorithm.
pub(super) fn parse<A: Algorithm>(format: Format, der: &[u8]) -> Result<Found<'_>, KeyError> {
    let malformed = KeyError::Malformed(format);
    match format {
        Format::Pkcs8 => parse_pkcs8::<A>(der),
        Format::OpenSsh => parse_openssh::<A>(der),
        own if A::FORMAT == Some(own) => A::from_inner(der).ok_or(malformed),
        Format::Sec1 => Err(other::<A>("an elliptic curve")),
        Format::Pkcs1 => Err(other::<A>("RSA")),
        Format::Pem => Err(malformed),
    }
}

/// RFC 5958.
fn parse_pkcs8<A: Algorithm>(der: &[u8]) -> Result<Found<'_>, KeyError> {
    let malformed = || KeyError::Malformed(Format::Pkcs8);
    let info = PrivateKeyInfoRef::try_from(der).map_err(|_| malformed())?;
    let (found, expected) = (info.algorithm, A::ALGORITHM);
    if found.oid != expected.oid {
        return Err(other::<A>(&found.oid.to_string()));
    }
    if found.parameters != expected.parameters {
        let curve = found.parameters_oid().map(|curve| curve.to_string());
        return Err(curve.map_or_else(|_| malformed(), |curve| other::<A>(&curve)));
    }
    let mut key = A::from_inner(info.private_key.as_bytes()).ok_or_else(malformed)?;
    if let Some(public) = info.public_key {
        key.public = Some(public.as_bytes().ok_or_else(malformed)?);
    }
    Ok(key)
}

/// `PROTOCOL.key` of OpenSSH: a list of public keys, and a list of private keys that may be encrypted.
fn parse_openssh<A: Algorithm>(bytes: &[u8]) -> Result<Found<'_>, KeyError> {
    let malformed = || KeyError::Malformed(Format::OpenSsh);
    let mut outer = bytes.strip_prefix(b"openssh-key-v1\0").ok_or_else(malformed)?;
    let cipher = string(&mut outer).ok_or_else(malformed)?;
    let (_function, _options) = string(&mut outer).zip(string(&mut outer)).ok_or_else(malformed)?;
    let count = number(&mut outer).ok_or_else(malformed)?;
    let (_public, mut inner) = string(&mut outer).zip(string(&mut outer)).ok_or_else(malformed)?;
    if cipher != b"none" {
        return Err(KeyError::Encrypted { format: Format::OpenSsh });
    }
    let checks = (number(&mut inner), number(&mut inner));
    if count != 1 || !outer.is_empty() || checks.0.is_none() || checks.0 != checks.1 {
        return Err(malformed());
    }
    let name = string(&mut inner).and_then(|name| str::from_utf8(name).ok());
    let name = name.ok_or_else(malformed)?;
    if A::OPENSSH != Some(name) {
        return Err(other::<A>(name));
    }
    A::from_openssh(|| string(&mut inner)).ok_or_else(malformed)
}

fn other<A: Algorithm>(found: &str) -> KeyError {
    KeyError::OtherAlgorithm { expected: A::NAME, found: found.into() }
}

/// Takes a `uint32` (RFC 4251, section 5).
fn number(rest: &mut &[u8]) -> Option<u32> {
    let (number, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_be_bytes(*number))
}

/// Takes a `string` (RFC 4251, section 5).
fn string<'k>(rest: &mut &'k [u8]) -> Option<&'k [u8]> {
    let len = usize::try_from(number(rest)?).ok()?;
    let (string, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(string)
}
