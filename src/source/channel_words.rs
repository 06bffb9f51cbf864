//! What a stream's description says of each channel, in its own words: label, eye, type, unit, coordinate system.
//!
//! The words are those of the XDF meta-data conventions (<https://github.com/sccn/xdf/wiki/Gaze-Meta-Data>). What they mean is for
//! others to judge. Some programs write `metatype` where the convention says `type`; both are read.

use roxmltree::{Document, Node, ParsingOptions};

use super::StreamSpec;
use super::lsl::{MAX_XML_BYTES, MAX_XML_DEPTH, nesting};

/// Nodes of a description that is read for its words.
const NODES_MAX: u32 = 100_000;

/// What is said of one channel; what is not said is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChannelWords {
    /// Label.
    pub label: String,
    /// Which eye: `left`, `right`, `both`.
    pub eye: String,
    /// What it carries, e.g. `ScreenX`; of `type` or else of `metatype`.
    pub kind: String,
    /// Unit.
    pub unit: String,
    /// Coordinate system, e.g. `world`.
    pub coordinate_system: String,
}

/// What a stream says beyond its channels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StreamWords {
    /// Each channel's words, as many as there are labels.
    pub channels: Vec<ChannelWords>,
    /// `acquisition/manufacturer`, or `manufacturer`.
    pub manufacturer: String,
    /// Width and height of the picture that positions refer to, pixels.
    pub resolution_px: Option<(f64, f64)>,
}

/// Reads a description. One that is absent, oversized or no XML says no more than labels and units do.
#[must_use]
pub fn words_of(spec: &StreamSpec) -> StreamWords {
    let mut words = StreamWords {
        channels: spec
            .labels
            .iter()
            .enumerate()
            .map(|(index, label)| ChannelWords {
                label: label.clone(),
                unit: spec.units.get(index).cloned().unwrap_or_default(),
                ..ChannelWords::default()
            })
            .collect(),
        ..StreamWords::default()
    };
    if spec.xml.len() > MAX_XML_BYTES || nesting(&spec.xml) > MAX_XML_DEPTH {
        return words;
    }
    let options = ParsingOptions {
        nodes_limit: NODES_MAX,
        ..ParsingOptions::default()
    };
    let Ok(document) = Document::parse_with_options(&spec.xml, options) else {
        return words;
    };
    let Some(desc) = child(document.root_element(), "desc") else {
        return words;
    };
    read_channels(desc, &mut words.channels);
    words.manufacturer = child(desc, "acquisition")
        .and_then(|acquisition| text(acquisition, "manufacturer"))
        .or_else(|| text(desc, "manufacturer"))
        .unwrap_or_default();
    words.resolution_px = desc
        .descendants()
        .filter(|node| ["display", "screen", "monitor"].contains(&node.tag_name().name()))
        .find_map(resolution);
    words
}

fn read_channels(desc: Node<'_, '_>, channels: &mut [ChannelWords]) {
    let listed: Vec<_> = child(desc, "channels")
        .map(|list| {
            let channel = |node: &Node<'_, '_>| node.has_tag_name("channel");
            list.children().filter(channel).collect()
        })
        .unwrap_or_default();
    if listed.len() != channels.len() {
        return;
    }
    for (words, node) in channels.iter_mut().zip(listed) {
        let said = |name| text(node, name).unwrap_or_default();
        words.eye = said("eye").to_lowercase();
        words.kind = text(node, "type")
            .or_else(|| text(node, "metatype"))
            .unwrap_or_default();
        words.coordinate_system = said("coordinate_system");
        if words.label.is_empty() {
            words.label = said("label");
        }
        if words.unit.is_empty() {
            words.unit = said("unit");
        }
    }
}

/// `width_px` and `height_px`, `resolution_x` and `resolution_y`, or `resolution` with `X` and `Y`.
fn resolution(display: Node<'_, '_>) -> Option<(f64, f64)> {
    let number = |node: Node<'_, '_>, name: &str| text(node, name)?.parse::<f64>().ok();
    let pair = |node, x, y| Some((number(node, x)?, number(node, y)?));
    pair(display, "width_px", "height_px")
        .or_else(|| pair(display, "resolution_x", "resolution_y"))
        .or_else(|| pair(child(display, "resolution")?, "X", "Y"))
        .filter(|(width, height)| *width >= 1.0 && *height >= 1.0)
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// Trimmed text of the first child of this name, where it has any.
fn text(node: Node<'_, '_>, name: &str) -> Option<String> {
    let said = child(node, name)?.text().unwrap_or_default().trim();
    (!said.is_empty()).then(|| said.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Format;

    fn spec(xml: &str) -> StreamSpec {
        StreamSpec {
            name: "eyes".into(),
            kind: "Gaze".into(),
            source_id: String::new(),
            hostname: String::new(),
            uid: String::new(),
            rate_hz: 100.0,
            format: Format::Float32,
            labels: vec!["a".into(), "b".into()],
            units: vec![String::new(), "px".into()],
            xml: xml.into(),
        }
    }

    #[test]
    fn type_and_metatype_say_the_same_and_channels_keep_their_order() {
        let words = words_of(&spec(
            "<info><desc><acquisition><manufacturer>Tobii</manufacturer></acquisition><display><resolution><X>1920</X>\
             <Y>1080</Y></resolution></display><channels><channel><label>a</label><eye>Left</eye><type>ScreenX</type>\
             <unit>normalized</unit></channel><channel><label>b</label><metatype>ScreenY</metatype>\
             <coordinate_system>world</coordinate_system></channel></channels></desc></info>",
        ));
        assert_eq!(words.manufacturer, "Tobii");
        assert_eq!(words.resolution_px, Some((1920.0, 1080.0)));
        let [a, b] = words.channels.as_slice() else {
            panic!("{words:?}")
        };
        assert_eq!(
            (a.eye.as_str(), a.kind.as_str(), a.unit.as_str()),
            ("left", "ScreenX", "normalized")
        );
        assert_eq!(
            (
                b.kind.as_str(),
                b.unit.as_str(),
                b.coordinate_system.as_str()
            ),
            ("ScreenY", "px", "world")
        );
    }

    #[test]
    fn a_description_that_cannot_be_read_says_no_more_than_the_labels() {
        for xml in [
            "",
            "no xml",
            "<info><desc><channels><channel><label>a</label><type>ScreenX</type></channel></channels></desc></info>",
            &"<a>".repeat(100),
        ] {
            let words = words_of(&spec(xml));
            assert_eq!(words.channels.len(), 2);
            assert!(words.channels.iter().all(|channel| channel.kind.is_empty()));
            assert_eq!(words.channels.first().map(|c| c.label.as_str()), Some("a"));
        }
    }
}
