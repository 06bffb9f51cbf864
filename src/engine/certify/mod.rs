//! `certify`: how long this machine takes from a sample to the text, with the same threads as a live session.
//!
//! A driver in a process of its own sends EEG and gaze over LSL on 127.0.0.1. Everything behind the socket is what a
//! session runs: inlet threads with their stages and the recorder's taps, the gate's thread, the decoder's thread, the
//! presenter. Four things are arranged so that a run tells as much as it can:
//!
//! - Gaze jumps to and fro on the first tile, and one short fixation says enough for the gate: evidence that came the whole
//!   way from the socket decides a fork with every fixation, up to nineteen a second. A 99.9th percentile needs a thousand.
//! - Forks are called for one after the other, with short phrases, and what was thought ahead is taken back by the next
//!   call. So the next fork is there before the next fixation.
//! - The detector is off, so that the decoder thinks on every branch up to the end of its text and most decisions find it
//!   in the middle of a step. How many did is reported: those are the commits that may have to wait for it.
//! - The EEG scorer has random weights of the full size: it costs what a fitted one costs, and says next to nothing. Each
//!   fork flashes at least once, so that more epochs overlap than in a session.
//!
//! Every block and every decided fork counts, from the first one on; nothing is taken out as a warm-up. Stamps need no
//! offset: both processes read the same clock.

mod asking;
mod certificate;
pub mod display;
mod driver;
mod idle;
mod load;
pub mod paths;
mod threads;

pub use certificate::{Certificate, Forks};
pub use driver::{Driven, drive};
pub use idle::{Idle, Slowed};
pub use load::Load;

use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use self::asking::Asking;
use self::driver::Driver;
use self::idle::at_rest;
use self::threads::{Scratch, Threads};
use super::EngineError;
use super::latency::LatencyReport;
use crate::config::{BudgetSection, DecodeSection, RealtimeSection, ScreenSection};
use crate::decode::Model;
use crate::gate::{GateConfig, GateSettings};
use crate::rt;
use crate::session::Machine;
use crate::source::lsl::Network;

/// What is to be certified.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long forks are opened, seconds.
    pub seconds: f64,
    /// How long the same streams are measured afterwards, with the decoder at rest, seconds; `None` leaves that out.
    pub idle_seconds: Option<f64>,
    /// What the driver sends.
    pub load: Load,
    /// The budgets.
    pub budget: BudgetSection,
    /// What the real-time threads ask for.
    pub realtime: RealtimeSection,
    /// How the model is computed: its threads were made so.
    pub decode: DecodeSection,
}

/// Why nothing could be certified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertifyError {
    /// The engine could not be set up, or failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The process that sends the streams failed.
    #[error("the driver of the certification failed: {reason}")]
    Driver {
        /// What happened.
        reason: String,
    },
    /// No fork was decided.
    #[error(
        "no fork was decided ({opened} opened, {aborted} aborted, {declined} declined): nothing can be certified. Certify for longer, or on a machine with less load"
    )]
    NothingDecided {
        /// Forks opened.
        opened: u64,
        /// Aborted.
        aborted: u64,
        /// Declined.
        declined: u64,
    },
}

/// Certifies: starts `driver` (a process that calls [`drive`]), runs for the time asked, and gives what was measured. With
/// [`Settings::idle_seconds`] the same is measured once more with the decoder at rest, so that one run says what decoding does to signals.
///
/// Text goes to `sink`. `stop` ends the run early; what was measured until then counts.
///
/// # Errors
/// [`CertifyError`] when the run cannot be set up, the driver fails, or no fork was decided.
pub fn certify(
    network: Network,
    settings: &Settings,
    model: Arc<Model>,
    driver: Command,
    sink: &mut dyn Write,
    stop: &AtomicBool,
) -> Result<Certificate, CertifyError> {
    let memory_locked = if settings.realtime.lock_memory {
        rt::lock_memory()
    } else {
        Err("not asked for".into())
    };
    let (gate, screen) = (gate_settings()?, ScreenSection::default());
    let load_before = load_average();
    let mut command = driver;
    let mut driver = Driver::start(&mut command)?;
    let scratch = Scratch::new().map_err(EngineError::from)?;
    let mut threads = Threads::start(
        network,
        settings,
        gate,
        &screen,
        Arc::clone(&model),
        &scratch,
    )?;
    driver.begin()?;
    threads.settle(stop)?;
    threads.write();
    let mut asking = Asking::new(threads, gate, screen, &settings.budget, sink);
    let seconds = asking.for_some_time(settings.seconds, stop)?;
    let (threads, forks, decided) = asking.end();
    let ended = threads.finish(settings)?;
    let driver = driver.finish()?;
    drop(scratch);

    let forks = Forks {
        interrupted: ended.interrupted,
        ..forks
    };
    if forks.committed == 0 {
        let Forks {
            opened,
            aborted,
            declined,
            ..
        } = forks;
        return Err(CertifyError::NothingDecided {
            opened,
            aborted,
            declined,
        });
    }
    let latency = LatencyReport {
        forks: decided,
        streams: ended.streams,
        gate_items_dropped: ended.gate_items_dropped,
    };
    let mut missed = latency.misses();
    let load_after = load_average();
    let forks_per_s = forks.opened as f64 / seconds.max(f64::MIN_POSITIVE);
    let idle = settings
        .idle_seconds
        .map(|seconds| {
            let how = (seconds, forks_per_s);
            at_rest(network, settings, &model, &mut command, how, stop)
        })
        .transpose()?
        .map(|idle| idle.beside(&latency.streams));
    missed.extend(idle.iter().flat_map(Idle::misses));
    let mut uncertified: Vec<String> = ended
        .granted
        .iter()
        .filter_map(|granted| {
            let reason = granted.priority.as_ref().err()?;
            Some(format!(
                "thread {} has no real-time priority: {reason}",
                granted.thread
            ))
        })
        .collect();
    if let Err(reason) = &memory_locked {
        uncertified.push(format!("memory is not locked: {reason}"));
    }
    if cfg!(debug_assertions) {
        uncertified.push("this is not a release build".into());
    }
    Ok(Certificate {
        razvilka_version: env!("CARGO_PKG_VERSION").into(),
        machine: Machine::here(),
        load_average: [load_before, load_after],
        seconds,
        load: settings.load,
        decode: settings.decode.clone(),
        idle,
        missed,
        latency,
        forks,
        decoder_steps: ended.decoder_steps,
        flashes: ended.flashes,
        driver,
        granted: ended.granted,
        memory_locked,
        recording_incomplete: ended.recording_incomplete,
        uncertified,
    })
}

/// The default gate but for one number: one item of evidence is enough, as the beginning of one fixation gives one.
fn gate_settings() -> Result<GateSettings, EngineError> {
    Ok(GateSettings::try_from(GateConfig {
        evidence_items_min: 1,
        ..GateConfig::default()
    })?)
}

/// The load averages as the system writes them; empty where it does not.
fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}
