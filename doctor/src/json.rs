//! The report for programs. Sizes are in bytes; what is not known is `null`.

use std::io::{self, Write};

use serde::{Serialize, Serializer};
use strongroom::Trial;
use strongroom::limits::{
    Fit, IpcLock, Limit, Limits, SecretMemory, Surroundings, Swap, UserNamespace,
};

use crate::need::Need;
use crate::sizes::SIZES;
use crate::tried::Tried;

/// Writes one object and a line's end.
pub(crate) fn write(
    out: &mut impl Write,
    limits: &Limits,
    tried: &Tried,
    need: Option<&Need>,
) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &Report::of(limits, tried, need))?;
    writeln!(out)
}

#[derive(Serialize)]
struct Report<'a> {
    lock_limit_soft: Amount,
    lock_limit_hard: Amount,
    ipc_lock: Option<&'static str>,
    initial_user_namespace: Option<bool>,
    locked: Option<u64>,
    available: Amount,
    mappings: Option<u64>,
    mappings_limit: Option<u64>,
    wire_limit: Option<u64>,
    global_wire_limit: Option<u64>,
    memory_limit: Amount,
    memory_used: Option<u64>,
    address_space_limit: Amount,
    address_space_used: Option<u64>,
    data_limit: Amount,
    data_used: Option<u64>,
    swap: Option<&'static str>,
    dumps_core: Option<bool>,
    core_limit: Amount,
    core_pattern: Option<&'a str>,
    secret_memory: Option<&'static str>,
    protection_keys: bool,
    page_size: usize,
    surroundings: &'static str,
    systemd_unit: Option<&'a str>,
    page_tried: Attempt,
    secret_memory_tried: Attempt,
    fits: Vec<Fits>,
    need: Option<NeedReport>,
}

#[derive(Serialize)]
struct Fits {
    size: u64,
    secrets: Amount,
}

#[derive(Serialize)]
struct NeedReport {
    open: u64,
    size: u64,
    bytes: u64,
    fits: Option<bool>,
    remedy: Option<String>,
    tried: Option<Attempt>,
}

/// What came of trying. The sentence has the cause, the numbers and the remedy.
#[derive(Serialize)]
struct Attempt {
    outcome: Option<&'static str>,
    sentence: String,
}

/// A number, `"unlimited"`, or `null`.
enum Amount {
    Number(u64),
    Unlimited,
    Unknown,
}

impl<'a> Report<'a> {
    fn of(limits: &'a Limits, tried: &Tried, need: Option<&Need>) -> Self {
        let fit = |size| Fits { size, secrets: limits.fits(size).into() };
        Self {
            lock_limit_soft: limits.soft.into(),
            lock_limit_hard: limits.hard.into(),
            ipc_lock: ipc_lock(limits.ipc_lock),
            initial_user_namespace: initial(limits.user_namespace),
            locked: limits.locked,
            available: limits.available().into(),
            mappings: limits.mappings,
            mappings_limit: limits.mappings_limit,
            wire_limit: limits.wire_limit,
            global_wire_limit: limits.global_wire_limit,
            memory_limit: limits.memory.limit.into(),
            memory_used: limits.memory.used,
            address_space_limit: limits.address_space.limit.into(),
            address_space_used: limits.address_space.used,
            data_limit: limits.data.limit.into(),
            data_used: limits.data.used,
            swap: swap(limits.swap),
            dumps_core: limits.dumps_core(),
            core_limit: limits.core_limit.into(),
            core_pattern: limits.core_pattern.as_deref(),
            secret_memory: secret_memory(limits.secret_memory),
            protection_keys: limits.protection_keys,
            page_size: limits.page_size,
            surroundings: surroundings(&limits.surroundings),
            systemd_unit: systemd_unit(&limits.surroundings),
            page_tried: Attempt::of(&tried.page),
            secret_memory_tried: Attempt::of(&tried.secret_memory),
            fits: SIZES.map(fit).into(),
            need: need.map(NeedReport::of),
        }
    }
}

impl NeedReport {
    fn of(need: &Need) -> Self {
        let remedy = need.remedy.as_ref().map(ToString::to_string);
        let tried = need.trial.as_ref().map(Attempt::of);
        Self { open: need.open, size: need.size, bytes: need.bytes, fits: need.fits, remedy, tried }
    }
}

impl Attempt {
    fn of(trial: &Trial) -> Self {
        let outcome = match trial {
            Trial::Granted => Some("granted"),
            Trial::Refused(_) => Some("refused"),
            Trial::Killed { .. } => Some("killed"),
            _ => None,
        };
        Self { outcome, sentence: trial.to_string() }
    }
}

