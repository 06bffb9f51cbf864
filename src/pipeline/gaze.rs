//! Gaze on its way to the gate: raw coordinates become degrees, fixations become evidence for the tiles.
//!
//! [`GazeLine`] is pure: what it says depends on the samples and on the stamps at which tiles went up, not on how samples
//! were chunked or when an order arrived, as long as it arrived before the sample with its stamp. [`GazeStage`] is its
//! real-time shell.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use razvilka_calibration::GazeMap;
use razvilka_dsp::DspError;
use razvilka_dsp::deliberate::{BlinkModel, BlinkScorer};
use razvilka_dsp::gaze::{
    DetectorKind, Fixation, FixationEnd, GazeDetector, GazeEvent, GazeSample,
};
use razvilka_dsp::gaze_evidence::{DwellEvidence, DwellModel, Tile};
use razvilka_dsp::units::{Hertz, LslTime, MonoTime};
use ringbuf::HeapCons;
use ringbuf::traits::Consumer;

use super::decision::{Item, Lane, Made};
use super::eeg::StepTimes;
use super::inlet::Stage;
use super::state::StateTap;
use super::trace::{Place, Trace};
use crate::config::{GazeUnits, ScreenSection};
use crate::fork::{ForkId, MAX_OPTIONS};
use crate::gate::{Evidence, Lease};
use crate::rt;

/// A shorter fixation is no look that a blink could mean, seconds.
const LOOK_MIN_S: f64 = 0.1;
/// A look this far beside every tile means none of them, degrees.
const BESIDE_MAX_DEG: f64 = 1.5;
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

/// A deliberate blink at the tiles that are up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlinkWord {
    /// The fork.
    pub fork: ForkId,
    /// Epoch of the streams.
    pub lease: Lease,
    /// Number of the word within the fork.
    pub number: u64,
    /// Stamp of the sample with which the eye was seen again, on the gaze stream's clock, seconds.
    pub at_s: f64,
    /// To be added to that to give our clock.
    pub offset_s: f64,
    /// Index of that sample.
    pub sample: u64,
    /// The tile that the eyes rested on.
    pub item: usize,
    /// How much it looks like a signal.
    pub score: f64,
    /// Evidence that it was one, nats.
    pub llr_nats: f64,
}

/// Deliberate blinks: what finds and judges them, and where the eyes were before.
#[derive(Debug, Clone)]
struct Blinks {
    scorer: BlinkScorer,
    model: BlinkModel,
    openness: Option<usize>,
    /// The last look may have ended so long before the lids closed, seconds.
    reach_s: f64,
    /// The latest fixation that is long enough for a look, and the one before it: between the two blinks of a signal there may be one.
    looks: [Option<Fixation>; 2],
    number: u64,
    found: Option<BlinkWord>,
}

impl Blinks {
    fn restart(&mut self) {
        self.scorer.interrupt();
        self.looks = [None; 2];
        self.found = None;
    }

    /// A fixation goes on or is over.
    fn looks(&mut self, fixation: &Fixation) {
        if fixation.dwell_s >= LOOK_MIN_S {
            let [latest, _] = self.looks;
            if latest.is_some_and(|latest| latest.number != fixation.number) {
                self.looks[1] = latest;
            }
            self.looks[0] = Some(*fixation);
        }
    }

    /// The tile that was looked at before these lids closed.
    fn tile_before(&self, onset_s: f64, tiles: &Tiles) -> Option<usize> {
        let began_before = |look: &&Fixation| look.onset_s < onset_s;
        let look = self.looks.iter().flatten().find(began_before)?;
        if look.onset_s < tiles.from_s || onset_s - look.last_s > self.reach_s {
            return None;
        }
        let beside = |tile: &Tile| {
            let past =
                |at: f64, centre: f64, size: f64| ((at - centre).abs() - size / 2.0).max(0.0);
            past(look.x_deg, tile.x_deg, tile.w_deg).hypot(past(look.y_deg, tile.y_deg, tile.h_deg))
        };
        let shown = tiles.tiles.iter().take(tiles.count).map(beside);
        let (item, beside_deg) = shown.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b))?;
        (beside_deg <= BESIDE_MAX_DEG).then_some(item)
    }
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
    rate: Hertz,
    blinks: Option<Blinks>,
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
            rate,
            blinks: None,
        })
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
        model.check()?;
        self.blinks = Some(Blinks {
            scorer: BlinkScorer::new(model.kind, self.rate),
            model,
            openness,
            reach_s,
            looks: [None; 2],
            number: 0,
            found: None,
        });
        Ok(())
    }

    /// The deliberate blink that ended with the latest sample.
    pub fn take_blink(&mut self) -> Option<BlinkWord> {
        self.blinks.as_mut()?.found.take()
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
        if let Some(blinks) = &mut self.blinks {
            blinks.restart();
        }
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
            if let Some(blinks) = &mut self.blinks {
                blinks.number = 0;
            }
        }
        let (x, y, valid) = self.reading.raw(sample);
        self.blink(stamp_s, sample, valid);
        let (x_deg, y_deg) = match &self.map {
            _ if !valid => (f64::NAN, f64::NAN),
            Some(map) => map.apply(x, y),
            None => self.reading.degrees(x, y),
        };
        let (up, dwell, tell_every) = (self.up, &mut self.dwell, self.tell_every);
        let blinks = &mut self.blinks;
        let mut look = |fixation: &Fixation| {
            if let Some(blinks) = blinks {
                blinks.looks(fixation);
            }
        };
        let mut tell = false;
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
                    dwell.update(&fixation);
                    tell = true;
                }
            }
            GazeEvent::Update(fixation) => {
                look(&fixation);
                if counts(&fixation) && fixation.n % tell_every == 0 {
                    dwell.update(&fixation);
                    tell = true;
                }
            }
            GazeEvent::End(fixation, end) => {
                look(&fixation);
                if counts(&fixation) {
                    dwell.end(&fixation, end == FixationEnd::Saccade);
                    tell = true;
                }
            }
        });
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

