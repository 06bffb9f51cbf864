//! The presenter: shows flashes and calibration cues at their times, and says so on the marker stream.
//!
//! It is the headless twin of a stimulus surface: what it "shows" is the marker, stamped when it was due to change, so an
//! external stimulus program or the simulated person can follow it. The stamp's quality is [`StampQuality::Software`].
//! One thread of the control plane owns it; EEG learns of each flash through a lock-free ring.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use razvilka_dsp::units::{LslTime, MonoTime};
use ringbuf::HeapProd;
use ringbuf::traits::Producer;
use serde::{Deserialize, Serialize};

use crate::choice::FlashSequence;
use crate::fork::ForkId;
use crate::gate::Lease;
use crate::marker::{Event, Marker};
use crate::recording::MarkerTap;
use crate::rt;
use crate::source::MarkerSink;

/// What the stamp of a flash is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StampQuality {
    /// Taken by software when the change was ordered; the display's own delay is not in it.
    Software,
}

/// A flash, told to the EEG thread: everything fits in one word and two stamps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlashNotice {
    /// See [`FlashId`].
    pub id: FlashId,
    /// Onset on the EEG stream's own clock, seconds.
    pub onset_s: f64,
    /// To be added to the EEG stream's stamps to give our clock, frozen for the fork.
    pub offset_s: f64,
    /// Epoch of the streams when the fork was opened.
    pub lease: Lease,
}

/// Fork, number of the flash's marker, and the item that flashed, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlashId(pub u64);

impl FlashId {
    /// Packs the three; `number` below 2^24 and `item` below 2^8.
    #[must_use]
    pub const fn new(fork: ForkId, number: u32, item: u8) -> Self {
        Self((fork.0 << 32) | ((number as u64 & 0xff_ffff) << 8) | item as u64)
    }

    /// The fork.
    #[must_use]
    pub const fn fork(self) -> ForkId {
        ForkId(self.0 >> 32)
    }

    /// Number of the flash's marker (its last 24 bits).
    #[must_use]
    pub const fn number(self) -> u32 {
        ((self.0 >> 8) & 0xff_ffff) as u32
    }

    /// The item that flashed.
    #[must_use]
    pub const fn item(self) -> u8 {
        (self.0 & 0xff) as u8
    }
}

/// The marker stream: numbers, stamps, publishes and records.
pub struct MarkerStream {
    sink: Box<dyn MarkerSink>,
    tap: Option<MarkerTap>,
    seq: Arc<AtomicU64>,
}

impl MarkerStream {
    /// A stream that publishes to `sink`; numbers go on from `seq`.
    #[must_use]
    pub fn new(sink: Box<dyn MarkerSink>, seq: Arc<AtomicU64>) -> Self {
        Self {
            sink,
            tap: None,
            seq,
        }
    }

    /// Number of the next marker.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.seq.load(Ordering::Relaxed)
    }

    /// From now on markers are also recorded here.
    pub fn record_to(&mut self, tap: Option<MarkerTap>) {
        self.tap = tap;
    }

    /// Publishes an event with its stamp on our LSL clock.
    pub fn say(&mut self, body: Event, stamp: LslTime) {
        let marker = Marker {
            seq: self.seq.fetch_add(1, Ordering::Relaxed),
            body,
        };
        let json = marker.to_json();
        // A listener that cannot be reached must not stop the session; the recording has the marker.
        let _ = self.sink.push(&json, stamp.get());
        if let Some(tap) = &mut self.tap {
            tap.push(stamp.get(), json);
        }
    }
}

/// What the presenter is asked to do.
pub enum Ask {
    /// Publish this now.
    Say(Event),
    /// Publish this with the stamp it was scheduled for.
    SayAt(Event, LslTime),
    /// Flash items until told to stop.
    Flash(Box<FlashRun>),
    /// Stop flashing.
    Hush,
    /// Record markers here from now on.
    RecordTo(Option<MarkerTap>),
}

/// A run of flashes.
pub struct FlashRun {
    /// The fork they belong to; in calibration `None`.
    pub fork: Option<ForkId>,
    /// Cued block and cued item; in a session `None`.
    pub cued: Option<(u32, i32)>,
    /// Which item when.
    pub sequence: FlashSequence,
    /// First flash, on our LSL clock.
    pub begin: LslTime,
    /// To be added to the EEG stream's stamps to give our clock, frozen for the fork; `None` without EEG.
    pub eeg_offset_s: Option<f64>,
    /// Epoch of the streams.
    pub lease: Lease,
    /// Most flashes; `None` for no limit. After the last, `done` is told.
    pub flashes_max: Option<u32>,
    /// Told when `flashes_max` flashes have been shown.
    pub done: Option<Sender<()>>,
}

