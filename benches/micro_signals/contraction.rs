//! Contractions of jaw or brow: how often they are told, and how often muscles that meant nothing are taken for one.
//!
//! A simulated contraction is white noise of a given RMS in every channel, each its own, with edges of 0.1 s: what `--fault clench` adds
//! at 150 uV, and weaker ones. It is added to the EEG of simulated persons, and to recordings: of each pair the first teaches, with
//! contractions added on cue; the second is judged as it is for false alarms, and with contractions added for hits. Nobody real has
//! contracted anything on purpose in these recordings.

use std::path::Path;

use anyhow::Context;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use razvilka::cli::recorded::{Recorded, Streams};
use razvilka::sim::{Laboratory, SimOutput, SimSettings};
use razvilka_calibration::{
    ANSWER_S, ContractionTrials, DeliberateContraction, fit_deliberate_contraction,
};
use razvilka_dsp::contraction::{Contraction, ContractionDetector, Muscle};
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::units::Hertz;
use serde_json::json;

use super::{Options, START_S, median, per_minute, wilson};

/// RMS of a contraction in each channel, microvolts.
const STRENGTHS_UV: [f64; 5] = [5.0, 10.0, 20.0, 40.0, 150.0];
/// From a cue to the contraction, seconds; and its length.
const AFTER_S: f64 = 0.6;
const LENGTH_S: f64 = 0.5;
/// Edges of it, seconds.
const EDGE_S: f64 = 0.1;
/// Channels over the muscles of jaw and brow.
const CHANNELS: [&str; 6] = ["Fp1", "Fp2", "F7", "F8", "T7", "T8"];
/// From one contraction to the next where they are judged, seconds.
const EVERY_S: f64 = 12.0;

/// A stretch of EEG.
struct Eeg {
    channels: usize,
    rate: Hertz,
    mains: Hertz,
    stamps_s: Vec<f64>,
    /// `[samples][channels]`, microvolts.
    uv: Vec<f32>,
}

impl Eeg {
    fn watched_s(&self) -> f64 {
        let steps = self.stamps_s.windows(2).map(|pair| pair[1] - pair[0]);
        steps.filter(|step_s| (0.0..0.1).contains(step_s)).sum()
    }

    /// Cues every so often, but none into a gap.
    fn cues_s(&self, every_s: f64) -> Vec<f64> {
        let (first, last) = (self.stamps_s[0], self.stamps_s[self.stamps_s.len() - 1]);
        let count = ((last - first - 10.0 - ANSWER_S) / every_s).max(0.0) as usize;
        let cues = (0..count).map(|n| first + 10.0 + every_s * n as f64);
        let whole = |cue_s: &f64| {
            let of = |s: &f64| (*cue_s..cue_s + ANSWER_S).contains(s);
            let samples = self.stamps_s.iter().filter(|s| of(s)).count();
            samples as f64 > 0.97 * ANSWER_S * self.rate.get()
        };
        cues.filter(whole).collect()
    }

    /// Every episode, with a contraction of `uv` after each of the cues.
    fn episodes(&self, cues_s: &[f64], uv: f64, seed: u64) -> anyhow::Result<Vec<Contraction>> {
        let all = ChannelMask::all(self.channels);
        let mut detector =
            ContractionDetector::new(self.rate, self.channels, all, Some(self.mains))?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut found = Vec::new();
        let mut row = vec![0.0_f32; self.channels];
        for (t_s, sample) in self.stamps_s.iter().zip(self.uv.chunks(self.channels)) {
            let edge = cues_s.iter().map(|cue_s| {
                let into_s = t_s - cue_s - AFTER_S;
                (into_s.min(LENGTH_S - into_s) / EDGE_S).clamp(0.0, 1.0)
            });
            let now_uv = uv * edge.fold(0.0, f64::max);
            for (to, from) in row.iter_mut().zip(sample) {
                let one: f64 = StandardNormal.sample(&mut rng);
                *to = from + (now_uv * one) as f32;
            }
            found.extend(detector.push(*t_s, &row)?);
        }
        Ok(found)
    }

