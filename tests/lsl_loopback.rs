//! Discovery, pins, samples and markers over real LSL on 127.0.0.1.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod lsl_common;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lsl_common::{PATIENCE, WAIT, eeg, markers, named, network, pull_exactly, session};
use razvilka::config::control_pins;
use razvilka::engine::control::{Command as Asked, Heard, Listener, control_spec};
use razvilka::engine::telemetry::Outlets;
use razvilka::source::lsl::{
    LslMarkerOutlet, LslMarkers, LslSampleOutlet, LslSamples, clock, reopen,
};
use razvilka::source::pins::{Channels, Pins};
use razvilka::source::{
    Format, MarkerSink, MarkerSource, SampleSink, SampleSource, SourceError, StreamSpec,
};

/// Resolves with pins that must not fit, and returns the message.
fn refusal(pins: &Pins) -> SourceError {
    network().resolve(pins, WAIT).unwrap_err()
}

#[test]
fn a_stream_arrives_as_it_was_sent_with_its_metadata_nan_and_infinity() {
    let mut outlet = LslSampleOutlet::new(network(), &eeg("Whole")).unwrap();
    let stream = network().resolve(&named("Whole"), WAIT).unwrap();
    let spec = stream.spec();
    assert_eq!(spec.labels, eeg("").labels);
    assert_eq!(spec.units, eeg("").units);
    assert_eq!(
        (spec.kind.as_str(), spec.rate_hz, spec.format),
        ("EEG", 500.0, Format::Float32)
    );
    assert_eq!(spec.uid, outlet.spec().uid);

    let mut inlet = LslSamples::open(&stream, PATIENCE).unwrap();
    assert!(outlet.wait_for_consumers(PATIENCE));
    let stamps: Vec<f64> = (0..200).map(|k| 1000.0 + f64::from(k) / 500.0).collect();
    let mut values: Vec<f32> = (0..200 * 8).map(|k| k as f32 * 0.1 - 60_000.0).collect();
    values[3] = f32::NAN;
    values[12] = f32::INFINITY;
    values[13] = f32::NEG_INFINITY;
    values[14] = f32::MIN_POSITIVE / 4.0;
    outlet.push(&values, &stamps).unwrap();
    let (got_stamps, got_values) = pull_exactly(&mut inlet, 200);
    assert_eq!(got_stamps, stamps);
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&got_values), bits(&values));
    assert_eq!(inlet.dropped(), 0);
    assert_eq!(
        inlet
            .pull(&mut [0.0; 8], &mut [0.0; 1], Duration::ZERO)
            .unwrap(),
        0,
        "nothing is left"
    );
}

#[test]
fn markers_arrive_with_their_stamps_and_any_script() {
    let mut outlet = LslMarkerOutlet::new(network(), &markers("Words")).unwrap();
    let stream = network().resolve(&named("Words"), WAIT).unwrap();
    let mut inlet = LslMarkers::open(&stream, PATIENCE).unwrap();
    assert!(outlet.wait_for_consumers(PATIENCE));
    let sent = [
        "развилка",
        "{\"seq\":0,\"event\":\"session_end\"}",
        "",
        "🧠 é\n",
    ];
    for (text, stamp) in sent.iter().zip(1..) {
        outlet.push(text, f64::from(stamp)).unwrap();
    }
    for (text, stamp) in sent.iter().zip(1..) {
        assert_eq!(
            inlet.pull(PATIENCE).unwrap(),
            Some((f64::from(stamp), (*text).to_owned()))
        );
    }
    assert_eq!(inlet.pull(Duration::from_millis(1)).unwrap(), None);
    assert!(matches!(
        LslSamples::open(&stream, PATIENCE),
        Err(SourceError::Mismatch { .. })
    ));
}

