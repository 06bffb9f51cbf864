//! How much memory there is, asked before a model is loaded.

use std::fs;

/// Bytes that can be had without other programs being pushed out; `None` where the system does not say.
#[must_use]
pub fn available_bytes() -> Option<u64> {
    let machine = field(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    Some(machine.min(group().unwrap_or(u64::MAX)))
}

/// A line like `MemAvailable:   123 kB`, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// What a container leaves of it, where there is one with a limit.
fn group() -> Option<u64> {
    let number = |name: &str| {
        let text = fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?;
        text.trim().parse::<u64>().ok() // `max` where there is no limit
    };
    let stat = fs::read_to_string("/sys/fs/cgroup/memory.stat").unwrap_or_default();
    let used = number("memory.current")?.saturating_sub(cached(&stat));
    Some(number("memory.max")?.saturating_sub(used))
}

/// Bytes of files that a container keeps in memory and can be had at once, from its `memory.stat`.
fn cached(stat: &str) -> u64 {
    let of = |name: &str| {
        let mut lines = stat.lines();
        lines.find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
    };
    of("active_file ")
        .unwrap_or(0)
        .saturating_add(of("inactive_file ").unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_found_and_its_unit_minded() {
        let text = "MemTotal:       24000000 kB\nMemAvailable:   12345678 kB\n";
        assert_eq!(field(text, "MemAvailable:"), Some(12_345_678 * 1024));
        assert_eq!(field("MemAvailable: many\n", "MemAvailable:"), None);
        assert_eq!(field("", "MemAvailable:"), None);
    }

    #[test]
    fn files_that_a_container_keeps_in_memory_can_be_had() {
        let stat = "anon 5\ninactive_anon 7\nactive_anon 11\ninactive_file 100\nactive_file 20\n";
        assert_eq!(cached(stat), 120);
        assert_eq!(cached("anon 5\n"), 0);
    }
}
