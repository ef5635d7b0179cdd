//! Handles secrets in every way there is, and stands still to be searched from outside.
//!
//! It knows no secret of its own: all are in files that the test wrote. `tests/stray.rs` reads this
//! process's memory while it waits for the next line on its standard input.
//!
//! With `terminal` it also asks a person, who is the test. With `plant` and `plant-read` it does once what
//! must not be done: it keeps a copy on the heap, the second time one that was read from a stream. With
//! `keyring` a share of the vault's key is in the kernel's keyring, and with `kept` it is kept near, so that
//! it is in memory after all. With `busy` it goes on after that, without standing still, in
//! several threads; `fork` on its standard input then has it fork a child, which does nothing.

use std::env;
use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use ed25519_dalek::{Signer, SigningKey};
use strongroom::strongroom_core::wiping_stack;
use strongroom::{
    Built, KeyShare, Keyring, OpenError, Opened, Opener, OpeningStream, SealFields, Sealed,
    SealingStream, SecretVec, Store, StoreError, StreamError, Vault,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let directory = arguments.next().ok_or("no directory")?;
    let word = arguments.next().unwrap_or_default();
    let mut builder = Vault::builder().budget(16_384..=262_144);
    if word == "keyring" || word == "kept" {
        builder = builder.key_share(KeyShare::PreferKeyring(Keyring::Process));
    }
    if word == "kept" {
        builder = builder.key_share_kept(Duration::from_hours(1));
    }
    let vault: &Vault = Box::leak(Box::new(builder.build()?));
    if let Some(refusal) = vault.key_share_refusal() {
        eprintln!("skipped: {refusal}");
    } else if vault.key_share() != KeyShare::LockedMemory {
        println!("share {}", own_key()?);
    }
    let all_are_done = Barrier::new(THREADS + 1);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let worked = work(vault, directory.as_ref())
                    .and_then(|_| sign(vault, directory.as_ref()).map(drop));
                // The stack stays as it is while the test looks at it.
                all_are_done.wait();
                all_are_done.wait();
                assert!(worked.is_ok());
            });
        }
        let mut sealed = work(vault, directory.as_ref());
        if word == "terminal" {
            sealed = sealed.and_then(|sealed| ask(vault, sealed));
        }
        all_are_done.wait();
        let shown = sealed.and_then(|sealed| {
            let key = sign(vault, directory.as_ref())?;
            let plant: Option<Plant> = match word.to_str() {
                Some("plant") => Some(|_, opened| Ok(opened.expose_secret().to_vec())),
                Some("plant-read") => Some(read_from_stream),
                _ => None,
            };
            show(vault, &sealed, key, plant)?;
            if word == "busy" { be_busy(vault, &sealed, directory.as_ref()) } else { Ok(()) }
        });
        all_are_done.wait();
        shown
    })
}

/// The serial number of the one key in this process's keyring.
#[cfg(target_os = "linux")]
fn own_key() -> io::Result<i32> {
    let mut serial = 0_i32;
    let ring = libc::KEY_SPEC_PROCESS_KEYRING;
    // SAFETY: the place is valid for four bytes.
    let bytes = unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_READ, ring, &raw mut serial, 4_usize)
    };
    if bytes == 4 { Ok(serial) } else { Err(io::Error::last_os_error()) }
}

/// No other system has keyrings.
#[cfg(not(target_os = "linux"))]
fn own_key() -> io::Result<i32> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Goes on in several threads until told to end.
fn be_busy(vault: &Vault, sealed: &[Sealed], directory: &Path) -> Result<(), Box<dyn Error>> {
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !ends.load(Ordering::Relaxed) {
                    assert!(use_all(vault, sealed).is_ok() && work(vault, directory).is_ok());
                }
            });
        }
        let mut said = wait("busy");
        while said.as_ref().is_ok_and(|word| word == "fork\n") {
            // SAFETY: the child makes system calls only.
            match unsafe { libc::fork() } {
                // SAFETY: waits for a signal, of which there is only the one that ends it.
                0 => _ = unsafe { libc::pause() },
                child => said = wait(&format!("forked {child}")),
            }
        }
        ends.store(true, Ordering::Relaxed);
        said.map(drop)
    })
}

