//! Secrets that stay open though nobody uses them, until somebody needs their room.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Whoever keeps such secrets.
pub(crate) trait Keeper: Send + Sync {
    /// Gives up as many as `most`, those first that were not used for the longest time, and says how
    /// many there were.
    fn give_up(&self, most: usize) -> usize;

    /// Gives up all, those too that fall unused meanwhile.
    fn give_up_all(&self) {
        while self.give_up(usize::MAX) > 0 {}
    }
}

/// All who keep some in a vault.
#[derive(Default)]
pub(super) struct Lingering {
    is_any: AtomicBool,
    keepers: Mutex<Vec<Weak<dyn Keeper>>>,
}

impl Lingering {
    #[cfg_attr(not(feature = "store"), expect(dead_code, reason = "nobody else keeps any"))]
    pub(super) fn add(&self, keeper: Weak<dyn Keeper>) {
        let mut keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        keepers.retain(|keeper| keeper.strong_count() > 0);
        keepers.push(keeper);
        self.is_any.store(true, Ordering::SeqCst);
    }

    /// Has some given up; `ended` counts them for one who calls this until there is room: as many again
    /// each time. Whether there were any.
    pub(super) fn end(&self, ended: &mut usize) -> bool {
        if !self.is_any.load(Ordering::SeqCst) {
            return false;
        }
        let before = *ended;
        for keeper in self.keepers() {
            *ended += keeper.give_up(before.max(1));
        }
        *ended > before
    }

    /// Has all given up.
    pub(super) fn end_all(&self) {
        if self.is_any.load(Ordering::SeqCst) {
            self.keepers().iter().for_each(|keeper| keeper.give_up_all());
        }
    }

    /// What is given up is wiped and dropped, under no lock.
    fn keepers(&self) -> Vec<Arc<dyn Keeper>> {
        let keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        keepers.iter().filter_map(Weak::upgrade).collect()
    }
}
