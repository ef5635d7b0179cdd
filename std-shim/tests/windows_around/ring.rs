//! By `io_uring`.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use io_uring::{IoUring, opcode, squeue, types};
use strongroom::{Backing, Vault, Windows};

use super::support::memory::{is_readable, kinds};
use super::support::skip;
use super::{BYTE, secret, vault};

/// What the kernel does for a ring in the call it does with the rights of the thread that calls; a worker of the
/// kernel's has no window by keys.
#[test]
fn by_a_ring() {
    for windows in kinds() {
        let vault = vault(windows);
        let (secret, place) = secret(&vault);
        let (Some(mut ring), Some(mut other)) = (ring(), ring()) else { return };
        let is_shut = |ring: &mut IoUring, by| {
            assert_eq!(error(reads(ring, place, by)), Some(libc::EFAULT), "{windows:?} {by:?}");
        };
        for by in [By::Itself, By::Worker] {
            is_shut(&mut ring, by);
            assert_eq!(
                error(writes(&mut ring, place, by)),
                Some(libc::EFAULT),
                "{windows:?} {by:?}"
            );
        }
        let guard = secret.expose_secret();
        assert_eq!(reads(&mut other, place, By::Itself).unwrap(), BYTE, "{windows:?}");
        if windows == Windows::Keys {
            // It has a register of its own, whoever had it made.
            is_shut(&mut other, By::Worker);
        } else {
            assert_eq!(reads(&mut other, place, By::Worker).unwrap(), BYTE);
        }
        drop(guard);
        for ring in [&mut ring, &mut other] {
            is_shut(ring, By::Itself);
            is_shut(ring, By::Worker);
        }
    }
}

/// What was registered in a window the kernel has for good, whatever is shut later.
#[test]
fn by_registered_memory() {
    for windows in kinds() {
        let vault = vault(windows);
        let (secret, place) = secret(&vault);
        let Some(mut ring) = ring() else { return };
        assert_eq!(error(register(&mut ring, place)), Some(libc::EFAULT), "{windows:?}");
        let guard = secret.expose_secret();
        register(&mut ring, place).unwrap();
        drop(guard);
        assert!(!is_readable(place));
        assert_eq!(reads(&mut ring, place, By::Registered).unwrap(), BYTE);
    }
    // But for secret memory, which the kernel keeps for nobody.
    let backing = Backing::PreferSecretMemory;
    let vault = Vault::builder().backing(backing).windows(Windows::Pages).build().unwrap();
    let (secret, place) = secret(&vault);
    let (Some(mut ring), true) = (ring(), vault.protections().secret_memory) else { return };
    let _guard = secret.expose_secret();
    assert_eq!(error(register(&mut ring, place)), Some(libc::EFAULT));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// In the call.
    Itself,
    /// By a thread of the kernel's.
    Worker,
    /// Itself, of memory that was registered before.
    Registered,
}

fn error<T>(done: io::Result<T>) -> Option<i32> {
    done.err().and_then(|error| error.raw_os_error())
}

fn ring() -> Option<IoUring> {
    IoUring::new(4).inspect_err(|error| skip("io_uring", &error.to_string())).ok()
}

/// Has the ring write a byte of memory into a socket, which older kernels too do in the call: what it was.
fn reads(ring: &mut IoUring, place: *const u8, by: By) -> io::Result<u8> {
    let (mut reader, writer) = UnixStream::pair()?;
    let to = types::Fd(writer.as_raw_fd());
    let entry = match by {
        By::Registered => opcode::WriteFixed::new(to, place, 1, 0).build(),
        _ => opcode::Write::new(to, place, 1).build(),
    };
    submit(ring, entry, by)?;
    let mut byte = [0];
    reader.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// Has the ring read a byte from a socket into memory.
fn writes(ring: &mut IoUring, place: *const u8, by: By) -> io::Result<()> {
    let (reader, mut writer) = UnixStream::pair()?;
    writer.write_all(&[7])?;
    submit(ring, opcode::Read::new(types::Fd(reader.as_raw_fd()), place.cast_mut(), 1).build(), by)
}

fn submit(ring: &mut IoUring, entry: squeue::Entry, by: By) -> io::Result<()> {
    let flags = if by == By::Worker { squeue::Flags::ASYNC } else { squeue::Flags::empty() };
    // SAFETY: whether the memory may be used is what is asked; the descriptors are there until it is done.
    unsafe { ring.submission().push(&entry.flags(flags)) }.unwrap();
    ring.submit_and_wait(1)?;
    let result = ring.completion().next().unwrap().result();
    if result == 1 { Ok(()) } else { Err(io::Error::from_raw_os_error(-result)) }
}

/// Has the kernel keep the memory for the ring.
fn register(ring: &mut IoUring, place: *const u8) -> io::Result<()> {
    let memory = libc::iovec { iov_base: place.cast_mut().cast(), iov_len: 1 };
    // SAFETY: the memory is there as long as the ring.
    unsafe { ring.submitter().register_buffers(&[memory]) }
}
