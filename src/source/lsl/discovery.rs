//! Who is there: announcements are looked at with distrust, bounded, and only then described in full.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use labstream::Query;

use super::Network;
use crate::source::pins::{MAX_CHANNELS, MAX_RATE_HZ, Pins};
use crate::source::{Format, SourceError, StreamSpec};

/// Longest name, type, source_id, hostname or uid, bytes.
const MAX_NAME_BYTES: usize = 256;
/// Most announcements kept of one survey.
const MAX_ANNOUNCEMENTS: usize = 256;

/// What a stream said of itself over UDP: nothing of it is verified, nothing of it has been allocated for.
#[derive(Debug, Clone)]
pub struct Announcement {
    spec: StreamSpec,
    channel_count: u32,
    data: Option<SocketAddr>,
    service: Option<SocketAddr>,
    session: String,
}

/// A stream whose size was bounded and whose full description was read: it may be opened.
///
/// Its `labels` and `units` have one entry per channel, 1 to [`MAX_CHANNELS`].
#[derive(Debug, Clone)]
pub struct Stream {
    spec: StreamSpec,
    data: SocketAddr,
    service: Option<SocketAddr>,
    session: String,
}

impl Network {
    /// Every stream of this session that answers within `wait`, sorted by type, name and identity.
    ///
    /// Waits the full time (in steps of 0.4 s), so that late answers are seen, and once more when a stream has no open port yet. At most 256 streams are returned.
    ///
    /// # Errors
    /// [`SourceError::Lsl`] when no socket can be opened. Nothing found is an empty list, not an error.
    pub fn resolve_all(&self, wait: Duration) -> Result<Vec<Announcement>, SourceError> {
        let announcements = self.ask(wait)?;
        // A stream that is only just starting may answer before its port is open: it is asked once more.
        if announcements.iter().any(|a| a.data.is_none()) {
            return self.ask(wait);
        }
        Ok(announcements)
    }

    fn ask(&self, wait: Duration) -> Result<Vec<Announcement>, SourceError> {
        let found = labstream_net::resolve(Query::session().as_str(), usize::MAX, wait)
            .map_err(|error| SourceError::Lsl(format!("discovery failed: {error}")))?;
        let mut announcements: Vec<Announcement> = found
            .iter()
            .filter(|info| info.session_id == self.session())
            .filter_map(|info| Announcement::read(info, self.is_loopback()))
            .take(MAX_ANNOUNCEMENTS)
            .collect();
        announcements.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        Ok(announcements)
    }

    /// The one stream that fits `pins`, bounded, described and checked.
    ///
    /// Always waits the full time: a second stream of the same identity may answer late, and is never overlooked.
    ///
    /// # Errors
    /// - [`SourceError::Pins`] when the pins make no sense,
    /// - [`SourceError::NotFound`] with the addresses asked and the most similar streams,
    /// - [`SourceError::Ambiguous`] when several streams have the pinned identity: both are listed, none is chosen,
    /// - [`SourceError::Oversized`] when it may not be opened,
    /// - [`SourceError::Mismatch`] when it is not what is pinned,
    /// - [`SourceError::Lost`] when it went away meanwhile.
    pub fn resolve(&self, pins: &Pins, wait: Duration) -> Result<Stream, SourceError> {
        pins.check()?;
        self.pick(&self.resolve_all(wait)?, pins)
    }

    /// As [`Network::resolve`] for several sources at once: the network is asked, and the time waited, only once.
    ///
    /// # Errors
    /// As [`Network::resolve`], for the first of `pins` that fails.
    pub fn resolve_each(&self, pins: &[&Pins], wait: Duration) -> Result<Vec<Stream>, SourceError> {
        for pins in pins {
            pins.check()?;
        }
        let announcements = self.resolve_all(wait)?;
        pins.iter()
            .map(|pins| self.pick(&announcements, pins))
            .collect()
    }

