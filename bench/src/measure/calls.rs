//! A vault's calls beside those they are made of, and how much of an opening authenticating is.
//!
//! The enclave's arena has a vault's owner, so that the difference is what the vault adds.

use std::hint::black_box;

use strongroom::{Park, Vault};
use strongroom_core::{Buffer, Enclave};

use super::sealing::{LONG, SHORT};
use crate::harness::Harness;
use crate::peers::{self, Strongroom};
use crate::results::Call;
use crate::sealers::CONTEXT;

/// Measures a vault's calls at 64 bytes, and authenticating at several sizes.
pub(crate) fn measure(harness: Harness) -> Result<Vec<Call>, String> {
    let room = Strongroom::with_owner(REGION, Park)?;
    let enclave = Enclave::new(room.arena()).map_err(|error| error.to_string())?;
    let mut calls = Calls { harness, found: Vec::new() };
    calls.of_vault(&peers::vault(REGION)?, &enclave)?;
    for size in SIZES {
        calls.authenticating(&enclave, size)?;
    }
    Ok(calls.found)
}

struct Calls {
    harness: Harness,
    found: Vec<Call>,
}

impl Calls {
    fn of_vault(&mut self, vault: &Vault, enclave: &Enclave<'_, Park>) -> Result<(), String> {
        let secret = &[0xa5; SHORT];
        let (mut here, mut there) = ([0; RECORD], [0; RECORD]);

        let floor =
            enclave.seal(secret, CONTEXT, [0; RECORD]).map_err(|error| error.to_string())?;
        let own = vault.seal(secret, CONTEXT).map_err(|error| error.to_string())?;
        self.race(
            ["Vault::try_open + drop", OPEN],
            SHORT,
            || enclave.open(black_box(&floor), CONTEXT).expect(FITS),
            || vault.try_open(black_box(&own), CONTEXT).expect(FITS),
        );
        self.race(
            ["Vault::try_allocate + drop", "Buffer::new + drop"],
            SHORT,
            || Buffer::new(enclave.arena(), black_box(SHORT)).expect(FITS),
            || vault.try_allocate(black_box(SHORT)).expect(FITS),
        );
        let mut bare = || {
            let sealed = enclave.seal(black_box(secret), CONTEXT, &mut there[..]);
            sealed.expect(SEALS).secret_len()
        };
        self.race(["Vault::seal + drop", SEAL], SHORT, &mut bare, || {
            vault.seal(black_box(secret), CONTEXT).expect(SEALS)
        });
        self.race(["Vault::seal_into", SEAL], SHORT, &mut bare, || {
            let sealed = vault.seal_into(black_box(secret), CONTEXT, &mut here[..]);
            sealed.expect(SEALS).secret_len()
        });
        Ok(())
    }

    fn authenticating(&mut self, enclave: &Enclave<'_, Park>, size: usize) -> Result<(), String> {
        let record = vec![0; Enclave::record_len(size)];
        let sealed = enclave.seal(&vec![0xa5; size], CONTEXT, record);
        let sealed = sealed.map_err(|error| error.to_string())?;
        self.race(
            ["Enclave::authenticate", OPEN],
            size,
            || enclave.open(black_box(&sealed), CONTEXT).expect(FITS),
            || enclave.authenticate(black_box(&sealed), CONTEXT).expect("it was sealed here"),
        );
        Ok(())
    }

    fn race<F, T>(
        &mut self,
        [name, floor]: [&'static str; 2],
        size: usize,
        mut bare: impl FnMut() -> F,
        mut call: impl FnMut() -> T,
    ) {
        let paired = self.harness.pair(|n| repeat(n, &mut bare), |n| repeat(n, &mut call));
        self.found.push(Call { name, floor, size, paired });
    }
}

#[inline(never)]
fn repeat<T>(count: u64, mut call: impl FnMut() -> T) {
    (0..count).for_each(|_| drop(black_box(call())));
}

const OPEN: &str = "Enclave::open + drop";
const SEAL: &str = "Enclave::seal";

const FITS: &str = "nothing else is open";
const SEALS: &str = "the record is as long as it must be";

/// Bytes of the secrets that are authenticated.
const SIZES: [usize; 3] = [SHORT, 1024, LONG];

const RECORD: usize = Enclave::record_len(SHORT);

const REGION: usize = 1024 * 1024;
