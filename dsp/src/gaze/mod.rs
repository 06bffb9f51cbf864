//! Eye movements as they happen: fixations, saccades and lost data, with at most 10 ms of look-ahead.
//!
//! Positions are degrees of visual angle from the centre of the screen, x to the right, y downwards. Nothing in here knows of
//! screens, tiles or options.

mod binocular;
mod detector;
mod features;
mod history;
mod hsmm;
mod judge;
mod net;
mod parts;
mod stream;
mod track;
mod trained;
mod velocity;

pub use binocular::{Binocular, BinocularCounts, BinocularSpec};
pub use detector::{DetectorKind, GazeDetector};
pub use features::{FEATURES, Features};
pub use hsmm::{AGE_S, AGES, CLASSES, Durations};
pub use net::{HIDDEN_1, HIDDEN_2, OUTPUTS, PARAMETERS, Parameters, Tuning};
pub use parts::FixationParts;
pub use stream::{Described, FeatureStream};
pub use track::{Fixation, FixationEnd};
pub use trained::{TrainedDetector, TrainedSpec};

use serde::{Deserialize, Serialize};

use self::track::{FixationTrack, TrackSpec};
use self::velocity::{Measured, SpeedWindow, Timed};
use crate::error::{DspError, parameter};
use crate::queue::FixedQueue;
use crate::units::{Hertz, Seconds};

/// Longest look-ahead that is allowed.
pub const LOOK_AHEAD_MAX_S: f64 = 0.010;

/// Settings of [`VelocityThreshold`]; every field has a default.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VelocitySpec {
    /// How long a label waits for later samples, 0..=10 ms; rounded down to whole samples. Default 10 ms.
    pub look_ahead: Seconds,
    /// Half the window in which velocity is measured, up to the look-ahead; rounded down to whole samples. Default 6 ms.
    pub half_window: Seconds,
    /// Lowest speed that a saccade must reach, deg/s. Default 40.
    pub peak_floor_deg_s: f64,
    /// The speed that a saccade must reach is at least this multiple of the running median speed between saccades. Default 7.
    pub peak_noise_factor: f64,
    /// A saccade begins and ends where speed crosses this share of the speed it must reach, 0..=1. Default 0.8.
    pub edge_share: f64,
    /// After a saccade the eye is settling while it is faster than this share of the speed a saccade must reach, 0..=1. Default 0.3.
    pub settled_share: f64,
    /// A saccade is over, and settling begins, when its speed has fallen below this share of its peak and rises again, 0..=1. Default 0.2.
    pub rebound_share: f64,
    /// Longest settling after a saccade. Default 40 ms.
    pub settling: Seconds,
    /// No eye is faster, deg/s: beyond it is a blink. Default 1000.
    pub speed_max_deg_s: f64,
    /// Time constant of the running median. Default 1 s.
    pub noise_window: Seconds,
    /// A fixation is announced once it has lasted this long (by labels, which come a look-ahead later). Default 20 ms.
    pub announce_after: Seconds,
    /// Data lost for no longer than this do not end a fixation. Default 75 ms.
    pub bridge: Seconds,
    /// After a bridged gap the eye must be this close to the fixation's centre, degrees. Default 1.
    pub bridge_deg: f64,
}

impl Default for VelocitySpec {
    fn default() -> Self {
        const fn s(value: f64) -> Seconds {
            match Seconds::new(value) {
                Ok(v) => v,
                Err(_) => panic!("evaluated at build time"),
            }
        }
        const LOOK_AHEAD: Seconds = s(LOOK_AHEAD_MAX_S);
        const HALF_WINDOW: Seconds = s(0.006);
        const NOISE: Seconds = s(1.0);
        const ANNOUNCE: Seconds = s(0.020);
        const BRIDGE: Seconds = s(0.075);
        const SETTLING: Seconds = s(0.040);
        Self {
            look_ahead: LOOK_AHEAD,
            half_window: HALF_WINDOW,
            peak_floor_deg_s: 40.0,
            peak_noise_factor: 7.0,
            edge_share: 0.8,
            settled_share: 0.3,
            rebound_share: 0.2,
            settling: SETTLING,
            speed_max_deg_s: 1000.0,
            noise_window: NOISE,
            announce_after: ANNOUNCE,
            bridge: BRIDGE,
            bridge_deg: 1.0,
        }
    }
}

