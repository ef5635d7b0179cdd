//! Where a secret comes from as an argument of `clap`'s, which no error shows.

use std::ffi::OsStr;

use clap::builder::{StyledStr, TypedValueParser, ValueParserFactory};
use clap::error::ErrorKind;
use clap::{Arg, Command, Error};

use crate::io::{NoSource, SecretSource};

/// With the feature `clap-4`: how [`SecretSource`] is parsed where it is the type of an argument. What is
/// no source is not shown in the error, for it may be the secret itself.
///
/// ```
/// use clap::{Arg, Command, value_parser};
/// use strongroom::SecretSource;
///
/// let password = Arg::new("password").long("password-from").value_parser(value_parser!(SecretSource));
/// let command = Command::new("serve").arg(password);
///
/// let given = command.clone().get_matches_from(["serve", "--password-from", "file:/run/secrets/db"]);
/// let source: Option<&SecretSource> = given.get_one("password");
/// assert_eq!(source, Some(&SecretSource::File("/run/secrets/db".into())));
///
/// let error = command.try_get_matches_from(["serve", "--password-from", "hunter2"]).unwrap_err();
/// assert!(!error.to_string().contains("hunter2"));
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SecretSourceParser;

impl ValueParserFactory for SecretSource {
    type Parser = SecretSourceParser;

    fn value_parser() -> SecretSourceParser {
        SecretSourceParser
    }
}

impl TypedValueParser for SecretSourceParser {
    type Value = SecretSource;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<SecretSource, Error> {
        let parsed = value.to_str().ok_or(NoSource::Unknown).and_then(str::parse);
        parsed.map_err(|error| {
            let of = argument.map(|argument| format!(" for {argument}")).unwrap_or_default();
            let message = StyledStr::from(format!("invalid value{of}: {error}\n"));
            Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}
