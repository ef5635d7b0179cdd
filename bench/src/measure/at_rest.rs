//! Many sealed secrets in ordinary memory: what each costs, and whether many are slower to open.
//!
//! Each contestant runs in a process of its own, whose heap is fresh.

use std::hint::black_box;
use std::process::{Command, Stdio};
use std::{env, fs};

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use strongroom::{RecordHandle, Records};
use strongroom_core::{Enclave, Sealed};

use crate::harness::{Clock, Spread};
use crate::peers::Strongroom;
use crate::random::Random;
use crate::results::AtRest;
use crate::sealers::CONTEXT;

/// Runs each contestant in a process of its own.
pub(crate) fn measure(count: usize, rounds: usize) -> Result<Vec<AtRest>, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let run = |peer: &str| {
        eprintln!("  {peer}");
        let mut command = Command::new(&program);
        command.args(["at-rest", peer, &count.to_string(), &rounds.to_string()]);
        let output =
            command.stderr(Stdio::inherit()).output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(format!("{peer}: {}", output.status));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
    };
    [ENCLAVE, PACKED, CRATE].into_iter().map(run).collect()
}

/// The work of such a process.
pub(crate) fn run(peer: &str, count: usize, rounds: usize) -> Result<AtRest, String> {
    match peer {
        ENCLAVE => {
            let room = Strongroom::new(REGION)?;
            let enclave = Enclave::new(room.arena()).map_err(|error| error.to_string())?;
            Ok(Chest::fill(EnclaveKeeper { enclave }, count)?.report(peer, rounds))
        }
        PACKED => {
            let room = Strongroom::new(REGION)?;
            let enclave = Enclave::new(room.arena()).map_err(|error| error.to_string())?;
            let keeper = PackedKeeper { enclave, records: Records::new() };
            Ok(Chest::fill(keeper, count)?.report(peer, rounds))
        }
        CRATE => {
            let cipher = ChaCha20Poly1305::new(&[7; 32].into());
            Ok(Chest::fill(CrateKeeper { cipher }, count)?.report(peer, rounds))
        }
        _ => Err(format!("nobody is called {peer}")),
    }
}

/// Seals into memory at rest, and opens from it.
trait Keeper {
    type Record;
    fn seal(&self, number: u64, secret: &[u8]) -> Option<Self::Record>;
    fn open(&self, record: &Self::Record) -> bool;
    /// Something that both ends of the record are read for.
    fn ends(&self, record: &Self::Record) -> u8;
}

struct EnclaveKeeper<'a> {
    enclave: Enclave<'a>,
}

impl Keeper for EnclaveKeeper<'_> {
    type Record = Sealed<Box<[u8]>>;

    fn seal(&self, _: u64, secret: &[u8]) -> Option<Self::Record> {
        let storage = vec![0; Enclave::record_len(secret.len())].into_boxed_slice();
        self.enclave.seal(secret, CONTEXT, storage).ok()
    }

    #[inline(always)]
    fn open(&self, record: &Self::Record) -> bool {
        black_box(self.enclave.open(record, CONTEXT)).is_ok()
    }

    #[inline(always)]
    fn ends(&self, record: &Self::Record) -> u8 {
        ends(record.record())
    }
}

/// Records side by side, each behind a handle.
struct PackedKeeper<'a> {
    enclave: Enclave<'a>,
    records: Records,
}

impl Keeper for PackedKeeper<'_> {
    type Record = RecordHandle;

    fn seal(&self, _: u64, secret: &[u8]) -> Option<Self::Record> {
        let mut record = [0; Enclave::record_len(SIZE)];
        self.records.insert(&self.enclave.seal(secret, CONTEXT, &mut record[..]).ok()?).ok()
    }

    #[inline(always)]
    fn open(&self, record: &Self::Record) -> bool {
        let sealed = self.records.get(record);
        sealed.is_some_and(|sealed| black_box(self.enclave.open(&sealed, CONTEXT)).is_ok())
    }

    #[inline(always)]
    fn ends(&self, record: &Self::Record) -> u8 {
        self.records.get(record).map_or(0, |sealed| ends(sealed.record()))
    }
}

/// A nonce and a boxed slice, as the crate's interface suggests.
struct CrateKeeper {
    cipher: ChaCha20Poly1305,
}

impl Keeper for CrateKeeper {
    type Record = ([u8; 12], Box<[u8]>);

