//! Whether this machine was cloned: a snapshot of it was taken, and resumed more than once. Who is told so
//! counts it here, and each vault renews itself when the count is another than it was.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::debug::debug_as_displayed;

/// Has every vault of this process [renew](crate::Vault::renew) itself before it seals next or draws
/// random bytes: for the hook that is run when a machine was resumed from a snapshot, and does not know all
/// vaults.
///
/// It takes no lock, allocates nothing, makes no system call and is async-signal-safe
/// (`signal-safety(7)`). A vault that cannot renew itself then seals nothing: [`SealError::NoEntropy`].
///
/// ```
/// use strongroom::Vault;
///
/// let vault = Vault::new(64 * 1024)?;
/// let before = vault.seal(b"hunter2", b"")?;
/// strongroom::renew_all();
/// // Under a number that no copy of this machine uses.
/// let after = vault.seal(b"hunter2", b"")?;
/// # assert_ne!(before.record()[..7], after.record()[..7]);
/// assert_eq!(vault.try_open(&before, b"")?.expose_secret(), b"hunter2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [`SealError::NoEntropy`]: crate::SealError::NoEntropy
pub fn renew_all() {
    NOTICES.fetch_add(1, Ordering::Release);
}

/// Has every vault of this process renew itself, as by [`renew_all`], when Linux tells that the machine was
/// resumed as a copy, and when somebody sets the clock. Call it when the process starts; again is no harm. It
/// says whether [Linux would tell](CloneNotice).
///
/// A thread (`strongroom-clones`) waits for each and does nothing else.
///
/// **What is sealed before the notice has come is not protected**: the copies seal it under the same nonces.
/// Whoever can run a hook before anything is sealed calls [`renew_all`] or
/// [`Vault::renew`](crate::Vault::renew) there.
///
/// Locked memory without a vault ([`LockedArena`](crate::LockedArena)) is not told; `Arena::reseed` is for
/// its owner to call.
///
/// # Forked children
/// A child has none of its parent's threads, and its parent's vaults are closed to it. If it makes vaults of
/// its own it calls this again. So does a process that has closed all its files, a daemon say.
///
/// # Errors
/// [`CloneWatchError`] if no notice would come.
///
/// ```
/// use strongroom::Vault;
///
/// match strongroom::renew_when_cloned() {
///     Ok(notice) => println!("vaults renew themselves {notice}"),
///     // On a machine that is never cloned it is nothing to worry about.
///     Err(error) => eprintln!("{error}"),
/// }
/// let vault = Vault::new(64 * 1024)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn renew_when_cloned() -> Result<CloneNotice, CloneWatchError> {
    watch::begin()
}

/// How often this process was told that its machine may have been cloned.
#[inline]
pub(crate) fn notices() -> u32 {
    NOTICES.load(Ordering::Acquire)
}

static NOTICES: AtomicU32 = AtomicU32::new(0);

/// By what a process learns that its machine was cloned; see [`renew_when_cloned`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloneNotice {
    /// The kernel says so in its log, moments after the machine goes on. Its hypervisor gives a machine another
    /// number when it resumes it from a snapshot ([vmgenid], a device of QEMU, Hyper-V and Firecracker among
    /// others); Linux since 5.18 mixes the number into its generator and writes a line into its log,
    /// `/dev/kmsg`. (A message to processes, `NEW_VMGENID`, was in Linux 6.8 and was taken out again.) If a
    /// hypervisor gives a copy the number that it had, it is as with [`ClockSet`](Self::ClockSet).
    ///
    /// [vmgenid]: https://uapi-group.org/specifications/specs/vmgenid
    KernelLog,
    /// Nobody says so but whoever sets the clock (`timerfd_create(2)`, `TFD_TIMER_CANCEL_ON_SET`), as is done
    /// for a machine that was resumed late by whatever keeps its time: seconds after, or never. Each time the
    /// clock is set for another reason costs a renewal, some microseconds.
    ClockSet(KernelLogError),
}

