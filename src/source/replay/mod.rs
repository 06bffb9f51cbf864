//! Recordings as sources: paced as they were recorded, faster, or as fast as they can be read.
//!
//! Two doors:
//! * [`Merged`] gives everything in one order by synchronised time, on one thread: the same recording always gives the
//!   same sequence. Offline work goes through it.
//! * [`Replay`] hands out [`ReplaySamples`] and [`ReplayMarkers`], which stand in for live inlets. Their stamps are the
//!   sources' own, with the clock offsets that were known at that place of the recording; "our clock" is that of the
//!   machine that recorded.

use std::{
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant},
};

mod merged;

pub use merged::{Merged, MergedSample, MergedValue};

use super::{ClockOffset, Format, MarkerSource, SampleSource, SourceError, StreamSpec};
use crate::recording::{RecordedStream, Recording, Samples};

/// How fast a recording is replayed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Everything is due at once.
    Fast,
    /// This many recorded seconds per second.
    Paced(Speed),
}

/// Recorded seconds per second: above 0, at most 1000.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed(f64);

impl Speed {
    /// As it was recorded.
    pub const REAL_TIME: Self = Self(1.0);

    /// Checks a factor; `None` unless it lies in 0.001..=1000.
    #[must_use]
    pub fn new(factor: f64) -> Option<Self> {
        (0.001..=1000.0).contains(&factor).then_some(Self(factor))
    }

    /// The factor.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// Hands out the streams of a recording as sources that share one beginning: the first pull of any of them.
#[derive(Debug, Clone)]
pub struct Replay {
    recording: Arc<Recording>,
    pacer: Pacer,
}

impl Replay {
    /// Prepares a replay; nothing is due before the first pull.
    #[must_use]
    pub fn new(recording: Arc<Recording>, pace: Pace) -> Self {
        let origin_s = recording.span_s().map_or(0.0, |(first, _)| first);
        Self {
            recording,
            pacer: Pacer {
                pace,
                origin_s,
                begun: Arc::default(),
            },
        }
    }

    /// What is replayed.
    #[must_use]
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// The numeric stream at this index of [`Recording::streams`].
    ///
    /// # Errors
    /// [`SourceError::Mismatch`] when it is a text stream, [`SourceError::NotFound`] when there is none.
    pub fn samples(&self, stream: usize) -> Result<ReplaySamples, SourceError> {
        let found = self.stream(stream)?;
        if let Samples::Text(_) = found.samples {
            return Err(mismatch(found, "the format", "numeric", "text"));
        }
        Ok(ReplaySamples {
            position: self.position(stream),
        })
    }

    /// The text stream of one channel at this index of [`Recording::streams`].
    ///
    /// # Errors
    /// [`SourceError::Mismatch`] when it is numeric or has several channels, [`SourceError::NotFound`] when there is none.
    pub fn markers(&self, stream: usize) -> Result<ReplayMarkers, SourceError> {
        let found = self.stream(stream)?;
        if found.spec.format != Format::String {
            return Err(mismatch(found, "the format", "text", "numeric"));
        }
        if found.channels() != 1 {
            return Err(mismatch(
                found,
                "the number of channels",
                "1",
                &found.channels().to_string(),
            ));
        }
        Ok(ReplayMarkers {
            position: self.position(stream),
        })
    }

