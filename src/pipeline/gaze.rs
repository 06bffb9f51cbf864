//! Gaze on its way to the gate: raw coordinates become degrees, fixations become evidence for the tiles.
//!
//! [`GazeLine`] is pure: what it says depends on the samples and on the stamps at which tiles went up, not on how samples
//! were chunked or when an order arrived, as long as it arrived before the sample with its stamp. [`GazeStage`] is its
//! real-time shell.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use razvilka_calibration::GazeMap;
use razvilka_dsp::DspError;
use razvilka_dsp::gaze::{
    DetectorKind, Fixation, FixationEnd, GazeDetector, GazeEvent, GazeSample,
};
use razvilka_dsp::gaze_evidence::{DwellEvidence, DwellModel, Tile};
use razvilka_dsp::units::{Hertz, LslTime, MonoTime};
use ringbuf::traits::{Consumer, Producer};
use ringbuf::{HeapCons, HeapProd};

use super::decision::{Item, Lane, Made};
use super::eeg::StepTimes;
use super::inlet::Stage;
use super::trace::{Place, Trace};
use crate::config::{GazeUnits, ScreenSection};
use crate::fork::{ForkId, MAX_OPTIONS};
use crate::gate::{Evidence, Lease};
use crate::rt;

/// A fixation that goes on is told to the gate once in this time.
const TELL_EVERY_S: f64 = 0.040;

/// How the numbers of a gaze stream become degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GazeReading {
    /// Index of the horizontal channel.
    pub x: usize,
    /// Index of the vertical channel.
    pub y: usize,
    /// Index of the confidence channel.
    pub confidence: Option<usize>,
    /// Samples of less confidence count as lost.
    pub confidence_min: f32,
    /// What the numbers mean.
    pub units: GazeUnits,
    /// Size of the picture in the stream's units, and in centimetres, and the distance of the eye.
    width_cm: f64,
    height_cm: f64,
    distance_cm: f64,
    width_px: f64,
    height_px: f64,
}

impl GazeReading {
    /// A reading of channels `x`, `y` and `confidence` on this screen.
    #[must_use]
    pub fn new(
        (x, y): (usize, usize),
        confidence: Option<(usize, f64)>,
        units: GazeUnits,
        screen: &ScreenSection,
    ) -> Self {
        Self {
            x,
            y,
            confidence: confidence.map(|(channel, _)| channel),
            confidence_min: confidence.map_or(0.0, |(_, min)| min as f32),
            units,
            width_cm: screen.width_cm,
            height_cm: screen.height_cm,
            distance_cm: screen.distance_cm,
            width_px: f64::from(screen.width_px),
            height_px: f64::from(screen.height_px),
        }
    }

    /// One sample in the tracker's own unit; whether the tracker believes it.
    #[must_use]
    pub fn raw(&self, sample: &[f32]) -> (f64, f64, bool) {
        let channel = |index: usize| {
            sample
                .get(index)
                .map_or(f64::NAN, |value| f64::from(*value))
        };
        let (x, y) = (channel(self.x), channel(self.y));
        let believed = self.confidence.is_none_or(|index| {
            sample
                .get(index)
                .is_some_and(|confidence| *confidence >= self.confidence_min)
        });
        (x, y, believed && x.is_finite() && y.is_finite())
    }

    /// A position in the tracker's unit as degrees from the centre, by the geometry of the screen alone: for a tracker
    /// that is calibrated by itself.
    #[must_use]
    pub fn degrees(&self, x: f64, y: f64) -> (f64, f64) {
        let angle = |share: f64, size_cm: f64| {
            ((share - 0.5) * size_cm / self.distance_cm)
                .atan()
                .to_degrees()
        };
        match self.units {
            GazeUnits::Degrees => (x, y),
            GazeUnits::Normalised => (angle(x, self.width_cm), angle(y, self.height_cm)),
            GazeUnits::Pixels => (
                angle(x / self.width_px, self.width_cm),
                angle(y / self.height_px, self.height_cm),
            ),
        }
    }
}

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
}

/// The pure part: from raw samples to words about the tiles.
pub struct GazeLine {
    reading: GazeReading,
    map: Option<GazeMap>,
    detector: GazeDetector,
    dwell: DwellEvidence,
    up: Option<Tiles>,
    /// Tiles that will go up at their stamp.
    next: Option<Tiles>,
    number: u64,
    sample: u64,
    tell_every: u64,
    late: u64,
    look: Option<Look>,
}

impl GazeLine {
    /// A line for a tracker of about `rate` with this kind of detector. `map` leads from the tracker's unit to degrees; without one the geometry of the
    /// screen does.
    ///
    /// # Errors
    /// [`DspError`] when rate or model are out of range.
    pub fn prepare(
        reading: GazeReading,
        map: Option<GazeMap>,
        model: DwellModel,
        rate: Hertz,
        detector: DetectorKind,
    ) -> Result<Self, DspError> {
        Ok(Self {
            reading,
            map,
            detector: GazeDetector::new(detector, rate)?,
            dwell: DwellEvidence::new(model)?,
            up: None,
            next: None,
            number: 0,
            sample: 0,
            tell_every: ((TELL_EVERY_S * rate.get()).round() as u64).max(1),
            late: 0,
            look: None,
        })
    }

