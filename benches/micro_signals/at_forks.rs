//! Contractions that a simulated person makes by itself, at forks: EEG line, gaze line and gate as in a session.
//!
//! The person is asked for the signal as in a live calibration, and then at forks: once it contracts the muscle when it has decided, once it
//! does not. All the while it swallows, speaks, chews, frowns and clenches its teeth unasked, so many times a minute. A *hit* is a signal
//! that became evidence for the option attended to, within the fork; a *false alarm* evidence of a person who makes none.

use razvilka::config::{GazeUnits, ScreenSection};
use razvilka::engine::certify::paths;
use razvilka::engine::conduct::tiles_of;
use razvilka::fork::ForkId;
use razvilka::gate::{Gate, GateConfig, GateSettings, Lease, Source, Told};
use razvilka::marker::{BlockKind, Event};
use razvilka::pipeline::contractions::{Asked, contraction_told};
use razvilka::pipeline::eeg::EegLine;
use razvilka::pipeline::gaze::{GazeLine, GazeReading, gaze_evidence, look_told};
use razvilka::sim::{SimOutput, SimSettings};
use razvilka_calibration::{
    ContractionTrials, DeliberateContraction, fit_deliberate_contraction, muscle_channels,
};
use razvilka_dsp::contraction::{ContractionDetector, Muscle};
use razvilka_dsp::gaze::DetectorKind;
use razvilka_dsp::gaze_evidence::DwellModel;
use razvilka_dsp::units::{Hertz, LslTime};
use serde_json::json;

use super::{FORK_S, Options, START_S, forks, median, per_minute, play, tiles, wilson};

/// Who is simulated: the muscle, and how often muscles act unasked per minute.
const CASES: [(Muscle, f64); 4] = [
    (Muscle::Jaw, 0.0),
    (Muscle::Jaw, 2.0),
    (Muscle::Jaw, 6.0),
    (Muscle::Brow, 2.0),
];
/// From a sample's stamp to the gate.
const TRANSPORT_S: f64 = 0.004;
/// As the blocks of flashes take.
const BLOCKS_S: f64 = 60.0;

/// A sample of either stream.
enum Sample {
    Eeg(Vec<f32>),
    Gaze(Vec<f32>),
}

#[derive(Default)]
struct Sitting {
    samples: Vec<(f64, Sample)>,
    decided: Vec<(u64, i32, f64)>,
    cues_s: Vec<f64>,
    calibrated_s: f64,
    forks: Vec<(u64, f64)>,
}

fn sit(settings: &SimSettings, muscle: Muscle, options: &Options) -> anyhow::Result<Sitting> {
    let mut sitting = Sitting::default();
    let mut script = Vec::new();
    let mut t = START_S + 1.0;
    let kind = BlockKind::Signal;
    script.push((t, Event::Block { kind }));
    for _ in 0..options.cues {
        t += options.cue_every_s;
        sitting.cues_s.push(t);
        script.push((t, Event::contraction_signal(muscle)));
    }
    t += options.cue_every_s;
    script.push((t, Event::BlockEnd));
    t += BLOCKS_S;
    sitting.calibrated_s = t;
    (sitting.forks, t) = forks(&mut script, t, options.forks, |_| tiles());
    let (samples, decided) = (&mut sitting.samples, &mut sitting.decided);
    play(settings, script, t, |output| match output {
        SimOutput::Eeg {
            stamp_s,
            microvolts,
        } => samples.push((stamp_s, Sample::Eeg(microvolts.to_vec()))),
        SimOutput::Gaze { stamp_s, gaze } => {
            samples.push((stamp_s, Sample::Gaze(gaze.to_vec())));
        }
        SimOutput::Truth(truth) => {
            let told = truth.attended.zip(truth.at);
            decided.extend(told.map(|(item, at)| (truth.fork, item, at)));
        }
        SimOutput::Key { .. } => {}
    })?;
    Ok(sitting)
}

fn detector(settings: &SimSettings, muscle: Muscle) -> anyhow::Result<ContractionDetector> {
    Ok(ContractionDetector::new(
        Hertz::new(settings.eeg_rate_hz)?,
        settings.channels.len(),
        muscle_channels(&settings.channels, muscle),
        Some(Hertz::new(settings.mains_hz)?),
    )?)
}

