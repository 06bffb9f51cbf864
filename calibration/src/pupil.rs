//! The calibration of the pupil: options that the person was told to want, and the others that it read beside them.

use razvilka_dsp::pupil::{PLACE_TERMS, PupilModel, PupilResponse, score};
use serde::{Deserialize, Serialize};

use crate::covariance::Symmetric;
use crate::density::fit_score_density;
use crate::error::{CalibrationError, Result, finite, in_range};
use crate::evidence::fit_reliability;
use crate::metrics::{Auc, auc};

/// Fewest responses to options that were wanted, and to others.
pub const LOOKS_OF_EACH_MIN: usize = 15;
/// Folds in the order of time.
const FOLDS: usize = 5;
/// Fewest stretches from which the effect of place is fitted.
const MOVES_MIN: usize = 30;
/// What is fitted of the effect of place: a slope across, a slope down, and one bend for both.
const FITTED: usize = 3;
/// What is added to their sums of squares, `4 (uncertainty / usual)^2`: a change is uncertain by 3.2 %, four of them overlap in time; slopes
/// of 2 % per ten degrees are usual, and a bend of `(pi / 18)^2 / 4` = 0.76 %, that of the square root of a cosine.
const PLACE_RIDGE: [f64; FITTED] = [10.0, 10.0, 71.0];
/// The effect of place stays within this per term.
const PLACE_MAX: f64 = 5.0;

/// The response to an option that was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PupilLook {
    /// When it was read, seconds.
    pub read_s: f64,
    /// How the pupil changed.
    pub response: PupilResponse,
    /// Whether the person was told to want this one.
    pub wanted: bool,
}

/// What a calibration recorded of the pupil.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PupilTrials {
    /// How often the person was told what to want.
    pub cues: usize,
    /// Responses to options, in the order of time.
    pub looks: Vec<PupilLook>,
    /// Responses at times when the person was told nothing to want, half a second apart, whatever was looked at: they tell what the place of
    /// gaze does.
    pub moves: Vec<PupilResponse>,
}

/// A calibrated pupil.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PupilCalibration {
    /// What a response says.
    pub model: PupilModel,
    /// What the gate raises its evidence to, 0 to 1; fitted to ratios of held-out looks.
    pub reliability: f64,
    /// How well scores of wanted options lie above those of others.
    pub auc: Auc,
    /// Options that were wanted and whose response could be judged.
    pub wanted: usize,
    /// Of these, held out, the evidence was for the option.
    pub supported: usize,
    /// Options that were not wanted.
    pub others: usize,
    /// Of these, held out, the evidence was for the option.
    pub false_support: usize,
    /// How often the person was told what to want.
    pub cues: usize,
}

impl PupilCalibration {
    /// Checks every number.
    ///
    /// # Errors
    /// [`CalibrationError`] for one out of range.
    pub fn validate(&self) -> Result<()> {
        self.model.check()?;
        in_range("reliability of the pupil", self.reliability, 0.0, 1.0)?;
        in_range("AUC of the pupil", self.auc.value, 0.0, 1.0)?;
        let counts = self.supported <= self.wanted && self.false_support <= self.others;
        in_range("pupil counts", f64::from(u8::from(counts)), 1.0, 1.0)
    }

    /// The share of options that were not wanted and yet supported, held out.
    #[must_use]
    pub fn false_share(&self) -> f64 {
        self.false_support as f64 / self.others.max(1) as f64
    }
}

/// What the place of gaze does to the size that the tracker sees: least squares of changes on how far gaze moved meanwhile, with a
/// constant and a ridge; a camera off the axis sees a slope and, in every direction, the same bend (Hayes & Petrov 2016). 0 for each term below 30 changes, and where it explains nothing of changes that were held out (five folds in the
/// order of time): a wrong effect taken out is worse than a small one left in.
///
/// It is fitted on *changes* over a second or so, not on sizes: the pupil's slow drift would else pass for an effect of place.
///
/// # Errors
/// [`CalibrationError::NotFinite`].
pub fn fit_place(moves: &[PupilResponse]) -> Result<[f64; PLACE_TERMS]> {
    let nothing = [0.0; PLACE_TERMS];
    if moves.len() < MOVES_MIN {
        return Ok(nothing);
    }
    let (mut with, mut without) = (0.0, 0.0);
    let fold_of = |k: usize| k * FOLDS / moves.len();
    for fold in 0..FOLDS {
        let of = |held: bool| -> Vec<PupilResponse> {
            let each = moves.iter().enumerate();
            each.filter(|(k, _)| (fold_of(*k) == fold) == held)
                .map(|(_, m)| *m)
                .collect()
        };
        let seen = of(false);
        let (place, constant) = least_squares(&seen)?;
        let mean = seen.iter().map(|m| m.change).sum::<f64>() / seen.len() as f64;
        for held in of(true) {
            let said = constant + effect(&place, &held.moved);
            with += (held.change - said).powi(2);
            without += (held.change - mean).powi(2);
        }
    }
    if with >= without {
        return Ok(nothing);
    }
    Ok(least_squares(moves)?.0)
}

