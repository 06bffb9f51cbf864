//! From plan, profile and a stream's description to the signal paths; the same live and in replay.

use std::path::Path;

use razvilka_calibration::{
    CalibrationError, EegCalibration, Epochs, GazeCalibration, Montage, Profile, Provenance,
    epochs_beside, muscle_channels,
};
use razvilka_dsp::DspError;
use razvilka_dsp::contraction::{ContractionDetector, Muscle};
use razvilka_dsp::eeg::{BandSpec, EegSpec, NotchSpec};
use razvilka_dsp::eye_state::EyeStateSpec;
use razvilka_dsp::gaze_evidence::{DwellModel, REGIONS, region_of};
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::quality::QualitySpec;
use razvilka_dsp::state::StateSpec;
use razvilka_dsp::units::{Hertz, Microvolts, OutOfRange, Seconds};

use crate::config::{
    AdaptationSection, EegSection, EpochSection, FilterSection, GazeSection, Plan, QualitySection,
    StateSection,
};
use crate::engine::eyes;
use crate::gate::{GateSettings, SettingsError};
use crate::pipeline::eeg::{EegLine, EegLineError};
use crate::pipeline::eyes::EyeLine;
use crate::pipeline::features::{FeatureDrain, feature_ring};
use crate::pipeline::gaze::{GazeLine, GazeReading};
use crate::pipeline::state::StateLine;
use crate::source::unit::microvolts_of;
use crate::source::{SourceError, StreamSpec};
use crate::view::layout::{half_extent_deg, text_area};

/// Centre of the mains notch over its -3 dB width: 50 Hz is removed from 49.2 to 50.8 Hz.
const NOTCH_Q: f64 = 30.0;
/// Points of the mean error that each region of the screen starts from.
const REGION_PRIOR_POINTS: f64 = 2.0;
/// How far forward an electrode lies at most to be parietal or occipital, in radii of the head: P8, the foremost, lies at
/// -0.56, CPz at -0.31.
const BEHIND: f64 = -0.45;

/// Why a signal path cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// A channel that the plan names is not there.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The profile does not fit the stream, or is damaged.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    /// A filter or a rate that cannot be.
    #[error(transparent)]
    Dsp(#[from] DspError),
    /// The EEG line cannot be built.
    #[error(transparent)]
    Eeg(#[from] EegLineError),
    /// A number out of range.
    #[error(transparent)]
    Range(#[from] OutOfRange),
    /// A gate setting out of range.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A gaze stream whose rate is not known.
    #[error("stream '{name}' declares no rate. Set gaze.rate_hz to the tracker's, 30 to 2000 Hz")]
    NoRate {
        /// The stream's name.
        name: String,
    },
    /// Positions that only a calibration leads to the screen.
    #[error(
        "stream '{name}' gives positions in the picture of its scene camera, and no geometry leads from there to the screen. Calibrate with it: leave calibration.profile out, or name a profile with a gaze part"
    )]
    SceneCamera {
        /// The stream's name.
        name: String,
    },
    /// Deliberate blinks are wanted and the profile does not know them.
    #[error(
        "blink.on wants deliberate blinks, and the calibration profile has not learnt this person's. Calibrate with blink.on = true (and more blink.cues, if it was tried), or set blink.on = false"
    )]
    NoBlink,
    /// The profile has learnt the other blink.
    #[error(
        "blink.kind names another blink than the one that the calibration profile has learnt. Set blink.kind to the other, or calibrate again"
    )]
    OtherBlink,
    /// Contractions are wanted and the profile does not know them.
    #[error(
        "contraction.on wants contractions of jaw or brow, and the calibration profile has not learnt this person's. Calibrate with contraction.on = true (and more contraction.cues, if it was tried), or set contraction.on = false"
    )]
    NoContraction,
    /// No channel sees the jaw.
    #[error(
        "contractions of the jaw are wanted, and no channel of stream '{name}' sees it. Label one EMG, record Fp1, Fp2, AF7, AF8, F7, F8, T7, T8, TP9 or TP10, or name those that see it in contraction.channels"
    )]
    NoJaw {
        /// The stream's name.
        name: String,
    },
    /// No channel sees the brow.
    #[error(
        "contractions of the brow are wanted, and no channel of stream '{name}' sees it. Label one EMG, record Fp1, Fp2, AF3, AF4, AF7 or AF8, or name those that see it in contraction.channels"
    )]
    NoBrow {
        /// The stream's name.
        name: String,
    },
    /// The profile has learnt the other muscle.
    #[error(
        "contraction.muscle names another muscle than the one that the calibration profile has learnt. Set contraction.muscle to the other, or calibrate again"
    )]
    OtherMuscle,
    /// The plan names other channels than those in which the profile has learnt contractions.
    #[error(
        "contraction.channels names {named}, and the calibration profile has learnt contractions in {known}. Calibrate again, or leave contraction.channels out"
    )]
    OtherMuscleChannels {
        /// Those of the plan.
        named: String,
        /// Those of the profile.
        known: String,
    },
    /// A channel is not there in which the profile has learnt contractions.
    #[error(
        "stream '{name}' has no channel '{label}', in which the calibration profile has learnt contractions. Calibrate again with this stream, or set contraction.on = false"
    )]
    NoMuscle {
        /// The stream's name.
        name: String,
        /// The channel.
        label: String,
    },
    /// The profile has no part for a stream that the plan names.
    #[error(
        "the calibration profile has no {part} part, but the experiment file names a {part} stream. Calibrate with it, or leave [{part}] out"
    )]
    NoPart {
        /// `eeg` or `gaze`.
        part: &'static str,
    },
}

