//! The parent: what is looked for, and the table.

mod child;
mod derived;

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use strongroom_tests::scan::{Find, Search, mappings};

use self::derived::Pattern;

/// One row of the table.
struct Row {
    operation: &'static str,
    by: &'static str,
    /// What the child reads: a raw key, or a file in tests/data.
    input: Input,
    /// What is secret, from the input and what the child answered.
    secrets: fn(&[u8], &[u8]) -> Vec<Pattern>,
    /// What strongroom-keys is to leave; `None` if another crate alone is measured.
    ours: Ours,
}

/// What strongroom-keys leaves.
#[derive(PartialEq)]
enum Ours {
    Nothing,
    /// Nothing on the stack; and nothing on the heap, if the allocator is glibc's.
    Freed,
    /// Nothing on the stack, and now and then a word on the heap: it depends on the primes that are tried.
    Word,
    /// It does not use that crate.
    NotMeasured,
}

enum Input {
    Random(usize),
    File(&'static str),
    None,
}

const ROWS: &[Row] = &[
    row("Ed25519: generate", "ed25519-dalek", Input::None, |_, seed| derived::ed25519(seed, None)),
    row("Ed25519: read PEM", "ed25519-dalek", Input::File("ed25519.pem"), derived::ed25519_pem),
    row("Ed25519: read OpenSSH", "", Input::File("ed25519-openssh"), derived::ed25519_openssh),
    row("Ed25519: sign", "ed25519-dalek", Input::Random(32), |seed, _| {
        derived::ed25519(seed, Some(child::MESSAGE))
    }),
    Row {
        ours: Ours::NotMeasured,
        ..row("Ed25519: sign", "ring", Input::Random(32), |seed, _| {
            derived::ed25519(seed, Some(child::MESSAGE))
        })
    },
    row("P-256: generate", "p256", Input::None, |_, scalar| derived::p256(scalar, None)),
    row("P-256: read PEM", "p256", Input::File("p256.pem"), derived::p256_pem),
    row("P-256: read OpenSSH", "", Input::File("p256-openssh"), derived::p256_openssh),
    row("P-256: sign", "p256", Input::Random(32), |scalar, signature| {
        derived::p256(scalar, Some((child::MESSAGE, signature)))
    }),
    Row {
        ours: Ours::NotMeasured,
        ..row("P-256: sign", "ring", Input::Random(32), |scalar, signature| {
            derived::p256(scalar, Some((child::MESSAGE, signature)))
        })
    },
    row("X25519: generate", "x25519-dalek", Input::None, |_, scalar| {
        derived::x25519(scalar, false)
    }),
    row("X25519: agree", "x25519-dalek", Input::Random(32), |scalar, _| {
        derived::x25519(scalar, true)
    }),
    row("ChaCha20-Poly1305: encrypt", "chacha20poly1305", Input::Random(32), |key, _| {
        derived::chacha20(key)
    }),
    row("AES-256-GCM: encrypt", "aes-gcm", Input::Random(32), |key, _| derived::aes256(key)),
    Row { ours: Ours::Word, ..row("RSA: generate", "rsa", Input::None, derived::rsa_generated) },
    Row {
        ours: Ours::Freed,
        ..row("RSA: read PEM", "rsa", Input::File("rsa.pem"), derived::rsa_pem)
    },
    Row {
        ours: Ours::Freed,
        ..row("RSA: sign (PSS)", "rsa", Input::File("rsa.pem"), derived::rsa_pem)
    },
];

const fn row(
    operation: &'static str,
    by: &'static str,
    input: Input,
    secrets: fn(&[u8], &[u8]) -> Vec<Pattern>,
) -> Row {
    Row { operation, by, input, secrets, ours: Ours::Nothing }
}

pub(crate) fn main() {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("child") => {
            let [operation, how, path] = std::array::from_fn(|_| arguments.next().unwrap());
            child::run(&operation, &how, Path::new(&path));
        }
        // `cargo test -- --list`, and what asks for tests by name.
        Some("--list") => {}
        _ => compare(),
    }
}

