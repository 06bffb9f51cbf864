//! A recording as calibration and scoring see it: EEG, flashes, gaze points. Read leniently, as recordings of others must work.

use std::path::{Path, PathBuf};

use razvilka_calibration::{FIT_SWING_MAX, GazePoint, GazeSample, PointUse};
use razvilka_dsp::DspError;
use razvilka_dsp::blink::BlinkRegression;
use razvilka_dsp::eeg::{EegCounts, EegPath, EegSpec};
use razvilka_dsp::epoch::{EpochStatus, Rejection};
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::quality::{BadChannel, BadSeconds};
use razvilka_dsp::score::EpochScorer;
use razvilka_dsp::stamps::StampRule;
use serde_json::Value;

use super::exit::{Exit, Failure};
use super::flashes::FlashMarkers;
use super::unit::microvolts;
use crate::recording::{RecordedStream, Recording, Samples};
use crate::session;
use crate::source::named_twice;

/// Confidence of the tracker below which a gaze sample is invalid, where the stream has such a channel.
const CONFIDENCE_MIN: f64 = 0.5;
/// How long after `{"event":"blink"}` the person may blink.
const BLINK_ANSWER_S: f64 = 2.0;

/// Which streams of a recording are meant; the only one of its type where no name is given.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub struct Streams {
    /// Name of the EEG stream, where the recording has more than one.
    #[arg(long, value_name = "NAME")]
    pub eeg: Option<String>,
    /// Name of the marker stream, where more than one has flashes or gaze points.
    #[arg(long, value_name = "NAME")]
    pub markers: Option<String>,
    /// Use only the EEG channels with these labels, in this order: Cz,Pz,Oz.
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    pub channels: Vec<String>,
    /// How the gaze stream is read.
    #[command(flatten)]
    pub gaze: GazeChannels,
}

/// Labels of a gaze stream's channels.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub struct GazeChannels {
    /// Label of the horizontal gaze channel; `x`, else the first channel.
    #[arg(long = "gaze-x", value_name = "LABEL")]
    pub x: Option<String>,
    /// Label of the vertical gaze channel; `y`, else the second channel.
    #[arg(long = "gaze-y", value_name = "LABEL")]
    pub y: Option<String>,
    /// Label of the channel of the tracker's confidence; `confidence` where there is one.
    #[arg(long = "gaze-confidence", value_name = "LABEL")]
    pub confidence: Option<String>,
    /// Gaze samples of less confidence count as lost; 0.5.
    #[arg(long = "confidence-min", value_name = "SHARE")]
    pub confidence_min: Option<f64>,
}

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

/// What became of a flash whose epoch is whole.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredEpoch {
    /// Index of the flash in the order of onsets.
    pub flash: usize,
    /// `[channel][bin]`, microvolts.
    pub features: Vec<f64>,
    /// Whether it may be used.
    pub status: EpochStatus,
    /// Channels that were bad somewhere in it.
    pub bad: ChannelMask,
    /// Channels whose values meant nothing somewhere in it: bad for another reason than their variance.
    pub meaningless: ChannelMask,
    /// Linear score, where a scorer was given.
    pub score: Option<f64>,
}

/// What the signal path made of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Passed {
    /// Whole epochs in the order of onsets.
    pub epochs: Vec<ScoredEpoch>,
    /// What the path counted.
    pub counts: EegCounts,
    /// Per channel: seconds in which it was bad, by reason.
    pub bad: Vec<BadSeconds>,
    /// Seconds that were judged.
    pub seconds: u64,
    /// What a person should know about the unit.
    pub unit: Option<String>,
}

impl Passed {
    /// How many epochs that are whole were rejected, by reason, in the order of the first.
    #[must_use]
    pub fn rejected(&self) -> Vec<(Rejection, usize)> {
        let mut by_reason: Vec<(Rejection, usize)> = Vec::new();
        for epoch in &self.epochs {
            if let EpochStatus::Rejected(why) = epoch.status {
                match by_reason.iter_mut().find(|(known, _)| *known == why) {
                    Some((_, n)) => *n += 1,
                    None => by_reason.push((why, 1)),
                }
            }
        }
        by_reason
    }
}