    fn seal(&self, number: u64, secret: &[u8]) -> Option<Self::Record> {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&number.to_le_bytes());
        let payload = Payload { msg: secret, aad: CONTEXT };
        let record = self.cipher.encrypt(&nonce.into(), payload).ok()?;
        Some((nonce, record.into_boxed_slice()))
    }

    #[inline(always)]
    fn open(&self, (nonce, record): &Self::Record) -> bool {
        let payload = Payload { msg: record, aad: CONTEXT };
        black_box(self.cipher.decrypt(&(*nonce).into(), payload)).is_ok()
    }

    #[inline(always)]
    fn ends(&self, (_, record): &Self::Record) -> u8 {
        ends(record)
    }
}

#[inline(always)]
fn ends(record: &[u8]) -> u8 {
    record.first().unwrap_or(&0) ^ record.last().unwrap_or(&0)
}

/// Many records of one keeper.
struct Chest<K: Keeper> {
    keeper: K,
    records: Vec<K::Record>,
    resident: f64,
}

impl<K: Keeper> Chest<K> {
    fn fill(keeper: K, count: usize) -> Result<Self, String> {
        // The program's own pages come in before.
        let _ = keeper.seal(u64::MAX, &[0; SIZE]).ok_or("a secret could not be sealed")?;
        let before = resident_bytes()?;
        let mut records = Vec::with_capacity(count);
        for number in 0..count as u64 {
            let mut secret = [0xa5; SIZE];
            secret[..8].copy_from_slice(&number.to_le_bytes());
            records.push(keeper.seal(number, &secret).ok_or("a secret could not be sealed")?);
        }
        let resident = (resident_bytes()? - before) / count as f64;
        Ok(Self { keeper, records, resident })
    }

    fn report(&self, peer: &str, rounds: usize) -> AtRest {
        let mut order: Vec<u32> = (0..u32::try_from(self.records.len()).unwrap_or(0)).collect();
        let [in_order, in_order_less_cache, ns] = self.compare(&order, rounds);
        Random::new(1).shuffle(&mut order);
        let [shuffled, shuffled_less_cache, _] = self.compare(&order, rounds);
        AtRest {
            peer: peer.to_owned(),
            count: self.records.len(),
            size: SIZE,
            resident: self.resident,
            in_order,
            shuffled,
            in_order_less_cache,
            shuffled_less_cache,
            ns,
        }
    }

    /// The time for one of all against one of a thousand; the same less the time to reach the
    /// record; and nanoseconds for one of a thousand.
    fn compare(&self, order: &[u32], rounds: usize) -> [f64; 3] {
        let few = &order[..FEW.min(order.len())];
        let (mut ratios, mut less_cache, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let all = (self.time(order, order.len()), self.touch(order, order.len()));
            let some = (self.time(few, order.len()), self.touch(few, order.len()));
            ratios.push(all.0 / some.0);
            less_cache.push((all.0 - all.1) / (some.0 - some.1));
            times.push(some.0);
        }
        [ratios, less_cache, times].map(|values| Spread::of(&values).median)
    }

    /// Nanoseconds to open one, in this order, over and over until `count` were opened.
    fn time(&self, order: &[u32], count: usize) -> f64 {
        let begun = Clock::start();
        for &index in order.iter().cycle().take(count) {
            assert!(self.keeper.open(&self.records[index as usize]), "what was sealed opens");
        }
        begun.elapsed().as_secs_f64() * 1e9 / count as f64
    }

    /// Nanoseconds to read both ends of one, in the same way; each waits for the one before, as
    /// opening does.
    fn touch(&self, order: &[u32], count: usize) -> f64 {
        let begun = Clock::start();
        let (mut read, nothing) = (0, black_box(0));
        for &index in order.iter().cycle().take(count) {
            let index = index as usize + usize::from(read & nothing);
            read = self.keeper.ends(&self.records[index]);
        }
        black_box(read);
        begun.elapsed().as_secs_f64() * 1e9 / count as f64
    }
}

/// `VmRSS` (`proc_pid_status(5)`).
fn resident_bytes() -> Result<f64, String> {
    let status = fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    kib.map(|kib| kib * 1024.0).ok_or_else(|| "/proc/self/status has no VmRSS".to_owned())
}

pub(crate) const ENCLAVE: &str = "strongroom (Sealed)";
pub(crate) const PACKED: &str = "strongroom (Records)";
pub(crate) const CRATE: &str = "chacha20poly1305 (boxed)";

/// Bytes of each secret.
const SIZE: usize = 64;

/// The number that opening many is held against.
pub(crate) const FEW: usize = 1000;

const REGION: usize = 64 * 1024;
