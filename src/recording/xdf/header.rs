//! The XML inside XDF headers and footers, and what it says of a stream.

use roxmltree::{Document, Node, ParsingOptions};

use super::chunk::{FileHeader, Footer, Limits};
use crate::source::{Format, StreamSpec};

/// Nodes of one XML document; more is refused.
const NODES_MAX: u32 = 1_000_000;
/// Nesting of one XML document; more is refused.
const DEPTH_MAX: usize = 32;
/// Length of one tag with its attributes, bytes; more is refused.
const TAG_BYTES_MAX: usize = 8 << 10;
/// Namespace declarations in one XML document; more is refused.
const NAMESPACES_MAX: usize = 16;

/// What is wrong with a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} should be {expected}, found {found}")]
pub struct HeaderError {
    /// Which part.
    pub what: &'static str,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl HeaderError {
    fn new(what: &'static str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            what,
            expected: expected.into(),
            found: found.into(),
        }
    }
}

/// Reads a stream's self-description: the `<info>` document of LSL and XDF.
///
/// A missing name, type or identity becomes an empty string; channel count, format and nominal rate must be there.
/// Labels and units are taken from `desc/channels/channel` when there are as many as channels, else they stay empty:
/// a list of another length cannot be matched to channels.
///
/// # Errors
/// [`HeaderError`] when the text is no XML, nests too deeply, or says something impossible.
pub fn spec_from_xml(xml: &str, limits: &Limits) -> Result<StreamSpec, HeaderError> {
    let document = parse(xml)?;
    let info = root(&document)?;
    let format_name = text(info, "channel_format").unwrap_or_default();
    let format = parse_format(&format_name).ok_or_else(|| {
        HeaderError::new(
            "channel_format",
            "int8, int16, int32, int64, float32, double64 or string",
            quoted(&format_name),
        )
    })?;
    let count_text = text(info, "channel_count").unwrap_or_default();
    let channels = count_text
        .parse::<usize>()
        .ok()
        .filter(|count| (1..=limits.channels_max).contains(count))
        .ok_or_else(|| {
            let expected = format!("a number from 1 to {}", limits.channels_max);
            HeaderError::new("channel_count", expected, quoted(&count_text))
        })?;
    let rate_text = text(info, "nominal_srate").unwrap_or_default();
    let rate_hz = rate_text
        .parse::<f64>()
        .ok()
        .filter(|rate| (0.0..=limits.rate_hz_max).contains(rate))
        .ok_or_else(|| {
            let expected = format!("0 (irregular) or up to {} Hz", limits.rate_hz_max);
            HeaderError::new("nominal_srate", expected, quoted(&rate_text))
        })?;
    let (labels, units) = channel_words(info, channels);
    Ok(StreamSpec {
        name: text(info, "name").unwrap_or_default(),
        kind: text(info, "type").unwrap_or_default(),
        source_id: text(info, "source_id").unwrap_or_default(),
        hostname: text(info, "hostname").unwrap_or_default(),
        uid: text(info, "uid").unwrap_or_default(),
        rate_hz,
        format,
        labels,
        units,
        xml: xml.to_owned(),
    })
}

/// Reads the file's own header.
pub(super) fn file_header(xml: &str) -> Result<FileHeader, HeaderError> {
    let document = parse(xml)?;
    let version = text(root(&document)?, "version").unwrap_or_default();
    if version.split('.').next() != Some("1") {
        return Err(HeaderError::new("version", "1.0", quoted(&version)));
    }
    Ok(FileHeader {
        version,
        xml: xml.to_owned(),
    })
}

/// Reads a stream's footer. Clock offsets in it repeat the chunks and are not read.
pub(super) fn footer(xml: &str) -> Result<Footer, HeaderError> {
    let document = parse(xml)?;
    let info = root(&document)?;
    Ok(Footer {
        first_stamp_s: number(info, "first_timestamp")?,
        last_stamp_s: number(info, "last_timestamp")?,
        sample_count: number(info, "sample_count")?,
        measured_rate_hz: number(info, "measured_srate")?,
    })
}

/// The format's name in XDF and LSL.
pub(super) fn format_name(format: Format) -> &'static str {
    match format {
        Format::Float32 => "float32",
        Format::Double64 => "double64",
        Format::String => "string",
        Format::Int8 => "int8",
        Format::Int16 => "int16",
        Format::Int32 => "int32",
        Format::Int64 => "int64",
    }
}

