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
//! All read every branch first and go back now and then. *Readers* read on until the fork is declined: parts of tiles again, and the text above.
//! *Lookers* look about the screen and its tiles instead. *Choosers* compare, go to what they want and stay, straying by
//! `--stray` degrees (0.35); one in five wants `other`, `undo` or `go on`. Times: from the first landing on what they want, to stay, until the commit, and from the opening;
//! of choices that were right. `wrong`: something else was chosen, whenever; `early`: the right one, but before they had settled.
//!
//! `simulated`: durations are log-normal, median 0.22 s when reading (times the person's pace), 0.3 s when looking about and 0.4 s when staying.
//! The others are fixations of labelled recordings, in the sequences in which they were recorded: durations and the positions of the samples about their middle, the
//! tracker's own noise included, and for lookers the steps from one to the next. `still`: from recordings of still pictures alone, as a fork stands still; `all`: films and moving dots too, where
//! people stay on one place for seconds. Reading takes only those of up to 0.6 s. Nobody in them read or chose: which tile the eyes go to is simulated, and
//! no figure is that of a person at work. Who looks about as at a film falsely chooses: staying on a tile for a second
//! is not told from meaning it.
//!
//! Rows of worse trackers: noise on top, single samples of a slower one, samples lost; what the calibration says of the error stays the same.
//!
//! The numbers of [`DwellModel`] were chosen with seed 1. Intervals: Wilson's, and ranks for medians, 95 %, as if forks were independent.

mod fixations;
mod person;

use std::path::PathBuf;

use anyhow::{Context, bail};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use razvilka::config::{GazeUnits, ScreenSection};
use razvilka::engine::conduct::tiles_of;
use razvilka::fork::{Branch, Fork, ForkId, ForkOrigin};
use razvilka::gate::{Gate, GateSettings, Lease, Verdict};
use razvilka::marker::OptionKind::{self, GoOn, Other, Undo};
use razvilka::pipeline::gaze::{GazeLine, GazeReading, gaze_evidence};
use razvilka::view::layout;
use razvilka_dsp::gaze::DetectorKind;
use razvilka_dsp::gaze_evidence::DwellModel;
use razvilka_dsp::units::{Hertz, LslTime};

use fixations::Pool;
use person::{Deed, Path, Quality, Tracker};

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

/// The model as a session makes it from a calibration that found this accuracy.
fn model(accuracy_deg: f64, screen: &ScreenSection, gate: &GateSettings) -> DwellModel {
    let (half_w, half_h) = layout::half_extent_deg(screen);
    let sd_deg = (accuracy_deg / MEAN_OVER_SD).max(0.3);
    DwellModel {
        sd_x_deg: sd_deg,
        sd_y_deg: sd_deg,
        half_deg: [half_w, half_h],
        text: Some(layout::text_area(screen)),
        area_deg2: 4.0 * half_w * half_h,
        clip_nats: gate.config().gaze.total_clip_nats,
        ..DwellModel::default()
    }
}

/// What the people of a row do.
#[derive(Debug, Clone, Copy, PartialEq)]
enum People {
    Readers,
    Lookers,
    Choosers,
}

/// Forks of one person.
fn play(
    branches: usize,
    (accuracy_deg, quality): (f64, Quality),
    people: People,
    pool: &Pool,
    stray_deg: f64,
    seed: u64,
) -> anyhow::Result<Vec<End>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let screen = ScreenSection::default();
    let settings = GateSettings::default();
    let model = model(accuracy_deg, &screen, &settings);
    let reading = GazeReading::new((0, 1), None, GazeUnits::Degrees, &screen);
    let (rate, detector) = (Hertz::new(quality.rate_hz)?, DetectorKind::default());
    let mut line = GazeLine::prepare(reading, None, model, rate, detector)?;
    let mut tracker = Tracker::new(
        quality,
        accuracy_deg / MEAN_OVER_SD,
        model.half_deg,
        &mut random,
    );
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
        line.put_up(
            tiles_of(id, &tiles, LEASE, LslTime::new(opened_s)?, 0.0),
            None,
        );
        let deed = match people {
            People::Readers => Deed::Read,
            People::Lookers => Deed::LookAbout,
            // One choice in five is a control.
            People::Choosers if random.random::<f64>() < 0.2 => {
                Deed::Choose(branches + random.random_range(0..3))
            }
            People::Choosers => Deed::Choose(random.random_range(0..branches)),
        };
        let path = Path::plan(
            &tiles,
            deed,
            (settings.config().timeout_s + 0.1, &model),
            (pace, stray_deg),
            pool,
            &mut random,
        );
        let mut samples = path.samples(quality.rate_hz, pool);
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

