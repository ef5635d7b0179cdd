//! Real clients at the real server, and a search of its core file.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use memchr::memmem;
use rustls::sign::Signer;
use strongroom::Vault;
use strongroom_tls_server::keys::{KeyPair, SealedKeys};
use tempfile::TempDir;

/// The server in a process of its own.
struct Server {
    process: Child,
    lines: BufReader<ChildStdout>,
    port: u16,
    said: String,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_strongroom-tls-server"))
            .args(arguments)
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let mut said = String::new();
        let port = loop {
            let begin = said.len();
            assert_ne!(lines.read_line(&mut said).unwrap(), 0, "the server ended: {said}");
            if let Some(address) = said[begin..].trim().strip_prefix("listening on 127.0.0.1:") {
                break address.parse().unwrap();
            }
        };
        Self { process, lines, port, said }
    }

    /// curl's answer for a name.
    fn ask(&self, authority: &Path, name: &str) -> Output {
        let port = self.port;
        Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "*", "--cacert"])
            .arg(authority)
            .args(["--resolve", &format!("{name}:{port}:127.0.0.1")])
            .arg(format!("https://{name}:{port}/"))
            .output()
            .unwrap()
    }

    fn expect(&self, authority: &Path, name: &str) {
        let answer = self.ask(authority, name);
        let error = String::from_utf8_lossy(&answer.stderr);
        assert_eq!(
            String::from_utf8_lossy(&answer.stdout),
            format!("This is {name}.\n"),
            "{error}"
        );
    }

    /// Ends it as a person would, and gives what it said.
    fn stop(mut self) -> String {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.lines.read_to_string(&mut self.said).unwrap();
        assert!(self.process.wait().unwrap().success(), "{}", self.said);
        self.said.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_there(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    if !there {
        eprintln!("skipped: there is no {program}");
    }
    there
}

#[test]
fn curl_and_openssl_find_every_name_and_no_other() {
    if !is_there("curl") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let authority = folder.path().join("ca.pem");
    let server = Server::start(&["--demo", "2000", "--ca", authority.to_str().unwrap()]);
    for number in [0, 1, 2, 999, 1998, 1999] {
        server.expect(&authority, &format!("site-{number}.example"));
    }
    server.expect(&authority, "SITE-7.example".to_lowercase().as_str());
    for wrong in ["site-2000.example", "example", "elsewhere.test"] {
        let answer = server.ask(&authority, wrong);
        assert_eq!(answer.stdout, b"", "{wrong}");
        // curl's own number for a handshake that failed.
        assert_eq!(answer.status.code(), Some(35), "{wrong}");
    }

    // TLS 1.2 as well; and a session is not resumed.
    if is_there("openssl") {
        for version in ["-tls1_2", "-tls1_3"] {
            let address = format!("127.0.0.1:{}", server.port);
            let talk = Command::new("openssl")
                .args(["s_client", version, "-brief", "-verify_return_error", "-CAfile"])
                .arg(&authority)
                .args(["-connect", &address, "-servername", "site-5.example"])
                .args(["-verify_hostname", "site-5.example"])
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&talk.stderr);
            assert!(talk.status.success() && said.contains("Verification: OK"), "{said}");
        }
    }
    let said = server.stop();
    assert!(said.contains("stopped and wiped: 9 handshakes, 3 refused"), "{said}");
}

/// A key of the test's own, and what would betray it.
struct Known {
    name: String,
    needles: [[u8; 32]; 3],
}

/// Writes certificates and keys as an authority would hand them out.
fn write_folder(folder: &Path, count: usize) -> Vec<Known> {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    fs::write(folder.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = rcgen::Issuer::new(params, key);
    let known = (0..count).map(|number| {
        let name = format!("host-{number}.test");
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![name.clone()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, &name);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        fs::write(folder.join(format!("{name}.crt")), certificate.pem()).unwrap();
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        let scalar: [u8; 32] = key.serialized_der()[36..68].try_into().unwrap();
        Known { name, needles: [scalar, reversed(scalar), reversed(montgomery(scalar))] }
    });
    known.collect()
}

/// As ring's numbers lie in memory, on processors that have the lowest byte first.
fn reversed(mut bytes: [u8; 32]) -> [u8; 32] {
    bytes.reverse();
    bytes
}

/// A scalar times 2²⁵⁶ modulo the curve's order: the form in which ring keeps a key.
fn montgomery(scalar: [u8; 32]) -> [u8; 32] {
    const HIGH_ORDER: u128 = 0xffff_ffff_0000_0000_ffff_ffff_ffff_ffff;
    const LOW_ORDER: u128 = 0xbce6_faad_a717_9e84_f3b9_cac2_fc63_2551;
    let mut high = u128::from_be_bytes(scalar[..16].try_into().unwrap());
    let mut low = u128::from_be_bytes(scalar[16..].try_into().unwrap());
    for _ in 0..256 {
        let over = high >> 127 == 1;
        high = high << 1 | low >> 127;
        low <<= 1;
        if over || (high, low) >= (HIGH_ORDER, LOW_ORDER) {
            let (rest, borrow) = low.overflowing_sub(LOW_ORDER);
            low = rest;
            high = high.wrapping_sub(HIGH_ORDER).wrapping_sub(u128::from(borrow));
        }
    }
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&high.to_be_bytes());
    bytes[16..].copy_from_slice(&low.to_be_bytes());
    bytes
}

