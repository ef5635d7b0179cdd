//! Sealing and opening beside bare ChaCha20-Poly1305, and what the parts of it take.

use std::hint::black_box;

use strongroom_core::Buffer;

use crate::harness::{Harness, Paired};
use crate::peers::Strongroom;
use crate::results::{Part, Sealing, Skipped};
use crate::sealers::{Crate, InEnclave, InSodium, Ring, Sealer};

/// What sealing and opening showed.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) sealing: Vec<Sealing>,
    pub(crate) parts: Vec<Part>,
    pub(crate) skipped: Vec<Skipped>,
}

/// Measures every size against ring, 16 KiB against the crate too, and the parts at 64 bytes.
pub(crate) fn measure(harness: Harness) -> Result<Found, String> {
    let room = Strongroom::new(REGION)?;
    let mut found = Found::default();
    for size in SIZES {
        eprintln!("  {size} B");
        let mut enclave = InEnclave::new(room.arena(), size)?;
        found.race(harness, size, ENCLAVE, RING, &mut enclave, &mut Ring::new(size)?);
        if size >= LONG {
            found.race(harness, size, ENCLAVE, CRATE, &mut enclave, &mut Crate::new(size)?);
        }
        found.race(harness, size, CRATE, RING, &mut Crate::new(size)?, &mut Ring::new(size)?);
        match InSodium::new(size) {
            Ok(mut sodium) => {
                found.race(harness, size, SODIUM, RING, &mut sodium, &mut Ring::new(size)?);
            }
            Err(why) if size == SIZES[0] => {
                found.skipped.push(Skipped { what: format!("sealing: {SODIUM}"), why });
            }
            Err(_) => {}
        }
    }
    found.take_apart(harness, &room)?;
    Ok(found)
}

impl Found {
    fn race(
        &mut self,
        harness: Harness,
        size: usize,
        peer: &'static str,
        floor: &'static str,
        own: &mut impl Sealer,
        other: &mut impl Sealer,
    ) {
        let paired = harness.pair(|count| sealing(other, count), |count| sealing(own, count));
        self.sealing.push(Sealing { peer, floor, operation: SEAL, size, paired });
        let paired = harness.pair(|count| opening(other, count), |count| opening(own, count));
        self.sealing.push(Sealing { peer, floor, operation: OPEN, size, paired });
    }

    /// A destroyed enclave does everything but the cryptography: it takes the cell, joins the
    /// shares, finds that they are gone, and gives the cell back. The rest is the cryptography.
    fn take_apart(&mut self, harness: Harness, room: &Strongroom) -> Result<(), String> {
        let ring = || Ring::new(SHORT);
        let mut whole = InEnclave::new(room.arena(), SHORT)?;
        let mut keyless = InEnclave::new(room.arena(), SHORT)?;
        keyless.destroy();

        let (mut a, mut b) = (ring()?, ring()?);
        let seal = harness.pair(|n| sealing(&mut a, n), |n| sealing(&mut whole, n));
        let joined = harness.pair(|n| sealing(&mut b, n), |n| sealing(&mut keyless, n));
        let (mut a, mut b, mut c) = (ring()?, ring()?, ring()?);
        let open = harness.pair(|n| opening(&mut a, n), |n| opening(&mut whole, n));
        let unopened = harness.pair(|n| opening(&mut b, n), |n| opening(&mut keyless, n));
        let cell = harness.pair(|n| opening(&mut c, n), |n| cells(room, n));

        self.part(SEAL, "whole", seal, None);
        self.part(SEAL, "joining the key's shares, counter", joined, None);
        self.part(SEAL, "encryption, tag, wiping the stack", seal, Some(joined));
        self.part(OPEN, "whole", open, None);
        self.part(OPEN, "the cell: taken, released, wiped", cell, None);
        self.part(OPEN, "joining the key's shares", unopened, Some(cell));
        self.part(OPEN, "tag, decryption, wiping the stack", open, Some(unopened));
        Ok(())
    }

    fn part(
        &mut self,
        operation: &'static str,
        name: &'static str,
        of: Paired,
        less: Option<Paired>,
    ) {
        let (ratio, ns) = less.map_or((0.0, 0.0), |less| (less.ratio.median, less.own_ns));
        let (ratio, ns) = (of.ratio.median - ratio, of.own_ns - ns);
        self.parts.push(Part { operation, name, ratio, ns });
    }
}

#[inline(never)]
fn sealing(sealer: &mut impl Sealer, count: u64) {
    (0..count).for_each(|_| sealer.seal());
}

#[inline(never)]
fn opening(sealer: &mut impl Sealer, count: u64) {
    (0..count).for_each(|_| sealer.open());
}

#[inline(never)]
fn cells(room: &Strongroom, count: u64) {
    (0..count).for_each(|_| drop(black_box(Buffer::new(room.arena(), black_box(SHORT)))));
}

pub(crate) const ENCLAVE: &str = "strongroom (Enclave)";
pub(crate) const RING: &str = "ring";
pub(crate) const CRATE: &str = "chacha20poly1305";
pub(crate) const SODIUM: &str = "libsodium";

pub(crate) const SEAL: &str = "seal";
pub(crate) const OPEN: &str = "open";

/// The sizes of the curve.
pub(crate) const SIZES: [usize; 7] = [16, 64, 256, 1024, 4096, LONG, 65536];

pub(crate) const SHORT: usize = 64;
pub(crate) const LONG: usize = 16 * 1024;

const REGION: usize = 1024 * 1024;
