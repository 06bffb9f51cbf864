//! `razvilka doctor`: what of this machine, these streams and this model is not right yet for a session, and what to do about it.
//!
//! | file | what |
//! |---|---|
//! | `finding` | what a finding is, how findings are told, and how the program ends |
//! | `bounded` | checks that come to an end |
//! | `machine`, `permissions`, `display`, `disk`, `clock`, `lsl`, `streams`, `model` | one area each: `facts` asks, `judge` says what they mean |
//!
//! Every judgement is a function of its facts alone. Nothing is changed: a stream is published while others are looked for, a folder of a
//! few kilobytes is made and removed, pages of this process are locked.

mod bounded;
mod clock;
mod disk;
mod display;
mod finding;
mod lsl;
mod machine;
mod model;
mod permissions;
mod streams;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::bounded::within;
pub use self::finding::{Area, Finding, Findings, Level};
use super::exit::{Exit, Failure};
use super::run::settle;
use super::window;
use crate::config::Plan;
use crate::source::lsl::{Network, survey};
use crate::source::{Format, StreamSpec};

/// Longest time for facts that the system knows at once.
const AT_ONCE: Duration = Duration::from_secs(10);
/// Longest time for the disk.
const DISK: Duration = Duration::from_secs(30);
/// Longest time for the network, beside what is waited and listened: 256 streams at most answer, and are asked sixteen at a time.
const NETWORK: Duration = Duration::from_secs(180);
/// Longest time for a model: every byte of it is read.
const MODEL: Duration = Duration::from_secs(300);
/// Longest time for what this user may do: a large model's pages are locked meanwhile.
const LOCKING: Duration = Duration::from_secs(60);
/// How long streams are looked for without an experiment, seconds.
const RESOLVE_S: f64 = 2.0;

/// Check machine, permissions, display, disk, clock, LSL, streams and model, and say what to do for each finding.
///
/// Each finding is ok, a warning (a session runs; something about it is worse than it could be) or a failure (a session would be refused, lose
/// data, or let others read it). Ends with exit code 0 when nothing failed; otherwise 2 when something of the experiment file, the machine, the
/// display or the disk did, else 3 when LSL or a stream did, else 4: the model did.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Check this experiment: its sources, its profile, its model, its window, its length
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where sessions are kept: the folder whose disk is looked at
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// How long each stream is listened to, to measure its rate, 1 to 60 seconds
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = listening)]
    pub listen_s: f64,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
    /// Ask this machine only; otherwise the experiment file decides, or the laboratory's LSL configuration
    #[arg(long)]
    pub loopback: bool,
    /// LSL session on this machine, with --loopback
    #[arg(long, value_name = "ID", requires = "loopback", default_value = Network::LOOPBACK_SESSION)]
    pub session_id: String,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] with the exit code of what failed.
pub fn run(args: &Args) -> Result<(), Failure> {
    let findings = Findings::new(examine(args));
    let text = if args.json {
        let json = serde_json::to_string_pretty(&findings).unwrap_or_default();
        format!("{json}\n")
    } else {
        findings.in_words()
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| {
            Failure::said(
                Exit::Usage,
                format!("cannot write to standard output: {error}"),
            )
        })?;
    match findings.failed() {
        None => Ok(()),
        Some((exit, words)) => Err(Failure::said(exit, words)),
    }
}

fn listening(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "is not a number".to_owned())?;
    if (1.0..=60.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("must lie in 1..=60 seconds".to_owned())
    }
}

