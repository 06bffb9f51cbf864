//! The recorder under threads, floods and failing disks.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use razvilka::{
    recording::{
        Capacity, Incomplete, Recorder, Recording, Samples, TapResult,
        xdf::{Limits, Medium, Reader, Writer},
    },
    source::{ClockOffset, Format},
};

use crate::{allocation::peak_of, samples::spec};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn streams_from_several_threads_are_recorded_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session.xdf");
    let recorder = Recorder::create(&path, Capacity::default()).unwrap();
    let (mut eeg, eeg_clock) = recorder
        .add_samples(&spec("amp", Format::Float32, 8, 1000.0))
        .unwrap();
    let (markers, _) = recorder
        .add_markers(&spec("marks", Format::String, 1, 0.0))
        .unwrap();
    assert!(eeg_clock.push(ClockOffset {
        at_s: 100.0,
        offset_s: -900.0
    }));
    let feeding = thread::spawn(move || {
        for block in 0..500_u32 {
            let stamps: Vec<f64> = (0..10)
                .map(|k| 1000.0 + f64::from(10 * block + k) / 1000.0)
                .collect();
            let data: Vec<f32> = (0..80).map(|k| (80 * block + k) as f32).collect();
            assert_eq!(
                eeg.push(&stamps, &data),
                TapResult {
                    accepted: 10,
                    dropped: 0
                }
            );
        }
    });
    for number in 0..200 {
        assert_eq!(
            markers
                .push(100.0 + f64::from(number), format!("развилка {number}"))
                .accepted,
            1
        );
    }
    // A stream may come late, while the others run.
    let (mut gaze, _) = recorder
        .add_samples(&spec("gaze", Format::Double64, 2, 0.0))
        .unwrap();
    assert_eq!(gaze.push(&[1.5], &[0.25, -0.5]).accepted, 1);
    feeding.join().unwrap();
    let summary = recorder.finish(PATIENCE);
    assert_eq!(summary.incomplete, []);
    let counts: Vec<_> = summary
        .streams
        .iter()
        .map(|s| (s.name.as_str(), s.samples, s.dropped))
        .collect();
    assert_eq!(
        counts,
        [("amp", 5000, 0), ("marks", 200, 0), ("gaze", 1, 0)]
    );
    assert!((summary.streams[0].measured_rate_hz.unwrap() - 1000.0).abs() < 1e-6);
    assert_eq!(summary.bytes, std::fs::metadata(&path).unwrap().len());

    let recording = Recording::open(&path).unwrap();
    assert_eq!(recording.remarks, []);
    let Samples::Numeric(values) = &recording.streams[0].samples else {
        panic!("numbers were pushed")
    };
    assert!(
        values
            .iter()
            .enumerate()
            .all(|(at, value)| *value == at as f64)
    );
    assert_eq!(recording.streams[0].stamps[0], 100.0);
    assert_eq!(
        recording.streams[1].markers().nth(199),
        Some((299.0, "развилка 199"))
    );
    assert_eq!(recording.streams[2].numbers(0), Some(&[0.25, -0.5][..]));
}

#[test]
fn a_stream_whose_samples_share_stamps_is_remarked_while_it_is_recorded() {
    let recorder = Recorder::start(Writer::new(Vec::new()).unwrap(), Capacity::default()).unwrap();
    let [mut blocks, mut own] = ["blocks", "own"].map(|name| {
        let spec = spec(name, Format::Float32, 1, 250.0);
        recorder.add_samples(&spec).unwrap().0
    });
    for block in 0..40 {
        blocks.push(&[0.032 * f64::from(block); 8], &[0.0; 8]);
        let stamps: Vec<f64> = (0..8).map(|k| 0.004 * f64::from(8 * block + k)).collect();
        own.push(&stamps, &[0.0; 8]);
    }
    let until = std::time::Instant::now() + PATIENCE;
    while recorder.status().remarks.is_empty() {
        assert!(std::time::Instant::now() < until);
        thread::sleep(Duration::from_millis(10));
    }
    let summary = recorder.finish(PATIENCE);
    assert_eq!(summary.incomplete, []);
}

#[test]
fn pushing_samples_does_not_allocate() {
    let recorder = Recorder::start(Writer::new(Vec::new()).unwrap(), Capacity::default()).unwrap();
    let (mut tap, _) = recorder
        .add_samples(&spec("amp", Format::Float32, 4, 1000.0))
        .unwrap();
    let (stamps, data) = ([1.0; 16], [0.0; 64]);
    let (peak, accepted) = peak_of(|| {
        (0..1000)
            .map(|_| tap.push(&stamps, &data).accepted)
            .sum::<usize>()
    });
    assert_eq!(accepted, 16_000);
    assert_eq!(peak, 0);
}

/// A disk that hangs until it is released, then fails or works.
struct Disk {
    bytes: mpsc::Sender<Vec<u8>>,
    hang: Arc<AtomicBool>,
    fail: Arc<AtomicBool>,
}

impl Write for Disk {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        while self.hang.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(1));
        }
        if self.fail.load(Ordering::Acquire) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        // Nobody may be reading along.
        let _ = self.bytes.send(buffer.to_vec());
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Medium for Disk {
    fn persist(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }
}

fn disk() -> (
    Disk,
    mpsc::Receiver<Vec<u8>>,
    Arc<AtomicBool>,
    Arc<AtomicBool>,
) {
    let (bytes, written) = mpsc::channel();
    let (hang, fail) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    (
        Disk {
            bytes,
            hang: Arc::clone(&hang),
            fail: Arc::clone(&fail),
        },
        written,
        hang,
        fail,
    )
}

