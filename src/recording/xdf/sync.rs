//! Brings the stamps of a stream onto the recorder's clock, from the clock offsets measured meanwhile.
//!
//! Does what the reference importer pyxdf does with `synchronize_clocks=True`, so that others who open the same file
//! see the same times: one robust line per stretch between clock resets. The fit minimises the Huber loss by ADMM (Boyd
//! et al. 2011, *Distributed Optimization and Statistical Learning via ADMM*, section 6.1.1), with residuals beyond
//! 0.1 ms treated as outliers.
//!
//! One deviation: where a line cannot be fitted (all measurements of a stretch bear the same time), the median offset
//! is used; pyxdf would leave such stamps uncorrected.

use std::ops::Range;

use super::chunk::ClockMeasurement;

/// Residual from which a measurement is an outlier, seconds.
const OUTLIER_S: f64 = 1e-4;
/// Iterations of the fit.
const ITERATIONS: usize = 1000;
/// A reset shows as a step in the time of measurement of so many median absolute deviations ...
const RESET_TIME_DEVIATIONS: f64 = 5.0;
/// ... and of so many seconds,
const RESET_TIME_S: f64 = 5.0;
/// and as a step in the offset of so many median absolute deviations ...
const RESET_OFFSET_DEVIATIONS: f64 = 10.0;
/// ... and of so many seconds.
const RESET_OFFSET_S: f64 = 1.0;
/// The last measurement is not believed when its interval or its offset is so many times what is usual.
const CORRUPT_RATIO: f64 = 10.0;

/// Stamps on the recorder's clock.
#[derive(Debug, Clone, PartialEq)]
pub struct Synchronised {
    /// One per raw stamp, seconds.
    pub stamps: Vec<f64>,
    /// Stretches of samples between resets of the source's clock, in order; empty when nothing was measured.
    pub segments: Vec<Range<usize>>,
}

/// Corrects raw stamps by measurements given in the order of the file; without measurements they stay as they are.
#[must_use]
pub fn synchronise(raw: &[f64], measured: &[ClockMeasurement]) -> Synchronised {
    let mut stamps = raw.to_vec();
    let mut segments = Vec::new();
    if raw.is_empty() || measured.is_empty() {
        return Synchronised { stamps, segments };
    }
    let mut from = 0;
    let mut stretches = stretches(measured).into_iter().peekable();
    while let Some(stretch) = stretches.next() {
        let to = match stretches.peek() {
            None => raw.len(),
            // The stretch ends with the first stamp that is nearer to the next stretch's first measurement than to
            // this one's last.
            Some(next) => {
                let end_s = measured[stretch.end - 1].source_s;
                let next_s = measured[next.start].source_s;
                raw[from..]
                    .iter()
                    .position(|stamp| {
                        let nearer = (stamp - end_s).abs() < (stamp - next_s).abs();
                        !nearer
                    })
                    .map_or(raw.len(), |nearer_next| from + nearer_next)
            }
        };
        if to > from {
            let line = Line::fit(&measured[stretch]);
            for stamp in &mut stamps[from..to] {
                *stamp += line.intercept_s + line.slope * *stamp;
            }
            segments.push(from..to);
            from = to;
        }
    }
    Synchronised { stamps, segments }
}

