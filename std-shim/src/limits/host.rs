//! Where the process runs, from signs that others leave.

use std::fmt::{self, Display, Formatter};

/// Where the process runs: each has its own way to raise a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Surroundings {
    /// AWS Lambda, which fixes the limit.
    Lambda,
    /// A container of a Kubernetes pod.
    Kubernetes,
    /// A container of Docker, Podman or the like.
    Docker,
    /// A container of LXC, Proxmox, LXD or Incus.
    Lxc,
    /// A container of `systemd-nspawn`.
    Nspawn,
    /// An application of Flatpak.
    Flatpak,
    /// A systemd service.
    Systemd {
        /// The unit's name, such as `payments.service`.
        unit: Box<str>,
        /// Whether it is a unit of a user's own manager (`systemctl --user`).
        user: bool,
    },
    /// A shell's child, or a program on a terminal.
    Shell,
    /// None of these, or none that could be told.
    Plain,
}

impl Surroundings {
    /// The innermost comes first: a pod is a container too, and its programs have a shell at times.
    pub(super) fn from_signs(signs: Signs<'_>) -> Self {
        match signs {
            Signs { lambda: true, .. } => Self::Lambda,
            Signs { kubernetes: true, .. } => Self::Kubernetes,
            Signs { container: Some(container), .. } => match container {
                Container::Engine => Self::Docker,
                Container::Lxc => Self::Lxc,
                Container::Nspawn => Self::Nspawn,
                Container::Flatpak => Self::Flatpak,
            },
            // A terminal in a service is a login without a session of its own.
            Signs { service: Some(Service { unit, user }), terminal: false, .. } => {
                Self::Systemd { unit: unit.into(), user }
            }
            Signs { shell: true, .. } | Signs { terminal: true, .. } => Self::Shell,
            _ => Self::Plain,
        }
    }
}

impl Display for Surroundings {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lambda => f.write_str("AWS Lambda"),
            Self::Kubernetes => f.write_str("Kubernetes"),
            Self::Docker => f.write_str("container"),
            Self::Lxc => f.write_str("LXC container"),
            Self::Nspawn => f.write_str("systemd-nspawn container"),
            Self::Flatpak => f.write_str("Flatpak"),
            Self::Systemd { unit, user: false } => write!(f, "systemd, {unit}"),
            Self::Systemd { unit, user: true } => write!(f, "systemd of a user, {unit}"),
            Self::Shell => f.write_str("shell"),
            Self::Plain => f.write_str("plain"),
        }
    }
}

/// What was seen of the surroundings.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a sign of its own")]
pub(super) struct Signs<'a> {
    pub(super) lambda: bool,
    pub(super) kubernetes: bool,
    pub(super) container: Option<Container>,
    /// The systemd service whose control group the process is in.
    pub(super) service: Option<Service<'a>>,
    /// Standard input, output or error is a terminal.
    pub(super) terminal: bool,
    /// A shell has counted its level in the environment.
    pub(super) shell: bool,
}

/// What runs a container.
#[cfg_attr(not(any(target_os = "linux", test)), expect(dead_code, reason = "macOS runs none"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    /// Docker, Podman or the like.
    Engine,
    Lxc,
    Nspawn,
    Flatpak,
}

impl Container {
    /// By the name that a container's manager gives in `container=` or `/run/systemd/container`
    /// (systemd's Container Interface). What is no container in the usual sense has no such name.
    #[cfg(any(target_os = "linux", test))]
    pub(super) fn named(name: &str) -> Option<Self> {
        match name.trim() {
            "" | "wsl" | "proot" => None,
            "lxc" | "lxc-libvirt" => Some(Self::Lxc),
            "systemd-nspawn" => Some(Self::Nspawn),
            "flatpak" => Some(Self::Flatpak),
            _ => Some(Self::Engine),
        }
    }
}

/// A systemd service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Service<'a> {
    pub(super) unit: &'a str,
    /// Below a user's own manager.
    pub(super) user: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_surroundings_win() {
        let all = Signs {
            lambda: true,
            kubernetes: true,
            container: Some(Container::Engine),
            service: Some(Service { unit: "a.service", user: false }),
            terminal: true,
            shell: true,
        };
        let unit = || Surroundings::Systemd { unit: "a.service".into(), user: false };
        let without_container = Signs { lambda: false, kubernetes: false, container: None, ..all };
        let on_no_terminal = Signs { terminal: false, ..without_container };
        for (signs, surroundings) in [
            (all, Surroundings::Lambda),
            (Signs { lambda: false, ..all }, Surroundings::Kubernetes),
            (Signs { lambda: false, kubernetes: false, ..all }, Surroundings::Docker),
            (without_container, Surroundings::Shell),
            (on_no_terminal, unit()),
            (Signs { service: None, ..on_no_terminal }, Surroundings::Shell),
            (Signs { terminal: true, ..Signs::default() }, Surroundings::Shell),
            (Signs::default(), Surroundings::Plain),
        ] {
            assert_eq!(Surroundings::from_signs(signs), surroundings, "{signs:?}");
        }
    }

    #[test]
    fn containers_are_known_by_their_managers_name() {
        for (name, told) in [
            ("lxc", Some(Surroundings::Lxc)),
            ("systemd-nspawn\n", Some(Surroundings::Nspawn)),
            ("flatpak", Some(Surroundings::Flatpak)),
            ("podman", Some(Surroundings::Docker)),
            ("docker", Some(Surroundings::Docker)),
            ("oci", Some(Surroundings::Docker)),
            ("wsl", None),
            ("", None),
        ] {
            let container = Container::named(name);
            let surroundings = container
                .map(|_| Surroundings::from_signs(Signs { container, ..Signs::default() }));
            assert_eq!(surroundings, told, "{name}");
        }
    }
}
