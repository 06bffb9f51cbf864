//! Pacing, and engines that come and go.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam::channel;
use razvilka::marker::{Event, Key, Marker};
use razvilka::sim::{
    Devices, Ears, ForkTruth, Laboratory, RunError, SimSettings, Streams, listen, run,
};
use razvilka::source::{
    ClockOffset, MarkerSink, MarkerSource, SampleSink, SourceError, StreamSpec,
};

use crate::script::{START_S, Script, six_options};

#[derive(Clone, Default)]
struct Tape {
    stamps: Arc<Mutex<Vec<f64>>>,
    values: Arc<Mutex<usize>>,
    texts: Arc<Mutex<Vec<String>>>,
}

impl SampleSink for Tape {
    fn push(&mut self, data: &[f32], stamps: &[f64]) -> Result<(), SourceError> {
        self.stamps.lock().unwrap().extend_from_slice(stamps);
        *self.values.lock().unwrap() += data.len();
        Ok(())
    }
}

impl MarkerSink for Tape {
    fn push(&mut self, marker: &str, _stamp: f64) -> Result<(), SourceError> {
        self.texts.lock().unwrap().push(marker.to_owned());
        Ok(())
    }
}

struct Broken;

impl SampleSink for Broken {
    fn push(&mut self, _data: &[f32], _stamps: &[f64]) -> Result<(), SourceError> {
        Err(SourceError::Lsl("no route".into()))
    }
}

/// A clock that runs from `START_S` at this many times the speed of the wall clock's.
fn clock(speed: f64) -> impl Fn() -> f64 {
    let begin = Instant::now();
    move || START_S + speed * begin.elapsed().as_secs_f64()
}

#[test]
fn every_sample_is_sent_once_with_its_own_stamp() {
    let settings = SimSettings {
        key_share: 1.0,
        ..SimSettings::default()
    };
    let mut laboratory = Laboratory::new(&settings, START_S).unwrap();
    let (eeg, gaze, keys) = (Tape::default(), Tape::default(), Tape::default());
    let mut devices = Devices {
        eeg: Box::new(eeg.clone()),
        gaze: Box::new(gaze.clone()),
        keys: Box::new(keys.clone()),
    };
    let mut script = Script::default();
    script.fork(START_S + 1.0, 0, &six_options(), 12.0, None);
    let (tell, heard) = channel::bounded(16);
    for told in script.markers {
        tell.send(told).unwrap();
    }
    let mut truth = Vec::new();
    let report = run(
        &mut laboratory,
        &mut devices,
        &heard,
        &clock(50.0),
        &mut truth,
        Some(START_S + 15.0),
        &AtomicBool::new(false),
    )
    .unwrap();
    assert_eq!((report.eeg_samples, report.gaze_samples), (3750, 3750));
    assert_eq!(*eeg.values.lock().unwrap(), 8 * 3750);
    assert_eq!(*gaze.values.lock().unwrap(), 3 * 3750);
    for (n, stamp) in eeg.stamps.lock().unwrap().iter().enumerate() {
        assert!((stamp - START_S - n as f64 / 250.0).abs() < 1e-9);
    }
    assert_eq!((report.heard, report.late, report.refused), (2, 0, 0));
    let lines: Vec<ForkTruth> = String::from_utf8(truth)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 1);
    let texts = keys.texts.lock().unwrap();
    let item = lines[0].attended.unwrap();
    assert_eq!(
        texts.iter().map(|t| Key::from_json(t).unwrap()).next(),
        Some(Key::Select { item })
    );
}

#[test]
fn a_raised_flag_or_a_broken_device_ends_the_run() {
    let settings = SimSettings::default();
    let (_tell, heard) = channel::bounded(1);
    let mut devices = Devices {
        eeg: Box::new(Tape::default()),
        gaze: Box::new(Tape::default()),
        keys: Box::new(Tape::default()),
    };
    let go = |devices: &mut Devices, stop: bool| {
        let mut laboratory = Laboratory::new(&settings, START_S).unwrap();
        run(
            &mut laboratory,
            devices,
            &heard,
            &clock(20.0),
            &mut std::io::sink(),
            None,
            &AtomicBool::new(stop),
        )
    };
    assert!(go(&mut devices, true).is_ok());
    devices.gaze = Box::new(Broken);
    let error = go(&mut devices, false).unwrap_err();
    assert!(matches!(
        error,
        RunError::Send {
            device: "eye tracker",
            ..
        }
    ));
    assert!(error.to_string().contains("no route"));
}

/// An engine that says a few texts and dies.
struct Engine {
    spec: StreamSpec,
    texts: VecDeque<String>,
}

impl MarkerSource for Engine {
    fn spec(&self) -> &StreamSpec {
        &self.spec
    }

    fn pull(&mut self, _timeout: Duration) -> Result<Option<(f64, String)>, SourceError> {
        match self.texts.pop_front() {
            Some(text) => Ok(Some((10.0, text))),
            None => Err(SourceError::Lost {
                name: self.spec.name.clone(),
                reason: "killed".into(),
            }),
        }
    }

    fn clock_offset(&self) -> Option<ClockOffset> {
        Some(ClockOffset {
            at_s: 0.0,
            offset_s: 0.5,
        })
    }
}

#[test]
fn engines_may_be_absent_die_and_come_back() {
    let marker = |seq| {
        Marker {
            seq,
            body: Event::SessionEnd,
        }
        .to_json()
    };
    let spec = Streams::of(&SimSettings::default()).keys;
    let mut lives: VecDeque<Result<Option<Vec<String>>, SourceError>> = VecDeque::from([
        Ok(None),
        Err(SourceError::Lsl("two of them".into())),
        Ok(Some(vec![marker(0), "{not a marker".into()])),
        Ok(None),
        Ok(Some(vec![marker(7)])),
    ]);
    let (tell, heard) = channel::bounded(8);
    let (ears, stop) = (Ears::default(), AtomicBool::new(false));
    listen(
        || {
            let life = lives.pop_front();
            if life.is_none() {
                stop.store(true, Ordering::Relaxed);
            }
            let texts = life.unwrap_or(Ok(None))?;
            Ok(texts.map(|texts| {
                Box::new(Engine {
                    spec: spec.clone(),
                    texts: texts.into(),
                }) as Box<dyn MarkerSource>
            }))
        },
        &tell,
        &ears,
        &stop,
    );
    let heard: Vec<(f64, u64)> = heard.try_iter().map(|(t, m)| (t, m.seq)).collect();
    assert_eq!(heard, [(10.5, 0), (10.5, 7)]);
    assert_eq!(ears.engines.load(Ordering::Relaxed), 2);
    assert_eq!(ears.unreadable.load(Ordering::Relaxed), 1);
}
