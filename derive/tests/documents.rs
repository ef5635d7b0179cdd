//! Structs read from documents: their secret fields go into a vault from where the parser has them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeSeed;
use strongroom::{OpenError, SealFields, SecretString, SecretVec, Share, TwinSeed, Vault};

#[derive(SealFields)]
#[seal(deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    user: String,
    #[serde(default = "port", rename = "port-number", alias = "port")]
    port: u16,
    #[serde(default)]
    tags: Vec<String>,
    comment: Option<String>,
    #[secret]
    password: SecretString<Share>,
    #[secret]
    #[serde(rename = "api-token", alias = "token")]
    token: SecretVec<u8, Share>,
    #[secret]
    r#key: [u8; 4],
}

fn port() -> u16 {
    5432
}

#[derive(SealFields)]
#[seal(deserialize)]
struct Settings {
    name: String,
    #[seal(nested)]
    account: SealedAccount,
}

#[derive(SealFields)]
#[seal(deserialize)]
struct Login {
    #[serde(default)]
    attempts: u32,
    #[secret]
    password: SecretString<Share>,
}

fn vault() -> Vault {
    Vault::new(16 * 1024).unwrap()
}

fn toml(text: &str) -> Result<SealedAccount, String> {
    let vault = Box::leak(Box::new(vault()));
    TwinSeed::new(vault).read_toml(text.as_bytes()).map_err(|error| error.to_string())
}

fn json(text: &str) -> Result<SealedAccount, String> {
    let vault = Box::leak(Box::new(vault()));
    SealedAccount::seed(vault).read_json(text.as_bytes()).map_err(|error| error.to_string())
}

#[test]
fn each_field_is_what_the_document_says() {
    let vault = vault();
    let text = r#"
        name = "primary"
        [account]
        user = "alice"
        password = 'pässword "'
        token = "t0ken"
        key = [1, 2, 3, 255]
        port = 80
        tags = ["a", "b"]
    "#;
    let sealed = SealedSettings::seed(&vault).read_toml(text.as_bytes()).unwrap();
    let account = sealed.account;
    assert_eq!(
        (sealed.name.as_str(), account.user.as_str(), account.port),
        ("primary", "alice", 80)
    );
    assert_eq!((account.tags.len(), account.comment.as_ref()), (2, None));
    let opened = account.try_open(&vault).unwrap();
    assert!(opened.password.constant_time_eq("pässword \""));
    assert!(
        opened.token.constant_time_eq(b"t0ken") && opened.key.constant_time_eq(&[1, 2, 3, 255])
    );
    drop(opened);

    let text = r#"{"name": "x", "account": {"user": "bob", "comment": "c", "password": "p\"\u00e4\n",
        "api-token": [116, 48], "key": [1, 2, 3, 4]}}"#;
    let account = SealedSettings::seed(&vault).read_json(text.as_bytes()).unwrap().account;
    assert_eq!(
        (account.port, account.tags.len(), account.comment.as_deref()),
        (5432, 0, Some("c"))
    );
    let opened = account.try_open(&vault).unwrap();
    assert!(opened.password.constant_time_eq("p\"ä\n") && opened.token.constant_time_eq(b"t0"));
    drop(opened);
    assert_eq!((vault.held(), vault.verify()), (0, Ok(())));
}

/// As the derive of serde says it.
#[test]
fn what_is_missing_double_or_unknown_is_said() {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Theirs {
        user: String,
        password: String,
    }
    #[derive(SealFields)]
    #[seal(deserialize)]
    #[serde(deny_unknown_fields)]
    struct Ours {
        user: String,
        #[secret]
        password: SecretString<Share>,
    }
    let vault = vault();
    for text in [
        r#"{"user": "a"}"#,
        r#"{"password": "p"}"#,
        r#"{"user": "a", "user": "b"}"#,
        r#"{"password": "p", "password": "q"}"#,
        r#"{"user": "a", "paswsord": "p"}"#,
        r#"{"user": 5, "password": "p"}"#,
        r#"{"user": "a", "password": "p"} more"#,
        r#"{"user": "a", "password": "p""#,
        r#"["a", "p"]"#,
    ] {
        let ours = SealedOurs::seed(&vault).read_json(text.as_bytes()).unwrap_err();
        let Err(theirs) = serde_json::from_str::<Theirs>(text) else {
            // Theirs reads a struct as an array too.
            assert_eq!(ours.to_string(), "line 1: invalid type: sequence, expected struct Ours");
            continue;
        };
        let theirs = theirs.to_string().replace("Theirs", "Ours");
        let theirs = theirs.split(" at line").next().unwrap();
        assert_eq!(ours.to_string(), format!("line 1: {theirs}"), "{text}");
    }
}

