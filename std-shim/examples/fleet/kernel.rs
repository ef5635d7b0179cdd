//! What the kernel says of this process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Asks again and again how much is locked, and keeps the most.
pub(crate) struct LockWatch {
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    peak: AtomicU64,
    over: AtomicBool,
}

impl LockWatch {
    pub(crate) fn start() -> io::Result<Self> {
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        let watch = move || {
            while !shared.over.load(Ordering::Relaxed) {
                shared.look();
                thread::park_timeout(INTERVAL);
            }
        };
        let thread = thread::Builder::new().name("lock watch".to_owned()).spawn(watch)?;
        Ok(Self { seen, thread: Some(thread) })
    }

    /// The most bytes that were locked at any time, or `None` if the system does not say.
    pub(crate) fn peak(&self) -> Option<u64> {
        let known = self.seen.look();
        known.map(|_| self.seen.peak.load(Ordering::Relaxed))
    }
}

impl Seen {
    fn look(&self) -> Option<u64> {
        let locked = locked_bytes();
        self.peak.fetch_max(locked.unwrap_or(0), Ordering::Relaxed);
        locked
    }
}

impl Drop for LockWatch {
    fn drop(&mut self) {
        self.seen.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// The bytes that are locked, `VmLck` (`proc_pid_status(5)`).
#[cfg(target_os = "linux")]
pub(crate) fn locked_bytes() -> Option<u64> {
    status_bytes("VmLck:")
}

/// The bytes that are wired.
#[cfg(not(target_os = "linux"))]
pub(crate) fn locked_bytes() -> Option<u64> {
    strongroom::Limits::read().locked
}

/// The bytes that are in memory, `VmRSS` (`proc_pid_status(5)`). `None` where there is no `/proc`.
pub(crate) fn resident_bytes() -> Option<u64> {
    status_bytes("VmRSS:")
}

fn status_bytes(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix(name))?.trim().strip_suffix("kB")?;
    kib.trim().parse::<u64>().ok()?.checked_mul(1024)
}

const INTERVAL: Duration = Duration::from_millis(5);
