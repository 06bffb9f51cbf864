//! What happened beside the forks: calls, choices taken back, what the scorer learnt.

use super::Replaying;
use crate::choice::guard::Guard;
use crate::engine::adapting::Adaptation;
use crate::engine::drift::GazeStep;
use crate::engine::replay::happened::Happened;
use crate::session::{AutonomyEvent, EventRow};

impl Replaying<'_> {
    pub(super) fn happened(&mut self, row: &EventRow) {
        let Some(happened) = Happened::of(row) else {
            return;
        };
        if let Happened::Adaptation(recorded) = &happened {
            self.learnt(recorded);
            return;
        }
        if let Happened::Gaze(recorded) = &happened {
            self.followed(recorded);
            return;
        }
        if let Happened::Autonomy(recorded) = &happened {
            self.stands(row, recorded);
            return;
        }
        if let Happened::Guard(recorded) = &happened {
            self.guarded(row, recorded);
            return;
        }
        if happened == Happened::Undo {
            self.guarding.hears(&mut self.decider, Guard::taken_back);
        }
        let Some(story) = self.story.as_mut() else {
            return;
        };
        let called = match happened {
            Happened::Call { position, .. } => Some(position),
            _ => None,
        };
        let (followed, expected) = match happened {
            Happened::Call { text, position } => (
                story.call(text, position),
                format!("a call behind token {position}"),
            ),
            Happened::Undo => (story.undo(), "a choice taken back".into()),
            Happened::End { text, position } => {
                self.end = Some((text, position));
                return;
            }
            Happened::Adaptation(_)
            | Happened::Autonomy(_)
            | Happened::Guard(_)
            | Happened::Gaze(_)
            | Happened::Exchange(_)
            | Happened::Restarted { .. } => {
                return;
            }
        };
        // What is offered now is another fork than the one that was asked before.
        self.attempt = 0;
        if let Err(astray) = followed {
            self.astray(row.fork, expected, astray);
            return;
        }
        self.follow_texts();
        match called {
            Some(position) => self.decider.called(position),
            // What it could not learn was told in the session, and is the same now.
            None => drop(self.decider.taken_back()),
        }
    }

    /// What stood with the imitator: the same now, bit for bit?
    fn stands(&mut self, row: &EventRow, recorded: &AutonomyEvent) {
        let expected = match recorded {
            AutonomyEvent::Begins(_) => return,
            AutonomyEvent::AskMe(on) => {
                self.decider.ask_me(*on);
                return;
            }
            AutonomyEvent::Stands(report) => report,
            AutonomyEvent::Ends(report) => {
                self.decider.close();
                report
            }
        };
        let got = self.decider.report();
        // Where the text went another way, that has been told.
        if self.story.is_some() && got.as_ref() != Some(expected) {
            let got = got.map_or_else(|| "nothing".into(), |got| format!("{got:?}"));
            self.differs(row.fork, None, "the imitator", format!("{expected:?}"), got);
        }
    }

    /// The tracker was followed: by the same looks to the same bits?
    fn followed(&mut self, recorded: &GazeStep) {
        let Some(remade) = self.remade.gaze_steps.get(&recorded.fork) else {
            return;
        };
        if remade.as_ref() == Some(recorded) || !self.whole {
            return;
        }
        let got = remade
            .as_ref()
            .map_or_else(|| "nothing".into(), GazeStep::detail);
        let fork = Some(recorded.fork);
        self.differs(fork, None, "what gaze learnt", recorded.detail(), got);
    }

    /// The scorer learnt from confirmed choices: from the same epochs to the same bits?
    fn learnt(&mut self, recorded: &Adaptation) {
        let Some(remade) = self.remade.adaptation(recorded.fork) else {
            return;
        };
        if remade == Some(recorded) || !self.whole {
            return;
        }
        let words = |of: &Adaptation| serde_json::to_string(of).unwrap_or_default();
        let got = remade.map_or_else(|| "nothing".into(), words);
        self.differs(
            Some(recorded.fork),
            None,
            "what the scorer learnt",
            words(recorded),
            got,
        );
    }
}