fn parse_format(name: &str) -> Option<Format> {
    [
        Format::Float32,
        Format::Double64,
        Format::String,
        Format::Int8,
        Format::Int16,
        Format::Int32,
        Format::Int64,
    ]
    .into_iter()
    .find(|format| format_name(*format) == name)
}

fn parse(xml: &str) -> Result<Document<'_>, HeaderError> {
    check_tags(xml)?;
    let options = ParsingOptions {
        nodes_limit: NODES_MAX,
        ..ParsingOptions::default()
    };
    // Document type definitions stay refused: no entity can grow the text.
    let document = Document::parse_with_options(xml, options)
        .map_err(|error| HeaderError::new("XML", "well formed", error.to_string()))?;
    check_depth(document.root_element())?;
    Ok(document)
}

/// Refuses what would cost the parser more than linear time: long tags (attributes are compared with each other) and
/// many namespaces (each level copies them). XDF uses neither.
fn check_tags(xml: &str) -> Result<(), HeaderError> {
    let namespaces = xml.matches("xmlns").take(NAMESPACES_MAX + 1).count();
    if namespaces > NAMESPACES_MAX {
        return Err(HeaderError::new(
            "XML",
            format!("at most {NAMESPACES_MAX} namespaces"),
            "more",
        ));
    }
    let mut rest = xml;
    while let Some(open) = rest.find('<') {
        rest = &rest[open..];
        let skipped = [("<!--", "-->"), ("<![CDATA[", "]]>")]
            .into_iter()
            .find(|(begin, _)| rest.starts_with(begin))
            .map(|(begin, end)| rest[begin.len()..].find(end).map(|at| begin.len() + at));
        rest = match skipped {
            Some(Some(end)) => &rest[end..],
            // Never closed: the parser will say so.
            Some(None) => return Ok(()),
            None => {
                let length = tag_length(rest);
                if length > TAG_BYTES_MAX {
                    let expected = format!("tags of at most {TAG_BYTES_MAX} bytes");
                    return Err(HeaderError::new(
                        "XML",
                        expected,
                        format!("one of {length}"),
                    ));
                }
                &rest[length..]
            }
        };
    }
    Ok(())
}

/// Bytes from `<` to the `>` that closes it, both included; quoted `>` do not close.
fn tag_length(from_open: &str) -> usize {
    let mut quote = None;
    for (at, byte) in from_open.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return at + 1,
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), close) if open == close => quote = None,
            _ => {}
        }
    }
    from_open.len()
}

/// Refuses deep nesting.
fn check_depth(root: Node<'_, '_>) -> Result<(), HeaderError> {
    let (mut node, mut depth) = (root, 1);
    loop {
        if let Some(first) = node.first_element_child() {
            (node, depth) = (first, depth + 1);
            if depth > DEPTH_MAX {
                let expected = format!("at most {DEPTH_MAX} levels deep");
                return Err(HeaderError::new("XML", expected, "more"));
            }
            continue;
        }
        while node.next_sibling_element().is_none() {
            match node.parent_element() {
                Some(parent) => (node, depth) = (parent, depth - 1),
                None => return Ok(()),
            }
        }
        // The loop above ends only where there is a next sibling, or returns.
        if let Some(next) = node.next_sibling_element() {
            node = next;
        }
    }
}

