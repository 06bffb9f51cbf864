//! The recorder: one control-plane thread that takes what the taps were given and appends it to an XDF file.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender};

use super::{
    cadence::OffsetCadence,
    summary::{Incomplete, RecordingSummary, StreamSummary},
    tap::{Counters, Entry, Key, MarkerTap, OffsetTap, SampleDrain, SampleTap, sample_ring},
    xdf::{Medium, StreamId, WriteError, Writer, header_xml},
};
use crate::source::{ClockOffset, Format, SharedStamps, StreamSpec};

/// How often rings are emptied.
const DRAIN_EVERY: Duration = Duration::from_millis(100);
/// How often everything is forced onto the disk.
const PERSIST_EVERY: Duration = Duration::from_millis(900);
/// How often a boundary is written.
const BOUNDARY_EVERY: Duration = Duration::from_secs(10);
/// Samples taken from a ring at once.
const DRAIN_SAMPLES: usize = 4096;
/// A ring is never larger than this, bytes of stamps and values.
const RING_BYTES_MAX: usize = 64 << 20;
/// Rate assumed for the ring of an irregular stream, hertz.
const IRREGULAR_RATE_HZ: f64 = 1000.0;

/// How much the recorder can hold while the disk is busy. What goes beyond is dropped, counted and reported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Capacity {
    /// Ring of each sample stream, seconds at its nominal rate; 30 by default, at most 64 MiB each.
    pub ring_s: f64,
    /// Markers and clock offsets waiting in all; 65,536 by default.
    pub queue: usize,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            ring_s: 30.0,
            queue: 1 << 16,
        }
    }
}

/// How the recording stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecorderStatus {
    /// Bytes written.
    pub bytes: u64,
    /// Samples and markers dropped or not written so far, over all streams.
    pub lost: u64,
    /// Why writing has ended; `None` while all is well.
    pub failure: Option<String>,
    /// What somebody should know of the streams, one sentence each: their samples share stamps in blocks.
    pub remarks: Vec<String>,
}

/// State that the handle and the thread share.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    bytes: AtomicU64,
    unwritten: AtomicU64,
    failure: OnceLock<String>,
    remarks: std::sync::Mutex<Vec<String>>,
}

/// Streams that wait for the thread to begin them, at most; whoever adds more waits.
const STREAMS_WAITING: usize = 64;

/// A stream on its way to the thread.
struct Added {
    key: Key,
    spec: StreamSpec,
    drain: Option<SampleDrain>,
    counters: Arc<Counters>,
}

/// Records streams into one XDF file.
///
/// Streams can be added at any time. Samples come through [`SampleTap`] (real-time, lock-free ring), markers through
/// [`MarkerTap`], clock offsets through [`OffsetTap`]. One thread appends them: rings are emptied ten times a second,
/// everything is forced onto the disk at least once a second, a boundary is written every ten seconds. A failing disk is kept from
/// the taps: they go on as before, and [`Self::status`] and the summary say what is missing.
pub struct Recorder {
    capacity: Capacity,
    next_key: AtomicU32,
    added: Sender<Added>,
    queue: Sender<Entry>,
    counters: std::sync::Mutex<Vec<Arc<Counters>>>,
    shared: Arc<Shared>,
    done: Receiver<RecordingSummary>,
}

impl Recorder {
    /// Creates the file (0600, never overwriting) and starts recording.
    ///
    /// # Errors
    /// [`WriteError::Create`] when the file exists or cannot be created, [`WriteError::Failed`] when it cannot be
    /// written to or the thread cannot be started.
    pub fn create(path: &Path, capacity: Capacity) -> Result<Self, WriteError> {
        Self::start(Writer::create(path)?, capacity)
    }

