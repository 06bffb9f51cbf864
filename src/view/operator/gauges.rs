//! Numbers that an operator keeps an eye on: spectrum, latency against budget, protocol, state of the person, streams, disk.

use std::collections::BTreeMap;

use eframe::egui::{Align2, Color32, Rect, Ui, vec2};
use egui_plot::{GridInput, GridMark, Line, Plot};

use super::frame::{Lines, inside};
use super::words::Words;
use crate::engine::telemetry::{Status, StreamNow, StreamState};
use crate::operator::SPECTRUM_HZ_MAX;
use crate::pipeline::trace::STEPS;
use crate::view::window::theme::{Theme, paint};

/// Powers of ten of the density that are shown, from 0.001 to 10000 microvolts squared per hertz.
const DECADES: (f64, f64) = (-3.0, 4.0);
/// Room above and below them, for the labels.
const PAD: f64 = 0.4;
/// Hertz between two labels.
const EVERY_HZ: f64 = 20.0;
/// A probability from which an index counts as moved.
const MOVED: f32 = 0.95;
/// Below this much room the disk is a worry, MiB.
const DISK_LOW_MIB: f64 = 512.0;

/// What is wrong.
const WRONG: Color32 = Color32::from_rgb(0xff, 0x8a, 0x7a);

fn good(theme: &Theme, is_good: bool) -> Color32 {
    if is_good {
        paint(theme.tile_text)
    } else {
        WRONG
    }
}

/// The power density of the chosen channel, on a scale of powers of ten.
pub(super) fn spectrum(ui: &mut Ui, theme: &Theme, rect: Rect, points: &[[f64; 2]]) {
    let logarithms: Vec<[f64; 2]> = points
        .iter()
        .map(|[hz, density]| [*hz, density.max(1e-12).log10().clamp(DECADES.0, DECADES.1)])
        .collect();
    inside(ui, rect, |ui| {
        let marks = |input: GridInput| {
            let (low, high) = (input.bounds.0.ceil() as i32, input.bounds.1.floor() as i32);
            (low..=high)
                .map(|power| GridMark {
                    value: f64::from(power),
                    step_size: 1.0,
                })
                .collect()
        };
        Plot::new("spectrum")
            .show_axes([true, true])
            .show_background(false)
            .allow_drag(false)
            .allow_scroll(false)
            .allow_zoom(false)
            .allow_boxed_zoom(false)
            .allow_double_click_reset(false)
            .show_x(false)
            .show_y(false)
            .include_x(0.0)
            .include_x(SPECTRUM_HZ_MAX)
            .include_y(DECADES.0 - PAD)
            .include_y(DECADES.1 + PAD)
            .set_margin_fraction(vec2(0.0, 0.0))
            .x_grid_spacer(|input| {
                let (low, high) = input.bounds;
                let first = (low / EVERY_HZ).ceil() as i32;
                let last = (high / EVERY_HZ).floor() as i32;
                (first..=last)
                    .map(|n| GridMark {
                        value: f64::from(n) * EVERY_HZ,
                        step_size: EVERY_HZ,
                    })
                    .collect()
            })
            .y_grid_spacer(marks)
            .y_axis_formatter(|mark, _| power_of_ten(mark.value))
            .x_axis_formatter(|mark, _| format!("{:.0} Hz", mark.value))
            .show(ui, |plot| {
                plot.line(
                    Line::new("", logarithms)
                        .color(paint(theme.imitator))
                        .width(1.5),
                );
            });
    });
}

fn power_of_ten(power: f64) -> String {
    match power.round() as i32 {
        0 => "1".into(),
        1 => "10".into(),
        2 => "100".into(),
        3 => "1k".into(),
        4 => "10k".into(),
        -1 => "0.1".into(),
        -2 => "0.01".into(),
        _ => "0.001".into(),
    }
}

/// Each step: the latest, median, 99th percentile, budget, misses.
pub(super) fn latency(ui: &Ui, theme: &Theme, words: &Words, rect: Rect, status: &Status) {
    let mut lines = Lines::new(ui, theme, rect);
    let right = Align2::RIGHT_TOP;
    let head = paint(theme.prompt);
    lines.cells(
        &[
            (0.54, right, &words.latest, head),
            (0.68, right, "p99", head),
            (0.89, right, &words.budget, head),
            (1.0, right, &words.misses, head),
        ],
        1.0,
    );
    for (name, step) in STEPS.iter().zip(&status.steps) {
        let ms = |us: Option<f64>| us.map_or_else(|| "-".to_owned(), |us| in_ms(us / 1e3));
        let missed = good(theme, !step.is_missed());
        let ink = paint(theme.tile_text);
        let misses = step.misses.unwrap_or(0.0);
        lines.cells(
            &[
                (0.0, Align2::LEFT_TOP, &short(name), head),
                (0.54, right, &ms(step.latest_us), ink),
                // Of few measurements there is no percentile: the largest stands for it, and is marked.
                (0.68, right, &judged(step.p99_us, step.max_us), missed),
                (0.89, right, &ms(step.budget_us), head),
                (
                    1.0,
                    right,
                    &format!("{misses:.0}"),
                    good(theme, misses == 0.0),
                ),
            ],
            1.15,
        );
    }
}

fn judged(p99_us: Option<f64>, max_us: Option<f64>) -> String {
    match (p99_us, max_us) {
        (Some(us), _) => in_ms(us / 1e3),
        (None, Some(us)) => format!("≤{}", in_ms(us / 1e3)),
        (None, None) => "-".into(),
    }
}