/// The calibration as `razvilka calibrate` sees it.
fn trials(
    sitting: &Sitting,
    settings: &SimSettings,
    muscle: Muscle,
) -> anyhow::Result<ContractionTrials> {
    let mut detector = detector(settings, muscle)?;
    let mut trials = ContractionTrials {
        muscle,
        channels: settings.channels.clone(),
        mains_hz: Some(settings.mains_hz),
        cues_s: sitting.cues_s.clone(),
        watched_s: sitting.calibrated_s - START_S,
        ..ContractionTrials::default()
    };
    for (stamp_s, sample) in &sitting.samples {
        if let (Sample::Eeg(uv), true) = (sample, *stamp_s < sitting.calibrated_s) {
            trials.scores.extend(detector.push(*stamp_s, uv)?);
        }
    }
    Ok(trials)
}

/// A contraction that became evidence: fork, option, when, nats as weighed.
type Placed = (u64, usize, f64, f64);

/// What both lines tell the gate at the forks, and what it makes of contractions. Also how many it was told of.
struct Session {
    eeg: EegLine,
    gaze: GazeLine,
    gate: Gate,
    settings: GateSettings,
    told: usize,
    placed: Vec<Placed>,
}

impl Session {
    fn new(settings: &SimSettings, fit: &DeliberateContraction) -> anyhow::Result<Self> {
        let channels = settings.channels.len();
        let mut eeg = paths::eeg_line(channels, settings.eeg_rate_hz)?;
        eeg.listen_for_contractions(
            detector(settings, fit.muscle)?,
            fit.model,
            vec![1.0; channels],
        )?;
        let screen = ScreenSection::default();
        let reading = GazeReading::new((0, 1), Some((2, 0.5)), GazeUnits::Normalised, &screen);
        let rate = Hertz::new(settings.gaze_rate_hz)?;
        let (model, kind) = (DwellModel::default(), DetectorKind::default());
        let mut gaze = GazeLine::prepare(reading, None, model, rate, kind)?;
        gaze.tell_looks();
        // Nothing is committed: what contractions say is looked at, not what comes of it.
        let mut config = GateConfig {
            evidence_items_min: 1000,
            timeout_s: 600.0,
            ..GateConfig::default()
        };
        config.contraction.reliability = fit.reliability;
        let settings = GateSettings::new(config)?;
        Ok(Self {
            eeg,
            gaze,
            gate: Gate::new(settings),
            settings,
            told: 0,
            placed: Vec::new(),
        })
    }

    fn open(&mut self, fork: u64, at_s: f64) -> anyhow::Result<()> {
        let (id, lease, appears) = (ForkId(fork), Lease { epoch: 1 }, LslTime::new(at_s)?);
        let shown = tiles();
        let kinds: Vec<_> = shown.iter().map(|tile| tile.kind).collect();
        self.gate.close();
        self.gate = Gate::new(self.settings);
        let priors = [0.3, 0.3, 0.3, 0.0, 0.0, 0.0];
        self.gate.open(id, &kinds, &priors, appears, lease)?;
        self.gaze
            .put_up(tiles_of(id, &shown, lease, appears, 0.0), None);
        self.eeg.put_up(Asked::at(id, lease, appears, 0.0), None);
        Ok(())
    }

    fn tell(&mut self, told: Told, now_s: f64) -> anyhow::Result<()> {
        self.told += usize::from(matches!(told, Told::Contraction(_)));
        let before = *self.gate.posterior();
        let items = self.gate.items(Source::Contraction);
        let prior = *self.gate.prior();
        self.gate.apply(&told.input(LslTime::new(now_s)?));
        if self.gate.items(Source::Contraction) > items {
            let after = *self.gate.posterior();
            let gain = |item: usize| (after.as_slice()[item] / before.as_slice()[item]).ln();
            let options = prior.as_slice().len();
            let best = (0..options).max_by(|a, b| gain(*a).total_cmp(&gain(*b)));
            let rest = (0..options).min_by(|a, b| gain(*a).total_cmp(&gain(*b)));
            if let (Some(best), Some(rest)) = (best, rest) {
                let nats = gain(best) - gain(rest);
                // Of no reliability, or beyond what all of them may say: heard, and of no effect.
                if nats > 1e-9 {
                    self.placed.push((told.fork().0, best, now_s, nats));
                }
            }
        }
        Ok(())
    }

    fn sample(&mut self, stamp_s: f64, sample: &Sample, fork: Option<u64>) -> anyhow::Result<()> {
        let now_s = stamp_s + TRANSPORT_S;
        let mut all = Vec::new();
        match sample {
            Sample::Eeg(uv) => {
                self.eeg.sample(stamp_s, uv);
                let word = self.eeg.take_contraction();
                all.extend(word.and_then(|word| contraction_told(&word)));
            }
            Sample::Gaze(xyc) => {
                let word = self.gaze.sample(stamp_s, xyc);
                while let Some(word) = self.gaze.take_look() {
                    all.extend(look_told(&word));
                }
                let evidence = word.and_then(|word| Some((gaze_evidence(&word)?, word.sample)));
                if let Some((evidence, sample)) = evidence {
                    let made = razvilka::pipeline::decision::Made::Gaze { sample };
                    all.push((Told::Evidence(evidence), made));
                }
            }
        }
        for (told, _) in all {
            // Tiles come down with their fork; the lines keep them until the next.
            if fork == Some(told.fork().0) {
                self.tell(told, now_s)?;
            }
        }
        Ok(())
    }
}

