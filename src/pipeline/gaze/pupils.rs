//! The pupil after the tiles that are up were read: what it says of each of them, once, more than a second later.

use razvilka_dsp::DspError;
use razvilka_dsp::gaze::Fixation;
use razvilka_dsp::pupil::{
    EyeSizes, KNOWN_AFTER_S, PupilModel, PupilResponse, PupilTrack, Read, TileReads,
};
use razvilka_dsp::units::Hertz;

use super::Tiles;
use super::reading::Belief;
use super::words::TileWord;
use crate::fork::{ForkId, MAX_OPTIONS};

/// A size from here on is a mark for a pupil that was not seen.
const SIZE_MAX: f64 = 1e8;
/// How long after a stamp its response is asked for in a calibration, beyond [`KNOWN_AFTER_S`], seconds.
const SLACK_S: f64 = 0.1;

/// The channel of one pupil's size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PupilChannel {
    /// Index of the channel.
    pub channel: usize,
    /// When the size is believed; `None` when loss is told by the size alone.
    pub belief: Option<Belief>,
}

/// Which channels hold the size of each pupil; what is not told by eye stands first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PupilReading {
    /// The left and the right eye.
    pub eyes: [Option<PupilChannel>; 2],
}

impl PupilReading {
    /// The sizes of a sample, in the tracker's own unit; `None` for a pupil that was not seen.
    #[must_use]
    pub fn sizes(&self, sample: &[f32]) -> [Option<f64>; 2] {
        self.eyes.map(|eye| {
            let eye = eye?;
            let believed = eye.belief.is_none_or(|belief| {
                let value = sample.get(belief.channel);
                value.is_some_and(|value| (belief.least..=belief.most).contains(value))
            });
            let size = sample.get(eye.channel).map(|size| f64::from(*size))?;
            (believed && size > 0.0 && size < SIZE_MAX).then_some(size)
        })
    }
}

/// A response to a tile that was read, before anybody says what it means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PupilSight {
    /// The fork.
    pub fork: ForkId,
    /// The tile.
    pub item: usize,
    /// When it had been read, on the gaze stream's clock, seconds.
    pub read_s: f64,
    /// How the pupil changed.
    pub response: PupilResponse,
}

/// The pupil: its track, which tiles were read, and whose response is awaited.
#[derive(Debug, Clone)]
pub(super) struct Pupils {
    reading: PupilReading,
    sizes: EyeSizes,
    track: PupilTrack,
    reads: TileReads,
    model: Option<PupilModel>,
    /// When each tile had been read whose response is not known yet.
    awaited: [Option<f64>; MAX_OPTIONS],
    number: u64,
    sight: Option<PupilSight>,
    found: Option<TileWord>,
}

impl Pupils {
    /// Without a model responses are found and nothing is said of them: for a calibration.
    ///
    /// # Errors
    /// [`DspError`] for a number out of range.
    pub(super) fn new(
        reading: PupilReading,
        model: Option<PupilModel>,
        rate: Hertz,
    ) -> Result<Self, DspError> {
        if let Some(model) = &model {
            model.check()?;
        }
        Ok(Self {
            reading,
            sizes: EyeSizes::new(),
            track: PupilTrack::new(rate),
            reads: TileReads::new(),
            model,
            awaited: [None; MAX_OPTIONS],
            number: 0,
            sight: None,
            found: None,
        })
    }

    /// Tiles go up: none was read yet.
    pub(super) fn put_up(&mut self) {
        self.reads.reset();
        self.awaited = [None; MAX_OPTIONS];
        self.number = 0;
    }

    pub(super) fn restart(&mut self) {
        self.sizes.reset();
        self.track.interrupt();
        self.put_up();
        (self.sight, self.found) = (None, None);
    }

    /// What the latest sample made known.
    pub(super) fn take(&mut self) -> Option<TileWord> {
        self.found.take()
    }

    /// The response that the latest sample made known.
    pub(super) fn take_sight(&mut self) -> Option<PupilSight> {
        self.sight.take()
    }

    /// The latest response that is known by now, whatever was looked at.
    pub(super) fn response_before(&self, stamp_s: f64) -> Option<PupilResponse> {
        self.track.response(stamp_s - KNOWN_AFTER_S - SLACK_S)
    }

    /// Takes the pupils at a sample of this stamp and number, and where gaze was.
    pub(super) fn sample(
        &mut self,
        (stamp_s, number): (f64, u64),
        sample: &[f32],
        at_deg: Option<[f64; 2]>,
        up: Option<&Tiles>,
    ) {
        (self.sight, self.found) = (None, None);
        let size = self.sizes.push(stamp_s, self.reading.sizes(sample));
        self.track.push(stamp_s, size, at_deg);
        let Some(tiles) = up else { return };
        // The first that is due; another one comes with the next sample.
        let due = |read: &Option<f64>| read.is_some_and(|read_s| self.track.is_due(read_s));
        let Some(item) = self.awaited.iter().position(due) else {
            return;
        };
        let awaited = self.awaited.get_mut(item).and_then(Option::take);
        let Some(read_s) = awaited else { return };
        let Some(response) = self.track.response(read_s) else {
            self.reads.again(item);
            return;
        };
        self.sight = Some(PupilSight {
            fork: tiles.fork,
            item,
            read_s,
            response,
        });
        self.found = self.model.and_then(|model| {
            let score = model.score(&response);
            Some(TileWord {
                fork: tiles.fork,
                lease: tiles.lease,
                number: self.number,
                at_s: stamp_s,
                offset_s: tiles.offset_s,
                sample: number,
                item,
                score,
                llr_nats: model.llr(score)?,
            })
        });
        self.number += u64::from(self.found.is_some());
    }

    /// A fixation on these tiles goes on or is over.
    pub(super) fn looks(&mut self, fixation: &Fixation, tiles: &Tiles) {
        let shown = tiles.tiles.get(..tiles.count).unwrap_or(&tiles.tiles);
        if let Some(Read { item, at_s }) = self.reads.push(fixation, shown)
            && let Some(awaited) = self.awaited.get_mut(item)
        {
            *awaited = Some(at_s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pupil_that_is_not_seen_has_no_size_and_a_flag_says_so_too() {
        let belief = Belief {
            channel: 2,
            least: 0.5,
            most: f32::INFINITY,
        };
        let of = |channel, belief| Some(PupilChannel { channel, belief });
        let reading = PupilReading {
            eyes: [of(0, None), of(1, Some(belief))],
        };
        assert_eq!(reading.sizes(&[3.0, 3.5, 1.0]), [Some(3.0), Some(3.5)]);
        assert_eq!(reading.sizes(&[3.0, 3.5, 0.0]), [Some(3.0), None]);
        for lost in [f32::NAN, 0.0, -1.0, -32768.0, 1e8, f32::INFINITY] {
            assert_eq!(reading.sizes(&[lost, 3.5, 1.0]), [None, Some(3.5)]);
        }
        assert_eq!(reading.sizes(&[]), [None, None]);
    }
}
