//! Do the eyes choose, and only when they are meant to? Readers who only read, and choosers, through the line that is at work.
//!
//! ```sh
//! cargo bench --bench eyes
//! cargo bench --bench eyes -- --people 20 --seed 7 --data ../shared/data/gaze
//! ```
//!
//! Forks of 3 and of 5 branches with `other`, `undo` and `go on` stand where the window puts them. Each person has a tracker with
//! its own constant error, a further one in each ninth of the screen, and noise, 500 samples a second; samples go through
//! [`razvilka::pipeline::gaze::GazeLine`] into the gate with its defaults. The calibration's spread of the error is known, the error is not.
//!
//! Readers read every branch once or twice and go back now and then; then half of them look away, at the text above, and half about
//! the screen and its tiles, until the fork is declined. Choosers read, compare, go to what they want and stay, straying by
//! `--stray` degrees (0.35). Times: from the first landing on what they want, to stay, until the commit, and from the opening;
//! of choices that were right. `wrong`: something else was chosen, whenever; `early`: the right one, but before they had settled.
//!
//! `simulated`: durations are log-normal, median 0.22 s when reading (times the person's pace), 0.3 s when looking about and 0.4 s when staying.
//! The others are fixations of labelled recordings, drawn whole: duration and the positions of the samples about their middle, the
//! tracker's own noise included. `still`: from recordings of still pictures alone, as a fork stands still; `all`: films and moving dots too, where
//! people stay on one place for seconds. Reading takes only those of up to 0.6 s. Nobody in them read or chose: where the eyes go is simulated, and
//! no figure is that of a person at work. Looking about with fixations of films falsely chooses: who stays on a tile for a second
//! is not told from one who means it.
//!
//! The numbers of [`DwellModel`] were chosen with seed 1. Intervals: Wilson's, and ranks for medians, 95 %, as if forks were independent.

mod fixations;
mod person;

use std::path::PathBuf;

use anyhow::{Context, bail};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use razvilka::config::{GazeUnits, ScreenSection};
use razvilka::fork::{Branch, Fork, ForkId, ForkOrigin, MAX_OPTIONS};
use razvilka::gate::{Gate, GateSettings, Lease, Verdict};
use razvilka::marker::OptionKind::{self, GoOn, Other, Undo};
use razvilka::marker::OptionTile;
use razvilka::pipeline::gaze::{GazeLine, GazeReading, Tiles, gaze_evidence};
use razvilka::view::layout;
use razvilka_dsp::gaze::DetectorKind;
use razvilka_dsp::gaze_evidence::{DwellModel, Tile};
use razvilka_dsp::units::{Hertz, LslTime};

use fixations::Pool;
use person::{Path, Tracker};

const RATE_HZ: f64 = 500.0;
const LEASE: Lease = Lease { epoch: 1 };
/// Accuracy of the tracker, degrees: mean distance from where one looks.
const ACCURACIES_DEG: [f64; 2] = [0.5, 1.5];
/// Mean distance over standard deviation per axis of a two-dimensional Gaussian (Rayleigh).
const MEAN_OVER_SD: f64 = 1.253_314;
const FORKS_OF_A_PERSON: u64 = 10;

struct Options {
    people: u64,
    seed: u64,
    data: PathBuf,
    /// How far the eyes stray about what they stay on, degrees per axis.
    stray_deg: f64,
}

fn options() -> anyhow::Result<Options> {
    let mut options = Options {
        people: 2,
        seed: 1,
        data: "../shared/data/gaze".into(),
        stray_deg: 0.35,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            let value = arguments.next();
            value.with_context(|| format!("{argument} wants a value"))
        };
        match argument.as_str() {
            "--bench" => options.people = options.people.max(50),
            "--people" => options.people = value()?.parse()?,
            "--seed" => options.seed = value()?.parse()?,
            "--data" => options.data = value()?.into(),
            "--stray" => options.stray_deg = value()?.parse()?,
            other => bail!("{other}: only --people, --seed, --stray and --data are understood"),
        }
    }
    Ok(options)
}

/// How one fork ended.
struct End {
    chosen: Option<usize>,
    at_s: f64,
    path: Path,
}

const WORDS: [&str; 14] = [
    "the",
    "garden",
    "a",
    "quiet",
    "river",
    "opened",
    "slowly",
    "into",
    "forest",
    "of",
    "light",
    "stranger",
    "whispered",
    "home",
];

