//! What the signal path found in a recording, in words for the person at the terminal.

use razvilka_dsp::quality::BadChannel;

use super::Passed;
use crate::recording::RecordedStream;
use crate::session;
use crate::source::named_twice;

/// What the stamp guard and the filters had to do to a recording's samples; nothing where they took them as they came.
#[must_use]
pub fn samples_in_words(passed: &Passed) -> Option<String> {
    let found = session::samples_in_words(&passed.counts);
    let used = passed.counts.stamps.accepted;
    (!found.is_empty()).then(|| format!("samples: {used} used; {}", found.join(", ")))
}

/// What the stamp guard and the channels' quality say of a recording, one line each; nothing where there is nothing to say.
#[must_use]
pub fn signal_in_words(stream: &RecordedStream, passed: &Passed) -> Vec<String> {
    let mut lines: Vec<String> = passed.unit.iter().cloned().collect();
    if let Some(label) = named_twice(&stream.spec.labels) {
        lines.push(format!(
            "two channels are labelled '{label}': they are taken as two, told apart by their place alone. Correct the montage, or list \
             the channels without them with --channels"
        ));
    }
    lines.extend(samples_in_words(passed));
    let rejected = passed.rejected();
    if !rejected.is_empty() {
        let reasons: Vec<String> = rejected
            .iter()
            .map(|(why, n)| format!("{} {n}", why.words()))
            .collect();
        lines.push(format!("epochs in doubt: {}", reasons.join(", ")));
    }
    for (channel, bad) in passed.bad.iter().enumerate().filter(|(_, b)| b.total() > 0) {
        let reasons: Vec<String> = BadChannel::ALL
            .iter()
            .filter(|why| bad.of(**why) > 0)
            .map(|why| format!("{} {} s", why.words(), bad.of(*why)))
            .collect();
        lines.push(format!(
            "{}: bad for {} of {} s ({})",
            channel_name(stream, channel),
            bad.total(),
            passed.seconds,
            reasons.join(", ")
        ));
    }
    lines
}

/// The channel's label, or its number from 1 where it has none.
#[must_use]
pub fn channel_name(stream: &RecordedStream, channel: usize) -> String {
    let label = stream.spec.labels.get(channel).filter(|l| !l.is_empty());
    label
        .cloned()
        .unwrap_or_else(|| format!("channel {}", channel + 1))
}
