use super::*;
use crate::config::{PupilSection, Validity};
use crate::source::Format;

/// One channel of a description: label, eye, type, unit, coordinate system; `tag` is `type` or `metatype`.
fn channel(tag: &str, [label, eye, kind, unit, system]: [&str; 5]) -> String {
    let element = |name: &str, text: &str| match text {
        "" => String::new(),
        text => format!("<{name}>{text}</{name}>"),
    };
    format!(
        "<channel>{}{}{}{}{}</channel>",
        element("label", label),
        element("eye", eye),
        element(tag, kind),
        element("unit", unit),
        element("coordinate_system", system)
    )
}

fn stream(name: &str, kind: &str, more: &str, tag: &str, channels: &[[&str; 5]]) -> StreamSpec {
    let listed: String = channels.iter().map(|words| channel(tag, *words)).collect();
    StreamSpec {
        name: name.into(),
        kind: kind.into(),
        source_id: String::new(),
        hostname: String::new(),
        uid: String::new(),
        rate_hz: 100.0,
        format: Format::Float32,
        labels: channels.iter().map(|words| words[0].to_owned()).collect(),
        units: channels.iter().map(|words| words[3].to_owned()).collect(),
        xml: format!("<info><desc>{more}<channels>{listed}</channels></desc></info>"),
    }
}

/// 60 by 40 cm, 1200 by 800 pixels, at 60 cm.
fn screen() -> ScreenSection {
    ScreenSection {
        width_cm: 60.0,
        height_cm: 40.0,
        distance_cm: 60.0,
        width_px: 1200,
        height_px: 800,
    }
}

fn chosen(section: &GazeSection, spec: &StreamSpec) -> Chosen {
    choose(section, &screen(), spec).unwrap_or_else(|error| panic!("{error}"))
}

fn auto(spec: &StreamSpec) -> Chosen {
    chosen(&GazeSection::default(), spec)
}

fn refused(section: &GazeSection, spec: &StreamSpec) -> String {
    choose(section, &screen(), spec).unwrap_err().to_string()
}

/// 15 cm right of the centre and 10 cm above it, at 60 cm: atan(1/4) and -atan(1/6).
const TRUTH_DEG: (f64, f64) = (14.036_243_467_926_479, -9.462_322_208_025_617);

/// Where each eye looks, degrees.
fn places(chosen: &Chosen, sample: &[f32]) -> [Option<(f64, f64)>; 2] {
    let raw = chosen.reading.raw(sample);
    raw.eyes
        .map(|eye| eye.map(|(x, y)| chosen.reading.degrees(x, y)))
}

fn assert_truth(place: Option<(f64, f64)>) {
    let (x, y) = place.expect("the eye is seen");
    // Samples travel as 32-bit floats.
    assert!(
        (x - TRUTH_DEG.0).abs() < 1e-4 && (y - TRUTH_DEG.1).abs() < 1e-4,
        "{x} {y}"
    );
}

fn tobii_pro() -> StreamSpec {
    let maker = "<acquisition><manufacturer>TobiiPro</manufacturer></acquisition>";
    stream(
        "Tobii",
        "Eyetracker",
        maker,
        "type",
        &[
            ["left_x", "left", "ScreenX", "screencoords", ""],
            ["left_y", "left", "ScreenY", "screencoords", ""],
            ["left_pupil", "left", "pupilsize", "", ""],
            ["right_x", "right", "ScreenX", "screencoords", ""],
            ["right_y", "right", "ScreenY", "screencoords", ""],
            ["right_pupil", "right", "pupilsize", "", ""],
        ],
    )
}

