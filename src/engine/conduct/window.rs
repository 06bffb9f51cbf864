//! The participant window's flashes in mid-session: a window that was moved to another monitor shows none where frames are too few, and what
//! EEG has to say is missing from then on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Conductor;
use crate::config::Plan;
use crate::engine::EngineError;
use crate::gate::AbortReason;
use crate::pipeline::decision::Order;
use crate::session::EventKind;
use crate::view::board::Board;
use crate::view::surface::{Flashes, Frames};

/// A rate that is not known after so long never will be: frames come slower than 10 in a second.
const MEASURED_WITHIN: Duration = Duration::from_secs(6);

/// Whether the window shows flashes, as it was told last.
pub(super) struct FlashWatch {
    board: Arc<Board>,
    least_hz: f64,
    told: Flashes,
    /// Since when the rate has been measured.
    unmeasured: Option<Instant>,
    /// Since when it has been told to be too slow.
    slow_since: Option<Instant>,
}

impl FlashWatch {
    /// Watches the window on this board; `None` without one, or where nothing flashes.
    pub(super) fn new(plan: &Plan, board: Option<Arc<Board>>) -> Option<Self> {
        let board = board.filter(|_| plan.view.flashes && plan.eeg.is_some())?;
        Some(Self {
            board,
            least_hz: plan.view.frame_rate_min_hz,
            told: Flashes::Shown,
            unmeasured: None,
            slow_since: None,
        })
    }

    /// What has changed by `now`.
    fn news(&mut self, now: Instant) -> Option<Flashes> {
        let mut flashes = self.board.flashes();
        if flashes == Flashes::Unmeasured {
            let since = *self.unmeasured.get_or_insert(now);
            if now.saturating_duration_since(since) >= MEASURED_WITHIN {
                flashes = Flashes::TooSlow;
            }
        } else {
            self.unmeasured = None;
        }
        if flashes == self.told {
            return None;
        }
        self.told = flashes;
        self.slow_since = (flashes == Flashes::TooSlow).then_some(now);
        Some(flashes)
    }

    /// How frames come; while that is measured, what was measured last was another rate.
    fn frames(&self) -> Frames {
        let frames = self.board.frames();
        Frames {
            rate_hz: frames.rate_hz.filter(|_| self.unmeasured.is_none()),
            ..frames
        }
    }

    fn is_hidden(&self) -> bool {
        self.told != Flashes::Shown
    }
}

impl Conductor<'_> {
    /// Says when the window shows no flashes, or does again. Where nothing else can choose, no fork is asked meanwhile, and a display that
    /// stays too slow ends the session, as a lost stream does.
    pub(super) fn look_at_window(&mut self) {
        let alone = self.flashes_alone();
        let Some(watch) = &mut self.window else {
            return;
        };
        let (least_hz, now) = (watch.least_hz, Instant::now());
        let news = watch.news(now);
        let slow_for = watch.slow_since.map(|since| now - since);
        let shows = watch.frames().rate_in_words();
        if let Some(flashes) = news {
            if alone && flashes != Flashes::Shown {
                self.gate.orders.send(Order::Abort(AbortReason::MarkerLost));
            }
            let follows = match (self.inputs.gaze.is_some(), self.keys.is_some()) {
                (true, true) => "gaze and keys choose",
                (true, false) => "gaze alone chooses",
                (false, true) => "keys alone choose",
                (false, false) => "nothing is asked",
            };
            let words = match flashes {
                Flashes::Shown => format!("the participant window shows {shows}: flashes go on"),
                Flashes::Unmeasured => format!(
                    "the participant window shows frames at another rate than before: nothing flashes until it is measured, {follows}"
                ),
                Flashes::TooSlow => format!(
                    "the participant window shows {shows}, and flashes need at least {least_hz} (view.frame_rate_min_hz): nothing \
                     flashes, {follows}"
                ),
            };
            self.event(EventKind::Fault, words.clone());
            self.note(&words);
        }
        // In a pause somebody may be seeing to the display.
        let wait = Duration::from_secs_f64(self.plan.streams.lost_wait_s);
        if alone && !self.telling.paused && slow_for.is_some_and(|slow| slow >= wait) {
            self.fail(EngineError::SlowDisplay { shows, least_hz });
        }
    }

    /// Whether nothing could be chosen now, as flashes alone could say what is meant, and the window shows none.
    pub(super) fn lacks_flashes(&self) -> bool {
        let hidden = self.window.as_ref().is_some_and(FlashWatch::is_hidden);
        hidden && self.flashes_alone()
    }

    /// Whether nothing but EEG can choose.
    fn flashes_alone(&self) -> bool {
        self.inputs.gaze.is_none() && self.keys.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(text: &str) -> Option<(FlashWatch, Arc<Board>)> {
        let plan = Plan::parse(text, std::path::Path::new("e.toml")).unwrap();
        let board = Arc::new(Board::default());
        let watch = FlashWatch::new(&plan, Some(Arc::clone(&board)))?;
        Some((watch, board))
    }

    const EEG: &str = "[eeg]\npins = { source_id = \"amp-1\" }\n";

    #[test]
    fn a_display_that_becomes_too_slow_is_told_of_once_and_so_is_one_that_is_fast_again() {
        let (mut watch, board) = watch(EEG).unwrap();
        let begun = Instant::now();
        let at = |s| begun + Duration::from_secs(s);
        let mut news = |s| {
            let flashes = watch.news(at(s))?;
            assert_eq!(watch.is_hidden(), flashes != Flashes::Shown);
            assert_eq!(watch.slow_since.is_some(), flashes == Flashes::TooSlow);
            Some((flashes, watch.frames().rate_in_words()))
        };
        board.say_frames(60.0, 0);
        assert_eq!(news(0), None, "as it was found");
        board.say_flashes(Flashes::Unmeasured);
        let fewer = "fewer than 10 frames per second".to_owned();
        assert_eq!(news(1), Some((Flashes::Unmeasured, fewer.clone())));
        assert_eq!(news(2), None);
        board.say_frames(30.0, 0);
        board.say_flashes(Flashes::TooSlow);
        let slow = "30.0 frames per second".to_owned();
        assert_eq!(news(3), Some((Flashes::TooSlow, slow)));
        assert_eq!(news(60), None);
        board.say_frames(59.9, 0);
        board.say_flashes(Flashes::Shown);
        let fast = "59.9 frames per second".to_owned();
        assert_eq!(news(61), Some((Flashes::Shown, fast)));
        // A rate that cannot be measured is too slow a one.
        board.say_flashes(Flashes::Unmeasured);
        assert_eq!(
            news(62).map(|(flashes, _)| flashes),
            Some(Flashes::Unmeasured)
        );
        assert_eq!(news(67), None);
        assert_eq!(news(68), Some((Flashes::TooSlow, fewer)));
        assert_eq!(news(69), None);
    }

    #[test]
    fn where_nothing_flashes_the_window_is_not_watched() {
        assert!(watch("[keys]\nterminal = true\n").is_none());
    }
}
