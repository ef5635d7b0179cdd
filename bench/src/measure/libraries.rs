//! What a program does with a secret, beside other libraries for secret memory: each through its own
//! interface and with its default settings.

use std::cell::Cell;
use std::fmt::Display;
use std::hint::black_box;

use hardware_enclave::MemoryEnclave;
use memsafe::MemSafe;
use sanitization::{SecretPool, SecretPoolSlot};
use strongroom::{Opened, Sealed, Vault, Windows};
use strongroom_core::Buffer;

use crate::harness::Harness;
use crate::peers::{self, Strongroom};
use crate::results::BesideOther;

/// Measures sealing, opening, reading and allocating.
pub(crate) fn measure(harness: Harness) -> Result<Vec<BesideOther>, String> {
    let mut race = Race { harness, found: Vec::new() };
    let vault = peers::vault(REGION)?;
    race.sealing::<32>("seal 32 B", &vault)?;
    race.sealing::<64>("seal 64 B", &vault)?;
    race.sealing::<1024>("seal 1,024 B", &vault)?;
    race.opening_one_of_many(&vault)?;
    race.opening_again(&vault)?;
    race.reading(&vault)?;
    race.allocating::<800, 0>(ALLOCATE_EMPTY)?;
    race.allocating::<800, 792>("allocate, write, drop 64 B; 99 % of 800 taken")?;
    race.allocating::<20_000, 19_800>("allocate, write, drop 64 B; 99 % of 20,000 taken")?;
    Ok(race.found)
}

struct Race {
    harness: Harness,
    found: Vec<BesideOther>,
}

impl Race {
    fn sealing<const SIZE: usize>(
        &mut self,
        what: &'static str,
        vault: &Vault,
    ) -> Result<(), String> {
        let secret = &[0xa5; SIZE];
        MemoryEnclave::seal(secret).map_err(told)?;
        self.pair(
            what,
            ENCLAVE,
            || drop(MemoryEnclave::seal(black_box(secret)).expect("it sealed before")),
            || drop(vault.seal(black_box(secret), b"").expect("it can be sealed")),
        );
        Ok(())
    }

    /// More than are kept as plaintext there, one after the other.
    fn opening_one_of_many(&mut self, vault: &Vault) -> Result<(), String> {
        let secret = &[0xa5; 32];
        let theirs = (0..MANY).map(|_| MemoryEnclave::seal(secret)).collect::<Result<Vec<_>, _>>();
        let ours = (0..MANY).map(|_| vault.seal(secret, b"")).collect::<Result<Vec<_>, _>>();
        let (theirs, ours) = (theirs.map_err(told)?, ours.map_err(told)?);
        let (their_turn, our_turn) = (Cell::new(0), Cell::new(0));
        self.pair(
            "open 32 B, one of many",
            ENCLAVE,
            || drop(next(&theirs, &their_turn).open().expect("there is a slot")),
            || drop(vault.try_open(next(&ours, &our_turn), b"").expect("there is room")),
        );
        Ok(())
    }

    /// The same one again, which is kept as plaintext there if it has 32 bytes.
    fn opening_again(&mut self, vault: &Vault) -> Result<(), String> {
        for (what, len) in [("open 32 B again", 32), ("open 64 B again", 64)] {
            let theirs = MemoryEnclave::seal(&vec![0xa5; len]).map_err(told)?;
            let ours = vault.seal(&vec![0xa5; len], b"").map_err(told)?;
            self.pair(
                what,
                ENCLAVE,
                || drop(black_box(&theirs).open().expect("there is a slot")),
                || drop(vault.try_open(black_box(&ours), b"").expect("there is room")),
            );
        }
        Ok(())
    }

    /// What is kept in a page of its own there, which is opened by `mprotect`: beside a secret that is at
    /// rest here, and beside one that is open behind windows of the same kind.
    fn reading(&mut self, vault: &Vault) -> Result<(), String> {
        let mut kept = MemSafe::new([0xa5_u8; PAGE]).map_err(told)?;
        let sealed: Sealed = vault.seal(&[0xa5; PAGE], b"").map_err(told)?;
        self.pair(
            "read 4,096 B, decrypted each time",
            MEMSAFE,
            || sum(&*kept.read().expect("it is there")),
            || sum(&vault.try_open(&sealed, b"").expect("there is room").expose_secret()),
        );
        let shut = Vault::builder()
            .budget(FEW_PAGES..=FEW_PAGES)
            .windows(Windows::Pages)
            .build()
            .map_err(told)?;
        let open: Opened<'_> =
            shut.try_open(&shut.seal(&[0xa5; PAGE], b"").map_err(told)?, b"").map_err(told)?;
        self.pair(
            "read 4,096 B, kept open behind windows of pages",
            MEMSAFE,
            || sum(&*kept.read().expect("it is there")),
            || sum(&open.expose_secret()),
        );
        Ok(())
    }

    /// One more, where so many are taken of those that fit.
    fn allocating<const SLOTS: usize, const TAKEN: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<(), String> {
        let secret = &[0xa5; SIZE];
        let pool = SecretPool::<SIZE, SLOTS>::new().map_err(told)?;
        let slot = || -> SecretPoolSlot<'_, SIZE, SLOTS> {
            pool.try_allocate_from_slice(black_box(secret))
                .expect("the pool works")
                .expect("there is a slot")
        };
        let their_taken: Vec<_> = (0..TAKEN).map(|_| slot()).collect();
        let room = Strongroom::new(SLOTS * SIZE * 5 / 4)?;
        let buffer = || {
            let mut buffer = Buffer::new(room.arena(), black_box(SIZE)).expect("there is room");
            buffer.expose_secret_mut().copy_from_slice(black_box(secret));
            buffer
        };
        let our_taken: Vec<_> = (0..TAKEN).map(|_| buffer()).collect();
        self.pair(what, POOL, || drop(slot()), || drop(buffer()));
        drop((their_taken, our_taken));
        Ok(())
    }

    fn pair(
        &mut self,
        what: &'static str,
        other: &'static str,
        mut theirs: impl FnMut(),
        mut ours: impl FnMut(),
    ) {
        let paired = self.harness.pair(
            |count| (0..count).for_each(|_| theirs()),
            |count| (0..count).for_each(|_| ours()),
        );
        self.found.push(BesideOther { what, other, ratio: paired.ratio, ns: paired.own_ns });
    }
}

fn next<'a, T>(all: &'a [T], turn: &Cell<usize>) -> &'a T {
    turn.set((turn.get() + 1) % all.len());
    black_box(&all[turn.get()])
}

fn sum(bytes: &[u8]) {
    black_box(bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)));
}

fn told(error: impl Display) -> String {
    error.to_string()
}

const ALLOCATE_EMPTY: &str = "allocate, write, drop 64 B; 800 free";

const ENCLAVE: &str = "hardware-enclave";
/// It is ahead of what decrypts, and of what opens more pages than one: no bar is set beside it.
pub(crate) const MEMSAFE: &str = "memsafe";
const POOL: &str = "sanitization's SecretPool";

const SIZE: usize = 64;
const PAGE: usize = 4096;
/// Room for that beside the key: all pages of a segment are opened at once.
const FEW_PAGES: usize = 4 * PAGE;
/// By default 126 fit the peer's page.
const MANY: usize = 1000;
const REGION: usize = 1024 * 1024;
