//! Reading Linux's `/proc` text (`proc(5)`). Pure functions: any text at all is taken, and what
//! does not have the shape expected gives `None`.

#![cfg_attr(
    not(feature = "internals"),
    allow(unreachable_pub, reason = "reached by fuzz targets, through the feature")
)]
#![allow(clippy::must_use_candidate, reason = "reached by this crate and its fuzz targets alone")]

use std::iter;

use super::{Limit, Swap};

/// The value in bytes of a line such as `VmLck:      64 kB` of `/proc/PID/status`.
pub fn status_bytes(status: &str, key: &str) -> Option<u64> {
    let kibibytes = field(status, key)?.strip_suffix("kB")?.trim_end();
    kibibytes.parse::<u64>().ok()?.checked_mul(1024)
}

/// The value of a line such as `CapEff: 000001ffffffffff` of `/proc/PID/status`.
pub fn status_mask(status: &str, key: &str) -> Option<u64> {
    u64::from_str_radix(field(status, key)?, 16).ok()
}

/// The only number in a file of `/proc/sys`.
pub fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The inode in the link `user:[4026531837]` of `/proc/PID/ns/user`.
pub fn namespace_inode(link: &str) -> Option<u64> {
    let (_, inode) = link.split_once(":[")?;
    inode.strip_suffix(']')?.parse().ok()
}

/// The systemd service that `/proc/PID/cgroup` places a process in. A login session or a terminal
/// is a scope and no service, though it may lie below one.
pub fn systemd_service(cgroup: &str) -> Option<&str> {
    cgroup.lines().filter_map(systemd_path).find_map(service_of)
}

/// Whether a systemd service's control group lies below a user's own manager, `user@UID.service`.
pub fn is_user_service(cgroup: &str) -> bool {
    let below = |path: &str| path.split('/').rev().skip(1).any(|part| part.starts_with("user@"));
    cgroup.lines().filter_map(systemd_path).any(below)
}

/// Whether `/proc/PID/cgroup` names a container runtime: by the name of a control group as they make
/// them, for the runtimes themselves are services with such names too.
pub fn container_cgroup(cgroup: &str) -> Option<Runtime> {
    let paths = cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths.flat_map(|path| path.split('/')).find_map(|part| {
        let begins = |names: &[&str]| names.iter().any(|name| part.starts_with(name));
        match part {
            _ if kind(part) == "service" => None,
            _ if begins(&["kubepods"]) => Some(Runtime::Kubernetes),
            "lxc" => Some(Runtime::Lxc),
            _ if begins(&["lxc.payload", "lxc.monitor"]) => Some(Runtime::Lxc),
            "docker" | "libpod_parent" => Some(Runtime::Engine),
            _ if begins(&["docker-", "libpod-", "cri-containerd-", "crio-", "nerdctl-"]) => {
                Some(Runtime::Engine)
            }
            _ => None,
        }
    })
}

/// The text of a file with one line, without the line's end.
pub fn line(text: &str) -> Option<&str> {
    text.lines().next().filter(|line| !line.is_empty())
}

/// What `/proc/swaps` lists, below a line of headings.
pub fn swap(swaps: &str) -> Swap {
    let mut devices = swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    match devices.clone().next() {
        None => Swap::Off,
        Some(_) if devices.all(is_zram) => Swap::InMemory,
        Some(_) => Swap::OnDisk,
    }
}

/// The control group that accounts for memory, from `/proc/PID/cgroup`. Where both versions are
/// mounted, memory is version 1's.
pub fn memory_cgroup(cgroup: &str) -> Option<Cgroup<'_>> {
    let groups = cgroup.lines().filter_map(|line| {
        let (number, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let version = match number {
            _ if controllers.split(',').any(|name| name == "memory") => CgroupVersion::V1,
            "0" if controllers.is_empty() => CgroupVersion::V2,
            _ => return None,
        };
        Some(Cgroup { version, path })
    });
    groups.min_by_key(|group| group.version)
}

/// A control group and those above it, without the slash at the end: `/a/b`, `/a`, and nothing for
/// the root. A path that leads out of what is mounted here (`/../b`) gives the root alone.
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let inside = path.starts_with('/') && path.split('/').all(|part| part != "..");
    let lowest = if inside { path.trim_end_matches('/') } else { "" };
    iter::successors(Some(lowest), |path| path.rsplit_once('/').map(|(above, _)| above))
}

/// The only number in `memory.max` or `memory.limit_in_bytes`. Version 1 has no word for no limit,
/// but its largest number in whole pages.
pub fn memory_limit(text: &str) -> Option<Limit> {
    match text.trim() {
        "max" => Some(Limit::Unlimited),
        digits => digits.parse().ok().map(|bytes: u64| match bytes {
            LARGEST.. => Limit::Unlimited,
            _ => Limit::Bytes(bytes),
        }),
    }
}

/// The number behind a name in a file such as `memory.stat`, a line of `NAME NUMBER`.
pub fn statistic(text: &str, name: &str) -> Option<u64> {
    let after = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    text.lines().find_map(after)
}

/// A control group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cgroup<'a> {
    /// Which of the two interfaces it is in.
    pub version: CgroupVersion,
    /// Where it is below that one's root, beginning with a slash.
    pub path: &'a str,
}

/// The interfaces to control groups, `cgroups(7)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CgroupVersion {
    /// A hierarchy for each controller.
    V1,
    /// One hierarchy.
    V2,
}

