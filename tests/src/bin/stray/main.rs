//! Handles secrets in every way there is, and stands still to be searched from outside.
//!
//! It knows no secret of its own: all are in files that the test wrote. `tests/stray.rs` reads this
//! process's memory while it waits for the next line on its standard input.
//!
//! With `plant` it does once what must not be done: it keeps a copy on the heap.

use std::env;
use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use strongroom::{Opened, Sealed, Vault};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let directory = arguments.next().ok_or("no directory")?;
    let plants = arguments.next().is_some_and(|word| word == "plant");
    let vault: &Vault = Box::leak(Box::new(Vault::builder().budget(16_384..=262_144).build()?));
    let all_are_done = Barrier::new(THREADS + 1);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let worked = work(vault, directory.as_ref());
                // The stack stays as it is while the test looks at it.
                all_are_done.wait();
                all_are_done.wait();
                assert!(worked.is_ok());
            });
        }
        let sealed = work(vault, directory.as_ref());
        all_are_done.wait();
        let shown = sealed.and_then(|sealed| show(vault, &sealed, plants));
        all_are_done.wait();
        shown
    })
}

/// Reads, seals, opens, compares, copies from one place to another, writes, and drops.
fn work(vault: &Vault, directory: &Path) -> Result<Vec<Record>, Box<dyn Error>> {
    let mut sealed = Vec::new();
    for name in ["short", "middle", "long"] {
        let path = directory.join(name);
        let read = vault.read_file(&path, LONGEST)?;
        sealed.push(read.seal(name.as_bytes())?);
        let again = vault.read_to_end(File::open(&path)?, LONGEST)?;
        if !again.constant_time_eq(read.expose_secret()) {
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

fn use_all(vault: &Vault, sealed: &[Record]) -> Result<(), Box<dyn Error>> {
    let mut nowhere = File::create("/dev/null")?;
    let (mut reader, mut writer) = io::pipe()?;
    for record in sealed {
        let opened = open(vault, record)?;
        let mut copy = vault.try_allocate(opened.len())?;
        copy.expose_secret_mut().copy_from_slice(opened.expose_secret());
        opened.write_to(&mut nowhere)?;
        opened.write_to(&mut writer)?;
        reader.read_exact(copy.expose_secret_mut())?;
        copy.release()?;
        // What is refused leaves nothing either.
        if vault.try_open(record, b"another context").is_ok() {
            return Err("a record was opened under another context".into());
        }
        vault.refresh();
    }
    Ok(())
}

/// Tells what is not secret, and waits: with all secrets open, and with none.
fn show(vault: &Vault, sealed: &[Record], plants: bool) -> Result<(), Box<dyn Error>> {
    let place = (&raw const *vault).addr();
    println!("vault {place:x} {:x}", size_of::<Vault>());
    let opened = sealed.iter().map(|record| open(vault, record)).collect::<Result<Vec<_>, _>>()?;
    for (record, opened) in sealed.iter().zip(&opened) {
        let place = opened.expose_secret().as_ptr().addr();
        print!("open {place:x} ");
        record.record().iter().for_each(|byte| print!("{byte:02x}"));
        println!();
    }
    let planted = plants.then(|| opened[0].expose_secret().to_vec());
    wait("open")?;
    drop((opened, planted));
    wait("dropped")
}

/// The context is the file's name, or is the same for all lines.
fn open<'v>(vault: &'v Vault, record: &Record) -> Result<Opened<'v>, Box<dyn Error>> {
    let contexts = ["short", "middle", "long", "line"];
    let mut opened = contexts.iter().filter_map(|context| {
        vault.open_timeout(record, context.as_bytes(), Duration::from_secs(10)).ok()
    });
    opened.next().ok_or_else(|| "a record was not opened".into())
}

fn wait(state: &str) -> Result<(), Box<dyn Error>> {
    println!("{state}");
    io::stdout().flush()?;
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}

type Record = Sealed<Box<[u8]>>;

const THREADS: usize = 2;
const LONGEST: usize = 8192;
