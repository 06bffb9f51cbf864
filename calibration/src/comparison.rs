//! Scorers held against one another over folds: how surely one leads, when several are tried and folds share their training.

use serde::{Deserialize, Serialize};

use crate::crossval::OutOfFold;
use crate::error::Result;
use crate::metrics::{Auc, auc, fold_inflation, held_out_auc};
use crate::model::ScorerKind;

/// Chance that some candidate is taken in the fusion's stead though none is better.
pub(crate) const LEVEL: f64 = 0.05;
/// Fewest folds with at least two of either class from which a comparison is made.
pub(crate) const COMPARED_FOLDS_MIN: usize = 5;

/// How one scorer did out of fold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// Which one.
    pub kind: ScorerKind,
    /// Area under the ROC curve of its out-of-fold scores.
    pub auc: f64,
    /// Standard error of it, the folds' dependence allowed for ([`held_out_auc`]).
    pub standard_error: f64,
    /// Mean of the AUC's lead over the fusion, over the folds that have at least two of either class.
    pub lead: f64,
    /// Standard error of that mean, the folds' dependence allowed for: `sqrt((1/k + 1/(k-1)) s²)` with the leads' variance `s²`
    /// over `k` folds (Nadeau & Bengio, Machine Learning 52 (2003), eq. 9). 0 with fewer than two folds.
    pub lead_error: f64,
}

impl Candidate {
    /// Probability of such a lead if the candidate is no better than the fusion: one-sided t-test over so many folds
    /// (Nadeau & Bengio 2003). 1 where there is nothing to test.
    #[must_use]
    pub fn p_value(&self, compared_folds: usize) -> f64 {
        if compared_folds < 2 || self.lead_error <= 0.0 {
            return 1.0;
        }
        student_upper_tail(self.lead / self.lead_error, compared_folds - 1)
    }

    /// Whether its AUC can be told from chance ([`Auc::above_chance`]).
    pub(crate) fn above_chance(&self) -> bool {
        Auc::of(self.auc, self.standard_error).above_chance()
    }
}

/// The candidates on held-out scores, the first being the fusion, and in how many folds they could be compared.
pub(crate) fn compare(
    kinds: &[ScorerKind],
    scores: &[Vec<f64>],
    labels: &[bool],
    folds: &[Vec<usize>],
) -> Result<(Vec<Candidate>, usize)> {
    let in_fold = |scores: &[f64], fold: &[usize]| -> Option<f64> {
        let own: Vec<f64> = fold.iter().map(|&row| scores[row]).collect();
        let truth: Vec<bool> = fold.iter().map(|&row| labels[row]).collect();
        // A fold without two of either class has no AUC.
        auc(&own, &truth).ok().map(|auc| auc.value)
    };
    let of_first: Vec<Option<f64>> = folds
        .iter()
        .map(|fold| scores.first().and_then(|first| in_fold(first, fold)))
        .collect();
    let compared = of_first.iter().flatten().count();
    let candidates = kinds.iter().zip(scores).map(|(kind, own)| {
        let whole = held_out_auc(own, labels, folds.len())?;
        let pairs = folds.iter().zip(&of_first);
        let leads: Vec<f64> = pairs
            .filter_map(|(fold, first)| Some(in_fold(own, fold)? - (*first)?))
            .collect();
        let n = leads.len().max(1) as f64;
        let lead = leads.iter().sum::<f64>() / n;
        let spread = leads.iter().map(|x| (x - lead).powi(2)).sum::<f64>();
        Ok(Candidate {
            kind: *kind,
            auc: whole.value,
            standard_error: whole.standard_error,
            lead,
            lead_error: (spread / (n - 1.0).max(1.0) / n).sqrt() * fold_inflation(leads.len()),
        })
    });
    Ok((candidates.collect::<Result<_>>()?, compared))
}

/// How many of the candidates are held against the fusion in a test; the prior is not, as it is preferred.
pub(crate) fn tested(candidates: &[Candidate]) -> usize {
    candidates.iter().filter(|c| is_tested(c)).count()
}

fn is_tested(candidate: &Candidate) -> bool {
    !matches!(candidate.kind, ScorerKind::Fusion | ScorerKind::Informed)
}

