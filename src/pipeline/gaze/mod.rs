//! Gaze on its way to the gate: raw coordinates become degrees, fixations become evidence for the tiles.
//!
//! [`GazeLine`] is pure: what it says depends on the samples and on the stamps at which tiles went up, not on how samples
//! were chunked or when an order arrived, as long as it arrived before the sample with its stamp. [`GazeStage`] is its
//! real-time shell.

mod blinks;
mod looks;
mod pupils;
pub mod reading;
mod regard;
mod stage;
mod words;

pub use looks::{LookWord, look_told};
pub use pupils::{PupilChannel, PupilReading, PupilSight};
pub use reading::{EyesRead, GazeReading, RawGaze};
pub use regard::{Outside, Regard};
pub use stage::{EyesSeen, GazeStage, GazeWatch, Trouble};
pub use words::{TileWord, blink_evidence, pupil_evidence};

use razvilka_calibration::EyeMaps;
use razvilka_dsp::DspError;
use razvilka_dsp::deliberate::BlinkModel;
use razvilka_dsp::gaze::{
    BinocularCounts, DetectorKind, Fixation, FixationEnd, FixationParts, GazeCounts, GazeDetector,
    GazeEvent, GazeSample,
};
use razvilka_dsp::gaze_evidence::{DwellEvidence, DwellModel, Tile};
use razvilka_dsp::pupil::{PupilModel, PupilResponse};
use razvilka_dsp::units::{Hertz, LslTime};

use self::blinks::Blinks;
use self::looks::Looks;
use self::pupils::Pupils;
use crate::fork::{ForkId, MAX_OPTIONS};
use crate::gate::{Evidence, Lease};

/// A fixation that goes on is told to the gate once in this time.
const TELL_EVERY_S: f64 = 0.040;
/// Parts of a fixation are at least this far apart, degrees.
const LEAST_REACH_DEG: f64 = 0.1;

/// The tiles of a fork, and from when on looks at them count.
#[derive(Debug, Clone, Copy)]
pub struct Tiles {
    /// The fork.
    pub fork: ForkId,
    /// Epoch of the streams.
    pub lease: Lease,
    /// The tiles, in the order of their items.
    pub tiles: [Tile; MAX_OPTIONS],
    /// How many there are.
    pub count: usize,
    /// When they go up, on the gaze stream's clock, seconds.
    pub from_s: f64,
    /// To be added to the gaze stream's stamps to give our clock, frozen for the fork.
    pub offset_s: f64,
    /// To be added to where fixations lie, degrees, frozen for the fork: how far the tracker has drifted.
    pub shift_deg: (f64, f64),
}

/// A fixation that is over, for who learns from looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// The fork whose tiles were up.
    pub fork: ForkId,
    /// Index of the sample at which it was known to be over.
    pub number: u64,
    /// Its beginning, on our clock, seconds.
    pub onset_s: f64,
    /// Time covered by its samples, seconds.
    pub dwell_s: f64,
    /// Mean horizontal position as mapped, without a shift, degrees.
    pub x_deg: f64,
    /// Mean vertical position.
    pub y_deg: f64,
}

/// What gaze says of the tiles that are up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GazeWord {
    /// The fork.
    pub fork: ForkId,
    /// Epoch of the streams.
    pub lease: Lease,
    /// Number of the word within the fork.
    pub number: u64,
    /// Stamp of the newest sample, on the gaze stream's clock, seconds.
    pub at_s: f64,
    /// To be added to that to give our clock.
    pub offset_s: f64,
    /// Index of the newest sample.
    pub sample: u64,
    /// Log-likelihood of each option, nats.
    pub ln_lik: [f64; MAX_OPTIONS],
    /// How far each option has come towards all that gaze can say for it, 0..=1.
    pub progress: [f64; MAX_OPTIONS],
}

/// What the person may be shown of what gaze says: how far each option has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dwell {
    /// The fork.
    pub fork: ForkId,
    /// Stamp of the sample after which it was so, our clock.
    pub at: LslTime,
    /// 0..=1 for each option.
    pub progress: [f64; MAX_OPTIONS],
}

/// The pure part: from raw samples to words about the tiles.
pub struct GazeLine {
    regard: Regard,
    detector: GazeDetector,
    dwell: DwellEvidence,
    parts: FixationParts,
    up: Option<Tiles>,
    /// Tiles that will go up at their stamp.
    next: Option<Tiles>,
    number: u64,
    sample: u64,
    tell_every: u64,
    late: u64,
    look: Option<Look>,
    at_deg: Option<[f64; 2]>,
    rate: Hertz,
    blinks: Option<Blinks>,
    pupils: Option<Pupils>,
    looks: Option<Looks>,
}

