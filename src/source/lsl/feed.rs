//! The bytes of one stream: handshake, then frames, read from the socket by the thread that pulls.
//!
//! Protocol 1.10. A frame is a tag (1: stamp deduced from the one before; 2: an f64 stamp follows), then the body: the
//! channels' raw values, or for text a length and bytes. Nothing is buffered but what one `read` brought, in a buffer of
//! fixed size; what does not fit there waits in the kernel, and behind it in the outlet.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::time::{Duration, Instant};

use labstream_proto::feed::{FeedClient, FeedParams, TestPatternError};
use labstream_proto::header;

use super::discovery::{Stream, wire_format};
use crate::source::SourceError;

/// Seconds of a regular stream that the outlet is asked to keep for us while we do not read.
const OUTLET_BUFFER_S: f64 = 10.0;
/// Samples of an irregular stream that the outlet is asked to keep for us.
const OUTLET_BUFFER_IRREGULAR: i32 = 4096;
/// Room for one `read`: 15 samples of 512 double64 channels, 250 of 64 float32 channels.
const NUMERIC_BUFFER_BYTES: usize = 64 * 1024;
/// The byte order of the wire that means little-endian.
const LITTLE_ENDIAN: i32 = 1234;

/// How the socket waits now; changing it costs a system call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Waiting {
    NotSet,
    Never,
    AtMost(Duration),
}

/// An open feed, positioned at a frame.
pub(super) struct Feed {
    name: String,
    socket: TcpStream,
    waiting: Waiting,
    buffer: Box<[u8]>,
    /// Bytes read and not yet consumed.
    unread: Range<usize>,
    big_endian: bool,
    last_stamp_s: f64,
    /// From one sample to the next of a regular stream, 0 for an irregular one.
    period_s: f64,
    lost: bool,
}

/// One frame's stamp and where its body starts.
#[derive(Debug, Clone, Copy)]
struct Head {
    stamp_s: f64,
    bytes: usize,
}

impl Feed {
    /// Connects, agrees on byte order and version, and compares the two test samples that open every feed.
    ///
    /// `text_bytes` is the longest text of a text stream; the buffer holds one of it.
    pub(super) fn open(
        stream: &Stream,
        text_bytes: usize,
        timeout: Duration,
    ) -> Result<Self, SourceError> {
        let spec = stream.spec();
        let until = Instant::now() + timeout;
        let lost = |error: std::io::Error| SourceError::Lost {
            name: spec.name.clone(),
            reason: format!("its feed could not be opened: {error}"),
        };
        let socket = TcpStream::connect_timeout(&stream.data(), timeout).map_err(lost)?;
        socket.set_nodelay(true).map_err(lost)?;

        let mut params = FeedParams::new(&spec.uid, wire_format(spec.format));
        params.hostname = labstream_net::info::hostname();
        params.source_id = spec.source_id.clone();
        params.session_id = stream.session().to_owned();
        params.max_buffer_length = if spec.rate_hz > 0.0 {
            // At most 500 000, see MAX_RATE_HZ.
            (spec.rate_hz * OUTLET_BUFFER_S).ceil() as i32
        } else {
            OUTLET_BUFFER_IRREGULAR
        };
        let (mut client, request) =
            FeedClient::start(params, wire_format(spec.format), spec.labels.len());

        let mut feed = Self {
            name: spec.name.clone(),
            socket,
            waiting: Waiting::NotSet,
            buffer: vec![0; NUMERIC_BUFFER_BYTES.max(text_bytes + 32)].into_boxed_slice(),
            unread: 0..0,
            big_endian: false,
            last_stamp_s: 0.0,
            period_s: if spec.rate_hz > 0.0 {
                1.0 / spec.rate_hz
            } else {
                0.0
            },
            lost: false,
        };
        feed.socket.write_all(&request).map_err(lost)?;

        let refused =
            |reason: String| SourceError::Lsl(format!("stream '{}': {reason}", spec.name));
        loop {
            match client.on_headers(feed.waiting_bytes()) {
                Ok(used) => break feed.consume(used),
                Err(header::Error::Incomplete) => feed.fill_until(until)?,
                Err(error) => return Err(refused(format!("handshake refused: {error}"))),
            }
        }
        loop {
            match client.on_test_pattern(feed.waiting_bytes()) {
                Ok(used) => break feed.consume(used),
                Err(TestPatternError::Incomplete) => feed.fill_until(until)?,
                Err(_) => {
                    return Err(refused(
                        "its test samples are wrong, so its format is not what it announces"
                            .to_owned(),
                    ));
                }
            }
        }
        feed.big_endian = client
            .agreement()
            .is_some_and(|agreed| agreed.order.wire_value() != LITTLE_ENDIAN);
        Ok(feed)
    }

