//! Looks after a line in which somebody may have to be passed: a thread that is started when that is
//! first needed, looks every few milliseconds, and ends a second after it is not needed any more.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::queue::Shared;

/// Starts the thread.
pub(super) fn begin(line: &Arc<Shared>) -> io::Result<()> {
    let line = Arc::downgrade(line);
    let look = move || {
        let mut idle = 0;
        loop {
            thread::sleep(TICK);
            // A vault that is gone has nobody in line.
            let Some(line) = line.upgrade() else { return };
            idle = if line.look(Instant::now()) { 0 } else { idle + 1 };
            if idle > IDLE_TICKS {
                if line.end_watch() {
                    return;
                }
                idle = 0;
            }
        }
    };
    thread::Builder::new().name("strongroom-line".into()).spawn(look).map(drop)
}

const TICK: Duration = Duration::from_millis(5);
const IDLE_TICKS: u32 = 200;
