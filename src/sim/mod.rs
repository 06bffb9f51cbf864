//! The simulated laboratory: an amplifier, an eye tracker and a person with a wish.
//!
//! [`Laboratory`] is pure: no clock, no thread, no socket. It is told the markers that the engine published
//! ([`Laboratory::hear`]) and moved on in time ([`Laboratory::advance`]); out come EEG and gaze samples, key presses and,
//! for scoring only, the truth about what the person wanted. The same settings, the same start and the same markers at the
//! same stamps give the same bits, however `advance` is called in between.
//!
//! The person knows nothing of the engine but its markers, and of a flash not even whether it was a target: the
//! `target` field of a marker is never read here. [`run`] paces a laboratory on a clock and connects it to streams.
//!
//! # Streams
//! | stream | channels | rate |
//! |---|---|---|
//! | EEG | one per electrode, microvolts, f32 | `eeg_rate_hz` |
//! | gaze | `x`, `y` (0..1 from the top left corner of the screen, NaN when the eye is not seen), `confidence` (0..1); by choice two eyes, pupils and lids | `gaze_rate_hz` |
//! | keys | one string, a [`Key`] as JSON | irregular |

mod agenda;
mod amplifier;
mod evoked;
mod eye;
mod faults;
mod montage;
mod muscles;
mod noise;
mod person;
mod pupil;
mod reading;
mod real;
mod replayed;
mod runner;
mod settings;
mod since;
mod streams;
mod tiredness;
mod tracker;
mod traits;
mod wish;

use serde::{Deserialize, Serialize};

use crate::marker::{Event, Key, Marker};

use agenda::{Agenda, Happening};
use amplifier::{Acting, Amplifier};
use evoked::{Evoked, RecordedGains};
use eye::{Eye, Lids, Tracker};
use faults::Faults;
use muscles::Muscles;
use person::{Person, Scene};
use pupil::Pupil;
use replayed::Replayed;
use since::Openings;
use tracker::Sight;
use traits::Traits;

pub use evoked::PERCEPTION_S;
pub use faults::{Fault, When};
pub use real::{
    REAL_CHANNELS_MAX, REAL_FLASHES_MIN, REAL_STRETCH_S_MIN, REAL_VALUES_MAX, RawEeg, RealEeg,
    RealEegError, RealFlash,
};
pub use runner::{Devices, Ears, RunError, RunReport, listen, run};
pub use settings::{
    MAX_CHANNELS, MAX_FAULTS, MAX_GOALS, Preset, Screen, SettingsError, SimSettings,
};
pub use since::Since;
pub use streams::{EEG_NAME, GAZE_NAME, KEYS_NAME, Streams};
pub use tracker::{
    EyeLoss, GAZE_CHANNELS_MAX, MAX_EYE_LOSSES, TrackedEye, TrackerForm, TrackerSettings,
};
pub use wish::Reason;

/// Markers stamped further ahead than this are refused, seconds.
pub const MAX_AHEAD_S: f64 = 60.0;
/// Most things that may wait to happen; further markers are refused.
pub const MAX_PENDING: usize = 8192;

/// What comes out of the laboratory. Stamps are on the clock of [`Laboratory::new`]'s `start_s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SimOutput<'a> {
    /// One EEG sample.
    Eeg {
        /// When it was taken, seconds.
        stamp_s: f64,
        /// One value per channel, microvolts; with a recording, in the recording's unit.
        microvolts: &'a [f32],
    },
    /// One gaze sample.
    Gaze {
        /// When it was taken, seconds.
        stamp_s: f64,
        /// One value per channel; see the module's table.
        gaze: &'a [f32],
    },
    /// The person pressed a key.
    Key {
        /// When, seconds.
        stamp_s: f64,
        /// Which.
        key: Key,
    },
    /// What the person wanted: for scoring, never for the engine.
    Truth(ForkTruth),
}

/// What the person wanted at one fork; one line of the truth file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForkTruth {
    /// Identity of the fork, as in its markers.
    pub fork: u64,
    /// The item the person wished for.
    pub item: i32,
    /// The item it attended to: another one when it erred, none when the fork ended before it had decided.
    pub attended: Option<i32>,
    /// Why it wished for it.
    pub reason: Reason,
    /// When it had decided, on the laboratory's clock, seconds; none when the fork ended before.
    pub at: Option<f64>,
}

