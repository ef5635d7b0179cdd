//! The doctor in the situations that operators reported: the cause that it names, and its remedy, applied
//! word for word where that can be done here.
//!
//! `cargo test -p strongroom-doctor --test situations -- --nocapture` prints the guide's table.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

#[path = "../../std-shim/tests/support/sandbox.rs"]
mod sandbox;

/// One row of the guide's table.
struct Situation {
    name: &'static str,
    /// Shell text; `DOCTOR` stands for the doctor with what was asked for, `LESS` for giving up
    /// `CAP_IPC_LOCK`.
    script: &'static str,
    filter: Filter,
    /// What the doctor says, in this order.
    cause: &'static str,
    remedy: &'static str,
    applied: Applied,
}

/// What a filter does to `mlock`.
#[derive(Clone, Copy, PartialEq)]
enum Filter {
    None,
    Refuses,
    Kills,
}

/// The remedy in practice.
enum Applied {
    /// The situation with the remedy applied, in which the doctor must be content.
    As(&'static str),
    /// Why it cannot be applied here, or where it is.
    Not(&'static str),
    /// There is nothing to change: the doctor is content as it is.
    Nothing,
}

const NOT_ALLOWED: &str = "not run: takes `CAP_SYS_RESOURCE`, which a test does not have";
const NO_HOST: &str = "not run: no such host here";
/// `tests/guest/in-debian` has the same situations on a real host, and applies what the doctor prints.
const IN_GUEST: &str = "it fits then, in the guest";

const SITUATIONS: [Situation; 20] = [
    Situation {
        name: "a shell, soft limit 64 KiB, hard limit higher",
        script: "prlimit --memlock=65536:8388608 LESS DOCTOR",
        filter: Filter::None,
        cause: "lock limit, soft  65,536 bytes",
        remedy: "`ulimit -S -l 8192` (KiB) in the shell",
        applied: Applied::As(
            "prlimit --memlock=65536:8388608 LESS sh -c 'ulimit -S -l 8192; DOCTOR'",
        ),
    },
    Situation {
        name: "a shell, hard limit 64 KiB",
        script: "prlimit --memlock=65536:65536 LESS DOCTOR",
        filter: Filter::None,
        cause: "lock limit, hard  65,536 bytes",
        remedy: "`sudo prlimit --pid $$ --memlock=8388608:8388608` (bytes) in the shell",
        applied: Applied::Not(IN_GUEST),
    },
    Situation {
        name: "a limit of 0",
        script: "prlimit --memlock=0:8388608 LESS DOCTOR",
        filter: Filter::None,
        cause: "no memory may be locked: RLIMIT_MEMLOCK is 0 bytes",
        remedy: "`ulimit -S -l 8192` (KiB) in the shell",
        applied: Applied::As("prlimit --memlock=0:8388608 LESS sh -c 'ulimit -S -l 8192; DOCTOR'"),
    },
    Situation {
        name: "no /proc (a chroot), root with the capability",
        script: "unshare -m sh -c 'umount -l /proc; DOCTOR'",
        filter: Filter::None,
        cause: "CAP_IPC_LOCK      unknown",
        remedy: "they fit",
        applied: Applied::Nothing,
    },
    Situation {
        name: "no /proc, soft limit 64 KiB",
        script: "unshare -m sh -c 'umount -l /proc; prlimit --memlock=65536:8388608 LESS DOCTOR'",
        filter: Filter::None,
        cause: "as was tried: 372,736 bytes were asked for under a limit of 65,536",
        remedy: "`ulimit -S -l 8192` (KiB) in the shell",
        applied: Applied::As(
            "unshare -m sh -c 'umount -l /proc; ulimit -l 8192; ulimit -S -l 64; ulimit -S -l 8192; \
             LESS DOCTOR'",
        ),
    },
    Situation {
        name: "/proc mounted with subset=pid",
        script: "unshare -m sh -c 'mount -t proc -o subset=pid proc /proc; DOCTOR'",
        filter: Filter::None,
        cause: "core dumps        unknown",
        remedy: "they fit",
        applied: Applied::Nothing,
    },
    Situation {
        name: "a shell in a user namespace, hard limit 64 KiB",
        script: "prlimit --memlock=65536:65536 unshare -Ur DOCTOR",
        filter: Filter::None,
        cause: "only inside a user namespace, the limit applies",
        remedy: "before it is entered: `sudo prlimit --pid $$ --memlock=8388608:8388608` (bytes)",
        applied: Applied::Not(NOT_ALLOWED),
    },
    Situation {
        name: "RLIMIT_AS too low",
        script: "prlimit --as=16777216:unlimited DOCTOR --open 500000",
        filter: Filter::None,
        cause: "address space     16,777,216 bytes",
        remedy: "`ulimit -S -v 65536` (KiB) in the shell",
        applied: Applied::As(
            "prlimit --as=16777216:unlimited sh -c 'ulimit -S -v 65536; DOCTOR --open 500000'",
        ),
    },
    Situation {
        name: "RLIMIT_DATA too low",
        script: "prlimit --data=8388608:unlimited DOCTOR --open 200000",
        filter: Filter::None,
        cause: "private memory    8,388,608 bytes",
        remedy: "`ulimit -S -d 16384` (KiB) in the shell",
        applied: Applied::As(
            "prlimit --data=8388608:unlimited sh -c 'ulimit -S -d 16384; DOCTOR --open 200000'",
        ),
    },
    Situation {
        name: "a filter that refuses mlock",
        script: "DOCTOR",
        filter: Filter::Refuses,
        cause: "mlock is forbidden here",
        remedy: "allow the mlock system call in the sandbox's filter",
        applied: Applied::As("DOCTOR"),
    },
    Situation {
        name: "the same, limit 0 and the capability in effect",
        script: "prlimit --memlock=0:0 DOCTOR",
        filter: Filter::Refuses,
        cause: "mlock is forbidden here",
        remedy: "allow the mlock system call in the sandbox's filter",
        applied: Applied::As("prlimit --memlock=0:0 DOCTOR"),
    },
    Situation {
        name: "a filter that kills whoever calls mlock",
        script: "DOCTOR",
        filter: Filter::Kills,
        cause: "killed by signal 31 (SIGSYS): a filter ends whoever tries",
        remedy: "allow the mlock system call in the sandbox's filter",
        applied: Applied::As("DOCTOR"),
    },
    Situation {
        name: "Docker or Podman",
        script: "container=podman prlimit --memlock=65536:65536 LESS DOCTOR",
        filter: Filter::None,
        cause: "surroundings      container",
        remedy: "`--ulimit memlock=8388608:8388608` (bytes) for `docker run`",
        applied: Applied::Not(IN_GUEST),
    },
    Situation {
        name: "the same, rootless",
        script: "container=podman prlimit --memlock=65536:65536 unshare -Ur DOCTOR",
        filter: Filter::None,
        cause: "user namespace    one of its own",
        remedy: "that user's own hard limit comes first: `USER - memlock 8192` (KiB)",
        applied: Applied::Not(IN_GUEST),
    },
    Situation {
        name: "Kubernetes",
        script: "KUBERNETES_SERVICE_HOST=1 prlimit --memlock=65536:65536 LESS DOCTOR",
        filter: Filter::None,
        cause: "surroundings      Kubernetes",
        remedy: "add IPC_LOCK under the container's securityContext.capabilities",
        applied: Applied::Not(NO_HOST),
    },
    Situation {
        name: "the same, `hostUsers: false`",
        script: "KUBERNETES_SERVICE_HOST=1 prlimit --memlock=65536:65536 unshare -Ur DOCTOR",
        filter: Filter::None,
        cause: "user namespace    one of its own",
        remedy: "`LimitMEMLOCK=8M` for the container runtime's service on the node",
        applied: Applied::Not(NO_HOST),
    },
    Situation {
        name: "LXC, Proxmox, Incus",
        script: "container=lxc prlimit --memlock=65536:65536 LESS DOCTOR",
        filter: Filter::None,
        cause: "surroundings      LXC container",
        remedy: "`lxc.prlimit.memlock = 8388608` (bytes) in the container's configuration",
        applied: Applied::Not(IN_GUEST),
    },
    Situation {
        name: "systemd-nspawn",
        script: "container=systemd-nspawn prlimit --memlock=65536:65536 LESS DOCTOR",
        filter: Filter::None,
        cause: "surroundings      systemd-nspawn container",
        remedy: "`--rlimit=RLIMIT_MEMLOCK=8M` for systemd-nspawn",
        applied: Applied::Not(IN_GUEST),
    },
    Situation {
        name: "Flatpak",
        script: "container=flatpak prlimit --memlock=65536:65536 LESS DOCTOR",
        filter: Filter::None,
        cause: "surroundings      Flatpak",
        remedy: "`USER - memlock 8192` (KiB) in /etc/security/limits.conf and a new login",
        applied: Applied::Not(NO_HOST),
    },
    Situation {
        name: "AWS Lambda",
        script: "AWS_LAMBDA_FUNCTION_NAME=f prlimit --memlock=65536:65536 LESS DOCTOR",
        filter: Filter::None,
        cause: "surroundings      AWS Lambda",
        remedy: "keep within the 65,536 bytes that are left",
        applied: Applied::Not("nothing to change there"),
    },
];

#[test]
#[cfg_attr(
    not(target_pointer_width = "64"),
    ignore = "the guide's numbers are of 64-bit addresses"
)]
fn the_doctor_names_the_cause_and_its_remedy_works() {
    if !is_root() {
        return skip("only root can enter these situations");
    }
    let mut table = String::from(
        "| situation | the doctor says | remedy | applied here |\n|---|---|---|---|\n",
    );
    for situation in &SITUATIONS {
        let Situation { name, cause, remedy, filter, .. } = situation;
        let found = run(situation.script, *filter);
        let text = text_of(&found);
        if !is_an_answer(&found) {
            eprintln!("skipped: {name}: {text}");
            continue;
        }
        assert!(text.contains(cause), "{name}: {cause:?} is not in\n{text}");
        let last = text.lines().last().unwrap();
        assert!(last.contains(remedy), "{name}: {remedy:?} is not in\n{text}");
        let content = matches!(situation.applied, Applied::Nothing);
        assert_eq!(found.status.code(), Some(i32::from(!content)), "{name}: {text}");
        let applied = match situation.applied {
            Applied::Not(why) => why,
            Applied::As(script) => {
                let mended = run(script, Filter::None);
                assert_eq!(mended.status.code(), Some(0), "{name}: {}", text_of(&mended));
                "it fits then"
            }
            Applied::Nothing => "nothing to change",
        };
        let cause = cause.split_whitespace().collect::<Vec<_>>().join(" ");
        writeln!(table, "| {name} | {cause} | {remedy} | {applied} |").unwrap();
    }
    println!("{table}");
    let rows = table.lines().count() - 2;
    if rows == SITUATIONS.len() {
        let guide = include_str!("../../docs/DEPLOYMENT.md");
        assert!(guide.contains(&table), "put this into docs/DEPLOYMENT.md:\n{table}");
    }
}