/// The profile of a session in which keys alone choose: it holds nothing, and is kept in no file.
#[must_use]
pub fn profile_of_keys() -> Profile {
    Profile {
        provenance: Provenance {
            created_utc: String::new(),
            software: format!("razvilka {}", env!("CARGO_PKG_VERSION")),
            sources: Vec::new(),
        },
        eeg: None,
        gaze: None,
        blink: None,
        pupil: None,
        contraction: None,
    }
}

/// Which channels of an EEG stream are used: their indices in the stream, and their labels.
///
/// # Errors
/// [`SourceError::Mismatch`] for a label that is not there.
pub fn montage(
    section: &EegSection,
    spec: &StreamSpec,
) -> Result<(Vec<usize>, Vec<String>), SourceError> {
    match &section.use_channels {
        None => Ok(((0..spec.labels.len()).collect(), spec.labels.clone())),
        Some(labels) => {
            let select = labels
                .iter()
                .map(|label| spec.channel(label))
                .collect::<Result<_, _>>()?;
            Ok((select, labels.clone()))
        }
    }
}

/// How EEG becomes features, for a stream of this rate and number of channels: the one way from these numbers to a path,
/// for `razvilka calibrate` and for a live calibration. A session takes the path of its profile.
///
/// # Errors
/// [`LineError`] for numbers out of range.
pub fn eeg_spec(
    filter: &FilterSection,
    epoch: &EpochSection,
    quality: &QualitySection,
    rate_hz: f64,
    channels: usize,
) -> Result<EegSpec, LineError> {
    let mut spec = EegSpec::p300(Hertz::new(rate_hz)?, channels);
    spec.band = Some(BandSpec {
        low: Hertz::new(filter.low_hz)?,
        high: Hertz::new(filter.high_hz)?,
        order: filter.order as usize,
    });
    if filter.notch_hz > 0.0 {
        spec.notch = Some(NotchSpec {
            centre: Hertz::new(filter.notch_hz)?,
            q: NOTCH_Q,
        });
    }
    spec.epoch.length = Seconds::new(epoch.length_s)?;
    spec.quality = QualitySpec {
        window: Seconds::new(quality.window_s)?,
        rail: Microvolts::new(quality.rail_uv)?,
        flat: Microvolts::new(quality.flat_uv)?,
        swing: match quality.swing_uv {
            0.0 => None,
            swing_uv => Some(Microvolts::new(swing_uv)?),
        },
        variance_z_max: quality.variance_z_max,
        line: match quality.line_hz {
            0.0 => None,
            line_hz => Some(Hertz::new(line_hz)?),
        },
        line_ratio_max: quality.line_ratio_max,
        correlation_min: quality.correlation_min,
        copy_min: quality.copy_min,
        settle: Seconds::new(quality.settle_s)?,
        min_good: match quality.good_min {
            0 => spec.quality.min_good,
            good => good as usize,
        },
    };
    spec.check()?;
    Ok(spec)
}

