//! A recording whose process is killed. The test runs itself a second time as that process.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use razvilka::{
    recording::{Capacity, Recorder, Recording},
    source::{ClockOffset, Format, StreamSpec},
};

const CHILD: &str = "RAZVILKA_TEST_RECORD_TO";

fn spec(name: &str, format: Format, rate_hz: f64) -> StreamSpec {
    StreamSpec {
        name: name.into(),
        kind: "EEG".into(),
        source_id: name.into(),
        hostname: "lab".into(),
        uid: "u".into(),
        rate_hz,
        format,
        labels: vec!["Cz".into()],
        units: Vec::new(),
        xml: String::new(),
    }
}

/// Records as fast as it can, until killed.
fn record(path: &Path) -> ! {
    let recorder = Recorder::create(path, Capacity::default()).unwrap();
    let (mut tap, clock) = recorder
        .add_samples(&spec("amp", Format::Float32, 1000.0))
        .unwrap();
    let (markers, _) = recorder
        .add_markers(&spec("marks", Format::String, 0.0))
        .unwrap();
    let mut next = 0_u32;
    loop {
        let at = f64::from(next) / 1000.0;
        // A full ring gives the sample back to be tried again.
        if tap.push(&[at], &[next as f32]).accepted == 1 {
            if next.is_multiple_of(10) {
                markers.push(at, format!("{next}"));
                clock.push(ClockOffset {
                    at_s: at,
                    offset_s: 0.0,
                });
            }
            next += 1;
        } else {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn a_killed_recording_opens_again_with_everything_in_order() {
    if let Some(path) = std::env::var_os(CHILD) {
        record(&PathBuf::from(path));
    }
    let folder = tempfile::tempdir().unwrap();
    for (round, size) in [1_000_u64, 50_000, 700_000].into_iter().enumerate() {
        let path = folder.path().join(format!("{round}.xdf"));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(CHILD, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while std::fs::metadata(&path).map_or(0, |metadata| metadata.len()) < size {
            assert_eq!(
                child.try_wait().unwrap(),
                None,
                "the recording process ended by itself"
            );
            thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let recording = Recording::recover(&path).unwrap();
        assert!(recording.damage.len() <= 1, "{:?}", recording.damage);
        assert!(
            recording
                .damage
                .iter()
                .all(|damage| damage.resumed_at.is_none())
        );
        let samples = &recording.streams[0];
        for (at, stamp) in samples.stamps.iter().enumerate() {
            assert_eq!(samples.numbers(at), Some(&[at as f64][..]));
            assert_eq!(*stamp, at as f64 / 1000.0);
        }
        for (at, text) in recording
            .streams
            .get(1)
            .iter()
            .flat_map(|stream| stream.markers())
        {
            assert_eq!(text, format!("{}", (at * 1000.0).round()));
        }
        assert!(samples.footer.is_none());
    }
}
