//! Small recordings made by our own writer, for other tests to damage.

use razvilka::{
    recording::xdf::{ClockMeasurement, Values, Writer},
    source::{Format, StreamSpec},
};

pub(crate) fn spec(name: &str, format: Format, channels: usize, rate_hz: f64) -> StreamSpec {
    StreamSpec {
        name: name.into(),
        kind: if format == Format::String {
            "Markers"
        } else {
            "EEG"
        }
        .into(),
        source_id: format!("{name}-source"),
        hostname: "lab".into(),
        uid: format!("{name}-uid"),
        rate_hz,
        format,
        labels: (0..channels)
            .map(|channel| format!("ch{channel}"))
            .collect(),
        units: vec!["microvolts".into(); channels],
        xml: String::new(),
    }
}

/// Two streams, clock offsets, boundaries and footers in less than two kilobytes.
pub(crate) fn small_file() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).unwrap();
    let eeg = writer
        .add_stream(&spec("amp", Format::Int16, 2, 100.0))
        .unwrap();
    let markers = writer
        .add_stream(&spec("marks", Format::String, 1, 0.0))
        .unwrap();
    for block in 0..4_i16 {
        let stamps: Vec<f64> = (0..3)
            .map(|k| 10.0 + 0.03 * f64::from(block) + 0.01 * f64::from(k))
            .collect();
        writer
            .samples(
                eeg,
                &stamps,
                &Values::Int16((0..6).map(|k| 6 * block + k).collect()),
            )
            .unwrap();
        writer
            .texts(markers, &stamps[..1], &[format!("маркер {block}")])
            .unwrap();
        let measurement = ClockMeasurement {
            source_s: 10.0 + f64::from(block),
            offset_s: -3.5,
        };
        writer.measurement(eeg, measurement).unwrap();
        if block % 2 == 1 {
            writer.boundary().unwrap();
        }
    }
    writer.finish().unwrap()
}

/// Where each chunk of a file that we wrote begins, and where the file ends.
pub(crate) fn chunk_starts(file: &[u8]) -> Vec<usize> {
    let mut starts = vec![4];
    while let Some([4, length @ ..]) = file
        .get(starts[starts.len() - 1]..)
        .and_then(|rest| rest.first_chunk::<5>())
    {
        let last = starts[starts.len() - 1];
        starts.push(last + 5 + u32::from_le_bytes(*length) as usize);
    }
    starts
}
