//! `razvilka certify --display`: what this display's stamps are worth.

mod diode;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use self::diode::Diode;
use super::exit::{Exit, Failure};
use crate::config::{Corner, Plan};
use crate::engine::certify::display::DisplayCertificate;
use crate::engine::certify::display::photodiode::{NoEdges, Trace};

/// What was typed about the display.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Typed {
    /// Certify the display instead: a patch alternates in the participant window, each change is stamped like a flash, and intervals, missed
    /// frames and what the stamps are worth are printed; with a photodiode on the patch, how far stamps are from the light
    #[arg(long, conflicts_with_all = ["idle_seconds", "model"])]
    pub display: bool,
    /// Changes of the patch, 20 to 10000
    #[arg(long, value_name = "N", default_value_t = 600, requires = "display", value_parser = clap::value_parser!(u32).range(20..=10_000))]
    pub alternations: u32,
    /// Frames from change to change, 1 to 60
    #[arg(long, value_name = "N", default_value_t = 6, requires = "display", value_parser = clap::value_parser!(u32).range(1..=60))]
    pub frames: u32,
    /// Corner of the patch; the experiment file's view.patch.corner, or bottom-right
    #[arg(long, value_name = "CORNER", requires = "display")]
    pub corner: Option<Corner>,
    /// The LSL stream that has the photodiode's channel: its name, or source_id=...
    #[arg(long, value_name = "STREAM", requires_all = ["display", "photodiode_channel"], conflicts_with = "photodiode_file")]
    pub photodiode: Option<String>,
    /// Label of that channel, or its number, from 1, where none is called so
    #[arg(long, value_name = "LABEL", requires = "display")]
    pub photodiode_channel: Option<String>,
    /// A recording of the photodiode, made on this machine meanwhile: .xdf, or .csv with seconds of the LSL clock in its first column; compared
    /// with --stamps
    #[arg(long, value_name = "FILE", requires_all = ["stamps", "photodiode_channel"])]
    pub photodiode_file: Option<PathBuf>,
    /// The certificate that `certify --display --out FILE` wrote while that was recorded: no window is opened
    #[arg(long, value_name = "FILE", requires_all = ["display", "photodiode_file"])]
    pub stamps: Option<PathBuf>,
}

/// How it is printed.
#[derive(Debug, Clone, Copy)]
pub struct Printing<'a> {
    /// As JSON.
    pub json: bool,
    /// Where it is written, too.
    pub out: Option<&'a Path>,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: exit code 5 when the display misses something, 2 when nothing can be shown, 3 when there is no photodiode's channel.
pub fn run(
    typed: &Typed,
    plan: &Plan,
    printing: Printing<'_>,
    stop: &Arc<AtomicBool>,
) -> Result<(), Failure> {
    let channel = typed.photodiode_channel.as_deref().unwrap_or_default();
    let (certificate, failed) = match (&typed.stamps, &typed.photodiode_file) {
        (Some(stamps), Some(file)) => {
            let trace = diode::recorded(file, channel)?;
            (read(stamps)?.beside(&trace)?, None)
        }
        _ => {
            let diode = typed
                .photodiode
                .as_deref()
                .map(|stream| Diode::listen(plan, stream, channel, stop))
                .transpose()?;
            let certificate = show(typed, plan, stop)?;
            match diode {
                None => (certificate, None),
                Some(diode) => beside(certificate, diode.end()),
            }
        }
    };
    print(&certificate, printing).map_err(|error| {
        let words = format!("the certificate cannot be written: {error}");
        Failure::said(Exit::Usage, words)
    })?;
    if let Some(failed) = failed {
        return Err(failed);
    }
    if certificate.within_budget() {
        return Ok(());
    }
    let missed = certificate.budget_missed.join("; ");
    Err(Failure::said(
        Exit::BudgetMissed,
        format!("the display misses what flashes need: {missed}"),
    ))
}

/// The certificate held against the light. Where that cannot be, it is the one without, which minutes of alternations were shown for, and why.
fn beside(
    certificate: DisplayCertificate,
    trace: Result<Trace, Failure>,
) -> (DisplayCertificate, Option<Failure>) {
    let compared = trace.and_then(|trace| Ok(certificate.clone().beside(&trace)?));
    match compared {
        Ok(compared) => (compared, None),
        Err(failed) => (certificate, Some(failed)),
    }
}

fn read(file: &Path) -> Result<DisplayCertificate, Failure> {
    let refused = |what: String| {
        let words = format!(
            "{}: {what}; it takes what `razvilka certify --display --out FILE` wrote",
            file.display()
        );
        Failure::said(Exit::Usage, words)
    };
    let text = std::fs::read_to_string(file).map_err(|error| refused(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| refused(error.to_string()))
}

fn print(certificate: &DisplayCertificate, printing: Printing<'_>) -> io::Result<()> {
    let json = serde_json::to_string_pretty(certificate)?;
    if let Some(file) = printing.out {
        std::fs::write(file, format!("{json}\n")).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", file.display()))
        })?;
    }
    let mut out = io::stdout().lock();
    if printing.json {
        writeln!(out, "{json}")
    } else {
        out.write_all(certificate.table().as_bytes())
    }
}

#[cfg(not(feature = "window"))]
fn show(
    _typed: &Typed,
    _plan: &Plan,
    _stop: &Arc<AtomicBool>,
) -> Result<DisplayCertificate, Failure> {
    Err(Failure::said(
        Exit::Usage,
        "this razvilka was built without the participant window, so it has no display to certify: build it with the feature `window`",
    ))
}

#[cfg(feature = "window")]
fn show(typed: &Typed, plan: &Plan, stop: &Arc<AtomicBool>) -> Result<DisplayCertificate, Failure> {
    use crate::engine::certify::display::certify_display;
    use crate::view::flashing::{Flashing, patch_sr};
    use crate::view::window::{Alternating, alternate};

    let mut patch = plan.view.patch.clone();
    let corner = typed.corner.or(patch.corner);
    patch.corner = Some(corner.unwrap_or(Corner::BottomRight));
    let area_sr = patch_sr(&patch, &plan.screen);
    // Nothing is known of the display yet: at the most frames it may show.
    let flashing = |frame_s: f64| Flashing::of_patch(area_sr, f64::from(typed.frames) * frame_s);
    let fastest = flashing(1.0 / plan.view.frame_rate_max_hz);
    eprintln!("razvilka: {}", fastest.in_words());
    eprintln!("razvilka: {}", super::window::SEIZURES);
    if !fastest.is_within_wcag() {
        return Err(Failure::said(
            Exit::Usage,
            "the patch would flash beyond WCAG 2.3.1: lower view.patch.size_cm, or let it change more slowly (--frames)",
        ));
    }
    let what = Alternating {
        patch,
        screen: plan.screen.clone(),
        alternations: typed.alternations,
        frames_each: typed.frames,
        frame_rate_max_hz: plan.view.frame_rate_max_hz,
    };
    let alternated =
        alternate(plan, what, stop).map_err(|error| Failure::new(Exit::Usage, error))?;
    let display = ["WAYLAND_DISPLAY", "DISPLAY"]
        .into_iter()
        .filter_map(|name| Some(format!("{name}={}", std::env::var(name).ok()?)))
        .collect::<Vec<_>>()
        .join(" ");
    Ok(certify_display(
        display,
        &alternated,
        plan.view.frame_rate_min_hz,
        &fastest,
    ))
}

impl From<NoEdges> for Failure {
    fn from(error: NoEdges) -> Self {
        Self::new(Exit::Source, error)
    }
}
