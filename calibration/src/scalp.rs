//! Where electrodes sit on the head, and what the potential may be between them.
//!
//! The head is a unit sphere, the vertex (Cz) its pole; x points to the right ear, y to the nose, z up. Positions follow
//! the 10-10 system (Chatrian 1985; Oostenveld & Praamstra, Clinical Neurophysiology 112, 2001): the midline in steps of 18
//! degrees, the ring through Fpz, T7, Oz and T8 at 72 degrees from the vertex, the others on the arcs between the two.

use crate::covariance::Symmetric;
use crate::error::{CalibrationError, Result, finite, same_size};

/// A direction on the head, of length 1.
pub type Direction = [f64; 3];

/// Order of the splines; 4 as in Perrin et al. 1989.
const ORDER: i32 = 4;
/// Terms of the Legendre series. Perrin et al. take 7, whose kernel has rank 63: too little for 64 electrodes.
const TERMS: u32 = 50;
/// Load on the kernel's diagonal, relative to its mean: against rounding, not for smoothing.
const RIDGE: f64 = 1e-10;
/// Names of the 10-20 system that the 10-10 system changed.
const RENAMED: [(&str, &str); 4] = [("T3", "T7"), ("T4", "T8"), ("T5", "P7"), ("T6", "P8")];

/// The direction at this inclination from the vertex and azimuth from the nose (positive to the right), degrees.
#[must_use]
pub fn direction(inclination_deg: f64, azimuth_deg: f64) -> Direction {
    let (i, a) = (inclination_deg.to_radians(), azimuth_deg.to_radians());
    [i.sin() * a.sin(), i.sin() * a.cos(), i.cos()]
}

/// The angle between two directions, degrees.
#[must_use]
pub fn angle_deg(a: Direction, b: Direction) -> f64 {
    dot(a, b).acos().to_degrees()
}

fn dot(a: Direction, b: Direction) -> f64 {
    let dot: f64 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
    dot.clamp(-1.0, 1.0)
}

/// The place of an electrode of the 10-20 or 10-10 system, upper or lower case, `None` when the label is not one.
#[must_use]
pub fn electrode(label: &str) -> Option<Direction> {
    let upper = label.trim().to_ascii_uppercase();
    let renamed = RENAMED.iter().find(|(old, _)| *old == upper);
    let name = renamed.map_or(upper.as_str(), |(_, new)| new);
    electrode_10_10(&name.replacen("FP", "Fp", 1).replace('Z', "z"))
}

/// The place of an electrode of the 10-10 system, its name in upper and lower case as the system writes it (Fp1, Cz).
#[must_use]
pub fn electrode_10_10(name: &str) -> Option<Direction> {
    let row = name.trim_end_matches(|c: char| c == 'z' || c.is_ascii_digit());
    let column = name.get(row.len()..)?;
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
    let ring = direction(72.0, side * ring_deg);
    Some(along_arc(midline, ring, outwards))
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

/// A potential on the sphere that passes through the values at the electrodes and bends least in between: spherical
/// splines, Perrin, Pernier, Bertrand & Echallier (Electroencephalography and Clinical Neurophysiology 72, 1989), eq. 1 to 3.
#[derive(Debug, Clone, PartialEq)]
pub struct SphericalSpline {
    places: Vec<Direction>,
    weights: Vec<f64>,
    constant: f64,
}

impl SphericalSpline {
    /// The splines through `values` at `places`.
    ///
    /// # Errors
    /// [`CalibrationError::Shape`] when the lengths differ, [`CalibrationError::NotFinite`],
    /// [`CalibrationError::TooFew`] without a place, [`CalibrationError::Degenerate`] when two places are the same.
    pub fn through(places: &[Direction], values: &[f64]) -> Result<Self> {
        same_size("values at electrodes", places.len(), values.len())?;
        finite("values at electrodes", values)?;
        if places.is_empty() {
            return Err(CalibrationError::TooFew {
                what: "electrodes with a place",
                found: 0,
                needed: 1,
            });
        }
        let twice = |(i, a): (usize, &Direction)| {
            let later = places.get(i + 1..).unwrap_or_default();
            later.iter().any(|b| angle_deg(*a, *b) < 0.1)
        };
        if places.iter().enumerate().any(twice) {
            return Err(CalibrationError::Degenerate {
                what: "the scalp map",
                reason: "two electrodes are at the same place",
            });
        }
        let n = places.len();
        let all: Vec<usize> = (0..n).collect();
        let matrix = Symmetric::from_fn(n, |i, j| kernel(dot(places[i], places[j])));
        // The weights sum to 0 (eq. 3): with `u = G^-1 v` and `w = G^-1 1` they are `u - c w`, `c` being the constant.
        let u = matrix.solve_sub_block(&all, values, RIDGE)?;
        let w = matrix.solve_sub_block(&all, &vec![1.0; n], RIDGE)?;
        let constant = u.iter().sum::<f64>() / w.iter().sum::<f64>();
        Ok(Self {
            places: places.to_vec(),
            weights: u.iter().zip(&w).map(|(u, w)| u - constant * w).collect(),
            constant,
        })
    }

    /// The value in a direction.
    #[must_use]
    pub fn at(&self, direction: Direction) -> f64 {
        let pairs = self.places.iter().zip(&self.weights);
        let bent: f64 = pairs.map(|(p, w)| w * kernel(dot(*p, direction))).sum();
        self.constant + bent
    }
}

/// `g(x)` of eq. 3: the sum of `(2n + 1) / (n (n + 1))^m P_n(x)` over `4 pi`.
fn kernel(x: f64) -> f64 {
    let (mut before, mut legendre) = (1.0, x);
    let mut sum = 0.0;
    for n in 1..=TERMS {
        let n = f64::from(n);
        sum += (2.0 * n + 1.0) / (n * (n + 1.0)).powi(ORDER) * legendre;
        let next = ((2.0 * n + 1.0) * x * legendre - n * before) / (n + 1.0);
        (before, legendre) = (legendre, next);
    }
    sum / (4.0 * std::f64::consts::PI)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_known_in_either_case_and_by_their_old_names() {
        assert_eq!(electrode(" pZ "), electrode("Pz"));
        assert_eq!(electrode("T3"), electrode("T7"));
        assert_eq!(electrode("FP1"), electrode("Fp1"));
        for unknown in [
            "",
            "channel 3",
            "E12",
            "Tz",
            "F11",
            "Fp3",
            "T1",
            "Ω1",
            "z",
            "7",
        ] {
            assert_eq!(electrode(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn positions_keep_the_proportions_of_the_system() {
        let place = |label: &str| electrode(label).unwrap();
        assert!((angle_deg(place("Cz"), place("C3")) - 36.0).abs() < 1e-9);
        assert!((angle_deg(place("Fz"), place("Pz")) - 72.0).abs() < 1e-9);
        for (left, right) in [("P3", "P4"), ("PO7", "PO8"), ("Fp1", "Fp2"), ("T7", "T8")] {
            let (l, r) = (place(left), place(right));
            assert!(l[0] < 0.0 && (l[0] + r[0]).abs() < 1e-12 && (l[1] - r[1]).abs() < 1e-12);
        }
    }
}
