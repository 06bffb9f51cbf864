//! EEG on its way to the gate: channels are picked, the path of `razvilka-dsp` runs, scores become evidence.
//!
//! [`EegLine`] is pure: live and in replay the same samples and the same flashes give the same evidence, bit for bit.
//! [`EegStage`] is its real-time shell: flashes come in through a ring, evidence leaves through the gate's lane.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use razvilka_dsp::DspError;
use razvilka_dsp::blink::BlinkRegression;
use razvilka_dsp::eeg::{EegPath, EegSpec, ScoredFlash};
use razvilka_dsp::epoch::{EpochStatus, Rejection, ScorerRefused};
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::quality::BadChannel;
use razvilka_dsp::score::{EpochScorer, ScoreDensity};
use razvilka_dsp::units::{LslTime, MonoTime};
use ringbuf::traits::{Consumer, Producer};
use ringbuf::{HeapCons, HeapProd};
use serde::Serialize;

use super::contractions::{Asked, Contractions, contraction_told};
use super::decision::{Item, Lane, Made};
use super::features::FeatureTap;
use super::inlet::Stage;
use super::presenter::{FlashId, FlashNotice};
use super::state::StateTap;
use super::trace::{Place, Trace};
use crate::gate::{Evidence, Lease, Told};
use crate::rt;

/// The pure part: from a raw block to scored flashes.
pub struct EegLine {
    path: EegPath,
    /// Of the scorers in the path's two places.
    densities: [ScoreDensity; 2],
    /// Index in the stream of each channel that is used.
    select: Vec<usize>,
    stream_channels: usize,
    picked: Vec<f32>,
    /// Microvolts in one of each picked value.
    scale: Vec<f64>,
    waiting: Option<NewScorer>,
    /// Flashes without evidence, by reason in the order of [`Rejection::ALL`]; behind them those announced too late.
    rejected: [u64; Rejection::ALL.len() + 1],
    features: Option<FeatureTap>,
    pub(super) contractions: Option<Contractions>,
}

/// A scorer that shall take over.
#[derive(Debug, Clone, PartialEq)]
pub struct NewScorer {
    /// The scorer.
    pub scorer: EpochScorer,
    /// What its scores say.
    pub density: ScoreDensity,
    /// Onset of the first flash that it scores, on the stream's clock, seconds; `None` for every flash whose epoch opens from
    /// now on.
    pub from_s: Option<f64>,
}

impl From<(EpochScorer, ScoreDensity)> for NewScorer {
    fn from((scorer, density): (EpochScorer, ScoreDensity)) -> Self {
        Self {
            scorer,
            density,
            from_s: None,
        }
    }
}

/// How long a channel was bad, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadChannelTime {
    /// Its number among those used.
    pub channel: usize,
    /// Seconds in which it was bad.
    pub bad_s: u32,
    /// Seconds that were judged.
    pub of_s: u64,
    /// The same, by reason.
    pub by_reason_s: Vec<(BadChannel, u32)>,
}

/// Why a line cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum EegLineError {
    /// The path cannot be built.
    #[error(transparent)]
    Path(#[from] DspError),
    /// The scorer was fitted to another kind of epoch.
    #[error(transparent)]
    Scorer(#[from] Box<ScorerRefused>),
}

/// A flash with its evidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlashEvidence {
    /// Fork, number and item.
    pub id: FlashId,
    /// The scored flash.
    pub scored: ScoredFlash,
    /// The linear score.
    pub score: f64,
    /// Log-likelihood ratio, attended against not attended, nats.
    pub llr_nats: f64,
}

impl FlashEvidence {
    /// What the gate's record says of it.
    #[must_use]
    pub fn made(&self) -> Made {
        Made::Flash {
            item: u32::from(self.id.item()),
            number: self.id.number(),
            onset_sample: self.scored.onset_sample.0,
            score: self.score,
        }
    }
}

impl EegLine {
    /// A line for a stream of `stream_channels` channels, of which those in `select` are used, in this order.
    ///
    /// # Errors
    /// [`EegLineError`] when the path cannot be built or the scorer has another shape.
    pub fn prepare(
        spec: EegSpec,
        select: Vec<usize>,
        stream_channels: usize,
        scorer: EpochScorer,
        density: ScoreDensity,
    ) -> Result<Self, EegLineError> {
        let mut path = EegPath::prepare(spec)?;
        // A path that has opened no epoch holds no scorer back.
        let _ = path.set_scorer(scorer).map_err(Box::new)?;
        let (picked, scale) = (vec![0.0; select.len()], vec![1.0; select.len()]);
        Ok(Self {
            path,
            densities: [density; 2],
            select,
            stream_channels,
            picked,
            scale,
            waiting: None,
            rejected: [0; Rejection::ALL.len() + 1],
            features: None,
            contractions: None,
        })
    }

