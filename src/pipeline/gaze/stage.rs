//! The real-time shell of a [`GazeLine`], and what the control plane sees of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use razvilka_dsp::units::{LslTime, MonoTime};
use ringbuf::traits::{Consumer, Producer};
use ringbuf::{HeapCons, HeapProd};

use super::{
    Dwell, GazeLine, Look, Tiles, blink_evidence, gaze_evidence, look_told, pupil_evidence,
};
use crate::gate::Told;
use crate::pipeline::decision::{Item, Lane, Made};
use crate::pipeline::eeg::StepTimes;
use crate::pipeline::inlet::Stage;
use crate::pipeline::state::StateTap;
use crate::pipeline::trace::{Place, Trace};
use crate::rt;

/// What the control plane may look at while the gaze thread runs.
#[derive(Debug, Default)]
pub struct GazeWatch {
    late: AtomicU64,
    lost: AtomicU64,
    samples: AtomicU64,
    /// By [`Trouble`].
    troubles: [AtomicU64; Trouble::ALL.len()],
    /// By bits, from the lowest: the left eye is lost for good, the right one is, the left one is not calibrated, the right one is not,
    /// no eye is seen.
    eyes: AtomicU64,
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

/// How it stands with the eyes; pairs are of the left and the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EyesSeen {
    /// Lost for good, while the other one is seen.
    pub lost: [bool; 2],
    /// Left out, because the other one was calibrated and it was not.
    pub uncalibrated: [bool; 2],
    /// No eye that can be used has been seen for 5 s.
    pub none: bool,
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

    /// How it stands with the eyes.
    #[must_use]
    pub fn eyes(&self) -> EyesSeen {
        let bits = self.eyes.load(Ordering::Relaxed);
        let set = |bit: u32| bits >> bit & 1 != 0;
        EyesSeen {
            lost: [set(0), set(1)],
            uncalibrated: [set(2), set(3)],
            none: set(4),
        }
    }

    /// Takes over what the line counted. Does not wait.
    pub fn follow(&self, line: &GazeLine) {
        let unused = line.unused();
        self.late.store(line.late(), Ordering::Relaxed);
        self.lost.store(unused.invalid, Ordering::Relaxed);
        self.samples.store(line.sample, Ordering::Relaxed);
        let apart = line.eyes_seen().map_or(0, |seen| seen.apart);
        let counts = [
            line.outside().beyond,
            apart,
            unused.backward,
            unused.not_finite,
        ];
        for (trouble, count) in self.troubles.iter().zip(counts) {
            trouble.store(count, Ordering::Relaxed);
        }
        let ([left, right], [no_left, no_right]) = (line.eyes_lost(), line.eyes_uncalibrated());
        let bits = [left, right, no_left, no_right, line.is_unseen()];
        let eyes = bits
            .into_iter()
            .zip(0..)
            .map(|(set, bit)| u64::from(set) << bit);
        self.eyes.store(eyes.sum(), Ordering::Relaxed);
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
            let pupil = self
                .line
                .take_pupil()
                .and_then(|word| pupil_evidence(&word));
            let evidence = gaze.into_iter().chain(blink).chain(pupil);
            let evidence = evidence.map(|(evidence, made)| (Told::Evidence(evidence), made));
            // Looks first: what gaze says tells the gate that it has heard of every look up to then.
            let line = &mut self.line;
            let looks = std::iter::from_fn(|| line.take_look());
            for (told, made) in looks.filter_map(|word| look_told(&word)).chain(evidence) {
                let mut trace = Trace::default();
                trace.mark(Place::Stamp, rt::mono_of(told.at()).as_nanos());
                trace.mark(Place::Pulled, pulled.as_nanos());
                trace.mark(Place::Scored, rt::now().as_nanos());
                self.lane.send(Item { told, trace, made });
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
