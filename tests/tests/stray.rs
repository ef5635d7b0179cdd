//! No plaintext, key or keystream outside the locked region: not on the heap, nor on any stack, nor
//! in a core dump.
//!
//! A child (`src/bin/stray`) handles secrets that only this test knows, and stands still while all of
//! its memory is searched from outside. The master key is found out as an intruder would who reads
//! the region: by joining its shares. It must lie nowhere whole.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::mem;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::ptr;
use std::thread;
use std::time::Duration;

use chacha20::cipher::{KeyIvInit, StreamCipher};
use strongroom_tests::intruder::{Proof, are_alike};
use strongroom_tests::scan::{Find, Search, mappings, read};

#[test]
fn nothing_lies_outside_the_locked_region() {
    let mut subject = Subject::start("nothing", None);
    let search = subject.search();
    let regions = subject.regions();

    let finds = search.process(subject.id()).unwrap();
    let (inside, outside): (Vec<_>, Vec<_>) =
        finds.into_iter().partition(|find| find.name == SECRET && begins_in(find, &regions));
    assert_eq!(outside, [], "while secrets are open, of regions {regions:x?}");
    assert!(inside.len() >= subject.opened.len(), "the search does not find what is open");

    subject.go_on("dropped");
    assert_eq!(search.process(subject.id()).unwrap(), [], "after all secrets were dropped");
    subject.end();
}

#[test]
fn a_planted_copy_is_found() {
    find_planted("plant");
}

/// What was read from a stream is where it was read to.
#[test]
fn a_copy_that_was_read_from_a_stream_is_found() {
    find_planted("plant-read");
}

fn find_planted(word: &str) {
    let mut subject = Subject::start(word, Some(word));
    let search = subject.search();
    let heap = mappings(subject.id()).unwrap();
    let heap = heap.into_iter().find(|mapping| mapping.name == "[heap]").unwrap().range;
    let on_heap = |finds: Vec<Find>| finds.iter().any(|find| heap.contains(&find.place.start));
    assert!(on_heap(search.process(subject.id()).unwrap()));
    if let Some(core) = subject.core_dump() {
        assert!(!search.file(&core).unwrap().is_empty(), "the core dump lacks the heap");
    }
    subject.go_on("dropped");
    subject.end();
}

#[test]
fn a_core_dump_holds_nothing() {
    let (finds, registers) = found_in_core_dump("core");
    let in_memory = finds.into_iter().filter(|find| !registers.contains(&find.place.start));
    assert_eq!(in_memory.collect::<Vec<_>>(), []);
}

/// The cipher's vector code leaves its state in registers that nobody uses until the next text.
#[test]
fn nor_do_the_registers_in_it() {
    let (finds, registers) = found_in_core_dump("registers");
    let in_registers = finds.into_iter().filter(|find| registers.contains(&find.place.start));
    assert_eq!(in_registers.collect::<Vec<_>>(), []);
}

/// One share of the key is in the kernel's keyring: an intruder who has all of the process's memory has no
/// key. The test may ask the kernel for the share as well, and has it then.
#[test]
fn a_share_in_the_keyring_is_nowhere_in_the_process() {
    let mut subject = Subject::start("keyring", Some("keyring"));
    if let Some(share) = subject.kept_share() {
        assert!(subject.key_in_memory().is_none(), "the shares lie together");
        let mut search = subject.search();
        search.add("the kept share", &share);
        let regions = subject.regions();
        let mut finds = search.process(subject.id()).unwrap();
        finds.retain(|find| find.name != SECRET || !begins_in(find, &regions));
        assert_eq!(finds, [], "while secrets are open, of regions {regions:x?}");
        if let Some(core) = subject.core_dump() {
            assert_eq!(search.file(&core).unwrap(), [], "in a core dump");
        }
    }
    subject.go_on("dropped");
    subject.end();
}

/// Who keeps the share near has it in locked memory: without a keyring it would be there too.
#[test]
fn a_share_that_is_kept_near_is_found() {
    let mut subject = Subject::start("kept", Some("kept"));
    if let Some(share) = subject.kept_share() {
        let mut search = Search::default();
        search.add("the kept share", &share);
        let finds = search.process(subject.id()).unwrap();
        let locked = locked_mappings(subject.id());
        assert!(!finds.is_empty() && finds.iter().all(|find| begins_in(find, &locked)));
    }
    subject.go_on("dropped");
    subject.end();
}

