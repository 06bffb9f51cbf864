//! State of the eyes: what a gaze stream tells of fatigue, beside the way to the gate and never on it.
//!
//! | index | with fatigue | from |
//! |---|---|---|
//! | blinks per minute | rises | closures of 75 to 500 ms |
//! | length of a blink | rises | the same |
//! | PERCLOS: share of time in longer closures | rises | closures over 500 ms, lid at least 80 % down where the stream tells it |
//! | peak velocity of a saccade of 5 degrees | falls | main sequence of this person |
//! | BCEA within fixations | rises | 200 ms of each fixation |
//!
//! Stern, Boyer & Schroeder 1994 (Hum. Factors 36:285) review blinks; PERCLOS is that of Wierwille & Ellsworth 1994 (Accid. Anal.
//! Prev. 26:571), blinks left out; saccades slow down with time on task (Di Stasi et al. 2013, Neurosci. Biobehav. Rev. 37:968). Each index is
//! held against this person's own baseline of the same sitting with the words of [`crate::state`].
//!
//! **What a gaze stream cannot tell.** Without the lid's opening a closure is a time in which the eye was not seen: a tracker that
//! loses an open eye makes blinks and PERCLOS that are none. [`EyeIndices::perclos_measured`] says which it was. Peak velocities are those
//! of the detector's own speed, a slope over some milliseconds: comparable within one tracker and rate, not between them.
//! Below [`SACCADE_RATE_MIN_HZ`] they are not told at all.

mod closures;
mod movements;
mod watch;

pub use closures::{AWAY_S, BLINK_MAX_S, BLINK_MIN_S, Closure, ClosureFinder, Lid, LidLevel};
pub use movements::{MainSequence, Saccade, SaccadeFinder, Stability, StabilityFinder};

use self::watch::{CountWatch, ValueWatch};
use crate::error::{DspError, parameter};
use crate::gaze::{DetectorKind, EyeMovement, GazeDetector, GazeEvent, GazeSample, Labelled};
use crate::queue::FixedQueue;
use crate::state::Index;
use crate::units::{Hertz, Seconds};

/// Below this rate a saccade's peak falls between the samples.
pub const SACCADE_RATE_MIN_HZ: f64 = 120.0;
/// Amplitude at which the main sequence is read, degrees.
pub const READ_AT_DEG: f64 = 5.0;
/// Blinks are few: their lengths reach this many times further back than everything else.
const BLINKS_REACH: f64 = 3.0;
/// More blinks, saccades or fixations in a second no eyes make.
const EVENTS_PER_S: f64 = 6.0;
/// Closed time is counted in steps of this, seconds.
const CLOSED_STEP_S: f64 = 0.1;
/// Steps of one closure come together: about so many.
const CLOSED_CLUSTER: f64 = 10.0;
/// Stamps further apart are a time in which nobody watched, seconds.
const GAP_S: f64 = 0.1;
/// The indices are new so often, seconds.
const HOP_S: f64 = 1.0;

/// What [`EyeStateTracker`] is to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EyeStateSpec {
    /// Nominal rate of the stream.
    pub rate: Hertz,
    /// Which detector labels the samples.
    pub detector: DetectorKind,
    /// How long the eyes are watched for the baseline, 30..=1800 s.
    pub baseline: Seconds,
    /// How far back the present reaches, 20..=600 s.
    pub recent: Seconds,
}

/// One sample of a gaze stream, as far as the state is concerned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EyeSample {
    /// Position.
    pub gaze: GazeSample,
    /// How far the lid is open, in any unit that is 0 when it is shut; `None` where the stream has no such channel, NaN where this
    /// sample has none.
    pub openness: Option<f64>,
}

/// All indices that rest on the eyes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct EyeIndices {
    /// Share of the baseline's time that has been watched, 0 to 1.
    pub baseline_share: f64,
    /// Blinks per minute of watched time.
    pub blinks_per_min: Index,
    /// Length of a blink, seconds, geometric mean; its `z` is that of the logarithm.
    pub blink_s: Index,
    /// Share of watched time in closures over 500 ms.
    pub perclos: Index,
    /// Whether `perclos` rests on the lid's opening (`true`), or on times without an eye (`false`); `None` while not known.
    pub perclos_measured: Option<bool>,
    /// Peak velocity of a saccade of [`READ_AT_DEG`], degrees per second, by this person's main sequence; its `z` is that of
    /// the logarithm.
    pub saccade_peak_deg_s: Index,
    /// Bivariate contour ellipse area (68 %) of 200 ms of a fixation, square degrees, geometric mean; `z` of the logarithm.
    pub bcea_deg2: Index,
    /// Distance from sample to sample within the same fixations, root mean square, degrees: the tracker's own noise beside.
    pub rms_s2s_deg: Option<f64>,
}

