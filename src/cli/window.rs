//! A session with a participant window: the window on the main thread, where some systems want it, and the session on another one.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
#[cfg(feature = "window")]
use std::sync::atomic::Ordering;

use super::exit::{Exit, Failure};
use crate::config::{Plan, SurfaceKind};
#[cfg(feature = "window")]
use crate::session::FlashWarning;
use crate::view::board::Board;

/// What is said before anything flashes.
pub const SEIZURES: &str = "flashing can provoke seizures in people with photosensitive epilepsy; --no-flash leaves it out";

/// What was typed about the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::Args)]
pub struct Typed {
    /// Show the session in the participant window as well
    #[arg(long)]
    pub window: bool,
    /// Let nothing flash: gaze or keys choose, and EEG is left out
    #[arg(long)]
    pub no_flash: bool,
    /// Do not ask whether flashes may be shown: whoever looks at the screen was warned of seizures and agreed
    #[arg(long)]
    pub yes_flashes: bool,
}

impl Typed {
    /// The plan with what was typed.
    ///
    /// # Errors
    /// [`Exit::Usage`] when it does not fit together.
    pub fn onto(self, mut plan: Plan) -> Result<Plan, Failure> {
        if self.window {
            plan.view.surface = SurfaceKind::Window;
        }
        plan.view.flashes_confirmed |= self.yes_flashes;
        if self.no_flash || !plan.view.flashes {
            plan = plan.without_flashes();
        }
        if plan.window_keys() && plan.view.surface == SurfaceKind::Terminal {
            return Err(Failure::said(
                Exit::Usage,
                "keys.window = true, but there is no window: set view.surface = \"window\" or type --window; or type the keys in the \
                 terminal with keys.terminal = true",
            ));
        }
        plan.check()?;
        Ok(plan)
    }
}

/// Runs a session where the plan wants it shown: `session` is given the window's board, or `None` without a window.
///
/// # Errors
/// What the session says; and [`Exit::Usage`] when a window was asked for and cannot be shown.
pub fn shown<T: Send>(
    plan: &Plan,
    stop: &Arc<AtomicBool>,
    session: impl FnOnce(Option<Arc<Board>>) -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    match plan.view.surface {
        SurfaceKind::Terminal => session(None),
        kind => in_window(plan, stop, kind == SurfaceKind::Auto, session),
    }
}

#[cfg(not(feature = "window"))]
fn in_window<T: Send>(
    _plan: &Plan,
    _stop: &Arc<AtomicBool>,
    or_without: bool,
    session: impl FnOnce(Option<Arc<Board>>) -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    if or_without {
        return session(None);
    }
    Err(Failure::said(
        Exit::Usage,
        "this razvilka was built without the participant window: build it with the feature `window`, or leave --window out \
         (view.surface = \"terminal\")",
    ))
}

#[cfg(feature = "window")]
fn in_window<T: Send>(
    plan: &Plan,
    stop: &Arc<AtomicBool>,
    or_without: bool,
    session: impl FnOnce(Option<Arc<Board>>) -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    use crossbeam::channel::bounded;

    use crate::view::window::{flashing_of, show};

    if let Some(flashing) = flashing_of(plan) {
        eprintln!("razvilka: {}", flashing.in_words());
        eprintln!("razvilka: {SEIZURES}");
    }
    let warning = unconfirmed(plan);
    let board = Arc::new(Board::default());
    let (ready, is_ready) = bounded(1);
    std::thread::scope(|scope| {
        let shown_on = Arc::clone(&board);
        let session = scope.spawn(move || {
            // However the session ends, the window closes.
            let over = Over(Arc::clone(&shown_on));
            // The window tells when it is there, and lets go of its end when it never was.
            match is_ready.recv() {
                Ok(()) if !confirmed(&over.0, warning.as_ref(), stop) => (
                    Err(Failure::said(
                        Exit::Usage,
                        "nobody confirmed that flashes may be shown: read the warning and confirm it, or leave flashes out (--no-flash)",
                    )),
                    None,
                ),
                Ok(()) => (session(Some(Arc::clone(&over.0))).map(Some), None),
                Err(_) => (Ok(None), Some(session)),
            }
        });
        let window = show(plan, board, Arc::clone(stop), ready);
        let joined = session.join().map_err(|_| {
            Failure::said(
                Exit::Internal,
                "the session's thread panicked; what was recorded until then is in its folder",
            )
        })?;
        match (joined, window) {
            ((Ok(Some(left)), _), _) => Ok(left),
            ((Err(failure), _), _) => Err(failure),
            ((Ok(None), Some(session)), Err(error)) if or_without => {
                eprintln!("razvilka: {error}");
                eprintln!(
                    "razvilka: the session goes on in the terminal (view.surface = \"auto\")"
                );
                session(None)
            }
            ((Ok(None), _), Err(error)) => Err(Failure::new(Exit::Usage, error)),
            ((Ok(None), _), Ok(())) => Err(Failure::said(
                Exit::Usage,
                "the participant window was closed before the session began",
            )),
        }
    })
}

/// The warning of seizures that has to be confirmed before this session; `None` when nothing flashes, or it was.
#[cfg(feature = "window")]
fn unconfirmed(plan: &Plan) -> Option<FlashWarning> {
    let flashes = plan.view.flashes && plan.eeg.is_some();
    if !flashes || plan.view.flashes_confirmed {
        return None;
    }
    let person = plan.person.as_ref().map(|person| person.id.as_path());
    let warning = FlashWarning::of(person);
    warning.confirmed_utc().is_none().then_some(warning)
}

/// Waits until the warning is confirmed in the window; `false` when it is closed instead.
#[cfg(feature = "window")]
fn confirmed(board: &Board, warning: Option<&FlashWarning>, stop: &AtomicBool) -> bool {
    let Some(warning) = warning else {
        return true;
    };
    board.ask_for_flashes();
    while !board.flashes_confirmed() {
        if board.is_closed() || stop.load(Ordering::Relaxed) {
            return false;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    if let Err(error) = warning.confirm() {
        eprintln!("razvilka: that flashes may be shown is not remembered: {error}");
    }
    true
}

/// Says that nothing more will be shown, when it goes.
#[cfg(feature = "window")]
struct Over(Arc<Board>);

#[cfg(feature = "window")]
impl Drop for Over {
    fn drop(&mut self) {
        self.0.finish();
    }
}
