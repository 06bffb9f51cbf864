//! The P300 speller's recordings that several benches read: three people, one to train on and one later in the same sitting.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Parser;
use razvilka::cli::calibrate::{Args as Calibrate, labelled};
use razvilka_calibration::EegInput;

#[derive(Parser)]
struct Wrapped {
    #[command(flatten)]
    calibrate: Calibrate,
}

/// The labelled epochs of a person's `train` or `test` recording, as `razvilka calibrate` reads them.
pub(crate) fn read(data: &Path, person: &str, part: &str) -> Result<EegInput> {
    let file = data.join(format!("gtec5_{person}_{part}.xdf"));
    let file = file
        .to_str()
        .context("a path that is not Unicode")?
        .to_owned();
    let args = Wrapped::try_parse_from(["calibrate", "--xdf", &file, "--out", "unused"])?;
    let input =
        labelled(&args.calibrate, &mut std::io::sink()).map_err(|e| anyhow::anyhow!("{e}"))?;
    let Some(input) = input else {
        bail!("{file} has no labelled flash");
    };
    Ok(input)
}
