//! The channel of a photodiode: from a stream while the display alternates, or from a recording.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::cli::exit::{Exit, Failure};
use crate::config::{NetworkMode, Plan};
use crate::engine::certify::display::photodiode::Trace;
use crate::recording::{RecordedStream, Recording, Samples};
use crate::source::lsl::{LslSamples, Network};
use crate::source::pins::Pins;
use crate::source::{SampleSource, SourceError, StreamSpec};

const OPEN: Duration = Duration::from_secs(5);
const PULL: Duration = Duration::from_millis(50);
const AT_ONCE: usize = 512;
/// What is still on its way when the last alternation was shown.
const AFTER: Duration = Duration::from_millis(500);
/// Most samples that are kept: an hour at 20 kHz, 1.2 GB.
const SAMPLES_MAX: usize = 72_000_000;

/// A stream that is listened to.
pub(super) struct Diode {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Trace, SourceError>>,
}

impl Diode {
    /// Listens to this stream's channel from now on.
    pub(super) fn listen(
        plan: &Plan,
        stream: &str,
        channel: &str,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, Failure> {
        let network = match plan.network.mode {
            NetworkMode::Laboratory => Network::laboratory(),
            NetworkMode::Loopback if plan.network.session_id.is_empty() => Network::loopback(),
            NetworkMode::Loopback => Network::loopback_session(&plan.network.session_id),
        }?;
        let mut pins = Pins::default();
        match stream.split_once('=') {
            Some(("source_id", id)) => pins.source_id = Some(id.to_owned()),
            Some(("name", name)) => pins.name = Some(name.to_owned()),
            _ => pins.name = Some(stream.to_owned()),
        }
        let wait = Duration::from_secs_f64(plan.network.resolve_s);
        let found = network.resolve(&pins, wait)?;
        let mut source = LslSamples::open(&found, OPEN)?;
        let index = channel_of(source.spec(), channel)?;
        // The clock's offset is asked for first: no stamp is used without.
        let mut waited = Duration::ZERO;
        while source.clock_offset().is_none() && waited < OPEN && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(PULL);
            waited += PULL;
        }
        let over = Arc::new(AtomicBool::new(false));
        let thread = {
            let over = Arc::clone(&over);
            std::thread::Builder::new()
                .name("photodiode".into())
                .spawn(move || listen(&mut source, index, &over))
                .map_err(|error| Failure::said(Exit::Internal, error.to_string()))?
        };
        Ok(Self { stop: over, thread })
    }

    /// Listens no more, and gives what was heard.
    pub(super) fn end(self) -> Result<Trace, Failure> {
        std::thread::sleep(AFTER);
        self.stop.store(true, Ordering::Relaxed);
        let heard = self.thread.join().map_err(|_| {
            Failure::said(
                Exit::Internal,
                "the thread that listened to the photodiode panicked",
            )
        })?;
        Ok(heard?)
    }
}

fn listen(source: &mut LslSamples, index: usize, stop: &AtomicBool) -> Result<Trace, SourceError> {
    let channels = source.spec().labels.len().max(1);
    let mut data = vec![0.0_f32; AT_ONCE * channels];
    let mut stamps = vec![0.0_f64; AT_ONCE];
    let mut trace = Trace::default();
    while !stop.load(Ordering::Relaxed) && trace.at_s.len() < SAMPLES_MAX {
        let pulled = source.pull(&mut data, &mut stamps, PULL)?;
        let Some(offset) = source.clock_offset() else {
            continue;
        };
        for (row, stamp) in data.chunks(channels).zip(&stamps).take(pulled) {
            trace.at_s.push(stamp + offset.offset_s);
            trace
                .values
                .push(row.get(index).copied().map_or(f64::NAN, f64::from));
        }
    }
    Ok(trace)
}

/// The channel with this label, or with this number where no channel is called so.
fn channel_of(spec: &StreamSpec, channel: &str) -> Result<usize, Failure> {
    let numbered = channel.parse::<usize>().ok();
    let by_number = numbered
        .and_then(|n| n.checked_sub(1))
        .filter(|n| *n < spec.labels.len());
    match (spec.channel(channel), by_number) {
        (Ok(index), _) | (Err(_), Some(index)) => Ok(index),
        (Err(error), None) => Err(error.into()),
    }
}

