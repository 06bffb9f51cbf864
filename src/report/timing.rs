//! Timing: the steps against their budgets.

use maud::{Markup, html};

use super::figures::{NONE, micros, percent, set_micros};
use super::material::Material;
use super::plot::{Frame, Scale, at, points};
use crate::engine::latency::LatencyReport;
use crate::pipeline::clock::ClockCounts;
use crate::pipeline::trace::{P99_N_MIN, P999_N_MIN, STEPS, StepReport};
use crate::session::SignalSummary;

/// A step with the name of what it was measured on.
type Named<'a> = (String, &'a StepReport);

pub(super) fn section(material: &Material) -> Markup {
    html! {
        section id="timing" {
            h2 { "Timing" }
            @match &material.latency {
                None => p { "The session left no latency.json: the table of steps and budgets is missing." },
                Some(latency) => {
                    @let steps = steps(latency);
                    p {
                        "Forks: the way of each committed choice, from the stamp of the last sample behind it to the text on the screen. Streams: \
                         every block of samples. A budget is missed when the 99th percentile exceeds it or, of fewer than " (P99_N_MIN) "
                         measurements, the largest one; misses count single measurements over budget. A 99th percentile stands \
                         from " (P99_N_MIN) " measurements on, a 99.9th from " (P999_N_MIN) "."
                    }
                    (table(&steps))
                    (ranges(&steps))
                    @if latency.gate_items_dropped > 0 {
                        p class="bad" { (latency.gate_items_dropped) " items of evidence were lost because a ring was full." }
                    }
                    @for stream in &latency.streams {
                        @if let Some(clock) = stream.clock() {
                            p { (super::figures::readable(&stream.stream)) ": " (clock_words(&clock)) }
                        }
                    }
                    @if let Some(signal) = &material.summary.signal { (signals(signal)) }
                    @for stream in latency.streams.iter().filter(|stream| stream.rejected > 0) {
                        p { (super::figures::readable(&stream.stream)) ": " (super::figures::count(stream.rejected, "epoch")) " could not be used." }
                    }
                }
            }
            (distributions(material))
        }
    }
}

/// What the signal path had to do to the EEG.
fn signals(signal: &SignalSummary) -> Markup {
    let join = |reasons: Vec<(&String, String)>| -> String {
        let words = reasons.iter().map(|(why, n)| format!("{why} {n}"));
        words.collect::<Vec<_>>().join(", ")
    };
    let rejected = signal.flashes_rejected.iter();
    html! {
        h3 { "Signal" }
        p {
            @match signal.samples_in_words() {
                Some(words) => { "Samples: " (signal.samples.stamps.accepted) " used; " (words) "." },
                None => { "All " (signal.samples.stamps.accepted) " samples were taken as they came." },
            }
        }
        @if !signal.flashes_rejected.is_empty() {
            p { "Flashes without evidence: " (join(rejected.map(|(why, n)| (why, n.to_string())).collect())) "." }
        }
        @if signal.bad_channels.is_empty() {
            p { "No channel was bad in " (signal.seconds) " s." }
        } @else {
            table {
                thead { tr { th { "channel" } th class="n" { "bad, s of " (signal.seconds) } th { "why, s" } } }
                tbody {
                    @for channel in &signal.bad_channels {
                        tr {
                            td { (super::figures::readable(&channel.channel)) }
                            td class="n" { (channel.bad_s) }
                            td { (join(channel.by_reason_s.iter().map(|(why, s)| (why, s.to_string())).collect())) }
                        }
                    }
                }
            }
        }
    }
}

/// The rate as measured, and how often the clock was doubted.
fn clock_words(clock: &ClockCounts) -> String {
    let rate = clock.measured_rate_hz.map_or_else(
        || "the rate was not measured".to_owned(),
        |rate| format!("measured rate {rate:.2} Hz"),
    );
    let doubts: Vec<_> = clock
        .doubts
        .iter()
        .map(|(doubt, count)| {
            format!(
                "{} {count} times",
                super::figures::readable(doubt).replace('_', " ")
            )
        })
        .collect();
    if doubts.is_empty() {
        format!("{rate}; its clock was not doubted.")
    } else {
        format!("{rate}; its clock was doubted: {}.", doubts.join(", "))
    }
}

/// All steps that were reported, forks first.
fn steps(latency: &LatencyReport) -> Vec<Named<'_>> {
    let forks = latency.forks.iter().map(|step| ("forks".to_owned(), step));
    let streams = latency.streams.iter().flat_map(|stream| {
        stream
            .steps
            .iter()
            .map(|step| (stream.stream.clone(), step))
    });
    forks
        .chain(streams)
        .map(|(of, step)| {
            (
                format!("{} {}", super::figures::readable(&of), arrow(&step.step)),
                step,
            )
        })
        .collect()
}

