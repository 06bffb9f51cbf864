//! State of the person as it is published, kept and shown: one list of columns for the stream, the ledger and the report.
//!
//! What is not known is `None` here, NULL in the ledger, and NaN on the stream, which has no other way to say it.

use razvilka_dsp::state::{Drift, Index, Indices, Since};

/// Fatigue and attention at one moment. The time on task, their null model, stands beside it everywhere.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PersonState {
    /// What rests on ongoing EEG.
    pub indices: Indices,
    /// Amplitude of the P300: the calibration is its unit, the sitting's first forks its baseline.
    pub p300: Option<Drift>,
}

/// Number of values of a [`PersonState`].
pub const VALUES: usize = 22;

/// Name and unit of each value, in the order of [`PersonState::values`].
pub const COLUMNS: [(&str, &str); VALUES] = [
    ("baseline_share", "1"),
    ("channels", "1"),
    ("theta_alpha", "1"),
    ("theta_alpha_baseline", "1"),
    ("theta_alpha_z", "sd"),
    ("theta_alpha_risen", "probability"),
    ("slow_fast", "1"),
    ("slow_fast_baseline", "1"),
    ("slow_fast_z", "sd"),
    ("slow_fast_risen", "probability"),
    ("spindles_per_min", "1/min"),
    ("spindles_per_min_baseline", "1/min"),
    ("spindles_per_min_z", "sd"),
    ("spindles_per_min_risen", "probability"),
    ("spindle_s", "s"),
    ("spindle_uv", "microvolts"),
    ("p300_amplitude", "1"),
    ("p300_se", "1"),
    ("p300_forks", "1"),
    ("p300_baseline", "1"),
    ("p300_z", "se"),
    ("p300_fallen", "probability"),
];

/// Name and unit of the time on task.
pub const TIME_ON_TASK: (&str, &str) = ("time_on_task_s", "s");

impl PersonState {
    /// Every value, in the order of [`COLUMNS`].
    #[must_use]
    pub fn values(&self) -> [Option<f64>; VALUES] {
        let i = &self.indices;
        let (ratio, slow, rate) = (&i.theta_alpha, &i.slow_fast, &i.spindles_per_min);
        let p300 = |value: fn(&Drift) -> f64| self.p300.as_ref().map(value);
        let since = |value: fn(Since) -> f64| self.p300.and_then(|drift| drift.since).map(value);
        [
            Some(i.baseline_share),
            Some(i.channels as f64),
            ratio.value,
            ratio.baseline,
            ratio.z,
            ratio.risen,
            slow.value,
            slow.baseline,
            slow.z,
            slow.risen,
            rate.value,
            rate.baseline,
            rate.z,
            rate.risen,
            i.spindle_s,
            i.spindle_uv,
            p300(|drift| drift.amplitude),
            p300(|drift| drift.se),
            p300(|drift| drift.forks),
            since(|since| since.baseline),
            since(|since| since.z),
            since(|since| since.fallen),
        ]
    }

    /// The state with these values.
    #[must_use]
    pub fn of_values(values: &[Option<f64>; VALUES]) -> Self {
        let [
            share,
            channels,
            t,
            t_baseline,
            t_z,
            t_risen,
            s,
            s_baseline,
            s_z,
            s_risen,
            r,
            r_baseline,
            r_z,
            r_risen,
            spindle_s,
            spindle_uv,
            amplitude,
            se,
            forks,
            baseline,
            z,
            fallen,
        ] = *values;
        let index = |value, baseline, z, risen| Index {
            value,
            baseline,
            z,
            risen,
        };
        let since = || {
            Some(Since {
                baseline: baseline?,
                z: z?,
                fallen: fallen?,
            })
        };
        let drift = || {
            Some(Drift {
                amplitude: amplitude?,
                se: se?,
                forks: forks?,
                since: since(),
            })
        };
        Self {
            indices: Indices {
                baseline_share: share.unwrap_or(0.0),
                theta_alpha: index(t, t_baseline, t_z, t_risen),
                slow_fast: index(s, s_baseline, s_z, s_risen),
                spindles_per_min: index(r, r_baseline, r_z, r_risen),
                spindle_s,
                spindle_uv,
                // A count of at most 256 channels.
                channels: channels.unwrap_or(0.0) as usize,
            },
            p300: drift(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_from_its_values() {
        let values = std::array::from_fn(|n| (n % 7 != 3 || n > 15).then_some(n as f64 + 1.0));
        assert_eq!(PersonState::of_values(&values).values(), values);
        let nothing = PersonState::default();
        assert_eq!(PersonState::of_values(&nothing.values()), nothing);
        assert_eq!(nothing.values().iter().flatten().count(), 2);
    }
}
