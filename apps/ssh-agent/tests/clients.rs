//! The real `ssh-add`, `ssh`, `ssh-keygen` and `git`, with a real `sshd`.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use ssh_agent_lib::ssh_key::PublicKey;
use support::sshd::Sshd;
use support::{
    Agent, are_here, done, folder, is_root, new_key, program, script, signing, told, wait_until,
};

#[test]
fn ssh_logs_in_with_each_kind_of_key() {
    if !are_here(&["ssh", "ssh-add", "ssh-keygen", "sshd"]) {
        return;
    }
    let folder = folder();
    let keys = ["ed25519", "ecdsa", "rsa"].map(|kind| new_key(folder.path(), kind));
    let (agent, sshd) = (Agent::start(&["-v"]), Sshd::start(&keys));
    let (is_in, _) = sshd.run(&agent, &[], "true");
    assert!(!is_in, "without a key");

    agent.added(&keys);
    let names = ["(ED25519)", "(ECDSA)", "(RSA)"];
    for (line, name) in agent.list().iter().zip(names) {
        assert!(line.ends_with(name), "{line}");
    }
    for (key, kind) in keys.iter().zip(["ed25519", "ecdsa", "rsa"]) {
        // The private key is not there any more, and the public one says which is meant.
        fs::remove_file(key).unwrap();
        let identity = key.with_extension("pub").display().to_string();
        let signatures: &[&str] =
            if kind == "rsa" { &["rsa-sha2-512", "rsa-sha2-256"] } else { &["+ssh-rsa"] };
        for signature in signatures {
            let accepted = format!("PubkeyAcceptedAlgorithms={signature}");
            let options = ["-o", "IdentitiesOnly=yes", "-i", &identity, "-o", &accepted];
            let (is_in, said) = sshd.run(&agent, &options, "echo logged in; exit 0");
            assert!(is_in && said.contains("logged in"), "{kind}, {signature}: {said}");
        }
        assert!(agent.log().contains("signed with"), "{kind}");
    }
    // All on one connection after the other.
    for _ in 0..10 {
        assert!(sshd.run(&agent, &[], "true").0);
    }
}

/// The agent keeps no certificate, and need not: `ssh` takes it from its file, and has the agent sign.
#[test]
fn ssh_logs_in_with_a_certificate_and_through_a_forwarded_agent() {
    if !are_here(&["ssh", "ssh-add", "ssh-keygen", "sshd"]) {
        return;
    }
    let folder = folder();
    let [key, other] = ["ed25519", "ecdsa"].map(|kind| new_key(folder.path(), kind));
    let authority = folder.path().join("authority");
    done(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&authority));
    let user = done(Command::new("id").arg("-un"));
    let public = key.with_extension("pub");
    let mut signing = Command::new("ssh-keygen");
    signing.arg("-q").arg("-s").arg(&authority).args(["-I", "somebody", "-n", user.trim()]);
    done(signing.arg(&public));
    let trusted = format!("TrustedUserCAKeys {}.pub\n", authority.display());
    let sshd = Sshd::start_with(&[other], &trusted);

    let agent = Agent::start(&[]);
    // `ssh-add` adds both, and says that the certificate was not taken.
    let added = told(&agent.ssh_add(&[&key]));
    assert!(added.contains("Identity added") && agent.log().contains("certificates"), "{added}");
    fs::remove_file(&key).unwrap();
    let certificate =
        format!("CertificateFile={}", folder.path().join("ed25519-cert.pub").display());
    assert!(!sshd.run(&agent, &["-o", "IdentityFile=none"], "true").0, "without its certificate");
    let options = ["-A", "-o", "IdentityFile=none", "-o", &certificate];
    let (is_in, said) = sshd.run(&agent, &options, "ssh-add -l");
    assert!(is_in && said.contains("(ED25519)"), "{said}");
}

