//! Want of memory.

use std::fs;
use std::hint::black_box;
use std::io;
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::Duration;

use strongroom_tests::noise::Noise;

/// Has the kernel swap to the machine's first disk, if it does not already.
pub(crate) fn swap_on() {
    // SAFETY: the text ends in NUL.
    let status = unsafe { libc::swapon(c"/dev/vda".as_ptr(), 0) };
    let error = io::Error::last_os_error();
    assert!(status == 0 || error.raw_os_error() == Some(libc::EBUSY), "swapon: {error}");
}

/// From now on this process may lock nothing, whoever it was.
pub(crate) fn forbid_locking() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is valid during the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const none) }, 0);
    // SAFETY: reads a number of this process.
    if unsafe { libc::geteuid() } == 0 {
        // SAFETY: this process becomes another user's.
        assert_eq!(unsafe { libc::setuid(NOBODY) }, 0);
    }
    // SAFETY: what has become another user's may be read by nobody: it is to be as it was.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) }, 0);
}

/// Fills memory, and goes through all of it again and again, until so many MiB were written to the swap
/// device. Gives how many were.
pub(crate) fn until_written(least: usize) -> usize {
    let mut ballast = Ballast::new();
    while written() < least {
        ballast.press();
    }
    written()
}

/// Likewise, until a program has ended. Leaves it time between.
pub(crate) fn until_ended(program: &mut Child) -> ExitStatus {
    let mut ballast = Ballast::new();
    loop {
        if let Some(status) = program.try_wait().unwrap() {
            println!("told {} MiB were swapped out", written());
            return status;
        }
        ballast.press();
        thread::sleep(Duration::from_millis(20));
    }
}

/// What memory is filled with.
struct Ballast {
    pieces: Vec<Vec<u64>>,
    noise: Noise,
}

impl Ballast {
    fn new() -> Self {
        Self { pieces: Vec::new(), noise: Noise(1) }
    }

    /// One more, and a look at some of the others.
    fn press(&mut self) {
        self.pieces.push((0..MEBIBYTE / 8).map(|_| self.noise.word()).collect());
        if self.pieces.len() > MOST {
            self.pieces.truncate(MOST / 2);
        }
        for piece in self.pieces.iter().step_by(7) {
            black_box(piece.iter().step_by(512).fold(0, |sum, word| sum ^ word));
        }
    }
}

/// `pswpout` counts pages (`proc_vmstat(5)`).
fn written() -> usize {
    let counts = fs::read_to_string("/proc/vmstat").unwrap();
    let pages = counts.lines().find_map(|line| line.strip_prefix("pswpout ")).unwrap();
    pages.parse::<usize>().unwrap() * 4096 / MEBIBYTE
}

/// Of what memory is filled with, in MiB: more than the machine has, less than with its swap device.
const MOST: usize = 700;
const MEBIBYTE: usize = 1 << 20;
const NOBODY: libc::uid_t = 65_534;
