//! Against a naive twin, in all piece sizes; full vaults, limits and faulty readers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::ErrorKind;

use crate::vault::SealError;

use super::*;

fn vault() -> Vault {
    Vault::new(64 * 1024).unwrap()
}

/// Gives its bytes `step` at a time, and an error of `kind` before each.
struct Slow<'a> {
    bytes: &'a [u8],
    step: usize,
    kind: Option<ErrorKind>,
    failed: bool,
}

impl<'a> Slow<'a> {
    fn new(bytes: &'a [u8], step: usize, kind: Option<ErrorKind>) -> Self {
        Self { bytes, step, kind, failed: false }
    }
}

impl Read for Slow<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.failed = !self.failed;
        match self.kind {
            Some(kind) if self.failed => Err(kind.into()),
            _ => {
                let step = self.step.min(to.len());
                self.bytes.read(&mut to[..step])
            }
        }
    }
}

/// Bytes that do not repeat with any length near a chunk's, without `\n` and `\r`.
fn text(len: usize) -> Vec<u8> {
    (0..len).map(|number| b'a' + u8::try_from(number * 7 % 23).unwrap()).collect()
}

fn all_lines(
    mut lines: SecretReader<'_, impl Read>,
    limit: usize,
) -> Result<Vec<Vec<u8>>, ReadError> {
    let mut found = Vec::new();
    while let Some(line) = lines.read_line(limit)? {
        found.push(line.expose_secret().to_vec());
    }
    Ok(found)
}

#[test]
fn lines_are_what_the_standard_library_says() {
    let vault = vault();
    let (around, long) = (text(CHUNK + 2), text(5 * CHUNK));
    for end in ["\n", "\r\n"] {
        let mut input = Vec::new();
        for len in [0, 1, 3, CHUNK - 2, CHUNK - 1, CHUNK, CHUNK + 1, 0, 2 * CHUNK - 2] {
            input.extend([&long[..len], end.as_bytes()].concat());
        }
        for last in ["", "\r", "x", "x\r"] {
            let input = [&input[..], &around, last.as_bytes()].concat();
            let twin: Vec<_> = std::str::from_utf8(&input).unwrap().lines().collect();
            for step in [1, 2, CHUNK - 1, CHUNK, usize::MAX] {
                let slow = Slow::new(&input, step, Some(ErrorKind::Interrupted));
                let lines = all_lines(vault.reader(slow), long.len()).unwrap();
                assert!(lines.iter().eq(twin.iter().map(|line| line.as_bytes())), "{step}");
            }
        }
    }
    assert_eq!(vault.held(), 0);
    vault.verify().unwrap();
}

#[test]
fn a_secret_is_read_to_its_end_whatever_its_length() {
    let vault = vault();
    let input = text(40_000);
    for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * (CHUNK - 1), 2 * CHUNK, input.len()] {
        for step in [7, usize::MAX] {
            let secret = vault.read_to_end(Slow::new(&input[..len], step, None), len).unwrap();
            assert!(secret.constant_time_eq(&input[..len]), "{len} bytes, {step} at a time");
        }
    }
}

#[test]
fn nearly_the_whole_budget_can_be_one_secret() {
    let vault = vault();
    let Err(OpenError::TooLarge { largest, .. }) = vault.try_allocate(vault.budget()) else {
        panic!("the bookkeeping takes room too");
    };
    let input = text(largest + 1);
    // The key, the chunk and one piece take room too.
    let len = largest * 9 / 10;
    let secret = vault.read_to_end(&input[..len], usize::MAX).unwrap();
    assert!(secret.constant_time_eq(&input[..len]));
    drop(secret);
    let error = vault.read_to_end(&input[..], usize::MAX).unwrap_err();
    let ReadError::Open(OpenError::TooLarge { requested, .. }) = error else { panic!("{error}") };
    assert_eq!(requested, input.len(), "the message tells the secret's true length");
    assert_eq!(vault.held(), 0);
}

#[test]
fn any_delimiter_will_do() {
    let vault = vault();
    let mut reader = vault.reader(&b"one\0two\n\0"[..]);
    let mut next = || reader.read_until(0, 9).unwrap().map(|part| part.expose_secret().to_vec());
    assert_eq!(next().unwrap(), b"one");
    assert_eq!(next().unwrap(), b"two\n");
    assert_eq!(next(), None);
    assert_eq!(next(), None);
}