impl GazeLine {
    /// A line for a tracker of about `rate` with this kind of detector. `maps` lead from the tracker's unit to degrees; without them the geometry of
    /// the screen does.
    ///
    /// # Errors
    /// [`DspError`] when rate or model are out of range.
    pub fn prepare(
        reading: GazeReading,
        maps: Option<EyeMaps>,
        model: DwellModel,
        rate: Hertz,
        detector: DetectorKind,
    ) -> Result<Self, DspError> {
        Ok(Self {
            regard: Regard::new(reading, maps)?,
            detector: GazeDetector::new(detector, rate)?,
            dwell: DwellEvidence::new(model)?,
            parts: FixationParts::new(model.stay_deg.max(LEAST_REACH_DEG))?,
            up: None,
            next: None,
            number: 0,
            sample: 0,
            tell_every: ((TELL_EVERY_S * rate.get()).round() as u64).max(1),
            late: 0,
            look: None,
            at_deg: None,
            rate,
            blinks: None,
            pupils: None,
            looks: None,
        })
    }

    /// Tells looks at the tiles from now on, for what another stream says about them.
    pub fn tell_looks(&mut self) {
        self.looks = Some(Looks::default());
    }

    /// The next of the looks that became one, or were over, with the latest sample; two at most.
    pub fn take_look(&mut self) -> Option<LookWord> {
        self.looks.as_mut()?.take()
    }

    /// Listens for deliberate blinks as `model` tells them, at the tile that was last looked at up to `reach_s` before; `openness` is the channel
    /// of the lid's opening, if there is one.
    ///
    /// # Errors
    /// [`DspError`] for a number out of range.
    pub fn listen_for_blinks(
        &mut self,
        model: BlinkModel,
        reach_s: f64,
        openness: Option<usize>,
    ) -> Result<(), DspError> {
        self.blinks = Some(Blinks::new(model, self.rate, reach_s, openness)?);
        Ok(())
    }

    /// The deliberate blink that ended with the latest sample.
    pub fn take_blink(&mut self) -> Option<TileWord> {
        self.blinks.as_mut()?.take()
    }

    /// Watches the pupil, of the size that `reading` names, after each tile that is up was read; without a model responses are found and
    /// nothing is said of them: for a calibration.
    ///
    /// # Errors
    /// [`DspError`] for a number out of range.
    pub fn watch_pupils(
        &mut self,
        reading: PupilReading,
        model: Option<PupilModel>,
    ) -> Result<(), DspError> {
        self.pupils = Some(Pupils::new(reading, model, self.rate)?);
        Ok(())
    }

    /// What the pupil says that became known with the latest sample.
    pub fn take_pupil(&mut self) -> Option<TileWord> {
        self.pupils.as_mut()?.take()
    }

    /// The pupil's response that became known with the latest sample.
    pub fn take_pupil_sight(&mut self) -> Option<PupilSight> {
        self.pupils.as_mut()?.take_sight()
    }

    /// The latest response of the pupil that is known by now, whatever was looked at.
    #[must_use]
    pub fn pupil_before(&self, stamp_s: f64) -> Option<PupilResponse> {
        self.pupils.as_ref()?.response_before(stamp_s)
    }

    /// Puts tiles up at their stamp, in place of those that are up. Tiles whose stamp has passed go up with the next sample and are counted as late.
    pub fn put_up(&mut self, tiles: Tiles, newest_s: Option<f64>) {
        self.late += u64::from(newest_s.is_some_and(|newest| newest >= tiles.from_s));
        self.next = Some(tiles);
    }

    /// The source begins anew: no tile is up, and no fixation reaches across.
    pub fn restart(&mut self) {
        self.detector.restart();
        self.regard.restart();
        (self.up, self.next) = (None, None);
        if let Some(blinks) = &mut self.blinks {
            blinks.restart();
        }
        if let Some(pupils) = &mut self.pupils {
            pupils.restart();
        }
        if let Some(looks) = &mut self.looks {
            looks.put_up();
        }
    }

    /// The fixation on these tiles that the latest sample ended by a saccade.
    #[must_use]
    pub fn look(&self) -> Option<Look> {
        self.look
    }

    /// Orders that came after the sample with their stamp: a replay may then differ.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Where the person looked at the latest sample, degrees; `None` when no eye was seen.
    #[must_use]
    pub fn at_deg(&self) -> Option<[f64; 2]> {
        self.at_deg
    }

