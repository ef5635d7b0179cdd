//! Why a document was not read.

use std::error::Error;
use std::fmt::{self, Display, Formatter};

use crate::debug::debug_as_displayed;

debug_as_displayed!(DocumentError);

/// A document was not read. What was sealed of it so far is dropped.
///
/// It shows no line of the document. It does show what stands in a field that is not secret, where
/// another kind of value was expected.
#[derive(Clone, PartialEq, Eq)]
pub struct DocumentError {
    /// The parser's words, or the seed's.
    message: String,
    /// From 1; 0 if it is of no line.
    line: usize,
}

impl DocumentError {
    pub(super) fn new(message: String, line: usize) -> Self {
        Self { message, line }
    }

    /// The line that it is about, from 1; `None` if it is about the whole.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        (self.line > 0).then_some(self.line)
    }
}

impl Display for DocumentError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.message),
            line => write!(f, "line {line}: {}", self.message),
        }
    }
}

impl Error for DocumentError {}

/// The words of an error without "at line 1 column 2" at the end.
#[cfg(feature = "json")]
pub(super) fn without_place(error: &serde_json::Error) -> String {
    let mut message = error.to_string();
    if let Some(place) = message.rfind(" at line ") {
        message.truncate(place);
    }
    message
}