fn root<'a, 'input>(document: &'a Document<'input>) -> Result<Node<'a, 'input>, HeaderError> {
    let root = document.root_element();
    if root.has_tag_name("info") {
        Ok(root)
    } else {
        Err(HeaderError::new(
            "XML root element",
            "<info>",
            format!("<{}>", clipped(root.tag_name().name())),
        ))
    }
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// Trimmed text of the first child element of this name; `None` when there is no such element.
fn text(node: Node<'_, '_>, name: &str) -> Option<String> {
    child(node, name).map(|found| found.text().unwrap_or_default().trim().to_owned())
}

fn number<T: std::str::FromStr>(
    info: Node<'_, '_>,
    name: &'static str,
) -> Result<Option<T>, HeaderError> {
    text(info, name)
        .filter(|text| !text.is_empty())
        .map(|text| {
            text.parse()
                .map_err(|_| HeaderError::new(name, "a number", quoted(&text)))
        })
        .transpose()
}

fn channel_words(info: Node<'_, '_>, channels: usize) -> (Vec<String>, Vec<String>) {
    let described: Vec<_> = child(info, "desc")
        .and_then(|desc| child(desc, "channels"))
        .map(|list| {
            list.children()
                .filter(|node| node.has_tag_name("channel"))
                .collect()
        })
        .unwrap_or_default();
    if described.len() != channels {
        return (vec![String::new(); channels], vec![String::new(); channels]);
    }
    let words = |name| {
        described
            .iter()
            .map(|node| text(*node, name).unwrap_or_default())
            .collect()
    };
    (words("label"), words("unit"))
}

fn quoted(text: &str) -> String {
    format!("'{}'", clipped(text))
}

/// The first characters only: a message must stay readable whatever the file holds.
pub(super) fn clipped(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(body: &str) -> Result<StreamSpec, HeaderError> {
        spec_from_xml(
            &format!("<?xml version=\"1.0\"?><info>{body}</info>"),
            &Limits::default(),
        )
    }

    const CORE: &str = "<channel_count>2</channel_count><nominal_srate>250.0</nominal_srate>\
                        <channel_format>float32</channel_format>";

    #[test]
    fn labels_and_units_follow_the_channels() {
        let spec = spec(&format!(
            "<name> Усилитель &amp; co </name>{CORE}<desc><channels><channel><label>Cz</label><unit>microvolts</unit>\
             </channel><channel><label>Pz</label></channel></channels></desc>"
        ))
        .unwrap();
        assert_eq!(spec.name, "Усилитель & co");
        assert_eq!(spec.labels, ["Cz", "Pz"]);
        assert_eq!(spec.units, ["microvolts", ""]);
    }

    #[test]
    fn a_label_list_of_another_length_is_not_matched_to_channels() {
        let spec = spec(&format!(
            "{CORE}<desc><channels><channel><label>Cz</label></channel></channels></desc>"
        ))
        .unwrap();
        assert_eq!(spec.labels, ["", ""]);
    }

    #[test]
    fn nonsense_is_refused_with_the_field_and_the_value() {
        for (from, to, what) in [
            ("250.0", "-1", "nominal_srate"),
            ("250.0", "NaN", "nominal_srate"),
            ("250.0", "inf", "nominal_srate"),
            ("250.0", "1e300", "nominal_srate"),
            ("250.0", "", "nominal_srate"),
            (">2<", ">0<", "channel_count"),
            (">2<", ">513<", "channel_count"),
            (">2<", ">2.5<", "channel_count"),
            ("float32", "float16", "channel_format"),
        ] {
            let error = spec(&CORE.replace(from, to)).unwrap_err();
            assert_eq!(error.what, what);
            assert!(
                error.to_string().contains(to.trim_matches(['<', '>'])),
                "{error}"
            );
        }
    }

    #[test]
    fn what_would_cost_the_parser_too_much_is_refused() {
        let attributes: String = (0..2000).map(|n| format!(" a{n}='>'")).collect();
        assert!(
            spec(&format!("<x{attributes}/>"))
                .unwrap_err()
                .expected
                .contains("tags")
        );
        let spaces: String = (0..17).map(|n| format!(" xmlns:n{n}='u'")).collect();
        assert!(
            spec(&format!("<x{spaces}/>"))
                .unwrap_err()
                .expected
                .contains("namespaces")
        );
        let comment = format!("<!-- <don't {} -->", "x".repeat(20_000));
        assert!(
            spec(&format!(
                "{comment}{CORE}<note>{}</note>",
                "y".repeat(20_000)
            ))
            .is_ok()
        );
    }

    #[test]
    fn deep_nesting_and_entity_bombs_are_refused() {
        let deep = format!("{}{}", "<a>".repeat(20_000), "</a>".repeat(20_000));
        assert!(spec(&deep).unwrap_err().expected.contains("levels"));
        let bomb = "<!DOCTYPE a [<!ENTITY x \"y\">]><info>&x;</info>";
        assert_eq!(
            spec_from_xml(bomb, &Limits::default()).unwrap_err().what,
            "XML"
        );
    }
}
