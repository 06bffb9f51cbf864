//! Plays a recording as if its devices were here: every stream goes out through a sink, stamps re-based to now.
//!
//! Knows nothing of LSL: the outlets come through [`Outlets`].

use std::sync::atomic::{AtomicBool, Ordering};

use super::{RecordedStream, Recording};
use crate::source::{
    Format, MarkerSink, SampleSink, SourceError, StreamSpec,
    replay::{Merged, MergedValue, Speed},
};

/// Samples are pushed in blocks of this length, seconds, as amplifiers do.
const BLOCK_S: f64 = 0.01;
/// Pause between two rounds of a looped recording, seconds.
const ROUND_PAUSE_S: f64 = 0.05;

/// Makes sinks, and keeps the clock that their stamps stand on.
pub trait Outlets {
    /// Opens an outlet for a numeric stream. `spec.format` is float32 or double64.
    ///
    /// # Errors
    /// When the outlet cannot be opened.
    fn samples(&mut self, spec: &StreamSpec) -> Result<Box<dyn SampleSink>, SourceError>;

    /// Opens an outlet for a marker stream.
    ///
    /// # Errors
    /// When the outlet cannot be opened.
    fn markers(&mut self, spec: &StreamSpec) -> Result<Box<dyn MarkerSink>, SourceError>;

    /// Our LSL clock now, seconds.
    fn now_s(&self) -> f64;

    /// Waits until our LSL clock shows `at_s`, or somewhat less long.
    fn wait_until(&mut self, at_s: f64);
}

/// How a recording is played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Playing {
    /// Recorded seconds per second. Away from 1, receivers rightly find that the announced rates are wrong.
    pub speed: Speed,
    /// Whether to begin again at the end.
    pub repeat: bool,
}

/// What was played.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Played {
    /// Samples and markers pushed, per stream, by name.
    pub pushed: Vec<(String, u64)>,
    /// Streams that could not be played: text of several channels.
    pub left_out: Vec<String>,
    /// Rounds that came to the end.
    pub rounds: u64,
}

enum Sink {
    Samples {
        sink: Box<dyn SampleSink>,
        data: Vec<f32>,
        stamps: Vec<f64>,
    },
    Markers(Box<dyn MarkerSink>),
}

/// Plays all streams of a recording until its end, or for ever when it repeats, or until `stop` is set.
///
/// Integer streams go out as floats (of 32 bits up to int16, else 64): sinks take floats. `on_round` hears of each new
/// round, from 0.
///
/// # Errors
/// The first error of an outlet.
pub fn publish(
    recording: &Recording,
    outlets: &mut dyn Outlets,
    playing: Playing,
    stop: &AtomicBool,
    mut on_round: impl FnMut(u64),
) -> Result<Played, SourceError> {
    let mut played = Played::default();
    let mut streams = Vec::new();
    let mut sinks = Vec::new();
    for stream in &recording.streams {
        match open(stream, outlets)? {
            Some(sink) => {
                played.pushed.push((stream.spec.name.clone(), 0));
                streams.push(stream);
                sinks.push(sink);
            }
            None => played.left_out.push(stream.spec.name.clone()),
        }
    }
    let Some((first_s, last_s)) = recording.span_s() else {
        return Ok(played);
    };
    let speed = playing.speed.get();
    let mut begin_s = outlets.now_s();
    while !stop.load(Ordering::Acquire) {
        on_round(played.rounds);
        let on_our_clock =
            move |recorded_s: f64| begin_s + (recorded_s.max(first_s) - first_s) / speed;
        let mut block_end_s = begin_s;
        for sample in Merged::new(streams.iter().copied()) {
            let due_s = on_our_clock(sample.due_s);
            if due_s >= block_end_s {
                flush(&mut sinks)?;
                block_end_s = due_s + BLOCK_S;
                if !wait(outlets, block_end_s, stop) {
                    return Ok(played);
                }
            }
            let stamp_s = on_our_clock(if sample.stamp_s.is_finite() {
                sample.stamp_s
            } else {
                sample.due_s
            });
            // Merged numbers the streams in the order they were given, which is that of the sinks.
            match (&mut sinks[sample.stream], sample.value) {
                (Sink::Samples { data, stamps, .. }, MergedValue::Numbers(values)) => {
                    stamps.push(stamp_s);
                    data.extend(values.iter().map(|value| *value as f32));
                }
                (Sink::Markers(sink), MergedValue::Texts([text])) => sink.push(text, stamp_s)?,
                // A stream was opened as what it is.
                _ => continue,
            }
            played.pushed[sample.stream].1 += 1;
        }
        flush(&mut sinks)?;
        played.rounds += 1;
        if !playing.repeat {
            break;
        }
        begin_s = on_our_clock(last_s) + ROUND_PAUSE_S;
    }
    Ok(played)
}

fn open(stream: &RecordedStream, outlets: &mut dyn Outlets) -> Result<Option<Sink>, SourceError> {
    let mut spec = stream.spec.clone();
    if spec.format == Format::String {
        return if stream.channels() == 1 {
            outlets.markers(&spec).map(|sink| Some(Sink::Markers(sink)))
        } else {
            Ok(None)
        };
    }
    spec.format = match spec.format {
        Format::Int8 | Format::Int16 => Format::Float32,
        Format::Int32 | Format::Int64 => Format::Double64,
        other => other,
    };
    let sink = outlets.samples(&spec)?;
    Ok(Some(Sink::Samples {
        sink,
        data: Vec::new(),
        stamps: Vec::new(),
    }))
}

fn flush(sinks: &mut [Sink]) -> Result<(), SourceError> {
    for sink in sinks {
        if let Sink::Samples { sink, data, stamps } = sink
            && !stamps.is_empty()
        {
            sink.push(data, stamps)?;
            data.clear();
            stamps.clear();
        }
    }
    Ok(())
}

/// Waits in short steps; `false` when told to stop.
fn wait(outlets: &mut dyn Outlets, until_s: f64, stop: &AtomicBool) -> bool {
    loop {
        if stop.load(Ordering::Acquire) {
            return false;
        }
        let now_s = outlets.now_s();
        if now_s >= until_s {
            return true;
        }
        outlets.wait_until(until_s.min(now_s + 0.05));
    }
}
