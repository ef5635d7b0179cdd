//! Holds the pages to what is there: every command is run, or looked up in the tree and in what the
//! programs say of their options, or stands in a list with the reason why not; links lead somewhere;
//! files, tests and targets that are named exist; code is tested, and the README's picture is drawn
//! again.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(unreachable_pub, reason = "shared between the files of one test")]

mod commands;
#[cfg(target_os = "linux")]
mod host;
mod page;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::Path;

use commands::{Tree, told};
use page::{Page, root};

/// Commands that are neither run nor looked up, and why.
const NEITHER: [(&str, &str); 8] = [
    ("cargo +nightly", "says how nightly is asked for"),
    ("cargo deny --locked check", "needs cargo-deny"),
    ("cargo mutants", "needs cargo-mutants; scripts/mutants.sh runs it"),
    ("eval \"$(strongroom-ssh-agent)\"", "apps/ssh-agent/tests/clients.rs runs it"),
    ("go mod vendor", "is said to leave something out"),
    ("ssh-add ~/.ssh/id_ed25519", "apps/ssh-agent/tests/clients.rs runs it, with another key"),
    (
        "go mod edit -require=strongroom@v0.0.0 -replace=strongroom=/path/to/strongroom/bindings/go",
        "bindings/go/page_test.go runs it",
    ),
    (
        "go mod edit -replace=github.com/awnumar/memguard=/path/to/strongroom/bindings/go/replace/memguard",
        "bindings/go/page_test.go runs it",
    ),
];

/// Paths that need not be there, and why.
const ABSENT: [(&str, &str); 2] = [
    ("corpus", "made by the fuzz targets, and not committed"),
    ("rust-toolchain.toml", "said not to be there"),
];

/// What stands in brackets and is no link: a version that is to come, and a setting of the kernel's.
const IN_BRACKETS: [&str; 2] = ["Unreleased", "madvise"];

