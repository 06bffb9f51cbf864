//! From labels to fixations: announcing, bridging, ending.

use serde::{Deserialize, Serialize};

use super::{EyeMovement, GazeEvent, Labelled};

/// A fixation so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Fixation {
    /// Number since the detector was built or reset, from 0.
    pub number: u64,
    /// Stamp of its first sample, seconds.
    pub onset_s: f64,
    /// Stamp of its last sample so far, seconds.
    pub last_s: f64,
    /// When this became known: stamp of the newest sample, seconds.
    pub emit_s: f64,
    /// Mean horizontal position, degrees.
    pub x_deg: f64,
    /// Mean vertical position, degrees.
    pub y_deg: f64,
    /// Root mean square distance of its samples from the mean position, degrees.
    pub dispersion_deg: f64,
    /// Number of samples.
    pub n: u64,
    /// Time covered by its samples, without gaps, seconds.
    pub dwell_s: f64,
}

/// How a fixation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FixationEnd {
    /// By a saccade: the fixation is valid.
    Saccade,
    /// By a blink, lost data or a gap too long to bridge: it is invalid, and never a selection.
    Lost,
    /// By the end of the data: it was cut short.
    EndOfData,
}

/// The fixation that is under way.
#[derive(Debug, Clone)]
pub(super) struct FixationTrack {
    spec: TrackSpec,
    period_s: f64,
    next_number: u64,
    now: Option<Open>,
}

/// When fixations are announced and end.
#[derive(Debug, Clone, Copy)]
pub(super) struct TrackSpec {
    /// A fixation is announced once it has lasted this long.
    pub(super) announce_s: f64,
    /// A saccade ends it once it has lasted this long.
    pub(super) end_s: f64,
    /// Data lost for no longer do not end it.
    pub(super) bridge_s: f64,
    /// After a bridged gap the eye must be this close.
    pub(super) bridge_deg: f64,
}

/// Slow movement for so long, and what looked like a saccade before was none.
const NO_SACCADE_S: f64 = 0.020;

#[derive(Debug, Clone, Copy)]
struct Open {
    fixation: Fixation,
    announced: bool,
    squares: f64,
    lost_since: bool,
    /// Time in saccades that were too short to end it, and slow time since.
    fast_s: f64,
    slow_s: f64,
    /// Stamp of the last label.
    label_s: f64,
}

impl FixationTrack {
    pub(super) fn new(spec: TrackSpec, period_s: f64) -> Self {
        Self {
            spec,
            period_s,
            next_number: 0,
            now: None,
        }
    }

    pub(super) fn reset(&mut self) {
        self.next_number = 0;
        self.now = None;
    }

    /// Takes the next label, says it, and whatever follows from it.
    pub(super) fn follow(
        &mut self,
        label: &mut Labelled,
        at_deg: Option<[f64; 2]>,
        out: &mut impl FnMut(GazeEvent),
    ) {
        let emit_s = label.emit_s;
        let ended = self.ends_before(label, at_deg);
        let mut end = None;
        if let Some(how) = ended {
            end = self.now.take().filter(|o| o.announced).map(|o| (o, how));
        }
        let mut start = None;
        let mut update = None;
        if let (EyeMovement::Fixation | EyeMovement::Pursuit, Some(at)) = (label.movement, at_deg) {
            let (next, announce_s, period_s) =
                (self.next_number, self.spec.announce_s, self.period_s);
            let open = self.now.get_or_insert_with(|| Open::new(next, label.t_s));
            open.add(label, at, period_s);
            if open.announced {
                update = Some(open.fixation);
            } else if open.fixation.dwell_s >= announce_s - 0.5 * period_s {
                open.announced = true;
                self.next_number += 1;
                label.announces = true;
                start = Some(open.fixation);
            }
        } else if let (EyeMovement::Lost | EyeMovement::None, Some(open)) =
            (label.movement, &mut self.now)
        {
            open.lost_since = true;
        }
        out(GazeEvent::Label(*label));
        if let Some((open, how)) = end {
            out(GazeEvent::End(
                Fixation {
                    emit_s,
                    ..open.fixation
                },
                how,
            ));
        }
        if let Some(fixation) = start {
            out(GazeEvent::Start(fixation));
        }
        if let Some(fixation) = update {
            out(GazeEvent::Update(fixation));
        }
    }