/// One gaze sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GazeSample {
    /// Stamp, seconds, on any one clock.
    pub t_s: f64,
    /// Horizontal position, degrees.
    pub x_deg: f64,
    /// Vertical position, degrees.
    pub y_deg: f64,
    /// Whether the tracker believes it.
    pub valid: bool,
}

/// What the eye was doing at a sample. The numbers are the codes of Andersson et al. (2017).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EyeMovement {
    /// Not known.
    None = 0,
    /// Fixation; of [`VelocityThreshold`] any slow phase, smooth pursuit too.
    Fixation = 1,
    /// Saccade.
    Saccade = 2,
    /// Settling after a saccade (post-saccadic oscillation).
    Settling = 3,
    /// Smooth pursuit.
    Pursuit = 4,
    /// Blink or lost data.
    Lost = 5,
}

impl EyeMovement {
    /// The code: 0 none, 1 fixation, 2 saccade, 3 settling, 4 pursuit, 5 blink or lost.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// The label of one sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Labelled {
    /// The sample's stamp, seconds.
    pub t_s: f64,
    /// Stamp of the sample with which the label became known, seconds.
    pub emit_s: f64,
    /// What the eye was doing.
    pub movement: EyeMovement,
    /// Speed, deg/s; `None` where it could not be measured.
    pub speed_deg_s: Option<f64>,
    /// Whether a fixation is announced with this label.
    pub announces: bool,
}

/// What the detector says. Every sample gives one [`GazeEvent::Label`], in order; events follow the label that caused them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GazeEvent {
    /// The label of a sample.
    Label(Labelled),
    /// A fixation has lasted long enough to be announced.
    Start(Fixation),
    /// An announced fixation goes on.
    Update(Fixation),
    /// An announced fixation is over.
    End(Fixation, FixationEnd),
}

/// What could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GazeCounts {
    /// Samples dropped: stamp not finite.
    pub not_finite: u64,
    /// Samples dropped: stamp not after the last one.
    pub backward: u64,
    /// Samples without a valid position.
    pub invalid: u64,
}

/// Velocity threshold that follows the noise, with hysteresis.
///
/// Speed is the slope of straight lines fitted to x and y over a window centred on the sample (the middle of a linear
/// or quadratic Savitzky-Golay filter, with the samples' true times). The threshold follows the median speed between
/// saccades, after Engbert & Kliegl (2003) and Nystrom & Holmqvist (2010), but causally: the median is tracked in the logarithm by
/// equal steps up and down. A saccade begins where speed rises above the lower threshold on its way to the upper one
/// within the look-ahead, and ends where it falls below the lower one or rises again from a small part of its peak; until the eye is
/// quiet it is settling. Fast movement beside lost data, or faster than any eye, is a lid.
///
/// Rates from 60 to 2000 Hz and irregular stamps are fine. Below 100 Hz no later sample lies within 10 ms: speed is then the slope from
/// the sample before, and nothing waits.
#[derive(Debug, Clone)]
pub struct VelocityThreshold {
    spec: VelocitySpec,
    period_s: f64,
    ahead: usize,
    window: SpeedWindow,
    queue: FixedQueue<Measured>,
    noise: RunningMedian,
    phase: Phase,
    track: FixationTrack,
    last_s: Option<f64>,
    counts: GazeCounts,
}

/// What went on at the sample before.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    Slow,
    Saccade { peak: f64, last: f64 },
    Settling { since_s: f64 },
    Lost,
}

/// Median of a positive quantity by steps of equal size in the logarithm.
#[derive(Debug, Clone, Copy)]
struct RunningMedian {
    ln: f64,
    initial_ln: f64,
}

