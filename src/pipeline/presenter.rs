//! The presenter: shows flashes and calibration cues at their times, and says so on the marker stream.
//!
//! With a stimulus surface a flash is ordered a little ahead, and has its marker when the surface has shown it, stamped with when that
//! was; a flash that was never shown has none. Without a surface what is "shown" is the marker itself, stamped when it was due, so an
//! external stimulus program or the simulated person can follow it.
//! One thread of the control plane owns it; EEG learns of each flash through a lock-free ring.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded, never, select};
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
use crate::view::surface::{FlashOrder, Presented, StampQuality, StimulusSurface, What};

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

/// The marker stream: numbers, stamps, publishes, records, and shows on a surface where there is one.
pub struct MarkerStream {
    sink: Box<dyn MarkerSink>,
    tap: Option<MarkerTap>,
    seq: Arc<AtomicU64>,
    surface: Option<Box<dyn StimulusSurface>>,
}

impl MarkerStream {
    /// A stream that publishes to `sink`; numbers go on from `seq`.
    #[must_use]
    pub fn new(sink: Box<dyn MarkerSink>, seq: Arc<AtomicU64>) -> Self {
        Self {
            sink,
            tap: None,
            seq,
            surface: None,
        }
    }

    /// The same stream, whose markers are also shown here.
    #[must_use]
    pub fn shown_on(mut self, surface: Option<Box<dyn StimulusSurface>>) -> Self {
        self.surface = surface;
        self
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
        let seq = self.seq.fetch_add(1, Ordering::Relaxed);
        if let Some(surface) = &mut self.surface {
            surface.show(seq, &body, stamp);
        }
        let marker = Marker { seq, body };
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
    /// Flashes that were ordered from a surface and never reported as shown: they have no marker.
    #[serde(default)]
    pub unseen: u64,
}

const LATE_NS: u64 = 5_000_000;
/// A surface is told of a flash this long before it is due, so that it can pick the frame: three frames at 60 Hz.
const LEAD_NS: u64 = 50_000_000;
/// A flash that a surface has not reported this long after it was due will not be reported any more.
const UNSEEN_NS: u64 = 500_000_000;
/// Flashes of a surface that may be under way; a surface that shows nothing is not waited for.
const UNDER_WAY: usize = 16;

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
                    ordered: VecDeque::new(),
                    orders: 0,
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

/// A flash that a surface was told of, and what its marker will say.
struct Ordered {
    number: u64,
    item: i32,
    due: MonoTime,
    fork: Option<ForkId>,
    cued: Option<(u32, i32)>,
    eeg_offset_s: Option<f64>,
    lease: Lease,
    /// Whether it belongs to a run that was hushed: what is shown all the same is said, but counts for no fork.
    hushed: bool,
    /// Told when this one, the last of its run, was shown or will not be.
    done: Option<Sender<()>>,
}

struct Presenting {
    stream: MarkerStream,
    notices: Option<HeapProd<FlashNotice>>,
    run: Option<(FlashRun, MonoTime, u32)>,
    ordered: VecDeque<Ordered>,
    orders: u64,
    shown: Shown,
}

impl Presenting {
    fn until_closed(&mut self, heard: &Receiver<Ask>) {
        let reports = self
            .stream
            .surface
            .as_ref()
            .map_or_else(never, |surface| surface.reports().clone());
        loop {
            select! {
                recv(heard) -> ask => match ask {
                    Ok(ask) => self.take(ask),
                    Err(_) => return,
                },
                recv(reports) -> report => if let Ok(report) = report {
                    self.presented(report);
                },
                default(self.wait()) => {
                    self.give_up_unseen();
                    self.flash();
                }
            }
        }
    }

    /// Until there is something to do without being asked.
    fn wait(&self) -> Duration {
        let now = rt::now();
        let run = self.run.as_ref().map(|(_, due, _)| {
            // Without a surface the last millisecond is slept precisely, when it comes to that.
            let ahead_ns = if self.stream.surface.is_some() {
                LEAD_NS
            } else {
                1_000_000
            };
            due.nanos_since(now).saturating_sub(ahead_ns)
        });
        let oldest = self.ordered.front().map(|flash| {
            let until = MonoTime::from_nanos(flash.due.as_nanos() + UNSEEN_NS);
            until.nanos_since(now)
        });
        let soonest = run.into_iter().chain(oldest).min();
        soonest.map_or(Duration::from_secs(3600), Duration::from_nanos)
    }

    fn take(&mut self, ask: Ask) {
        match ask {
            Ask::Say(event) => self.stream.say(event, rt::lsl_now()),
            Ask::SayAt(event, stamp) => self.stream.say(event, stamp),
            Ask::Flash(run) => {
                let begin = rt::mono_of(run.begin);
                self.run = Some((*run, begin, 0));
            }
            Ask::Hush => {
                self.run = None;
                if let Some(surface) = &mut self.stream.surface {
                    surface.hush();
                }
                self.ordered.iter_mut().for_each(|flash| {
                    flash.hushed = true;
                    flash.done = None;
                });
            }
            Ask::RecordTo(tap) => self.stream.record_to(tap),
        }
    }

