//! Between the engine and a window: the latest state one way, reports and keys the other. Nothing here locks or waits, so a window that
//! stalls holds up nobody.
//!
//! Text and scene are states: a window that comes late sees the newest and has missed nothing that still stands. Flashes are a short
//! queue, as each of them has its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam::atomic::AtomicCell;
use crossbeam::channel::{Receiver, Sender, bounded};
use crossbeam::queue::ArrayQueue;
use razvilka_dsp::units::LslTime;

use super::page::Page;
use super::scene::Scene;
use super::surface::{FlashOrder, Flashes, Frames, Presented, Stamps, StimulusSurface};
use crate::marker::Event;
use crate::rt;

/// Flashes that may wait for their frame.
const FLASHES: usize = 16;
/// Reports that may wait for the presenter; then the newest are dropped, and what they tell of has no marker.
const REPORTS: usize = 256;
/// Key presses that may wait for whoever pulls; then the newest are dropped.
const PRESSES: usize = 64;

/// Both ends of a channel.
type Ends<T> = (Sender<T>, Receiver<T>);

/// What the engine and a window share.
#[derive(Debug)]
pub struct Board {
    page: ArrayQueue<Arc<Page>>,
    scene: ArrayQueue<Arc<Scene>>,
    flashes: ArrayQueue<(u64, FlashOrder)>,
    /// Orders of an older number are forgotten.
    hushed: AtomicU64,
    report: Ends<Presented>,
    pressed: Ends<(f64, String)>,
    /// Frames per second in thousandths; 0 while not known.
    rate_mhz: AtomicU64,
    missed: AtomicU64,
    stamps: AtomicCell<Stamps>,
    shown: AtomicCell<Flashes>,
    /// A place in degrees as two `f32`; NaN for none.
    mark: AtomicU64,
    closed: AtomicBool,
    over: AtomicBool,
    /// Whether the person must confirm that flashes may be shown, and whether that was done.
    asked: AtomicBool,
    confirmed: AtomicBool,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            page: ArrayQueue::new(1),
            scene: ArrayQueue::new(1),
            flashes: ArrayQueue::new(FLASHES),
            hushed: AtomicU64::new(0),
            report: bounded(REPORTS),
            pressed: bounded(PRESSES),
            rate_mhz: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            stamps: AtomicCell::default(),
            shown: AtomicCell::default(),
            mark: AtomicU64::new(packed(None)),
            closed: AtomicBool::new(false),
            over: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            confirmed: AtomicBool::new(false),
        }
    }
}

/// The engine's side.
impl Board {
    /// Shows this page from now on.
    pub fn turn_page(&self, page: Page) {
        self.page.force_push(Arc::new(page));
    }

    /// How the window's frames come.
    #[must_use]
    pub fn frames(&self) -> Frames {
        let rate_mhz = self.rate_mhz.load(Ordering::Relaxed);
        Frames {
            rate_hz: (rate_mhz > 0).then_some(rate_mhz as f64 / 1_000.0),
            missed: self.missed.load(Ordering::Relaxed),
            stamps: self.stamps.load(),
        }
    }

    /// Whether the window shows flashes.
    #[must_use]
    pub fn flashes(&self) -> Flashes {
        self.shown.load()
    }

