//! Two pupils, one size.

/// Time constant with which the usual difference of two pupils is followed, seconds.
const FOLLOW_S: f64 = 1.0;

/// Makes one size of two eyes: their mean, or, where one is not seen, the other with half of the usual difference, so that nothing jumps.
/// `push` does not allocate.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EyeSizes {
    /// Half of right less left, followed.
    half: Option<f64>,
    last_s: Option<f64>,
}

impl EyeSizes {
    /// Nothing is known of the difference yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As new.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// One size of what the left and the right eye show; `None` where neither does. A size that is no number or not above 0 is none.
    pub fn push(&mut self, t_s: f64, [left, right]: [Option<f64>; 2]) -> Option<f64> {
        let there = |size: &f64| size.is_finite() && *size > 0.0;
        match (left.filter(there), right.filter(there)) {
            (Some(left), Some(right)) => {
                let half = 0.5 * right - 0.5 * left;
                let passed_s = self.last_s.map_or(f64::INFINITY, |last_s| t_s - last_s);
                let share = 1.0 - (-passed_s.max(0.0) / FOLLOW_S).exp();
                self.half = Some(match self.half {
                    Some(before) if share.is_finite() => before + share * (half - before),
                    _ => half,
                });
                self.last_s = Some(t_s);
                Some(0.5 * left + 0.5 * right)
            }
            (Some(left), None) => Some(left + self.half.unwrap_or(0.0)).filter(there),
            (None, Some(right)) => Some(right - self.half.unwrap_or(0.0)).filter(there),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_eye_that_is_lost_makes_no_jump() {
        let mut sizes = EyeSizes::new();
        for n in 0..500 {
            let size = sizes.push(f64::from(n) * 0.004, [Some(3.0), Some(3.4)]);
            assert!((size.unwrap() - 3.2).abs() < 1e-12);
        }
        assert!((sizes.push(2.1, [Some(3.0), None]).unwrap() - 3.2).abs() < 1e-9);
        assert!((sizes.push(2.2, [None, Some(3.5)]).unwrap() - 3.3).abs() < 1e-9);
        assert_eq!(sizes.push(2.3, [None, None]), None);
        assert_eq!(sizes.push(2.4, [Some(f64::NAN), Some(-1.0)]), None);
        sizes.reset();
        assert_eq!(sizes, EyeSizes::new());
        // Nothing is known of the other eye: what is seen stands.
        assert_eq!(sizes.push(3.0, [None, Some(3.5)]), Some(3.5));
    }
}