impl Display for CloneNotice {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::KernelLog => {
                f.write_str(
                "when the kernel's log says that this machine was cloned, and when the clock is set",
            )
            }
            Self::ClockSet(why) => write!(f, "only when the clock is set: {why}"),
        }
    }
}

/// Why the kernel's log does not tell this process that its machine was cloned.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelLogError {
    /// The machine has no device by which its hypervisor tells of it, or the kernel no driver for it.
    NoDevice,
    /// The process may not read the log.
    Refused {
        /// The error number, `errno(3)`.
        code: i32,
    },
}

/// Nothing tells this process that its machine was cloned.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloneWatchError {
    /// The system tells no process of it: macOS.
    NotHere,
    /// The system refuses a timer, `timerfd_create(2)`: a sandbox, or `RLIMIT_NOFILE`.
    Refused {
        /// Its error number, `errno(3)`.
        code: i32,
    },
    /// No thread can be started.
    NoThread,
}

debug_as_displayed!(KernelLogError, CloneWatchError);

impl Display for KernelLogError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDevice => f.write_str(
                "there is no device vmgenid in /sys/bus/platform/drivers/vmgenid or \
                 /sys/bus/acpi/drivers/vmgenid; give the machine one (`-device vmgenid,guid=auto` of QEMU, \
                 `<genid/>` of libvirt), and its kernel the driver (CONFIG_VMGENID, Linux 5.18)",
            ),
            Self::Refused { code } => write!(
                f,
                "/dev/kmsg cannot be read ({}); give the process CAP_SYSLOG (`AmbientCapabilities=CAP_SYSLOG` \
                 in a systemd unit), and a container the device (`--device /dev/kmsg:/dev/kmsg:r`), or call \
                 renew_when_cloned before privileges are given up",
                io::Error::from_raw_os_error(*code)
            ),
        }
    }
}

impl Display for CloneWatchError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("vaults do not renew themselves when this machine is cloned: ")?;
        match self {
            Self::NotHere => f.write_str("this system tells no process of it")?,
            Self::Refused { code } => write!(
                f,
                "no timer can be had ({}); allow timerfd_create and timerfd_settime where a filter forbids \
                 them, or raise RLIMIT_NOFILE (`ulimit -n`)",
                io::Error::from_raw_os_error(*code)
            )?,
            Self::NoThread => f.write_str(
                "no thread can be started that waits for the notice; raise RLIMIT_NPROC or the pids limit of \
                 the control group",
            )?,
        }
        f.write_str("; call strongroom::renew_all when it is resumed")
    }
}

impl Error for KernelLogError {}

impl Error for CloneWatchError {}

#[cfg(target_os = "linux")]
mod watch {
    use std::fs::{self, File};
    use std::io::{self, Read, Seek, SeekFrom};
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::{CloneNotice, CloneWatchError, KernelLogError};
    use crate::fork::Generation;
    use crate::sys;

    pub(super) fn begin() -> Result<CloneNotice, CloneWatchError> {
        let here = Generation::current().number();
        let is_watched = |by: &AtomicUsize| by.load(Ordering::Acquire) == here;
        // In any case: a hypervisor may tell the kernel nothing, though it could.
        let clock = if is_watched(&BY_CLOCK) {
            Ok(())
        } else {
            let refused = |error| CloneWatchError::Refused { code: code(&error) };
            sys::clock_set().map_err(refused).and_then(|clock| start(here, &BY_CLOCK, clock))
        };
        if !is_watched(&BY_LOG) {
            match kernel_log() {
                Ok(log) => start(here, &BY_LOG, log)?,
                Err(why) => return clock.map(|()| CloneNotice::ClockSet(why)),
            }
        }
        Ok(CloneNotice::KernelLog)
    }

