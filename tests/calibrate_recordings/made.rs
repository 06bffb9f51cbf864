//! Recordings made here, and the two commands on them.

use std::fs;
use std::path::Path;

use clap::Parser;
use razvilka::cli::exit::Failure;
use razvilka::cli::{calibrate, score};
use razvilka::recording::xdf::Writer;
use razvilka::source::{Format, StreamSpec};
use razvilka_calibration::Profile;

#[derive(Parser)]
pub(crate) struct CalibrateLine {
    #[command(flatten)]
    pub(crate) args: calibrate::Args,
}

#[derive(Parser)]
pub(crate) struct ScoreLine {
    #[command(flatten)]
    args: score::Args,
}

pub(crate) fn calibrate(line: &[&str]) -> Result<(Profile, String), Failure> {
    let typed = ["calibrate"].iter().chain(line);
    let args = CalibrateLine::try_parse_from(typed)
        .expect("the line is well formed")
        .args;
    let mut talk = Vec::new();
    let profile = calibrate::run(&args, &mut talk)?;
    Ok((profile, String::from_utf8(talk).unwrap()))
}

pub(crate) fn score(line: &[&str]) -> Result<String, Failure> {
    let typed = ["score"].iter().chain(line);
    let args = ScoreLine::try_parse_from(typed)
        .expect("the line is well formed")
        .args;
    let (mut out, mut talk) = (Vec::new(), Vec::new());
    score::run(&args, &mut out, &mut talk)?;
    Ok(String::from_utf8(out).unwrap())
}

/// Columns of a CSV with a header, as numbers.
pub(crate) fn columns(csv: &str, header: &str) -> Vec<Vec<f64>> {
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some(header));
    let rows: Vec<Vec<f64>> = lines
        .map(|l| l.split(',').map(|c| c.parse().unwrap()).collect())
        .collect();
    (0..header.split(',').count())
        .map(|c| rows.iter().map(|row| row[c]).collect())
        .collect()
}

pub(crate) const RATE_HZ: f64 = 250.0;
pub(crate) const CHANNELS: usize = 4;
pub(crate) const HEADER: &str = "onset_s,score,p_target";

pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn gauss(&mut self) -> f64 {
        let mut uniform = || {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 11) as f64 / (1_u64 << 53) as f64
        };
        (0..12).map(|_| uniform()).sum::<f64>() - 6.0
    }
}

