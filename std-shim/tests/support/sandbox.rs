//! A seccomp filter that refuses one system call, as a sandbox or an older kernel would.

use std::ffi::c_long;
use std::io;

/// From now on the calling thread gets `errno` for `call`, or for that call with `third` as its
/// third argument only.
pub(crate) fn refuse(call: c_long, third: Option<i32>, errno: i32) -> io::Result<()> {
    refuse_with(call, third.map(|third| (2, third)), errno)
}

/// Likewise for the argument at an index.
pub(crate) fn refuse_with(
    call: c_long,
    argument: Option<(u32, i32)>,
    errno: i32,
) -> io::Result<()> {
    let errno = libc::SECCOMP_RET_ERRNO | u32::try_from(errno).unwrap();
    let call = u32::try_from(call).unwrap();
    let mut filter = vec![load(NUMBER)];
    match argument {
        None => filter.push(skip_unless(call, 1)),
        Some((index, value)) => filter.extend([
            skip_unless(call, 3),
            load(FIRST_ARGUMENT + 8 * index),
            skip_unless(u32::try_from(value).unwrap(), 1),
        ]),
    }
    filter.extend([answer(errno), answer(libc::SECCOMP_RET_ALLOW)]);
    install(&mut filter)
}

/// From now on `call` ends the calling thread's process, by SIGSYS.
pub(crate) fn kill(call: c_long) -> io::Result<()> {
    let call = u32::try_from(call).unwrap();
    install(&mut [
        load(NUMBER),
        skip_unless(call, 1),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        answer(libc::SECCOMP_RET_ALLOW),
    ])
}

fn install(filter: &mut [libc::sock_filter]) -> io::Result<()> {
    let length = u16::try_from(filter.len()).unwrap();
    let program = libc::sock_fprog { len: length, filter: filter.as_mut_ptr() };
    // SAFETY: takes from this thread the right to gain privileges.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: `program` and its filter are valid during the call, which copies them.
    check(unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) })
}

fn load(offset: u32) -> libc::sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, offset)
}

fn skip_unless(value: u32, instructions: u8) -> libc::sock_filter {
    instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, instructions, value)
}

fn answer(value: u32) -> libc::sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, 0, value)
}

fn instruction(code: u32, skip: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: u16::try_from(code).unwrap(), jt: 0, jf: skip, k }
}

fn check(status: i32) -> io::Result<()> {
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Offsets in `struct seccomp_data`; of an argument, the low half.
const NUMBER: u32 = 0;
const FIRST_ARGUMENT: u32 = if cfg!(target_endian = "little") { 16 } else { 20 };