    /// The log, from its end on, if a line about clones may come.
    fn kernel_log() -> Result<File, KernelLogError> {
        if !DRIVERS.iter().any(|driver| has_device(Path::new(driver))) {
            return Err(KernelLogError::NoDevice);
        }
        let log = File::open("/dev/kmsg").and_then(|mut log| {
            log.seek(SeekFrom::End(0))?;
            Ok(log)
        });
        log.map_err(|error| KernelLogError::Refused { code: code(&error) })
    }

    /// Starts the thread. Of several that are started for the same at the same time, one stays.
    fn start(
        here: usize,
        watched: &'static AtomicUsize,
        mut told: File,
    ) -> Result<(), CloneWatchError> {
        let watch = move || {
            let before = watched.load(Ordering::Acquire);
            let is_first = before != here
                && watched
                    .compare_exchange(before, here, Ordering::AcqRel, Ordering::Acquire)
                    .is_ok();
            if is_first {
                listen(&mut told, super::renew_all);
                watched.store(NOBODY, Ordering::Release);
            }
        };
        let thread = thread::Builder::new().name("strongroom-clones".into()).stack_size(STACK);
        thread.spawn(watch).map(drop).map_err(|_| CloneWatchError::NoThread)
    }

    /// Passes on what tells of a clone, until no more can be heard.
    fn listen(told: &mut impl Read, mut notice: impl FnMut()) {
        let mut line = [0; LONGEST];
        loop {
            let is_notice = match told.read(&mut line) {
                // Neither of them ends: it is another file by now.
                Ok(0) => return notice(),
                Ok(len) => tells_of_clone(line.get(..len).unwrap_or_default()),
                Err(error) => match code(&error) {
                    // Nothing was lost; or a line that is longer than the kernel's are.
                    libc::EINTR | libc::EINVAL => false,
                    // The clock was set; or lines were overwritten before they were read.
                    libc::ECANCELED | libc::EPIPE => true,
                    // Somebody has closed the file. What was told meanwhile is not known.
                    _ => return notice(),
                },
            };
            if is_notice {
                notice();
            }
        }
    }

    /// Whether this is a line of the kernel's log, by the kernel and not by a process, that tells of a clone:
    /// `5,740,2511340,-;random: crng reseeded due to virtual machine fork`. The first number is eight times
    /// the facility and the priority; the kernel is the facility 0, which it gives to nobody else.
    fn tells_of_clone(line: &[u8]) -> bool {
        let [b'0'..=b'7', b',', rest @ ..] = line else { return false };
        let Some(end) = rest.iter().position(|&byte| byte == b';') else { return false };
        rest.get(end + 1..).is_some_and(|text| text.starts_with(MESSAGE))
    }