    /// Records onto any medium.
    ///
    /// # Errors
    /// [`WriteError::Failed`] when the thread cannot be started.
    pub fn start<M: Medium + Send + 'static>(
        writer: Writer<M>,
        capacity: Capacity,
    ) -> Result<Self, WriteError> {
        let (added, added_out) = channel::bounded(STREAMS_WAITING);
        let (queue, queue_out) = channel::bounded(capacity.queue.max(1));
        let (done_in, done) = channel::bounded(1);
        let shared = Arc::new(Shared::default());
        let offset = writer.bytes();
        let thread = RecorderThread {
            writer,
            added: added_out,
            queue: queue_out,
            shared: Arc::clone(&shared),
            lanes: BTreeMap::new(),
            stamps: Vec::new(),
            data: Vec::new(),
        };
        thread::Builder::new()
            .name("recorder".into())
            .spawn(move || {
                // The receiver is gone when nobody waits for the summary any more.
                let _ = done_in.send(thread.run());
            })
            .map_err(|error| WriteError::Failed {
                offset,
                reason: format!("no thread for recording: {error}"),
            })?;
        Ok(Self {
            capacity,
            next_key: AtomicU32::new(0),
            added,
            queue,
            counters: std::sync::Mutex::default(),
            shared,
            done,
        })
    }

    /// Adds a numeric stream.
    ///
    /// # Errors
    /// [`WriteError::Header`] when readers would refuse the stream, [`WriteError::Shape`] when it is a text stream,
    /// [`WriteError::Failed`] when the recorder has ended.
    pub fn add_samples(&self, spec: &StreamSpec) -> Result<(SampleTap, OffsetTap), WriteError> {
        if spec.format == Format::String {
            return Err(shape(
                spec,
                "the format of a sample stream",
                "numeric",
                "text",
            ));
        }
        // Refused here, where the caller can still act on it; also bounds channels and rate.
        header_xml(spec)?;
        let rate_hz = if spec.rate_hz > 0.0 {
            spec.rate_hz
        } else {
            IRREGULAR_RATE_HZ
        };
        let sample_bytes = size_of::<f64>() + spec.labels.len() * size_of::<f32>();
        let samples_max = RING_BYTES_MAX / sample_bytes;
        // A float beyond the range of usize saturates, and the bound is far below.
        let samples = ((rate_hz * self.capacity.ring_s).ceil() as usize).clamp(64, samples_max);
        let counters = Arc::new(Counters::default());
        let (tap, drain) = sample_ring(samples, spec.labels.len(), Arc::clone(&counters));
        let key = self.add(spec, Some(drain), counters)?;
        Ok((
            tap,
            OffsetTap {
                key,
                queue: self.queue.clone(),
            },
        ))
    }

    /// Adds a text stream of one channel.
    ///
    /// # Errors
    /// As [`Self::add_samples`]; [`WriteError::Shape`] when the stream is numeric or has several channels.
    pub fn add_markers(&self, spec: &StreamSpec) -> Result<(MarkerTap, OffsetTap), WriteError> {
        if spec.format != Format::String {
            return Err(shape(
                spec,
                "the format of a marker stream",
                "text",
                "numeric",
            ));
        }
        header_xml(spec)?;
        if spec.labels.len() != 1 {
            return Err(shape(
                spec,
                "the channels of a marker stream",
                "1",
                &spec.labels.len().to_string(),
            ));
        }
        let counters = Arc::new(Counters::default());
        let key = self.add(spec, None, Arc::clone(&counters))?;
        let queue = self.queue.clone();
        Ok((
            MarkerTap {
                key,
                queue: queue.clone(),
                counters,
            },
            OffsetTap { key, queue },
        ))
    }

    fn add(
        &self,
        spec: &StreamSpec,
        drain: Option<SampleDrain>,
        counters: Arc<Counters>,
    ) -> Result<Key, WriteError> {
        let key = self.next_key.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut all) = self.counters.lock() {
            all.push(Arc::clone(&counters));
        }
        self.added
            .send(Added {
                key,
                spec: spec.clone(),
                drain,
                counters,
            })
            .map_err(|_| WriteError::Failed {
                offset: self.shared.bytes.load(Ordering::Relaxed),
                reason: "the recorder has ended".into(),
            })?;
        Ok(key)
    }

    /// How the recording stands now.
    #[must_use]
    pub fn status(&self) -> RecorderStatus {
        let dropped: u64 = self
            .counters
            .lock()
            .map(|all| {
                all.iter()
                    .map(|counters| counters.dropped.load(Ordering::Relaxed))
                    .sum()
            })
            .unwrap_or(0);
        RecorderStatus {
            bytes: self.shared.bytes.load(Ordering::Relaxed),
            lost: dropped + self.shared.unwritten.load(Ordering::Relaxed),
            failure: self.shared.failure.get().cloned(),
            remarks: self
                .shared
                .remarks
                .lock()
                .map(|all| all.clone())
                .unwrap_or_default(),
        }
    }

    /// Takes what is still in the rings, writes the footers and ends; waits at most `wait` for the disk.
    ///
    /// Values pushed after this call are not recorded.
    #[must_use = "the summary says whether the recording is whole"]
    pub fn finish(self, wait: Duration) -> RecordingSummary {
        self.shared.stop.store(true, Ordering::Release);
        let nothing = |reason| RecordingSummary {
            streams: Vec::new(),
            bytes: self.shared.bytes.load(Ordering::Relaxed),
            incomplete: vec![reason],
        };
        match self.done.recv_timeout(wait) {
            Ok(summary) => summary,
            Err(RecvTimeoutError::Timeout) => nothing(Incomplete::Unfinished {
                waited_s: wait.as_secs(),
            }),
            Err(RecvTimeoutError::Disconnected) => nothing(Incomplete::Died),
        }
    }
}

