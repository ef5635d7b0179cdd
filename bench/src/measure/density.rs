//! How many secrets fit into a region before the next is refused.

use std::fs;

use crate::harness::Spread;
use crate::peers::{self, Kind, Peer, Store, Visitor};
use crate::random::Random;
use crate::results::{Among, Density, Mixed, PageEach, Skipped};
use crate::workload::give_back;

/// What filling the regions showed.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) density: Vec<Density>,
    pub(crate) mixed: Vec<Mixed>,
    pub(crate) among: Vec<Among>,
    pub(crate) page_each: Vec<PageEach>,
    pub(crate) skipped: Vec<Skipped>,
}

/// Fills regions with every peer that works in one.
pub(crate) fn measure(seeds: u64) -> Found {
    let mut fill = Fill { seeds, found: Found::default() };
    for (one_in, size) in AMONG {
        let fit =
            Spread::of(&(0..seeds).map(|seed| most_among(one_in, size, seed)).collect::<Vec<_>>());
        fill.found.among.push(Among { peer: NOTHING_MOVES, one_in, size, fit });
    }
    peers::each(&mut fill);
    fill.found
}

struct Fill {
    seeds: u64,
    found: Found,
}

impl Visitor for Fill {
    fn visit<S: Store>(&mut self, peer: Peer, open: impl Fn(usize) -> Result<S, String>) {
        // A `Buffer` takes what `Arena::allocate` gives it.
        if peer.kind == Kind::Heap || peer.name == peers::BUFFERS {
            return;
        }
        eprintln!("  {}", peer.name);
        let filled = match peer.kind {
            Kind::PageEach => self.count_pages(peer, open),
            _ => self.fill_regions(peer, open),
        };
        if let Err(why) = filled {
            self.found.skipped.push(Skipped { what: format!("density: {}", peer.name), why });
        }
    }
}

impl Fill {
    fn fill_regions<S: Store>(
        &mut self,
        peer: Peer,
        open: impl Fn(usize) -> Result<S, String>,
    ) -> Result<(), String> {
        let fills = SIZES.map(|size| (SMALL, size)).into_iter().chain([(LARGE, 64)]);
        for (region, size) in fills {
            let live = fill(&open(region)?, size);
            self.found.density.push(Density { peer: peer.name, region, size, live });
        }
        if peer.kind == Kind::Stack {
            return Ok(());
        }
        // A large region differs little from seed to seed.
        for (region, seeds) in [(SMALL, self.seeds), (LARGE, self.seeds.div_ceil(5))] {
            let shares: Result<Vec<f64>, String> =
                (0..seeds).map(|seed| Ok(fill_mixed(&open(region)?, region, seed))).collect();
            let payload = Spread::of(&shares?);
            let worn: Result<Vec<f64>, String> = (0..self.seeds.div_ceil(5))
                .filter(|_| region == SMALL)
                .map(|seed| Ok(wear_out(&open(region)?, region, seed)))
                .collect();
            let worn = Some(worn?).filter(|shares| !shares.is_empty());
            let worn = worn.map(|shares| Spread::of(&shares));
            self.found.mixed.push(Mixed { peer: peer.name, region, payload, worn, seeds });
        }
        for (one_in, size) in AMONG {
            let fits: Result<Vec<f64>, String> = (0..self.seeds)
                .map(|seed| Ok(fill_among(&open(SMALL)?, one_in, size, seed)))
                .collect();
            self.found.among.push(Among { peer: peer.name, one_in, size, fit: Spread::of(&fits?) });
        }
        Ok(())
    }

    fn count_pages<S: Store>(
        &mut self,
        peer: Peer,
        open: impl Fn(usize) -> Result<S, String>,
    ) -> Result<(), String> {
        let store = open(0)?;
        for size in SIZES {
            let before = locked_bytes()?;
            let secrets: Vec<_> = (0..FEW).map_while(|_| store.allocate(size)).collect();
            let locked = (locked_bytes()?.saturating_sub(before)) as f64 / secrets.len() as f64;
            secrets.into_iter().for_each(|secret| store.release(secret));
            if locked == 0.0 {
                return Err("it locked nothing here, and went on in silence".to_owned());
            }
            self.found.page_each.push(PageEach { peer: peer.name, size, locked });
        }
        Ok(())
    }
}

/// Secrets of one size until the first refusal.
fn fill<S: Store>(store: &S, size: usize) -> usize {
    let secrets: Vec<_> = std::iter::from_fn(|| store.allocate(size)).collect();
    let live = secrets.len();
    give_back(store, secrets.into_iter());
    live
}