    fn stream(&self, stream: usize) -> Result<&RecordedStream, SourceError> {
        self.recording
            .streams
            .get(stream)
            .ok_or_else(|| SourceError::NotFound {
                wanted: format!("stream number {stream} of the recording"),
                asked: "the recording".into(),
                seen: self
                    .recording
                    .streams
                    .iter()
                    .map(|s| s.spec.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }

    fn position(&self, stream: usize) -> Position {
        Position {
            recording: Arc::clone(&self.recording),
            stream,
            next: 0,
            offset: 0,
            pacer: self.pacer.clone(),
        }
    }
}

fn mismatch(
    stream: &RecordedStream,
    what: &'static str,
    expected: &str,
    actual: &str,
) -> SourceError {
    SourceError::Mismatch {
        name: stream.spec.name.clone(),
        what,
        expected: expected.into(),
        actual: actual.into(),
    }
}

/// Says what is due when.
#[derive(Debug, Clone)]
struct Pacer {
    pace: Pace,
    /// Synchronised stamp that is due at the beginning, seconds.
    origin_s: f64,
    begun: Arc<OnceLock<Instant>>,
}

impl Pacer {
    /// The latest synchronised stamp that is due now, seconds.
    fn now_s(&self) -> f64 {
        match self.pace {
            Pace::Fast => f64::INFINITY,
            Pace::Paced(speed) => {
                self.origin_s
                    + self.begun.get_or_init(Instant::now).elapsed().as_secs_f64() * speed.get()
            }
        }
    }

    /// Waits until the stamp is due, at most `timeout`; says whether it is.
    fn wait(&self, stamp_s: f64, timeout: Duration) -> bool {
        let Pace::Paced(speed) = self.pace else {
            return true;
        };
        let left_s = (stamp_s - self.now_s()) / speed.get();
        // A stamp that is no number is due at once, like one of the past.
        if left_s.is_nan() || left_s <= 0.0 {
            return true;
        }
        let left = Duration::try_from_secs_f64(left_s).unwrap_or(Duration::MAX);
        thread::sleep(left.min(timeout));
        left <= timeout
    }
}

/// Where a source stands in its stream.
#[derive(Debug)]
struct Position {
    recording: Arc<Recording>,
    /// An index of `recording.streams`, checked when the source was made.
    stream: usize,
    next: usize,
    /// Index of the latest clock offset known at `next`.
    offset: usize,
    pacer: Pacer,
}

impl Position {
    fn stream(&self) -> &RecordedStream {
        &self.recording.streams[self.stream]
    }

    /// How many samples are due, at most `max`, after waiting for the first; an error at the end.
    fn due(&self, max: usize, timeout: Duration) -> Result<usize, SourceError> {
        let stream = self.stream();
        let Some(first) = stream.stamps.get(self.next) else {
            return Err(SourceError::Ended {
                name: stream.spec.name.clone(),
            });
        };
        if !self.pacer.wait(*first, timeout) {
            return Ok(0);
        }
        let now_s = self.pacer.now_s();
        let rest = stream.stamps.iter().skip(self.next + 1);
        // The first is due even if sleeping ended a moment early; a stamp that is no number is due with those before.
        Ok((1 + rest
            .take_while(|stamp| **stamp <= now_s || stamp.is_nan())
            .take(max)
            .count())
        .min(max))
    }

    fn advance(&mut self, samples: usize) {
        self.next += samples;
        let known = |position: &Self| {
            position
                .stream()
                .clock
                .get(position.offset + 1)
                .is_some_and(|next| next.samples_before <= position.next)
        };
        while known(self) {
            self.offset += 1;
        }
    }

    /// The offset known here. Before the first measurement the first is given: the recording has it. Without any, the
    /// source's clock is taken for ours, as every reader of XDF does.
    fn clock_offset(&self) -> Option<ClockOffset> {
        let stream = self.stream();
        Some(match stream.clock.get(self.offset) {
            Some(recorded) => recorded.measurement.on_our_clock(),
            None => ClockOffset {
                at_s: stream
                    .raw_stamps
                    .get(self.next)
                    .or(stream.raw_stamps.last())
                    .copied()?,
                offset_s: 0.0,
            },
        })
    }
}

/// A numeric stream of a recording.
#[derive(Debug)]
pub struct ReplaySamples {
    position: Position,
}

impl SampleSource for ReplaySamples {
    fn spec(&self) -> &StreamSpec {
        &self.position.stream().spec
    }

    /// As the trait says; at the end of the recording [`SourceError::Ended`].
    fn pull(
        &mut self,
        data: &mut [f32],
        stamps: &mut [f64],
        timeout: Duration,
    ) -> Result<usize, SourceError> {
        let channels = self.position.stream().channels();
        let room = stamps.len().min(data.len() / channels);
        if room == 0 {
            return Ok(0);
        }
        let count = self.position.due(room, timeout)?;
        let stream = self.position.stream();
        let first = self.position.next;
        for (sample, (row, stamp)) in data
            .chunks_exact_mut(channels)
            .zip(stamps)
            .take(count)
            .enumerate()
        {
            let values = stream.numbers(first + sample).unwrap_or_default();
            for (out, value) in row.iter_mut().zip(values) {
                *out = *value as f32;
            }
            *stamp = stream
                .raw_stamps
                .get(first + sample)
                .copied()
                .unwrap_or(f64::NAN);
        }
        self.position.advance(count);
        Ok(count)
    }

    fn clock_offset(&self) -> Option<ClockOffset> {
        self.position.clock_offset()
    }

    /// Nothing is ever lost here.
    fn dropped(&self) -> u64 {
        0
    }
}

/// A marker stream of a recording.
#[derive(Debug)]
pub struct ReplayMarkers {
    position: Position,
}

impl MarkerSource for ReplayMarkers {
    fn spec(&self) -> &StreamSpec {
        &self.position.stream().spec
    }

    /// As the trait says; at the end of the recording [`SourceError::Ended`].
    fn pull(&mut self, timeout: Duration) -> Result<Option<(f64, String)>, SourceError> {
        if self.position.due(1, timeout)? == 0 {
            return Ok(None);
        }
        let stream = self.position.stream();
        let at = self.position.next;
        let marker = stream
            .texts(at)
            .and_then(<[String]>::first)
            .zip(stream.raw_stamps.get(at))
            .map(|(text, stamp)| (*stamp, text.clone()));
        self.position.advance(1);
        Ok(marker)
    }

    fn clock_offset(&self) -> Option<ClockOffset> {
        self.position.clock_offset()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{
        loaded::RecordedMeasurement,
        xdf::{ClockMeasurement, StreamId},
    };

    fn stream(name: &str, stamps: &[f64], text: bool) -> RecordedStream {
        let samples = if text {
            Samples::Text(
                stamps
                    .iter()
                    .map(|stamp| format!("{name} {stamp}"))
                    .collect(),
            )
        } else {
            Samples::Numeric(stamps.to_vec())
        };
        RecordedStream {
            id: StreamId(1),
            spec: StreamSpec {
                name: name.into(),
                kind: String::new(),
                source_id: String::new(),
                hostname: String::new(),
                uid: String::new(),
                rate_hz: 0.0,
                format: if text {
                    Format::String
                } else {
                    Format::Double64
                },
                labels: vec![String::new()],
                units: Vec::new(),
                xml: String::new(),
            },
            raw_stamps: stamps.iter().map(|stamp| stamp + 100.0).collect(),
            stamps: stamps.to_vec(),
            segments: Vec::new(),
            samples,
            clock: Vec::new(),
            footer: None,
        }
    }

    fn recording(streams: Vec<RecordedStream>) -> Arc<Recording> {
        Arc::new(Recording {
            streams,
            damage: Vec::new(),
            remarks: Vec::new(),
        })
    }

    #[test]
    fn merged_streams_come_in_time_order_and_ties_in_the_order_given() {
        let (a, b) = (
            stream("a", &[1.0, 2.0, 4.0], false),
            stream("b", &[0.5, 2.0, 3.0], true),
        );
        let order: Vec<_> = Merged::new([&a, &b])
            .map(|s| (s.stream, s.sample, s.due_s))
            .collect();
        assert_eq!(
            order,
            [
                (1, 0, 0.5),
                (0, 0, 1.0),
                (0, 1, 2.0),
                (1, 1, 2.0),
                (1, 2, 3.0),
                (0, 2, 4.0)
            ]
        );
    }

    #[test]
    fn stamps_that_go_back_or_are_no_numbers_keep_their_place() {
        let odd = stream("odd", &[f64::NAN, 5.0, 1.0, f64::NAN, 6.0], false);
        let even = stream("even", &[2.0, 5.5], false);
        let order: Vec<_> = Merged::new([&odd, &even])
            .map(|s| (s.stream, s.sample, s.due_s))
            .collect();
        let first = f64::NEG_INFINITY;
        assert_eq!(
            order,
            [
                (0, 0, first),
                (1, 0, 2.0),
                (0, 1, 5.0),
                (0, 2, 5.0),
                (0, 3, 5.0),
                (1, 1, 5.5),
                (0, 4, 6.0)
            ]
        );
    }

    #[test]
    fn a_fast_replay_gives_raw_stamps_and_ends_with_an_error() {
        let replay = Replay::new(
            recording(vec![stream("a", &[1.0, 2.0, 3.0], false)]),
            Pace::Fast,
        );
        let mut source = replay.samples(0).unwrap();
        let (mut data, mut stamps) = ([0.0; 2], [0.0; 2]);
        assert_eq!(
            source.pull(&mut data, &mut stamps, Duration::ZERO).unwrap(),
            2
        );
        assert_eq!((data, stamps), ([1.0, 2.0], [101.0, 102.0]));
        assert_eq!(
            source.pull(&mut data, &mut stamps, Duration::ZERO).unwrap(),
            1
        );
        assert!(matches!(
            source.pull(&mut data, &mut stamps, Duration::ZERO),
            Err(SourceError::Ended { .. })
        ));
        assert!(replay.markers(0).is_err());
        assert!(replay.samples(1).is_err());
    }

    #[test]
    fn a_paced_replay_gives_nothing_before_its_time() {
        let replay = Replay::new(
            recording(vec![stream("now", &[1.0, 1.0, 1e6], true)]),
            Pace::Paced(Speed::REAL_TIME),
        );
        let mut source = replay.markers(0).unwrap();
        assert_eq!(
            source.pull(Duration::ZERO).unwrap(),
            Some((101.0, "now 1".into()))
        );
        assert!(source.pull(Duration::ZERO).unwrap().is_some());
        assert_eq!(source.pull(Duration::from_millis(1)).unwrap(), None);
        assert_eq!(Speed::new(f64::NAN).or(Speed::new(0.0)), None);
    }

    #[test]
    fn the_clock_offset_is_the_one_known_at_that_place() {
        let mut a = stream("a", &[1.0, 2.0, 3.0], false);
        let measured = |offset_s, samples_before| RecordedMeasurement {
            measurement: ClockMeasurement {
                source_s: 100.0,
                offset_s,
            },
            samples_before,
        };
        a.clock = vec![measured(-100.0, 1), measured(-101.0, 2)];
        let mut source = Replay::new(recording(vec![a]), Pace::Fast)
            .samples(0)
            .unwrap();
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(source.clock_offset().unwrap().offset_s);
            source.pull(&mut [0.0], &mut [0.0], Duration::ZERO).unwrap();
        }
        assert_eq!(seen, [-100.0, -100.0, -101.0]);
    }
}