    pub(super) fn big_endian(&self) -> bool {
        self.big_endian
    }

    /// The next frame whose body has `body_bytes` bytes: its stamp and body, or `None` while it is not whole.
    pub(super) fn next_fixed(
        &mut self,
        body_bytes: usize,
    ) -> Result<Option<(f64, &[u8])>, SourceError> {
        let Some(head) = self.head()? else {
            return Ok(None);
        };
        let body = self.unread.start + head.bytes..self.unread.start + head.bytes + body_bytes;
        Ok(self.take(head, body))
    }

    /// The next frame of one text of at most `text_bytes` bytes.
    pub(super) fn next_text(
        &mut self,
        text_bytes: usize,
    ) -> Result<Option<(f64, &[u8])>, SourceError> {
        let Some(head) = self.head()? else {
            return Ok(None);
        };
        let waiting = self.waiting_bytes().get(head.bytes..).unwrap_or_default();
        let Some((&width, rest)) = waiting.split_first() else {
            return Ok(None);
        };
        let width = usize::from(width);
        if !matches!(width, 1 | 2 | 4 | 8) {
            return Err(self.corrupt(format!("a length of {width} bytes")));
        }
        let Some(digits) = rest.get(..width) else {
            return Ok(None);
        };
        let fold = |value: u64, digit: &u8| value << 8 | u64::from(*digit);
        let length = if self.big_endian {
            digits.iter().fold(0, fold)
        } else {
            digits.iter().rev().fold(0, fold)
        };
        if length > text_bytes as u64 {
            self.lost = true;
            return Err(SourceError::Oversized {
                name: self.name.clone(),
                what: "a text",
                actual: format!("{length} bytes"),
                max: format!("{text_bytes} bytes"),
            });
        }
        let start = self.unread.start + head.bytes + 1 + width;
        Ok(self.take(head, start..start + length as usize))
    }

    /// Reads once, waiting at most `timeout` for the first byte. `false` when nothing came.
    pub(super) fn fill(&mut self, timeout: Duration) -> Result<bool, SourceError> {
        if self.lost {
            return Err(self.gone("it was lost before"));
        }
        if self.unread.is_empty() {
            self.unread = 0..0;
        } else if self.unread.end == self.buffer.len() {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        let wanted = if timeout.is_zero() {
            Waiting::Never
        } else {
            Waiting::AtMost(timeout)
        };
        if wanted != self.waiting {
            self.wait_like(wanted)
                .map_err(|error| self.gone_because(&error))?;
        }
        loop {
            let free = self.buffer.get_mut(self.unread.end..).unwrap_or_default();
            if free.is_empty() {
                // Every frame fits the buffer, so a full buffer without a frame is no feed.
                return Err(self.corrupt("a frame longer than any it may send".to_owned()));
            }
            match self.socket.read(free) {
                Ok(0) => return Err(self.gone("its outlet closed the connection")),
                Ok(n) => {
                    self.unread.end += n;
                    return Ok(true);
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Ok(false),
                    ErrorKind::Interrupted => {}
                    _ => return Err(self.gone_because(&error)),
                },
            }
        }
    }

    fn fill_until(&mut self, until: Instant) -> Result<(), SourceError> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || !self.fill(left)? {
            return Err(self.gone("it did not finish the handshake in time"));
        }
        Ok(())
    }

