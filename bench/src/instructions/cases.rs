//! The hot paths that are counted, and the same work of the floor.
//!
//! The arena's seed is fixed, so that canaries and keys are the same in each run.

use std::alloc::Layout;
use std::error::Error;
use std::hint::black_box;
use std::process::ExitCode;
use std::ptr::NonNull;

use strongroom::{Opened, ParkLock, Sealed, Vault, Windows};
use strongroom_core::{Arena, Entropy, EntropyError, Lock, Region, SpinLock};

use crate::peers::{Glibc, Raw, Store};
use crate::sealers::{InEnclave, Ring, Sealer};
use crate::workload::{Load, Workload};

/// A hot path.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// How many operations show what one takes.
    pub(super) operations: u64,
    run: fn(u64) -> Result<(), String>,
}

const fn case(name: &'static str, operations: u64, run: fn(u64) -> Result<(), String>) -> Case {
    Case { name, operations, run }
}

const ONE: Load = Load::uniform(64, 1);
const TEN: Load = Load::uniform(64, 10);
const THOUSAND: Load = Load::uniform(64, 1000);
const MANY: Load = Load::uniform(64, 100_000);
const LARGE: Load = Load::uniform(4096, 1);

pub(super) const CASES: &[Case] = &[
    case("release-allocate-64B-1-live", 2000, |n| in_arena(ONE, n)),
    case("release-allocate-64B-10-live", 2000, |n| in_arena(TEN, n)),
    case("release-allocate-64B-1000-live", 2000, |n| in_arena(THOUSAND, n)),
    case("release-allocate-64B-100000-live", 10_000, |n| in_arena(MANY, n)),
    case("release-allocate-fragmented", 10_000, |n| in_arena(Load::FRAGMENTED, n)),
    case("release-allocate-4096B-1-live", 500, |n| in_arena(LARGE, n)),
    case("seal-64B", 500, |n| in_enclave(64, n, |sealer| sealer.seal())),
    case("open-drop-64B", 500, |n| in_enclave(64, n, |sealer| sealer.open())),
    case("seal-16KiB", 20, |n| in_enclave(16 * 1024, n, |sealer| sealer.seal())),
    case("lock-spin", 2000, in_lock::<SpinLock>),
    case("lock-park", 2000, in_lock::<ParkLock>),
    case("glibc-release-allocate-64B-1-live", 2000, |n| on_heap(ONE, n)),
    case("glibc-release-allocate-64B-10-live", 2000, |n| on_heap(TEN, n)),
    case("glibc-release-allocate-64B-1000-live", 2000, |n| on_heap(THOUSAND, n)),
    case("glibc-release-allocate-fragmented", 10_000, |n| on_heap(Load::FRAGMENTED, n)),
    case("glibc-release-allocate-4096B-1-live", 500, |n| on_heap(LARGE, n)),
    case("ring-seal-64B", 500, |n| in_ring(64, n, Sealer::seal)),
    case("ring-open-64B", 500, |n| in_ring(64, n, Sealer::open)),
];

/// What a vault does with 64 bytes, without windows and with windows by keys.
pub(super) const WITH_AND_WITHOUT_KEYS: &[Pair] = &[
    pair("expose and read a byte", ["vault-expose-64B", "vault-keys-expose-64B"], |secret| {
        black_box(secret.opened.expose_secret()[0]);
    }),
    pair("allocate and drop", ["vault-allocate-64B", "vault-keys-allocate-64B"], |secret| {
        drop(secret.vault.try_allocate(black_box(64)).expect("there is room"));
    }),
    pair("open and drop", ["vault-open-64B", "vault-keys-open-64B"], |secret| {
        drop(secret.vault.try_open(black_box(&secret.sealed), b"").expect("there is room"));
    }),
    pair("seal", ["vault-seal-64B", "vault-keys-seal-64B"], |secret| {
        drop(secret.vault.seal(black_box(&[0xa5; 64]), b"").expect("it can be sealed"));
    }),
];

