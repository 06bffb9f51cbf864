//! `razvilka streams`: what LSL streams are here, with sections ready to paste into an experiment file.

use std::io::Write;
use std::time::Duration;

use clap::Args as ClapArgs;
use serde::Serialize;

use super::paste::{self, Described, escaped};
use crate::source::lsl::{Network, Surveyed, survey};
use crate::source::pins::Pins;
use crate::source::{Format, SourceError};

/// Longest name printed in the table, characters.
const COLUMN_CHARS: usize = 40;

/// List the LSL streams here, with ready-to-paste sections for the experiment file.
#[derive(Debug, Clone, ClapArgs)]
pub struct Args {
    /// How long answers are awaited, 0.1 to 60 seconds.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub timeout_s: f64,
    /// Print JSON on stdout.
    #[arg(long)]
    pub json: bool,
    /// How long each stream is listened to, to see what its stamps are worth; 0 to 60 seconds, 0 not at all.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = listening)]
    pub listen_s: f64,
    /// Ask this machine only; otherwise the laboratory's LSL configuration decides.
    #[arg(long)]
    pub loopback: bool,
    /// LSL session on this machine, with --loopback.
    #[arg(long, value_name = "ID", requires = "loopback", default_value = Network::LOOPBACK_SESSION)]
    pub session_id: String,
}

/// Why the streams could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum StreamsError {
    /// LSL could not be used, or nothing answered ([`SourceError::Silent`]).
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The list could not be written to stdout.
    #[error("the list of streams could not be written: {0}")]
    Output(#[from] std::io::Error),
}

/// One stream as listed.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    source_id: String,
    hostname: String,
    uid: String,
    channel_count: u32,
    rate_hz: f64,
    format: Format,
    labels: Vec<String>,
    units: Vec<String>,
    /// Pins for the experiment file; absent when the stream may not be opened.
    pins: Option<Pins>,
    /// Why it may not be opened.
    refused: Option<String>,
    /// Samples in a block, where samples come in blocks that share one stamp.
    block_samples: Option<f64>,
    /// The same for people.
    remark: Option<String>,
}

/// Lists the streams on stdout.
///
/// # Errors
/// [`SourceError::Silent`], naming the addresses asked, when no stream answered; [`StreamsError`] as it says.
pub fn run(args: &Args) -> Result<(), StreamsError> {
    let network = if args.loopback {
        Network::loopback_session(&args.session_id)?
    } else {
        Network::laboratory()?
    };
    let announced = network.resolve_all(Duration::from_secs_f64(args.timeout_s))?;
    if announced.is_empty() {
        return Err(SourceError::Silent {
            waited_s: args.timeout_s,
            asked: network.describe(),
        }
        .into());
    }
    let seen = survey(&announced, Duration::from_secs_f64(args.listen_s));
    let listed: Vec<Listed> = seen.iter().map(Listed::of).collect();
    let text = if args.json {
        let mut json = serde_json::to_string_pretty(&listed).map_err(std::io::Error::other)?;
        json.push('\n');
        json
    } else {
        let remarks: String = listed
            .iter()
            .filter_map(|stream| Some(format!("{}\n", escaped(stream.remark.as_ref()?))))
            .collect();
        format!(
            "{}{remarks}\nFor the experiment file:\n\n{}",
            table(&listed),
            paste::sections(&seen.into_iter().map(Described::from).collect::<Vec<_>>())
        )
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

pub(super) fn seconds(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "is not a number".to_owned())?;
    if (0.1..=60.0).contains(&value) {
        Ok(value)
    } else {
        Err("must lie in 0.1..=60 seconds".to_owned())
    }
}

pub(super) fn listening(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(0.0) => Ok(0.0),
        _ => seconds(text).map_err(|why| format!("{why}, or be 0")),
    }
}