    /// From now on the features of every clean epoch are also copied here.
    pub fn tell_features(&mut self, tap: FeatureTap) {
        self.features = Some(tap);
    }

    /// Takes blinks out as the profile says; before the first sample.
    ///
    /// # Errors
    /// [`EegLineError::Path`] when they were fitted to another number of channels.
    pub fn set_blinks(&mut self, blinks: Option<BlinkRegression>) -> Result<(), EegLineError> {
        Ok(self.path.set_blinks(blinks)?)
    }

    /// Counts only these channels towards the minimum montage: those that the calibration uses; before the first sample.
    pub fn set_montage(&mut self, channels: ChannelMask) {
        self.path.set_montage(channels);
    }

    /// Takes the stream's values as multiples of these, microvolts, one per channel of the stream; before the first sample.
    pub fn set_units(&mut self, microvolts: &[f64]) {
        for (scale, channel) in self.scale.iter_mut().zip(&self.select) {
            *scale = microvolts.get(*channel).copied().unwrap_or(1.0);
        }
    }

    /// The path inside.
    #[must_use]
    pub fn path(&self) -> &EegPath {
        &self.path
    }

    /// Channels (of those used) that were bad for a while: number, seconds and reasons. Not real-time.
    #[must_use]
    pub fn bad_channels(&self) -> Vec<BadChannelTime> {
        let quality = self.path.quality();
        (0..self.path.spec().channels)
            .map(|channel| (channel, quality.bad_seconds(channel)))
            .filter(|(_, bad)| bad.total() > 0)
            .map(|(channel, bad)| BadChannelTime {
                channel,
                bad_s: bad.total(),
                of_s: quality.verdicts(),
                by_reason_s: BadChannel::ALL
                    .into_iter()
                    .filter(|why| bad.of(*why) > 0)
                    .map(|why| (why, bad.of(why)))
                    .collect(),
            })
            .collect()
    }

    /// Takes a scorer and its densities for the flashes it is meant for; gives back what must be dropped elsewhere.
    ///
    /// While epochs of the scorer before the present one are open, the new one waits.
    pub fn set_scorer(&mut self, new: impl Into<NewScorer>) -> Option<EpochScorer> {
        let NewScorer {
            scorer,
            density,
            from_s,
        } = new.into();
        let place = self.path.next_place();
        let taken = match from_s {
            Some(from_s) => self.path.set_scorer_from(from_s, scorer),
            None => self.path.set_scorer(scorer),
        };
        match taken {
            Ok(old) => {
                if let Some(of_place) = self.densities.get_mut(place) {
                    *of_place = density;
                }
                old
            }
            Err(ScorerRefused::Busy(scorer)) => {
                let new = NewScorer {
                    scorer,
                    density,
                    from_s,
                };
                let superseded = self.waiting.replace(new);
                superseded.map(|superseded| superseded.scorer)
            }
            Err(ScorerRefused::Shape { scorer, .. }) => Some(scorer),
        }
    }

    /// Offers a scorer that waits once more; gives back what must be dropped elsewhere.
    pub fn offer_waiting(&mut self) -> Option<EpochScorer> {
        let waiting = self.waiting.take()?;
        self.set_scorer(waiting)
    }

    /// The source begins anew; see [`EegPath::restart`].
    pub fn restart(&mut self) {
        self.path.restart();
        self.relax();
    }

    /// Announces a flash; its onset is on the EEG stream's clock. `false` when it cannot be scored.
    pub fn flash(&mut self, notice: &FlashNotice) -> bool {
        let Self { path, features, .. } = self;
        let flashed = path.flash_with(notice.id.0, notice.onset_s, |epoch| {
            if let Some(tap) = features {
                tap.note(epoch);
            }
        });
        self.reject(Rejection::ALL.len(), flashed.is_err());
        flashed.is_ok()
    }

    fn reject(&mut self, why: usize, is: bool) {
        if let Some(n) = self.rejected.get_mut(why) {
            *n += u64::from(is);
        }
    }

    /// Flashes without evidence, for whatever reason.
    #[must_use]
    pub fn rejected_in_all(&self) -> u64 {
        self.rejected.iter().sum()
    }

    /// Flashes without evidence: why, and how many. Not real-time.
    #[must_use]
    pub fn rejected(&self) -> Vec<(&'static str, u64)> {
        let words = Rejection::ALL.iter().map(|why| why.words());
        words
            .chain(["announced too late"])
            .zip(self.rejected)
            .filter(|(_, n)| *n > 0)
            .collect()
    }

