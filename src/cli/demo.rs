//! `razvilka demo`: a whole session on this machine. The amplifier, the eye tracker and the person are simulated, in a process
//! of their own; everything they and the engine say to each other travels over real LSL on 127.0.0.1.

mod operator;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use self::operator::{Operator, operator_id};
use super::exit::{Exit, Failure};
use super::participant::Participant;
use super::play::{Play, check_folder, open_model_of_person, play, progress_bar};
use super::run;
use super::window;
use crate::choice::{FlashConfig, FlashSettings};
use crate::config::{
    EegSection, GazeSection, GazeUnits, KeysSection, NetworkMode, NetworkSection, PersonSection,
    Plan, ScreenSection, ViewLanguage, control_pins,
};
use crate::engine::streams::marker_source_id;
use crate::gate::{ContradictionPolicy, GateConfig, GateSettings, SourceConfig};
use crate::session::{SessionFile, new_session_id};
use crate::sim::{Preset, Screen, SimSettings, Streams};
use crate::source::lsl::Network;
use crate::source::pins::Pins;
use crate::source::terminal::TerminalKeys;
use crate::view::page::Views;

/// How long the simulated laboratory may take to start.
const START: Duration = Duration::from_secs(15);
/// How long it may take to end.
const END: Duration = Duration::from_secs(5);
/// How fast the simulated person reads and decides, relative to an ordinary reader: the demo is to end within three minutes.
const PACE: f64 = 2.0;

/// Watch a whole session on this machine, with a simulated laboratory over real LSL.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Seed of the person, the devices and the story
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Forks the person answers
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub forks: u32,
    /// The session folder, made new; razvilka-session-TIME by default
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// How difficult the simulated person and devices are
    #[arg(long, value_enum, default_value_t = Preset::Typical)]
    pub preset: Preset,
    /// A recorded person in the place of a made-up one
    #[command(flatten)]
    pub participant: Participant,
    /// What is shown; the window has a mark where the simulated person looks
    #[command(flatten)]
    pub view: window::Typed,
    /// Show what an operator sees as well, in a window and a process of its own that may pause and stop the demo
    #[arg(long)]
    pub operator: bool,
    /// Cover the monitor with the participant window
    #[arg(long, requires = "window")]
    pub full_screen: bool,
    /// Press keys beside the simulated person, who may have wished otherwise: in the window, or typed in the terminal, where ? lists them
    #[arg(long)]
    pub keys: bool,
    /// Language of the stories that the embedded model tells
    #[arg(long, value_enum, default_value_t = Language::En, conflicts_with = "model")]
    pub lang: Language,
    /// A Hugging Face folder, a GGUF file, hf:organisation/name or a server (http://host:port) instead of the embedded model
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Remember the choices of this person, who agreed to that: a name, or the path of a folder
    #[arg(long, value_name = "DIR|NAME")]
    pub person: Option<PathBuf>,
    /// A folder of sentence-transformers as one more judge of which branches mean the same
    #[arg(long, value_name = "DIR")]
    pub embedder: Option<PathBuf>,
}

/// Languages of the embedded model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// English
    En,
    /// Russian
    Ru,
}

