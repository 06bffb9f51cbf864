//! Two numbers between the classifier and the durations. They are chosen on recordings that the classifiers had not seen, and judged on others.

use razvilka_dsp::gaze::Parameters;

use crate::data::{FIXATION, SACCADE};

/// Weight of a sample's evidence against durations, and what is added to one output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers {
    weight: f32,
    /// Taught classifiers are too shy of small saccades.
    saccade: f32,
}

const WEIGHTS: [f32; 6] = [1.5, 2.0, 2.5, 3.0, 3.5, 4.0];
const SACCADES: [f32; 6] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5];

impl Numbers {
    /// The best on all four folds of people.
    pub(crate) const USUAL: Self = Self {
        weight: 2.5,
        saccade: 0.35,
    };

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        WEIGHTS
            .into_iter()
            .flat_map(|weight| SACCADES.map(|saccade| Self { weight, saccade }))
    }

    pub(crate) fn put(self, parameters: &mut Parameters) {
        parameters.tuning.weight = self.weight;
        parameters.tuning.bias[usize::from(SACCADE - FIXATION)] = self.saccade;
    }

    /// The best numbers by the worth of each: those that do well together with their neighbours, for what single ones gain is chance.
    pub(crate) fn best(worths: impl Iterator<Item = f64>) -> Self {
        let worths: Vec<f64> = worths.collect();
        let place = |k: usize| (k / SACCADES.len(), k % SACCADES.len());
        let near = |a: usize, b: usize| {
            let ((w, s), (v, r)) = (place(a), place(b));
            w.abs_diff(v) <= 1 && s.abs_diff(r) <= 1
        };
        let around = |k: usize| {
            let (sum, count) = (0..worths.len())
                .filter(|other| near(k, *other))
                .fold((0.0, 0.0), |(sum, count), other| {
                    (sum + worths[other], count + 1.0)
                });
            sum / count
        };
        Self::all()
            .enumerate()
            .max_by(|(a, _), (b, _)| around(*a).total_cmp(&around(*b)))
            .map_or(Self::USUAL, |(_, numbers)| numbers)
    }
}