    fn teach(&self, every_s: f64, uv: f64, seed: u64) -> anyhow::Result<ContractionTrials> {
        let cues_s = self.cues_s(every_s);
        Ok(ContractionTrials {
            muscle: Muscle::Jaw,
            channels: (0..self.channels).map(|c| c.to_string()).collect(),
            mains_hz: Some(self.mains.get()),
            scores: self.episodes(&cues_s, uv, seed)?,
            cues_s,
            watched_s: self.watched_s(),
        })
    }
}

/// What became of all of one strength.
#[derive(Default)]
struct Sum {
    unfit: Vec<String>,
    cues: usize,
    cue_hits: usize,
    rest_alarms: usize,
    rest_s: f64,
    episodes: usize,
    asked: usize,
    hits: usize,
    late_s: Vec<f64>,
    nats: Vec<f64>,
    false_alarms: usize,
    judged_s: f64,
}

impl Sum {
    /// Teaches with the first, judges with the second.
    fn add(
        &mut self,
        who: &str,
        (taught, judged): (&Eeg, &Eeg),
        options: &Options,
        (uv, seed): (f64, u64),
    ) -> anyhow::Result<()> {
        let trials = taught.teach(options.cue_every_s, uv, seed)?;
        let fit: DeliberateContraction = match fit_deliberate_contraction(&trials) {
            Ok(fit) => fit,
            Err(error) => {
                self.unfit.push(format!("{who}: {error}"));
                return Ok(());
            }
        };
        self.cues += fit.cues;
        self.cue_hits += fit.hits;
        self.rest_alarms += fit.false_alarms;
        self.rest_s += fit.rest_s;
        let told = |found: &Contraction| fit.model.llr(found.score);
        let silent = judged.episodes(&[], 0.0, seed)?;
        self.episodes += silent.len();
        self.false_alarms += silent.iter().filter_map(told).count();
        self.judged_s += judged.watched_s();
        let cues_s = judged.cues_s(EVERY_S);
        let found = judged.episodes(&cues_s, uv, seed + 1_000)?;
        self.asked += cues_s.len();
        for cue_s in &cues_s {
            let begin_s = cue_s + AFTER_S;
            let mut own = found.iter().filter(|found| {
                (begin_s - 0.1..cue_s + ANSWER_S).contains(&found.at_s)
                    && found.onset_s < begin_s + LENGTH_S
            });
            if let Some((at_s, llr)) = own.find_map(|found| Some((found.at_s, told(found)?))) {
                self.hits += 1;
                self.late_s.push(at_s - begin_s - LENGTH_S);
                self.nats.push(llr * fit.reliability);
            }
        }
        Ok(())
    }

    fn print(mut self, what: &str, uv: f64) {
        println!(
            "{}",
            json!({ "contraction_uv": uv, "of": what, "not_fitted": self.unfit,
                "calibration": { "cues": self.cues, "told": self.cue_hits, "told_share_95": wilson(self.cue_hits, self.cues.max(1)),
                    "false_alarms": self.rest_alarms, "rest_s": self.rest_s, "false_alarms_per_min_95": per_minute(self.rest_alarms, self.rest_s.max(1.0)) },
                "judged": { "made": self.asked, "hits": self.hits, "hits_share_95": wilson(self.hits, self.asked.max(1)),
                    "from_its_end_s_p50": median(&mut self.late_s), "nats_p50": median(&mut self.nats),
                    "episodes_unasked": self.episodes, "false_alarms": self.false_alarms, "seconds": self.judged_s,
                    "false_alarms_per_min_95": per_minute(self.false_alarms, self.judged_s.max(1.0)) } })
        );
    }
}

