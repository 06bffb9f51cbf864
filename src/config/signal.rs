//! What the experiment file says of the EEG path, held against a stream's rate and against a profile.
//!
//! A profile is fitted on one signal path and is only valid on that one, so with a profile the path is the profile's. A
//! file that states another path is refused, key by key; one that leaves keys out takes the profile's values, and the
//! plan then states them.

use std::path::Path;

use razvilka_calibration::{EegCalibration, Profile};

use super::sections::Checked;
use super::{ConfigError, EpochSection, FilterSection, Plan, QualitySection};

/// Lowest notch that makes sense; mains are 50 or 60 Hz.
pub const NOTCH_MIN_HZ: f64 = 20.0;
/// Two numbers this close, relatively, are the same number written differently.
const SAME: f64 = 1e-9;

/// Whether band and notch make sense, by themselves and at this rate; what is wrong otherwise.
///
/// # Errors
/// One sentence that names key, value and what is allowed.
pub fn check_filter(filter: &FilterSection, rate_hz: Option<f64>) -> Result<(), String> {
    let FilterSection {
        low_hz,
        high_hz,
        notch_hz,
        ..
    } = *filter;
    if low_hz >= high_hz {
        return Err(format!(
            "filter.low_hz = {low_hz} must lie below filter.high_hz = {high_hz}"
        ));
    }
    if notch_hz != 0.0 && notch_hz < NOTCH_MIN_HZ {
        return Err(format!(
            "filter.notch_hz = {notch_hz} must be 0 (no notch) or at least {NOTCH_MIN_HZ}"
        ));
    }
    let Some(rate_hz) = rate_hz else {
        return Ok(());
    };
    for (key, value) in [("filter.high_hz", high_hz), ("filter.notch_hz", notch_hz)] {
        if value >= rate_hz / 2.0 {
            return Err(format!(
                "{key} = {value} must lie below half the stream's rate of {rate_hz} Hz"
            ));
        }
    }
    Ok(())
}

/// Whether the limits for bad channels make sense, by themselves and at this rate; what is wrong otherwise.
///
/// # Errors
/// One sentence that names key, value and what is allowed.
pub fn check_quality(quality: &QualitySection, rate_hz: Option<f64>) -> Result<(), String> {
    let QualitySection {
        swing_uv, line_hz, ..
    } = *quality;
    if swing_uv != 0.0 && swing_uv < 1.0 {
        return Err(format!(
            "quality.swing_uv = {swing_uv} must be 0 (not watched) or at least 1"
        ));
    }
    if line_hz != 0.0 && line_hz < NOTCH_MIN_HZ {
        return Err(format!(
            "quality.line_hz = {line_hz} must be 0 (not watched) or at least {NOTCH_MIN_HZ}"
        ));
    }
    match rate_hz {
        Some(rate_hz) if line_hz >= rate_hz / 2.0 => Err(format!(
            "quality.line_hz = {line_hz} must lie below half the stream's rate of {rate_hz} Hz"
        )),
        _ => Ok(()),
    }
}

/// The limits for bad channels of a profile in the words of an experiment file.
fn quality_of(eeg: &EegCalibration) -> QualitySection {
    let q = &eeg.path.quality;
    QualitySection {
        window_s: q.window.get(),
        rail_uv: q.rail.get(),
        flat_uv: q.flat.get(),
        swing_uv: q.swing.map_or(0.0, |swing| swing.get()),
        variance_z_max: q.variance_z_max,
        line_hz: q.line.map_or(0.0, |line| line.get()),
        line_ratio_max: q.line_ratio_max,
        correlation_min: q.correlation_min,
        copy_min: q.copy_min,
        settle_s: q.settle.get(),
        good_min: u32::try_from(q.min_good).unwrap_or(u32::MAX),
    }
}

/// The keys of the signal path that an experiment file states itself.
#[derive(Debug, Default)]
pub(super) struct Stated(toml::Table);

impl Stated {
    pub(super) fn new(file: toml::Table) -> Self {
        Self(file)
    }

    fn has(&self, section: &str, key: &str) -> bool {
        self.0
            .get(section)
            .and_then(|section| section.get(key))
            .is_some()
    }
}

/// The signal path of a profile in the words of an experiment file; `None` where there are none for it.
fn sections_of(eeg: &EegCalibration) -> Option<(FilterSection, EpochSection)> {
    let band = eeg.path.band?;
    let filter = FilterSection {
        low_hz: band.low.get(),
        high_hz: band.high.get(),
        order: u32::try_from(band.order).ok()?,
        notch_hz: eeg.path.notch.map_or(0.0, |notch| notch.centre.get()),
    };
    let epoch = EpochSection {
        length_s: eeg.path.epoch.length.get(),
    };
    Some((filter, epoch))
}

