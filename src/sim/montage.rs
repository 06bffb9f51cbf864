//! Where electrodes sit on the head, and how a source in the brain or the eye spreads over them.
//!
//! Places are those of the calibration's scalp maps: one table of electrodes for both.

pub(super) use razvilka_calibration::{
    Direction, angle_deg, direction, electrode_10_10 as electrode,
};

/// The usual 8 channels of a P300 montage.
pub(super) const EIGHT: [&str; 8] = ["Fz", "Cz", "P3", "Pz", "P4", "PO7", "PO8", "Oz"];

/// 64 channels of the 10-10 system.
pub(super) const SIXTY_FOUR: [&str; 64] = [
    "Fp1", "AF7", "AF3", "F1", "F3", "F5", "F7", "FT7", "FC5", "FC3", "FC1", "C1", "C3", "C5",
    "T7", "TP7", "CP5", "CP3", "CP1", "P1", "P3", "P5", "P7", "P9", "PO7", "PO3", "O1", "Iz", "Oz",
    "POz", "Pz", "CPz", "Fpz", "Fp2", "AF8", "AF4", "AFz", "Fz", "F2", "F4", "F6", "F8", "FT8",
    "FC6", "FC4", "FC2", "FCz", "Cz", "C2", "C4", "C6", "T8", "TP8", "CP6", "CP4", "CP2", "P2",
    "P4", "P6", "P8", "P10", "PO8", "PO4", "O2",
];

/// Over jaw and brow, left and right.
pub(super) const MUSCLES: [&str; 4] = ["AF7", "AF8", "T7", "T8"];

/// How strongly each electrode sees a source: a Gaussian of the angle between them, 1 right above the source.
pub(super) fn topography(electrodes: &[Direction], source: Direction, sd_deg: f64) -> Vec<f64> {
    electrodes
        .iter()
        .map(|&e| (-0.5 * (angle_deg(e, source) / sd_deg).powi(2)).exp())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_label_has_a_place_of_its_own_on_the_sphere() {
        let places: Vec<Direction> = SIXTY_FOUR.iter().map(|l| electrode(l).unwrap()).collect();
        for (i, a) in places.iter().enumerate() {
            let norm: f64 = a.iter().map(|v| v * v).sum();
            assert!((norm - 1.0).abs() < 1e-12);
            for b in &places[i + 1..] {
                assert!(angle_deg(*a, *b) > 8.0);
            }
        }
        assert!(EIGHT.iter().all(|l| SIXTY_FOUR.contains(l)));
    }

    #[test]
    fn left_is_odd_and_mirrors_right() {
        for (left, right) in [("P3", "P4"), ("PO7", "PO8"), ("Fp1", "Fp2"), ("T7", "T8")] {
            let (l, r) = (electrode(left).unwrap(), electrode(right).unwrap());
            assert!(l[0] < 0.0);
            assert!((l[0] + r[0]).abs() < 1e-12 && (l[1] - r[1]).abs() < 1e-12);
        }
        assert!(
            (angle_deg(electrode("Cz").unwrap(), electrode("C3").unwrap()) - 36.0).abs() < 1e-9
        );
    }

    #[test]
    fn labels_outside_the_system_have_no_place() {
        for label in ["", "z", "Fp3", "Tz", "T3", "A1", "EOG", "P11", "Oz2", "Жz"] {
            assert_eq!(electrode(label), None, "{label}");
        }
    }
}
