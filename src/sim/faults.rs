//! Faults of an amplifier: what can be asked for, and how it acts on its samples.

use std::str::FromStr;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::noise::{gauss, stream};
use super::settings::{SettingsError, SimSettings, within};
use super::since::{Openings, Since};

/// Where a channel sits that is driven to the end of its range: 24 bits at gain 24 and 4.5 V, microvolts.
const RAIL_UV: f32 = 187_500.0;
/// Standard deviation of what a loose contact adds, white, microvolts.
const LOOSE_UV: f64 = 300.0;
/// Amplitude of mains that a device nearby brings into all channels, microvolts.
const MAINS_UV: f64 = 400.0;

/// Standard deviation of what clenched jaws bring into every channel, each its own, microvolts. Broad-band, from the EEG's own
/// frequencies on: Goncharova et al., Clinical Neurophysiology 114:1580 (2003).
const CLENCH_UV: f64 = 150.0;

/// When a fault is there.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum When {
    /// All the time.
    #[default]
    Always,
    /// For a while.
    While {
        /// From when on.
        since: Since,
        /// How long, seconds, 0 to 86,400.
        for_s: f64,
    },
}

impl When {
    /// Reads `10+0.5` or `fork3+8`.
    fn read(text: &str) -> Option<Self> {
        let (since, length) = text.split_once('+')?;
        Some(Self::While {
            since: Since::read(since)?,
            for_s: length.parse().ok()?,
        })
    }

    pub(super) fn check(self) -> Result<(), SettingsError> {
        let Self::While { since, for_s } = self else {
            return Ok(());
        };
        since.check()?;
        within("fault length", "s", for_s, 0.0, 86_400.0)
    }

    fn is_now(self, openings: &Openings, t_s: f64) -> bool {
        match self {
            Self::Always => true,
            Self::While { since, for_s } => openings.hold(since, Some(for_s), t_s),
        }
    }
}

/// Something that is wrong with the amplifier, on purpose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The channel sits at the end of the converter's range.
    Railed {
        /// Which electrode.
        channel: String,
        /// When.
        #[serde(default)]
        when: When,
    },
    /// The channel is not connected: it stands still.
    Flat {
        /// Which electrode.
        channel: String,
        /// When.
        #[serde(default)]
        when: When,
    },
    /// The channel is NaN.
    Nan {
        /// Which electrode.
        channel: String,
        /// When.
        #[serde(default)]
        when: When,
    },
    /// The electrode's contact is loose: white noise of 300 uV on top.
    Noisy {
        /// Which electrode.
        channel: String,
        /// When.
        #[serde(default)]
        when: When,
    },
    /// The channel shows what another one does: bridged, or doubled.
    Copy {
        /// Which electrode.
        channel: String,
        /// The other one.
        of: String,
        /// When.
        #[serde(default)]
        when: When,
    },
    /// Mains of 400 uV in all channels.
    Mains {
        /// When.
        #[serde(default)]
        when: When,
    },
    /// The jaws are clenched: muscle activity of 150 uV in all channels.
    Clench {
        /// When.
        #[serde(default)]
        when: When,
    },
    /// The amplifier sends nothing; its clock goes on.
    Gap {
        /// When.
        when: When,
    },
}

impl FromStr for Fault {
    type Err = SettingsError;

    /// Reads `railed=Pz`, `flat=Oz`, `noisy=Cz`, `nan=Cz` or `copy=Pz:Cz`, each with `@10+0.5` or `@fork3+8` behind it
    /// for a while; `mains@30+2`, `clench@30+1` or `gap@30+2`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || -> Option<Self> {
            let (what, when) = match text.split_once('@') {
                Some((what, when)) => (what, When::read(when)?),
                None => (text, When::Always),
            };
            let Some((what, channel)) = what.split_once('=') else {
                return match what {
                    "mains" => Some(Self::Mains { when }),
                    "clench" => Some(Self::Clench { when }),
                    "gap" if when != When::Always => Some(Self::Gap { when }),
                    _ => None,
                };
            };
            let label = channel.to_owned();
            Some(match what {
                "railed" => Self::Railed {
                    channel: label,
                    when,
                },
                "flat" => Self::Flat {
                    channel: label,
                    when,
                },
                "nan" => Self::Nan {
                    channel: label,
                    when,
                },
                "noisy" => Self::Noisy {
                    channel: label,
                    when,
                },
                "copy" => {
                    let (channel, of) = channel.split_once(':')?;
                    Self::Copy {
                        channel: channel.to_owned(),
                        of: of.to_owned(),
                        when,
                    }
                }
                _ => return None,
            })
        };
        parse().ok_or_else(|| SettingsError::Fault {
            text: text.to_owned(),
        })
    }
}

impl Fault {
    /// The channels it names.
    pub(super) fn channels(&self) -> Vec<&str> {
        match self {
            Self::Railed { channel, .. }
            | Self::Flat { channel, .. }
            | Self::Noisy { channel, .. }
            | Self::Nan { channel, .. } => vec![channel],
            Self::Copy { channel, of, .. } => vec![channel, of],
            Self::Mains { .. } | Self::Clench { .. } | Self::Gap { .. } => Vec::new(),
        }
    }

    /// When it is there.
    #[must_use]
    pub fn when(&self) -> When {
        match self {
            Self::Railed { when, .. }
            | Self::Flat { when, .. }
            | Self::Nan { when, .. }
            | Self::Noisy { when, .. }
            | Self::Copy { when, .. }
            | Self::Mains { when }
            | Self::Clench { when }
            | Self::Gap { when } => *when,
        }
    }
}

