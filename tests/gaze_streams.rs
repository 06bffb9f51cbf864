//! What eye trackers publish, over real loopback LSL: read without a word of configuration, and told of by `razvilka streams`.
//! Alone in its process, as the list has every stream of its session.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod lsl_common;

use std::process::{Command, Stdio};

use lsl_common::{PATIENCE, WAIT, named, network, pull_exactly, session};
use razvilka::config::{GazeSection, GazeUnits, Plan, ScreenSection};
use razvilka::engine::lines::{LineError, gaze_line};
use razvilka::engine::streams::measured_rate_hz;
use razvilka::source::lsl::{LslSampleOutlet, LslSamples};
use razvilka::source::{Format, SampleSink, SampleSource, StreamSpec};

/// 15 cm right of the centre and 10 cm above it, at 60 cm: atan(1/4) and -atan(1/6), by hand.
const TRUTH_DEG: [f64; 2] = [14.036_243_5, -9.462_322_2];

fn plan(section: GazeSection) -> Plan {
    Plan {
        gaze: Some(section),
        screen: ScreenSection {
            width_cm: 60.0,
            height_cm: 40.0,
            distance_cm: 60.0,
            width_px: 1200,
            height_px: 800,
        },
        ..Plan::default()
    }
}

/// A stream of channels with label, eye, type and unit, as a tracker's program describes it.
fn tracker(
    (name, kind, rate_hz): (&str, &str, f64),
    maker: &str,
    channels: &[[&str; 4]],
) -> StreamSpec {
    let listed: String = channels
        .iter()
        .map(|[label, eye, kind, unit]| {
            let eye = match *eye {
                "" => String::new(),
                eye => format!("<eye>{eye}</eye>"),
            };
            let unit = match *unit {
                "" => String::new(),
                unit => format!("<unit>{unit}</unit>"),
            };
            format!("<channel><label>{label}</label>{eye}<type>{kind}</type>{unit}</channel>")
        })
        .collect();
    StreamSpec {
        name: name.into(),
        kind: kind.into(),
        source_id: format!("{name}-1"),
        hostname: String::new(),
        uid: String::new(),
        rate_hz,
        format: Format::Float32,
        labels: channels.iter().map(|words| words[0].to_owned()).collect(),
        units: channels.iter().map(|words| words[3].to_owned()).collect(),
        xml: format!(
            "<info><desc><acquisition><manufacturer>{maker}</manufacturer></acquisition>\
             <channels>{listed}</channels></desc></info>"
        ),
    }
}

fn tobii_pro() -> StreamSpec {
    tracker(
        ("Tobii", "Eyetracker", 120.0),
        "TobiiPro",
        &[
            ["left_x", "left", "ScreenX", "screencoords"],
            ["left_y", "left", "ScreenY", "screencoords"],
            ["left_pupil", "left", "pupilsize", ""],
            ["right_x", "right", "ScreenX", "screencoords"],
            ["right_y", "right", "ScreenY", "screencoords"],
            ["right_pupil", "right", "pupilsize", ""],
        ],
    )
}

/// On a surface, not in the scene camera's picture, so that the geometry of the screen applies. It declares no rate.
fn pupil_capture() -> StreamSpec {
    tracker(
        ("pupil_capture", "Gaze", 0.0),
        "",
        &[
            ["confidence", "both", "Confidence", "normalized"],
            ["norm_pos_x", "both", "ScreenX", "normalized"],
            ["norm_pos_y", "both", "ScreenY", "normalized"],
            ["gaze_point_3d_x", "both", "DirectionX", "mm"],
            ["gaze_point_3d_y", "both", "DirectionY", "mm"],
            ["diameter0_2d", "right", "Diameter", "pixels"],
        ],
    )
}

fn eyelink() -> StreamSpec {
    let words = |label| [label, "", "eyetracking", ""];
    tracker(
        ("EyeLink", "Gaze", 500.0),
        "",
        &[
            words("leftEyeX"),
            words("leftEyeY"),
            words("rightEyeX"),
            words("rightEyeY"),
            words("leftPupilArea"),
            words("pixelsPerDegreeX"),
            words("pixelsPerDegreeY"),
        ],
    )
}

