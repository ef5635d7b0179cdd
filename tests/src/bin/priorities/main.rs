//! Real-time threads of different priorities on one processor, which share the library; what
//! `tests/priorities.rs` starts, watches and kills.
//!
//! ```text
//! priorities SUBJECT SECONDS [middle]
//! urgent   20   wakes every 50 µs, works
//! middle   15   begins somewhere in a phase and never sleeps until the phase is nearly over
//! patient  10   works without end
//! phases        bare | library | bare | library | …   bare: overwrites as many bytes, and no more
//! ```
//! It prints the longest time between two pieces of the urgent thread's work, and how many there
//! were, for each kind of phase. With status 77 it says that such threads cannot be had here.
#![allow(clippy::unwrap_used, reason = "what cannot be set up fails by panicking")]

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: priorities of threads are set in Linux's way");
    std::process::exit(77);
}
