//! What this process asks of its host: one core, little locked memory, many files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::runtime::{Builder, Runtime};

use crate::Failure;

/// Lets this process, and the threads that it has from now on, run on one core alone: the first that it may.
pub(crate) fn stay_on_one_core() -> Result<usize, Failure> {
    let allowed = sched_getaffinity(None)?;
    let core = (0..CpuSet::MAX_CPU).find(|&core| allowed.is_set(core));
    let core = core.ok_or("the system names no core that this process may run on")?;
    let mut one = CpuSet::new();
    one.set(core);
    sched_setaffinity(None, &one)?;
    Ok(core)
}

/// Lets this process lock no more than `bytes`. A limit that was lower stays.
pub(crate) fn lock_no_more_than(bytes: usize) -> Result<(), Failure> {
    let wanted = bytes as u64;
    if let Some(hard) = getrlimit(Resource::Memlock).maximum.filter(|&hard| hard < wanted) {
        return Err(format!(
            "this process may lock {hard} bytes and no more, and {bytes} are asked for: \
            raise the limit (`ulimit -l`), or give a smaller --limit"
        )
        .into());
    }
    Ok(setrlimit(Resource::Memlock, Rlimit { current: Some(wanted), maximum: Some(wanted) })?)
}

/// As many open files as may be: one connection stays open for each endpoint.
pub(crate) fn allow_files() -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

/// Whether there are files enough for a connection to each of so many endpoints.
pub(crate) fn check_files(endpoints: usize) -> Result<(), Failure> {
    let needed = endpoints as u64 + SPARE_FILES;
    match getrlimit(Resource::Nofile).current {
        Some(files) if files < needed => Err(format!(
            "{endpoints} endpoints need {needed} open files, and this process may have {files}: raise the \
             limit (`ulimit -n {needed}`), or take fewer endpoints"
        )
        .into()),
        _ => Ok(()),
    }
}

/// A runtime of this thread alone.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

const SPARE_FILES: u64 = 64;
