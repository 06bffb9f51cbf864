//! The posterior as it moved, one small plot per fork.

use maud::{Markup, html};

use super::figures::{chooser, chooser_class, count, seconds, tick};
use super::material::{ForkStory, Material};
use super::plot::{Frame, Scale, at, points};
use super::rerun::Rerun;
use super::text::{option_words, tail};
use crate::gate::Source;
use crate::marker::OptionKind;

/// Forks that are drawn, at most: a file people open must stay small.
const DRAWN_MAX: usize = 120;
/// Length of the phrase above a plot, characters.
const PHRASE_CHARS: usize = 34;

/// Rows of marks under a plot, and the class of each.
const LANES: [(Source, &str, &str); 6] = [
    (Source::Gaze, "gaze", "mark-gaze"),
    (Source::P300, "P300", "mark-p300"),
    (Source::Blink, "blink", "mark-blink"),
    (Source::Pupil, "pupil", "mark-pupil"),
    (Source::Contraction, "contraction", "mark-contraction"),
    (Source::Switch, "key", "mark-key"),
];

/// From one row of marks to the next: all of them fit above the axis.
const LANE_STEP: f64 = 23.0 / LANES.len() as f64;

pub(super) fn section(material: &Material) -> Markup {
    let asked: Vec<(&ForkStory, &Rerun)> = material
        .forks
        .iter()
        .filter_map(|story| Some((story, story.rerun.as_ref()?)))
        .collect();
    // One axis for all, long enough for every commit; the few that ran longer would press the others together.
    let longest_s = asked
        .iter()
        .filter(|(story, _)| story.is_committed())
        .filter_map(|(story, rerun)| ends_at(story, rerun))
        .fold(0.0, f64::max);
    let shared = Scale::from_zero(longest_s);
    html! {
        section id="posterior" {
            h2 { "Posterior over time" }
            @if asked.is_empty() {
                p { "Nobody was asked." }
            } @else {
                p {
                    "The gate run again on the inputs that the ledger kept. Seconds since it opened, on the same axis in all \
                     plots but those that say otherwise. Dashed: the threshold for a commit. Marks below: each update of gaze, each scored flash, each deliberate blink, each contraction, each response of the pupil, each key press."
                    @if asked.len() > DRAWN_MAX { " The first " (DRAWN_MAX) " of " (asked.len()) " are drawn." }
                }
                p class="key" {
                    @for option in 0..3 { span class=(format!("swatch option-{option}")) { "option " (option) } " " }
                    span class="swatch control" { "other, undo, go on" } " "
                    span class="swatch taken" { "thick: taken" } " "
                    @for (_, name, class) in LANES { span class=(format!("swatch {class}")) { (name) } " " }
                }
                div class="multiples" {
                    @for (story, rerun) in asked.iter().take(DRAWN_MAX) { (multiple(story, rerun, &shared)) }
                }
            }
        }
    }
}

fn multiple(story: &ForkStory, rerun: &Rerun, shared: &Scale) -> Markup {
    let end_s = ends_at(story, rerun).unwrap_or(0.0);
    let longer = !shared.holds(end_s);
    let scale = if longer {
        Scale::from_zero(end_s)
    } else {
        *shared
    };
    let choice = story.choice.as_ref();
    let taken = choice.and_then(|choice| choice.item);
    let number = story.id().0;
    html! {
        figure {
            figcaption {
                a href=(format!("#fork-{number}")) { (number) } " "
                @match (choice, story.taken()) {
                    (Some(choice), Some(option)) => {
                        span class=(chooser_class(choice.chooser)) { bdi lang="" { (head(&option_words(option))) } }
                    }
                    (Some(choice), None) => { (chooser(choice.chooser)) }
                    (None, _) => "open at the end",
                }
                span class="aside" {
                    @if let Some(s) = story.seconds() { " " (seconds(s)) " s" }
                    @if longer { " – longer axis" }
                }
            }
            (picture(story, rerun, &scale, taken))
        }
    }
}

