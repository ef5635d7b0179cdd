//! Streams: what is longer than the budget, sealed and opened chunk by chunk.

use std::ffi::c_void;
use std::io::{self, ErrorKind, Read, Write};

use strongroom::strongroom_core::Enclave;
use strongroom::{
    OpeningStream, OwnedOpened, STREAM_CHUNK, SealingStream, Share, StreamError, StreamHeader,
    WindowKind,
};

use crate::pointers::{alone, bytes, bytes_mut, handle_place, place, shared, take_back};
use crate::status::{Failure, Status, border};
use crate::vault::{VaultHandle, allocate};
use crate::window::Window;

/// Seals what is pushed into it, chunk by chunk. Only the vault that sealed a stream can open it.
pub struct SealStream {
    stream: SealingStream<Vec<u8>, OwnedOpened>,
}

/// Opens what is pushed into it, chunk by chunk.
pub struct OpenStream {
    /// How long the chunk is that is out to be read, and its window if the vault has any, which goes before
    /// it.
    exposed: Option<(usize, Option<Window>)>,
    stream: OpeningStream<Pipe, OwnedOpened>,
    share: Share,
    chunk_len: usize,
}

/// What was pushed and not read yet.
#[derive(Default)]
struct Pipe {
    bytes: Vec<u8>,
    read: usize,
    is_ended: bool,
}

impl Pipe {
    fn len(&self) -> usize {
        self.bytes.len() - self.read
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.read);
        self.read = 0;
        self.bytes.extend_from_slice(bytes);
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = &self.bytes[self.read..];
        if left.is_empty() && !self.is_ended && !buffer.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.read += count;
        Ok(count)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match StreamError::of(&error) {
            Some(error) => Self::Stream(error),
            None if error.kind() == ErrorKind::WouldBlock => Self::Wanting,
            None => Self::Panic(error.to_string()),
        }
    }
}

/// What a chunk of so many bytes takes in a stream.
fn sealed_len(chunk: usize) -> usize {
    Enclave::record_len(chunk).saturating_add(FRAME)
}

/// What stands before a chunk's record.
const FRAME: usize = 4;

fn room(share: &Share, chunk_len: usize, timeout_ms: u64) -> Result<OwnedOpened, Failure> {
    let chunk_len = if chunk_len == 0 { STREAM_CHUNK } else { chunk_len };
    Ok(allocate(share, chunk_len, timeout_ms)?)
}

/// Begins a stream, with room in locked memory for one chunk of `chunk_len` bytes, which it keeps until
/// it is taken back; 0 for 16 KiB. It waits for that room as strongroom_open does. Opening takes the same
/// context again.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_seal_stream_new(
    vault: *const VaultHandle,
    chunk_len: usize,
    context: *const c_void,
    context_len: usize,
    timeout_ms: u64,
    stream: *mut *mut SealStream,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let place = unsafe { handle_place(stream, "stream") }?;
        // SAFETY: as above.
        let share = &unsafe { shared(vault, "vault") }?.share;
        // SAFETY: as above.
        let context = unsafe { bytes(context, context_len, "context") }?;
        let room = room(share, chunk_len, timeout_ms)?;
        place.give(SealStream { stream: SealingStream::new(room, Vec::new(), context)? });
        Ok(())
    })
}

/// The most bytes of the stream that pushing `len` bytes can give, and those of strongroom_seal_stream_end
/// if `len` is 0; stored in `bound`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_seal_stream_bound(
    stream: *const SealStream,
    len: usize,
    bound: *mut usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let bound = unsafe { place(bound, "bound") }?;
        // SAFETY: as above.
        bound.put(unsafe { shared(stream, "stream") }?.bound(len));
        Ok(())
    })
}

impl SealStream {
    fn bound(&self, len: usize) -> usize {
        let chunk = self.stream.chunk_len();
        // One that was begun before, and one that is left.
        let chunks = (len / chunk).saturating_add(2);
        chunks.saturating_mul(sealed_len(chunk)).saturating_add(StreamHeader::LEN)
    }