    /// Samples outside the picture so far.
    #[must_use]
    pub fn outside(&self) -> Outside {
        self.regard.outside
    }

    /// What the detector could not use so far: positions that were lost, and stamps that are no times or do not go on.
    #[must_use]
    pub fn unused(&self) -> GazeCounts {
        self.detector.counts()
    }

    /// Whether the left and the right eye count as lost for good, while the other one is seen.
    #[must_use]
    pub fn eyes_lost(&self) -> [bool; 2] {
        self.regard.eyes.lost()
    }

    /// Whether the left and the right eye are left out, because the other one was calibrated and it was not.
    #[must_use]
    pub fn eyes_uncalibrated(&self) -> [bool; 2] {
        self.regard.uncalibrated()
    }

    /// Whether no eye that can be used has been seen for 5 s.
    #[must_use]
    pub fn is_unseen(&self) -> bool {
        self.regard.is_unseen()
    }

    /// Which eyes were seen; nothing of a stream that does not tell of both.
    #[must_use]
    pub fn eyes_seen(&self) -> Option<BinocularCounts> {
        let binocular = self.regard.reading.eyes.is_binocular();
        binocular.then(|| self.regard.eyes.counts())
    }

    /// Takes one sample of the whole stream; at most one word comes out.
    pub fn sample(&mut self, stamp_s: f64, sample: &[f32]) -> Option<GazeWord> {
        if self.next.is_some_and(|tiles| stamp_s >= tiles.from_s)
            && let Some(tiles) = self.next.take()
        {
            // The layout was checked when the fork was laid out; tiles that are none would leave the fork without gaze.
            let shown = tiles.tiles.get(..tiles.count).unwrap_or(&tiles.tiles);
            self.up = self.dwell.reset(shown).is_ok().then_some(tiles);
            self.parts.reset();
            self.number = 0;
            if let Some(blinks) = &mut self.blinks {
                blinks.put_up();
            }
            if let Some(pupils) = &mut self.pupils {
                pupils.put_up();
            }
            if let Some(looks) = &mut self.looks {
                looks.put_up();
            }
        }
        let at = self.regard.at(stamp_s, sample);
        if let Some(blinks) = &mut self.blinks {
            let seen = self.regard.sees(sample);
            blinks.sample((stamp_s, self.sample), sample, seen, self.up.as_ref());
        }
        if let Some(pupils) = &mut self.pupils {
            pupils.sample((stamp_s, self.sample), sample, at, self.up.as_ref());
        }
        self.at_deg = at;
        let [x_deg, y_deg] = at.unwrap_or([f64::NAN; 2]);
        let (up, dwell, tell_every) = (self.up, &mut self.dwell, self.tell_every);
        let mut tell = false;
        let (mut look, number) = (None, self.sample);
        let shift = up.map_or((0.0, 0.0), |tiles| tiles.shift_deg);
        let shifted = |fixation: &Fixation| Fixation {
            x_deg: fixation.x_deg + shift.0,
            y_deg: fixation.y_deg + shift.1,
            ..*fixation
        };
        let counts = |fixation: &Fixation| up.is_some_and(|tiles| fixation.onset_s >= tiles.from_s);
        let (blinks, looks, pupils) = (&mut self.blinks, &mut self.looks, &mut self.pupils);
        let mut rest = |fixation: &Fixation, over: bool| {
            if let Some(blinks) = blinks {
                blinks.looks(&shifted(fixation));
            }
            if let (Some(looks), Some(tiles)) = (&mut *looks, up.filter(|_| counts(fixation))) {
                looks.rests(&shifted(fixation), over, &tiles, (stamp_s, number));
            }
            if let (Some(pupils), Some(tiles)) = (&mut *pupils, up.filter(|_| counts(fixation))) {
                pupils.looks(&shifted(fixation), &tiles);
            }
        };
        // What a slow or noisy tracker runs together is not one stay.
        let parts = &mut self.parts;
        let mut part_of = |fixation: &Fixation, dwell: &mut DwellEvidence, valid: bool| {
            let (over, part) = parts.follow(&shifted(fixation));
            if let Some(over) = over.filter(|_| valid) {
                dwell.end(&over, true);
            }
            part
        };
        let sample = GazeSample {
            t_s: stamp_s,
            x_deg,
            y_deg,
            valid: at.is_some(),
        };
        self.detector.push(sample, &mut |event| match event {
            GazeEvent::Label(_) => {}
            GazeEvent::Start(fixation) => {
                if counts(&fixation) {
                    let part = part_of(&fixation, dwell, true);
                    dwell.update(&part);
                    tell = true;
                }
            }
            GazeEvent::Update(fixation) => {
                rest(&fixation, false);
                if counts(&fixation) && fixation.n % tell_every == 0 {
                    let part = part_of(&fixation, dwell, true);
                    dwell.update(&part);
                    tell = true;
                }
            }
            GazeEvent::End(fixation, end) => {
                rest(&fixation, true);
                if counts(&fixation) {
                    let valid = end == FixationEnd::Saccade;
                    let part = part_of(&fixation, dwell, valid);
                    dwell.end(&part, valid);
                    tell = true;
                    look = up.filter(|_| valid).map(|tiles| Look {
                        fork: tiles.fork,
                        number,
                        onset_s: fixation.onset_s + tiles.offset_s,
                        dwell_s: fixation.dwell_s,
                        x_deg: fixation.x_deg,
                        y_deg: fixation.y_deg,
                    });
                }
            }
        });
        self.look = look;
        let index = self.sample;
        self.sample += 1;
        let tiles = up.filter(|_| tell)?;
        let mut ln_lik = [0.0; MAX_OPTIONS];
        self.dwell.ln_likelihoods(&mut ln_lik);
        let mut progress = [0.0; MAX_OPTIONS];
        self.dwell.progress(&mut progress);
        let number = self.number;
        self.number += 1;
        Some(GazeWord {
            fork: tiles.fork,
            lease: tiles.lease,
            number,
            at_s: stamp_s,
            offset_s: tiles.offset_s,
            sample: index,
            ln_lik,
            progress,
        })
    }
}