/// Reads, seals, opens, compares, copies from one place to another, writes, and drops.
fn work(vault: &Vault, directory: &Path) -> Result<Vec<Sealed>, Box<dyn Error>> {
    let mut sealed = Vec::new();
    for name in ["short", "middle", "long"] {
        let path = directory.join(name);
        let read = vault.read_file(&path, LONGEST)?;
        sealed.push(read.seal(name.as_bytes())?);
        let again = vault.read_to_end(File::open(&path)?, LONGEST)?;
        if !again.constant_time_eq(&read.expose_secret()) {
            return Err("a file was read in two ways".into());
        }
    }
    let mut lines = vault.reader(File::open(directory.join("lines"))?);
    while let Some(line) = lines.read_line(LONGEST)? {
        sealed.push(line.seal(b"line")?);
    }
    drop(lines);
    use_all(vault, &sealed)?;
    Ok(sealed)
}

/// Reads one more secret from the terminal.
fn ask(vault: &Vault, mut sealed: Vec<Sealed>) -> Result<Vec<Sealed>, Box<dyn Error>> {
    let typed = vault.read_terminal("secret? ", LONGEST)?;
    sealed.push(typed.seal(b"line")?);
    Ok(sealed)
}

fn use_all(vault: &Vault, sealed: &[Sealed]) -> Result<(), Box<dyn Error>> {
    let mut nowhere = File::create("/dev/null")?;
    let (mut reader, mut writer) = io::pipe()?;
    for record in sealed {
        let opened = open(vault, record)?;
        let mut copy = vault.try_allocate(opened.len())?;
        copy.expose_secret_mut().copy_from_slice(&opened.expose_secret());
        opened.write_to(&mut nowhere)?;
        opened.write_to(&mut writer)?;
        reader.read_exact(&mut copy.expose_secret_mut())?;
        copy.release()?;
        collect(vault, &opened);
        for way in [grow, seal_fields, stream, store] {
            match way(vault, &opened) {
                // The others have secrets open as well.
                Ok(()) | Err(OpenError::Full(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // What is refused leaves nothing either.
        if vault.try_open(record, b"another context").is_ok() {
            return Err("a record was opened under another context".into());
        }
        vault.refresh();
    }
    Ok(())
}

/// Copies a secret to where it grows, piece by piece.
fn grow(vault: &Vault, opened: &Opened<'_>) -> Result<(), OpenError> {
    let mut grown = SecretVec::new(vault);
    for piece in opened.expose_secret().chunks(7) {
        grown.extend_from_slice(piece)?;
    }
    assert!(grown.constant_time_eq(&opened.expose_secret()), "it grew into another");
    grown.truncate(opened.len() / 2);
    Ok(())
}

/// Puts a secret into a store in a vault of its own, has it linger, be replaced, expire and be removed, and
/// opens it in each way.
fn store(_: &Vault, opened: &Opened<'_>) -> Result<(), OpenError> {
    let done = || -> Result<(), Box<dyn Error>> {
        let vault = Arc::new(Vault::new(65_536)?);
        let store = Store::<String>::new(vault.share()).with_lingering(Duration::from_mins(1));
        store.insert("name".into(), &opened.expose_secret())?;
        for _ in 0..3 {
            let first = store.try_open("name")?;
            let second = store.open_timeout("name", Duration::from_secs(1))?;
            assert!(first.constant_time_eq(&second.expose_secret()), "they read the same");
        }
        store.replace_for("name", &opened.expose_secret(), Duration::from_mins(1))?;
        let first = store.try_open("name")?;
        let mut alone = store.try_open_alone("name")?;
        assert!(alone.constant_time_eq(&first.expose_secret()), "one was copied to the other");
        alone.expose_secret_mut().fill(0);
        store.put_for("short", &opened.expose_secret(), Duration::ZERO)?;
        assert!(store.try_open("short").is_err(), "its time is over");
        store.remove("name");
        drop(first);
        store.insert("lingers".into(), &opened.expose_secret())?;
        drop(store.try_open("lingers")?);
        Ok(())
    };
    done().map_err(|error| match error.downcast_ref() {
        Some(&StoreError::Open(error)) => error,
        _ => panic!("{error}"),
    })
}

/// Copies a secret through a stream of short chunks, in small steps and in large ones, and from that into
/// another; and from one that is cut off.
fn stream(vault: &Vault, opened: &Opened<'_>) -> Result<(), OpenError> {
    let done = || -> Result<(), Box<dyn Error>> {
        let [from, to] = vault.try_allocate_all([CHUNK, 2 * CHUNK])?;
        let mut sealing = SealingStream::new(from, Vec::new(), b"first")?;
        for piece in opened.expose_secret().chunks(7) {
            sealing.write_all(piece)?;
        }
        sealing.flush()?;
        sealing.write_all(&opened.expose_secret())?;
        let mut file = sealing.finish()?;

        let from = vault.try_allocate(CHUNK)?;
        let mut opening = OpeningStream::new(from, &file[..], b"first");
        let mut sealing = SealingStream::new(to, Vec::new(), b"second")?;
        opening.copy_to(&mut sealing)?;
        let second = sealing.finish()?;
        drop(opening);

        let mut copy = vault.try_allocate(opened.len())?;
        let from = vault.try_allocate(2 * CHUNK)?;
        let mut opening = OpeningStream::new(from, &second[..], b"second");
        for _ in 0..2 {
            opening.read_exact(&mut copy.expose_secret_mut())?;
            assert!(copy.constant_time_eq(&opened.expose_secret()), "another was read");
        }
        assert!(opening.chunk()?.is_empty(), "it goes on");
        drop(opening);

        // It breaks off in the middle of its last chunk.
        let Some(_) = file.pop() else { return Err("an empty file".into()) };
        let from = vault.try_allocate(CHUNK)?;
        let mut opening = OpeningStream::new(from, &file[..], b"first");
        assert!(opening.copy_to(&mut io::sink()).is_err(), "a part was opened as the whole");
        Ok(())
    };
    match done() {
        Ok(()) => Ok(()),
        Err(error) => Err(match (error.downcast_ref(), error.downcast_ref()) {
            (Some(&StreamError::Open(error)), _) | (_, Some(&error)) => error,
            _ => panic!("{error}"),
        }),
    }
}

/// What nobody should do: the vector is in ordinary memory.
fn read_from_stream(vault: &Vault, opened: &Opened<'_>) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut sealing = vault.try_seal_stream(Vec::new(), b"")?;
    sealing.write_all(&opened.expose_secret())?;
    let file = sealing.finish()?;
    let mut copy = Vec::new();
    vault.try_open_stream(&file[..], b"")?.read_to_end(&mut copy)?;
    Ok(copy)
}

#[derive(SealFields)]
struct Pair<'v> {
    #[secret]
    one: SecretVec<u8, &'v Vault>,
    #[secret]
    other: SecretVec<u8, &'v Vault>,
}

/// Copies a secret into a struct, seals its fields and opens them.
fn seal_fields(vault: &Vault, opened: &Opened<'_>) -> Result<(), OpenError> {
    let mut pair = Pair { one: SecretVec::new(vault), other: SecretVec::new(vault) };
    pair.one.extend_from_slice(&opened.expose_secret())?;
    pair.other.extend_from_slice(&opened.expose_secret())?;
    let Ok(sealed) = pair.seal_and_wipe(vault) else { return Err(OpenError::Destroyed) };
    let pair = sealed.try_open(vault)?;
    assert!(pair.one.constant_time_eq(&opened.expose_secret()), "another was opened");
    assert!(pair.other.constant_time_eq(&pair.one.expose_secret()), "another was opened");
    Ok(())
}

/// Copies a secret into a collection, which grows.
fn collect(vault: &Vault, opened: &Opened<'_>) {
    // SAFETY: nobody wipes this process's memory, and its forked children do nothing.
    let Ok(memory) = (unsafe { vault.allocator() }) else { return };
    let mut bytes = allocator_api2::vec::Vec::new_in(memory);
    for piece in opened.expose_secret().chunks(97) {
        if bytes.try_reserve(piece.len()).is_err() {
            // The others have secrets open as well.
            return;
        }
        bytes.extend_from_slice(piece);
    }
    assert!(opened.constant_time_eq(&bytes), "it was collected as another");
}

/// Signs with another crate's key, whose code has the seed on the stack meanwhile; and builds one more of
/// code that leaves it there.
fn sign<'v>(vault: &'v Vault, directory: &Path) -> Result<BuiltKey<'v>, Box<dyn Error>> {
    let key = build(vault, directory, SigningKey::from_bytes)?;
    let exposed = key.try_expose_secret()?;
    let mut signature = None;
    wiping_stack::<{ 32 << 10 }, _>(|| signature = Some(exposed.sign(b"message")));
    if exposed.verify(b"message", &signature.ok_or("not signed")?).is_err() {
        return Err("a signature was wrong".into());
    }
    drop(exposed);
    drop(key);
    build(vault, directory, careless)
}

type Plant = fn(&Vault, &Opened<'_>) -> Result<Vec<u8>, Box<dyn Error>>;
type BuiltKey<'v> = Built<SigningKey, Opened<'v>>;

/// Has many copies of the seed on the stack, far beyond what it calls afterwards.
#[inline(never)]
fn careless(seed: &[u8; SEED]) -> SigningKey {
    let copies = black_box([*seed; 100]);
    SigningKey::from_bytes(&copies[99])
}

/// Builds a key of a seed in its place.
fn build<'v>(
    vault: &'v Vault,
    directory: &Path,
    make: fn(&[u8; SEED]) -> SigningKey,
) -> Result<BuiltKey<'v>, Box<dyn Error>> {
    let seed = vault.read_file(directory.join("seed"), SEED)?.seal(b"seed")?;
    let patience = Duration::from_secs(10);
    let seed = vault.open_value_timeout::<[u8; SEED]>(&seed, b"seed", patience)?;
    let key = vault.build_timeout(patience, |place| place.write(make(&seed.expose_secret())))?;
    Ok(key)
}

