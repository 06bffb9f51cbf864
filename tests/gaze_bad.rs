//! Gaze streams that go bad: places outside the picture, stamps that do not go on, a rate that is not the one declared.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

use std::sync::Arc;
use std::time::Duration;

use razvilka::config::{GazeUnits, ScreenSection};
use razvilka::fork::{ForkId, MAX_OPTIONS};
use razvilka::gate::Lease;
use razvilka::pipeline::gaze::{GazeLine, GazeReading, Outside, Tiles};
use razvilka::pipeline::inlet::{Heartbeat, Inlet, RecordOnly, Stage};
use razvilka::recording::{Capacity, Recorder};
use razvilka::rt::{self, Wish};
use razvilka::source::{ClockOffset, Format, SampleSource, SourceError, StreamSpec};
use razvilka_dsp::gaze::DetectorKind;
use razvilka_dsp::gaze_evidence::{DwellModel, Tile};
use razvilka_dsp::units::{Hertz, MonoTime};

const RATE_HZ: f64 = 250.0;

/// 60 by 40 cm at 60 cm: half the width is 26.565 degrees.
fn line(detector: DetectorKind) -> GazeLine {
    let screen = ScreenSection {
        width_cm: 60.0,
        height_cm: 40.0,
        distance_cm: 60.0,
        ..ScreenSection::default()
    };
    let reading = GazeReading::new((0, 1), None, GazeUnits::Degrees, &screen);
    let rate = Hertz::new(RATE_HZ).unwrap();
    GazeLine::prepare(reading, None, DwellModel::default(), rate, detector).unwrap()
}

#[test]
fn places_outside_the_picture_are_counted_and_beyond_the_margin_they_are_lost() {
    let mut line = line(DetectorKind::default());
    // Three within, two outside by less than the 10 degrees of the margin, one beyond it, one lost.
    let places = [0.0, 26.5, -26.5, 30.0, -36.0, 36.6, f32::NAN];
    let seen: Vec<bool> = (0..)
        .zip(places)
        .map(|(k, x)| {
            line.sample(f64::from(k) / RATE_HZ, &[x, 0.0]);
            line.at_deg().is_some()
        })
        .collect();
    assert_eq!(seen, [true, true, true, true, true, false, false]);
    assert_eq!(line.outside(), Outside { near: 2, beyond: 1 });
    assert_eq!(line.unused().invalid, 2);
}

/// Two tiles, the first one at the centre.
fn tiles() -> Tiles {
    let tile = |x_deg| Tile {
        x_deg,
        y_deg: 0.0,
        w_deg: 6.0,
        h_deg: 4.0,
        words: 3,
    };
    let mut tiles = [tile(0.0); MAX_OPTIONS];
    tiles[1] = tile(15.0);
    Tiles {
        fork: ForkId(1),
        lease: Lease { epoch: 0 },
        tiles,
        count: 2,
        from_s: 0.0,
        offset_s: 0.0,
        shift_deg: (0.0, 0.0),
    }
}

#[test]
fn stamps_that_are_no_times_or_do_not_go_on_are_dropped_counted_and_change_nothing() {
    for detector in [DetectorKind::Trained, DetectorKind::Velocity] {
        let words = |bad: bool| {
            let mut line = line(detector);
            line.put_up(tiles(), None);
            let mut words = Vec::new();
            for k in 0..500u32 {
                let stamp_s = f64::from(k) / RATE_HZ;
                if bad && k % 50 == 20 {
                    // A look elsewhere whose stamp is no time, is the last one's, or older: nobody looked there then.
                    for stamp_s in [
                        f64::NAN,
                        f64::INFINITY,
                        stamp_s - 1.0 / RATE_HZ,
                        stamp_s - 0.1,
                    ] {
                        assert!(line.sample(stamp_s, &[15.0, 0.0]).is_none());
                    }
                }
                let word = line.sample(stamp_s, &[0.1, 0.0]);
                words.extend(word.map(|word| (word.at_s, word.ln_lik)));
            }
            (words, line.unused())
        };
        let (good, none) = words(false);
        let (bad, counts) = words(true);
        assert!(!good.is_empty());
        assert_eq!(good, bad, "{detector:?}");
        assert_eq!((none.not_finite, none.backward), (0, 0));
        assert_eq!((counts.not_finite, counts.backward), (20, 20));
    }
}

