//! State of the person: each index at each fork over the time on task, against the person's own baseline.

use maud::{Markup, html};
use razvilka_dsp::state::Index;

use super::figures::{NONE, count, probability};
use super::material::Material;
use super::plot::{Frame, Scale, at, points};
use crate::session::{IndexSummary, MOVED, StateRow};

/// One index as it is shown.
struct Shown {
    name: &'static str,
    /// What fatigue is expected to do to it.
    expected: &'static str,
    /// What the probability is of.
    moved: &'static str,
    of: fn(&StateRow) -> Option<Point>,
}

/// Value, baseline, and probability of having moved.
type Point = (f64, f64, Option<f64>);

/// Point of an index that rises with fatigue.
fn rising(index: Index) -> Option<Point> {
    Some((index.value?, index.baseline?, index.risen))
}

const SHOWN: [Shown; 9] = [
    Shown {
        name: "theta / alpha",
        expected: "falls while alpha rises, rises towards sleep",
        moved: "risen",
        of: |row| rising(row.state.indices.theta_alpha),
    },
    Shown {
        name: "(theta + alpha) / beta",
        expected: "rises",
        moved: "risen",
        of: |row| rising(row.state.indices.slow_fast),
    },
    Shown {
        name: "alpha spindles per minute",
        expected: "rises",
        moved: "risen",
        of: |row| rising(row.state.indices.spindles_per_min),
    },
    Shown {
        name: "P300 amplitude / calibration",
        expected: "falls",
        moved: "fallen",
        of: |row| {
            let drift = row.state.p300?;
            let since = drift.since?;
            Some((drift.amplitude, since.baseline, Some(since.fallen)))
        },
    },
    Shown {
        name: "blinks per minute",
        expected: "rises",
        moved: "risen",
        of: |row| rising(row.state.eyes.blinks_per_min),
    },
    Shown {
        name: "length of a blink, s",
        expected: "rises",
        moved: "risen",
        of: |row| rising(row.state.eyes.blink_s),
    },
    Shown {
        name: "PERCLOS: share of time in closures over 0.5 s",
        expected: "rises",
        moved: "risen",
        of: |row| rising(row.state.eyes.perclos),
    },
    Shown {
        name: "peak velocity of a 5° saccade, °/s",
        expected: "falls",
        moved: "fallen",
        of: |row| {
            let index = row.state.eyes.saccade_peak_deg_s;
            let fallen = index.risen.map(|risen| 1.0 - risen);
            Some((index.value?, index.baseline?, fallen))
        },
    },
    Shown {
        name: "spread of a fixation (BCEA), square degrees",
        expected: "rises",
        moved: "risen",
        of: |row| rising(row.state.eyes.bcea_deg2),
    },
];

pub(super) fn section(material: &Material) -> Markup {
    html! {
        section id="state" {
            h2 { "State of the person" }
            @match &material.summary.state {
                None => p { "It was not kept in this session." },
                Some(summary) => {
                    @let indices = [
                        summary.theta_alpha, summary.slow_fast, summary.spindles_per_min, summary.p300_amplitude,
                        summary.blinks_per_min, summary.blink_s, summary.perclos, summary.saccade_peak_deg_s, summary.bcea_deg2,
                    ];
                    p {
                        "What EEG and eyes told at each of " (count(summary.forks, "fork")) ", against this person's own baseline: the first good EEG of the \
                         sitting, a live calibration included; of the P300, whose unit is the calibration's amplitude, the first forks; of the eyes the first \
                         minutes of the session. Nothing was decided by it. The probability says how surely \
                         an index has truly moved, given how much it scattered and how few of its values are independent. Time on task is \
                         the null model: an index that only follows the clock tells nothing that the clock does not. These indices are no \
                         diagnosis."
                    }
                    @if indices.iter().all(|index| index.known == 0) {
                        p { "No index was known before the session ended: the baseline was still being taken, or there was neither EEG nor gaze." }
                    }
                    (table(&indices))
                    @match summary.perclos_measured {
                        Some(true) => p class="aside" { "PERCLOS: the lid at least 80 % down, by the tracker's own channel of its opening; blinks left out." }
                        Some(false) => p class="aside" {
                            "PERCLOS is an estimate here: the stream does not tell the lid's opening, so every time over 0.5 s without an eye counts as a \
                             shut eye, and a tracker that loses an open eye for 0.075 to 0.5 s makes a blink."
                        }
                        None => {}
                    }
                    div class="multiples" {
                        @for shown in &SHOWN { (panel(shown, &material.states)) }
                    }
                }
            }
        }
    }
}