/// How many of the keys are in a core file of the server, in any form, by at least half of it.
fn found_in_core(process: &Child, folder: &Path, known: &[Known]) -> usize {
    let prefix = folder.join("core");
    let id = process.id().to_string();
    let dump = Command::new("gcore").arg("-a").arg("-o").arg(&prefix).arg(&id).output().unwrap();
    let core = folder.join(format!("core.{id}"));
    assert!(core.exists(), "gcore: {}", String::from_utf8_lossy(&dump.stderr));
    let core = fs::read(core).unwrap();
    // The search finds what is there.
    assert!(memmem::find(&core, b"host-0.test").is_some());
    let is_found = |known: &&Known| {
        let mut halves = known.needles.iter().flat_map(|needle| needle.chunks(16));
        halves.any(|half| memmem::find(&core, half).is_some())
    };
    known.iter().filter(is_found).count()
}

#[test]
fn a_core_file_holds_no_key_at_rest() {
    if !is_there("curl") || !is_there("gcore") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let known = write_folder(folder.path(), 64);
    let (path, authority) = (folder.path().to_str().unwrap(), folder.path().join("ca.pem"));
    let search = |arguments: &[&str]| {
        let server = Server::start(arguments);
        for known in &known {
            server.expect(&authority, &known.name);
        }
        found_in_core(&server.process, folder.path(), &known)
    };
    assert_eq!(search(&["--folder", path]), 0, "keys in the core file");
    // The same search where each key lies in ordinary memory.
    assert_eq!(search(&["--folder", path, "--plain-keys"]), known.len(), "of the keys are found");
}

/// In a process of its own: signs with every key of a folder, and stays as it is.
#[test]
#[ignore = "another test starts it"]
fn sign_and_stay() {
    let vault = Arc::new(Vault::new(64 * 1024).unwrap());
    let folder = PathBuf::from(env::var_os(FOLDER).unwrap());
    let keys = Arc::new(SealedKeys::new(vault.share()));
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "key"));
    let keys: Vec<_> = paths
        .iter()
        .map(|path| keys.seal(&KeyPair::read(&vault.share(), path).unwrap()).unwrap())
        .collect();
    for key in keys {
        thread::spawn(move || {
            key.signer().unwrap().sign(b"a message").unwrap();
            // Its stack stays as the signature left it.
            SIGNED.fetch_add(1, Ordering::Relaxed);
            loop {
                thread::park();
            }
        });
    }
    while SIGNED.load(Ordering::Relaxed) < paths.len() {
        thread::yield_now();
    }
    println!("signed with host-0.test and the others");
    loop {
        thread::park();
    }
}

static SIGNED: AtomicUsize = AtomicUsize::new(0);
const FOLDER: &str = "STRONGROOM_TLS_SERVER_TEST_FOLDER";

#[test]
fn a_signature_leaves_nothing_on_its_stack() {
    if !is_there("gcore") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let known = write_folder(folder.path(), 64);
    let mut process = Command::new(env::current_exe().unwrap())
        .args(["--exact", "sign_and_stay", "--ignored", "--nocapture"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let signed = lines.any(|line| line.unwrap().contains("signed with"));
    let found = signed.then(|| found_in_core(&process, folder.path(), &known));
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(found, Some(0), "keys left behind");
}

#[test]
fn what_is_wrong_in_a_folder_is_named() {
    let folder = TempDir::new().unwrap();
    let known = write_folder(folder.path(), 2);
    let refusal = || {
        let server = Command::new(env!("CARGO_BIN_EXE_strongroom-tls-server"))
            .args(["--listen", "127.0.0.1:0", "--folder"])
            .arg(folder.path())
            .output()
            .unwrap();
        assert!(!server.status.success());
        String::from_utf8(server.stderr).unwrap()
    };
    let key = |known: &Known| folder.path().join(format!("{}.key", known.name));
    let own = fs::read(key(&known[0])).unwrap();
    fs::copy(key(&known[1]), key(&known[0])).unwrap();
    let said = refusal();
    assert!(said.contains("host-0.test.crt: it is not the certificate of the key"), "{said}");
    fs::write(key(&known[0]), "no key").unwrap();
    assert!(refusal().contains("host-0.test.key: "));
    fs::write(key(&known[0]), own).unwrap();
    fs::rename(key(&known[1]), folder.path().join("elsewhere")).unwrap();
    assert!(refusal().contains("host-1.test.key: "));
}
