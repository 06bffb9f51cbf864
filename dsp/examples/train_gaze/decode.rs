//! How strongly outputs and durations count: found by trying, on recordings that the classifier has not seen.

use std::collections::BTreeSet;
use std::error::Error;

use razvilka_dsp::gaze::{
    CLASSES, Described, FeatureStream, Judge, OUTPUTS, Parameters, TrainedSpec, Tuning,
};
use razvilka_dsp::units::Hertz;

use crate::data::{Random, Recording, Worse};
use crate::learn::CODES;
use crate::score::{Said, Score};

/// What the classifier said of a recording.
pub(crate) struct Heard {
    pub(crate) fold: usize,
    truth: Vec<u8>,
    rate_hz: f64,
    t_s: Vec<f64>,
    now_s: Vec<f64>,
    dt_s: Vec<f64>,
    /// None in a gap that is not bridged.
    outputs: Vec<Option<[f32; OUTPUTS]>>,
}

/// What is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Adjusted {
    pub(crate) tuning: Tuning,
    /// Factor of each class's hazards.
    pub(crate) hazard: [f32; CLASSES],
}

impl Adjusted {
    pub(crate) const BEGIN: Self = Self {
        tuning: Tuning {
            weight: 3.0,
            bias: [0.0; CLASSES],
            choice: [1.0; CLASSES],
        },
        hazard: [1.0; CLASSES],
    };

    /// How far from where the search begins.
    fn distance(&self) -> f32 {
        let begin = Self::BEGIN;
        let ln2 = |now: f32, then: f32| (now / then).ln().powi(2);
        let bias: f32 = self.tuning.bias.iter().map(|b| b * b).sum();
        let choice: f32 = self.tuning.choice.iter().map(|c| ln2(*c, 1.0)).sum();
        let hazard: f32 = self.hazard.iter().map(|h| ln2(*h, 1.0) / 4.0).sum();
        ln2(self.tuning.weight, begin.tuning.weight) + bias + choice + hazard
    }

    /// The parameters with these adjustments.
    pub(crate) fn of(&self, parameters: &Parameters) -> Parameters {
        let mut made = parameters.clone();
        made.tuning = self.tuning;
        for (ages, factor) in made.durations.hazard_per_s.iter_mut().zip(self.hazard) {
            for hazard in ages {
                *hazard = (*hazard * factor).min(1e4);
            }
        }
        made
    }
}

pub(crate) fn hear(
    parameters: &Parameters,
    recording: &Recording,
    worse: &Worse,
    fold: usize,
) -> Result<Heard, Box<dyn Error>> {
    let mut random = Random(recording.name.bytes().map(u64::from).sum());
    let recording = worse.apply(recording, &mut random);
    let spec = TrainedSpec::default();
    let mut stream = FeatureStream::new(Hertz::new(recording.rate_hz)?, spec.bridge.get())?;
    let mut heard = Heard {
        fold,
        truth: recording.labels.clone(),
        rate_hz: recording.rate_hz,
        t_s: vec![],
        now_s: vec![],
        dt_s: vec![],
        outputs: vec![],
    };
    let mut each = |row: &Described| {
        heard.t_s.push(row.t_s);
        heard.now_s.push(row.now_s);
        heard.dt_s.push(row.dt_s);
        let outputs = (!row.gone).then(|| parameters.logits(&row.features));
        heard.outputs.push(outputs);
    };
    for sample in &recording.samples {
        stream.push(*sample, &mut each);
    }
    stream.finish(&mut each);
    Ok(heard)
}

/// Labels and reports. Reports follow the rule of the detector's track, without its bridging.
fn say(judge: &mut Judge, heard: &Heard) -> Said {
    judge.reset();
    let spec = TrainedSpec::default();
    let (announce_s, end_s) = (spec.announce_after.get(), spec.end_after.get());
    let mut said = Said::default();
    let (mut armed, mut fast_s, mut slow_s) = (true, 0.0, 0.0);
    let places = heard.outputs.iter().zip(&heard.dt_s).zip(&heard.now_s);
    for ((outputs, dt_s), now_s) in places {
        let class = match outputs {
            None => judge.gone(),
            Some(outputs) => judge.follow(outputs, *dt_s),
        };
        let code = CODES[class];
        said.labels.push(code);
        let (dt_s, half) = (dt_s.min(0.02), 0.5 / heard.rate_hz);
        match code {
            1 | 4 => {
                slow_s += dt_s;
                if slow_s > 0.02 {
                    fast_s = 0.0;
                }
            }
            2 | 5 => {
                fast_s += dt_s;
                slow_s = 0.0;
                armed |= fast_s > end_s - half;
            }
            _ => {}
        }
        if armed && slow_s > announce_s - half && matches!(code, 1 | 4) {
            said.reports_s.push(*now_s);
            (armed, fast_s) = (false, 0.0);
        }
    }
    said
}

/// Scores what was heard, each recording with the parameters of its fold.
pub(crate) fn score<'a>(
    trained: &[Parameters],
    heard: impl IntoIterator<Item = &'a Heard>,
    adjusted: &Adjusted,
) -> Score {
    let mut judges: Vec<Judge> = trained.iter().map(|p| Judge::new(adjusted.of(p))).collect();
    let mut score = Score::default();
    for heard in heard {
        let said = say(&mut judges[heard.fold], heard);
        score.add(&heard.truth, &said, &heard.t_s, heard.rate_hz);
    }
    score
}

/// What is sought: agreement of samples and of events, and most of all where it falls short of what people expect.
fn worth(score: &Score) -> f64 {
    let f = score.figures();
    let short = |v: f64, enough: f64| v + 2.0 * (v - enough).min(0.0);
    short(f.saccade, 0.86)
        + short(f.saccade_events, 0.90)
        + short(f.slow, 0.89)
        + short(f.slow_events, 0.96)
        + 0.5 * short(f.settling, 0.65)
        - 2.0 * (f.missed - 0.03).max(0.0)
        - 0.02 * (f.wrong_per_minute - 6.0).max(0.0)
}

/// Tries steps of each number in turn, halving them when none helps.
pub(crate) fn adjust(trained: &[Parameters], heard: &[&Heard], rounds: usize) -> Adjusted {
    let mut best = Adjusted::BEGIN;
    // The mean over folds: what helps only where most was recorded is no help elsewhere. Large changes must pay for themselves.
    let folds: BTreeSet<usize> = heard.iter().map(|h| h.fold).collect();
    let all = |a: &Adjusted| {
        let of = |fold: &usize| {
            let part = heard.iter().copied().filter(|h| h.fold == *fold);
            worth(&score(trained, part, a))
        };
        folds.iter().map(of).sum::<f64>() / folds.len() as f64 - 0.01 * f64::from(a.distance())
    };
    let mut top = all(&best);
    let mut step = 0.5_f32;
    for _ in 0..rounds {
        let mut moved = false;
        for which in 0..=3 * CLASSES {
            for step in [-step, step] {
                let mut tried = best;
                match which {
                    0 => tried.tuning.weight *= step.exp(),
                    k if k <= CLASSES => tried.tuning.bias[k - 1] += step,
                    k if k <= 2 * CLASSES => {
                        tried.hazard[k - CLASSES - 1] *= (2.0 * step).exp();
                    }
                    k => tried.tuning.choice[k - 2 * CLASSES - 1] *= step.exp(),
                }
                let got = all(&tried);
                if got > top {
                    (top, best, moved) = (got, tried, true);
                    break;
                }
            }
        }
        if !moved {
            step *= 0.5;
        }
    }
    best
}
