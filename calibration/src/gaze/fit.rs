//! From calibration points to a map: its order is chosen among the fit points by leaving each out in turn, and it is judged
//! on check points that took no part in either.

use serde::{Deserialize, Serialize};

use super::map::{Pair, distance, median};
use super::{GazeErrorModel, GazeMap, GazePoint, GazeSample, MapOrder, PointUse};
use crate::error::{CalibrationError, Result, finite, in_range};
use crate::evidence::root_of_rising;

/// Fewest usable samples of a usable point.
const MIN_SAMPLES: usize = 10;
/// Fewest usable points for an affine map, so that one can be left out.
const MIN_POINTS: usize = 4;
/// Fewest points for a second-order map, so that one can be left out.
const MIN_POINTS_SECOND_ORDER: usize = 7;
/// Standard deviation per median absolute value of a Gaussian.
const MAD_TO_SD: f64 = 1.482_602_218_505_602;
/// Squared standardised distance beyond which a sample is an outlier: 99.9 % of a two-dimensional Gaussian lie within.
const OUTLIER_CHI2: f64 = 13.815_510_557_964_274;
/// No error model claims to be better than this, degrees.
const SD_FLOOR_DEG: f64 = 0.05;
/// Length of one piece of evidence when the reliability is fitted, seconds.
const EVIDENCE_S: f64 = 0.1;

/// How samples become a fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitRule {
    /// Time after a point appears that the eye is given to arrive, seconds, 0 to 2; 0.5 by default.
    pub settle_s: f64,
}

impl Default for FitRule {
    fn default() -> Self {
        Self { settle_s: 0.5 }
    }
}

/// Which points the accuracy was measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldOut {
    /// Points of [`PointUse::Check`].
    CheckPoints,
    /// Each point by the map of the others, as there were no check points.
    LeaveOnePointOut,
}

/// The figures by which a gaze calibration is judged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GazeQuality {
    /// Which points accuracy was measured on.
    pub held_out: HeldOut,
    /// Mean distance of a held-out point's mapped median from its target, degrees.
    pub accuracy_deg: f64,
    /// Greatest such distance, degrees.
    pub worst_deg: f64,
    /// Mean distance of a fit point from where the affine map of the other fit points puts it, degrees. The order is chosen by
    /// this and the next figure.
    pub affine_deg: f64,
    /// The same of the second-order map; absent with fewer than 7 fit points, or when they do not determine it.
    pub second_order_deg: Option<f64>,
    /// Precision: standard deviation of samples about their point's mean, both axes, root mean square over points, degrees.
    pub precision_sd_deg: f64,
    /// Precision: root mean square of the distance from sample to sample, degrees.
    pub rms_s2s_deg: f64,
    /// Share of samples that were invalid or missing, 0 to 1.
    pub data_loss: f64,
    /// Valid samples per second.
    pub rate_hz: f64,
    /// Points with enough samples.
    pub points_used: usize,
    /// Points without.
    pub points_rejected: usize,
}

/// One usable point as the report shows it, mapped, degrees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointResult {
    /// Target, degrees.
    pub target_deg: (f64, f64),
    /// Mapped median, degrees; by a map that was not fitted on this point when `held_out`.
    pub gaze_deg: (f64, f64),
    /// Their distance, degrees.
    pub error_deg: f64,
    /// Variances and covariance of the mapped samples: xx, yy, xy, square degrees.
    pub spread_deg2: (f64, f64, f64),
    /// Usable samples.
    pub samples: usize,
    /// Whether the map was not fitted on this point.
    pub held_out: bool,
}

/// A fitted gaze calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GazeCalibration {
    /// From tracker to screen.
    pub map: GazeMap,
    /// How mapped samples scatter about what is looked at.
    pub error: GazeErrorModel,
    /// What the gate raises gaze evidence to, 0 to 1, fitted on pieces of 100 ms.
    pub reliability: f64,
    /// Accuracy, precision, loss.
    pub quality: GazeQuality,
    /// Point by point.
    pub points: Vec<PointResult>,
}

impl GazeCalibration {
    /// How many points accuracy was measured on.
    #[must_use]
    pub fn held_out_points(&self) -> usize {
        self.points.iter().filter(|point| point.held_out).count()
    }

    /// Accuracy with what it was measured on: `0.49 deg, mean of 4 check points that were not fitted on`.
    #[must_use]
    pub fn accuracy_in_words(&self) -> String {
        let n = self.held_out_points();
        let on = match self.quality.held_out {
            HeldOut::CheckPoints => format!("{n} check points that were not fitted on"),
            HeldOut::LeaveOnePointOut => {
                format!("{n} points, each by the map of the others; there were no check points")
            }
        };
        format!("{:.2} deg, mean of {on}", self.quality.accuracy_deg)
    }

