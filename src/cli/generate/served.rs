//! A prompt continued by a model behind a server. What only a model in this process can do is refused.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use super::Args;
use super::input::Input;
use super::output::Ended;
use crate::cli::exit::{Exit, Failure};
use crate::cli::model::open_server;
use crate::decode::{Cancel, Device, End, ServerSettings, Step, WriterSettings};

pub(super) fn write(
    args: &Args,
    address: &Path,
    stdin: &mut impl BufRead,
    out: &mut impl Write,
    talk: &mut impl Write,
) -> Result<(), Ended> {
    for (given, option) in [
        (args.chat, "--chat"),
        (args.messages.is_some(), "--messages"),
        (!args.stop.is_empty(), "--stop"),
        (args.context.is_some(), "--context"),
        (args.json, "--json"),
        (args.json_lines, "--json-lines"),
        (args.device != Device::Cpu, "--device"),
    ] {
        if given {
            let said = format!(
                "{option} needs the model itself: {} continues prompts. Name a folder or a file, or leave {option} out",
                address.display()
            );
            return Err(Ended::Failed(Failure::said(Exit::Usage, said)));
        }
    }
    let settings = WriterSettings {
        seed: args.seed,
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        min_p: args.min_p,
        repeat_penalty: args.repeat_penalty,
        repeat_last_tokens: args.repeat_last,
        tokens_max: args.max_tokens,
        detect: false,
        ..WriterSettings::default()
    };
    let Input::Text(prompt) = Input::of(args, stdin)? else {
        return Ok(()); // conversations are refused above
    };
    let model = open_server(address, &ServerSettings::default())?;
    let mut writer = model.writer(settings)?;
    writer.start(&prompt)?;
    write!(out, "{}", writer.text())?;
    let (read, cancel, begun) = (writer.position(), Cancel::new(), Instant::now());
    let end = loop {
        let step = writer.advance(&cancel);
        for remark in writer.remarks() {
            let _ = writeln!(talk, "razvilka: {remark}");
        }
        match step? {
            Step::Text(text) => {
                let written = write!(out, "{text}").and_then(|()| out.flush());
                written?;
            }
            Step::End(end) => break Some(end),
            Step::Waiting => {}
            // Neither comes: nothing is detected, nobody cancels.
            Step::Fork(_) | Step::Cancelled => break None,
        }
    };
    writeln!(out)?;
    let (written, seconds) = (writer.position() - read, begun.elapsed().as_secs_f64());
    let why = match end {
        Some(End::Text) => "the text ended",
        _ => "as many as asked for",
    };
    let _ = writeln!(
        talk,
        "wrote {written} tokens in {seconds:.3} s ({:.1} per second); {why}",
        written as f64 / seconds.max(1e-9)
    );
    Ok(())
}
