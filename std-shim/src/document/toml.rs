//! TOML by the crate `toml`, which is given a document in which no secret has escapes.
//!
//! What has some would be copied to the heap. So a document is looked through first, with the parser
//! that `toml` is made of, and what can be is written without escapes: `"a\"b"` as `'a"b'`.

use serde::de::DeserializeSeed;
use strongroom_core::{SecretVec, wiping_stack};
use toml::Spanned;
use toml::de::{DeTable, Deserializer};
use toml_parser::decoder::{Encoding, StringBuilder};
use toml_parser::parser::{Event, EventKind, RecursionGuard, ValidateWhitespace, parse_document};
use toml_parser::{ParseError, Raw, Source};

use super::error::DocumentError;
use super::options::STACK;
use super::twin::{FromDocument, TwinSeed};
use crate::vault::{OpenError, Vault};

impl<T: FromDocument> TwinSeed<'_, T> {
    /// With the feature `toml`: reads a TOML document, which should lie in locked memory itself
    /// ([`Vault::read_file`]). A secret that was copied to the heap is an error: one that has escapes and
    /// cannot be written without, because of a control character, say.
    ///
    /// Where there are escapes, the document is written anew in locked memory, and takes it twice.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn read_toml(self, document: &[u8]) -> Result<T, DocumentError> {
        wiping_stack::<STACK, _>(|| self.read_bytes(document))
    }

    fn read_bytes(self, document: &[u8]) -> Result<T, DocumentError> {
        let text = str::from_utf8(document).map_err(|error| {
            DocumentError::new(NOT_UTF8.into(), line(document, error.valid_up_to()))
        })?;
        let found = look_through(text)?;
        // What is no TOML for another reason is found out where an error may copy the document.
        table(&redacted(text, &found.events))?;
        if found.escaped.is_empty() {
            return self.read_text(text);
        }
        let rewritten = rewrite(text, &found.escaped, self.options.vault);
        let rewritten = rewritten.map_err(|error| DocumentError::new(error.to_string(), 0))?;
        let rewritten = rewritten.expose_secret();
        self.read_text(str::from_utf8(&rewritten).unwrap_or_default())
    }

    fn read_text(self, text: &str) -> Result<T, DocumentError> {
        // By way of the table: then an error of what is read from it has no copy of the document.
        let deserializer = Deserializer::from(table(text)?);
        self.deserialize(deserializer).map_err(|error| told(&error, text))
    }
}

fn table(text: &str) -> Result<Spanned<DeTable<'_>>, DocumentError> {
    DeTable::parse(text).map_err(|error| told(&error, text))
}

/// An error without the line that it is about.
fn told(error: &toml::de::Error, text: &str) -> DocumentError {
    let line = error.span().map_or(0, |span| line(text.as_bytes(), span.start));
    DocumentError::new(error.message().to_owned(), line)
}

/// The document with other texts and comments, of the same length and in the same lines. No byte of
/// theirs is copied.
fn redacted(text: &str, events: &[Event]) -> String {
    let (mut redacted, mut copied) = (String::with_capacity(text.len()), 0);
    for event in events {
        let Some(quotes) = quotes(event) else { continue };
        let span = event.span();
        let (start, end) = (span.start(), span.end());
        redacted.push_str(&text[copied..start]);
        let inside = &text.as_bytes()[start..end];
        let len = inside.len();
        redacted.extend(inside.iter().enumerate().map(|(at, &byte)| match byte {
            _ if at < quotes.0.len() => char::from(quotes.0.as_bytes()[at]),
            _ if at >= len - quotes.1.len() => '\'',
            b'\n' => '\n',
            _ => 'x',
        }));
        copied = end;
    }
    redacted.push_str(&text[copied..]);
    redacted
}

/// What a text or a comment begins and ends with, when it is redacted.
fn quotes(event: &Event) -> Option<(&'static str, &'static str)> {
    match (event.kind(), event.encoding()) {
        (EventKind::Comment, _) => Some(("#", "")),
        (EventKind::Scalar, Some(Encoding::LiteralString | Encoding::BasicString)) => {
            Some(("'", "'"))
        }
        (EventKind::Scalar, Some(_)) => Some(("'''", "'''")),
        _ => None,
    }
}

/// What was found in a document.
struct Found {
    events: Vec<Event>,
    /// The texts that have escapes.
    escaped: Vec<Event>,
}

