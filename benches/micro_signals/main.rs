//! Deliberate blinks and contractions, and the pupil: how often they are told, how late, and how often something that meant nothing is taken for one.
//!
//! ```sh
//! cargo bench --bench micro_signals -- --persons 20 --forks 30
//! cargo bench --bench micro_signals -- --persons 20 --forks 30 --only pupil
//! cargo bench --bench micro_signals -- --persons 0 --gaze ../shared/data/gaze/gazecom
//! cargo bench --bench micro_signals -- --only contractions-at-forks --persons 20 --forks 30
//! cargo bench --bench micro_signals -- --only contractions --persons 20 --eeg A_train.xdf,A_test.xdf,50
//! ```
//!
//! Each simulated person is asked for the signal `--cues` times, as in a live calibration, and then at forks: once it signals when it has
//! decided, once it does not. A *hit* is a signal told at the option attended to, within the fork; a *false alarm* one told of a person who makes none.
//! Of recordings there are spontaneous blinks alone: every other recording teaches them (signals come from the simulated persons), and
//! the false alarms are those of the rest. One JSON line per kind of blink.

mod at_forks;
mod contraction;
mod pupil;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use razvilka::config::{GazeUnits, ScreenSection};
use razvilka::engine::conduct::tiles_of;
use razvilka::fork::ForkId;
use razvilka::gate::Lease;
use razvilka::marker::{BlockKind, Event, Marker, OptionKind, OptionTile, Outcome};
use razvilka::pipeline::gaze::{GazeLine, GazeReading};
use razvilka::sim::{Laboratory, SimOutput, SimSettings};
use razvilka_calibration::{ANSWER_S, BlinkTrials, DeliberateBlink, fit_deliberate_blink};
use razvilka_dsp::deliberate::{BlinkKind, BlinkScore, BlinkScorer};
use razvilka_dsp::gaze::DetectorKind;
use razvilka_dsp::gaze_evidence::DwellModel;
use razvilka_dsp::units::{Hertz, LslTime};
use serde_json::json;

const START_S: f64 = 100.0;
const FORK_S: f64 = 8.0;
const PAUSE_S: f64 = 4.0;
/// As `blink.reach_s`.
const REACH_S: f64 = 0.7;

struct Options {
    persons: u64,
    forks: u64,
    cues: u32,
    cue_every_s: f64,
    seed: u64,
    gaze: Vec<PathBuf>,
    wishes: usize,
    eeg: Vec<String>,
    only: Option<String>,
}

fn options() -> anyhow::Result<Options> {
    let mut options = Options {
        persons: 5,
        forks: 20,
        cues: 15,
        cue_every_s: 6.0,
        seed: 1,
        gaze: Vec::new(),
        wishes: 24,
        eeg: Vec::new(),
        only: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .with_context(|| format!("{argument} wants a value"))
        };
        match argument.as_str() {
            "--bench" => {}
            "--persons" => options.persons = value()?.parse()?,
            "--forks" => options.forks = value()?.parse()?,
            "--cues" => options.cues = value()?.parse()?,
            "--cue-every" => options.cue_every_s = value()?.parse()?,
            "--seed" => options.seed = value()?.parse()?,
            "--wishes" => options.wishes = value()?.parse()?,
            "--only" => options.only = Some(value()?),
            "--gaze" => options.gaze.push(value()?.into()),
            "--eeg" => options.eeg.push(value()?),
            other => bail!(
                "{other}: only --persons, --forks, --cues, --cue-every, --wishes, --seed, --gaze, --eeg and --only are understood"
            ),
        }
    }
    Ok(options)
}

fn tiles() -> Vec<OptionTile> {
    use OptionKind::{Branch, GoOn, Other, Undo};
    let kinds = [Branch, Branch, Branch, Other, Undo, GoOn];
    let words = [
        "the dragon burned the barn",
        "the merchant bought the mill",
        "the child found a key",
        "other",
        "undo",
        "go on",
    ];
    (0..6)
        .map(|item| OptionTile {
            item: item as i32,
            kind: kinds[item],
            text: words[item].into(),
            x_deg: (item % 3) as f64 * 12.0 - 12.0,
            y_deg: (item / 3) as f64 * 8.0 - 2.0,
            w_deg: 10.0,
            h_deg: 4.0,
        })
        .collect()
}

/// What a sitting gave: gaze, what was attended to and when it was decided, when cues came and forks were open.
#[derive(Default)]
struct Sitting {
    gaze: Vec<(f64, [f32; 3])>,
    decided: Vec<(u64, i32, f64)>,
    cues_s: Vec<f64>,
    calibrated_s: f64,
    forks: Vec<(u64, f64)>,
}

