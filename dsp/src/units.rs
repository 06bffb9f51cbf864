//! Quantities that carry their unit. Constructors reject NaN, infinity and values out of range; none panics.
//!
//! Two times never mix: [`LslTime`] is a stamp on some LSL clock (the source's, or ours once corrected),
//! [`MonoTime`] is this machine's monotonic clock at arrival. There is no conversion without a measured offset.

use serde::{Deserialize, Serialize};

/// A value was not finite or lay outside its documented range.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{quantity} must lie in {min}..={max} {unit}, got {got}")]
pub struct OutOfRange {
    /// What was measured, for the message.
    pub quantity: &'static str,
    /// Unit, for the message.
    pub unit: &'static str,
    /// Smallest value accepted.
    pub min: f64,
    /// Largest value accepted.
    pub max: f64,
    /// The value given.
    pub got: f64,
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $label:literal, $unit:literal, $min:expr, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "f64", into = "f64")]
        pub struct $name(f64);

        impl $name {
            /// Checks and wraps a value.
            ///
            /// # Errors
            /// [`OutOfRange`] when the value is NaN, infinite or outside the documented range.
            pub const fn new(value: f64) -> Result<Self, OutOfRange> {
                if value >= $min && value <= $max {
                    Ok(Self(value))
                } else {
                    Err(OutOfRange { quantity: $label, unit: $unit, min: $min, max: $max, got: value })
                }
            }

            /// The bare number, in the unit of the type.
            pub const fn get(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $name {
            type Error = OutOfRange;
            fn try_from(value: f64) -> Result<Self, OutOfRange> {
                Self::new(value)
            }
        }

        impl From<$name> for f64 {
            fn from(value: $name) -> f64 {
                value.0
            }
        }
    };
}

quantity!(
    /// A frequency or sampling rate, above 0 and up to 50 kHz.
    Hertz, "frequency", "Hz", 1e-6, 50_000.0
);
quantity!(
    /// A span of time in seconds, 0 to one day.
    Seconds, "duration", "s", 0.0, 86_400.0
);
quantity!(
    /// An electric potential in microvolts, up to one volt either way.
    Microvolts, "potential", "uV", -1e6, 1e6
);
quantity!(
    /// A visual angle in degrees from the centre of the screen; x to the right, y downwards.
    Degrees, "visual angle", "deg", -180.0, 180.0
);
quantity!(
    /// A stamp in seconds on an LSL clock. On Linux that is `CLOCK_MONOTONIC` of the machine that made it.
    LslTime, "LSL stamp", "s", -1e12, 1e12
);

impl LslTime {
    /// Seconds from `earlier` to `self`, negative when `self` came first.
    #[must_use]
    pub fn since(self, earlier: Self) -> f64 {
        self.0 - earlier.0
    }
}

/// A moment on this machine's monotonic clock, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MonoTime(u64);

impl MonoTime {
    /// Wraps a reading of the monotonic clock.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's own zero.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Nanoseconds from `earlier` to `self`; 0 when `self` came first.
    #[must_use]
    pub const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Index of a sample since its stream was opened; survives filter restarts, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SampleIndex(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_reject_nan_infinity_and_out_of_range() {
        for bad in [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            0.0,
            -1.0,
            50_000.1,
        ] {
            assert!(Hertz::new(bad).is_err(), "{bad} must be refused");
        }
        assert_eq!(Hertz::new(250.0).map(Hertz::get), Ok(250.0));
        assert!(LslTime::new(f64::NAN).is_err());
    }

    #[test]
    fn the_error_names_quantity_range_and_value() {
        let message = Seconds::new(-2.0).unwrap_err().to_string();
        assert_eq!(message, "duration must lie in 0..=86400 s, got -2");
    }

    #[test]
    fn json_goes_through_the_same_check() {
        assert!(serde_json::from_str::<Degrees>("181.0").is_err());
        assert_eq!(
            serde_json::from_str::<Degrees>("1.5")
                .map(Degrees::get)
                .ok(),
            Some(1.5)
        );
    }
}
