//! What a forked child can do to its parent's secrets.

use std::io;
use std::process::exit;

use strongroom::{Vault, wipe_all};

use crate::{Outcome, Table, answer};

pub(crate) const ALL: Table = &[
    ("forked-child-reads-a-secret", || {
        in_child(|opened, _| {
            let zero = opened.iter().all(|&byte| byte == 0);
            Err(format!("all zero: {zero}").into())
        })
    }),
    ("forked-child-allocates", || in_child(|_, vault| answer(vault.try_allocate(8)))),
    ("forked-child-seals", || in_child(|_, vault| answer(vault.seal(b"", b"")))),
    ("forked-child-wipes", || {
        in_child(|_, _| {
            wipe_all();
            Err("wiped its own".into())
        })
    }),
];

/// Ends as a forked child did, if its parent was not harmed.
#[expect(unsafe_code, reason = "forks")]
fn in_child(violation: fn(&[u8], &Vault) -> Outcome) -> Outcome {
    let vault = Vault::new(8192)?;
    let mut opened = vault.try_allocate(64)?;
    opened.expose_secret_mut().fill(b'S');
    // SAFETY: this process has one thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        return violation(&opened.expose_secret(), &vault);
    }
    let mut status = 0;
    // SAFETY: `status` is a valid place for the answer.
    if unsafe { libc::waitpid(child, &raw mut status, 0) } != child {
        return Err(io::Error::last_os_error().into());
    }
    let unharmed = opened.expose_secret().iter().all(|&byte| byte == b'S');
    eprintln!("parent unharmed: {unharmed}");
    vault.verify()?;
    opened.release()?;
    exit(libc::WEXITSTATUS(status))
}
