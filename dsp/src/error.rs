//! Why a stage could not be built, or a block did not fit it.

use crate::units::OutOfRange;

/// The one error type of this crate. Every message says what happened and what to do.
///
/// Building it never allocates, so a stage may return it from `process`.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DspError {
    /// A quantity lies outside its documented range.
    #[error(transparent)]
    Range(#[from] OutOfRange),
    /// A whole number lies outside its documented range.
    #[error("{what} must lie in {min}..={max}, got {got}")]
    Count {
        /// Which number.
        what: &'static str,
        /// Smallest value accepted.
        min: usize,
        /// Largest value accepted.
        max: usize,
        /// The value given.
        got: usize,
    },
    /// A buffer has another length than the stage was built for.
    #[error(
        "{what} must hold {expected} values, got {got}. Pass whole samples of all channels in order"
    )]
    Shape {
        /// Which buffer.
        what: &'static str,
        /// Length the stage was built for (or a multiple of it, where the stage takes blocks).
        expected: usize,
        /// Length given.
        got: usize,
    },
    /// A frequency is not below half the sampling rate.
    #[error(
        "{what} of {frequency_hz} Hz must lie below half the sampling rate ({nyquist_hz} Hz). Lower it or sample faster"
    )]
    Nyquist {
        /// Which frequency.
        what: &'static str,
        /// The frequency given.
        frequency_hz: f64,
        /// Half the sampling rate.
        nyquist_hz: f64,
    },
    /// The edges of a band are not in rising order.
    #[error("the band's lower edge ({low_hz} Hz) must lie below its upper edge ({high_hz} Hz)")]
    BandEdges {
        /// Lower edge given.
        low_hz: f64,
        /// Upper edge given.
        high_hz: f64,
    },
    /// A section's coefficients are not finite, or its poles do not lie inside the unit circle.
    #[error(
        "section with a1 = {a1}, a2 = {a2} is not finite and stable. Widen the band or lower the order or Q"
    )]
    Unstable {
        /// First feedback coefficient.
        a1: f64,
        /// Second feedback coefficient.
        a2: f64,
    },
    /// A number that must be finite and in range is not.
    #[error("{what} must lie in {min}..={max} and be finite, got {got}")]
    Parameter {
        /// Which number.
        what: &'static str,
        /// Smallest value accepted.
        min: f64,
        /// Largest value accepted.
        max: f64,
        /// The value given.
        got: f64,
    },
}

/// Checks a whole number against its documented range.
pub(crate) fn count(
    what: &'static str,
    got: usize,
    min: usize,
    max: usize,
) -> Result<usize, DspError> {
    if (min..=max).contains(&got) {
        Ok(got)
    } else {
        Err(DspError::Count {
            what,
            min,
            max,
            got,
        })
    }
}

/// Checks a number against its documented range; NaN is out of range.
pub(crate) fn parameter(what: &'static str, got: f64, min: f64, max: f64) -> Result<f64, DspError> {
    if got >= min && got <= max {
        Ok(got)
    } else {
        Err(DspError::Parameter {
            what,
            min,
            max,
            got,
        })
    }
}

/// Checks the length of a buffer.
pub(crate) fn shape(what: &'static str, got: usize, expected: usize) -> Result<(), DspError> {
    if got == expected {
        Ok(())
    } else {
        Err(DspError::Shape {
            what,
            expected,
            got,
        })
    }
}
