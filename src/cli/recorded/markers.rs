//! The markers of a recording: flashes, and when the person was asked to blink.

use serde_json::Value;

use super::Recorded;
use crate::cli::flashes::FlashMarkers;
use crate::recording::{RecordedStream, Samples};

/// How long after `{"event":"blink"}` the person may blink.
const BLINK_ANSWER_S: f64 = 2.0;

/// A flash as recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flash {
    /// Onset on the recording's clock, seconds.
    pub onset_s: f64,
    /// Whether it was a target, where the truth is known.
    pub target: Option<bool>,
    /// Calibration block, 0 where the marker names none.
    pub run: u32,
}

impl Recorded {
    /// Flashes in the order of their onsets, one for all markers that say the same of it, none where they contradict each
    /// other.
    #[must_use]
    pub fn flashes(&self) -> Vec<Flash> {
        self.flash_markers().flashes
    }

    /// The same, and how many markers were left out.
    pub(in crate::cli) fn flash_markers(&self) -> FlashMarkers {
        let markers = self
            .markers
            .iter()
            .filter(|(_, marker)| event(marker) == Some("flash"))
            .map(|(onset_s, marker)| Flash {
                onset_s: *onset_s,
                target: marker.get("target").and_then(truth),
                run: marker
                    .get("run")
                    .and_then(Value::as_u64)
                    .and_then(|run| u32::try_from(run).ok())
                    .unwrap_or(0),
            });
        FlashMarkers::of(markers.collect())
    }

    /// When the person was asked to blink, seconds: `{"event":"block","kind":"blink"}` until the next block, its end or a
    /// flash, and 2 s after each `{"event":"blink"}`.
    #[must_use]
    pub fn blink_spans(&self) -> Vec<(f64, f64)> {
        let mut spans = Vec::new();
        let mut open = None;
        for (at_s, marker) in &self.markers {
            match event(marker) {
                Some("blink") => spans.push((*at_s, at_s + BLINK_ANSWER_S)),
                Some("block" | "block_end" | "flash") => {
                    if let Some(from_s) = open.take() {
                        spans.push((from_s, *at_s));
                    }
                    if marker.get("kind").and_then(Value::as_str) == Some("blink") {
                        open = Some(*at_s);
                    }
                }
                _ => {}
            }
        }
        if let Some(from_s) = open {
            spans.push((from_s, f64::INFINITY));
        }
        spans
    }
}

pub(super) fn event(marker: &Value) -> Option<&str> {
    marker.get("event").and_then(Value::as_str)
}

/// 0 or 1, however it was written.
fn truth(value: &Value) -> Option<bool> {
    value.as_bool().or_else(|| match value.as_f64() {
        Some(0.0) => Some(false),
        Some(1.0) => Some(true),
        _ => None,
    })
}

/// Markers that concern us, with synchronised stamps; anything else a marker stream may say is passed over.
pub(super) fn markers_of(stream: &RecordedStream) -> Vec<(f64, Value)> {
    let Samples::Text(_) = &stream.samples else {
        return Vec::new();
    };
    let wanted = |marker: &Value| {
        matches!(
            event(marker),
            Some(
                "flash"
                    | "gaze_point"
                    | "gaze_point_end"
                    | "gaze_pursuit"
                    | "gaze_pursuit_end"
                    | "blink"
                    | "signal"
                    | "block"
                    | "block_end"
                    | "wish"
                    | "wish_options"
                    | "wish_end"
            )
        )
    };
    stream
        .stamps
        .iter()
        .enumerate()
        .filter_map(|(index, &stamp_s)| {
            let text = stream.texts(index)?.first()?;
            let marker: Value = serde_json::from_str(text).ok()?;
            wanted(&marker).then_some((stamp_s, marker))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_is_read_as_others_write_it() {
        let read = |json: &str| truth(&serde_json::from_str(json).unwrap());
        assert_eq!(read("1"), Some(true));
        assert_eq!(read("0.0"), Some(false));
        assert_eq!(read("true"), Some(true));
        assert_eq!(read("-1"), None);
        assert_eq!(read("\"1\""), None);
    }
}
