//! What came of the session, in plain sentences.

use maud::{Markup, html};

use super::figures::{count, micros, percent, range};
use super::material::Material;
use super::timing::missed;
use crate::session::EventKind;

pub(super) fn section(material: &Material) -> Markup {
    html! {
        section id="verdict" {
            p class="verdict" { (choices(material)) " " (accuracy(material)) }
            p { (speed(material)) " " (budgets(material)) }
            @for sentence in doubts(material) { p class="bad" { (sentence) } }
            @if doubts(material).is_empty() {
                p { "The recording is complete and the ledger's chain holds." }
            }
        }
    }
}

fn choices(material: &Material) -> String {
    let counts = &material.summary.counts;
    if counts.forks == 0 {
        return "No fork was met.".to_owned();
    }
    let asked = format!(
        "Of {} the person was asked at {} and chose at {}",
        count(counts.forks, "fork"),
        counts.asked,
        counts.by_human
    );
    let others = [
        ("the model chose at", counts.by_model),
        ("the imitator chose at", counts.by_imitator),
        ("nobody chose at", counts.by_nobody),
        ("still open when the session ended:", counts.unfinished),
    ];
    others
        .into_iter()
        .filter(|&(_, n)| n > 0)
        .fold(asked, |said, (what, n)| format!("{said}; {what} {n}"))
        + "."
}

fn accuracy(material: &Material) -> String {
    let Some(scores) = &material.summary.accuracy else {
        return "Whether that was what the person wanted is not known.".to_owned();
    };
    let committed = &scores.committed;
    match (committed.accuracy, committed.interval) {
        (Some(accuracy), Some(interval)) => format!(
            "{} of {} committed choices were what the person wanted: {} (95 % interval {}, n = {}).",
            committed.correct,
            committed.n,
            percent(accuracy),
            range(&interval),
            committed.n
        ),
        _ => "No committed choice can be scored: n = 0.".to_owned(),
    }
}

fn speed(material: &Material) -> String {
    let speed = &material.summary.speed;
    match (speed.decision_s_median, speed.decision_s_p90) {
        (Some(median), Some(p90)) => format!(
            "Half of the commits came within {median:.2} s, nine of ten within {p90:.2} s (n = {}).",
            material.summary.counts.committed
        ),
        _ => "Nothing was committed (n = 0).".to_owned(),
    }
}

fn budgets(material: &Material) -> Markup {
    html! {
        @match material.latency.as_ref().and_then(missed) {
            None => "No latency was measured.",
            Some(missed) if missed.is_empty() => "All latency budgets were met.",
            Some(missed) => span class="bad" { "Latency budgets missed: " (missed.join("; ")) "." },
        }
        @if let Some(slowest) = decided_to_committed(material) { " " (slowest) }
        @if !material.manifest.uncertified.is_empty() { " These times are not certified: see the facts." }
    }
}

/// The step that the person feels.
fn decided_to_committed(material: &Material) -> Option<String> {
    let forks = &material.latency.as_ref()?.forks;
    let step = forks.iter().find(|step| step.step == "decided>committed")?;
    let (figure, us) = step.judged()?;
    Some(format!(
        "From decision to the next token: median {}, {figure} {} (n = {}).",
        micros(step.p50_us),
        micros(us),
        step.n
    ))
}

/// Everything that takes from the worth of the figures.
fn doubts(material: &Material) -> Vec<String> {
    let manifest = &material.manifest;
    let mut doubts = Vec::new();
    if manifest.ended_utc.is_none() {
        doubts.push("The session did not end by itself, or is still running: what follows is what was saved so far.".to_owned());
    }
    if !manifest.recording_incomplete.is_empty() {
        doubts.push(format!(
            "The recording is incomplete: {}.",
            count(manifest.recording_incomplete.len() as u64, "gap")
        ));
    }
    match &material.chain {
        Err(reason) => doubts.push(format!("The ledger cannot be trusted: {reason}.")),
        Ok(head) => {
            if let Some(said) = &manifest.ledger
                && said != head
            {
                doubts.push(format!(
                    "The ledger is not the one the manifest names: it has {} rows, the manifest says {}.",
                    head.rows, said.rows
                ));
            }
        }
    }
    let troubles = material.events.iter().filter(|event| {
        matches!(
            event.kind,
            EventKind::Source | EventKind::Clock | EventKind::Fault
        )
    });
    let troubles = troubles.count() as u64;
    if troubles > 0 {
        doubts.push(format!(
            "Streams, clocks or signals gave cause for {}: see the events.",
            count(troubles, "remark")
        ));
    }
    let (same, all) = reruns(material);
    if same < all {
        doubts.push(format!(
            "The gate, run again, came to the recorded end at {same} of {all} forks only."
        ));
    }
    doubts
}

/// Forks at which the gate, run again, came to the recorded end; and all that were asked and ended.
pub(super) fn reruns(material: &Material) -> (usize, usize) {
    let ended = material.forks.iter().filter_map(|story| {
        story
            .choice
            .as_ref()
            .filter(|choice| choice.outcome.is_some())
            .map(|choice| (story, choice))
    });
    ended.fold((0, 0), |(same, all), (story, choice)| {
        let agrees = story
            .rerun
            .as_ref()
            .is_some_and(|rerun| rerun.agrees(choice));
        (same + usize::from(agrees), all + 1)
    })
}
