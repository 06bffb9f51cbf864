//! Where the person looks: each eye read and mapped, two made one, places far outside the picture lost.

use razvilka_calibration::{EyeMaps, GazeMap};
use razvilka_dsp::DspError;
use razvilka_dsp::gaze::{Binocular, BinocularSpec};
use serde::Serialize;

use super::reading::{Eyes, GazeReading, LEFT, RIGHT};

/// No eye seen for this long is told of: longer than eyes are closed that are awake.
const UNSEEN_AFTER_S: f64 = 5.0;

/// From samples of the stream to degrees from the centre of the screen.
#[derive(Debug, Clone)]
pub struct Regard {
    pub(super) reading: GazeReading,
    /// From the tracker's unit to degrees; the geometry of the screen where there are none.
    maps: Option<EyeMaps>,
    pub(super) eyes: Binocular,
    pub(super) outside: Outside,
    /// The stamp of the first sample since which no eye was seen.
    unseen_since_s: Option<f64>,
    unseen_s: f64,
}

/// Samples that lay outside the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Outside {
    /// Outside, but within the margin: taken as they are.
    pub near: u64,
    /// Beyond the margin: lost.
    pub beyond: u64,
}

impl Regard {
    /// `maps` lead from the tracker's unit to degrees; without them the geometry of the screen does.
    ///
    /// # Errors
    /// None at present: the defaults of [`BinocularSpec`] are in range.
    pub fn new(reading: GazeReading, maps: Option<EyeMaps>) -> Result<Self, DspError> {
        Ok(Self {
            reading,
            maps,
            eyes: Binocular::new(BinocularSpec::default())?,
            outside: Outside::default(),
            unseen_since_s: None,
            unseen_s: 0.0,
        })
    }

    /// The source begins anew.
    pub(crate) fn restart(&mut self) {
        self.eyes.restart();
        (self.unseen_since_s, self.unseen_s) = (None, 0.0);
    }

    /// Whether the left and the right eye are left out, because the other one was calibrated and it was not.
    pub(crate) fn uncalibrated(&self) -> [bool; 2] {
        match (&self.maps, self.reading.eyes.is_binocular()) {
            (Some(maps), true) => [LEFT, RIGHT].map(|eye| self.map_of(maps, eye).is_none()),
            _ => [false; 2],
        }
    }

    /// Whether no eye that can be used was seen for [`UNSEEN_AFTER_S`] up to the latest sample.
    pub(crate) fn is_unseen(&self) -> bool {
        self.unseen_s >= UNSEEN_AFTER_S
    }

    /// Whether the tracker sees an eye, wherever it looks.
    pub(crate) fn sees(&self, sample: &[f32]) -> bool {
        self.reading.raw(sample).mean().is_some()
    }

    /// Where the person looks, degrees; `None` when no eye was seen.
    pub(crate) fn at(&mut self, stamp_s: f64, sample: &[f32]) -> Option<[f64; 2]> {
        let raw = self.reading.raw(sample);
        let mut eyes = [None; 2];
        for ((eye, seen), number) in eyes.iter_mut().zip(raw.eyes).zip([LEFT, RIGHT]) {
            *eye = seen.and_then(|(x, y)| {
                let (x_deg, y_deg) = match &self.maps {
                    Some(maps) => self.map_of(maps, number)?.apply(x, y),
                    None => self.reading.degrees(x, y),
                };
                Some([x_deg, y_deg])
            });
        }
        let at = if self.reading.eyes.is_binocular() {
            self.eyes.push(stamp_s, eyes)
        } else {
            eyes.into_iter().flatten().next()
        };
        if at.is_some() {
            (self.unseen_since_s, self.unseen_s) = (None, 0.0);
        } else if stamp_s.is_finite() {
            self.unseen_s = stamp_s - *self.unseen_since_s.get_or_insert(stamp_s);
        }
        let outside_deg = at.map_or(0.0, |at| self.reading.outside_deg(at));
        if outside_deg > self.reading.margin_deg {
            self.outside.beyond += 1;
            return None;
        }
        self.outside.near += u64::from(outside_deg > 0.0);
        at
    }

    /// The map of one eye: its own, where each was calibrated, else that of both; `None` for an eye that could not be calibrated
    /// though the other one was.
    fn map_of(&self, maps: &EyeMaps, eye: usize) -> Option<GazeMap> {
        let own = if eye == RIGHT { maps.right } else { maps.left };
        let each = maps.left.is_some() || maps.right.is_some();
        match self.reading.eyes.eyes {
            Eyes::Combined(_) => Some(maps.both),
            Eyes::Left(_) | Eyes::Right(_) => Some(own.unwrap_or(maps.both)),
            Eyes::Two { .. } if each => own,
            Eyes::Two { .. } => Some(maps.both),
        }
    }
}