impl Drop for Recorder {
    /// The thread writes the footers and ends by itself; nobody waits for it.
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
    }
}

fn shape(spec: &StreamSpec, what: &'static str, expected: &str, actual: &str) -> WriteError {
    WriteError::Shape {
        name: spec.name.clone(),
        what,
        expected: expected.into(),
        actual: actual.into(),
    }
}

/// What the thread keeps of a stream.
struct Lane {
    name: String,
    /// `None` when even the header could not be written.
    stream: Option<StreamId>,
    drain: Option<SampleDrain>,
    counters: Arc<Counters>,
    unwritten: u64,
    refused: Option<(u64, String)>,
    offset: OffsetCadence,
    shared: SharedStamps,
    /// Whether it was remarked that its samples share stamps.
    remarked: bool,
}

struct RecorderThread<M> {
    writer: Writer<M>,
    added: Receiver<Added>,
    queue: Receiver<Entry>,
    shared: Arc<Shared>,
    lanes: BTreeMap<Key, Lane>,
    stamps: Vec<f64>,
    data: Vec<f32>,
}

impl<M: Medium> RecorderThread<M> {
    fn run(mut self) -> RecordingSummary {
        let start = Instant::now();
        let (mut drained, mut persisted, mut bounded) = (start, start, start);
        loop {
            let stopping = self.shared.stop.load(Ordering::Acquire);
            let idle = DRAIN_EVERY.saturating_sub(drained.elapsed());
            let first = if stopping {
                None
            } else {
                self.queue.recv_timeout(idle).ok()
            };
            // What waits now and no more, so that a flood cannot keep the rings waiting. Headers come before what belongs
            // to them: a tap is handed out after its stream was sent, so the streams of all that waits now are there.
            let queued = self.queue.len();
            self.take_streams();
            let more = self.queue.clone();
            for entry in first.into_iter().chain(more.try_iter().take(queued)) {
                self.take_entry(entry);
            }
            if stopping || drained.elapsed() >= DRAIN_EVERY {
                drained = Instant::now();
                self.take_samples();
                self.write_offsets(drained);
            }
            if stopping {
                return self.finish();
            }
            if bounded.elapsed() >= BOUNDARY_EVERY {
                bounded = Instant::now();
                let written = self.writer.boundary();
                self.note(written);
            }
            if persisted.elapsed() >= PERSIST_EVERY {
                persisted = Instant::now();
                let written = self.writer.persist();
                self.note(written);
            }
            self.shared
                .bytes
                .store(self.writer.bytes(), Ordering::Relaxed);
        }
    }

    fn take_streams(&mut self) {
        while let Ok(Added {
            key,
            spec,
            drain,
            counters,
        }) = self.added.try_recv()
        {
            let stream = self.writer.add_stream(&spec);
            let lane = Lane {
                name: spec.name,
                stream: stream.as_ref().ok().copied(),
                drain,
                counters,
                unwritten: 0,
                refused: None,
                offset: OffsetCadence::default(),
                shared: SharedStamps::default(),
                remarked: false,
            };
            self.lanes.insert(key, lane);
            self.note(stream.map(|_| ()));
        }
    }

    fn take_entry(&mut self, entry: Entry) {
        match entry {
            Entry::Marker { key, stamp, text } => {
                let Some(lane) = self.lanes.get_mut(&key) else {
                    return;
                };
                let written = match lane.stream {
                    Some(stream) => self.writer.texts(stream, &[stamp], &[text]),
                    None => Ok(()),
                };
                let lost = u64::from(lane.stream.is_none() || written.is_err());
                self.count(key, lost, written);
            }
            Entry::Offset { key, offset } => {
                if let Some(lane) = self.lanes.get_mut(&key) {
                    lane.offset.offer(offset);
                }
            }
        }
    }

