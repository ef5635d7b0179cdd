//! Commands of the pages: found, and looked up in what is there, without being run.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::page::{Page, root};

/// The commands of a page's `sh` blocks, and those between backquotes.
pub fn told(page: &Page) -> Vec<String> {
    let blocks = page.blocks.iter().filter(|(language, _)| language == "sh");
    let blocks = blocks.flat_map(|(_, text)| lines(text));
    let spans = page.spans.iter().map(|(span, _)| span.clone()).filter(|span| is_command(span));
    blocks.chain(spans).collect()
}

/// The commands of a script, one a line, without comments and with single blanks.
fn lines(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let commands = joined.lines().map(|line| line.split(" #").next().unwrap_or(""));
    let commands = commands.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    commands.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

fn is_command(span: &str) -> bool {
    let words: Vec<_> = span.split(' ').skip_while(|word| is_setting(word)).collect();
    match words[..] {
        [program, ..] if program.contains('/') => {
            words.len() > 1 && root().join(program.split('/').next().unwrap()).is_dir()
                || is_executable(program)
        }
        [] | [_] => false,
        [program, ..] => PROGRAMS.contains(&program),
    }
}

/// `NAME=value` before a command.
fn is_setting(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_')
}

fn is_executable(program: &str) -> bool {
    let is_it = |file: fs::Metadata| file.is_file() && file.permissions().mode() & 0o111 != 0;
    fs::metadata(root().join(program)).is_ok_and(is_it)
}

/// What is here to be named by a command.
pub struct Tree {
    packages: Vec<Value>,
    checks: Vec<String>,
    helps: BTreeMap<String, String>,
}

impl Tree {
    pub fn read() -> Self {
        let packages = ["Cargo.toml", "apps/Cargo.toml"].iter().flat_map(|manifest| {
            let arguments = ["metadata", "--no-deps", "--format-version", "1", "--manifest-path"];
            let metadata = cargo(&[&arguments[..], &[manifest]].concat());
            let metadata: Value = serde_json::from_str(&metadata).unwrap();
            metadata["packages"].as_array().unwrap().clone()
        });
        let packages = packages.collect();
        let ci = fs::read_to_string(root().join(".ci/run")).unwrap();
        let checks = lines(&ci).iter().map(|line| bare(line)).collect();
        Self { packages, checks, helps: BTreeMap::new() }
    }

    /// Names of those that are published.
    pub fn published(&self) -> Vec<&str> {
        let published = self.packages.iter().filter(|package| package["publish"].is_null());
        published.map(|package| package["name"].as_str().unwrap()).collect()
    }

    /// Names of a package's features.
    pub fn features(&self, package: &str) -> Vec<&String> {
        let named = |found: &&Value| found["name"] == package;
        let package = self.packages.iter().find(named).unwrap();
        package["features"].as_object().unwrap().keys().collect()
    }

    /// Looks up a command of Cargo or a script. `None` if it is neither; else why it cannot be run,
    /// if it cannot.
    pub fn look_up(&mut self, command: &str) -> Option<Result<(), String>> {
        // Step by step what `.ci/run` does is run more often than anything else.
        if self.checks.contains(&bare(command)) {
            return Some(Ok(()));
        }
        let words: Vec<_> = command.split(' ').collect();
        let settings = words.iter().take_while(|word| is_setting(word)).count();
        let (settings, words) = words.split_at(settings);
        let found = match words {
            ["cargo", words @ ..] => self.cargo(words),
            [program, words @ ..] if program.contains('/') => script(program, words),
            _ => return None,
        };
        let unknown = settings.iter().find(|setting| !is_read(setting));
        Some(unknown.map_or(found, |setting| Err(format!("nobody reads {setting}"))))
    }

    fn cargo(&mut self, words: &[&str]) -> Result<(), String> {
        let end = words.iter().position(|&word| word == "--").unwrap_or(words.len());
        let Some((task, options)) = words[..end].split_first() else {
            return Err("what is Cargo to do?".to_owned());
        };
        let help = self.help(&[task, "--help"]).ok_or(format!("there is no cargo {task}"))?;
        let mut named = Named::read(options, &help)?;
        let found = self.find(&named)?;
        let behind = words.get(end + 1..).unwrap_or(&[]);
        let flags = behind.iter().copied().filter(|word| word.starts_with('-'));
        let flags: Vec<_> = flags.collect();
        match &found[..] {
            [program] if program.starts_with(root().join(APPS)) => declares(program, &flags)?,
            _ => self.takes(task, &named, &flags)?,
        }
        if *task == "test" {
            named.words.extend(behind.iter().filter(|word| !word.starts_with('-')));
            let is_missing = |name: &&&str| !found.iter().any(|folder| has_test(folder, name));
            let missing = named.words.iter().find(is_missing);
            return missing.map_or(Ok(()), |name| Err(format!("no test is {name}")));
        }
        named.words.first().map_or(Ok(()), |word| Err(format!("what is {word} to cargo {task}?")))
    }

    /// Whether what runs knows the options behind the `--`.
    fn takes(&mut self, task: &str, named: &Named<'_>, flags: &[&str]) -> Result<(), String> {
        if flags.is_empty() || task == "test" && test_takes(flags) {
            return Ok(());
        }
        let mut run = vec!["run", "--quiet"];
        let kind = named.target.map(|(kind, _)| format!("--{kind}"));
        if let (Some(kind), Some((_, name))) = (&kind, named.target) {
            run.extend([kind, name]);
        }
        let features = named.features.join(",");
        if !features.is_empty() {
            run.extend(["--features", &features]);
        }
        run.extend(["--", "--help"]);
        let help = if task == "run" { self.help(&run) } else { None };
        let help = help.ok_or(format!("cargo {task} runs nothing that knows {flags:?}"))?;
        let unknown = flags.iter().find(|flag| !mentions(&help, flag));
        unknown.map_or(Ok(()), |flag| Err(format!("what runs knows no {flag}")))
    }

    /// The folders of the packages that are meant; an error if there is none with that target.
    fn find(&self, named: &Named<'_>) -> Result<Vec<PathBuf>, String> {
        let mut found = self.packages.clone();
        found.retain(|package| named.package.is_none_or(|name| package["name"] == name));
        let has = |package: &Value, feature: &str| package["features"].get(feature).is_some();
        found.retain(|package| named.features.iter().all(|feature| has(package, feature)));
        if let Some((kind, name)) = named.target {
            let is_it = |target: &Value| {
                target["kind"].as_array().unwrap().iter().any(|found| found == kind)
                    && (kind == "lib" || target["name"] == name)
            };
            found.retain(|package| package["targets"].as_array().unwrap().iter().any(is_it));
        }
        let folder = |package: &Value| {
            PathBuf::from(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
        };
        let folders: Vec<_> = found.iter().map(folder).collect();
        if folders.is_empty() { Err(format!("there is no {named:?}")) } else { Ok(folders) }
    }

    /// What a program of Cargo's, or one that it runs, says of its options.
    fn help(&mut self, arguments: &[&str]) -> Option<String> {
        let key = arguments.join(" ");
        if !self.helps.contains_key(&key) {
            self.helps.insert(key.clone(), cargo(arguments));
        }
        Some(self.helps[&key].clone()).filter(|help| !help.is_empty())
    }
}

/// What stands before the `--` of a command of Cargo.
#[derive(Debug, Default)]
struct Named<'a> {
    package: Option<&'a str>,
    features: Vec<&'a str>,
    /// Kind and name.
    target: Option<(&'a str, &'a str)>,
    /// What is no option: names of tests.
    words: Vec<&'a str>,
}

impl<'a> Named<'a> {
    fn read(options: &[&'a str], help: &str) -> Result<Self, String> {
        let mut named = Self::default();
        let mut options = options.iter();
        while let Some(&option) = options.next() {
            if !option.starts_with('-') {
                named.words.push(option);
                continue;
            }
            if !mentions(help, option) {
                return Err(format!("Cargo knows no {option} there"));
            }
            let mut value = || options.next().copied().ok_or(format!("{option} of what?"));
            match option {
                "-p" => named.package = Some(value()?),
                "--features" => named.features = value()?.split(',').collect(),
                "--test" | "--example" | "--bin" => named.target = Some((&option[2..], value()?)),
                "--lib" => named.target = Some(("lib", "")),
                "--manifest-path" if !root().join(value()?).is_file() => {
                    return Err("there is no such manifest".to_owned());
                }
                "--path" if !root().join(value()?).join("Cargo.toml").is_file() => {
                    return Err("there is no such package".to_owned());
                }
                _ => {}
            }
        }
        Ok(named)
    }
}

/// Looks for a script, and for its options and words in it, or among the options of the program in
/// the same folder that it hands them to.
fn script(script: &str, words: &[&str]) -> Result<(), String> {
    if !is_executable(script) {
        return Err(format!("there is no program {script}"));
    }
    let path = root().join(script);
    let text = fs::read_to_string(&path).unwrap();
    let options = fs::read_to_string(path.parent().unwrap().join("src/options.rs"));
    let options = options.unwrap_or_default();
    let is_known = |word: &str| {
        let field = word.trim_start_matches('-').replace('-', "_");
        word.parse::<u32>().is_ok()
            || mentions(&text, word)
            || options.contains(&format!(" {field}: "))
            || options.to_lowercase().contains(&format!("    {},", field.replace('_', "")))
    };
    match words.iter().flat_map(|word| word.split(',')).find(|word| !is_known(word)) {
        Some(word) => Err(format!("{script} knows no {word}")),
        None => Ok(()),
    }
}

/// Whether a program of the workspace [`APPS`] has such options. They are looked for where it declares them,
/// for to ask it would take as long as building it.
fn declares(program: &Path, flags: &[&str]) -> Result<(), String> {
    let source = fs::read_to_string(program.join("src/main.rs")).unwrap();
    let field = |flag: &str| format!(" {}: ", flag.trim_start_matches('-').replace('-', "_"));
    let unknown = flags.iter().find(|flag| !source.contains(&field(flag)));
    unknown.map_or(Ok(()), |flag| Err(format!("what runs knows no {flag}")))
}

/// The folder with the workspace of programs.
pub const APPS: &str = "apps";

/// Whether the word stands there by itself.
fn mentions(text: &str, word: &str) -> bool {
    let is_of_word = |letter: char| letter.is_alphanumeric() || "-_".contains(letter);
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        !before.ends_with(is_of_word) && !after.starts_with(is_of_word)
    })
}