/// What runs a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// Kubernetes.
    Kubernetes,
    /// LXC, Proxmox, LXD or Incus.
    Lxc,
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

fn is_zram(device: &str) -> bool {
    device.strip_prefix("/dev/zram").is_some_and(|number| number.parse::<u32>().is_ok())
}

/// The characters of a unit's name (`systemd.unit(5)`): nothing that a terminal would act on.
fn is_unit_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte)
}

/// Version 1's lack of a limit: the largest signed number, less a page of up to 64 KiB.
const LARGEST: u64 = (1 << 63) - (1 << 16);

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
        let stat = "cache 1\ninactive_file 4096\ntotal_inactive_file 8192\n";
        assert_eq!(statistic(stat, "inactive_file"), Some(4096));
        assert_eq!(statistic(stat, "total_inactive_file"), Some(8192));
        assert_eq!((statistic(stat, "active_file"), statistic("", "")), (None, None));
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
    fn a_users_service_is_told_from_the_systems() {
        for (cgroup, user) in [
            ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/c.service\n", true),
            ("0::/system.slice/c.service\n", false),
            ("0::/user.slice/user-1000.slice/user@1000.service\n", false),
            ("", false),
        ] {
            assert_eq!(is_user_service(cgroup), user, "{cgroup:?}");
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
            ("0::/machine.slice/libpod-0123.scope/container", Some(Runtime::Engine)),
            ("0::/user.slice/user@1.service/user.slice/libpod-0.scope", Some(Runtime::Engine)),
            ("0::/lxc.payload.web/system.slice/a.service", Some(Runtime::Lxc)),
            ("4:memory:/lxc/101/ns", Some(Runtime::Lxc)),
            ("0::/system.slice/containerd.service", None),
            ("0::/system.slice/docker.service", None),
            ("0::/system.slice/docker-registry.service", None),
            ("0::/system.slice/ssh.service", None),
            ("", None),
        ] {
            assert_eq!(container_cgroup(cgroup), runtime, "{cgroup:?}");
        }
    }

    #[test]
    fn swap_in_memory_is_told_from_swap_on_disk() {
        const HEADINGS: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        for (devices, swap_is) in [
            ("", Swap::Off),
            ("/dev/zram0 partition 8388604 0 100\n", Swap::InMemory),
            ("/dev/zram0 partition 1 0 100\n/dev/zram12 partition 1 0 100\n", Swap::InMemory),
            ("/dev/zram0 partition 1 0 100\n/swapfile file 2097148 0 -2\n", Swap::OnDisk),
            ("/dev/dm-1 partition 1 0 -2\n/dev/zram0 partition 1 0 100\n", Swap::OnDisk),
            ("/dev/zramdisk partition 1 0 -2\n", Swap::OnDisk),
            ("/dev/zram partition 1 0 -2\n", Swap::OnDisk),
            ("\n \n", Swap::Off),
        ] {
            assert_eq!(swap(&format!("{HEADINGS}{devices}")), swap_is, "{devices:?}");
        }
        assert_eq!(swap(""), Swap::Off);
    }

    #[test]
    fn memory_is_accounted_in_one_place() {
        use CgroupVersion::{V1, V2};
        for (cgroup, found) in [
            ("0::/a.slice/b\n", Some((V2, "/a.slice/b"))),
            ("0::/\n", Some((V2, "/"))),
            ("0::/\n4:cpu,memory:/m\n", Some((V1, "/m"))),
            ("4:memory:/m\n0::/\n", Some((V1, "/m"))),
            ("1:name=systemd:/\n3:cpu:/x\n", None),
            ("3:memoryx:/x\n", None),
            ("0::/a:memory:/b\n", Some((V2, "/a:memory:/b"))),
            ("1::/\n", None),
            ("", None),
            ("::\n:\n", None),
        ] {
            let group = memory_cgroup(cgroup).map(|group| (group.version, group.path));
            assert_eq!(group, found, "{cgroup:?}");
        }
    }

    #[test]
    fn groups_above_are_walked_to_the_root_and_no_further() {
        for (path, all) in [
            ("/", vec![""]),
            ("", vec![""]),
            ("/a", vec!["/a", ""]),
            ("/a.slice/b c", vec!["/a.slice/b c", "/a.slice", ""]),
            ("/a/", vec!["/a", ""]),
            ("/../../b", vec![""]),
            ("/a/../../etc", vec![""]),
            ("etc", vec![""]),
            ("/..a", vec!["/..a", ""]),
        ] {
            assert_eq!(ancestors(path).collect::<Vec<_>>(), all, "{path:?}");
        }
    }

    #[test]
    fn no_memory_limit_is_a_word_or_a_huge_number() {
        for (text, limit) in [
            ("max\n", Some(Limit::Unlimited)),
            ("536870912\n", Some(Limit::Bytes(536_870_912))),
            ("0\n", Some(Limit::Bytes(0))),
            ("9223372036854771712\n", Some(Limit::Unlimited)),
            ("9223372036854710272\n", Some(Limit::Unlimited)),
            ("18446744073709551615", Some(Limit::Unlimited)),
            ("18446744073709551616", None),
            ("", None),
            ("-1", None),
            ("Max", None),
        ] {
            assert_eq!(memory_limit(text), limit, "{text:?}");
        }
    }

    #[test]
    fn one_line_is_read_without_its_end() {
        for (text, found) in [("core\n", Some("core")), ("|/x %P", Some("|/x %P")), ("\n", None)] {
            assert_eq!(line(text), found, "{text:?}");
        }
    }
}
