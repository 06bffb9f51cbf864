//! The clocks that a session reads.

use super::finding::{Area, Finding};
use crate::rt;

/// A monotonic clock coarser than this is no clock for milliseconds, nanoseconds.
const RESOLUTION_MAX_NS: u64 = 1_000;
/// Sources that are read without leaving the program, and are steady.
const FAST: [&str; 4] = [
    "tsc",
    "kvm-clock",
    "arch_sys_counter",
    "hyperv_clocksource_tsc_page",
];

/// What is known of them.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// Step of the monotonic clock, nanoseconds; 0 where it is not told.
    pub(super) resolution_ns: u64,
    /// What the kernel reads time from; empty where it does not say.
    pub(super) source: String,
    /// Whether the wall clock follows another one (NTP, PTP); `None` where it is not told.
    pub(super) synchronised: Option<bool>,
}

/// Asks the system.
pub(super) fn facts() -> Facts {
    let source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    Facts {
        resolution_ns: rt::resolution_ns(),
        source: std::fs::read_to_string(source)
            .unwrap_or_default()
            .trim()
            .to_owned(),
        synchronised: rt::wall_clock_is_synchronised(),
    }
}

/// What that means for a session.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let area = Area::Clock;
    let resolution = format!("steps of {} ns", facts.resolution_ns);
    let monotonic = match facts.resolution_ns {
        1..=RESOLUTION_MAX_NS => Finding::ok(area, "monotonic clock", resolution),
        _ => Finding::warning(
            area,
            "monotonic clock",
            resolution,
            "Boot with high-resolution timers (highres=on): stamps are no finer than that",
        ),
    };
    let source = if facts.source.is_empty() {
        Finding::ok(area, "clock source", "not told")
    } else if FAST.contains(&facts.source.as_str()) {
        Finding::ok(area, "clock source", &facts.source)
    } else {
        Finding::warning(
            area,
            "clock source",
            &facts.source,
            "Reading time costs a microsecond or more here: boot with clocksource=tsc where the processor has a steady one",
        )
    };
    let advice = "Dates in manifest and reports may be wrong: switch NTP on (timedatectl set-ntp true). Nothing else is computed from the wall clock";
    let wall = match facts.synchronised {
        Some(true) => Finding::ok(area, "wall clock", "synchronised"),
        Some(false) => Finding::warning(area, "wall clock", "not synchronised", advice),
        None => Finding::warning(
            area,
            "wall clock",
            "whether it is synchronised is not told",
            advice,
        ),
    };
    vec![monotonic, source, wall]
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_coarse_a_slow_and_a_loose_clock_are_warned_of() {
        let levels = |resolution_ns, source: &str, synchronised| {
            let facts = Facts {
                resolution_ns,
                source: source.into(),
                synchronised,
            };
            judge(&facts).iter().map(|f| f.level).collect::<Vec<_>>()
        };
        let (ok, warning) = (Level::Ok, Level::Warning);
        assert_eq!(levels(1, "tsc", Some(true)), [ok, ok, ok]);
        assert_eq!(levels(4_000_000, "tsc", Some(true)), [warning, ok, ok]);
        assert_eq!(levels(0, "", None), [warning, ok, warning]);
        assert_eq!(levels(1, "hpet", Some(false)), [ok, warning, warning]);
    }

    #[test]
    fn this_systems_monotonic_clock_is_fine_enough() {
        assert_eq!(judge(&facts())[0].level, Level::Ok);
    }
}
