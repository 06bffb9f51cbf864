//! Every stream that is there: described as far as it may be, and listened to for a while.

use std::thread;
use std::time::{Duration, Instant};

use super::{Announcement, LslSamples, Stream, clock};
use crate::source::{Format, Heard, SampleSource, SourceError, StreamSpec};

/// Streams that are asked for their full description at the same time.
const ASKED_AT_ONCE: usize = 16;
/// How long a stream that is listened to may take to answer.
const LISTEN_OPEN: Duration = Duration::from_secs(2);
/// Samples taken at once while listening.
const LISTENED_AT_ONCE: usize = 256;

/// A stream that answered.
#[derive(Debug, Clone)]
pub struct Surveyed {
    /// What it says of itself; without labels, units and description where it was refused.
    pub spec: StreamSpec,
    /// Channels that it announces.
    pub channel_count: u32,
    /// Why it may not be opened, or did not describe itself.
    pub refused: Option<String>,
    /// What its stamps were like; nothing of a stream of text, and of one that cannot be opened.
    pub heard: Heard,
    /// How old its samples are when they arrive; `None` where none came, or the offset between the clocks was not measured.
    pub age: Option<Age>,
}

/// How old samples are on arrival, by their stamps and the offset between the source's clock and ours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Age {
    /// Of the newest sample of a block, the least of all blocks, seconds; below 0 for stamps that lie ahead of our clock.
    pub least_s: f64,
    /// Largest error of it by the offset's, seconds.
    pub uncertainty_s: f64,
}

/// Describes every announced stream and listens to each for `listen`, many at a time; not at all when that is zero. The order stays.
///
/// Bounded: a stream that does not answer costs five seconds, whatever their number up to sixteen.
#[must_use]
pub fn survey(announced: &[Announcement], listen: Duration) -> Vec<Surveyed> {
    let mut all = Vec::with_capacity(announced.len());
    for group in announced.chunks(ASKED_AT_ONCE) {
        thread::scope(|scope| {
            let asked: Vec<_> = group
                .iter()
                .map(|announcement| {
                    let answer = scope.spawn(move || {
                        let stream = announcement.describe()?;
                        let (heard, age) = listened(&stream, listen);
                        Ok((stream, heard, age))
                    });
                    (announcement, answer)
                })
                .collect();
            for (announcement, answer) in asked {
                let answer = answer.join().unwrap_or_else(|_| {
                    Err(SourceError::Lsl(
                        "its description could not be read".to_owned(),
                    ))
                });
                let (spec, refused, heard, age) = match answer {
                    Ok((stream, heard, age)) => (stream.spec().clone(), None, heard, age),
                    Err(error) => (
                        announcement.spec().clone(),
                        Some(error.to_string()),
                        Heard::default(),
                        None,
                    ),
                };
                all.push(Surveyed {
                    spec,
                    channel_count: announcement.channel_count(),
                    refused,
                    heard,
                    age,
                });
            }
        });
    }
    all
}

/// The stamps of a stream's samples for a while; none of a stream of text, or of one that cannot be opened, which whoever wants to
/// use it is told then.
fn listened(stream: &Stream, listen: Duration) -> (Heard, Option<Age>) {
    let mut heard = Heard::default();
    if listen.is_zero() || stream.spec().format == Format::String {
        return (heard, None);
    }
    let Ok(mut source) = LslSamples::open(stream, LISTEN_OPEN) else {
        return (heard, None);
    };
    let mut data = vec![0.0; LISTENED_AT_ONCE * stream.spec().labels.len()];
    let mut stamps = [0.0; LISTENED_AT_ONCE];
    // On the source's own clock: the offset is measured meanwhile.
    let mut least_s = f64::INFINITY;
    let until = Instant::now() + listen;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        match source.pull(&mut data, &mut stamps, left) {
            Ok(count) => {
                let pulled = &stamps[..count.min(LISTENED_AT_ONCE)];
                heard.push(pulled);
                if let Some(newest_s) = pulled.last().filter(|stamp| stamp.is_finite()) {
                    least_s = least_s.min(clock() - newest_s);
                }
            }
            Err(_) => break,
        }
    }
    let offset = source.clock_offset().zip(source.clock_uncertainty_s());
    let age = offset
        .filter(|_| least_s.is_finite())
        .map(|(offset, uncertainty_s)| Age {
            least_s: least_s - offset.offset_s,
            uncertainty_s,
        });
    (heard, age)
}