#[test]
fn git_clones_pushes_and_signs() {
    if !are_here(&["ssh", "ssh-add", "ssh-keygen", "sshd", "git"]) {
        return;
    }
    let folder = folder();
    let key = new_key(folder.path(), "ed25519");
    let (agent, sshd) = (Agent::start(&[]), Sshd::start(std::slice::from_ref(&key)));
    agent.added(&[&key]);
    fs::remove_file(&key).unwrap();

    let repository = folder.path().join("repository");
    done(Command::new("git").args(["init", "-q", "--bare"]).arg(&repository));
    let here = folder.path().to_owned();
    let clone = here.join("clone");
    sshd.git(&agent, &here, &["clone", "-q", &sshd.url(&repository), clone.to_str().unwrap()]);

    let public = key.with_extension("pub").display().to_string();
    let signers = here.join("signers");
    let line = fs::read_to_string(&public).unwrap();
    fs::write(&signers, format!("somebody@example.org {line}")).unwrap();
    for (name, value) in [
        ("user.name", "Somebody"),
        ("user.email", "somebody@example.org"),
        ("gpg.format", "ssh"),
        ("user.signingKey", &public),
        ("gpg.ssh.allowedSignersFile", signers.to_str().unwrap()),
    ] {
        sshd.git(&agent, &clone, &["config", name, value]);
    }
    fs::write(clone.join("file"), "text").unwrap();
    sshd.git(&agent, &clone, &["add", "file"]);
    sshd.git(&agent, &clone, &["commit", "-q", "-S", "-m", "A commit"]);
    let verified = sshd.git(&agent, &clone, &["verify-commit", "HEAD"]);
    assert!(verified.contains("Good \"git\" signature for somebody@example.org"), "{verified}");
    sshd.git(&agent, &clone, &["push", "-q", "origin", "HEAD:refs/heads/main"]);

    let again = here.join("again");
    let url = sshd.url(&repository);
    sshd.git(&agent, &here, &["clone", "-q", "-b", "main", &url, again.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(again.join("file")).unwrap(), "text");
}

#[test]
fn keys_go_one_by_one_and_all_at_once() {
    if !are_here(&["ssh-add", "ssh-keygen"]) {
        return;
    }
    let folder = folder();
    let keys = ["ed25519", "ecdsa", "rsa"].map(|kind| new_key(folder.path(), kind));
    let agent = Agent::start(&[]);
    agent.added(&keys);
    agent.added(&[Path::new("-d"), &keys[1]]);
    assert_eq!(agent.list().len(), 2);
    assert!(!agent.list().iter().any(|line| line.contains("ECDSA")));
    assert!(!agent.ssh_add(&[Path::new("-d"), &keys[1]]).status.success(), "it is gone");
    assert!(!agent.ssh_add(&[Path::new("-T"), &keys[1].with_extension("pub")]).status.success());
    agent.added(&[Path::new("-T"), &keys[0].with_extension("pub")]);
    // A key that is added again is there once.
    agent.added(&keys[..1]);
    assert_eq!(agent.list().len(), 2);
    agent.added(&["-D"]);
    assert_eq!(agent.list().len(), 0);
}

#[test]
fn a_key_goes_when_its_time_is_up() {
    if !are_here(&["ssh-add", "ssh-keygen"]) {
        return;
    }
    let folder = folder();
    let keys = ["ed25519", "ecdsa"].map(|kind| new_key(folder.path(), kind));
    let agent = Agent::start(&[]);
    let began = Instant::now();
    agent.added(&[Path::new("-t"), Path::new("2"), &keys[0]]);
    agent.added(&keys[1..]);
    assert_eq!(agent.list().len(), 2);
    // Without anybody asking for it.
    agent.wait_for("its time is up");
    let time = began.elapsed();
    assert!(time >= Duration::from_secs(2) && time < Duration::from_secs(6), "after {time:?}");
    let lines = agent.list();
    assert!(lines.len() == 1 && lines[0].contains("(ECDSA)"), "{lines:?}");
    assert!(!agent.ssh_add(&[Path::new("-T"), &keys[0].with_extension("pub")]).status.success());

    let agent = Agent::start(&["-t", "1"]);
    agent.added(&keys[..1]);
    agent.added(&[Path::new("-t"), Path::new("100"), &keys[1]]);
    wait_until("the agent's own lifetime is up", || agent.list().len() == 1);
    assert!(agent.list()[0].contains("(ECDSA)"));
}

#[test]
fn a_key_is_used_if_a_person_allows_it() {
    if !are_here(&["ssh", "ssh-add", "ssh-keygen", "sshd"]) {
        return;
    }
    let folder = folder();
    let key = new_key(folder.path(), "ed25519");
    let sshd = Sshd::start(std::slice::from_ref(&key));
    let asked = folder.path().join("asked");
    let asking = |lines: &str| {
        let note = format!("echo \"$SSH_ASKPASS_PROMPT: $1\" >> '{}'", asked.display());
        let program = script(folder.path(), "askpass", &format!("{note}\n{lines}"));
        let agent = Agent::start_with(&["--confirm-time", "3s"], |command| {
            command.env("SSH_ASKPASS", program);
        });
        agent.added(&[Path::new("-c"), &key]);
        agent
    };
    let log_in = |agent: &Agent| sshd.run(agent, &["-o", "IdentityFile=none"], "true").0;

    for yes in ["exit 0", "echo; exit 0", "echo yes", "echo YES"] {
        assert!(log_in(&asking(yes)), "{yes}");
    }
    let questions = fs::read_to_string(&asked).unwrap();
    assert!(questions.starts_with("confirm: Allow use of key a key for ed25519?\nKey fingerprint"));

    for no in ["exit 1", "echo no", "echo yesterday", "exec sleep 100"] {
        let agent = asking(no);
        let began = Instant::now();
        assert!(!log_in(&agent), "{no}");
        assert!(began.elapsed() < Duration::from_secs(10), "{no}");
        let why = if no.contains("sleep") { "nobody allowed it within 3 s" } else { "not allowed" };
        assert!(agent.log().contains(why), "{no}: {}", agent.log());
    }

    let agent = Agent::start_with(&[], |command| {
        command.env("SSH_ASKPASS", "/no/such/program");
    });
    agent.added(&[Path::new("-c"), &key]);
    assert!(!log_in(&agent));
    assert!(agent.log().contains("/no/such/program could not ask"), "{}", agent.log());
}

#[test]
fn what_is_locked_or_removed_while_a_person_is_asked_is_not_used() {
    if !are_here(&["ssh-add", "ssh-keygen"]) {
        return;
    }
    let folder = folder();
    let key = new_key(folder.path(), "ed25519");
    let (asked, go_on) = (folder.path().join("asked"), folder.path().join("go-on"));
    let wait = format!(
        "touch '{}'; while [ ! -e '{}' ]; do sleep 0.02; done",
        asked.display(),
        go_on.display()
    );
    let program = script(folder.path(), "askpass", &wait);
    for meanwhile in ["lock", "remove", "nothing"] {
        let agent = Agent::start_with(&[], |command| {
            command.env("SSH_ASKPASS", &program);
        });
        agent.added(&[Path::new("-c"), &key]);
        let public = key.with_extension("pub");
        thread::scope(|scope| {
            let using = scope.spawn(|| agent.ssh_add(&[Path::new("-T"), &public]));
            wait_until("the person is asked", || asked.exists());
            match meanwhile {
                "lock" => assert!(agent.ssh_add_password("-x", "hunter2").status.success()),
                "remove" => drop(agent.added(&["-D"])),
                _ => {}
            }
            fs::write(&go_on, "").unwrap();
            let used = using.join().unwrap();
            assert_eq!(used.status.success(), meanwhile == "nothing", "{meanwhile}");
        });
        fs::remove_file(&asked).unwrap();
        fs::remove_file(&go_on).unwrap();
    }
}

#[test]
fn nobody_is_asked_for_a_client_who_has_gone() {
    if !are_here(&["ssh-add", "ssh-keygen"]) {
        return;
    }
    let folder = folder();
    let key = new_key(folder.path(), "ed25519");
    let asking = folder.path().join("asking");
    let lines = format!("echo $$ > '{}'; exec sleep 100", asking.display());
    let program = script(folder.path(), "askpass", &lines);
    let agent = Agent::start_with(&[], |command| {
        command.env("SSH_ASKPASS", &program);
    });
    agent.added(&[Path::new("-c"), &key]);
    let mut using = agent.command("ssh-add");
    let mut using = using.arg("-T").arg(key.with_extension("pub")).spawn().unwrap();
    let id = || fs::read_to_string(&asking).unwrap_or_default().trim().to_owned();
    wait_until("a person is asked", || !id().is_empty());
    thread::sleep(Duration::from_millis(500));
    assert!(Path::new("/proc").join(id()).exists(), "the client is still there");
    using.kill().unwrap();
    using.wait().unwrap();
    let began = Instant::now();
    wait_until("nobody is asked any more", || !Path::new("/proc").join(id()).exists());
    assert!(began.elapsed() < Duration::from_secs(5));
    agent.wait_for("the client has gone");
}

#[test]
fn a_locked_agent_opens_with_its_password_alone() {
    if !are_here(&["ssh", "ssh-add", "ssh-keygen", "sshd"]) {
        return;
    }
    let folder = folder();
    let key = new_key(folder.path(), "ed25519");
    let (agent, sshd) = (Agent::start(&[]), Sshd::start(std::slice::from_ref(&key)));
    agent.added(&[&key]);
    let log_in = || sshd.run(&agent, &["-o", "IdentityFile=none"], "true").0;
    assert!(log_in());
    assert!(!agent.ssh_add_password("-X", "hunter2").status.success(), "it is not locked");

    assert!(agent.ssh_add_password("-x", "hunter2").status.success());
    assert_eq!(agent.list().len(), 0);
    assert!(!log_in());
    for refused in [
        agent.ssh_add(&[&key]),
        agent.ssh_add(&["-D"]),
        agent.ssh_add(&[Path::new("-d"), &key]),
        agent.ssh_add_password("-x", "another"),
    ] {
        assert!(told(&refused).contains("agent refused operation") || !refused.status.success());
    }
    // `ssh` asks for no signature where no key is listed; others may.
    let public = PublicKey::read_openssh_file(&key.with_extension("pub")).unwrap();
    let request = signing(public.key_data().clone(), b"a message", 0);
    assert!(agent.client().sign(request.clone()).is_err());
    for (wrong, least) in [("another", 100), ("hunter22", 200), ("hunter", 300), ("", 400)] {
        let began = Instant::now();
        assert!(!agent.ssh_add_password("-X", wrong).status.success(), "{wrong}");
        assert!(began.elapsed() >= Duration::from_millis(least), "the answer came too soon");
        assert_eq!(agent.list().len(), 0);
    }
    assert!(agent.ssh_add_password("-X", "hunter2").status.success());
    assert!(agent.client().sign(request).is_ok());
    assert_eq!(agent.list().len(), 1, "nothing was removed while it was locked");
    assert!(log_in());
    assert!(agent.ssh_add_password("-x", "another").status.success());
    assert!(!agent.ssh_add_password("-X", "hunter2").status.success(), "an earlier password");
    assert!(agent.ssh_add_password("-X", "another").status.success());
}

/// Many at the same time try no more passwords than one alone.
#[test]
fn who_guesses_passwords_waits_in_a_line() {
    if !are_here(&["ssh-add"]) {
        return;
    }
    let agent = Agent::start(&[]);
    assert!(agent.ssh_add_password("-x", "hunter2").status.success());
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(!agent.ssh_add_password("-X", "wrong").status.success()));
        }
    });
    // 100, 200, 300 and 400 ms, one after the other.
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn a_signal_ends_it_and_removes_the_socket() {
    if !are_here(&["ssh-add", "ssh-keygen"]) {
        return;
    }
    let folder = folder();
    let key = new_key(folder.path(), "ed25519");
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let mut agent = Agent::start(&[]);
        agent.added(&[&key]);
        // One who is connected does not hold it up, nor does half a message.
        let mut other = agent.connect();
        std::io::Write::write_all(&mut other, &[0, 0, 1, 0, 17, 0]).unwrap();
        agent.signal(signal);
        let status = agent.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{signal:?}: {status}");
        assert!(!agent.socket.exists(), "{signal:?}");
        assert!(agent.log().contains("all keys were wiped"), "{signal:?}");
    }
}

