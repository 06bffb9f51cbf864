//! What is new with the eyes since it was last told: an eye that is lost for good, samples that cannot be used.

use super::feed::Change;
use crate::pipeline::gaze::{GazeWatch, Trouble};

/// So many samples in trouble are told of, ...
const TROUBLE_SAMPLES: u64 = 50;
/// ... when they are more than this share of all.
const TROUBLE_SHARE: f64 = 0.01;

/// What is new with one eye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EyeNews {
    /// The calibration has the other one alone.
    Uncalibrated,
    /// It has not been seen for long, and the other one has.
    Lost,
    /// It was lost and is seen.
    Back,
}

impl EyeNews {
    /// For people.
    pub(super) fn words(self, eye: &str) -> String {
        match self {
            Self::Uncalibrated => {
                format!("the {eye} eye is not calibrated: the other one goes on alone")
            }
            Self::Lost => format!("the {eye} eye is no longer seen: the other one goes on alone"),
            Self::Back => format!("the {eye} eye is seen again"),
        }
    }
}

/// What was told.
#[derive(Debug, Default)]
pub(super) struct GazeNews {
    told: Vec<Trouble>,
    /// What was told of the left and the right eye.
    eyes: [Option<EyeNews>; 2],
    /// Whether it was told that no eye is seen.
    none: bool,
}

impl GazeNews {
    /// Adds what is new to `changes`: a trouble once, an eye each time that it goes or comes.
    pub(super) fn look(&mut self, watch: &GazeWatch, changes: &mut Vec<Change>) {
        let now = watch.eyes();
        let eyes = ["left", "right"].into_iter().zip(&mut self.eyes);
        for ((eye, told), (lost, uncalibrated)) in
            eyes.zip(now.lost.into_iter().zip(now.uncalibrated))
        {
            let news = match (*told, lost, uncalibrated) {
                (_, _, true) => EyeNews::Uncalibrated,
                (_, true, _) => EyeNews::Lost,
                (Some(EyeNews::Lost), false, _) => EyeNews::Back,
                _ => continue,
            };
            if *told != Some(news) {
                *told = Some(news);
                changes.push(Change::Eye { eye, news });
            }
        }
        if self.none != now.none {
            self.none = now.none;
            changes.push(Change::Unseen { still: now.none });
        }
        let least = TROUBLE_SAMPLES.max((watch.samples() as f64 * TROUBLE_SHARE) as u64);
        for trouble in Trouble::ALL {
            let samples = watch.troubled(trouble);
            if samples >= least && !self.told.contains(&trouble) {
                self.told.push(trouble);
                changes.push(Change::Gaze { samples, trouble });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use razvilka_calibration::{EyeMaps, GazeMap, MapOrder};
    use razvilka_dsp::gaze::DetectorKind;
    use razvilka_dsp::gaze_evidence::DwellModel;
    use razvilka_dsp::units::Hertz;

    use super::*;
    use crate::config::{GazeOrigin, GazeUnits, ScreenSection};
    use crate::pipeline::gaze::reading::{EyeChannels, Eyes};
    use crate::pipeline::gaze::{EyesRead, GazeLine, GazeReading};

    fn two_eyes(maps: Option<EyeMaps>) -> GazeLine {
        let eye = |x, y| EyeChannels { x, y, belief: None };
        let eyes = EyesRead {
            eyes: Eyes::Two {
                left: eye(0, 1),
                right: eye(2, 3),
            },
            zero_is_lost: false,
            minus_one_is_lost: false,
        };
        let (units, origin) = (GazeUnits::Degrees, GazeOrigin::Centre);
        let reading = GazeReading::of(eyes, units, origin, false, &ScreenSection::default());
        let rate = Hertz::new(100.0).unwrap();
        GazeLine::prepare(
            reading,
            maps,
            DwellModel::default(),
            rate,
            DetectorKind::default(),
        )
        .unwrap()
    }

    /// What is told, and after which sample, while the right eye is not seen from sample 200 to 1499 of 2000, 100 a second.
    fn told_while_the_right_eye_is_away(maps: Option<EyeMaps>) -> Vec<(i32, String)> {
        let (mut line, watch) = (two_eyes(maps), GazeWatch::default());
        let mut news = GazeNews::default();
        let mut told = Vec::new();
        for k in 0..2000 {
            let right = if (200..1500).contains(&k) {
                f32::NAN
            } else {
                1.0
            };
            line.sample(f64::from(k) * 0.01, &[0.5, 0.0, right, 0.0]);
            watch.follow(&line);
            let mut changes = Vec::new();
            news.look(&watch, &mut changes);
            told.extend(changes.into_iter().map(|change| (k, format!("{change:?}"))));
        }
        told
    }

    #[test]
    fn an_eye_lost_for_good_and_its_return_are_told_once_each() {
        let told = told_while_the_right_eye_is_away(None);
        // Missing from sample 200 on, so for 5 s at sample 699 or one later; back at 1500.
        assert!(
            matches!(told.as_slice(), [(699..=700, gone), (1500, back)]
                if gone == "Eye { eye: \"right\", news: Lost }" && back == "Eye { eye: \"right\", news: Back }"),
            "{told:?}"
        );
    }

    #[test]
    fn an_eye_that_is_not_calibrated_is_told_of_once_and_no_eye_when_the_other_one_goes() {
        let map = GazeMap {
            order: MapOrder::Affine,
            x: [0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
            y: [0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
        };
        let maps = EyeMaps {
            both: map,
            left: None,
            right: Some(map),
        };
        let told = told_while_the_right_eye_is_away(Some(maps));
        assert!(
            matches!(told.as_slice(), [(0, left), (700..=701, gone), (1500, back)]
                if left == "Eye { eye: \"left\", news: Uncalibrated }" && gone == "Unseen { still: true }" && back == "Unseen { still: false }"),
            "{told:?}"
        );
    }

    #[test]
    fn samples_that_cannot_be_used_are_told_of_once_when_they_are_many() {
        let (mut line, watch) = (two_eyes(None), GazeWatch::default());
        let mut news = GazeNews::default();
        let mut told = Vec::new();
        for k in 0..1000u32 {
            // Every tenth sample lies far outside the picture, every hundredth is as old as the one before.
            let x = if k % 10 == 3 { 60.0 } else { 1.0 };
            let stamp_s = f64::from(k - u32::from(k % 100 == 50)) * 0.01;
            line.sample(stamp_s, &[x, 0.0, x, 0.0]);
            watch.follow(&line);
            let mut changes = Vec::new();
            news.look(&watch, &mut changes);
            told.extend(changes.into_iter().map(|change| format!("{change:?}")));
        }
        assert_eq!(told, ["Gaze { samples: 50, trouble: BeyondMargin }"]);
        assert_eq!(watch.troubled(Trouble::Backward), 10);
        assert_eq!(watch.troubled(Trouble::BeyondMargin), 100);
    }
}