impl Language {
    /// How a story begins; with this the model knows which language it is.
    fn opening(self) -> &'static str {
        match self {
            Self::En => "Once upon a time",
            Self::Ru => "Давным-давно",
        }
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] with the exit code that fits.
pub fn run(args: &Args, command: Vec<String>, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
    let begun = Instant::now();
    let id = new_session_id(std::time::SystemTime::now());
    let lsl_session = format!("demo-{}", std::process::id());
    let network = Network::loopback_session(&lsl_session)?;
    let settings = SimSettings {
        seed: args.seed,
        preset: args.preset,
        pace: PACE,
        ..SimSettings::default()
    };
    let streams = match args.participant.load()? {
        Some(recorded) => Streams::with_recording(&settings, &recorded),
        None => Streams::of(&settings),
    };
    let mut plan = args
        .view
        .onto(plan(args, &settings, &streams, &lsl_session))?;
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("razvilka-session-{id}")));
    // What may be wrong is looked for before anything is started or written.
    check_folder(&out)?;
    if plan.typed_keys() {
        TerminalKeys::check()?;
    }
    let model = open_model_of_person(&mut plan, &mut |said| println!("{said}"))?;
    if args.operator {
        let pins = control_pins(&operator_id(&id));
        plan.operator.control = true;
        plan.operator.control_pins = pins;
    }
    let truth = TruthFile::at(truth_beside(&out));
    let shown = plan.clone();
    window::shown(&shown, stop, |board| {
        println!(
            "A simulated amplifier, eye tracker and person publish LSL streams on 127.0.0.1; the engine calibrates on them,"
        );
        println!(
            "then writes, and asks at decisive forks. What the person wishes stays in its own process, and in {}.\n",
            truth.path.display()
        );
        let laboratory =
            Laboratory::start(&settings, &args.participant, &lsl_session, &id, &truth.path)?;
        let _operator = args
            .operator
            .then(|| Operator::start(args.lang, &lsl_session, &id));
        let mut views = Views::of(board.as_ref());
        let left = play(Play {
            plan,
            network,
            out: out.clone(),
            command,
            model: Some(model),
            marker_session: id,
            listener: Some(START),
            view: &mut views,
            board,
            stop: Arc::clone(stop),
        });
        laboratory.end();
        let kept = truth.keep(&out);
        let left = left?;
        let ended = run::end(&left, kept.as_deref());
        println!("the demo took {:.0} s", begun.elapsed().as_secs_f64());
        ended
    })
}

/// The experiment that the demo is, as an experiment file would say it.
fn plan(args: &Args, settings: &SimSettings, streams: &Streams, lsl_session: &str) -> Plan {
    let Screen {
        width_cm,
        height_cm,
        distance_cm,
    } = settings.screen;
    let mut plan = Plan {
        eeg: Some(EegSection {
            pins: Pins::of(&streams.eeg),
            use_channels: None,
        }),
        gaze: Some(GazeSection {
            pins: Pins::of(&streams.gaze),
            x: "x".into(),
            y: "y".into(),
            confidence: Some("confidence".into()),
            units: Some(GazeUnits::Normalised),
            ..GazeSection::default()
        }),
        keys: Some(KeysSection {
            terminal: args.keys && !args.view.window,
            window: args.keys && args.view.window,
            pins: Some(Pins::of(&streams.keys)),
        }),
        network: NetworkSection {
            mode: NetworkMode::Loopback,
            session_id: lsl_session.into(),
            resolve_s: 1.0,
        },
        screen: ScreenSection {
            width_cm,
            height_cm,
            distance_cm,
            ..ScreenSection::default()
        },
        ..Plan::default()
    };
    plan.session.seed = args.seed;
    plan.session.forks = args.forks;
    plan.model.path = args.model.clone();
    if plan.model.path.is_none() {
        plan.model.prompt = args.lang.opening().to_owned();
    }
    plan.model.embedder = args.embedder.clone();
    plan.person = args.person.clone().map(|id| PersonSection { id });
    // What fits into three minutes; the ranges are those of any experiment.
    plan.flash = flash_settings();
    if !args.view.no_flash {
        plan.gate = gate_settings();
    }
    plan.calibration.blocks = 7;
    plan.calibration.point_s = 0.7;
    plan.model.pace_tokens_per_s = 40.0;
    plan.ask.reading_s_per_word = 0.125;
    plan.view.full_screen = args.full_screen;
    plan.view.gaze_mark = args.view.window;
    plan.view.language = match args.lang {
        Language::En => ViewLanguage::En,
        Language::Ru => ViewLanguage::Ru,
    };
    // Between two flashes there are 105 ms at least.
    plan.view.flash_s = 0.08;
    plan
}