/// Control groups for services, under other names than a container's; with a terminal they would be
/// logins.
#[test]
fn a_service_is_told_what_its_manager_understands() {
    for (group, cause, remedy) in [
        ("system.slice/payments.service", "systemd, payments.service", "`systemctl edit payments."),
        ("system.slice/containerd.service", "systemd, containerd.service", "`LimitMEMLOCK=8M`"),
        (
            "user.slice/user-1000.slice/user@1000.service/app.slice/agent.service",
            "systemd of a user, agent.service",
            "`sudo systemctl edit user@.service`",
        ),
    ] {
        let Some(group) = Group::new("systemd", group) else {
            return skip("no control groups of version 1 named systemd that could be made");
        };
        let script = format!(
            "echo $$ > {}/cgroup.procs; prlimit --memlock=65536:65536 LESS DOCTOR",
            group.path
        );
        let found = run(&script, Filter::None);
        let text = text_of(&found);
        assert!(text.contains(cause) && text.contains(remedy), "{text}");
    }
}

/// Neither the doctor nor a program that keeps to its word is killed.
#[test]
fn a_control_group_with_little_memory_is_kept_to() {
    for (limit, size) in [(6 << 20, 64_u64), (8 << 20, 64), (64 << 20, 4096), (64 << 20, 64)] {
        let Some(group) = Group::new("memory", "strongroom-situations") else {
            return skip("no control groups of version 1 for memory that could be made");
        };
        std::fs::write(format!("{}/memory.limit_in_bytes", group.path), limit.to_string()).unwrap();
        let inside = format!("echo $$ > {}/cgroup.procs; container= exec", group.path);
        let found = sh(&format!("{inside} {DOCTOR} --open 500 --size 64")).output().unwrap();
        assert_eq!(found.status.code(), Some(0), "{limit}: {}", text_of(&found));
        let report = sh(&format!("{inside} {DOCTOR} --json")).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
        assert_eq!(report["memory_limit"], limit);
        let fits =
            report["fits"].as_array().unwrap().iter().find(|fit| fit["size"] == size).unwrap();
        let most = fits["secrets"].as_u64().unwrap();
        assert!(most * size < limit && most * size > limit / 4, "{most} of {size} in {limit}");
        // What it says fits is locked, by a process of that group, which lives.
        // Pages of files come and go in the group.
        let asked = format!("{inside} {DOCTOR} --open {} --size {size}", most - most / 8);
        let kept = sh(&asked).output().unwrap();
        assert_eq!(kept.status.code(), Some(0), "{}", text_of(&kept));
        let more = format!("{inside} {DOCTOR} --open {} --size {size}", most + most / 8);
        let refused = sh(&more).output().unwrap();
        assert_eq!(refused.status.code(), Some(1), "{}", text_of(&refused));
        assert!(text_of(&refused).contains("raise memory.max"), "{}", text_of(&refused));
    }
}

