//! What a certification found, as JSON and as a table.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::driver::Driven;
use super::idle::Idle;
use super::load::Load;
use crate::config::DecodeSection;
use crate::engine::latency::LatencyReport;
use crate::pipeline::presenter::Shown;
use crate::pipeline::trace::{P99_N_MIN, in_table, table};
use crate::rt::Granted;
use crate::session::Machine;

/// What happened to the forks of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forks {
    /// Opened.
    pub opened: u64,
    /// Ended by a decision that rests on evidence. (The last may have come too late to be followed to the text.)
    pub committed: u64,
    /// Of those, for the tile on which gaze rested.
    pub on_target: u64,
    /// Of those, while the decoder was in the middle of a step, which it broke off.
    pub interrupted: u64,
    /// Ended because time ran out.
    pub declined: u64,
    /// Ended by a doubt: a lost stream, a full ring, a clock.
    pub aborted: u64,
}

/// Everything a certification found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Certificate {
    /// Version of this program.
    pub razvilka_version: String,
    /// What it ran on.
    pub machine: Machine,
    /// Load averages over 1, 5 and 15 minutes, before and after; empty where the system does not say.
    pub load_average: [String; 2],
    /// How long forks were opened, seconds.
    pub seconds: f64,
    /// What was sent.
    pub load: Load,
    /// How the model was computed.
    #[serde(default)]
    pub decode: DecodeSection,
    /// The same with the decoder at rest; `None` when that was not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Idle>,
    /// The latencies with their budgets.
    pub latency: LatencyReport,
    /// What became of the forks.
    pub forks: Forks,
    /// Forward passes of the decoder.
    pub decoder_steps: u64,
    /// Flashes: shown, late, unheard.
    pub flashes: Shown,
    /// What the driver measured of itself.
    pub driver: Vec<Driven>,
    /// What each real-time thread was granted.
    pub granted: Vec<Granted>,
    /// Whether memory was locked, or why not.
    pub memory_locked: Result<(), String>,
    /// Samples that the recording lost, one sentence each.
    pub recording_incomplete: Vec<String>,
    /// Budgets that were missed, by the rule of
    /// [`StepReport::is_missed`](crate::pipeline::trace::StepReport::is_missed), one sentence each.
    pub missed: Vec<String>,
    /// Why the figures are no certificate, though they may be within budget.
    pub uncertified: Vec<String>,
}

impl Certificate {
    /// Whether every step keeps its budget: its 99th percentile, or its largest measurement where those are too few.
    #[must_use]
    pub fn within_budget(&self) -> bool {
        self.missed.is_empty()
    }

    /// The certificate for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let Machine {
            cpu, cores, kernel, ..
        } = &self.machine;
        writeln!(
            out,
            "razvilka {}, {cpu}, {cores} cores, linux {kernel}",
            self.razvilka_version
        )?;
        let [before, after] = &self.load_average;
        writeln!(out, "load average before {before}, after {after}")?;
        let load = &self.load;
        writeln!(
            out,
            "{:.0} s; EEG {} channels at {} Hz, gaze at {} Hz, one sample per LSL chunk on 127.0.0.1",
            self.seconds, load.eeg_channels, load.eeg_rate_hz, load.gaze_rate_hz
        )?;
        let DecodeSection {
            threads,
            nice,
            cpus,
            precision,
        } = &self.decode;
        let cpus = if cpus.is_empty() {
            "any".to_owned()
        } else {
            format!("{cpus:?}")
        };
        writeln!(
            out,
            "decoder: threads {threads}, nice {nice}, processors {cpus}, precision {precision:?}"
        )?;
        for stream in &self.latency.streams {
            writeln!(
                out,
                "\n{}, every block\n{}",
                stream.stream,
                table(&stream.steps).trim_end()
            )?;
        }
        if let Some(idle) = &self.idle {
            let [before, after] = &idle.load_average;
            writeln!(
                out,
                "\npulled>scored, p99, beside {:.0} s with the decoder at rest (load average before {before}, after {after})",
                idle.seconds
            )?;
            for slowed in &idle.slowed {
                writeln!(
                    out,
                    "  {:<5} at rest {:>7.1} us, at work {:>7.1} us: {:.2} times as long",
                    slowed.stream, slowed.idle_p99_us, slowed.loaded_p99_us, slowed.ratio
                )?;
            }
        }
        writeln!(
            out,
            "\nforks that were decided\n{}",
            table(&self.latency.forks).trim_end()
        )?;
        let forks = &self.forks;
        writeln!(
            out,
            "\nforks: {} opened, {} committed ({:.1} a second; {} for the tile looked at, {} in mid-step of the decoder), {} declined, {} aborted; decoder steps: {}",
            forks.opened,
            forks.committed,
            forks.committed as f64 / self.seconds.max(f64::MIN_POSITIVE),
            forks.on_target,
            forks.interrupted,
            forks.declined,
            forks.aborted,
            self.decoder_steps
        )?;
        let flashes = &self.flashes;
        writeln!(
            out,
            "flashes: {}, late by more than 5 ms {}, latest {:.1} ms, not told to EEG {}",
            flashes.flashes,
            flashes.late,
            flashes.late_ns_max as f64 / 1e6,
            flashes.unheard
        )?;
        for stream in &self.latency.streams {
            writeln!(
                out,
                "{}: flashes rejected {}, {}",
                stream.stream, stream.rejected, stream.counts
            )?;
        }
        writeln!(
            out,
            "dropped: gate items {}",
            self.latency.gate_items_dropped
        )?;
        for reason in &self.recording_incomplete {
            writeln!(out, "recording: {reason}")?;
        }
        writeln!(out, "\nthe driver's own lateness, due time to push, us")?;
        for driven in &self.driver {
            writeln!(
                out,
                "  {:<6} n {:>8}  p50 {:>8.1}  p99 {:>8}  p99.9 {:>8}  max {:>8.1}  priority {}",
                driven.stream,
                driven.samples,
                driven.late_p50_us,
                in_table(driven.late_p99_us),
                in_table(driven.late_p999_us),
                driven.late_max_us,
                said(&driven.granted.priority)
            )?;
        }
        writeln!(out, "\nreal-time threads")?;
        for granted in &self.granted {
            let cpu = granted.cpu.as_ref().map_or_else(|| "any".to_owned(), said);
            writeln!(
                out,
                "  {:<8} SCHED_FIFO {}, processor {cpu}, denormals flushed {}",
                granted.thread,
                said(&granted.priority),
                granted.flush_to_zero
            )?;
        }
        let locked = self
            .memory_locked
            .as_ref()
            .map_or_else(|reason| format!("no: {reason}"), |()| "yes".into());
        writeln!(out, "  memory locked {locked}")?;
        writeln!(out)?;
        for reason in &self.uncertified {
            writeln!(out, "uncertified: {reason}")?;
        }
        if self.within_budget() {
            return writeln!(
                out,
                "every step is within its budget: its 99th percentile, or its largest of fewer than {P99_N_MIN} measurements"
            );
        }
        for missed in &self.missed {
            writeln!(out, "budget missed: {missed}")?;
        }
        Ok(())
    }
}

fn said<T: ToString>(granted: &Result<T, String>) -> String {
    match granted {
        Ok(value) => value.to_string(),
        Err(reason) => format!("no ({reason})"),
    }
}
