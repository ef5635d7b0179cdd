//! Looks after what needs it for a time, a line in which somebody may have to be passed: a thread that is
//! started when that is first needed, looks every few milliseconds, and ends a second after it is not
//! needed any more.

use std::io;
use std::sync::Weak;
use std::thread;
use std::time::{Duration, Instant};

/// Starts the thread. `look`, called so often, says whether that is needed any longer; `end` ends it,
/// unless it is needed again.
pub(crate) fn begin<T: Send + Sync + 'static>(
    name: &str,
    watched: Weak<T>,
    every: Duration,
    look: fn(&T, Instant) -> bool,
    end: fn(&T) -> bool,
) -> io::Result<()> {
    let watch = move || {
        let mut idle = Duration::ZERO;
        loop {
            thread::sleep(every);
            // What is gone needs nobody.
            let Some(watched) = watched.upgrade() else { return };
            idle = if look(&watched, Instant::now()) { Duration::ZERO } else { idle + every };
            if idle > IDLE {
                if end(&watched) {
                    return;
                }
                idle = Duration::ZERO;
            }
        }
    };
    thread::Builder::new().name(name.into()).spawn(watch).map(drop)
}

const IDLE: Duration = Duration::from_secs(1);