    /// The one announced stream that fits, described and checked.
    ///
    /// # Errors
    /// As [`Network::resolve`].
    pub fn pick(&self, announcements: &[Announcement], pins: &Pins) -> Result<Stream, SourceError> {
        pins.check()?;
        let candidates: Vec<&Announcement> = announcements
            .iter()
            .filter(|a| pins.identify(a.spec()))
            .collect();
        match candidates.as_slice() {
            [] => Err(SourceError::NotFound {
                wanted: pins.to_string(),
                asked: self.describe(),
                seen: similar(announcements, pins),
            }),
            [only] => {
                only.check_size()?;
                pins.verify_shape(only.spec(), only.channel_count)?;
                let stream = only.describe()?;
                pins.verify(stream.spec())?;
                Ok(stream)
            }
            several => Err(SourceError::Ambiguous {
                wanted: pins.to_string(),
                count: several.len(),
                found: several
                    .iter()
                    .map(|a| a.to_string())
                    .collect::<Vec<_>>()
                    .join("; "),
            }),
        }
    }
}

/// The streams there, those that share most with the pins first; at most eight.
fn similar(announcements: &[Announcement], pins: &Pins) -> String {
    if announcements.is_empty() {
        return "no stream at all".to_owned();
    }
    let mut sorted: Vec<&Announcement> = announcements.iter().collect();
    sorted.sort_by_key(|a| std::cmp::Reverse(pins.likeness(a.spec())));
    let mut text = sorted
        .iter()
        .take(8)
        .map(|a| a.to_string())
        .collect::<Vec<_>>()
        .join("; ");
    if sorted.len() > 8 {
        text.push_str(&format!(" and {} more", sorted.len() - 8));
    }
    text
}

impl Announcement {
    /// `None` for a description that no stream can have (no name, no uid, no format).
    pub(super) fn read(info: &labstream_net::StreamInfo, loopback_only: bool) -> Option<Self> {
        let spec = StreamSpec {
            name: unescape(&info.name),
            kind: unescape(&info.stream_type),
            source_id: unescape(&info.source_id),
            hostname: unescape(&info.hostname),
            uid: unescape(&info.uid),
            rate_hz: info.nominal_srate,
            format: format_of(info.format)?,
            labels: Vec::new(),
            units: Vec::new(),
            xml: String::new(),
        };
        if spec.name.is_empty() || spec.uid.is_empty() {
            return None;
        }
        // An answer may name any address; a loopback network follows none that leads elsewhere.
        let allowed = |address: &SocketAddr| !loopback_only || address.ip().is_loopback();
        Some(Self {
            spec,
            channel_count: info.channel_count,
            data: endpoint(info, info.v4data_port, info.v6data_port).filter(allowed),
            service: endpoint(info, info.v4service_port, info.v6service_port).filter(allowed),
            session: info.session_id.clone(),
        })
    }

    /// What the stream says of itself; labels, units and xml are empty until it is described.
    #[must_use]
    pub fn spec(&self) -> &StreamSpec {
        &self.spec
    }

    /// How many channels it announces.
    #[must_use]
    pub fn channel_count(&self) -> u32 {
        self.channel_count
    }

    fn sort_key(&self) -> (&str, &str, &str, &str) {
        let spec = &self.spec;
        (&spec.kind, &spec.name, &spec.source_id, &spec.uid)
    }