/// The EEG line for a stream, with the profile's scorer for the channels in `kept` (all when `None`).
///
/// # Errors
/// [`LineError`] when profile and stream do not fit together.
pub fn eeg_line(
    section: &EegSection,
    calibration: &EegCalibration,
    spec: &StreamSpec,
    kept: Option<&[bool]>,
) -> Result<EegLine, LineError> {
    let (select, labels) = montage(section, spec)?;
    calibration.montage().check(&Montage {
        labels,
        rate_hz: spec.rate_hz,
    })?;
    let (scorer, density) = match kept {
        Some(kept) => calibration.restrict(kept)?,
        None => (calibration.scorer()?, calibration.density),
    };
    let mut line = EegLine::prepare(calibration.path, select, spec.labels.len(), scorer, density)?;
    line.set_blinks(calibration.blinks.clone())?;
    line.set_montage(calibration.channels_used());
    line.set_units(&microvolts_of(&spec.units, spec.labels.len()));
    Ok(line)
}

/// Lets a line tell the features of its clean epochs, but of those in which a channel was bad that the calibration uses.
#[must_use]
pub fn features_of(calibration: &EegCalibration, line: &mut EegLine) -> FeatureDrain {
    let used = calibration.lda.used.iter().enumerate();
    let used = used.filter(|(_, used)| **used).map(|(k, _)| k).collect();
    let (tap, drain) = feature_ring(line.path().epoch_shape().features(), used);
    line.tell_features(tap);
    drain
}

/// The epochs that a profile was fitted on, from the file beside it; `None` where none were kept, or nothing is fitted anew.
///
/// # Errors
/// [`CalibrationError::Epochs`] when the file is not the one that the profile names, or cannot be read.
pub fn epochs_of(
    adaptation: &AdaptationSection,
    profile: &Profile,
    path: &Path,
) -> Result<Option<Epochs>, CalibrationError> {
    let beside = epochs_beside(path);
    let named = profile
        .eeg
        .as_ref()
        .and_then(|eeg| eeg.epochs_sha256.as_ref());
    match named {
        Some(sha256) if adaptation.on && adaptation.refit_every_forks > 0 && beside.is_file() => {
            Epochs::load(&beside, sha256).map(Some)
        }
        _ => Ok(None),
    }
}

/// The state of the person from a stream: its parietal and occipital electrodes, by their names in the 10-10 system, where
/// there are such; else all. Stamps and quality are judged as on the EEG path, `path`.
///
/// # Errors
/// [`LineError`] for a label that is not there, or a rate too low for beta.
pub fn state_line(
    section: &EegSection,
    state: &StateSection,
    path: &EegSpec,
    spec: &StreamSpec,
) -> Result<StateLine, LineError> {
    let (select, labels) = montage(section, spec)?;
    let posterior = |label: &String| {
        let at = razvilka_calibration::electrode(label);
        at.is_some_and(|[_, forward, _]| forward < BEHIND)
    };
    let named = labels.iter().enumerate();
    let spec_of_state = StateSpec {
        rate: Hertz::new(spec.rate_hz)?,
        channels: select.len(),
        stamps: path.stamps,
        quality: path.quality,
        ratio_channels: named
            .filter(|(_, label)| posterior(label))
            .map(|(channel, _)| channel)
            .collect(),
        window: Seconds::new(state.window_s)?,
        baseline: Seconds::new(state.baseline_s)?,
        recent: Seconds::new(state.recent_s)?,
        artefact_uv: state.artefact_uv,
        spindle_factor: state.spindle_factor,
        spindle_least_s: state.spindle_min_s,
    };
    let mut line = StateLine::new(spec_of_state, select, spec.labels.len())?;
    line.set_units(&microvolts_of(&spec.units, spec.labels.len()));
    Ok(line)
}

/// How a gaze stream is read.
///
/// # Errors
/// As [`eyes::choose`].
pub fn gaze_reading(
    section: &GazeSection,
    plan: &Plan,
    spec: &StreamSpec,
) -> Result<GazeReading, SourceError> {
    Ok(eyes::choose(section, &plan.screen, spec)?.reading)
}

/// The gaze line for a stream; with `None` the tracker's own calibration is taken as it is.
///
/// # Errors
/// [`LineError`] when the stream cannot be read as the plan says, the rate is out of range, or positions in the picture of a scene
/// camera come without a calibration.
pub fn gaze_line(
    section: &GazeSection,
    plan: &Plan,
    calibration: Option<&GazeCalibration>,
    spec: &StreamSpec,
) -> Result<GazeLine, LineError> {
    let reading = gaze_reading(section, plan, spec)?;
    // A tracker that is calibrated by itself goes through the geometry of the screen.
    let maps = calibration.and_then(GazeCalibration::maps);
    if reading.in_scene && maps.is_none() {
        return Err(LineError::SceneCamera {
            name: spec.name.clone(),
        });
    }
    let rate_hz = gaze_rate_hz(section, spec);
    if rate_hz == 0.0 {
        return Err(LineError::NoRate {
            name: spec.name.clone(),
        });
    }
    let model = dwell_model(plan, calibration);
    Ok(GazeLine::prepare(
        reading,
        maps,
        model,
        Hertz::new(rate_hz)?,
        section.detector,
    )?)
}

