//! The escapes of JSON strings, undone in locked memory.

use std::fmt::{self, Display, Formatter};

use strongroom_core::SecretVec;

use crate::vault::{OpenError, Vault};

/// What the inside of a JSON string means (RFC 8259 section 7).
pub(super) fn unescape<'v>(
    inside: &str,
    vault: &'v Vault,
) -> Result<SecretVec<u8, &'v Vault>, EscapeError> {
    // No escape is shorter than what it stands for.
    let mut unescaped = SecretVec::with_capacity(vault, inside.len())?;
    let mut rest = inside;
    while let Some(backslash) = rest.find('\\') {
        unescaped.extend_from_slice(&rest.as_bytes()[..backslash])?;
        let escape = &rest[backslash + 1..];
        let (character, after) = character(escape).ok_or(EscapeError::Invalid)?;
        unescaped.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes())?;
        rest = after;
    }
    unescaped.extend_from_slice(rest.as_bytes())?;
    Ok(unescaped)
}

/// The character that the text behind a backslash begins with, and what comes after.
fn character(escape: &str) -> Option<(char, &str)> {
    let kind = escape.chars().next()?;
    let after = &escape[kind.len_utf8()..];
    let character = match kind {
        '"' | '\\' | '/' => kind,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => return unicode(after),
        _ => return None,
    };
    Some((character, after))
}

/// Four hexadecimal digits, or twice four that are a pair of UTF-16.
fn unicode(digits: &str) -> Option<(char, &str)> {
    let (first, after) = unit(digits)?;
    if let Some(character) = char::from_u32(first) {
        return Some((character, after));
    }
    let (second, after) = unit(after.strip_prefix("\\u")?)?;
    let is_pair = (0xd800..0xdc00).contains(&first) && (0xdc00..0xe000).contains(&second);
    let character = 0x1_0000 + ((first & 0x3ff) << 10) + (second & 0x3ff);
    if is_pair { Some((char::from_u32(character)?, after)) } else { None }
}

fn unit(digits: &str) -> Option<(u32, &str)> {
    let (unit, after) = digits.split_at_checked(4)?;
    // A sign is a number's part too, elsewhere.
    let is_number = unit.bytes().all(|digit| digit.is_ascii_hexdigit());
    Some((u32::from_str_radix(unit, 16).ok().filter(|_| is_number)?, after))
}

#[derive(Debug)]
pub(super) enum EscapeError {
    Invalid,
    Open(OpenError),
}

impl Display for EscapeError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid => f.write_str("a secret has an escape that JSON does not have"),
            Self::Open(error) => Display::fmt(error, f),
        }
    }
}

impl From<OpenError> for EscapeError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    fn unescaped(inside: &str) -> Option<Vec<u8>> {
        let vault = Vault::new(16 * 1024).unwrap();
        let unescaped = unescape(inside, &vault);
        unescaped.ok().map(|text| text.expose_secret().to_vec())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// All that `serde_json` takes for a string, as it does; and what it does not take, not.
        #[test]
        fn escapes_are_undone_like_elsewhere(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "\\n", "\\u0041", "\\ud83d", "\\ude00", "\\ud83d\\ude00", "\\\"", "\\\\", "\\u00e",
                    "ä", "x", "\\x", "\\u+123", "\\/", "\\b", "\\f", "\\r", "\\t", "\\", "u0041", "😀",
                ]),
                0..8,
            ),
        ) {
            let inside = pieces.concat();
            let quoted = format!("\"{inside}\"");
            // Where it ends is found out by `serde_json` before.
            prop_assume!(serde_json::from_str::<&RawValue>(&quoted).is_ok());
            let theirs = serde_json::from_str::<String>(&quoted).ok();
            prop_assert_eq!(unescaped(&inside), theirs.map(String::into_bytes));
        }

        #[test]
        fn what_was_escaped_comes_back(text in any::<String>()) {
            let escaped = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(unescaped(&escaped[1..escaped.len() - 1]), Some(text.into_bytes()));
        }

        #[test]
        fn nothing_panics(text in "[\\\\u0-9a-fA-F{}\"äx]{0,24}") {
            let _ = unescaped(&text);
        }
    }
}