/// Tells what is not secret, and waits: with all secrets open, and with none.
fn show(
    vault: &Vault,
    sealed: &[Sealed],
    key: BuiltKey<'_>,
    plant: Option<Plant>,
) -> Result<(), Box<dyn Error>> {
    let place = (&raw const *vault).addr();
    println!("vault {place:x} {:x}", size_of::<Vault>());
    let opened = sealed.iter().map(|record| open(vault, record)).collect::<Result<Vec<_>, _>>()?;
    for (record, opened) in sealed.iter().zip(&opened) {
        let place = opened.expose_secret().as_ptr().addr();
        print!("open {place:x} ");
        record.record().iter().for_each(|byte| print!("{byte:02x}"));
        println!();
    }
    let planted = plant.map(|plant| plant(vault, &opened[0])).transpose()?;
    wait("open")?;
    drop((opened, key, planted));
    wait("dropped").map(drop)
}

/// The context is the file's name, or is the same for all lines.
fn open<'v>(vault: &'v Vault, record: &Sealed) -> Result<Opened<'v>, Box<dyn Error>> {
    let contexts = ["short", "middle", "long", "line"];
    let mut opened = contexts.iter().filter_map(|context| {
        vault.open_timeout(record, context.as_bytes(), Duration::from_secs(10)).ok()
    });
    opened.next().ok_or_else(|| "a record was not opened".into())
}

/// Tells a state, and gives the line that is said to it.
fn wait(state: &str) -> Result<String, Box<dyn Error>> {
    println!("{state}");
    io::stdout().flush()?;
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line)
}

const THREADS: usize = 2;
const LONGEST: usize = 8192;
const SEED: usize = 32;
const CHUNK: usize = 400;
