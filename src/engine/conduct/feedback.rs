//! Dwell feedback: how far each option has come by gaze, for whoever shows it to the person.

use ringbuf::traits::Consumer;

use super::Conductor;
use crate::engine::EngineError;
use crate::fork::MAX_OPTIONS;
use crate::pipeline::gaze::Dwell;
use crate::recording::{OffsetTap, Recorder, SampleTap};
use crate::source::{SampleSink, StreamSpec};

/// What dwell feedback needs from outside.
pub struct FeedbackSetting {
    /// What the stream says of itself.
    pub spec: StreamSpec,
    /// To whoever listens; `None` when it could not be opened.
    pub sink: Option<Box<dyn SampleSink>>,
}

/// Where it goes.
pub(super) struct Feedback {
    sink: Option<Box<dyn SampleSink>>,
    tap: SampleTap,
    pub(super) offsets: OffsetTap,
}

impl Feedback {
    pub(super) fn start(
        setting: FeedbackSetting,
        recorder: &Recorder,
    ) -> Result<Self, EngineError> {
        let (tap, offsets) = recorder.add_samples(&setting.spec)?;
        Ok(Self {
            sink: setting.sink,
            tap,
            offsets,
        })
    }

    /// Sends and records one sample; NaN for options that are not there.
    fn tell(&mut self, dwell: &Dwell, options: usize) {
        let mut values = [f32::NAN; MAX_OPTIONS + 1];
        let [fork, shares @ ..] = &mut values;
        *fork = dwell.fork.0 as f32;
        for (share, progress) in shares.iter_mut().zip(dwell.progress).take(options) {
            *share = progress as f32;
        }
        let stamp = [dwell.at.get()];
        self.tap.push(&stamp, &values);
        if let Some(sink) = &mut self.sink {
            // Nobody need listen, and the outlet drops what a slow listener leaves.
            let _ = sink.push(&values, &stamp);
        }
    }
}

impl Conductor<'_> {
    /// Hands on how far the options of the open fork have come. All of it is sent and recorded, the newest is shown.
    pub(super) fn feed_back(&mut self) {
        let Some(gaze) = &mut self.inputs.gaze else {
            return;
        };
        let mut newest = None;
        while let Some(dwell) = gaze.feedback.try_pop() {
            let open = self.question.as_ref().filter(|q| q.id == dwell.fork);
            if let Some(question) = open {
                if let Some(feedback) = &mut self.feedback {
                    feedback.tell(&dwell, question.kinds.len());
                }
                newest = Some((dwell, question.kinds.len()));
            }
        }
        if let Some((dwell, options)) = newest {
            let shares = dwell.progress.get(..options).unwrap_or(&dwell.progress);
            let shown = self.view.dwell(dwell.fork.0, shares);
            self.seen(shown);
        }
    }
}
