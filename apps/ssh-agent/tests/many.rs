//! Ten thousand keys under 64 KiB, many clients at the same time, and those who send nonsense.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::collections::HashSet;
use std::env;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use ssh_agent_lib::proto::{
    AddIdentityConstrained, Extension, KeyConstraint, PublicCredential, RemoveIdentity, Unparsed,
};
use ssh_agent_lib::ssh_key::public::KeyData;
use support::{Agent, adding, are_here, is_root, numbered, program, seed, signing, told, verify};

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation: cargo test --release")]
fn ten_thousand_keys_sign_under_64_kib() {
    // Where the kernel allows no more, if this process may say so.
    let is_limited = is_root() && are_here(&["prlimit", "setpriv"]);
    let agent = if is_limited {
        let mut command = Command::new("prlimit");
        command.args(["--memlock=65536", "setpriv", "--bounding-set=-ipc_lock"]);
        command.arg("--inh-caps=-ipc_lock").arg(program());
        Agent::run(command, &["--budget", "64K"])
    } else {
        Agent::start(&["--budget", "64K"])
    };
    let mut client = agent.client();
    for number in 0..KEYS {
        client.add_identity(adding(numbered(number).1, &format!("key {number}"))).unwrap();
    }
    for number in 0..KEYS {
        let (_, pair) = numbered(number);
        let public = KeyData::Ed25519(pair.public);
        let data = format!("message {number}");
        let signature = client.sign(signing(public.clone(), data.as_bytes(), 0)).unwrap();
        verify(&public, data.as_bytes(), &signature);
    }
    let locked = agent.status("VmLck:");
    assert!(locked <= 64, "{locked} KiB are locked");
    assert!(locked > 0);

    // As many as OpenSSH's clients take, and the last of them.
    let listed = client.request_identities().unwrap();
    assert_eq!(listed.len(), 2048);
    assert_eq!(listed[2047].comment, format!("key {}", KEYS - 1));
    if are_here(&["ssh-add"]) {
        assert_eq!(agent.list().len(), 2048);
        agent.added(&["-D"]);
        assert_eq!(agent.list().len(), 0);
    }
}

#[test]
fn what_cannot_be_locked_is_told_at_the_start() {
    if !is_root() {
        println!("skipped: it takes root to set limits that hold");
        return;
    }
    if !are_here(&["prlimit", "setpriv"]) {
        return;
    }
    let mut command = Command::new("prlimit");
    command.args(["--memlock=32768", "setpriv", "--bounding-set=-ipc_lock"]);
    let output = command.arg("--inh-caps=-ipc_lock").arg(program()).output().unwrap();
    let said = told(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("of 32,768 bytes") && said.contains("raise RLIMIT_MEMLOCK"), "{said}");
}

