//! How fast the EEG path is: filter and reference against a floor, last sample to score, load of a core, and how the cost grows.
//!
//! ```sh
//! cargo bench -p razvilka-dsp --bench eeg_speed              # tables, some two minutes
//! cargo bench -p razvilka-dsp --bench eeg_speed -- --quick   # the same with fewer repetitions
//! cargo bench -p razvilka-dsp --bench eeg_speed -- --json    # one JSON object per row, for peers.py
//! cargo bench -p razvilka-dsp --bench eeg_speed -- --only filter
//! ```
//!
//! Tables: `filter`, `score`, `blocks`, `sustained`, `worst`, `growth`. Benchmarks flatter: where caches are warm and where they are not is said at
//! each table. Nothing here is asserted: a machine that others use gives numbers, not verdicts.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a benchmark reads clocks, prints, and stops when it cannot be set up"
)]

mod feed;
mod floor;
mod growth;
mod load;
mod measure;
mod score;
mod table;

use razvilka_dsp::units::Hertz;

use crate::measure::load_average;
use crate::table::Report;

/// How much to repeat.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Bursts of each contender.
    pub(crate) rounds: usize,
    /// Samples of a burst.
    pub(crate) burst_samples: usize,
    /// Signal that is fed for one number, seconds.
    pub(crate) signal_s: f64,
}

const FULL: Effort = Effort {
    rounds: 2_000,
    burst_samples: 320,
    signal_s: 120.0,
};
const QUICK: Effort = Effort {
    rounds: 200,
    burst_samples: 320,
    signal_s: 10.0,
};

pub(crate) fn hz(value: f64) -> Hertz {
    Hertz::new(value).unwrap()
}

struct Options {
    effort: Effort,
    json: bool,
    only: Option<String>,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        // `cargo test --benches` runs this, too: it should compile and work, not measure.
        effort: QUICK,
        json: false,
        only: None,
    };
    let mut quick = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => options.effort = FULL,
            "--quick" => quick = true,
            "--json" => options.json = true,
            "--only" => options.only = Some(arguments.next().ok_or("--only wants a table")?),
            other => {
                return Err(format!(
                    "{other}: only --quick, --json and --only TABLE are understood"
                ));
            }
        }
    }
    if quick {
        options.effort = QUICK;
    }
    Ok(options)
}

fn main() -> Result<(), String> {
    let options = options()?;
    let mut report = Report::new(options.json);
    type Table = fn(&mut Report, Effort);
    let tables: [(&str, Table); 6] = [
        ("filter", floor::run),
        ("score", score::score),
        ("blocks", score::blocks),
        ("sustained", load::sustained),
        ("worst", load::worst),
        ("growth", growth::growth),
    ];
    if let Some(only) = &options.only
        && !tables.iter().any(|(name, _)| name == only)
    {
        return Err(format!("{only}: no such table"));
    }
    if !options.json {
        println!("load average at the start: {}", load_average());
    }
    for (name, table) in tables {
        if options.only.as_ref().is_none_or(|only| only == name) {
            table(&mut report, options.effort);
        }
    }
    if !options.json {
        println!("\nload average at the end: {}", load_average());
    }
    Ok(())
}
