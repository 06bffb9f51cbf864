//! Two eyes as one gaze: each by its own map, and their mean.

use super::GazeMap;

/// The maps of one person: of both eyes together and, where the tracker tells them apart, of each.
///
/// Both eyes seen: the mean of where their maps put them. One seen: where its map puts it. A tracker that gives one position alone
/// goes through [`Self::both`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EyeMaps {
    /// Of the mean of both eyes, or of the one position there is.
    pub both: GazeMap,
    /// Of the left eye; absent when it was not calibrated.
    pub left: Option<GazeMap>,
    /// Of the right eye.
    pub right: Option<GazeMap>,
}

impl EyeMaps {
    /// The maps of a tracker that gives one position.
    #[must_use]
    pub const fn one(both: GazeMap) -> Self {
        Self {
            both,
            left: None,
            right: None,
        }
    }

    /// Where the person looks, from what each eye says in the tracker's unit; `None` for an eye that is not seen or has no map.
    /// Does not allocate.
    #[must_use]
    pub fn binocular(
        &self,
        left: Option<(f64, f64)>,
        right: Option<(f64, f64)>,
    ) -> Option<(f64, f64)> {
        let place = |map: Option<GazeMap>, raw: Option<(f64, f64)>| {
            let (map, (x, y)) = (map?, raw?);
            Some(map.apply(x, y))
        };
        match (place(self.left, left), place(self.right, right)) {
            (Some(l), Some(r)) => Some((0.5 * (l.0 + r.0), 0.5 * (l.1 + r.1))),
            (one, other) => one.or(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gaze::MapOrder;

    fn moved(by: f64) -> GazeMap {
        GazeMap {
            order: MapOrder::Affine,
            x: [by, 1.0, 0.0, 0.0, 0.0, 0.0],
            y: [-by, 0.0, 1.0, 0.0, 0.0, 0.0],
        }
    }

    #[test]
    fn both_eyes_give_their_mean_and_one_goes_by_its_own_map() {
        let maps = EyeMaps {
            both: GazeMap::IDENTITY,
            left: Some(moved(1.0)),
            right: Some(moved(-3.0)),
        };
        let (left, right) = (Some((1.0, 2.0)), Some((5.0, 4.0)));
        assert_eq!(maps.binocular(left, right), Some((2.0, 4.0)));
        assert_eq!(maps.binocular(left, None), Some((2.0, 1.0)));
        assert_eq!(maps.binocular(None, right), Some((2.0, 7.0)));
        assert_eq!(maps.binocular(None, None), None);
        let left_only = EyeMaps {
            right: None,
            ..maps
        };
        assert_eq!(left_only.binocular(left, right), Some((2.0, 1.0)));
        assert_eq!(left_only.binocular(None, right), None);
    }
}