#[test]
fn it_goes_to_the_background_as_a_shell_expects() {
    if !are_here(&["ssh-add", "ssh-keygen"]) {
        return;
    }
    let folder = folder();
    let key = new_key(folder.path(), "ed25519");
    let lines = format!(
        "set -e; agent='{}'; eval \"$(\"$agent\" -s)\"; ssh-add -q '{}'; ssh-add -l; \
         stat -c %a \"$SSH_AUTH_SOCK\" \"${{SSH_AUTH_SOCK%/*}}\"; echo \"at $SSH_AUTH_SOCK\"; \
         eval \"$(\"$agent\" -k -s)\"; echo \"now ${{SSH_AUTH_SOCK-unset}}\"",
        program().display(),
        key.display()
    );
    let said = done(Command::new("sh").arg("-c").arg(lines).env("TMPDIR", folder.path()));
    assert!(said.contains("(ED25519)") && said.contains("600\n700\n"), "{said}");
    assert!(said.contains("now unset"), "{said}");
    let socket = said.lines().find_map(|line| line.strip_prefix("at ")).unwrap();
    let place = Path::new(socket).parent().unwrap();
    assert!(place.starts_with(folder.path()));
    wait_until("the folder is gone", || !place.exists());

    let output = Command::new(program()).args(["-a", "/no/such/folder/socket"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty() && told(&output).contains("no socket could be made"));
}

#[test]
fn it_runs_a_command_and_ends_with_it() {
    if !are_here(&["ssh-add", "ssh-keygen"]) {
        return;
    }
    let folder = folder();
    let key = new_key(folder.path(), "ed25519");
    let lines =
        format!("ssh-add -q '{}' && ssh-add -l && echo $SSH_AUTH_SOCK; exit 7", key.display());
    let mut command = Command::new(program());
    let output = command.args(["sh", "-c", &lines]).env("TMPDIR", folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    let said = told(&output);
    assert!(said.contains("(ED25519)"), "{said}");
    let socket =
        said.lines().find(|line| line.ends_with(&format!("agent.{}", id_in(&said)))).unwrap();
    assert!(!Path::new(socket).parent().unwrap().exists());

    let output = Command::new(program()).arg("/no/such/program").output().unwrap();
    assert!(told(&output).contains("/no/such/program could not be run"), "{}", told(&output));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_command_gets_what_the_terminal_sends_and_ends_with_the_agent() {
    let folder = folder();
    let note = folder.path().join("note");
    let lines = format!("echo $$ > '{}'; exec sleep 100", note.display());
    let place = folder.path().join("place");
    fs::create_dir(&place).unwrap();
    let mut command = Command::new(program());
    let mut agent = command.args(["sh", "-c", &lines]).env("TMPDIR", &place).spawn().unwrap();
    let id = || fs::read_to_string(&note).unwrap_or_default().trim().to_owned();
    wait_until("the command runs", || !id().is_empty());
    let pid = Pid::from_child(&agent);
    for signal in [Signal::INT, Signal::QUIT] {
        kill_process(pid, signal).unwrap();
        thread::sleep(Duration::from_millis(200));
        assert!(agent.try_wait().unwrap().is_none(), "it is the command's to decide");
    }
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(agent.wait().unwrap().code(), Some(0));
    let status = format!("/proc/{}/status", id());
    let is_over = || fs::read_to_string(&status).map_or(true, |text| text.contains("(zombie)"));
    wait_until("the command has ended", is_over);
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0, "the socket's folder is gone");
}

fn id_in(said: &str) -> &str {
    let at = said.find("agent.").unwrap();
    said[at + "agent.".len()..].split_whitespace().next().unwrap()
}

#[test]
fn another_user_is_refused() {
    if !are_here(&["ssh-add", "setpriv"]) {
        return;
    }
    if !is_root() {
        println!("skipped: it takes root to be somebody else");
        return;
    }
    let agent = Agent::start(&[]);
    // What the file system would forbid.
    for (path, mode) in [(agent.folder.path(), 0o755), (&*agent.socket, 0o666)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut command = agent.command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "ssh-add", "-l"]);
    let output = command.output().unwrap();
    assert!(!told(&output).contains("no identities"), "{}", told(&output));
    agent.wait_for("user 65534 tried to use the agent of user 0");
    assert!(told(&agent.ssh_add(&["-l"])).contains("no identities"));
}