fn short(step: &str) -> String {
    step.replace('>', " › ")
}

/// Two significant figures, more or less: 0.062, 1.5, 20.
fn in_ms(ms: f64) -> String {
    if ms < 0.1 {
        format!("{ms:.3}")
    } else if ms < 10.0 {
        format!("{ms:.2}")
    } else {
        format!("{ms:.0}")
    }
}

/// Who is asked, and how often.
pub(super) fn protocol(ui: &Ui, theme: &Theme, words: &Words, rect: Rect, status: &Status) {
    let mut lines = Lines::new(ui, theme, rect);
    let ink = paint(theme.tile_text);
    let now = &status.protocol;
    let of = |some: Option<f64>, all: Option<f64>| {
        let count = |n: Option<f64>| n.map_or_else(|| "-".to_owned(), |n| format!("{n:.0}"));
        format!("{} / {}", count(some), count(all))
    };
    lines.line(&words.autonomy, words.level(status.autonomy()), ink);
    lines.line(&words.answered, &of(now.answered, now.forks), ink);
    let left = good(theme, now.budget_left != Some(0.0));
    lines.line(
        &words.questions_left,
        &of(now.budget_left, now.budget),
        left,
    );
    if now.imitated.is_some_and(|n| n > 0.0) {
        lines.line(
            &words.imitated,
            &format!("{:.0}", now.imitated.unwrap_or(0.0)),
            ink,
        );
    }
}

/// Indices of fatigue: the value, and with what probability it has moved the way of fatigue.
pub(super) fn state(
    ui: &Ui,
    theme: &Theme,
    words: &Words,
    rect: Rect,
    state: &BTreeMap<String, f32>,
) {
    /// Label of the value, label of the probability that it has moved, what stands before people.
    const SHOWN: [(&str, &str, &str); 7] = [
        ("theta_alpha", "theta_alpha_risen", "theta/alpha"),
        ("slow_fast", "slow_fast_risen", "(theta+alpha)/beta"),
        (
            "spindles_per_min",
            "spindles_per_min_risen",
            "alpha spindles/min",
        ),
        ("p300_amplitude", "p300_fallen", "P300"),
        ("blinks_per_min", "blinks_per_min_risen", "blinks/min"),
        ("perclos", "perclos_risen", "PERCLOS"),
        (
            "saccade_peak_deg_s",
            "saccade_peak_deg_s_risen",
            "saccade peak °/s",
        ),
    ];
    let mut lines = Lines::new(ui, theme, rect);
    let head = paint(theme.prompt);
    let right = Align2::RIGHT_TOP;
    lines.cells(&[(1.0, right, &format!("p({})", words.moved), head)], 1.0);
    for (label, moved, name) in SHOWN {
        let value = state.get(label).copied();
        let p = state.get(moved).copied();
        let ink = good(theme, !p.is_some_and(|p| p > MOVED));
        let said = value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        let p = p.map_or_else(|| "-".to_owned(), |p| format!("{p:.2}"));
        lines.cells(
            &[
                (0.0, Align2::LEFT_TOP, name, head),
                (0.78, right, &said, ink),
                (1.0, right, &p, ink),
            ],
            1.0,
        );
    }
}

/// Streams and their clocks, channels, disk, what was lost.
pub(super) fn streams(ui: &Ui, theme: &Theme, words: &Words, rect: Rect, status: &Status) {
    let mut lines = Lines::new(ui, theme, rect);
    for (name, stream) in [(&words.eeg, &status.eeg), (&words.gaze, &status.gaze)] {
        if let Some((said, is_good)) = stream_words(words, stream) {
            lines.line(name, &said, good(theme, is_good));
        }
        if let Some(shift) = stream.shift_s {
            let doubts = stream.doubts.unwrap_or(0.0);
            let said = format!("{:+.1} ms, {doubts:.0} {}", 1e3 * shift, words.doubts);
            let name = format!("   {}", words.shift);
            lines.line(
                &name,
                &said,
                good(theme, shift.abs() < 0.01 && doubts == 0.0),
            );
        }
    }
    let health = &status.health;
    if let (Some(bad), Some(all)) = (health.channels_bad, health.channels) {
        let said = format!("{bad:.0} / {all:.0}");
        lines.line(&words.channels_bad, &said, good(theme, bad == 0.0));
    }
    if let Some(free) = health.disk_free_mib {
        let said = format!("{:.1} GiB", free / 1_024.0);
        lines.line(&words.disk, &said, good(theme, free >= DISK_LOW_MIB));
    }
    if let Some(whole) = health.recording {
        let is_whole = whole != 0.0;
        let said = if is_whole {
            &words.whole
        } else {
            &words.broken
        };
        lines.line(&words.recording, said, good(theme, is_whole));
    }
    if let Some(dropped) = health.gate_dropped {
        lines.line(
            &words.dropped,
            &format!("{dropped:.0}"),
            good(theme, dropped == 0.0),
        );
    }
}

fn stream_words(words: &Words, stream: &StreamNow) -> Option<(String, bool)> {
    let state = stream.stream_state()?;
    let doubted = stream.doubted == Some(1.0);
    let said = if doubted {
        &words.doubted
    } else {
        words.stream(state)
    };
    let rate = stream.rate_hz.map(|hz| format!(", {hz:.1} Hz"));
    let said = format!("{said}{}", rate.unwrap_or_default());
    Some((said, state == StreamState::Live && !doubted))
}
