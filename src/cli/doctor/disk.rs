//! Where sessions are kept: who may read what is written there, how much fits, and how fast it is safe.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::finding::{Area, Finding};
use crate::source::{Format, StreamSpec};

/// Writes that are timed, at most.
const WRITES: usize = 24;
/// ... and for how long.
const WRITING: Duration = Duration::from_secs(2);
/// Bytes of one of them: a page of the ledger's log.
const WRITE_BYTES: usize = 4_096;
/// Longest wait for a write that is not told: a choice is acknowledged when it is on disk.
const SLOW: Duration = Duration::from_millis(250);
/// The desk waits so long for the disk before it ends a session.
const TOO_SLOW: Duration = Duration::from_secs(10);
/// Room that a session takes at its beginning, and keeps for its end, bytes.
const ROOM_BYTES: u64 = 16 << 20;

/// What writing to the folder is like.
#[derive(Debug, Clone)]
pub(super) struct Writing {
    /// How long each write took until it was on disk, the shortest first.
    pub(super) took: Vec<Duration>,
    /// Permissions of a folder and of a file in it that were made for their owner alone.
    pub(super) folder_mode: u32,
    pub(super) file_mode: u32,
}

/// What is known of the folder.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// The folder.
    pub(super) folder: PathBuf,
    /// Bytes that this user may still write there.
    pub(super) free_bytes: Result<u64, String>,
    /// What writing there is like.
    pub(super) writing: Result<Writing, String>,
}

/// Writes a little in the folder, and takes it away again.
pub(super) fn facts(folder: &Path) -> Facts {
    let free = rustix::fs::statvfs(folder).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    Facts {
        folder: folder.to_owned(),
        free_bytes: free.map_err(|error| error.to_string()),
        writing: write(folder).map_err(|error| error.to_string()),
    }
}

fn write(folder: &Path) -> io::Result<Writing> {
    let probe = folder.join(format!(".razvilka-doctor-{}", std::process::id()));
    DirBuilder::new().mode(0o700).create(&probe)?;
    let writing = write_in(&probe);
    let gone = std::fs::remove_dir_all(&probe);
    let writing = writing?;
    gone?;
    Ok(writing)
}

fn write_in(probe: &Path) -> io::Result<Writing> {
    let mode = |metadata: std::fs::Metadata| metadata.permissions().mode() & 0o777;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(probe.join("probe"))?;
    let page = [0xa5; WRITE_BYTES];
    let mut took = Vec::with_capacity(WRITES);
    let begun = Instant::now();
    while took.len() < WRITES && (took.is_empty() || begun.elapsed() < WRITING) {
        let at = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        took.push(at.elapsed());
    }
    took.sort();
    Ok(Writing {
        took,
        folder_mode: mode(std::fs::metadata(probe)?),
        file_mode: mode(file.metadata()?),
    })
}

/// Streams that would be recorded, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Load {
    /// Bytes of recording in a minute.
    pub(super) bytes_per_min: f64,
    /// How long a session may last, minutes.
    pub(super) minutes: f64,
    /// Whether these are the streams of the experiment; else they stand for some.
    pub(super) of_experiment: bool,
}

/// Bytes that a minute of a stream takes in `session.xdf`: each sample with a stamp of its own.
pub(super) fn bytes_per_min(spec: &StreamSpec) -> f64 {
    let value_bytes = match spec.format {
        Format::Int8 => 1,
        Format::Int16 => 2,
        Format::Float32 | Format::Int32 => 4,
        Format::Double64 | Format::Int64 => 8,
        Format::String => return 0.0,
    };
    60.0 * spec.rate_hz * (9 + value_bytes * spec.labels.len()) as f64
}

/// What that means for a session.
pub(super) fn judge(facts: &Facts, load: Load) -> Vec<Finding> {
    let area = Area::Disk;
    let folder = facts.folder.display();
    let elsewhere =
        "Keep sessions elsewhere: name a folder with --dir here, and with --out for a session";
    let mut found = vec![match &facts.free_bytes {
        Err(why) => Finding::failure(area, "free space", format!("{folder}: {why}"), elsewhere),
        Ok(free) => space(*free, load, &folder.to_string()),
    }];
    let writing = match &facts.writing {
        Err(why) => {
            found.push(Finding::failure(
                area,
                "writing",
                format!("{folder}: {why}"),
                elsewhere,
            ));
            return found;
        }
        Ok(writing) => writing,
    };
    found.push(durable(&writing.took));
    let modes = format!(
        "folders {:04o}, files {:04o}",
        writing.folder_mode, writing.file_mode
    );
    found.push(
        if writing.folder_mode & 0o077 == 0 && writing.file_mode & 0o077 == 0 {
            Finding::ok(area, "readable by", format!("their owner alone: {modes}"))
        } else {
            Finding::failure(
                area,
                "readable by",
                format!("others: {modes} in {folder}"),
                "Keep sessions on a file system that knows owners (ext4, xfs, btrfs): neural and gaze data are health data",
            )
        },
    );
    found
}