fn effect(place: &[f64; PLACE_TERMS], moved: &[f64; PLACE_TERMS]) -> f64 {
    place.iter().zip(moved).map(|(c, m)| c * m).sum()
}

/// The terms and the constant.
fn least_squares(moves: &[PupilResponse]) -> Result<([f64; PLACE_TERMS], f64)> {
    let n = moves.len().max(1) as f64;
    let term = |m: &PupilResponse, k: usize| {
        let [x, y, xx, yy, _] = m.moved;
        [x, y, xx + yy].get(k).copied().unwrap_or(0.0)
    };
    let centre: [f64; FITTED] =
        std::array::from_fn(|k| moves.iter().map(|m| term(m, k)).sum::<f64>() / n);
    let mean = moves.iter().map(|m| m.change).sum::<f64>() / n;
    let off = |m: &PupilResponse, k: usize| term(m, k) - centre.get(k).copied().unwrap_or(0.0);
    let squares = Symmetric::from_fn(FITTED, |a, b| {
        let sum: f64 = moves.iter().map(|m| off(m, a) * off(m, b)).sum();
        let ridge = PLACE_RIDGE.get(a).copied().unwrap_or(0.0);
        sum + if a == b { ridge } else { 0.0 }
    });
    let right: Vec<f64> = (0..FITTED)
        .map(|k| moves.iter().map(|m| off(m, k) * (m.change - mean)).sum())
        .collect();
    finite("changes of the pupil", &right)?;
    let all: Vec<usize> = (0..FITTED).collect();
    let solved = squares.solve_sub_block(&all, &right, 0.0)?;
    let at = |k: usize| {
        solved
            .get(k)
            .map_or(0.0, |c| c.clamp(-PLACE_MAX, PLACE_MAX))
    };
    let place = [at(0), at(1), at(2), at(2), 0.0];
    let said: f64 = (0..FITTED)
        .map(|k| at(k) * centre.get(k).copied().unwrap_or(0.0))
        .sum();
    Ok((place, mean - said))
}

/// Fits the effect of place and the densities of the score. What reading any option costs is in both densities, so that only what a wanted
/// one adds to it counts.
///
/// Held-out figures come from five folds in the order of time; evidence is bounded by the rule of three
/// ([`crate::fit_score_density`]). The effect of place is fitted on
/// [`PupilTrials::moves`] alone.
///
/// # Errors
/// [`CalibrationError::TooFew`] below 15 responses to options that were wanted, or to others;
/// [`CalibrationError::NotTold`] where wanted options cannot be told from others: the interval of the AUC holds 0.5, or held-out ratios
/// earn no trust; as [`fit_score_density`].
pub fn fit_pupil(trials: &PupilTrials) -> Result<PupilCalibration> {
    let of = |wanted: bool| {
        trials
            .looks
            .iter()
            .filter(|look| look.wanted == wanted)
            .count()
    };
    let (wanted, others) = (of(true), of(false));
    for (what, found) in [
        (
            "options that were to be wanted, read with the pupil in sight",
            wanted,
        ),
        ("other options, read with the pupil in sight", others),
    ] {
        if found < LOOKS_OF_EACH_MIN {
            return Err(CalibrationError::TooFew {
                what,
                found,
                needed: LOOKS_OF_EACH_MIN,
            });
        }
    }
    let place = fit_place(&trials.moves)?;
    let mut looks = trials.looks.clone();
    looks.sort_by(|a, b| a.read_s.total_cmp(&b.read_s));
    let scores: Vec<f64> = looks
        .iter()
        .map(|look| score(&place, &look.response))
        .collect();
    let labels: Vec<bool> = looks.iter().map(|look| look.wanted).collect();
    finite("scores of the pupil", &scores)?;
    let folds = folds_in_time(&labels, wanted, others);
    let (mut llrs, mut held_labels) = (Vec::new(), Vec::new());
    let (mut supported, mut false_support) = (0, 0);
    for fold in 0..FOLDS {
        let rows = || scores.iter().zip(&labels).zip(&folds);
        let apart = rows().filter(|(_, f)| **f != fold);
        let (of_scores, of_labels): (Vec<f64>, Vec<bool>) =
            apart.map(|((score, label), _)| (*score, *label)).unzip();
        let density = fit_score_density(&of_scores, &of_labels)?;
        for ((score, label), _) in rows().filter(|(_, f)| **f == fold) {
            let llr = density.llr(*score).unwrap_or(0.0);
            supported += usize::from(llr > 0.0 && *label);
            false_support += usize::from(llr > 0.0 && !*label);
            llrs.push(llr);
            held_labels.push(*label);
        }
    }
    let base_rate = wanted as f64 / looks.len() as f64;
    let reliability = fit_reliability(&llrs, &held_labels, base_rate)?;
    let auc = auc(&scores, &labels)?;
    if auc.ci_low <= 0.5 || reliability <= 0.0 {
        return Err(CalibrationError::NotTold {
            what: "options that were to be wanted cannot be told from others by the pupil",
            auc: auc.value,
            low: auc.ci_low,
            high: auc.ci_high,
            reliability,
        });
    }
    Ok(PupilCalibration {
        model: PupilModel {
            place,
            density: fit_score_density(&scores, &labels)?,
        },
        reliability,
        auc,
        wanted,
        supported,
        others,
        false_support,
        cues: trials.cues,
    })
}

