//! A recording played through sinks, on a clock that only moves when it is waited for.

use std::{
    cell::RefCell,
    io,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use razvilka::{
    cli::replay_publish::{ReplayPublishArgs, ReplayPublishError, run},
    recording::{
        Recording,
        publish::{Outlets, Playing, publish},
        xdf::{Limits, Reader},
    },
    source::{Format, MarkerSink, SampleSink, SourceError, StreamSpec, replay::Speed},
};

use crate::{golden::golden_folder, samples::small_file};

/// (stream, value or text, stamp, clock when it was pushed)
type Log = Arc<Mutex<Vec<(String, String, f64, f64)>>>;

#[derive(Clone)]
struct Sink {
    name: String,
    channels: usize,
    log: Log,
    clock: Arc<Mutex<f64>>,
}

impl SampleSink for Sink {
    fn push(&mut self, data: &[f32], stamps: &[f64]) -> Result<(), SourceError> {
        assert_eq!(data.len(), stamps.len() * self.channels);
        let now = *self.clock.lock().unwrap();
        for (row, stamp) in data.chunks(self.channels).zip(stamps) {
            self.log
                .lock()
                .unwrap()
                .push((self.name.clone(), row[0].to_string(), *stamp, now));
        }
        Ok(())
    }
}

impl MarkerSink for Sink {
    fn push(&mut self, marker: &str, stamp: f64) -> Result<(), SourceError> {
        let now = *self.clock.lock().unwrap();
        self.log
            .lock()
            .unwrap()
            .push((self.name.clone(), marker.into(), stamp, now));
        Ok(())
    }
}

#[derive(Default)]
struct Laboratory {
    log: Log,
    clock: Arc<Mutex<f64>>,
    opened: Rc<RefCell<Vec<StreamSpec>>>,
}

impl Laboratory {
    fn sink(&self, spec: &StreamSpec) -> Box<Sink> {
        self.opened.borrow_mut().push(spec.clone());
        Box::new(Sink {
            name: spec.name.clone(),
            channels: spec.labels.len(),
            log: Arc::clone(&self.log),
            clock: Arc::clone(&self.clock),
        })
    }
}

impl Outlets for Laboratory {
    fn samples(&mut self, spec: &StreamSpec) -> Result<Box<dyn SampleSink>, SourceError> {
        Ok(self.sink(spec))
    }

    fn markers(&mut self, spec: &StreamSpec) -> Result<Box<dyn MarkerSink>, SourceError> {
        Ok(self.sink(spec))
    }

    fn now_s(&self) -> f64 {
        *self.clock.lock().unwrap()
    }

    fn wait_until(&mut self, at_s: f64) {
        *self.clock.lock().unwrap() = at_s;
    }
}

fn recording() -> Recording {
    Recording::read(Reader::new(&small_file()[..]), &Limits::default()).unwrap()
}

#[test]
fn everything_is_pushed_in_its_time_with_stamps_based_on_now() {
    let recording = recording();
    let mut laboratory = Laboratory::default();
    *laboratory.clock.lock().unwrap() = 5000.0;
    let playing = Playing {
        speed: Speed::new(2.0).unwrap(),
        repeat: false,
    };
    let played = publish(
        &recording,
        &mut laboratory,
        playing,
        &AtomicBool::new(false),
        |_| {},
    )
    .unwrap();
    assert_eq!(
        played.pushed,
        [("amp".to_owned(), 12), ("marks".to_owned(), 4)]
    );
    let log = laboratory.log.lock().unwrap();
    for (stream, source) in [
        ("amp", &recording.streams[0]),
        ("marks", &recording.streams[1]),
    ] {
        let (first, _) = recording.span_s().unwrap();
        let pushed: Vec<_> = log.iter().filter(|entry| entry.0 == stream).collect();
        assert_eq!(pushed.len(), source.len());
        for ((_, _, stamp, now), recorded) in pushed.iter().zip(&source.stamps) {
            assert!((stamp - (5000.0 + (recorded - first) / 2.0)).abs() < 1e-9);
            // Never before its time, and no more than a block later.
            assert!(
                stamp <= now && now - stamp < 0.02,
                "{stream}: stamped {stamp}, pushed {now}"
            );
        }
    }
    // Integers go out in a float format that holds them.
    assert_eq!(laboratory.opened.borrow()[0].format, Format::Float32);
}

#[test]
fn a_loop_goes_on_behind_the_end_until_it_is_stopped() {
    let recording = recording();
    let mut laboratory = Laboratory::default();
    *laboratory.clock.lock().unwrap() = 1.0;
    let stop = AtomicBool::new(false);
    let playing = Playing {
        speed: Speed::REAL_TIME,
        repeat: true,
    };
    let played = publish(&recording, &mut laboratory, playing, &stop, |round| {
        if round == 2 {
            stop.store(true, Ordering::Release);
        }
    })
    .unwrap();
    assert_eq!(played.rounds, 2);
    let log = laboratory.log.lock().unwrap();
    let stamps: Vec<f64> = log
        .iter()
        .filter(|entry| entry.0 == "amp")
        .map(|entry| entry.2)
        .collect();
    assert!(stamps.len() >= 24 && stamps.is_sorted());
}

#[test]
fn the_command_plays_a_file_and_says_what_it_left_out() {
    let mut laboratory = Laboratory::default();
    let args = ReplayPublishArgs {
        file: golden_folder().join("formats.xdf"),
        speed: Speed::new(1000.0).unwrap(),
        repeat: false,
        recover: false,
    };
    let mut talk = Vec::new();
    let played = run(&args, &mut laboratory, &AtomicBool::new(false), &mut talk).unwrap();
    assert_eq!(played.left_out, ["Маркеры & co"]);
    assert_eq!(played.pushed.len(), 6);
    let talk = String::from_utf8(talk).unwrap();
    assert!(
        talk.contains("left out: 'Маркеры & co'") && talk.contains("6 stream"),
        "{talk}"
    );
}

#[test]
fn the_command_refuses_a_damaged_file_unless_told_to_recover() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cut.xdf");
    std::fs::write(&file, &small_file()[..1000]).unwrap();
    let mut args = ReplayPublishArgs {
        file,
        speed: Speed::REAL_TIME,
        repeat: false,
        recover: false,
    };
    let stop = AtomicBool::new(false);
    let mut laboratory = Laboratory::default();
    let refused = run(&args, &mut laboratory, &stop, &mut io::sink()).unwrap_err();
    assert!(matches!(refused, ReplayPublishError::Recording(_)));
    assert!(
        refused.to_string().contains("cut.xdf") && refused.to_string().contains("recover"),
        "{refused}"
    );
    args.recover = true;
    let mut talk = Vec::new();
    assert!(run(&args, &mut laboratory, &stop, &mut talk).is_ok());
    assert!(
        String::from_utf8(talk)
            .unwrap()
            .contains("the recording ends at byte")
    );
}
