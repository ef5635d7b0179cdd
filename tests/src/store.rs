//! A store's operations by few names, and the shadow model, which knows what each name stands for.
//!
//! What is open is held on to and compared again later, so that cells are shared, replaced under their
//! readers, left lingering and given up for others. A full vault may refuse to open; nothing else may
//! differ.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use strongroom::{OpenError, Opened, SharedOpened, Store, StoreError, Vault};

use crate::script::Script;

/// What is done to a store. Names are few, so that they meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is named after the call")]
pub enum Op {
    Insert {
        name: u8,
        len: usize,
    },
    Put {
        name: u8,
        len: usize,
    },
    Replace {
        name: u8,
        len: usize,
    },
    /// With a version that is right or wrong by so much.
    ReplaceVersion {
        name: u8,
        off: u32,
    },
    Remove {
        name: u8,
    },
    /// Put in for no time at all.
    Expire {
        name: u8,
    },
    /// Opened with whoever else has it open, and held on to.
    Open {
        name: u8,
    },
    OpenAlone {
        name: u8,
    },
    OpenTwo {
        one: u8,
        other: u8,
    },
    /// The one that was opened so many before the last is dropped.
    Close {
        which: usize,
    },
    /// Others use the vault, too.
    Crowd {
        len: usize,
    },
    Disperse,
}

impl Op {
    /// The next operation of a script.
    pub fn read(script: &mut Script<'_>) -> Self {
        let (kind, name) = (script.byte(), script.byte() % NAMES);
        match kind % 16 {
            0 => Self::Insert { name, len: script.size() % LONGEST },
            1 | 2 => Self::Put { name, len: script.size() % LONGEST },
            3 => Self::Replace { name, len: script.size() % LONGEST },
            4 => Self::ReplaceVersion { name, off: u32::from(script.byte() % 2) },
            5 => Self::Remove { name },
            6 => Self::Expire { name },
            7..=10 => Self::Open { name },
            11 => Self::OpenAlone { name },
            12 => Self::OpenTwo { one: name, other: script.byte() % NAMES },
            13 => Self::Close { which: usize::from(script.byte()) },
            14 => Self::Crowd { len: script.size() % LONGEST },
            _ => Self::Disperse,
        }
    }
}

/// Runs what a fuzzer hands over: the first byte says whether secrets linger.
pub fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let lingers = script.byte() % 2 == 1;
    let mut ops = Vec::new();
    while !script.is_empty() && ops.len() < 400 {
        ops.push(Op::read(&mut script));
    }
    run_ops(lingers, &ops);
}

/// Runs operations on a store of its own.
pub fn run_ops(lingers: bool, ops: &[Op]) {
    let vault = Arc::new(Vault::new(4096).unwrap());
    let time = if lingers { Duration::from_hours(1) } else { Duration::ZERO };
    let store = Store::new(vault.share()).with_lingering(time);
    let mut model = Model { store: &store, known: HashMap::new(), open: Vec::new(), number: 0 };
    let mut crowd = Vec::new();
    for &op in ops {
        model.step(op, &vault, &mut crowd);
        model.check();
    }
    drop(model);
    drop(crowd);
    let held = vault.held();
    assert_eq!(held, store.metrics().lingering, "nothing else is open");
    assert!(lingers || held == 0);
    drop(store);
    assert_eq!(vault.held(), 0);
    vault.verify().unwrap();
}

struct Model<'s> {
    store: &'s Store<[u8; 1]>,
    known: HashMap<u8, Secret>,
    open: Vec<(SharedOpened<'s>, Secret)>,
    /// Makes each secret another.
    number: u32,
}

#[derive(Clone)]
struct Secret {
    version: u32,
    bytes: Vec<u8>,
}