impl Listed {
    fn of(seen: &Surveyed) -> Self {
        let spec = &seen.spec;
        let stamps = seen.heard.shared();
        Self {
            name: spec.name.clone(),
            kind: spec.kind.clone(),
            source_id: spec.source_id.clone(),
            hostname: spec.hostname.clone(),
            uid: spec.uid.clone(),
            channel_count: seen.channel_count,
            rate_hz: spec.rate_hz,
            format: spec.format,
            labels: spec.labels.clone(),
            units: spec.units.clone(),
            pins: seen.refused.is_none().then(|| Pins::of(spec)),
            refused: seen.refused.clone(),
            block_samples: stamps.block_samples(),
            remark: stamps.in_words(&spec.name),
        }
    }
}

/// A table with aligned columns, one line per stream.
fn table(listed: &[Listed]) -> String {
    let mut rows = vec![
        [
            "NAME",
            "TYPE",
            "CHANNELS",
            "RATE",
            "FORMAT",
            "SOURCE_ID",
            "HOST",
        ]
        .map(str::to_owned),
    ];
    for stream in listed {
        let rate = if stream.rate_hz == 0.0 {
            "irregular".to_owned()
        } else {
            format!("{} Hz", stream.rate_hz)
        };
        rows.push([
            cell(&stream.name),
            cell(&stream.kind),
            stream.channel_count.to_string(),
            rate,
            format!("{:?}", stream.format).to_lowercase(),
            cell(&stream.source_id),
            cell(&stream.hostname),
        ]);
    }
    let mut widths = [0; 7];
    for row in &rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = text.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let line: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A name from the network, safe to print on a terminal and not too long.
fn cell(text: &str) -> String {
    let safe = escaped(text);
    if safe.chars().count() <= COLUMN_CHARS {
        return safe;
    }
    safe.chars().take(COLUMN_CHARS - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Heard, StreamSpec};

    fn listed(edit: impl FnOnce(&mut StreamSpec)) -> Listed {
        let mut spec = StreamSpec {
            name: "Усилитель".into(),
            kind: "EEG".into(),
            source_id: "sn-1".into(),
            hostname: "lab".into(),
            uid: "u1".into(),
            rate_hz: 500.0,
            format: Format::Float32,
            labels: vec!["Fz".into(), "Cz".into()],
            units: vec!["microvolts".into(), "microvolts".into()],
            xml: String::new(),
        };
        edit(&mut spec);
        Listed::of(&Surveyed {
            spec,
            channel_count: 2,
            refused: None,
            heard: Heard::default(),
            age: None,
        })
    }

    #[test]
    fn columns_line_up_and_control_characters_do_not_reach_the_terminal() {
        let text = table(&[listed(|s| s.name = "x\u{1b}[2J".into()), listed(|_| ())]);
        assert!(!text.contains('\u{1b}'), "{text:?}");
        let type_columns: Vec<usize> = text
            .lines()
            .map(|line| {
                let at = line.find("TYPE").or_else(|| line.find("EEG")).unwrap();
                line[..at].chars().count()
            })
            .collect();
        assert_eq!(type_columns.len(), 3);
        assert!(type_columns.iter().all(|c| *c == type_columns[0]), "{text}");
    }

    #[test]
    fn a_session_belongs_to_loopback() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: Args,
        }
        let parse = |words: &[&str]| <Line as clap::Parser>::try_parse_from(words);
        assert_eq!(parse(&["streams"]).unwrap().args.session_id, "loopback");
        let own = parse(&["streams", "--loopback", "--session-id", "x"]).unwrap();
        assert_eq!(own.args.session_id, "x");
        assert!(parse(&["streams", "--session-id", "x"]).is_err());
        assert!(parse(&["streams", "--timeout-s", "0"]).is_err());
    }

    #[test]
    fn a_waiting_time_out_of_range_is_refused() {
        for bad in ["0", "61", "nan", "inf", "-1", "x"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
        assert_eq!(seconds("0.1"), Ok(0.1));
        assert_eq!(listening("0"), Ok(0.0));
        assert!(listening("-1").is_err() && listening("61").is_err());
    }
}
