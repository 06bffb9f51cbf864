//! Outlets: samples and markers out to whoever listens. For the control plane; a push allocates.

use std::time::Duration;

use labstream_net::desc::{self, Node};
use labstream_wire::{DEDUCED_TIMESTAMP, Sample, Value};

use super::description::{MAX_XML_DEPTH, nesting};
use super::discovery::wire_format;
use super::inlet::MAX_MARKER_BYTES;
use super::{MAX_XML_BYTES, Network};
use crate::source::pins::{MAX_CHANNELS, MAX_RATE_HZ};
use crate::source::{Format, MarkerSink, SampleSink, SourceError, StreamSpec};

/// Publishes samples of a numeric stream (float32 or double64).
///
/// Every consumer has a queue of its own, which drops its oldest samples when that consumer is slow; a push never
/// waits. The outlet disappears when dropped, with whatever was still queued: give consumers a moment to read the end.
pub struct LslSampleOutlet {
    published: Published,
}

/// Publishes markers: one channel of text, irregular rate.
///
/// Queue and end as for [`LslSampleOutlet`].
pub struct LslMarkerOutlet {
    published: Published,
}

struct Published {
    outlet: labstream_net::Outlet,
    spec: StreamSpec,
}

impl LslSampleOutlet {
    /// Publishes a stream as `spec` says: name, type, source_id, rate, format, labels and units, and the `<desc>` of
    /// `xml` if there is one. Hostname and uid are this machine's and this outlet's own.
    ///
    /// # Errors
    /// [`SourceError::Oversized`] above our own bounds; [`SourceError::Lsl`] when the name is empty, the format is
    /// neither float32 nor double64, units and labels differ in number, or no port is free.
    pub fn new(network: Network, spec: &StreamSpec) -> Result<Self, SourceError> {
        if !matches!(spec.format, Format::Float32 | Format::Double64) {
            return Err(refused(spec, "samples go out as float32 or double64"));
        }
        Ok(Self {
            published: Published::new(network, spec)?,
        })
    }

    /// What was published, with this outlet's own hostname and uid.
    #[must_use]
    pub fn spec(&self) -> &StreamSpec {
        &self.published.spec
    }

    /// How many inlets read this stream now.
    #[must_use]
    pub fn consumers(&self) -> usize {
        self.published.outlet.consumer_count()
    }

    /// Waits for the first inlet; `false` when none came in time.
    #[must_use]
    pub fn wait_for_consumers(&self, timeout: Duration) -> bool {
        self.published.outlet.wait_for_consumers(timeout)
    }
}

impl SampleSink for LslSampleOutlet {
    /// As the trait says. A stamp of exactly 0 or -1 is refused: on the wire they mean "now" and "deduce it", and would
    /// arrive as another stamp. Any other stamp goes out as it is, NaN too.
    fn push(&mut self, data: &[f32], stamps: &[f64]) -> Result<(), SourceError> {
        let spec = &self.published.spec;
        let channels = spec.labels.len();
        if data.len() != stamps.len() * channels {
            return Err(SourceError::Mismatch {
                name: spec.name.clone(),
                what: "the number of values pushed",
                expected: (stamps.len() * channels).to_string(),
                actual: data.len().to_string(),
            });
        }
        for &stamp in stamps {
            check_stamp(spec, stamp)?;
        }
        let double = spec.format == Format::Double64;
        for (row, &timestamp) in data.chunks_exact(channels).zip(stamps) {
            let value = |&v: &f32| {
                if double {
                    Value::F64(v.into())
                } else {
                    Value::F32(v)
                }
            };
            self.published.outlet.push(&Sample {
                timestamp,
                values: row.iter().map(value).collect(),
            });
        }
        Ok(())
    }
}

impl LslMarkerOutlet {
    /// Publishes a marker stream: one channel, text, irregular, whatever `spec` says of rate and format.
    ///
    /// # Errors
    /// As [`LslSampleOutlet::new`]; [`SourceError::Lsl`] for more than one label.
    pub fn new(network: Network, spec: &StreamSpec) -> Result<Self, SourceError> {
        if spec.labels.len() > 1 {
            return Err(refused(spec, "a marker stream has one channel"));
        }
        let text = StreamSpec {
            rate_hz: 0.0,
            format: Format::String,
            labels: vec![spec.labels.first().cloned().unwrap_or_default()],
            units: Vec::new(),
            ..spec.clone()
        };
        Ok(Self {
            published: Published::new(network, &text)?,
        })
    }

    /// What was published, with this outlet's own hostname and uid.
    #[must_use]
    pub fn spec(&self) -> &StreamSpec {
        &self.published.spec
    }

    /// How many inlets read this stream now.
    #[must_use]
    pub fn consumers(&self) -> usize {
        self.published.outlet.consumer_count()
    }

