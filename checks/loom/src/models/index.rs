//! A mark that was made before a look under the lock is found.

use std::rc::Rc;
use std::sync::atomic::Ordering::SeqCst;

use loom::sync::Mutex;
use loom::thread::{self, JoinHandle};

use crate::index::{Index, Mask, masks_for};
use crate::sync::AtomicUsize;

/// A place's mark is outdated and taken away while something comes to be there.
pub(super) fn marked_while_cleared() {
    let tree = Tree::new(2);
    tree.index().mark(0, KIND);
    let marker = tree.spawn(|tree| tree.make(0));
    tree.clear(0);
    marker.join().unwrap();
    tree.expect(&[0]);
}

/// The same, and something comes to be at a place under the same mask.
pub(super) fn neighbour_is_marked() {
    let tree = Tree::new(2);
    tree.index().mark(0, KIND);
    let marker = tree.spawn(|tree| tree.make(1));
    tree.clear(0);
    marker.join().unwrap();
    tree.expect(&[1]);
}

/// The same at a place of which only the root knows too; then that one goes as well.
pub(super) fn other_place_is_marked() {
    let tree = Tree::new(17);
    tree.index().mark(16, KIND);
    let marker = tree.spawn(|tree| tree.make(0));
    tree.clear(16);
    tree.clear(0);
    marker.join().unwrap();
    tree.expect(&[0]);
}

/// Two mark the same place and another, while both are cleared.
pub(super) fn two_mark() {
    let tree = Tree::new(17);
    tree.index().mark(16, KIND);
    let first = tree.spawn(|tree| tree.make(16));
    let second = tree.spawn(|tree| {
        tree.make(16);
        tree.make(0);
    });
    tree.clear(16);
    first.join().unwrap();
    second.join().unwrap();
    tree.expect(&[0, 16]);
}

/// An index, what it is to say, and the lock.
struct Tree {
    masks: Vec<Mask>,
    is_there: Vec<AtomicUsize>,
    /// The places whose marks were made before.
    marked: Mutex<Vec<usize>>,
}

impl Tree {
    fn new(places: usize) -> Rc<Self> {
        Rc::new(Self {
            masks: (0..masks_for(places)).map(|_| Mask::empty()).collect(),
            is_there: (0..places).map(|_| AtomicUsize::new(0)).collect(),
            marked: Mutex::default(),
        })
    }

    fn index(&self) -> Index<'_> {
        Index::new(&self.masks, self.is_there.len())
    }

    fn spawn(self: &Rc<Self>, work: impl FnOnce(&Self) + 'static) -> JoinHandle<()> {
        let tree = Rc::clone(self);
        thread::spawn(move || work(&tree))
    }

    /// Brings something to a place, and says so.
    fn make(&self, place: usize) {
        self.is_there[place].store(1, SeqCst);
        self.index().mark(place, KIND);
        self.marked.lock().unwrap().push(place);
    }

    /// Takes a mark away that may be outdated, and looks for those that were made before.
    fn clear(&self, place: usize) {
        let marked = self.marked.lock().unwrap();
        let index = self.index();
        index.clear(place, KIND, || self.is_there[place].load(SeqCst) != 0);
        Self::expect_marks(&index, &marked);
    }

    /// Now that all is quiet, these places are found.
    fn expect(&self, places: &[usize]) {
        Self::expect_marks(&self.index(), places);
    }

    fn expect_marks(index: &Index<'_>, places: &[usize]) {
        for &place in places {
            assert_eq!(index.next(KIND, place), Some(place), "a mark was lost");
            assert!(index.is_anywhere(KIND), "the root does not know of a mark");
            let found = index.next(KIND, 0);
            assert!(found.is_some_and(|found| found <= place), "a mark is not found from afar");
        }
    }
}

const KIND: usize = 3;
