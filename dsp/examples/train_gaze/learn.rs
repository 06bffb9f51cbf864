//! Gradient descent on the classifier, and durations from labels.

use std::error::Error;
use std::fmt;

use razvilka_dsp::gaze::{AGE_S, AGES, CLASSES, Durations, FeatureStream, Features};
use razvilka_dsp::units::Hertz;

use crate::data::{FIXATION, LOST, Random, Recording, Worse};
use crate::descent::{Adam, BATCH, Net, Widths};
use crate::teach;

/// What one sample teaches.
pub(crate) struct Row {
    pub(crate) features: Features,
    /// How much each class is right; together 1.
    pub(crate) target: [f32; CLASSES],
    pub(crate) weight: f32,
    /// Number of the set: each has its own convention.
    pub(crate) set: usize,
    /// By how much a saccade is to be found more readily than it is probable, logits.
    pub(crate) readiness: f32,
}

/// Class of a label; none when it is undefined.
pub(crate) fn class(label: u8) -> Option<usize> {
    (FIXATION..=LOST)
        .contains(&label)
        .then(|| usize::from(label) - 1)
}

/// Settings of a training run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) epochs: usize,
    /// Recordings of a set with more minutes than this are passed over in turn.
    pub(crate) minutes_per_epoch: f64,
    pub(crate) rate: f32,
    /// How many classifiers, of this seed and those after it, teach the one that is made.
    pub(crate) teachers: usize,
    /// How many epochs the teachers learn.
    pub(crate) teachers_epochs: usize,
    pub(crate) teachers_widths: Widths,
    /// Share of the teachers in what is taught; the rest is the labels'.
    pub(crate) taught: f32,
}

impl Plan {
    pub(crate) const USUAL: Self = Self {
        seed: 1,
        epochs: 14,
        minutes_per_epoch: 12.0,
        rate: 2e-3,
        teachers: 6,
        teachers_epochs: 14,
        teachers_widths: Widths::DETECTOR,
        taught: 0.7,
    };

    /// Changes what `--name=value` names.
    pub(crate) fn set(&mut self, option: &str) -> Result<(), Box<dyn Error>> {
        let (name, value) = option
            .split_once('=')
            .ok_or_else(|| format!("{option}: an option is written --name=value"))?;
        match name {
            "--seed" => self.seed = value.parse()?,
            "--epochs" => self.epochs = value.parse()?,
            "--teachers" => self.teachers = value.parse()?,
            "--teachers-epochs" => self.teachers_epochs = value.parse()?,
            "--taught" => self.taught = value.parse()?,
            "--teachers-widths" => {
                let (first, second) = value.split_once(',').ok_or("widths are two: 64,48")?;
                self.teachers_widths = Widths::new(first.parse()?, second.parse()?)
                    .ok_or("widths are multiples of 16, above 0")?;
            }
            _ => return Err(format!("no option {name}").into()),
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            epochs,
            teachers,
            teachers_epochs,
            teachers_widths,
            taught,
            ..
        } = self;
        write!(
            f,
            "seed {seed}, {epochs} epochs, {teachers} teachers of {teachers_widths} units and {teachers_epochs} epochs, who say {taught} of what is taught"
        )
    }
}

/// Recordings are cut into pieces of about this length, each of which is made worse in its own way: so that no few long recordings decide what an
/// epoch teaches.
const PIECE_S: f64 = 12.0;
/// What comes before a piece is seen so long, and not learned.
const LEAD_S: f64 = 3.0;

/// Of the average, the steps' shares grow as this power of their number: seven tenths of it are of the last third.
const GROWTH: f32 = 2.0;