#[test]
fn several_sources_are_found_by_asking_once() {
    let eeg_outlet = LslSampleOutlet::new(network(), &eeg("Both")).unwrap();
    let marker_outlet = LslMarkerOutlet::new(network(), &markers("Both words")).unwrap();
    let found = network()
        .resolve_each(&[&named("Both words"), &named("Both")], WAIT)
        .unwrap();
    let uids: Vec<&str> = found.iter().map(|s| s.spec().uid.as_str()).collect();
    assert_eq!(uids, [&marker_outlet.spec().uid, &eeg_outlet.spec().uid]);
    let missing = network().resolve_each(&[&named("Both"), &named("Neither")], WAIT);
    assert!(matches!(missing, Err(SourceError::NotFound { .. })));
}

#[test]
fn two_streams_of_one_identity_are_refused_and_both_listed() {
    let real = LslSampleOutlet::new(network(), &eeg("Twin")).unwrap();
    let impostor = LslSampleOutlet::new(network(), &eeg("Twin")).unwrap();
    let error = refusal(&Pins::of(&StreamSpec {
        hostname: String::new(),
        ..eeg("Twin")
    }));
    let SourceError::Ambiguous { count, found, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*count, 2);
    for outlet in [&real, &impostor] {
        assert!(found.contains(&outlet.spec().uid), "{found}");
    }
    // The uid, and only the uid, tells them apart.
    let by_uid = Pins {
        uid: Some(real.spec().uid.clone()),
        ..named("Twin")
    };
    let stream = network().resolve(&by_uid, WAIT).unwrap();
    assert_eq!(stream.spec().uid, real.spec().uid);
}