fn picture(story: &ForkStory, rerun: &Rerun, scale: &Scale, taken: Option<i32>) -> Markup {
    let frame = Frame {
        width: 330.0,
        height: 170.0,
        left: 42.0,
        right: 318.0,
        top: 6.0,
        bottom: 120.0,
    };
    let p_scale = Scale::Linear { from: 0.0, to: 1.0 };
    let threshold = frame.y(p_scale.share(story.row.gate.config().commit_threshold));
    let end = story.seconds().map(|s| frame.x(scale.share(s)));
    let end_s = ends_at(story, rerun).unwrap_or(0.0);
    // Those that were taken are drawn last, over the others.
    let mut order: Vec<_> = story.options.iter().enumerate().collect();
    order.sort_by_key(|(_, option)| Some(option.tile.item) == taken);
    let content = html! {
        (frame.y_grid(&p_scale, &[0.0, 0.5, 1.0], |p| format!("{:.0}\u{a0}%", 100.0 * p)))
        line class="limit" x1=(at(frame.left)) x2=(at(frame.right)) y1=(at(threshold)) y2=(at(threshold)) {}
        @if let Some(x) = end { line class="end" x1=(at(x)) x2=(at(x)) y1=(at(frame.top)) y2=(at(frame.bottom)) {} }
        @for (index, option) in order {
            @let branch = matches!(option.tile.kind, OptionKind::Branch | OptionKind::Item);
            @let colour = if branch { format!("option-{}", index % 6) } else { "control".to_owned() };
            @let weight = if Some(option.tile.item) == taken { " taken" } else { "" };
            polyline class=(format!("line {colour}{weight}")) points=(points(staircase(rerun, index, end_s).into_iter()
                .map(|(s, p)| (frame.x(scale.share(s)), frame.y(p_scale.share(p)))))) {}
        }
        @for (lane, (source, _, class)) in LANES.iter().enumerate() {
            @let y = frame.bottom + 3.0 + LANE_STEP * lane as f64;
            @for step in rerun.steps.iter().filter(|step| step.source == Some(*source)) {
                @let x = at(frame.x(scale.share(step.at_s)));
                line class=(class) x1=(x) x2=(x) y1=(at(y)) y2=(at(y + 0.8 * LANE_STEP)) {}
            }
        }
        line class="axis" x1=(at(frame.left)) x2=(at(frame.right)) y1=(at(frame.bottom + 26.0)) y2=(at(frame.bottom + 26.0)) {}
        @for s in scale.ticks() {
            @let x = frame.x(scale.share(s));
            line class="axis" x1=(at(x)) x2=(at(x)) y1=(at(frame.bottom + 26.0)) y2=(at(frame.bottom + 29.0)) {}
            text class="tick" x=(at(x)) y=(at(frame.bottom + 40.0)) text-anchor="middle" { (tick(s)) "\u{a0}s" }
        }
    };
    let title = format!(
        "Posterior at fork {}: {}",
        story.id().0,
        count(rerun.steps.len() as u64, "input")
    );
    frame.picture(&title, &content)
}

/// When the last thing happened at a fork, seconds since it opened.
fn ends_at(story: &ForkStory, rerun: &Rerun) -> Option<f64> {
    story
        .seconds()
        .or_else(|| rerun.steps.last().map(|step| step.at_s))
}

/// Time and probability of an option: level until an input moves it, and level to the end.
fn staircase(rerun: &Rerun, option: usize, end_s: f64) -> Vec<(f64, f64)> {
    let of = |posterior: &crate::gate::Posterior| {
        posterior.as_slice().get(option).copied().unwrap_or(0.0)
    };
    let mut level = of(&rerun.prior);
    let mut stairs = vec![(0.0, level)];
    for step in &rerun.steps {
        let p = of(&step.posterior);
        // Less than half a pixel is not drawn.
        if (p - level).abs() >= 0.005 {
            stairs.extend([(step.at_s, level), (step.at_s, p)]);
            level = p;
        }
    }
    stairs.push((end_s, level));
    stairs
}

/// The beginning of a phrase.
fn head(phrase: &str) -> String {
    let flat = tail(phrase, usize::MAX);
    match flat.char_indices().nth(PHRASE_CHARS) {
        Some((cut, _)) => format!("{}…", flat.get(..cut).unwrap_or(&flat).trim_end()),
        None => flat,
    }
}
