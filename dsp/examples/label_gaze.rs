//! Labels recorded gaze with the streaming detector, as if it arrived now.
//!
//! ```text
//! cargo run --release -p razvilka-dsp --example label_gaze -- RECORDINGS OUT [SETTING=VALUE ...]
//! ```
//!
//! `RECORDINGS` holds `t_ms,x_deg,y_deg,valid,...` tables; `OUT` receives one `t_ms,emit_ms,label,new_fixation` table each. Settings are
//! the fields of `VelocitySpec`, e.g. `peak_floor_deg_s=45`.

// An example has files and a terminal; the library has not.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use razvilka_dsp::gaze::{GazeEvent, GazeSample, VelocitySpec, VelocityThreshold};
use razvilka_dsp::units::Hertz;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(recordings), Some(out)) = (args.next(), args.next()) else {
        return Err("usage: label_gaze RECORDINGS OUT [SETTING=VALUE ...]".into());
    };
    let mut settings = serde_json::to_value(VelocitySpec::default())?;
    for setting in args {
        let (key, value) = setting.split_once('=').ok_or("expected SETTING=VALUE")?;
        settings[key] = value.parse::<f64>()?.into();
    }
    let spec: VelocitySpec = serde_json::from_value(settings)?;
    std::fs::create_dir_all(&out)?;
    for entry in std::fs::read_dir(&recordings)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "csv") {
            let table = label(&std::fs::read_to_string(&path)?, spec)?;
            let name = path.file_name().ok_or("no file name")?;
            std::fs::write(Path::new(&out).join(name), table)?;
        }
    }
    Ok(())
}

fn label(table: &str, spec: VelocitySpec) -> Result<String, Box<dyn Error>> {
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
    let mut detector = VelocityThreshold::new(spec, Hertz::new(1.0 / period_s)?)?;
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