#[test]
fn the_tobii_pro_connector_is_read_by_both_eyes() {
    let chosen = auto(&tobii_pro());
    let [left, right] = places(&chosen, &[0.75, 0.25, 3.0, 0.75, 0.25, 3.1]);
    assert_truth(left);
    assert_truth(right);
    let [left, right] = places(&chosen, &[f32::NAN, f32::NAN, 3.0, 0.75, 0.25, 3.1]);
    assert_eq!(left, None);
    assert_truth(right);
    let words = &chosen.words;
    assert!(
        words.contains("left eye from 'left_x' and 'left_y'")
            && words.contains("right eye from 'right_x' and 'right_y'")
            && words.contains("by the stream's own types")
            && words.contains("screencoords"),
        "{words}"
    );
}

#[test]
fn titta_is_read_by_the_flag_of_the_gaze_point() {
    let mut channels = Vec::new();
    let labels: Vec<[String; 2]> = ["left", "right"]
        .into_iter()
        .map(|eye| {
            [
                format!("x.position_on_display_area.gaze_point.{eye}_eye"),
                eye.to_owned(),
            ]
        })
        .collect();
    let all: Vec<Vec<[String; 5]>> = labels
        .iter()
        .map(|[_, eye]| {
            let of = |label: &str, kind: &str, unit: &str| {
                [
                    format!("{label}.{eye}_eye"),
                    eye.clone(),
                    kind.to_owned(),
                    unit.to_owned(),
                    String::new(),
                ]
            };
            vec![
                of(
                    "x.position_on_display_area.gaze_point",
                    "ScreenX",
                    "normalized",
                ),
                of(
                    "y.position_on_display_area.gaze_point",
                    "ScreenY",
                    "normalized",
                ),
                of(
                    "x.position_in_user_coordinates.gaze_point",
                    "IntersectionX",
                    "mm",
                ),
                of("valid.gaze_point", "ValidFlag", "bool"),
                of("available.gaze_point", "AvailableFlag", "bool"),
                of("diameter.pupil", "Diameter", "mm"),
                of("valid.pupil", "ValidFlag", "bool"),
                of("valid.gaze_origin", "ValidFlag", "bool"),
                of("valid.eye_openness", "ValidFlag", "bool"),
            ]
        })
        .collect();
    for words in all.iter().flatten() {
        channels.push([
            words[0].as_str(),
            words[1].as_str(),
            words[2].as_str(),
            words[3].as_str(),
            words[4].as_str(),
        ]);
    }
    let maker = "<acquisition><manufacturer>Tobii</manufacturer></acquisition>";
    let chosen = auto(&stream("Tobii_gaze", "Gaze", maker, "type", &channels));
    // Per eye: x, y, a place in millimetres, valid, available, diameter, and flags of other things.
    let left = [0.75, 0.25, 9.0, 1.0, 1.0, 3.0, 0.0, 0.0, 0.0];
    let right = [0.75, 0.25, 9.0, 0.0, 1.0, 3.0, 1.0, 1.0, 1.0];
    let sample: Vec<f32> = left.into_iter().chain(right).collect();
    let [left, right] = places(&chosen, &sample);
    assert_truth(left);
    assert_eq!(right, None);
}

#[test]
fn the_tobii_connector_of_before_is_read_by_its_validity_code() {
    let maker = "<acquisition><manufacturer>Tobii</manufacturer></acquisition>";
    let spec = stream(
        "Tobii",
        "Gaze",
        maker,
        "type",
        &[
            ["Screen_X_left", "left", "ScreenX", "", ""],
            ["Screen_Y_left", "left", "ScreenY", "", ""],
            ["Pupil_X_left", "left", "PupilX", "", ""],
            ["Confidence_left", "left", "Confidence", "", ""],
            ["Screen_X_right", "right", "ScreenX", "", ""],
            ["Screen_Y_right", "right", "ScreenY", "", ""],
            ["Pupil_X_right", "right", "PupilX", "", ""],
            ["Confidence_right", "right", "Confidence", "", ""],
        ],
    );
    let chosen = auto(&spec);
    let [left, right] = places(&chosen, &[0.75, 0.25, 0.5, 0.0, -1.0, -1.0, 0.5, 4.0]);
    assert_truth(left);
    assert_eq!(right, None);
    assert!(chosen.words.contains("validity code"), "{}", chosen.words);
}