impl From<Limit> for Amount {
    fn from(limit: Limit) -> Self {
        match limit {
            Limit::Bytes(bytes) => Self::Number(bytes),
            Limit::Unlimited => Self::Unlimited,
            _ => Self::Unknown,
        }
    }
}

impl From<Fit> for Amount {
    fn from(fit: Fit) -> Self {
        match fit {
            Fit::Secrets(count) => Self::Number(count),
            Fit::Unlimited => Self::Unlimited,
            _ => Self::Unknown,
        }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Unlimited => serializer.serialize_str("unlimited"),
            Self::Unknown => serializer.serialize_none(),
        }
    }
}

fn ipc_lock(ipc_lock: IpcLock) -> Option<&'static str> {
    match ipc_lock {
        IpcLock::InEffect => Some("in effect"),
        IpcLock::Namespaced => Some("namespaced"),
        IpcLock::Absent => Some("absent"),
        _ => None,
    }
}

fn initial(namespace: UserNamespace) -> Option<bool> {
    match namespace {
        UserNamespace::Initial => Some(true),
        UserNamespace::Nested => Some(false),
        _ => None,
    }
}

fn secret_memory(secret_memory: SecretMemory) -> Option<&'static str> {
    match secret_memory {
        SecretMemory::SwitchedOn => Some("on"),
        SecretMemory::SwitchedOff => Some("off"),
        SecretMemory::Configured => Some("configured"),
        SecretMemory::Absent => Some("absent"),
        _ => None,
    }
}

fn swap(swap: Swap) -> Option<&'static str> {
    match swap {
        Swap::Off => Some("off"),
        Swap::InMemory => Some("memory"),
        Swap::OnDisk => Some("disk"),
        _ => None,
    }
}

fn surroundings(surroundings: &Surroundings) -> &'static str {
    match surroundings {
        Surroundings::Lambda => "lambda",
        Surroundings::Kubernetes => "kubernetes",
        Surroundings::Docker => "container",
        Surroundings::Lxc => "lxc",
        Surroundings::Nspawn => "nspawn",
        Surroundings::Flatpak => "flatpak",
        Surroundings::Systemd { user: true, .. } => "systemd-user",
        Surroundings::Systemd { user: false, .. } => "systemd",
        Surroundings::Shell => "shell",
        _ => "plain",
    }
}

fn systemd_unit(surroundings: &Surroundings) -> Option<&str> {
    match surroundings {
        Surroundings::Systemd { unit, .. } => Some(unit),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn report(limits: &Limits, need: Option<&Need>) -> serde_json::Value {
        let mut text = Vec::new();
        write(&mut text, limits, &Tried::now(), need).unwrap();
        assert!(text.ends_with(b"}\n"));
        serde_json::from_slice(&text).unwrap()
    }

    fn limits() -> Limits {
        let mut limits = Limits::read();
        (limits.ipc_lock, limits.locked) = (IpcLock::Absent, Some(0));
        (limits.soft, limits.hard) = (Limit::Bytes(65_536), Limit::Unlimited);
        limits
    }

    #[test]
    fn amounts_are_numbers_words_or_null() {
        let all = report(&limits(), None);
        assert_eq!(all["lock_limit_soft"], 65_536);
        assert_eq!(all["lock_limit_hard"], "unlimited");
        assert_eq!(all["need"], serde_json::Value::Null);
        assert_eq!(all["page_tried"]["outcome"], "granted");
        assert_eq!(all["fits"].as_array().unwrap().len(), SIZES.len());
        let mut unknown = limits();
        unknown.locked = None;
        assert_eq!(report(&unknown, None)["available"], serde_json::Value::Null);
    }

    #[test]
    fn a_name_from_outside_is_escaped() {
        let mut limits = limits();
        limits.core_pattern = Some("|/x \"\n\u{1b}".into());
        limits.surroundings = Surroundings::Systemd { unit: "a.service".into(), user: false };
        let all = report(&limits, Some(&Need::of(&limits, 5000, 64)));
        assert_eq!(all["core_pattern"], "|/x \"\n\u{1b}");
        assert_eq!(all["systemd_unit"], "a.service");
        assert_eq!(all["need"]["fits"], false);
        assert!(all["need"]["remedy"].as_str().unwrap().contains("RLIMIT_MEMLOCK"));
    }
}