/// Sends the samples and gives back where the person looks at each, as a session would see it.
fn looks(spec: &StreamSpec, rate_hz: f64, samples: &[Vec<f32>]) -> Vec<Option<[f64; 2]>> {
    let mut outlet = LslSampleOutlet::new(network(), spec).unwrap();
    let found = network().resolve(&named(&spec.name), WAIT).unwrap();
    let mut source = LslSamples::open(&found, PATIENCE).unwrap();
    assert!(outlet.wait_for_consumers(PATIENCE));
    let stamps: Vec<f64> = (0..samples.len())
        .map(|k| 100.0 + k as f64 / rate_hz)
        .collect();
    outlet.push(&samples.concat(), &stamps).unwrap();
    let (stamps, values) = pull_exactly(&mut source, samples.len());
    let section = GazeSection {
        rate_hz: if spec.rate_hz > 0.0 { 0.0 } else { rate_hz },
        ..GazeSection::default()
    };
    let plan = plan(section.clone());
    let mut line = gaze_line(&section, &plan, None, source.spec()).unwrap();
    stamps
        .iter()
        .zip(values.chunks_exact(spec.labels.len()))
        .map(|(stamp, sample)| {
            line.sample(*stamp, sample);
            line.at_deg()
        })
        .collect()
}

fn assert_there(at: Option<[f64; 2]>, slack_deg: f64) {
    let [x, y] = at.expect("an eye is seen");
    let [truth_x, truth_y] = TRUTH_DEG;
    assert!(
        (x - truth_x).abs() < slack_deg && (y - truth_y).abs() < slack_deg,
        "{x} {y}"
    );
}

#[test]
fn tobii_gives_the_mean_of_two_eyes_and_goes_on_with_one() {
    // The eyes differ by 0.02 of the width about the truth.
    let (left, right) = ([0.74, 0.25], [0.76, 0.25]);
    let lost = [f32::NAN; 2];
    let sample =
        |left: [f32; 2], right: [f32; 2]| [left[0], left[1], 3.0, right[0], right[1], 3.1].to_vec();
    let mut samples = vec![sample(left, right); 120];
    samples.extend(vec![sample(left, lost); 60]);
    samples.extend(vec![sample(lost, right); 60]);
    samples.push(sample(lost, lost));
    let looks = looks(&tobii_pro(), 120.0, &samples);
    assert!(looks[..240].iter().all(Option::is_some));
    // atan of 0.24 and 0.26 times the width are 13.4957 and 14.5741 degrees: their mean is 0.0014 off the truth.
    for at in &looks[..240] {
        assert_there(*at, 0.01);
    }
    assert_eq!(looks[240], None);
}

#[test]
fn pupil_labs_counts_upwards_and_says_how_sure_it_is() {
    let sample = |confidence: f32| vec![confidence, 0.75, 0.75, 0.1, 0.2, 40.0];
    let looks = looks(
        &pupil_capture(),
        200.0,
        &[sample(0.9), sample(0.3), sample(0.5)],
    );
    assert_there(looks[0], 1e-4);
    assert_eq!(looks[1], None);
    assert_there(looks[2], 1e-4);
}

#[test]
fn eyelink_says_what_is_missing_in_its_own_numbers() {
    let sample = |left: [f32; 2], right: [f32; 2]| {
        [left[0], left[1], right[0], right[1], 900.0, 30.0, 31.0].to_vec()
    };
    let at = [900.0, 200.0];
    let samples = [
        sample(at, at),
        sample(at, [-32768.0; 2]),
        sample([0.0; 2], at),
        sample([-32768.0; 2], [-32768.0; 2]),
        // Beyond the picture by more than any margin.
        sample([9e4, 200.0], [9e4, 200.0]),
    ];
    let looks = looks(&eyelink(), 500.0, &samples);
    for at in &looks[..3] {
        assert_there(*at, 1e-4);
    }
    assert_eq!(looks[3..], [None, None]);
}

