//! State of the person as it is published, kept and shown: one list of columns for the stream, the ledger and the report.
//!
//! What is not known is `None` here, NULL in the ledger, and NaN on the stream, which has no other way to say it.

use razvilka_dsp::eye_state::EyeIndices;
use razvilka_dsp::state::{Drift, Index, Indices, Since};

/// Fatigue and attention at one moment. The time on task, their null model, stands beside it everywhere.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PersonState {
    /// What rests on ongoing EEG.
    pub indices: Indices,
    /// Amplitude of the P300: the calibration is its unit, the sitting's first forks its baseline.
    pub p300: Option<Drift>,
    /// What rests on the eyes.
    pub eyes: EyeIndices,
}

/// Number of values of a [`PersonState`].
pub const VALUES: usize = OF_EEG + OF_EYES;
/// Those that rest on EEG, which come first.
pub const OF_EEG: usize = 22;
/// Those that rest on the eyes.
const OF_EYES: usize = 23;

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
    ("eyes_baseline_share", "1"),
    ("blinks_per_min", "1/min"),
    ("blinks_per_min_baseline", "1/min"),
    ("blinks_per_min_z", "sd"),
    ("blinks_per_min_risen", "probability"),
    ("blink_s", "s"),
    ("blink_s_baseline", "s"),
    ("blink_s_z", "sd"),
    ("blink_s_risen", "probability"),
    ("perclos", "1"),
    ("perclos_baseline", "1"),
    ("perclos_z", "sd"),
    ("perclos_risen", "probability"),
    ("perclos_measured", "0 or 1"),
    ("saccade_peak_deg_s", "deg/s"),
    ("saccade_peak_deg_s_baseline", "deg/s"),
    ("saccade_peak_deg_s_z", "sd"),
    ("saccade_peak_deg_s_risen", "probability"),
    ("bcea_deg2", "deg^2"),
    ("bcea_deg2_baseline", "deg^2"),
    ("bcea_deg2_z", "sd"),
    ("bcea_deg2_risen", "probability"),
    ("rms_s2s_deg", "deg"),
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
        let of_eeg: [_; OF_EEG] = [
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
        ];
        let mut values = [None; VALUES];
        let both = of_eeg.into_iter().chain(eye_values(&self.eyes));
        values
            .iter_mut()
            .zip(both)
            .for_each(|(to, from)| *to = from);
        values
    }

    /// The state with these values.
    #[must_use]
    pub fn of_values(values: &[Option<f64>; VALUES]) -> Self {
        let mut of_eeg = [None; OF_EEG];
        let mut of_eyes = [None; OF_EYES];
        let both = of_eeg.iter_mut().chain(&mut of_eyes);
        both.zip(values).for_each(|(to, from)| *to = *from);
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
        ] = of_eeg;
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
            eyes: eyes_of(&of_eyes),
        }
    }
}

fn index(value: Option<f64>, baseline: Option<f64>, z: Option<f64>, risen: Option<f64>) -> Index {
    Index {
        value,
        baseline,
        z,
        risen,
    }
}

fn eye_values(eyes: &EyeIndices) -> [Option<f64>; OF_EYES] {
    let EyeIndices {
        baseline_share,
        blinks_per_min: rate,
        blink_s: length,
        perclos,
        perclos_measured,
        saccade_peak_deg_s: peak,
        bcea_deg2: bcea,
        rms_s2s_deg,
    } = *eyes;
    [
        Some(baseline_share),
        rate.value,
        rate.baseline,
        rate.z,
        rate.risen,
        length.value,
        length.baseline,
        length.z,
        length.risen,
        perclos.value,
        perclos.baseline,
        perclos.z,
        perclos.risen,
        perclos_measured.map(|measured| f64::from(u8::from(measured))),
        peak.value,
        peak.baseline,
        peak.z,
        peak.risen,
        bcea.value,
        bcea.baseline,
        bcea.z,
        bcea.risen,
        rms_s2s_deg,
    ]
}

fn eyes_of(values: &[Option<f64>; OF_EYES]) -> EyeIndices {
    let [
        share,
        rate,
        rate_baseline,
        rate_z,
        rate_risen,
        length,
        length_baseline,
        length_z,
        length_risen,
        perclos,
        perclos_baseline,
        perclos_z,
        perclos_risen,
        measured,
        peak,
        peak_baseline,
        peak_z,
        peak_risen,
        bcea,
        bcea_baseline,
        bcea_z,
        bcea_risen,
        rms_s2s_deg,
    ] = *values;
    EyeIndices {
        baseline_share: share.unwrap_or(0.0),
        blinks_per_min: index(rate, rate_baseline, rate_z, rate_risen),
        blink_s: index(length, length_baseline, length_z, length_risen),
        perclos: index(perclos, perclos_baseline, perclos_z, perclos_risen),
        perclos_measured: measured.map(|measured| measured != 0.0),
        saccade_peak_deg_s: index(peak, peak_baseline, peak_z, peak_risen),
        bcea_deg2: index(bcea, bcea_baseline, bcea_z, bcea_risen),
        rms_s2s_deg,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_from_its_values() {
        let mut values = std::array::from_fn(|n| (n % 7 != 3 || n > 15).then_some(n as f64 + 1.0));
        let measured = COLUMNS
            .iter()
            .position(|(name, _)| *name == "perclos_measured")
            .unwrap();
        values[measured] = Some(1.0);
        assert_eq!(PersonState::of_values(&values).values(), values);
        let nothing = PersonState::default();
        assert_eq!(PersonState::of_values(&nothing.values()), nothing);
        assert_eq!(nothing.values().iter().flatten().count(), 3);
    }
}