/// The presenter's thread.
pub struct Presenter {
    asks: Sender<Ask>,
    thread: JoinHandle<(MarkerStream, Shown)>,
}

/// What the presenter did.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Shown {
    /// Flashes shown.
    pub flashes: u64,
    /// Largest distance of a flash from its due time, nanoseconds.
    pub late_ns_max: u64,
    /// Flashes more than 5 ms late.
    pub late: u64,
    /// Flashes that the EEG thread could not be told of.
    pub unheard: u64,
}

const LATE_NS: u64 = 5_000_000;

impl Presenter {
    /// Starts the thread; `notices` leads to the EEG thread.
    ///
    /// # Errors
    /// The system's error when no thread can be made.
    pub fn start(
        stream: MarkerStream,
        notices: Option<HeapProd<FlashNotice>>,
    ) -> std::io::Result<Self> {
        let (asks, heard) = bounded(256);
        let thread = std::thread::Builder::new()
            .name("presenter".into())
            .spawn(move || {
                let mut presenting = Presenting {
                    stream,
                    notices,
                    run: None,
                    shown: Shown::default(),
                };
                presenting.until_closed(&heard);
                (presenting.stream, presenting.shown)
            })?;
        Ok(Self { asks, thread })
    }

    /// Asks for something; answers come as markers.
    pub fn ask(&self, ask: Ask) {
        // The thread lives as long as `self`: only a panic in it closes the channel, which `stop` reports.
        let _ = self.asks.send(ask);
    }

    /// Stops the thread and gives the stream back; `None` when it panicked.
    #[must_use]
    pub fn stop(self) -> Option<(MarkerStream, Shown)> {
        drop(self.asks);
        self.thread.join().ok()
    }
}

struct Presenting {
    stream: MarkerStream,
    notices: Option<HeapProd<FlashNotice>>,
    run: Option<(FlashRun, MonoTime, u32)>,
    shown: Shown,
}

impl Presenting {
    fn until_closed(&mut self, heard: &Receiver<Ask>) {
        loop {
            let wait = self
                .run
                .as_ref()
                .map_or(Duration::from_secs(3600), |(_, due, _)| {
                    // The last millisecond is slept precisely, below.
                    Duration::from_nanos(due.nanos_since(rt::now()).saturating_sub(1_000_000))
                });
            match heard.recv_timeout(wait) {
                Ok(ask) => self.take(ask),
                Err(RecvTimeoutError::Timeout) => self.flash(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn take(&mut self, ask: Ask) {
        match ask {
            Ask::Say(event) => self.stream.say(event, rt::lsl_now()),
            Ask::SayAt(event, stamp) => self.stream.say(event, stamp),
            Ask::Flash(run) => {
                let begin = rt::mono_of(run.begin);
                self.run = Some((*run, begin, 0));
            }
            Ask::Hush => self.run = None,
            Ask::RecordTo(tap) => self.stream.record_to(tap),
        }
    }

    fn flash(&mut self) {
        let Some((mut run, due, number)) = self.run.take() else {
            return;
        };
        rt::sleep_until(due);
        let next = run.sequence.next_flash();
        let stamp = rt::now();
        let late = stamp.nanos_since(due);
        self.shown.flashes += 1;
        self.shown.late_ns_max = self.shown.late_ns_max.max(late);
        self.shown.late += u64::from(late > LATE_NS);
        let onset = rt::lsl_of(stamp);
        if let (Some(notices), Some(fork), Some(offset)) =
            (&mut self.notices, run.fork, run.eeg_offset_s)
        {
            let id = FlashId::new(fork, self.stream.next_seq() as u32, next.item as u8);
            let notice = FlashNotice {
                id,
                onset_s: onset.get() - offset,
                offset_s: offset,
                lease: run.lease,
            };
            let told = notices.try_push(notice).is_ok();
            self.shown.unheard += u64::from(!told);
        }
        let item = next.item;
        self.stream.say(
            Event::Flash {
                item,
                target: run.cued.map(|(_, cued)| u8::from(cued == item)),
                run: run.cued.map(|(block, _)| block),
                fork: run.fork.map(|fork| fork.0),
            },
            onset,
        );
        if run.flashes_max.is_some_and(|max| number + 1 >= max) {
            if let Some(done) = run.done {
                let _ = done.send(());
            }
            return;
        }
        let due = MonoTime::from_nanos(due.as_nanos() + (next.soa_s * 1e9) as u64);
        // After a long stall the schedule starts anew rather than flashing in a burst.
        let due = if rt::now() > due { rt::now() } else { due };
        self.run = Some((run, due, number + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flash_id_carries_fork_number_and_item() {
        let id = FlashId::new(ForkId(41), 70_000, 5);
        assert_eq!((id.fork(), id.number(), id.item()), (ForkId(41), 70_000, 5));
    }
}
