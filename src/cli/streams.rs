//! `razvilka streams`: what LSL streams are here, with pins ready to paste into an experiment file.

use std::io::Write;
use std::thread;
use std::time::Duration;

use clap::Args as ClapArgs;
use serde::Serialize;

use crate::source::lsl::{Announcement, Network};
use crate::source::pins::{Channels, Pins};
use crate::source::{SourceError, StreamSpec};

/// Streams that are asked for their full description at the same time.
const ASKED_AT_ONCE: usize = 16;
/// Longest name printed in the table, characters.
const COLUMN_CHARS: usize = 40;

/// List the LSL streams here, with ready-to-paste source pins.
#[derive(Debug, Clone, ClapArgs)]
pub struct Args {
    /// How long answers are awaited, 0.1 to 60 seconds.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub timeout_s: f64,
    /// Print JSON on stdout.
    #[arg(long)]
    pub json: bool,
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
    format: crate::source::Format,
    labels: Vec<String>,
    units: Vec<String>,
    /// Pins for the experiment file; absent when the stream may not be opened.
    pins: Option<Pins>,
    /// Why it may not be opened.
    refused: Option<String>,
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
    let listed = describe_all(&announced);
    let text = if args.json {
        let mut json = serde_json::to_string_pretty(&listed).map_err(std::io::Error::other)?;
        json.push('\n');
        json
    } else {
        format!(
            "{}\nPins for the experiment file:\n\n{}",
            table(&listed),
            listed.iter().map(pins_toml).collect::<Vec<_>>().join("\n")
        )
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

fn seconds(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "is not a number".to_owned())?;
    if (0.1..=60.0).contains(&value) {
        Ok(value)
    } else {
        Err("must lie in 0.1..=60 seconds".to_owned())
    }
}

fn describe_all(announced: &[Announcement]) -> Vec<Listed> {
    let mut listed = Vec::with_capacity(announced.len());
    for group in announced.chunks(ASKED_AT_ONCE) {
        thread::scope(|scope| {
            let asked: Vec<_> = group
                .iter()
                .map(|announcement| (announcement, scope.spawn(|| announcement.describe())))
                .collect();
            for (announcement, answer) in asked {
                let described = answer.join().unwrap_or_else(|_| {
                    Err(SourceError::Lsl(
                        "its description could not be read".to_owned(),
                    ))
                });
                listed.push(match described {
                    Ok(stream) => Listed::new(stream.spec(), announcement.channel_count(), None),
                    Err(error) => Listed::new(
                        announcement.spec(),
                        announcement.channel_count(),
                        Some(error.to_string()),
                    ),
                });
            }
        });
    }
    listed
}

impl Listed {
    fn new(spec: &StreamSpec, channel_count: u32, refused: Option<String>) -> Self {
        Self {
            name: spec.name.clone(),
            kind: spec.kind.clone(),
            source_id: spec.source_id.clone(),
            hostname: spec.hostname.clone(),
            uid: spec.uid.clone(),
            channel_count,
            rate_hz: spec.rate_hz,
            format: spec.format,
            labels: spec.labels.clone(),
            units: spec.units.clone(),
            pins: refused.is_none().then(|| Pins::of(spec)),
            refused,
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

/// The pins of one stream as a TOML table, or a comment that says why there are none.
fn pins_toml(stream: &Listed) -> String {
    let Some(pins) = &stream.pins else {
        let reason = stream.refused.as_deref().unwrap_or_default();
        return format!(
            "# {} cannot be used: {}\n",
            toml_text(&stream.name),
            escaped(reason)
        );
    };
    let mut lines = match section(&stream.kind) {
        Some(section) => vec![format!("[{section}.pins]")],
        None => vec![
            "# Its type does not say what it is for: put it under [eeg.pins], [gaze.pins] or [keys.pins]."
                .to_owned(),
        ],
    };
    for (key, pin) in [
        ("name", &pins.name),
        ("type", &pins.kind),
        ("source_id", &pins.source_id),
        ("hostname", &pins.hostname),
    ] {
        if let Some(pin) = pin {
            lines.push(format!("{key} = {}", toml_text(pin)));
        }
    }
    match &pins.channels {
        Some(Channels::Count(count)) => lines.push(format!("channels = {count}")),
        Some(Channels::Labels(labels)) => {
            let labels: Vec<String> = labels.iter().map(|l| toml_text(l)).collect();
            lines.push(format!("channels = [{}]", labels.join(", ")));
        }
        None => {}
    }
    if let Some(unit) = &pins.unit {
        lines.push(format!("unit = {}", toml_text(unit)));
    }
    if let Some(rate) = pins.rate_hz {
        lines.push(format!("rate_hz = {rate:?}"));
    }
    if let Some(format) = pins.format {
        lines.push(format!(
            "format = \"{}\"",
            format!("{format:?}").to_lowercase()
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// The section of the experiment file that a stream of this type usually belongs to.
fn section(kind: &str) -> Option<&'static str> {
    match kind.to_ascii_lowercase().as_str() {
        "eeg" => Some("eeg"),
        "gaze" | "eyegaze" | "eyetracker" => Some("gaze"),
        "keys" => Some("keys"),
        _ => None,
    }
}

/// A name from the network, safe to print on a terminal and not too long.
fn cell(text: &str) -> String {
    let safe = escaped(text);
    if safe.chars().count() <= COLUMN_CHARS {
        return safe;
    }
    safe.chars().take(COLUMN_CHARS - 1).chain(['…']).collect()
}

/// Characters that steer a terminal or turn the direction of writing, as `\u{…}`.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_steering(c) {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// A TOML basic string that reads back as `text` and is safe to print.
fn toml_text(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if is_steering(c) => quoted.push_str(&format!("\\U{:08X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn is_steering(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Format;

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
        Listed::new(&spec, 2, None)
    }

    #[test]
    fn the_pins_paste_back_as_they_were() {
        let odd = listed(|s| s.name = "a\"b\\c\u{7}\u{202E}d \u{1F9E0}".into());
        let text = pins_toml(&odd);
        assert!(
            !text.chars().any(|c| c != '\n' && is_steering(c)),
            "{text:?}"
        );
        let table: toml::Table = toml::from_str(&text).unwrap();
        let pasted: Pins = table["eeg"]["pins"].clone().try_into().unwrap();
        assert_eq!(Some(pasted), odd.pins);
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
    fn a_stream_that_may_not_be_opened_has_no_pins_but_a_reason() {
        let mut stream = listed(|_| ());
        stream.pins = None;
        stream.refused = Some("too\nmany channels".into());
        let text = pins_toml(&stream);
        assert_eq!(
            text,
            "# \"Усилитель\" cannot be used: too\\u{a}many channels\n"
        );
        assert!(toml::from_str::<toml::Table>(&text).unwrap().is_empty());
    }

    #[test]
    fn a_stream_of_unknown_purpose_goes_under_no_section() {
        let text = pins_toml(&listed(|s| s.kind = "Markers".into()));
        assert!(text.starts_with("# Its type does not say"), "{text}");
        let pasted: Pins = toml::from_str(&text).unwrap();
        assert_eq!(pasted.kind.as_deref(), Some("Markers"));
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
    }
}