/// All checks, one after the other: a model that is being read would disturb rates that are being measured.
fn examine(args: &Args) -> Vec<Finding> {
    let mut found = Vec::new();
    // What else there is to say does not wait for a file to be corrected.
    let mut experiment = None;
    if let Some(file) = args.config.clone() {
        let read = within(AT_ONCE, move || experiment_of(&file));
        found.extend(judged(read.as_ref(), Area::Experiment, |(_, finding)| {
            vec![finding.clone()]
        }));
        experiment = read.and_then(|(plan, _)| plan);
    }
    let of_experiment = experiment.is_some();
    let plan = experiment.unwrap_or_default();

    if plan.typed_keys() {
        found.push(typed_keys(io::stdin().is_terminal()));
    }
    let facts = within(AT_ONCE, machine::facts);
    found.extend(judged(facts.as_ref(), Area::Machine, machine::judge));
    let asked = plan.clone();
    let facts = within(AT_ONCE, move || display::facts(&asked));
    let surface = plan.view.surface;
    found.extend(judged(facts.as_ref(), Area::Display, |facts| {
        display::judge(facts, surface)
    }));
    found.push(Finding::ok(
        Area::Sound,
        "cues",
        "this program plays none, and needs no sound card",
    ));
    let facts = within(AT_ONCE, clock::facts);
    found.extend(judged(facts.as_ref(), Area::Clock, clock::judge));
    let recorded = network(args, &plan, of_experiment, &mut found);
    let load = load(&plan, &recorded);
    let folder = args.dir.clone();
    let facts = within(DISK, move || disk::facts(&folder));
    found.extend(judged(facts.as_ref(), Area::Disk, |facts| {
        disk::judge(facts, load)
    }));
    let asked = plan.clone();
    eprintln!("razvilka: reading the model");
    let read = within(MODEL, move || model::facts(&asked));
    let (facts, model) = read.unzip();
    found.extend(judged(facts.as_ref(), Area::Model, model::judge));
    // Last, and with the model still there, as in a session: what is loaded before is locked with the rest.
    let wanted = plan.realtime.clone();
    let facts = within(LOCKING, move || permissions::facts(&wanted));
    drop(model);
    found.extend(judged(facts.as_ref(), Area::Permissions, |facts| {
        permissions::judge(facts, &plan.realtime)
    }));
    found
}

/// The experiment where it can be used, and what there is to say of it.
fn experiment_of(file: &Path) -> (Option<Plan>, Finding) {
    let name = file.display().to_string();
    let plan = Plan::read_with_profile(file)
        .map_err(Failure::from)
        .and_then(|plan| window::Typed::default().onto(plan));
    match plan {
        Ok(plan) => {
            let sources = ["eeg", "gaze", "keys"].into_iter().zip([
                plan.eeg.is_some(),
                plan.gaze.is_some(),
                plan.keys.is_some(),
            ]);
            let sources: Vec<&str> = sources
                .filter(|(_, is)| *is)
                .map(|(name, _)| name)
                .collect();
            let profile = match &plan.calibration.profile {
                Some(file) => format!("profile {}", file.display()),
                None if plan.needs_profile() => "a live calibration first".into(),
                None => "no calibration".into(),
            };
            let figure = format!("{name}: chosen by {}; {profile}", sources.join(", "));
            (Some(plan), Finding::ok(Area::Experiment, "file", figure))
        }
        Err(failure) => {
            let figure = format!("{name}: {}", failure.message);
            let advice = "Correct it (razvilka run --explain lists every number, razvilka new DIR writes a new one); the checks below take the defaults";
            let finding = Finding::failure(Area::Experiment, "file", figure, advice);
            (None, finding)
        }
    }
}

/// Whether keys could be typed where this program was started.
fn typed_keys(terminal: bool) -> Finding {
    let (area, what) = (Area::Experiment, "typed keys");
    if terminal {
        Finding::ok(area, what, "standard input is a terminal")
    } else {
        let advice = "Start the session in a terminal, without a pipe: it is refused otherwise";
        Finding::warning(area, what, "standard input is no terminal here", advice)
    }
}

/// The findings of facts; a failure where they did not come in time.
fn judged<T>(facts: Option<T>, area: Area, judge: impl FnOnce(T) -> Vec<Finding>) -> Vec<Finding> {
    match facts {
        Some(facts) => judge(facts),
        None => vec![Finding::failure(
            area,
            "this check",
            "did not come to an end in time",
            "See what hangs: a network folder that is gone, a device that does not answer, a model too large to read within minutes",
        )],
    }
}

