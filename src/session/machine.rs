//! What the session ran on: a latency without its machine says nothing.

use serde::{Deserialize, Serialize};

/// The machine, as far as it says. Unknown facts are empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Name of the processor.
    pub cpu: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Memory, KiB.
    pub memory_kib: u64,
    /// Operating system and architecture, e.g. `linux x86_64`.
    pub system: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Name of the machine.
    pub hostname: String,
}

impl Machine {
    /// Asks this machine. Facts that cannot be read stay empty.
    #[must_use]
    pub fn here() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            cpu: value_of(&read("/proc/cpuinfo"), "model name").to_owned(),
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            memory_kib: value_of(&read("/proc/meminfo"), "MemTotal")
                .split_whitespace()
                .next()
                .and_then(|kib| kib.parse().ok())
                .unwrap_or(0),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            hostname: read("/proc/sys/kernel/hostname").trim().to_owned(),
        }
    }
}

/// The value of the first line `key : value`.
fn value_of<'a>(text: &'a str, key: &str) -> &'a str {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == key)
        .map_or("", |(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_matching_line_is_read_whole() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC: 7B13\nmodel name\t: other\n";
        assert_eq!(value_of(text, "model name"), "AMD EPYC: 7B13");
        assert_eq!(value_of(text, "model"), "");
    }
}
