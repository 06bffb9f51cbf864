//! `razvilka replay FILE --calibration PROFILE`: a recording fed to the engine's EEG line, its flashes scored as they come.

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use razvilka_calibration::{EegCalibration, Montage, Profile, ScoreDrift};
use razvilka_dsp::eeg::EegSpec;

use super::exit::{Exit, Failure};
use super::recorded::{Recorded, stamp_rule};
use super::replay::Args;
use super::replay_publish::{self, ReplayPublishError};
use crate::fork::ForkId;
use crate::gate::Lease;
use crate::pipeline::eeg::EegLine;
use crate::pipeline::presenter::{FlashId, FlashNotice};
use crate::source::replay::Speed;

/// The longest sleep between two looks at the stop flag.
const NAP: Duration = Duration::from_millis(50);

/// Scores the flashes of the recording that was named.
///
/// # Errors
/// [`Failure`] when profile and recording cannot be used together.
pub(super) fn score(
    args: &Args,
    profile: &Path,
    stop: &AtomicBool,
    out: &mut impl Write,
    talk: &mut impl Write,
) -> Result<(), Failure> {
    let loaded = Profile::load(profile).map_err(|error| Failure::new(Exit::Usage, error))?;
    let Some(calibration) = &loaded.eeg else {
        return Err(Failure::said(
            Exit::Usage,
            format!(
                "{} holds gaze only, no P300 classifier. Calibrate with flashes",
                profile.display()
            ),
        ));
    };
    let recording = replay_publish::read(&args.path, args.recover)
        .map_err(|error| Failure::new(Exit::Source, ReplayPublishError::from(error)))?;
    // Nobody may be listening; the scores go on.
    let _ = replay_publish::describe_damage(&recording, talk);
    let recorded = Recorded::of(&args.path, recording, &args.streams)?;
    let mut scoring = Scoring::new(&recorded, calibration)?;
    let pace = (!args.fast).then(|| Pace {
        begun: Instant::now(),
        speed: args.speed(),
    });
    match scoring.play(&recorded, pace, stop, out) {
        // Whoever closed the pipe has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(Exit::Usage, error)),
        Ok(()) => {
            let _ = writeln!(
                talk,
                "scored {} of {} flashes; {} were rejected",
                scoring.scored,
                recorded.flashes().len(),
                scoring.line.rejected_in_all()
            );
            Ok(())
        }
    }
}

/// When what was recorded is due.
struct Pace {
    begun: Instant,
    speed: Speed,
}

impl Pace {
    /// Waits until `after_s` recorded seconds have passed; `false` when told to stop.
    fn wait(&self, after_s: f64, stop: &AtomicBool) -> bool {
        let due = Duration::try_from_secs_f64(after_s / self.speed.get()).unwrap_or_default();
        loop {
            if stop.load(Ordering::Relaxed) {
                return false;
            }
            let left = due.saturating_sub(self.begun.elapsed());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(NAP));
        }
    }
}

/// The engine's EEG line with a recording before it.
struct Scoring<'a> {
    line: EegLine,
    calibration: &'a EegCalibration,
    drift: ScoreDrift,
    scored: u64,
}

impl<'a> Scoring<'a> {
    fn new(recorded: &Recorded, calibration: &'a EegCalibration) -> Result<Self, Failure> {
        let stream = recorded.eeg()?;
        let montage = Montage {
            labels: stream.spec.labels.clone(),
            rate_hz: stream.spec.rate_hz,
        };
        let unfit = |error| Failure::new(Exit::Source, error);
        calibration.montage().check(&montage).map_err(unfit)?;
        let scorer = calibration.scorer().map_err(unfit)?;
        let channels = stream.channels();
        let select = (0..channels).collect();
        let path = EegSpec {
            stamps: stamp_rule(stream),
            ..calibration.path
        };
        let mut line = EegLine::prepare(path, select, channels, scorer, calibration.density)
            .map_err(|error| Failure::new(Exit::Source, error))?;
        let (microvolts, _) = super::unit::microvolts(stream);
        line.set_units(&microvolts);
        line.set_montage(calibration.channels_used());
        line.set_blinks(calibration.blinks.clone())
            .map_err(|error| Failure::new(Exit::Source, error))?;
        Ok(Self {
            line,
            calibration,
            drift: ScoreDrift::new(),
            scored: 0,
        })
    }

    /// Plays the recording in the order of its time; each score is written when its last sample has come.
    fn play(
        &mut self,
        recorded: &Recorded,
        pace: Option<Pace>,
        stop: &AtomicBool,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let Ok(stream) = recorded.eeg() else {
            return Ok(());
        };
        let flashes = recorded.flashes();
        let mut announced = 0;
        let mut row = vec![0.0_f32; stream.channels()];
        let first_s = stream
            .stamps
            .iter()
            .copied()
            .find(|stamp| stamp.is_finite())
            .unwrap_or(0.0);
        writeln!(out, "onset_s,score,p_target")?;
        for (index, &stamp_s) in stream.stamps.iter().enumerate() {
            if let Some(pace) = &pace
                && !pace.wait(stamp_s - first_s, stop)
            {
                break;
            }
            while let Some(flash) = flashes
                .get(announced)
                .filter(|flash| flash.onset_s <= stamp_s)
            {
                let id = FlashId::new(ForkId(0), announced as u32, 0);
                let notice = FlashNotice {
                    id,
                    onset_s: flash.onset_s,
                    offset_s: 0.0,
                    lease: Lease { epoch: 0 },
                };
                self.line.flash(&notice);
                announced += 1;
            }
            for (to, from) in row
                .iter_mut()
                .zip(stream.numbers(index).unwrap_or_default())
            {
                // The stream's own width, as it comes live.
                *to = *from as f32;
            }
            self.line.sample(stamp_s, &row);
            while let Some(found) = self.line.pop() {
                self.scored += 1;
                let EegCalibration {
                    density,
                    base_rate,
                    reliability,
                    ..
                } = self.calibration;
                let p_target = self
                    .drift
                    .p_target(found.score, density, *base_rate, *reliability);
                writeln!(out, "{},{},{p_target}", found.scored.onset_s, found.score)?;
                if pace.is_some() {
                    out.flush()?;
                }
            }
        }
        out.flush()
    }
}