/// EEG of a simulated person who only sits there.
fn simulated(settings: &SimSettings, seconds: f64) -> anyhow::Result<Eeg> {
    let mut eeg = Eeg {
        channels: settings.channels.len(),
        rate: Hertz::new(settings.eeg_rate_hz)?,
        mains: Hertz::new(settings.mains_hz)?,
        stamps_s: Vec::new(),
        uv: Vec::new(),
    };
    let mut laboratory = Laboratory::new(settings, START_S)?;
    laboratory.advance(START_S + seconds, &mut |output: SimOutput<'_>| {
        if let SimOutput::Eeg {
            stamp_s,
            microvolts,
        } = output
        {
            eeg.stamps_s.push(stamp_s);
            eeg.uv.extend_from_slice(microvolts);
        }
    });
    Ok(eeg)
}

pub(super) fn persons(options: &Options) -> anyhow::Result<()> {
    if options.persons == 0 {
        return Ok(());
    }
    let mut people = Vec::new();
    for seed in options.seed..options.seed + options.persons {
        let settings = SimSettings {
            seed,
            channels: CHANNELS.map(str::to_owned).to_vec(),
            ..SimSettings::default()
        };
        let taught_s = 10.0 + options.cue_every_s * f64::from(options.cues) + 60.0;
        let whole = simulated(&settings, taught_s + EVERY_S * (options.forks + 2) as f64)?;
        let part = |from: usize, until: usize| Eeg {
            channels: whole.channels,
            rate: whole.rate,
            mains: whole.mains,
            stamps_s: whole.stamps_s[from..until].to_vec(),
            uv: whole.uv[from * whole.channels..until * whole.channels].to_vec(),
        };
        let cut = whole.stamps_s.partition_point(|s| *s < START_S + taught_s);
        people.push((seed, part(0, cut), part(cut, whole.stamps_s.len())));
    }
    for uv in STRENGTHS_UV {
        let mut sum = Sum::default();
        for (seed, taught, judged) in &people {
            sum.add(
                &format!("person {seed}"),
                (taught, judged),
                options,
                (uv, *seed),
            )?;
        }
        sum.print("simulated persons", uv);
    }
    Ok(())
}

fn recorded(path: &Path, mains_hz: f64) -> anyhow::Result<Eeg> {
    let said = |failure: razvilka::cli::exit::Failure| anyhow::anyhow!(failure.message);
    let recorded = Recorded::open(path, &Streams::default()).map_err(said)?;
    let stream = recorded.eeg().map_err(said)?;
    let channels = stream.spec.labels.len();
    let mut uv = Vec::with_capacity(stream.stamps.len() * channels);
    for sample in 0..stream.stamps.len() {
        let numbers = stream.numbers(sample).context("samples are numbers")?;
        uv.extend(numbers.iter().map(|value| *value as f32));
    }
    Ok(Eeg {
        channels,
        rate: Hertz::new(stream.spec.rate_hz)?,
        mains: Hertz::new(mains_hz)?,
        stamps_s: stream.stamps.clone(),
        uv,
    })
}

/// Pairs of recordings, `TEACHES.xdf,JUDGED.xdf,MAINS_HZ`.
pub(super) fn recordings(options: &Options) -> anyhow::Result<()> {
    let mut pairs = Vec::new();
    for pair in &options.eeg {
        let parts: Vec<&str> = pair.split(',').collect();
        let [taught, judged, mains_hz] = parts.as_slice() else {
            anyhow::bail!("--eeg {pair}: write TEACHES.xdf,JUDGED.xdf,MAINS_HZ");
        };
        let mains_hz: f64 = mains_hz.parse()?;
        let name = Path::new(judged).file_name().context("a file")?;
        pairs.push((
            name.to_string_lossy().into_owned(),
            recorded(Path::new(taught), mains_hz)?,
            recorded(Path::new(judged), mains_hz)?,
        ));
    }
    for (name, taught, judged) in &pairs {
        for uv in STRENGTHS_UV {
            let mut sum = Sum::default();
            sum.add(name, (taught, judged), options, (uv, options.seed))?;
            sum.print(name, uv);
        }
    }
    for uv in STRENGTHS_UV {
        let mut sum = Sum::default();
        for (name, taught, judged) in &pairs {
            sum.add(name, (taught, judged), options, (uv, options.seed))?;
        }
        if !pairs.is_empty() {
            sum.print("all recordings", uv);
        }
    }
    Ok(())
}