fn pupil_capture() -> StreamSpec {
    stream(
        "pupil_capture",
        "Gaze",
        "",
        "type",
        &[
            ["confidence", "both", "Confidence", "normalized", ""],
            ["norm_pos_x", "both", "ScreenX", "normalized", "world"],
            ["norm_pos_y", "both", "ScreenY", "normalized", "world"],
            ["gaze_point_3d_x", "both", "DirectionX", "mm", "world"],
            ["gaze_point_3d_y", "both", "DirectionY", "mm", "world"],
            ["gaze_normal0_x", "right", "PositionX", "mm", "world"],
            ["gaze_normal1_x", "left", "PositionX", "mm", "world"],
            ["diameter0_2d", "right", "Diameter", "pixels", "eye0"],
        ],
    )
}

#[test]
fn pupil_capture_counts_from_the_bottom_left_of_its_scene_camera() {
    let chosen = auto(&pupil_capture());
    let [both, none] = places(&chosen, &[0.9, 0.75, 0.75, 1.0, 1.0, 0.0, 0.0, 40.0]);
    assert_truth(both);
    assert_eq!(none, None);
    assert_eq!(
        places(&chosen, &[0.4, 0.75, 0.75, 1.0, 1.0, 0.0, 0.0, 40.0]),
        [None, None]
    );
    assert!(chosen.reading.in_scene);
    assert!(
        chosen.remarks[0].contains("scene camera"),
        "{:?}",
        chosen.remarks
    );
}

#[test]
fn companion_devices_say_metatype_and_pixels_of_their_scene_camera() {
    for tag in ["type", "metatype"] {
        let spec = stream(
            "neon",
            "Gaze",
            "",
            tag,
            &[
                ["x", "both", "ScreenX", "pixels", "world"],
                ["y", "both", "ScreenY", "pixels", "world"],
            ],
        );
        let chosen = auto(&spec);
        assert_truth(places(&chosen, &[900.0, 200.0])[0]);
        assert!(
            chosen.reading.in_scene && chosen.words.contains("own types"),
            "{}",
            chosen.words
        );
    }
}

fn eyelink() -> StreamSpec {
    let labels = [
        "leftEyeX",
        "leftEyeY",
        "rightEyeX",
        "rightEyeY",
        "leftPupilArea",
        "rightPupilArea",
        "pixelsPerDegreeX",
        "pixelsPerDegreeY",
        "eyelink_timestamp",
        "LSL_timestamp",
    ];
    let channels: Vec<[&str; 5]> = labels
        .into_iter()
        .map(|label| [label, "", "eyetracking", "", ""])
        .collect();
    stream("EyeLink", "Gaze", "", "type", &channels)
}

#[test]
fn eyelink_is_read_by_its_labels_and_its_values_for_nothing_seen() {
    let chosen = auto(&eyelink());
    let sample = |left: (f32, f32), right: (f32, f32)| {
        [
            left.0, left.1, right.0, right.1, 900.0, 880.0, 30.0, 31.0, 1.0, 2.0,
        ]
    };
    let [left, right] = places(&chosen, &sample((900.0, 200.0), (900.0, 200.0)));
    assert_truth(left);
    assert_truth(right);
    for lost in [(-32768.0, -32768.0), (0.0, 0.0), (1e8, 1e8)] {
        let [left, right] = places(&chosen, &sample((900.0, 200.0), lost));
        assert_truth(left);
        assert_eq!(right, None, "{lost:?}");
    }
    assert!(chosen.words.contains("by their labels"), "{}", chosen.words);
    assert!(
        chosen.words.contains("pixels (as EyeLink writes them)"),
        "{}",
        chosen.words
    );
}