    /// Waits for the first inlet; `false` when none came in time.
    #[must_use]
    pub fn wait_for_consumers(&self, timeout: Duration) -> bool {
        self.published.outlet.wait_for_consumers(timeout)
    }
}

impl MarkerSink for LslMarkerOutlet {
    /// As the trait says; stamps as for samples. A marker of more than [`MAX_MARKER_BYTES`] is refused.
    fn push(&mut self, marker: &str, stamp: f64) -> Result<(), SourceError> {
        let spec = &self.published.spec;
        check_stamp(spec, stamp)?;
        if marker.len() > MAX_MARKER_BYTES {
            return Err(SourceError::Oversized {
                name: spec.name.clone(),
                what: "a marker",
                actual: format!("{} bytes", marker.len()),
                max: format!("{MAX_MARKER_BYTES} bytes"),
            });
        }
        self.published.outlet.push(&Sample {
            timestamp: stamp,
            values: vec![Value::Str(marker.as_bytes().to_vec())],
        });
        Ok(())
    }
}

impl Published {
    // The network is taken as proof that the configuration was settled first.
    fn new(_network: Network, spec: &StreamSpec) -> Result<Self, SourceError> {
        if spec.name.is_empty() {
            return Err(refused(spec, "a stream needs a name"));
        }
        if !(1..=MAX_CHANNELS).contains(&spec.labels.len()) {
            return Err(SourceError::Oversized {
                name: spec.name.clone(),
                what: "the channel count",
                actual: spec.labels.len().to_string(),
                max: format!("1 to {MAX_CHANNELS}"),
            });
        }
        if !spec.units.is_empty() && spec.units.len() != spec.labels.len() {
            return Err(refused(spec, "give every channel a unit, or none"));
        }
        if !(0.0..=MAX_RATE_HZ).contains(&spec.rate_hz) {
            return Err(SourceError::Oversized {
                name: spec.name.clone(),
                what: "the nominal rate",
                actual: format!("{} Hz", spec.rate_hz),
                max: format!("0 (irregular) to {} Hz", MAX_RATE_HZ),
            });
        }
        let mut info = labstream_net::StreamInfo::new(
            &spec.name,
            &spec.kind,
            spec.labels.len() as u32,
            wire_format(spec.format),
            spec.rate_hz,
        );
        info.source_id = spec.source_id.clone();
        info.desc = description(spec)?;
        let outlet = labstream_net::Outlet::new(info).map_err(|error| {
            refused(
                spec,
                &format!("no outlet could be opened ({error}); LSL has 32 ports per machine, stop other outlets"),
            )
        })?;
        let published = outlet.info();
        let spec = StreamSpec {
            hostname: published.hostname.clone(),
            uid: published.uid.clone(),
            xml: published.to_fullinfo_xml(),
            ..spec.clone()
        };
        Ok(Self { outlet, spec })
    }
}

/// The `<desc>` of the given XML, with `<channels>` from labels and units where it has none.
fn description(spec: &StreamSpec) -> Result<Node, SourceError> {
    let mut description = Node::element("desc");
    if !spec.xml.is_empty() {
        if spec.xml.len() > MAX_XML_BYTES || nesting(&spec.xml) > MAX_XML_DEPTH {
            return Err(SourceError::Oversized {
                name: spec.name.clone(),
                what: "the description",
                actual: format!("{} bytes, {} deep", spec.xml.len(), nesting(&spec.xml)),
                max: format!("{MAX_XML_BYTES} bytes, {MAX_XML_DEPTH} deep"),
            });
        }
        let root =
            desc::parse(&spec.xml).ok_or_else(|| refused(spec, "its description is no XML"))?;
        if let Some(given) = root.child("desc") {
            description = given.clone();
        }
    }
    let named = spec
        .labels
        .iter()
        .chain(&spec.units)
        .any(|text| !text.is_empty());
    if named && description.child("channels").is_none() {
        let channels = description.append_child("channels");
        for (number, label) in spec.labels.iter().enumerate() {
            let channel = channels.append_child("channel");
            channel.append_child_value("label", label);
            if let Some(unit) = spec.units.get(number).filter(|unit| !unit.is_empty()) {
                channel.append_child_value("unit", unit);
            }
            if !spec.kind.is_empty() {
                channel.append_child_value("type", &spec.kind);
            }
        }
    }
    Ok(description)
}

fn check_stamp(spec: &StreamSpec, stamp: f64) -> Result<(), SourceError> {
    if stamp == 0.0 || stamp == DEDUCED_TIMESTAMP {
        return Err(refused(
            spec,
            "a stamp of exactly 0 or -1 s has another meaning in LSL",
        ));
    }
    Ok(())
}

fn refused(spec: &StreamSpec, reason: &str) -> SourceError {
    SourceError::Lsl(format!("stream '{}': {reason}", spec.name))
}
