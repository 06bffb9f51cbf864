//! The full description of a stream: fetched within bounds, held against its announcement, read for labels and units.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use labstream_net::desc::Node;

use super::Announcement;
use super::discovery::{format_of, shortened};
use crate::source::SourceError;

/// Longest full description that is read, bytes.
pub const MAX_XML_BYTES: usize = 64 * 1024;
/// Deepest nesting of a description; LSL's own are 4 deep.
pub(in crate::source) const MAX_XML_DEPTH: usize = 32;
/// How long a stream may take to send its full description.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(5);

impl Announcement {
    /// Asks the stream for its full description: labels, units and the whole XML.
    pub(super) fn fetch_description(
        &self,
        data: SocketAddr,
    ) -> Result<(Vec<String>, Vec<String>, String), SourceError> {
        let xml = self.fetch(data)?;
        let (labels, units) = self.read_description(&xml)?;
        Ok((labels, units, xml))
    }

    /// Reads the document of `LSL:fullinfo`, never more than the bound, never longer than the time-out.
    fn fetch(&self, data: SocketAddr) -> Result<String, SourceError> {
        let until = Instant::now() + DESCRIBE_TIMEOUT;
        let lost = |error: std::io::Error| SourceError::Lost {
            name: self.spec().name.clone(),
            reason: format!("its description could not be read from {data}: {error}"),
        };
        let mut socket = TcpStream::connect_timeout(&data, DESCRIBE_TIMEOUT).map_err(lost)?;
        socket.write_all(b"LSL:fullinfo\r\n").map_err(lost)?;
        let mut document = Vec::new();
        let mut part = [0_u8; 8192];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(lost(ErrorKind::TimedOut.into()));
            }
            socket.set_read_timeout(Some(left)).map_err(lost)?;
            let n = match socket.read(&mut part) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(lost(error)),
            };
            document.extend_from_slice(part.get(..n).unwrap_or_default());
            if document.len() > MAX_XML_BYTES {
                return Err(SourceError::Oversized {
                    name: shortened(&self.spec().name),
                    what: "the description",
                    actual: format!("more than {MAX_XML_BYTES} bytes"),
                    max: format!("{MAX_XML_BYTES} bytes"),
                });
            }
        }
        String::from_utf8(document).map_err(|error| {
            self.mismatch("the description", "UTF-8".to_owned(), error.to_string())
        })
    }

    /// Checks the full description against the announcement and returns labels and units.
    fn read_description(&self, xml: &str) -> Result<(Vec<String>, Vec<String>), SourceError> {
        // The XML reader recurses when its tree is dropped: depth is bounded before it sees the text.
        let depth = nesting(xml);
        if depth > MAX_XML_DEPTH {
            return Err(SourceError::Oversized {
                name: shortened(&self.spec().name),
                what: "the depth of the description",
                actual: depth.to_string(),
                max: MAX_XML_DEPTH.to_string(),
            });
        }
        let full = labstream_net::StreamInfo::from_fullinfo_xml(xml).map_err(|problem| {
            self.mismatch("the description", "a stream's XML".to_owned(), problem)
        })?;
        let spec = self.spec();
        let same = |what: &'static str, announced: &str, described: &str| {
            if announced == described {
                Ok(())
            } else {
                Err(self.mismatch(what, format!("{announced:?}"), format!("{described:?}")))
            }
        };
        same("the uid", &spec.uid, &full.uid)?;
        same("the name", &spec.name, &full.name)?;
        same("the type", &spec.kind, &full.stream_type)?;
        same("the source_id", &spec.source_id, &full.source_id)?;
        let described = format!("{:?}", format_of(full.format));
        same(
            "the format",
            &format!("{:?}", Some(spec.format)),
            &described,
        )?;
        same(
            "the channel count",
            &self.channel_count().to_string(),
            &full.channel_count.to_string(),
        )?;
        same(
            "the rate",
            &spec.rate_hz.to_string(),
            &full.nominal_srate.to_string(),
        )?;

        let count = self.channel_count() as usize;
        let listed: Vec<&Node> = full
            .desc
            .child("channels")
            .map(|list| {
                list.children
                    .iter()
                    .filter(|c| c.name == "channel")
                    .collect()
            })
            .unwrap_or_default();
        if listed.is_empty() {
            return Ok((vec![String::new(); count], vec![String::new(); count]));
        }
        if listed.len() != count {
            return Err(self.mismatch(
                "the number of described channels",
                count.to_string(),
                listed.len().to_string(),
            ));
        }
        // Two conventions exist for the name; `label` is the documented one.
        let labels = listed.iter().map(|c| first_text(c, &["label", "name"]));
        let units = listed.iter().map(|c| first_text(c, &["unit"]));
        Ok((labels.collect(), units.collect()))
    }
}