#[test]
fn an_unknown_stream_names_the_addresses_asked_and_what_is_there() {
    let _similar = LslSampleOutlet::new(network(), &eeg("Amplifier A")).unwrap();
    let wanted = Pins {
        kind: Some("EEG".to_owned()),
        ..named("Amplifier B")
    };
    let message = refusal(&wanted).to_string();
    for part in [
        "name \"Amplifier B\", type \"EEG\"",
        "127.0.0.1",
        "Amplifier A",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_stream_of_the_right_identity_and_the_wrong_shape_says_how_it_differs() {
    let _outlet = LslSampleOutlet::new(network(), &eeg("Shape")).unwrap();
    let mut swapped = eeg("").labels;
    swapped.swap(1, 2);
    let wrong: [(Pins, &str); 5] = [
        (
            Pins {
                channels: Some(Channels::Count(9)),
                ..named("Shape")
            },
            "the channel count should be 9 but is 8",
        ),
        (
            Pins {
                channels: Some(Channels::Labels(swapped)),
                ..named("Shape")
            },
            "should be \"Pz\" (channel 2) but is \"Cz\"",
        ),
        (
            Pins {
                rate_hz: Some(250.0),
                ..named("Shape")
            },
            "the rate should be 250 Hz but is 500 Hz",
        ),
        (
            Pins {
                format: Some(Format::Double64),
                ..named("Shape")
            },
            "the format should be double64 but is float32",
        ),
        (
            Pins {
                unit: Some("volts".to_owned()),
                ..named("Shape")
            },
            "should be \"volts\" (channel 1) but is \"microvolts\"",
        ),
    ];
    for (pins, words) in wrong {
        let error = refusal(&pins);
        assert!(matches!(error, SourceError::Mismatch { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn outlets_refuse_what_an_inlet_would_not_open() {
    let many = StreamSpec {
        labels: vec![String::new(); 600],
        units: Vec::new(),
        ..eeg("Many")
    };
    assert!(matches!(
        LslSampleOutlet::new(network(), &many),
        Err(SourceError::Oversized { .. })
    ));
    let mut outlet = LslSampleOutlet::new(network(), &eeg("Strict")).unwrap();
    assert!(matches!(
        outlet.push(&[0.0; 9], &[1.0]),
        Err(SourceError::Mismatch { .. })
    ));
    for stamp in [0.0, -1.0] {
        assert!(
            outlet.push(&[0.0; 8], &[stamp]).is_err(),
            "{stamp} has another meaning"
        );
    }
}

#[test]
fn a_description_given_as_xml_is_carried() {
    let spec = StreamSpec {
        xml:
            "<info><desc><manufacturer>Нева</manufacturer><cap><size>56</size></cap></desc></info>"
                .to_owned(),
        ..eeg("Described")
    };
    let _outlet = LslSampleOutlet::new(network(), &spec).unwrap();
    let stream = network().resolve(&named("Described"), WAIT).unwrap();
    assert!(
        stream
            .spec()
            .xml
            .contains("<manufacturer>Нева</manufacturer>")
    );
    assert!(stream.spec().xml.contains("<size>56</size>"));
    assert_eq!(
        stream.spec().labels,
        spec.labels,
        "channels were added to the given description"
    );
}

#[test]
fn the_clock_offset_of_one_machine_is_zero_within_its_own_error_bound() {
    let _outlet = LslSampleOutlet::new(network(), &eeg("Clock")).unwrap();
    let stream = network().resolve(&named("Clock"), WAIT).unwrap();
    let inlet = LslSamples::open(&stream, PATIENCE).unwrap();
    let opened_s = clock();
    let until = Instant::now() + PATIENCE;
    while inlet.clock_offset().is_none() {
        assert!(Instant::now() < until, "no offset was measured");
        std::thread::sleep(Duration::from_millis(20));
    }
    let offset = inlet.clock_offset().unwrap();
    let bound_s = inlet.clock_uncertainty_s().unwrap();
    println!(
        "offset {:.1} us, error bound {:.1} us",
        offset.offset_s * 1e6,
        bound_s * 1e6
    );
    assert!(
        offset.offset_s.abs() <= bound_s + 1e-6,
        "{offset:?} +- {bound_s}"
    );
    assert!((opened_s - 1.0..=clock()).contains(&offset.at_s));
}

/// A process that publishes a stream and nothing else, until it is killed.
struct OtherProcess(Child);

impl OtherProcess {
    fn publish(name: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_other_process", "--nocapture"])
            .env("RAZVILKA_TEST_SESSION", session())
            .env("RAZVILKA_TEST_PUBLISH", name)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(
            lines.any(|line| line.unwrap().contains("published")),
            "the other process failed"
        );
        Self(child)
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Not a test by itself: what [`OtherProcess`] runs. Without its environment there is nothing to do.
#[test]
fn the_other_process() {
    let Ok(name) = std::env::var("RAZVILKA_TEST_PUBLISH") else {
        return;
    };
    let spec = match name.strip_suffix(" of another shape") {
        Some(name) => StreamSpec {
            rate_hz: 250.0,
            ..eeg(name)
        },
        None => eeg(&name),
    };
    let mut outlet = LslSampleOutlet::new(network(), &spec).unwrap();
    println!("published");
    // Killed long before this ends.
    for k in 0..10_000_u16 {
        outlet.push(&[f32::from(k); 8], &[clock()]).unwrap();
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_killed_source_is_lost_and_comes_back_only_by_reopening_with_everything_checked_again() {
    let mut source = OtherProcess::publish("Mortal");
    let stream = network().resolve(&named("Mortal"), WAIT).unwrap();
    let was = stream.spec().clone();
    let mut inlet = LslSamples::open(&stream, PATIENCE).unwrap();
    pull_exactly(&mut inlet, 3);
    source.kill();
    let until = Instant::now() + PATIENCE;
    let lost = loop {
        assert!(Instant::now() < until, "the loss was never noticed");
        match inlet.pull(&mut [0.0; 64], &mut [0.0; 8], Duration::from_millis(50)) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(lost, SourceError::Lost { .. }), "{lost}");

    // Gone, then back in another shape: refused. Back as it was: opened, with a new uid.
    assert!(matches!(
        reopen(network(), &was, WAIT),
        Err(SourceError::NotFound { .. })
    ));
    let changed = OtherProcess::publish("Mortal of another shape");
    let refused = reopen(network(), &was, WAIT).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("the rate should be 500 Hz but is 250 Hz"),
        "{refused}"
    );
    drop(changed);
    let _restarted = OtherProcess::publish("Mortal");
    let again = reopen(network(), &was, WAIT).unwrap();
    assert_ne!(again.spec().uid, was.uid);
    let mut inlet = LslSamples::open(&again, PATIENCE).unwrap();
    pull_exactly(&mut inlet, 3);
}

#[test]
fn a_listener_that_stalls_loses_pages_of_its_own_and_nobody_waits_for_it() {
    const PAGES: u32 = 7_000;
    let outlets = Outlets::open(network(), "stalled").unwrap();
    let mut page = outlets.page.unwrap();
    let pins = Pins {
        source_id: Some("razvilka-page-stalled".to_owned()),
        ..Pins::default()
    };
    let stream = network().resolve(&pins, WAIT).unwrap();
    let mut stalled = LslMarkers::open(&stream, PATIENCE).unwrap();
    let mut reader = LslMarkers::open(&stream, PATIENCE).unwrap();
    // As large as pages are: more than the queue and what the kernel holds.
    let padding = "x".repeat(8_000);
    let told = |number: u32| format!("{number} {padding}");
    let number = |text: &str| -> u32 {
        let (number, _) = text.split_once(' ').unwrap();
        number.parse().unwrap()
    };
    // Both take part once the first page reaches them.
    let mut sent = 0;
    let mut both = [false; 2];
    let until = Instant::now() + PATIENCE;
    while both != [true; 2] {
        assert!(Instant::now() < until, "{both:?}");
        page.push(&told(0), clock()).unwrap();
        for (there, source) in both.iter_mut().zip([&mut stalled, &mut reader]) {
            *there |= source.pull(Duration::from_millis(50)).unwrap().is_some();
        }
    }
    let mut read = 0;
    while sent < PAGES {
        for _ in 0..500 {
            sent += 1;
            page.push(&told(sent), clock()).unwrap();
        }
        // Whoever reads has all of them.
        while read < sent {
            let (_, text) = reader.pull(PATIENCE).unwrap().unwrap();
            let got = number(&text);
            assert!(got == 0 || got == read + 1, "{got} after {read}");
            read = got;
        }
    }
    let mut of_stalled = Vec::new();
    while of_stalled.last() != Some(&PAGES) {
        let (_, text) = stalled.pull(PATIENCE).unwrap().unwrap();
        of_stalled.push(number(&text));
    }
    let lost = of_stalled.windows(2).any(|two| two[1] > two[0] + 1);
    assert!(lost, "{} pages waited for it", of_stalled.len());
}

#[test]
fn an_operators_stream_is_heard_when_it_comes_and_what_it_may_not_ask_is_counted() {
    let stop = Arc::new(AtomicBool::new(false));
    let pins = control_pins("operator-1");
    let listener = Listener::start(network(), pins, Arc::clone(&stop)).unwrap();
    let hear = || listener.heard.recv_timeout(PATIENCE).unwrap();
    let mut outlet = LslMarkerOutlet::new(network(), &control_spec("operator-1")).unwrap();
    assert!(matches!(hear(), Heard::Came { .. }));
    let mut say = |text: &str| outlet.push(text, clock()).unwrap();
    for text in [
        "{\"key\":\"select\",\"item\":1}",
        "quit",
        "[".repeat(200_000).as_str(),
    ] {
        say(text);
    }
    say(&Asked::Pause.to_json());
    let unknown = hear();
    assert!(
        matches!(&unknown, Heard::Refused(why) if why.contains("neither")),
        "{unknown:?}"
    );
    let long = hear();
    assert!(
        matches!(&long, Heard::Refused(why) if why.contains("longer")),
        "{long:?}"
    );
    assert_eq!(hear(), Heard::Asked(Asked::Pause));
    assert_eq!(listener.refused(), 3);
    assert!(!stop.load(Ordering::Relaxed));
    say(&Asked::Stop.to_json());
    assert_eq!(hear(), Heard::Asked(Asked::Stop));
    assert!(stop.load(Ordering::Relaxed));
    drop(outlet);
    assert_eq!(hear(), Heard::Gone);
    // Two of one identity: neither is heard.
    let _two =
        [0, 1].map(|_| LslMarkerOutlet::new(network(), &control_spec("operator-1")).unwrap());
    let several = hear();
    assert!(
        matches!(&several, Heard::Refused(why) if why.contains("2 streams fit")),
        "{several:?}"
    );
}