impl ScoredEpoch {
    /// Whether it was rejected for channels that were only restless. Such an epoch is known to a fit as one that
    /// swings too far is: large values are to be learned to be ignored.
    #[must_use]
    pub fn is_restless(&self, used: &ChannelMask) -> bool {
        self.status == EpochStatus::Rejected(Rejection::BadChannel)
            && self.meaningless.intersection(used).is_empty()
    }

    /// The status that decides whether it is fitted on.
    #[must_use]
    pub fn status_for_fit(&self, used: &ChannelMask) -> EpochStatus {
        if self.is_restless(used) {
            EpochStatus::Rejected(Rejection::PeakToPeak)
        } else {
            self.status
        }
    }

    /// Channels that may be made up from the others where the epoch was rejected for channels that meant nothing; what else it was
    /// rejected for, nothing can make up for.
    #[must_use]
    pub fn failed(&self, spec: &EegSpec, used: &ChannelMask) -> ChannelMask {
        if self.status_for_fit(used) == EpochStatus::Rejected(Rejection::BadChannel) {
            self.meaningless.union(&self.wild(spec)).intersection(used)
        } else {
            ChannelMask::NONE
        }
    }

    /// Channels whose features swing beyond three times the peak-to-peak limit: a fault, not a blink.
    #[must_use]
    pub fn wild(&self, spec: &EegSpec) -> ChannelMask {
        let limit_uv = FIT_SWING_MAX * spec.epoch.peak_to_peak.get();
        let bins = (self.features.len() / spec.channels.max(1)).max(1);
        let rows = self.features.chunks_exact(bins).enumerate();
        rows.filter(|(_, row)| {
            let low = row.iter().copied().fold(f64::INFINITY, f64::min);
            let high = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            high - low > limit_uv
        })
        .map(|(channel, _)| channel)
        .collect()
    }
}

/// What most of a recording's stamps mean: blocks that share one, or a stamp for each sample.
#[must_use]
pub fn stamp_rule(stream: &RecordedStream) -> StampRule {
    let shared = stream.stamps.windows(2).filter(|pair| pair[0] == pair[1]);
    if 2 * shared.count() > stream.stamps.len() {
        StampRule::Blocks
    } else {
        StampRule::PerSample
    }
}

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

/// An opened recording with its markers parsed.
#[derive(Debug)]
pub struct Recorded {
    path: PathBuf,
    recording: Recording,
    streams: Streams,
    markers: Vec<(f64, Value)>,
}

impl Recorded {
    /// Reads a recording and the markers of flashes and gaze points in it.
    ///
    /// # Errors
    /// [`Exit::Source`] when the file cannot be read or is no XDF, or when two marker streams could be meant.
    pub fn open(path: &Path, streams: &Streams) -> Result<Self, Failure> {
        let recording = Recording::open(path).map_err(|e| failure(Exit::Source, e))?;
        Self::of(path, recording, streams)
    }