/// A little faster than by default.
fn flash_settings() -> FlashSettings {
    let config = FlashConfig {
        soa_s: 0.125,
        soa_jitter_s: 0.02,
        ..FlashConfig::default()
    };
    // Inside the ranges of FlashConfig::LIMITS; a test builds this plan.
    FlashSettings::new(config).unwrap_or_default()
}

/// Two sources that must not contradict each other: gaze alone does not reach the threshold, since looking at a tile is first of all
/// reading it; flashes that came while the person was still reading say little; and while one source by itself leans to
/// another option, the gate waits.
fn gate_settings() -> GateSettings {
    let defaults = GateConfig::default();
    let config = GateConfig {
        prior_ratio_max: 2.0,
        contradiction: ContradictionPolicy::Hold,
        contradiction_confidence: 0.6,
        gaze: SourceConfig {
            total_clip_nats: 2.2,
            ..defaults.gaze
        },
        p300: SourceConfig {
            item_clip_nats: 2.5,
            ..defaults.p300
        },
        ..defaults
    };
    // Inside the ranges of GateConfig::LIMITS; a test builds this plan.
    GateSettings::new(config).unwrap_or_default()
}

/// The truth is written beside the session folder while the session lasts, or above it where that does not exist yet: not
/// where the engine writes.
fn truth_beside(out: &Path) -> PathBuf {
    let mut name = out
        .file_name()
        .map_or_else(|| "session".into(), std::ffi::OsStr::to_os_string);
    name.push(format!(".truth-{}.jsonl", std::process::id()));
    // The empty path above a plain name is the present folder.
    let there = |above: &&Path| above.as_os_str().is_empty() || above.is_dir();
    out.ancestors()
        .skip(1)
        .find(there)
        .map_or_else(|| out.with_file_name(&name), |above| above.join(&name))
}

/// The file of what the person wished, while the session lasts. It goes with the demo, unless a session was begun that can
/// be scored by it.
struct TruthFile {
    path: PathBuf,
    /// Whether it stays where it is.
    stays: bool,
}

impl TruthFile {
    /// A file that the laboratory is to make. One that lies there is somebody else's: the laboratory will refuse it.
    fn at(path: PathBuf) -> Self {
        let stays = path.exists();
        Self { path, stays }
    }

    /// Moves it into the session's folder, now that nothing is left to decide. `None` when no session was begun there.
    fn keep(mut self, folder: &Path) -> Option<PathBuf> {
        if !folder.join(SessionFile::Manifest.name()).is_file() || !self.path.is_file() {
            return None;
        }
        let kept = folder.join("truth.jsonl");
        if std::fs::rename(&self.path, &kept).is_ok() {
            return Some(kept);
        }
        // The folder is on another disk: a copy, or the file where it is.
        if std::fs::copy(&self.path, &kept).is_ok() {
            return Some(kept);
        }
        let _ = std::fs::remove_file(&kept);
        self.stays = true;
        Some(self.path.clone())
    }
}