impl GazeLine {
    /// Scores the lids; a signal at a tile that is up is kept for [`Self::take_blink`].
    fn blink(&mut self, stamp_s: f64, sample: &[f32], valid: bool) {
        let Some(blinks) = &mut self.blinks else {
            return;
        };
        blinks.found = None;
        let openness = blinks
            .openness
            .map(|channel| sample.get(channel).copied().map_or(f64::NAN, f64::from));
        let (Some(scored), Some(tiles)) = (blinks.scorer.push(stamp_s, !valid, openness), &self.up)
        else {
            return;
        };
        // A signal that began before the tiles went up was not about them.
        if scored.onset_s < tiles.from_s {
            return;
        }
        let (Some(llr_nats), Some(item)) = (
            blinks.model.llr(scored.score),
            blinks.tile_before(scored.onset_s, tiles),
        ) else {
            return;
        };
        blinks.found = Some(BlinkWord {
            fork: tiles.fork,
            lease: tiles.lease,
            number: blinks.number,
            at_s: stamp_s,
            offset_s: tiles.offset_s,
            sample: self.sample,
            item,
            score: scored.score,
            llr_nats,
        });
        blinks.number += 1;
    }
}

/// What the gate is told of a deliberate blink, and what it was made from; the same live and in replay. `None` when the stamp is no time.
#[must_use]
pub fn blink_evidence(word: &BlinkWord) -> Option<(Evidence, Made)> {
    let at = LslTime::new(word.at_s + word.offset_s).ok()?;
    let evidence = Evidence::blink(
        word.fork,
        word.lease,
        word.number,
        at,
        word.item,
        word.llr_nats,
    );
    let made = Made::Blink {
        item: u32::try_from(word.item).ok()?,
        sample: word.sample,
        score: word.score,
    };
    Some((evidence, made))
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
    lane: Lane<Item>,
    watch: Arc<GazeWatch>,
    channels: usize,
    offset_s: f64,
    newest_s: Option<f64>,
    steps: StepTimes,
    state: Option<StateTap>,
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
            lane,
            watch,
            channels,
            offset_s,
            newest_s: None,
            steps,
            state: None,
        }
    }

    /// From now on every block is also copied here, for the state of the eyes.
    pub fn listen(&mut self, tap: StateTap) {
        self.state = Some(tap);
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
            let gaze = self.line.sample(*stamp, sample).and_then(|word| {
                let made = Made::Gaze {
                    sample: word.sample,
                };
                Some((gaze_evidence(&word)?, made))
            });
            let blink = self
                .line
                .take_blink()
                .and_then(|word| blink_evidence(&word));
            for (evidence, made) in gaze.into_iter().chain(blink) {
                let mut trace = Trace::default();
                trace.mark(Place::Stamp, rt::mono_of(evidence.at).as_nanos());
                trace.mark(Place::Pulled, pulled.as_nanos());
                trace.mark(Place::Scored, rt::now().as_nanos());
                self.lane.send(Item {
                    evidence,
                    trace,
                    made,
                });
            }
        }
        if let Some(stamp) = stamps
            .last()
            .and_then(|stamp| LslTime::new(stamp + self.offset_s).ok())
        {
            self.steps.note(stamp, pulled, rt::now());
        }
        if let Some(tap) = &mut self.state {
            // After the evidence has gone: nobody waits for it.
            tap.push(stamps, data);
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
        if let Some(tap) = &mut self.state {
            tap.restart();
        }
    }
}