#[test]
fn every_command_is_run_or_looked_up_or_stands_in_a_list() {
    let mut tree = Tree::read();
    let (mut count, mut wrong, mut met) = (0, Vec::new(), BTreeSet::new());
    for page in Page::all() {
        for command in told(&page) {
            count += 1;
            if let Some((listed, _)) = NEITHER.iter().find(|(listed, _)| *listed == command) {
                met.insert(*listed);
                continue;
            }
            match tree.look_up(&command) {
                Some(Ok(())) => {}
                Some(Err(why)) => wrong.push(format!("{}: {command}: {why}", page.path)),
                None if is_of_host(&command) => {}
                None => wrong.push(format!("{}: {command}: is in no list", page.path)),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 90, "the commands were not found: {count}");
    assert_eq!(met.len(), NEITHER.len(), "no page has the others any more: {met:?}");
}

#[test]
fn a_command_that_is_wrong_is_found() {
    let mut tree = Tree::read();
    for (wrong, why) in [
        ("cargo tset", "there is no cargo tset"),
        ("cargo test --locket", "Cargo knows no --locket there"),
        ("cargo test -p strongroom-tset", "there is no Named"),
        ("cargo test -p strongroom --test floors", "there is no Named"),
        ("cargo test -p strongroom-core --features std,alloc", "there is no Named"),
        ("cargo test -p strongroom-core --lib buddies", "no test is buddies"),
        ("cargo test -p strongroom-tests --test stray -- --ignore", "cargo test runs nothing"),
        ("cargo run --release --example flet", "there is no Named"),
        ("cargo run --release --example fleet -- --sacn", "what runs knows no --sacn"),
        ("cargo run --bin strongroom-doctor -- --close 3", "what runs knows no --close"),
        ("cargo check --manifest-path bench/cargo.toml", "there is no such manifest"),
        ("cargo install --path apps/ssh-agnet", "there is no such package"),
        (
            "cargo run -p strongroom-tls-server --manifest-path apps/Cargo.toml -- --dmeo 3",
            "what runs knows no --dmeo",
        ),
        ("STRONGROOM_SOAK_HOURS=1 cargo test", "nobody reads STRONGROOM_SOAK_HOURS=1"),
        ("bench/run --quick --only destiny", "bench/run knows no destiny"),
        ("bench/run --only density,groth", "bench/run knows no groth"),
        ("scripts/other-machines.sh arm64", "scripts/other-machines.sh knows no arm64"),
        ("scripts/mirri.sh --short", "there is no program scripts/mirri.sh"),
        ("fuzz/dictionaries/parsers 3", "there is no program fuzz/dictionaries/parsers"),
    ] {
        let said = tree.look_up(wrong).unwrap().unwrap_err();
        assert!(said.starts_with(why), "{wrong}: {said}");
    }
    assert_eq!(tree.look_up("dokcer run IMAGE"), None);
}

/// What needs no root, no service and no minutes, as the page has it.
#[test]
#[cfg(target_os = "linux")]
fn the_host_s_commands_do_what_the_pages_say() {
    let told: Vec<_> = Page::all().iter().flat_map(told).collect();
    let native = host::is_native();
    for (command, fate) in host::COMMANDS {
        let stands = told.contains(&(*command).to_owned());
        assert!(stands, "no page has `{command}` any more");
        match fate {
            host::Fate::Runs if native => host::run(command),
            host::Fate::Runs => eprintln!("skipped: {command}: this is an emulator"),
            host::Fate::Not(why) => eprintln!("skipped: {command}: {why}"),
        }
    }
}

#[cfg(target_os = "linux")]
fn is_of_host(command: &str) -> bool {
    host::COMMANDS.iter().any(|(listed, _)| *listed == command)
}

/// They are Linux's, and looked at there.
#[cfg(not(target_os = "linux"))]
fn is_of_host(_: &str) -> bool {
    true
}

/// All but what takes an optimised build: the same is run without.
#[test]
#[cfg(target_os = "linux")]
fn the_doctor_s_commands_run() {
    if !host::is_native() {
        return;
    }
    let told = Page::all().iter().flat_map(told).collect::<BTreeSet<_>>();
    let mut ran = 0;
    for command in told {
        let Some(arguments) = command.strip_prefix("cargo run") else { continue };
        // The programs have tests of their own, in which they end.
        let of_apps = format!("{}/Cargo.toml", commands::APPS);
        if arguments.contains("--example") || arguments.contains(&of_apps) {
            continue;
        }
        let arguments = arguments.split(' ').filter(|word| !["", "--release"].contains(word));
        let output =
            commands::cargo_at_root().args(["run", "--quiet"]).args(arguments).output().unwrap();
        // 1 is an answer too: too little can be locked here.
        let is_answer = output.status.code().is_some_and(|code| code < 2);
        assert!(is_answer && output.stderr.is_empty(), "{command}: {output:?}");
        assert!(!output.stdout.is_empty(), "{command}");
        ran += 1;
    }
    assert!(ran > 4, "the commands were not found");
}

#[test]
fn links_lead_somewhere() {
    let mut count = 0;
    for page in Page::all() {
        let lacks: Vec<_> =
            page.broken.iter().filter(|name| !IN_BRACKETS.contains(&&***name)).collect();
        assert!(lacks.is_empty(), "{} lacks the links {lacks:?}", page.path);
        for (link, _) in page.links.iter().filter(|(link, _)| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = page.folder().join(file);
            assert!(path.exists(), "{} links to {link}", page.path);
            if !anchor.is_empty() {
                let path = if file.is_empty() { root().join(&page.path) } else { path };
                let path = fs::canonicalize(path).unwrap();
                let path = path.strip_prefix(root()).unwrap();
                let anchors = Page::one(path.to_str().unwrap()).anchors;
                assert!(anchors.contains(anchor), "{} links to {link}: {anchors:?}", page.path);
            }
            count += 1;
        }
    }
    assert!(count > 60, "the links were not found");
}

#[test]
fn what_is_named_is_there() {
    let mut paths = Vec::new();
    walk(&root(), &mut paths);
    let is_there = |name: &str| {
        let ends = [format!("/{name}"), format!("/{name}.rs")];
        paths.iter().any(|path| ends.iter().any(|end| path.ends_with(end)))
    };
    let mut absent = BTreeSet::new();
    let (mut files, mut tests) = (0, 0);
    for page in Page::all() {
        for (span, linked) in &page.spans {
            let name = span.trim_end_matches('/');
            // What was made since may be there all the same.
            if ABSENT.iter().any(|(path, _)| *path == name) {
                absent.insert(name.to_owned());
            } else if is_path(span) {
                assert!(is_there(name), "{} names {span}, which is not there", page.path);
            }
            files += usize::from(is_path(span));
            let Some(linked) = linked.as_ref().filter(|file| ending(file) == "rs") else {
                continue;
            };
            let is_test =
                span.contains('_') && span.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            if is_test {
                let source = fs::read_to_string(page.folder().join(linked)).unwrap();
                let named = source.contains(&format!("fn {span}("));
                assert!(named, "{}: there is no {span} in {linked}", page.path);
                tests += 1;
            }
        }
    }
    assert!(files > 80 && tests > 20, "{files} files and {tests} tests were found");
    assert_eq!(absent.len(), ABSENT.len(), "no page names the others any more: {absent:?}");
}

fn is_path(span: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "._-/".contains(letter);
    let is_file = ["json", "md", "rs", "sh", "svg", "toml"].contains(&ending(span));
    span.len() > 1
        && span.chars().all(is_letter)
        && !span.starts_with('/')
        && (is_file || span.contains('/'))
}

fn ending(path: &str) -> &str {
    Path::new(path).extension().and_then(|ending| ending.to_str()).unwrap_or("")
}

fn walk(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.to_str().unwrap().to_owned());
        let is_built = [".git", "corpus", "target"].iter().any(|name| path.ends_with(name));
        if path.is_dir() && !is_built {
            walk(&path, found);
        }
    }
}

