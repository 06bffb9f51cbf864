//! Keys typed in the terminal, as a marker stream like any other.
//!
//! One thread reads standard input; a press is stamped with our own LSL clock when it was read, and is one JSON string, as
//! from a switch over LSL. `q` raises the session's stop flag, and stands in the stream as `{"key":"quit"}`: no key that
//! comes over a network can end a session. Keys typed before anybody pulls are dropped, as nobody asked yet.
//!
//! Nothing but this room touches the terminal's mode.

mod mode;
mod typed;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use self::mode::Mode;
pub use self::typed::{KEYS, Typed, Typing};
use super::{ClockOffset, Format, MarkerSource, SourceError, StreamSpec};
use crate::rt;

/// Name of the stream of typed keys.
pub const TERMINAL_STREAM: &str = "RazvilkaKeys";
/// What `q` leaves in the stream; no [`crate::marker::Key`].
const QUIT: &str = r#"{"key":"quit"}"#;
/// Presses that may wait for whoever pulls; then the newest are dropped.
const WAITING: usize = 64;
/// How often the reading thread looks whether it is to end.
const TURN: Duration = Duration::from_millis(50);

/// Why keys cannot be typed here. Every message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TerminalError {
    /// Standard input is a file, a pipe, or closed.
    #[error(
        "keys cannot be typed: standard input is no terminal. Start razvilka in one, or leave keys.terminal and --keys out"
    )]
    NoTerminal,
    /// The shell has the terminal.
    #[error(
        "keys cannot be typed: razvilka runs in the background. Bring it to the front with fg, or start it without &"
    )]
    Background,
    /// The terminal refused.
    #[error(
        "keys cannot be typed: the terminal refused ({source}). Start razvilka in another one, or leave keys.terminal and --keys out"
    )]
    Refused {
        /// The system's words.
        source: io::Error,
    },
}

/// The keys typed on standard input. The terminal is as it was before when this has been dropped.
#[derive(Debug)]
pub struct TerminalKeys {
    spec: StreamSpec,
    pressed: Receiver<(f64, String)>,
    pulled: bool,
    closed: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
    mode: Option<Mode>,
}

impl TerminalKeys {
    /// Finds out whether keys can be typed here, and changes nothing.
    ///
    /// # Errors
    /// [`TerminalError`] when standard input is no terminal, or belongs to another program.
    pub fn check() -> Result<(), TerminalError> {
        Mode::check()
    }

    /// Takes the terminal over: from now on keys are read one by one and not echoed.
    ///
    /// `stop` is raised by `q`, and when the terminal goes away; `fork_open` says what a digit means.
    ///
    /// # Errors
    /// As [`TerminalKeys::check`], and when the terminal refuses.
    pub fn open(stop: Arc<AtomicBool>, fork_open: Arc<AtomicBool>) -> Result<Self, TerminalError> {
        let refused = |source| TerminalError::Refused { source };
        let mode = Mode::enter()?;
        let input = io::stdin().as_fd().try_clone_to_owned().map_err(refused)?;
        let (send, pressed) = bounded(WAITING);
        let closed = Arc::new(AtomicBool::new(false));
        let reading = Reading {
            input: input.into(),
            send,
            stop,
            fork_open,
            closed: Arc::clone(&closed),
        };
        let reader = std::thread::Builder::new()
            .name("terminal".into())
            .spawn(|| reading.until_closed())
            .map_err(refused)?;
        Ok(Self {
            spec: spec(),
            pressed,
            pulled: false,
            closed,
            reader: Some(reader),
            mode: Some(mode),
        })
    }
}

/// The stream of typed keys.
fn spec() -> StreamSpec {
    StreamSpec {
        name: TERMINAL_STREAM.into(),
        kind: "Markers".into(),
        source_id: "razvilka-terminal".into(),
        hostname: String::new(),
        uid: String::new(),
        rate_hz: 0.0,
        format: Format::String,
        labels: vec!["key".into()],
        units: Vec::new(),
        xml: String::new(),
    }
}

impl MarkerSource for TerminalKeys {
    fn spec(&self) -> &StreamSpec {
        &self.spec
    }

    fn pull(&mut self, timeout: Duration) -> Result<Option<(f64, String)>, SourceError> {
        if !self.pulled {
            self.pulled = true;
            while self.pressed.try_recv().is_ok() {}
        }
        match self.pressed.recv_timeout(timeout) {
            Ok(pressed) => Ok(Some(pressed)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(SourceError::Lost {
                name: self.spec.name.clone(),
                reason: "the terminal was closed".into(),
            }),
        }
    }

    /// Stamps are on our own clock.
    fn clock_offset(&self) -> Option<ClockOffset> {
        Some(ClockOffset {
            at_s: rt::lsl_now().get(),
            offset_s: 0.0,
        })
    }
}

impl Drop for TerminalKeys {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.mode = None;
    }
}

/// The thread that reads.
struct Reading {
    input: File,
    send: Sender<(f64, String)>,
    stop: Arc<AtomicBool>,
    fork_open: Arc<AtomicBool>,
    closed: Arc<AtomicBool>,
}

impl Reading {
    fn until_closed(mut self) {
        let mut typing = Typing::default();
        let mut bytes = [0; 64];
        while !self.closed.load(Ordering::Relaxed) {
            let read = match mode::readable(TURN) {
                Ok(false) => continue,
                Ok(true) => self.input.read(&mut bytes),
                Err(error) => Err(error),
            };
            let at_s = rt::lsl_now().get();
            let typed = match read {
                Ok(count) if count > 0 => bytes.get(..count).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Nobody could end the session any more.
                _ => return self.stop.store(true, Ordering::Relaxed),
            };
            for byte in typed {
                let fork_open = self.fork_open.load(Ordering::Relaxed);
                match typing.byte(*byte, at_s, fork_open) {
                    Some(Typed::Key(key)) => self.say(at_s, key.to_json()),
                    Some(Typed::Quit) => {
                        self.say(at_s, QUIT.into());
                        self.stop.store(true, Ordering::Relaxed);
                    }
                    Some(Typed::Help) => {
                        // Talk that nobody can hear any more is no reason to stop.
                        let _ = writeln!(io::stderr(), "\n  {KEYS}");
                    }
                    None => {}
                }
            }
        }
    }

    fn say(&self, at_s: f64, press: String) {
        // Full only when nobody pulls: dropped, as a key over LSL would be.
        let _ = self.send.try_send((at_s, press));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marker::Key;

    #[test]
    fn the_stream_of_typed_keys_is_text_of_irregular_rate() {
        let spec = spec();
        assert_eq!(
            (spec.name.as_str(), spec.kind.as_str()),
            (TERMINAL_STREAM, "Markers")
        );
        assert_eq!(
            (spec.format, spec.rate_hz, spec.labels.len()),
            (Format::String, 0.0, 1)
        );
    }

    #[test]
    fn the_key_that_ends_a_session_is_none_that_a_network_could_press() {
        assert!(Key::from_json(QUIT).is_err());
    }
}