/// What became of a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It takes effect [`PERCEPTION_S`] after its stamp.
    InTime,
    /// It came more than [`PERCEPTION_S`] after its stamp: it takes effect now, and what should have been before is lost.
    Late,
    /// Its stamp is no number or too far ahead, or too much is pending: it has no effect.
    Refused,
}

/// Whose head the cap is on.
#[derive(Debug)]
enum Head {
    /// A made-up one.
    Synthetic(Box<Amplifier>),
    /// A recorded one.
    Recorded(Box<Replayed>),
}

/// The simulated laboratory.
#[derive(Debug)]
pub struct Laboratory {
    start_s: f64,
    now_s: f64,
    eeg_rate_hz: f64,
    gaze_rate_hz: f64,
    eeg_samples: u64,
    gaze_samples: u64,
    agenda: Agenda,
    head: Head,
    tracker: Tracker,
    eye: Eye,
    lids: Lids,
    pupil: Pupil,
    evoked: Evoked,
    person: Person,
    muscles: Muscles,
    faults: Faults,
    openings: Openings,
    microvolts: Vec<f32>,
    gaze: Vec<f32>,
    tracks: TrackerSettings,
}

impl Laboratory {
    /// Sets up a laboratory whose first samples are taken at `start_s` (any clock, seconds).
    ///
    /// # Errors
    /// [`SettingsError`] when a setting is out of range.
    pub fn new(settings: &SimSettings, start_s: f64) -> Result<Self, SettingsError> {
        settings.check()?;
        let traits = Traits::draw(settings);
        let evoked = Evoked::new(traits.brain, noise::stream(settings.seed, "evoked"));
        let head = Head::Synthetic(Box::new(Amplifier::new(settings, traits.cap)));
        Self::of(settings, &traits, head, evoked, start_s)
    }

    /// Sets up a laboratory with a recorded person's EEG: channels, rate and unit are the recording's. Gaze, reading,
    /// decisions and attention are simulated as ever; eyes and blinks of the simulation do not show in the EEG, which has
    /// the recorded ones.
    ///
    /// # Errors
    /// As [`Laboratory::new`]; channels and rate of `settings` have to be the recording's
    /// ([`SimSettings::with_recording`]).
    pub fn with_recording(
        settings: &SimSettings,
        eeg: RealEeg,
        start_s: f64,
    ) -> Result<Self, SettingsError> {
        settings.check_recorded(&eeg)?;
        let traits = Traits::draw(settings);
        let evoked = Evoked::new(traits.brain, noise::stream(settings.seed, "evoked"));
        let evoked = evoked.recorded(RecordedGains {
            sd: eeg.gain_sd,
            recovery: eeg.recovery,
        });
        let head = Head::Recorded(Box::new(Replayed::new(settings, eeg)));
        Self::of(settings, &traits, head, evoked, start_s)
    }

    fn of(
        settings: &SimSettings,
        traits: &Traits,
        head: Head,
        evoked: Evoked,
        start_s: f64,
    ) -> Result<Self, SettingsError> {
        if !start_s.is_finite() {
            return Err(SettingsError::OutOfRange {
                key: "start_s",
                unit: "s",
                min: f64::MIN,
                max: f64::MAX,
                got: start_s,
            });
        }
        let mut agenda = Agenda::default();
        Ok(Self {
            start_s,
            now_s: 0.0,
            eeg_rate_hz: settings.eeg_rate_hz,
            gaze_rate_hz: settings.gaze_rate_hz,
            eeg_samples: 0,
            gaze_samples: 0,
            head,
            tracker: Tracker::new(settings, traits.tracker),
            eye: Eye::new(),
            lids: Lids::new(),
            pupil: Pupil::new(settings),
            evoked,
            person: Person::new(settings, traits.person, &mut agenda),
            muscles: Muscles::new(settings),
            faults: Faults::new(settings),
            openings: Openings::default(),
            agenda,
            microvolts: vec![0.0; settings.channels.len()],
            gaze: Vec::with_capacity(GAZE_CHANNELS_MAX),
            tracks: settings.tracker.clone(),
        })
    }

