//! A page of Markdown, taken apart into what can be held to something.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{BrokenLink, CodeBlockKind, CowStr, Event, Options, Parser, Tag, TagEnd};

/// The repository's own folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[derive(Debug, Default)]
pub struct Page {
    /// From the root.
    pub path: String,
    /// Language and text of each fenced block.
    pub blocks: Vec<(String, String)>,
    /// Code between backquotes, and which file was linked before it in the same cell or paragraph.
    pub spans: Vec<(String, Option<String>)>,
    /// Where links and pictures go to, and what the picture says.
    pub links: Vec<(String, String)>,
    /// What `#…` may name.
    pub anchors: BTreeSet<String>,
    /// Rows of tables, the headings first; the text of each cell.
    pub tables: Vec<Vec<Vec<String>>>,
    /// Links by name to something that is not there.
    pub broken: Vec<String>,
}

impl Page {
    /// All pages of the repository.
    pub fn all() -> Vec<Self> {
        let mut paths = Vec::new();
        find(&root(), &mut paths);
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    pub fn one(path: &str) -> Self {
        Self::read(&root().join(path))
    }

    /// The folder that the page's links start from.
    pub fn folder(&self) -> PathBuf {
        root().join(&self.path).parent().unwrap().to_owned()
    }

    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let below = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let mut page = Self { path: below, ..Self::default() };
        let mut broken = Vec::new();
        let note = |link: BrokenLink<'_>| {
            broken.push(link.reference.to_string());
            None::<(CowStr<'_>, CowStr<'_>)>
        };
        let options = Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS;
        let parser = Parser::new_with_broken_link_callback(&text, options, Some(note));
        let (mut words, mut linked, mut is_block) = (String::new(), None, false);
        for event in parser {
            match event {
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                    page.blocks.push((language.to_string(), String::new()));
                    is_block = true;
                }
                Event::Start(Tag::CodeBlock(CodeBlockKind::Indented)) => {
                    page.blocks.push(("indented".to_owned(), String::new()));
                    is_block = true;
                }
                Event::End(TagEnd::CodeBlock) => is_block = false,
                Event::Text(text) if is_block => page.blocks.last_mut().unwrap().1 += &text,
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push((dest_url.to_string(), String::new()));
                    linked = Some(dest_url.to_string());
                }
                Event::Start(Tag::Paragraph | Tag::TableCell | Tag::Heading { .. } | Tag::Item) => {
                    words.clear();
                    linked = None;
                }
                Event::Start(Tag::Table(_)) => page.tables.push(Vec::new()),
                Event::Start(Tag::TableHead | Tag::TableRow) => {
                    page.tables.last_mut().unwrap().push(Vec::new());
                }
                Event::End(TagEnd::TableCell) => {
                    page.tables.last_mut().unwrap().last_mut().unwrap().push(words.clone());
                }
                Event::End(TagEnd::Heading(_)) => {
                    page.anchors.insert(anchor(&words));
                }
                Event::End(TagEnd::Image) => page.links.last_mut().unwrap().1.clone_from(&words),
                Event::Code(code) => {
                    words += &code;
                    page.spans.push((code.to_string(), linked.clone()));
                }
                Event::Text(text) => words += &text,
                Event::SoftBreak => words.push(' '),
                _ => {}
            }
        }
        page.broken = broken;
        page
    }
}

fn find(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        // What is built, and what the benchmark leaves behind, is nobody's page.
        if path.is_dir() && !name.starts_with('.') && !["target", "results"].contains(&name) {
            find(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "md") {
            found.push(path);
        }
    }
}

/// As GitHub makes them of headings.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|&letter| letter.is_alphanumeric() || " -_".contains(letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter.to_ascii_lowercase() }).collect()
}
