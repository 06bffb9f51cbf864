//! How the numbers of a gaze stream become places of the two eyes, and those become degrees.
//!
//! Which channels are read is decided once, by [`crate::engine::eyes`]; here every sample is read by it.

use crate::config::{GazeOrigin, GazeUnits, ScreenSection, limit};

/// EyeLink writes this for what it does not see (`MISSING_DATA` of SR Research's `eye_data.h`), and so do programs that hand it on.
const MISSING_AT_MOST: f64 = -32_768.0;
/// EyeLink data files write 1e8 instead.
const MISSING_AT_LEAST: f64 = 1e8;

/// Where the left eye lies in pairs of eyes; a tracker's own combination of both eyes lies there too.
pub const LEFT: usize = 0;
/// Where the right eye lies in pairs of eyes.
pub const RIGHT: usize = 1;

/// In which samples an eye is believed: where this channel lies within these bounds. A value that is no number does not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Belief {
    /// Index of the channel.
    pub channel: usize,
    /// Least value.
    pub least: f32,
    /// Greatest value.
    pub most: f32,
}

/// The channels of one eye.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EyeChannels {
    /// Index of the horizontal position.
    pub x: usize,
    /// Index of the vertical position.
    pub y: usize,
    /// When the eye is believed; `None` when loss is told by the position alone.
    pub belief: Option<Belief>,
}

/// Which eyes a stream tells of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Eyes {
    /// One place for both, as the tracker combines them, or an eye that is not named.
    Combined(EyeChannels),
    /// The left eye only.
    Left(EyeChannels),
    /// The right eye only.
    Right(EyeChannels),
    /// Both, each for itself.
    Two {
        /// The left eye.
        left: EyeChannels,
        /// The right eye.
        right: EyeChannels,
    },
}

/// The channels that are read, and which values mean that nothing was seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EyesRead {
    /// Channels.
    pub eyes: Eyes,
    /// Whether a place of exactly 0, 0 means an eye that is not there.
    pub zero_is_lost: bool,
    /// Whether a place of exactly -1, -1 does.
    pub minus_one_is_lost: bool,
}

/// One sample in the tracker's own unit: each eye that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RawGaze {
    /// The eyes, at [`LEFT`] and [`RIGHT`]; `None` for one that was not seen, or is not told of. What the tracker combined
    /// of both stands at [`LEFT`].
    pub eyes: [Option<(f64, f64)>; 2],
}

impl RawGaze {
    /// The mean of the eyes that were seen.
    #[must_use]
    pub fn mean(&self) -> Option<(f64, f64)> {
        match self.eyes {
            [Some(left), Some(right)] => {
                Some((0.5 * left.0 + 0.5 * right.0, 0.5 * left.1 + 0.5 * right.1))
            }
            [one, other] => one.or(other),
        }
    }
}

impl EyesRead {
    /// One position of channels `x` and `y`, which is lost where it is no number, or where its confidence is lower than that of
    /// the pair.
    #[must_use]
    pub fn combined((x, y): (usize, usize), confidence: Option<(usize, f64)>) -> Self {
        let belief = confidence.map(|(channel, least)| Belief {
            channel,
            least: least as f32,
            most: f32::INFINITY,
        });
        Self {
            eyes: Eyes::Combined(EyeChannels { x, y, belief }),
            zero_is_lost: false,
            minus_one_is_lost: false,
        }
    }

    /// Whether each eye is told of for itself.
    #[must_use]
    pub fn is_binocular(&self) -> bool {
        matches!(self.eyes, Eyes::Two { .. })
    }

    /// One sample, a value per channel, in the tracker's own unit.
    #[must_use]
    pub fn raw(&self, sample: &[f32]) -> RawGaze {
        let eyes = match &self.eyes {
            Eyes::Combined(eye) | Eyes::Left(eye) => [self.eye(eye, sample), None],
            Eyes::Right(eye) => [None, self.eye(eye, sample)],
            Eyes::Two { left, right } => [self.eye(left, sample), self.eye(right, sample)],
        };
        RawGaze { eyes }
    }

    fn eye(&self, eye: &EyeChannels, sample: &[f32]) -> Option<(f64, f64)> {
        let believed = eye.belief.is_none_or(|belief| {
            sample
                .get(belief.channel)
                .is_some_and(|value| (belief.least..=belief.most).contains(value))
        });
        let there = |v: &f64| *v > MISSING_AT_MOST && *v < MISSING_AT_LEAST;
        let value = |channel: usize| {
            let value = sample.get(channel).map(|value| f64::from(*value));
            value.filter(there)
        };
        let at = (value(eye.x)?, value(eye.y)?);
        let sentinel = (self.zero_is_lost && at == (0.0, 0.0))
            || (self.minus_one_is_lost && at == (-1.0, -1.0));
        (believed && !sentinel).then_some(at)
    }
}

