//! `razvilka replay FILE --publish`: plays a recording as outlets.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use clap::Args;

use crate::{
    recording::{
        Recording,
        publish::{Outlets, Played, Playing, publish},
        xdf::XdfError,
    },
    source::{SourceError, replay::Speed},
};

/// What was typed.
#[derive(Debug, Clone, Args)]
pub struct ReplayPublishArgs {
    /// The recording, an .xdf file.
    pub file: PathBuf,
    /// Recorded seconds per second, 0.001 to 1000. Away from 1 the announced rates are wrong.
    #[arg(long, default_value = "1", value_parser = parse_speed)]
    pub speed: Speed,
    /// Begin again at the end, until stopped.
    #[arg(long = "loop")]
    pub repeat: bool,
    /// Play what can be read of a damaged or cut-off recording.
    #[arg(long)]
    pub recover: bool,
}

/// Why a recording was not played to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayPublishError {
    /// The file cannot be read. Exit code 2: another file must be given, or `--recover`.
    #[error("{}{}", .0, way_around(.0))]
    Recording(#[from] XdfError),
    /// An outlet failed. Exit code 3.
    #[error(transparent)]
    Outlet(#[from] SourceError),
    /// There is nothing to play. Exit code 2.
    #[error("recording {} holds no samples to publish. Give another file", file.display())]
    Empty {
        /// Which file.
        file: PathBuf,
    },
}

/// What to type for a file that is damaged only in parts.
fn way_around(error: &XdfError) -> &'static str {
    if error.is_recoverable() {
        ". --recover takes what is sound of it"
    } else {
        ""
    }
}

pub(super) fn parse_speed(text: &str) -> Result<Speed, String> {
    text.parse()
        .ok()
        .and_then(Speed::new)
        .ok_or_else(|| format!("'{text}' is no number from 0.001 to 1000"))
}

/// Plays the recording through `outlets` until its end or until `stop` is set; what there is to say goes to `talk`.
///
/// # Errors
/// [`ReplayPublishError`]; failing to talk is no error.
pub fn run(
    args: &ReplayPublishArgs,
    outlets: &mut dyn Outlets,
    stop: &AtomicBool,
    talk: &mut dyn Write,
) -> Result<Played, ReplayPublishError> {
    let recording = read(&args.file, args.recover)?;
    // Nobody may be listening; the playing goes on.
    let _ = describe(&recording, talk);
    let Some((first_s, last_s)) = recording.span_s() else {
        return Err(ReplayPublishError::Empty {
            file: args.file.clone(),
        });
    };
    let playing = Playing {
        speed: args.speed,
        repeat: args.repeat,
    };
    let round_s = (last_s - first_s) / args.speed.get();
    let played = publish(&recording, outlets, playing, stop, |round| {
        let _ = writeln!(talk, "playing, round {}: {round_s:.1} s", round + 1);
    })?;
    for name in &played.left_out {
        let _ = writeln!(
            talk,
            "left out: '{name}' has several text channels, which no marker outlet can carry"
        );
    }
    Ok(played)
}

/// A recording as it was typed: whole, or with `--recover` what is sound of it.
pub(super) fn read(file: &Path, recover: bool) -> Result<Recording, XdfError> {
    if recover {
        Recording::recover(file)
    } else {
        Recording::open(file)
    }
}

fn describe(recording: &Recording, talk: &mut dyn Write) -> io::Result<()> {
    for stream in &recording.streams {
        let spec = &stream.spec;
        writeln!(
            talk,
            "stream '{}' ({}), {} channels at {} Hz, {} samples",
            spec.name,
            spec.kind,
            stream.channels(),
            spec.rate_hz,
            stream.len()
        )?;
    }
    describe_damage(recording, talk)
}

/// What of a recovered recording is missing.
pub(super) fn describe_damage(recording: &Recording, talk: &mut dyn Write) -> io::Result<()> {
    for damage in &recording.damage {
        writeln!(talk, "damaged: {}", damage.reason)?;
        match damage.resumed_at {
            Some(at) => writeln!(talk, "  left out bytes {} to {at}", damage.offset)?,
            None => writeln!(talk, "  the recording ends at byte {}", damage.offset)?,
        }
    }
    for remark in &recording.remarks {
        writeln!(talk, "note: {remark}")?;
    }
    Ok(())
}