    /// The markers of flashes and gaze points in a recording that was read from `path`.
    ///
    /// # Errors
    /// [`Exit::Source`] when two marker streams could be meant.
    pub(super) fn of(
        path: &Path,
        mut recording: Recording,
        streams: &Streams,
    ) -> Result<Self, Failure> {
        let mut found: Vec<(&str, Vec<(f64, Value)>)> = recording
            .streams
            .iter()
            .filter(|s| {
                streams
                    .markers
                    .as_ref()
                    .is_none_or(|name| *name == s.spec.name)
            })
            .map(|s| (s.spec.name.as_str(), markers_of(s)))
            .filter(|(_, markers)| !markers.is_empty())
            .collect();
        if found.len() > 1 {
            let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
            return Err(Failure::said(
                Exit::Source,
                format!(
                    "{}: {} streams have flashes or gaze points ({}). Say which with --markers NAME",
                    path.display(),
                    names.len(),
                    names.join(", ")
                ),
            ));
        }
        let markers = found.pop().map_or_else(Vec::new, |(_, markers)| markers);
        if let Some(twice) = named_twice(&streams.channels) {
            return Err(Failure::said(
                Exit::Usage,
                format!(
                    "--channels names '{twice}' twice. Name each channel once: a copy adds nothing, and its covariance cannot be inverted"
                ),
            ));
        }
        if !streams.channels.is_empty() {
            let eeg = recording
                .streams
                .iter_mut()
                .filter(|s| is_meant(s, streams));
            for stream in eeg {
                stream
                    .select(&streams.channels)
                    .map_err(|e| failure(Exit::Source, e))?;
            }
        }
        Ok(Self {
            path: path.to_owned(),
            streams: streams.clone(),
            markers,
            recording,
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Flashes in the order of their onsets, one for all markers that say the same of it, none where they contradict each
    /// other.
    #[must_use]
    pub fn flashes(&self) -> Vec<Flash> {
        self.flash_markers().flashes
    }

    /// The same, and how many markers were left out.
    pub(super) fn flash_markers(&self) -> FlashMarkers {
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

    /// The EEG stream.
    ///
    /// # Errors
    /// [`Exit::Source`] when there is none, or more than one and none is named.
    pub fn eeg(&self) -> Result<&RecordedStream, Failure> {
        let said =
            |what: String| Failure::said(Exit::Source, format!("{}: {what}", self.path.display()));
        let candidates: Vec<&RecordedStream> = self
            .numeric("eeg")
            .filter(|s| is_meant(s, &self.streams))
            .collect();
        match candidates.as_slice() {
            [one] if one.spec.rate_hz > 0.0 => Ok(one),
            [one] => Err(said(format!(
                "the EEG stream '{}' states no rate",
                one.spec.name
            ))),
            [] => Err(said(
                "there is no EEG stream with samples (type \"EEG\")".into(),
            )),
            several => {
                let names: Vec<&str> = several.iter().map(|s| s.spec.name.as_str()).collect();
                Err(said(format!(
                    "there are {} EEG streams ({}). Say which with --eeg NAME",
                    several.len(),
                    names.join(", ")
                )))
            }
        }
    }

    /// Calibration points with their samples; empty when no point was shown.
    ///
    /// Position and confidence are read from the channels that [`GazeChannels`] names; where it names none, from those
    /// labelled `x`, `y` and `confidence`, or else from the first two, without a confidence.
    ///
    /// # Errors
    /// [`Exit::Source`] when points were shown but there is not exactly one gaze stream, or a label is not there.
    pub fn gaze_points(&self) -> Result<Vec<GazePoint>, Failure> {
        let mut points = self.shown_points();
        if points.is_empty() {
            return Ok(Vec::new());
        }
        let streams: Vec<&RecordedStream> =
            self.numeric("gaze").filter(|s| s.channels() >= 2).collect();
        let [stream] = streams.as_slice() else {
            return Err(Failure::said(
                Exit::Source,
                format!(
                    "{}: gaze points were shown, but {} streams of type \"Gaze\" have samples; one is needed",
                    self.path.display(),
                    streams.len()
                ),
            ));
        };
        let named = |label: &Option<String>| {
            label
                .as_ref()
                .map(|label| stream.spec.channel(label))
                .transpose()
                .map_err(|e| failure(Exit::Source, e))
        };
        let usual = |name: &str| {
            let labels = stream.spec.labels.iter();
            labels
                .map(|l| l.to_ascii_lowercase())
                .position(|l| l == name)
        };
        let gaze = &self.streams.gaze;
        let (first, second) = usual("x").zip(usual("y")).unwrap_or((0, 1));
        let x = named(&gaze.x)?.unwrap_or(first);
        let y = named(&gaze.y)?.unwrap_or(second);
        let confidence = named(&gaze.confidence)?.or_else(|| usual("confidence"));
        let confidence_min = gaze.confidence_min.unwrap_or(CONFIDENCE_MIN);
        for (index, &t_s) in stream.stamps.iter().enumerate() {
            let (Some(row), Some((point, _))) = (
                stream.numbers(index),
                points
                    .iter_mut()
                    .find(|(point, until_s)| t_s >= point.shown_s && t_s < *until_s),
            ) else {
                continue;
            };
            let value = |channel: usize| row.get(channel).copied().unwrap_or(f64::NAN);
            point.samples.push(GazeSample {
                t_s,
                x: value(x),
                y: value(y),
                valid: confidence.is_none_or(|channel| value(channel) >= confidence_min),
            });
        }
        Ok(points.into_iter().map(|(point, _)| point).collect())
    }

    /// Points with the time until which each was shown.
    fn shown_points(&self) -> Vec<(GazePoint, f64)> {
        let mut points: Vec<(GazePoint, f64)> = Vec::new();
        for (stamp_s, marker) in &self.markers {
            if let Some(last) = points.last_mut() {
                last.1 = last.1.min(*stamp_s);
            }
            let number = |key: &str| marker.get(key).and_then(Value::as_f64);
            if let (Some("gaze_point"), Some(x_deg), Some(y_deg)) =
                (event(marker), number("x_deg"), number("y_deg"))
            {
                let check = marker.get("phase").and_then(Value::as_str) == Some("check");
                let point = GazePoint {
                    x_deg,
                    y_deg,
                    use_as: if check {
                        PointUse::Check
                    } else {
                        PointUse::Fit
                    },
                    shown_s: *stamp_s,
                    samples: Vec::new(),
                };
                points.push((point, f64::INFINITY));
            }
        }
        points
    }

    fn numeric(&self, kind: &'static str) -> impl Iterator<Item = &RecordedStream> {
        self.recording.streams.iter().filter(move |s| {
            s.spec.kind.eq_ignore_ascii_case(kind)
                && matches!(s.samples, Samples::Numeric(_))
                && !s.is_empty()
        })
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

    /// Shows every filtered sample with its stamp and the channels that are bad, once the filters have settled.
    ///
    /// # Errors
    /// As [`Recorded::pass`].
    pub fn filtered(
        &self,
        spec: EegSpec,
        mut show: impl FnMut(f64, &[f64], &ChannelMask),
    ) -> Result<(), Failure> {
        let failed = |e: DspError| failure(Exit::Source, e);
        let stream = self.eeg()?;
        let (scale, _) = microvolts(stream);
        let mut path = EegPath::prepare(spec).map_err(failed)?;
        let mut row = vec![0.0_f32; stream.channels()];
        for (index, &stamp_s) in stream.stamps.iter().enumerate() {
            read_row(stream, index, &scale, &mut row);
            path.push(stamp_s, &row).map_err(failed)?;
            if path.is_settled() {
                show(stamp_s, path.filtered(), &path.quality().bad());
            }
        }
        Ok(())
    }

    /// Sends the EEG and the flashes through the signal path, sample by sample, as they would have come live; `used` are the
    /// channels that are looked at, all when `None`.
    ///
    /// # Errors
    /// [`Exit::Source`] as [`Recorded::eeg`], or when the path cannot be built for this stream.
    pub fn pass(
        &self,
        spec: EegSpec,
        used: Option<ChannelMask>,
        scorer: Option<EpochScorer>,
        blinks: Option<&BlinkRegression>,
    ) -> Result<Passed, Failure> {
        let failed = |e: DspError| failure(Exit::Source, e);
        let stream = self.eeg()?;
        let (scale, unit) = microvolts(stream);
        let mut path = EegPath::prepare(spec).map_err(failed)?;
        path.set_blinks(blinks.cloned()).map_err(failed)?;
        if let Some(used) = used {
            path.set_used(used);
            // For a fit the channels are still being chosen; a scorer was fitted to these.
            if scorer.is_some() {
                path.set_montage(used);
            }
        }
        if let Some(scorer) = scorer {
            // A new path has no open epoch, so the scorer is taken.
            let _ = path
                .set_scorer(scorer)
                .map_err(|e| failure(Exit::Source, e))?;
        }
        let flashes = self.flashes();
        let mut announced = 0;
        let mut epochs = Vec::with_capacity(flashes.len());
        let shape = spec.epoch_shape().map_err(failed)?;
        let start_samples = (spec.epoch.start.get() * spec.rate.get()).round() as usize;
        let whole_samples = (start_samples + shape.samples()) as u64;
        let mut row = vec![0.0_f32; stream.channels()];
        // From which sample on which channels meant nothing.
        let mut meaningless: Vec<(u64, ChannelMask)> = Vec::new();
        let mut spans: Vec<(u64, u64)> = Vec::new();
        for (index, &stamp_s) in stream.stamps.iter().enumerate() {
            let mut keep = |epoch: &razvilka_dsp::epoch::FinishedEpoch<'_>| {
                // One that ended early has no features to speak of, and may have ended before it began.
                if epoch.last.0 + 1 >= epoch.onset.0 + whole_samples {
                    spans.push((epoch.onset.0, epoch.last.0));
                    epochs.push(ScoredEpoch {
                        flash: epoch.id as usize,
                        features: epoch.features.to_vec(),
                        status: epoch.status,
                        bad: epoch.bad,
                        meaningless: ChannelMask::NONE,
                        score: epoch.score,
                    });
                }
            };
            while let Some(flash) = flashes.get(announced).filter(|f| f.onset_s <= stamp_s) {
                // A flash that is refused has no epoch; the caller sees that it is missing.
                let _ = path.flash_with(announced as u64, flash.onset_s, &mut keep);
                announced += 1;
            }
            read_row(stream, index, &scale, &mut row);
            path.push_with(stamp_s, &row, &mut keep).map_err(failed)?;
            while path.pop().is_some() {}
            let now = path.quality().meaningless();
            if meaningless
                .last()
                .map_or(!now.is_empty(), |(_, mask)| *mask != now)
            {
                let newest = path.next_sample().0.saturating_sub(1);
                meaningless.push((newest, now));
            }
        }
        for (epoch, (onset, last)) in epochs.iter_mut().zip(&spans) {
            let from = meaningless.partition_point(|(at, _)| at <= onset);
            let until = meaningless.partition_point(|(at, _)| at <= last);
            for (_, mask) in meaningless.iter().take(until).skip(from.saturating_sub(1)) {
                epoch.meaningless = epoch.meaningless.union(mask);
            }
        }
        epochs.sort_by_key(|epoch| epoch.flash);
        Ok(Passed {
            epochs,
            counts: path.counts(),
            bad: (0..spec.channels)
                .map(|channel| path.quality().bad_seconds(channel))
                .collect(),
            seconds: path.quality().verdicts(),
            unit,
        })
    }
}

/// A failure whose message is the error's own: our errors name their causes themselves, a chain would say them twice.
pub(super) fn failure(exit: Exit, error: impl std::error::Error) -> Failure {
    Failure::said(exit, error.to_string())
}

/// Whether this is the EEG stream that is meant, as far as type and name tell.
fn is_meant(stream: &RecordedStream, streams: &Streams) -> bool {
    let named = streams
        .eeg
        .as_ref()
        .is_none_or(|name| *name == stream.spec.name);
    stream.spec.kind.eq_ignore_ascii_case("eeg") && named
}

fn event(marker: &Value) -> Option<&str> {
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
fn markers_of(stream: &RecordedStream) -> Vec<(f64, Value)> {
    let Samples::Text(_) = &stream.samples else {
        return Vec::new();
    };
    let wanted = |marker: &Value| {
        matches!(
            event(marker),
            Some("flash" | "gaze_point" | "gaze_point_end" | "blink" | "block" | "block_end")
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

/// One sample of all channels, each in microvolts by its `scale`, in the stream's own width, as amplifiers send it and as it comes
/// live.
fn read_row(stream: &RecordedStream, index: usize, scale: &[f64], row: &mut [f32]) {
    let numbers = stream.numbers(index).unwrap_or_default();
    for ((to, from), scale) in row.iter_mut().zip(numbers).zip(scale) {
        *to = (*from * scale) as f32;
    }
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
