//! What the page says of a prior from other people, above all where its figures are theirs and not this person's.

use super::markup::escape;
use crate::prior::PriorUse;
use crate::profile::{EegCalibration, SourceFile};

/// The prior whose people the figures are of; `None` where they are this person's own.
pub(super) fn judged_on_others(eeg: &EegCalibration) -> Option<&PriorUse> {
    eeg.prior.as_ref().filter(|prior| prior.judged_on_others)
}

/// What the verdict says first, as plain text.
pub(super) fn verdict_in_words(prior: &PriorUse) -> String {
    let range = prior.auc_range.map_or_else(String::new, |(low, high)| {
        format!(" (from {low:.2} to {high:.2}, person by person)")
    });
    format!(
        "Estimated from {} other people{range}, not from this person, too few of whose flashes have a label: {} flashes without one \
         moved the others' response to this person. Whether it fits this person has not been checked; 10 targets and 10 non-targets with \
         their labels would do.",
        prior.people, prior.unlabelled
    )
}

/// What stands above the figures, as HTML.
pub(super) fn figures_in_words(prior: &PriorUse) -> String {
    format!(
        "<p><strong>All figures here are of other people.</strong> Each of the prior's {} people was left out, met without labels by the \
         prior of the others, and scored; halves of a recording met and scored one another. None is of this person.</p>",
        prior.people
    )
}

/// Name and value of the page's facts.
pub(super) fn facts(prior: &PriorUse, whole_hash: bool) -> Vec<(&'static str, String)> {
    let source = |source: &SourceFile| {
        let most = if whole_hash { 64 } else { 16 };
        let short: String = source.sha256.chars().take(most).collect();
        let more = if whole_hash { "" } else { "…" };
        format!("{} (sha256 {short}{more})", source.name)
    };
    let mut facts = vec![(
        "Prior",
        format!(
            "of {} other {}, {} recordings; {} flashes of this person without a label took part",
            prior.people,
            if prior.people == 1 {
                "person"
            } else {
                "people"
            },
            prior.recordings.len(),
            prior.unlabelled
        ),
    )];
    if let Some(file) = &prior.file {
        facts.push(("Prior, file", source(file)));
    }
    facts.extend(
        prior
            .recordings
            .iter()
            .map(|recording| ("Prior, recording", source(recording))),
    );
    facts
}

/// Why there is no average response.
pub(super) fn no_response() -> String {
    format!(
        "<p>{}</p>\n",
        escape(
            "No average responses: too few of this person's flashes have a label to tell targets from others."
        )
    )
}