/// Names of budgets that were missed; `None` without measurements.
pub(super) fn missed(latency: &LatencyReport) -> Option<Vec<String>> {
    let measured: Vec<Named<'_>> = steps(latency)
        .into_iter()
        .filter(|(_, step)| step.n > 0)
        .collect();
    (!measured.is_empty()).then(|| {
        measured
            .into_iter()
            .filter(|(_, step)| step.is_missed())
            .filter_map(|(name, step)| {
                let (figure, us) = step.judged()?;
                Some(format!(
                    "{name} ({figure} {}, budget {}, n = {})",
                    micros(us),
                    set_micros(step.budget_us),
                    step.n
                ))
            })
            .collect()
    })
}

/// `a>b` as people write it.
fn arrow(step: &str) -> String {
    super::figures::readable(step).replace('>', " → ")
}

fn table(steps: &[Named<'_>]) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th { "step" } th class="n" { "n" } th class="n" { "p50" } th class="n" { "p99" } th class="n" { "p99.9" }
                    th class="n" { "max" } th class="n" { "budget" } th class="n" { "misses" } th { "" }
                }
            }
            tbody {
                @for (name, step) in steps {
                    tr {
                        td { (name) }
                        td class="n" { (step.n) }
                        @if step.n == 0 {
                            td class="n" colspan="4" { "no measurement" }
                        } @else {
                            td class="n" { (micros(step.p50_us)) }
                            @for percentile in [step.p99_us, step.p999_us] {
                                td class="n" { (percentile.map_or_else(|| NONE.to_owned(), micros)) }
                            }
                            td class="n" { (micros(step.max_us)) }
                        }
                        td class="n" { (set_micros(step.budget_us)) }
                        td class="n" {
                            (step.misses)
                            @if step.misses > 0 { " (" (percent(step.misses as f64 / step.n.max(1) as f64)) ")" }
                        }
                        td {
                            @if step.is_missed() { span class="bad" { "missed" } }
                            @else if step.n > 0 { span class="good" { "met" } }
                        }
                    }
                }
            }
        }
    }
}