    /// Puts tiles up at their stamp, in place of those that are up. Tiles whose stamp has passed go up with the next sample and are counted as late.
    pub fn put_up(&mut self, tiles: Tiles, newest_s: Option<f64>) {
        self.late += u64::from(newest_s.is_some_and(|newest| newest >= tiles.from_s));
        self.next = Some(tiles);
    }

    /// The source begins anew: no tile is up, and no fixation reaches across.
    pub fn restart(&mut self) {
        self.detector.restart();
        (self.up, self.next) = (None, None);
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

    /// Takes one sample of the whole stream; at most one word comes out.
    pub fn sample(&mut self, stamp_s: f64, sample: &[f32]) -> Option<GazeWord> {
        if self.next.is_some_and(|tiles| stamp_s >= tiles.from_s)
            && let Some(tiles) = self.next.take()
        {
            // The layout was checked when the fork was laid out; tiles that are none would leave the fork without gaze.
            let shown = tiles.tiles.get(..tiles.count).unwrap_or(&tiles.tiles);
            self.up = self.dwell.reset(shown).is_ok().then_some(tiles);
            self.number = 0;
        }
        let (x, y, valid) = self.reading.raw(sample);
        let (x_deg, y_deg) = match &self.map {
            _ if !valid => (f64::NAN, f64::NAN),
            Some(map) => map.apply(x, y),
            None => self.reading.degrees(x, y),
        };
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
        let sample = GazeSample {
            t_s: stamp_s,
            x_deg,
            y_deg,
            valid,
        };
        self.detector.push(sample, &mut |event| match event {
            GazeEvent::Label(_) => {}
            GazeEvent::Start(fixation) => {
                if counts(&fixation) {
                    dwell.update(&shifted(&fixation));
                    tell = true;
                }
            }
            GazeEvent::Update(fixation) => {
                if counts(&fixation) && fixation.n % tell_every == 0 {
                    dwell.update(&shifted(&fixation));
                    tell = true;
                }
            }
            GazeEvent::End(fixation, end) => {
                if counts(&fixation) {
                    let valid = end == FixationEnd::Saccade;
                    dwell.end(&shifted(&fixation), valid);
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

/// What the control plane may look at while the gaze thread runs.
#[derive(Debug, Default)]
pub struct GazeWatch {
    late: AtomicU64,
    lost: AtomicU64,
    samples: AtomicU64,
}

impl GazeWatch {
    /// Orders that came too late for their stamp.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    /// Samples in which the eye was not seen.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Samples in all.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }
}

/// The real-time shell of a [`GazeLine`].
pub struct GazeStage {
    line: GazeLine,
    orders: HeapCons<Tiles>,
    looks: Option<HeapProd<Look>>,
    lane: Lane<Item>,
    watch: Arc<GazeWatch>,
    channels: usize,
    offset_s: f64,
    newest_s: Option<f64>,
    steps: StepTimes,
}

impl GazeStage {
    /// A stage around a line for a stream of `channels` channels.
    #[must_use]
    pub fn new(
        line: GazeLine,
        orders: HeapCons<Tiles>,
        lane: Lane<Item>,
        watch: Arc<GazeWatch>,
        channels: usize,
        offset_s: f64,
    ) -> Self {
        let steps = StepTimes::new();
        Self {
            line,
            orders,
            looks: None,
            lane,
            watch,
            channels,
            offset_s,
            newest_s: None,
            steps,
        }
    }

    /// Tells looks to who learns from them; when the ring is full, the newest is dropped and not learnt from.
    pub fn tell_looks(&mut self, looks: HeapProd<Look>) {
        self.looks = Some(looks);
    }

    /// The latencies, after the thread has ended.
    #[must_use]
    pub fn into_steps(self) -> StepTimes {
        self.steps
    }
}

impl Stage for GazeStage {
    fn block(&mut self, stamps: &[f64], data: &[f32], pulled: MonoTime) {
        while let Some(tiles) = self.orders.try_pop() {
            self.offset_s = tiles.offset_s;
            self.line.put_up(tiles, self.newest_s);
        }
        for (stamp, sample) in stamps.iter().zip(data.chunks_exact(self.channels.max(1))) {
            self.newest_s = Some(*stamp);
            let word = self.line.sample(*stamp, sample);
            if let (Some(look), Some(looks)) = (self.line.look(), &mut self.looks) {
                let _ = looks.try_push(look);
            }
            let Some(word) = word else { continue };
            let Some(evidence) = gaze_evidence(&word) else {
                continue;
            };
            let mut trace = Trace::default();
            trace.mark(Place::Stamp, rt::mono_of(evidence.at).as_nanos());
            trace.mark(Place::Pulled, pulled.as_nanos());
            trace.mark(Place::Scored, rt::now().as_nanos());
            self.lane.send(Item {
                evidence,
                trace,
                made: Made::Gaze {
                    sample: word.sample,
                },
            });
        }
        if let Some(stamp) = stamps
            .last()
            .and_then(|stamp| LslTime::new(stamp + self.offset_s).ok())
        {
            self.steps.note(stamp, pulled, rt::now());
        }
        self.watch.late.store(self.line.late(), Ordering::Relaxed);
        self.watch
            .lost
            .store(self.line.detector.counts().invalid, Ordering::Relaxed);
        self.watch
            .samples
            .store(self.line.sample, Ordering::Relaxed);
    }

    fn restart(&mut self) {
        self.line.restart();
        self.newest_s = None;
    }
}