/// What the gate is told; the same live and in replay. `None` when the stamp is no time.
#[must_use]
pub fn gaze_evidence(word: &GazeWord) -> Option<Evidence> {
    let at = LslTime::new(word.at_s + word.offset_s).ok()?;
    Some(Evidence::gaze(
        word.fork,
        word.lease,
        word.number,
        at,
        word.ln_lik,
    ))
}

#[cfg(test)]
mod tests {
    use super::reading::{EyeChannels, Eyes};
    use super::*;
    use crate::config::{GazeOrigin, GazeUnits, ScreenSection};
    use razvilka_calibration::{GazeMap, MapOrder};

    fn moved(x: f64) -> GazeMap {
        GazeMap {
            order: MapOrder::Affine,
            x: [x, 1.0, 0.0, 0.0, 0.0, 0.0],
            y: [0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
        }
    }

    fn at(eyes: Eyes, maps: Option<EyeMaps>, sample: [f32; 4]) -> Option<[f64; 2]> {
        let read = EyesRead {
            eyes,
            zero_is_lost: false,
            minus_one_is_lost: false,
        };
        let screen = ScreenSection::default();
        let reading = GazeReading::of(read, GazeUnits::Degrees, GazeOrigin::Centre, false, &screen);
        let rate = Hertz::new(250.0).unwrap();
        let (model, kind) = (DwellModel::default(), DetectorKind::default());
        let mut line = GazeLine::prepare(reading, maps, model, rate, kind).unwrap();
        line.sample(1.0, &sample);
        line.at_deg()
    }

    #[test]
    fn each_eye_goes_through_its_own_map() {
        let eye = |x, y| EyeChannels { x, y, belief: None };
        let (left, right) = (eye(0, 1), eye(2, 3));
        let two = Eyes::Two { left, right };
        let maps = EyeMaps {
            both: moved(9.0),
            left: Some(moved(1.0)),
            right: Some(moved(-2.0)),
        };
        let (both, lost) = ([3.0, 1.0, 5.0, 1.0], [f32::NAN, 1.0, 5.0, 1.0]);
        assert_eq!(at(two, Some(maps), both), Some([3.5, 1.0]));
        assert_eq!(at(two, Some(maps), lost), Some([3.0, 1.0]));
        assert_eq!(at(Eyes::Right(right), Some(maps), both), Some([3.0, 1.0]));
        // What the tracker made of both is mapped as both; so is each eye of a calibration that did not tell them apart.
        assert_eq!(
            at(Eyes::Combined(left), Some(maps), both),
            Some([12.0, 1.0])
        );
        let one = EyeMaps::one(moved(9.0));
        assert_eq!(at(two, Some(one), both), Some([13.0, 1.0]));
        // An eye that could not be calibrated counts as not seen.
        let blind = EyeMaps {
            right: None,
            ..maps
        };
        assert_eq!(at(two, Some(blind), both), Some([4.0, 1.0]));
        assert_eq!(at(two, Some(blind), lost), None);
        // Calibrated by itself: as it comes.
        assert_eq!(at(two, None, both), Some([4.0, 1.0]));
    }
}
