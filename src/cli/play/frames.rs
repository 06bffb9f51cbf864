//! Whether a display is fast enough for what is to be shown on it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::cli::exit::Failure;
use crate::config::Plan;
use crate::engine::EngineError;
use crate::view::board::Board;

/// How long the window may take to know its frame rate: 40 frames of a display of 10 Hz, and some.
const WAIT: Duration = Duration::from_secs(6);
/// How often it is asked.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until the window knows its frame rate, and refuses flashes on a display that is too slow for them.
///
/// # Errors
/// [`EngineError::SlowDisplay`] that says how slow it is and what can be done.
pub(super) fn check_frames(plan: &Plan, board: &Board, stop: &AtomicBool) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut frames = board.frames();
    while frames.rate_hz.is_none() && begun.elapsed() < WAIT && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
        frames = board.frames();
    }
    let least_hz = plan.view.frame_rate_min_hz;
    let fast = frames.rate_hz.is_some_and(|rate_hz| rate_hz >= least_hz);
    // Without EEG nothing flashes.
    if fast || plan.eeg.is_none() || stop.load(Ordering::Relaxed) {
        return Ok(());
    }
    let shows = frames.rate_in_words();
    Err(EngineError::SlowDisplay { shows, least_hz }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EEG: &str = "[eeg]\npins = { source_id = \"amp-1\" }\n";
    const KEYS: &str = "[keys]\nterminal = true\n";

    fn refused(text: &str, rate_hz: f64) -> Option<String> {
        let plan = Plan::parse(text, std::path::Path::new("e.toml")).unwrap();
        let board = Board::default();
        board.say_frames(rate_hz, 0);
        let checked = check_frames(&plan, &board, &AtomicBool::new(false));
        checked.err().map(|failure| failure.message)
    }

    #[test]
    fn a_display_of_20_hz_gets_no_flashes_and_is_told_what_else_chooses() {
        let words = refused(EEG, 20.0).unwrap();
        for part in ["20.0 frames", "at least 45", "gaze", "switch", "--no-flash"] {
            assert!(words.contains(part), "{words}");
        }
        assert_eq!(refused(EEG, 59.9), None);
        assert_eq!(refused(KEYS, 20.0), None, "nothing flashes");
        let own = format!("{EEG}[view]\nframe_rate_min_hz = 20.0\n");
        assert_eq!(refused(&own, 20.5), None, "as the experiment says");
    }
}