fn table(indices: &[IndexSummary; 9]) -> Markup {
    let figure = |value: Option<f64>| value.map_or_else(|| NONE.to_owned(), |v| format!("{v:.2}"));
    html! {
        table {
            thead {
                tr {
                    th { "index" } th { "with fatigue" } th class="n" { "known at forks" } th class="n" { "last value" }
                    th class="n" { "z" } th { "" } th class="n" { "probability" } th class="n" { "forks over " (MOVED) }
                    th class="n" { "correlation with time on task" }
                }
            }
            tbody {
                @for (shown, index) in SHOWN.iter().zip(indices) {
                    tr {
                        td { (shown.name) }
                        td { (shown.expected) }
                        td class="n" { (index.known) }
                        td class="n" { (figure(index.last)) }
                        td class="n" { (figure(index.last_z)) }
                        td { "has " (shown.moved) }
                        td class="n" { (index.last_probability.map_or_else(|| NONE.to_owned(), probability)) }
                        td class="n" { (index.moved) }
                        td class="n" { (figure(index.time_on_task_r)) }
                    }
                }
            }
        }
    }
}

fn panel(shown: &Shown, rows: &[StateRow]) -> Markup {
    let known: Vec<(f64, Point)> = rows
        .iter()
        .filter_map(|row| Some((row.time_on_task_s / 60.0, (shown.of)(row)?)))
        .collect();
    html! {
        figure {
            figcaption { (shown.name) span class="aside" { ", n = " (known.len()) } }
            @if known.is_empty() { p { "Not known." } } @else { (picture(shown, rows, &known)) }
        }
    }
}

fn picture(shown: &Shown, rows: &[StateRow], known: &[(f64, Point)]) -> Markup {
    let minutes = rows.last().map_or(1.0, |row| row.time_on_task_s / 60.0);
    let highest = known
        .iter()
        .map(|(_, (value, baseline, _))| value.max(*baseline))
        .fold(0.0_f64, f64::max);
    let frame = Frame {
        width: 320.0,
        height: 170.0,
        left: 44.0,
        right: 296.0,
        top: 8.0,
        bottom: 140.0,
    };
    let x_scale = Scale::from_zero(minutes);
    let y_scale = Scale::from_zero(highest * 1.05);
    let place = |minute: f64, value: f64| {
        (
            frame.x(x_scale.share(minute)),
            frame.y(y_scale.share(value)),
        )
    };
    let line = known
        .iter()
        .map(|(minute, (value, ..))| place(*minute, *value));
    let baseline = known.last().map_or(0.0, |(_, (_, baseline, _))| *baseline);
    let base_y = at(frame.y(y_scale.share(baseline)));
    let tick = |value: f64| super::figures::tick(value).to_string();
    let content = html! {
        (frame.y_grid(&y_scale, &y_scale.ticks(), tick))
        (frame.x_axis(&x_scale, |minute| format!("{} min", tick(minute))))
        line class="budget" x1=(at(frame.left)) x2=(at(frame.right)) y1=(base_y) y2=(base_y) {}
        polyline class="line ecdf" points=(points(line)) {}
        @for (minute, (value, _, moved)) in known {
            @let (x, y) = place(*minute, *value);
            @let sure = moved.is_some_and(|p| p > MOVED);
            circle class="dot" cx=(at(x)) cy=(at(y)) r=(if sure { "4.5" } else { "2" }) {}
        }
    };
    let title = format!(
        "{} over the time on task, baseline {baseline:.2}; large dots: has {} with a probability over {MOVED}",
        shown.name, shown.moved
    );
    html! {
        (frame.picture(&title, &content))
        p class="aside" {
            span class="swatch budget" { "baseline" } "; large dots: has " (shown.moved) ", probability over " (MOVED)
        }
    }
}