#[test]
fn code_is_tested_by_somebody() {
    // Which pages are examples in a library's docs, where rustdoc builds and runs them.
    let libraries =
        ["core", "std-shim", "keys", "tests"].map(|package| root().join(package).join("src"));
    let tested: Vec<_> = libraries
        .iter()
        .flat_map(|source| {
            let text = fs::read_to_string(source.join("lib.rs")).unwrap();
            let pages = text.split("doc = include_str!(\"").skip(1);
            let pages = pages.map(|rest| source.join(rest.split('"').next().unwrap()));
            pages.map(|page| fs::canonicalize(page).unwrap()).collect::<Vec<_>>()
        })
        .collect();
    for page in Page::all() {
        for (language, text) in &page.blocks {
            match language.split(',').next().unwrap() {
                "rust" => {
                    let path = fs::canonicalize(root().join(&page.path)).unwrap();
                    let is_tested = tested.contains(&path) && !language.contains("ignore");
                    assert!(is_tested, "nobody compiles {}:\n{text}", page.path);
                }
                "toml" => is_for_this_version(text),
                // Run by bindings/python/tests/test_page.py.
                "python" => assert_eq!(page.path, "docs/PYTHON.md", "nobody runs this:\n{text}"),
                "c" => stands_in_an_example(text),
                // Run by bindings/go/page_test.go.
                "go" => assert_eq!(page.path, "docs/GO.md", "nobody runs this:\n{text}"),
                // Commands have a test of their own; the others are files of other programs.
                "sh" | "text" | "ini" | "yaml" => {}
                other => panic!("{}: nobody looks at {other}:\n{text}", page.path),
            }
        }
    }
}

/// `bindings/c/check` builds and runs those. Each function that is called in a page is called there, with as
/// many arguments.
fn stands_in_an_example(text: &str) {
    let example = fs::read_to_string(root().join("bindings/c/examples/open.c")).unwrap();
    let calls = |text: &str| {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let calls = text.split("strongroom_").skip(1).filter_map(|rest| {
            let (name, rest) = rest.split_once('(')?;
            let is_name = name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
            let arguments = rest.split([')', ';']).next()?.split(',').count();
            is_name.then(|| (name.to_owned(), arguments))
        });
        calls.collect::<BTreeSet<_>>()
    };
    let (told, there) = (calls(text), calls(&example));
    assert!(told.len() > 5, "the calls were not found in:\n{text}");
    let wrong: Vec<_> = told.difference(&there).collect();
    assert!(wrong.is_empty(), "examples/open.c does not call {wrong:?} so");
}

/// What is to be written into a `Cargo.toml`.
fn is_for_this_version(text: &str) {
    let told: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}:\n{text}"));
    let version = env!("CARGO_PKG_VERSION").rsplit_once('.').unwrap().0;
    assert_eq!(told["dependencies"]["strongroom"].as_str(), Some(version));
}

#[test]
fn tables_of_files_list_the_files() {
    let entries = fs::read_dir(root().join("checks")).unwrap().map(|entry| entry.unwrap());
    let checks = entries.filter(|entry| entry.path().is_dir());
    let checks = checks.map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert_eq!(first_column(&Page::one("checks/README.md"), "folder"), checks);

    for file in first_column(&Page::one("docs/MUTANTS.md"), "file of core/src") {
        let is_there = root().join(format!("core/src/{file}.rs")).exists();
        assert!(is_there || file == "all", "docs/MUTANTS.md lists {file}");
    }
}

