//! Processor, memory, and this program itself.

use super::finding::{Area, Finding};
use crate::decode::available_memory_bytes;
use crate::session::Machine;

/// Memory below which nothing else fits beside a session, bytes.
const MEMORY_MIN_BYTES: u64 = 512 << 20;

/// What the machine says of itself.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) machine: Machine,
    /// Which vector instructions there are; `None` on a processor of another kind.
    pub(super) vectors: Option<Vectors>,
    /// How the clock of each processor is governed; none where the system does not say.
    pub(super) governors: Vec<String>,
    /// Programs that wanted a processor in the last minute, on average.
    pub(super) load: Option<f64>,
    /// Memory that can be had without other programs being pushed out, bytes.
    pub(super) available_bytes: Option<u64>,
    /// Whether this program was built to be fast.
    pub(super) release: bool,
}

/// Vector instructions of x86-64 that decoding uses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vectors {
    pub(super) avx2: bool,
    pub(super) fma: bool,
    pub(super) avx512: bool,
}

/// Asks this machine.
pub(super) fn facts() -> Facts {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    Facts {
        machine: Machine::here(),
        vectors: vectors(),
        governors: governors(),
        load: load
            .split_whitespace()
            .next()
            .and_then(|word| word.parse().ok()),
        available_bytes: available_memory_bytes(),
        release: !cfg!(debug_assertions),
    }
}

#[cfg(target_arch = "x86_64")]
fn vectors() -> Option<Vectors> {
    Some(Vectors {
        avx2: is_x86_feature_detected!("avx2"),
        fma: is_x86_feature_detected!("fma"),
        avx512: is_x86_feature_detected!("avx512f"),
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn vectors() -> Option<Vectors> {
    None
}

/// The governors of all processors, each once.
fn governors() -> Vec<String> {
    let Ok(processors) = std::fs::read_dir("/sys/devices/system/cpu") else {
        return Vec::new();
    };
    let mut all: Vec<String> = processors
        .filter_map(|entry| {
            let file = entry.ok()?.path().join("cpufreq/scaling_governor");
            Some(std::fs::read_to_string(file).ok()?.trim().to_owned())
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

/// What that means for a session.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut found = vec![
        processor(&facts.machine),
        vectors_found(facts),
        governor(&facts.governors),
    ];
    found.extend(facts.load.map(|load| load_found(load, facts.machine.cores)));
    found.push(memory(facts));
    found.push(Finding::ok(
        Area::Machine,
        "graphics card",
        "not needed: models are computed on the processor",
    ));
    found.push(program(facts.release));
    found
}

fn processor(machine: &Machine) -> Finding {
    let (area, what) = (Area::Machine, "processor");
    let figure = format!("{}, {} cores", machine.cpu, machine.cores);
    if machine.cores < 2 {
        let advice = "Give it two cores or more: on one, signals and decoding take turns";
        return Finding::warning(area, what, figure, advice);
    }
    Finding::ok(area, what, figure)
}

fn vectors_found(facts: &Facts) -> Finding {
    let (area, what) = (Area::Machine, "vector instructions");
    let Some(Vectors { avx2, fma, avx512 }) = facts.vectors else {
        return Finding::ok(area, what, format!("those of {}", facts.machine.system));
    };
    let has = |name: &str, is: bool| format!("{}{name}", if is { "" } else { "no " });
    let figure = [has("AVX2", avx2), has("FMA", fma), has("AVX-512", avx512)].join(", ");
    if avx2 && fma {
        return Finding::ok(area, what, figure);
    }
    let advice = "Decoding takes several times as long here: use a small model, or one behind a server (model.path = \"http://...\")";
    Finding::warning(area, what, figure, advice)
}

fn load_found(load: f64, cores: usize) -> Finding {
    let (area, what) = (Area::Machine, "load");
    let figure = format!("{load:.2} on {cores} cores");
    if load > cores as f64 {
        let advice =
            "End what else is at work before a session: a machine that is busy answers late";
        return Finding::warning(area, what, figure, advice);
    }
    Finding::ok(area, what, figure)
}

fn memory(facts: &Facts) -> Finding {
    let (area, what) = (Area::Machine, "memory");
    let total_mib = facts.machine.memory_kib >> 10;
    let Some(bytes) = facts.available_bytes else {
        return Finding::ok(area, what, format!("{total_mib} MiB in all"));
    };
    let figure = format!("{} of {total_mib} MiB to be had", bytes >> 20);
    if bytes < MEMORY_MIN_BYTES {
        let advice = "End other programs: a session that is pushed out of memory stands still";
        return Finding::warning(area, what, figure, advice);
    }
    Finding::ok(area, what, figure)
}

fn program(release: bool) -> Finding {
    let (area, what) = (Area::Machine, "this program");
    let version = env!("CARGO_PKG_VERSION");
    if release {
        return Finding::ok(area, what, format!("{version}, release build"));
    }
    let advice = "Build it with cargo build --release: latencies of this one say nothing";
    Finding::warning(
        area,
        what,
        format!("{version}, not a release build"),
        advice,
    )
}

fn governor(governors: &[String]) -> Finding {
    let (area, what) = (Area::Machine, "processor's clock");
    if governors.is_empty() {
        return Finding::ok(
            area,
            what,
            "its governor is not told, as in most virtual machines",
        );
    }
    let figure = format!("governor {}", governors.join(", "));
    if governors.iter().all(|governor| governor == "performance") {
        return Finding::ok(area, what, figure);
    }
    Finding::warning(
        area,
        what,
        figure,
        "Let it run at full speed during a session: cpupower frequency-set -g performance",
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn good() -> Facts {
        Facts {
            machine: Machine {
                cpu: "A processor".into(),
                cores: 4,
                memory_kib: 8 << 20,
                ..Machine::default()
            },
            vectors: Some(Vectors {
                avx2: true,
                fma: true,
                avx512: false,
            }),
            governors: vec!["performance".into()],
            load: Some(0.5),
            available_bytes: Some(4 << 30),
            release: true,
        }
    }

    #[test]
    fn a_good_machine_has_nothing_to_be_done() {
        let found = judge(&good());
        assert!(found.iter().all(|f| f.level == Level::Ok), "{found:?}");
        let figures: Vec<&str> = found.iter().map(|f| f.figure.as_str()).collect();
        assert!(
            figures.contains(&"4096 of 8192 MiB to be had"),
            "{figures:?}"
        );
        assert!(figures.contains(&"AVX2, FMA, no AVX-512"), "{figures:?}");
    }

    #[test]
    fn each_weakness_is_one_warning_with_what_to_do() {
        let one = |edit: fn(&mut Facts)| {
            let mut facts = good();
            edit(&mut facts);
            let mut found = judge(&facts);
            found.retain(|finding| finding.level != Level::Ok);
            assert_eq!(found.len(), 1, "{found:?}");
            let finding = found.remove(0);
            assert_eq!(finding.level, Level::Warning);
            assert!(finding.advice.is_some());
            finding.what
        };
        assert_eq!(one(|f| f.machine.cores = 1), "processor");
        assert_eq!(
            one(|f| f.governors.push("powersave".into())),
            "processor's clock"
        );
        assert_eq!(one(|f| f.load = Some(4.5)), "load");
        assert_eq!(one(|f| f.available_bytes = Some(100 << 20)), "memory");
        assert_eq!(one(|f| f.release = false), "this program");
        assert_eq!(
            one(|f| f.vectors = Some(Vectors {
                avx2: false,
                fma: false,
                avx512: false
            })),
            "vector instructions"
        );
    }
}
