//! From the classifier's outputs to labels and reports, as the detector makes them.

use std::error::Error;

use razvilka_dsp::gaze::{Described, FeatureStream, Judge, OUTPUTS, Parameters, TrainedSpec};
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
) -> Score {
    let mut judges: Vec<Judge> = trained.iter().cloned().map(Judge::new).collect();
    let mut score = Score::default();
    for heard in heard {
        let said = say(&mut judges[heard.fold], heard);
        score.add(&heard.truth, &said, &heard.t_s, heard.rate_hz);
    }
    score
}