    fn take_samples(&mut self) {
        let keys: Vec<Key> = self.lanes.keys().copied().collect();
        for key in keys {
            let Some(drain) = self.lanes.get(&key).and_then(|lane| lane.drain.as_ref()) else {
                continue;
            };
            // What is pushed meanwhile can wait for the next round.
            let mut waiting = drain.waiting();
            while waiting > 0 {
                waiting = waiting.saturating_sub(DRAIN_SAMPLES);
                self.take_block(key);
            }
        }
    }

    /// Moves one block of samples from a stream's ring to the file.
    fn take_block(&mut self, key: Key) {
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        let Some(drain) = &mut lane.drain else {
            return;
        };
        let taken = drain.drain(DRAIN_SAMPLES, &mut self.stamps, &mut self.data);
        lane.shared.push(&self.stamps);
        if !lane.remarked
            && let Some(words) = lane.shared.in_words(&lane.name)
        {
            lane.remarked = true;
            if let Ok(mut remarks) = self.shared.remarks.lock() {
                remarks.push(words);
            }
        }
        let stream = lane.stream;
        let before = self.samples_of(stream);
        let written = match stream {
            Some(stream) => self.writer.floats(stream, &self.stamps, &self.data),
            None => Ok(()),
        };
        let lost = taken as u64 - (self.samples_of(stream) - before);
        self.count(key, lost, written);
    }

    fn samples_of(&self, stream: Option<StreamId>) -> u64 {
        self.writer
            .totals()
            .find(|totals| Some(totals.stream) == stream)
            .map_or(0, |totals| totals.samples)
    }

    fn write_offsets(&mut self, now: Instant) {
        let due: Vec<(StreamId, ClockOffset)> = self
            .lanes
            .values_mut()
            .filter_map(|lane| Some((lane.stream?, lane.offset.due(now)?)))
            .collect();
        for (stream, offset) in due {
            let written = self.writer.clock_offset(stream, offset);
            self.note(written);
        }
    }

    /// Counts what was lost of a stream, and why.
    fn count(&mut self, key: Key, lost: u64, written: Result<(), WriteError>) {
        if let Some(lane) = self.lanes.get_mut(&key)
            && lost > 0
        {
            lane.unwritten += lost;
            self.shared.unwritten.fetch_add(lost, Ordering::Relaxed);
            if let Err(error @ (WriteError::Shape { .. } | WriteError::TooLarge { .. })) = &written
            {
                lane.refused.get_or_insert_with(|| (0, error.to_string())).0 += lost;
            }
        }
        self.note(written);
    }

    /// Makes a failure of the disk known.
    fn note(&self, written: Result<(), WriteError>) {
        if let Err(error @ WriteError::Failed { .. }) = written {
            // Later failures only repeat the first.
            let _ = self.shared.failure.set(error.to_string());
        }
    }

    fn finish(mut self) -> RecordingSummary {
        for lane in self.lanes.values_mut() {
            lane.offset.flush();
        }
        self.write_offsets(Instant::now());
        let written = self.writer.write_footers();
        self.note(written);
        self.shared
            .bytes
            .store(self.writer.bytes(), Ordering::Relaxed);
        let mut incomplete = Vec::new();
        if let Some(reason) = self.shared.failure.get() {
            incomplete.push(Incomplete::Write {
                reason: reason.clone(),
            });
        }
        let mut streams = Vec::new();
        for lane in self.lanes.into_values() {
            let totals = self
                .writer
                .totals()
                .find(|totals| Some(totals.stream) == lane.stream);
            let dropped = lane.counters.dropped.load(Ordering::Relaxed);
            if dropped > 0 {
                incomplete.push(Incomplete::Dropped {
                    stream: lane.name.clone(),
                    count: dropped,
                });
            }
            if let Some((count, reason)) = lane.refused {
                incomplete.push(Incomplete::Refused {
                    stream: lane.name.clone(),
                    count,
                    reason,
                });
            }
            streams.push(StreamSummary {
                name: lane.name,
                samples: totals.map_or(0, |totals| totals.samples),
                dropped,
                unwritten: lane.unwritten,
                measured_rate_hz: totals.and_then(super::xdf::Totals::measured_rate_hz),
            });
        }
        RecordingSummary {
            streams,
            bytes: self.writer.bytes(),
            incomplete,
        }
    }
}
