//! Flash markers as they were recorded: some come twice, some contradict each other, some lie where there is no EEG.

use super::recorded::Flash;
use crate::recording::RecordedStream;

/// Markers this near to one another are of one flash, seconds: no paradigm flashes twice in a hundredth of a second.
const ONE_FLASH_S: f64 = 0.01;

/// The flashes of a recording, one marker each.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct FlashMarkers {
    /// In the order of onsets.
    pub(super) flashes: Vec<Flash>,
    /// Markers left out because another says the same of the same flash.
    pub(super) repeated: usize,
    /// Flashes left out because their markers say both "target" and "no target".
    pub(super) contradicting: usize,
}

impl FlashMarkers {
    /// One flash for all markers within [`ONE_FLASH_S`] of its first; none where they contradict each other: a marker is
    /// never guessed.
    pub(super) fn of(mut markers: Vec<Flash>) -> Self {
        markers.sort_by(|a, b| a.onset_s.total_cmp(&b.onset_s));
        let mut settled = Self::default();
        let mut rest = markers.as_slice();
        while let Some(first) = rest.first() {
            let count = rest
                .iter()
                .take_while(|marker| marker.onset_s - first.onset_s <= ONE_FLASH_S)
                .count()
                .max(1);
            let (of_flash, later) = rest.split_at(count);
            let is = |target| of_flash.iter().any(|m| m.target == Some(target));
            if is(true) && is(false) {
                settled.contradicting += 1;
            } else {
                settled.repeated += count - 1;
                settled.flashes.push(Flash {
                    target: of_flash.iter().find_map(|marker| marker.target),
                    ..*first
                });
            }
            rest = later;
        }
        settled
    }

    /// What was left out, one sentence each; nothing where every flash has one marker.
    pub(super) fn in_words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.repeated > 0 {
            words.push(format!(
                "{} flash markers came twice, within {} ms and saying the same: each flash counts once",
                self.repeated,
                1e3 * ONE_FLASH_S
            ));
        }
        if self.contradicting > 0 {
            words.push(format!(
                "{} flashes have markers that contradict each other, target 0 and 1 at one time: left out",
                self.contradicting
            ));
        }
        words
    }
}

/// Why no flash has a whole epoch, in words that say what to do; `None` when at least one lies within the EEG.
pub(super) fn out_of_reach(stream: &RecordedStream, flashes: &[Flash]) -> Option<String> {
    let ends = |times: &mut dyn Iterator<Item = f64>| {
        times.filter(|t| t.is_finite()).fold(None, |ends, t| {
            let (from, until) = ends.unwrap_or((t, t));
            Some((f64::min(from, t), f64::max(until, t)))
        })
    };
    let (from_s, until_s) = ends(&mut stream.stamps.iter().copied())?;
    let (first_s, last_s) = ends(&mut flashes.iter().map(|flash| flash.onset_s))?;
    let within = flashes
        .iter()
        .any(|flash| (from_s..=until_s).contains(&flash.onset_s));
    (!within).then(|| {
        format!(
            "none of its {} flashes lies within its EEG: the EEG '{}' reaches from {from_s:.3} to {until_s:.3} s, the flashes from \
             {first_s:.3} to {last_s:.3} s. Markers and EEG have different clocks, or one of them was not recorded meanwhile: record \
             both at once, with clock offsets",
            flashes.len(),
            stream.spec.name
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flash(onset_s: f64, target: Option<bool>) -> Flash {
        Flash {
            onset_s,
            target,
            run: 0,
        }
    }

    #[test]
    fn a_marker_sent_twice_is_one_flash_and_a_contradiction_is_none() {
        let markers = FlashMarkers::of(vec![
            flash(2.0, Some(false)),
            flash(1.0, Some(true)),
            flash(1.0, Some(true)),
            flash(3.0, None),
            flash(3.005, Some(true)),
            flash(4.0, Some(true)),
            flash(4.001, Some(false)),
            flash(4.05, Some(false)),
        ]);
        let expected = [
            flash(1.0, Some(true)),
            flash(2.0, Some(false)),
            flash(3.0, Some(true)),
            flash(4.05, Some(false)),
        ];
        assert_eq!(markers.flashes, expected);
        assert_eq!((markers.repeated, markers.contradicting), (2, 1));
        let words = markers.in_words();
        assert!(
            words[0].starts_with("2 flash markers came twice"),
            "{words:?}"
        );
        assert!(
            words[1].starts_with("1 flashes have markers that contradict"),
            "{words:?}"
        );
        assert!(
            FlashMarkers::of(vec![flash(1.0, None)])
                .in_words()
                .is_empty()
        );
    }
}