fn compare() {
    let mut table = String::from(HEAD);
    let mut failures = Vec::new();
    for row in ROWS {
        // Primes are looked for, which takes minutes without optimisation.
        if cfg!(debug_assertions) && row.operation == "RSA: generate" {
            continue;
        }
        let plain = match row.by {
            "" => String::from("–"),
            "ring" => left_by(row, "ring").cell(),
            _ => left_by(row, "plain").cell(),
        };
        let ours = if row.ours == Ours::NotMeasured {
            String::from("–")
        } else {
            let left = left_by(row, "strongroom");
            let is_tidy = row.ours == Ours::Nothing || cfg!(target_env = "gnu");
            let most = if row.ours == Ours::Word { 2 * size_of::<u64>() } else { 0 };
            if left.stack > 0 || is_tidy && left.heap > most {
                failures.push(format!("{}: {:?}", row.operation, left.finds));
            }
            left.cell()
        };
        let by = if row.by.is_empty() { String::new() } else { format!("`{}`", row.by) };
        writeln!(table, "| {} | {by} | {plain} | {ours} |", row.operation).unwrap();
    }
    println!("{table}");

    // A copy that lies on the heap is found.
    let planted = left_by(&ROWS[3], "planted");
    assert!(planted.heap >= 32, "a planted copy was not found: {:?}", planted.finds);
    // The crates are not all clean, or else the search finds nothing.
    assert!(table.lines().any(|line| line.contains("sign") && line.contains(" stack")));
    assert!(failures.is_empty(), "strongroom-keys leaves:\n{}", failures.join("\n"));
    page_has(&table);
}

/// docs/KEYS.md has the rows of this table, and strongroom-keys leaves there what it leaves here. How much
/// the crates leave by themselves depends on compiler and processor.
fn page_has(table: &str) {
    if cfg!(debug_assertions) {
        return;
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/KEYS.md");
    let page = fs::read_to_string(page).unwrap();
    for line in table.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let found = page.lines().any(|other| {
            let others: Vec<_> = other.split('|').map(str::trim).collect();
            let nothing = |cells: &[&str]| cells.get(4) == Some(&"nothing");
            let is_alike = nothing(&others) == nothing(&cells) || cells[1] == "RSA: generate";
            others[..others.len().min(3)] == cells[..3] && is_alike
        });
        assert!(found, "docs/KEYS.md lacks: {line}");
    }
}

struct Left {
    finds: Vec<Find>,
    stack: usize,
    heap: usize,
}

impl Left {
    fn cell(&self) -> String {
        let parts = [(self.stack, "stack"), (self.heap, "heap")];
        let parts = parts.into_iter().filter(|(bytes, _)| *bytes > 0);
        let parts: Vec<_> = parts.map(|(bytes, place)| format!("{bytes} {place}")).collect();
        if parts.is_empty() { "nothing".into() } else { parts.join(", ") }
    }
}

/// Runs one operation in a child, and searches the child.
fn left_by(row: &Row, how: &str) -> Left {
    let directory = Directory::new();
    let path = directory.0.join("key");
    let input = match row.input {
        Input::Random(len) => {
            let mut key = vec![0; len];
            fs::File::open("/dev/urandom").unwrap().read_exact(&mut key).unwrap();
            key
        }
        Input::File(name) => {
            let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
            fs::read(data.join(name)).unwrap()
        }
        Input::None => Vec::new(),
    };
    fs::write(&path, &input).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", row.operation, how])
        .arg(&path)
        // One heap, which is told from the stacks by its name.
        .env("MALLOC_ARENA_MAX", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut answer, stdout) = (Vec::new(), child.stdout.as_mut().unwrap());
    while !answer.ends_with(child::DONE) {
        let mut bytes = [0; 256];
        let len = stdout.read(&mut bytes).unwrap();
        assert_ne!(len, 0, "{} {how} has ended", row.operation);
        answer.extend_from_slice(&bytes[..len]);
    }
    answer.truncate(answer.len() - child::DONE.len());

    let mut search = Search::default();
    for (name, secret) in (row.secrets)(&input, &answer) {
        search.add(name, &secret);
    }
    let finds = search.process(child.id()).unwrap();
    let maps = mappings(child.id()).unwrap();
    let on_stack = |find: &Find| {
        maps.iter().any(|map| map.name == "[stack]" && map.range.contains(&find.place.start))
    };
    let (stack, heap): (Vec<_>, Vec<_>) = finds.iter().partition(|find| on_stack(find));
    let bytes = |finds: &[&Find]| finds.iter().map(|find| find.place.len()).sum();
    let (stack, heap) = (bytes(&stack), bytes(&heap));
    child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    assert!(child.wait().unwrap().success());
    Left { finds, stack, heap }
}

struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let id = std::process::id();
        let path = std::env::temp_dir().join(format!("strongroom-left-behind-{id}"));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const HEAD: &str = "\
| operation | crate | left by the crate | left by strongroom-keys |
|---|---|---|---|
";
