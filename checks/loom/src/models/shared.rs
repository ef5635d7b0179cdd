//! A secret that several read lies still while it is read, goes once, and is nobody's any more once its
//! name stands for another and those who read it have left.

use std::cell::Cell as Count;
use std::rc::Rc;
use std::sync::atomic::Ordering::SeqCst;

use loom::thread::{self, JoinHandle};

#[path = "../../../../std-shim/src/store/cell.rs"]
#[allow(unsafe_code, reason = "shows its value to all who are counted")]
mod cell;

/// What a cell shares between threads, as loom sees it.
mod sync {
    pub(super) use std::sync::atomic::Ordering;

    pub(super) use loom::cell::UnsafeCell;

    pub(super) use crate::sync::{AtomicU64, SharedU32 as AtomicU32};
}

use self::cell::{Cell, Claimed, Reader, Standing, Unread};
use crate::sync::{AtomicUsize, SharedU32 as AtomicU32};

/// The first reader leaves while another comes: it finds the value whole, or gone.
pub(super) fn one_comes_while_the_last_leaves() {
    let store = Store::new();
    let reader = store.cell.begin(1).unwrap().publish(store.value(1), store.count());
    let other = store.spawn(|store| {
        if let Ok(reader) = store.read() {
            // Others have their turn in between.
            store.version.load(SeqCst);
            assert!(reader.value().version == 1);
        }
        store.look_after(false);
    });
    drop(reader);
    store.look_after(false);
    other.join().unwrap();
    assert!(store.cell.standing() == Standing::Shut && store.gone.get() == 1);
}

/// Two read what is retired; whoever is the last takes it away, and nobody else.
pub(super) fn two_leave_what_was_retired() {
    let store = Store::new();
    let first = store.cell.begin(1).unwrap().publish(store.value(1), store.count());
    let second = store.spawn(|store| {
        if let Ok(reader) = store.read() {
            reader.retire();
            drop(reader);
        }
        store.look_after(true);
    });
    first.retire();
    drop(first);
    store.look_after(true);
    second.join().unwrap();
    assert!(store.cell.standing() == Standing::Shut && store.gone.get() == 1);
}

/// A name is given another secret while the old one is being opened for all, to linger: it does not.
pub(super) fn replaced_while_opened() {
    let store = Store::new();
    let opener = store.spawn(|store| {
        let version = store.version.load(SeqCst);
        let filling = store.cell.begin(1).unwrap();
        let reader = filling.publish(store.value(version), store.count());
        if store.version.load(SeqCst) != version {
            reader.retire();
        }
        drop(reader);
        store.look_after(true);
    });
    store.replace();
    opener.join().unwrap();
    assert!(store.lingering() != Some(1), "the old one is open, and nobody will take it away");
}

/// A name is given another secret while one who looks for it finds the old one open.
pub(super) fn replaced_while_found() {
    let store = Store::new();
    drop(store.cell.begin(1).unwrap().publish(store.value(1), store.count()));
    let other = store.spawn(|store| {
        let is_replaced = store.replaced.load(SeqCst) == 1;
        if let Ok(reader) = store.read() {
            let version = reader.value().version;
            if store.version.load(SeqCst) == version {
                assert!(!is_replaced || version == 2, "it was replaced before this began");
            }
        }
        store.look_after(true);
    });
    store.replace();
    store.replaced.store(1, SeqCst);
    other.join().unwrap();
    assert!(store.lingering().is_none());
    assert!(store.gone.get() == 1);
}

/// What nobody reads is taken away, and the cell opened for another, while one comes for the first.
pub(super) fn taken_away_and_opened_for_another() {
    let store = Store::new();
    drop(store.cell.begin(1).unwrap().publish(store.value(1), store.count()));
    let other = store.spawn(|store| {
        match store.read() {
            Ok(reader) => assert!([1, 2].contains(&reader.value().version)),
            Err(Unread::Opening(topic)) => assert!([1, 2].contains(&topic)),
            Err(Unread::Gone) => {}
        }
        store.look_after(true);
    });
    let is_claimed = store.claim(Standing::Open).is_some();
    if is_claimed {
        let filling = store.cell.begin(2).unwrap();
        drop(filling.publish(store.value(2), store.count()));
    }
    other.join().unwrap();
    // The one who came may have kept it from being taken, and have been the end of it.
    let is_gone = store.cell.standing() == Standing::Shut && store.gone.get() == 1;
    assert!(store.is_unused() || is_gone && !is_claimed);
}