    /// Does something that gives bytes of the stream, and moves them to where they go.
    fn give(
        &mut self,
        sealed: &mut [u8],
        pushed: usize,
        work: impl FnOnce(&mut SealingStream<Vec<u8>, OwnedOpened>, &mut Sink<'_>) -> io::Result<()>,
    ) -> Result<usize, Failure> {
        let needed = self.bound(pushed);
        if sealed.len() < needed {
            return Err(Failure::TooSmall { needed, given: sealed.len() });
        }
        let mut sink = Sink { sealed, len: 0 };
        work(&mut self.stream, &mut sink)?;
        sink.take(&mut self.stream);
        Ok(sink.len)
    }
}

/// Where a stream's bytes go: there is room for all that may come.
struct Sink<'c> {
    sealed: &'c mut [u8],
    len: usize,
}

impl Sink<'_> {
    fn take(&mut self, stream: &mut SealingStream<Vec<u8>, OwnedOpened>) {
        let written = stream.writer_mut();
        self.sealed[self.len..self.len + written.len()].copy_from_slice(written);
        self.len += written.len();
        written.clear();
    }
}

/// Seals `len` bytes more, and writes the bytes of the stream that this gives to `sealed`, which has room
/// for `capacity`: strongroom_seal_stream_bound says how much is enough. How many it gave is stored in
/// `sealed_len`; if the room is too small, how much it takes, and nothing was pushed.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_seal_stream_push(
    stream: *mut SealStream,
    secret: *const c_void,
    len: usize,
    sealed: *mut c_void,
    capacity: usize,
    sealed_len: *mut usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let secret = unsafe { bytes(secret, len, "secret") }?;
        let push = |stream: &mut SealingStream<Vec<u8>, OwnedOpened>, sink: &mut Sink<'_>| {
            let mut left = secret;
            while !left.is_empty() {
                let count = stream.write(left)?;
                left = &left[count..];
                sink.take(stream);
            }
            Ok(())
        };
        // SAFETY: as above.
        unsafe { give(stream, len, (sealed, capacity, sealed_len), push) }
    })
}

/// Seals what was pushed so far as a shorter chunk, for a reader at the other end. Otherwise as
/// strongroom_seal_stream_push of 0 bytes.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_seal_stream_flush(
    stream: *mut SealStream,
    sealed: *mut c_void,
    capacity: usize,
    sealed_len: *mut usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        unsafe { give(stream, 0, (sealed, capacity, sealed_len), |stream, _| stream.flush()) }
    })
}

/// Seals the last chunk, without which a stream is a truncated one, which does not open. Otherwise as
/// strongroom_seal_stream_push of 0 bytes.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_seal_stream_end(
    stream: *mut SealStream,
    sealed: *mut c_void,
    capacity: usize,
    sealed_len: *mut usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        unsafe { give(stream, 0, (sealed, capacity, sealed_len), |stream, _| stream.end()) }
    })
}

/// # Safety
/// What the header says of pointers.
unsafe fn give(
    stream: *mut SealStream,
    pushed: usize,
    (sealed, capacity, sealed_len): (*mut c_void, usize, *mut usize),
    work: impl FnOnce(&mut SealingStream<Vec<u8>, OwnedOpened>, &mut Sink<'_>) -> io::Result<()>,
) -> Result<(), Failure> {
    // SAFETY: the caller promises what the header says of pointers.
    let len = unsafe { place(sealed_len, "sealed_len") }?;
    // SAFETY: as above.
    let stream = unsafe { alone(stream, "stream") }?;
    // SAFETY: as above.
    let sealed = unsafe { bytes_mut(sealed, capacity, "sealed") }?;
    match stream.give(sealed, pushed, work) {
        Ok(given) => {
            len.put(given);
            Ok(())
        }
        Err(failure) => {
            len.put(if let Failure::TooSmall { needed, .. } = failure { needed } else { 0 });
            Err(failure)
        }
    }
}

/// Takes a stream back, and wipes what it holds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strongroom_seal_stream_free(stream: *mut *mut SealStream) {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        unsafe { take_back(stream, "stream") }.map(drop)
    });
}