#[test]
fn a_hanging_disk_drops_the_newest_counts_them_and_never_makes_a_tap_wait() {
    let (disk, written, hang, _) = disk();
    let capacity = Capacity {
        ring_s: 0.1,
        queue: 10,
    };
    let recorder = Recorder::start(Writer::new(disk).unwrap(), capacity).unwrap();
    hang.store(true, Ordering::Release);
    let (mut tap, _) = recorder
        .add_samples(&spec("amp", Format::Float32, 1, 1000.0))
        .unwrap();
    let (markers, _) = recorder
        .add_markers(&spec("marks", Format::String, 1, 0.0))
        .unwrap();
    let pushed: Vec<TapResult> = (0..300)
        .map(|k| tap.push(&[f64::from(k)], &[1.0]))
        .collect();
    let marked: Vec<TapResult> = (0..300)
        .map(|k| markers.push(f64::from(k), "m".into()))
        .collect();
    let dropped = pushed.iter().map(|result| result.dropped).sum::<usize>();
    assert!(dropped > 0 && pushed[0].accepted == 1);
    let marks_dropped = marked.iter().map(|result| result.dropped).sum::<usize>();
    assert!(marks_dropped > 0);
    assert_eq!(recorder.status().lost, (dropped + marks_dropped) as u64);
    hang.store(false, Ordering::Release);
    let summary = recorder.finish(PATIENCE);
    assert_eq!(summary.streams[0].dropped, dropped as u64);
    assert_eq!(summary.streams[0].samples, 300 - dropped as u64);
    assert!(summary.incomplete.contains(&Incomplete::Dropped {
        stream: "amp".into(),
        count: dropped as u64
    }));
    assert!(summary.incomplete.contains(&Incomplete::Dropped {
        stream: "marks".into(),
        count: marks_dropped as u64
    }));
    // What is there is sound and in order.
    let file = written.iter().flatten().collect::<Vec<u8>>();
    let recording = Recording::read(Reader::new(&file[..]), &Limits::default()).unwrap();
    assert_eq!(recording.streams[0].len(), 300 - dropped);
    assert!(recording.streams[0].raw_stamps.is_sorted());
}

#[test]
fn a_failing_disk_is_reported_and_the_taps_go_on() {
    let (disk, _written, _, fail) = disk();
    let recorder = Recorder::start(Writer::new(disk).unwrap(), Capacity::default()).unwrap();
    let (mut tap, _) = recorder
        .add_samples(&spec("amp", Format::Float32, 1, 1000.0))
        .unwrap();
    fail.store(true, Ordering::Release);
    let mut pushed = 0;
    while recorder.status().failure.is_none() || recorder.status().lost == 0 {
        assert_eq!(tap.push(&[f64::from(pushed)], &[1.0]).dropped, 0);
        pushed += 1;
        thread::sleep(Duration::from_millis(1));
    }
    let failure = recorder.status().failure.unwrap();
    assert!(
        failure.contains("No space left") && failure.contains("Free space"),
        "{failure}"
    );
    let summary = recorder.finish(PATIENCE);
    assert!(
        matches!(&summary.incomplete[..], [Incomplete::Write { reason }] if *reason == failure)
    );
    assert_eq!(
        summary.streams[0].samples + summary.streams[0].unwritten,
        pushed as u64
    );
}

#[test]
fn a_disk_that_never_answers_does_not_keep_the_session_from_ending() {
    let (disk, _written, hang, _) = disk();
    let recorder = Recorder::start(Writer::new(disk).unwrap(), Capacity::default()).unwrap();
    hang.store(true, Ordering::Release);
    let (mut tap, _) = recorder
        .add_samples(&spec("amp", Format::Float32, 1, 1000.0))
        .unwrap();
    tap.push(&[1.0], &[1.0]);
    let summary = recorder.finish(Duration::from_millis(10));
    assert!(matches!(
        summary.incomplete[..],
        [Incomplete::Unfinished { .. }]
    ));
    hang.store(false, Ordering::Release);
}

#[test]
fn a_marker_that_no_reader_would_accept_is_counted_as_refused() {
    let recorder = Recorder::start(Writer::new(Vec::new()).unwrap(), Capacity::default()).unwrap();
    let (markers, _) = recorder
        .add_markers(&spec("marks", Format::String, 1, 0.0))
        .unwrap();
    markers.push(1.0, "x".repeat(1 << 21));
    markers.push(2.0, "fine".into());
    let summary = recorder.finish(PATIENCE);
    assert!(
        matches!(
            &summary.incomplete[..],
            [Incomplete::Refused { count: 1, .. }]
        ),
        "{:?}",
        summary.incomplete
    );
    assert_eq!(summary.streams[0].samples, 1);
}

#[test]
fn streams_that_cannot_be_recorded_are_refused_when_they_are_added() {
    let recorder = Recorder::start(Writer::new(Vec::new()).unwrap(), Capacity::default()).unwrap();
    assert!(
        recorder
            .add_samples(&spec("text", Format::String, 1, 0.0))
            .is_err()
    );
    assert!(
        recorder
            .add_markers(&spec("numbers", Format::Int8, 1, 0.0))
            .is_err()
    );
    assert!(
        recorder
            .add_markers(&spec("two", Format::String, 2, 0.0))
            .is_err()
    );
    assert!(
        recorder
            .add_samples(&spec("wide", Format::Float32, 513, 100.0))
            .is_err()
    );
    assert!(
        recorder
            .add_samples(&spec("fast", Format::Float32, 1, f64::INFINITY))
            .is_err()
    );
}