/// Trains one net on these recordings, with what the teachers say.
pub(crate) fn train_one(
    recordings: &[&Recording],
    plan: &Plan,
    widths: Widths,
    teachers: &[Net],
) -> Net {
    let mut random = Random(plan.seed);
    let mut net = Net::new(widths, &mut random);
    let mut adam = Adam::new(&net, Random(plan.seed ^ 7));
    let mut averaged = net.clone();
    for epoch in 0..plan.epochs {
        let mut rows = Vec::new();
        for recording in chosen(recordings, plan, &mut random) {
            for piece in pieces(recording, &mut random) {
                // As it is, and worse.
                for worse in [Worse::NOT, Worse::any(&mut random)] {
                    describe(&piece, &worse, &mut random, &mut rows);
                }
            }
        }
        if epoch == 0 {
            net.standardise(&rows);
        }
        teach::soften(&mut rows, teachers, plan.taught);
        if teachers.is_empty() {
            // Teachers say how probable things are.
            rows.iter_mut().for_each(|row| row.readiness = 0.0);
        }
        let mut rows: Vec<&Row> = rows.iter().collect();
        for k in (1..rows.len()).rev() {
            rows.swap(k, random.below(k + 1));
        }
        let steps = rows.len() / BATCH;
        let mut loss = 0.0;
        for (k, part) in rows.chunks_exact(BATCH).enumerate() {
            let done = (epoch as f32 + k as f32 / steps as f32) / plan.epochs as f32;
            let rate =
                plan.rate * (0.02 + 0.98 * 0.5 * (1.0 + (std::f32::consts::PI * done).cos()));
            loss += adam.step(&mut net, part, rate);
            average(&mut averaged, &net, epoch * steps + k);
        }
        eprintln!(
            "epoch {epoch}: {} rows, loss {:.4}",
            rows.len(),
            loss / steps as f32
        );
    }
    (averaged.mean, averaged.per_sd) = (net.mean, net.per_sd);
    averaged
}

/// The weights' running mean: less at the mercy of the last rows (Polyak & Juditsky 1992; Shamir & Zhang 2013, section 4).
fn average(averaged: &mut Net, net: &Net, step: usize) {
    let pull = (GROWTH + 1.0) / (step as f32 + GROWTH + 1.0);
    for (w, now) in averaged.numbers.iter_mut().zip(&net.numbers) {
        *w += pull * (now - *w);
    }
}

/// Recordings of each set, up to the minutes planned, in random order.
fn chosen<'a>(
    recordings: &[&'a Recording],
    plan: &Plan,
    random: &mut Random,
) -> Vec<&'a Recording> {
    let mut picked: Vec<&Recording> = recordings.to_vec();
    for k in (1..picked.len()).rev() {
        picked.swap(k, random.below(k + 1));
    }
    let mut minutes = [0.0; 8];
    picked.retain(|recording| {
        let of_set = &mut minutes[recording.set.min(7)];
        let wanted = *of_set < plan.minutes_per_epoch;
        *of_set += recording.minutes();
        wanted
    });
    picked
}

/// A recording in pieces of [`PIECE_S`], which begin anywhere; each with what comes before it, unlabelled.
fn pieces(recording: &Recording, random: &mut Random) -> Vec<Recording> {
    let samples = recording.samples.len();
    let long = (PIECE_S * recording.rate_hz) as usize;
    let lead = (LEAD_S * recording.rate_hz) as usize;
    let mut ends: Vec<usize> = (long / 2 + random.below(long)..samples)
        .step_by(long)
        .take_while(|end| end + long / 2 < samples)
        .collect();
    ends.push(samples);
    let mut from = 0;
    let mut made = Vec::new();
    for end in ends {
        let before = from.min(lead);
        let mut labels = recording.labels[from - before..end].to_vec();
        labels[..before].fill(0);
        made.push(Recording {
            name: recording.name.clone(),
            person: recording.person.clone(),
            stimulus: recording.stimulus.clone(),
            samples: recording.samples[from - before..end].to_vec(),
            labels,
            ..*recording
        });
        from = end;
    }
    made
}

