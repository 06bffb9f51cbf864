//! Being told to stop: SIGINT and SIGTERM become a flag that every command looks at.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

static FLAG: Mutex<Option<Arc<AtomicBool>>> = Mutex::new(None);

/// The process's stop flag: raised by SIGINT, SIGTERM or SIGHUP, never lowered. The first call installs the handler.
///
/// # Errors
/// When the system refuses the handler, or another part of the process has one.
pub fn stop_flag() -> Result<Arc<AtomicBool>, ctrlc::Error> {
    let mut installed = FLAG.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(flag) = installed.as_ref() {
        return Ok(Arc::clone(flag));
    }
    let flag = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&flag);
    ctrlc::set_handler(move || raised.store(true, Ordering::Relaxed))?;
    *installed = Some(Arc::clone(&flag));
    Ok(flag)
}

/// Whether the process has been told to stop; `false` while it has no flag for that.
#[cfg(feature = "server")]
#[must_use]
pub fn is_stopping() -> bool {
    let installed = FLAG.lock().unwrap_or_else(PoisonError::into_inner);
    installed
        .as_ref()
        .is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// A file that grows beyond the system's limit gives an error, like a full disk; it does not end the process.
pub fn survive_file_size_limit() {
    // SAFETY: SIG_IGN is a valid disposition, and no other thread has been started that could set another.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Files and folders made from now on, by this process and its children, are for their owner alone: neural and gaze data
/// are health data.
pub fn keep_files_private() {
    // SAFETY: takes a plain value and changes only this process.
    unsafe { libc::umask(0o077) };
}
