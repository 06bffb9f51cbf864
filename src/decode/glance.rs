//! The cheap test: could there be a fork here at all? Looks at one distribution, computes nothing more.

use super::distribution::{Candidate, entropy_nats, probabilities, top, varentropy_nats2};
use super::error::DecodeError;
use super::kernel;
use super::line::Line;
use super::model::Model;
use super::settings::WriterSettings;

/// What the distribution of the next token looks like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Glance {
    /// Entropy, nats.
    pub entropy_nats: f64,
    /// Variance of the surprise, nats squared.
    pub varentropy_nats2: f64,
    /// Probabilities of the three likeliest tokens.
    pub top3: [f64; 3],
}

impl Glance {
    /// Looks at a distribution.
    pub(super) fn at(probabilities: &[f64]) -> Self {
        let best = top(probabilities, 3);
        Self {
            entropy_nats: entropy_nats(probabilities),
            varentropy_nats2: varentropy_nats2(probabilities),
            top3: std::array::from_fn(|i| best.get(i).map_or(0.0, |candidate| candidate.mass)),
        }
    }

    /// The gate: the second likeliest token matters, and the three likeliest are most of what there is (so not one of
    /// many names or colours).
    #[must_use]
    pub fn passes(&self, settings: &WriterSettings) -> bool {
        self.top3[1] >= settings.second_mass_min
            && self.top3.iter().sum::<f64>() >= settings.top3_mass_min
    }
}

/// The first tokens worth rolling out from here, likeliest first: each begins a word (or is punctuation), none ends the
/// text. Empty inside a character.
pub(super) fn heads(
    model: &Model,
    line: &Line,
    probabilities: &[f64],
    count: usize,
    mass_min: f64,
    not: &[u32],
) -> Result<Vec<Candidate>, DecodeError> {
    if line.stream().inside_character(model.tokens())? {
        return Ok(Vec::new());
    }
    let mut out = Vec::with_capacity(count);
    for candidate in top(probabilities, count + not.len() + 1) {
        if candidate.mass < mass_min || out.len() == count {
            break;
        }
        if not.contains(&candidate.token)
            || model.is_end(candidate.token)
            || !model.is_allowed(candidate.token)
        {
            continue;
        }
        let piece = line.stream().peek(model.tokens(), candidate.token)?;
        if !piece.is_empty() && !line.goes_on_with(&piece) {
            out.push(candidate);
        }
    }
    Ok(out)
}

/// Whether the gate could pass: said of every distribution that passes, and of few others. A hundredth of a step of a model with 50,000
/// tokens, where probabilities and entropies take a tenth.
fn may_pass(logits: &[f32], settings: &WriterSettings) -> bool {
    /// Far above the error of the sums here.
    const MARGIN: f64 = 1e-3;
    let mut best = [f32::NEG_INFINITY; 3];
    kernel::three_largest(logits, &mut best);
    let weights = best.map(|x| f64::from(x - best[0]).exp());
    let three: f64 = weights.iter().sum();
    // All tokens weigh at least what the likeliest three do.
    if weights[1] / three < settings.second_mass_min - MARGIN {
        return false;
    }
    let mut all = 0.0;
    kernel::sum_of_exponentials(logits, best[0], &mut all);
    let all = f64::from(all);
    weights[1] / all >= settings.second_mass_min - MARGIN
        && three / all >= settings.top3_mass_min - MARGIN
}

/// Whether a fork may lie behind this line: the gate passes and two heads at least can be rolled out.
pub(super) fn promising(
    model: &Model,
    line: &Line,
    settings: &WriterSettings,
) -> Result<Vec<Candidate>, DecodeError> {
    if !may_pass(&line.next.logits, settings) {
        return Ok(Vec::new());
    }
    let probabilities = probabilities(&line.next.logits);
    if !Glance::at(&probabilities).passes(settings) {
        return Ok(Vec::new());
    }
    let found = heads(
        model,
        line,
        &probabilities,
        settings.candidates_max,
        settings.candidate_mass_min,
        &[],
    )?;
    Ok(if found.len() < 2 { Vec::new() } else { found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_the_gate_passes_the_quick_look_and_little_else_does() {
        use rand::{RngExt, SeedableRng};
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let settings = WriterSettings::default();
        let (mut passed, mut needless) = (0, 0);
        for _ in 0..10_000 {
            let n = random.random_range(3..400);
            let heat: f32 = random.random_range(0.5..9.0);
            let logits: Vec<f32> = (0..n)
                .map(|_| heat * random.random_range(-1.0_f32..1.0))
                .collect();
            let passes = Glance::at(&probabilities(&logits)).passes(&settings);
            let quick = may_pass(&logits, &settings);
            assert!(quick || !passes, "{n} tokens, heat {heat}");
            passed += u32::from(passes);
            needless += u32::from(quick && !passes);
        }
        assert!(
            passed > 100,
            "{passed} of 10,000 pass: the test says something"
        );
        assert!(needless < 100, "{needless} needless looks");
    }
}