/// Whether the last of at least three measurements does not belong to the others.
///
/// When an outlet is destroyed while it is being recorded, a last measurement and a last sample of garbage can be
/// written (<https://github.com/labstreaminglayer/pylsl/issues/67>).
#[must_use]
pub fn last_is_corrupt(measured: &[ClockMeasurement]) -> bool {
    let [before @ .., last] = measured else {
        return false;
    };
    if before.len() < 2 {
        return false;
    }
    let intervals: Vec<f64> = measured
        .windows(2)
        .map(|pair| pair[1].source_s - pair[0].source_s)
        .collect();
    let (last_interval, usual) = match intervals.split_last() {
        Some((last, usual)) => (last.abs(), median(usual.to_vec())),
        None => return false,
    };
    let late = if usual > 0.0 {
        last_interval / usual > CORRUPT_RATIO
    } else {
        last_interval > 0.0
    };
    let offsets: Vec<f64> = before
        .iter()
        .map(|measurement| measurement.offset_s)
        .collect();
    let centre = median(offsets.clone());
    let deviation = median(
        offsets
            .iter()
            .map(|offset| (offset - centre).abs())
            .collect(),
    );
    // 1.4826 median absolute deviations are one standard deviation of a normal distribution.
    let far = deviation > f64::EPSILON
        && (last.offset_s - centre).abs() / (1.4826 * deviation) > CORRUPT_RATIO;
    late || far
}

/// Ranges of measurements between resets of the clock.
fn stretches(measured: &[ClockMeasurement]) -> Vec<Range<usize>> {
    let steps = |value: fn(&ClockMeasurement) -> f64| -> Vec<f64> {
        measured
            .windows(2)
            .map(|pair| value(&pair[1]) - value(&pair[0]))
            .collect()
    };
    let times = steps(|measurement| measurement.source_s);
    let offsets = steps(|measurement| measurement.offset_s);
    let late = glitches(&times, RESET_TIME_DEVIATIONS, RESET_TIME_S);
    let far = glitches(&offsets, RESET_OFFSET_DEVIATIONS, RESET_OFFSET_S);
    let mut stretches = Vec::new();
    let mut start = 0;
    for (at, ((step, late), far)) in times.iter().zip(late).zip(far).enumerate() {
        if *step < 0.0 || (late && far) {
            stretches.push(start..at + 1);
            start = at + 1;
        }
    }
    stretches.push(start..measured.len());
    stretches
}

/// Which steps are far from the usual step, both in median absolute deviations and in seconds.
fn glitches(steps: &[f64], deviations: f64, seconds: f64) -> Vec<bool> {
    let centre = median(steps.to_vec());
    let away: Vec<f64> = steps.iter().map(|step| (step - centre).abs()).collect();
    let deviation = median(away.clone()) + f64::EPSILON;
    away.iter()
        .map(|away| away / deviation > deviations && *away > seconds)
        .collect()
}

/// The middle value, or the mean of the middle two; 0 of nothing.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match (
        values.len() % 2,
        values.get(half),
        half.checked_sub(1).and_then(|low| values.get(low)),
    ) {
        (1, Some(middle), _) => *middle,
        (_, Some(high), Some(low)) => f64::midpoint(*low, *high),
        _ => 0.0,
    }
}

/// Offset as a function of the source's clock.
#[derive(Debug, Clone, Copy)]
struct Line {
    intercept_s: f64,
    slope: f64,
}

impl Line {
    fn fit(measured: &[ClockMeasurement]) -> Self {
        let constant = |intercept_s| Self {
            intercept_s,
            slope: 0.0,
        };
        match measured {
            [] => constant(0.0),
            [only] => constant(only.offset_s),
            several => Self::huber(several)
                .unwrap_or_else(|| constant(median(several.iter().map(|m| m.offset_s).collect()))),
        }
    }