#[test]
fn a_limit_is_an_error_and_never_cuts() {
    let vault = vault();
    for len in [1, 10, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
        for end in ["\n", "\r\n", ""] {
            let line = text(len);
            let input = [&line, end.as_bytes()].concat();
            let mut reader = vault.reader(&input[..]);
            for limit in [0, len - 1] {
                let error = reader.read_line(limit).unwrap_err();
                assert!(matches!(error, ReadError::TooLong { limit: said } if said == limit));
            }
            // Nothing was lost.
            let secret = reader.read_line(len).unwrap().unwrap();
            assert!(secret.constant_time_eq(&line), "{len} bytes before {end:?}");
            assert!(reader.read_line(len).unwrap().is_none());
        }
    }
}

#[test]
fn a_limit_ends_endless_input() {
    let vault = vault();
    let error = vault.read_to_end(io::repeat(b'x'), 100_000).unwrap_err();
    assert!(matches!(error, ReadError::TooLong { limit: 100_000 }), "{error}");
    assert!(error.to_string().contains("limit of 100000 bytes"), "{error}");
    assert_eq!(vault.held(), 0);
}

#[test]
fn a_full_vault_costs_no_byte_of_the_input() {
    let vault = vault();
    let input = text(3 * CHUNK);
    let mut others: Vec<_> =
        std::iter::from_fn(|| [256, 64, 8].iter().find_map(|&len| vault.try_allocate(len).ok()))
            .collect();
    let (mut reader, mut refusals) = (vault.reader(&input[..]), 0);
    // Room comes bit by bit: for the chunk, for the secret, for a piece.
    let secret = loop {
        match reader.read_to_end(input.len()) {
            Ok(secret) => break secret,
            Err(ReadError::Open(OpenError::Full(_))) => refusals += 1,
            Err(error) => panic!("{error}"),
        }
        drop(others.remove(0));
    };
    assert!(refusals > 3, "{refusals}");
    assert!(secret.constant_time_eq(&input));
}

#[test]
fn who_waits_gets_room() {
    let vault = vault();
    let largest = 50_000;
    let other = vault.try_allocate(largest).unwrap();
    let input = text(largest);
    std::thread::scope(|scope| {
        let reader = vault.reader(&input[..]).with_timeout(Duration::from_secs(60));
        let waiting = scope.spawn(move || {
            let mut reader = reader;
            reader.read_to_end(largest).map(|secret| secret.constant_time_eq(&text(largest)))
        });
        while vault.waiters() == 0 {
            std::thread::yield_now();
        }
        drop(other);
        assert!(waiting.join().unwrap().unwrap());
    });
}

#[test]
fn an_error_of_the_reader_is_passed_on_and_costs_nothing() {
    let vault = vault();
    let input = text(2 * CHUNK);
    let mut reader = vault.reader(Slow::new(&input, 100, Some(ErrorKind::TimedOut)));
    let mut errors = 0;
    let secret = loop {
        match reader.read_to_end(input.len()) {
            Ok(secret) => break secret,
            Err(ReadError::Io(error)) => {
                assert_eq!(error.kind(), ErrorKind::TimedOut);
                errors += 1;
            }
            Err(error) => panic!("{error}"),
        }
    };
    assert!(errors > 10);
    assert!(secret.constant_time_eq(&input));
}

#[test]
fn a_lying_reader_is_an_error() {
    struct Liar;
    impl Read for Liar {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            Ok(to.len() + 1)
        }
    }
    let vault = vault();
    let error = vault.read_to_end(Liar, 100).unwrap_err();
    assert!(matches!(error, ReadError::Io(error) if error.kind() == ErrorKind::InvalidData));
}

#[test]
fn a_destroyed_vault_seals_no_pieces() {
    let vault = vault();
    vault.destroy();
    let input = text(2 * CHUNK);
    let error = vault.read_to_end(&input[..], input.len()).unwrap_err();
    assert!(matches!(error, ReadError::Seal(SealError::Destroyed)), "{error}");
}

#[test]
fn what_was_handed_out_is_wiped_from_the_chunk() {
    let vault = vault();
    let mut reader = vault.reader(&b"hunter2\nnext"[..]);
    drop(reader.read_line(10).unwrap());
    let chunk = reader.chunk.as_ref().unwrap();
    assert_eq!(chunk.bytes(), b"next");
    assert_eq!(chunk.whole()[..8], [0; 8]);
    assert!(chunk.whole()[12..].iter().all(|&byte| byte == 0));
    drop(reader.read_to_end(10).unwrap());
    assert!(reader.chunk.as_ref().unwrap().whole().iter().all(|&byte| byte == 0));
}

#[test]
fn missing_files_and_directories_are_errors() {
    let vault = vault();
    let missing = vault.read_file("/nonexistent/key.pem", 100).unwrap_err();
    assert!(matches!(missing, ReadError::Io(error) if error.kind() == ErrorKind::NotFound));
    let directory = vault.read_file("/", 100).unwrap_err();
    assert!(matches!(directory, ReadError::Io(error) if error.kind() == ErrorKind::IsADirectory));
}