    fn wait_like(&mut self, wanted: Waiting) -> std::io::Result<()> {
        match wanted {
            Waiting::AtMost(timeout) => {
                if matches!(self.waiting, Waiting::Never) {
                    self.socket.set_nonblocking(false)?;
                }
                self.socket.set_read_timeout(Some(timeout))?;
            }
            Waiting::Never | Waiting::NotSet => self.socket.set_nonblocking(true)?,
        }
        self.waiting = wanted;
        Ok(())
    }

    fn waiting_bytes(&self) -> &[u8] {
        self.buffer.get(self.unread.clone()).unwrap_or_default()
    }

    fn consume(&mut self, bytes: usize) {
        self.unread.start = (self.unread.start + bytes).min(self.unread.end);
    }

    /// Tag and stamp of the next frame; nothing is consumed yet.
    fn head(&mut self) -> Result<Option<Head>, SourceError> {
        let waiting = self.waiting_bytes();
        let Some(&tag) = waiting.first() else {
            return Ok(None);
        };
        match tag {
            1 => Ok(Some(Head {
                stamp_s: self.last_stamp_s + self.period_s,
                bytes: 1,
            })),
            2 => Ok(waiting
                .get(1..)
                .and_then(|rest| rest.first_chunk())
                .map(|&stamp| Head {
                    stamp_s: if self.big_endian {
                        f64::from_be_bytes(stamp)
                    } else {
                        f64::from_le_bytes(stamp)
                    },
                    bytes: 9,
                })),
            other => Err(self.corrupt(format!("the tag {other}"))),
        }
    }

    /// Consumes a frame if its body is there.
    fn take(&mut self, head: Head, body: Range<usize>) -> Option<(f64, &[u8])> {
        if body.end > self.unread.end {
            return None;
        }
        self.unread.start = body.end;
        self.last_stamp_s = head.stamp_s;
        self.buffer.get(body).map(|body| (head.stamp_s, body))
    }

    fn gone(&mut self, reason: &str) -> SourceError {
        self.lost = true;
        SourceError::Lost {
            name: self.name.clone(),
            reason: reason.to_owned(),
        }
    }

    fn gone_because(&mut self, error: &std::io::Error) -> SourceError {
        self.gone(&error.to_string())
    }