/// A person types a secret, which no echo shows.
#[test]
fn nor_does_what_was_typed_at_a_terminal() {
    let mut subject = Subject::start("terminal", Some("terminal"));
    let typed = subject.opened.len() - 1;
    let search = subject.search();
    let regions = subject.regions();
    let finds = search.process(subject.id()).unwrap();
    let place = subject.opened[typed].place;
    assert!(finds.iter().any(|find| find.place.start == place), "what was typed was not found");
    let mut outside =
        finds.into_iter().filter(|find| find.name != SECRET || !begins_in(find, &regions));
    assert_eq!(outside.next(), None);
    subject.go_on("dropped");
    assert_eq!(search.process(subject.id()).unwrap(), [], "after all secrets were dropped");
    subject.end();
}

/// While a secret is sealed or opened, its keystream and the key lie on a stack; the plaintext never
/// does, but for the words that code without optimisation is adding.
#[test]
fn no_moment_shows_plaintext_nor_does_a_forked_child() {
    let mut subject = Subject::start("busy", Some("busy"));
    let mut search = Search::default();
    subject.secrets.iter().for_each(|secret| search.add(SECRET, secret));
    subject.go_on("dropped");
    subject.go_on("busy");
    let mut found_inside = 0;
    for moment in 0..MOMENTS {
        thread::sleep(Duration::from_micros(moment * 7_919 % 10_000));
        let (finds, regions) = while_stopped(subject.id(), || {
            (search.process(subject.id()).unwrap(), locked_mappings(subject.id()))
        });
        let (inside, outside): (Vec<_>, Vec<_>) =
            finds.into_iter().partition(|find| begins_in(find, &regions));
        assert_eq!(longer_than_words(outside), [], "at moment {moment}");
        found_inside += inside.len();

        let child = subject.fork();
        let finds = search.process(child);
        signal(child, libc::SIGKILL);
        assert_eq!(longer_than_words(finds.unwrap()), [], "in child {moment}");
    }
    assert!(found_inside > 0, "nothing was ever open when it was looked at");
    if let Some(core) = subject.core_dump() {
        let registers = notes(&core);
        let mut finds = search.file(&core).unwrap();
        finds.retain(|find| !registers.contains(&find.place.start));
        assert_eq!(longer_than_words(finds), [], "in a core dump");
    }
    subject.end();
}

fn begins_in(find: &Find, regions: &[Range<usize>]) -> bool {
    regions.iter().any(|region| region.contains(&find.place.start))
}

fn longer_than_words(mut finds: Vec<Find>) -> Vec<Find> {
    finds.retain(|find| find.place.len() > WORDS);
    finds
}

/// The mappings that are locked (`lo`, `proc_pid_smaps(5)`).
fn locked_mappings(id: u32) -> Vec<Range<usize>> {
    let smaps = fs::read_to_string(format!("/proc/{id}/smaps")).unwrap();
    let flags = smaps.lines().filter_map(|line| line.strip_prefix("VmFlags:"));
    let is_mapping = |line: &&str| line.split(' ').next().is_some_and(|word| word.contains('-'));
    let ranges = smaps.lines().filter(is_mapping).map(|line| {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        hex(start)..hex(end)
    });
    let locked = ranges.zip(flags).filter(|(_, flags)| flags.split(' ').any(|flag| flag == "lo"));
    locked.map(|(range, _)| range).collect()
}

/// Does something while all threads of a process stand still.
fn while_stopped<T>(id: u32, work: impl FnOnce() -> T) -> T {
    signal(id, libc::SIGSTOP);
    while !fs::read_to_string(format!("/proc/{id}/stat")).unwrap().contains(") T ") {
        thread::yield_now();
    }
    let done = work();
    signal(id, libc::SIGCONT);
    done
}

fn signal(id: u32, signal: libc::c_int) {
    // SAFETY: sends a signal, to a child or grandchild of this process that was not waited for.
    assert_eq!(unsafe { libc::kill(id.cast_signed(), signal) }, 0);
}

