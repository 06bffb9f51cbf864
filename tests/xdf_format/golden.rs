//! What we read is what pyxdf reads.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use razvilka::recording::{RecordedStream, Recording, Samples, loaded::Remark};
use serde::Deserialize;

/// What `fixtures/golden/xdf/pyxdf_dump.py` prints.
#[derive(Deserialize)]
pub(crate) struct Dump {
    pub(crate) files: BTreeMap<String, Vec<Stream>>,
}

#[derive(Deserialize)]
pub(crate) struct Stream {
    id: u32,
    pub(crate) name: String,
    channels: usize,
    rate_hz: f64,
    raw_stamps: Vec<Option<f64>>,
    stamps: Vec<Option<f64>>,
    pub(crate) values: Vec<serde_json::Value>,
    clock_times: Vec<Option<f64>>,
    clock_values: Vec<Option<f64>>,
    footer_samples: Option<String>,
}

pub(crate) fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden/xdf")
}

fn shared_files() -> Vec<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let mut files: Vec<PathBuf> = ["xdf", "p300", "lsl_timing"]
        .iter()
        .filter_map(|folder| std::fs::read_dir(data.join(folder)).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "xdf"))
        .collect();
    files.sort();
    if files.is_empty() {
        println!("skipped: ../shared/data is not here");
    }
    files
}

/// What pyxdf reads from these files; `None` (and a word about it) without a Python that has pyxdf.
pub(crate) fn ask_pyxdf<P: AsRef<Path>>(files: &[P]) -> Option<Dump> {
    let Some(python) = std::env::var_os("RAZVILKA_PYTHON") else {
        println!("skipped: RAZVILKA_PYTHON does not name a Python with pyxdf");
        return None;
    };
    let mut command = Command::new(python);
    command
        .arg(golden_folder().join("pyxdf_dump.py"))
        .args(files.iter().map(AsRef::as_ref));
    let output = command
        .output()
        .expect("RAZVILKA_PYTHON must name a program");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(serde_json::from_slice(&output.stdout).expect("pyxdf_dump.py prints JSON"))
}

/// Stamps within a microsecond, values exactly; what JSON cannot hold came as null.
pub(crate) fn assert_agrees(file: &str, recording: &Recording, expected: &[Stream]) {
    assert_eq!(recording.streams.len(), expected.len(), "{file}: streams");
    for (ours, theirs) in recording.streams.iter().zip(expected) {
        let stream = format!("{file}, stream '{}'", theirs.name);
        assert_eq!(
            (ours.id.0, &ours.spec.name),
            (theirs.id, &theirs.name),
            "{stream}"
        );
        assert_eq!(
            (ours.channels(), ours.spec.rate_hz),
            (theirs.channels, theirs.rate_hz),
            "{stream}"
        );
        assert_stamps(
            &format!("{stream}, raw stamps"),
            &ours.raw_stamps,
            &theirs.raw_stamps,
            0.0,
        );
        assert_stamps(
            &format!("{stream}, stamps"),
            &ours.stamps,
            &theirs.stamps,
            1e-6,
        );
        let (times, values): (Vec<_>, Vec<_>) = ours
            .clock
            .iter()
            .map(|c| (c.measurement.source_s, c.measurement.offset_s))
            .unzip();
        assert_stamps(
            &format!("{stream}, clock times"),
            &times,
            &theirs.clock_times,
            0.0,
        );
        assert_stamps(
            &format!("{stream}, clock offsets"),
            &values,
            &theirs.clock_values,
            0.0,
        );
        if let Some(footer) = &ours.footer {
            assert_eq!(
                footer.sample_count.map(|n| n.to_string()),
                theirs.footer_samples,
                "{stream}"
            );
        }
        assert_values(&stream, ours, &theirs.values);
    }
}

fn assert_stamps(what: &str, ours: &[f64], theirs: &[Option<f64>], tolerance: f64) {
    assert_eq!(ours.len(), theirs.len(), "{what}: how many");
    for (at, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        let agrees = match theirs {
            Some(theirs) => (ours - theirs).abs() <= tolerance,
            None => !ours.is_finite(),
        };
        assert!(agrees, "{what}, number {at}: {ours} instead of {theirs:?}");
    }
}

