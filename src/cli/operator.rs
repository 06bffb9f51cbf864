//! `razvilka operator`: a session seen from elsewhere, in a window or as JSON, with the right to pause and to stop it where it grants that.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::exit::{Exit, Failure};
use crate::config::CONTROL_SOURCE_ID;
use crate::engine::control::Command;
use crate::operator::{Asks, Client, ClientError, Wanted};
use crate::source::lsl::Network;
use crate::view::status::status_line;

/// How often what is known is printed.
const EVERY: Duration = Duration::from_secs(1);
/// How long a word typed waits for a session that listens.
const HEARD_WITHIN: Duration = Duration::from_secs(10);

/// Watch a session from this or another machine; pause and stop it, where its experiment file allows that.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Which session, where there are several: its identity, as messages list them
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// source_id of the stream by which the session is asked; operator.control_pins of its experiment file name it
    #[arg(long, value_name = "ID", default_value = CONTROL_SOURCE_ID)]
    pub control_id: String,
    /// Ask this machine only; otherwise the laboratory's LSL configuration decides
    #[arg(long)]
    pub loopback: bool,
    /// LSL session on this machine, with --loopback
    #[arg(long, value_name = "ID", requires = "loopback", default_value = Network::LOOPBACK_SESSION)]
    pub session_id: String,
    /// Language of the view
    #[arg(long, value_enum, default_value_t = super::demo::Language::En)]
    pub lang: super::demo::Language,
    /// No window: one JSON object a second on stdout; pause, resume or stop, typed as a line, ask the session for that
    #[arg(long)]
    pub json: bool,
    /// Close after this many seconds
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: Option<u32>,
    /// At the end, print as JSON how many frames were drawn and what they cost
    #[arg(long, conflicts_with = "json")]
    pub report: bool,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] with the exit code that fits.
pub fn run(args: &Args, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
    let network = if args.loopback {
        Network::loopback_session(&args.session_id)?
    } else {
        Network::laboratory()?
    };
    let wanted = Wanted {
        session: args.session.clone(),
        control_id: args.control_id.clone(),
    };
    let client = Client::start(network, wanted)?;
    if args.json {
        return print(&client, args.seconds, stop);
    }
    in_window(client, args, stop)
}

#[cfg(feature = "window")]
fn in_window(client: Client, args: &Args, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
    use crate::config::ViewLanguage;
    use crate::view::operator::words::Words;
    use crate::view::operator::{Shown, show};

    let language = match args.lang {
        super::demo::Language::En => ViewLanguage::En,
        super::demo::Language::Ru => ViewLanguage::Ru,
    };
    let shown = Shown {
        words: Words::of(language),
        seconds: args.seconds.map(f64::from),
        stop: Arc::clone(stop),
    };
    let begun = (Instant::now(), processor_s());
    let drawn = show(client, shown).map_err(|error| Failure::new(Exit::Usage, error))?;
    if args.report {
        let seconds = begun.0.elapsed().as_secs_f64();
        let cost = Cost {
            frames: drawn.frames,
            frames_per_s: drawn.frames as f64 / drawn.seconds.max(f64::MIN_POSITIVE),
            eeg_channels: drawn.channels,
            eeg_columns: drawn.columns,
            seconds,
            processor_s: processor_s() - begun.1,
            cores: (processor_s() - begun.1) / seconds,
        };
        println!("{}", serde_json::to_string(&cost).unwrap_or_default());
    }
    Ok(())
}

#[cfg(not(feature = "window"))]
fn in_window(_: Client, _: &Args, _: &Arc<AtomicBool>) -> Result<(), Failure> {
    Err(Failure::said(
        Exit::Usage,
        "this razvilka was built without windows: build it with the feature `window`, or print what the operator knows with --json",
    ))
}

/// What the window cost.
#[cfg(feature = "window")]
#[derive(Debug, Serialize)]
struct Cost {
    frames: u64,
    frames_per_s: f64,
    eeg_channels: usize,
    eeg_columns: u64,
    seconds: f64,
    /// Of all threads of this process, user and system.
    processor_s: f64,
    /// Share of one core.
    cores: f64,
}