/// The trimmed text of the first of these children that has any.
fn first_text(node: &Node, names: &[&str]) -> String {
    names
        .iter()
        .map(|name| node.child_value_of(name).trim())
        .find(|text| !text.is_empty())
        .unwrap_or_default()
        .to_owned()
}

/// Deepest nesting of elements, found without recursion by the reader's own rules.
pub(in crate::source) fn nesting(xml: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let mut rest = xml;
    while let Some(at) = rest.find('<') {
        rest = rest.get(at..).unwrap_or_default();
        let skipped = [
            ("<?", "?>"),
            ("<!--", "-->"),
            ("<![CDATA[", "]]>"),
            ("<!", ">"),
            ("</", ">"),
        ]
        .into_iter()
        .find(|(open, _)| rest.starts_with(open));
        let length = match skipped {
            Some((open, close)) => {
                if open == "</" {
                    depth = depth.saturating_sub(1);
                }
                rest.find(close).map(|end| end + close.len())
            }
            None => {
                let end = tag_end(rest);
                let tag = end.and_then(|end| rest.get(..end)).unwrap_or_default();
                if !tag.trim_end().ends_with('/') {
                    depth += 1;
                    deepest = deepest.max(depth);
                }
                end.map(|end| end + 1)
            }
        };
        let Some(length) = length else { break };
        rest = rest.get(length..).unwrap_or_default();
    }
    deepest
}

/// Where the `>` of an opening tag is, not counting one inside quotes.
fn tag_end(tag: &str) -> Option<usize> {
    let mut quote = None;
    tag.char_indices().find_map(|(at, c)| {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '>') => return Some(at),
            _ => {}
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_counts_like_the_reader_does() {
        assert_eq!(nesting("<?xml?><a><b/><c x=\"</a>\"><d></d></c></a>"), 3);
        // Closing tags that are not there for the reader do not make room.
        assert_eq!(
            nesting("<a><!-- </a> --><b><![CDATA[</b>]]><c></c></b></a>"),
            3
        );
        assert_eq!(nesting(&"<a>".repeat(5000)), 5000);
        assert_eq!(nesting("<a"), 1);
    }

    #[test]
    fn a_description_that_contradicts_itself_is_a_mismatch() {
        let mut info =
            labstream_net::StreamInfo::new("Amp", "EEG", 2, labstream::Format::Float32, 500.0);
        info.uid = "u".into();
        let good = Announcement::read(&info, true).unwrap();
        let document = |channels: &str, count: u32, uid: &str| {
            format!(
                "<?xml version=\"1.0\"?><info><name>Amp</name><type>EEG</type><channel_count>{count}</channel_count>\
                 <channel_format>float32</channel_format><source_id/><nominal_srate>500.0</nominal_srate>\
                 <version>1.1</version><created_at>1.0</created_at><uid>{uid}</uid><session_id>s</session_id>\
                 <hostname>h</hostname><v4address/><v4data_port>1</v4data_port><v4service_port>1</v4service_port>\
                 <v6address/><v6data_port>0</v6data_port><v6service_port>0</v6service_port><desc>{channels}</desc></info>"
            )
        };
        let one = "<channel><label>Fz</label><unit>microvolts</unit></channel>";
        let two = format!("<channels>{one}<channel><name> Cz </name></channel></channels>");
        assert_eq!(
            good.read_description(&document(&two, 2, "u")).unwrap(),
            (
                vec!["Fz".to_owned(), "Cz".to_owned()],
                vec!["microvolts".to_owned(), String::new()]
            )
        );
        let unnamed = good.read_description(&document("", 2, "u")).unwrap();
        assert_eq!(unnamed.0, ["", ""]);
        for (xml, words) in [
            (
                document(&two, 3, "u"),
                "the channel count should be \"2\" but is \"3\"",
            ),
            (
                document(&two, 2, "v"),
                "the uid should be \"u\" but is \"v\"",
            ),
            (
                document(&format!("<channels>{one}</channels>"), 2, "u"),
                "described channels should be 2 but is 1",
            ),
            ("no xml".to_owned(), "the description"),
            ("<a>".repeat(100), "at most 32"),
        ] {
            let message = good.read_description(&xml).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }
}