/// What is done to one channel, or to all.
#[derive(Debug, Clone, Copy)]
enum Act {
    Stuck(usize, f32),
    Nan(usize),
    Loose(usize),
    Copy(usize, usize),
    Mains,
    Clench,
    Silence,
}

/// The faults asked for, and which of them are there.
#[derive(Debug)]
pub(super) struct Faults {
    acts: Vec<(Act, When)>,
    mains_hz: f64,
    rng: ChaCha8Rng,
}

impl Faults {
    /// From settings that have been checked.
    pub(super) fn new(settings: &SimSettings) -> Self {
        let place = |label: &String| settings.channels.iter().position(|c| c == label);
        let act = |fault: &Fault| {
            Some(match fault {
                Fault::Railed { channel, .. } => Act::Stuck(place(channel)?, RAIL_UV),
                Fault::Flat { channel, .. } => Act::Stuck(place(channel)?, 0.0),
                Fault::Nan { channel, .. } => Act::Nan(place(channel)?),
                Fault::Noisy { channel, .. } => Act::Loose(place(channel)?),
                Fault::Copy { channel, of, .. } => Act::Copy(place(channel)?, place(of)?),
                Fault::Mains { .. } => Act::Mains,
                Fault::Clench { .. } => Act::Clench,
                Fault::Gap { .. } => Act::Silence,
            })
        };
        let faults = settings.faults.iter();
        Self {
            acts: faults
                .filter_map(|fault| Some((act(fault)?, fault.when())))
                .collect(),
            mains_hz: settings.mains_hz,
            rng: stream(settings.seed, "faults"),
        }
    }

    /// Whether the amplifier sends anything at this time.
    pub(super) fn sends(&self, openings: &Openings, t_s: f64) -> bool {
        let mut acts = self.acts.iter();
        !acts.any(|(act, when)| matches!(act, Act::Silence) && when.is_now(openings, t_s))
    }

    /// Spoils one sample, one value per channel.
    pub(super) fn act(&mut self, openings: &Openings, t_s: f64, sample: &mut [f32]) {
        for k in 0..self.acts.len() {
            let (act, when) = self.acts[k];
            if !when.is_now(openings, t_s) {
                continue;
            }
            match act {
                Act::Stuck(channel, value) => sample[channel] = value,
                Act::Nan(channel) => sample[channel] = f32::NAN,
                Act::Loose(channel) => {
                    sample[channel] += (LOOSE_UV * gauss(&mut self.rng)) as f32;
                }
                Act::Copy(channel, of) => sample[channel] = sample[of],
                Act::Mains => {
                    let phase = std::f64::consts::TAU * self.mains_hz * t_s;
                    let mains_uv = (MAINS_UV * phase.sin()) as f32;
                    sample.iter_mut().for_each(|x| *x += mains_uv);
                }
                Act::Clench => {
                    for x in sample.iter_mut() {
                        *x += (CLENCH_UV * gauss(&mut self.rng)) as f32;
                    }
                }
                Act::Silence => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_read_as_documented() {
        assert_eq!(
            "nan=Cz@10+0.5".parse(),
            Ok(Fault::Nan {
                channel: "Cz".into(),
                when: When::While {
                    since: Since::StartS(10.0),
                    for_s: 0.5
                }
            })
        );
        assert_eq!(
            "gap@30+2".parse(),
            Ok(Fault::Gap {
                when: When::While {
                    since: Since::StartS(30.0),
                    for_s: 2.0
                }
            })
        );
        assert_eq!(
            "railed=Pz".parse(),
            Ok(Fault::Railed {
                channel: "Pz".into(),
                when: When::Always
            })
        );
        assert_eq!(
            "copy=Pz:Cz@fork3+8".parse(),
            Ok(Fault::Copy {
                channel: "Pz".into(),
                of: "Cz".into(),
                when: When::While {
                    since: Since::Fork(3),
                    for_s: 8.0
                }
            })
        );
        for text in [
            "",
            "railed",
            "copy=Cz",
            "gap",
            "gap@5",
            "nan=Cz@fork+1",
            "loud=Pz",
        ] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_fault_is_there_for_its_time_and_then_the_channel_is_what_it_was() {
        let settings = SimSettings {
            faults: [
                "railed=Pz@1+1",
                "copy=Cz:Oz@fork2+1",
                "noisy=Fz@5+1",
                "mains@7+1",
                "clench@9+1",
            ]
            .map(|fault| fault.parse().unwrap())
            .to_vec(),
            ..SimSettings::default()
        };
        settings.check().unwrap();
        let place = |label: &str| settings.channels.iter().position(|c| c == label).unwrap();
        let mut faults = Faults::new(&settings);
        let mut openings = Openings::default();
        let clean: Vec<f32> = (1..=8).map(|x| x as f32).collect();
        let mut at = |t_s: f64| {
            let mut sample = clean.clone();
            faults.act(&openings, t_s, &mut sample);
            if t_s == 2.5 || t_s == 3.0 {
                openings.fork_opens(t_s);
            }
            (0..8)
                .filter(|c| sample[*c] != clean[*c])
                .collect::<Vec<_>>()
        };
        assert!(at(0.5).is_empty());
        assert_eq!(at(1.5), [place("Pz")]);
        assert!(at(2.5).is_empty());
        assert!(at(3.0).is_empty());
        assert_eq!(at(3.5), [place("Cz")]);
        assert!(at(4.5).is_empty());
        assert_eq!(at(5.5), [place("Fz")]);
        assert_eq!(at(7.503), (0..8).collect::<Vec<_>>());
        assert!(at(8.5).is_empty());
        assert_eq!(at(9.5), (0..8).collect::<Vec<_>>());
    }
}
