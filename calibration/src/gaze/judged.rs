//! Points as a map puts them: how far from their targets, how much they scatter, and what evidence may be made of it.

use super::calibration::{GazeQuality, HeldOut, PointResult};
use super::fit::{EyeFit, View};
use super::map::{distance, median};
use super::points::FitRule;
use super::quality::{DataFlow, MAD_TO_SD, SD_FLOOR_DEG, core, covariance, precision};
use super::{GazeErrorModel, GazeInput, PointUse};
use crate::evidence::root_of_rising;

/// Squared standardised distance beyond which a sample is an outlier: 99.9 % of a two-dimensional Gaussian lie within.
const OUTLIER_CHI2: f64 = 13.815_510_557_964_274;
/// Length of one piece of evidence when the reliability is fitted, seconds.
const EVIDENCE_S: f64 = 0.1;

/// A look at one point, mapped.
pub(super) struct Looked {
    pub(super) target: (f64, f64),
    /// Whether the map was fitted without this point.
    pub(super) held_out: bool,
    /// Whether it has enough samples at one place.
    kept: bool,
    /// Middle of the samples, degrees.
    pub(super) centre: (f64, f64),
    /// After the eye had time to arrive: stamp, and position in degrees, `None` when the eye was not seen.
    pub(super) window: Vec<(f64, Option<(f64, f64)>)>,
}

impl Looked {
    fn seen(&self) -> impl Iterator<Item = (f64, (f64, f64))> + '_ {
        let window = self.window.iter();
        window.filter_map(|(t_s, place)| Some((*t_s, (*place)?)))
    }

    fn error_deg(&self) -> f64 {
        distance(self.centre, self.target)
    }

    fn result(&self) -> PointResult {
        PointResult {
            target_deg: self.target,
            gaze_deg: self.centre,
            error_deg: self.error_deg(),
            // Samples far off (a glance elsewhere) are left to the outlier share.
            spread_deg2: covariance(&core(self)),
            samples: self.seen().count(),
            held_out: self.held_out,
        }
    }
}

/// Every point by the maps that may judge it.
pub(super) struct Judged {
    looks: Vec<Looked>,
    held_out: HeldOut,
}

impl Judged {
    /// One eye, or the mean of both, by the fit of it.
    pub(super) fn one(input: &GazeInput, view: View, fit: &EyeFit, rule: FitRule) -> Self {
        Self::of(input, &[(view, fit)], rule)
    }

    /// Both eyes, each by its own fit.
    pub(super) fn two(input: &GazeInput, left: &EyeFit, right: &EyeFit, rule: FitRule) -> Self {
        Self::of(input, &[(View::Left, left), (View::Right, right)], rule)
    }

    fn of(input: &GazeInput, eyes: &[(View, &EyeFit)], rule: FitRule) -> Self {
        let kept = |index: usize| eyes.iter().any(|(_, fit)| fit.centres[index].is_ok());
        let fits = input.pursuits.is_empty() && !input.calibrated;
        let checks = input
            .points
            .iter()
            .enumerate()
            .any(|(index, point)| point.use_as == PointUse::Check && kept(index));
        let looks = input.points.iter().enumerate().map(|(index, point)| {
            let judges: Vec<_> = eyes
                .iter()
                .map(|(view, fit)| (*view, *fit, fit.judge(index, checks)))
                .collect();
            let window = rule.settled(point).map(|sample| {
                let place = mean(judges.iter().filter_map(|(view, _, (map, _))| {
                    let seen = view.of_point(point).get(sample)?;
                    seen.usable().then(|| map.apply(seen.x, seen.y))
                }));
                (point.samples[sample].t_s, place)
            });
            let centre = mean(judges.iter().filter_map(|(_, fit, (map, _))| {
                let (x, y) = fit.centres[index].as_ref().ok()?;
                Some(map.apply(*x, *y))
            }));
            Looked {
                target: (point.x_deg, point.y_deg),
                held_out: judges.iter().all(|(_, _, (_, held_out))| *held_out),
                kept: kept(index),
                centre: centre.unwrap_or((0.0, 0.0)),
                window: window.filter(|(t_s, _)| t_s.is_finite()).collect(),
            }
        });
        Self {
            looks: looks.collect(),
            held_out: match (fits, checks) {
                (true, false) => HeldOut::LeaveOnePointOut,
                (true, true) => HeldOut::CheckPoints,
                (false, _) => HeldOut::EveryPoint,
            },
        }
    }