/// What nobody reads is about to be taken away while one comes for it: one who reads it retires it, and
/// one who does not finds it gone for good. It goes, whoever of the two takes it.
pub(super) fn retired_while_it_is_claimed() {
    let store = Store::new();
    drop(store.cell.begin(1).unwrap().publish(store.value(1), store.count()));
    let other = store.spawn(|store| {
        if let Ok(reader) = store.read() {
            reader.retire();
            assert!(reader.value().version == 1);
        }
        store.look_after(true);
    });
    drop(store.claim(Standing::Open));
    other.join().unwrap();
    assert!(store.cell.standing() == Standing::Shut && store.gone.get() == 1);
}

/// What nobody reads is taken away while another waits for an empty cell: it is empty once its value is gone.
pub(super) fn emptied_and_filled_by_another() {
    let store = Store::new();
    drop(store.cell.begin(1).unwrap().publish(store.value(1), store.count()));
    let other = store.spawn(|store| {
        if let Some(filling) = store.cell.begin(2) {
            assert!(store.gone.get() == 1);
            drop(filling.publish(store.value(2), store.count()));
        }
    });
    drop(store.claim(Standing::Open));
    other.join().unwrap();
}

/// A name with one cell, and what it stands for.
#[derive(Clone)]
struct Store {
    cell: Rc<Cell<Value>>,
    version: Rc<AtomicUsize>,
    /// The new version was returned to whoever put it.
    replaced: Rc<AtomicUsize>,
    gone: Rc<Count<usize>>,
    /// Each thread is counted by itself.
    counts: Rc<[AtomicU32; 2]>,
    own: usize,
}

struct Value {
    version: usize,
    gone: Rc<Count<usize>>,
}

impl Drop for Value {
    fn drop(&mut self) {
        self.gone.set(self.gone.get() + 1);
    }
}

impl Store {
    fn new() -> Self {
        Self {
            cell: Rc::default(),
            version: Rc::new(AtomicUsize::new(1)),
            replaced: Rc::default(),
            gone: Rc::default(),
            counts: Rc::default(),
            own: 0,
        }
    }

    fn value(&self, version: usize) -> Value {
        Value { version, gone: Rc::clone(&self.gone) }
    }

    fn spawn(&self, story: impl FnOnce(&Self) + 'static) -> JoinHandle<()> {
        let store = Self { own: 1, ..self.clone() };
        thread::spawn(move || story(&store))
    }

    fn count(&self) -> &AtomicU32 {
        &self.counts[self.own]
    }

    fn read(&self) -> Result<Reader<'_, Value>, Unread> {
        self.cell.read(self.count())
    }

    fn is_read(&self) -> bool {
        self.counts.iter().any(|count| count.load(SeqCst) > 0)
    }

    fn is_unused(&self) -> bool {
        self.cell.standing() == Standing::Open && !self.is_read()
    }

    fn claim(&self, standing: Standing) -> Option<Claimed<'_, Value>> {
        self.cell.claim(standing, || self.is_read())
    }

    /// What whoever has left does; `lingers` says whether what is not retired may stay.
    fn look_after(&self, lingers: bool) {
        match self.cell.standing() {
            Standing::Shut => {}
            Standing::Open if lingers => {}
            standing => drop(self.claim(standing)),
        }
    }

    fn replace(&self) {
        self.version.store(2, SeqCst);
        if let Ok(reader) = self.read()
            && reader.value().version == 1
        {
            reader.retire();
        }
        self.look_after(true);
    }

    /// The version that is open and unused, if any.
    fn lingering(&self) -> Option<usize> {
        self.is_unused().then(|| self.read().map(|reader| reader.value().version).ok()).flatten()
    }
}