    /// Robust line through the measurements, in units of [`OUTLIER_S`] so that the Huber threshold is 1.
    fn huber(measured: &[ClockMeasurement]) -> Option<Self> {
        let first = measured
            .iter()
            .map(|m| m.source_s / OUTLIER_S)
            .fold(f64::INFINITY, f64::min);
        let times: Vec<f64> = measured
            .iter()
            .map(|m| m.source_s / OUTLIER_S - first)
            .collect();
        let offsets: Vec<f64> = measured.iter().map(|m| m.offset_s / OUTLIER_S).collect();
        // Cholesky factor of the normal matrix [[n, sum t], [sum t, sum t^2]].
        let l11 = (times.len() as f64).sqrt();
        let l21 = times.iter().sum::<f64>() / l11;
        let l22 = (times.iter().map(|t| t * t).sum::<f64>() - l21 * l21).sqrt();
        if !(l22 > 0.0 && l22.is_finite()) {
            return None;
        }
        // `target` is y + z - u of the ADMM iteration, `dual` is u.
        let mut target = offsets.clone();
        let mut dual = vec![0.0; offsets.len()];
        let (mut intercept, mut slope) = (0.0, 0.0);
        for _ in 0..ITERATIONS {
            let right1 = target.iter().sum::<f64>();
            let right2 = target.iter().zip(&times).map(|(y, t)| y * t).sum::<f64>();
            let half1 = right1 / l11;
            let half2 = (right2 - l21 * half1) / l22;
            slope = half2 / l22;
            intercept = (half1 - l21 * slope) / l11;
            for (((target, dual), time), offset) in
                target.iter_mut().zip(&mut dual).zip(&times).zip(&offsets)
            {
                let residual = intercept + slope * time - offset + *dual;
                let shrunk = if residual.abs() > 2.0 {
                    residual - 2.0 * residual.signum()
                } else {
                    0.0
                };
                let fitted = f64::midpoint(residual, shrunk);
                *dual = residual - fitted;
                *target = offset + fitted - *dual;
            }
        }
        let line = Self {
            intercept_s: (intercept - slope * first) * OUTLIER_S,
            slope,
        };
        (line.intercept_s.is_finite() && line.slope.is_finite()).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurements(points: impl IntoIterator<Item = (f64, f64)>) -> Vec<ClockMeasurement> {
        points
            .into_iter()
            .map(|(source_s, offset_s)| ClockMeasurement { source_s, offset_s })
            .collect()
    }

    #[test]
    fn an_outlier_does_not_bend_the_line() {
        let drift = |t: f64| -500.0 + 1e-5 * t;
        let mut measured =
            measurements((0..40).map(|k| (5.0 * f64::from(k), drift(5.0 * f64::from(k)))));
        measured[17].offset_s += 0.5;
        let raw = [10.0, 100.0, 190.0];
        for (raw, stamp) in raw.iter().zip(synchronise(&raw, &measured).stamps) {
            assert!(
                (stamp - raw - drift(*raw)).abs() < 2e-5,
                "{raw} became {stamp}"
            );
        }
    }

    #[test]
    fn after_a_reset_the_new_clock_is_used() {
        let before = (0..10).map(|k| (1000.0 + 5.0 * f64::from(k), -900.0));
        let after = (0..10).map(|k| (3.0 + 5.0 * f64::from(k), 150.0));
        let measured = measurements(before.chain(after));
        let synchronised = synchronise(&[1001.0, 1040.0, 4.0, 40.0], &measured);
        assert_eq!(synchronised.segments, [0..2, 2..4]);
        for (stamp, wanted) in synchronised.stamps.iter().zip([101.0, 140.0, 154.0, 190.0]) {
            assert!((stamp - wanted).abs() < 1e-6);
        }
    }

    #[test]
    fn measurements_of_one_moment_give_their_median() {
        let measured = measurements([(7.0, 2.0), (7.0, 2.0), (7.0, 9.0)]);
        assert_eq!(synchronise(&[1.0], &measured).stamps, [3.0]);
    }

    #[test]
    fn extreme_measurements_never_panic() {
        for extreme in [f64::MAX, f64::MIN, f64::MIN_POSITIVE, 0.0] {
            let measured = measurements([
                (extreme, extreme),
                (-extreme, 1.0),
                (0.0, -extreme),
                (1.0, extreme),
            ]);
            assert_eq!(synchronise(&[0.0, extreme], &measured).stamps.len(), 2);
            // Only that it returns is asked.
            let _ = last_is_corrupt(&measured);
        }
    }
}
