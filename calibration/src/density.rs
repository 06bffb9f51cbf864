//! From score to log-likelihood ratio: heavy-tailed densities of the out-of-fold scores of each class.

use razvilka_dsp::score::{ScoreDensity, StudentT};

use crate::error::{CalibrationError, Result, finite};

/// Range of the degrees of freedom: at 3 the variance is still finite, at 100 the density is Gaussian for our purpose.
pub const DOF_RANGE: (f64, f64) = (3.0, 100.0);
/// Largest clip that the real-time side accepts, nats.
pub(crate) const CLIP_MAX_NATS: f64 = 20.0;
/// `3 / n` bounds the share of what was not seen in `n`, with 95 % confidence.
pub(crate) const RULE_OF_THREE: f64 = 3.0;
/// Fewest scores from which a density is fitted.
const MIN_SCORES: usize = 5;

/// Maximum-likelihood Student-t density: location and scale by EM at given degrees of freedom, those by golden-section
/// search over their logarithm within [`DOF_RANGE`] (ECME: Liu & Rubin, Statistica Sinica 5 (1995), section 3).
///
/// # Errors
/// [`CalibrationError::TooFew`] below 5 values, [`CalibrationError::Degenerate`] when all are equal,
/// [`CalibrationError::NotFinite`].
pub fn fit_student_t(values: &[f64]) -> Result<StudentT> {
    finite("scores", values)?;
    if values.len() < MIN_SCORES {
        return Err(CalibrationError::TooFew {
            what: "scores for a density",
            found: values.len(),
            needed: MIN_SCORES,
        });
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
    if variance <= f64::EPSILON * mean * mean {
        return Err(CalibrationError::Degenerate {
            what: "the density of scores",
            reason: "all scores are equal",
        });
    }
    let cost = |ln_dof: f64| -> (f64, StudentT) {
        let start = StudentT {
            location: mean,
            scale: variance.sqrt(),
            dof: ln_dof.exp(),
        };
        let fit = maximise(start, values);
        (-values.iter().map(|&v| fit.ln_density(v)).sum::<f64>(), fit)
    };
    Ok(golden_section(DOF_RANGE.0.ln(), DOF_RANGE.1.ln(), cost))
}

/// EM at constant degrees of freedom, from this start.
fn maximise(mut fit: StudentT, values: &[f64]) -> StudentT {
    const ROUNDS: usize = 500;
    const TOLERANCE: f64 = 1e-10;
    for _ in 0..ROUNDS {
        let weight_of = |v: f64| {
            let z = (v - fit.location) / fit.scale;
            (fit.dof + 1.0) / (fit.dof + z * z)
        };
        let (weight, weighted) = values.iter().fold((0.0, 0.0), |(sum, moment), &v| {
            let w = weight_of(v);
            (sum + w, moment + w * v)
        });
        let location = weighted / weight;
        let square: f64 = values
            .iter()
            .map(|&v| weight_of(v) * (v - location).powi(2))
            .sum();
        // Dividing by the sum of weights (parameter-expanded EM) has the same fixed point and needs fewer rounds.
        let scale = (square / weight).sqrt().max(f64::MIN_POSITIVE);
        let change = ((location - fit.location) / scale).abs() + (scale / fit.scale).ln().abs();
        fit = StudentT {
            location,
            scale,
            dof: fit.dof,
        };
        if change < TOLERANCE {
            break;
        }
    }
    fit
}

/// Minimum of a function with one valley, to 1e-4 of its argument; returns what the function carries along.
fn golden_section<T>(mut low: f64, mut high: f64, cost: impl Fn(f64) -> (f64, T)) -> T {
    const RATIO: f64 = 0.618_033_988_749_894_8;
    let mut a = high - RATIO * (high - low);
    let mut b = low + RATIO * (high - low);
    let (mut at_a, mut at_b) = (cost(a), cost(b));
    while high - low > 1e-4 {
        if at_a.0 <= at_b.0 {
            high = b;
            (b, at_b) = (a, at_a);
            a = high - RATIO * (high - low);
            at_a = cost(a);
        } else {
            low = a;
            (a, at_a) = (b, at_b);
            b = low + RATIO * (high - low);
            at_b = cost(b);
        }
    }
    if at_a.0 <= at_b.0 { at_a.1 } else { at_b.1 }
}

/// Fits the densities by which a score becomes a log-likelihood ratio, from out-of-fold scores, and bounds what they may say.
///
/// # What the calibration supports
/// Where none of `n` scores of a class fell, its true share there is below `3 / n` with 95 % confidence (rule of three). No
/// score can therefore speak for "target" by more than `ln(n_non_target / 3)` nats, nor against it by more than
/// `ln(n_target / 3)`, however thin the fitted tails are. The trusted range of scores reaches from the smallest to the
/// largest score seen, narrowed to where the ratio rises and stays within these bounds; beyond the range the ratio keeps
/// its value at the edge. The ratio is therefore monotone in the score.
///
/// Where targets do not score higher than non-targets the range shrinks to one point without evidence.
///
/// # Errors
/// As [`fit_student_t`]; [`CalibrationError::Shape`] when the lengths differ.
pub fn fit_score_density(scores: &[f64], labels: &[bool]) -> Result<ScoreDensity> {
    fit_density_towards(scores, labels, None)
}

/// The same, with location and scale of both densities moved towards those of `(target, non-target)` by a share 0..=1.
///
/// # Errors
/// As [`fit_score_density`].
pub(crate) fn fit_density_towards(
    scores: &[f64],
    labels: &[bool],
    towards: Option<((StudentT, StudentT), f64)>,
) -> Result<ScoreDensity> {
    crate::error::same_size("labels", scores.len(), labels.len())?;
    let of = |target: bool| -> Vec<f64> {
        let pairs = scores.iter().zip(labels);
        pairs
            .filter(|(_, l)| **l == target)
            .map(|(s, _)| *s)
            .collect()
    };
    let (targets, others) = (of(true), of(false));
    let (for_target, against) = (supported_nats(others.len()), supported_nats(targets.len()));
    let (mut target, mut nontarget) = (fit_student_t(&targets)?, fit_student_t(&others)?);
    if let Some(((typical_target, typical_other), share)) = towards {
        let moved = |from: StudentT, to: StudentT| StudentT {
            location: from.location + share * (to.location - from.location),
            scale: from.scale + share * (to.scale - from.scale),
            dof: from.dof,
        };
        target = moved(target, typical_target);
        nontarget = moved(nontarget, typical_other);
    }
    let lowest = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let trusted = trusted_range(target, nontarget, (lowest, highest), (-against, for_target));
    let clip = match trusted {
        Some(_) => for_target.max(against).min(CLIP_MAX_NATS),
        None => 0.0,
    };
    let middle = 0.5 * (target.location + nontarget.location);
    Ok(ScoreDensity::new(
        target,
        nontarget,
        trusted.unwrap_or((middle, middle)),
        clip,
    )?)
}

/// The range about the point of no evidence in which the ratio rises, within the scores seen and the ratios supported;
/// `None` when targets do not score higher.
fn trusted_range(
    target: StudentT,
    nontarget: StudentT,
    seen: (f64, f64),
    supported: (f64, f64),
) -> Option<(f64, f64)> {
    const STEPS: usize = 4096;
    if target.location <= nontarget.location {
        return None;
    }
    let llr = |score: f64| target.ln_density(score) - nontarget.ln_density(score);
    let start = start_of_evidence(target, nontarget);
    let walk = |end: f64, bound: f64| -> f64 {
        let step = (end - start) / STEPS as f64;
        let mut edge = start;
        for k in 1..=STEPS {
            let score = start + step * k as f64;
            let next = llr(score);
            // Not by comparing values: the step in which the ratio turns may still end higher than it began.
            let rises = slope(target, score) >= slope(nontarget, score);
            let supported = if step > 0.0 {
                next <= bound
            } else {
                next >= bound
            };
            if !(rises && supported) {
                break;
            }
            edge = score;
        }
        edge
    };
    Some((
        walk(seen.0.min(start), supported.0),
        walk(seen.1.max(start), supported.1),
    ))
}

/// Between the locations the ratio rises: one density grows while the other falls. Its zero, if it has one there, is where
/// evidence begins; else the location nearer to it.
fn start_of_evidence(target: StudentT, nontarget: StudentT) -> f64 {
    let (mut low, mut high) = (nontarget.location, target.location);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if target.ln_density(middle) < nontarget.ln_density(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// Derivative of the logarithm of a density.
fn slope(density: StudentT, score: f64) -> f64 {
    let from = score - density.location;
    -(density.dof + 1.0) * from / (density.dof * density.scale.powi(2) + from * from)
}

/// The densities for a classifier restricted to fewer channels, where a share `distance_ratio` of the squared Mahalanobis
/// distance is left ([`crate::RestrictedLda`]).
///
/// A linear discriminant's scores have class means half the squared distance to either side of a centre, and that distance
/// as their variance; so locations shrink towards the centre by the ratio and scales by its square root. Bounds are kept.
///
/// # Errors
/// [`CalibrationError::Dsp`] when the result is out of range, which no fitted density reaches.
pub fn restrict_density(full: &ScoreDensity, distance_ratio: f64) -> Result<ScoreDensity> {
    let ratio = distance_ratio.clamp(1e-6, 1.0);
    let centre = 0.5 * (full.target().location + full.nontarget().location);
    let shrink = |t: StudentT| StudentT {
        location: centre + (t.location - centre) * ratio,
        scale: t.scale * ratio.sqrt(),
        dof: t.dof,
    };
    let (target, nontarget) = (shrink(full.target()), shrink(full.nontarget()));
    // The edges keep their distance, in scales, from the class they are far out in, and the evidence they stand for.
    let (low, high) = full.trusted();
    let plain = ScoreDensity::new(
        full.target(),
        full.nontarget(),
        (low, high),
        full.clip_nats(),
    )?;
    let moved = |edge: f64, from: StudentT, to: StudentT| {
        to.location + (edge - from.location) / from.scale * to.scale
    };
    let seen = (
        moved(low, full.nontarget(), nontarget),
        moved(high, full.target(), target),
    );
    let supported = (
        plain.llr(low).unwrap_or(0.0).min(0.0),
        plain.llr(high).unwrap_or(0.0).max(0.0),
    );
    let middle = 0.5 * (target.location + nontarget.location);
    let trusted = trusted_range(target, nontarget, seen, supported).unwrap_or((middle, middle));
    Ok(
        ScoreDensity::new(target, nontarget, trusted, full.clip_nats())?
            .discounted(full.trust())?,
    )
}

/// A score with densities `from` on the scale of scores with densities `to`: where it speaks neither for nor against, it lies
/// where theirs do, and near there it speaks as strongly. A straight line, so that no two scores fall together. Where either
/// says nothing, it is the score that says nothing.
#[must_use]
pub fn on_scale_of(score: f64, from: &ScoreDensity, to: &ScoreDensity) -> f64 {
    let (Some((zero, rise)), Some((to_zero, to_rise))) = (neutral(from), neutral(to)) else {
        return 0.5 * (to.target().location + to.nontarget().location);
    };
    to_zero + (score - zero) * rise / to_rise
}

/// The score between the locations that says nothing, and how fast the ratio rises there; `None` when it does not.
fn neutral(density: &ScoreDensity) -> Option<(f64, f64)> {
    let (target, nontarget) = (density.target(), density.nontarget());
    if density.clip_nats() == 0.0 || target.location <= nontarget.location {
        return None;
    }
    let score = start_of_evidence(target, nontarget);
    let rise = slope(target, score) - slope(nontarget, score);
    (rise > 0.0 && rise.is_finite()).then_some((score, rise))
}

/// `ln(n / 3)`, at least 0.
fn supported_nats(count: usize) -> f64 {
    (count as f64 / RULE_OF_THREE).max(1.0).ln()
}

/// Logistic function without overflow.
#[must_use]
pub fn logistic(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// Posterior probability from a log-likelihood ratio (nats), a base rate within 0..1 and a reliability 0..=1.
#[must_use]
pub fn posterior(llr: f64, base_rate: f64, reliability: f64) -> f64 {
    logistic(reliability * llr + (base_rate / (1.0 - base_rate)).ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: (StudentT, StudentT) = (
        StudentT {
            location: 2.0,
            scale: 1.5,
            dof: 6.0,
        },
        StudentT {
            location: -3.0,
            scale: 1.5,
            dof: 9.0,
        },
    );

    #[test]
    fn one_wild_score_does_not_move_the_density() {
        let clean: Vec<f64> = (0..200).map(|i| f64::from(i % 20) / 10.0).collect();
        let mut wild = clean.clone();
        wild.push(1e4);
        let (a, b) = (
            fit_student_t(&clean).unwrap(),
            fit_student_t(&wild).unwrap(),
        );
        assert!((a.location - b.location).abs() < 0.1, "{a:?} {b:?}");
        assert!(b.scale < 2.0 * a.scale, "{a:?} {b:?}");
    }

    #[test]
    fn equal_scores_are_refused() {
        assert!(matches!(
            fit_student_t(&[2.0; 30]),
            Err(CalibrationError::Degenerate { .. })
        ));
    }

    #[test]
    fn evidence_for_and_against_follows_the_rule_of_three() {
        // 30 targets and 300 non-targets, far apart: the densities alone would claim much more.
        let mut scores: Vec<f64> = (0..300).map(|i| -20.0 + f64::from(i % 30) / 10.0).collect();
        scores.extend((0..30).map(|i| 20.0 + f64::from(i % 30) / 10.0));
        let labels: Vec<bool> = (0..330).map(|i| i >= 300).collect();
        let fit = fit_score_density(&scores, &labels).unwrap();
        let (most, least) = (fit.llr(1e6).unwrap(), fit.llr(-1e6).unwrap());
        assert!(
            most <= 100.0_f64.ln() && most > 0.98 * 100.0_f64.ln(),
            "{most}"
        );
        assert!(
            least >= -10.0_f64.ln() && least < -0.98 * 10.0_f64.ln(),
            "{least}"
        );
        assert_eq!(supported_nats(2), 0.0);
    }

    #[test]
    fn a_range_is_trusted_only_where_the_ratio_rises() {
        let (target, nontarget) = EXAMPLE;
        let (low, high) = trusted_range(target, nontarget, (-40.0, 40.0), (-9.0, 9.0)).unwrap();
        assert!(
            low > -40.0 && high < 40.0,
            "two heavy tails return towards no evidence: {low} {high}"
        );
        let llr = |x: f64| target.ln_density(x) - nontarget.ln_density(x);
        assert!(llr(low) < llr(0.5 * low) && llr(high) > llr(0.5 * high));
    }

    #[test]
    fn targets_that_score_lower_give_no_evidence() {
        let scores: Vec<f64> = (0..100)
            .map(|i| f64::from(i % 10) + if i < 50 { 3.0 } else { 0.0 })
            .collect();
        let labels: Vec<bool> = (0..100).map(|i| i >= 50).collect();
        let fit = fit_score_density(&scores, &labels).unwrap();
        assert!(
            [-5.0, 0.0, 5.0, 50.0]
                .iter()
                .all(|&s| fit.llr(s) == Some(0.0))
        );
    }

    #[test]
    fn a_source_without_reliability_leaves_the_base_rate() {
        for llr in [-4.0, 0.0, 4.0] {
            assert!((posterior(llr, 0.2, 0.0) - 0.2).abs() < 1e-15);
        }
    }

    #[test]
    fn a_score_on_another_scale_speaks_as_it_did_and_keeps_its_order() {
        let t = |location, scale| StudentT {
            location,
            scale,
            dof: 8.0,
        };
        let density = |target, nontarget, clip| {
            ScoreDensity::new(target, nontarget, (-50.0, 50.0), clip).unwrap()
        };
        let from = density(t(9.0, 3.0), t(0.0, 3.0), 3.0);
        let to = density(t(1.0, 0.5), t(-0.5, 0.5), 3.0);
        let scores = [-6.0, 2.0, 4.5, 5.0, 7.0, 30.0];
        let there = scores.map(|score| on_scale_of(score, &from, &to));
        assert!(there.windows(2).all(|pair| pair[0] < pair[1]), "{there:?}");
        for (score, there) in scores.into_iter().zip(there) {
            // The same shapes: equal everywhere.
            let (a, b) = (from.llr(score).unwrap(), to.llr(there).unwrap());
            assert!((a - b).abs() < 1e-9, "{score}: {a} {b}");
        }
        let mute = density(t(1.0, 1.0), t(-1.0, 1.0), 0.0);
        assert_eq!(on_scale_of(1e300, &mute, &to), 0.25);
        assert_eq!(on_scale_of(3.0, &to, &mute), 0.0);
    }

    #[test]
    fn fewer_channels_say_less_about_a_typical_target() {
        let full = ScoreDensity::new(EXAMPLE.0, EXAMPLE.1, (-6.0, 5.0), 4.0).unwrap();
        let half = restrict_density(&full, 0.5).unwrap();
        assert!(half.llr(half.target().location) < full.llr(full.target().location));
    }
}
