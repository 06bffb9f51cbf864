//! Two eyes as one point of regard: the mean while both are seen, and no jump when one of them is lost.
//!
//! The lines of sight of two eyes meet the screen at places that differ: by what the calibration leaves of each eye, and by the vergence of
//! the person (Hooge, Holleman, Haukes & Hessels 2019, "Gaze tracking accuracy in humans: one eye is sometimes better than two"). When one
//! eye is lost the mean would step by half of that difference, which a detector of saccades takes for a small one. So the difference is
//! followed slowly while both eyes are seen, and half of it is added to the eye that is left. It is bounded: an eye whose measured place
//! is far off must not draw the point of regard along.

use serde::{Deserialize, Serialize};

use crate::error::{DspError, parameter};
use crate::units::Seconds;

/// Longest step of time by which anything is learned, seconds: a gap teaches nothing.
const STEP_MAX_S: f64 = 0.1;

/// Settings of [`Binocular`]; every field has a default.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BinocularSpec {
    /// Time constant with which the difference of the eyes is followed, 0.05 to 60 s. Default 1 s.
    pub follow: Seconds,
    /// Largest difference that is taken out, per axis, 0 to 20 degrees. Default 5.
    pub difference_max_deg: f64,
    /// Eyes that are this much farther apart than they usually are contradict each other: the sample is lost, 0.5 to 90
    /// degrees. Default 10.
    pub apart_deg: f64,
    /// An eye that was not seen for this long, while the other one was, counts as lost for good, 0.5 to 600 s. Default 5 s.
    pub lost_after: Seconds,
}

impl Default for BinocularSpec {
    fn default() -> Self {
        const fn s(value: f64) -> Seconds {
            match Seconds::new(value) {
                Ok(v) => v,
                Err(_) => panic!("evaluated at build time"),
            }
        }
        const FOLLOW: Seconds = s(1.0);
        const LOST: Seconds = s(5.0);
        Self {
            follow: FOLLOW,
            difference_max_deg: 5.0,
            apart_deg: 10.0,
            lost_after: LOST,
        }
    }
}

/// In how many samples which eyes were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BinocularCounts {
    /// Both eyes, close enough together.
    pub both: u64,
    /// The left eye alone.
    pub left: u64,
    /// The right eye alone.
    pub right: u64,
    /// No eye.
    pub neither: u64,
    /// Both eyes, too far apart to be believed: lost.
    pub apart: u64,
}

/// Two eyes that contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Dispute {
    goes_on: bool,
    /// For how long, seconds.
    for_s: f64,
    /// The eye that jumped less when it began: 0 left, 1 right; `None` when the two have never agreed.
    sound: Option<usize>,
}

/// Makes one point of regard of two eyes. Real-time after construction.
#[derive(Debug, Clone)]
pub struct Binocular {
    spec: BinocularSpec,
    /// Right minus left, degrees.
    difference_deg: [f64; 2],
    /// From how many samples it was learned.
    learned: u32,
    /// For how long each eye was missing while the other one was seen, seconds.
    missing_s: [f64; 2],
    /// Where each eye looked when the two last agreed, degrees.
    agreed_deg: Option<[[f64; 2]; 2]>,
    dispute: Dispute,
    last_s: Option<f64>,
    counts: BinocularCounts,
}

impl Binocular {
    /// Builds the stage.
    ///
    /// # Errors
    /// [`DspError::Parameter`] for a setting out of range.
    pub fn new(spec: BinocularSpec) -> Result<Self, DspError> {
        parameter(
            "time constant of the eyes' difference in s",
            spec.follow.get(),
            0.05,
            60.0,
        )?;
        parameter(
            "difference of the eyes in deg",
            spec.difference_max_deg,
            0.0,
            20.0,
        )?;
        parameter("eyes apart in deg", spec.apart_deg, 0.5, 90.0)?;
        parameter("eye lost after s", spec.lost_after.get(), 0.5, 600.0)?;
        Ok(Self {
            spec,
            difference_deg: [0.0; 2],
            learned: 0,
            missing_s: [0.0; 2],
            agreed_deg: None,
            dispute: Dispute::default(),
            last_s: None,
            counts: BinocularCounts::default(),
        })
    }