/// Processor time of this process, seconds.
#[cfg(feature = "window")]
fn processor_s() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 * 1e-9
}

/// What is known, as it is printed.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    session: Option<&'a str>,
    line: Option<String>,
    phase: String,
    fork: Option<u64>,
    posterior: &'a [f32],
    text: Option<&'a str>,
    options: Vec<&'a str>,
    bad: &'a [String],
    notes: &'a [String],
    eeg_channels: usize,
    eeg_columns: u64,
    state_known: usize,
    listens: bool,
    trouble: &'a str,
}

fn print(client: &Client, seconds: Option<u32>, stop: &AtomicBool) -> Result<(), Failure> {
    let words = typed_words();
    let begun = Instant::now();
    let mut next = begun;
    let mut wanted: Option<(Command, Instant)> = None;
    let mut mute = String::new();
    loop {
        let over = seconds.is_some_and(|s| begun.elapsed() >= Duration::from_secs(u64::from(s)));
        if over || stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Who cannot ask can still watch.
        let refused = client.offer_control().err().map(|error| error.to_string());
        let refused = refused.unwrap_or_default();
        if refused != mute {
            mute = refused;
            if !mute.is_empty() {
                eprintln!("razvilka: {mute}");
            }
        }
        while let Ok(word) = words.try_recv() {
            match Command::from_json(&format!("{{\"control\":\"{word}\"}}")) {
                Ok(command) => wanted = Some((command, Instant::now())),
                Err(why) => eprintln!("razvilka: '{}': {why}", word.escape_debug()),
            }
        }
        // The session finds the stream by itself, within a second or two.
        if let Some((command, since)) = wanted {
            match client.ask(command) {
                Ok(()) => wanted = None,
                Err(ClientError::NotHeard { .. }) if since.elapsed() < HEARD_WITHIN => {}
                Err(error) => {
                    wanted = None;
                    eprintln!("razvilka: {error}");
                }
            }
        }
        if Instant::now() >= next {
            next += EVERY;
            if print_once(client).is_err() {
                // Nobody reads any more.
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn print_once(client: &Client) -> std::io::Result<()> {
    let now = client.live().now();
    let (eeg_channels, eeg_columns) = {
        let brain = client.live().brain();
        let columns = brain.columns.as_ref();
        (
            brain.labels.len(),
            columns.map_or(0, |columns| columns.total()),
        )
    };
    let page = now.page.as_deref();
    let options = page.and_then(|page| page.fork.as_ref());
    let printed = Printed {
        session: page.map(|page| page.session.as_str()),
        line: now
            .status
            .as_ref()
            .map(|status| status_line(status, &now.fork)),
        phase: format!("{:?}", now.fork.phase).to_lowercase(),
        fork: now.fork.fork,
        posterior: &now.fork.posterior,
        text: page.map(|page| page.text.as_str()),
        options: options
            .iter()
            .flat_map(|fork| &fork.options)
            .map(|option| option.text.as_str())
            .collect(),
        bad: page.map_or(&[], |page| &page.bad),
        notes: page.map_or(&[], |page| &page.notes),
        eeg_channels,
        eeg_columns,
        state_known: now.state.len(),
        listens: now.listens,
        trouble: &now.trouble,
    };
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &printed)?;
    writeln!(out)?;
    out.flush()
}

/// Lines of standard input, as they come; none where it is closed.
fn typed_words() -> std::sync::mpsc::Receiver<String> {
    let (tell, words) = std::sync::mpsc::sync_channel(8);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if tell.send(line.trim().to_owned()).is_err() {
                return;
            }
        }
    });
    words
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::Source(_) | ClientError::NotHeard { .. } => Exit::Source,
            ClientError::Thread(_) => Exit::Internal,
        };
        Self::new(exit, error)
    }
}