#[test]
fn one_eye_may_be_chosen_and_labels_go_before_the_description() {
    let section = GazeSection {
        eyes: WhichEyes::Right,
        ..GazeSection::default()
    };
    let chosen_right = chosen(&section, &tobii_pro());
    let sample = [0.1, 0.1, 3.0, 0.75, 0.25, 3.1];
    let [left, right] = places(&chosen_right, &sample);
    assert_eq!(left, None);
    assert_truth(right);

    let named = GazeSection {
        x: "right_x".into(),
        y: "right_y".into(),
        ..GazeSection::default()
    };
    let [combined, none] = places(&chosen(&named, &tobii_pro()), &sample);
    assert_truth(combined);
    assert_eq!(none, None);

    let both = GazeSection {
        x: "right_x".into(),
        y: "right_y".into(),
        x_right: Some("left_x".into()),
        y_right: Some("left_y".into()),
        ..GazeSection::default()
    };
    let [first, second] = places(&chosen(&both, &tobii_pro()), &sample);
    assert_truth(first);
    assert!(second.is_some());
    let words = refused(&section, &pupil_capture());
    assert!(
        words.contains("right eye") && words.contains("gaze.eyes"),
        "{words}"
    );
}

#[test]
fn a_stream_that_is_not_clear_is_refused_with_what_could_be_meant_and_the_key() {
    let auto = GazeSection::default();
    let twice = stream(
        "odd",
        "Gaze",
        "",
        "type",
        &[
            ["screen x", "both", "ScreenX", "pixels", ""],
            ["screen y", "both", "ScreenY", "pixels", ""],
            ["smooth x", "both", "ScreenX", "pixels", ""],
            ["smooth y", "both", "ScreenY", "pixels", ""],
        ],
    );
    let words = refused(&auto, &twice);
    for part in [
        "'screen x' with 'screen y'",
        "'smooth x'",
        "Set gaze.x and gaze.y",
    ] {
        assert!(words.contains(part), "{words}");
    }

    let no_unit = stream(
        "odd",
        "Gaze",
        "",
        "type",
        &[["x", "", "", "", ""], ["y", "", "", "", ""]],
    );
    assert!(refused(&auto, &no_unit).contains("Set gaze.units"));
    let section = GazeSection {
        units: Some(GazeUnits::Normalised),
        ..GazeSection::default()
    };
    assert_truth(places(&chosen(&section, &no_unit), &[0.75, 0.25])[0]);

    let code = stream(
        "odd",
        "Gaze",
        "",
        "type",
        &[
            ["x", "", "", "px", ""],
            ["y", "", "", "px", ""],
            ["validity", "", "", "", ""],
        ],
    );
    assert!(refused(&auto, &code).contains("gaze.validity"));
    for (validity, good) in [(Validity::One, 1.0), (Validity::Zero, 0.0)] {
        let section = GazeSection {
            validity: Some(validity),
            ..GazeSection::default()
        };
        let chosen = chosen(&section, &code);
        assert_truth(places(&chosen, &[900.0, 200.0, good])[0]);
        let bad = if good == 0.0 { 4.0 } else { 0.0 };
        assert_eq!(places(&chosen, &[900.0, 200.0, bad])[0], None);
    }

    let nothing = stream(
        "odd",
        "Gaze",
        "",
        "type",
        &[["", "", "", "", ""], ["", "", "", "", ""]],
    );
    assert!(refused(&auto, &nothing).contains("no channel looks like a position"));
    let half = GazeSection {
        x: "x".into(),
        ..GazeSection::default()
    };
    assert!(refused(&half, &no_unit).contains("only one of gaze.x and gaze.y"));
}

#[test]
fn a_picture_of_another_size_is_refused_for_pixels_and_told_for_shares() {
    let display = "<display><resolution><X>1920</X><Y>1080</Y></resolution></display>";
    let with = |unit: &str| {
        stream(
            "eyes",
            "Gaze",
            display,
            "type",
            &[
                ["x", "both", "ScreenX", unit, ""],
                ["y", "both", "ScreenY", unit, ""],
            ],
        )
    };
    let words = refused(&GazeSection::default(), &with("pixels"));
    for part in ["screen.width_px", "1200 x 800", "1920 x 1080"] {
        assert!(words.contains(part), "{words}");
    }
    assert!(auto(&with("normalized")).remarks[0].contains("1920 x 1080"));
}