    /// Where the person looks, degrees, from where the left and the right eye do (`None` for one that is not seen; a place that is not
    /// finite counts as not seen). `None` when neither is seen, or the two contradict each other; when they have done so for
    /// [`BinocularSpec::lost_after`], the eye that jumped less when it began goes on alone and the other counts as lost.
    ///
    /// Only time that goes on teaches: a sample whose stamp is not after the last one is combined but not learned from.
    pub fn push(&mut self, t_s: f64, eyes: [Option<[f64; 2]>; 2]) -> Option<[f64; 2]> {
        let seen = |eye: Option<[f64; 2]>| eye.filter(|[x, y]| x.is_finite() && y.is_finite());
        let [left, right] = eyes.map(seen);
        let step_s = self.step_s(t_s);
        self.miss(left.is_some(), right.is_some(), step_s);
        let [half_x, half_y] = self.difference_deg.map(|d| 0.5 * d);
        let alone = |eye: usize, [x, y]: [f64; 2]| match eye {
            0 => [x + half_x, y + half_y],
            _ => [x - half_x, y - half_y],
        };
        match (left, right) {
            (None, None) => {
                self.counts.neither += 1;
                None
            }
            (Some(left), None) => {
                self.counts.left += 1;
                (self.trusted() != Some(1)).then_some(alone(0, left))
            }
            (None, Some(right)) => {
                self.counts.right += 1;
                (self.trusted() != Some(0)).then_some(alone(1, right))
            }
            (Some(left), Some(right)) => {
                let now = [right[0] - left[0], right[1] - left[1]];
                let [usual_x, usual_y] = self.difference_deg;
                let off_deg = (now[0] - usual_x).hypot(now[1] - usual_y);
                if off_deg > self.spec.apart_deg || !off_deg.is_finite() {
                    self.counts.apart += 1;
                    self.dispute([left, right], step_s);
                    let sound = self.trusted()?;
                    if let Some(missing_s) = self.missing_s.get_mut(1 - sound) {
                        *missing_s = self.spec.lost_after.get();
                    }
                    return Some(alone(sound, if sound == 0 { left } else { right }));
                }
                self.dispute = Dispute::default();
                self.agreed_deg = Some([left, right]);
                self.counts.both += 1;
                self.learn(now, step_s);
                Some([
                    0.5 * left[0] + 0.5 * right[0],
                    0.5 * left[1] + 0.5 * right[1],
                ])
            }
        }
    }

    /// The eyes contradict each other, with this sample too.
    fn dispute(&mut self, now_deg: [[f64; 2]; 2], step_s: f64) {
        if !self.dispute.goes_on {
            let jump =
                |before: [f64; 2], now: [f64; 2]| (now[0] - before[0]).hypot(now[1] - before[1]);
            let [left, right] = now_deg;
            self.dispute = Dispute {
                goes_on: true,
                for_s: 0.0,
                sound: self
                    .agreed_deg
                    .map(|[l, r]| usize::from(jump(l, left) > jump(r, right))),
            };
        }
        self.dispute.for_s = (self.dispute.for_s + step_s).min(self.spec.lost_after.get());
    }

    /// The eye that goes on alone because the other one has contradicted it for long.
    fn trusted(&self) -> Option<usize> {
        let long = self.dispute.for_s >= self.spec.lost_after.get();
        self.dispute.sound.filter(|_| long)
    }

    /// Right minus left as followed, degrees.
    #[must_use]
    pub fn difference_deg(&self) -> [f64; 2] {
        self.difference_deg
    }

    /// Whether the left and the right eye count as lost for good.
    #[must_use]
    pub fn lost(&self) -> [bool; 2] {
        let limit_s = self.spec.lost_after.get();
        self.missing_s.map(|missing_s| missing_s >= limit_s)
    }

    /// Which eyes were seen so far.
    #[must_use]
    pub fn counts(&self) -> BinocularCounts {
        self.counts
    }

    /// As new.
    pub fn reset(&mut self) {
        self.restart();
        self.missing_s = [0.0; 2];
        self.counts = BinocularCounts::default();
    }

    /// The source begins anew: nothing that was learned holds; counts go on, and an eye that was lost is lost until it is seen.
    pub fn restart(&mut self) {
        self.difference_deg = [0.0; 2];
        self.learned = 0;
        self.agreed_deg = None;
        self.dispute = Dispute::default();
        self.last_s = None;
    }

    /// Time since the last stamp, 0 for one that does not go on.
    fn step_s(&mut self, t_s: f64) -> f64 {
        if !t_s.is_finite() || self.last_s.is_some_and(|last_s| t_s <= last_s) {
            return 0.0;
        }
        let step_s = self.last_s.map_or(0.0, |last_s| t_s - last_s);
        self.last_s = Some(t_s);
        step_s.min(STEP_MAX_S)
    }

    fn miss(&mut self, left: bool, right: bool, step_s: f64) {
        let limit_s = self.spec.lost_after.get();
        for (missing_s, (this, other)) in self
            .missing_s
            .iter_mut()
            .zip([(left, right), (right, left)])
        {
            if this {
                *missing_s = 0.0;
            } else if other {
                *missing_s = (*missing_s + step_s).min(limit_s);
            }
        }
    }