    /// Whether a driver has a device: a link to it among its files, and to its module perhaps.
    fn has_device(driver: &Path) -> bool {
        let entries = fs::read_dir(driver).into_iter().flatten().flatten();
        let mut links =
            entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()));
        links.any(|link| link.file_name() != "module")
    }

    fn code(error: &io::Error) -> i32 {
        error.raw_os_error().unwrap_or(0)
    }

    /// Since Linux 5.18, in `drivers/char/random.c`.
    const MESSAGE: &[u8] = b"random: crng reseeded due to virtual machine fork";

    /// Of ACPI before Linux 6.10, and after.
    const DRIVERS: [&str; 2] =
        ["/sys/bus/acpi/drivers/vmgenid", "/sys/bus/platform/drivers/vmgenid"];

    /// `PRINTK_MESSAGE_MAX` of the kernel's is 2048; escaped, each byte may take four.
    const LONGEST: usize = 8192 + 256;

    const STACK: usize = 64 * 1024;

    /// The process, by its generation, in which somebody reads the log, or waits for the clock.
    static BY_LOG: AtomicUsize = AtomicUsize::new(NOBODY);
    static BY_CLOCK: AtomicUsize = AtomicUsize::new(NOBODY);

    const NOBODY: usize = 0;

    #[cfg(test)]
    mod tests {
        use std::os::unix::fs::symlink;

        use super::*;

        const LINE: &[u8] = b"5,740,2511340,-;random: crng reseeded due to virtual machine fork\n";

        #[test]
        fn the_kernel_s_line_tells_of_a_clone_and_no_other() {
            for telling in [
                LINE,
                &LINE[..LINE.len() - 1],
                b"5,1,0,-,caller=T12;random: crng reseeded due to virtual machine fork\n SUBSYSTEM=x\n",
            ] {
                assert!(tells_of_clone(telling), "{}", telling.escape_ascii());
            }
            for other in [
                &b""[..],
                b"5",
                b"5,",
                b"5,740,2511340,-",
                b"5,740,2511340,-;",
                b"5,740,2511340,-;random: crng init done\n",
                b"5,740,2511340,-;audit: random: crng reseeded due to virtual machine fork\n",
                b"5,740,2511340,-;x;random: crng reseeded due to virtual machine fork\n",
                b"x,740,2511340,-;random: crng reseeded due to virtual machine fork\n",
            ] {
                assert!(!tells_of_clone(other), "{}", other.escape_ascii());
            }
        }

        /// What a process writes into the log has another facility: 1, at least.
        #[test]
        fn a_process_that_writes_the_kernel_s_line_tells_nothing() {
            for sender in ["8", "13", "15", "29", "191", "05", "-5", " 5"] {
                let line = [sender.as_bytes(), &LINE[1..]].concat();
                assert!(!tells_of_clone(&line), "{}", line.escape_ascii());
            }
        }

        /// Answers with each of these, one after the other.
        struct Told<'t>(&'t [Result<&'static [u8], i32>]);

        impl Read for Told<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let (next, rest) = self.0.split_first().expect("nothing is read after the end");
                self.0 = rest;
                let line = next.map_err(io::Error::from_raw_os_error)?;
                buffer[..line.len()].copy_from_slice(line);
                Ok(line.len())
            }
        }

        #[test]
        fn what_was_lost_is_a_notice_and_what_was_not_is_none() {
            for (told, notices) in [
                (Ok(LINE), 1),
                (Ok(&b"6,1,0,-;other\n"[..]), 0),
                (Err(libc::ECANCELED), 1),
                (Err(libc::EPIPE), 1),
                (Err(libc::EINTR), 0),
                (Err(libc::EINVAL), 0),
            ] {
                for end in [Err(libc::EBADF), Ok(&b""[..])] {
                    let mut count = 0;
                    let all = [told, told, end];
                    let mut all = Told(&all);
                    listen(&mut all, || count += 1);
                    // And one at the end, after which nothing is heard.
                    assert_eq!((count, all.0.len()), (2 * notices + 1, 0), "{told:?} {end:?}");
                }
            }
        }

        #[test]
        fn a_driver_without_a_device_tells_nothing() {
            let folder =
                std::env::temp_dir().join(format!("strongroom-vmgenid-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            assert!(!has_device(&folder.join("absent")));
            for file in ["bind", "uevent", "unbind"] {
                fs::write(folder.join(file), "").unwrap();
            }
            symlink("/", folder.join("module")).unwrap();
            assert!(!has_device(&folder));
            symlink("/", folder.join("VMGENCTR:00")).unwrap();
            assert!(has_device(&folder));
            fs::remove_dir_all(folder).unwrap();
        }

        /// Nobody sets the clock here; tests/guest/run snapshot does.
        #[test]
        fn who_waits_for_the_clock_waits() {
            let mut clock = sys::clock_set().unwrap();
            let waiting =
                thread::spawn(move || clock.read(&mut [0; 8]).map_err(|error| code(&error)));
            thread::sleep(std::time::Duration::from_millis(50));
            assert!(!waiting.is_finished(), "{:?}", waiting.join());
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod watch {
    use super::{CloneNotice, CloneWatchError};

    pub(super) fn begin() -> Result<CloneNotice, CloneWatchError> {
        Err(CloneWatchError::NotHere)
    }
}