impl Plan {
    /// Reads an experiment file as [`Plan::read`], and the profile it names: the plan then states the signal path of the
    /// profile, which is the one in force.
    ///
    /// # Errors
    /// [`ConfigError::Profile`] for a profile that is not there or is none, [`ConfigError::Contradiction`] when the file
    /// states another signal path than the profile was fitted on; others as [`Plan::read`].
    pub fn read_with_profile(path: &Path) -> Result<Self, ConfigError> {
        let (mut plan, stated) = Self::read_stated(path)?;
        let Some(file) = plan.calibration.profile.clone() else {
            return Ok(plan);
        };
        let profile = Profile::load(&file).map_err(ConfigError::Profile)?;
        if let (Some(_), Some(eeg)) = (&plan.eeg, &profile.eeg) {
            plan.adopt(eeg, &stated)?;
            plan.check()?;
        }
        Ok(plan)
    }

    /// Takes the signal path of a profile over, where the file does not state another.
    fn adopt(&mut self, eeg: &EegCalibration, stated: &Stated) -> Result<(), ConfigError> {
        let Some((filter, epoch)) = sections_of(eeg) else {
            return Err(ConfigError::Contradiction(
                "the profile of calibration.profile has no band-pass, which [filter] cannot say. Calibrate again".into(),
            ));
        };
        let keys = [
            ("filter", "low_hz", self.filter.low_hz, filter.low_hz),
            ("filter", "high_hz", self.filter.high_hz, filter.high_hz),
            (
                "filter",
                "order",
                f64::from(self.filter.order),
                f64::from(filter.order),
            ),
            ("filter", "notch_hz", self.filter.notch_hz, filter.notch_hz),
            ("epoch", "length_s", self.epoch.length_s, epoch.length_s),
        ];
        let quality = quality_of(eeg);
        // 0 leaves the number of good channels to the montage, as it did when the profile was fitted.
        let named = |full: &'static str| full.split_once('.').unwrap_or((full, ""));
        let limits = self.quality.numbers().into_iter().zip(quality.numbers());
        let limits = limits
            .filter(|((full, file), _)| !(*full == "quality.good_min" && *file == 0.0))
            .map(|((full, file), (_, profile))| (named(full).0, named(full).1, file, profile));
        for (section, key, file, profile) in keys.into_iter().chain(limits) {
            let same = (file - profile).abs() <= SAME * profile.abs();
            if stated.has(section, key) && !same {
                return Err(ConfigError::Contradiction(format!(
                    "{section}.{key} is {file} in the experiment file, but {profile} in the profile that it names: leave \
                     {section}.{key} out, or calibrate again with it"
                )));
            }
        }
        (self.filter, self.epoch, self.quality) = (filter, epoch, quality);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let eeg = "[eeg]\npins = { source_id = \"amp-1\", rate_hz = 250.0 }\n";
        Plan::parse(&format!("{eeg}{text}"), Path::new("experiment.toml"))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_band_or_a_notch_that_the_pinned_rate_cannot_hold_is_refused() {
        for (text, words) in [
            (
                "[filter]\nhigh_hz = 125.0\n",
                "filter.high_hz = 125 must lie below half",
            ),
            (
                "[filter]\nnotch_hz = 130.0\n",
                "filter.notch_hz = 130 must lie below half",
            ),
            (
                "[filter]\nnotch_hz = 0.001\n",
                "filter.notch_hz = 0.001 must be 0",
            ),
            (
                "[filter]\nlow_hz = 20.0\nhigh_hz = 10.0\n",
                "must lie below filter.high_hz",
            ),
        ] {
            let said = refused(text);
            assert!(said.contains(words), "{said}");
        }
        let notch = FilterSection {
            notch_hz: 50.0,
            ..FilterSection::default()
        };
        assert_eq!(check_filter(&notch, Some(250.0)), Ok(()));
        assert!(check_filter(&notch, Some(100.0)).is_err());
        assert!(check_filter(&notch, Some(0.0)).is_err());
    }

    #[test]
    fn limits_of_quality_that_cannot_be_are_refused() {
        for (text, words) in [
            ("swing_uv = 0.5", "quality.swing_uv = 0.5 must be 0"),
            ("line_hz = 5.0", "quality.line_hz = 5 must be 0"),
            (
                "line_hz = 125.0",
                "quality.line_hz = 125 must lie below half",
            ),
            ("copy_min = 0.5", "quality.copy_min is 0.5"),
            (
                "window_s = 0.0",
                "quality.window_s is 0 s: set it within 0.1..=60",
            ),
        ] {
            let said = refused(&format!("[quality]\n{text}\n"));
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn reading_that_lasts_until_the_fork_times_out_is_refused() {
        let said = refused("[ask]\nreading_base_s = 10.0\n[gate]\ntimeout_s = 9.0\n");
        assert!(
            said.contains("ask.reading_base_s = 10") && said.contains("gate.timeout_s = 9"),
            "{said}"
        );
        // Reading fits, but no epoch does after it.
        let said = refused("[ask]\nreading_base_s = 1.0\n[gate]\ntimeout_s = 1.5\n");
        assert!(said.contains("and an epoch"), "{said}");
    }

    #[test]
    fn a_context_in_which_no_branch_can_be_decoded_is_refused() {
        let said = refused("[writer]\ncontext_tokens_max = 64\n");
        assert!(
            said.contains("writer.context_tokens_max = 64") && said.contains("at least 178"),
            "{said}"
        );
    }
}