    /// A running mean of the first samples, an exponential one from then on.
    fn learn(&mut self, now_deg: [f64; 2], step_s: f64) {
        if self.learned > 0 && step_s == 0.0 {
            return;
        }
        self.learned = self.learned.saturating_add(1);
        let gain = (1.0 / f64::from(self.learned)).max(step_s / self.spec.follow.get());
        let most = self.spec.difference_max_deg;
        for (usual, now) in self.difference_deg.iter_mut().zip(now_deg) {
            *usual = (*usual + gain.min(1.0) * (now - *usual)).clamp(-most, most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE_HZ: f64 = 250.0;

    fn stage() -> Binocular {
        Binocular::new(BinocularSpec::default()).unwrap()
    }

    /// Noise of the eyes in sample `k`, without a generator: sums of incommensurable sines, about 0.1 degrees.
    fn noise(k: usize, which: f64) -> f64 {
        let k = k as f64;
        0.1 * ((k * 1.7 + which).sin() + (k * 2.9 + 3.0 * which).cos()) / 2.0_f64.sqrt()
    }

    fn seen(k: usize) -> ([f64; 2], [f64; 2]) {
        let left = [1.0 + noise(k, 1.0), 2.0 + noise(k, 2.0)];
        let right = [2.5 + noise(k, 3.0), 1.4 + noise(k, 4.0)];
        (left, right)
    }

    #[test]
    fn both_eyes_give_their_mean() {
        let mut eyes = stage();
        for k in 0..500 {
            let (left, right) = seen(k);
            let at = eyes.push(k as f64 / RATE_HZ, [Some(left), Some(right)]);
            let expected = [(left[0] + right[0]) / 2.0, (left[1] + right[1]) / 2.0];
            let [x, y] = at.unwrap();
            assert!((x - expected[0]).abs() < 1e-12 && (y - expected[1]).abs() < 1e-12);
        }
        let [dx, dy] = eyes.difference_deg();
        assert!(
            (dx - 1.5).abs() < 0.05 && (dy + 0.6).abs() < 0.05,
            "{dx} {dy}"
        );
        assert_eq!(eyes.counts().both, 500);
    }

    #[test]
    fn the_point_of_regard_does_not_jump_when_an_eye_goes_or_comes_back() {
        let mut eyes = stage();
        let mut places: Vec<[f64; 2]> = Vec::new();
        for k in 0..3000 {
            let (left, right) = seen(k);
            let eyes_seen = match k {
                1000..1500 => [Some(left), None],
                2000..2500 => [None, Some(right)],
                _ => [Some(left), Some(right)],
            };
            places.push(eyes.push(k as f64 / RATE_HZ, eyes_seen).unwrap());
        }
        // The truth is 1.75, 1.7 all the time; the eyes themselves are 0.75 degrees off to either side.
        let mean = |of: std::ops::Range<usize>, axis: usize| {
            let n = of.len() as f64;
            places[of].iter().map(|at| at[axis]).sum::<f64>() / n
        };
        for of in [500..1000, 1000..1500, 1500..2000, 2000..2500] {
            let (x, y) = (mean(of.clone(), 0), mean(of.clone(), 1));
            assert!(
                (x - 1.75).abs() < 0.05 && (y - 1.7).abs() < 0.05,
                "{of:?}: {x} {y}"
            );
        }
        let counts = eyes.counts();
        assert_eq!((counts.left, counts.right, counts.both), (500, 500, 2000));
    }

    #[test]
    fn an_eye_that_was_never_seen_leaves_the_other_as_it_is() {
        let mut eyes = stage();
        for k in 0..100 {
            let (left, _) = seen(k);
            assert_eq!(
                eyes.push(k as f64 / RATE_HZ, [Some(left), None]),
                Some(left)
            );
        }
    }

    #[test]
    fn an_eye_lost_for_good_is_said_and_is_no_longer_when_it_comes_back() {
        let mut eyes = stage();
        let mut lost_at = None;
        for k in 0..(10.0 * RATE_HZ) as usize {
            let (left, right) = seen(k);
            let t_s = k as f64 / RATE_HZ;
            let right = (t_s < 2.0).then_some(right);
            eyes.push(t_s, [Some(left), right]);
            if eyes.lost() == [false, true] && lost_at.is_none() {
                lost_at = Some(t_s);
            }
        }
        // Missing from 2 s on, so after 5 s of it.
        assert!((lost_at.unwrap() - 7.0).abs() < 0.01, "{lost_at:?}");
        let (left, right) = seen(0);
        eyes.push(11.0, [Some(left), Some(right)]);
        assert_eq!(eyes.lost(), [false, false]);
    }

    #[test]
    fn closed_eyes_are_not_an_eye_lost_for_good() {
        let mut eyes = stage();
        for k in 0..5000 {
            assert_eq!(eyes.push(f64::from(k) / RATE_HZ, [None, None]), None);
        }
        assert_eq!(eyes.lost(), [false, false]);
        assert_eq!(eyes.counts().neither, 5000);
    }

    #[test]
    fn eyes_that_contradict_each_other_are_lost() {
        let mut eyes = stage();
        for k in 0..300 {
            let (left, right) = seen(k);
            eyes.push(k as f64 / RATE_HZ, [Some(left), Some(right)]);
        }
        assert_eq!(eyes.push(2.0, [Some([0.0, 0.0]), Some([25.0, 0.0])]), None);
        assert_eq!(eyes.counts().apart, 1);
        let [dx, _] = eyes.difference_deg();
        assert!((dx - 1.5).abs() < 0.1, "nothing is learned from it: {dx}");
    }

    #[test]
    fn the_difference_that_is_taken_out_is_bounded() {
        let mut eyes = stage();
        for k in 0..5000 {
            eyes.push(
                f64::from(k) / RATE_HZ,
                [Some([0.0, 0.0]), Some([6.5, -6.5])],
            );
        }
        assert_eq!(eyes.difference_deg(), [5.0, -5.0]);
        assert_eq!(eyes.push(30.0, [Some([0.0, 0.0]), None]), Some([2.5, -2.5]));
    }

    #[test]
    fn finite_or_not_what_comes_out_is_finite_and_reset_is_new() {
        let odd = [
            f64::NAN,
            f64::INFINITY,
            f64::MAX,
            f64::MIN,
            0.0,
            1.0,
            -180.0,
        ];
        let mut eyes = stage();
        let push_all = |eyes: &mut Binocular| {
            let mut out = Vec::new();
            for (k, x) in odd.iter().enumerate() {
                for y in odd {
                    for t_s in [k as f64, f64::NAN, -1.0] {
                        for pair in [
                            [Some([*x, y]), Some([y, *x])],
                            [Some([*x, y]), None],
                            [None, Some([y, *x])],
                        ] {
                            out.push(eyes.push(t_s, pair));
                        }
                    }
                }
            }
            out
        };
        let first = push_all(&mut eyes);
        let finite = |at: &[f64; 2]| at.iter().all(|v| v.is_finite());
        assert!(first.iter().flatten().all(finite));
        eyes.reset();
        assert_eq!(push_all(&mut eyes), first);
        assert_eq!(eyes.counts(), {
            let mut new = stage();
            push_all(&mut new);
            new.counts()
        });
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for spec in [
            BinocularSpec {
                apart_deg: f64::NAN,
                ..BinocularSpec::default()
            },
            BinocularSpec {
                difference_max_deg: -1.0,
                ..BinocularSpec::default()
            },
        ] {
            assert!(Binocular::new(spec).is_err());
        }
    }

    #[test]
    fn an_eye_that_jumps_away_for_long_is_left_and_the_other_goes_on() {
        let mut eyes = stage();
        let push = |eyes: &mut Binocular, k: usize, right_off: f64| {
            let (left, mut right) = seen(k);
            right[0] += right_off;
            (
                eyes.push(k as f64 / RATE_HZ, [Some(left), Some(right)]),
                left,
            )
        };
        for k in 0..500 {
            assert!(push(&mut eyes, k, 0.0).0.is_some());
        }
        let usual = eyes.difference_deg();
        // 5 s in which nothing is believed, then the left eye alone.
        for k in 500..3_000 {
            let (at, left) = push(&mut eyes, k, 15.0);
            let since_s = (k - 500) as f64 / RATE_HZ;
            if since_s < 4.99 {
                assert_eq!((at, eyes.lost()), (None, [false; 2]));
            } else if since_s > 5.01 {
                let [x, y] = at.unwrap();
                assert!((x - left[0] - 0.5 * usual[0]).abs() < 1e-9);
                assert!((y - left[1] - 0.5 * usual[1]).abs() < 1e-9);
                assert_eq!(eyes.lost(), [false, true]);
            }
        }
        // The left eye blinks: the other one is not believed.
        let (_, right) = seen(3_000);
        assert_eq!(
            eyes.push(12.0, [None, Some([right[0] + 15.0, right[1]])]),
            None
        );
        // It comes back.
        let (at, _) = push(&mut eyes, 3_001, 0.0);
        assert!(at.is_some());
        assert_eq!(eyes.lost(), [false; 2]);
    }
}
