//! The first program of the machine that `tests/guest/run` boots: makes Linux ready, runs the tests that it
//! was given one after the other, tells how each went, and powers off.
//!
//! Linked statically it is `/init`. `/plan` has a line for each test, in fields between tabs: its name, for
//! how many seconds it may run, settings of the environment (`NAME=value`), the program and its arguments.
//! The machine's console gets one line for each: `guest: NAME ok`, `guest: NAME skipped (why)` or
//! `guest: NAME FAILED (why)`. What a program says that begins with `told ` is passed on at once; after
//! `told power-off` the machine is switched off as it stands, with the program in the middle of its work, and
//! after `told hibernate` all its memory is written to its first disk.
//!
//! Without a plan the machine is handed over to the first program of its first disk: `/sbin/init` of a file
//! system of ext4.
#![allow(clippy::unwrap_used, reason = "a machine that is not made ready ends with a message")]

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod plan;

strongroom_tests::main_on_linux!(linux::main);
