//! The four arms: what the prior, gaze, EEG and all of them together would have chosen, from the same data.

use maud::{Markup, html};

use super::figures::{count, percent, range};
use super::material::Material;
use super::plot::{Frame, Scale, at};
use crate::fork::Chooser;
use crate::gate::{Arms, Posterior};
use crate::session::{ArmScore, wilson_interval};

pub(super) fn section(material: &Material) -> Markup {
    html! {
        section id="arms" {
            h2 { "Four arms" }
            @match &material.summary.accuracy {
                Some(scores) => {
                    p {
                        "How often each source alone, and all of them fused, preferred what the person wanted. Intervals are Wilson's, \
                         95 %. All four arms are scored on the same forks: asked, ended by a commit or a timeout, wish known. An arm \
                         without a single favourite is not right. \"Committed\" is what was done, on the committed forks alone."
                    }
                    @let rows = [
                        ("prior only", &scores.prior), ("gaze only", &scores.gaze), ("EEG only", &scores.eeg),
                        ("fused", &scores.fused), ("committed", &scores.committed),
                    ];
                    (table("right", &rows))
                    @if scores.prior.n + scores.committed.n > 0 {
                        (picture("Accuracy by arm", &rows, chance(material)))
                    }
                }
                None => {
                    @let scores = Agreement::of(material);
                    p {
                        "What the person wanted is not known, so accuracy cannot be told. Shown is how often each source alone preferred \
                         the option that the person's answer committed, over " (count(scores.gaze.n, "commit")) ". The choice was made from these very \
                         sources: agreement with itself is not accuracy. Score against a wish with "
                        code { "razvilka report FOLDER --truth FILE" } "."
                    }
                    @let rows = [
                        ("prior only", &scores.prior), ("gaze only", &scores.gaze), ("EEG only", &scores.eeg),
                        ("fused", &scores.fused),
                    ];
                    (table("agrees with the choice", &rows))
                    @if scores.prior.n > 0 { (picture("Agreement with the choice by arm", &rows, None)) }
                }
            }
        }
    }
}

fn table(right: &str, rows: &[(&str, &ArmScore)]) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th { "arm" } th class="n" { "n" } th class="n" { (right) } th class="n" { "no favourite" }
                    th class="n" { "share" } th class="n" { "95 % interval" }
                }
            }
            tbody {
                @for (name, score) in rows {
                    tr {
                        td { (name) }
                        td class="n" { (score.n) }
                        td class="n" { (score.correct) }
                        td class="n" { (score.undecided) }
                        td class="n" { (score.accuracy.map_or_else(|| super::figures::NONE.to_owned(), percent)) }
                        td class="n" { (score.interval.map_or_else(|| super::figures::NONE.to_owned(), |interval| range(&interval))) }
                    }
                }
            }
        }
    }
}

/// Points with their intervals; a dashed line at chance where that is known.
fn picture(title: &str, rows: &[(&str, &ArmScore)], chance: Option<f64>) -> Markup {
    const ROW: f64 = 26.0;
    let bottom = 18.0 + ROW * rows.len() as f64;
    let frame = Frame {
        width: 620.0,
        height: bottom + 24.0,
        left: 110.0,
        right: 560.0,
        top: 14.0,
        bottom,
    };
    let scale = Scale::Linear { from: 0.0, to: 1.0 };
    let x = |share: f64| at(frame.x(scale.share(share)));
    let content = html! {
        (frame.x_grid(&scale))
        (frame.x_axis(&scale, |share| format!("{:.0} %", 100.0 * share)))
        @if let Some(chance) = chance {
            line class="limit" x1=(x(chance)) x2=(x(chance)) y1=(at(frame.top)) y2=(at(frame.bottom)) {}
            text class="tick" x=(x(chance)) y=(at(frame.top - 4.0)) text-anchor="middle" { "chance" }
        }
        @for (row, (name, score)) in rows.iter().enumerate() {
            @let y = frame.top + ROW * (row as f64 + 0.6);
            text class="label" x=(at(frame.left - 8.0)) y=(at(y + 4.0)) text-anchor="end" { (name) }
            @if let (Some(share), Some(interval)) = (score.accuracy, score.interval) {
                line class="whisker" x1=(x(interval.low)) x2=(x(interval.high)) y1=(at(y)) y2=(at(y)) {}
                circle class="dot" cx=(x(share)) cy=(at(y)) r="4.5" {}
                text class="tick" x=(at(frame.right + 10.0)) y=(at(y + 3.5)) { "n " (score.n) }
            }
        }
    };
    frame.picture(title, &content)
}

/// The share that blind choice among the options would get right.
fn chance(material: &Material) -> Option<f64> {
    let shares: Vec<f64> = material
        .forks
        .iter()
        .filter(|story| story.wish.is_some() && story.rerun.is_some() && !story.options.is_empty())
        .map(|story| 1.0 / story.options.len() as f64)
        .collect();
    (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
}

/// How often each arm preferred what was committed.
struct Agreement {
    prior: ArmScore,
    gaze: ArmScore,
    eeg: ArmScore,
    fused: ArmScore,
}

impl Agreement {
    fn of(material: &Material) -> Self {
        let pairs: Vec<(&Arms, usize)> = material
            .committed()
            .filter(|(_, choice)| choice.chooser == Some(Chooser::Human))
            .filter_map(|(_, choice)| {
                Some((choice.arms.as_ref()?, usize::try_from(choice.item?).ok()?))
            })
            .collect();
        let score = |arm: fn(&Arms) -> &Posterior| {
            let picks = pairs.iter().map(|&(arms, item)| (arm(arms).pick(), item));
            let (mut correct, mut undecided) = (0, 0);
            for (pick, item) in picks {
                correct += u64::from(pick == Some(item));
                undecided += u64::from(pick.is_none());
            }
            let n = pairs.len() as u64;
            ArmScore {
                n,
                correct,
                undecided,
                accuracy: (n > 0).then(|| correct as f64 / n as f64),
                interval: wilson_interval(correct, n),
            }
        };
        Self {
            prior: score(|arms| &arms.prior),
            gaze: score(|arms| &arms.gaze),
            eeg: score(|arms| &arms.eeg),
            fused: score(|arms| &arms.fused),
        }
    }
}