    /// Checks numbers and ranges, e.g. after reading from a file.
    ///
    /// # Errors
    /// [`CalibrationError::NotFinite`] or [`CalibrationError::OutOfRange`].
    pub fn validate(&self) -> Result<()> {
        self.map.validate()?;
        in_range("gaze error sd_x_deg", self.error.sd_x_deg, 1e-3, 180.0)?;
        in_range("gaze error sd_y_deg", self.error.sd_y_deg, 1e-3, 180.0)?;
        in_range("gaze outlier share", self.error.outlier_share, 0.0, 1.0)?;
        in_range("gaze reliability", self.reliability, 0.0, 1.0)?;
        let q = &self.quality;
        finite(
            "gaze quality",
            &[
                q.accuracy_deg,
                q.worst_deg,
                q.precision_sd_deg,
                q.rms_s2s_deg,
                q.data_loss,
                q.rate_hz,
            ],
        )
    }
}

/// A point reduced to what the fit needs.
struct Usable {
    target: (f64, f64),
    use_as: PointUse,
    samples: Vec<GazeSample>,
    centre: (f64, f64),
}

impl Usable {
    fn pair(&self) -> Pair {
        (self.centre, self.target)
    }
}

/// Fits affine and second-order maps on the medians of the `Fit` points, keeps the one that predicts each of them better from
/// the others, and describes what is left.
///
/// Accuracy is that of the `Check` points, which take part neither in the fit nor in the choice. Without check points it
/// is the error by which the order was chosen, each fit point by the map of the others, and a little too good for that.
///
/// # Errors
/// [`CalibrationError::TooFew`] with fewer than 4 usable fit points, [`CalibrationError::Degenerate`] when they lie on a
/// line, [`CalibrationError::OutOfRange`] for a rule outside its range, [`CalibrationError::NotFinite`] for a target.
pub fn fit_gaze(points: &[GazePoint], rule: FitRule) -> Result<GazeCalibration> {
    in_range("settle_s", rule.settle_s, 0.0, 2.0)?;
    for point in points {
        finite("gaze point", &[point.x_deg, point.y_deg, point.shown_s])?;
    }
    let usable: Vec<Usable> = points.iter().filter_map(|p| reduce(p, rule)).collect();
    let fit: Vec<Pair> = usable
        .iter()
        .filter(|p| p.use_as == PointUse::Fit)
        .map(Usable::pair)
        .collect();
    if fit.len() < MIN_POINTS {
        return Err(CalibrationError::TooFew {
            what: "gaze points with enough valid samples",
            found: fit.len(),
            needed: MIN_POINTS,
        });
    }
    let affine_deg = mean(&left_out_errors(MapOrder::Affine, &fit));
    let second_order_deg = (fit.len() >= MIN_POINTS_SECOND_ORDER)
        .then(|| left_out_errors(MapOrder::SecondOrder, &fit))
        // A pattern such as a cross determines the affine terms only.
        .filter(|errors| errors.len() == fit.len())
        .map(|errors| mean(&errors));
    let order = match second_order_deg {
        Some(second_deg) if second_deg < affine_deg => MapOrder::SecondOrder,
        _ => MapOrder::Affine,
    };
    let chosen = Judged::new(order, &usable, &fit)?;
    let error = chosen.error_model(&usable);
    let flow = DataFlow::of(points, rule);
    let (precision_sd_deg, rms_s2s_deg) = precision(&usable, &chosen.map);
    let quality = GazeQuality {
        held_out: chosen.held_out,
        accuracy_deg: chosen.mean_error(),
        worst_deg: chosen.errors().fold(0.0, f64::max),
        affine_deg,
        second_order_deg,
        precision_sd_deg,
        rms_s2s_deg,
        data_loss: flow.loss,
        rate_hz: flow.rate_hz,
        points_used: usable.len(),
        points_rejected: points.len() - usable.len(),
    };
    Ok(GazeCalibration {
        map: chosen.map,
        reliability: reliability(&usable, &chosen, &error),
        error,
        quality,
        points: chosen.results(&usable),
    })
}

/// The map of all pairs but number `left_out`.
fn without(order: MapOrder, fit: &[Pair], left_out: usize) -> Result<GazeMap> {
    let mut others = fit.to_vec();
    others.remove(left_out);
    GazeMap::fit(order, &others)
}

