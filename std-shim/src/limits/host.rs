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
    /// A systemd service.
    Systemd {
        /// The unit's name, such as `payments.service`.
        unit: Box<str>,
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
            Signs { container: true, .. } => Self::Docker,
            // A terminal in a service is a login without a session of its own.
            Signs { service: Some(unit), terminal: false, .. } => {
                Self::Systemd { unit: unit.into() }
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
            Self::Systemd { unit } => write!(f, "systemd, {unit}"),
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
    pub(super) container: bool,
    /// The systemd service whose control group the process is in.
    pub(super) service: Option<&'a str>,
    /// Standard input, output or error is a terminal.
    pub(super) terminal: bool,
    /// A shell has counted its level in the environment.
    pub(super) shell: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_surroundings_win() {
        let all = Signs {
            lambda: true,
            kubernetes: true,
            container: true,
            service: Some("a.service"),
            terminal: true,
            shell: true,
        };
        let unit = || Surroundings::Systemd { unit: "a.service".into() };
        let without_container = Signs { lambda: false, kubernetes: false, container: false, ..all };
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
}
