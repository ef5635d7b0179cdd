//! Firmware for a Cortex-M4: a device key that is sealed but for the moments in which it is used.
//!
//! It is checked on any machine, and runs on none but this. Paste it, with `memory.x` for your board and a `.cargo/config.toml` for the two flags:
//!
//! ```sh
//! rustup target add thumbv7em-none-eabihf
//! RUSTFLAGS="-C link-arg=-Tlink.x -L core/examples/firmware" cargo build --release \
//!     -p strongroom-core --example firmware --target thumbv7em-none-eabihf
//! ```
//!
//! Without compare-and-swap (thumbv6m) add the features `portable-atomic` and
//! `portable-atomic/unsafe-assume-single-core`.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::hint::black_box;
use core::ptr;

#[cfg(target_os = "none")]
use panic_halt as _;
use strongroom_core::{Arena, Buffer, Enclave, Entropy, EntropyError, Fault, Place, Spin};

/// Memory for secrets and for what keeps order among them. No swap device takes it: there is none.
static REGION: Place<[u8; 8 * 1024]> = Place::empty();
/// One shard is enough for one core. No interrupt handler uses the arena: where one does, bring an
/// `Owner` whose lock masks interrupts (the documentation of `Lock` has one).
static ARENA: Place<Arena<'static, Spin<1>>> = Place::empty();

// In a program for one machine: `#[entry]`.
#[cfg_attr(target_os = "none", cortex_m_rt::entry)]
fn main() -> ! {
    let arena = ARENA.make(|place| {
        let arena = Arena::new_in(place, REGION.take()?, &mut Rng::start(), Spin)?;
        arena.set_fault_handler(damaged);
        Ok::<_, strongroom_core::ArenaError>(arena)
    });
    let enclave = Enclave::new(arena.expect("an arena")).expect("room for an enclave");

    // The key is ciphertext from here on, and may lie anywhere.
    let mut record = [0; Enclave::record_len(KEY)];
    let key = Buffer::random(enclave.arena(), KEY).expect("room for a key");
    let sealed =
        enclave.seal(&key.expose_secret(), b"device key", &mut record[..]).expect("a record");
    drop(key);

    loop {
        // Open between canaries, and wiped at the end of the block.
        let key = enclave.open(&sealed, b"device key").expect("the record as it was");
        answer(&key.expose_secret());
    }
}

/// What the key is for.
fn answer(key: &[u8]) {
    black_box(key);
}

/// Somebody wrote where a secret was. It is wiped; log it, or reset.
fn damaged(fault: Fault) {
    black_box(fault);
}

/// Bytes in the device's key.
const KEY: usize = 32;

/// The random number generator of an STM32F4 (reference manual RM0090). With a HAL, it is the HAL's.
struct Rng;

impl Rng {
    fn start() -> Self {
        write(RCC_AHB2ENR, read(RCC_AHB2ENR) | CLOCKED);
        write(RNG_CR, ENABLED);
        Self
    }
}

impl Entropy for Rng {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in bytes.chunks_mut(4) {
            // Anything else is a broken clock or seed; and a generator that takes for ever is broken.
            let status = (0..1000).map(|_| read(RNG_SR)).find(|&status| status != 0);
            if status != Some(READY) {
                return Err(EntropyError);
            }
            chunk.copy_from_slice(&read(RNG_DR).to_ne_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

fn read(register: usize) -> u32 {
    // SAFETY: it is one of the registers below, which this program alone uses.
    unsafe { ptr::with_exposed_provenance::<u32>(register).read_volatile() }
}

fn write(register: usize, value: u32) {
    // SAFETY: it is one of the registers below, which this program alone uses.
    unsafe { ptr::with_exposed_provenance_mut::<u32>(register).write_volatile(value) }
}

const RCC_AHB2ENR: usize = 0x4002_3834;
const CLOCKED: u32 = 1 << 6;
const RNG_CR: usize = 0x5006_0800;
const ENABLED: u32 = 1 << 2;
const RNG_SR: usize = 0x5006_0804;
const READY: u32 = 1 << 0;
const RNG_DR: usize = 0x5006_0808;