    /// No more data.
    pub(super) fn interrupt(&mut self, emit_s: f64, out: &mut impl FnMut(GazeEvent)) {
        if let Some(open) = self.now.take().filter(|o| o.announced) {
            out(GazeEvent::End(
                Fixation {
                    emit_s,
                    ..open.fixation
                },
                FixationEnd::EndOfData,
            ));
        }
    }

    /// Whether the open fixation is over before this sample, and how.
    fn ends_before(&mut self, label: &Labelled, at_deg: Option<[f64; 2]>) -> Option<FixationEnd> {
        let open = self.now.as_mut()?;
        let fast_enough = open.lasts(label, self.period_s) > self.spec.end_s - 0.5 * self.period_s;
        let f = &open.fixation;
        let gap_s = label.t_s - f.last_s;
        if gap_s > self.spec.bridge_s.max(1.5 * self.period_s) {
            return Some(FixationEnd::Lost);
        }
        match (label.movement, at_deg) {
            (EyeMovement::Saccade, _) if !fast_enough => None,
            (EyeMovement::Saccade, _) if open.lost_since => Some(FixationEnd::Lost),
            (EyeMovement::Saccade, _) => Some(FixationEnd::Saccade),
            (EyeMovement::Fixation | EyeMovement::Pursuit, Some([x, y]))
                if open.lost_since && (x - f.x_deg).hypot(y - f.y_deg) > self.spec.bridge_deg =>
            {
                Some(FixationEnd::Lost)
            }
            _ => None,
        }
    }
}

impl Open {
    fn new(number: u64, onset_s: f64) -> Self {
        Self {
            fixation: Fixation {
                number,
                onset_s,
                last_s: onset_s,
                emit_s: onset_s,
                x_deg: 0.0,
                y_deg: 0.0,
                dispersion_deg: 0.0,
                n: 0,
                dwell_s: 0.0,
            },
            announced: false,
            squares: 0.0,
            lost_since: false,
            fast_s: 0.0,
            slow_s: 0.0,
            label_s: onset_s,
        }
    }

    /// How long the eye has moved fast, with this label.
    fn lasts(&mut self, label: &Labelled, period_s: f64) -> f64 {
        let since_s = (label.t_s - self.label_s).clamp(0.0, 1.5 * period_s);
        self.label_s = label.t_s;
        match label.movement {
            EyeMovement::Saccade => {
                self.fast_s += since_s;
                self.slow_s = 0.0;
            }
            EyeMovement::Fixation | EyeMovement::Pursuit => {
                self.slow_s += since_s;
                if self.slow_s > NO_SACCADE_S {
                    self.fast_s = 0.0;
                }
            }
            _ => {}
        }
        self.fast_s
    }

    /// Welford's running mean and sum of squared distances.
    fn add(&mut self, label: &Labelled, [x, y]: [f64; 2], period_s: f64) {
        let f = &mut self.fixation;
        let gap_s = label.t_s - f.last_s;
        // The time since the last sample belongs to the fixation unless data were missing in between.
        f.dwell_s += if f.n == 0 || self.lost_since || gap_s > 1.5 * period_s {
            period_s
        } else {
            gap_s
        };
        self.lost_since = false;
        f.n += 1;
        let n = f.n as f64;
        let (dx, dy) = (x - f.x_deg, y - f.y_deg);
        f.x_deg += dx / n;
        f.y_deg += dy / n;
        self.squares += dx * (x - f.x_deg) + dy * (y - f.y_deg);
        f.dispersion_deg = (self.squares / n).max(0.0).sqrt();
        f.last_s = label.t_s;
        f.emit_s = label.emit_s;
    }
}