/// Work that is counted twice, and its name each time.
pub(super) struct Pair {
    pub(super) what: &'static str,
    pub(super) names: [&'static str; 2],
    act: fn(&Secret<'_>),
}

const fn pair(what: &'static str, names: [&'static str; 2], act: fn(&Secret<'_>)) -> Pair {
    Pair { what, names, act }
}

/// How many operations of a pair show what one takes.
pub(super) const OPERATIONS: u64 = 500;

/// Runs one case.
pub(crate) fn run(name: &str, operations: u64) -> Result<ExitCode, Box<dyn Error>> {
    if let Some(case) = CASES.iter().find(|case| case.name == name) {
        (case.run)(operations)?;
        return Ok(ExitCode::SUCCESS);
    }
    let pair = WITH_AND_WITHOUT_KEYS.iter().find(|pair| pair.names.contains(&name));
    let pair = pair.ok_or_else(|| format!("no hot path is called {name}"))?;
    let windows = if name == pair.names[0] { Windows::None } else { Windows::Keys };
    let vault = Vault::builder().windows(windows).build()?;
    let secret = Secret::new(&vault)?;
    repeat(operations, || (pair.act)(&secret));
    Ok(ExitCode::SUCCESS)
}

/// A vault, with a secret open and a record.
struct Secret<'v> {
    vault: &'v Vault,
    opened: Opened<'v>,
    sealed: Sealed,
}

impl<'v> Secret<'v> {
    fn new(vault: &'v Vault) -> Result<Self, Box<dyn Error>> {
        Ok(Self { vault, opened: vault.try_allocate(64)?, sealed: vault.seal(&[0xa5; 64], b"")? })
    }
}

/// Everything in here is counted, and nothing else.
#[inline(never)]
fn counted(work: &mut dyn FnMut(u64), operations: u64) {
    work(black_box(operations));
}

fn in_arena(load: Load, operations: u64) -> Result<(), String> {
    let room = Room::new(8 * 1024 * 1024)?;
    work(&room, load, operations)
}

fn on_heap(load: Load, operations: u64) -> Result<(), String> {
    work(&Glibc, load, operations)
}

fn work<S: Store>(store: &S, load: Load, operations: u64) -> Result<(), String> {
    let full = |live| format!("full at {live}");
    let mut workload = Workload::new(store, load, 1).map_err(full)?;
    // What happens once only has happened.
    workload.run(operations);
    counted(&mut |count| workload.run(count), operations);
    Ok(())
}

/// Taking a lock that nobody holds, and giving it up.
#[expect(clippy::unnecessary_wraps, reason = "as every case")]
fn in_lock<L: Lock>(operations: u64) -> Result<(), String> {
    let lock = L::UNLOCKED;
    repeat(operations, || {
        black_box(&lock).acquire();
        // SAFETY: it was acquired just now.
        unsafe { lock.release() };
    });
    Ok(())
}

fn in_enclave(size: usize, operations: u64, step: fn(&mut InEnclave<'_>)) -> Result<(), String> {
    let room = Room::new(256 * 1024)?;
    let mut sealer = InEnclave::new(&room.arena, size)?;
    repeat(operations, || step(&mut sealer));
    Ok(())
}

fn in_ring(size: usize, operations: u64, step: fn(&mut Ring)) -> Result<(), String> {
    let mut sealer = Ring::new(size)?;
    repeat(operations, || step(&mut sealer));
    Ok(())
}

fn repeat(operations: u64, mut step: impl FnMut()) {
    step();
    counted(&mut |count| (0..count).for_each(|_| step()), operations);
}

/// An arena in ordinary memory: what is locked costs no other instructions.
struct Room {
    arena: Arena<'static>,
}

impl Room {
    fn new(bytes: usize) -> Result<Self, String> {
        let layout = Layout::from_size_align(bytes, 4096).map_err(|error| error.to_string())?;
        // SAFETY: the layout is not of size zero.
        let start = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) });
        let start = start.ok_or("no memory")?;
        // SAFETY: the memory is valid and never freed: the process ends with the case.
        let region = unsafe { Region::from_raw(start, bytes) };
        let arena = Arena::new(region, &mut Fixed).map_err(|error| error.to_string())?;
        Ok(Self { arena })
    }
}

impl Store for Room {
    type Secret<'s> = Raw;

    #[inline(always)]
    fn allocate(&self, len: usize) -> Option<Raw> {
        let memory = self.arena.allocate(layout(len)).ok()?;
        Some(Raw { start: memory.cast(), len })
    }

    #[inline(always)]
    fn write(&self, secret: &mut Raw, bytes: &[u8]) {
        // SAFETY: the secret is live, its owner's and as long as `bytes`.
        unsafe { secret.start.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
    }

    #[inline(always)]
    fn release(&self, secret: Raw) {
        // SAFETY: it was allocated here for this layout and is given up.
        unsafe { self.arena.deallocate(secret.start, layout(secret.len)) };
    }
}

#[inline(always)]
fn layout(len: usize) -> Layout {
    // SAFETY: 1 is a power of two, and what is counted is far from `isize::MAX` bytes long.
    unsafe { Layout::from_size_align_unchecked(len, 1) }
}

/// Always the same seed.
struct Fixed;

impl Entropy for Fixed {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        bytes.fill(7);
        Ok(())
    }
}