/// Each class is dealt out in the order of time, so that every fold has some of both.
fn folds_in_time(labels: &[bool], wanted: usize, others: usize) -> Vec<usize> {
    let (mut of_wanted, mut of_others) = (0, 0);
    let each = labels.iter().map(|label| {
        let (count, n) = if *label {
            (&mut of_wanted, wanted)
        } else {
            (&mut of_others, others)
        };
        let fold = *count * FOLDS / n.max(1);
        *count += 1;
        fold
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use razvilka_dsp::pupil::place_terms;

    /// Numbers that look like Gaussian noise, always the same.
    struct Noise(u64);

    impl Noise {
        fn even(&mut self) -> f64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 11) as f64 / (1_u64 << 53) as f64
        }

        fn next(&mut self) -> f64 {
            (0..12).map(|_| self.even()).sum::<f64>() - 6.0
        }
    }

    const PLACE: [f64; PLACE_TERMS] = [0.03, -0.02, -0.015, -0.015, 0.0];

    /// Looks at options: three at a time, one of them wanted, which widens the pupil by `gain` deviations.
    fn trials(cues: usize, gain: f64) -> PupilTrials {
        let mut noise = Noise(7);
        let mut trials = PupilTrials {
            cues,
            ..PupilTrials::default()
        };
        let mut response = |more: f64| {
            let mut place = || place_terms([24.0 * noise.even() - 12.0, 16.0 * noise.even() - 8.0]);
            let (from, to) = (place(), place());
            let moved: [f64; PLACE_TERMS] = std::array::from_fn(|k| to[k] - from[k]);
            let by_place: f64 = PLACE.iter().zip(moved).map(|(c, m)| c * m).sum();
            PupilResponse {
                change: by_place + 0.05 * (0.5 * noise.next() + 0.3 + more),
                moved,
                deviation: 0.05,
            }
        };
        for cue in 0..cues {
            for option in 0..3 {
                let wanted = option == cue % 3;
                trials.looks.push(PupilLook {
                    read_s: 6.0 * cue as f64 + option as f64,
                    response: response(if wanted { gain } else { 0.0 }),
                    wanted,
                });
            }
        }
        trials.moves = (0..400).map(|_| response(0.0)).collect();
        trials
    }

    #[test]
    fn the_effect_of_place_is_found_again() {
        let place = fit_place(&trials(20, 1.0).moves).unwrap();
        for (got, want) in place.iter().zip(PLACE) {
            // 400 changes uncertain by 2.5 %, of terms that vary by about one: a standard error of 0.001 to 0.003; the ridge takes 3 % of slopes
            // and a quarter of the bend.
            assert!((got - want).abs() < 0.008, "{place:?}");
        }
        let mut moves = trials(20, 1.0).moves;
        assert_eq!(fit_place(&moves[..20]).unwrap(), [0.0; PLACE_TERMS]);
        // Changes that have nothing to do with the place.
        for m in &mut moves {
            m.change -= effect(&PLACE, &m.moved);
        }
        assert_eq!(fit_place(&moves).unwrap(), [0.0; PLACE_TERMS]);
    }

    #[test]
    fn wanted_options_are_told_from_others_whatever_the_place() {
        let fitted = fit_pupil(&trials(30, 0.9)).unwrap();
        assert_eq!((fitted.wanted, fitted.others, fitted.cues), (30, 60, 30));
        // Gaussians 1.8 deviations apart: AUC 0.898.
        assert!((fitted.auc.value - 0.898).abs() < 0.06, "{fitted:?}");
        assert!(
            fitted.supported > 20 && fitted.false_support < 20,
            "{fitted:?}"
        );
        assert!(fitted.reliability > 0.5, "{fitted:?}");
        fitted.validate().unwrap();
        let at = |z: f64| fitted.model.llr(z).unwrap();
        assert!(at(1.5) > 0.5 && at(-0.5) < -0.5);
    }

    #[test]
    fn a_pupil_that_tells_nothing_is_refused_with_its_figures_and_so_are_too_few_looks() {
        let error = fit_pupil(&trials(30, 0.0)).unwrap_err();
        assert!(matches!(error, CalibrationError::NotTold { .. }), "{error}");
        assert!(error.to_string().contains("0.5"), "{error}");
        let error = fit_pupil(&trials(14, 1.0)).unwrap_err();
        assert!(
            matches!(error, CalibrationError::TooFew { found: 14, .. }),
            "{error}"
        );
    }
}