impl Model<'_> {
    fn step<'v>(&mut self, op: Op, vault: &'v Vault, crowd: &mut Vec<Opened<'v>>) {
        let store = self.store;
        match op {
            Op::Insert { name, len } => {
                let bytes = self.fresh(name, len);
                let expected = match self.known.get(&name) {
                    Some(secret) => Err(StoreError::Exists { version: secret.version }),
                    None => Ok(1),
                };
                assert_eq!(store.insert([name], &bytes), expected);
                self.knows(name, expected, bytes);
            }
            Op::Put { name, len } => {
                let bytes = self.fresh(name, len);
                let expected = Ok(self.known.get(&name).map_or(1, |secret| secret.version + 1));
                assert_eq!(store.put(&[name], &bytes), expected);
                self.knows(name, expected, bytes);
            }
            Op::Replace { name, len } => {
                let bytes = self.fresh(name, len);
                let expected = self.next(name);
                assert_eq!(store.replace(&[name], &bytes), expected);
                self.knows(name, expected, bytes);
            }
            Op::ReplaceVersion { name, off } => {
                let bytes = self.fresh(name, 8);
                let version = self.known.get(&name).map_or(1, |secret| secret.version);
                let expected = match self.next(name) {
                    Ok(_) if off > 0 => Err(StoreError::OtherVersion { version }),
                    next => next,
                };
                assert_eq!(store.replace_version(&[name], version + off, &bytes), expected);
                self.knows(name, expected, bytes);
            }
            Op::Remove { name } => {
                assert_eq!(store.remove(&[name]), self.known.remove(&name).is_some());
            }
            Op::Expire { name } => {
                store.put_for(&[name], b"short", Duration::ZERO).unwrap();
                self.known.remove(&name);
                assert_eq!(store.try_open(&[name]).unwrap_err(), StoreError::NotFound);
            }
            Op::Open { name } => {
                let opened = store.try_open(&[name]);
                self.may_be(name, opened.as_ref().err());
                self.open.extend(opened.ok().zip(self.known.get(&name).cloned()));
            }
            Op::OpenAlone { name } => {
                let opened = store.try_open_alone(&[name]);
                self.may_be(name, opened.as_ref().err());
                if let Ok(mut opened) = opened {
                    assert_eq!(*opened.expose_secret(), self.known[&name].bytes);
                    opened.expose_secret_mut().fill(0xff);
                }
            }
            Op::OpenTwo { one, other } => match store.try_open_all([&[one], &[other]]) {
                Ok(both) => {
                    for (opened, name) in both.iter().zip([one, other]) {
                        assert_eq!(*opened.expose_secret(), self.known[&name].bytes);
                    }
                }
                Err(StoreError::NotFound) => {
                    assert!(!self.known.contains_key(&one) || !self.known.contains_key(&other));
                }
                Err(StoreError::Open(OpenError::Full(_) | OpenError::NeverTogether { .. })) => {}
                Err(error) => panic!("{error}"),
            },
            Op::Close { which } => {
                if !self.open.is_empty() {
                    self.open.remove(which % self.open.len());
                }
            }
            Op::Crowd { len } => crowd.extend(vault.try_allocate(len)),
            Op::Disperse => crowd.clear(),
        }
    }

    /// What may come of opening a name: whether a vault is full depends on others.
    fn may_be(&self, name: u8, error: Option<&StoreError>) {
        match error {
            None => assert!(self.known.contains_key(&name), "nothing stands for it"),
            Some(StoreError::NotFound) => assert!(!self.known.contains_key(&name), "it is there"),
            Some(StoreError::Open(OpenError::Full(_))) => {}
            Some(error) => panic!("{error}"),
        }
    }

    fn next(&self, name: u8) -> Result<u32, StoreError> {
        self.known.get(&name).map(|secret| secret.version + 1).ok_or(StoreError::NotFound)
    }

    fn knows(&mut self, name: u8, put: Result<u32, StoreError>, bytes: Vec<u8>) {
        if let Ok(version) = put {
            self.known.insert(name, Secret { version, bytes });
        }
    }

    fn fresh(&mut self, name: u8, len: usize) -> Vec<u8> {
        self.number += 1;
        let number = self.number.to_le_bytes();
        (0..len).map(|at| number[at % 4] ^ name).collect()
    }

    fn check(&self) {
        for (opened, secret) in &self.open {
            assert_eq!((opened.version(), opened.len()), (secret.version, secret.bytes.len()));
            assert_eq!(*opened.expose_secret(), secret.bytes, "it changed under its reader");
        }
        assert_eq!(self.store.len(), self.known.len());
        let mut names = 0;
        self.store.for_each_name(|[name], version| {
            names += 1;
            assert_eq!(self.known[name].version, version);
        });
        assert_eq!(names, self.known.len());
    }
}

const NAMES: u8 = 6;

/// Bytes. What is longer never fits beside others.
const LONGEST: usize = 900;
