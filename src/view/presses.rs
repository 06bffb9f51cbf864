//! Keys pressed in the participant window, as a marker stream like any other.

use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError};

use super::board::Board;
use super::scene::Stage;
use crate::marker::{Key, OptionKind, OptionTile};
use crate::rt;
use crate::source::{ClockOffset, Format, MarkerSource, SourceError, StreamSpec};

/// Name of the stream of keys pressed in the window.
pub const WINDOW_STREAM: &str = "RazvilkaWindowKeys";

/// What somebody pressed, whatever the keyboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Press {
    /// The option with this number, from 1.
    Number(u8),
    /// Other branches.
    Other,
    /// Take back.
    Undo,
    /// You choose.
    GoOn,
    /// Ask me here.
    Call,
    /// Not tired: as usual.
    CarryOn,
    /// Tired.
    Tired,
    /// The single switch: the option that stands out is its index.
    Switch(Option<usize>),
}

/// What a press means with this on the screen; `None` for nothing.
#[must_use]
pub fn meaning(press: Press, stage: &Stage) -> Option<Key> {
    let tiles: &[OptionTile] = match stage {
        Stage::Fork { tiles, .. } => tiles,
        _ => &[],
    };
    let of_kind = |kind| {
        let tile = tiles.iter().find(|tile| tile.kind == kind)?;
        Some(Key::Select { item: tile.item })
    };
    match press {
        Press::Number(number) => {
            let index = usize::from(number).checked_sub(1)?;
            tiles.get(index).map(|tile| Key::Select { item: tile.item })
        }
        Press::Switch(standing_out) => {
            let tile = tiles.get(standing_out?)?;
            Some(Key::Select { item: tile.item })
        }
        Press::Other => of_kind(OptionKind::Other),
        Press::GoOn => of_kind(OptionKind::GoOn),
        Press::Undo => Some(Key::Undo),
        Press::CarryOn => Some(Key::CarryOn),
        Press::Tired => Some(Key::Tired),
        Press::Call => tiles.is_empty().then_some(Key::Call { back: 0 }),
    }
}

/// The keys of one window.
#[derive(Debug)]
pub struct WindowKeys {
    spec: StreamSpec,
    pressed: Receiver<(f64, String)>,
    pulled: bool,
}

impl WindowKeys {
    /// The keys of the window on this board.
    #[must_use]
    pub fn new(board: &Board) -> Self {
        Self {
            spec: StreamSpec {
                name: WINDOW_STREAM.into(),
                kind: "Markers".into(),
                source_id: "razvilka-window".into(),
                hostname: String::new(),
                uid: String::new(),
                rate_hz: 0.0,
                format: Format::String,
                labels: vec!["key".into()],
                units: Vec::new(),
                xml: String::new(),
            },
            pressed: board.presses(),
            pulled: false,
        }
    }
}

impl MarkerSource for WindowKeys {
    fn spec(&self) -> &StreamSpec {
        &self.spec
    }

    fn pull(&mut self, timeout: Duration) -> Result<Option<(f64, String)>, SourceError> {
        if !self.pulled {
            // Nobody asked yet when these were pressed.
            self.pulled = true;
            while self.pressed.try_recv().is_ok() {}
        }
        match self.pressed.recv_timeout(timeout) {
            Ok(pressed) => Ok(Some(pressed)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(SourceError::Lost {
                name: self.spec.name.clone(),
                reason: "the window has gone".into(),
            }),
        }
    }

    /// Stamps are on our own clock.
    fn clock_offset(&self) -> Option<ClockOffset> {
        Some(ClockOffset {
            at_s: rt::lsl_now().get(),
            offset_s: 0.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use razvilka_dsp::units::MonoTime;

    use super::*;

    fn fork() -> Stage {
        let kinds = [
            OptionKind::Branch,
            OptionKind::Branch,
            OptionKind::Other,
            OptionKind::GoOn,
        ];
        let tiles = (0..).zip(kinds).map(|(item, kind)| OptionTile {
            item,
            kind,
            text: String::new(),
            x_deg: 0.0,
            y_deg: 0.0,
            w_deg: 1.0,
            h_deg: 1.0,
        });
        Stage::Fork {
            fork: 0,
            tiles: tiles.collect(),
            due: MonoTime::from_nanos(0),
        }
    }

    #[test]
    fn a_press_means_what_stands_on_the_screen() {
        let select = |item| Some(Key::Select { item });
        for (press, open, closed) in [
            (Press::Number(0), None, None),
            (Press::Number(1), select(0), None),
            (Press::Number(4), select(3), None),
            (Press::Number(5), None, None),
            (Press::Switch(Some(1)), select(1), None),
            (Press::Switch(Some(4)), None, None),
            (Press::Switch(None), None, None),
            (Press::Other, select(2), None),
            (Press::GoOn, select(3), None),
            (Press::Undo, Some(Key::Undo), Some(Key::Undo)),
            (Press::Call, None, Some(Key::Call { back: 0 })),
        ] {
            assert_eq!(meaning(press, &fork()), open, "{press:?}");
            assert_eq!(meaning(press, &Stage::Writing), closed, "{press:?}");
        }
    }

    #[test]
    fn what_was_pressed_before_anybody_asked_is_dropped() {
        let board = Board::default();
        let mut keys = WindowKeys::new(&board);
        board.press(1.0, Key::Undo.to_json());
        let none = Duration::ZERO;
        assert_eq!(keys.pull(none).unwrap(), None);
        board.press(2.5, Key::Undo.to_json());
        let pulled = keys.pull(none).unwrap().unwrap();
        assert_eq!(pulled, (2.5, Key::Undo.to_json()));
    }
}
