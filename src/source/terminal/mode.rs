//! The terminal on standard input, set so that keys come one by one and unseen, and given back as it was.
//!
//! Output stays as it was, so that whoever writes goes on writing lines, and Ctrl-C still interrupts. Ctrl-Z, Ctrl-S and
//! Ctrl-\ are off: a session that is suspended, or whose output is held up, would lose data while a person waits.
//!
//! The old mode comes back when [`Mode`] is dropped, when the process exits, and when it ends by SIGQUIT or SIGABRT; SIGINT,
//! SIGTERM and SIGHUP end a session in order. Of SIGKILL nobody hears: `stty sane` helps.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Once, OnceLock};
use std::time::Duration;

use super::TerminalError;

const INPUT: RawFd = libc::STDIN_FILENO;

/// The mode to come back to.
static BEFORE: OnceLock<libc::termios> = OnceLock::new();
/// Whether the mode is ours now.
static CHANGED: AtomicBool = AtomicBool::new(false);

/// The terminal's mode, ours until this is dropped.
#[derive(Debug)]
pub(super) struct Mode(());

impl Mode {
    /// Finds out whether keys can be typed here; changes nothing.
    pub(super) fn check() -> Result<(), TerminalError> {
        // SAFETY: takes a descriptor, which may be closed: then it is no terminal.
        if unsafe { libc::isatty(INPUT) } == 0 {
            return Err(TerminalError::NoTerminal);
        }
        // SAFETY: both take plain values and change nothing.
        let (front, ours) = unsafe { (libc::tcgetpgrp(INPUT), libc::getpgrp()) };
        if front == ours {
            Ok(())
        } else {
            Err(TerminalError::Background)
        }
    }

    /// Changes the mode.
    pub(super) fn enter() -> Result<Self, TerminalError> {
        Self::check()?;
        let before = current().map_err(|source| TerminalError::Refused { source })?;
        let before = BEFORE.get_or_init(|| before);
        restore_however_it_ends();
        CHANGED.store(true, Ordering::Release);
        let mode = Self(());
        set(&one_by_one(*before)).map_err(|source| TerminalError::Refused { source })?;
        Ok(mode)
    }
}

impl Drop for Mode {
    fn drop(&mut self) {
        restore();
    }
}

/// Whether something was typed, or the terminal has gone, waiting at most `timeout`.
pub(super) fn readable(timeout: Duration) -> io::Result<bool> {
    let mut input = libc::pollfd {
        fd: INPUT,
        events: libc::POLLIN,
        revents: 0,
    };
    let wait_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one valid entry, and its count.
    match unsafe { libc::poll(&raw mut input, 1, wait_ms) } {
        -1 => {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted {
                Ok(false)
            } else {
                Err(error)
            }
        }
        ready => Ok(ready > 0),
    }
}

/// The same mode, but keys come one by one and are not echoed.
fn one_by_one(mut mode: libc::termios) -> libc::termios {
    mode.c_lflag &= !(libc::ICANON | libc::ECHO | libc::ECHONL | libc::IEXTEN);
    mode.c_lflag |= libc::ISIG;
    mode.c_iflag &= !(libc::IXON | libc::ISTRIP);
    for (key, value) in [
        (libc::VMIN, 1),
        (libc::VTIME, 0),
        (libc::VSUSP, libc::_POSIX_VDISABLE),
        (libc::VQUIT, libc::_POSIX_VDISABLE),
    ] {
        if let Some(slot) = mode.c_cc.get_mut(key) {
            *slot = value;
        }
    }
    mode
}

fn current() -> io::Result<libc::termios> {
    // SAFETY: termios is plain numbers, for which zero is a value.
    let mut mode: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: writes into the one valid termios it is given.
    match unsafe { libc::tcgetattr(INPUT, &raw mut mode) } {
        0 => Ok(mode),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set(mode: &libc::termios) -> io::Result<()> {
    // SAFETY: reads the one valid termios it is given.
    match unsafe { libc::tcsetattr(INPUT, libc::TCSANOW, &raw const *mode) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives the old mode back, once. Also called from signal handlers: atomics, `tcflush` and `tcsetattr` alone.
fn restore() {
    if CHANGED.swap(false, Ordering::AcqRel)
        && let Some(before) = BEFORE.get()
    {
        // SAFETY: plain values. Keys that were meant for us must not reach the shell.
        unsafe { libc::tcflush(INPUT, libc::TCIFLUSH) };
        // A terminal that has gone needs no mode.
        let _ = set(before);
    }
}

fn restore_however_it_ends() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let handler = at_signal as extern "C" fn(libc::c_int) as libc::sighandler_t;
        // SAFETY: `at_exit` never unwinds; `at_signal` calls async-signal-safe functions alone. SIGTTOU ignored lets a
        // process in the background give the mode back, instead of being stopped.
        unsafe {
            libc::atexit(at_exit);
            libc::signal(libc::SIGQUIT, handler);
            libc::signal(libc::SIGABRT, handler);
            libc::signal(libc::SIGTTOU, libc::SIG_IGN);
        }
    });
}

extern "C" fn at_exit() {
    restore();
}

extern "C" fn at_signal(signal: libc::c_int) {
    restore();
    // SAFETY: both are async-signal-safe; the signal ends the process as it would have without us.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_ctrl_c_stay_as_they_were() {
        // SAFETY: termios is plain numbers, for which zero is a value.
        let mut before: libc::termios = unsafe { std::mem::zeroed() };
        before.c_oflag = libc::OPOST | libc::ONLCR;
        before.c_lflag = libc::ICANON | libc::ECHO | libc::ISIG;
        before.c_iflag = libc::IXON | libc::ICRNL;
        let ours = one_by_one(before);
        assert_eq!(ours.c_oflag, before.c_oflag);
        assert_eq!(ours.c_lflag, libc::ISIG);
        assert_eq!(ours.c_iflag, libc::ICRNL);
        assert_eq!(ours.c_cc[libc::VMIN], 1);
    }
}
