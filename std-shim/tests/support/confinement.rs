//! Running part of a test under a limit, and as somebody else.

use std::env;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;

use super::{CHILD, again, is_child, kernel, passed, reached, skip};

/// Who a confined process runs as. None has `CAP_IPC_LOCK` where it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// Whoever runs the test, less the capability.
    Same,
    /// User 65534, which only root can become.
    Nobody,
    /// Root in a user namespace, with a capability that counts only there.
    Namespaced,
}

/// A lock limit in bytes, soft and hard, and a user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Confinement {
    pub(crate) soft: u64,
    pub(crate) hard: u64,
    pub(crate) user: User,
}

impl Confinement {
    pub(crate) fn of(limit: u64, user: User) -> Self {
        Self { soft: limit, hard: limit, user }
    }
}

/// Runs `body` confined, in a child process that runs this one test again. `name` is the test's.
///
/// Says why and passes where this system does not allow it.
pub(crate) fn confined(name: &str, confinement: Confinement, body: impl FnOnce()) {
    let tag = format!("{name} {confinement:?}");
    if is_child(&tag) {
        reached();
        return body();
    }
    if env::var_os(CHILD).is_some() {
        return;
    }
    if confinement.user == User::Nobody && !kernel::is_root() {
        return skip(&tag, "only root can become nobody");
    }
    let mut command = again(name, &tag);
    if confinement.user == User::Nobody {
        command.uid(NOBODY).gid(NOBODY);
    }
    // SAFETY: between fork and exec only system calls are made.
    unsafe { command.pre_exec(move || kernel::confine(confinement)) };
    match command.output() {
        Ok(output) => passed(&tag, &output),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => skip(&tag, &error.to_string()),
        Err(error) => panic!("{tag}: {error}"),
    }
}

const NOBODY: u32 = 65_534;