fn read(declared: &[&str], units: GazeUnits) -> Result<Chosen, SourceError> {
    let spec = StreamSpec {
        name: "eyes".into(),
        kind: "Gaze".into(),
        source_id: String::new(),
        hostname: String::new(),
        uid: String::new(),
        rate_hz: 100.0,
        format: Format::Float32,
        labels: ["x", "y", "confidence"].map(str::to_owned).to_vec(),
        units: declared.iter().map(|unit| (*unit).to_owned()).collect(),
        xml: String::new(),
    };
    let section = GazeSection {
        x: "x".into(),
        y: "y".into(),
        units: Some(units),
        ..GazeSection::default()
    };
    choose(&section, &screen(), &spec)
}

#[test]
fn a_gaze_stream_that_declares_another_unit_than_the_file_is_refused() {
    for (declared, units) in [
        (["pixels", "pixels", ""], GazeUnits::Normalised),
        (
            ["normalized", "normalized", "normalized"],
            GazeUnits::Pixels,
        ),
        (["deg", "deg", ""], GazeUnits::Normalised),
        (["mm", "mm", ""], GazeUnits::Normalised),
        // One axis is enough.
        (["px", "normalised", ""], GazeUnits::Pixels),
    ] {
        let error = read(&declared, units).unwrap_err();
        assert!(matches!(error, SourceError::Mismatch { .. }), "{error}");
        let said = error.to_string();
        assert!(
            said.contains("gaze.units") && said.contains(units.word()),
            "{said}"
        );
    }
}

#[test]
fn a_gaze_stream_whose_unit_fits_is_absent_or_is_not_known_is_taken() {
    for declared in [
        &["Normalized", " normalised ", "percent"][..],
        &["", "", ""],
        &["lines", "lines", ""],
        &[],
    ] {
        assert!(
            read(declared, GazeUnits::Normalised).is_ok(),
            "{declared:?}"
        );
    }
    assert!(read(&["px", "pixel", "pixels"], GazeUnits::Pixels).is_ok());
}

fn pupil(section: &PupilSection, spec: &StreamSpec) -> [Option<usize>; 2] {
    let reading = choose_pupil(section, spec).unwrap_or_else(|error| panic!("{error}"));
    reading.eyes.map(|eye| eye.map(|eye| eye.channel))
}

