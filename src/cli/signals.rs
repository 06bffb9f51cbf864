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