/// Two allocations and a random release by turns, until the first refusal. The payload's share of
/// the region.
fn fill_mixed<S: Store>(store: &S, region: usize, seed: u64) -> f64 {
    let mut random = Random::new(seed);
    let (mut live, mut payload) = (Vec::new(), 0);
    for step in 1_usize.. {
        if step.is_multiple_of(3) {
            let (secret, size) = live.swap_remove(random.below(live.len()));
            store.release(secret);
            payload -= size;
            continue;
        }
        let size = mixed_size(&mut random);
        let Some(secret) = store.allocate(size) else { break };
        live.push((secret, size));
        payload += size;
    }
    give_back(store, live.into_iter().map(|(secret, _)| secret));
    payload as f64 / region as f64
}

/// The same, and when one is refused a random half is released: many times. The payload's mean share
/// of the region at the refusals of the later half.
fn wear_out<S: Store>(store: &S, region: usize, seed: u64) -> f64 {
    let mut random = Random::new(seed);
    let (mut live, mut payload) = (Vec::new(), 0);
    let mut at_refusals = Vec::new();
    for step in 1..=MANY {
        if step.is_multiple_of(3) && !live.is_empty() {
            let (secret, size) = live.swap_remove(random.below(live.len()));
            store.release(secret);
            payload -= size;
            continue;
        }
        let size = mixed_size(&mut random);
        if let Some(secret) = store.allocate(size) {
            live.push((secret, size));
            payload += size;
            continue;
        }
        if step > MANY / 2 {
            at_refusals.push(payload as f64);
        }
        random.shuffle(&mut live);
        for (secret, size) in live.drain(live.len() / 2..) {
            store.release(secret);
            payload -= size;
        }
    }
    give_back(store, live.into_iter().map(|(secret, _)| secret));
    at_refusals.iter().sum::<f64>() / at_refusals.len() as f64 / region as f64
}

/// Fills a region with short secrets, releases all but a random one in `one_in`, and counts how many of
/// `size` fit.
fn fill_among<S: Store>(store: &S, one_in: usize, size: usize, seed: u64) -> f64 {
    let mut short: Vec<_> = std::iter::from_fn(|| store.allocate(SHORT)).collect();
    Random::new(seed).shuffle(&mut short);
    let stay = short.len() / one_in;
    short.drain(stay..).for_each(|secret| store.release(secret));
    let fit = fill(store, size);
    give_back(store, short.into_iter());
    fit as f64
}

/// The most that fit if every byte could be used that no secret is in that stays: one canary lies between
/// two secrets, there is no bookkeeping, and nothing moves.
fn most_among(one_in: usize, size: usize, seed: u64) -> f64 {
    let mut stays = vec![false; SMALL / (SHORT + CANARY)];
    let count = stays.len() / one_in;
    stays[..count].fill(true);
    Random::new(seed).shuffle(&mut stays);
    let gaps = stays.split(|&stays| stays).map(|gap| gap.len() * (SHORT + CANARY));
    gaps.map(|bytes| bytes / (size + CANARY)).sum::<usize>() as f64
}

/// Log-normal: most passwords and tokens are short, a few keys are long.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "8 to 4,096")]
pub(crate) fn mixed_size(random: &mut Random) -> usize {
    (48.0 * (0.9 * random.normal()).exp()).clamp(8.0, 4096.0).round() as usize
}

/// `VmLck`: what the kernel holds against the limit (`proc_pid_status(5)`).
fn locked_bytes() -> Result<usize, String> {
    let status = fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<usize>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| "/proc/self/status has no VmLck".to_owned())
}

/// The sizes of the curve; those that a bar is set for are among them.
pub(crate) const SIZES: [usize; 18] =
    [8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096];

/// The two limits that are met most: old defaults and small hosts, and Linux since 5.16.
pub(crate) const SMALL: usize = 64 * 1024;
pub(crate) const LARGE: usize = 8 * 1024 * 1024;

/// One in how many short secrets stays, and what is to fit among them.
pub(crate) const AMONG: [(usize, usize); 3] = [(10, 128), (10, 4096), (100, 1024)];
/// Bytes of a short secret.
const SHORT: usize = 64;
/// As is strongroom's.
const CANARY: usize = 8;
/// The name under which the bound goes.
const NOTHING_MOVES: &str = "the most, if nothing moves";

/// Steps until a region is as it stays.
const MANY: usize = 1_000_000;

/// As few secrets as show what one costs.
const FEW: usize = 8;