/// Begins to open a stream, with room in locked memory for one chunk of `chunk_len` bytes, which it keeps
/// until it is taken back; 0 for 16 KiB. A stream whose chunks are longer does not open.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_open_stream_new(
    vault: *const VaultHandle,
    chunk_len: usize,
    context: *const c_void,
    context_len: usize,
    timeout_ms: u64,
    stream: *mut *mut OpenStream,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let place = unsafe { handle_place(stream, "stream") }?;
        // SAFETY: as above.
        let share = &unsafe { shared(vault, "vault") }?.share;
        // SAFETY: as above.
        let context = unsafe { bytes(context, context_len, "context") }?;
        let room = room(share, chunk_len, timeout_ms)?;
        let chunk_len = room.len();
        let stream = OpeningStream::new(room, Pipe::default(), context);
        place.give(OpenStream { stream, share: share.clone(), chunk_len, exposed: None });
        Ok(())
    })
}

/// Pushes the next bytes of the stream. It takes no more than about two chunks before those are read; how
/// many it took is stored in `taken`: read (strongroom_open_stream_read), then push the rest. No bytes say
/// that there are no more.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_open_stream_push(
    stream: *mut OpenStream,
    sealed: *const c_void,
    len: usize,
    taken: *mut usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let taken = unsafe { place(taken, "taken") }?;
        // SAFETY: as above.
        let stream = unsafe { alone(stream, "stream") }?;
        // SAFETY: as above.
        let sealed = unsafe { bytes(sealed, len, "sealed") }?;
        taken.put(0);
        stream.share.vault().check()?;
        let most = sealed_len(stream.chunk_len).saturating_mul(2) + StreamHeader::LEN;
        let pipe = stream.stream.reader_mut();
        let count = sealed.len().min(most.saturating_sub(pipe.len()));
        if sealed.is_empty() {
            pipe.is_ended = true;
        } else if pipe.is_ended {
            return Err(StreamError::Ended.into());
        }
        pipe.push(&sealed[..count]);
        taken.put(count);
        Ok(())
    })
}

/// Exposes what is open of the stream's next chunk, in locked memory, until strongroom_open_stream_end.
/// STRONGROOM_PENDING: push more first. No bytes: the stream has ended, and nothing was left out.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_open_stream_read(
    stream: *mut OpenStream,
    bytes: *mut *const u8,
    len: *mut usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let first = unsafe { place(bytes, "bytes") }?;
        // SAFETY: as above.
        let len = unsafe { place(len, "len") }?;
        // SAFETY: as above.
        let stream = unsafe { alone(stream, "stream") }?;
        if stream.exposed.is_some() {
            return Err(Failure::Exposed { exposures: 1 });
        }
        stream.share.vault().check()?;
        let chunk = stream.stream.chunk()?;
        first.put(chunk.as_ptr());
        let count = chunk.len();
        len.put(count);
        let kind = stream.share.vault().windows();
        // SAFETY: the chunk stays where it is as long as the stream, in which the window is.
        let window = (kind != WindowKind::None).then(|| unsafe { Window::reading(kind, chunk) });
        stream.exposed = Some((count, window));
        Ok(())
    })
}

/// Ends what strongroom_open_stream_read began, and wipes the first `used` of the bytes, which are not
/// shown again.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn strongroom_open_stream_end(
    stream: *mut OpenStream,
    used: usize,
) -> Status {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        let stream = unsafe { alone(stream, "stream") }?;
        let (len, window) = stream.exposed.as_ref().ok_or(Failure::NotExposed)?;
        if window.as_ref().is_some_and(|window| !window.is_own()) {
            return Err(Failure::OtherThreads { exposures: 1 });
        }
        let len = *len;
        if used > len {
            return Err(Failure::Invalid(format!("`used` is {used}, and {len} bytes were shown")));
        }
        stream.exposed = None;
        stream.share.vault().check()?;
        stream.stream.consume(used);
        Ok(())
    })
}

/// Takes a stream back, and wipes what it holds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strongroom_open_stream_free(stream: *mut *mut OpenStream) {
    border(|| {
        // SAFETY: the caller promises what the header says of pointers.
        unsafe { take_back(stream, "stream") }.map(drop)
    });
}
