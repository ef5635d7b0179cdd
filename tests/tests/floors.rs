//! Holds the files of the libraries and of the benchmark to the floors that their docs list: imports
//! point down, from one part to another and between the files of one folder. And holds the page that
//! lists the libraries' files to the files.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Files that are no part of the library itself.
const ASIDE: [&str; 4] = ["lib", "main", "testing", "stack_probe"];

#[test]
fn the_core_s_imports_point_down() {
    let library = Library::read("core");
    assert!(library.check_floors() > 50, "the imports were not found");
    library.check_folders();
}

#[test]
fn the_shim_s_imports_point_down() {
    let library = Library::read("std-shim");
    assert!(library.check_floors() > 20, "the imports were not found");
    library.check_folders();
}

#[test]
fn the_keys_imports_point_down() {
    let keys = Library::read("keys");
    assert!(keys.check_floors() > 10, "the imports were not found");
    keys.check_folders();
}

#[test]
fn the_benchmark_s_imports_point_down() {
    let bench = Library::read("bench");
    assert!(bench.check_floors() > 30, "the imports were not found");
    bench.check_folders();
}

#[test]
fn the_vault_s_files_import_in_no_circle() {
    let folder = Library::read("std-shim").folder("vault");
    let arrows = folder.values().map(BTreeSet::len).sum::<usize>();
    assert!(arrows > 30, "the imports were not found: {folder:?}");
}

#[test]
fn the_architecture_page_lists_every_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/ARCHITECTURE.md")).unwrap();
    for package in ["core", "std-shim", "keys"] {
        let heading = format!("\n## {package}/src\n");
        let (_, section) = page.split_once(&heading).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let listed = section.lines().filter_map(|line| line.split_once(' '));
        let listed: Vec<_> = listed.filter_map(|(file, _)| file.strip_suffix(".rs")).collect();
        let files = Library::read(package).sources().into_iter().map(|(_, below)| below);
        let files: BTreeSet<String> = files.filter(|below| !is_of_tests(below)).collect();
        let unlisted: Vec<_> = files.iter().filter(|file| !listed.contains(&&***file)).collect();
        assert!(unlisted.is_empty(), "docs/ARCHITECTURE.md lacks {unlisted:?} of {package}/src");
        let gone: Vec<_> = listed.iter().filter(|&&file| !files.contains(file)).collect();
        assert!(gone.is_empty(), "docs/ARCHITECTURE.md lists {gone:?}, not in {package}/src");
        assert_eq!(listed.len(), files.len(), "listed twice");
    }
}

#[test]
fn a_circle_is_found() {
    let folder = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")];
    let folder = folder.map(|(from, to)| (from.to_owned(), BTreeSet::from([to.to_owned()])));
    assert_eq!(circle(&folder.into()), Some("a".to_owned()));
    let line = [("a".to_owned(), BTreeSet::from(["b".to_owned()]))];
    assert_eq!(circle(&line.into()), None);
}

/// Who imports whom.
type Arrows = BTreeMap<String, BTreeSet<String>>;

struct Library {
    root: PathBuf,
    floors: BTreeMap<String, usize>,
}

impl Library {
    fn read(package: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(package).join("src");
        let docs = ["lib.rs", "main.rs"].map(|file| fs::read_to_string(root.join(file)));
        let docs = docs.into_iter().find_map(Result::ok).unwrap();
        let rows = docs.lines().filter_map(|line| line.strip_prefix("//! | "));
        let floors = rows
            .filter_map(|row| row.split_once(" | "))
            .filter_map(|(floor, files)| Some((floor.parse().ok()?, files)))
            .flat_map(|(floor, files)| names(files).map(move |file| (file.to_owned(), floor)))
            .collect();
        Self { root, floors }
    }

    /// Checks each file against the table, and the table against the files. How many imports there are.
    fn check_floors(&self) -> usize {
        let (mut imports, mut seen) = (0, BTreeSet::new());
        for (path, below) in self.sources() {
            let module = below.split('/').next().unwrap();
            if ASIDE.contains(&module) || is_of_tests(&below) {
                continue;
            }
            let floor = *self.floors.get(module).unwrap_or_else(|| panic!("{module} has no floor"));
            seen.insert(module.to_owned());
            for import in names_after(&code_of(&path), "crate::") {
                let Some(&other) = self.floors.get(&import).filter(|_| import != module) else {
                    continue;
                };
                imports += 1;
                assert!(other < floor, "{below} (floor {floor}) imports {import} ({other})");
            }
        }
        assert_eq!(seen, self.floors.keys().cloned().collect(), "the table is not of these files");
        imports
    }

    fn check_folders(&self) {
        let folders = fs::read_dir(&self.root).unwrap().map(|entry| entry.unwrap().path());
        for folder in folders.filter(|path| path.is_dir()) {
            let name = folder.file_name().unwrap().to_str().unwrap();
            assert_eq!(circle(&self.folder(name)), None, "in {name}");
        }
    }

    /// Which files of a folder import which others of it.
    fn folder(&self, name: &str) -> Arrows {
        let files: BTreeMap<String, PathBuf> = self
            .sources()
            .into_iter()
            .filter(|(_, below)| !is_of_tests(below))
            .filter_map(|(path, below)| {
                let file = below.strip_prefix(name)?.strip_prefix('/')?.to_owned();
                (!file.contains('/')).then_some((file, path))
            })
            .collect();
        let imports = |path| {
            let imported = names_after(&code_of(path), "super::");
            imported.into_iter().filter(|name| files.contains_key(name)).collect()
        };
        files.iter().map(|(file, path)| (file.clone(), imports(path))).collect()
    }

    /// All source files, with their place below the root, without the ending.
    fn sources(&self) -> Vec<(PathBuf, String)> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { walk(&path, found) } else { found.push(path) }
            }
        }
        let mut found = Vec::new();
        walk(&self.root, &mut found);
        let below = |path: &Path| {
            path.strip_prefix(&self.root).unwrap().with_extension("").to_str().unwrap().to_owned()
        };
        found.iter().map(|path| (path.clone(), below(path))).collect()
    }
}

/// A file on a circle of imports.
fn circle(arrows: &Arrows) -> Option<String> {
    let mut left = arrows.clone();
    // Takes away whatever imports nothing that is left, again and again.
    while let Some(file) = left
        .iter()
        .find(|(_, imports)| !imports.iter().any(|import| left.contains_key(import)))
        .map(|(file, _)| file.clone())
    {
        left.remove(&file);
    }
    left.into_keys().next()
}

/// A file's code, without its tests, which may look wherever they like.
fn code_of(path: &Path) -> String {
    let source = fs::read_to_string(path).unwrap();
    let code = source.split("#[cfg(test)]").next().unwrap();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    code.lines().filter(is_code).collect::<Vec<_>>().join("\n")
}

fn is_of_tests(below: &str) -> bool {
    below.split('/').any(|part| part == "tests")
}

/// Names between backquotes.
fn names(files: &str) -> impl Iterator<Item = &str> {
    files.split('`').skip(1).step_by(2)
}

/// The modules that are named right after `prefix`, in braces too.
fn names_after(code: &str, prefix: &str) -> Vec<String> {
    let name = |text: &str| {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
        text[..end.unwrap_or(text.len())].to_owned()
    };
    code.split(prefix)
        .skip(1)
        .flat_map(|import| match import.strip_prefix('{') {
            Some(list) => {
                let list = list.split('}').next().unwrap_or("");
                list.split(',').map(|part| name(part.trim())).collect()
            }
            None => vec![name(import)],
        })
        .collect()
}