/// A control group of version 1, gone on drop with those above it that were made for it.
struct Group {
    path: String,
    made: usize,
}

impl Group {
    fn new(hierarchy: &str, name: &str) -> Option<Self> {
        let mut group = Self { path: format!("/sys/fs/cgroup/{hierarchy}"), made: 0 };
        for part in name.split('/') {
            let path = format!("{}/{part}", group.path);
            if !std::path::Path::new(&path).exists() {
                std::fs::create_dir(&path).ok()?;
                group.made += 1;
            }
            group.path = path;
        }
        std::path::Path::new(&group.path).join("cgroup.procs").exists().then_some(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for _ in 0..self.made {
            let _ = std::fs::remove_dir(&self.path);
            self.path.truncate(self.path.rfind('/').unwrap_or(0));
        }
    }
}

fn run(script: &str, filter: Filter) -> Output {
    let open = if script.contains("--open") { "" } else { " --open 5000" };
    let script = script
        .replace("DOCTOR", &format!("{DOCTOR} --size 64{open}"))
        .replace("LESS", "setpriv --bounding-set=-ipc_lock --inh-caps=-all");
    let mut command = sh(&script);
    if filter != Filter::None {
        let install = move || match filter {
            Filter::Kills => sandbox::kill(libc::SYS_mlock),
            _ => sandbox::refuse(libc::SYS_mlock, None, libc::EPERM),
        };
        // SAFETY: between fork and exec memory is allocated, which one thread alone would not mind; the
        // shell has no others.
        unsafe { command.pre_exec(install) };
    }
    command.output().unwrap()
}

/// A shell that is on no terminal, in no container as far as can be seen.
fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdin(std::process::Stdio::null());
    command.env("container", "").env("SHLVL", "1").env_remove("KUBERNETES_SERVICE_HOST");
    command
}

fn is_an_answer(output: &Output) -> bool {
    let text = String::from_utf8_lossy(&output.stdout);
    matches!(output.status.code(), Some(0 | 1)) && text.contains("lock limit, soft")
}

fn text_of(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(&[&err[..], &out[..]].concat()).trim_end().to_owned()
}

fn is_root() -> bool {
    // SAFETY: reads a number of this process.
    unsafe { libc::geteuid() == 0 }
}

fn skip(why: &str) {
    eprintln!("skipped: situations: {why}");
}

const DOCTOR: &str = env!("CARGO_BIN_EXE_strongroom-doctor");
