//! What `strongroom-doctor --json` answers, for programs that carry it in themselves: bindings for other
//! languages, say. Everybody else runs the program, or reads `strongroom::Limits`.

use std::io;

use strongroom::Limits;

use crate::need::Need;
use crate::tried::Tried;

mod json;
mod need;
mod sizes;
mod tried;

/// How much memory this process may lock, how many secrets fit, and what came of trying, as one JSON object.
/// `need` is how many secrets are to be open at one time, and the bytes of each: then it says too whether
/// those fit. It locks what it tries for a moment, in a child process.
///
/// ```
/// let report = strongroom_doctor::json(Some((100, 64)))?;
/// assert!(report.contains("\"lock_limit_soft\""));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// Those of writing into memory: none that is known.
pub fn json(need: Option<(u64, u64)>) -> io::Result<String> {
    let limits = Limits::read();
    let tried = Tried::now();
    let need = need.map(|(open, size)| Need::of(&limits, open, size).tried());
    let mut report = Vec::new();
    json::write(&mut report, &limits, &tried, need.as_ref())?;
    Ok(String::from_utf8(report).unwrap_or_default())
}