    /// Whether the window was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Asks whether flashes may be shown.
    pub fn ask_for_flashes(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Whether it was confirmed that they may.
    #[must_use]
    pub fn flashes_confirmed(&self) -> bool {
        self.confirmed.load(Ordering::Relaxed)
    }

    /// Nothing more will be shown: the window may close.
    pub fn finish(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Where a mark stands, degrees from the centre; none when `None`.
    pub fn put_mark(&self, place: Option<(f64, f64)>) {
        self.mark.store(packed(place), Ordering::Relaxed);
    }

    /// Keys that were pressed in the window: the stamp on our LSL clock, seconds, and the key as JSON.
    #[must_use]
    pub fn presses(&self) -> Receiver<(f64, String)> {
        self.pressed.1.clone()
    }
}

/// The window's side.
impl Board {
    /// A newer page than the last one taken.
    #[must_use]
    pub fn page(&self) -> Option<Arc<Page>> {
        self.page.pop()
    }

    /// A newer scene than the last one taken.
    #[must_use]
    pub fn scene(&self) -> Option<Arc<Scene>> {
        self.scene.pop()
    }

    /// The next flash that still counts.
    #[must_use]
    pub fn next_flash(&self) -> Option<FlashOrder> {
        while let Some((turn, order)) = self.flashes.pop() {
            if turn == self.turn() {
                return Some(order);
            }
        }
        None
    }

    /// Changes whenever flashing is stopped: what was taken before is shown no more.
    #[must_use]
    pub fn turn(&self) -> u64 {
        self.hushed.load(Ordering::Acquire)
    }

    /// Tells what was shown.
    pub fn report(&self, presented: Presented) {
        // The presenter waits for nothing else: full only when it has gone.
        let _ = self.report.0.try_send(presented);
    }

    /// Tells of a key.
    pub fn press(&self, stamp_s: f64, key: String) {
        let _ = self.pressed.0.try_send((stamp_s, key));
    }

    /// Tells how frames come.
    pub fn say_frames(&self, rate_hz: f64, missed: u64) {
        // Bounded by what a display can do: the cast is safe for any finite rate.
        self.rate_mhz
            .store((rate_hz * 1_000.0).max(1.0) as u64, Ordering::Relaxed);
        self.missed.store(missed, Ordering::Relaxed);
    }

    /// Tells what stamps were worth.
    pub fn say_stamps(&self, stamps: Stamps) {
        self.stamps.store(stamps);
    }

    /// Tells whether flashes are shown.
    pub fn say_flashes(&self, flashes: Flashes) {
        self.shown.store(flashes);
    }

    /// Whether it is asked for, and not yet confirmed, that flashes may be shown.
    #[must_use]
    pub fn asks_for_flashes(&self) -> bool {
        self.asked.load(Ordering::Relaxed) && !self.flashes_confirmed()
    }

    /// Tells that flashes may be shown.
    pub fn confirm_flashes(&self) {
        self.confirmed.store(true, Ordering::Relaxed);
    }

    /// Tells that the window was closed.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Whether nothing more will be shown.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Where the mark stands.
    #[must_use]
    pub fn mark(&self) -> Option<(f64, f64)> {
        let word = self.mark.load(Ordering::Relaxed);
        let (x, y) = (
            f32::from_bits((word >> 32) as u32),
            f32::from_bits(word as u32),
        );
        (x.is_finite() && y.is_finite()).then_some((f64::from(x), f64::from(y)))
    }
}

/// Two places of 32 bits in one word, so that no reader sees one of an older place.
fn packed(place: Option<(f64, f64)>) -> u64 {
    let (x, y) = place.map_or((f32::NAN, f32::NAN), |(x, y)| (x as f32, y as f32));
    (u64::from(x.to_bits()) << 32) | u64::from(y.to_bits())
}

/// A board as a surface of the presenter's.
pub struct BoardSurface {
    board: Arc<Board>,
    scene: Scene,
    reports: Receiver<Presented>,
}

impl BoardSurface {
    /// The surface of this board; a board has one.
    #[must_use]
    pub fn new(board: Arc<Board>) -> Self {
        let reports = board.report.1.clone();
        Self {
            board,
            scene: Scene::default(),
            reports,
        }
    }
}

impl StimulusSurface for BoardSurface {
    fn show(&mut self, marker: u64, event: &Event, at: LslTime) {
        if self.scene.follow(marker, event, rt::mono_of(at)) {
            self.board.scene.force_push(Arc::new(self.scene.clone()));
        }
    }

    fn flash(&mut self, order: FlashOrder) -> bool {
        self.board.flashes.push((self.board.turn(), order)).is_ok()
    }

    fn hush(&mut self) {
        self.board.hushed.fetch_add(1, Ordering::Release);
    }

    fn reports(&self) -> &Receiver<Presented> {
        &self.reports
    }
}

#[cfg(test)]
mod tests {
    use razvilka_dsp::units::MonoTime;

    use super::*;
    use crate::view::page::{Author, Span};

    fn page(text: &str) -> Page {
        Page {
            text: vec![Span {
                text: text.into(),
                author: Author::Model,
            }],
            dwell: None,
        }
    }

    #[test]
    fn a_window_that_comes_late_sees_the_newest_page_once() {
        let board = Board::default();
        assert_eq!(board.page(), None);
        for number in 0..1000 {
            board.turn_page(page(&number.to_string()));
        }
        assert_eq!(board.page().as_deref(), Some(&page("999")));
        assert_eq!(board.page(), None);
    }

    #[test]
    fn flashes_that_were_ordered_before_a_hush_are_not_shown() {
        let board = Arc::new(Board::default());
        let mut surface = BoardSurface::new(Arc::clone(&board));
        let order = |number| FlashOrder {
            number,
            item: 2,
            due: MonoTime::from_nanos(5),
        };
        assert!(surface.flash(order(1)));
        assert!(surface.flash(order(2)));
        assert_eq!(board.next_flash(), Some(order(1)));
        let turn = board.turn();
        surface.hush();
        assert_ne!(
            board.turn(),
            turn,
            "the one that is shown goes off by this sign"
        );
        assert!(surface.flash(order(3)));
        assert_eq!(board.next_flash(), Some(order(3)));
        assert_eq!(board.next_flash(), None);
    }

    #[test]
    fn a_surface_that_takes_no_flashes_says_so_instead_of_waiting() {
        let mut surface = BoardSurface::new(Arc::new(Board::default()));
        let taken = (1..100)
            .filter(|number| {
                surface.flash(FlashOrder {
                    number: *number,
                    item: 0,
                    due: MonoTime::from_nanos(0),
                })
            })
            .count();
        assert_eq!(taken, FLASHES);
    }

    #[test]
    fn a_mark_is_a_place_or_none() {
        let board = Board::default();
        assert_eq!(board.mark(), None);
        board.put_mark(Some((-3.5, 12.25)));
        assert_eq!(board.mark(), Some((-3.5, 12.25)));
        board.put_mark(None);
        assert_eq!(board.mark(), None);
    }
}