    fn flash(&mut self) {
        let Some((mut run, due, number)) = self.run.take() else {
            return;
        };
        let on_surface = self.stream.surface.is_some();
        let ahead_ns = if on_surface { LEAD_NS } else { 1_000_000 };
        if due.nanos_since(rt::now()) > ahead_ns {
            // Woken for something else.
            self.run = Some((run, due, number));
            return;
        }
        if !on_surface {
            rt::sleep_until(due);
        }
        let next = run.sequence.next_flash();
        let last = run.flashes_max.is_some_and(|max| number + 1 >= max);
        self.orders += 1;
        let flash = Ordered {
            number: self.orders,
            item: next.item,
            due,
            fork: run.fork,
            cued: run.cued,
            eeg_offset_s: run.eeg_offset_s,
            lease: run.lease,
            hushed: false,
            done: run.done.take_if(|_| last),
        };
        if on_surface {
            self.order(flash);
        } else {
            self.mark(flash, rt::now(), None);
        }
        if last {
            return;
        }
        let due = MonoTime::from_nanos(due.as_nanos() + (next.soa_s * 1e9) as u64);
        // After a long stall the schedule starts anew rather than flashing in a burst.
        let due = if rt::now() > due { rt::now() } else { due };
        self.run = Some((run, due, number + 1));
    }

    fn order(&mut self, flash: Ordered) {
        let order = FlashOrder {
            number: flash.number,
            item: flash.item,
            due: flash.due,
        };
        let surface = self.stream.surface.as_mut();
        let taken = self.ordered.len() < UNDER_WAY && surface.is_some_and(|s| s.flash(order));
        if taken {
            self.ordered.push_back(flash);
        } else {
            self.unseen(flash);
        }
    }

    /// A surface has shown something.
    fn presented(&mut self, report: Presented) {
        match report.what {
            What::Flash(number) => {
                // Flashes are shown in their order: an older one that was not reported was not shown.
                while let Some(flash) = self.ordered.pop_front_if(|flash| flash.number < number) {
                    self.unseen(flash);
                }
                if let Some(flash) = self.ordered.pop_front_if(|flash| flash.number == number) {
                    self.mark(flash, report.at, Some(report.quality));
                }
            }
            What::Tiles(fork) => {
                let stamp = report.quality;
                self.stream
                    .say(Event::TilesShown { fork, stamp }, rt::lsl_of(report.at));
            }
            What::Scene(marker) => {
                let stamp = report.quality;
                self.stream
                    .say(Event::Shown { marker, stamp }, rt::lsl_of(report.at));
            }
        }
    }

    fn give_up_unseen(&mut self) {
        let now = rt::now();
        let over = |flash: &mut Ordered| flash.due.as_nanos() + UNSEEN_NS <= now.as_nanos();
        while let Some(flash) = self.ordered.pop_front_if(over) {
            self.unseen(flash);
        }
    }

    fn unseen(&mut self, flash: Ordered) {
        self.shown.unseen += u64::from(!flash.hushed);
        if let Some(done) = flash.done {
            let _ = done.send(());
        }
    }

