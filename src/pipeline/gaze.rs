//! Gaze on its way to the gate: raw coordinates become degrees, fixations become evidence for the tiles.
//!
//! [`GazeLine`] is pure: what it says depends on the samples and on the stamps at which tiles went up, not on how samples
//! were chunked or when an order arrived, as long as it arrived before the sample with its stamp. [`GazeStage`] is its
//! real-time shell.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use razvilka_calibration::{EyeMaps, GazeMap};
use razvilka_dsp::DspError;
use razvilka_dsp::deliberate::{BlinkModel, BlinkScorer};
use razvilka_dsp::gaze::{
    Binocular, BinocularCounts, BinocularSpec, DetectorKind, Fixation, FixationEnd, GazeCounts,
    GazeDetector, GazeEvent, GazeSample,
};
use razvilka_dsp::gaze_evidence::{DwellEvidence, DwellModel, Tile};
use razvilka_dsp::units::{Hertz, LslTime, MonoTime};
use ringbuf::traits::{Consumer, Producer};
use ringbuf::{HeapCons, HeapProd};
use serde::Serialize;

use super::decision::{Item, Lane, Made};
use super::eeg::StepTimes;
use super::gaze_reading::{Eyes, LEFT, RIGHT};
pub use super::gaze_reading::{EyesRead, GazeReading, RawGaze};
use super::inlet::Stage;
use super::state::StateTap;
use super::trace::{Place, Trace};
use crate::fork::{ForkId, MAX_OPTIONS};
use crate::gate::{Evidence, Lease};
use crate::rt;

/// A shorter fixation is no look that a blink could mean, seconds.
const LOOK_MIN_S: f64 = 0.1;
/// A look this far beside every tile means none of them, degrees.
const BESIDE_MAX_DEG: f64 = 1.5;
/// A fixation that goes on is told to the gate once in this time.
const TELL_EVERY_S: f64 = 0.040;

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
    /// From the tracker's unit to degrees; the geometry of the screen where there are none.
    maps: Option<EyeMaps>,
    eyes: Binocular,
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
    outside: Outside,
    at_deg: Option<[f64; 2]>,
    rate: Hertz,
    blinks: Option<Blinks>,
}