/// Adds forks that stand open for [`FORK_S`] each to a script, from `t` on. Gives which began when, and the time after the last.
fn forks(
    script: &mut Vec<(f64, Event)>,
    mut t: f64,
    count: u64,
    tiles: impl Fn(u64) -> Vec<OptionTile>,
) -> (Vec<(u64, f64)>, f64) {
    let mut begun = Vec::new();
    for fork in 0..count {
        let open = Event::ForkOpen {
            fork,
            context: "The fox went to the river.".into(),
            options: tiles(fork),
            timeout_s: FORK_S,
        };
        script.push((t, open));
        begun.push((fork, t));
        let close = Event::ForkClose {
            fork,
            outcome: Outcome::Declined,
            item: None,
        };
        script.push((t + FORK_S, close));
        t += FORK_S + PAUSE_S;
    }
    (begun, t)
}

/// Plays a script to a simulated laboratory until `until_s`.
fn play(
    settings: &SimSettings,
    script: Vec<(f64, Event)>,
    until_s: f64,
    mut take: impl FnMut(SimOutput<'_>),
) -> anyhow::Result<()> {
    let mut laboratory = Laboratory::new(settings, START_S)?;
    for (seq, (at_s, body)) in (0..).zip(script) {
        laboratory.advance(at_s, &mut take);
        laboratory.hear(at_s, &Marker { seq, body });
    }
    laboratory.advance(until_s, &mut take);
    Ok(())
}

fn sit(settings: &SimSettings, kind: BlinkKind, options: &Options) -> anyhow::Result<Sitting> {
    let mut script = Vec::new();
    let mut sitting = Sitting::default();
    let mut t = START_S + 1.0;
    let block = BlockKind::Signal;
    script.push((t, Event::Block { kind: block }));
    for _ in 0..options.cues {
        t += options.cue_every_s;
        sitting.cues_s.push(t);
        script.push((t, Event::blink_signal(kind)));
    }
    t += options.cue_every_s;
    script.push((t, Event::BlockEnd));
    // As long as the blocks of flashes take.
    t += 60.0;
    sitting.calibrated_s = t;
    (sitting.forks, t) = forks(&mut script, t, options.forks, |_| tiles());
    let (gaze, decided) = (&mut sitting.gaze, &mut sitting.decided);
    play(settings, script, t, |output| match output {
        SimOutput::Gaze { stamp_s, gaze: xyc } => {
            gaze.extend(xyc.first_chunk().map(|xyc| (stamp_s, *xyc)));
        }
        SimOutput::Truth(truth) => {
            decided.extend(
                truth
                    .attended
                    .zip(truth.at)
                    .map(|(item, at)| (truth.fork, item, at)),
            );
        }
        SimOutput::Eeg { .. } | SimOutput::Key { .. } => {}
    })?;
    Ok(sitting)
}

fn is_seen(xyc: &[f32; 3]) -> bool {
    xyc[0].is_finite() && xyc[1].is_finite() && xyc[2] >= 0.5
}

/// The calibration as `razvilka calibrate` sees it.
fn trials(sitting: &Sitting, kind: BlinkKind, rate: Hertz) -> BlinkTrials {
    let mut scorer = BlinkScorer::new(kind, rate);
    let before = sitting
        .gaze
        .iter()
        .filter(|(t_s, _)| *t_s < sitting.calibrated_s);
    let scores = before.filter_map(|(t_s, xyc)| scorer.push(*t_s, !is_seen(xyc), None));
    BlinkTrials {
        kind,
        cues_s: sitting.cues_s.clone(),
        scores: scores.collect(),
        watched_s: sitting.calibrated_s - START_S,
    }
}

/// A signal that was told: fork, item, stamp in seconds, evidence in nats.
type Told = (u64, usize, f64, f64);

/// Signals that the line told. And for how long tiles were up, seconds.
fn told(
    sitting: &Sitting,
    blink: &DeliberateBlink,
    rate: Hertz,
) -> anyhow::Result<(Vec<Told>, f64)> {
    let screen = ScreenSection::default();
    let reading = GazeReading::new((0, 1), Some((2, 0.5)), GazeUnits::Normalised, &screen);
    let mut line = GazeLine::prepare(
        reading,
        None,
        DwellModel::default(),
        rate,
        DetectorKind::default(),
    )?;
    line.listen_for_blinks(blink.model, REACH_S, None)?;
    let shown = tiles();
    let mut next = sitting.forks.iter().peekable();
    let mut words = Vec::new();
    for (t_s, xyc) in sitting
        .gaze
        .iter()
        .filter(|(t_s, _)| *t_s >= sitting.calibrated_s - 1.0)
    {
        if let Some((fork, at_s)) = next.next_if(|(_, at_s)| at_s <= t_s) {
            let (fork, lease) = (ForkId(*fork), Lease { epoch: 1 });
            line.put_up(
                tiles_of(fork, &shown, lease, LslTime::new(*at_s)?, 0.0),
                None,
            );
        }
        line.sample(*t_s, xyc);
        if let Some(word) = line.take_blink() {
            let opened = sitting.forks.iter().find(|(fork, _)| *fork == word.fork.0);
            // Tiles come down with their fork; the line keeps them until the next.
            if opened.is_some_and(|(_, at_s)| word.at_s < at_s + FORK_S) {
                words.push((word.fork.0, word.item, word.at_s, word.llr_nats));
            }
        }
    }
    Ok((words, sitting.forks.len() as f64 * FORK_S))
}

/// 95 % interval of a share (Wilson).
fn wilson(k: usize, n: usize) -> [f64; 2] {
    let (k, n, z) = (k as f64, n as f64, 1.96_f64);
    let middle = (k + z * z / 2.0) / (n + z * z);
    let half = z / (n + z * z) * (k * (n - k) / n + z * z / 4.0).sqrt();
    [middle - half, middle + half]
}

/// Events per minute with their 95 % interval: Poisson's, by the normal approximation of Wilson and Hilferty to chi-square.
fn per_minute(k: usize, seconds: f64) -> [f64; 3] {
    let bound = |k: f64, z: f64| k * (1.0 - 1.0 / (9.0 * k) + z / (3.0 * k.sqrt())).powi(3);
    let low = if k == 0 { 0.0 } else { bound(k as f64, -1.96) };
    let minutes = seconds / 60.0;
    [
        k as f64 / minutes,
        low / minutes,
        bound(k as f64 + 1.0, 1.96) / minutes,
    ]
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// One kind of blink; the answers of all persons are given back for the recordings.
fn persons(kind: BlinkKind, options: &Options) -> anyhow::Result<Vec<f64>> {
    let (mut answers, mut latencies, mut nats) = (Vec::new(), Vec::new(), Vec::new());
    let (mut hits, mut wrong, mut asked, mut unfit) = (0, 0, 0, 0);
    let (mut false_alarms, mut up_s) = (0, 0.0);
    let (mut cue_hits, mut cues, mut rest_alarms, mut rest_s) = (0, 0, 0, 0.0);
    for seed in options.seed..options.seed + options.persons {
        let settings = SimSettings {
            seed,
            blink_signal: Some(kind),
            ..SimSettings::default()
        };
        let rate = Hertz::new(settings.gaze_rate_hz)?;
        let sitting = sit(&settings, kind, options)?;
        let trials = trials(&sitting, kind, rate);
        answers.extend(trials.cues_s.iter().filter_map(|cue_s| {
            let of = trials
                .scores
                .iter()
                .filter(|score| (*cue_s..cue_s + ANSWER_S).contains(&score.at_s));
            of.map(|score| score.score).max_by(f64::total_cmp)
        }));
        let blink = match fit_deliberate_blink(&trials) {
            Ok(blink) => blink,
            Err(error) => {
                println!(
                    "{}",
                    json!({ "person": seed, "not_fitted": error.to_string() })
                );
                unfit += 1;
                continue;
            }
        };
        cue_hits += blink.hits;
        cues += blink.cues;
        rest_alarms += blink.false_alarms;
        rest_s += blink.rest_s;
        let (words, _) = told(&sitting, &blink, rate)?;
        for (fork, item, at_s) in &sitting.decided {
            asked += 1;
            let mut own = words.iter().filter(|(of, ..)| of == fork);
            if let Some((_, told, told_s, llr)) = own.next() {
                if *told as i32 == *item {
                    hits += 1;
                    latencies.push(told_s - at_s);
                    nats.push(llr * blink.reliability);
                } else {
                    wrong += 1;
                }
            }
        }
        let silent = SimSettings {
            blink_signal: None,
            ..settings
        };
        let (words, seconds) = told(&sit(&silent, kind, options)?, &blink, rate)?;
        false_alarms += words.len();
        up_s += seconds;
    }
    if options.persons > 0 {
        println!(
            "{}",
            json!({ "kind": kind, "persons": options.persons, "not_fitted": unfit,
                "calibration": { "cues": cues, "told": cue_hits, "told_share_95": wilson(cue_hits, cues.max(1)),
                    "false_alarms_per_min_95": per_minute(rest_alarms, rest_s.max(1.0)) },
                "forks": { "decided": asked, "hits": hits, "hits_share_95": wilson(hits, asked.max(1)), "at_another_option": wrong,
                    "latency_from_decision_s_p50": median(&mut latencies), "nats_p50": median(&mut nats),
                    "false_alarms": false_alarms, "tiles_up_s": up_s, "false_alarms_per_min_95": per_minute(false_alarms, up_s.max(1.0)) } })
        );
    }
    Ok(answers)
}

/// Scores of every recording, and how long it lasted, seconds.
fn scores_of(path: &Path, kind: BlinkKind) -> anyhow::Result<(Vec<BlinkScore>, f64)> {
    let text = std::fs::read_to_string(path)?;
    let mut rows = Vec::new();
    for line in text.lines().skip(1) {
        let mut columns = line.split(',').map(str::parse::<f64>);
        let mut next = || columns.next().and_then(Result::ok);
        if let Some(t_ms) = next() {
            let (x, y) = (next(), next());
            let valid = next().is_none_or(|valid| valid != 0.0);
            let at = |v: Option<f64>| v.is_some_and(f64::is_finite);
            rows.push((t_ms / 1e3, valid && at(x) && at(y)));
        }
    }
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok((Vec::new(), 0.0));
    };
    let length_s = last.0 - first.0;
    let mut scorer = BlinkScorer::new(kind, Hertz::new((rows.len() as f64 / length_s).round())?);
    let scores = rows
        .iter()
        .filter_map(|(t_s, seen)| scorer.push(*t_s, !seen, None))
        .collect();
    Ok((scores, length_s))
}

fn recordings(folder: &Path, kind: BlinkKind, answers: &[f64]) -> anyhow::Result<()> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|ending| ending == "csv"));
    files.sort();
    let (mut taught, mut judged) = ((Vec::new(), 0.0), (Vec::new(), 0.0));
    for (index, path) in files.iter().enumerate() {
        let (scores, seconds) = scores_of(path, kind)?;
        let to = if index % 2 == 0 {
            &mut taught
        } else {
            &mut judged
        };
        to.0.extend(scores);
        to.1 += seconds;
    }
    // Recordings one after the other, far apart; then the answers of the simulated persons, each to its cue.
    let mut trials = BlinkTrials {
        kind,
        watched_s: taught.1 + answers.len() as f64 * ANSWER_S,
        ..BlinkTrials::default()
    };
    let mut at_s = 0.0;
    let mut push = |score: f64, trials: &mut BlinkTrials| {
        at_s += 10.0;
        trials.scores.push(BlinkScore {
            onset_s: at_s,
            at_s,
            score,
        });
        at_s
    };
    let every = (answers.len() / taught.0.len().max(1)).max(1);
    let mut left = answers.iter();
    for score in &taught.0 {
        push(score.score, &mut trials);
        for answer in left.by_ref().take(every) {
            let cue_s = push(*answer, &mut trials) - 1.0;
            trials.cues_s.push(cue_s);
        }
    }
    let blink = match fit_deliberate_blink(&trials) {
        Ok(blink) => blink,
        Err(error) => {
            println!(
                "{}",
                json!({ "folder": folder.display().to_string(), "kind": kind, "not_fitted": error.to_string(),
                    "scores": [taught.0.len(), judged.0.len()], "seconds": [taught.1, judged.1] })
            );
            return Ok(());
        }
    };
    let told = judged
        .0
        .iter()
        .filter(|score| blink.model.llr(score.score).is_some())
        .count();
    println!(
        "{}",
        json!({ "folder": folder.display().to_string(), "kind": kind, "recordings": files.len(), "spontaneous_scores": judged.0.len(),
            "seconds": judged.1, "false_alarms": told, "false_alarms_per_min_95": per_minute(told, judged.1.max(1.0)),
            "simulated_signals_told": [blink.hits, blink.cues] })
    );
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let options = options()?;
    let (blinks, contractions, at_forks, pupils) = match options.only.as_deref() {
        None => (true, true, true, true),
        Some("blinks") => (true, false, false, false),
        Some("contractions") => (false, true, false, false),
        Some("contractions-at-forks") => (false, false, true, false),
        Some("pupil") => (false, false, false, true),
        Some(other) => {
            bail!("--only {other}: write blinks, contractions, contractions-at-forks or pupil")
        }
    };
    if pupils && options.persons > 0 {
        pupil::persons(&options)?;
    }
    for kind in [BlinkKind::Double, BlinkKind::Long] {
        if !blinks {
            break;
        }
        let answers = persons(kind, &options)?;
        for folder in &options.gaze {
            recordings(folder, kind, &answers)?;
        }
    }
    if contractions {
        contraction::persons(&options)?;
        contraction::recordings(&options)?;
    }
    if at_forks {
        at_forks::persons(&options)?;
    }
    Ok(())
}
