//! Signal paths that cost what calibrated ones cost, without a calibration: for certificates, benchmarks and tests.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use razvilka_dsp::eeg::EegSpec;
use razvilka_dsp::epoch::EpochShape;
use razvilka_dsp::gaze::DetectorKind;
use razvilka_dsp::gaze_evidence::DwellModel;
use razvilka_dsp::score::{EpochScorer, LinearScorer, ScoreDensity, StudentT};
use razvilka_dsp::units::Hertz;

use crate::config::{GazeUnits, ScreenSection};
use crate::engine::lines::LineError;
use crate::pipeline::eeg::EegLine;
use crate::pipeline::gaze::{GazeLine, GazeReading};
use crate::view::layout;

/// What a stay says, nats per second, and the share of fixations that mean nothing: so that one short fixation decides and
/// forks follow quickly.
const STAY_NATS_PER_S: f64 = 200.0;
const DWELL_OUTLIER: f64 = 0.05;
/// Most that one flash says, nats: the scorer is random and must not decide.
const FLASH_CLIP_NATS: f64 = 0.05;

/// An EEG line of the default filter and epoch for `channels` channels at `rate_hz`, all used, with a [`scorer`].
///
/// # Errors
/// [`LineError`] for numbers out of range.
pub fn eeg_line(channels: usize, rate_hz: f64) -> Result<EegLine, LineError> {
    let path = EegSpec::p300(Hertz::new(rate_hz)?, channels);
    let (scorer, density) = scorer(path.epoch_shape()?, 1)?;
    let select = (0..channels).collect();
    Ok(EegLine::prepare(path, select, channels, scorer, density)?)
}

/// A scorer of the full size with random weights, and densities by which it says next to nothing.
///
/// # Errors
/// None for a shape that was checked.
pub fn scorer(shape: EpochShape, seed: u64) -> Result<(EpochScorer, ScoreDensity), LineError> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let weights: Vec<f64> = (0..shape.features())
        .map(|_| StandardNormal.sample(&mut random))
        .collect();
    // About the deviation of a sum of so many weighted bins of noise.
    let scale = 5.0 * (shape.features() as f64).sqrt();
    let class = |location| StudentT {
        location,
        scale,
        dof: 30.0,
    };
    let trusted = (-4.0 * scale, 4.0 * scale);
    let density = ScoreDensity::new(class(0.1 * scale), class(0.0), trusted, FLASH_CLIP_NATS)?;
    Ok((LinearScorer::new(shape, &weights, 0.0)?.into(), density))
}

/// A gaze line that reads channels 0 and 1 as degrees, without a map, and lets a short dwell say much.
///
/// # Errors
/// [`LineError`] for a rate out of range.
pub fn gaze_line(rate_hz: f64, screen: &ScreenSection) -> Result<GazeLine, LineError> {
    let reading = GazeReading::new((0, 1), None, GazeUnits::Degrees, screen);
    let (half_w, half_h) = layout::half_extent_deg(screen);
    let model = DwellModel {
        stay_s: 0.0,
        stay_nats_per_s: STAY_NATS_PER_S,
        outlier: DWELL_OUTLIER,
        area_deg2: 4.0 * half_w * half_h,
        reading_s_per_word: 0.0,
        reading_base_s: 0.0,
        ..DwellModel::default()
    };
    Ok(GazeLine::prepare(
        reading,
        None,
        model,
        Hertz::new(rate_hz)?,
        DetectorKind::default(),
    )?)
}