/// What a made-up recording is like.
#[derive(Clone, Copy)]
pub(crate) struct Made {
    pub(crate) seed: u64,
    pub(crate) labels: [&'static str; CHANNELS],
    pub(crate) railed: Option<usize>,
    pub(crate) gaze: bool,
    pub(crate) flashes: usize,
}

pub(crate) const PLAIN: Made = Made {
    seed: 1,
    labels: ["Fz", "Cz", "Pz", "Oz"],
    railed: None,
    gaze: false,
    flashes: 480,
};

pub(crate) fn spec(
    name: &str,
    kind: &str,
    rate_hz: f64,
    format: Format,
    labels: &[&str],
) -> StreamSpec {
    StreamSpec {
        name: name.into(),
        kind: kind.into(),
        source_id: format!("{name}-1"),
        hostname: "here".into(),
        uid: format!("{name}-uid"),
        rate_hz,
        format,
        labels: labels.iter().map(|l| (*l).to_owned()).collect(),
        units: vec![String::new(); labels.len()],
        xml: String::new(),
    }
}

/// Onset and truth of each flash: one in six is a target, runs of 120 with a pause of 4 s.
pub(crate) fn plan(flashes: usize) -> Vec<(f64, bool, usize)> {
    let onset = |i: usize| 503.0 + 0.2 * i as f64 + 4.0 * (i / 120) as f64;
    (0..flashes)
        .map(|i| (onset(i), i % 6 == (i / 6) % 5, i / 120))
        .collect()
}

/// EEG with a DC offset, noise, and a response 0.3 s after target flashes; markers as others write them, without `seq`.
pub(crate) fn write_recording(path: &Path, made: Made) {
    let mut noise = Noise(made.seed);
    let flashes = plan(made.flashes);
    let end_s = flashes.last().map_or(510.0, |f| f.0) + 2.0;
    let samples = ((end_s - 500.0) * RATE_HZ) as usize;
    let stamps: Vec<f64> = (0..samples).map(|i| 500.0 + i as f64 / RATE_HZ).collect();
    let mut slow = [0.0; CHANNELS];
    let mut data = Vec::with_capacity(samples * CHANNELS);
    for stamp in &stamps {
        let response: f64 = flashes
            .iter()
            .filter(|(onset, target, _)| *target && (0.0..1.0).contains(&(stamp - onset)))
            .map(|(onset, ..)| 16.0 * (-0.5 * ((stamp - onset - 0.3) / 0.06).powi(2)).exp())
            .sum();
        for (channel, slow) in slow.iter_mut().enumerate() {
            *slow = 0.95 * *slow + 2.0 * noise.gauss();
            let value = 30_000.0 + *slow + response / (1.0 + channel as f64);
            data.push(if made.railed == Some(channel) {
                450_000.0
            } else {
                value as f32
            });
        }
    }
    let mut writer = Writer::create(path).unwrap();
    let eeg = writer
        .add_stream(&spec("amp", "EEG", RATE_HZ, Format::Float32, &made.labels))
        .unwrap();
    let marks = writer
        .add_stream(&spec("marks", "Markers", 0.0, Format::String, &["marker"]))
        .unwrap();
    writer.floats(eeg, &stamps, &data).unwrap();
    let texts: Vec<String> = flashes
        .iter()
        .map(|(_, target, run)| {
            format!(
                r#"{{"event": "flash", "item": -1, "target": {}, "run": {run}}}"#,
                u8::from(*target)
            )
        })
        .collect();
    let onsets: Vec<f64> = flashes.iter().map(|f| f.0).collect();
    writer.texts(marks, &onsets, &texts).unwrap();
    if made.gaze {
        write_gaze(&mut writer, marks, end_s);
    }
    writer.finish().unwrap();
}

/// Nine points to fit and two to check, 1.5 s each, seen by a tracker in shares of a screen of 40 by 30 degrees.
pub(crate) fn write_gaze(
    writer: &mut Writer<fs::File>,
    marks: razvilka::recording::xdf::StreamId,
    from_s: f64,
) {
    let tracker = writer
        .add_stream(&spec(
            "eyes",
            "Gaze",
            100.0,
            Format::Float32,
            &["x", "y", "confidence"],
        ))
        .unwrap();
    let mut noise = Noise(77);
    let fit = [-12.0, 0.0, 12.0]
        .iter()
        .flat_map(|&x| [-8.0, 0.0, 8.0].map(|y| (x, y, "fit")));
    let points: Vec<(f64, f64, &str)> = fit
        .chain([(-6.0, 4.0, "check"), (6.0, -4.0, "check")])
        .collect();
    let (mut texts, mut at, mut stamps, mut data) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (index, (x, y, phase)) in points.iter().enumerate() {
        let shown_s = from_s + 1.5 * index as f64;
        texts.push(format!(
            r#"{{"event":"gaze_point","point":{index},"x_deg":{x},"y_deg":{y},"phase":"{phase}"}}"#
        ));
        at.push(shown_s);
        for i in 0..150 {
            stamps.push(shown_s + f64::from(i) * 0.01);
            data.push(((x + 0.4 + 0.2 * noise.gauss()) / 40.0 + 0.5) as f32);
            data.push(((y - 0.3 + 0.2 * noise.gauss()) / 30.0 + 0.5) as f32);
            data.push(if i % 25 == 7 { 0.1 } else { 0.9 });
        }
    }
    texts.push(r#"{"event":"gaze_point_end","point":10}"#.into());
    at.push(from_s + 1.5 * points.len() as f64);
    writer.texts(marks, &at, &texts).unwrap();
    writer.floats(tracker, &stamps, &data).unwrap();
}

pub(crate) struct Folder(pub(crate) tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn recording(&self, name: &str, made: Made) -> String {
        let path = self.0.path().join(name);
        write_recording(&path, made);
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}