/// A tracker whose program declares 600 Hz whatever it sends, as the Tobii Pro connector does.
struct Tracker {
    spec: StreamSpec,
    begun_s: f64,
    sent: u64,
}

const DECLARED_HZ: f64 = 600.0;
const TRUE_HZ: f64 = 120.0;

impl SampleSource for Tracker {
    fn spec(&self) -> &StreamSpec {
        &self.spec
    }

    fn pull(
        &mut self,
        data: &mut [f32],
        stamps: &mut [f64],
        _: Duration,
    ) -> Result<usize, SourceError> {
        std::thread::sleep(Duration::from_millis(8));
        let due = ((rt::lsl_now().get() - self.begun_s) * TRUE_HZ) as u64;
        let n = (due.saturating_sub(self.sent) as usize).min(stamps.len());
        for (stamp, place) in stamps.iter_mut().zip(data.chunks_exact_mut(2)).take(n) {
            *stamp = self.begun_s + self.sent as f64 / TRUE_HZ;
            place.fill(0.5);
            self.sent += 1;
        }
        Ok(n)
    }

    fn clock_offset(&self) -> Option<ClockOffset> {
        Some(ClockOffset {
            at_s: (rt::lsl_now().get() * 2.0).floor() / 2.0,
            offset_s: 0.0,
        })
    }

    fn dropped(&self) -> u64 {
        0
    }
}

/// Held to the rate that `gaze.rate_hz` says.
struct Held;

impl Stage for Held {
    fn block(&mut self, _: &[f64], _: &[f32], _: MonoTime) {}

    fn rate_hz(&self) -> Option<f64> {
        Some(TRUE_HZ)
    }
}

#[test]
fn a_rate_that_lies_closes_the_gate_until_the_true_one_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::create(&folder.path().join("x.xdf"), Capacity::default()).unwrap();
    let tracker = |name: &str| {
        let spec = StreamSpec {
            name: name.into(),
            kind: "Eyetracker".into(),
            source_id: name.into(),
            hostname: String::new(),
            uid: String::new(),
            rate_hz: DECLARED_HZ,
            format: Format::Float32,
            labels: vec!["x".into(), "y".into()],
            units: Vec::new(),
            xml: String::new(),
        };
        let (tap, _) = recorder.add_samples(&spec).unwrap();
        let source: Box<dyn SampleSource> = Box::new(Tracker {
            spec,
            begun_s: rt::lsl_now().get(),
            sent: 0,
        });
        (source, tap)
    };
    let wish = Wish {
        priority: 0,
        cpu: None,
    };
    let (source, tap) = tracker("lies");
    let lies = Inlet::start("lies", wish, source, tap, RecordOnly).unwrap();
    let (source, tap) = tracker("corrected");
    let corrected = Inlet::start("corrected", wish, source, tap, Held).unwrap();
    // The rate is measured over 10 to 20 s.
    let until = std::time::Instant::now() + Duration::from_secs(45);
    let measured = |beat: &Arc<Heartbeat>| beat.clock().counts().measured_rate_hz.is_some();
    let beats = [lies.heartbeat(), corrected.heartbeat()];
    while !beats.iter().all(measured) {
        assert!(std::time::Instant::now() < until, "no rate was measured");
        std::thread::sleep(Duration::from_millis(100));
    }
    let off = |beat: &Arc<Heartbeat>| beat.clock().counts().doubts.contains_key("rate_off");
    let [first, second] = &beats;
    assert!(off(first) && !off(second), "{:?}", second.clock().counts());
    let (closed, why) = first.clock().closed();
    assert!(
        closed > 0 && why == razvilka::gate::AbortReason::WrongRate,
        "{why:?}"
    );
    drop((lies.stop(), corrected.stop()));
}