/// How the numbers of a gaze stream become degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GazeReading {
    /// Channels.
    pub eyes: EyesRead,
    /// What the numbers mean.
    pub units: GazeUnits,
    /// From where they count.
    pub origin: GazeOrigin,
    /// Whether they are places in the picture of a camera on the head: no geometry of the screen leads from there to degrees, a
    /// calibration must.
    pub in_scene: bool,
    /// A place this much farther outside the picture is none, degrees.
    pub margin_deg: f64,
    /// Size of the picture in the stream's units, and in centimetres, and the distance of the eye.
    width_cm: f64,
    height_cm: f64,
    distance_cm: f64,
    width_px: f64,
    height_px: f64,
}

impl GazeReading {
    /// A reading of one position at channels `x`, `y` and `confidence` on this screen, from where `units` usually count.
    #[must_use]
    pub fn new(
        xy: (usize, usize),
        confidence: Option<(usize, f64)>,
        units: GazeUnits,
        screen: &ScreenSection,
    ) -> Self {
        let eyes = EyesRead::combined(xy, confidence);
        Self::of(eyes, units, units.usual_origin(), false, screen)
    }

    /// A reading of these eyes on this screen.
    #[must_use]
    pub fn of(
        eyes: EyesRead,
        units: GazeUnits,
        origin: GazeOrigin,
        in_scene: bool,
        screen: &ScreenSection,
    ) -> Self {
        Self {
            eyes,
            units,
            origin,
            in_scene,
            margin_deg: limit("gaze.margin_deg").map_or(0.0, |limit| limit.default),
            width_cm: screen.width_cm,
            height_cm: screen.height_cm,
            distance_cm: screen.distance_cm,
            width_px: f64::from(screen.width_px),
            height_px: f64::from(screen.height_px),
        }
    }

    /// One sample in the tracker's own unit: each eye that was seen.
    #[must_use]
    pub fn raw(&self, sample: &[f32]) -> RawGaze {
        self.eyes.raw(sample)
    }

    /// How far a place in degrees lies outside the picture, degrees: 0 within it.
    #[must_use]
    pub fn outside_deg(&self, [x_deg, y_deg]: [f64; 2]) -> f64 {
        let half = |size_cm: f64| (0.5 * size_cm / self.distance_cm).atan().to_degrees();
        let beyond_x = (x_deg.abs() - half(self.width_cm)).max(0.0);
        let beyond_y = (y_deg.abs() - half(self.height_cm)).max(0.0);
        beyond_x.max(beyond_y)
    }