    /// Whether the stream is small enough to be opened.
    ///
    /// # Errors
    /// [`SourceError::Oversized`] above [`MAX_CHANNELS`] or [`MAX_RATE_HZ`], for a rate that is no number or negative,
    /// for no channels, and for names of more than 256 bytes.
    pub fn check_size(&self) -> Result<(), SourceError> {
        let refuse = |what: &'static str, actual: String, max: String| {
            Err(SourceError::Oversized {
                name: shortened(&self.spec.name),
                what,
                actual,
                max,
            })
        };
        let spec = &self.spec;
        for (what, text) in [
            ("the name", &spec.name),
            ("the type", &spec.kind),
            ("the source_id", &spec.source_id),
            ("the hostname", &spec.hostname),
            ("the uid", &spec.uid),
        ] {
            if text.len() > MAX_NAME_BYTES {
                return refuse(
                    what,
                    format!("{} bytes long", text.len()),
                    format!("{MAX_NAME_BYTES} bytes"),
                );
            }
        }
        if self.channel_count == 0 || self.channel_count as usize > MAX_CHANNELS {
            return refuse(
                "the channel count",
                self.channel_count.to_string(),
                format!("1 to {MAX_CHANNELS}"),
            );
        }
        if !(0.0..=MAX_RATE_HZ).contains(&spec.rate_hz) {
            return refuse(
                "the nominal rate",
                format!("{} Hz", spec.rate_hz),
                format!("0 (irregular) to {MAX_RATE_HZ} Hz"),
            );
        }
        Ok(())
    }

    /// Bounds the stream, then fetches its full description: labels, units, the whole XML.
    ///
    /// # Errors
    /// [`SourceError::Oversized`] as [`Announcement::check_size`] and above [`MAX_XML_BYTES`](super::MAX_XML_BYTES); [`SourceError::Lost`]
    /// when it does not answer within 5 s; [`SourceError::Mismatch`] when the full description contradicts the
    /// announcement or itself.
    pub fn describe(&self) -> Result<Stream, SourceError> {
        self.check_size()?;
        let data = self.data.ok_or_else(|| SourceError::Lost {
            name: self.spec.name.clone(),
            reason: "it announces no address that may be asked here".to_owned(),
        })?;
        let (labels, units, xml) = self.fetch_description(data)?;
        Ok(Stream {
            spec: StreamSpec {
                labels,
                units,
                xml,
                ..self.spec.clone()
            },
            data,
            service: self.service,
            session: self.session.clone(),
        })
    }

    pub(super) fn mismatch(
        &self,
        what: &'static str,
        expected: String,
        actual: String,
    ) -> SourceError {
        SourceError::Mismatch {
            name: shortened(&self.spec.name),
            what,
            expected,
            actual,
        }
    }
}

impl std::fmt::Display for Announcement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let spec = &self.spec;
        write!(
            f,
            "{:?} (type {:?}, source_id {:?}, host {:?}, uid {}, {} ch, {} Hz)",
            shortened(&spec.name),
            shortened(&spec.kind),
            shortened(&spec.source_id),
            shortened(&spec.hostname),
            shortened(&spec.uid).escape_debug(),
            self.channel_count,
            spec.rate_hz
        )
    }
}

impl Stream {
    /// What the stream is, with labels, units and the whole description.
    #[must_use]
    pub fn spec(&self) -> &StreamSpec {
        &self.spec
    }

    /// A stream that was never announced, for tests of the feed alone.
    #[cfg(test)]
    pub(super) fn at(spec: StreamSpec, data: SocketAddr) -> Self {
        Self {
            spec,
            data,
            service: None,
            session: "test".to_owned(),
        }
    }

    pub(super) fn data(&self) -> SocketAddr {
        self.data
    }

    pub(super) fn service(&self) -> Option<SocketAddr> {
        self.service
    }

    pub(super) fn session(&self) -> &str {
        &self.session
    }
}

/// The address of a port: IPv4 first, as liblsl does (`inlet_connection.cpp`).
fn endpoint(info: &labstream_net::StreamInfo, v4_port: u16, v6_port: u16) -> Option<SocketAddr> {
    if v4_port != 0
        && let Ok(address) = info.v4address.parse::<Ipv4Addr>()
    {
        return Some(SocketAddr::new(IpAddr::V4(address), v4_port));
    }
    if v6_port == 0 {
        return None;
    }
    // A link-local address names a machine only together with the interface, written after `%`.
    let (host, scope) = info
        .v6address
        .split_once('%')
        .unwrap_or((&info.v6address, "0"));
    let address: Ipv6Addr = host.parse().ok()?;
    Some(SocketAddrV6::new(address, v6_port, 0, scope.parse().ok()?).into())
}