/// By how much, in logits, a saccade is to be found more readily than it is probable. In noise and at few samples a second no single saccade is
/// certain: if the most probable class were taken, most would be missed, while there is room for more reports that are wrong.
fn readiness(noise_deg: f64, rate_hz: f64) -> f32 {
    let noise = (noise_deg / 0.2).powi(4);
    let slow_s = (1.0 / rate_hz - 1.0 / 250.0).max(0.0);
    (1.5 * noise / (1.0 + noise) + 40.0 * slow_s) as f32
}

fn describe(recording: &Recording, worse: &Worse, random: &mut Random, rows: &mut Vec<Row>) {
    let made = worse.apply(recording, random);
    let Ok(mut stream) = Hertz::new(made.rate_hz)
        .map_err(|_| ())
        .and_then(|rate| FeatureStream::new(rate, 0.075).map_err(|_| ()))
    else {
        return;
    };
    let readiness = readiness(worse.noise_deg, made.rate_hz);
    // Slow trackers have few samples, fast ones many: all weigh the same.
    let (keep, weight) = if made.rate_hz > 500.0 {
        (500.0 / made.rate_hz, 1.0)
    } else {
        (1.0, (500.0 / made.rate_hz).sqrt() as f32)
    };
    let mut next = 0;
    // Only samples with rising stamps are described; a shaken stamp may drop one.
    let accepted: Vec<usize> = {
        let mut last = f64::NEG_INFINITY;
        (0..made.samples.len())
            .filter(|k| {
                let t = made.samples[*k].t_s;
                let ok = t > last;
                if ok {
                    last = t;
                }
                ok
            })
            .collect()
    };
    for sample in &made.samples {
        stream.push(*sample, &mut |row| {
            let Some(index) = accepted.get(next) else {
                return;
            };
            next += 1;
            let Some(is) =
                class(made.labels[*index]).filter(|_| !row.gone && random.uniform() < keep)
            else {
                return;
            };
            let mut target = [0.0; CLASSES];
            target[is] = 1.0;
            rows.push(Row {
                set: recording.set,
                readiness,
                features: row.features,
                target,
                weight,
            });
        });
    }
}

/// Hazards, successions and shares from labels.
pub(crate) fn durations(recordings: &[&Recording]) -> Durations {
    let mut ends = [[0.0_f64; AGES]; CLASSES];
    let mut spent = [[0.0_f64; AGES]; CLASSES];
    let mut follows = [[0.5_f64; CLASSES]; CLASSES];
    for recording in recordings {
        let dt = 1.0 / recording.rate_hz;
        let mut from = 0;
        for (k, pair) in recording.labels.windows(2).enumerate() {
            let Some(now) = class(pair[0]) else {
                from = k + 1;
                continue;
            };
            let age = (((k - from) as f64 + 0.5) * dt / AGE_S) as usize;
            let age = age.min(AGES - 1);
            spent[now][age] += dt;
            if pair[1] != pair[0] {
                from = k + 1;
                if let Some(next) = class(pair[1]) {
                    ends[now][age] += 1.0;
                    follows[now][next] += 1.0;
                }
            }
        }
    }
    let mut made = Durations {
        hazard_per_s: [[0.0; AGES]; CLASSES],
        next: [[0.0; CLASSES]; CLASSES],
        share: [0.0; CLASSES],
    };
    let total: f64 = spent.iter().flatten().sum();
    for class in 0..CLASSES {
        let all = ends[class].iter().sum::<f64>() / spent[class].iter().sum::<f64>().max(1e-3);
        for age in 0..AGES {
            made.hazard_per_s[class][age] =
                ((ends[class][age] + 0.02 * all) / (spent[class][age] + 0.02)) as f32;
        }
        follows[class][class] = 0.0;
        let sum: f64 = follows[class].iter().sum();
        made.next[class] = follows[class].map(|f| (f / sum) as f32);
        made.share[class] = (spent[class].iter().sum::<f64>() / total) as f32;
    }
    made
}