    /// Takes one sample of the whole stream. `false` when it has another number of channels.
    pub fn sample(&mut self, stamp_s: f64, sample: &[f32]) -> bool {
        if sample.len() != self.stream_channels {
            return false;
        }
        let places = self.select.iter().zip(&self.scale);
        for (picked, (channel, scale)) in self.picked.iter_mut().zip(places) {
            let value = sample.get(*channel).copied().unwrap_or(f32::NAN);
            *picked = (f64::from(value) * scale) as f32;
        }
        let Self {
            path,
            picked,
            features,
            ..
        } = self;
        let pushed = path.push_with(stamp_s, picked, |epoch| {
            if let Some(tap) = features {
                tap.note(epoch);
            }
        });
        // One judgement of the stamps for both.
        self.contract(pushed.ok(), sample);
        pushed.is_ok()
    }

    /// The next flash that was scored and is clean; flashes that were rejected are counted and skipped.
    pub fn pop(&mut self) -> Option<FlashEvidence> {
        loop {
            let scored = self.path.pop()?;
            let clean = scored.status == EpochStatus::Clean;
            let evidence = scored.score.filter(|_| clean).and_then(|score| {
                let llr_nats = self.densities.get(scored.scorer)?.llr(score)?;
                Some(FlashEvidence {
                    id: FlashId(scored.id),
                    scored,
                    score,
                    llr_nats,
                })
            });
            if evidence.is_some() {
                return evidence;
            }
            let why = match scored.status {
                EpochStatus::Rejected(why) => why,
                // Whole, but its score is none.
                EpochStatus::Clean => Rejection::NotFinite,
            };
            self.reject(why as usize, true);
        }
    }
}

/// What the control plane may look at while the EEG thread runs.
#[derive(Debug, Default)]
pub struct EegWatch {
    bad: [AtomicU64; 8],
    rejected: AtomicU64,
    settled: AtomicU64,
    poor: AtomicBool,
}

impl EegWatch {
    /// Whether fewer channels are good than the minimum montage: no epoch can be used.
    #[must_use]
    pub fn is_poor(&self) -> bool {
        self.poor.load(Ordering::Relaxed)
    }

    /// Channels (of those used) that are bad now.
    #[must_use]
    pub fn bad(&self) -> ChannelMask {
        let mut mask = ChannelMask::default();
        for (word, bits) in self.bad.iter().enumerate() {
            let bits = bits.load(Ordering::Relaxed);
            for bit in (0..64).filter(|bit| bits >> bit & 1 == 1) {
                mask.insert(word * 64 + bit);
            }
        }
        mask
    }

    /// Flashes whose epoch could not be used.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// Samples that went through the path.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.settled.load(Ordering::Relaxed)
    }

    fn publish_bad(&self, mask: &ChannelMask) {
        let mut words = [0u64; 8];
        for channel in mask.iter() {
            if let Some(word) = words.get_mut(channel / 64) {
                *word |= 1 << (channel % 64);
            }
        }
        for (cell, word) in self.bad.iter().zip(words) {
            cell.store(word, Ordering::Relaxed);
        }
    }
}

/// The ends of the rings into and out of the EEG stage.
pub struct EegPorts {
    /// Flashes, from the presenter.
    pub notices: HeapCons<FlashNotice>,
    /// New scorers with their densities, from the control plane.
    pub scorers: HeapCons<NewScorer>,
    /// Old scorers, to be dropped by the control plane.
    pub retired: HeapProd<EpochScorer>,
    /// Evidence, to the gate.
    pub lane: Lane<Item>,
}

/// The real-time shell of an [`EegLine`].
pub struct EegStage {
    line: EegLine,
    ports: EegPorts,
    watch: Arc<EegWatch>,
    /// Stream clock to ours and epoch of the streams, as the latest flash said.
    offset_s: f64,
    lease: Lease,
    steps: StepTimes,
    state: Option<StateTap>,
    /// Forks that go up, where contractions are listened for.
    asked: Option<HeapCons<Asked>>,
    newest_s: Option<f64>,
}

/// Latency of the first two steps, per block and per score: fixed histograms that the thread fills without allocating.
pub struct StepTimes {
    /// Stamp of the block's last sample to pulled, when the clock offset is known.
    pub stamp_to_pulled: hdrhistogram::Histogram<u64>,
    /// Pulled to everything scored, per block.
    pub pulled_to_scored: hdrhistogram::Histogram<u64>,
}

impl StepTimes {
    /// Empty histograms.
    #[must_use]
    pub fn new() -> Self {
        Self {
            stamp_to_pulled: super::trace::empty_histogram(),
            pulled_to_scored: super::trace::empty_histogram(),
        }
    }