/// Distance of each pair from where the map of the others puts it; pairs without which the others determine no map are
/// passed over.
fn left_out_errors(order: MapOrder, fit: &[Pair]) -> Vec<f64> {
    let pairs = fit.iter().enumerate();
    pairs
        .filter_map(|(index, (tracker, target))| {
            let map = without(order, fit, index).ok()?;
            Some(distance(map.apply(tracker.0, tracker.1), *target))
        })
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// A map and, for each usable point, the map it is judged by.
struct Judged {
    map: GazeMap,
    held_out: HeldOut,
    /// Per usable point: the map not fitted on it, or `None` where the point is not held out.
    judges: Vec<Option<GazeMap>>,
    distances: Vec<f64>,
}

impl Judged {
    fn new(order: MapOrder, usable: &[Usable], fit: &[Pair]) -> Result<Self> {
        let map = GazeMap::fit(order, fit)?;
        let checks = usable.iter().any(|p| p.use_as == PointUse::Check);
        let mut judges = Vec::with_capacity(usable.len());
        let mut nth_fit = 0;
        for point in usable {
            judges.push(match (checks, point.use_as) {
                (true, PointUse::Check) => Some(map),
                (true, PointUse::Fit) => None,
                (false, _) => {
                    nth_fit += 1;
                    Some(without(order, fit, nth_fit - 1)?)
                }
            });
        }
        let distances = usable
            .iter()
            .zip(&judges)
            .map(|(p, judge)| {
                distance(judge.unwrap_or(map).apply(p.centre.0, p.centre.1), p.target)
            })
            .collect();
        Ok(Self {
            map,
            held_out: if checks {
                HeldOut::CheckPoints
            } else {
                HeldOut::LeaveOnePointOut
            },
            judges,
            distances,
        })
    }

    /// Distances of the held-out points.
    fn errors(&self) -> impl Iterator<Item = f64> {
        let pairs = self.distances.iter().zip(&self.judges);
        pairs.filter(|(_, judge)| judge.is_some()).map(|(d, _)| *d)
    }

    fn mean_error(&self) -> f64 {
        self.errors().sum::<f64>() / self.errors().count().max(1) as f64
    }

    /// Held-out points with their judge.
    fn judged<'a>(&'a self, usable: &'a [Usable]) -> impl Iterator<Item = (&'a Usable, GazeMap)> {
        let pairs = usable.iter().zip(&self.judges);
        pairs.filter_map(|(point, judge)| judge.map(|map| (point, map)))
    }

    /// Scatter of held-out samples about their target, offset and noise together.
    fn error_model(&self, usable: &[Usable]) -> GazeErrorModel {
        let (mut dx, mut dy) = (Vec::new(), Vec::new());
        for (point, map) in self.judged(usable) {
            for sample in &point.samples {
                let (x, y) = map.apply(sample.x, sample.y);
                dx.push((x - point.target.0).abs());
                dy.push((y - point.target.1).abs());
            }
        }
        let sd_x_deg = (MAD_TO_SD * median(&dx)).max(SD_FLOOR_DEG);
        let sd_y_deg = (MAD_TO_SD * median(&dy)).max(SD_FLOOR_DEG);
        let outliers = dx
            .iter()
            .zip(&dy)
            .filter(|(x, y)| (*x / sd_x_deg).powi(2) + (*y / sd_y_deg).powi(2) > OUTLIER_CHI2)
            .count();
        GazeErrorModel {
            sd_x_deg,
            sd_y_deg,
            // Laplace's rule: no calibration proves that there are no outliers.
            outlier_share: (outliers as f64 + 1.0) / (dx.len() as f64 + 2.0),
        }
    }

    fn results(&self, usable: &[Usable]) -> Vec<PointResult> {
        usable
            .iter()
            .zip(&self.judges)
            .zip(&self.distances)
            .map(|((point, judge), &error_deg)| {
                let map = judge.unwrap_or(self.map);
                PointResult {
                    target_deg: point.target,
                    gaze_deg: map.apply(point.centre.0, point.centre.1),
                    error_deg,
                    spread_deg2: spread(point, &map),
                    samples: point.samples.len(),
                    held_out: judge.is_some(),
                }
            })
            .collect()
    }
}

/// Samples after the eye has had time to arrive.
fn settled(point: &GazePoint, rule: FitRule) -> impl Iterator<Item = &GazeSample> {
    let from = point.shown_s + rule.settle_s;
    point.samples.iter().filter(move |s| s.t_s >= from)
}

fn reduce(point: &GazePoint, rule: FitRule) -> Option<Usable> {
    let samples: Vec<GazeSample> = settled(point, rule)
        .filter(|s| s.usable())
        .copied()
        .collect();
    if samples.len() < MIN_SAMPLES {
        return None;
    }
    let of = |axis: fn(&GazeSample) -> f64| median(&samples.iter().map(axis).collect::<Vec<_>>());
    Some(Usable {
        target: (point.x_deg, point.y_deg),
        use_as: point.use_as,
        centre: (of(|s| s.x), of(|s| s.y)),
        samples,
    })
}