impl VelocityThreshold {
    /// Builds the detector for a tracker of about this rate, 30..=2000 Hz.
    ///
    /// # Errors
    /// [`DspError::Parameter`] for a rate or setting out of range.
    pub fn new(spec: VelocitySpec, rate: Hertz) -> Result<Self, DspError> {
        let rate_hz = parameter("gaze rate in Hz", rate.get(), 30.0, 2000.0)?;
        let look_ahead = parameter(
            "look-ahead in s",
            spec.look_ahead.get(),
            0.0,
            LOOK_AHEAD_MAX_S,
        )?;
        let half = parameter("half window in s", spec.half_window.get(), 0.0, look_ahead)?;
        parameter("saccade speed in deg/s", spec.peak_floor_deg_s, 1.0, 1000.0)?;
        parameter("saccade noise factor", spec.peak_noise_factor, 1.0, 100.0)?;
        parameter("saccade edge share", spec.edge_share, 0.01, 1.0)?;
        parameter("settled share", spec.settled_share, 0.0, 1.0)?;
        parameter("rebound share", spec.rebound_share, 0.0, 1.0)?;
        parameter("settling time in s", spec.settling.get(), 0.0, 0.2)?;
        parameter("largest speed in deg/s", spec.speed_max_deg_s, 100.0, 1e5)?;
        parameter("noise window in s", spec.noise_window.get(), 0.05, 60.0)?;
        parameter("bridged gap in s", spec.bridge.get(), 0.0, 0.5)?;
        parameter("bridged distance in deg", spec.bridge_deg, 0.0, 90.0)?;
        parameter("announcement in s", spec.announce_after.get(), 0.0, 1.0)?;
        let track = TrackSpec {
            announce_s: spec.announce_after.get(),
            end_s: 0.0,
            bridge_s: spec.bridge.get(),
            bridge_deg: spec.bridge_deg,
        };
        // A hair of slack: 10 ms of 500 Hz are five samples, whatever the rounding.
        let samples = |s: f64| (s * rate_hz * (1.0 + 1e-9)).floor() as usize;
        let (ahead, half) = (samples(look_ahead), samples(half));
        Ok(Self {
            spec,
            period_s: 1.0 / rate_hz,
            ahead: ahead - half,
            window: SpeedWindow::new(half, 1.0 / rate_hz),
            queue: FixedQueue::new(ahead - half + 1)?,
            noise: RunningMedian::new(spec.peak_floor_deg_s / spec.peak_noise_factor),
            phase: Phase::Slow,
            track: FixationTrack::new(track, 1.0 / rate_hz),
            last_s: None,
            counts: GazeCounts::default(),
        })
    }

    /// Look-ahead in whole samples of the nominal rate, seconds.
    #[must_use]
    pub fn look_ahead_s(&self) -> f64 {
        (self.ahead + self.window.half()) as f64 * self.period_s
    }

    /// What could not be used so far.
    #[must_use]
    pub fn counts(&self) -> GazeCounts {
        self.counts
    }

    /// Speed that a saccade must reach now, deg/s.
    #[must_use]
    pub fn peak_threshold_deg_s(&self) -> f64 {
        (self.spec.peak_noise_factor * self.noise.value()).max(self.spec.peak_floor_deg_s)
    }

    /// As new.
    pub fn reset(&mut self) {
        self.restart();
        self.counts = GazeCounts::default();
    }

    /// The source begins anew: nothing of what came before reaches across. A fixation under way ends without an event;
    /// counts go on.
    pub fn restart(&mut self) {
        self.window.reset();
        self.queue.reset();
        self.noise.reset();
        self.phase = Phase::Slow;
        self.track.reset();
        self.last_s = None;
    }

    /// Takes one sample. A sample whose stamp is not after the last one is dropped and counted.
    pub fn push(&mut self, sample: GazeSample, out: &mut impl FnMut(GazeEvent)) {
        if !sample.t_s.is_finite() {
            self.counts.not_finite += 1;
            return;
        }
        if self.last_s.is_some_and(|last_s| sample.t_s <= last_s) {
            self.counts.backward += 1;
            return;
        }
        self.last_s = Some(sample.t_s);
        let inside = |v: f64| v.is_finite() && v.abs() <= 180.0;
        let valid = sample.valid && inside(sample.x_deg) && inside(sample.y_deg);
        self.counts.invalid += u64::from(!valid);
        let timed = Timed {
            t_s: sample.t_s,
            at_deg: valid.then_some([sample.x_deg, sample.y_deg]),
        };
        if let Some(measured) = self.window.push(timed) {
            self.enqueue(measured, sample.t_s, out);
        }
    }