    /// Notes one block.
    pub fn note(&mut self, stamp: LslTime, pulled: MonoTime, scored: MonoTime) {
        self.stamp_to_pulled
            .saturating_record(pulled.nanos_since(rt::mono_of(stamp)).max(1));
        self.pulled_to_scored
            .saturating_record(scored.nanos_since(pulled).max(1));
    }
}

impl Default for StepTimes {
    fn default() -> Self {
        Self::new()
    }
}

impl EegStage {
    /// A stage around a line. `offset_s` moves the stream's stamps to our clock until a flash says otherwise.
    #[must_use]
    pub fn new(line: EegLine, ports: EegPorts, watch: Arc<EegWatch>, offset_s: f64) -> Self {
        let lease = Lease { epoch: 0 };
        Self {
            line,
            ports,
            watch,
            offset_s,
            lease,
            steps: StepTimes::new(),
            state: None,
            asked: None,
            newest_s: None,
        }
    }

    /// Hears from here which fork goes up when, for the contractions that its line listens for.
    pub fn hear_of_forks(&mut self, asked: HeapCons<Asked>) {
        self.asked = Some(asked);
    }

    /// From now on every block is also copied here, for the state of the person.
    pub fn listen(&mut self, tap: StateTap) {
        self.state = Some(tap);
    }

    fn retire(&mut self, old: Option<EpochScorer>) {
        if let Some(old) = old
            && let Err(old) = self.ports.retired.try_push(old)
        {
            // The way back holds more scorers than can be under way; leaking one is better than freeing it here.
            std::mem::forget(old);
        }
    }

    fn send(&mut self, told: Told, made: Made, pulled: MonoTime) {
        let mut trace = Trace::default();
        trace.mark(Place::Stamp, rt::mono_of(told.at()).as_nanos());
        trace.mark(Place::Pulled, pulled.as_nanos());
        trace.mark(Place::Scored, rt::now().as_nanos());
        self.ports.lane.send(Item { told, trace, made });
    }

    /// The line and the latencies, after the thread has ended.
    #[must_use]
    pub fn into_parts(self) -> (EegLine, StepTimes) {
        (self.line, self.steps)
    }
}

impl Stage for EegStage {
    fn block(&mut self, stamps: &[f64], data: &[f32], pulled: MonoTime) {
        // Before the flashes: a scorer is sent before the first flash that it is meant for.
        // One that waits comes first: a newer one takes its place.
        let old = self.line.offer_waiting();
        self.retire(old);
        while let Some(new) = self.ports.scorers.try_pop() {
            let old = self.line.set_scorer(new);
            self.retire(old);
        }
        while let Some(notice) = self.ports.notices.try_pop() {
            self.offset_s = notice.offset_s;
            self.lease = notice.lease;
            self.line.flash(&notice);
        }
        while let Some(asked) = self.asked.as_mut().and_then(|ring| ring.try_pop()) {
            self.line.put_up(asked, self.newest_s);
        }
        let channels = self.line.stream_channels;
        for (stamp, sample) in stamps.iter().zip(data.chunks_exact(channels)) {
            self.line.sample(*stamp, sample);
            while let Some(found) = self.line.pop() {
                let Ok(at) = LslTime::new(found.scored.last_s + self.offset_s) else {
                    continue;
                };
                let told = Told::Evidence(flash_evidence(&found, self.lease, at));
                self.send(told, found.made(), pulled);
            }
            let contraction = self.line.take_contraction();
            if let Some((told, made)) = contraction.and_then(|word| contraction_told(&word)) {
                self.send(told, made, pulled);
            }
            self.newest_s = Some(*stamp);
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
        let quality = self.line.path.quality();
        self.watch.publish_bad(&quality.bad());
        self.watch
            .poor
            .store(!quality.montage_ok(), Ordering::Relaxed);
        self.watch
            .rejected
            .store(self.line.rejected_in_all(), Ordering::Relaxed);
        self.watch
            .settled
            .store(self.line.path.next_sample().0, Ordering::Relaxed);
    }

    fn restart(&mut self) {
        self.line.restart();
        self.newest_s = None;
        if let Some(tap) = &mut self.state {
            tap.restart();
        }
    }
}

/// What the gate is told of a scored flash; the same live and in replay.
#[must_use]
pub fn flash_evidence(found: &FlashEvidence, lease: Lease, at: LslTime) -> Evidence {
    let seq = u64::from(found.id.number());
    Evidence::flash(
        found.id.fork(),
        lease,
        seq,
        at,
        usize::from(found.id.item()),
        found.llr_nats,
    )
}
