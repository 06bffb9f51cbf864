//! Following a tracker that drifts: what confirmed choices say of it is learnt at the opening of a fork, and counts from there on.

use ringbuf::traits::Consumer;

use super::Conductor;
use crate::engine::question::Question;
use crate::fork::ForkId;
use crate::marker::OptionKind;
use crate::session::EventKind;

impl Conductor<'_> {
    /// The person chose a branch: the choice before it stands.
    pub(super) fn looked_at(&mut self, question: &Question, item: Option<usize>) {
        let Some(drift) = &mut self.drift else { return };
        let tile = item
            .filter(|item| question.committed_option() == Some(*item))
            .and_then(|item| question.tiles.get(item))
            .filter(|tile| tile.kind == OptionKind::Branch);
        if let (Some(tile), Some(end)) = (tile, question.end) {
            drift.answered(question.id, tile.clone(), end.decided_at.get());
        }
    }

    /// Before a fork opens: what is added to gaze from it on, degrees.
    pub(super) fn follow_gaze(&mut self, fork: ForkId) -> (f64, f64) {
        let (Some(drift), Some(gaze)) = (&mut self.drift, &mut self.inputs.gaze) else {
            return (0.0, 0.0);
        };
        while let Some(look) = gaze.looks.try_pop() {
            drift.hear(look);
        }
        let confirmed = drift.confirmed();
        let step = drift.step(fork, &confirmed);
        let shift_deg = drift.shift_deg();
        if let Some(step) = step {
            self.event(EventKind::Adaptation, step.detail());
            if step.bound_reached {
                self.tell_once(
                    "gaze drift",
                    "the eye tracker has drifted further than gaze may be moved after it (adaptation.gaze_shift_max_deg): calibrate again",
                );
            }
        }
        shift_deg
    }
}