/// The rate that a gaze stream is taken to have, Hz: that of the experiment file before the declared one; 0 when neither says any.
#[must_use]
pub fn gaze_rate_hz(section: &GazeSection, spec: &StreamSpec) -> f64 {
    if section.rate_hz > 0.0 {
        section.rate_hz
    } else {
        spec.rate_hz
    }
}

/// Lets a gaze line listen for deliberate blinks, where the plan wants them.
///
/// # Errors
/// [`LineError`] when the profile has not learnt this blink, for a label that is not there or a number out of range.
pub fn listen_for_blinks(
    line: &mut GazeLine,
    section: &GazeSection,
    plan: &Plan,
    profile: &Profile,
    spec: &StreamSpec,
) -> Result<(), LineError> {
    if !plan.blink.on {
        return Ok(());
    }
    let blink = profile.blink.as_ref().ok_or(LineError::NoBlink)?;
    if blink.model.kind != plan.blink.kind {
        return Err(LineError::OtherBlink);
    }
    let openness = section.openness.as_ref();
    let openness = openness.map(|label| spec.channel(label)).transpose()?;
    Ok(line.listen_for_blinks(blink.model, plan.blink.reach_s, openness)?)
}

/// Lets a gaze line watch the pupil, where the plan wants it and the calibration could tell what it says; where it could not, the pupil says
/// nothing.
///
/// # Errors
/// [`LineError`] when no channel is a pupil's size, or a number is out of range.
pub fn watch_pupils(
    line: &mut GazeLine,
    plan: &Plan,
    profile: &Profile,
    spec: &StreamSpec,
) -> Result<(), LineError> {
    if let Some(pupil) = profile.pupil.as_ref().filter(|_| plan.pupil.on) {
        let reading = eyes::choose_pupil(&plan.pupil, spec)?;
        line.watch_pupils(reading, Some(pupil.model))?;
    }
    Ok(())
}

/// The channels of an EEG stream in which contractions are looked for: those `named`, or else those over this muscle.
///
/// # Errors
/// [`LineError`] for a label that is not there, or where none sees them.
pub fn muscles_of(
    named: Option<&[String]>,
    muscle: Muscle,
    spec: &StreamSpec,
) -> Result<ChannelMask, LineError> {
    let picked = match named {
        Some(labels) => {
            let places = labels.iter().map(|label| spec.channel(label));
            places.collect::<Result<Vec<_>, _>>()?.into_iter().collect()
        }
        None => muscle_channels(&spec.labels, muscle),
    };
    if picked.is_empty() {
        let name = spec.name.clone();
        return Err(match muscle {
            Muscle::Jaw => LineError::NoJaw { name },
            Muscle::Brow => LineError::NoBrow { name },
        });
    }
    Ok(picked)
}

/// Lets an EEG line listen for contractions, where the plan wants them, in the channels and with the notch with which the profile has learnt
/// them.
///
/// # Errors
/// [`LineError`] when the profile has not learnt them, for a channel that is not there or a number out of range.
pub fn listen_for_contractions(
    line: &mut EegLine,
    plan: &Plan,
    profile: &Profile,
    spec: &StreamSpec,
) -> Result<(), LineError> {
    if !plan.contraction.on {
        return Ok(());
    }
    let learnt = profile.contraction.as_ref();
    let learnt = learnt.ok_or(LineError::NoContraction)?;
    if learnt.muscle != plan.contraction.muscle {
        return Err(LineError::OtherMuscle);
    }
    let mut named = plan.contraction.channels.clone().unwrap_or_default();
    let mut known = learnt.channels.clone();
    named.sort();
    known.sort();
    if !named.is_empty() && named != known {
        return Err(LineError::OtherMuscleChannels {
            named: named.join(", "),
            known: known.join(", "),
        });
    }
    let found = learnt.channels.iter().map(|label| {
        let place = spec.labels.iter().position(|own| own == label);
        place.ok_or_else(|| LineError::NoMuscle {
            name: spec.name.clone(),
            label: label.clone(),
        })
    });
    let picked: ChannelMask = found.collect::<Result<Vec<_>, _>>()?.into_iter().collect();
    let mains = learnt.mains_hz.map(Hertz::new).transpose()?;
    let rate = Hertz::new(spec.rate_hz)?;
    let detector = ContractionDetector::new(rate, spec.labels.len(), picked, mains)?;
    let scale = microvolts_of(&spec.units, spec.labels.len());
    Ok(line.listen_for_contractions(detector, learnt.model, scale)?)
}