/// LSL and streams; gives the streams that a session would record.
fn network(
    args: &Args,
    plan: &Plan,
    of_experiment: bool,
    found: &mut Vec<Finding>,
) -> Vec<StreamSpec> {
    let network = if args.loopback {
        Network::loopback_session(&args.session_id).map_err(Failure::from)
    } else {
        settle(plan)
    };
    let network = match network {
        Ok(network) => network,
        Err(failure) => {
            found.push(lsl::unusable(&failure.message));
            return Vec::new();
        }
    };
    let wait_s = if of_experiment {
        plan.network.resolve_s
    } else {
        RESOLVE_S
    };
    let (wait, listen) = (
        Duration::from_secs_f64(wait_s),
        Duration::from_secs_f64(args.listen_s),
    );
    eprintln!(
        "razvilka: looking for streams for {wait_s} s and listening for {} s: {}",
        args.listen_s,
        network.describe()
    );
    // A stream without an open port yet is asked twice.
    let limit = NETWORK + 2 * wait + 16 * listen;
    let (asked, listened_s) = (plan.clone(), args.listen_s);
    let facts = within(limit, move || {
        let (lsl, announced) = lsl::facts(network, wait)?;
        let pinned = streams::pinned(network, &asked, &announced);
        let gate = asked.gate.config();
        let seen = survey(&announced, listen);
        let facts = streams::Facts {
            listened_s,
            age_s_max: gate.evidence_age_s_max,
            ahead_s_max: gate.clock_slack_s,
            together: streams::together(&asked, &pinned, &seen, listened_s),
            seen,
            pinned,
        };
        Ok::<_, crate::source::SourceError>((lsl, facts))
    });
    match facts {
        Some(Ok((lsl, streams))) => {
            found.extend(lsl::judge(&lsl));
            found.extend(streams::judge(&streams, of_experiment));
            streams.recorded()
        }
        Some(Err(error)) => {
            found.push(lsl::unusable(&error.to_string()));
            Vec::new()
        }
        None => {
            found.extend(judged(None, Area::Lsl, |()| Vec::new()));
            Vec::new()
        }
    }
}

/// What a session records of these streams, and for how long; an example where there are none.
fn load(plan: &Plan, recorded: &[StreamSpec]) -> disk::Load {
    // A stream without a rate, declared or heard, says nothing of what it takes.
    let known = |spec: &StreamSpec| spec.format != Format::String && spec.rate_hz > 0.0;
    let numeric = recorded.iter().any(known);
    let bytes_per_min = if numeric {
        recorded.iter().map(disk::bytes_per_min).sum()
    } else {
        // 64 channels of float32 at 1 kHz, three at 500 Hz, each sample with its stamp.
        60.0 * (1_000.0 * f64::from(9 + 64 * 4) + 500.0 * f64::from(9 + 3 * 4))
    };
    disk::Load {
        bytes_per_min,
        minutes: plan.session.minutes_max,
        of_experiment: numeric,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_whose_rate_nobody_knows_does_not_pass_for_one_that_takes_no_room() {
        let spec = |rate_hz| StreamSpec {
            name: "gaze".into(),
            kind: "Gaze".into(),
            source_id: "g".into(),
            hostname: "h".into(),
            uid: "u".into(),
            rate_hz,
            format: Format::Float32,
            labels: vec!["x".into(), "y".into()],
            units: Vec::new(),
            xml: String::new(),
        };
        let plan = Plan::default();
        let unknown = load(&plan, &[spec(0.0)]);
        assert_eq!(unknown, load(&plan, &[]), "an example stands for it");
        assert!(!unknown.of_experiment && unknown.bytes_per_min > 0.0);
        let known = load(&plan, &[spec(0.0), spec(250.0)]);
        assert!(known.of_experiment);
        assert_eq!(known.bytes_per_min, disk::bytes_per_min(&spec(250.0)));
    }
}