    /// Says what is still held back, as if no sample would ever follow; the emission time is the last sample's.
    pub fn finish(&mut self, out: &mut impl FnMut(GazeEvent)) {
        let Some(now_s) = self.last_s else {
            return;
        };
        while let Some(measured) = self.window.flush() {
            self.enqueue(measured, now_s, out);
        }
        while let Some(oldest) = self.queue.pop() {
            self.label(oldest, now_s, out);
        }
        self.track.interrupt(now_s, out);
    }

    fn enqueue(&mut self, measured: Measured, now_s: f64, out: &mut impl FnMut(GazeEvent)) {
        // One place is always free here.
        let _ = self.queue.push(measured);
        if self.queue.len() > self.ahead
            && let Some(oldest) = self.queue.pop()
        {
            self.label(oldest, now_s, out);
        }
    }

    fn label(&mut self, oldest: Measured, now_s: f64, out: &mut impl FnMut(GazeEvent)) {
        self.phase = self.next_phase(&oldest);
        let movement = match (self.phase, oldest.speed) {
            (Phase::Lost, _) => EyeMovement::Lost,
            (_, None) => EyeMovement::None,
            (Phase::Saccade { .. }, _) => EyeMovement::Saccade,
            (Phase::Settling { .. }, _) => EyeMovement::Settling,
            (Phase::Slow, _) => EyeMovement::Fixation,
        };
        if let (EyeMovement::Fixation, Some(speed)) = (movement, oldest.speed) {
            let window_samples = self.spec.noise_window.get() / self.period_s;
            self.noise.learn(speed, window_samples);
        }
        let mut labelled = Labelled {
            t_s: oldest.sample.t_s,
            emit_s: now_s,
            movement,
            speed_deg_s: oldest.speed,
            announces: false,
        };
        self.track.follow(&mut labelled, oldest.sample.at_deg, out);
    }

    fn next_phase(&self, now: &Measured) -> Phase {
        if now.sample.at_deg.is_none() {
            return Phase::Lost;
        }
        let Some(speed) = now.speed else {
            return Phase::Slow;
        };
        let upper = self.peak_threshold_deg_s();
        let lower = upper * self.spec.edge_share;
        // A lid that closes or opens drags the measured gaze along.
        let lid = speed > lower && (now.near_lost || self.phase == Phase::Lost);
        if lid || speed > self.spec.speed_max_deg_s {
            return Phase::Lost;
        }
        let settling = upper * self.spec.settled_share;
        match self.phase {
            Phase::Saccade { peak, last } => {
                let rebounds = speed > last && last < self.spec.rebound_share * peak;
                if speed > lower && !rebounds {
                    Phase::Saccade {
                        peak: peak.max(speed),
                        last: speed,
                    }
                } else if speed > settling {
                    Phase::Settling {
                        since_s: now.sample.t_s,
                    }
                } else {
                    Phase::Slow
                }
            }
            Phase::Settling { since_s }
                if speed > settling && now.sample.t_s - since_s < self.spec.settling.get() =>
            {
                Phase::Settling { since_s }
            }
            _ if speed > upper || (speed > lower && self.reaches(lower, upper)) => Phase::Saccade {
                peak: speed,
                last: speed,
            },
            _ => Phase::Slow,
        }
    }

    /// Whether the samples ahead stay above `lower` until one is above `upper`.
    fn reaches(&self, lower: f64, upper: f64) -> bool {
        self.queue
            .iter()
            .map(|p| p.speed.unwrap_or(0.0))
            .take_while(|speed| *speed > lower)
            .any(|speed| speed > upper)
    }
}

impl RunningMedian {
    fn new(initial: f64) -> Self {
        Self {
            ln: initial.ln(),
            initial_ln: initial.ln(),
        }
    }

    fn value(self) -> f64 {
        self.ln.exp()
    }

    fn learn(&mut self, value: f64, window: f64) {
        // Speeds spread over about one unit of the logarithm, so steps of 1 / window follow within a few windows.
        let step = (1.0 / window).min(0.2);
        if value.max(1e-3).ln() > self.ln {
            self.ln += step;
        } else {
            self.ln -= step;
        }
    }

    fn reset(&mut self) {
        self.ln = self.initial_ln;
    }
}
