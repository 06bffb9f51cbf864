//! Checks that come to an end, whatever they wait for.

use std::time::Duration;

use crossbeam::channel::bounded;

/// What `work` gives, or `None` when it took longer than `limit`, panicked, or no thread could be started. Work that takes longer is left
/// behind: it ends with the process.
pub(super) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, is_done) = bounded(1);
    let thread = std::thread::Builder::new()
        .name("doctor".into())
        .spawn(move || {
            let _ = done.send(work());
        });
    thread.ok()?;
    is_done.recv_timeout(limit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_hangs_or_panics_gives_nothing() {
        assert_eq!(within(Duration::from_secs(60), || 7), Some(7));
        let hanging = within(Duration::from_millis(1), || {
            loop {
                std::thread::park();
            }
        });
        assert_eq!(hanging, None::<()>);
        let panicking = within(Duration::from_secs(60), || {
            std::panic::resume_unwind(Box::new(()))
        });
        assert_eq!(panicking, None::<()>);
    }
}
