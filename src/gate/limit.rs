//! Numbers a person may set: each has a key, a unit, a range and a default, in one place.

/// One row of a settings table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// The key as it stands in the configuration file.
    pub key: &'static str,
    /// Unit of the value; empty for a bare ratio or count.
    pub unit: &'static str,
    /// Smallest value accepted.
    pub min: f64,
    /// Largest value accepted.
    pub max: f64,
    /// Value taken when the key is absent.
    pub default: f64,
    /// What it does, in one line.
    pub about: &'static str,
}

impl Limit {
    /// A row of a table.
    #[must_use]
    pub const fn new(
        key: &'static str,
        unit: &'static str,
        (min, max): (f64, f64),
        default: f64,
        about: &'static str,
    ) -> Self {
        Self {
            key,
            unit,
            min,
            max,
            default,
            about,
        }
    }

    /// Accepts a value inside the range; NaN and infinity never are.
    ///
    /// # Errors
    /// [`SettingsError::OutOfRange`] with the key, the value and the range.
    pub fn check(&self, got: f64) -> Result<(), SettingsError> {
        if got >= self.min && got <= self.max {
            Ok(())
        } else {
            Err(SettingsError::OutOfRange {
                key: self.key,
                unit: self.unit,
                min: self.min,
                max: self.max,
                default: self.default,
                got,
            })
        }
    }
}

/// A unit behind its number; a plain number has none.
fn spaced(unit: &str) -> String {
    if unit.is_empty() {
        String::new()
    } else {
        format!(" {unit}")
    }
}

/// A setting that cannot be used. The message names the key, the value and what is allowed.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Not finite, too small or too large.
    #[error(
        "{key} is {got}{}: set it within {min}..={max} (default {default})",
        spaced(unit)
    )]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// Its unit.
        unit: &'static str,
        /// Smallest value accepted.
        min: f64,
        /// Largest value accepted.
        max: f64,
        /// The default.
        default: f64,
        /// The value given.
        got: f64,
    },
    /// Two settings that only make sense in one order.
    #[error(
        "{lower_key} is {lower} and {upper_key} is {upper}: set {lower_key} at most as large as {upper_key}"
    )]
    Order {
        /// The key that must not be larger.
        lower_key: &'static str,
        /// Its value.
        lower: f64,
        /// The key that must not be smaller.
        upper_key: &'static str,
        /// Its value.
        upper: f64,
    },
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit {
        key: "gate.timeout_s",
        unit: "s",
        min: 0.5,
        max: 600.0,
        default: 12.0,
        about: "",
    };

    #[test]
    fn the_message_says_key_value_range_and_default() {
        let message = LIMIT.check(0.1).unwrap_err().to_string();
        assert_eq!(
            message,
            "gate.timeout_s is 0.1 s: set it within 0.5..=600 (default 12)"
        );
    }

    #[test]
    fn values_that_are_not_finite_are_never_inside_a_range() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(LIMIT.check(value).is_err());
        }
        assert!(LIMIT.check(0.5).is_ok() && LIMIT.check(600.0).is_ok());
    }
}