/// For a minute with `STRONGROOM_SECONDS=60`.
#[test]
fn many_clients_at_the_same_time_get_their_own_answers() {
    let seconds =
        env::var("STRONGROOM_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let time = Duration::from_secs(seconds);
    let agent = Agent::start(&[]);
    let began = Instant::now();
    thread::scope(|scope| {
        for thread in 0..8 {
            let agent = &agent;
            scope.spawn(move || {
                let mut client = agent.client();
                let mut done = 0_u32;
                while began.elapsed() < time {
                    // Some keys are one thread's own, and one is everybody's.
                    for number in [100 + thread, 200 + thread, 300] {
                        let (_, pair) = numbered(number);
                        let public = KeyData::Ed25519(pair.public);
                        client.add_identity(adding(pair, "a key")).unwrap();
                        let data = format!("{thread} {number} {done}");
                        let signed = client.sign(signing(public.clone(), data.as_bytes(), 0));
                        let credential = PublicCredential::Key(public.clone());
                        let removed = client.remove_identity(RemoveIdentity { credential });
                        match signed {
                            Ok(signature) => verify(&public, data.as_bytes(), &signature),
                            Err(_) => assert_eq!(number, 300, "a key of its own is gone"),
                        }
                        assert!(removed.is_ok() || number == 300);
                    }
                    done += 1;
                }
                assert!(done > 0);
            });
        }
    });
    let left = agent.client().request_identities().unwrap();
    assert!(left.len() <= 1, "{left:?}");
}

#[test]
fn a_key_with_a_constraint_that_is_not_known_is_refused() {
    let agent = Agent::start(&[]);
    let mut client = agent.client();
    let (_, pair) = numbered(1);
    let name = "restrict-destination-v00@openssh.com".to_owned();
    let unknown = KeyConstraint::Extension(Extension { name, details: Unparsed::from(vec![]) });
    for constraints in [vec![unknown.clone()], vec![KeyConstraint::Confirm, unknown]] {
        let identity = adding(pair.clone(), "a key");
        let adding = AddIdentityConstrained { identity, constraints };
        assert!(client.add_identity_constrained(adding).is_err());
        assert_eq!(client.request_identities().unwrap(), []);
    }
    agent.wait_for("the constraint restrict-destination-v00@openssh.com is not known");
    // And one that has no name.
    let mut body = add_message(1, b"a key", 25);
    body.push(3);
    assert_eq!(answer(&mut agent.connect(), &body), Some(FAILURE));
    // Behind a message without constraints there is nothing.
    let mut body = add_message(1, b"a key", 17);
    body.push(2);
    assert_eq!(answer(&mut agent.connect(), &body), Some(FAILURE));
    assert_eq!(client.request_identities().unwrap(), []);
    assert_eq!(answer(&mut agent.connect(), &add_message(1, b"a key", 17)), Some(SUCCESS));
    assert_eq!(client.request_identities().unwrap().len(), 1);
}

#[test]
fn damaged_messages_are_refused_and_do_no_harm() {
    let agent = Agent::start(&[]);
    let whole = add_message(1, b"a key", 25);
    let mut stream = agent.connect();
    for len in 1..whole.len() {
        assert_eq!(answer(&mut stream, &whole[..len]), Some(FAILURE), "{len} bytes of it");
    }
    // Any byte but those of the comment.
    for at in 1..whole.len() - 5 {
        let mut body = whole.clone();
        body[at] ^= 1;
        assert_eq!(answer(&mut stream, &body), Some(FAILURE), "byte {at}");
    }
    for kind in 0..=255 {
        if !matches!(kind, 11 | 19) {
            assert_eq!(answer(&mut stream, &[kind]), Some(FAILURE), "kind {kind}");
            assert_eq!(answer(&mut stream, &[kind, 0, 0, 0, 9, 1]), Some(FAILURE), "kind {kind}");
        }
    }
    assert_eq!(agent.client().request_identities().unwrap(), []);
    // What is too long ends the connection, and nobody else's.
    for (len, kind) in [(u32::MAX, 11), (256 * 1024 + 1, 13), (8 * 1024 + 1, 17), (0, 11)] {
        let mut stream = agent.connect();
        stream.write_all(&[&len.to_be_bytes()[..], &[kind]].concat()).unwrap();
        assert_eq!(read_answer(&mut stream), None);
    }
    assert_eq!(answer(&mut stream, &whole), Some(SUCCESS));
}

/// Half messages take what room there is for messages, and for a time only; keys are opened elsewhere.
#[test]
fn who_sends_half_a_message_keeps_nobody_from_signing() {
    let agent = Agent::start(&[]);
    let mut client = agent.client();
    let (_, pair) = numbered(1);
    let public = KeyData::Ed25519(pair.public);
    client.add_identity(adding(pair, "a key")).unwrap();
    let half = |_| {
        let mut stream = agent.connect();
        stream.write_all(&[0, 0, 31, 0, 17, 0, 0, 0, 200, 1]).unwrap();
        stream
    };
    let halves: Vec<_> = (0..100).map(half).collect();
    thread::sleep(Duration::from_millis(300));
    let began = Instant::now();
    for _ in 0..100 {
        client.sign(signing(public.clone(), b"a message", 0)).unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    for mut stream in halves {
        assert_eq!(read_answer(&mut stream), None, "it is not waited for any longer");
    }
    let (log, mut client) = (agent.log(), agent.client());
    assert!(log.contains("did not end it") && log.contains("others are sending theirs"), "{log}");
    client.add_identity(adding(numbered(2).1, "another")).unwrap();
}

#[test]
fn numbered_keys_differ() {
    let seeds: HashSet<_> = (0..KEYS).map(seed).collect();
    assert_eq!(seeds.len(), KEYS as usize);
}

/// A message that adds a numbered key.
fn add_message(number: u32, comment: &[u8], kind: u8) -> Vec<u8> {
    let (seed, pair) = numbered(number);
    let mut body = vec![kind];
    let both = [seed, pair.public.0].concat();
    for string in [&b"ssh-ed25519"[..], &pair.public.0, &both, comment] {
        body.extend(u32::try_from(string.len()).unwrap().to_be_bytes());
        body.extend(string);
    }
    body
}

/// The kind of the answer to a message.
fn answer(stream: &mut UnixStream, body: &[u8]) -> Option<u8> {
    let len = u32::try_from(body.len()).unwrap().to_be_bytes();
    stream.write_all(&[&len[..], body].concat()).unwrap();
    read_answer(stream)
}

fn read_answer(stream: &mut UnixStream) -> Option<u8> {
    let mut len = [0; 4];
    match stream.read_exact(&mut len) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("no answer, and no end"),
        Err(_) => return None,
    }
    let mut body = vec![0; u32::from_be_bytes(len) as usize];
    stream.read_exact(&mut body).unwrap();
    Some(body[0])
}

const KEYS: u32 = 10_000;
const FAILURE: u8 = 5;
const SUCCESS: u8 = 6;