/// Samples that lay outside the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Outside {
    /// Outside, but within the margin: taken as they are.
    pub near: u64,
    /// Beyond the margin: lost.
    pub beyond: u64,
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
            reading,
            maps,
            eyes: Binocular::new(BinocularSpec::default())?,
            detector: GazeDetector::new(detector, rate)?,
            dwell: DwellEvidence::new(model)?,
            up: None,
            next: None,
            number: 0,
            sample: 0,
            tell_every: ((TELL_EVERY_S * rate.get()).round() as u64).max(1),
            late: 0,
            look: None,
            outside: Outside::default(),
            at_deg: None,
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
        self.eyes.restart();
        (self.up, self.next) = (None, None);
        if let Some(blinks) = &mut self.blinks {
            blinks.restart();
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

    /// Where the person looks, degrees; `None` when no eye was seen.
    fn regard(&mut self, stamp_s: f64, sample: &[f32]) -> Option<[f64; 2]> {
        let raw = self.reading.raw(sample);
        let mut eyes = [None; 2];
        for ((eye, seen), number) in eyes.iter_mut().zip(raw.eyes).zip([LEFT, RIGHT]) {
            *eye = seen.and_then(|(x, y)| {
                let (x_deg, y_deg) = match &self.maps {
                    Some(maps) => self.map_of(maps, number)?.apply(x, y),
                    None => self.reading.degrees(x, y),
                };
                Some([x_deg, y_deg])
            });
        }
        let at = if self.reading.eyes.is_binocular() {
            self.eyes.push(stamp_s, eyes)
        } else {
            eyes.into_iter().flatten().next()
        };
        let outside_deg = at.map_or(0.0, |at| self.reading.outside_deg(at));
        if outside_deg > self.reading.margin_deg {
            self.outside.beyond += 1;
            return None;
        }
        self.outside.near += u64::from(outside_deg > 0.0);
        at
    }

    /// The map of one eye: its own, where each was calibrated, else that of both; `None` for an eye that could not be calibrated
    /// though the other one was.
    fn map_of(&self, maps: &EyeMaps, eye: usize) -> Option<GazeMap> {
        let own = if eye == RIGHT { maps.right } else { maps.left };
        let each = maps.left.is_some() || maps.right.is_some();
        match self.reading.eyes.eyes {
            Eyes::Combined(_) => Some(maps.both),
            Eyes::Left(_) | Eyes::Right(_) => Some(own.unwrap_or(maps.both)),
            Eyes::Two { .. } if each => own,
            Eyes::Two { .. } => Some(maps.both),
        }
    }

    /// Where the person looked at the latest sample, degrees; `None` when no eye was seen.
    #[must_use]
    pub fn at_deg(&self) -> Option<[f64; 2]> {
        self.at_deg
    }

    /// Samples outside the picture so far.
    #[must_use]
    pub fn outside(&self) -> Outside {
        self.outside
    }

    /// What the detector could not use so far: positions that were lost, and stamps that are no times or do not go on.
    #[must_use]
    pub fn unused(&self) -> GazeCounts {
        self.detector.counts()
    }

    /// Whether the left and the right eye count as lost for good, while the other one is seen.
    #[must_use]
    pub fn eyes_lost(&self) -> [bool; 2] {
        self.eyes.lost()
    }

    /// Which eyes were seen; nothing of a stream that does not tell of both.
    #[must_use]
    pub fn eyes_seen(&self) -> Option<BinocularCounts> {
        let binocular = self.reading.eyes.is_binocular();
        binocular.then(|| self.eyes.counts())
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
        let at = self.regard(stamp_s, sample);
        self.blink(stamp_s, sample);
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
        let blinks = &mut self.blinks;
        let mut rest = |fixation: &Fixation| {
            if let Some(blinks) = blinks {
                blinks.looks(&shifted(fixation));
            }
        };
        let counts = |fixation: &Fixation| up.is_some_and(|tiles| fixation.onset_s >= tiles.from_s);
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
                    dwell.update(&shifted(&fixation));
                    tell = true;
                }
            }
            GazeEvent::Update(fixation) => {
                rest(&fixation);
                if counts(&fixation) && fixation.n % tell_every == 0 {
                    dwell.update(&shifted(&fixation));
                    tell = true;
                }
            }
            GazeEvent::End(fixation, end) => {
                rest(&fixation);
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

impl GazeLine {
    /// Scores the lids; a signal at a tile that is up is kept for [`Self::take_blink`].
    fn blink(&mut self, stamp_s: f64, sample: &[f32]) {
        let Some(blinks) = &mut self.blinks else {
            return;
        };
        let valid = self.reading.raw(sample).mean().is_some();
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
    /// By [`Trouble`].
    troubles: [AtomicU64; Trouble::ALL.len()],
    /// 1: the left eye is lost for good; 2: the right one.
    eyes_lost: AtomicU64,
}

/// What may be wrong with gaze samples, and is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Farther outside the picture than the margin.
    BeyondMargin,
    /// The eyes contradict each other.
    Apart,
    /// The stamp is not after the last one.
    Backward,
    /// The stamp is no number.
    NoTime,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::BeyondMargin,
        Self::Apart,
        Self::Backward,
        Self::NoTime,
    ];

    /// For people, after "so many gaze samples are".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::BeyondMargin => {
                "far outside the picture: they count as lost. Check [screen], gaze.units and gaze.origin, or calibrate"
            }
            Self::Apart => {
                "of eyes that contradict each other: they count as lost. Calibrate, or choose one by gaze.eyes"
            }
            Self::Backward => {
                "from before the last one, or as old, by their stamps: they are dropped"
            }
            Self::NoTime => "without a stamp that is a time: they are dropped",
        }
    }
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

    /// How many samples had this trouble.
    #[must_use]
    pub fn troubled(&self, trouble: Trouble) -> u64 {
        let count = self.troubles.get(trouble as usize);
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Whether the left and the right eye are lost for good.
    #[must_use]
    pub fn eyes_lost(&self) -> [bool; 2] {
        let bits = self.eyes_lost.load(Ordering::Relaxed);
        [bits & 1 != 0, bits & 2 != 0]
    }

    /// Takes over what the line counted. Does not wait.
    pub fn follow(&self, line: &GazeLine) {
        let unused = line.unused();
        self.late.store(line.late(), Ordering::Relaxed);
        self.lost.store(unused.invalid, Ordering::Relaxed);
        self.samples.store(line.sample, Ordering::Relaxed);
        let apart = line.eyes_seen().map_or(0, |seen| seen.apart);
        let counts = [
            line.outside.beyond,
            apart,
            unused.backward,
            unused.not_finite,
        ];
        for (trouble, count) in self.troubles.iter().zip(counts) {
            trouble.store(count, Ordering::Relaxed);
        }
        let [left, right] = line.eyes_lost();
        self.eyes_lost
            .store(u64::from(left) | u64::from(right) << 1, Ordering::Relaxed);
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
    feedback: Option<HeapProd<Dwell>>,
    channels: usize,
    offset_s: f64,
    newest_s: Option<f64>,
    steps: StepTimes,
    rate_hz: Option<f64>,
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
            looks: None,
            lane,
            watch,
            feedback: None,
            channels,
            offset_s,
            newest_s: None,
            steps,
            rate_hz: None,
            state: None,
        }
    }

    /// Tells looks to who learns from them; when the ring is full, the newest is dropped and not learnt from.
    pub fn tell_looks(&mut self, looks: HeapProd<Look>) {
        self.looks = Some(looks);
    }

    /// Holds the stream to this rate instead of to the one that it declares.
    #[must_use]
    pub fn at_rate(mut self, rate_hz: Option<f64>) -> Self {
        self.rate_hz = rate_hz;
        self
    }

    /// The line.
    #[must_use]
    pub fn line(&self) -> &GazeLine {
        &self.line
    }

    /// From now on every block is also copied here, for the state of the eyes.
    pub fn listen(&mut self, tap: StateTap) {
        self.state = Some(tap);
    }

    /// Says from now on how far each option has come. What finds the ring full is dropped: newer ones follow.
    pub fn feed_back(&mut self, ring: HeapProd<Dwell>) {
        self.feedback = Some(ring);
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
            let gaze = word.and_then(|word| {
                let evidence = gaze_evidence(&word)?;
                if let Some(feedback) = &mut self.feedback {
                    let _ = feedback.try_push(Dwell {
                        fork: word.fork,
                        at: evidence.at,
                        progress: word.progress,
                    });
                }
                let made = Made::Gaze {
                    sample: word.sample,
                };
                Some((evidence, made))
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
        self.watch.follow(&self.line);
        if let Some(tap) = &mut self.state {
            // After the evidence has gone: nobody waits for it.
            tap.push(stamps, data);
        }
    }

    fn restart(&mut self) {
        self.line.restart();
        self.newest_s = None;
        if let Some(tap) = &mut self.state {
            tap.restart();
        }
    }

    fn rate_hz(&self) -> Option<f64> {
        self.rate_hz
    }
}

#[cfg(test)]
mod tests {
    use super::super::gaze_reading::EyeChannels;
    use super::*;
    use crate::config::{GazeOrigin, GazeUnits, ScreenSection};
    use razvilka_calibration::MapOrder;

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
