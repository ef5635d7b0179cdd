//! What a vault's windows cost beside a vault without: of each kind that the machine has.

use std::hint::black_box;

use strongroom::{Opened, Sealed, Vault, Windows};

use crate::harness::Harness;
use crate::results::BesideOther;

/// Measures exposing, opening, allocating and sealing.
pub(crate) fn measure(harness: Harness) -> Result<Vec<BesideOther>, String> {
    let vault = |windows| Vault::builder().windows(windows).build();
    let plain = vault(Windows::None).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for (kind, windows) in [("keys", Windows::Keys), ("pages", Windows::Pages)] {
        // Most machines have no keys.
        let Ok(shut) = vault(windows) else { continue };
        let secret = |vault| Secret::new(vault).map_err(|error| error.to_string());
        let (plain, shut) = (secret(&plain)?, secret(&shut)?);
        for (what, act) in WORKS {
            let repeat = |secret: &Secret<'_>, count| (0..count).for_each(|_| act(secret));
            let paired = harness.pair(|count| repeat(&plain, count), |count| repeat(&shut, count));
            let (ratio, ns) = (paired.ratio, paired.own_ns);
            found.push(BesideOther { what, other: kind, ratio, ns });
        }
    }
    Ok(found)
}

/// A vault, with a secret open and a record.
struct Secret<'v> {
    vault: &'v Vault,
    opened: Opened<'v>,
    sealed: Sealed,
}

impl<'v> Secret<'v> {
    fn new(vault: &'v Vault) -> Result<Self, Box<dyn std::error::Error>> {
        let opened = vault.try_allocate(SIZE)?;
        Ok(Self { vault, opened, sealed: vault.seal(&[0xa5; SIZE], b"")? })
    }
}

type Work = (&'static str, fn(&Secret<'_>));

const WORKS: [Work; 4] = [
    ("expose, read a byte", |secret| {
        black_box(secret.opened.expose_secret()[0]);
    }),
    ("open and drop", |secret| {
        drop(secret.vault.try_open(black_box(&secret.sealed), b"").expect("there is room"));
    }),
    ("allocate and drop", |secret| {
        drop(secret.vault.try_allocate(black_box(SIZE)).expect("there is room"));
    }),
    ("seal", |secret| {
        drop(secret.vault.seal(black_box(&[0xa5; SIZE]), b"").expect("it can be sealed"));
    }),
];

/// Bytes of each secret.
pub(crate) const SIZE: usize = 64;