/// Median to largest of each step on one logarithmic axis, with the budget.
fn ranges(steps: &[Named<'_>]) -> Markup {
    const ROW: f64 = 22.0;
    let measured: Vec<&Named<'_>> = steps.iter().filter(|(_, step)| step.n > 0).collect();
    let values = measured
        .iter()
        .flat_map(|(_, step)| [step.p50_us, step.max_us, step.budget_us]);
    let Some(scale) = Scale::decades(values) else {
        return html! {};
    };
    let bottom = 8.0 + ROW * measured.len() as f64;
    let frame = Frame {
        width: 760.0,
        height: bottom + 24.0,
        left: 190.0,
        right: 740.0,
        top: 6.0,
        bottom,
    };
    let x = |us: f64| at(frame.x(scale.share(us)));
    let content = html! {
        (frame.x_grid(&scale))
        (frame.x_axis(&scale, set_micros))
        @for (row, (name, step)) in measured.iter().enumerate() {
            @let y = frame.top + ROW * (row as f64 + 0.55);
            text class="label" x=(at(frame.left - 8.0)) y=(at(y + 4.0)) text-anchor="end" { (name) }
            line class="whisker thin" x1=(x(step.p50_us)) x2=(x(step.max_us)) y1=(at(y)) y2=(at(y)) {}
            @if let Some(p99_us) = step.p99_us {
                line class="whisker" x1=(x(step.p50_us)) x2=(x(p99_us)) y1=(at(y)) y2=(at(y)) {}
            }
            circle class="dot" cx=(x(step.p50_us)) cy=(at(y)) r="4" {}
            @for us in [step.p99_us, step.p999_us, Some(step.max_us)].into_iter().flatten() {
                line class="whisker" x1=(x(us)) x2=(x(us)) y1=(at(y - 4.0)) y2=(at(y + 4.0)) {}
            }
            line class="budget" x1=(x(step.budget_us)) x2=(x(step.budget_us)) y1=(at(y - 9.0)) y2=(at(y + 9.0)) {}
        }
    };
    html! {
        figure {
            (frame.picture("Latency by step: median, 99th and 99.9th percentile, largest; budget", &content))
            figcaption { "Dot: median. Ticks: p99 and p99.9 where they stand, largest. " span class="swatch budget" { "budget" } }
        }
    }
}

/// Empirical distributions over the committed forks, from the ledger.
fn distributions(material: &Material) -> Markup {
    let times = |step: &str| -> Vec<f64> {
        material
            .committed()
            .filter_map(|(_, choice)| choice.latency_ns.get(step))
            .map(|&ns| ns as f64 / 1e3)
            .collect()
    };
    let total: Vec<f64> = material
        .committed()
        .filter_map(|(_, choice)| {
            STEPS
                .iter()
                .map(|step| choice.latency_ns.get(*step))
                .sum::<Option<u64>>()
        })
        .map(|ns| ns as f64 / 1e3)
        .collect();
    let budget = |step: &str| {
        let forks = &material.latency.as_ref()?.forks;
        forks
            .iter()
            .find(|report| report.step == step)
            .map(|report| report.budget_us)
    };
    let panels = [
        ("stamp → shown".to_owned(), total, None),
        (
            arrow("pulled>scored"),
            times("pulled>scored"),
            budget("pulled>scored"),
        ),
        (
            arrow("decided>committed"),
            times("decided>committed"),
            budget("decided>committed"),
        ),
    ];
    html! {
        h3 { "Distribution over committed forks" }
        p { "Share of forks that took no longer, from the ledger." }
        div class="multiples" {
            @for (name, values, budget_us) in panels {
                figure {
                    figcaption { (name) span class="aside" { ", n = " (values.len()) } }
                    @if let Some(picture) = ecdf(&name, values, budget_us) { (picture) } @else { p { "No measurement." } }
                }
            }
        }
    }
}

/// The empirical distribution function of times in microseconds; `None` without any.
fn ecdf(name: &str, mut us: Vec<f64>, budget_us: Option<f64>) -> Option<Markup> {
    us.sort_by(f64::total_cmp);
    let scale = Scale::decades(us.iter().copied().chain(budget_us))?;
    let (n, &last) = (us.len() as f64, us.last()?);
    let frame = Frame {
        width: 320.0,
        height: 170.0,
        left: 44.0,
        right: 296.0,
        top: 8.0,
        bottom: 140.0,
    };
    let y_scale = Scale::Linear { from: 0.0, to: 1.0 };
    let mut below = 0.0;
    let mut stairs = vec![(frame.left, frame.bottom)];
    for &value in &us {
        let x = frame.x(scale.share(value));
        stairs.push((x, frame.y(below / n)));
        below += 1.0;
        stairs.push((x, frame.y(below / n)));
    }
    stairs.push((frame.right, frame.top));
    let content = html! {
        (frame.x_grid(&scale))
        (frame.y_grid(&y_scale, &[0.0, 0.5, 1.0], |share| format!("{:.0} %", 100.0 * share)))
        (frame.x_axis(&scale, set_micros))
        polyline class="line ecdf" points=(points(stairs)) {}
        @if let Some(budget) = budget_us {
            @let x = at(frame.x(scale.share(budget)));
            line class="budget" x1=(x) x2=(x) y1=(at(frame.top)) y2=(at(frame.bottom)) {}
        }
    };
    let title = format!(
        "{name}: {} measurements, the largest {}",
        us.len(),
        micros(last)
    );
    Some(frame.picture(&title, &content))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(n: u64, us: f64) -> StepReport {
        StepReport {
            step: "pulled>scored".into(),
            n,
            p50_us: 100.0,
            p99_us: (n >= P99_N_MIN).then_some(us),
            p999_us: None,
            max_us: us,
            budget_us: 1_000.0,
            misses: 0,
        }
    }

    #[test]
    fn a_budget_without_a_measurement_is_neither_met_nor_missed() {
        let of = |forks| LatencyReport {
            forks,
            streams: Vec::new(),
            gate_items_dropped: 0,
        };
        assert_eq!(missed(&of(vec![step(0, 0.0)])), None);
        assert_eq!(missed(&of(vec![step(3, 900.0)])), Some(Vec::new()));
        let named = missed(&of(vec![step(3, 2_500.0), step(0, 9e9)])).unwrap();
        assert_eq!(
            named,
            ["forks pulled → scored (max 2.5\u{a0}ms, budget 1\u{a0}ms, n = 3)"]
        );
        let named = missed(&of(vec![step(100, 2_500.0)])).unwrap();
        assert!(named[0].contains("(p99 2.5\u{a0}ms"), "{named:?}");
    }

    #[test]
    fn a_table_has_a_dash_for_a_percentile_that_too_few_measurements_do_not_support() {
        let cells = |n| {
            let step = step(n, 900.0);
            let page = table(&[("forks".to_owned(), &step)]).into_string();
            page.matches(&format!(">{NONE}<")).count()
        };
        assert_eq!((cells(3), cells(100)), (2, 1));
    }
}
