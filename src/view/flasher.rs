//! Which item is lit in a frame: flashes as they were ordered, counted in frames.

use razvilka_dsp::units::MonoTime;

use super::board::Board;
use super::surface::FlashOrder;

/// An item that is lit.
#[derive(Debug, Clone, Copy)]
struct Lit {
    item: i32,
    /// Frames that are still to come.
    left: u32,
    turn: u64,
}

/// Which item is lit, frame by frame.
#[derive(Debug, Clone, Default)]
pub struct Flasher {
    lit: Option<Lit>,
    waiting: Option<(u64, FlashOrder)>,
}

/// What a frame shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LitFrame {
    /// The item that is lit.
    pub item: Option<i32>,
    /// Number of the order that begins with this frame.
    pub begins: Option<u64>,
}

impl Flasher {
    /// The frame that is drawn at `now` and stands on the screen a frame later. A flash begins with the frame that is nearest to its time,
    /// and lasts `flash_s` in whole frames, at least one.
    pub fn frame(&mut self, board: &Board, now: MonoTime, period_s: f64, flash_s: f64) -> LitFrame {
        let turn = board.turn();
        self.lit = self
            .lit
            .filter(|lit| lit.turn == turn && lit.left > 0)
            .map(|lit| Lit {
                left: lit.left - 1,
                ..lit
            });
        self.waiting = self
            .waiting
            .filter(|(of, _)| *of == turn)
            .or_else(|| board.next_flash().map(|order| (turn, order)));
        // It will be seen at now + period; the next frame half a period nearer or farther than that decides.
        let reach_ns = (1.5e9 * period_s) as u64;
        let due = |(_, order): &mut (u64, FlashOrder)| order.due.nanos_since(now) <= reach_ns;
        let begins = self.waiting.take_if(due).map(|(_, order)| order);
        if let Some(order) = begins {
            let frames = (flash_s / period_s).round().max(1.0) as u32;
            self.lit = Some(Lit {
                item: order.item,
                left: frames - 1,
                turn,
            });
        }
        LitFrame {
            item: self.lit.map(|lit| lit.item),
            begins: begins.map(|order| order.number),
        }
    }

    /// Shows nothing, and forgets what was ordered: it is never reported, so that it has no marker.
    pub fn refuse(&mut self, board: &Board) {
        (self.lit, self.waiting) = (None, None);
        while board.next_flash().is_some() {}
    }

    /// Whether something is lit or waits for its frame.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        self.lit.is_some() || self.waiting.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::view::board::BoardSurface;
    use crate::view::surface::StimulusSurface;

    const FRAME_NS: u64 = 10_000_000;

    fn frame(number: u64) -> MonoTime {
        MonoTime::from_nanos(1_000 * FRAME_NS + number * FRAME_NS)
    }

    fn run(board: &Board, frames: u64, flash_s: f64) -> Vec<LitFrame> {
        let mut flasher = Flasher::default();
        (0..frames)
            .map(|number| flasher.frame(board, frame(number), 0.01, flash_s))
            .collect()
    }

    #[test]
    fn a_flash_begins_in_the_frame_nearest_to_its_time_and_lasts_whole_frames() {
        let board = Arc::new(Board::default());
        let mut surface = BoardSurface::new(Arc::clone(&board));
        for (number, item, after_ns) in [(1, 4, 54_000_000), (2, 0, 126_000_000)] {
            let due = MonoTime::from_nanos(frame(0).as_nanos() + after_ns);
            assert!(surface.flash(FlashOrder { number, item, due }));
        }
        let shown = run(&board, 20, 0.031);
        // Drawn at 40 ms and seen at 50, drawn at 120 (as 115 would be nearest to 126 - 10) and seen at 130.
        let lit: Vec<_> = shown.iter().map(|frame| frame.item).collect();
        let on = |item: i32, from: usize| (from..from + 3).map(move |at| (at, item));
        let mut expected = vec![None; 20];
        for (at, item) in on(4, 4).chain(on(0, 12)) {
            expected[at] = Some(item);
        }
        assert_eq!(lit, expected);
        let begins: Vec<_> = (0..)
            .zip(&shown)
            .filter_map(|(at, frame)| Some((at, frame.begins?)))
            .collect();
        assert_eq!(begins, [(4, 1), (12, 2)]);
    }

    #[test]
    fn a_hush_puts_out_what_is_lit_and_what_waits() {
        let board = Arc::new(Board::default());
        let mut surface = BoardSurface::new(Arc::clone(&board));
        let order = |number, after: u64| FlashOrder {
            number,
            item: 1,
            due: frame(after),
        };
        let mut flasher = Flasher::default();
        surface.flash(order(1, 1));
        surface.flash(order(2, 4));
        let mut step = |number: u64| flasher.frame(&board, frame(number), 0.01, 0.05);
        assert_eq!(step(0).begins, Some(1));
        assert_eq!(step(1).item, Some(1));
        surface.hush();
        assert_eq!(step(2), LitFrame::default());
        surface.flash(order(3, 6));
        let later: Vec<_> = (3..8).map(|number| step(number).begins).collect();
        assert_eq!(later, [None, None, Some(3), None, None]);
    }

    #[test]
    fn what_is_refused_is_not_shown_later() {
        let board = Arc::new(Board::default());
        let mut surface = BoardSurface::new(Arc::clone(&board));
        let mut flasher = Flasher::default();
        for number in 1..4 {
            surface.flash(FlashOrder {
                number,
                item: 0,
                due: frame(number),
            });
        }
        assert_eq!(flasher.frame(&board, frame(0), 0.01, 0.05).begins, Some(1));
        flasher.refuse(&board);
        assert!(!flasher.is_busy());
        let later = flasher.frame(&board, frame(9), 0.01, 0.05);
        assert_eq!(later, LitFrame::default());
    }

    #[test]
    fn a_flash_whose_time_has_passed_is_shown_at_once() {
        let board = Arc::new(Board::default());
        let mut surface = BoardSurface::new(Arc::clone(&board));
        surface.flash(FlashOrder {
            number: 9,
            item: 3,
            due: MonoTime::from_nanos(5),
        });
        let shown = run(&board, 2, 0.001);
        assert_eq!((shown[0].begins, shown[0].item), (Some(9), Some(3)));
        assert_eq!(
            shown[1],
            LitFrame::default(),
            "one frame at least, and here no more"
        );
    }
}