/// `bindings/drop-in/check` holds the list to what is exported, and runs the programs.
#[test]
fn the_page_on_drop_ins_lists_calls_variables_and_programs() {
    let folder = root().join("bindings/drop-in");
    let page = Page::one("docs/DROP-IN.md");
    let exported = fs::read_to_string(folder.join("tests/exported.txt")).unwrap();
    let exported = exported.lines().map(str::to_owned).collect();
    assert_eq!(first_column(&page, "call"), exported);

    let settings = fs::read_to_string(folder.join("memory/src/settings.rs")).unwrap();
    let read = settings.split("is(\"").skip(1).map(|rest| {
        let mut words = rest.split('"');
        format!("{}={}", words.next().unwrap(), words.nth(1).unwrap())
    });
    assert_eq!(first_column(&page, "variable"), read.collect());

    let check = fs::read_to_string(folder.join("check")).unwrap();
    for program in first_column(&page, "program") {
        let is_run = check.lines().any(|line| line.contains("passed") && line.contains(&program))
            || check.contains(&format!("runs \"{program}"));
        assert!(is_run, "check does not run {program}");
    }
}

#[test]
fn the_guide_lists_the_errors() {
    let source = fs::read_to_string(root().join("std-shim/src/pages/error.rs")).unwrap();
    let (_, variants) = source.split_once("pub enum LockError {\n").unwrap();
    let (variants, _) = variants.split_once("\n}").unwrap();
    let lines = variants.lines().filter_map(|line| line.strip_prefix("    "));
    let lines = lines.filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()));
    let variants: BTreeSet<_> = lines.map(|line| line.trim_end_matches([' ', '{', ','])).collect();
    let rows = first_column(&Page::one("docs/DEPLOYMENT.md"), "error");
    assert_eq!(
        rows.iter().map(|row| row.split(',').next().unwrap()).collect::<BTreeSet<_>>(),
        variants
    );
}

#[test]
fn the_page_on_tests_lists_every_part_of_other_machines() {
    let script = fs::read_to_string(root().join("scripts/other-machines.sh")).unwrap();
    let parts = script.lines().filter_map(|line| line.strip_prefix("part_")?.strip_suffix("() {"));
    let commands = told(&Page::one("docs/TESTING.md")).join(" ");
    for part in parts.map(|part| part.replace('_', "-")) {
        let is_told = commands.split(' ').any(|word| word == part);
        assert!(is_told, "docs/TESTING.md lacks the part {part}");
    }
}

#[test]
fn packages_and_features_are_those_of_the_manifests() {
    let tree = Tree::read();
    let readme = Page::one("core/README.md");
    for feature in tree.features("strongroom-core") {
        let is_told = readme.spans.iter().any(|(span, _)| span == feature);
        assert!(is_told || feature == "default", "core/README.md lacks {feature}");
    }
    let published = tree.published().into_iter().collect::<BTreeSet<_>>();
    let script = fs::read_to_string(root().join("scripts/package.sh")).unwrap();
    let packed = script.lines().find_map(|line| line.strip_prefix("published=(")).unwrap();
    assert_eq!(packed.trim_end_matches(')').split(' ').collect::<BTreeSet<_>>(), published);
    // The check list begins with them.
    let release = Page::one("docs/RELEASING.md");
    let named = release.spans.iter().map(|(span, _)| span.as_str());
    assert_eq!(named.take(published.len()).collect::<BTreeSet<_>>(), published);
}

fn first_column(page: &Page, heading: &str) -> BTreeSet<String> {
    let table = page.tables.iter().find(|table| table[0][0] == heading);
    let rows =
        table.unwrap_or_else(|| panic!("{} has no table `{heading}`", page.path)).iter().skip(1);
    rows.map(|row| row[0].clone()).collect()
}

/// By the command that the README names, but not optimised and not in place.
#[test]
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn the_readme_s_picture_is_what_its_command_draws() {
    if !host::is_native() {
        return;
    }
    let readme = Page::one("README.md");
    let (kept, says) = &readme.links[0];
    let command = told(&readme).into_iter().find(|command| command.contains("--beside"));
    let command = command.unwrap();
    let (command, path) = command.rsplit_once(' ').unwrap();
    assert_eq!(path, kept);
    let drawn = env::temp_dir().join(format!("strongroom-pages-{}.svg", std::process::id()));
    let arguments = command.split(' ').skip(1).filter(|&word| word != "--release");
    let output = commands::cargo_at_root().args(arguments).arg(&drawn).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let fresh = fs::read_to_string(&drawn).unwrap();
    fs::remove_file(drawn).unwrap();
    let kept = fs::read_to_string(root().join(kept)).unwrap();
    assert!(kept == fresh, "draw it again: {command} {path}");
    for number in fresh.split("font-weight=\"bold\">").skip(1) {
        let number = number.split('<').next().unwrap();
        assert!(says.contains(&format!(" {number} ")), "README.md does not say {number}: {says}");
    }
}