/// The channel of a recording.
pub(super) fn recorded(file: &Path, channel: &str) -> Result<Trace, Failure> {
    let said = |what: String| Failure::said(Exit::Source, format!("{}: {what}", file.display()));
    if file.extension().is_some_and(|extension| extension == "csv") {
        let text = std::fs::read_to_string(file).map_err(|error| said(error.to_string()))?;
        return table(&text, channel).map_err(said);
    }
    let recording = Recording::open(file).map_err(|error| said(error.to_string()))?;
    let numeric = |stream: &&RecordedStream| matches!(stream.samples, Samples::Numeric(_));
    let with = |has: fn(&StreamSpec, &str) -> bool| {
        let streams = recording.streams.iter().filter(numeric);
        streams
            .filter(|stream| has(&stream.spec, channel))
            .collect::<Vec<_>>()
    };
    let mut having = with(|spec, channel| spec.channel(channel).is_ok());
    if having.is_empty() {
        having = with(|spec, channel| channel_of(spec, channel).is_ok());
    }
    let [stream] = having.as_slice() else {
        let names: Vec<_> = having
            .iter()
            .map(|stream| stream.spec.name.as_str())
            .collect();
        return Err(said(format!(
            "one stream must have a channel '{channel}', and {} have: {}",
            names.len(),
            names.join(", ")
        )));
    };
    let index = channel_of(&stream.spec, channel)?;
    let value = |sample| {
        stream
            .numbers(sample)
            .and_then(|row| row.get(index).copied())
    };
    Ok(Trace {
        values: (0..stream.stamps.len())
            .map(|sample| value(sample).unwrap_or(f64::NAN))
            .collect(),
        at_s: stream.stamps.clone(),
    })
}

/// A table with a line of labels, and seconds in its first column. The first channel is the column behind them.
fn table(text: &str, channel: &str) -> Result<Trace, String> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let labels = lines.next().ok_or("it is empty")?;
    let of_label = labels
        .split(',')
        .skip(1)
        .position(|label| label.trim() == channel);
    let numbered = channel.parse::<usize>().ok();
    let by_number = numbered.and_then(|n| n.checked_sub(1));
    let by_number = by_number.filter(|n| *n < labels.split(',').skip(1).count());
    let column = 1 + of_label.or(by_number).ok_or_else(|| {
        format!("its first line has no column '{channel}' behind the seconds: {labels}")
    })?;
    let mut trace = Trace::default();
    for (line, number) in lines.zip(2_usize..) {
        let field = |at: usize| {
            let text = line.split(',').nth(at).map(str::trim);
            let value = text.and_then(|text| text.parse::<f64>().ok());
            value.ok_or_else(|| format!("line {number}, column {}: no number", at + 1))
        };
        let (at_s, value) = (field(0)?, field(column)?);
        if trace.at_s.last().is_some_and(|last| at_s < *last) {
            return Err(format!(
                "line {number}: its time is before that of the line above"
            ));
        }
        trace.at_s.push(at_s);
        trace.values.push(value);
    }
    Ok(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_by_its_labels_and_refused_by_its_line() {
        let text = "time_s,Cz,AUX1\n1.5,9,0.25\n\n1.75, 8,-4e2\n";
        for channel in ["AUX1", "2"] {
            let trace = table(text, channel).unwrap();
            assert_eq!(trace.at_s, [1.5, 1.75]);
            assert_eq!(trace.values, [0.25, -400.0]);
        }
        let numbers = table("time_s,2,1\n1.5,9,0.25\n", "1").unwrap();
        assert_eq!(numbers.values, [0.25], "a label comes first");
        for channel in ["0", "3"] {
            let refused = table(text, channel).unwrap_err();
            assert!(refused.contains("no column"), "{refused}");
        }
        for (text, words) in [
            ("", "empty"),
            ("time_s,Cz\n1,2\n", "no column 'AUX1'"),
            ("time_s,AUX1\n1,2\n2,x\n", "line 3, column 2"),
            ("time_s,AUX1\n1,2\n0.5,3\n", "line 3"),
        ] {
            let refused = table(text, "AUX1").unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
    }
}
