//! A mark in the participant window where the tracker says that somebody looks.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::config::Plan;
use crate::engine::EngineError;
use crate::engine::lines;
use crate::engine::streams::Streams;
use crate::pipeline::gaze::GazeReading;
use crate::source::SampleSource;
use crate::source::lsl::Network;
use crate::view::board::Board;

/// Samples taken at once; the newest of them is shown.
const AT_ONCE: usize = 64;
/// How long one pull waits; bounds how late the end is noticed.
const PULL_WAIT: Duration = Duration::from_millis(50);

/// Follows the plan's gaze stream by an inlet of its own until nothing more is shown.
///
/// # Errors
/// [`EngineError`] when the stream cannot be opened, or no thread be made.
pub(super) fn follow_gaze(
    network: Network,
    plan: &Plan,
    board: &Arc<Board>,
    stop: &AtomicBool,
) -> Result<Option<JoinHandle<()>>, EngineError> {
    let Some(section) = &plan.gaze else {
        return Ok(None);
    };
    let alone = Plan {
        eeg: None,
        keys: None,
        ..plan.clone()
    };
    let Some(source) = Streams::open(network, &alone, Vec::new(), stop)?.gaze else {
        return Ok(None);
    };
    let reading = lines::gaze_reading(section, plan, source.spec())?;
    let board = Arc::clone(board);
    let thread = std::thread::Builder::new().name("gaze mark".into());
    Ok(Some(thread.spawn(move || {
        until_over(source, &reading, &board);
    })?))
}

fn until_over(mut source: Box<dyn SampleSource>, reading: &GazeReading, board: &Board) {
    let channels = source.spec().labels.len().max(1);
    let (mut data, mut stamps) = (vec![0.0; AT_ONCE * channels], vec![0.0; AT_ONCE]);
    while !board.is_over() && !board.is_closed() {
        // A stream that is lost leaves no mark; the session says so by itself.
        let Ok(count) = source.pull(&mut data, &mut stamps, PULL_WAIT) else {
            break;
        };
        let mut samples = data.chunks_exact(channels).take(count);
        if let Some(newest) = samples.next_back() {
            let place = reading.raw(newest).mean();
            board.put_mark(place.map(|(x, y)| reading.degrees(x, y)));
        }
    }
    board.put_mark(None);
}