impl Drop for TruthFile {
    fn drop(&mut self) {
        if !self.stays {
            // It has moved, or nobody needs it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The simulated laboratory, in a process of its own.
struct Laboratory {
    child: Child,
}

impl Laboratory {
    fn start(
        settings: &SimSettings,
        participant: &Participant,
        lsl_session: &str,
        session: &str,
        truth: &Path,
    ) -> Result<Self, Failure> {
        let cannot = |what: &str| {
            Failure::said(
                Exit::Internal,
                format!("the simulated laboratory could not be started: {what}"),
            )
        };
        let program = std::env::current_exe().map_err(|error| cannot(&error.to_string()))?;
        let preset = clap::ValueEnum::to_possible_value(&settings.preset)
            .map_or_else(|| "typical".to_owned(), |value| value.get_name().to_owned());
        let mut child = Command::new(program)
            .args([
                "simulate",
                "--json",
                "--until-stdin-closes",
                "--preset",
                &preset,
            ])
            .args([
                "--seed",
                &settings.seed.to_string(),
                "--pace",
                &settings.pace.to_string(),
            ])
            .args([
                "--session-id",
                lsl_session,
                "--engine-source-id",
                &marker_source_id(session),
            ])
            .args(participant.typed())
            .arg("--truth")
            .arg(truth)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| cannot(&error.to_string()))?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| cannot("it has no output"))?;
        let said = child.stderr.take().map(last_words);
        let bar = progress_bar(1);
        bar.set_message("the simulated laboratory starts");
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stdout);
            let mut line = String::new();
            let first = lines.read_line(&mut line).map(|_| line);
            let _ = tell.send(first);
            // The rest must be read, or the child would stop at a full pipe.
            let _ = std::io::copy(&mut lines, &mut std::io::sink());
        });
        let mut laboratory = Self { child };
        let up = matches!(told.recv_timeout(START), Ok(Ok(line)) if line.contains("\"streams\""));
        bar.finish_and_clear();
        if up {
            Ok(laboratory)
        } else {
            let exit = laboratory.exit_soon();
            // It may have said more than it lives for; what it says last says why.
            drop(laboratory);
            let said = said.and_then(|said| said.join().ok()).unwrap_or_default();
            let why = said.trim().trim_start_matches("razvilka: ");
            Err(match exit {
                Some(exit) if !why.is_empty() => Failure::said(exit, why),
                _ if !why.is_empty() => cannot(why),
                _ => cannot("its streams did not come up"),
            })
        }
    }

    /// How it has ended, or ends within a moment, where that is a fault of what was typed, of the streams or of the disk.
    fn exit_soon(&mut self) -> Option<Exit> {
        let until = Instant::now() + Duration::from_secs(1);
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    let known = [Exit::Usage, Exit::Source, Exit::RecordingIncomplete];
                    return known
                        .into_iter()
                        .find(|exit| status.code() == Some(i32::from(exit.code())));
                }
                Ok(None) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Closes its input, which ends it; kills it when that does not.
    fn end(mut self) {
        drop(self.child.stdin.take());
        let until = Instant::now() + END;
        while Instant::now() < until {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads what the child says to its end, so that it never waits for a reader, and gives its last line.
fn last_words(stderr: ChildStderr) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let lines = BufReader::new(stderr).lines().map_while(Result::ok);
        lines
            .filter(|line| !line.trim().is_empty())
            .last()
            .unwrap_or_default()
    })
}

impl Drop for Laboratory {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_truth_is_written_outside_the_session_folder_where_a_folder_is() {
        let parent = tempfile::tempdir().unwrap();
        for out in [
            parent.path().join("session"),
            parent.path().join("a/b/session"),
        ] {
            let truth = truth_beside(&out);
            assert_eq!(truth.parent(), Some(parent.path()));
            assert!(
                truth
                    .file_name()
                    .unwrap()
                    .to_string_lossy()
                    .starts_with("session.truth-")
            );
        }
        assert_eq!(
            truth_beside(Path::new("session")).parent(),
            Some(Path::new(""))
        );
    }

    #[test]
    fn the_demo_is_an_experiment_like_any_other() {
        let args = Args {
            seed: 7,
            forks: 3,
            out: None,
            preset: Preset::Easy,
            participant: Participant::default(),
            view: window::Typed::default(),
            operator: true,
            full_screen: false,
            keys: true,
            lang: Language::Ru,
            model: None,
            person: Some("anna".into()),
            embedder: None,
        };
        let settings = SimSettings::default();
        let plan = plan(&args, &settings, &Streams::of(&settings), "demo-test");
        plan.check().unwrap();
        assert_eq!(plan.flash.config().soa_s, 0.125);
        assert_eq!(plan.gate.config().gaze.total_clip_nats, 2.2);
        let text = plan.to_toml();
        assert_eq!(Plan::parse(&text, Path::new("demo.toml")).unwrap(), plan);
    }
}
