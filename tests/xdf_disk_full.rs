//! A disk that is really full: the file size of this process is limited. Alone in its file, because the limit holds for
//! the whole process.

#![allow(clippy::unwrap_used)] // what cannot go on here should say so at once

use std::time::Duration;

use razvilka::{
    recording::{Capacity, Incomplete, Recorder, Recording},
    source::{Format, StreamSpec},
};

/// Lifts the limit when it goes: the test's own output may go to a file, too.
struct Lift;

impl Drop for Lift {
    fn drop(&mut self) {
        let none = libc::rlimit {
            rlim_cur: libc::RLIM_INFINITY,
            rlim_max: libc::RLIM_INFINITY,
        };
        // SAFETY: takes plain values and changes only this process.
        unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const none) };
    }
}

#[test]
fn a_recording_on_a_full_disk_ends_early_is_sound_and_says_so() {
    const ROOM: u64 = 20_000;
    let limit = libc::rlimit {
        rlim_cur: ROOM,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: both calls take plain values and change only this process. The signal is ignored so that a write beyond the
    // limit fails with EFBIG instead of killing the process.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
    }
    let _lifted_at_the_end = Lift;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session.xdf");
    let recorder = Recorder::create(&path, Capacity::default()).unwrap();
    let spec = StreamSpec {
        name: "amp".into(),
        kind: "EEG".into(),
        source_id: "amp".into(),
        hostname: "lab".into(),
        uid: "u".into(),
        rate_hz: 1000.0,
        format: Format::Float32,
        labels: vec!["Cz".into(); 8],
        units: Vec::new(),
        xml: String::new(),
    };
    let (mut tap, _) = recorder.add_samples(&spec).unwrap();
    let mut pushed = 0_u32;
    while recorder.status().failure.is_none() {
        let result = tap.push(&[f64::from(pushed) / 1000.0], &[pushed as f32; 8]);
        assert_eq!(result.dropped, 0, "a tap never hears of the disk");
        pushed += 1;
        std::thread::sleep(Duration::from_micros(200));
    }
    let summary = recorder.finish(Duration::from_secs(60));
    assert!(
        matches!(&summary.incomplete[..], [Incomplete::Write { .. }]),
        "{:?}",
        summary.incomplete
    );
    assert!(std::fs::metadata(&path).unwrap().len() <= ROOM);
    // The half-written chunk was taken back, so the file opens strictly.
    let recording = Recording::open(&path).unwrap();
    let samples = recording.streams[0].len() as u64;
    assert_eq!(samples, summary.streams[0].samples);
    assert!(samples < u64::from(pushed));
    assert_eq!(samples + summary.streams[0].unwritten, u64::from(pushed));
}
