//! One order of several streams.

use crate::recording::{RecordedStream, Samples};

/// One sample or marker in the merged order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MergedSample<'a> {
    /// Position of the stream among those merged.
    pub stream: usize,
    /// Index of the sample in its stream.
    pub sample: usize,
    /// When it is due, synchronised time, seconds; never goes back.
    pub due_s: f64,
    /// Synchronised stamp, seconds. Earlier than `due_s` where the stream's own stamps go backwards.
    pub stamp_s: f64,
    /// The values.
    pub value: MergedValue<'a>,
}

/// Values of one sample, one per channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MergedValue<'a> {
    /// Of a numeric stream.
    Numbers(&'a [f64]),
    /// Of a text stream.
    Texts(&'a [String]),
}

/// Several streams in one order by synchronised time.
///
/// Within a stream the order of the file is kept, also where stamps go backwards or are no numbers: such samples are due
/// together with the one before. At equal times the stream given first comes first.
#[derive(Debug, Clone)]
pub struct Merged<'a> {
    heads: Vec<Head<'a>>,
}

#[derive(Debug, Clone)]
struct Head<'a> {
    stream: &'a RecordedStream,
    sample: usize,
    due_s: f64,
}

impl<'a> Head<'a> {
    /// Moves to `sample`; `None` past the end.
    fn at(stream: &'a RecordedStream, sample: usize, before_s: f64) -> Option<Self> {
        // `max` passes over a stamp that is no number.
        stream.stamps.get(sample).map(|stamp| Self {
            stream,
            sample,
            due_s: before_s.max(*stamp),
        })
    }
}

impl<'a> Merged<'a> {
    /// Merges these streams.
    pub fn new(streams: impl IntoIterator<Item = &'a RecordedStream>) -> Self {
        let heads = streams
            .into_iter()
            .map(|stream| {
                Head::at(stream, 0, f64::NEG_INFINITY).unwrap_or(Head {
                    stream,
                    sample: 0,
                    due_s: f64::INFINITY,
                })
            })
            .collect();
        Self { heads }
    }
}

impl<'a> Iterator for Merged<'a> {
    type Item = MergedSample<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (stream, head) = self
            .heads
            .iter_mut()
            .enumerate()
            .filter(|(_, head)| head.sample < head.stream.len())
            .min_by(|(_, a), (_, b)| a.due_s.total_cmp(&b.due_s))?;
        let Head {
            stream: recorded,
            sample,
            due_s,
        } = *head;
        match Head::at(recorded, sample + 1, due_s) {
            Some(next) => *head = next,
            None => head.sample += 1,
        }
        let value = match &recorded.samples {
            Samples::Numeric(_) => MergedValue::Numbers(recorded.numbers(sample)?),
            Samples::Text(_) => MergedValue::Texts(recorded.texts(sample)?),
        };
        Some(MergedSample {
            stream,
            sample,
            due_s,
            stamp_s: recorded.stamps.get(sample).copied()?,
            value,
        })
    }
}