#[test]
fn the_size_of_each_pupil_is_found_as_trackers_publish_it() {
    let any = PupilSection::default();
    assert_eq!(pupil(&any, &tobii_pro()), [Some(2), Some(5)]);
    // TittaLSL: a flag beside each size, and one beside the position that is not its own.
    let of = |eye: &'static str| -> Vec<[String; 5]> {
        let say = |label: String, kind: &str| {
            let words = [label.as_str(), eye, kind, "mm", ""];
            words.map(str::to_owned)
        };
        vec![
            say(
                format!("x.position_on_display_area.gaze_point.{eye}_eye"),
                "ScreenX",
            ),
            say(
                format!("y.position_on_display_area.gaze_point.{eye}_eye"),
                "ScreenY",
            ),
            say(format!("valid.gaze_point.{eye}_eye"), "ValidFlag"),
            say(format!("diameter.pupil.{eye}_eye"), "Diameter"),
            say(format!("valid.pupil.{eye}_eye"), "ValidFlag"),
            say(format!("available.pupil.{eye}_eye"), "AvailableFlag"),
            say(
                format!("x.position_in_user_coordinates.gaze_origin.{eye}_eye"),
                "PupilX",
            ),
            say(format!("diameter.eye_openness.{eye}_eye"), "EyeLidDistance"),
        ]
    };
    let all: Vec<[String; 5]> = [of("left"), of("right")].concat();
    let words: Vec<[&str; 5]> = all
        .iter()
        .map(|[a, b, c, d, e]| [a, b, c, d, e].map(String::as_str))
        .collect();
    let titta = stream("Titta", "Gaze", "", "type", &words);
    assert_eq!(pupil(&any, &titta), [Some(3), Some(11)]);
    let reading = choose_pupil(&any, &titta).unwrap();
    let mut sample = [0.0_f32; 16];
    (sample[3], sample[4], sample[11]) = (3.5, 1.0, 3.6);
    assert_eq!(reading.sizes(&sample), [Some(3.5), None]);
    // Pupil Capture: in pixels and in millimetres; eye 0 is the right one.
    let capture = [
        ["confidence", "both", "Confidence", "normalized", ""],
        ["norm_pos_x", "both", "ScreenX", "normalized", "world"],
        ["norm_pos_y", "both", "ScreenY", "normalized", "world"],
        ["diameter0_2d", "right", "Diameter", "pixels", "eye0"],
        ["diameter1_2d", "left", "Diameter", "pixels", "eye1"],
        ["diameter0_3d", "right", "Diameter", "mm", "eye0"],
        ["diameter1_3d", "left", "Diameter", "mm", "eye1"],
    ];
    let capture = stream("pupil_capture", "Gaze", "", "type", &capture);
    assert_eq!(pupil(&any, &capture), [Some(6), Some(5)]);
    // EyeLink: by labels alone; an area of 0 is an eye that is not tracked.
    let labels = [
        "leftEyeX",
        "leftEyeY",
        "rightEyeX",
        "rightEyeY",
        "leftPupilArea",
        "rightPupilArea",
        "pixelsPerDegreeX",
        "pixelsPerDegreeY",
    ];
    let words = labels.map(|label| [label, "", "eyetracking", "", ""]);
    let eyelink = stream("EyeLink", "Gaze", "", "type", &words);
    assert_eq!(pupil(&any, &eyelink), [Some(4), Some(5)]);
    let reading = choose_pupil(&any, &eyelink).unwrap();
    let sizes = reading.sizes(&[0.0, 0.0, 9.0, 9.0, 0.0, 1234.0, 30.0, 30.0]);
    assert_eq!(sizes, [None, Some(1234.0)]);
    // By the experiment file, whatever the stream says.
    let named = PupilSection {
        channel: Some("diameter0_2d".into()),
        ..PupilSection::default()
    };
    assert_eq!(pupil(&named, &capture), [Some(3), None]);
}

#[test]
fn a_pupil_that_is_not_there_or_could_be_two_is_refused_with_the_key_that_settles_it() {
    let refused = |section: &PupilSection, channels: &[[&str; 5]]| {
        let spec = stream("Any", "Gaze", "", "type", channels);
        choose_pupil(section, &spec).unwrap_err().to_string()
    };
    let any = PupilSection::default();
    let place = ["x", "", "ScreenX", "normalized", ""];
    let none = refused(&any, &[place, ["Pupil_X_left", "left", "PupilX", "", ""]]);
    assert!(none.contains("pupil.channel"), "{none}");
    let two = [
        ["pupil_a", "left", "Diameter", "mm", ""],
        ["pupil_b", "left", "Diameter", "mm", ""],
    ];
    let two = refused(&any, &two);
    assert!(
        two.contains("'pupil_a', 'pupil_b'") && two.contains("pupil.channel"),
        "{two}"
    );
    let wrong = PupilSection {
        channel: Some("nowhere".into()),
        ..PupilSection::default()
    };
    let wrong = refused(&wrong, &[place]);
    assert!(wrong.contains("nowhere"), "{wrong}");
    let half = PupilSection {
        channel_right: Some("x".into()),
        ..PupilSection::default()
    };
    assert!(refused(&half, &[place]).contains("pupil.channel_right"));
}
