//! `razvilka certify`: the latencies of this machine, measured and held against their budgets.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::display;
use super::exit::{Exit, Failure};
use super::play::{exit_code, load_model};
use crate::config::Plan;
use crate::engine::certify::{Certificate, CertifyError, Load, Settings, certify, drive};
use crate::session::new_session_id;
use crate::source::lsl::Network;

/// Measure the latencies of this machine, sample to text, and hold them against their budgets.
///
/// Sends EEG and gaze over LSL on 127.0.0.1 through the threads of a live session, with the decoder at work, and prints
/// p50, p99, p99.9, maximum, count and misses of every step; p99 from 100 measurements on, p99.9 from 1000. Ends with
/// exit code 5 when a p99, or the maximum of fewer than 100 measurements, misses its budget. About 0.3 MB per second are
/// written among the temporary files meanwhile, and removed. With --display the display is certified instead.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How long to measure, 5 to 3600 seconds
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(5..=3600))]
    pub seconds: u32,
    /// Then measure the same streams, tiles and flashes with the decoder at rest, 5 to 3600 seconds, and hold a sample's way to its score against
    /// that: its p99 with the decoder at work must be at most three times as long
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(5..=3600))]
    pub idle_seconds: Option<u32>,
    /// EEG channels, 1 to 512
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub eeg_channels: u16,
    /// EEG samples per second, 100 to 20000
    #[arg(long, value_name = "HZ", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(100..=20_000))]
    pub eeg_rate: u32,
    /// Gaze samples per second, 60 to 2000
    #[arg(long, value_name = "HZ", default_value_t = 500, value_parser = clap::value_parser!(u32).range(60..=2_000))]
    pub gaze_rate: u32,
    /// Budgets, real-time wishes, the model and how it is computed from this experiment file (its sections budget, realtime, model and decode);
    /// the defaults when absent
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A Hugging Face folder, a GGUF file or hf:organisation/name, instead of the experiment file's model
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Print everything as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Write the JSON object to this file, too
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// What is certified of the display
    #[command(flatten)]
    pub display: display::Typed,
    /// Be the driver of the streams, in this LSL session
    #[arg(long, value_name = "SESSION", hide = true)]
    pub drive: Option<String>,
    /// Real-time priority of the driver
    #[arg(long, value_name = "N", hide = true, default_value_t = 0)]
    pub drive_priority: u32,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: exit code 5 when a budget was missed, else that of what could not be set up.
pub fn run(args: &Args, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
    if args.display.display {
        let plan = args.config.as_deref().map(Plan::read).transpose()?;
        let printing = display::Printing {
            json: args.json,
            out: args.out.as_deref(),
        };
        return display::run(&args.display, &plan.unwrap_or_default(), printing, stop);
    }
    let load = Load {
        eeg_channels: usize::from(args.eeg_channels),
        eeg_rate_hz: f64::from(args.eeg_rate),
        gaze_rate_hz: f64::from(args.gaze_rate),
    };
    if let Some(session) = &args.drive {
        let network = Network::loopback_session(session)?;
        drive(
            network,
            &load,
            args.drive_priority,
            io::stdin().lock(),
            io::stdout().lock(),
        )?;
        return Ok(());
    }
    let mut plan = match &args.config {
        Some(file) => Plan::read(file)?,
        None => Plan::default(),
    };
    if let Some(named) = &args.model {
        plan.model.path = Some(named.clone());
    }
    let session = format!("certify-{}", new_session_id(std::time::SystemTime::now()));
    let driver = driver_command(args, &session, plan.realtime.priority).map_err(|error| {
        Failure::said(
            Exit::Internal,
            format!("this program cannot find itself: {error}"),
        )
    })?;
    let network = Network::loopback_session(&session)?;
    let model = load_model(&plan)?;
    let settings = Settings {
        seconds: f64::from(args.seconds),
        idle_seconds: args.idle_seconds.map(f64::from),
        load,
        budget: plan.budget,
        realtime: plan.realtime,
        decode: plan.decode,
    };
    eprintln!(
        "razvilka: certifying for {} s; leave the machine alone meanwhile",
        args.seconds + args.idle_seconds.unwrap_or(0)
    );
    let mut sink = text_sink();
    let certificate = certify(network, &settings, model, driver, &mut sink, stop)?;
    print(args, &certificate).map_err(|error| {
        Failure::said(
            Exit::Usage,
            format!("the certificate cannot be written: {error}"),
        )
    })?;
    if certificate.within_budget() {
        return Ok(());
    }
    Err(Failure::said(
        Exit::BudgetMissed,
        format!("a budget was missed: {}", certificate.missed.join("; ")),
    ))
}

/// This program once more, as the driver.
fn driver_command(args: &Args, session: &str, priority: u32) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["certify", "--drive", session])
        .args(["--drive-priority", &priority.to_string()]);
    command.args(["--eeg-channels", &args.eeg_channels.to_string()]);
    command.args(["--eeg-rate", &args.eeg_rate.to_string()]);
    command.args(["--gaze-rate", &args.gaze_rate.to_string()]);
    Ok(command)
}

/// Where the text goes: a file that forgets, so that handing text over costs a system call as on a terminal.
fn text_sink() -> Box<dyn Write> {
    match std::fs::OpenOptions::new().write(true).open("/dev/null") {
        Ok(file) => Box::new(file),
        Err(_) => Box::new(io::sink()),
    }
}

fn print(args: &Args, certificate: &Certificate) -> io::Result<()> {
    let json = serde_json::to_string_pretty(certificate)?;
    if let Some(file) = &args.out {
        std::fs::write(file, format!("{json}\n")).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", file.display()))
        })?;
    }
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{json}")
    } else {
        out.write_all(certificate.table().as_bytes())
    }
}

impl From<CertifyError> for Failure {
    fn from(error: CertifyError) -> Self {
        let exit = match &error {
            CertifyError::Engine(error) => exit_code(error),
            CertifyError::Driver { .. } => Exit::Source,
            CertifyError::NothingDecided { .. } => Exit::BudgetMissed,
        };
        Self::new(exit, error)
    }
}
