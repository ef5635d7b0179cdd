//! What somebody finds who has all of the agent's memory that can be had: a core file, and the process
//! while it runs.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use ssh_agent_lib::proto::Request;
use ssh_agent_lib::ssh_encoding::{Decode, Encode};
use ssh_agent_lib::ssh_key::PrivateKey;
use ssh_agent_lib::ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_agent_lib::ssh_key::public::KeyData;
use strongroom_tests::scan::Search;
use support::core_file::{CoreFile, hidden_mappings};
use support::{Agent, adding, are_here, folder, is_root, new_key, numbered, signing};

/// Programs, and the right to use them on a process that hides from its own user.
fn can_look() -> bool {
    let can = is_root();
    if !can {
        println!("skipped: only root may look into an agent");
    }
    can && are_here(&["gcore", "ssh-add", "ssh-keygen", "ssh-agent"])
}

#[test]
fn no_core_file_of_it_has_a_key() {
    if !can_look() {
        return;
    }
    let (agent, folder) = (Agent::start(&[]), folder());
    let search = use_keys(&agent, folder.path());
    let core = CoreFile::of(agent.id(), folder.path());
    let finds = search.file(&fs::File::open(&core.path).unwrap()).unwrap();
    assert_eq!(finds, [], "in a core file of {} bytes", core.len());
    assert_eq!(core.shielded_keys(), Vec::<Vec<u8>>::new());
    // The memory that keys are opened in, and the key that they are sealed under, is not in it.
    let hidden = hidden_mappings(agent.id());
    assert_ne!(hidden, []);
    assert!(!hidden.iter().any(|mapping| core.has_any_of(mapping)), "{hidden:x?}");

    // Of the process as it runs, root reads what the kernel gives of it.
    assert_eq!(search.process(agent.id()).unwrap(), []);
}

/// The crate `rsa` computes on the heap, on several threads at once here.
#[test]
fn no_number_of_rsa_is_left_when_many_sign_at_the_same_time() {
    if !can_look() {
        return;
    }
    let (agent, folder) = (Agent::start(&[]), folder());
    let mut search = Search::default();
    let publics = ["one", "two"].map(|name| {
        let folder = folder.path().join(name);
        fs::create_dir(&folder).unwrap();
        let file = new_key(&folder, "rsa");
        agent.added(&[&file]);
        let key = PrivateKey::read_openssh_file(&file).unwrap();
        add_pattern(&mut search, key.key_data());
        key.public_key().key_data().clone()
    });
    for _ in 0..8 {
        thread::scope(|scope| {
            for public in publics.iter().cycle().take(8) {
                let mut client = agent.client();
                scope.spawn(move || {
                    for _ in 0..30 {
                        client.sign(signing(public.clone(), b"a message", 4)).unwrap();
                    }
                });
            }
        });
        assert_eq!(search.process(agent.id()).unwrap(), []);
    }
}

/// That the searches above find what is there: a key that somebody else put into its memory.
#[test]
fn a_planted_copy_is_found() {
    if !can_look() {
        return;
    }
    let (agent, folder) = (Agent::start(&[]), folder());
    let seed = b"eiYai3ohch7Ahx1aequo0ohPheiw5xoo";
    let mut client = agent.client();
    client.add_identity(adding(Ed25519Keypair::from_seed(seed), "one")).unwrap();
    let mut search = Search::default();
    search.add("a seed", seed);
    assert_eq!(search.process(agent.id()).unwrap(), [], "it was not planted yet");

    // A comment is no secret.
    client.add_identity(adding(numbered(1).1, std::str::from_utf8(seed).unwrap())).unwrap();
    let core = CoreFile::of(agent.id(), folder.path());
    let found = |finds: Vec<strongroom_tests::scan::Find>| {
        finds.iter().any(|find| find.name == "a seed" && find.place.len() == 32)
    };
    assert!(found(search.file(&fs::File::open(&core.path).unwrap()).unwrap()));
    assert!(found(search.process(agent.id()).unwrap()));
}