    fn kept(&self) -> impl Iterator<Item = &Looked> + Clone {
        self.looks.iter().filter(|look| look.kept)
    }

    fn held_out(&self) -> impl Iterator<Item = &Looked> + Clone {
        self.kept().filter(|look| look.held_out)
    }

    /// Whether this point has enough samples at one place, of one eye at least.
    pub(super) fn is_kept(&self, point: usize) -> bool {
        self.looks.get(point).is_some_and(|look| look.kept)
    }

    /// Whether there is a point to judge by.
    pub(super) fn is_judged(&self) -> bool {
        self.held_out().next().is_some()
    }

    pub(super) fn quality(&self, fit: &EyeFit, declared_rate_hz: Option<f64>) -> GazeQuality {
        let errors: Vec<f64> = self.held_out().map(Looked::error_deg).collect();
        let flow = DataFlow::of(self.looks.iter());
        let (precision_sd_deg, rms_s2s_deg) = precision(self.kept());
        let points_used = self.kept().count();
        GazeQuality {
            held_out: self.held_out,
            accuracy_deg: errors.iter().sum::<f64>() / errors.len().max(1) as f64,
            median_deg: Some(median(&errors)),
            worst_deg: errors.iter().copied().fold(0.0, f64::max),
            affine_deg: fit.affine_deg,
            second_order_deg: fit.second_order_deg,
            precision_sd_deg,
            rms_s2s_deg,
            data_loss: flow.loss,
            rate_hz: flow.rate_hz,
            stamped_rate_hz: Some(flow.stamped_hz),
            declared_rate_hz,
            points_used,
            points_rejected: self.looks.len() - points_used,
        }
    }

    pub(super) fn results(&self) -> Vec<PointResult> {
        self.kept().map(Looked::result).collect()
    }

    /// Scatter of held-out samples about their target, offset and noise together.
    pub(super) fn error_model(&self) -> GazeErrorModel {
        let off = self.held_out().flat_map(|look| {
            look.seen()
                .map(|(_, (x, y))| ((x - look.target.0).abs(), (y - look.target.1).abs()))
        });
        let (dx, dy): (Vec<f64>, Vec<f64>) = off.unzip();
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

    /// The power `a` within 0..=1 that makes the posterior over the calibration's points from 100 ms of gaze, proportional to
    /// `density^a`, lose least log-probability on held-out points.
    pub(super) fn reliability(&self, error: &GazeErrorModel) -> f64 {
        let targets: Vec<(f64, f64)> = self.kept().map(|look| look.target).collect();
        // Per piece of evidence: log-density at every target, and at the true one.
        let mut pieces: Vec<(Vec<f64>, f64)> = Vec::new();
        for look in self.held_out() {
            let seen: Vec<(f64, (f64, f64))> = look.seen().collect();
            let start = seen.first().map_or(0.0, |(t_s, _)| *t_s);
            let piece_of = |t_s: f64| ((t_s - start) / EVIDENCE_S) as i64;
            for piece in seen.chunk_by(|a, b| piece_of(a.0) == piece_of(b.0)) {
                let places = piece.iter().map(|(_, place)| *place);
                let Some((x, y)) = mean(places) else { continue };
                let ln = |target: &(f64, f64)| error.ln_density(x - target.0, y - target.1);
                pieces.push((targets.iter().map(ln).collect(), ln(&look.target)));
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
}

fn mean(places: impl Iterator<Item = (f64, f64)>) -> Option<(f64, f64)> {
    let (n, x, y) = places.fold((0.0, 0.0, 0.0), |(n, x, y), p| (n + 1.0, x + p.0, y + p.1));
    (n > 0.0).then(|| (x / n, y / n))
}