    fn corrupt(&mut self, found: String) -> SourceError {
        self.gone(&format!("its feed is corrupt, it sent {found}"))
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use labstream_wire::{
        ByteOrder, Codec, DEDUCED_TIMESTAMP, Sample, TEST_PATTERN_OFFSETS, Value,
    };

    use super::super::inlet::{LslMarkers, LslSamples};
    use super::*;
    use crate::source::{Format, MarkerSource, SampleSource, StreamSpec};

    const PATIENCE: Duration = Duration::from_secs(10);

    fn codec(format: Format, channels: usize, order: ByteOrder) -> Codec {
        Codec::new(wire_format(format), channels, order)
    }

    fn frames(codec: Codec, samples: &[Sample]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for sample in samples {
            codec.encode(sample, &mut bytes).unwrap();
        }
        bytes
    }

    /// An outlet that sends the handshake, correct test samples, then each of `writes` at once, then closes.
    fn outlet(codec: Codec, rate_hz: f64, writes: Vec<Vec<u8>>) -> Stream {
        let test_samples = TEST_PATTERN_OFFSETS
            .map(|offset| labstream_wire::test_pattern(codec.format, codec.channels, offset));
        outlet_with(codec, rate_hz, &test_samples, writes)
    }

    fn outlet_with(
        codec: Codec,
        rate_hz: f64,
        test_samples: &[Sample],
        writes: Vec<Vec<u8>>,
    ) -> Stream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let first = frames(codec, test_samples);
        thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            socket.set_nodelay(true).unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                socket.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            let order = codec.order.wire_value();
            let answer = format!(
                "LSL/110 200 OK\r\nUID: u\r\nByte-Order: {order}\r\nSuppress-Subnormals: 0\r\nData-Protocol-Version: 110\r\n\r\n"
            );
            socket.write_all(answer.as_bytes()).unwrap();
            for bytes in std::iter::once(first).chain(writes) {
                // The reader may have gone by now.
                let _ = socket.write_all(&bytes);
            }
        });
        let format = [Format::Float32, Format::Int16, Format::String]
            .into_iter()
            .find(|f| wire_format(*f) == codec.format)
            .unwrap();
        let spec = StreamSpec {
            name: "Fake".into(),
            kind: String::new(),
            source_id: String::new(),
            hostname: String::new(),
            uid: "u".into(),
            rate_hz,
            format,
            labels: vec![String::new(); codec.channels],
            units: vec![String::new(); codec.channels],
            xml: String::new(),
        };
        Stream::at(spec, address)
    }

    fn sample(timestamp: f64, values: [f32; 2]) -> Sample {
        Sample {
            timestamp,
            values: values.map(Value::F32).to_vec(),
        }
    }

    /// Everything until the source is lost, and how it was lost.
    fn pull_all(source: &mut LslSamples) -> (Vec<f64>, Vec<f32>, String) {
        let (mut stamps, mut values) = (Vec::new(), Vec::new());
        let (mut row, mut stamp) = ([0.0; 6], [0.0; 3]);
        loop {
            match source.pull(&mut row, &mut stamp, PATIENCE) {
                Ok(n) => {
                    assert!(n > 0, "nothing came for {PATIENCE:?}");
                    stamps.extend_from_slice(&stamp[..n]);
                    values.extend_from_slice(&row[..2 * n]);
                }
                Err(error) => return (stamps, values, error.to_string()),
            }
        }
    }

    #[test]
    fn frames_that_arrive_byte_by_byte_come_out_whole() {
        let codec = codec(Format::Float32, 2, ByteOrder::Little);
        let sent: Vec<Sample> = (1..=5_u8)
            .map(|k| sample(f64::from(k), [f32::from(k), f32::NAN]))
            .collect();
        let writes = frames(codec, &sent)
            .into_iter()
            .map(|byte| vec![byte])
            .collect();
        let mut source = LslSamples::open(&outlet(codec, 100.0, writes), PATIENCE).unwrap();
        let (stamps, values, end) = pull_all(&mut source);
        assert_eq!(stamps, [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!(
            values
                .chunks(2)
                .zip(1..)
                .all(|(row, k)| row[0] == k as f32 && row[1].is_nan())
        );
        assert!(end.contains("closed the connection"), "{end}");
    }

    #[test]
    fn a_source_stays_lost() {
        let codec = codec(Format::Float32, 2, ByteOrder::Little);
        let mut source = LslSamples::open(&outlet(codec, 100.0, Vec::new()), PATIENCE).unwrap();
        for _ in 0..3 {
            let got = source.pull(&mut [0.0; 2], &mut [0.0; 1], PATIENCE);
            assert!(matches!(got, Err(SourceError::Lost { .. })), "{got:?}");
        }
    }

    #[test]
    fn deduced_stamps_follow_at_the_nominal_period() {
        let codec = codec(Format::Float32, 2, ByteOrder::Little);
        let sent = [
            sample(10.0, [0.0; 2]),
            sample(DEDUCED_TIMESTAMP, [0.0; 2]),
            sample(DEDUCED_TIMESTAMP, [0.0; 2]),
            sample(20.0, [0.0; 2]),
            sample(DEDUCED_TIMESTAMP, [0.0; 2]),
        ];
        let writes = vec![frames(codec, &sent)];
        let mut regular = LslSamples::open(&outlet(codec, 8.0, writes.clone()), PATIENCE).unwrap();
        assert_eq!(
            pull_all(&mut regular).0,
            [10.0, 10.125, 10.25, 20.0, 20.125]
        );
        let mut irregular = LslSamples::open(&outlet(codec, 0.0, writes), PATIENCE).unwrap();
        assert_eq!(pull_all(&mut irregular).0, [10.0, 10.0, 10.0, 20.0, 20.0]);
    }

    #[test]
    fn a_big_endian_feed_reads_the_same() {
        let codec = codec(Format::Float32, 2, ByteOrder::Big);
        let writes = vec![frames(codec, &[sample(1.5, [2.5, -3.25])])];
        let mut source = LslSamples::open(&outlet(codec, 100.0, writes), PATIENCE).unwrap();
        let (stamps, values, _) = pull_all(&mut source);
        assert_eq!(
            (stamps.as_slice(), values.as_slice()),
            ([1.5].as_slice(), [2.5, -3.25].as_slice())
        );
    }

    #[test]
    fn more_samples_than_the_buffer_holds_arrive_in_order() {
        let codec = codec(Format::Float32, 2, ByteOrder::Little);
        let count = 4 * NUMERIC_BUFFER_BYTES / 17;
        let sent: Vec<Sample> = (1..=count)
            .map(|k| sample(k as f64, [k as f32, 0.0]))
            .collect();
        let mut source =
            LslSamples::open(&outlet(codec, 100.0, vec![frames(codec, &sent)]), PATIENCE).unwrap();
        let (stamps, values, _) = pull_all(&mut source);
        assert_eq!(stamps.len(), count);
        assert!(stamps.iter().zip(1..).all(|(s, k)| *s == f64::from(k)));
        assert!(values.chunks(2).zip(1..).all(|(row, k)| row[0] == k as f32));
    }

    #[test]
    fn a_corrupt_feed_is_lost_and_says_what_was_seen() {
        let codec = codec(Format::Float32, 2, ByteOrder::Little);
        let mut bytes = frames(codec, &[sample(1.0, [1.0, 2.0])]);
        bytes.push(7);
        let mut source = LslSamples::open(&outlet(codec, 100.0, vec![bytes]), PATIENCE).unwrap();
        let (stamps, _, end) = pull_all(&mut source);
        assert_eq!(stamps, [1.0], "what came before the corruption counts");
        assert!(end.contains("corrupt, it sent the tag 7"), "{end}");
    }

    #[test]
    fn test_samples_of_another_format_refuse_the_feed() {
        let codec = codec(Format::Float32, 2, ByteOrder::Little);
        let wrong = [
            sample(123_456.789, [4.0, -4.0]),
            sample(123_456.789, [2.0, -2.0]),
        ];
        let refused = LslSamples::open(&outlet_with(codec, 100.0, &wrong, Vec::new()), PATIENCE);
        let message = refused.err().unwrap().to_string();
        assert!(
            message.contains("its format is not what it announces"),
            "{message}"
        );
    }

    #[test]
    fn text_of_every_length_width_is_read_and_an_absurd_one_is_refused_before_it_is_stored() {
        let codec = codec(Format::String, 1, ByteOrder::Little);
        let long = "д".repeat(40_000);
        let mut bytes = frames(
            codec,
            &[
                Sample {
                    timestamp: 1.0,
                    values: vec![Value::Str("привет".into())],
                },
                Sample {
                    timestamp: 2.0,
                    values: vec![Value::Str(long.clone().into_bytes())],
                },
            ],
        );
        // A deduced stamp, a length of two bytes, not UTF-8.
        bytes.extend([1, 2, 2, 0, b'x', 0xFF]);
        // A length of eight bytes: 2^40.
        bytes.extend([1, 8, 0, 0, 0, 0, 0, 1, 0, 0]);
        let mut source = LslMarkers::open(&outlet(codec, 0.0, vec![bytes]), PATIENCE).unwrap();
        let mut next = || source.pull(PATIENCE);
        assert_eq!(next().unwrap(), Some((1.0, "привет".to_owned())));
        assert_eq!(next().unwrap(), Some((2.0, long)));
        assert_eq!(next().unwrap(), Some((2.0, "x\u{FFFD}".to_owned())));
        assert!(matches!(next(), Err(SourceError::Oversized { .. })));
        assert!(matches!(
            next(),
            Err(SourceError::Lost { .. } | SourceError::Oversized { .. })
        ));
    }

    #[test]
    fn a_buffer_too_small_for_the_samples_asked_for_is_refused() {
        let codec = codec(Format::Float32, 2, ByteOrder::Little);
        let mut source = LslSamples::open(&outlet(codec, 100.0, Vec::new()), PATIENCE).unwrap();
        let short = source.pull(&mut [0.0; 3], &mut [0.0; 2], Duration::ZERO);
        assert!(
            matches!(short, Err(SourceError::Mismatch { .. })),
            "{short:?}"
        );
    }
}
