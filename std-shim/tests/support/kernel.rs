//! What the kernel says of this process, read without the library under test.

use std::ffi::CStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr::NonNull;

use strongroom::limits::Resource;

use super::{Confinement, User};

/// The bytes locked now, `VmLck`.
pub(crate) fn locked_bytes() -> u64 {
    let status = fs::read("/proc/self/status").unwrap();
    let status = String::from_utf8_lossy(&status).into_owned();
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    line.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

/// The number of mappings.
pub(crate) fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

/// The `VmFlags` and the permissions of the mapping that holds `address`, `proc(5)`.
pub(crate) fn flags_at(address: usize) -> Option<(String, Vec<String>)> {
    let holds = |mapping: &Flagged| mapping.0.contains(&address);
    flagged_mappings().into_iter().find(holds).map(|(_, access, flags)| (access, flags))
}

/// The mappings that are locked.
pub(crate) fn locked_mappings() -> Vec<Range<usize>> {
    let is_locked = |(_, _, flags): &Flagged| flags.iter().any(|flag| flag == "lo");
    flagged_mappings().into_iter().filter(is_locked).map(|(range, ..)| range).collect()
}

/// A mapping, its permissions, and its `VmFlags`.
type Flagged = (Range<usize>, String, Vec<String>);

fn flagged_mappings() -> Vec<Flagged> {
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let (mut mapping, mut found) = (None, Vec::new());
    for line in smaps.lines() {
        if let Some(begun) = header(line) {
            mapping = Some(begun);
        } else if let Some(flags) = line.strip_prefix("VmFlags:")
            && let Some((range, access)) = mapping.take()
        {
            let flags = flags.split_whitespace().map(str::to_owned).collect();
            found.push((range, access, flags));
        }
    }
    found
}

pub(crate) fn address(pages: NonNull<[MaybeUninit<u8>]>) -> usize {
    pages.cast::<u8>().addr().get()
}

pub(crate) fn is_root() -> bool {
    // SAFETY: reads a number of this process.
    unsafe { libc::geteuid() == 0 }
}

/// Sets both lock limits and gives up `CAP_IPC_LOCK`. Runs between fork and exec.
pub(crate) fn confine(confinement: Confinement) -> io::Result<()> {
    limit_locks(confinement.soft, confinement.hard)?;
    if confinement.user == User::Namespaced {
        return enter_user_namespace();
    }
    // Refused where there is no such capability to give up.
    // SAFETY: changes this process's capability bounding set only.
    let _ = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0) };
    Ok(())
}

/// Takes all capabilities from the calling thread, `capset(2)`.
pub(crate) fn give_up_capabilities() -> io::Result<()> {
    let (version_3, this_thread) = (0x2008_0522_u32, 0_u32);
    let header = [version_3, this_thread];
    let none = [0_u32; 6];
    // SAFETY: both structures have the sizes that version 3 has, and are valid during the call.
    let status = unsafe { libc::syscall(libc::SYS_capset, &raw const header, &raw const none) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets a limit, soft and hard.
pub(crate) fn limit(resource: Resource, amount: u64) {
    let limit = rlimit(amount, amount).unwrap();
    let number = match resource {
        Resource::AddressSpace => libc::RLIMIT_AS,
        Resource::Data => libc::RLIMIT_DATA,
        Resource::Descriptors => libc::RLIMIT_NOFILE,
        _ => unreachable!("{resource}"),
    };
    // SAFETY: `limit` is valid during the call.
    check(unsafe { libc::setrlimit(number, &raw const limit) }).unwrap();
}

/// Sets the lock limit in bytes.
pub(crate) fn limit_locks(soft: u64, hard: u64) -> io::Result<()> {
    let limit = rlimit(soft, hard)?;
    // SAFETY: `limit` is valid during the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) })
}

/// Unlocks all memory of the process, as another part of it may.
pub(crate) fn unlock_everything() -> io::Result<()> {
    // SAFETY: unlocking changes no byte and no access right.
    check(unsafe { libc::munlockall() })
}

/// A limit in the system's own type, which has 32 bits on some.
#[allow(clippy::useless_conversion, reason = "it has 64 bits on others")]
fn rlimit(soft: u64, hard: u64) -> io::Result<libc::rlimit> {
    let number = |bytes: u64| bytes.try_into().map_err(|_| ErrorKind::InvalidInput);
    Ok(libc::rlimit { rlim_cur: number(soft)?, rlim_max: number(hard)? })
}

/// Has everything locked that is mapped from now on.
pub(crate) fn lock_everything_from_now_on() -> io::Result<()> {
    // SAFETY: changes what later mappings are charged, and no byte.
    check(unsafe { libc::mlockall(libc::MCL_FUTURE) })
}

/// One page mapped with `protection`, or `None` at the limit. It is never given back.
pub(crate) fn map_a_page(protection: i32) -> Option<NonNull<u8>> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: with a null hint and without MAP_FIXED no existing mapping is touched.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) };
    if page == libc::MAP_FAILED { None } else { NonNull::new(page.cast()) }
}

/// Maps one page exactly at `address`, where nothing must be mapped, and fills it with 7.
pub(crate) fn move_in_at(address: usize) -> bool {
    let hint = std::ptr::without_provenance_mut(address);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: MAP_FIXED_NOREPLACE touches no existing mapping.
    let page = unsafe { libc::mmap(hint, 4096, rights, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return false;
    }
    // SAFETY: the page was mapped writable just now and belongs to nobody else.
    unsafe { page.cast::<u8>().write_bytes(7, 4096) };
    true
}

/// What stands at `address`, read through the kernel so that a hole is an error and no signal.
pub(crate) fn read_at(address: usize) -> io::Result<u8> {
    use std::os::unix::fs::FileExt;
    let mut byte = [0];
    fs::File::open("/proc/self/mem")?.read_exact_at(&mut byte, address as u64)?;
    Ok(byte[0])
}

/// The readable mappings of this process.
pub(crate) fn readable() -> Vec<Range<usize>> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let ranges = maps.lines().filter_map(header);
    ranges.filter(|(_, access)| access.starts_with('r')).map(|(range, _)| range).collect()
}

fn header(line: &str) -> Option<(Range<usize>, String)> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let hex = |text| usize::from_str_radix(text, 16).ok();
    Some((hex(start)?..hex(end)?, words.next()?.to_owned()))
}

fn enter_user_namespace() -> io::Result<()> {
    // SAFETY: reads a number of this process.
    let root = unsafe { libc::geteuid() } == 0;
    // SAFETY: this process has one thread; it gets a user namespace of its own.
    check(unsafe { libc::unshare(libc::CLONE_NEWUSER) })?;
    let map = if root { c"0 0 1" } else { c"0 65534 1" };
    write_file(c"/proc/self/uid_map", map)
}

fn write_file(path: &CStr, text: &CStr) -> io::Result<()> {
    // SAFETY: the path ends in NUL.
    let file = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY) };
    if file < 0 {
        return Err(io::Error::last_os_error());
    }
    let bytes = text.to_bytes();
    // SAFETY: `bytes` is valid for reads over its length.
    let written = unsafe { libc::write(file, bytes.as_ptr().cast(), bytes.len()) };
    if written < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn check(status: i32) -> io::Result<()> {
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const CAP_IPC_LOCK: libc::c_ulong = 14;