fn space(free: u64, load: Load, folder: &str) -> Finding {
    let (area, what) = (Area::Disk, "free space");
    let minutes = free.saturating_sub(ROOM_BYTES) as f64 / load.bytes_per_min.max(1.0);
    let whose = if load.of_experiment {
        "these streams"
    } else {
        "64 channels at 1 kHz and gaze at 500 Hz, for example,"
    };
    let figure = format!(
        "{:.1} GiB in {folder}; {whose} take {:.1} MiB a minute, so {minutes:.0} minutes fit",
        free as f64 / f64::from(1 << 30),
        load.bytes_per_min / f64::from(1 << 20),
    );
    if free < ROOM_BYTES {
        let advice = "Free some space: a session needs 16 MiB to begin";
        return Finding::failure(area, what, figure, advice);
    }
    if minutes < load.minutes {
        let advice = format!(
            "Free some space, or lower session.minutes_max = {}: a session that fills the disk ends early",
            load.minutes
        );
        return Finding::warning(area, what, figure, advice);
    }
    Finding::ok(area, what, figure)
}

fn durable(took: &[Duration]) -> Finding {
    let (area, what) = (Area::Disk, "write and fsync");
    let ms = |at: Option<&Duration>| at.map_or(0.0, |took| 1e3 * took.as_secs_f64());
    let longest = took.last().copied().unwrap_or_default();
    let figure = format!(
        "median {:.1} ms, longest {:.1} ms of {} writes of 4 KiB",
        ms(took.get(took.len() / 2)),
        ms(took.last()),
        took.len()
    );
    let advice = "Keep sessions on a faster disk of this machine, not on a network's: a choice is acknowledged when it is on disk";
    if longest >= TOO_SLOW {
        Finding::failure(area, what, figure, advice)
    } else if longest >= SLOW {
        Finding::warning(area, what, figure, advice)
    } else {
        Finding::ok(area, what, figure)
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    const LOAD: Load = Load {
        bytes_per_min: (1 << 20) as f64,
        minutes: 60.0,
        of_experiment: true,
    };

    fn good() -> Facts {
        Facts {
            folder: "/data".into(),
            free_bytes: Ok(1 << 30),
            writing: Ok(Writing {
                took: vec![Duration::from_millis(2), Duration::from_millis(9)],
                folder_mode: 0o700,
                file_mode: 0o600,
            }),
        }
    }

    fn levels(facts: &Facts) -> Vec<Level> {
        judge(facts, LOAD).iter().map(|f| f.level).collect()
    }

    #[test]
    fn the_minutes_that_fit_are_told_and_held_against_those_of_the_session() {
        let found = judge(&good(), LOAD);
        assert!(
            found[0]
                .figure
                .contains("1.0 MiB a minute, so 1008 minutes fit"),
            "{found:?}"
        );
        assert_eq!(levels(&good()), [Level::Ok; 3]);
        let of = |free_bytes| Facts {
            free_bytes,
            ..good()
        };
        assert_eq!(levels(&of(Ok(40 << 20)))[0], Level::Warning);
        assert_eq!(levels(&of(Ok(10 << 20)))[0], Level::Failure);
        assert_eq!(levels(&of(Err("gone".into())))[0], Level::Failure);
    }

    #[test]
    fn a_slow_disk_an_open_one_and_one_that_takes_nothing_are_told() {
        let of = |edit: fn(&mut Writing)| {
            let mut facts = good();
            edit(facts.writing.as_mut().unwrap());
            levels(&facts)
        };
        let (ok, warning, failure) = (Level::Ok, Level::Warning, Level::Failure);
        let slow = of(|w| w.took.push(Duration::from_millis(300)));
        assert_eq!(slow, [ok, warning, ok]);
        let dead = of(|w| w.took.push(Duration::from_secs(11)));
        assert_eq!(dead, [ok, failure, ok]);
        assert_eq!(of(|w| w.file_mode = 0o777), [ok, ok, failure]);
        assert_eq!(of(|w| w.folder_mode = 0o750), [ok, ok, failure]);
        let read_only = Facts {
            writing: Err("Read-only file system".into()),
            ..good()
        };
        assert_eq!(levels(&read_only), [ok, failure]);
    }

    #[test]
    fn a_folder_is_looked_at_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let facts = facts(folder.path());
        let writing = facts.writing.unwrap();
        assert_eq!((writing.folder_mode, writing.file_mode), (0o700, 0o600));
        assert!(!writing.took.is_empty() && facts.free_bytes.is_ok());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(super::facts(Path::new("/nowhere/at/all")).writing.is_err());
    }

    #[test]
    fn a_minute_of_a_stream_takes_what_the_writer_writes() {
        let mut spec = StreamSpec {
            name: "a".into(),
            kind: "EEG".into(),
            source_id: "a".into(),
            hostname: "h".into(),
            uid: "u".into(),
            rate_hz: 100.0,
            format: Format::Float32,
            labels: vec![String::from("x"); 3],
            units: Vec::new(),
            xml: String::new(),
        };
        spec.labels = ["x", "y", "z"].map(str::to_owned).to_vec();
        let mut writer = crate::recording::xdf::Writer::new(Vec::new()).unwrap();
        let stream = writer.add_stream(&spec).unwrap();
        let before = writer.bytes();
        let stamps: Vec<f64> = (0..6_000).map(|k| f64::from(k) / 100.0).collect();
        let values = crate::recording::xdf::Values::Float32(vec![0.5; 18_000]);
        writer.samples(stream, &stamps, &values).unwrap();
        let written = (writer.bytes() - before) as f64;
        let told = bytes_per_min(&spec);
        assert!((told / written - 1.0).abs() < 0.01, "{told} {written}");
        spec.format = Format::String;
        assert_eq!(bytes_per_min(&spec), 0.0);
    }
}
