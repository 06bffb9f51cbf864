//! What the tests over real loopback LSL share: one session per process, streams to publish, a program that lies.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "every test binary uses its own part, and a test that cannot be set up should stop"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use razvilka::source::lsl::{LslSamples, Network};
use razvilka::source::pins::Pins;
use razvilka::source::{Format, SampleSource, StreamSpec};

/// How long answers to a query are awaited.
pub const WAIT: Duration = Duration::from_millis(1200);
/// How long something that must happen may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The session of this test process: other tests on the machine do not see its streams.
pub fn session() -> String {
    std::env::var("RAZVILKA_TEST_SESSION")
        .unwrap_or_else(|_| format!("test-{}", std::process::id()))
}

/// The loopback network of this test process.
pub fn network() -> Network {
    Network::loopback_session(&session()).unwrap()
}

/// An EEG stream of eight labelled channels at 500 Hz; its identity is derived from `name`.
pub fn eeg(name: &str) -> StreamSpec {
    let labels = ["Fz", "Cz", "Pz", "Oz", "P3", "P4", "PO7", "PO8"];
    StreamSpec {
        name: name.to_owned(),
        kind: "EEG".to_owned(),
        source_id: format!("{name}-serial-1"),
        hostname: String::new(),
        uid: String::new(),
        rate_hz: 500.0,
        format: Format::Float32,
        labels: labels.map(str::to_owned).to_vec(),
        units: vec!["microvolts".to_owned(); 8],
        xml: String::new(),
    }
}

/// A marker stream.
pub fn markers(name: &str) -> StreamSpec {
    StreamSpec {
        kind: "Markers".to_owned(),
        rate_hz: 0.0,
        format: Format::String,
        labels: vec![String::new()],
        units: Vec::new(),
        ..eeg(name)
    }
}

/// Pins that name a stream and nothing else.
pub fn named(name: &str) -> Pins {
    Pins {
        name: Some(name.to_owned()),
        ..Pins::default()
    }
}

/// Pulls `count` samples; panics when they do not come.
pub fn pull_exactly(source: &mut LslSamples, count: usize) -> (Vec<f64>, Vec<f32>) {
    let channels = source.spec().labels.len();
    let (mut all_stamps, mut all_values) = (Vec::new(), Vec::new());
    let (mut values, mut stamps) = (vec![0.0; 64 * channels], vec![0.0; 64]);
    let until = Instant::now() + PATIENCE;
    while all_stamps.len() < count {
        assert!(
            Instant::now() < until,
            "{} of {count} samples came",
            all_stamps.len()
        );
        let n = source
            .pull(&mut values, &mut stamps, Duration::from_millis(100))
            .unwrap();
        all_stamps.extend_from_slice(&stamps[..n]);
        all_values.extend_from_slice(&values[..n * channels]);
    }
    (all_stamps, all_values)
}

/// A program that answers discovery on loopback with whatever it is told to, and serves `document` on its data port
/// Lives until the test process ends.
pub fn liar(name: &str, channel_count: &str, rate: &str, document: Document) {
    let service = (16572..16604)
        .find_map(|port| UdpSocket::bind(("127.0.0.1", port)).ok())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let short = format!(
        "<?xml version=\"1.0\"?><info><name>{name}</name><type>EEG</type><channel_count>{channel_count}</channel_count>\
             <channel_format>float32</channel_format><source_id>liar</source_id><nominal_srate>{rate}</nominal_srate>\
             <version>1.1</version><created_at>1.0</created_at><uid>liar-{name}</uid><session_id>{}</session_id>\
             <hostname>h</hostname><v4address></v4address><v4data_port>{port}</v4data_port>\
             <v4service_port>0</v4service_port><v6address></v6address><v6data_port>0</v6data_port>\
             <v6service_port>0</v6service_port><desc></desc></info>",
        session()
    );
    thread::spawn(move || {
        let mut query = [0; 2048];
        while let Ok((n, from)) = service.recv_from(&mut query) {
            let text = String::from_utf8_lossy(&query[..n]).into_owned();
            let mut last_line = text.lines().nth(2).unwrap_or_default().split(' ');
            let (Some(Ok(port)), Some(id)) =
                (last_line.next().map(str::parse::<u16>), last_line.next())
            else {
                continue;
            };
            service
                .send_to(format!("{id}\r\n{short}").as_bytes(), (from.ip(), port))
                .unwrap();
        }
    });
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let _ = socket.read(&mut [0; 256]);
            match &document {
                Document::Endless => while socket.write_all(&[b'x'; 4096]).is_ok() {},
                Document::Text(text) => {
                    let _ = socket.write_all(text.as_bytes());
                }
            }
        }
    });
}

/// What a liar serves as its full description.
pub enum Document {
    /// Bytes without end.
    Endless,
    /// This text.
    Text(String),
}
