//! The shim's readers of `/proc`, on any text: they answer what can be checked without them.

use strongroom::internals::{
    ancestors, container_cgroup, is_user_service, line, memory_cgroup, memory_limit,
    namespace_inode, number, statistic, status_bytes, status_mask, swap, systemd_service,
};

/// Hands `bytes` to every reader as text; panics if one does, or answers what cannot be.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    status(&text);
    numbers(&text);
    cgroups(&text);
    paths(&text);
    // These promise no more than an answer.
    let _ = (swap(&text), container_cgroup(&text));
}

fn status(text: &str) {
    for key in ["VmLck", "VmPin", "CapEff", text.lines().next().unwrap_or_default()] {
        let has_line = text.lines().any(|line| line.starts_with(key));
        if let Some(bytes) = status_bytes(text, key) {
            assert!(has_line && bytes.is_multiple_of(1024), "{key}: {bytes} bytes");
        }
        if let Some(mask) = status_mask(text, key) {
            assert!(has_line && text.to_lowercase().contains(&format!("{mask:x}")), "{mask:x}");
        }
    }
}

/// A number that was read is one that was written.
fn numbers(text: &str) {
    if let Some(number) = number(text) {
        assert!(text.contains(&number.to_string()), "{number}");
    }
    if let Some(inode) = namespace_inode(text) {
        assert!(text.contains(&inode.to_string()), "{inode}");
    }
    let name = text.split_whitespace().next().unwrap_or_default();
    if let Some(number) = statistic(text, name) {
        assert!(text.contains(&number.to_string()), "{number}");
    }
    if memory_limit(text).is_some() {
        assert!(text.trim() == "max" || number(text).is_some());
    }
}

fn cgroups(text: &str) {
    if let Some(service) = systemd_service(text) {
        assert!(text.contains(service) && service.ends_with(".service"), "{service:?}");
        assert!(service.bytes().all(|byte| byte.is_ascii_graphic()), "{service:?}");
        assert!(!service.contains('/'), "{service:?}");
    }
    if is_user_service(text) {
        assert!(text.contains("user@"));
    }
    if let Some(group) = memory_cgroup(text) {
        assert!(text.contains(group.path) && !group.path.contains('\n'), "{group:?}");
        climb(group.path);
    }
    if let Some(line) = line(text) {
        assert!(text.starts_with(line) && !line.is_empty() && !line.contains('\n'), "{line:?}");
    }
}

fn paths(text: &str) {
    text.lines().for_each(climb);
}

/// Goes up from a control group: never out of what is mounted, always shorter, and to the root.
fn climb(path: &str) {
    let all: Vec<_> = ancestors(path).collect();
    assert_eq!(all.last(), Some(&""), "{path:?}");
    for pair in all.windows(2) {
        assert!(pair[0].starts_with(pair[1]) && pair[0].len() > pair[1].len(), "{path:?}");
    }
    let inside = |group: &&str| group.is_empty() || group.starts_with('/');
    assert!(all.iter().all(inside), "{path:?}");
    assert!(all.iter().all(|group| group.split('/').all(|part| part != "..")), "{path:?}");
}
