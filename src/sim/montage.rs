//! Where electrodes sit on the head, and how a source in the brain or the eye spreads over them.
//!
//! The head is a unit sphere, the vertex (Cz) its pole; x points to the right ear, y to the nose, z up. Positions follow
//! the 10-10 system (Chatrian 1985; Oostenveld & Praamstra 2001): the midline in steps of 18 degrees, the ring through
//! Fpz, T7, Oz and T8 at 72 degrees from the vertex, the others on the arcs between the two.

/// A direction on the head.
pub(super) type Direction = [f64; 3];

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

/// The direction at this inclination from the vertex and azimuth from the nose (positive to the right), degrees.
pub(super) fn direction(inclination_deg: f64, azimuth_deg: f64) -> Direction {
    let (i, a) = (inclination_deg.to_radians(), azimuth_deg.to_radians());
    [i.sin() * a.sin(), i.sin() * a.cos(), i.cos()]
}

/// The place of an electrode of the 10-10 system, `None` when the label is not one.
pub(super) fn electrode(label: &str) -> Option<Direction> {
    let row = label.trim_end_matches(|c: char| c == 'z' || c.is_ascii_digit());
    let column = &label[row.len()..];
    // Azimuth of the row on the ring; inclination of the row on the midline, the front positive.
    let (ring_deg, midline_deg) = match row {
        "Fp" => (18.0, 72.0),
        "AF" => (36.0, 54.0),
        "F" => (54.0, 36.0),
        "FC" | "FT" => (72.0, 18.0),
        "C" | "T" => (90.0, 0.0),
        "CP" | "TP" => (108.0, -18.0),
        "P" => (126.0, -36.0),
        "PO" => (144.0, -54.0),
        "O" => (162.0, -72.0),
        "I" => (180.0, -90.0),
        _ => return None,
    };
    let midline = direction(midline_deg, 0.0);
    let temporal = matches!(row, "FT" | "T" | "TP");
    if column == "z" {
        return (!temporal).then_some(midline);
    }
    let number: u8 = column.parse().ok()?;
    let outwards = match (row, number) {
        ("Fp" | "O", 1 | 2) => 1.0,
        ("Fp" | "O" | "I", _) => return None,
        (_, 7..=10) => f64::from(number.div_ceil(2)) / 4.0,
        (_, 1..=6) if !temporal => f64::from(number.div_ceil(2)) / 4.0,
        _ => return None,
    };
    let side = if number % 2 == 1 { -1.0 } else { 1.0 };
    Some(along_arc(
        midline,
        direction(72.0, side * ring_deg),
        outwards,
    ))
}

/// The point at `share` of the great circle from `from` to `to`; a share above 1 goes on beyond.
fn along_arc(from: Direction, to: Direction, share: f64) -> Direction {
    let angle = angle_deg(from, to).to_radians();
    let (a, b) = (
        ((1.0 - share) * angle).sin() / angle.sin(),
        (share * angle).sin() / angle.sin(),
    );
    std::array::from_fn(|k| a * from[k] + b * to[k])
}

/// The angle between two directions, degrees.
pub(super) fn angle_deg(a: Direction, b: Direction) -> f64 {
    let dot: f64 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
    dot.clamp(-1.0, 1.0).acos().to_degrees()
}

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