/// Builds in a target directory of its own, which takes a minute: `cargo test -- --ignored`.
#[test]
#[ignore = "builds everything once more"]
fn nor_when_optimised() {
    let target = env::temp_dir().join("strongroom-stray-release");
    let mut test = Command::new(env!("CARGO"));
    test.args(["test", "--release", "--package", "strongroom-tests", "--test", "stray"]);
    assert!(test.env("CARGO_TARGET_DIR", target).status().unwrap().success());
}

/// What is found in a core dump that is taken while secrets are open, and where in it gdb saves the
/// registers of all threads.
fn found_in_core_dump(name: &str) -> (Vec<Find>, Range<usize>) {
    let mut subject = Subject::start(name, None);
    let search = subject.search();
    let core = subject.core_dump();
    subject.go_on("dropped");
    subject.end();
    core.map_or((Vec::new(), 0..0), |core| (search.file(&core).unwrap(), notes(&core)))
}

/// The notes of this machine's kind of ELF file (`elf(5)`).
fn notes(file: &File) -> Range<usize> {
    const PT_NOTE: usize = 4;
    const WORD: usize = size_of::<usize>();
    let number = |place: usize, size: usize| {
        let mut bytes = [0; WORD];
        file.read_exact_at(&mut bytes[..size], place as u64).unwrap();
        usize::from_le_bytes(bytes)
    };
    // Where the table of segments is said to be, and what it says of each.
    let (table, size, count, offset, length) =
        if WORD == 8 { (0x20, 0x36, 0x38, 8, 32) } else { (0x1c, 0x2a, 0x2c, 4, 16) };
    let (first, size, count) = (number(table, WORD), number(size, 2), number(count, 2));
    let mut headers = (0..count).map(|index| first + index * size);
    let header = headers.find(|&header| number(header, 4) == PT_NOTE);
    let header = header.expect("a core file that is whole has notes: is there room on the disk?");
    let start = number(header + offset, WORD);
    start..start + number(header + length, WORD)
}

/// The child, what it was given, and what it told.
struct Subject {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    directory: PathBuf,
    secrets: Vec<Vec<u8>>,
    vault: Range<usize>,
    opened: Vec<Open>,
    /// The child's child.
    forked: u32,
    /// The kernel's number of the share of the key that it keeps.
    share: Option<i32>,
}

/// A secret that is open in the child.
struct Open {
    place: usize,
    record: Vec<u8>,
}

impl Open {
    fn nonce(&self, prefix: [u8; 4]) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&prefix);
        nonce[4..].copy_from_slice(&self.record[..8]);
        nonce
    }
}