/// Everything from raw samples to [`EyeIndices`]. Pure: the same samples give the same bits.
///
/// `push` does not allocate; at the end of a baseline it goes through some hundred values once.
#[derive(Debug, Clone)]
pub struct EyeStateTracker {
    spec: EyeStateSpec,
    detector: GazeDetector,
    held: FixedQueue<EyeSample>,
    measures: Measures,
}

/// Everything behind the detector.
#[derive(Debug, Clone)]
struct Measures {
    closures: ClosureFinder,
    lid: LidLevel,
    saccades: Option<SaccadeFinder>,
    stability: StabilityFinder,
    baseline_s: f64,
    watched_s: f64,
    last_s: Option<f64>,
    told_s: Option<f64>,
    blinks: CountWatch,
    closed: CountWatch,
    blink_ln_s: ValueWatch,
    saccade_ln: ValueWatch,
    bcea_ln: ValueWatch,
    s2s_ln: ValueWatch,
    main_sequence: Option<MainSequence>,
    /// Amplitudes of the baseline's saccades, beside their peaks.
    amplitudes_ln: Vec<f64>,
}

impl EyeStateTracker {
    /// Builds every stage.
    ///
    /// # Errors
    /// [`DspError`] for a number or a rate out of range.
    pub fn new(spec: EyeStateSpec) -> Result<Self, DspError> {
        let baseline_s = parameter("state baseline in s", spec.baseline.get(), 30.0, 1_800.0)?;
        let recent_s = parameter("recent time in s", spec.recent.get(), 20.0, 600.0)?;
        let rate_hz = spec.rate.get();
        let first = (baseline_s * EVENTS_PER_S).ceil() as usize;
        let values = |reach_s: f64| ValueWatch::new(baseline_s, first, reach_s);
        let (baseline, recent) = (baseline_s.round() as usize, recent_s.round() as usize);
        Ok(Self {
            spec,
            detector: GazeDetector::new(spec.detector, spec.rate)?,
            held: FixedQueue::new((rate_hz * 0.05).ceil() as usize + 8)?,
            measures: Measures {
                closures: ClosureFinder::new(),
                lid: LidLevel::new(spec.rate),
                saccades: (rate_hz >= SACCADE_RATE_MIN_HZ).then(SaccadeFinder::new),
                stability: StabilityFinder::new(),
                baseline_s,
                watched_s: 0.0,
                last_s: None,
                told_s: None,
                blinks: CountWatch::new(baseline, recent, 1.0)?,
                closed: CountWatch::new(baseline, recent, CLOSED_CLUSTER)?,
                blink_ln_s: values(BLINKS_REACH * recent_s)?,
                saccade_ln: values(recent_s)?,
                bcea_ln: values(recent_s)?,
                s2s_ln: values(recent_s)?,
                main_sequence: None,
                amplitudes_ln: Vec::with_capacity(first),
            },
        })
    }

    /// What it was built for.
    #[must_use]
    pub fn spec(&self) -> &EyeStateSpec {
        &self.spec
    }

    /// As new: the baseline is forgotten, too.
    pub fn reset(&mut self) {
        self.detector.reset();
        self.held.reset();
        self.measures.reset();
    }

    /// The source begins anew: nothing reaches across; the baseline and what was counted so far stay.
    pub fn restart(&mut self) {
        self.detector.restart();
        self.held.reset();
        self.measures.interrupt();
    }

    /// Takes one sample; `true` when the indices are new: once a second.
    pub fn push(&mut self, sample: EyeSample) -> bool {
        let Self {
            detector,
            held,
            measures,
            ..
        } = self;
        // The detector drops stamps that are not finite or not after the last one; a label never comes for them.
        if held.push(sample).is_err() {
            held.pop();
            let _ = held.push(sample);
        }
        let mut new = false;
        detector.push(sample.gaze, &mut |event| {
            let GazeEvent::Label(label) = event else {
                return;
            };
            while let Some(waiting) = held.front().copied() {
                if waiting.gaze.t_s > label.t_s {
                    break;
                }
                held.pop();
                if waiting.gaze.t_s == label.t_s {
                    new |= measures.label(&label, &waiting);
                    break;
                }
            }
        });
        new
    }

    /// The indices as they stand.
    #[must_use]
    pub fn indices(&self) -> EyeIndices {
        self.measures.indices()
    }

    /// This person's main sequence; `None` before the baseline is whole.
    #[must_use]
    pub fn main_sequence(&self) -> Option<MainSequence> {
        self.measures.main_sequence
    }
}

impl Measures {
    fn reset(&mut self) {
        self.interrupt();
        self.lid.reset();
        self.watched_s = 0.0;
        self.told_s = None;
        self.blinks.reset();
        self.closed.reset();
        for values in [
            &mut self.blink_ln_s,
            &mut self.saccade_ln,
            &mut self.bcea_ln,
            &mut self.s2s_ln,
        ] {
            values.reset();
        }
        self.main_sequence = None;
        self.amplitudes_ln.clear();
    }

