//! What somebody needs, and whether it fits.

use strongroom::limits::{Fit, Limits, Remedy};
use strongroom::{LockedPages, Trial};

/// Secrets that are to be open at one time.
#[derive(Debug)]
pub(crate) struct Need {
    /// How many.
    pub(crate) open: u64,
    /// Bytes of each.
    pub(crate) size: u64,
    /// The bytes a vault must lock for them.
    pub(crate) bytes: u64,
    /// Whether they fit. `None` if that cannot be told.
    pub(crate) fits: Option<bool>,
    /// What to change, if something can be.
    pub(crate) remedy: Option<Remedy>,
    /// What came of locking so much for a moment; `None` if that was not tried.
    pub(crate) trial: Option<Trial>,
}

impl Need {
    pub(crate) fn of(limits: &Limits, open: u64, size: u64) -> Self {
        let bytes = limits.needed(open, size);
        let fits = match limits.fits(size) {
            Fit::Unknown => None,
            fit => Some(fit.holds(open)),
        };
        let remedy = if fits == Some(false) { limits.remedy(bytes) } else { None };
        Self { open, size, bytes, fits, remedy, trial: None }
    }

    /// Tries what was reckoned to be possible, or could not be reckoned.
    pub(crate) fn tried(self) -> Self {
        match usize::try_from(self.bytes) {
            Ok(bytes) if bytes <= MOST_TRIED && self.fits != Some(false) => {
                self.with(LockedPages::try_lock(bytes))
            }
            _ => self,
        }
    }

    /// What was tried outweighs what was reckoned.
    fn with(mut self, trial: Trial) -> Self {
        self.fits = match trial {
            Trial::Granted => Some(true),
            Trial::Refused(_) | Trial::Killed { .. } => Some(false),
            _ => self.fits,
        };
        self.remedy = trial.remedy().cloned();
        self.trial = Some(trial);
        self
    }
}

/// More is not locked just to see whether it can be: others need memory too.
const MOST_TRIED: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use strongroom::LockError;
    use strongroom::limits::{IpcLock, Limit};

    /// This host's limits with another lock limit, and nothing else in the way.
    fn limits(soft: Limit, locked: Option<u64>) -> Limits {
        let mut limits = Limits::read();
        limits.ipc_lock = IpcLock::Absent;
        (limits.soft, limits.hard, limits.locked) = (soft, soft, locked);
        limits.mappings = Some(1);
        for quota in [&mut limits.memory, &mut limits.address_space, &mut limits.data] {
            quota.limit = Limit::Unlimited;
        }
        limits
    }

    #[test]
    fn a_need_fits_or_comes_with_a_remedy() {
        let limits = limits(Limit::Bytes(65_536), Some(0));
        let small = Need::of(&limits, 500, 64);
        assert_eq!(small.fits, Some(true), "{small:?}");
        assert!(small.bytes <= 65_536 && small.remedy.is_none());
        let large = Need::of(&limits, 5000, 64);
        assert_eq!(large.fits, Some(false), "{large:?}");
        assert!(large.bytes > 5000 * 64 && large.remedy.is_some());
    }

    /// The last that fits and the first that does not.
    #[test]
    fn the_verdict_and_the_bytes_agree() {
        let limits = limits(Limit::Bytes(65_536), Some(4096));
        let Fit::Secrets(most) = limits.fits(64) else { panic!("{limits}") };
        let (last, first) = (Need::of(&limits, most, 64), Need::of(&limits, most + 1, 64));
        assert_eq!((last.fits, last.bytes), (Some(true), 61_440));
        assert_eq!((first.fits, first.bytes), (Some(false), 65_536));
        assert!(first.remedy.is_some());
    }

    #[test]
    fn what_is_locked_already_does_not_count_as_free() {
        let limits = limits(Limit::Bytes(65_536), Some(65_536));
        assert_eq!(Need::of(&limits, 1, 1).fits, Some(false));
    }

    #[test]
    fn a_memory_limit_counts_where_locking_has_none() {
        let mut limits = limits(Limit::Unlimited, Some(0));
        limits.memory.limit = Limit::Bytes(1 << 20);
        limits.memory.used = Some((1 << 20) - 65_536);
        let need = Need::of(&limits, 5000, 64);
        assert_eq!(need.fits, Some(false));
        let remedy = need.remedy.map(|remedy| remedy.to_string()).unwrap_or_default();
        assert!(remedy.contains("memory") && !remedy.contains("MEMLOCK"), "{remedy}");
    }

    #[test]
    fn absurd_needs_do_not_overflow() {
        let small = Need::of(&limits(Limit::Bytes(65_536), Some(0)), u64::MAX, u64::MAX);
        assert_eq!((small.fits, small.bytes), (Some(false), u64::MAX));
        let endless = Need::of(&limits(Limit::Unlimited, Some(0)), u64::MAX, u64::MAX);
        assert_eq!(endless.fits, Some(true));
    }

    #[test]
    fn not_knowing_is_not_fitting() {
        assert_eq!(Need::of(&limits(Limit::Bytes(65_536), None), 1, 1).fits, None);
    }

    #[test]
    fn what_was_tried_outweighs_what_was_reckoned() {
        let limits = limits(Limit::Bytes(65_536), None);
        let unknown = || Need::of(&limits, 1, 1);
        assert_eq!(unknown().with(Trial::Granted).fits, Some(true));
        let error = LockError::OutOfMemory { requested: 1 };
        assert_eq!(unknown().with(Trial::Refused(error)).fits, Some(false));
        assert_eq!(unknown().with(Trial::Unknown).fits, None);
    }

    #[test]
    fn what_does_not_fit_is_not_tried() {
        let limits = limits(Limit::Bytes(65_536), Some(0));
        assert_eq!(Need::of(&limits, 5000, 64).tried().trial, None);
        assert!(Need::of(&limits, 1, 64).tried().trial.is_some());
    }
}
