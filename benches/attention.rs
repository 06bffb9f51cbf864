//! Does the gate choose while nobody attends? Forks made of real epochs, with a person behind them and without.
//!
//! ```sh
//! cargo bench --bench attention -- --data ../shared/data/p300 --forks 1000 --seed 1
//! ```
//!
//! A profile is fitted to each `gtec5_S*_train.xdf`; the flashes of `gtec5_S*_test.xdf`, later in the same session, are
//! scored by the live code. A fork has five options and the usual fillers, flashes in the order of [`FlashSequence`], and
//! the real [`Gate`]. Each flash is answered by a recorded one, drawn with replacement: of option 0 a target's when
//! somebody attends to it, of everything else a non-target's. The only source is EEG. Drawing flash by flash takes the
//! dependence between neighbouring epochs away; what is left is what scores alone can tell.
//!
//! One JSON line per person and setting on stdout.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use razvilka::choice::{FlashSequence, FlashSettings};
use razvilka::cli::{calibrate, recorded, score};
use razvilka::fork::ForkId;
use razvilka::gate::{Evidence, Gate, GateConfig, GateSettings, Lease, Verdict};
use razvilka::marker::OptionKind::{self, Branch, GoOn, Other};
use razvilka_calibration::Profile;
use razvilka_dsp::units::LslTime;

const KINDS: [OptionKind; 5] = [Branch, Branch, Branch, Other, GoOn];
const PRIORS: [f64; 5] = [0.3, 0.3, 0.3, 0.03, 0.03];
const LEASE: Lease = Lease { epoch: 1 };
/// Least evidence against nobody attending, nats.
const SETTINGS: [f64; 5] = [0.0, 1.0, 2.0, 3.0, 4.0];

struct Options {
    data: PathBuf,
    forks: u64,
    seed: u64,
}

fn options() -> anyhow::Result<Options> {
    let mut options = Options {
        data: "../shared/data/p300".into(),
        forks: 20,
        seed: 1,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .with_context(|| format!("{argument} wants a value"))
        };
        match argument.as_str() {
            "--bench" => options.forks = options.forks.max(1_000),
            "--data" => options.data = value()?.into(),
            "--forks" => options.forks = value()?.parse()?,
            "--seed" => options.seed = value()?.parse()?,
            other => bail!("{other}: only --data, --forks and --seed are understood"),
        }
    }
    Ok(options)
}

/// Log-likelihood ratios of recorded flashes, nats.
struct Answers {
    targets: Vec<f64>,
    others: Vec<f64>,
}

impl Answers {
    fn of(train: &Path, test: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let out = folder.path().join("profile");
        let args = calibrate::Args {
            prior_from: Vec::new(),
            blink_channel: None,
            xdf: vec![train.into()],
            out: out.clone(),
            force: false,
            signal: calibrate::SignalOptions {
                low_hz: 0.5,
                high_hz: 20.0,
                order: 2,
                notch_hz: 0.0,
                epoch_s: 0.8,
            },
            quality: Default::default(),
            streams: recorded::Streams::default(),
        };
        calibrate::run(&args, &mut std::io::sink())
            .map_err(|failure| anyhow::anyhow!(failure.message))?;
        let profile = out.join("profile.json");
        let args = score::Args {
            what: score::What::P300(score::P300Args {
                calibration: profile.clone(),
                xdf: test.into(),
                as_calibrated: true,
                streams: recorded::Streams::default(),
            }),
        };
        let mut csv = Vec::new();
        score::run(&args, &mut csv, &mut std::io::sink())
            .map_err(|failure| anyhow::anyhow!(failure.message))?;
        let density = Profile::load(&profile)?
            .eeg
            .context("a profile without EEG")?
            .density;
        let flashes = recorded::Recorded::open(test, &recorded::Streams::default())
            .map_err(|failure| anyhow::anyhow!(failure.message))?
            .flashes();
        let mut answers = Self {
            targets: Vec::new(),
            others: Vec::new(),
        };
        for line in String::from_utf8(csv)?.lines().skip(1) {
            let mut fields = line.split(',').map(str::parse::<f64>);
            let onset_s = fields.next().context("a line without an onset")??;
            let score = fields.next().context("a line without a score")??;
            let flash = flashes
                .iter()
                .min_by(|a, b| {
                    let distance = |flash: &recorded::Flash| (flash.onset_s - onset_s).abs();
                    distance(a).total_cmp(&distance(b))
                })
                .context("a recording without flashes")?;
            let llr = density.llr(score).context("a score that is none")?;
            match flash.target {
                Some(true) => answers.targets.push(llr),
                Some(false) => answers.others.push(llr),
                None => {}
            }
        }
        ensure!(
            !answers.targets.is_empty() && !answers.others.is_empty(),
            "{}: the truth of its flashes is not known",
            test.display()
        );
        Ok(answers)
    }
}