impl Subject {
    /// Starts the child, up to where it has all its secrets open.
    fn start(name: &str, word: Option<&str>) -> Self {
        let directory =
            env::temp_dir().join(format!("strongroom-stray-{}-{name}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let mut secrets: Vec<_> = [24, 300, 5000].into_iter().map(random).collect();
        for (name, secret) in ["short", "middle", "long"].into_iter().zip(&secrets) {
            fs::write(directory.join(name), secret).unwrap();
        }
        secrets.extend((0..5).map(|_| random(40)));
        fs::write(directory.join("lines"), secrets[3..].join(&b'\n')).unwrap();
        secrets.push(random(32));
        fs::write(directory.join("seed"), &secrets[8]).unwrap();

        let mut command = Command::new(env!("CARGO_BIN_EXE_stray"));
        command.arg(&directory).args(word);
        // One heap, so that core dumps stay small.
        command.env("MALLOC_ARENA_MAX", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let terminal = (word == Some("terminal")).then(|| terminal_of(&mut command));
        let mut child = command.spawn().unwrap();
        if let Some(mut terminal) = terminal {
            // Other bytes mean something to a terminal.
            let letters = random(400).into_iter().filter(u8::is_ascii_alphanumeric);
            // Behind those that are opened, before the seed.
            secrets.insert(8, letters.take(40).collect());
            let mut shown = [0; PROMPT.len()];
            terminal.read_exact(&mut shown).unwrap();
            assert_eq!(shown, *PROMPT);
            terminal.write_all(&[&secrets[8][..], b"\n"].concat()).unwrap();
            // It stays open as long as the child runs, which would be hung up otherwise.
            let mut shown = [0; 1];
            terminal.read_exact(&mut shown).unwrap();
            assert!(b"\r\n".contains(&shown[0]), "what was typed is shown");
            mem::forget(terminal);
        }
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (stdout, vault, opened) = (BufReader::new(stdout), 0..0, Vec::new());
        let mut subject = Self {
            child,
            stdin,
            stdout,
            directory,
            secrets,
            vault,
            opened,
            forked: 0,
            share: None,
        };
        subject.listen("open");
        assert_eq!(subject.opened.len() + 1, subject.secrets.len(), "all but the seed");
        subject
    }

    fn id(&self) -> u32 {
        self.child.id()
    }

    /// Takes in what the child tells, up to the name of a state.
    fn listen(&mut self, state: &str) {
        loop {
            let mut line = String::new();
            assert_ne!(self.stdout.read_line(&mut line).unwrap(), 0, "it ended before {state:?}");
            let words: Vec<_> = line.split_whitespace().collect();
            match words[..] {
                [word] if word == state => return,
                ["forked", child] if state == "forked" => {
                    self.forked = child.parse().unwrap();
                    return;
                }
                ["share", serial] => self.share = Some(serial.parse().unwrap()),
                ["vault", place, size] => self.vault = hex(place)..hex(place) + hex(size),
                ["open", place, record] => {
                    let record =
                        record.as_bytes().chunks(2).map(|two| str::from_utf8(two).unwrap());
                    let record = record.map(|two| u8::from_str_radix(two, 16).unwrap()).collect();
                    self.opened.push(Open { place: hex(place), record });
                }
                _ => panic!("{line:?}"),
            }
        }
    }

    fn go_on(&mut self, state: &str) {
        writeln!(self.stdin).unwrap();
        self.listen(state);
    }

    /// Has it fork a child, and gives the child's number.
    fn fork(&mut self) -> u32 {
        writeln!(self.stdin, "fork").unwrap();
        self.listen("forked");
        self.forked
    }

    fn end(mut self) {
        writeln!(self.stdin).unwrap();
        assert!(self.child.wait().unwrap().success());
    }

    /// The mappings in which secrets are open.
    fn regions(&self) -> Vec<Range<usize>> {
        let holds =
            |range: &Range<usize>| self.opened.iter().any(|open| range.contains(&open.place));
        let ranges = mappings(self.id()).unwrap().into_iter().map(|mapping| mapping.range);
        ranges.filter(holds).collect()
    }

    /// Everything that is secret.
    fn search(&self) -> Search {
        let mut search = Search::default();
        let key = self.key();
        search.add("the key", &key.0);
        for (secret, open) in self.secrets.iter().zip(&self.opened) {
            let (ciphertext, nonce) = (&open.record[8..8 + secret.len()], open.nonce(key.1));
            let mut stream = vec![0; 64 + secret.len()];
            chacha20::ChaCha20::new(&key.0.into(), &nonce.into()).apply_keystream(&mut stream);
            let (first, keystream) = stream.split_at(64);
            let sealed = keystream.iter().zip(secret).map(|(a, b)| a ^ b);
            assert!(sealed.eq(ciphertext.iter().copied()), "the key is not the key");
            search.add(SECRET, secret);
            search.add("keystream", keystream);
            search.add("a one-time key", &first[..32]);
        }
        // The seed is not open itself.
        search.add(SECRET, &self.secrets[self.secrets.len() - 1]);
        search
    }

    /// The master key and the nonces' prefix.
    fn key(&self) -> ([u8; 32], [u8; 4]) {
        let key = self.kept_share().and_then(|share| self.key_with(&share));
        key.or_else(|| self.key_in_memory())
            .unwrap_or_else(|| panic!("no shares of the key were found"))
    }

    /// The share that the kernel keeps, as another process of the same user reads it.
    fn kept_share(&self) -> Option<[u8; 32]> {
        let mut share = [0; 40];
        let place = share.as_mut_ptr();
        // SAFETY: the place is valid for so many bytes.
        let bytes = unsafe {
            libc::syscall(libc::SYS_keyctl, libc::KEYCTL_READ, self.share?, place, share.len())
        };
        assert_eq!(bytes, 40, "{}", std::io::Error::last_os_error());
        share.first_chunk().copied()
    }

    /// The same, put together with a share that is known.
    fn key_with(&self, share: &[u8; 32]) -> Option<([u8; 32], [u8; 4])> {
        let vault = read(self.id(), self.vault.clone()).unwrap();
        let regions = self.regions().into_iter().map(|region| read(self.id(), region).unwrap());
        for bytes in regions {
            // A cell of 32 bytes with a canary of 8 on each side.
            for cell in bytes.array_windows::<48>().step_by(8) {
                let key = std::array::from_fn(|at| cell[8 + at] ^ share[at]);
                let is_likely = cell[..8] != [0; 8] && are_alike(&cell[..8], &cell[40..]);
                if is_likely && let Some(prefix) = self.proof(&vault).prefix_with(&key) {
                    return Some((key, prefix));
                }
            }
        }
        None
    }

    /// The same, put together from all in memory that might be their parts.
    fn key_in_memory(&self) -> Option<([u8; 32], [u8; 4])> {
        let vault = read(self.id(), self.vault.clone()).unwrap();
        let regions = self.regions().into_iter().map(|region| read(self.id(), region).unwrap());
        let mut found = regions.filter_map(|bytes| self.proof(&vault).key_in(&bytes));
        found.next().map(|found| (found.key, found.prefix))
    }

    /// The first record, which a key opens that is the vault's.
    fn proof<'a>(&'a self, vault: &'a [u8]) -> Proof<'a> {
        Proof { record: &self.opened[0].record, context: b"short", prefixes: vault }
    }

    /// Has gdb write a core dump, or says why not.
    fn core_dump(&self) -> Option<File> {
        let path = self.directory.join("core");
        let id = self.id().to_string();
        let output = Command::new("gcore").arg("-o").arg(&path).arg(&id).output();
        let path = path.with_extension(&id);
        let why = match output {
            Err(error) => format!("no gcore: {error}"),
            Ok(output) if !path.exists() => String::from_utf8_lossy(&output.stderr).into_owned(),
            Ok(_) => return Some(File::open(path).unwrap()),
        };
        eprintln!("skipped: a core dump: {why}");
        None
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Gives a command that is about to be run a terminal of its own, and the test the other end of it.
fn terminal_of(command: &mut Command) -> File {
    let (mut ours, mut its) = (0, 0);
    // SAFETY: both places are valid for the answer; no name and no settings are asked for.
    let made = unsafe {
        libc::openpty(&raw mut ours, &raw mut its, ptr::null_mut(), ptr::null(), ptr::null())
    };
    assert_eq!(made, 0);
    // SAFETY: the descriptor was just made and is nobody else's.
    let ours = unsafe { OwnedFd::from_raw_fd(ours) };
    // SAFETY: this descriptor too was just made and is nobody else's.
    let its = unsafe { OwnedFd::from_raw_fd(its) };
    let adopt = move || {
        // SAFETY: the child, which has no other threads, begins a session of its own.
        let session = unsafe { libc::setsid() };
        // SAFETY: the descriptor is open; it becomes the session's terminal.
        let adopted = unsafe { libc::ioctl(its.as_raw_fd(), libc::TIOCSCTTY, 0) };
        if session < 0 || adopted < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: `adopt` makes system calls only.
    unsafe { command.pre_exec(adopt) };
    ours.into()
}

/// Random bytes that can stand in a line.
fn random(len: usize) -> Vec<u8> {
    let urandom = File::open("/dev/urandom").unwrap();
    let bytes = BufReader::new(urandom).bytes().map(Result::unwrap);
    bytes.filter(|byte| ![0, b'\n', b'\r'].contains(byte)).take(len).collect()
}

fn hex(text: &str) -> usize {
    usize::from_str_radix(text, 16).unwrap()
}

const SECRET: &str = "a secret";
const PROMPT: &[u8; 8] = b"secret? ";

/// Bytes that may lie on a stack while they are added: without optimisation a word, at places of the
/// stack that never change, and now and then the word before it at the place beside it. The next byte
/// on either side is the secret's too in one of 256 cases, by chance.
const WORDS: usize = if cfg!(debug_assertions) { 2 * size_of::<u64>() + 2 } else { 0 };

/// How often a process is looked at while it is busy; to search it takes long without optimisation.
const MOMENTS: u64 = if cfg!(debug_assertions) { 8 } else { 100 };
