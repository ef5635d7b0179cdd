//! The limits as a table with one fact a line.

use std::fmt::{self, Display, Formatter};

use super::{Grouped, Limit, Limits};

impl Display for Limits {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.locking(f)?;
        self.mappings(f)?;
        self.memory(f)?;
        writeln!(f, "page size         {} bytes", Grouped(self.page_size as u64))?;
        write!(f, "surroundings      {}", self.surroundings)
    }
}

impl Limits {
    fn locking(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "lock limit, soft  {}", self.soft)?;
        writeln!(f, "lock limit, hard  {}", self.hard)?;
        if cfg!(target_os = "linux") {
            writeln!(f, "CAP_IPC_LOCK      {}", self.ipc_lock)?;
            writeln!(f, "user namespace    {}", self.user_namespace)?;
        }
        if let Some(limit) = self.wire_limit {
            writeln!(f, "a process at most {} bytes (vm.user_wire_limit)", Grouped(limit))?;
        }
        if let Some(limit) = self.global_wire_limit {
            writeln!(f, "all at most       {} bytes (vm.global_user_wire_limit)", Grouped(limit))?;
        }
        writeln!(f, "locked now        {}", Limit::from_known(self.locked))?;
        writeln!(f, "can be locked     {}", self.available())
    }

    fn mappings(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(mappings) = self.mappings {
            writeln!(f, "mappings now      {}", Grouped(mappings))?;
        }
        if let Some(limit) = self.mappings_limit {
            writeln!(f, "mappings at most  {} (vm.max_map_count)", Grouped(limit))?;
        }
        Ok(())
    }

    fn memory(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "address space     {} (RLIMIT_AS)", self.address_space)?;
        writeln!(f, "private memory    {} (RLIMIT_DATA)", self.data)?;
        if cfg!(target_os = "linux") {
            writeln!(f, "memory limit      {} (control group)", self.memory)?;
            writeln!(f, "swap              {}", self.swap)?;
        }
        write!(f, "core dumps        {}", dumps(self.dumps_core()))?;
        write!(f, " (limit {}", self.core_limit)?;
        if let Some(pattern) = &self.core_pattern {
            write!(f, ", pattern {}", pattern.escape_debug())?;
        }
        writeln!(f, ")")?;
        if cfg!(target_os = "linux") {
            writeln!(f, "memfd_secret      {}", self.secret_memory)?;
            let keys =
                if self.protection_keys { "on this machine" } else { "none on this machine" };
            writeln!(f, "protection keys   {keys}")?;
        }
        Ok(())
    }
}

fn dumps(known: Option<bool>) -> &'static str {
    match known {
        Some(true) => "on",
        Some(false) => "off",
        None => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::super::small_limits as small;
    use super::*;

    #[test]
    fn the_table_has_one_fact_a_line() {
        let text = Limits { locked: Some(61_440), ..small() }.to_string();
        assert!(text.contains("lock limit, soft  65,536 bytes\n"), "{text}");
        assert!(text.contains("can be locked     4,096 bytes\n"), "{text}");
        assert!(text.contains("mappings at most  65,530 (vm.max_map_count)\n"), "{text}");
        assert!(text.contains("core dumps        off (limit 0 bytes, pattern core)\n"), "{text}");
        assert!(text.ends_with("surroundings      shell"), "{text}");
    }

    #[test]
    fn a_pattern_does_nothing_to_a_terminal() {
        let core_pattern = Some("|/bin/x \u{1b}[2J".into());
        let text = Limits { core_pattern, ..small() }.to_string();
        assert!(text.contains("core dumps        on (limit 0 bytes, pattern |/bin/x"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