/// What there is, or why this is no TOML: found out here, because the error that `toml` makes has a copy
/// of the document, and a text without quotes would not be told from what is no text.
fn look_through(text: &str) -> Result<Found, DocumentError> {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let (mut events, mut wrong) = (Vec::new(), None::<ParseError>);
    let mut spaced = ValidateWhitespace::new(&mut events, source);
    let mut guarded = RecursionGuard::new(&mut spaced, DEEPEST);
    parse_document(&tokens, &mut guarded, &mut wrong);
    let mut escaped = Vec::new();
    for event in &events {
        let Some(raw) = source.get(event) else { continue };
        match event.kind() {
            EventKind::Scalar => {
                let mut piece = Piece::default();
                let _ = raw.decode_scalar(&mut piece, &mut wrong);
                if piece.is_copied && event.encoding().is_some() {
                    escaped.push(*event);
                }
            }
            EventKind::SimpleKey => raw.decode_key(&mut (), &mut wrong),
            EventKind::Comment => raw.decode_comment(&mut wrong),
            EventKind::Newline => raw.decode_newline(&mut wrong),
            _ => {}
        }
    }
    match wrong {
        None => Ok(Found { events, escaped }),
        Some(error) => {
            let place = error.unexpected().or(error.context()).map_or(0, |span| span.start());
            let message = format!("{}{NO_TOML}", error.description());
            Err(DocumentError::new(message, line(text.as_bytes(), place)))
        }
    }
}

/// The document with what has escapes written without, where there is a way that keeps the lines.
fn rewrite<'v>(
    text: &str,
    escaped: &[Event],
    vault: &'v Vault,
) -> Result<SecretVec<u8, &'v Vault>, OpenError> {
    // Quotes may take four bytes more than they did; no escape is shorter than what it stands for.
    let mut rewritten = SecretVec::with_capacity(vault, text.len() + 4 * escaped.len())?;
    let source = Source::new(text);
    let mut copied = 0;
    for event in escaped {
        let span = event.span();
        let Some(raw) = source.get(event) else { continue };
        if let Some(literal) = literal(raw, vault)? {
            rewritten.extend_from_slice(&text.as_bytes()[copied..span.start()])?;
            rewritten.extend_from_slice(&literal.expose_secret())?;
            copied = span.end();
        }
    }
    rewritten.extend_from_slice(&text.as_bytes()[copied..])?;
    Ok(rewritten)
}

/// A string as a literal one, which knows no escapes; `None` if it cannot be one.
fn literal<'v>(
    raw: Raw<'_>,
    vault: &'v Vault,
) -> Result<Option<SecretVec<u8, &'v Vault>>, OpenError> {
    let mut decoded = Decoded { bytes: SecretVec::with_capacity(vault, raw.len())?, refused: None };
    let _ = raw.decode_scalar(&mut decoded, &mut ());
    if let Some(error) = decoded.refused {
        return Err(error);
    }
    let decoded = decoded.bytes.expose_secret();
    // The first end of a line behind three quotes is not part of the string.
    let first = if raw.as_bytes().starts_with(b"\"\"\"\n") { "\n" } else { "" };
    let is_plain = |&byte: &u8| byte == b'\t' || byte == b'\n' || (byte >= b' ' && byte != 0x7f);
    let fits = decoded.iter().all(is_plain)
        && !decoded.windows(3).any(|three| three == b"'''")
        && !decoded.ends_with(b"'")
        && line_ends(&decoded) + first.len() == line_ends(raw.as_bytes())
        && !(first.is_empty() && decoded.starts_with(b"\n"));
    if !fits {
        return Ok(None);
    }
    let is_short = !decoded.contains(&b'\'') && line_ends(raw.as_bytes()) == 0;
    let quotes = if is_short { "'" } else { "'''" };
    let mut literal = SecretVec::with_capacity(vault, decoded.len() + 7)?;
    for piece in [quotes.as_bytes(), first.as_bytes(), &decoded, quotes.as_bytes()] {
        literal.extend_from_slice(piece)?;
    }
    Ok(Some(literal))
}

/// Finds out whether a string is a piece of the document as it stands.
#[derive(Default)]
struct Piece {
    has_begun: bool,
    is_copied: bool,
}

impl<'t> StringBuilder<'t> for Piece {
    fn clear(&mut self) {
        *self = Self::default();
    }

    fn push_str(&mut self, piece: &'t str) -> bool {
        self.is_copied |= self.has_begun && !piece.is_empty();
        self.has_begun |= !piece.is_empty();
        true
    }

    fn push_char(&mut self, _: char) -> bool {
        self.is_copied = true;
        true
    }
}

/// A string with its escapes undone, in locked memory.
struct Decoded<'v> {
    bytes: SecretVec<u8, &'v Vault>,
    refused: Option<OpenError>,
}

impl Decoded<'_> {
    fn push(&mut self, piece: &str) -> bool {
        let pushed = self.bytes.extend_from_slice(piece.as_bytes());
        pushed.map_err(|error| self.refused = Some(error)).is_ok()
    }
}

