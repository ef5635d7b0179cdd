//! What is left of a secret in the process that has read it from a document, sealed it and dropped
//! everything else: the table of docs/CONFIGURATION.md. And what is left in the example that reads
//! secrets from everywhere.
//!
//! A child (`src/bin/configuration`) reads, by itself, a secret that only this test knows, and stands still
//! while all of its memory is searched from outside.
#![cfg(all(target_os = "linux", feature = "vault"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use strongroom_tests::scan::{Find, Search, mappings};

/// How a document has its secret.
#[derive(Clone, Copy)]
enum Written {
    Json,
    JsonEscaped,
    Toml,
    TomlEscaped,
    /// As no literal string can have it.
    TomlControl,
    JsonObject,
    TomlOfOtherType,
    TomlEscapedOfOtherType,
    TomlUnquoted,
    TomlTwice,
}

/// What is read how, in the words of the page; the way of the child; what becomes of it; whether something
/// is left.
const WAYS: [(&str, &str, Written, &str, bool); 18] = [
    ("JSON, `read_json`", "read_json", Written::Json, "sealed", false),
    ("JSON with escapes, `read_json`", "read_json", Written::JsonEscaped, "sealed", false),
    (
        "JSON with an object for a secret, `read_json`",
        "read_json",
        Written::JsonObject,
        "refused",
        false,
    ),
    ("JSON, `serde_json` from a slice", "json_slice", Written::Json, "sealed", false),
    (
        "JSON with escapes, `serde_json` from a slice",
        "json_slice",
        Written::JsonEscaped,
        "refused",
        true,
    ),
    ("the same, `allow_copies`", "json_slice_copies", Written::JsonEscaped, "sealed", true),
    (
        "JSON, `serde_json` from a reader, `allow_copies`",
        "json_reader_copies",
        Written::Json,
        "sealed",
        true,
    ),
    ("TOML, `read_toml`", "read_toml", Written::Toml, "sealed", false),
    ("TOML with escapes, `read_toml`", "read_toml", Written::TomlEscaped, "sealed", false),
    (
        "TOML with the escape of a control character, `read_toml`",
        "read_toml",
        Written::TomlControl,
        "refused",
        false,
    ),
    ("the same, `allow_copies`", "read_toml_copies", Written::TomlControl, "sealed", false),
    (
        "TOML with a setting of a wrong type, `read_toml`",
        "read_toml",
        Written::TomlOfOtherType,
        "refused",
        false,
    ),
    (
        "TOML with escapes and a setting of a wrong type, `read_toml`",
        "read_toml",
        Written::TomlEscapedOfOtherType,
        "refused",
        false,
    ),
    (
        "TOML with a secret without quotes, `read_toml`",
        "read_toml",
        Written::TomlUnquoted,
        "refused",
        false,
    ),
    (
        "TOML with a key that stands twice, `read_toml`",
        "read_toml",
        Written::TomlTwice,
        "refused",
        false,
    ),
    (
        "TOML with a setting of a wrong type, `toml::Deserializer`",
        "toml_parse",
        Written::TomlOfOtherType,
        "refused",
        true,
    ),
    ("`password: String`, `serde_json`", "string_json", Written::Json, "sealed", true),
    ("`password: String`, `toml`", "string_toml", Written::Toml, "sealed", true),
];

#[test]
fn what_is_left_is_what_the_page_says() {
    let mut table = String::from(
        "| document, and how it is read | outcome | left of the secret |\n|---|---|---|\n",
    );
    let mut wrong = Vec::new();
    for (number, (words, way, written, outcome, leaves)) in WAYS.into_iter().enumerate() {
        let (said, finds) = left(number, way, written);
        let is_right = said == outcome && finds.is_empty() != leaves;
        if !is_right {
            wrong.push(format!("{words}: {said}, {finds:x?}"));
        }
        eprintln!("{words}: {said}, {} pieces, {} bytes", finds.len(), bytes(&finds));
        let left = if finds.is_empty() { "nothing" } else { "copies" };
        table.push_str(&["| ", words, " | ", &said, " | ", left, " |\n"].concat());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/CONFIGURATION.md");
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains(&table), "docs/CONFIGURATION.md has another table than\n{table}");
}