/// With a prior: that, unless it trails the fusion by more than one standard error, as it has seen more. Else the fusion, unless
/// another's lead is beyond what the best of so many would reach by chance (Bonferroni over the candidates, [`LEVEL`] in all);
/// then, of those, the one that leads most. Too few folds, or a fusion that cannot be told from chance, compare nothing.
pub(crate) fn pick(candidates: &[Candidate], compared_folds: usize) -> ScorerKind {
    let of = |kind: ScorerKind| candidates.iter().find(|c| c.kind == kind);
    let informed = of(ScorerKind::Informed);
    let comparable = compared_folds >= COMPARED_FOLDS_MIN
        && of(ScorerKind::Fusion).is_some_and(Candidate::above_chance);
    if informed.is_some_and(|c| !comparable || c.lead >= -c.lead_error) {
        return ScorerKind::Informed;
    }
    if !comparable {
        return ScorerKind::Fusion;
    }
    let level = LEVEL / tested(candidates).max(1) as f64;
    candidates
        .iter()
        .filter(|c| is_tested(c) && c.p_value(compared_folds) < level)
        .max_by(|a, b| a.lead.total_cmp(&b.lead))
        .map_or(ScorerKind::Fusion, |c| c.kind)
}

/// Scores of the kind that was picked, as the rest of the calibration takes them.
pub(crate) fn held_out_of(
    scores: Vec<f64>,
    folds: &[Vec<usize>],
    apart: &[Vec<usize>],
) -> OutOfFold {
    OutOfFold {
        fold: crate::crossval::folds_of(folds, scores.len()),
        folds: folds.len(),
        apart: apart.to_vec(),
        scores,
    }
}

