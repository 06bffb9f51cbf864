//! What the detector says of a recording that a worse tracker would have made.

use razvilka_dsp::DspError;

use razvilka_dsp::gaze::{GazeEvent, Parameters, TrainedDetector, TrainedSpec};
use razvilka_dsp::units::Hertz;

use crate::data::{Random, Recording, Worse};
use crate::score::{Said, Score};

/// Adds to the score what the detector with these parameters says, sample by sample as it runs live.
pub(crate) fn judge(
    parameters: &Parameters,
    recording: &Recording,
    worse: &Worse,
    score: &mut Score,
) -> Result<(), DspError> {
    let mut random = Random(recording.name.bytes().map(u64::from).sum());
    let recording = worse.apply(recording, &mut random);
    let rate = Hertz::new(recording.rate_hz)?;
    let mut detector = TrainedDetector::with(TrainedSpec::default(), rate, parameters.clone())?;
    let (mut said, mut t_s) = (Said::default(), vec![]);
    let mut each = |event: GazeEvent| {
        if let GazeEvent::Label(label) = event {
            said.labels.push(label.movement.code());
            t_s.push(label.t_s);
            if label.announces {
                said.reports_s.push(label.emit_s);
            }
        }
    };
    for sample in &recording.samples {
        detector.push(*sample, &mut each);
    }
    detector.finish(&mut each);
    score.add(&recording.labels, &said, &t_s, recording.rate_hz);
    Ok(())
}
