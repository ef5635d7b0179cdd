//! What the figures were measured on.

use std::ffi::CStr;
use std::process::Command;
use std::{fs, thread};

use serde::Serialize;
use strongroom::limits::Limits;

/// The machine and the build.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) vectors: &'static str,
    pub(crate) memory: String,
    pub(crate) kernel: String,
    pub(crate) huge_pages: String,
    pub(crate) lock_limit: String,
    pub(crate) libc: String,
    pub(crate) rustc: &'static str,
    pub(crate) profile: &'static str,
    pub(crate) rustflags: &'static str,
    pub(crate) commit: String,
}

impl Machine {
    pub(crate) fn read() -> Self {
        Self {
            processor: line_of("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cores: thread::available_parallelism().map_or(0, usize::from),
            vectors: vectors(),
            memory: line_of("/proc/meminfo", "MemTotal").unwrap_or_else(unknown),
            kernel: first_line("/proc/sys/kernel/osrelease").unwrap_or_else(unknown),
            huge_pages: first_line("/sys/kernel/mm/transparent_hugepage/enabled")
                .unwrap_or_else(unknown),
            lock_limit: Limits::read().soft.to_string(),
            libc: glibc_version(),
            rustc: env!("BENCH_RUSTC"),
            profile: env!("BENCH_PROFILE"),
            rustflags: env!("BENCH_RUSTFLAGS"),
            commit: commit().unwrap_or_else(unknown),
        }
    }

    /// Names and values, for a table.
    pub(crate) fn rows(&self) -> Vec<[String; 2]> {
        let flags = if self.rustflags.is_empty() { "default" } else { self.rustflags };
        [
            ("Processor", format!("{}, {} cores", self.processor, self.cores)),
            ("Vectors", self.vectors.to_owned()),
            ("Memory", self.memory.clone()),
            ("Kernel", format!("Linux {}", self.kernel)),
            ("Transparent huge pages", self.huge_pages.clone()),
            ("Lock limit", self.lock_limit.clone()),
            ("C library", self.libc.clone()),
            ("Compiler", self.rustc.to_owned()),
            ("Build flags", format!("{flags}, {} profile", self.profile)),
            ("Commit", self.commit.clone()),
        ]
        .map(|(name, value)| [name.to_owned(), value])
        .into()
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn first_line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.lines().next()?.trim().to_owned())
}

/// The value behind a name in a file of `name: value` lines.
fn line_of(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The widest vectors that ciphers can use: how sealing stands beside others depends on them.
fn vectors() -> &'static str {
    let flags = line_of("/proc/cpuinfo", "flags").unwrap_or_default();
    let has = |wanted| flags.split_whitespace().any(|flag| flag == wanted);
    if has("avx512f") {
        "512 bits (AVX-512)"
    } else if has("avx2") {
        "256 bits (AVX2)"
    } else {
        "at most 128 bits"
    }
}

fn glibc_version() -> String {
    // SAFETY: it returns a static string.
    let version = unsafe { libc::gnu_get_libc_version() };
    // SAFETY: the string is NUL-terminated and lives forever.
    let version = unsafe { CStr::from_ptr(version) };
    format!("glibc {}", version.to_string_lossy())
}

/// Bytes that can be had without swapping.
pub(crate) fn available_memory() -> Option<usize> {
    let available = line_of("/proc/meminfo", "MemAvailable")?;
    Some(available.strip_suffix("kB")?.trim().parse::<usize>().ok()? * 1024)
}

/// What was checked out, with a mark if files were changed since.
fn commit() -> Option<String> {
    let mut command = Command::new("git");
    command.args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]);
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
