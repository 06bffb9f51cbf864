//! The table of forks.

use maud::{Markup, html};

use super::figures::{chooser, chooser_class, decision, nats, probability, seconds, why};
use super::material::{ForkStory, Material};
use super::text::{option_words, tail};
use crate::choice::Decision;
use crate::gate::{Arms, Posterior};
use crate::marker::Outcome;
use crate::session::OptionRow;

/// Length of the context shown, characters.
const CONTEXT_CHARS: usize = 72;

pub(super) fn section(material: &Material) -> Markup {
    html! {
        section id="forks" {
            h2 { "Forks" }
            @if material.forks.is_empty() {
                p { "No fork was met." }
            } @else {
                p {
                    "Options carry the capped prior and the posterior at the end. Evidence is in nats, for the option that was taken \
                     (the one that led, where none was) against its nearest rival in the posterior: their sum is the posterior's log \
                     odds between the two, but for a key press, which makes certain. "
                    @if material.forks.iter().any(|story| story.wish.is_some()) { "★ marks what the person wanted." }
                }
                table class="forks" {
                    thead {
                        tr {
                            th { "fork" } th { "text before" } th { "options: prior → posterior" } th { "who and why" }
                            th class="n" { "s" } th class="n" { "flashes" } th class="n" { "gaze updates" }
                            th class="n" { "prior, nats" } th class="n" { "gaze, nats" } th class="n" { "P300, nats" }
                        }
                    }
                    tbody { @for story in &material.forks { (row(story)) } }
                }
            }
        }
    }
}

fn row(story: &ForkStory) -> Markup {
    let choice = story.choice.as_ref();
    let counts = choice.filter(|choice| choice.outcome.is_some());
    let evidence = choice
        .and_then(|choice| choice.arms.as_ref())
        .and_then(|arms| {
            let taken = choice.and_then(|choice| usize::try_from(choice.item?).ok());
            Evidence::of(arms, taken)
        });
    let figure =
        |of: fn(&Evidence) -> f64| evidence.as_ref().map_or_else(String::new, |e| nats(of(e)));
    html! {
        tr id=(format!("fork-{}", story.id().0)) {
            td class="n" data-label="fork" { (story.id().0) }
            td class="context" { bdi lang="" { (tail(&story.row.context, CONTEXT_CHARS)) } }
            td class="choices" { (options(story)) }
            td class="ending" { (ending(story)) }
            td class="n" data-label="s" { @if let Some(s) = story.seconds() { (seconds(s)) } }
            td class="n" data-label="flashes" { @if let Some(choice) = counts { (choice.flashes) } }
            td class="n" data-label="gaze updates" { @if let Some(choice) = counts { (choice.items_gaze) } }
            td class="n" data-label="prior, nats" { (figure(|e| e.prior)) }
            td class="n" data-label="gaze, nats" { (figure(|e| e.gaze)) }
            td class="n" data-label="P300, nats" { (figure(|e| e.p300)) }
        }
    }
}

fn options(story: &ForkStory) -> Markup {
    let of = |posterior: Option<&Posterior>, option: &OptionRow| {
        let p = usize::try_from(option.tile.item)
            .ok()
            .and_then(|item| posterior?.as_slice().get(item).copied());
        p.map(probability)
    };
    let posterior = story
        .choice
        .as_ref()
        .and_then(|choice| choice.posterior.as_ref());
    let taken = story.choice.as_ref().and_then(|choice| choice.item);
    html! {
        ul class="options" {
            @for option in &story.options {
                li class=[(Some(option.tile.item) == taken).then_some("taken")] {
                    span { (option.tile.item) " " bdi lang="" { (option_words(option)) }
                        @if story.wish == Some(option.tile.item) { " ★" } }
                    span class="p" {
                        @match (of(story.row.prior_capped.as_ref(), option), of(posterior, option)) {
                            (Some(prior), Some(posterior)) => { (prior) " → " (posterior) }
                            (Some(prior), None) => { (prior) }
                            _ => { (probability(option.prior)) }
                        }
                    }
                }
            }
        }
    }
}

fn ending(story: &ForkStory) -> Markup {
    let asked = match story.row.decision {
        Decision::Ask(_) => Some(decision(story.row.decision)),
        Decision::LetModel(_) | Decision::Imitate { .. } => None,
    };
    html! {
        @match &story.choice {
            None => "open when the session ended",
            Some(choice) => {
                strong class=(chooser_class(choice.chooser)) { (chooser(choice.chooser)) }
                @if choice.outcome == Some(Outcome::Committed) && let Some(wish) = story.wish {
                    @if choice.item == Some(wish) { " ✓" } @else { " ✗" }
                }
                ", " (why(choice.why))
            }
        }
        @if let Some(asked) = asked { div class="aside" { (asked) } }
    }
}

/// What each source said for one option against its nearest rival, nats.
#[derive(Debug)]
struct Evidence {
    prior: f64,
    gaze: f64,
    p300: f64,
}

impl Evidence {
    /// Log odds by source between `taken`, or the leader where nothing was taken, and its nearest rival in the fused posterior.
    fn of(arms: &Arms, taken: Option<usize>) -> Option<Self> {
        let option = taken.unwrap_or_else(|| arms.fused.best().option);
        // After a key press the fused posterior is certain, and every rival as far away as any: the first stands for all.
        let (rival, _) = arms
            .fused
            .as_slice()
            .iter()
            .enumerate()
            .filter(|&(other, _)| other != option)
            .reduce(|a, b| if b.1 > a.1 { b } else { a })?;
        let odds = |posterior: &Posterior| {
            let p = posterior.as_slice();
            Some((p.get(option)? / p.get(rival)?).ln())
        };
        Some(Self {
            prior: odds(&arms.prior)?,
            gaze: odds(&arms.gaze)?,
            p300: odds(&arms.eeg)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Posterior {
        Posterior::try_from(values.to_vec()).unwrap()
    }

    #[test]
    fn evidence_by_source_adds_up_to_the_log_odds_of_the_posterior() {
        // fused = prior * gaze * eeg, normalised: 0.2*0.5*0.8 : 0.5*0.3*0.1 : 0.3*0.2*0.1 = 80 : 15 : 6.
        let arms = Arms {
            prior: of(&[0.2, 0.5, 0.3]),
            gaze: of(&[0.5, 0.3, 0.2]),
            eeg: of(&[0.8, 0.1, 0.1]),
            keyboard: of(&[0.25, 0.25, 0.5]),
            fused: of(&[80.0 / 101.0, 15.0 / 101.0, 6.0 / 101.0]),
        };
        let evidence = Evidence::of(&arms, None).unwrap();
        let sum = evidence.prior + evidence.gaze + evidence.p300;
        assert!((sum - (80.0_f64 / 15.0).ln()).abs() < 1e-12, "{evidence:?}");
        // Taken against the posterior, as by the model: the sum is negative.
        let against = Evidence::of(&arms, Some(2)).unwrap();
        let sum = against.prior + against.gaze + against.p300;
        assert!((sum - (6.0_f64 / 80.0).ln()).abs() < 1e-12, "{against:?}");
    }
}
