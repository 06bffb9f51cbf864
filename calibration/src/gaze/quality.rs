//! Precision, loss and rate of looks at one place (Holmqvist, Nyström & Mulvey 2012, "Eye tracker data quality: what it is and how
//! to measure it", ETRA '12, 45; Niehorster et al. 2020, "Characterizing gaze position signals and synthesizing noise during
//! fixations in eye-tracking data", Behav. Res. Methods 52:2515).

use super::judged::Looked;
use super::map::{distance, median};

/// Standard deviation per median absolute value of a Gaussian.
pub(super) const MAD_TO_SD: f64 = 1.482_602_218_505_602;
/// No error model claims to be better than this, degrees.
pub(super) const SD_FLOOR_DEG: f64 = 0.05;

/// Root mean square of the distance from each position to the one before, in the unit of the positions; pairs with a position
/// lost between them, `None`, do not count. 0 without a pair.
#[must_use]
pub fn rms_s2s(positions: &[Option<(f64, f64)>]) -> f64 {
    root_mean(positions.windows(2).filter_map(|pair| match pair {
        [Some(a), Some(b)] => Some(distance(*a, *b).powi(2)),
        _ => None,
    }))
}

/// Standard deviation of positions about their mean, both axes together: the root of the sum of both variances (divided by n).
#[must_use]
pub fn sd(positions: &[Option<(f64, f64)>]) -> f64 {
    let (xx, yy, _) = covariance(positions);
    (xx + yy).sqrt()
}

/// Variances and covariance about the mean: xx, yy, xy, divided by n.
pub(super) fn covariance(positions: &[Option<(f64, f64)>]) -> (f64, f64, f64) {
    let seen = || positions.iter().flatten();
    let n = seen().count().max(1) as f64;
    let mean = seen().fold((0.0, 0.0), |m, p| (m.0 + p.0 / n, m.1 + p.1 / n));
    seen().fold((0.0, 0.0, 0.0), |v, p| {
        let (dx, dy) = (p.0 - mean.0, p.1 - mean.1);
        (v.0 + dx * dx / n, v.1 + dy * dy / n, v.2 + dx * dy / n)
    })
}

/// Positions of one look within three robust standard deviations of its middle; those beyond (a glance elsewhere) count as lost
/// here, and are left to the outlier share.
pub(super) fn core(look: &Looked) -> Vec<Option<(f64, f64)>> {
    let from_centre = |p: &(f64, f64)| distance(*p, look.centre);
    let seen = look.window.iter().filter_map(|(_, place)| *place);
    let distances: Vec<f64> = seen.map(|place| from_centre(&place)).collect();
    let limit = (3.0 * MAD_TO_SD * median(&distances)).max(SD_FLOOR_DEG);
    let places = look.window.iter();
    places
        .map(|(_, place)| place.filter(|p| from_centre(p) <= limit))
        .collect()
}

/// Standard deviation, root mean square over looks, and root mean square from sample to sample over all looks, degrees.
pub(super) fn precision<'a>(looks: impl Iterator<Item = &'a Looked> + Clone) -> (f64, f64) {
    let variances = looks.clone().map(|look| sd(&core(look)).powi(2));
    let steps = looks.flat_map(|look| {
        let core = core(look);
        let steps: Vec<f64> = core
            .windows(2)
            .filter_map(|pair| Some(distance(pair[0]?, pair[1]?).powi(2)))
            .collect();
        steps
    });
    (root_mean(variances), root_mean(steps))
}

fn root_mean(squares: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = squares.fold((0.0, 0.0), |(sum, n), square| (sum + square, n + 1.0));
    if n > 0.0 { (sum / n).sqrt() } else { 0.0 }
}

/// Loss and rate of samples while points were shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct DataFlow {
    /// Share of the samples that should have been there that had no position.
    pub(super) loss: f64,
    /// Samples with a position per second.
    pub(super) rate_hz: f64,
    /// Samples per second by their stamps, seen or not.
    pub(super) stamped_hz: f64,
}

impl DataFlow {
    pub(super) fn of<'a>(looks: impl Iterator<Item = &'a Looked>) -> Self {
        let (mut seen, mut stamped, mut duration, mut spans) = (0.0, 0.0, 0.0, 0.0);
        let mut intervals = Vec::new();
        for look in looks {
            let stamps: Vec<f64> = look.window.iter().map(|(t_s, _)| *t_s).collect();
            seen += look.window.iter().filter(|(_, p)| p.is_some()).count() as f64;
            if let (Some(first), Some(last)) = (stamps.first(), stamps.last()) {
                duration += last - first;
                stamped += stamps.len() as f64;
                spans += 1.0;
            }
            intervals.extend(stamps.windows(2).map(|w| w[1] - w[0]));
        }
        let interval = median(&intervals);
        if interval <= 0.0 || duration <= 0.0 {
            return Self {
                loss: 1.0,
                rate_hz: 0.0,
                stamped_hz: 0.0,
            };
        }
        let whole = duration + spans * interval;
        Self {
            loss: (1.0 - seen / (duration / interval + spans)).clamp(0.0, 1.0),
            rate_hz: seen / whole,
            stamped_hz: stamped / whole,
        }
    }
}