    /// Says that an item flashed, and tells EEG.
    fn mark(&mut self, flash: Ordered, at: MonoTime, stamp: Option<StampQuality>) {
        let late = at.nanos_since(flash.due);
        self.shown.flashes += 1;
        self.shown.late_ns_max = self.shown.late_ns_max.max(late);
        self.shown.late += u64::from(late > LATE_NS);
        let onset = rt::lsl_of(at);
        let fork = flash.fork.filter(|_| !flash.hushed);
        let cued = flash.cued.filter(|_| !flash.hushed);
        if let (Some(notices), Some(fork), Some(offset)) =
            (&mut self.notices, fork, flash.eeg_offset_s)
        {
            let id = FlashId::new(fork, self.stream.next_seq() as u32, flash.item as u8);
            let notice = FlashNotice {
                id,
                onset_s: onset.get() - offset,
                offset_s: offset,
                lease: flash.lease,
            };
            let told = notices.try_push(notice).is_ok();
            self.shown.unheard += u64::from(!told);
        }
        let item = flash.item;
        self.stream.say(
            Event::Flash {
                item,
                target: cued.map(|(_, cued)| u8::from(cued == item)),
                run: cued.map(|(block, _)| block),
                fork: fork.map(|fork| fork.0),
                stamp,
            },
            onset,
        );
        if let Some(done) = flash.done {
            let _ = done.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A surface that shows every flash but those whose item is `blind`, and says so.
    struct Obedient {
        report: Sender<Presented>,
        reports: Receiver<Presented>,
        blind: i32,
    }

    impl StimulusSurface for Obedient {
        fn show(&mut self, _marker: u64, _event: &Event, _at: LslTime) {}

        fn flash(&mut self, order: FlashOrder) -> bool {
            if order.item != self.blind {
                let at = MonoTime::from_nanos(order.due.as_nanos() + 3_000_000);
                let what = What::Flash(order.number);
                let quality = StampQuality::AfterSwap;
                let _ = self.report.send(Presented { what, at, quality });
            }
            true
        }

        fn hush(&mut self) {}

        fn reports(&self) -> &Receiver<Presented> {
            &self.reports
        }
    }

    struct Kept(Sender<(Marker, f64)>);

    impl MarkerSink for Kept {
        fn push(&mut self, text: &str, stamp_s: f64) -> Result<(), crate::source::SourceError> {
            let _ = self.0.send((Marker::from_json(text).unwrap(), stamp_s));
            Ok(())
        }
    }

    #[test]
    fn a_flash_has_its_marker_when_a_surface_has_shown_it_and_none_when_it_has_not() {
        let (keep, kept) = crossbeam::channel::unbounded();
        let (report, reports) = bounded(64);
        let surface = Obedient {
            report,
            reports,
            blind: 2,
        };
        let stream = MarkerStream::new(Box::new(Kept(keep)), Arc::default());
        let stream = stream.shown_on(Some(Box::new(surface)));
        let presenter = Presenter::start(stream, None).unwrap();
        let settings = crate::choice::FlashSettings::new(crate::choice::FlashConfig {
            soa_s: 0.05,
            soa_jitter_s: 0.0,
            target_interval_s_min: 0.1,
            ..crate::choice::FlashConfig::default()
        })
        .unwrap();
        let sequence = FlashSequence::new(4, &settings, 5, 0).unwrap();
        let mut expected = sequence.clone();
        let begin = rt::lsl_now();
        let (tell, done) = bounded(1);
        presenter.ask(Ask::Flash(Box::new(FlashRun {
            fork: Some(ForkId(3)),
            cued: None,
            sequence,
            begin,
            eeg_offset_s: None,
            lease: Lease { epoch: 1 },
            flashes_max: Some(12),
            done: Some(tell),
        })));
        done.recv().unwrap();
        let (_, shown) = presenter.stop().unwrap();
        let flashes: Vec<_> = kept.try_iter().collect();
        assert_eq!((shown.flashes, shown.unseen), (10, 2));
        let ordered: Vec<_> = (0..12)
            .map(|_| expected.next_flash().item)
            .filter(|item| *item != 2)
            .collect();
        let items: Vec<_> = flashes
            .iter()
            .map(|(marker, _)| match marker.body {
                Event::Flash {
                    item,
                    fork: Some(3),
                    stamp: Some(StampQuality::AfterSwap),
                    ..
                } => item,
                ref other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(items, ordered);
        // The stamp is the surface's own, not that of whoever wrote it down.
        let first_s = flashes[0].1 - begin.get();
        assert!(
            (first_s - 0.003).abs() < 1e-6 || ordered[0] != items[0],
            "{first_s}"
        );
    }

    #[test]
    fn a_run_that_was_hushed_leaves_no_marker_for_its_fork() {
        let (keep, kept) = crossbeam::channel::unbounded();
        let (report, reports) = bounded(64);
        let surface = Obedient {
            report: report.clone(),
            reports,
            // Item 0 is shown by hand, below.
            blind: 0,
        };
        let stream = MarkerStream::new(Box::new(Kept(keep)), Arc::default());
        let stream = stream.shown_on(Some(Box::new(surface)));
        let mut presenting = Presenting {
            stream,
            notices: None,
            run: None,
            ordered: VecDeque::new(),
            orders: 0,
            shown: Shown::default(),
        };
        let due = rt::now();
        presenting.order(Ordered {
            number: 1,
            item: 0,
            due,
            fork: Some(ForkId(3)),
            cued: Some((0, 0)),
            eeg_offset_s: Some(0.0),
            lease: Lease { epoch: 1 },
            hushed: false,
            done: None,
        });
        presenting.take(Ask::Hush);
        presenting.presented(Presented {
            what: What::Flash(1),
            at: due,
            quality: StampQuality::AfterSwap,
        });
        let (marker, _) = kept.try_recv().unwrap();
        let bare = Event::Flash {
            item: 0,
            target: None,
            run: None,
            fork: None,
            stamp: Some(StampQuality::AfterSwap),
        };
        assert_eq!(marker.body, bare, "it was seen, and counts for nothing");
        assert_eq!(presenting.shown.unseen, 0);
    }

    #[test]
    fn a_flash_id_carries_fork_number_and_item() {
        let id = FlashId::new(ForkId(41), 70_000, 5);
        assert_eq!((id.fork(), id.number(), id.item()), (ForkId(41), 70_000, 5));
    }
}