impl<'t> StringBuilder<'t> for Decoded<'_> {
    fn clear(&mut self) {
        self.bytes.clear();
    }

    fn push_str(&mut self, piece: &'t str) -> bool {
        self.push(piece)
    }

    fn push_char(&mut self, character: char) -> bool {
        self.push(character.encode_utf8(&mut [0; 4]))
    }
}

/// The number of the line that a place is in, from 1.
fn line(document: &[u8], place: usize) -> usize {
    line_ends(&document[..place.min(document.len())]) + 1
}

fn line_ends(text: &[u8]) -> usize {
    text.split(|&byte| byte == b'\n').count() - 1
}

const NOT_UTF8: &str = "not UTF-8, and so no TOML";

const NO_TOML: &str = " (a text stands in quotes; the line is not shown, for it may hold a secret)";

/// As deep as `toml` goes.
const DEEPEST: u32 = 80;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use toml::Table;

    use super::*;

    /// What `toml` is given, redacted and not.
    fn given(text: &str) -> Result<(String, String), DocumentError> {
        let vault = Vault::new(64 * 1024).unwrap();
        let found = look_through(text)?;
        let rewritten = rewrite(text, &found.escaped, &vault).unwrap();
        let rewritten = String::from_utf8(rewritten.expose_secret().to_vec()).unwrap();
        Ok((redacted(text, &found.events), rewritten))
    }

    fn pieces() -> impl Strategy<Value = String> {
        let pieces = vec![
            "\"",
            "'",
            "\"\"\"",
            "'''",
            "\\\"",
            "\\\\",
            "\\n",
            "\\u00e4",
            "\\q",
            "\n",
            "\r\n",
            "a",
            "ä",
            " ",
            "\t",
            "# b",
            "=",
            "k = ",
            "[t]\n",
            "[[u]]\n",
            "{",
            "}",
            "[",
            "]",
            ",",
            "\\\n ",
            "k.l = ",
            "5",
            "true",
            "2020-01-01",
            "\u{1b}",
        ];
        prop::collection::vec(prop::sample::select(pieces), 0..16)
            .prop_map(|pieces| pieces.concat())
    }

    /// Strings that are likely to be whole.
    fn assignments() -> impl Strategy<Value = String> {
        let quotes = prop::sample::select(vec!["\"", "'", "\"\"\"", "'''", "\"\"\"\n", "'''\n"]);
        let inside = prop::collection::vec(
            prop::sample::select(vec![
                "\\\"", "\\\\", "'", "a", "ä", "\\t", "\\u001b", "\n", "\\\n ", "''",
            ]),
            0..6,
        );
        let values = prop::collection::vec((quotes, inside), 1..4);
        values.prop_map(|values| {
            let lines = values.into_iter().enumerate().map(|(number, (quotes, inside))| {
                format!("k{number} = {quotes}{}{} # c'\"\n", inside.concat(), quotes.trim_end())
            });
            lines.collect()
        })
    }

    proptest! {
        /// The document means what it meant, its lines are where they were, and what is no TOML is found
        /// out before.
        #[test]
        fn what_toml_is_given_means_the_same(text in prop_oneof![pieces(), assignments()]) {
            let theirs = text.parse::<Table>();
            match given(&text) {
                Ok((redacted, rewritten)) => {
                    prop_assert_eq!(rewritten.parse::<Table>().ok(), theirs.as_ref().ok().cloned());
                    prop_assert_eq!(redacted.parse::<Table>().is_ok(), theirs.is_ok(), "{}", redacted);
                    prop_assert_eq!(redacted.len(), text.len());
                    prop_assert_eq!(line_ends(redacted.as_bytes()), line_ends(text.as_bytes()));
                    prop_assert_eq!(line_ends(rewritten.as_bytes()), line_ends(text.as_bytes()));
                }
                Err(_) => prop_assert!(theirs.is_err(), "{:?}", theirs),
            }
        }

        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = given(&text);
        }
    }

    #[test]
    fn no_text_is_copied_but_what_is_no_text() {
        let (redacted, rewritten) =
            given("a = 'b' # c\nd = \"e\\\"\"\nf = '''\ng\nh'''\n\"i\" = [5, 'j']\n").unwrap();
        assert_eq!(redacted, "a = 'x' #xx\nd = 'xxx'\nf = '''\nx\nx'''\n\"i\" = [5, 'x']\n");
        assert_eq!(rewritten, "a = 'b' # c\nd = 'e\"'\nf = '''\ng\nh'''\n\"i\" = [5, 'j']\n");
    }
}
