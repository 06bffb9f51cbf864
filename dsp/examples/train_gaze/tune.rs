//! Two numbers between the classifier and the durations. They are chosen on recordings that the classifiers had not seen, and judged on others.

use std::error::Error;

use razvilka_dsp::gaze::Parameters;

use crate::data::{FIXATION, SACCADE};
use crate::score::Score;

/// Weight of a sample's evidence against durations, and what is added to one output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers {
    weight: f32,
    /// Taught classifiers are too shy of small saccades.
    saccade: f32,
}

impl Numbers {
    /// The best on all four folds of people.
    pub(crate) const USUAL: Self = Self {
        weight: 2.5,
        saccade: 0.35,
    };

    fn all() -> impl Iterator<Item = Self> {
        [2.0, 2.5, 3.0, 3.5, 4.0]
            .into_iter()
            .flat_map(|weight| [0.0, 0.15, 0.25, 0.35, 0.5].map(|saccade| Self { weight, saccade }))
    }

    pub(crate) fn put(self, parameters: &mut Parameters) {
        parameters.tuning.weight = self.weight;
        parameters.tuning.bias[usize::from(SACCADE - FIXATION)] = self.saccade;
    }

    /// The best numbers for the recordings that `score` scores.
    pub(crate) fn best(
        mut score: impl FnMut(Self) -> Result<Score, Box<dyn Error>>,
    ) -> Result<Self, Box<dyn Error>> {
        let mut best = (f64::NEG_INFINITY, Self::USUAL);
        for numbers in Self::all() {
            let worth = score(numbers)?.worth();
            if worth > best.0 {
                best = (worth, numbers);
            }
        }
        Ok(best.1)
    }
}