/// What became of contractions at the forks of a sitting: how many the gate was told of, and those that became evidence.
fn placed(
    sitting: &Sitting,
    settings: &SimSettings,
    fit: &DeliberateContraction,
) -> anyhow::Result<(usize, Vec<Placed>)> {
    let mut session = Session::new(settings, fit)?;
    let mut next = sitting.forks.iter().peekable();
    let mut up = None;
    for (stamp_s, sample) in &sitting.samples {
        if let Some((fork, at_s)) = next.next_if(|(_, at_s)| at_s <= stamp_s) {
            session.open(*fork, *at_s)?;
            up = Some((*fork, *at_s));
        }
        let fork = up.filter(|(_, at_s)| *stamp_s < at_s + FORK_S);
        session.sample(*stamp_s, sample, fork.map(|(fork, _)| fork))?;
    }
    Ok((session.told, session.placed))
}

pub(super) fn persons(options: &Options) -> anyhow::Result<()> {
    if options.persons == 0 {
        return Ok(());
    }
    for (muscle, muscles_per_min) in CASES {
        let (mut latencies, mut nats, mut unfit) = (Vec::new(), Vec::new(), Vec::new());
        let (mut hits, mut wrong, mut asked, mut told) = (0, 0, 0, 0);
        let (mut false_alarms, mut told_unasked, mut up_s, mut silenced) = (0, 0, 0.0, 0);
        let (mut cue_hits, mut cues, mut rest_alarms, mut rest_s) = (0, 0, 0, 0.0);
        for seed in options.seed..options.seed + options.persons {
            let usual = SimSettings::default();
            let settings = SimSettings {
                seed,
                channels: SimSettings::with_muscles(usual.channels.clone()),
                contraction_signal: Some(muscle),
                muscles_per_min,
                ..usual
            };
            let sitting = sit(&settings, muscle, options)?;
            let fit = match fit_deliberate_contraction(&trials(&sitting, &settings, muscle)?) {
                Ok(fit) => fit,
                Err(error) => {
                    unfit.push(format!("person {seed}: {error}"));
                    continue;
                }
            };
            if fit.reliability == 0.0 {
                // It is heard, and says nothing.
                silenced += 1;
            }
            cue_hits += fit.hits;
            cues += fit.cues;
            rest_alarms += fit.false_alarms;
            rest_s += fit.rest_s;
            let (heard, words) = placed(&sitting, &settings, &fit)?;
            told += heard;
            for (fork, item, at_s) in &sitting.decided {
                asked += 1;
                // What came before the person had decided was no signal.
                let mut own = words.iter().filter(|(of, _, s, _)| of == fork && s > at_s);
                if let Some((_, said, said_s, llr)) = own.next() {
                    if *said as i32 == *item {
                        hits += 1;
                        latencies.push(said_s - at_s);
                        nats.push(*llr);
                    } else {
                        wrong += 1;
                    }
                }
            }
            let silent = SimSettings {
                contraction_signal: None,
                ..settings
            };
            let (heard, words) = placed(&sit(&silent, muscle, options)?, &silent, &fit)?;
            told_unasked += heard;
            false_alarms += words.len();
            up_s += sitting.forks.len() as f64 * FORK_S;
        }
        println!(
            "{}",
            json!({ "contraction": muscle, "muscles_per_min": muscles_per_min, "persons": options.persons, "not_fitted": unfit,
                "of_reliability_0": silenced,
                "calibration": { "cues": cues, "told": cue_hits, "told_share_95": wilson(cue_hits, cues.max(1)),
                    "false_alarms": rest_alarms, "false_alarms_per_min_95": per_minute(rest_alarms, rest_s.max(1.0)) },
                "forks": { "decided": asked, "told_in_all": told, "hits": hits, "hits_share_95": wilson(hits, asked.max(1)), "at_another_option": wrong,
                    "latency_from_decision_s_p50": median(&mut latencies), "nats_p50": median(&mut nats),
                    "told_unasked": told_unasked, "false_alarms": false_alarms, "tiles_up_s": up_s,
                    "false_alarms_per_min_95": per_minute(false_alarms, up_s.max(1.0)) } })
        );
    }
    Ok(())
}
