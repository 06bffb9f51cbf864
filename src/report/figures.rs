//! Figures and words as people read them.

use crate::choice::{Decision, Why};
use crate::fork::Chooser;
use crate::gate::TimeoutPolicy;
use crate::marker::OptionKind;
use crate::session::Interval;

/// A dash where there is no figure.
pub(super) const NONE: &str = "–";

/// Text from outside, with control characters (which HTML cannot hold) made visible; line feeds and tabs stay. Characters that
/// force a direction of writing are taken out too: they would turn the page around them.
pub(super) fn readable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            // Unicode has a picture for each of the first 32.
            '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
            '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            _ => c,
        })
        .collect()
}

/// A share as a percentage with one decimal.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1}\u{a0}%", 100.0 * share)
}

/// A probability with two decimals, honest at the ends.
pub(super) fn probability(p: f64) -> String {
    if p > 0.994_999 && p < 1.0 {
        "> 0.99".to_owned()
    } else if p > 0.0 && p < 0.005 {
        "< 0.01".to_owned()
    } else {
        format!("{p:.2}")
    }
}

/// Seconds with two decimals.
pub(super) fn seconds(s: f64) -> String {
    format!("{s:.2}")
}

/// Nats with one decimal and a sign; without limit as such.
pub(super) fn nats(nats: f64) -> String {
    if nats.is_nan() {
        NONE.to_owned()
    } else if nats.is_infinite() {
        if nats > 0.0 { "+∞" } else { "−∞" }.to_owned()
    } else if nats.abs() < 0.05 {
        "0.0".to_owned()
    } else if nats < 0.0 {
        format!("−{:.1}", -nats)
    } else {
        format!("+{nats:.1}")
    }
}

/// A measured time in the unit that reads best.
pub(super) fn micros(us: f64) -> String {
    if us >= 999_500.0 {
        format!("{:.2}\u{a0}s", us / 1e6)
    } else if us >= 99_950.0 {
        format!("{:.0}\u{a0}ms", us / 1e3)
    } else if us >= 999.5 {
        format!("{:.1}\u{a0}ms", us / 1e3)
    } else {
        format!("{us:.0}\u{a0}µs")
    }
}

/// A value at an axis: six decimals suffice, and hide the rounding of powers.
pub(super) fn tick(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// A time that was set, a budget or a tick of an axis, in the unit that reads best and without idle digits.
pub(super) fn set_micros(us: f64) -> String {
    if us >= 1e6 {
        format!("{}\u{a0}s", tick(us / 1e6))
    } else if us >= 1e3 {
        format!("{}\u{a0}ms", tick(us / 1e3))
    } else {
        format!("{}\u{a0}µs", tick(us))
    }
}

/// `1 fork`, `2 forks`.
pub(super) fn count(n: u64, one: &str) -> String {
    if n == 1 {
        format!("1 {one}")
    } else {
        format!("{n} {one}s")
    }
}

/// `69.9 – 97.2 %`.
pub(super) fn range(interval: &Interval) -> String {
    format!(
        "{:.1} – {:.1}\u{a0}%",
        100.0 * interval.low,
        100.0 * interval.high
    )
}

/// Who took a fork, in a word.
pub(super) const fn chooser(chooser: Option<Chooser>) -> &'static str {
    match chooser {
        Some(Chooser::Human) => "person",
        Some(Chooser::Imitator) => "imitator",
        Some(Chooser::Model) => "model",
        None => "nobody",
    }
}

/// The class that colours a chooser.
pub(super) const fn chooser_class(chooser: Option<Chooser>) -> &'static str {
    match chooser {
        Some(Chooser::Human) => "by-person",
        Some(Chooser::Imitator) => "by-imitator",
        Some(Chooser::Model) => "by-model",
        None => "by-nobody",
    }
}

/// What an option does, for those that are no branch.
pub(super) const fn control(kind: OptionKind) -> Option<&'static str> {
    match kind {
        OptionKind::Branch | OptionKind::Item => None,
        OptionKind::Other => Some("other"),
        OptionKind::Undo => Some("undo"),
        OptionKind::GoOn => Some("go on"),
    }
}

/// Why a fork was taken as it was.
pub(super) fn why(why: Why) -> String {
    match why {
        Why::Selected => "selected".to_owned(),
        Why::ToldToGoOn => "told to go on".to_owned(),
        Why::NotAsked(reason) => format!("not asked: {}", reason.words()),
        Why::TimedOut(policy) => format!(
            "declined: time ran out; {}",
            match policy {
                TimeoutPolicy::Wait => "asked again",
                TimeoutPolicy::OfferOther => "other branches were offered",
                TimeoutPolicy::LetModelGoOn => "the model went on",
            }
        ),
        Why::Aborted(reason) => format!("aborted: {reason}"),
        Why::Imitated {
            probability,
            audit_rate,
        } => format!(
            "imitated: the person would have with p = {probability:.2}; such forks are audited at {audit_rate:.2}"
        ),
    }
}

/// Whether and why the person was asked.
pub(super) const fn decision(decision: Decision) -> &'static str {
    match decision {
        Decision::Ask(reason) => reason.words(),
        Decision::Imitate { .. } => "left to the imitator",
        Decision::LetModel(reason) => reason.words(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_visible_and_scripts_stay() {
        assert_eq!(
            readable("a\0b\u{1b}[1m\nлиса\u{7f}\u{202e}x"),
            "a␀b␛[1m\nлиса\u{fffd}\u{fffd}x"
        );
    }

    #[test]
    fn a_probability_is_never_rounded_to_certainty() {
        assert_eq!(probability(0.9999), "> 0.99");
        assert_eq!(probability(1.0), "1.00");
        assert_eq!(probability(0.0001), "< 0.01");
        assert_eq!(probability(0.0), "0.00");
        assert_eq!(probability(0.456), "0.46");
    }

    #[test]
    fn times_are_told_in_the_unit_that_reads_best() {
        for (us, text) in [
            (0.6, "1 µs"),
            (999.0, "999 µs"),
            (999.6, "1.0 ms"),
            (12_345.0, "12.3 ms"),
            (123_456.0, "123 ms"),
            (1_500_000.0, "1.50 s"),
        ] {
            assert_eq!(micros(us).replace('\u{a0}', " "), text);
        }
        for (us, text) in [
            (0.1, "0.1 µs"),
            (200.0, "200 µs"),
            (1_500.0, "1.5 ms"),
            (20_000.0, "20 ms"),
            (1e7, "10 s"),
        ] {
            assert_eq!(set_micros(us).replace('\u{a0}', " "), text);
        }
    }

    #[test]
    fn evidence_carries_its_sign() {
        assert_eq!(
            [
                nats(2.34),
                nats(-0.96),
                nats(-0.01),
                nats(f64::INFINITY),
                nats(f64::NAN)
            ],
            ["+2.3", "−1.0", "0.0", "+∞", "–"]
        );
    }
}
