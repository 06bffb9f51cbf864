//! `razvilka simulate` over real LSL on this machine: an engine comes, asks, goes and comes back.

#![allow(clippy::unwrap_used)] // what cannot go on here should say so at once

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use razvilka::cli::simulate::{Args, Plan, execute};
use razvilka::marker::{Event, Key, Marker, OptionKind, OptionTile};
use razvilka::sim::{EEG_NAME, ForkTruth, GAZE_NAME, KEYS_NAME, Reason, RunReport};
use razvilka::source::lsl::{LslMarkerOutlet, LslMarkers, LslSamples, Network, clock};
use razvilka::source::pins::Pins;
use razvilka::source::{Format, MarkerSink, MarkerSource, SampleSource, StreamSpec};

/// Nothing here takes that long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn plan(line: &[&str]) -> Plan {
    let line = std::iter::once(&"simulate").chain(line);
    Line::try_parse_from(line).unwrap().args.plan().unwrap()
}

fn engine(network: Network) -> LslMarkerOutlet {
    let spec = StreamSpec {
        name: "Razvilka".into(),
        kind: "Markers".into(),
        source_id: "engine-under-test".into(),
        hostname: String::new(),
        uid: String::new(),
        rate_hz: 0.0,
        format: Format::String,
        labels: vec!["marker".into()],
        units: Vec::new(),
        xml: String::new(),
    };
    LslMarkerOutlet::new(network, &spec).unwrap()
}

fn pinned(name: &str) -> Pins {
    Pins {
        name: Some(name.into()),
        ..Pins::default()
    }
}

fn fork_open(seq: u64, fork: u64) -> String {
    let tile = |item, text: &str| OptionTile {
        item,
        kind: OptionKind::Branch,
        text: text.into(),
        x_deg: f64::from(item) * 12.0 - 6.0,
        y_deg: 0.0,
        w_deg: 9.0,
        h_deg: 4.0,
    };
    Marker {
        seq,
        body: Event::ForkOpen {
            fork,
            context: String::new(),
            options: vec![tile(0, "дракон улетел"), tile(1, "fox")],
            timeout_s: 10.0,
        },
    }
    .to_json()
}

/// The next key that is a selection.
fn selection(keys: &mut LslMarkers) -> (f64, i32) {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if let Some((stamp, text)) = keys.pull(Duration::from_millis(200)).unwrap()
            && let Key::Select { item } = Key::from_json(&text).unwrap()
        {
            return (stamp, item);
        }
    }
    panic!("no key was pressed");
}

#[test]
fn the_person_answers_engines_that_come_and_go_over_lsl() {
    let session = format!("sim-{}", std::process::id());
    let folder = tempfile::tempdir().unwrap();
    let truth = folder.path().join("truth.jsonl");
    let plan = plan(&[
        "--seed=5",
        "--preset=easy",
        "--goal=дракон",
        "--key-share=1",
        "--engine-source-id=engine-under-test",
        "--session-id",
        &session,
        "--truth",
        truth.to_str().unwrap(),
        "--json",
    ]);
    let stop = Arc::new(AtomicBool::new(false));
    let running = {
        let (plan, stop) = (plan.clone(), Arc::clone(&stop));
        thread::spawn(move || {
            let mut data = Vec::new();
            let report: RunReport = execute(&plan, &mut data, &stop).unwrap();
            (report, String::from_utf8(data).unwrap())
        })
    };
    let network = Network::loopback_session(&session).unwrap();
    let wait = Duration::from_secs(2);
    let open = |name: &str| network.resolve(&pinned(name), wait).unwrap();
    let mut eeg = LslSamples::open(&open(EEG_NAME), wait).unwrap();
    let mut gaze = LslSamples::open(&open(GAZE_NAME), wait).unwrap();
    let mut keys = LslMarkers::open(&open(KEYS_NAME), wait).unwrap();
    assert_eq!(eeg.spec().kind, "EEG");
    assert_eq!(eeg.spec().source_id, "razvilka-sim-eeg-5");
    assert_eq!(eeg.spec().labels, plan.settings.channels);
    assert!(eeg.spec().units.iter().all(|unit| unit == "microvolts"));
    assert_eq!(gaze.spec().labels, ["x", "y", "confidence"]);
    assert!(gaze.spec().xml.contains("distance_cm"));

    for fork in 0..2 {
        // Each round is another life of the engine.
        let mut outlet = engine(network);
        assert!(outlet.wait_for_consumers(PATIENCE), "nobody listens");
        let asked = clock();
        outlet.push(&fork_open(0, fork), asked).unwrap();
        let (pressed, item) = selection(&mut keys);
        assert_eq!(item, 0);
        assert!(pressed > asked + 0.3);
    }

    let mut data = vec![0.0; 8 * 500];
    let mut stamps = vec![0.0; 500];
    let got = eeg.pull(&mut data, &mut stamps, wait).unwrap();
    assert!(got > 100);
    for pair in stamps[..got].windows(2) {
        assert!((pair[1] - pair[0] - 0.004).abs() < 1e-6);
    }
    assert!(data[..8 * got].iter().all(|uv| uv.is_finite()));
    assert!(gaze.pull(&mut data, &mut stamps, wait).unwrap() > 100);

    stop.store(true, Ordering::Relaxed);
    let (report, lines) = running.join().unwrap();
    assert_eq!((report.heard, report.refused), (2, 0));
    let lines: Vec<&str> = lines.lines().collect();
    assert!(lines[0].starts_with(r#"{"streams":["#) && lines[0].contains(KEYS_NAME));
    assert!(lines[1].starts_with(r#"{"report":{"#));
    let truth = std::fs::read_to_string(&truth).unwrap();
    let first: ForkTruth = serde_json::from_str(truth.lines().next().unwrap()).unwrap();
    assert_eq!((first.fork, first.item), (0, 0));
    assert_eq!(first.reason, Reason::Wish);
}

#[test]
fn a_truth_file_of_another_run_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("truth.jsonl");
    std::fs::write(&path, "earlier\n").unwrap();
    // The same session as the other test of this process: LSL is settled once per process.
    let session = format!("sim-{}", std::process::id());
    let plan = plan(&["--session-id", &session, "--truth", path.to_str().unwrap()]);
    let error = execute(&plan, &mut Vec::new(), &AtomicBool::new(false)).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("truth.jsonl"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "earlier\n");
}

#[test]
fn what_was_typed_wrongly_is_named_with_its_range() {
    for (line, named) in [
        ("--eeg-channels=0", "--eeg-channels must lie in 1..=64"),
        ("--eeg-rate=nan", "eeg_rate_hz must lie in 100..=10000 Hz"),
        ("--gaze-rate=1e9", "gaze_rate_hz must lie in 30..=2000 Hz"),
        ("--key-share=2", "key_share must lie in 0..=1"),
        ("--duration-s=0", "--duration-s must lie in 1..=86400 s"),
        ("--fault=railed=Fp1", "fault on channel 'Fp1'"),
    ] {
        let args = Line::try_parse_from(["simulate", line]).unwrap().args;
        let error = args.plan().unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
    assert!(Line::try_parse_from(["simulate", "--fault=loud=Pz"]).is_err());
    assert!(Line::try_parse_from(["simulate", "--laboratory", "--session-id=x"]).is_err());
}
