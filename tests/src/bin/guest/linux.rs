//! What the first process of a Linux machine owes it: file systems, drivers, the loopback, and children that
//! somebody waits for.

use std::ffi::CStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, Command};
use std::ptr;

use crate::plan;

pub(crate) fn main() {
    if process::id() != 1 {
        eprintln!("this is the first program of a machine: see tests/guest/run");
        process::exit(2);
    }
    make_ready().unwrap_or_else(|error| println!("guest: not ready: {error}"));
    if !Path::new("/plan").exists() {
        let error = hand_over();
        println!("guest: not handed over: {error}");
        power_off();
    }
    // Orphans become children of the first process, which does nothing but wait for them.
    // SAFETY: this process has one thread, and the child goes on where it left off.
    match unsafe { libc::fork() } {
        0 => plan::run(),
        runner => while wait_for_any() != runner {},
    }
    power_off();
}

fn make_ready() -> io::Result<()> {
    for (kind, place, data) in FILE_SYSTEMS {
        fs::create_dir_all(place.to_str().unwrap())?;
        mount(kind, place, kind, 0, data)?;
    }
    // All is in memory already; what is to be run may be below.
    fs::create_dir_all("/tmp")?;
    fs::set_permissions("/tmp", Permissions::from_mode(0o1777))?;
    for module in fs::read_to_string("/modules/order")?.lines() {
        load(module).map_err(|error| io::Error::other(format!("loading {module}: {error}")))?;
    }
    raise_loopback()
}

fn load(module: &str) -> io::Result<()> {
    let file = File::open(format!("/modules/{module}"))?;
    // SAFETY: the file is open, the text ends in NUL; it is a module of this very kernel's.
    let status =
        unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) };
    check(status.try_into().unwrap())
}

/// Makes the first disk the root, and its own first program this process. Returns only why not.
fn hand_over() -> io::Error {
    let over = || {
        fs::create_dir_all("/disk")?;
        mount(c"/dev/vda", c"/disk", c"ext4", 0, c"")?;
        std::env::set_current_dir("/disk")?;
        mount(c".", c"/", c"", libc::MS_MOVE, c"")?;
        std::os::unix::fs::chroot(".")
    };
    match over() {
        Ok(()) => Command::new("/sbin/init").exec(),
        Err(error) => error,
    }
}

fn mount(
    source: &CStr,
    place: &CStr,
    kind: &CStr,
    flags: libc::c_ulong,
    data: &CStr,
) -> io::Result<()> {
    // SAFETY: all four are texts that end in NUL.
    let status = unsafe {
        libc::mount(source.as_ptr(), place.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast())
    };
    check(status).map_err(|error| io::Error::other(format!("mounting {place:?}: {error}")))
}

fn raise_loopback() -> io::Result<()> {
    // SAFETY: makes a descriptor.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0) };
    check(socket)?;
    // SAFETY: all bytes of this type may be zero.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, letter) in request.ifr_name.iter_mut().zip(*b"lo") {
        *place = libc::c_char::from_ne_bytes([letter]);
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING).try_into().unwrap();
    // SAFETY: the request is valid during the call. `as _`: C libraries differ in the number's type.
    let status = unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw const request) };
    // SAFETY: the descriptor is this function's own.
    unsafe { libc::close(socket) };
    check(status)
}

/// The number of a child that has ended; of the runner, if there is none any more.
fn wait_for_any() -> libc::pid_t {
    // SAFETY: no answer but the number is asked for.
    unsafe { libc::waitpid(-1, ptr::null_mut(), 0) }
}

/// Switches the machine off as it stands.
pub(crate) fn power_off() -> ! {
    // SAFETY: writes what is to be written to disks.
    unsafe { libc::sync() };
    // SAFETY: the machine has nothing else to do.
    unsafe { libc::reboot(libc::RB_POWER_OFF) };
    unreachable!("a machine that is off");
}

/// Writes all memory to the first disk, from which it is not woken any more.
pub(crate) fn hibernate() -> ! {
    let asked = fs::write("/sys/power/disk", "shutdown")
        .and_then(|()| {
            // The kernel's numbers of the disk, which it is to write to.
            let numbers = fs::read_to_string("/sys/block/vda/dev")?;
            fs::write("/sys/power/resume", numbers.trim())
        })
        .and_then(|()| fs::write("/sys/power/state", "disk"));
    match asked {
        Ok(()) => println!("guest: told that it woke up again"),
        Err(error) => println!("guest: told hibernation refused: {error}"),
    }
    power_off();
}

fn check(status: i32) -> io::Result<()> {
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

const FILE_SYSTEMS: [(&CStr, &CStr, &CStr); 4] = [
    (c"proc", c"/proc", c""),
    (c"sysfs", c"/sys", c""),
    (c"devtmpfs", c"/dev", c""),
    (c"devpts", c"/dev/pts", c"ptmxmode=666"),
];