/// How forks ended.
#[derive(Default)]
struct Tally {
    right: u64,
    wrong: u64,
    flashes: u64,
    seconds: f64,
}

fn play(
    answers: &Answers,
    gate: GateSettings,
    attended: bool,
    forks: u64,
    seed: u64,
) -> anyhow::Result<Tally> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut tally = Tally::default();
    let mut gate = Gate::new(gate);
    let mut draw = |answers: &[f64]| answers[random.random_range(0..answers.len())];
    for fork in 0..forks {
        let mut flashes = FlashSequence::new(KINDS.len(), &FlashSettings::default(), seed, fork)?;
        let (mut now_s, mut seq) = (0.0, 0);
        let at = |seconds: f64| LslTime::new(seconds);
        gate.open(ForkId(fork), &KINDS, &PRIORS, at(0.0)?, LEASE)?;
        while !gate.verdict().is_terminal() {
            let flash = flashes.next_flash();
            now_s += flash.soa_s;
            let of = if attended && flash.item == 0 {
                &answers.targets
            } else {
                &answers.others
            };
            let llr = draw(of);
            let item = usize::try_from(flash.item)?;
            let evidence = Evidence::flash(ForkId(fork), LEASE, seq, at(now_s)?, item, llr);
            gate.evidence(&evidence, at(now_s)?);
            seq += 1;
        }
        match gate.verdict() {
            Verdict::Committed { option: 0, .. } if attended => tally.right += 1,
            Verdict::Committed { .. } => tally.wrong += 1,
            _ => {}
        }
        tally.flashes += seq;
        tally.seconds += now_s;
        gate.close();
    }
    Ok(tally)
}

fn main() -> anyhow::Result<()> {
    let options = options()?;
    let mut found = false;
    for person in 1..=9 {
        let file = |part: &str| options.data.join(format!("gtec5_S{person}_{part}.xdf"));
        let (train, test) = (file("train"), file("test"));
        if !(train.is_file() && test.is_file()) {
            continue;
        }
        found = true;
        let answers = Answers::of(&train, &test)?;
        for attention_nats_min in SETTINGS {
            let config = GateConfig {
                attention_nats_min,
                ..GateConfig::default()
            };
            let gate = GateSettings::new(config)?;
            let with = play(&answers, gate, true, options.forks, options.seed)?;
            let without = play(&answers, gate, false, options.forks, options.seed)?;
            let n = options.forks as f64;
            let line = serde_json::json!({
                "person": person,
                "attention_nats_min": attention_nats_min,
                "forks": options.forks,
                "attended_right": with.right as f64 / n,
                "attended_wrong": with.wrong as f64 / n,
                "attended_flashes_mean": with.flashes as f64 / n,
                "attended_seconds_mean": with.seconds / n,
                "nobody_committed": without.wrong as f64 / n,
                "targets": answers.targets.len(),
                "others": answers.others.len(),
            });
            println!("{line}");
        }
    }
    if !found {
        eprintln!(
            "no gtec5_S*_train.xdf and _test.xdf in {}: nothing was measured",
            options.data.display()
        );
    }
    Ok(())
}