/// Variances and covariance of the samples near the point's median; samples beyond three robust standard deviations (a
/// glance elsewhere) are left to the outlier share.
fn spread(point: &Usable, map: &GazeMap) -> (f64, f64, f64) {
    let kept = core_samples(point, map);
    let n = kept.len().max(1) as f64;
    let mean = kept
        .iter()
        .fold((0.0, 0.0), |m, p| (m.0 + p.0 / n, m.1 + p.1 / n));
    kept.iter().fold((0.0, 0.0, 0.0), |v, p| {
        let (dx, dy) = (p.0 - mean.0, p.1 - mean.1);
        (v.0 + dx * dx / n, v.1 + dy * dy / n, v.2 + dx * dy / n)
    })
}

fn core_samples(point: &Usable, map: &GazeMap) -> Vec<(f64, f64)> {
    let centre = map.apply(point.centre.0, point.centre.1);
    let mapped: Vec<(f64, f64)> = point.samples.iter().map(|s| map.apply(s.x, s.y)).collect();
    let distances: Vec<f64> = mapped.iter().map(|&p| distance(p, centre)).collect();
    let limit = (3.0 * MAD_TO_SD * median(&distances)).max(SD_FLOOR_DEG);
    let pairs = mapped.into_iter().zip(distances);
    pairs.filter(|(_, d)| *d <= limit).map(|(p, _)| p).collect()
}

/// Standard deviation (both axes) and root mean square from sample to sample, degrees.
fn precision(usable: &[Usable], map: &GazeMap) -> (f64, f64) {
    let variance: f64 = usable
        .iter()
        .map(|point| {
            let (xx, yy, _) = spread(point, map);
            xx + yy
        })
        .sum();
    let (mut sum, mut count) = (0.0, 0_usize);
    for point in usable {
        let core = core_samples(point, map);
        for pair in core.windows(2) {
            sum += distance(pair[0], pair[1]).powi(2);
            count += 1;
        }
    }
    (
        (variance / usable.len().max(1) as f64).sqrt(),
        (sum / count.max(1) as f64).sqrt(),
    )
}

/// Loss and rate of the samples while points were shown.
struct DataFlow {
    loss: f64,
    rate_hz: f64,
}

impl DataFlow {
    fn of(points: &[GazePoint], rule: FitRule) -> Self {
        let (mut valid, mut duration, mut intervals) = (0_usize, 0.0, Vec::new());
        let mut spans = 0_usize;
        for point in points {
            let window: Vec<&GazeSample> =
                settled(point, rule).filter(|s| s.t_s.is_finite()).collect();
            valid += window.iter().filter(|s| s.usable()).count();
            if let (Some(first), Some(last)) = (window.first(), window.last()) {
                duration += last.t_s - first.t_s;
                spans += 1;
            }
            intervals.extend(window.windows(2).map(|w| w[1].t_s - w[0].t_s));
        }
        let interval = median(&intervals);
        if interval <= 0.0 || duration <= 0.0 {
            return Self {
                loss: 1.0,
                rate_hz: 0.0,
            };
        }
        let expected = duration / interval + spans as f64;
        Self {
            loss: (1.0 - valid as f64 / expected).clamp(0.0, 1.0),
            rate_hz: valid as f64 / (duration + spans as f64 * interval),
        }
    }
}

/// The power `a` within 0..=1 that makes the posterior over the calibration's points from 100 ms of gaze, proportional to
/// `density^a`, lose least log-probability on held-out points.
fn reliability(usable: &[Usable], chosen: &Judged, error: &GazeErrorModel) -> f64 {
    let targets: Vec<(f64, f64)> = usable.iter().map(|p| p.target).collect();
    // Per piece of evidence: log-density at every target, and at the true one.
    let mut pieces: Vec<(Vec<f64>, f64)> = Vec::new();
    for (point, map) in chosen.judged(usable) {
        let start = point.samples.first().map_or(0.0, |s| s.t_s);
        let piece_of = |s: &GazeSample| ((s.t_s - start) / EVIDENCE_S) as i64;
        for piece in point.samples.chunk_by(|a, b| piece_of(a) == piece_of(b)) {
            let n = piece.len() as f64;
            let (x, y) = piece.iter().fold((0.0, 0.0), |sum, s| {
                let (x, y) = map.apply(s.x, s.y);
                (sum.0 + x / n, sum.1 + y / n)
            });
            let ln = |target: &(f64, f64)| error.ln_density(x - target.0, y - target.1);
            pieces.push((targets.iter().map(ln).collect(), ln(&point.target)));
        }
    }
    root_of_rising(|a| {
        pieces
            .iter()
            .map(|(all, truth)| {
                let top = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weights = all.iter().map(|ln| (a * (ln - top)).exp());
                let (sum, weighted) = weights
                    .zip(all)
                    .fold((0.0, 0.0), |(s, m), (w, ln)| (s + w, m + w * ln));
                weighted / sum - truth
            })
            .sum()
    })
}
