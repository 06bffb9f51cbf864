//! Razvilka and pylsl (liblsl) understand each other, in both directions: values to the bit, stamps, text, metadata.
//!
//! Needs a Python with pylsl and numpy, named by `RAZVILKA_PYTHON`; CI always has one. Without it the tests say so and
//! pass.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod lsl_common;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use lsl_common::{PATIENCE, eeg, markers, named, network, pull_exactly, session};
use razvilka::source::lsl::{LslMarkerOutlet, LslMarkers, LslSampleOutlet, LslSamples, Network};
use razvilka::source::pins::{Channels, Pins};
use razvilka::source::{Format, MarkerSink, MarkerSource, SampleSink, SampleSource};
use serde::Deserialize;
use tempfile::TempDir;

/// liblsl answers within its own resolve interval.
const WAIT: Duration = Duration::from_secs(3);
const SAMPLES: usize = 1500;

fn sent_stamps() -> Vec<f64> {
    (0..SAMPLES).map(|k| 1000.0 + k as f64 / 500.0).collect()
}

fn sent_values() -> Vec<f32> {
    (0..SAMPLES * 8)
        .map(|k| (k as f64 * 0.1 - 60_000.0) as f32)
        .collect()
}

fn sent_markers() -> Vec<String> {
    let short = ["начало", "развилка: «дальше»", "{\"seq\":2}", "🧠"];
    short
        .map(str::to_owned)
        .into_iter()
        .chain(["x".repeat(5000)])
        .collect()
}

/// The Python program of the other side. Killed when dropped.
struct Peer {
    child: Child,
    out: BufReader<ChildStdout>,
    _configuration: TempDir,
}

impl Peer {
    /// `None`, said on stderr, without a Python to run it.
    fn start(role: &str, name: &str) -> Option<Self> {
        let Some(python) = std::env::var_os("RAZVILKA_PYTHON") else {
            eprintln!("skipped: RAZVILKA_PYTHON names no Python with pylsl");
            return None;
        };
        let configuration = TempDir::new().unwrap();
        let path = configuration.path().join("lsl_api.cfg");
        std::fs::write(&path, Network::loopback_config(&session()).unwrap()).unwrap();
        let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/python/lsl_peer.py");
        let mut child = Command::new(python)
            .arg(program)
            .args([role, name])
            .env("LSLAPICFG", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Some(Self {
            child,
            out,
            _configuration: configuration,
        })
    }

    fn wait_until_ready(&mut self) {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready", "the peer failed");
    }

    fn go(&mut self) {
        self.child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(b"go\n")
            .unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_pylsl_sends_arrives_here_to_the_bit() {
    let Some(mut peer) = Peer::start("send", "FromPylsl") else {
        return;
    };
    peer.wait_until_ready();
    let pins = Pins {
        kind: Some("EEG".to_owned()),
        source_id: Some("FromPylsl-serial".to_owned()),
        channels: Some(Channels::Labels(eeg("").labels)),
        unit: Some("microvolts".to_owned()),
        rate_hz: Some(500.0),
        format: Some(Format::Float32),
        ..named("FromPylsl")
    };
    let stream = network().resolve(&pins, WAIT).unwrap();
    let marker_stream = network()
        .resolve(&named("FromPylsl-markers"), WAIT)
        .unwrap();
    assert_eq!(marker_stream.spec().format, Format::String);
    let mut samples = LslSamples::open(&stream, PATIENCE).unwrap();
    let mut words = LslMarkers::open(&marker_stream, PATIENCE).unwrap();
    peer.go();

    let (stamps, values) = pull_exactly(&mut samples, SAMPLES);
    assert_eq!(stamps, sent_stamps());
    assert_eq!(values, sent_values());
    for (marker, stamp) in sent_markers().into_iter().zip(2000..) {
        assert_eq!(
            words.pull(PATIENCE).unwrap(),
            Some((f64::from(stamp), marker))
        );
    }
    assert_eq!(
        samples
            .pull(&mut [0.0; 8], &mut [0.0], Duration::from_millis(50))
            .unwrap(),
        0
    );
    let until = std::time::Instant::now() + PATIENCE;
    while samples.clock_offset().is_none() {
        assert!(
            std::time::Instant::now() < until,
            "liblsl answered no clock probe"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let offset = samples.clock_offset().unwrap();
    let bound_s = samples.clock_uncertainty_s().unwrap();
    assert!(
        offset.offset_s.abs() <= bound_s + 1e-6,
        "one machine, one clock: {offset:?}"
    );
}

#[derive(Deserialize)]
struct Received {
    #[serde(rename = "type")]
    kind: String,
    source_id: String,
    rate_hz: f64,
    format: i64,
    labels: Vec<String>,
    units: Vec<String>,
    stamps: Vec<f64>,
    values: Vec<Vec<f64>>,
    markers: Vec<String>,
    marker_stamps: Vec<f64>,
    offset_s: f64,
}

#[test]
fn what_we_send_arrives_in_pylsl_to_the_bit() {
    let Some(mut peer) = Peer::start("receive", "ToPylsl") else {
        return;
    };
    let mut samples = LslSampleOutlet::new(network(), &eeg("ToPylsl")).unwrap();
    let mut words = LslMarkerOutlet::new(network(), &markers("ToPylsl-markers")).unwrap();
    peer.wait_until_ready();
    assert!(samples.wait_for_consumers(PATIENCE) && words.wait_for_consumers(PATIENCE));
    samples.push(&sent_values(), &sent_stamps()).unwrap();
    for (marker, stamp) in sent_markers().iter().zip(2000..) {
        words.push(marker, f64::from(stamp)).unwrap();
    }
    let mut json = String::new();
    peer.out.read_to_string(&mut json).unwrap();
    let received: Received = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (received.kind.as_str(), received.source_id.as_str()),
        ("EEG", "ToPylsl-serial-1")
    );
    // 1 is cf_float32.
    assert_eq!((received.rate_hz, received.format), (500.0, 1));
    assert_eq!(received.labels, eeg("").labels);
    assert_eq!(received.units, eeg("").units);
    assert_eq!(received.stamps, sent_stamps());
    let values: Vec<f32> = received
        .values
        .iter()
        .flatten()
        .map(|v| *v as f32)
        .collect();
    assert_eq!(values, sent_values());
    assert_eq!(received.markers, sent_markers());
    assert_eq!(
        received.marker_stamps,
        [2000.0, 2001.0, 2002.0, 2003.0, 2004.0]
    );
    // liblsl keeps the best of eight round trips; on one machine the true offset is 0.
    println!(
        "pylsl measured an offset of {:.1} us to us",
        received.offset_s * 1e6
    );
    assert!(
        received.offset_s.abs() < 1.0,
        "another clock: {}",
        received.offset_s
    );
}
