//! Labelled recordings, and what trackers do to them.

use std::error::Error;
use std::f64::consts::{SQRT_2, TAU};
use std::fs;
use std::path::Path;

use razvilka_dsp::gaze::GazeSample;

/// Codes of the labels.
pub(crate) const FIXATION: u8 = 1;
pub(crate) const SACCADE: u8 = 2;
pub(crate) const SETTLING: u8 = 3;
pub(crate) const PURSUIT: u8 = 4;
pub(crate) const LOST: u8 = 5;

/// A labelled recording.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    pub(crate) name: String,
    pub(crate) person: String,
    pub(crate) stimulus: String,
    /// Number of the folder it came from.
    pub(crate) set: usize,
    pub(crate) rate_hz: f64,
    /// By how much the stamps were drawn out to make them true ([`crate::stamps`]); 1: they were.
    pub(crate) drawn_out: f64,
    pub(crate) samples: Vec<GazeSample>,
    pub(crate) labels: Vec<u8>,
}

impl Recording {
    /// Kind of stimulus: without its number.
    pub(crate) fn kind(&self) -> &str {
        self.stimulus.trim_end_matches(|c: char| c.is_ascii_digit())
    }

    pub(crate) fn minutes(&self) -> f64 {
        self.samples.len() as f64 / self.rate_hz / 60.0
    }
}

/// Reads every table `t_ms,x_deg,y_deg,valid,label` of a folder, in the order of their names.
///
/// Names are `group__PERSON_stimulus.csv`; two letters before a number are no part of the person.
pub(crate) fn read_folder(folder: &Path, set: usize) -> Result<Vec<Recording>, Box<dyn Error>> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .map_err(|e| format!("{}: {e}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "csv"))
        .collect();
    paths.sort();
    paths.iter().map(|path| read(path, set)).collect()
}

fn read(path: &Path, set: usize) -> Result<Recording, Box<dyn Error>> {
    let text = fs::read_to_string(path)?;
    let (mut samples, mut labels) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate().skip(1) {
        let mut cells = line.split(',').map(|c| c.parse::<f64>());
        let mut next = || {
            cells
                .next()
                .and_then(Result::ok)
                .ok_or_else(|| format!("{} line {}", path.display(), number + 1))
        };
        samples.push(GazeSample {
            t_s: next()? / 1000.0,
            x_deg: next()?,
            y_deg: next()?,
            valid: next()? == 1.0,
        });
        labels.push(next()? as u8);
    }
    let stem = path
        .file_stem()
        .and_then(|s| s.to_str())
        .unwrap_or_default();
    let who = stem.split_once("__").map_or(stem, |(_, rest)| rest);
    let (person, stimulus) = who.split_once('_').unwrap_or((who, ""));
    let number = person.get(2..).unwrap_or_default();
    let person = if number.parse::<u32>().is_ok() {
        number
    } else {
        person
    };
    let mut steps: Vec<f64> = samples.windows(2).map(|w| w[1].t_s - w[0].t_s).collect();
    steps.sort_by(f64::total_cmp);
    let period_s = *steps.get(steps.len() / 2).ok_or("fewer than two samples")?;
    Ok(Recording {
        name: stem.to_owned(),
        person: person.to_owned(),
        stimulus: stimulus.to_owned(),
        set,
        rate_hz: 1.0 / period_s,
        drawn_out: 1.0,
        samples,
        labels,
    })
}

/// Random numbers that are the same everywhere: SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 <= u < 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((self.uniform() * n as f64) as usize).min(n.saturating_sub(1))
    }

    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (TAU * self.uniform()).cos()
    }
}

/// Share of worse recordings whose stamps run too fast.
const QUICK: f64 = 0.12;

/// What a worse tracker would have seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Worse {
    /// Rate, Hz; 0: as it is.
    pub(crate) rate_hz: f64,
    /// Noise to add, degrees RMS from sample to sample.
    pub(crate) noise_deg: f64,
    /// Share of samples lost one by one.
    pub(crate) lost: f64,
    /// Losses per second of `gap_s` each.
    pub(crate) gaps_per_s: f64,
    pub(crate) gap_s: f64,
    /// Shake of the stamps, share of the interval.
    pub(crate) jitter: f64,
    pub(crate) gain: f64,
    /// Factor of time: a quicker or slower eye.
    pub(crate) stretch: f64,
    /// Stamps as the table gives them, right or wrong.
    pub(crate) as_stamped: bool,
    /// Share of the noise on the horizontal axis, 0..=1; the rest is vertical.
    pub(crate) horizontal: f64,
    /// Positions that jump to and fro by about so much, as where a reflection is taken for another, degrees.
    pub(crate) flicker_deg: f64,
    /// Direction of the flicker, radians, and spells of it per second.
    pub(crate) flicker_at: f64,
    pub(crate) flicker_per_s: f64,
}