    fn interrupt(&mut self) {
        self.closures.reset();
        self.stability.reset();
        if let Some(saccades) = &mut self.saccades {
            saccades.reset();
        }
        self.last_s = None;
    }

    /// Takes a label with its sample; `true` once a second.
    fn label(&mut self, label: &Labelled, sample: &EyeSample) -> bool {
        let t_s = label.t_s;
        let mut passed_s = self.last_s.map_or(0.0, |last_s| t_s - last_s);
        if passed_s > GAP_S {
            self.interrupt();
            passed_s = 0.0;
        }
        self.last_s = Some(t_s);
        // A bridged gap keeps the label of what went on around it: the lid was down all the same.
        let lost = label.movement == EyeMovement::Lost || !sample.gaze.valid;
        let lid = self.lid.judge(sample.openness, lost);
        if let Some(closure) = self.closures.push(t_s, passed_s, lid) {
            self.closure(t_s, &closure);
        } else if !self.closures.is_closed() {
            self.watch(passed_s, 0, 0.0);
        }
        let seen = !lost && !lid.closed;
        let at = seen.then_some([sample.gaze.x_deg, sample.gaze.y_deg]);
        if let Some(saccades) = &mut self.saccades
            && let Some(saccade) = saccades.push(label, at)
        {
            self.saccade(t_s, &saccade);
        }
        if let Some(stable) = self.stability.push(label, at) {
            self.bcea_ln
                .push(t_s, self.watched_s, stable.bcea_deg2.ln());
            self.s2s_ln
                .push(t_s, self.watched_s, stable.rms_s2s_deg.ln());
        }
        let told_s = *self.told_s.get_or_insert(t_s);
        // A clock that went back begins a new second.
        let new = t_s - told_s >= HOP_S || t_s < told_s;
        if new {
            self.told_s = Some(t_s);
        }
        new
    }

    /// An eye that was shut is seen again.
    fn closure(&mut self, t_s: f64, closure: &Closure) {
        if closure.length_s > AWAY_S {
            return;
        }
        let blink = closure.is_blink();
        let slow_s = if closure.length_s > BLINK_MAX_S {
            closure.shut_s
        } else {
            0.0
        };
        self.watch(closure.length_s, u32::from(blink), slow_s);
        if blink {
            self.blink_ln_s
                .push(t_s, self.watched_s, closure.length_s.ln());
        }
    }

    fn watch(&mut self, passed_s: f64, blinks: u32, slow_s: f64) {
        self.watched_s += passed_s;
        self.blinks.push(blinks, passed_s);
        self.closed
            .push((slow_s / CLOSED_STEP_S).round() as u32, passed_s);
    }

    fn saccade(&mut self, t_s: f64, saccade: &Saccade) {
        let (amplitude_ln, peak_ln) = (saccade.amplitude_deg.ln(), saccade.peak_deg_s.ln());
        if let Some(sequence) = &self.main_sequence {
            let beyond = peak_ln - sequence.peak_ln(amplitude_ln);
            self.saccade_ln.push(t_s, self.watched_s, beyond);
            return;
        }
        // As long as no baseline is closed the values are peaks, each with its amplitude beside; then what is left of them.
        if self.amplitudes_ln.len() < self.amplitudes_ln.capacity() {
            self.amplitudes_ln.push(amplitude_ln);
            self.saccade_ln.hold(peak_ln);
        }
        let whole = self.watched_s >= self.baseline_s
            || self.amplitudes_ln.len() == self.amplitudes_ln.capacity();
        if whole
            && let Some(sequence) = MainSequence::fit(&self.amplitudes_ln, self.saccade_ln.first())
        {
            for (value, amplitude_ln) in self.saccade_ln.first_mut().zip(&self.amplitudes_ln) {
                *value -= sequence.peak_ln(*amplitude_ln);
            }
            self.saccade_ln.close();
            self.main_sequence = Some(sequence);
        }
    }

    fn indices(&self) -> EyeIndices {
        let sequence = self.main_sequence;
        let read = |beyond: f64| {
            let peak_ln = sequence.map(|sequence| sequence.peak_ln(READ_AT_DEG.ln()));
            peak_ln.map_or(f64::NAN, |peak_ln| (peak_ln + beyond).exp())
        };
        let per_min = |per_s: f64| 60.0 * per_s;
        EyeIndices {
            baseline_share: (self.watched_s / self.baseline_s).min(1.0),
            blinks_per_min: self.blinks.index(per_min),
            blink_s: self.blink_ln_s.index(f64::exp),
            perclos: self.closed.index(|steps_per_s| CLOSED_STEP_S * steps_per_s),
            perclos_measured: self.lid.is_measured(),
            saccade_peak_deg_s: self.saccade_ln.index(read),
            bcea_deg2: self.bcea_ln.index(f64::exp),
            rms_s2s_deg: self.s2s_ln.recent_mean().map(f64::exp),
        }
    }
}
