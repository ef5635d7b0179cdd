//! Operations on an arena, and the shadow model that knows what each of them must do.
//!
//! After every operation the model checks everything it can know: see [`Model::apply`].

mod damage;
mod model;
mod survey;

use crate::raw::Ground;
use crate::script::Script;

pub use self::model::Model;
pub use self::survey::{Place, State, Survey};

/// What can happen to an arena, by right or by fault.
///
/// An `nth` counts the candidates from the first again when there are fewer; an operation without
/// a candidate does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Allocate, and find the memory zero, aligned and nobody else's.
    Allocate {
        /// Bytes.
        size: usize,
        /// A power of two.
        align: usize,
    },
    /// Release the nth live secret.
    Release {
        /// Which.
        nth: usize,
    },
    /// Fill the nth live secret with other bytes.
    Write {
        /// Which.
        nth: usize,
        /// Where the bytes come from.
        seed: u64,
    },
    /// Release all that is live, in one of three orders, and find everything returned.
    ReleaseAll {
        /// First to last, last to first, or shuffled.
        order: u8,
    },
    /// Allocate until the arena is full, and release all of that again.
    Exhaust {
        /// Bytes.
        size: usize,
        /// A power of two.
        align: usize,
    },
    /// Write one byte behind the end of the nth live secret.
    Overflow {
        /// Which.
        nth: usize,
        /// The bits to flip; none counts as one.
        mask: u8,
        /// What finds it.
        finder: Finder,
    },
    /// Write one byte before the start of the nth live secret.
    Underflow {
        /// Which.
        nth: usize,
        /// The bits to flip; none counts as one.
        mask: u8,
        /// What finds it.
        finder: Finder,
    },
    /// Write to the nth free place.
    WriteFree {
        /// Which cell, stretch of leaves or end of a run.
        nth: usize,
        /// Which byte of it.
        at: usize,
        /// The bits to flip; none counts as one.
        mask: u8,
        /// What finds it.
        finder: Finder,
    },
    /// Release again what was the nth last to be released.
    DoubleFree {
        /// Which.
        nth: usize,
    },
    /// Release any pointer: in the region, before it or behind it.
    ForeignFree {
        /// Bytes from 64 before the region's start on, wrapping 64 behind its end.
        at: usize,
        /// Bytes.
        size: usize,
        /// A power of two.
        align: usize,
    },
    /// Release the nth live secret with any layout.
    WrongLayout {
        /// Which.
        nth: usize,
        /// Bytes.
        size: usize,
        /// A power of two.
        align: usize,
    },
    /// Reseed the generator, and have a reseed refused.
    Reseed {
        /// The entropy.
        seed: u64,
    },
}

/// What is to find damage that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finder {
    /// `find_faults`, and then `verify`.
    Verify,
    /// The release of the secret, as a value.
    Release,
    /// The release of the secret, through the fault handler.
    Handler,
    /// The release of the secret on the other side of the canary, or if there is none, its own.
    Neighbour,
    /// Allocations, until one comes upon it; `verify` where that cannot be.
    Allocation,
}

/// The region that operations run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The region's length in bytes.
    pub len: usize,
    /// Bytes from a multiple of 4,096 to the region's start.
    pub misalignment: usize,
    /// What the arena's generator is seeded with.
    pub seed: u64,
}

impl Setup {
    /// Reads a setup from the front of a script.
    pub fn decode(script: &mut Script<'_>) -> Self {
        let (kind, seed) = (script.byte(), u64::from(script.byte()));
        let len = match kind % 8 {
            0 => script.short() % 1024,
            1 => script.short() % 4096,
            2 | 3 => 4096,
            4 | 5 => 16_384,
            _ => 4096 + script.short() % 61_441,
        };
        let misalignment = if kind < 128 { 0 } else { script.short() };
        Self { len, misalignment, seed }
    }

    /// Runs the operations on an arena of this kind, if there can be one; then releases everything,
    /// drops the arena and looks at what is left.
    pub fn run(self, ops: impl IntoIterator<Item = Op>) {
        let mut ground = Ground::new(self.len, self.misalignment);
        let used = Model::new(&mut ground, self).map(|mut model| {
            ops.into_iter().for_each(|op| model.apply(op));
            model.finish();
        });
        assert!(used.is_none() || ground.is_wiped(), "left behind in the region");
        assert!(ground.is_guard_intact(), "written outside the region");
    }
}

impl Op {
    /// Reads an operation from the front of a script.
    pub fn decode(script: &mut Script<'_>) -> Self {
        let kind = script.byte();
        let finder = Finder::decode(kind / 32);
        match kind % 32 {
            0..10 => Self::Allocate { size: script.size(), align: script.align() },
            10..17 => Self::Release { nth: script.short() },
            17..20 => Self::Write { nth: script.short(), seed: script.byte().into() },
            20 => Self::ReleaseAll { order: kind / 32 },
            21 => Self::Exhaust { size: script.size(), align: script.align() },
            22 | 23 => Self::Overflow { nth: script.short(), mask: script.byte(), finder },
            24 | 25 => Self::Underflow { nth: script.short(), mask: script.byte(), finder },
            26 | 27 => Self::WriteFree {
                nth: script.short(),
                at: script.short(),
                mask: script.byte(),
                finder,
            },
            28 => Self::DoubleFree { nth: script.byte().into() },
            29 => Self::ForeignFree {
                at: script.short() << (kind / 128) ^ usize::from(script.byte()),
                size: script.size(),
                align: script.align(),
            },
            30 => Self::WrongLayout {
                nth: script.short(),
                size: script.size(),
                align: script.align(),
            },
            _ => Self::Reseed { seed: script.byte().into() },
        }
    }

    /// All the operations of a script, as far as it reaches.
    pub fn decode_all(mut script: Script<'_>) -> impl Iterator<Item = Self> {
        std::iter::from_fn(move || (!script.is_empty()).then(|| Self::decode(&mut script)))
            .take(MOST_OPS)
    }
}

impl Finder {
    fn decode(number: u8) -> Self {
        match number % 5 {
            0 => Self::Verify,
            1 => Self::Release,
            2 => Self::Handler,
            3 => Self::Neighbour,
            _ => Self::Allocation,
        }
    }
}

/// Runs whatever operations `bytes` spell on one arena; panics on a bug of the arena.
pub fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    Setup::decode(&mut script).run(Op::decode_all(script));
}

/// Runs whatever operations `bytes` spell on one to four arenas, and has them release each other's
/// secrets; panics on a bug of an arena.
pub fn run_many(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let count = 1 + usize::from(script.byte()) % 4;
    let setups: Vec<_> = (0..count).map(|_| Setup::decode(&mut script)).collect();
    let mut grounds: Vec<_> =
        setups.iter().map(|setup| Ground::new(setup.len, setup.misalignment)).collect();
    let mut models: Vec<_> = grounds
        .iter_mut()
        .zip(&setups)
        .filter_map(|(ground, &setup)| Model::new(ground, setup))
        .collect();
    for _ in 0..MOST_OPS {
        let which = usize::from(script.byte());
        if script.is_empty() || models.is_empty() {
            break;
        }
        let (at, other) = (which % models.len(), which / 4 % models.len());
        match models.get_disjoint_mut([at, other]) {
            Ok([model, other]) if which >= 224 => model.refuse_secrets_of(other),
            _ => models[at].apply(Op::decode(&mut script)),
        }
    }
    models.into_iter().for_each(Model::finish);
    assert!(grounds.iter().all(Ground::is_guard_intact), "written outside a region");
}

/// Far more than a script needs to get anywhere.
const MOST_OPS: usize = 4096;