/// The five entities of XML; `labstream` leaves them in announcements.
fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

/// For messages: at most 64 characters of a name from the network.
pub(super) fn shortened(text: &str) -> String {
    if text.chars().count() <= 64 {
        return text.to_owned();
    }
    text.chars().take(63).chain(['…']).collect()
}

/// `labstream`'s format in our words.
pub(super) fn format_of(format: labstream::Format) -> Option<Format> {
    Some(match format {
        labstream::Format::Float32 => Format::Float32,
        labstream::Format::Double64 => Format::Double64,
        labstream::Format::String => Format::String,
        labstream::Format::Int8 => Format::Int8,
        labstream::Format::Int16 => Format::Int16,
        labstream::Format::Int32 => Format::Int32,
        labstream::Format::Int64 => Format::Int64,
        labstream::Format::Undefined => return None,
    })
}

/// Our format in `labstream`'s words.
pub(super) fn wire_format(format: Format) -> labstream::Format {
    match format {
        Format::Float32 => labstream::Format::Float32,
        Format::Double64 => labstream::Format::Double64,
        Format::String => labstream::Format::String,
        Format::Int8 => labstream::Format::Int8,
        Format::Int16 => labstream::Format::Int16,
        Format::Int32 => labstream::Format::Int32,
        Format::Int64 => labstream::Format::Int64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement(edit: impl FnOnce(&mut Announcement)) -> Announcement {
        let mut info =
            labstream_net::StreamInfo::new("Amp", "EEG", 2, labstream::Format::Float32, 500.0);
        info.uid = "u".into();
        let mut announcement = Announcement::read(&info, true).unwrap();
        edit(&mut announcement);
        announcement
    }

    fn refusal(edit: impl FnOnce(&mut Announcement)) -> String {
        announcement(edit).check_size().unwrap_err().to_string()
    }

    #[test]
    fn absurd_sizes_are_refused_with_the_bound() {
        assert!(announcement(|_| ()).check_size().is_ok());
        assert!(announcement(|a| a.channel_count = 512).check_size().is_ok());
        assert!(refusal(|a| a.channel_count = 513).contains("513, at most 1 to 512"));
        assert!(refusal(|a| a.channel_count = u32::MAX).contains("4294967295"));
        assert!(refusal(|a| a.channel_count = 0).contains("channel count"));
        for rate in [f64::NAN, f64::INFINITY, -1.0, 50_001.0] {
            assert!(
                refusal(|a| a.spec.rate_hz = rate).contains("nominal rate"),
                "{rate}"
            );
        }
        let message = refusal(|a| a.spec.name = "я".repeat(300));
        assert!(
            message.contains("600 bytes") && message.len() < 400,
            "{message}"
        );
    }

    #[test]
    fn a_loopback_network_follows_no_address_that_leads_elsewhere() {
        let mut info =
            labstream_net::StreamInfo::new("Amp", "EEG", 2, labstream::Format::Float32, 500.0);
        info.uid = "u".into();
        info.v4address = "192.0.2.1".into();
        info.v4data_port = 16572;
        let elsewhere = Announcement::read(&info, true).unwrap();
        assert_eq!(elsewhere.data, None);
        assert!(matches!(
            elsewhere.describe(),
            Err(SourceError::Lost { .. })
        ));
        assert!(Announcement::read(&info, false).unwrap().data.is_some());
    }

    #[test]
    fn names_with_entities_are_read_as_they_were_written() {
        assert_eq!(unescape("R&amp;D &lt;1&gt; &amp;lt;"), "R&D <1> &lt;");
    }
}