    /// Tells the person a marker with its stamp on the laboratory's clock.
    ///
    /// A marker has no effect before its stamp. As the person needs [`PERCEPTION_S`] to perceive anything, one that
    /// arrives late by less than this has the same effect as one that arrives in time.
    pub fn hear(&mut self, stamp_s: f64, marker: &Marker) -> Heard {
        let stamp = stamp_s - self.start_s;
        if !stamp.is_finite()
            || stamp > self.now_s + MAX_AHEAD_S
            || self.agenda.len() >= MAX_PENDING
        {
            return Heard::Refused;
        }
        let due = stamp + PERCEPTION_S;
        let event = Box::new(marker.body.clone());
        self.agenda
            .enter(due.max(self.now_s), Happening::Perceives(stamp, event));
        if due < self.now_s {
            Heard::Late
        } else {
            Heard::InTime
        }
    }

    /// Moves on to `until_s` on the laboratory's clock and puts out, in order of time, everything stamped before it.
    ///
    /// A time that is no number, or has passed, does nothing.
    pub fn advance(&mut self, until_s: f64, output: &mut impl FnMut(SimOutput<'_>)) {
        let until = until_s - self.start_s;
        if !until.is_finite() {
            return;
        }
        loop {
            let eeg_s = self.eeg_samples as f64 / self.eeg_rate_hz;
            let gaze_s = self.gaze_samples as f64 / self.gaze_rate_hz;
            let happens_s = self.agenda.next_s();
            let next_s = happens_s.min(eeg_s).min(gaze_s);
            if next_s >= until {
                break;
            }
            self.now_s = self.now_s.max(next_s);
            if happens_s <= eeg_s && happens_s <= gaze_s {
                self.happen(output);
            } else if eeg_s <= gaze_s {
                self.eeg_samples += 1;
                self.sample_eeg(eeg_s, output);
            } else {
                self.gaze_samples += 1;
                self.sample_gaze(gaze_s);
                output(SimOutput::Gaze {
                    stamp_s: self.start_s + gaze_s,
                    gaze: &self.gaze,
                });
            }
        }
        self.now_s = self.now_s.max(until);
    }

    fn happen(&mut self, output: &mut impl FnMut(SimOutput<'_>)) {
        let Some((t_s, what)) = self.agenda.take() else {
            return;
        };
        if let Happening::Perceives(_, event) = &what
            && matches!(**event, Event::ForkOpen { .. })
        {
            self.openings.fork_opens(t_s);
        }
        let mut scene = Scene {
            start_s: self.start_s,
            agenda: &mut self.agenda,
            eye: &mut self.eye,
            lids: &mut self.lids,
            pupil: &mut self.pupil,
            evoked: &mut self.evoked,
            muscles: &mut self.muscles,
            output,
        };
        self.person.live(t_s, what, &mut scene);
    }

    fn sample_gaze(&mut self, t_s: f64) {
        let (at, closure) = (self.eye.at(t_s), self.lids.closure(t_s));
        let tiredness = self.person.tiredness(t_s);
        let places = self.tracker.sample(t_s, at, closure, tiredness);
        let pupils = self.pupil.sample(t_s, at, closure);
        let mut sights = [Sight::default(); 2];
        for (eye, sight) in sights.iter_mut().enumerate() {
            let lost = self.tracks.is_lost(eye, &self.openings, t_s);
            let place = places.get(eye).copied().flatten().filter(|_| !lost);
            *sight = Sight {
                at: place,
                confidence: place.map_or(0.0, |_| 1.0 - closure),
                pupil_mm: pupils.get(eye).copied().unwrap_or(f64::NAN),
                closure,
            };
        }
        self.tracks.write(&sights, &mut self.gaze);
    }

    fn sample_eeg(&mut self, t_s: f64, output: &mut impl FnMut(SimOutput<'_>)) {
        let activity = self.evoked.at(t_s);
        match &mut self.head {
            Head::Synthetic(amplifier) => {
                let acting = Acting {
                    t_s,
                    gaze_deg: self.eye.at(t_s),
                    closure: self.lids.closure(t_s),
                    evoked: activity,
                    tiredness: self.person.tiredness(t_s),
                };
                amplifier.sample(&acting, &mut self.microvolts);
            }
            Head::Recorded(replayed) => {
                replayed.sample(t_s, &self.evoked, &mut self.microvolts);
            }
        }
        self.muscles.act(t_s, &mut self.microvolts);
        self.faults.act(&self.openings, t_s, &mut self.microvolts);
        if self.faults.sends(&self.openings, t_s) {
            output(SimOutput::Eeg {
                stamp_s: self.start_s + t_s,
                microvolts: &self.microvolts,
            });
        }
    }
}