/// Why messages that add a key are not read by `ssh-agent-lib`: copies stay behind, on the heap and the stack.
#[test]
fn what_ssh_agent_lib_reads_stays_behind() {
    if !can_look() {
        return;
    }
    let (seed, pair) = numbered(1);
    let mut search = Search::default();
    search.add("a seed", &seed);
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "reads_a_message_as_ssh_agent_lib_does", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut bytes = Vec::new();
    Request::AddIdentity(adding(pair, "a key")).encode(&mut bytes).unwrap();
    child.stdin.as_mut().unwrap().write_all(&bytes).unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == READY));
    let finds = search.process(child.id()).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let bytes: usize = finds.iter().map(|find| find.place.len()).sum();
    println!("{bytes} bytes of a seed of 32 stay behind, in {} places", finds.len());
    assert!(finds.iter().any(|find| find.place.len() == 32), "it could read them then: {finds:?}");
}

/// The child of the test above. All it has is dropped; the input is read without a buffer.
#[test]
#[ignore = "it is a part of what_ssh_agent_lib_reads_stays_behind"]
fn reads_a_message_as_ssh_agent_lib_does() {
    let mut bytes = vec![0; 512];
    let count = rustix::io::read(rustix::stdio::stdin(), &mut bytes).unwrap();
    let request = Request::decode(&mut &bytes[..count]).unwrap();
    assert!(matches!(request, Request::AddIdentity(_)));
    drop((request, bytes));
    println!("\n{READY}");
    thread::sleep(Duration::from_secs(60));
}

const READY: &str = "ready to be searched";

/// OpenSSH's agent encrypts its keys at rest, under a key that lies beside them.
#[test]
fn a_core_file_of_openssh_s_agent_has_all_keys() {
    if !can_look() {
        return;
    }
    let (agent, folder) = (Agent::start_openssh(), folder());
    let mut client = agent.client();
    for number in 0..100 {
        client.add_identity(adding(numbered(number).1, "a key")).unwrap();
    }
    let core = CoreFile::of(agent.id(), folder.path());
    let keys = core.shielded_keys();
    for number in 0..100 {
        let (seed, _) = numbered(number);
        let has_it = |key: &Vec<u8>| key.windows(32).any(|window| window == seed);
        assert!(keys.iter().any(has_it), "key {number} of {} found", keys.len());
    }
}

/// Adds keys in both ways there are, signs with them, locks and unlocks; and says what must not be found.
fn use_keys(agent: &Agent, folder: &Path) -> Search {
    let mut search = Search::default();
    let kinds = ["ed25519", "ecdsa", "rsa"];
    let files = kinds.map(|kind| new_key(folder, kind));
    agent.added(&files);
    let mut client = agent.client();
    for file in &files {
        let key = PrivateKey::read_openssh_file(file).unwrap();
        add_pattern(&mut search, key.key_data());
        let public = key.public_key().key_data().clone();
        for flags in [2, 4] {
            client.sign(signing(public.clone(), b"a message", flags)).unwrap();
        }
        fs::remove_file(file).unwrap();
    }
    for number in 0..200 {
        let (_, pair) = numbered(number);
        add_pattern(&mut search, &KeypairData::Ed25519(pair.clone()));
        let public = KeyData::Ed25519(pair.public);
        client.add_identity(adding(pair, "a key")).unwrap();
        client.sign(signing(public, b"a message", 0)).unwrap();
    }
    let password = "Kohc5aiTh7eeG2uYoo9quahP";
    search.add("a password", password.as_bytes());
    assert!(agent.ssh_add_password("-x", password).status.success());
    assert!(!agent.ssh_add_password("-X", &password[1..]).status.success());
    assert!(agent.ssh_add_password("-X", password).status.success());
    search
}

/// A private key in the ways that programs have it.
fn add_pattern(search: &mut Search, key: &KeypairData) {
    use sha2::{Digest, Sha512};
    let mut number = |name, bytes: &[u8]| {
        search.add(name, bytes);
        // As numbers lie in memory.
        search.add(name, &bytes.iter().rev().copied().collect::<Vec<_>>());
    };
    match key {
        KeypairData::Ed25519(pair) => {
            let seed = pair.private.to_bytes();
            number("an Ed25519 seed", &seed);
            number("what is hashed of an Ed25519 seed", &Sha512::digest(seed));
        }
        KeypairData::Ecdsa(pair) => number("a P-256 scalar", pair.private_key_bytes()),
        KeypairData::Rsa(pair) => {
            for bytes in [&pair.private.p, &pair.private.q, &pair.private.d] {
                number("an RSA number", bytes.as_positive_bytes().unwrap());
            }
        }
        other => panic!("no such key is made here: {other:?}"),
    }
}
