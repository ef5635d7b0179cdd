//! A reader in a forked child: its locked memory is not there, so it reads nothing.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};

use strongroom::{OpenError, ReadError, Vault};
use support::{alone, forked};

mod support;

#[test]
fn a_forked_child_reads_nothing_into_memory_that_is_not_locked() {
    alone("a_forked_child_reads_nothing_into_memory_that_is_not_locked", || {
        let path = std::env::temp_dir().join(format!("strongroom-lines-{}", std::process::id()));
        // More than is read ahead.
        fs::write(&path, "secret\n".repeat(1000)).unwrap();
        let vault = Vault::new(1).unwrap();
        let mut lines = vault.reader(File::open(&path).unwrap());
        fs::remove_file(&path).unwrap();
        assert!(lines.read_line(10).unwrap().unwrap().constant_time_eq(b"secret"));

        let is_forked = |error| matches!(error, ReadError::Open(OpenError::Forked));
        let status = forked(|| {
            lines.read_line(10).is_err_and(is_forked)
                && lines.read_to_end(100).is_err_and(is_forked)
                && vault.read_file("/proc/self/status", 100_000).is_err_and(is_forked)
        });
        assert!(status.success(), "{status}");
        // Both share the place in the file: what the child had read, the parent would miss.
        for _ in 1..1000 {
            assert!(lines.read_line(10).unwrap().unwrap().constant_time_eq(b"secret"));
        }
        assert!(lines.read_line(10).unwrap().is_none());
    });
}