/// A fork whose branches have 2 to 7 words.
fn fork(branches: usize, random: &mut ChaCha8Rng) -> Fork {
    let priors = [0.45, 0.25, 0.15, 0.1, 0.05];
    let branch = |n: usize| {
        let words: Vec<&str> = (0..random.random_range(2..=7))
            .map(|_| WORDS[random.random_range(0..WORDS.len())])
            .collect();
        Branch {
            text: words.join(" "),
            tokens: vec![1],
            prior: priors[n],
            log_prob_nats: -1.0,
        }
    };
    Fork {
        id: ForkId(0),
        position: 0,
        context: String::new(),
        branches: (0..branches).map(branch).collect(),
        origin: ForkOrigin::Detected,
    }
}

fn tiles_of(tiles: &[OptionTile], id: ForkId, from_s: f64) -> Tiles {
    let mut placed = [Tile {
        x_deg: 0.0,
        y_deg: 0.0,
        w_deg: 1.0,
        h_deg: 1.0,
        words: 0,
    }; MAX_OPTIONS];
    for (to, tile) in placed.iter_mut().zip(tiles) {
        *to = Tile {
            x_deg: tile.x_deg,
            y_deg: tile.y_deg,
            w_deg: tile.w_deg,
            h_deg: tile.h_deg,
            words: tile.text.split_whitespace().count() as u32,
        };
    }
    Tiles {
        fork: id,
        lease: LEASE,
        tiles: placed,
        count: tiles.len(),
        from_s,
        offset_s: 0.0,
        shift_deg: (0.0, 0.0),
    }
}

/// The model as a session makes it from a calibration that found this accuracy.
fn model(accuracy_deg: f64, screen: &ScreenSection, gate: &GateSettings) -> DwellModel {
    let (half_w, half_h) = layout::half_extent_deg(screen);
    let sd_deg = (accuracy_deg / MEAN_OVER_SD).max(0.3);
    DwellModel {
        sd_x_deg: sd_deg,
        sd_y_deg: sd_deg,
        half_deg: [half_w, half_h],
        area_deg2: 4.0 * half_w * half_h,
        clip_nats: gate.config().gaze.total_clip_nats,
        ..DwellModel::default()
    }
}

/// Forks of one person: those who choose, or those who only read.
fn play(
    branches: usize,
    accuracy_deg: f64,
    chooses: bool,
    pool: &Pool,
    stray_deg: f64,
    seed: u64,
) -> anyhow::Result<Vec<End>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let screen = ScreenSection::default();
    let settings = GateSettings::default();
    let model = model(accuracy_deg, &screen, &settings);
    let reading = GazeReading::new((0, 1), None, GazeUnits::Degrees, &screen);
    let (rate, detector) = (Hertz::new(RATE_HZ)?, DetectorKind::default());
    let mut line = GazeLine::prepare(reading, None, model, rate, detector)?;
    let mut tracker = Tracker::new(accuracy_deg / MEAN_OVER_SD, model.half_deg, &mut random);
    let pace = person::pace(&mut random);
    let mut gate = Gate::new(settings);
    let mut now_s = 0.0;
    let mut ends = Vec::new();
    for number in 0..FORKS_OF_A_PERSON {
        let fork = fork(branches, &mut random);
        let mut kinds = vec![OptionKind::Branch; branches];
        kinds.extend([Other, Undo, GoOn]);
        let tiles = layout::tiles(&fork, &kinds, &screen);
        let mut priors: Vec<f64> = fork.branches.iter().map(|b| b.prior).collect();
        priors.extend([0.0; 3]);
        let (id, opened_s) = (ForkId(number), now_s);
        gate.open(id, &kinds, &priors, LslTime::new(opened_s)?, LEASE)?;
        line.put_up(tiles_of(&tiles, id, opened_s), None);
        // One choice in five is a control.
        let wanted = chooses.then(|| {
            if random.random::<f64>() < 0.2 {
                branches + random.random_range(0..3)
            } else {
                random.random_range(0..branches)
            }
        });
        let length_s = settings.config().timeout_s + 0.1;
        let path = Path::plan(
            &tiles,
            wanted,
            length_s,
            (pace, stray_deg),
            pool,
            &mut random,
        );
        let mut samples = path.samples(RATE_HZ, pool);
        let mut end = None;
        while let Some((t_s, eye)) = samples.next_sample(&mut random) {
            let seen = tracker.see(eye, pool.noise_included(), &mut random);
            now_s = opened_s + t_s;
            let now = LslTime::new(now_s)?;
            let mut verdict = gate.tick(now);
            if let Some(word) = line.sample(now_s, &seen)
                && let Some(evidence) = gaze_evidence(&word)
            {
                verdict = gate.evidence(&evidence, now);
            }
            match verdict {
                Verdict::Waiting { .. } => {}
                Verdict::Committed { option, .. } => {
                    end = Some((Some(option), t_s));
                    break;
                }
                _ => {
                    end = Some((None, t_s));
                    break;
                }
            }
        }
        gate.close();
        now_s += 0.5;
        let (chosen, at_s) = end.context("a path that ends before the fork")?;
        ends.push(End { chosen, at_s, path });
    }
    Ok(ends)
}