/// With secrets from a file, the environment and a descriptor: all work, and none is found in the
/// process, but for the environment's own copy.
#[test]
fn a_service_is_configured_and_keeps_no_copy() {
    let [password, token, key] = [random(40), random(40), random(40)];
    let settings = env::temp_dir().join(format!("strongroom-configured-{}", std::process::id()));
    let (front, back) = password.split_at(20);
    let text = format!(
        "signing-key-from = 'fd:3'\n[database]\nhost = 'db'\npassword = \"{front}\\\"{back}\"\n"
    );
    fs::write(&settings, text).unwrap();
    let key_file = settings.with_extension("key");
    fs::write(&key_file, &key).unwrap();
    // The shell hands on what it has opened.
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" --config \"$1\" --token-from env:API_TOKEN 3< \"$2\""]);
    command.arg(example()).args([&settings, &key_file]);
    command.env("API_TOKEN", &token).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut answer = || {
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    assert_eq!(answer(), "0.0.0.0:8080 db");
    for (request, answered) in [
        ("database", "db:5432 with 41 bytes"),
        ("api", "called with 40 bytes"),
        ("sign", "signed with 40 bytes"),
        ("else", "ask for database, api or sign"),
    ] {
        writeln!(stdin, "{request}").unwrap();
        assert_eq!(answer(), answered);
    }
    let mut search = Search::default();
    for (name, secret) in
        [("password", front), ("password", back), ("token", &token), ("key", &key)]
    {
        search.add(name, secret.as_bytes());
    }
    let finds = search.process(child.id()).unwrap();
    let stack = mappings(child.id()).unwrap();
    let stack = stack.into_iter().find(|mapping| mapping.name == "[stack]").unwrap().range;
    let [find] = &finds[..] else { panic!("{finds:x?}") };
    assert!(find.name == "token" && stack.contains(&find.place.start), "{finds:x?}");
    assert_eq!(find.place.len(), 40);
    drop(stdin);
    assert!(child.wait().unwrap().success());
    fs::remove_file(settings).unwrap();
    fs::remove_file(key_file).unwrap();
}

/// What the child says, and what was found of the secret in it.
fn left(number: usize, way: &str, written: Written) -> (String, Vec<Find>) {
    let [front, back] = [random(100), random(100)];
    let path =
        env::temp_dir().join(format!("strongroom-configuration-{}-{number}", std::process::id()));
    fs::write(&path, written.document(&front, &back)).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_configuration"))
        .arg(way)
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let mut search = Search::default();
    search.add("the front", front.as_bytes());
    search.add("the back", back.as_bytes());
    let finds = search.process(child.id()).unwrap();
    writeln!(child.stdin.take().unwrap()).unwrap();
    assert!(child.wait().unwrap().success(), "{way}");
    fs::remove_file(path).unwrap();
    (said.trim_end().to_owned(), finds)
}

impl Written {
    fn document(self, front: &str, back: &str) -> String {
        match self {
            Self::Json => format!("{{\"host\": \"localhost\", \"password\": \"{front}{back}\"}}"),
            Self::JsonEscaped => {
                format!("{{\"host\": \"localhost\", \"password\": \"{front}\\\"\\u00e4{back}\"}}")
            }
            Self::JsonObject => format!(
                "{{\"host\": \"localhost\", \"password\": {{\"{front}\\n\": \"{back}\\n\"}}}}"
            ),
            Self::Toml => format!("host = 'localhost'\npassword = '{front}{back}'\n"),
            Self::TomlEscaped => format!("host = 'localhost'\npassword = \"{front}\\\"'{back}\"\n"),
            Self::TomlControl => {
                format!("host = 'localhost'\npassword = \"{front}\\u001b{back}\"\n")
            }
            Self::TomlOfOtherType => format!("host = 5\npassword = '{front}{back}'\n"),
            Self::TomlEscapedOfOtherType => format!("host = 5\npassword = \"{front}\\\"{back}\"\n"),
            Self::TomlUnquoted => format!("host = 'localhost'\npassword = {front}{back}\n"),
            Self::TomlTwice => {
                format!("host = 'localhost'\npassword = '{front}{back}'\nhost = 'localhost'\n")
            }
        }
    }
}

fn bytes(finds: &[Find]) -> usize {
    finds.iter().map(|find| find.place.len()).sum()
}

/// Letters and digits, which need no escape.
fn random(len: usize) -> String {
    let urandom = BufReader::new(File::open("/dev/urandom").unwrap());
    let bytes = urandom.bytes().map(|byte| char::from(byte.unwrap()));
    bytes.filter(char::is_ascii_alphanumeric).take(len).collect()
}

/// The example, built as its page says, for the machine that this was built for.
fn example() -> PathBuf {
    let test = env::current_exe().unwrap();
    // Beside the programs of other machines there is a folder for each, named as the machine.
    let folder = test.parent().unwrap().parent().unwrap();
    let above = folder.parent().and_then(Path::file_name).and_then(OsStr::to_str).unwrap();
    let is_machine = above.contains("-linux-");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--package", "strongroom", "--example", "configured"]);
    build.args(["--features", "clap-4,derive,toml"]);
    build.args((!cfg!(debug_assertions)).then_some("--release"));
    if is_machine {
        build.args(["--target", above]);
    }
    assert!(build.status().unwrap().success());
    folder.join("examples").join("configured")
}