/// Those who mean nothing: how often something was chosen.
fn falsely(ends: &[End]) -> String {
    let chosen = ends.iter().filter(|end| end.chosen.is_some());
    let first = chosen.clone().filter(|end| end.at_s < end.path.read_s);
    let count = chosen.count();
    let of_each = ends.chunks(FORKS_OF_A_PERSON as usize);
    let of_each = of_each.map(|ends| ends.iter().filter(|end| end.chosen.is_some()).count());
    let most = of_each.max().unwrap_or(0);
    format!(
        "{:4.2} false in 50 forks ({} %), {} of {count} in the first reading, at most {most} of {FORKS_OF_A_PERSON} of one person",
        50.0 * count as f64 / ends.len().max(1) as f64,
        share(count, ends.len()),
        first.count(),
    )
}

/// Those who choose: how soon, and how often wrongly.
fn chosen(ends: &[&End]) -> String {
    let settled = |end: &End| end.path.settled_s.unwrap_or(f64::INFINITY);
    let right = ends
        .iter()
        .filter(|end| end.chosen.is_some() && end.chosen == end.path.wanted());
    let (decided, early): (Vec<&&End>, Vec<&&End>) =
        right.partition(|end| end.at_s >= settled(end));
    let declined = ends.iter().filter(|end| end.chosen.is_none()).count();
    let wrong = ends.len() - declined - decided.len() - early.len();
    let time = |of: &dyn Fn(&End) -> f64| median(decided.iter().map(|end| of(end)).collect());
    format!(
        "settled {} s, from opening {} s, wrong {} %, early {} %, declined {} %",
        time(&|end| end.at_s - settled(end)),
        time(&|end| end.at_s),
        share(wrong, ends.len()),
        share(early.len(), ends.len()),
        share(declined, ends.len()),
    )
}

fn report(people: People, branches: usize, ends: &[End]) {
    match people {
        People::Readers => println!("    readers  {}", falsely(ends)),
        People::Lookers => println!("    lookers  {}", falsely(ends)),
        People::Choosers => {
            println!("    choosers {}", chosen(&ends.iter().collect::<Vec<_>>()));
            let control = |end: &&End| end.path.wanted().is_some_and(|wanted| wanted >= branches);
            let controls: Vec<&End> = ends.iter().filter(control).collect();
            println!(
                "      of other, undo, go on ({}): {}",
                controls.len(),
                chosen(&controls)
            );
        }
    }
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
                println!("  {branches} branches, {accuracy_deg} deg");
                row(&options, pool, branches, (accuracy_deg, Quality::USUAL))?;
            }
        }
        for quality in Quality::WORSE {
            println!("  3 branches, 0.5 deg, {}", quality.name);
            row(&options, pool, 3, (0.5, quality))?;
        }
    }
    Ok(())
}

/// What people of all kinds do with one tracker.
fn row(
    options: &Options,
    pool: &Pool,
    branches: usize,
    tracker: (f64, Quality),
) -> anyhow::Result<()> {
    let kinds = [People::Readers, People::Lookers, People::Choosers];
    for (n, people) in kinds.into_iter().enumerate() {
        let mut ends = Vec::new();
        for person in 0..options.people {
            let seed = options.seed.wrapping_mul(1_000_003).wrapping_add(person);
            let seed = seed.wrapping_add((n as u64) << 32);
            ends.extend(play(
                branches,
                tracker,
                people,
                pool,
                options.stray_deg,
                seed,
            )?);
        }
        report(people, branches, &ends);
    }
    Ok(())
}
