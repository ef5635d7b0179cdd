//! Operations on an enclave, and the shadow model that remembers what was sealed.
//!
//! After every operation the model checks that open secrets have kept their content, that the arena
//! holds them and the key's shares and nothing else, and that the arena is undamaged.

mod model;
mod storage;

use crate::raw::{Ground, Lab};
use crate::script::Script;

pub use self::model::Model;

/// What can happen to an enclave and its records, by right or by an attacker.
///
/// An `nth` counts the candidates from the first again when there are fewer; an operation without
/// a candidate does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Seal a new secret into memory of the heap or of a `Bulk`.
    Seal {
        /// Bytes.
        len: usize,
        /// Which context.
        context: u8,
    },
    /// Open the nth record, and find the secret as it was.
    Open {
        /// Which.
        nth: usize,
    },
    /// Open the nth record, and leave it open.
    Hold {
        /// Which.
        nth: usize,
    },
    /// Close the nth secret that was left open.
    LetGo {
        /// Which.
        nth: usize,
    },
    /// Change a copy of the nth record, and find that it is refused and the record is not.
    Tamper {
        /// Which.
        nth: usize,
        /// What is done to it.
        how: Tamper,
    },
    /// Drop the nth record.
    Forget {
        /// Which.
        nth: usize,
    },
    /// Draw new shares of the key.
    Refresh,
    /// Destroy the enclave while a secret is open in place, find that nothing can be opened or
    /// sealed any more, and make another.
    Destroy,
    /// Seal a new secret in its own cell.
    SealInPlace {
        /// Bytes.
        len: usize,
        /// Which context.
        context: u8,
    },
    /// Open the nth secret that was sealed in place, and find it as it was.
    OpenInPlace {
        /// Which.
        nth: usize,
        /// What to change it to before it is sealed again, if anything.
        seed: Option<u64>,
    },
    /// Change the nth secret that was sealed in place, or its context, and find that it is refused
    /// as long as it is changed.
    TamperInPlace {
        /// Which.
        nth: usize,
        /// Which byte.
        at: usize,
        /// The bits to flip; if none, another context is tried.
        mask: u8,
    },
    /// Drop the nth secret that was sealed in place.
    ForgetInPlace {
        /// Which.
        nth: usize,
    },
}

/// What is done to a record, or with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tamper {
    /// A bit is flipped.
    Flip {
        /// Which, counted around.
        bit: usize,
    },
    /// It is cut off, at least by one byte.
    Cut {
        /// What is left, in bytes, counted around.
        len: usize,
    },
    /// Bytes are added to an end.
    Extend {
        /// How many, but one.
        more: u8,
        /// What they are.
        byte: u8,
        /// Whether before it.
        front: bool,
    },
    /// It is passed off as another record.
    Swap {
        /// Which.
        other: usize,
    },
    /// Its tail is that of another record.
    Splice {
        /// Which.
        other: usize,
        /// The tail's length in bytes, counted around.
        len: usize,
    },
    /// It is opened under another context.
    Context {
        /// Which.
        context: u8,
    },
    /// It is opened by another enclave over the same arena.
    OtherEnclave,
    /// All of it is something else.
    Replace {
        /// Bytes.
        len: usize,
        /// Where the bytes come from.
        seed: u64,
    },
}

/// The arena that an enclave opens secrets into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The region's length in bytes.
    pub len: usize,
    /// What the arena's generator is seeded with.
    pub seed: u64,
}

impl Setup {
    /// Reads a setup from the front of a script.
    pub fn decode(script: &mut Script<'_>) -> Self {
        let len = match script.byte() % 4 {
            0 => 1024 + script.short() % 4096,
            1 => 8192,
            _ => 32_768,
        };
        Self { len, seed: script.byte().into() }
    }

    /// Runs the operations on an enclave over an arena of this kind, if there can be one; then
    /// drops everything and looks at what is left.
    pub fn run(self, ops: impl IntoIterator<Item = Op>) {
        let mut ground = Ground::new(self.len, 0);
        if let Ok(lab) = Lab::new(&mut ground, self.seed) {
            let mut bulk = [std::mem::MaybeUninit::uninit(); 2048];
            let bulk = strongroom_core::Bulk::new(&mut bulk).unwrap();
            if let Some(mut model) = Model::new(&lab, &bulk, self.seed) {
                ops.into_iter().for_each(|op| model.apply(op));
            }
            assert_eq!(lab.arena().stats().live, 0, "an enclave leaves nothing behind");
            assert_eq!(lab.arena().verify(), Ok(()));
        }
        assert!(ground.is_guard_intact(), "written outside the region");
        assert!(ground.is_wiped(), "left behind in the region");
    }
}

impl Op {
    /// Reads an operation from the front of a script.
    pub fn decode(script: &mut Script<'_>) -> Self {
        let nth = |script: &mut Script<'_>| usize::from(script.byte());
        match script.byte() % 24 {
            0..5 => Self::Seal { len: secret_len(script), context: script.byte() },
            5..8 => Self::Open { nth: nth(script) },
            8 => Self::Hold { nth: nth(script) },
            9 | 10 => Self::LetGo { nth: nth(script) },
            11..17 => Self::Tamper { nth: nth(script), how: Tamper::decode(script) },
            17 => Self::Forget { nth: nth(script) },
            18 => Self::Refresh,
            19 => Self::Destroy,
            20 => Self::SealInPlace { len: secret_len(script), context: script.byte() },
            21 => {
                let (nth, seed) = (nth(script), u64::from(script.byte()));
                Self::OpenInPlace { nth, seed: (seed > 127).then_some(seed) }
            }
            22 => Self::TamperInPlace { nth: nth(script), at: script.short(), mask: script.byte() },
            _ => Self::ForgetInPlace { nth: nth(script) },
        }
    }

    /// All the operations of a script, as far as it reaches.
    pub fn decode_all(mut script: Script<'_>) -> impl Iterator<Item = Self> {
        std::iter::from_fn(move || (!script.is_empty()).then(|| Self::decode(&mut script)))
            .take(MOST_OPS)
    }
}

impl Tamper {
    fn decode(script: &mut Script<'_>) -> Self {
        match script.byte() % 12 {
            0..4 => Self::Flip { bit: script.short() },
            4 => Self::Cut { len: script.short() },
            5 => Self::Extend { more: script.byte(), byte: script.byte(), front: false },
            6 => Self::Extend { more: script.byte(), byte: script.byte(), front: true },
            7 => Self::Swap { other: script.byte().into() },
            8 => Self::Splice { other: script.byte().into(), len: script.short() },
            9 => Self::Context { context: script.byte() },
            10 => Self::OtherEnclave,
            _ => Self::Replace { len: script.short() % 2048, seed: script.byte().into() },
        }
    }
}

/// Runs whatever operations `bytes` spell on an enclave; panics on a bug of the enclave.
pub fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    Setup::decode(&mut script).run(Op::decode_all(script));
}

/// Opens `bytes` as a record, under a context that they spell too; panics unless it is refused.
pub fn open_hostile(bytes: &[u8]) {
    let (context, record) = bytes.split_first().unwrap_or((&0, &[]));
    Model::refuse(record, *context);
}

fn secret_len(script: &mut Script<'_>) -> usize {
    match script.byte() {
        kind @ 0..200 => usize::from(kind),
        200..250 => script.short() % 2000,
        _ => script.short(),
    }
}

/// Far more than a script needs to get anywhere.
const MOST_OPS: usize = 1024;
