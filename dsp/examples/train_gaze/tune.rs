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

/// What two trainings that differ in chance alone differ by, of an agreement.
const CHANCE: f64 = 0.005;

const WEIGHTS: [f32; 6] = [1.5, 2.0, 2.5, 3.0, 3.5, 4.0];
const SACCADES: [f32; 6] = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7];

impl Numbers {
    /// Of about the best on all four folds of people those that miss least.
    pub(crate) const USUAL: Self = Self {
        weight: 3.0,
        saccade: 0.6,
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

    /// Numbers by the worth of each candidate: their mean, in which each counts by how likely chance alone puts it behind the best. What a single one
    /// gains is chance.
    pub(crate) fn best(worths: &[f64]) -> Self {
        let most = worths.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut sum = Self {
            weight: 0.0,
            saccade: 0.0,
        };
        let mut all = 0.0;
        for (numbers, worth) in Self::all().zip(worths) {
            let share = ((worth - most) / CHANCE).exp() as f32;
            sum.weight += share * numbers.weight;
            sum.saccade += share * numbers.saccade;
            all += share;
        }
        Self {
            weight: sum.weight / all,
            saccade: sum.saccade / all,
        }
    }
}