#[test]
fn a_stream_without_a_rate_needs_one_and_it_can_be_measured() {
    let mut spec = pupil_capture();
    spec.name = "no rate".into();
    spec.source_id = "no-rate-1".into();
    let section = GazeSection::default();
    let refused = gaze_line(&section, &plan(section.clone()), None, &spec);
    let Err(error @ LineError::NoRate { .. }) = refused else {
        panic!("taken");
    };
    assert!(error.to_string().contains("gaze.rate_hz"), "{error}");

    let mut outlet = LslSampleOutlet::new(network(), &spec).unwrap();
    let found = network().resolve(&named(&spec.name), WAIT).unwrap();
    let mut source = LslSamples::open(&found, PATIENCE).unwrap();
    assert!(outlet.wait_for_consumers(PATIENCE));
    // 100 samples whose stamps are 8 ms apart, whenever they arrive.
    for k in 0..100 {
        let stamp_s = 100.0 + f64::from(k) * 0.008;
        outlet
            .push(&[0.9, 0.5, 0.5, 0.0, 0.0, 40.0], &[stamp_s])
            .unwrap();
    }
    assert_eq!(measured_rate_hz(&mut source).unwrap(), 125.0);
    let error = measured_rate_hz(&mut source).unwrap_err().to_string();
    assert!(
        error.contains("30 to 2000 Hz") && error.contains("0 samples"),
        "{error}"
    );
}

#[test]
fn the_list_of_streams_says_how_each_would_be_read() {
    let odd = tracker(
        ("odd", "Gaze", 100.0),
        "",
        &[
            ["x", "", "", ""],
            ["y", "", "", ""],
            ["validity", "", "", ""],
        ],
    );
    let mut specs = [tobii_pro(), eyelink(), odd];
    for spec in &mut specs {
        spec.name = format!("listed {}", spec.name);
        spec.source_id = format!("listed-{}", spec.source_id);
    }
    let outlets = specs
        .each_ref()
        .map(|spec| LslSampleOutlet::new(network(), spec).unwrap());
    let listed = Command::new(env!("CARGO_BIN_EXE_razvilka"))
        .args([
            "streams",
            "--loopback",
            "--listen-s",
            "0",
            "--session-id",
            &session(),
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    drop(outlets);
    let said = String::from_utf8_lossy(&listed.stdout);
    for part in [
        "read as: left eye from 'left_x' and 'left_y', right eye from 'right_x' and 'right_y' (by the stream's own types); normalised \
         (the stream declares 'screencoords'), from the top left",
        "read as: left eye from 'leftEyeX' and 'leftEyeY', right eye from 'rightEyeX' and 'rightEyeY' (by their labels); pixels (as \
         EyeLink writes them)",
        "gaze.validity to \"one\" or \"zero\"",
        "[screen] # measure",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
}

#[test]
fn a_session_refuses_a_stream_that_is_not_clear_and_names_the_key() {
    let spec = tracker(
        ("unclear", "Gaze", 100.0),
        "",
        &[["x", "", "", ""], ["y", "", "", ""]],
    );
    let _outlet = LslSampleOutlet::new(network(), &spec).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("experiment.toml");
    let mut plan = plan(GazeSection {
        pins: named("unclear"),
        ..GazeSection::default()
    });
    plan.network.mode = razvilka::config::NetworkMode::Loopback;
    plan.network.session_id = session();
    let run = |plan: &Plan| {
        std::fs::write(&file, plan.to_toml()).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_razvilka"))
            .args(["run", "--config"])
            .arg(&file)
            .arg("--out")
            .arg(folder.path().join("session"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = run(&plan);
    assert!(
        code == Some(3) && said.contains("gaze.units to normalised, pixels"),
        "{code:?} {said}"
    );
    if let Some(gaze) = &mut plan.gaze {
        gaze.units = Some(GazeUnits::Pixels);
        gaze.x = "horizontal".into();
        gaze.y = "y".into();
    }
    let (code, said) = run(&plan);
    assert!(
        code == Some(3) && said.contains("'horizontal'"),
        "{code:?} {said}"
    );
}