/// Without what changes nothing of what is run.
fn bare(command: &str) -> String {
    command.replace(" --locked", "")
}

/// Whether a test or a script reads the variable that is set.
fn is_read(setting: &str) -> bool {
    let variable = setting.split('=').next().unwrap_or("");
    ["tests/tests", "std-shim/tests", "scripts"].iter().any(|folder| {
        let files = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let mut texts = files.filter_map(|path| fs::read_to_string(path).ok());
        texts.any(|text| {
            text.contains(&format!("\"{variable}\"")) || text.contains(&format!("${variable}"))
        })
    })
}

/// Whether a file or function below a folder is called so.
fn has_test(folder: &PathBuf, name: &str) -> bool {
    let name = name.trim_end_matches("::");
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return has_test(&path, name);
        }
        path.extension().is_some_and(|ending| ending == "rs")
            && (path.file_stem().is_some_and(|stem| stem == name)
                || fs::read_to_string(&path).unwrap().contains(&format!("fn {name}")))
    })
}

/// Whether a test program knows the options, as this is one.
fn test_takes(flags: &[&str]) -> bool {
    let mut test = Command::new(env::current_exe().unwrap());
    test.args(flags).arg("--list").output().unwrap().status.success()
}

/// What Cargo prints, or nothing if it fails. It works offline: whoever runs this test has built it.
fn cargo(arguments: &[&str]) -> String {
    let output = cargo_at_root().args(arguments).output().unwrap();
    if !output.status.success() {
        eprintln!("cargo {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        return String::new();
    }
    String::from_utf8(output.stdout).unwrap()
}

pub fn cargo_at_root() -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root()).env("CARGO_NET_OFFLINE", "true").env("CARGO_TERM_COLOR", "never");
    // How this test was built is not how a reader builds.
    command.env_remove("RUSTFLAGS");
    command
}

/// What commands begin with that are neither of Cargo nor scripts of ours.
const PROGRAMS: [&str; 21] = [
    "capsh",
    "cargo",
    "cat",
    "docker",
    "getcap",
    "go",
    "grep",
    "kubectl",
    "pip",
    "prlimit",
    "setcap",
    "setpriv",
    "su",
    "sudo",
    "swapon",
    "sysctl",
    "systemctl",
    "systemd-analyze",
    "systemd-run",
    "ulimit",
    "wc",
];
