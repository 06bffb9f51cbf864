//! `razvilka prior`: other people's recordings become one file, for calibrations to come.

use std::io::Write;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use razvilka_calibration::{CalibrationError, Overwrite};

use super::calibrate::{self, prior::make};
use super::exit::{Exit, Failure};
use super::recorded::{Streams, failure};
use crate::config::QualitySection;

/// Make a prior of other people's labelled recordings, for `razvilka calibrate --prior-from FILE`.
///
/// The file holds averages over people, and of each flash two scores and whether it was a target; no EEG. It states the names
/// and SHA-256 of the recordings.
#[derive(Debug, Clone, ClapArgs)]
pub struct Args {
    /// Recordings (XDF) with markers {"event":"flash","target":0 or 1}. A file is one person's; files of one person are
    /// known by a part of the name such as sub-07, S07 or subject7, or say it: anna=FILE anna=FILE2.
    #[arg(value_name = "[PERSON=]FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Replace a file that is there already.
    #[arg(long)]
    pub force: bool,
    /// How the signal becomes features.
    #[command(flatten)]
    pub signal: calibrate::SignalOptions,
    /// Which streams are meant.
    #[command(flatten)]
    pub streams: Streams,
}

/// Makes the prior and writes it; says on `talk` what to expect of it.
///
/// # Errors
/// [`Exit::Usage`] for an option out of range or a file that cannot be written, [`Exit::Source`] for recordings that cannot be
/// used.
pub fn run(args: &Args, talk: &mut impl Write) -> Result<(), Failure> {
    let overwrite = if args.force {
        Overwrite::Replace
    } else {
        Overwrite::Refuse
    };
    if overwrite == Overwrite::Refuse && args.out.symlink_metadata().is_ok() {
        let path = args.out.clone();
        return Err(failure(Exit::Usage, CalibrationError::Exists { path }));
    }
    let as_calibrated = calibrate::Args {
        xdf: Vec::new(),
        prior_from: Vec::new(),
        out: args.out.clone(),
        force: args.force,
        signal: args.signal.clone(),
        blink_channel: None,
        quality: QualitySection::default(),
        streams: args.streams.clone(),
    };
    let file = make(&as_calibrated, &args.files, talk)?;
    file.save(&args.out, overwrite)
        .map_err(|e| failure(Exit::Usage, e))?;
    let expected = match &file.prior.outlook {
        Some(outlook) => {
            let auc = outlook.auc().map_err(|e| failure(Exit::Source, e))?;
            format!(
                "without a label it tells somebody new's flashes with AUC {:.3} ({:.3} to {:.3}), each of {} people left out",
                auc.value, auc.ci_low, auc.ci_high, file.prior.people
            )
        }
        None => "of one person: it helps where somebody new has labels, 10 targets or more; without, it takes two people"
            .to_owned(),
    };
    let _ = writeln!(talk, "{}: {expected}", args.out.display());
    Ok(())
}
