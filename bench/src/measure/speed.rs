//! Release, allocate and write, beside glibc.

use std::time::Duration;

use crate::harness::{Harness, Paired};
use crate::peers::{self, Glibc, Kind, Peer, Store, Visitor};
use crate::results::{Skipped, Speed};
use crate::units::thousands;
use crate::workload::{Load, Workload};

/// The times to measure each pair for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) harness: Harness,
    pub(crate) for_strongroom: Duration,
    pub(crate) for_peers: Duration,
    /// More secrets than this are not tried with a peer that gives each its own pages.
    pub(crate) most_pages: usize,
}

/// Runs every scenario with every peer.
pub(crate) fn measure(plan: Plan) -> (Vec<Speed>, Vec<Skipped>) {
    let mut race = Race { plan, found: Vec::new(), skipped: Vec::new() };
    peers::each(&mut race);
    (race.found, race.skipped)
}

/// What is done: its name, what it is, and the heading that stands for it.
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) load: Load,
    pub(crate) heading: String,
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    let uniform = |size, live: usize, heading: String| Scenario {
        name: format!("{} B, {} live", thousands(size), thousands(live)),
        load: Load::uniform(size, live),
        heading,
    };
    let by_count = LIVE.map(|live| uniform(64, live, thousands(live)));
    let others = [
        Scenario {
            name: FRAGMENTED.to_owned(),
            load: Load::FRAGMENTED,
            heading: "fragmented".to_owned(),
        },
        uniform(4096, 1, "4 KiB, 1".to_owned()),
        uniform(4096, 1000, "4 KiB, 1,000".to_owned()),
    ];
    by_count.into_iter().chain(others).collect()
}

struct Race {
    plan: Plan,
    found: Vec<Speed>,
    skipped: Vec<Skipped>,
}

impl Visitor for Race {
    fn visit<S: Store>(&mut self, peer: Peer, open: impl Fn(usize) -> Result<S, String>) {
        eprintln!("  {}", peer.name);
        if let Err(why) = open(THEIR_REGION) {
            self.skipped.push(Skipped { what: format!("speed: {}", peer.name), why });
            return;
        }
        for Scenario { name, load, heading } in scenarios() {
            match self.race(peer, load, &open) {
                Ok(paired) => {
                    let speed = Speed { peer: peer.name, scenario: name, live: load.live, paired };
                    self.found.push(speed);
                }
                Err(why) => self.skip(peer, &heading, why),
            }
        }
    }
}

impl Race {
    /// One line for all scenarios that a peer cannot do for the same reason.
    fn skip(&mut self, peer: Peer, heading: &str, why: String) {
        let what = format!("speed: {}: {heading}", peer.name);
        match self.skipped.last_mut() {
            Some(last) if last.why == why && last.what.contains(peer.name) => {
                last.what.extend(["; ", heading]);
            }
            _ => self.skipped.push(Skipped { what, why }),
        }
    }

    fn race<S: Store>(
        &self,
        peer: Peer,
        load: Load,
        open: impl Fn(usize) -> Result<S, String>,
    ) -> Result<Paired, String> {
        if peer.kind == Kind::PageEach && load.most_live() > self.plan.most_pages {
            return Err("not tried: a locked page for each".to_owned());
        }
        if peer.kind == Kind::Stack && load.live > 1 {
            return Err("gives memory out again only in the reverse order".to_owned());
        }
        let is_ours = [peers::STRONGROOM, peers::BUFFERS].contains(&peer.name);
        let store = open(if is_ours { OUR_REGION } else { THEIR_REGION })?;
        let full = |live| format!("16 MiB are full at {} live", thousands(live));
        let mut own = Workload::new(&store, load, SEED).map_err(full)?;
        let mut floor = Workload::new(&Glibc, load, SEED).map_err(full)?;
        let budget = if is_ours { self.plan.for_strongroom } else { self.plan.for_peers };
        let harness = self.plan.harness.with_budget(budget);
        let paired = harness.pair(|count| floor.run(count), |count| own.run(count));
        let refused = own.refused();
        own.end();
        match refused {
            0 => Ok(paired),
            _ => Err("refuses though secrets were released".to_owned()),
        }
    }
}

/// The counts of live secrets of the curve.
pub(crate) const LIVE: [usize; 6] = [1, 10, 100, 1_000, 10_000, 100_000];

/// The scenario with holes.
pub(crate) const FRAGMENTED: &str = "16 to 256 B, fragmented, 10,000 live";

/// What Linux lets a process lock since 5.16; 100,000 secrets of 64 bytes fill it to nine tenths.
const OUR_REGION: usize = 8 * 1024 * 1024;

/// Most peers need more for as many secrets.
const THEIR_REGION: usize = 16 * 1024 * 1024;

const SEED: u64 = 1;
