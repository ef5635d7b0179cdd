//! Looks after a line in which somebody may have to be passed: a thread that is started when that is
//! first needed, looks every few milliseconds, and ends a second after it is not needed any more.

use std::io;
use std::sync::Weak;
use std::thread;
use std::time::{Duration, Instant};

/// Starts the thread. `look` looks after the line and says whether that is needed any longer; `end`
/// ends it, unless it is needed again.
pub(super) fn begin<T: Send + Sync + 'static>(
    line: Weak<T>,
    look: fn(&T, Instant) -> bool,
    end: fn(&T) -> bool,
) -> io::Result<()> {
    let watch = move || {
        let mut idle = 0;
        loop {
            thread::sleep(TICK);
            // A vault that is gone has nobody in line.
            let Some(line) = line.upgrade() else { return };
            idle = if look(&line, Instant::now()) { 0 } else { idle + 1 };
            if idle > IDLE_TICKS {
                if end(&line) {
                    return;
                }
                idle = 0;
            }
        }
    };
    thread::Builder::new().name("strongroom-line".into()).spawn(watch).map(drop)
}

const TICK: Duration = Duration::from_millis(5);
const IDLE_TICKS: u32 = 200;