/// Lets a gaze line tell looks, where the plan wants contractions that are about them.
pub fn tell_looks(line: &mut GazeLine, plan: &Plan) {
    if plan.contraction.on {
        line.tell_looks();
    }
}

/// The state of the eyes from a gaze stream, read as for choosing.
///
/// # Errors
/// [`LineError`] when the plan's labels are not there or the rate is out of range.
pub fn eye_line(
    section: &GazeSection,
    plan: &Plan,
    calibration: Option<&GazeCalibration>,
    spec: &StreamSpec,
) -> Result<EyeLine, LineError> {
    let openness = section.openness.as_ref();
    Ok(EyeLine::new(
        EyeStateSpec {
            rate: Hertz::new(gaze_rate_hz(section, spec))?,
            detector: section.detector,
            baseline: Seconds::new(plan.state.baseline_s)?,
            recent: Seconds::new(plan.state.recent_s)?,
        },
        gaze_reading(section, plan, spec)?,
        calibration.and_then(GazeCalibration::maps),
        openness.map(|label| spec.channel(label)).transpose()?,
    )?)
}

/// How looks become evidence: the error as calibrated, the screen as it is.
#[must_use]
pub fn dwell_model(plan: &Plan, calibration: Option<&GazeCalibration>) -> DwellModel {
    let (half_w, half_h) = half_extent_deg(&plan.screen);
    let mut model = DwellModel {
        area_deg2: 4.0 * half_w * half_h,
        half_deg: [half_w, half_h].map(|half| half.clamp(0.5, 180.0)),
        text: Some(text_area(&plan.screen)),
        ..DwellModel::default()
    };
    if let Some(calibration) = calibration {
        let error = &calibration.error;
        model.sd_x_deg = error.sd_x_deg.clamp(0.3, 5.0);
        model.sd_y_deg = error.sd_y_deg.clamp(0.3, 5.0);
        model.region = region_factors(calibration, model.half_deg);
    }
    model.clip_nats = plan.gate.config().gaze.total_clip_nats.min(20.0);
    model
}

/// How much larger or smaller the error is in each third by third of the screen than everywhere: the root mean square distance of the
/// region's points from their targets, to which [`REGION_PRIOR_POINTS`] points of the mean are added, within 0.5 to 2.
fn region_factors(calibration: &GazeCalibration, half_deg: [f64; 2]) -> [f64; REGIONS] {
    let squares = |region: Option<usize>| {
        let points = calibration.points.iter().filter(|point| {
            let (x, y) = point.target_deg;
            region.is_none_or(|region| region_of(half_deg, x, y) == region)
        });
        points.fold((0.0, 0.0), |(n, sum), point| {
            (n + 1.0, sum + point.error_deg * point.error_deg)
        })
    };
    let (n, sum) = squares(None);
    let mean = sum / n;
    std::array::from_fn(|region| {
        let (n, sum) = squares(Some(region));
        let here = (sum + REGION_PRIOR_POINTS * mean) / (n + REGION_PRIOR_POINTS);
        let factor = (here / mean).sqrt();
        if factor.is_finite() {
            factor.clamp(0.5, 2.0)
        } else {
            1.0
        }
    })
}

/// The gate's settings with the reliabilities that the calibration found.
///
/// # Errors
/// [`SettingsError`] when a reliability is out of range.
pub fn gate_settings(plan: &Plan, profile: &Profile) -> Result<GateSettings, SettingsError> {
    let mut config = *plan.gate.config();
    if let Some(eeg) = &profile.eeg {
        config.p300.reliability *= eeg.reliability;
    }
    if let Some(blink) = &profile.blink {
        config.blink.reliability *= blink.reliability;
    }
    if let Some(pupil) = &profile.pupil {
        config.pupil.reliability *= pupil.reliability;
    }
    if let Some(contraction) = &profile.contraction {
        config.contraction.reliability *= contraction.reliability;
    }
    GateSettings::new(config)
}