impl Worse {
    pub(crate) const NOT: Self = Self {
        rate_hz: 0.0,
        noise_deg: 0.0,
        lost: 0.0,
        gaps_per_s: 0.0,
        gap_s: 0.0,
        jitter: 0.0,
        gain: 1.0,
        stretch: 1.0,
        as_stamped: false,
        horizontal: 0.5,
        flicker_deg: 0.0,
        flicker_at: 0.0,
        flicker_per_s: 0.0,
    };

    /// What the table of robustness holds.
    pub(crate) const TABLE: [(&'static str, Self); 10] = [
        (
            "stamps as given",
            Self {
                as_stamped: true,
                ..Self::NOT
            },
        ),
        (
            "0.3 degrees RMS of noise",
            Self {
                noise_deg: 0.3,
                ..Self::NOT
            },
        ),
        (
            "1 degree RMS of noise",
            Self {
                noise_deg: 1.0,
                ..Self::NOT
            },
        ),
        (
            "1000 Hz",
            Self {
                rate_hz: 1000.0,
                ..Self::NOT
            },
        ),
        (
            "250 Hz",
            Self {
                rate_hz: 250.0,
                ..Self::NOT
            },
        ),
        (
            "120 Hz",
            Self {
                rate_hz: 120.0,
                ..Self::NOT
            },
        ),
        (
            "60 Hz",
            Self {
                rate_hz: 60.0,
                ..Self::NOT
            },
        ),
        (
            "60 Hz, 0.3 degrees",
            Self {
                rate_hz: 60.0,
                noise_deg: 0.3,
                ..Self::NOT
            },
        ),
        (
            "5 % of samples lost",
            Self {
                lost: 0.05,
                ..Self::NOT
            },
        ),
        (
            "losses of 100 ms, 0.3 per s",
            Self {
                gaps_per_s: 0.3,
                gap_s: 0.1,
                ..Self::NOT
            },
        ),
    ];

    /// Any of what trackers do, and now and then stamps that run too fast: what a rate that lies makes of it.
    pub(crate) fn any(random: &mut Random) -> Self {
        let mut worse = Self::true_stamps(random);
        if random.uniform() < QUICK {
            worse.rate_hz = [0.0, 200.0, 200.0, 300.0][random.below(4)];
            worse.stretch = if random.below(2) == 0 {
                0.4
            } else {
                0.4 + 0.4 * random.uniform()
            };
        }
        worse
    }

    fn true_stamps(random: &mut Random) -> Self {
        let rates = [
            0.0, 0.0, 60.0, 90.0, 120.0, 150.0, 200.0, 250.0, 300.0, 1000.0, 1000.0, 1700.0,
        ];
        let noise_deg = match random.below(4) {
            0 => 0.0,
            1 => 0.1 * random.uniform(),
            2 => 0.5 * random.uniform(),
            _ => 1.3 * random.uniform(),
        };
        Self {
            rate_hz: rates[random.below(rates.len())],
            noise_deg,
            lost: if random.below(3) == 0 {
                0.08 * random.uniform()
            } else {
                0.0
            },
            gaps_per_s: if random.below(4) == 0 {
                0.5 * random.uniform()
            } else {
                0.0
            },
            gap_s: 0.01 + 0.14 * random.uniform(),
            jitter: if random.below(3) == 0 {
                0.3 * random.uniform()
            } else {
                0.0
            },
            gain: 0.4 * 4.0_f64.powf(random.uniform()),
            stretch: 0.87 + 0.26 * random.uniform(),
            as_stamped: false,
            horizontal: random.uniform(),
            flicker_deg: if random.below(3) == 0 {
                0.6 * random.uniform()
            } else {
                0.0
            },
            flicker_at: TAU * random.uniform(),
            flicker_per_s: 2.0 * random.uniform(),
        }
    }

    /// The recording as such a tracker would have given it. Labels stay those of the truth; a loss is labelled lost when it lasts longer
    /// than what is bridged.
    pub(crate) fn apply(&self, of: &Recording, random: &mut Random) -> Recording {
        let (samples, labels) = self.resampled(of, random);
        let given = if self.as_stamped { of.drawn_out } else { 1.0 };
        let stretch = self.stretch / given;
        let mut made = Recording {
            rate_hz: if self.rate_hz > 0.0 {
                self.rate_hz
            } else {
                of.rate_hz
            } / stretch,
            drawn_out: of.drawn_out / given,
            samples,
            labels,
            name: of.name.clone(),
            person: of.person.clone(),
            stimulus: of.stimulus.clone(),
            set: of.set,
        };
        let (sd, dt) = (self.noise_deg / SQRT_2, 1.0 / made.rate_hz);
        let (sd_x, sd_y) = (
            sd * self.horizontal.sqrt(),
            sd * (1.0 - self.horizontal).sqrt(),
        );
        let (mut flickers, mut away) = (false, false);
        let mut gone_until = f64::NEG_INFINITY;
        for (sample, label) in made.samples.iter_mut().zip(&mut made.labels) {
            if self.flicker_deg > 0.0 {
                let changes = if flickers { 4.0 } else { self.flicker_per_s };
                flickers ^= random.uniform() < changes * dt;
                away = if flickers {
                    away ^ (random.uniform() < 0.3)
                } else {
                    false
                };
            }
            let jump = if away {
                self.flicker_deg * (0.5 + random.uniform())
            } else {
                0.0
            };
            sample.x_deg =
                sample.x_deg * self.gain + sd_x * random.normal() + jump * self.flicker_at.cos();
            sample.y_deg =
                sample.y_deg * self.gain + sd_y * random.normal() + jump * self.flicker_at.sin();
            sample.t_s *= stretch;
            if random.uniform() < self.lost {
                sample.valid = false;
            }
            if self.gaps_per_s > 0.0 && random.uniform() < self.gaps_per_s * dt {
                gone_until = sample.t_s + self.gap_s;
            }
            if sample.t_s < gone_until {
                sample.valid = false;
                if self.gap_s > 0.075 {
                    *label = LOST;
                }
            }
            sample.t_s += self.jitter * dt * (random.uniform() - 0.5);
        }
        made
    }

    fn resampled(&self, of: &Recording, random: &mut Random) -> (Vec<GazeSample>, Vec<u8>) {
        if self.rate_hz == 0.0 || (self.rate_hz - of.rate_hz).abs() < 1.0 {
            return (of.samples.clone(), of.labels.clone());
        }
        let ratio = of.rate_hz / self.rate_hz;
        let mut place = ratio.min(1.0) * random.uniform();
        let (mut samples, mut labels) = (Vec::new(), Vec::new());
        // A slow camera sees single moments; a faster one is imitated by a smooth curve through the samples, and its own noise.
        let own_noise = if ratio < 1.0 {
            0.015 * random.uniform()
        } else {
            0.0
        };
        while place < of.samples.len() as f64 - 1.0 {
            let near = place.round() as usize;
            let mut sample = of.samples[near];
            if ratio < 1.0 {
                sample = between(&of.samples, place);
                sample.x_deg += own_noise * random.normal();
                sample.y_deg += own_noise * random.normal();
            }
            samples.push(sample);
            labels.push(of.labels[near]);
            place += ratio;
        }
        (samples, labels)
    }
}

/// The cubic of Catmull and Rom through the samples around `place`.
fn between(samples: &[GazeSample], place: f64) -> GazeSample {
    let k = place.floor() as usize;
    let f = place - k as f64;
    let at = |d: isize| samples[k.saturating_add_signed(d).min(samples.len() - 1)];
    let (p, q, r, s) = (at(-1), at(0), at(1), at(2));
    let t_s = q.t_s + f * (r.t_s - q.t_s);
    let valid = q.valid && r.valid;
    if !(p.valid && valid && s.valid) {
        let near = if f < 0.5 { q } else { r };
        return GazeSample {
            t_s,
            valid: near.valid,
            ..near
        };
    }
    let cubic = |p: f64, q: f64, r: f64, s: f64| {
        q + 0.5 * f * (r - p + f * (2.0 * p - 5.0 * q + 4.0 * r - s + f * (3.0 * (q - r) + s - p)))
    };
    GazeSample {
        t_s,
        x_deg: cubic(p.x_deg, q.x_deg, r.x_deg, s.x_deg),
        y_deg: cubic(p.y_deg, q.y_deg, r.y_deg, s.y_deg),
        valid,
    }
}
