//! Room that is left on the folder's disk, looked at by a thread of its own: a disk that hangs holds up nobody who asks.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often the thread looks.
const LOOK: Duration = Duration::from_secs(2);
/// Nothing is known yet, or the system does not say.
const UNKNOWN: u64 = u64::MAX;

/// Free room as it was seen last.
pub(super) struct Disk {
    free_mib: Arc<AtomicU64>,
}

impl Disk {
    /// Begins to look at the disk of this folder; the thread ends by itself when nobody asks any more. Where the system starts none, nothing
    /// is known.
    pub(super) fn watch(folder: PathBuf) -> Self {
        let free_mib = Arc::new(AtomicU64::new(UNKNOWN));
        let told = Arc::downgrade(&free_mib);
        let thread = std::thread::Builder::new().name("disk".into());
        let _ = thread.spawn(move || {
            loop {
                // This may hang; nothing is held meanwhile.
                let free = look(&folder).unwrap_or(UNKNOWN);
                let Some(told) = told.upgrade() else {
                    return;
                };
                told.store(free, Ordering::Relaxed);
                drop(told);
                std::thread::sleep(LOOK);
            }
        });
        Self { free_mib }
    }

    /// Free room, MiB; `None` while it is not known.
    pub(super) fn free_mib(&self) -> Option<f64> {
        let free = self.free_mib.load(Ordering::Relaxed);
        (free != UNKNOWN).then_some(free as f64)
    }
}

/// Room that is left for us on the disk of this folder, whole MiB; `None` when the system does not say.
fn look(folder: &std::path::Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let bytes = u128::from(disk.f_bavail) * u128::from(disk.f_frsize);
    u64::try_from(bytes >> 20).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_some_room_and_one_that_is_not_there_has_none_to_tell() {
        let folder = tempfile::tempdir().unwrap();
        let free = look(folder.path()).unwrap();
        assert!(free < UNKNOWN);
        assert_eq!(look(&folder.path().join("nowhere")), None);
        let unknown = Disk {
            free_mib: Arc::new(AtomicU64::new(UNKNOWN)),
        };
        assert_eq!(unknown.free_mib(), None);
        let known = Disk {
            free_mib: Arc::new(AtomicU64::new(7)),
        };
        assert_eq!(known.free_mib(), Some(7.0));
    }
}