    /// A position in the tracker's unit as degrees from the centre, x to the right, y downwards, by the geometry of the screen
    /// alone: for a tracker that is calibrated by itself.
    #[must_use]
    pub fn degrees(&self, x: f64, y: f64) -> (f64, f64) {
        let (x, y) = match self.units {
            GazeUnits::Degrees => {
                return match self.origin {
                    GazeOrigin::CentreUp | GazeOrigin::BottomLeft => (x, -y),
                    GazeOrigin::Centre | GazeOrigin::TopLeft => (x, y),
                };
            }
            GazeUnits::Normalised => (x, y),
            GazeUnits::Pixels => (x / self.width_px, y / self.height_px),
            GazeUnits::Millimetres => (0.1 * x / self.width_cm, 0.1 * y / self.height_cm),
            GazeUnits::Metres => (100.0 * x / self.width_cm, 100.0 * y / self.height_cm),
        };
        // Shares of the picture, now from its centre, y downwards.
        let (x, y) = match self.origin {
            GazeOrigin::TopLeft => (x - 0.5, y - 0.5),
            GazeOrigin::BottomLeft => (x - 0.5, 0.5 - y),
            GazeOrigin::Centre => (x, y),
            GazeOrigin::CentreUp => (x, -y),
        };
        let angle =
            |share: f64, size_cm: f64| (share * size_cm / self.distance_cm).atan().to_degrees();
        (angle(x, self.width_cm), angle(y, self.height_cm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(eyes: Eyes) -> EyesRead {
        EyesRead {
            eyes,
            zero_is_lost: false,
            minus_one_is_lost: false,
        }
    }

    const fn eye(x: usize, y: usize, belief: Option<Belief>) -> EyeChannels {
        EyeChannels { x, y, belief }
    }

    #[test]
    fn each_eye_is_read_for_itself_and_what_is_no_number_or_missing_is_lost() {
        let two = read(Eyes::Two {
            left: eye(0, 1, None),
            right: eye(2, 3, None),
        });
        let raw = two.raw(&[0.25, 0.5, 0.75, 0.5]);
        assert_eq!(raw.eyes, [Some((0.25, 0.5)), Some((0.75, 0.5))]);
        assert_eq!(raw.mean(), Some((0.5, 0.5)));
        for lost in [f32::NAN, f32::INFINITY, -32768.0, 1e8] {
            let raw = two.raw(&[0.25, lost, 0.75, 0.5]);
            assert_eq!(raw.eyes, [None, Some((0.75, 0.5))], "{lost}");
            assert_eq!(raw.mean(), Some((0.75, 0.5)));
        }
        assert_eq!(two.raw(&[f32::NAN; 4]).mean(), None);
        assert_eq!(two.raw(&[0.25, 0.5]).eyes, [Some((0.25, 0.5)), None]);
        let right = read(Eyes::Right(eye(0, 1, None)));
        assert_eq!(right.raw(&[0.1, 0.2]).eyes[LEFT], None);
        assert!(right.raw(&[0.1, 0.2]).eyes[RIGHT].is_some());
    }

    #[test]
    fn confidence_and_validity_codes_tell_loss() {
        let at = |least: f32, most: f32| {
            let belief = Belief {
                channel: 2,
                least,
                most,
            };
            read(Eyes::Combined(eye(0, 1, Some(belief))))
        };
        let seen = |read: EyesRead, code: f32| read.raw(&[1.0, 2.0, code]).mean().is_some();
        let confidence = at(0.6, f32::INFINITY);
        let codes = at(f32::NEG_INFINITY, 1.0);
        for (code, by_confidence, by_code) in [
            (0.0, false, true),
            (0.59, false, true),
            (0.6, true, true),
            (1.0, true, true),
            (4.0, true, false),
            (f32::NAN, false, false),
        ] {
            assert_eq!(seen(confidence, code), by_confidence, "{code}");
            assert_eq!(seen(codes, code), by_code, "{code}");
        }
    }

    #[test]
    fn an_eye_that_is_not_there_may_be_told_by_zeros_or_by_minus_ones() {
        let mut read = read(Eyes::Combined(eye(0, 1, None)));
        assert!(read.raw(&[0.0, 0.0]).mean().is_some());
        read.zero_is_lost = true;
        assert_eq!(read.raw(&[0.0, 0.0]).mean(), None);
        assert!(read.raw(&[0.0, 3.0]).mean().is_some());
        assert!(read.raw(&[-1.0, -1.0]).mean().is_some());
        read.minus_one_is_lost = true;
        assert_eq!(read.raw(&[-1.0, -1.0]).mean(), None);
    }

    #[test]
    fn places_outside_the_picture_are_measured_from_its_edge() {
        let screen = ScreenSection {
            width_cm: 60.0,
            height_cm: 40.0,
            distance_cm: 60.0,
            ..ScreenSection::default()
        };
        let reading = GazeReading::new((0, 1), None, GazeUnits::Normalised, &screen);
        // Half the width is atan(30/60) = 26.5651 degrees, half the height atan(20/60) = 18.4349.
        for (at, outside_deg) in [
            ([0.0, 0.0], 0.0),
            ([26.5, -18.4], 0.0),
            ([-27.565_051_177_077_99, 0.0], 1.0),
            ([27.0, 20.434_948_822_922_01], 2.0),
        ] {
            assert!(
                (reading.outside_deg(at) - outside_deg).abs() < 1e-9,
                "{at:?}"
            );
        }
    }

    #[test]
    fn the_same_place_in_every_unit_and_from_every_origin_is_the_same_angle() {
        // 60 by 40 cm at 60 cm. A place 15 cm right of the centre and 10 cm above it: atan(15/60) = 14.0362, atan(10/60) = 9.4623.
        let screen = ScreenSection {
            width_cm: 60.0,
            height_cm: 40.0,
            distance_cm: 60.0,
            width_px: 1200,
            height_px: 800,
        };
        let (x_deg, y_deg) = (14.036_243_467_926_479, -9.462_322_208_025_617);
        for (units, origin, x, y) in [
            (GazeUnits::Normalised, GazeOrigin::TopLeft, 0.75, 0.25),
            (GazeUnits::Normalised, GazeOrigin::BottomLeft, 0.75, 0.75),
            (GazeUnits::Normalised, GazeOrigin::Centre, 0.25, -0.25),
            (GazeUnits::Normalised, GazeOrigin::CentreUp, 0.25, 0.25),
            (GazeUnits::Pixels, GazeOrigin::TopLeft, 900.0, 200.0),
            (GazeUnits::Pixels, GazeOrigin::BottomLeft, 900.0, 600.0),
            (GazeUnits::Pixels, GazeOrigin::CentreUp, 300.0, 200.0),
            (GazeUnits::Millimetres, GazeOrigin::TopLeft, 450.0, 100.0),
            (GazeUnits::Millimetres, GazeOrigin::Centre, 150.0, -100.0),
            (GazeUnits::Metres, GazeOrigin::CentreUp, 0.15, 0.1),
            (GazeUnits::Degrees, GazeOrigin::Centre, x_deg, y_deg),
            (GazeUnits::Degrees, GazeOrigin::CentreUp, x_deg, -y_deg),
        ] {
            let eyes = EyesRead::combined((0, 1), None);
            let reading = GazeReading::of(eyes, units, origin, false, &screen);
            let (got_x, got_y) = reading.degrees(x, y);
            assert!(
                (got_x - x_deg).abs() < 1e-9 && (got_y - y_deg).abs() < 1e-9,
                "{units:?} {origin:?}: {got_x} {got_y}"
            );
        }
    }
}