/// `P(T > t)` of Student's t with whole degrees of freedom, by the finite series of Abramowitz & Stegun, 26.7.3 and 26.7.4.
fn student_upper_tail(t: f64, dof: usize) -> f64 {
    let angle = (t / (dof as f64).sqrt()).atan();
    let (sin, cos) = angle.sin_cos();
    let odd = dof % 2 == 1;
    // The powers of the cosine begin at 1 or 0 and rise by 2 up to dof - 2.
    let (mut term, mut power) = if odd { (cos, 1) } else { (1.0, 0) };
    let mut sum = 0.0;
    while power + 2 <= dof {
        sum += term;
        term *= cos * cos * (power as f64 + 1.0) / (power as f64 + 2.0);
        power += 2;
    }
    let within = if odd {
        (angle + sin * sum) * std::f64::consts::FRAC_2_PI
    } else {
        sin * sum
    };
    0.5 * (1.0 - within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_of_students_t_are_those_of_scipy() {
        // scipy.stats.t.sf(t, dof), SciPy 1.x.
        for (t, dof, expected) in [
            (2.0, 9, 0.038_276_411_885_350_504),
            (2.5, 11, 0.014_753_187_043_682_081),
            (0.5, 1, 0.352_416_382_349_566_74),
            (1.5, 4, 0.104),
            (3.3, 2, 0.040_423_846_901_833_996),
            (-1.0, 5, 0.818_391_266_175_438_6),
            (4.2, 10, 0.000_914_348_240_133_810_2),
        ] {
            let found = student_upper_tail(t, dof);
            assert!((found - expected).abs() < 1e-12, "{t} {dof}: {found}");
        }
    }

    fn candidate(kind: ScorerKind, auc: f64, lead: f64, lead_error: f64) -> Candidate {
        Candidate {
            kind,
            auc,
            standard_error: 0.03,
            lead,
            lead_error,
        }
    }

    #[test]
    fn a_lead_that_one_test_would_believe_is_not_believed_of_the_best_of_five() {
        let fusion = candidate(ScorerKind::Fusion, 0.8, 0.0, 0.0);
        let lda = candidate(ScorerKind::Lda, 0.85, 0.05, 0.025);
        // t = 2 with 9 degrees of freedom: p = 0.038.
        assert_eq!(pick(&[fusion, lda], 10), ScorerKind::Lda);
        let rest = [
            ScorerKind::BlockToeplitzLda,
            ScorerKind::XdawnLda,
            ScorerKind::XdawnTangent,
        ]
        .map(|kind| candidate(kind, 0.8, 0.0, 0.02));
        let many: Vec<Candidate> = [fusion, lda].into_iter().chain(rest).collect();
        assert_eq!(pick(&many, 10), ScorerKind::Fusion);
    }

    #[test]
    fn nothing_is_compared_in_few_folds_or_when_the_fusion_says_nothing() {
        let sure = candidate(ScorerKind::Lda, 0.95, 0.15, 0.005);
        let fusion = |auc| candidate(ScorerKind::Fusion, auc, 0.0, 0.0);
        assert_eq!(pick(&[fusion(0.8), sure], 10), ScorerKind::Lda);
        assert_eq!(pick(&[fusion(0.8), sure], 4), ScorerKind::Fusion);
        assert_eq!(pick(&[fusion(0.52), sure], 10), ScorerKind::Fusion);
        let informed = candidate(ScorerKind::Informed, 0.6, -0.2, 0.01);
        assert_eq!(pick(&[fusion(0.8), informed], 10), ScorerKind::Fusion);
        assert_eq!(pick(&[fusion(0.8), informed], 0), ScorerKind::Informed);
        assert_eq!(pick(&[fusion(0.52), informed], 10), ScorerKind::Informed);
    }

    #[test]
    fn a_lead_without_a_spread_is_no_evidence() {
        let fusion = candidate(ScorerKind::Fusion, 0.8, 0.0, 0.0);
        let same = candidate(ScorerKind::Lda, 0.9, 0.333, 0.0);
        assert_eq!(pick(&[fusion, same], 10), ScorerKind::Fusion);
        assert_eq!(same.p_value(1), 1.0);
    }

    /// A stream of numbers about Gaussian, from a seed (sum of uniforms over a linear congruence).
    struct Noise(u64);

    impl Noise {
        fn gauss(&mut self) -> f64 {
            let uniform = |state: &mut u64| {
                *state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (*state >> 11) as f64 / (1_u64 << 53) as f64
            };
            (0..12).map(|_| uniform(&mut self.0)).sum::<f64>() - 6.0
        }
    }

    const KINDS: [ScorerKind; 6] = ScorerKind::ALL;

    /// What is picked of six scorers whose scores hold the classes so many standard deviations apart and are correlated 0.5,
    /// on 10 folds of 36 flashes, one in six a target.
    fn picked(seed: u64, apart: [f64; 6]) -> ScorerKind {
        let mut noise = Noise(seed);
        let labels: Vec<bool> = (0..360).map(|i| i % 6 == 0).collect();
        let folds: Vec<Vec<usize>> = (0..10).map(|f| (36 * f..36 * (f + 1)).collect()).collect();
        let mut scores = vec![Vec::new(); 6];
        for &target in &labels {
            let shared = noise.gauss();
            for (own, apart) in scores.iter_mut().zip(apart) {
                let response = if target { apart } else { 0.0 };
                own.push((shared + noise.gauss()) / 2.0_f64.sqrt() + response);
            }
        }
        let (candidates, compared) = compare(&KINDS, &scores, &labels, &folds).unwrap();
        assert_eq!(compared, 10);
        pick(&candidates, compared)
    }

    #[test]
    fn among_six_of_equal_merit_chance_leaves_the_fusion_in_at_most_one_of_twenty() {
        for apart in [0.0, 1.5] {
            let left = (0..400)
                .filter(|seed| picked(*seed, [apart; 6]) != ScorerKind::Fusion)
                .count();
            println!("{apart}: {left} of 400");
            assert!(left <= 20, "{apart}: {left} of 400");
        }
    }

    #[test]
    fn one_that_is_better_by_far_is_picked_nearly_always() {
        let mut apart = [1.0; 6];
        apart[3] = 2.5;
        let found = (0..100)
            .filter(|seed| picked(*seed, apart) == KINDS[3])
            .count();
        assert!(found >= 95, "{found} of 100");
    }

    #[test]
    fn folds_without_two_of_a_class_are_counted_out_and_said() {
        let labels: Vec<bool> = (0..60).map(|i| i < 6 || i == 30).collect();
        let folds: Vec<Vec<usize>> = (0..6).map(|f| (10 * f..10 * (f + 1)).collect()).collect();
        let scores: Vec<f64> = (0..60).map(|i| f64::from((i * 7) % 13)).collect();
        let both = vec![scores.clone(), scores];
        let (candidates, compared) = compare(&KINDS[..2], &both, &labels, &folds).unwrap();
        assert_eq!(compared, 1);
        assert_eq!(candidates[1].p_value(compared), 1.0);
        assert_eq!(pick(&candidates, compared), ScorerKind::Fusion);
    }
}