#[test]
fn no_error_shows_a_secret() {
    let numbers = "user = 'a'\nkey = [1, 2, 3, 4]\ntoken = 't'\n";
    let texts = "user = 'a'\npassword = 'p'\ntoken = 't'\n";
    for (text, says) in [
        (
            format!("{numbers}password = 71077345\n"),
            "line 4: invalid type: a number, expected a secret text",
        ),
        (format!("{numbers}password = 7107.7345\n"), "line 4: invalid type: a number"),
        (format!("{numbers}password = true\n"), "line 4: invalid type: a boolean"),
        (format!("{numbers}password = {{ a = 'hunter2' }}\n"), "line 4: invalid type: a table"),
        (format!("{numbers}password = 2020-01-01\n"), "line 4: invalid type: a table"),
        (
            format!("{numbers}password = [71, 72]\n"),
            "line 4: invalid type: bytes, expected a secret text",
        ),
        (format!("{numbers}password = hunter2\n"), "line 4: "),
        (format!("{numbers}password = 'hunter2\n"), "line 4: "),
        (format!("{numbers}password = \"hunter2\\q\"\n"), "line 4: "),
        (
            format!("{texts}key = [71, 72, 73]\n"),
            "line 4: invalid length 3, expected a secret of 4 bytes",
        ),
        (
            format!("{texts}key = [71, 72, 73, 7107]\n"),
            "line 4: invalid type: another, expected a number up to 255",
        ),
        (format!("{texts}key = [71, 72, 73, 'hunter2']\n"), "line 4: invalid type: a text"),
        (
            format!("{texts}key = 'hunt'\n"),
            "line 4: invalid type: a text, expected a secret of 4 bytes, as an array",
        ),
        (format!("{texts}key = [1, 2, 3, 4]\npassword = 'hunter2'\n"), "line 5: "),
    ] {
        let Err(error) = toml(&text) else { panic!("{text}") };
        assert!(error.starts_with(says), "{text}: {error}");
        let shown = ["hunter2", "71", "hunt'"].iter().any(|secret| error.contains(secret));
        assert!(!shown, "{text}: {error}");
    }
    for value in [
        "71077345",
        "-71077345",
        "7107.7345",
        "true",
        "null",
        "{\"a\": \"hunter2\"}",
        "[71, 72]",
        "\"hunter2\\ud83d\"",
        "[71, \"hunter2\"]",
        "[710773]",
        "[7.1]",
        "[[]]",
        "[-71]",
    ] {
        let text = format!("{{\"user\": \"a\", \"password\": {value}}}");
        let Err(error) = json(&text) else { panic!("{text}") };
        assert!(!error.contains("71") && !error.contains("hunter2"), "{text}: {error}");
    }
}

