//! Labels recorded gaze with the streaming detector, as if it arrived now.
//!
//! ```text
//! cargo run --release -p razvilka-dsp --example label_gaze -- RECORDINGS OUT [trained [PARAMETERS] | SETTING=VALUE ...]
//! ```
//!
//! `trained` takes the trained detector, with other parameters than its own where a table is named (as `train_gaze` writes it); else it
//! is the velocity threshold. `RECORDINGS` holds `t_ms,x_deg,y_deg,valid,...` tables; `OUT` receives one `t_ms,emit_ms,label,new_fixation` table each. Settings are
//! the fields of `VelocitySpec`, e.g. `peak_floor_deg_s=45`.

// An example has files and a terminal; the library has not.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use razvilka_dsp::DspError;
use razvilka_dsp::gaze::{
    GazeDetector, GazeEvent, GazeSample, Parameters, TrainedDetector, TrainedSpec, VelocitySpec,
    VelocityThreshold,
};
use razvilka_dsp::units::Hertz;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(recordings), Some(out)) = (args.next(), args.next()) else {
        return Err(
            "usage: label_gaze RECORDINGS OUT [trained [PARAMETERS] | SETTING=VALUE ...]".into(),
        );
    };
    let settings: Vec<String> = args.collect();
    let make = detector(&settings)?;
    std::fs::create_dir_all(&out)?;
    for entry in std::fs::read_dir(&recordings)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "csv") {
            let table = label(&std::fs::read_to_string(&path)?, &make)?;
            let name = path.file_name().ok_or("no file name")?;
            std::fs::write(Path::new(&out).join(name), table)?;
        }
    }
    Ok(())
}

type Make = Box<dyn Fn(Hertz) -> Result<GazeDetector, DspError>>;

fn detector(settings: &[String]) -> Result<Make, Box<dyn Error>> {
    if settings.first().is_some_and(|first| first == "trained") {
        let spec = TrainedSpec::default();
        let Some(path) = settings.get(1) else {
            return Ok(Box::new(move |rate| {
                let detector = TrainedDetector::new(spec, rate)?;
                Ok(GazeDetector::Trained(Box::new(detector)))
            }));
        };
        let parameters = Parameters::read(&std::fs::read_to_string(path)?)?;
        return Ok(Box::new(move |rate| {
            let detector = TrainedDetector::with(spec, rate, parameters.clone())?;
            Ok(GazeDetector::Trained(Box::new(detector)))
        }));
    }
    let mut values = serde_json::to_value(VelocitySpec::default())?;
    for setting in settings {
        let (key, value) = setting.split_once('=').ok_or("expected SETTING=VALUE")?;
        values[key] = value.parse::<f64>()?.into();
    }
    let spec: VelocitySpec = serde_json::from_value(values)?;
    Ok(Box::new(move |rate| {
        let detector = VelocityThreshold::new(spec, rate)?;
        Ok(GazeDetector::Velocity(Box::new(detector)))
    }))
}

fn label(table: &str, make: &Make) -> Result<String, Box<dyn Error>> {
    let mut samples = Vec::new();
    for line in table.lines().skip(1) {
        let mut columns = line.split(',').map(|c| c.parse().unwrap_or(f64::NAN));
        let mut next = || columns.next().unwrap_or(f64::NAN);
        samples.push(GazeSample {
            t_s: next() / 1000.0,
            x_deg: next(),
            y_deg: next(),
            valid: next() == 1.0,
        });
    }
    let mut steps: Vec<f64> = samples.windows(2).map(|w| w[1].t_s - w[0].t_s).collect();
    steps.sort_by(f64::total_cmp);
    let period_s = steps.get(steps.len() / 2).ok_or("fewer than two samples")?;
    let mut detector = make(Hertz::new(1.0 / period_s)?)?;
    let mut out = String::from("t_ms,emit_ms,label,new_fixation\n");
    let mut write = |event: GazeEvent| {
        if let GazeEvent::Label(l) = event {
            let _ = writeln!(
                out,
                "{:.3},{:.3},{},{}",
                l.t_s * 1000.0,
                l.emit_s * 1000.0,
                l.movement.code(),
                u8::from(l.announces)
            );
        }
    };
    for sample in samples {
        detector.push(sample, &mut write);
    }
    detector.finish(&mut write);
    Ok(out)
}
