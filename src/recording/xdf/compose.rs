//! Composes the XML of headers and footers.

use std::fmt::Write as _;

use super::{
    chunk::{ClockMeasurement, Limits},
    header::{HeaderError, format_name, spec_from_xml},
    writer::Totals,
};
use crate::source::StreamSpec;

/// The header of a stream: its own description where that agrees with the other fields, else one composed of them.
pub(super) fn header(spec: &StreamSpec) -> Result<String, HeaderError> {
    let limits = Limits::default();
    let fits = |xml: &str| xml.len() as u64 + 6 <= limits.header_bytes_max;
    if fits(&spec.xml)
        && let Ok(said) = spec_from_xml(&spec.xml, &limits)
        && agrees(&said, spec)
    {
        return Ok(spec.xml.clone());
    }
    let xml = composed(spec);
    if !fits(&xml) {
        return Err(HeaderError {
            what: "its description",
            expected: format!("at most {} bytes of XML", limits.header_bytes_max),
            found: xml.len().to_string(),
        });
    }
    // A reader must accept it, or the recording would be lost.
    spec_from_xml(&xml, &limits)?;
    Ok(xml)
}

fn agrees(said: &StreamSpec, spec: &StreamSpec) -> bool {
    let units_agree = said.units == spec.units
        || (spec.units.is_empty() && said.units.iter().all(String::is_empty));
    units_agree
        && said.name == spec.name
        && said.kind == spec.kind
        && said.source_id == spec.source_id
        && said.hostname == spec.hostname
        && said.uid == spec.uid
        && said.rate_hz == spec.rate_hz
        && said.format == spec.format
        && said.labels == spec.labels
}

fn composed(spec: &StreamSpec) -> String {
    let mut xml = String::from("<?xml version=\"1.0\"?>\n<info>");
    for (name, value) in [
        ("name", escaped(&spec.name)),
        ("type", escaped(&spec.kind)),
        ("channel_count", spec.labels.len().to_string()),
        ("nominal_srate", spec.rate_hz.to_string()),
        ("channel_format", format_name(spec.format).to_owned()),
        ("source_id", escaped(&spec.source_id)),
        ("hostname", escaped(&spec.hostname)),
        ("uid", escaped(&spec.uid)),
    ] {
        element(&mut xml, name, &value);
    }
    xml.push_str("<desc><channels>");
    for (channel, label) in spec.labels.iter().enumerate() {
        xml.push_str("<channel>");
        element(&mut xml, "label", &escaped(label));
        if let Some(unit) = spec.units.get(channel).filter(|unit| !unit.is_empty()) {
            element(&mut xml, "unit", &escaped(unit));
        }
        element(&mut xml, "type", &escaped(&spec.kind));
        xml.push_str("</channel>");
    }
    xml.push_str("</channels></desc></info>");
    xml
}

/// The footer of a stream.
pub(super) fn footer(totals: &Totals, offsets: &[ClockMeasurement]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\"?>\n<info>");
    for (name, value) in [
        ("first_timestamp", totals.first_stamp_s),
        ("last_timestamp", totals.last_stamp_s),
        ("measured_srate", totals.measured_rate_hz()),
    ] {
        if let Some(value) = value {
            element(&mut xml, name, &value.to_string());
        }
    }
    element(&mut xml, "sample_count", &totals.samples.to_string());
    xml.push_str("<clock_offsets>");
    for ClockMeasurement { source_s, offset_s } in offsets {
        // Writing into a String cannot fail.
        let _ = write!(
            xml,
            "<offset><time>{source_s}</time><value>{offset_s}</value></offset>"
        );
    }
    xml.push_str("</clock_offsets></info>");
    xml
}

fn element(xml: &mut String, name: &str, content: &str) {
    // Writing into a String cannot fail.
    let _ = write!(xml, "<{name}>{content}</{name}>");
}

/// Text as it may stand in XML; characters that XML cannot hold become U+FFFD.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\t' | '\n' => escaped.push(character),
            '\u{FFFE}' | '\u{FFFF}' => escaped.push('\u{FFFD}'),
            control if control.is_control() => escaped.push('\u{FFFD}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Format;

    fn spec() -> StreamSpec {
        StreamSpec {
            name: "Усилитель <&> \u{1}".into(),
            kind: "EEG".into(),
            source_id: "amp".into(),
            hostname: "lab".into(),
            uid: "u".into(),
            rate_hz: 0.1 + 0.2,
            format: Format::Float32,
            labels: vec!["Cz".into(), String::new()],
            units: vec!["microvolts".into(), String::new()],
            xml: String::new(),
        }
    }

    #[test]
    fn a_composed_header_says_what_the_fields_say() {
        let spec = spec();
        let said = spec_from_xml(&header(&spec).unwrap(), &Limits::default()).unwrap();
        assert!(agrees(
            &said,
            &StreamSpec {
                name: "Усилитель <&> \u{FFFD}".into(),
                ..spec
            }
        ));
    }

    #[test]
    fn a_description_that_contradicts_the_fields_is_not_written() {
        let mut spec = StreamSpec {
            name: "amp".into(),
            ..spec()
        };
        spec.xml = header(&spec)
            .unwrap()
            .replace("<desc>", "<created_at>1</created_at><desc>");
        assert_eq!(header(&spec).unwrap(), spec.xml);
        spec.labels[0] = "Pz".into();
        assert!(!header(&spec).unwrap().contains("created_at"));
    }

    #[test]
    fn a_stream_no_reader_would_accept_is_refused() {
        for broken in [
            StreamSpec {
                labels: Vec::new(),
                ..spec()
            },
            StreamSpec {
                rate_hz: f64::NAN,
                ..spec()
            },
            StreamSpec {
                labels: vec!["x".repeat(200); 512],
                ..spec()
            },
        ] {
            assert!(header(&broken).is_err());
        }
    }
}
