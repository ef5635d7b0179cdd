//! Reading Linux's `/proc` text (`proc(5)`). Pure functions: any text at all is taken, and what
//! does not have the shape expected gives `None`.

/// The value in bytes of a line such as `VmLck:      64 kB` of `/proc/PID/status`.
pub(super) fn status_bytes(status: &str, key: &str) -> Option<u64> {
    let kibibytes = field(status, key)?.strip_suffix("kB")?.trim_end();
    kibibytes.parse::<u64>().ok()?.checked_mul(1024)
}

/// The value of a line such as `CapEff: 000001ffffffffff` of `/proc/PID/status`.
pub(super) fn status_mask(status: &str, key: &str) -> Option<u64> {
    u64::from_str_radix(field(status, key)?, 16).ok()
}

/// The only number in a file of `/proc/sys`.
pub(super) fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The inode in the link `user:[4026531837]` of `/proc/PID/ns/user`.
pub(super) fn namespace_inode(link: &str) -> Option<u64> {
    let (_, inode) = link.split_once(":[")?;
    inode.strip_suffix(']')?.parse().ok()
}

/// The systemd service that `/proc/PID/cgroup` places a process in. A login session or a terminal
/// is a scope and no service, though it may lie below one.
pub(super) fn systemd_service(cgroup: &str) -> Option<&str> {
    cgroup.lines().filter_map(systemd_path).find_map(service_of)
}

/// Whether `/proc/PID/cgroup` names a container runtime.
pub(super) fn container_cgroup(cgroup: &str) -> Option<Runtime> {
    let has = |name| cgroup.contains(name);
    if has("kubepods") {
        return Some(Runtime::Kubernetes);
    }
    let engine = has("/docker") || has("libpod") || has("/lxc") || has("containerd");
    engine.then_some(Runtime::Engine)
}

/// What runs a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runtime {
    Kubernetes,
    /// Docker, Podman or the like.
    Engine,
}

fn field<'a>(status: &'a str, key: &str) -> Option<&'a str> {
    let after = |line: &'a str| line.strip_prefix(key)?.strip_prefix(':');
    status.lines().find_map(after).map(str::trim)
}

/// The path in the line that systemd keeps: `0::PATH`, or `1:name=systemd:PATH` before version 2.
fn systemd_path(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    matches!(controllers, "" | "name=systemd").then_some(path)
}

/// The innermost unit of a path, if that is a service.
fn service_of(path: &str) -> Option<&str> {
    let unit = path.rsplit('/').find(|part| matches!(kind(part), "service" | "scope"))?;
    (kind(unit) == "service" && unit.bytes().all(is_unit_byte)).then_some(unit)
}

/// What follows the last dot of a unit's name.
fn kind(unit: &str) -> &str {
    unit.rsplit_once('.').map_or("", |(_, kind)| kind)
}

/// The characters of a unit's name (`systemd.unit(5)`): nothing that a terminal would act on.
fn is_unit_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tVmLck: 3 kB\nVmLck:\t      64 kB\nCapEff:\t000001ffffffffff\n";

    #[test]
    fn a_status_line_is_found_by_its_whole_key() {
        assert_eq!(status_bytes(STATUS, "VmLck"), Some(65_536));
        assert_eq!(status_bytes(STATUS, "VmLc"), None);
        assert_eq!(status_bytes(STATUS, "VmPin"), None);
        assert_eq!(status_mask(STATUS, "CapEff"), Some(0x1ff_ffff_ffff));
    }

    #[test]
    fn odd_status_lines_are_no_value() {
        for odd in [
            "",
            "VmLck",
            "VmLck:",
            "VmLck: kB",
            "VmLck: 64",
            "VmLck: 64 MB",
            "VmLck: -1 kB",
            "VmLck: 6 4 kB",
            "VmLck: 99999999999999999999 kB",
            "VmLck: 18446744073709551615 kB",
            " VmLck: 64 kB",
            "\u{0}VmLck: 64 kB",
        ] {
            assert_eq!(status_bytes(odd, "VmLck"), None, "{odd:?}");
        }
        for odd in
            ["CapEff:", "CapEff: 0x1", "CapEff: -1", "CapEff: 10000000000000000", "CapEff: é"]
        {
            assert_eq!(status_mask(odd, "CapEff"), None, "{odd:?}");
        }
    }

    #[test]
    fn numbers_and_inodes() {
        assert_eq!(number("65530\n"), Some(65_530));
        assert_eq!(namespace_inode("user:[4026531837]"), Some(4_026_531_837));
        for odd in ["", "x", "-1", "1 2", "٣", "18446744073709551616"] {
            assert_eq!(number(odd), None, "{odd:?}");
        }
        for odd in ["", "user", "user:[", "user:[]", "user:[1", "user:[1]]", "user:1]", "[:[é]"] {
            assert_eq!(namespace_inode(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn a_service_is_told_from_a_session() {
        for (cgroup, service) in [
            ("0::/system.slice/payments.service\n", Some("payments.service")),
            ("0::/system.slice/a@1\\x2d2.service/worker\n", Some("a@1\\x2d2.service")),
            ("4:memory:/x.service\n1:name=systemd:/system.slice/b.service\n", Some("b.service")),
            ("0::/user.slice/user-1000.slice/session-3.scope\n", None),
            ("0::/user.slice/user@1000.service/app.slice/vte-1.scope\n", None),
            ("0::/user.slice/user@1000.service/app.slice/c.service\n", Some("c.service")),
            ("4:memory:/x.service\n", None),
            ("1:name=systemd:/\n0::/system.slice/d.service\n", Some("d.service")),
            ("0::/\n", None),
            ("", None),
            (":::\n", None),
            ("0::.service/\u{1b}[2Jx.service", None),
        ] {
            assert_eq!(systemd_service(cgroup), service, "{cgroup:?}");
        }
    }

    #[test]
    fn container_runtimes_are_known_by_their_cgroup() {
        for (cgroup, runtime) in [
            (
                "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-2.scope",
                Some(Runtime::Kubernetes),
            ),
            ("0::/system.slice/docker-0123.scope", Some(Runtime::Engine)),
            ("4:memory:/docker/0123", Some(Runtime::Engine)),
            ("0::/machine.slice/libpod-0123.scope", Some(Runtime::Engine)),
            ("0::/system.slice/ssh.service", None),
            ("", None),
        ] {
            assert_eq!(container_cgroup(cgroup), runtime, "{cgroup:?}");
        }
    }
}
