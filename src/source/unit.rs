//! What the numbers of an EEG stream are, as amplifiers declare it.

/// Microvolts in one of this unit, as amplifiers write it; `None` for none, and for one that is not known.
#[must_use]
pub fn microvolts_per(unit: &str) -> Option<f64> {
    match unit.trim().to_lowercase().as_str() {
        "microvolts" | "microvolt" | "uv" | "\u{b5}v" | "\u{3bc}v" => Some(1.0),
        "millivolts" | "millivolt" | "mv" => Some(1e3),
        "volts" | "volt" | "v" => Some(1e6),
        "nanovolts" | "nanovolt" | "nv" => Some(1e-3),
        _ => None,
    }
}

/// Microvolts in one of each channel's unit; one that is not declared, or not known, is taken as microvolts.
#[must_use]
pub fn microvolts_of(units: &[String], channels: usize) -> Vec<f64> {
    (0..channels)
        .map(|channel| units.get(channel).and_then(|unit| microvolts_per(unit)))
        .map(|scale| scale.unwrap_or(1.0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_as_amplifiers_write_them_and_what_is_not_known_is_microvolts() {
        for (unit, scale) in [
            ("microvolts", Some(1.0)),
            ("uV", Some(1.0)),
            ("\u{b5}V", Some(1.0)),
            (" Volts ", Some(1e6)),
            ("mV", Some(1e3)),
            ("nV", Some(1e-3)),
            ("", None),
            ("degrees", None),
        ] {
            assert_eq!(microvolts_per(unit), scale, "{unit}");
        }
        assert_eq!(microvolts_of(&["V".into(), "?".into()], 3), [1e6, 1.0, 1.0]);
        assert_eq!(microvolts_of(&[], 2), [1.0, 1.0]);
    }
}