fn assert_values(what: &str, ours: &RecordedStream, theirs: &[serde_json::Value]) {
    match &ours.samples {
        Samples::Numeric(numbers) => {
            assert_eq!(numbers.len(), theirs.len(), "{what}: values");
            for (ours, theirs) in numbers.iter().zip(theirs) {
                assert!(
                    theirs
                        .as_f64()
                        .map_or(!ours.is_finite(), |theirs| theirs == *ours),
                    "{what}: {ours} {theirs}"
                );
            }
        }
        Samples::Text(texts) => {
            let theirs: Vec<_> = theirs
                .iter()
                .map(|text| text.as_str().expect("text"))
                .collect();
            assert_eq!(texts, &theirs, "{what}");
        }
    }
}

fn golden() -> Dump {
    let text = std::fs::read_to_string(golden_folder().join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_golden_files_read_as_pyxdf_reads_them() {
    let golden = golden();
    assert_eq!(golden.files.len(), 4);
    for (file, expected) in &golden.files {
        assert_agrees(
            file,
            &Recording::open(&golden_folder().join(file)).unwrap(),
            expected,
        );
    }
}

#[test]
fn recover_mode_reads_sound_files_no_differently() {
    for file in golden().files.keys() {
        let path = golden_folder().join(file);
        assert_eq!(
            Recording::recover(&path).unwrap(),
            Recording::open(&path).unwrap(),
            "{file}"
        );
    }
}

#[test]
fn a_garbage_tail_is_left_out_and_remarked_but_a_late_sample_is_kept() {
    let recording = Recording::open(&golden_folder().join("tail.xdf")).unwrap();
    assert_eq!(
        recording.remarks,
        [
            Remark::CorruptTail {
                stream: "garbage tail".into(),
                samples: 1
            },
            Remark::FooterDisagrees {
                stream: "late sample".into(),
                footer: 100,
                found: 101
            },
        ]
    );
}

#[test]
fn channel_labels_and_units_are_read() {
    let recording = Recording::open(&golden_folder().join("formats.xdf")).unwrap();
    let spec = &recording.streams[0].spec;
    assert_eq!(spec.labels, ["к0", "к1", "к2"]);
    assert_eq!(spec.units, ["µV", "µV", "µV"]);
    assert_eq!(
        (
            spec.source_id.as_str(),
            spec.uid.as_str(),
            spec.hostname.as_str()
        ),
        ("s1", "u1", "lab")
    );
}

#[test]
fn the_official_example_and_real_recordings_open_strictly() {
    for path in shared_files() {
        let recording = Recording::open(&path).unwrap();
        assert!(
            recording.damage.is_empty() && !recording.streams.is_empty(),
            "{}",
            path.display()
        );
        let counted = recording.streams.iter().filter(|stream| {
            stream
                .footer
                .as_ref()
                .is_some_and(|f| f.sample_count == Some(stream.len() as u64))
        });
        match path.file_name().and_then(|name| name.to_str()) {
            Some("minimal.xdf") => {
                let stream = &recording.streams[0];
                assert_eq!(stream.len(), 9);
                assert_eq!(stream.numbers(0), Some(&[192.0, 255.0, 238.0][..]));
                assert_eq!(
                    recording.streams[1].texts(1),
                    Some(&["Hello".to_owned()][..])
                );
            }
            Some("clock_resets.xdf") => assert_eq!(recording.streams[1].segments.len(), 2),
            Some("empty_streams.xdf") => {
                let counts: Vec<_> = recording.streams.iter().map(RecordedStream::len).collect();
                assert_eq!(counts, [0, 10, 1, 0]);
            }
            _ => assert_eq!(
                counted.count(),
                recording.streams.len(),
                "{}",
                path.display()
            ),
        }
    }
}

#[test]
fn pyxdf_here_agrees_with_us_on_every_recording_at_hand() {
    let mut files = shared_files();
    files.extend(golden().files.keys().map(|file| golden_folder().join(file)));
    let Some(dump) = ask_pyxdf(&files) else {
        return;
    };
    assert_eq!(dump.files.len(), files.len());
    for (file, expected) in &dump.files {
        assert_agrees(file, &Recording::open(Path::new(file)).unwrap(), expected);
    }
}