/// Whoever parses the document, it was copied or it was not.
#[test]
fn copies_are_refused_unless_allowed() {
    let vault = vault();
    let plain = br#"{"password": "hunter2"}"#;
    let escaped = br#"{"password": "hunter2\n"}"#;
    let read = |text: &'static [u8], seed: TwinSeed<'_, SealedLogin>| {
        seed.deserialize(&mut serde_json::Deserializer::from_slice(text))
    };
    let seed = || SealedLogin::seed(&vault);
    assert_eq!(read(plain, seed()).unwrap().attempts, 0);
    let error = read(escaped, seed()).unwrap_err().to_string();
    assert!(error.starts_with("the parser has copied this secret to the heap"), "{error}");
    for sealed in [read(escaped, seed().allow_copies()), read(escaped, seed().in_json())] {
        let password = sealed.unwrap().password;
        assert_eq!(password.try_open(&vault).unwrap().expose_secret(), "hunter2\n");
    }
    let mut reader = serde_json::Deserializer::from_reader(&plain[..]);
    assert!(seed().deserialize(&mut reader).is_err());
    let mut reader = serde_json::Deserializer::from_reader(&plain[..]);
    assert!(seed().allow_copies().deserialize(&mut reader).is_ok());
    // Another format's value, by another's rules: said, and not taken for something else.
    let table = BTreeMap::from([("password", "hunter2")]);
    let table =
        serde::de::value::MapDeserializer::<_, serde::de::value::Error>::new(table.into_iter());
    assert!(seed().in_json().deserialize(table).is_err());
}

#[test]
fn escapes_of_toml_are_undone_or_refused() {
    for (written, means) in [
        (r#""a\"b""#, "a\"b"),
        (r#""a\\b'c""#, "a\\b'c"),
        (r#""\u00e4\t""#, "ä\t"),
        (r#""""a\"b""""#, "a\"b"),
        ("\"\"\"\na\\\"b\nc\"\"\"", "a\"b\nc"),
        ("\"\"\"\n-----BEGIN\nabc\n\"\"\"", "-----BEGIN\nabc\n"),
        ("'''\n-----BEGIN\nabc\n'''", "-----BEGIN\nabc\n"),
        (r"'a\nb'", r"a\nb"),
    ] {
        let text = format!("password = {written}\nnot-known = \"\\u001b\"\nattempts = 3\n");
        let vault = vault();
        let sealed = SealedLogin::seed(&vault).read_toml(text.as_bytes());
        let sealed = sealed.unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(sealed.attempts, 3);
        assert_eq!(sealed.password.try_open(&vault).unwrap().expose_secret(), means);
    }
    for written in [r#""a\u001b""#, r#""a\nb""#, r#""\\'''""#, "\"\"\"a\\\n   b\"\"\""] {
        let text = format!("\npassword = {written}\n");
        let vault = vault();
        let error = SealedLogin::seed(&vault).read_toml(text.as_bytes()).unwrap_err();
        assert_eq!(error.line(), Some(2), "{error}");
        assert!(error.to_string().contains("the parser has copied this secret"), "{error}");
        let sealed = SealedLogin::seed(&vault).allow_copies().read_toml(text.as_bytes());
        assert!(sealed.is_ok(), "{text}");
    }
}

#[test]
fn a_secret_that_was_read_opens_in_its_own_place_alone() {
    let vault = vault();
    let mut login = SealedLogin::seed(&vault).read_json(br#"{"password": "p"}"#).unwrap();
    let record = vault.seal(b"p", b"another").unwrap();
    login.password = strongroom::SealedField::from_record(record);
    assert_eq!(login.password.try_open(&vault).unwrap_err(), OpenError::Tampered);
}

#[test]
fn a_vault_that_is_full_or_gone_says_so() {
    let vault = vault();
    let full = std::iter::from_fn(|| vault.try_allocate(16).ok()).collect::<Vec<_>>();
    // To seal takes no room; to undo an escape does.
    assert!(SealedLogin::seed(&vault).read_json(br#"{"password": "p"}"#).is_ok());
    for error in [
        SealedLogin::seed(&vault).read_json(br#"{"password": "p\n"}"#).unwrap_err(),
        SealedLogin::seed(&vault).read_toml(b"password = \"p\\\"\"").unwrap_err(),
    ] {
        assert!(error.to_string().contains("no room for"), "{error}");
    }
    drop(full);
    vault.destroy();
    let error = SealedLogin::seed(&vault).read_json(br#"{"password": "p"}"#).unwrap_err();
    assert!(error.to_string().contains("destroyed"), "{error}");
}
