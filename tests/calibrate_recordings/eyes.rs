//! Recordings of gaze alone: two eyes, a target that moves, a tracker that is calibrated by itself.

use std::path::Path;

use razvilka::cli::exit::Exit;
use razvilka::recording::xdf::Writer;
use razvilka::source::Format;
use razvilka_calibration::{HeldOut, PursuitPath};

use super::made::*;

/// Where each eye's tracker says that it looks: shares of a screen of 40 by 30 degrees, each eye beside the other.
fn seen(eye: usize, (x, y): (f64, f64), noise: &mut Noise) -> [f32; 2] {
    let aside = [0.9, -0.6][eye];
    [
        ((x + aside + 0.2 * noise.gauss()) / 40.0 + 0.5) as f32,
        ((y - 0.3 + 0.2 * noise.gauss()) / 30.0 + 0.5) as f32,
    ]
}

/// Both eyes at points and, if asked for, behind a target that moves before them; 100 samples per second.
fn write(path: &Path, pursuit: bool) {
    let mut writer = Writer::create(path).unwrap();
    let marks = writer
        .add_stream(&spec("marks", "Markers", 0.0, Format::String, &["event"]))
        .unwrap();
    let labels = ["lx", "ly", "rx", "ry"];
    let tracker = writer
        .add_stream(&spec("eyes", "Gaze", 100.0, Format::Float32, &labels))
        .unwrap();
    let mut noise = Noise(5);
    let (mut texts, mut at, mut stamps, mut data) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut look = |t_s: f64, place: (f64, f64)| {
        stamps.push(t_s);
        for eye in 0..2 {
            data.extend(seen(eye, place, &mut noise));
        }
    };
    let mut from_s = 10.0;
    if pursuit {
        let path = PursuitPath::at_speed((15.0, 9.0), 9.0);
        let PursuitPath {
            half_w_deg,
            half_h_deg,
            period_s,
        } = path;
        texts.push(format!(
            r#"{{"event":"gaze_pursuit","half_w_deg":{half_w_deg},"half_h_deg":{half_h_deg},"period_s":{period_s}}}"#
        ));
        at.push(from_s);
        for i in 0..(100.0 * period_s) as u32 {
            let t_s = 0.01 * f64::from(i);
            look(from_s + t_s, path.at(t_s - 0.1));
        }
        from_s += period_s;
        texts.push(r#"{"event":"gaze_pursuit_end"}"#.into());
        at.push(from_s);
    }
    let fit = [-12.0, 0.0, 12.0]
        .iter()
        .flat_map(|&x| [-8.0, 0.0, 8.0].map(|y| (x, y, "fit")));
    let checks = [(-6.0, 4.0, "check"), (6.0, -4.0, "check")];
    let points = fit.filter(|_| !pursuit).chain(checks);
    for (x, y, phase) in points {
        from_s += 0.1;
        texts.push(format!(
            r#"{{"event":"gaze_point","x_deg":{x},"y_deg":{y},"phase":"{phase}"}}"#
        ));
        at.push(from_s);
        for i in 0..150 {
            look(from_s + 0.01 * f64::from(i), (x, y));
        }
        from_s += 1.5;
        texts.push(r#"{"event":"gaze_point_end"}"#.into());
        at.push(from_s);
    }
    writer.texts(marks, &at, &texts).unwrap();
    writer.floats(tracker, &stamps, &data).unwrap();
    writer.finish().unwrap();
}

fn recording(folder: &Folder, pursuit: bool) -> String {
    let path = folder.path("eyes.xdf");
    write(Path::new(&path), pursuit);
    path
}

#[test]
fn two_eyes_of_a_recording_get_a_map_each() {
    let folder = Folder::new();
    let file = recording(&folder, false);
    let out = folder.path("out");
    let eyes = ["--gaze-x", "lx", "--gaze-y", "ly", "--gaze-right", "rx,ry"];
    let line = [&["--xdf", &file, "--out", &out], &eyes[..]].concat();
    let (profile, talk) = calibrate(&line).unwrap();
    let gaze = profile.gaze.unwrap();
    let maps = gaze.maps().unwrap();
    for (eye, map) in [maps.left.unwrap(), maps.right.unwrap()]
        .into_iter()
        .enumerate()
    {
        let aside = [0.9, -0.6][eye];
        let (x, y) = map.apply((3.0 + aside) / 40.0 + 0.5, (2.0 - 0.3) / 30.0 + 0.5);
        assert!((x - 3.0).hypot(y - 2.0) < 0.15, "{eye}: {x} {y}");
    }
    assert!(talk.contains("gaze, left eye alone: good"), "{talk}");
    assert!(talk.contains("of 100 declared"), "{talk}");
    let page = std::fs::read_to_string(Path::new(&out).join("report.html")).unwrap();
    assert!(page.contains("Each eye alone"));
}

#[test]
fn a_recording_of_a_moving_target_is_fitted_and_judged_on_points() {
    let folder = Folder::new();
    let file = recording(&folder, true);
    let out = folder.path("out");
    let left = ["--gaze-x", "lx", "--gaze-y", "ly"];
    let line = [&["--xdf", &file, "--out", &out], &left[..]].concat();
    let (profile, talk) = calibrate(&line).unwrap();
    let gaze = profile.gaze.unwrap();
    assert_eq!(gaze.quality.held_out, HeldOut::EveryPoint);
    assert!((gaze.pursuit.unwrap().lag_s - 0.1).abs() < 0.012, "{talk}");
    assert!(gaze.quality.accuracy_deg < 0.2, "{:?}", gaze.quality);
    assert!(talk.contains("followed the moving target 1"), "{talk}");
}

#[test]
fn a_tracker_that_is_calibrated_by_itself_is_measured_by_the_size_of_its_screen() {
    let folder = Folder::new();
    let file = recording(&folder, false);
    let out = folder.path("out");
    let left = ["--gaze-x", "lx", "--gaze-y", "ly", "--gaze-units", "norm"];
    let line = [
        &["--xdf", &file, "--out", &out, "--gaze-calibrated"],
        &left[..],
    ]
    .concat();
    let refused = calibrate(&line).unwrap_err();
    assert_eq!(refused.exit, Exit::Usage);
    assert!(refused.message.contains("--screen"), "{}", refused.message);
    // 40 by 30 degrees, flat: half a width of tan(20) at 100 cm. The left eye is 0.9 degrees to the right.
    let line = [&line[..], &["--screen", "72.8,53.6,100"]].concat();
    let (profile, talk) = calibrate(&line).unwrap();
    let gaze = profile.gaze.unwrap();
    assert!(gaze.calibrated && gaze.maps().is_none());
    assert!((gaze.quality.accuracy_deg - 1.0).abs() < 0.4, "{talk}");
    assert!(talk.contains("by the tracker's own calibration"), "{talk}");
}