/// A share with Wilson's interval.
fn share(count: usize, of: usize) -> String {
    let (k, n, z) = (count as f64, (of as f64).max(1.0), 1.96_f64);
    let p = k / n;
    let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let (low, high) = (100.0 * (middle - half).max(0.0), 100.0 * (middle + half));
    format!("{:5.1} [{low:4.1}, {high:4.1}]", 100.0 * p)
}

fn median(mut values: Vec<f64>) -> String {
    if values.is_empty() {
        return "-".into();
    }
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    // Ranks of the binomial interval of a median.
    let at = |rank: f64| values[(rank.max(0.0) as usize).min(values.len() - 1)];
    let half = 0.98 * n.sqrt();
    format!(
        "{:.2} [{:.2}, {:.2}] p90 {:.2}",
        at(0.5 * n),
        at(0.5 * n - half),
        at(0.5 * n + half),
        at(0.9 * n)
    )
}

fn report(name: &str, branches: usize, accuracy_deg: f64, readers: &[End], choosers: &[End]) {
    let false_ones = readers.iter().filter(|end| end.chosen.is_some()).count();
    let reading = readers
        .iter()
        .filter(|end| end.chosen.is_some() && end.at_s < end.path.read_s)
        .count();
    let n = choosers.len();
    let wanted = |end: &End| end.path.wanted;
    let settled = |end: &End| end.path.settled_s.unwrap_or(f64::INFINITY);
    let right = |end: &&End| end.chosen.is_some() && end.chosen == wanted(end);
    let wrong = choosers
        .iter()
        .filter(|end| end.chosen.is_some() && end.chosen != wanted(end))
        .count();
    let declined = choosers.iter().filter(|end| end.chosen.is_none()).count();
    let early = choosers
        .iter()
        .filter(right)
        .filter(|end| end.at_s < settled(end))
        .count();
    let decided = |of: fn(&End) -> f64| {
        let right = choosers
            .iter()
            .filter(right)
            .filter(|end| end.at_s >= settled(end));
        median(right.map(of).collect())
    };
    println!(
        "{name:<10} {branches} branches {accuracy_deg} deg | readers: {:4.2} false in 50 forks ({} %), {reading} of {false_ones} while reading | choosers: settled {} s, from opening {} s, wrong {} %, early {} %, declined {} %",
        50.0 * false_ones as f64 / readers.len().max(1) as f64,
        share(false_ones, readers.len()),
        decided(|end| end.at_s - end.path.settled_s.unwrap_or(0.0)),
        decided(|end| end.at_s),
        share(wrong, n),
        share(early, n),
        share(declined, n),
    );
}

fn main() -> anyhow::Result<()> {
    let options = options()?;
    let mut pools = vec![("simulated", Pool::Simulated)];
    for (name, still) in [("still", true), ("all", false)] {
        match Pool::recorded(&options.data, still)? {
            Some(pool) => pools.push((name, pool)),
            None => eprintln!(
                "no labelled recordings in {}: {name} is left out. Name a folder with --data",
                options.data.display()
            ),
        }
    }
    println!(
        "{} people of {FORKS_OF_A_PERSON} forks a line, seed {}",
        options.people, options.seed
    );
    for (name, pool) in &pools {
        println!("{name}: {}", pool.in_words());
        for accuracy_deg in ACCURACIES_DEG {
            for branches in [3, 5] {
                let (mut readers, mut choosers) = (Vec::new(), Vec::new());
                for person in 0..options.people {
                    let seed = options.seed.wrapping_mul(1_000_003).wrapping_add(person);
                    readers.extend(play(
                        branches,
                        accuracy_deg,
                        false,
                        pool,
                        options.stray_deg,
                        seed,
                    )?);
                    choosers.extend(play(
                        branches,
                        accuracy_deg,
                        true,
                        pool,
                        options.stray_deg,
                        !seed,
                    )?);
                }
                report(name, branches, accuracy_deg, &readers, &choosers);
            }
        }
    }
    Ok(())
}
