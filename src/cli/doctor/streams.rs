//! The streams that answered: what they send, at which rate, and whether they are those that the experiment names.

use super::finding::{Area, Finding, Level};
use crate::cli::play::check_profile;
use crate::config::Plan;
use crate::engine::lines::gaze_rate_hz;
use crate::engine::streams::{GAZE_RATE_MAX_HZ, GAZE_RATE_MIN_HZ, check_specs, tracker_rate_hz};
use crate::source::lsl::{Age, Announcement, Network, Surveyed};
use crate::source::pins::Pins;
use crate::source::{Format, StreamSpec};
use razvilka_calibration::Profile;
use razvilka_dsp::clock::{RATE_REFUSE, RATE_WARN};

/// Longest step between two stamps, as a share of the time listened, with which a rate counts as measured.
const COARSE_MAX: f64 = 0.1;
/// Longest such step, in samples, that may be one of a slow stream with some jitter, and no gap.
const STEP_MAX: f64 = 1.8;

/// A source of the experiment, held against what answered.
#[derive(Debug, Clone)]
pub(super) struct Pinned {
    /// Its section: `eeg`, `gaze`, `keys`.
    pub(super) section: &'static str,
    /// The stream, or why there is none that fits.
    pub(super) stream: Result<StreamSpec, String>,
}

/// What is known of the streams.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// How long was listened, seconds.
    pub(super) listened_s: f64,
    /// What the gate holds against a stamp: the greatest age, and how far ahead of our clock it may lie, seconds.
    pub(super) age_s_max: f64,
    pub(super) ahead_s_max: f64,
    /// Everything that answered.
    pub(super) seen: Vec<Surveyed>,
    /// The sources of the experiment.
    pub(super) pinned: Vec<Pinned>,
    /// Whether filter, channels, units and profile go with those streams; `None` where not all of them are there.
    pub(super) together: Option<Result<(), String>>,
}

impl Facts {
    /// The streams that a session would record, with the rate as measured where none is declared.
    pub(super) fn recorded(self) -> Vec<StreamSpec> {
        let found = self.pinned.into_iter().filter_map(|one| one.stream.ok());
        found
            .map(|spec| {
                let same = self.seen.iter().find(|one| one.spec.uid == spec.uid);
                let measured = same.and_then(|one| one.heard.rate());
                let rate_hz = match measured {
                    Some(rate) if spec.rate_hz == 0.0 => rate.hz,
                    _ => spec.rate_hz,
                };
                StreamSpec { rate_hz, ..spec }
            })
            .collect()
    }
}

/// Holds the experiment's sources against what answered.
pub(super) fn pinned(network: Network, plan: &Plan, announced: &[Announcement]) -> Vec<Pinned> {
    let sections = ["eeg", "gaze", "keys"].into_iter().zip(plan.pins());
    let wanted = sections.filter_map(|(section, pins)| Some((section, pins?)));
    wanted
        .map(|(section, pins): (_, &Pins)| Pinned {
            section,
            stream: match network.pick(announced, pins) {
                Ok(stream) => Ok(stream.spec().clone()),
                Err(error) => Err(error.to_string()),
            },
        })
        .collect()
}

/// Whether the streams that were found go with the rest of the experiment; `None` where one is missing. A gaze stream that declares no rate is
/// taken at the one that was heard while it was listened to for `listened_s`, as a session measures it before it looks at the profile.
pub(super) fn together(
    plan: &Plan,
    pinned: &[Pinned],
    seen: &[Surveyed],
    listened_s: f64,
) -> Option<Result<(), String>> {
    let all = pinned.iter().all(|one| one.stream.is_ok());
    if !all || pinned.is_empty() {
        return None;
    }
    let of = |section| {
        let one = pinned.iter().find(|one| one.section == section)?;
        one.stream.as_ref().ok()
    };
    let (eeg, gaze) = (of("eeg"), of("gaze"));
    let fits = || -> Result<(), String> {
        check_specs(plan, eeg, gaze).map_err(|error| error.to_string())?;
        let plan = with_heard_rate(plan, gaze, seen, listened_s)?;
        let Some(file) = &plan.calibration.profile else {
            return Ok(());
        };
        let profile = Profile::load(file).map_err(|error| error.to_string())?;
        check_profile(&plan, &profile, eeg, gaze).map_err(|error| error.to_string())
    };
    Some(fits())
}

/// The plan with the rate of a gaze stream that declares none; or why a session would refuse that stream.
fn with_heard_rate(
    plan: &Plan,
    gaze: Option<&StreamSpec>,
    seen: &[Surveyed],
    listened_s: f64,
) -> Result<Plan, String> {
    let mut plan = plan.clone();
    let (Some(section), Some(spec)) = (&mut plan.gaze, gaze) else {
        return Ok(plan);
    };
    if gaze_rate_hz(section, spec) != 0.0 {
        return Ok(plan);
    }
    let same = seen.iter().find(|one| one.spec.uid == spec.uid);
    let (samples, span_s) = same.map_or((0, 0.0), |one| one.heard.apart());
    let heard = tracker_rate_hz(samples, span_s, listened_s);
    section.rate_hz = heard.ok_or_else(|| {
        format!(
            "stream '{}' declares no rate, and gave {samples} samples with times of their own in {listened_s} s: a session follows {GAZE_RATE_MIN_HZ} to {GAZE_RATE_MAX_HZ} Hz. Start streaming in the tracker's program, or set gaze.rate_hz to the tracker's",
            spec.name
        )
    })?;
    Ok(plan)
}

/// What that means for a session. Without an experiment nothing is wanted, and nothing fails.
pub(super) fn judge(facts: &Facts, of_experiment: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    if facts.seen.is_empty() {
        found.push(nobody(of_experiment && facts.pinned.is_empty()));
    }
    found.extend(facts.pinned.iter().map(pins));
    found.extend(facts.together.as_ref().map(fits));
    for one in &facts.seen {
        let wanted = facts.pinned.iter().any(|pinned| {
            let spec = pinned.stream.as_ref();
            spec.is_ok_and(|spec| spec.uid == one.spec.uid)
        });
        found.extend(Judged { one, facts, wanted }.findings());
    }
    found.extend(twins(&facts.seen));
    found
}

fn nobody(needed_by_nobody: bool) -> Finding {
    let (area, what, figure) = (Area::Streams, "on the network", "no stream answered");
    if needed_by_nobody {
        return Finding::ok(area, what, format!("{figure}, and none is needed"));
    }
    let advice = "Start the devices' LSL programs, and see that they are on this network";
    Finding::warning(area, what, figure, advice)
}

fn pins(pinned: &Pinned) -> Finding {
    let (area, what) = (Area::Streams, format!("[{}]", pinned.section));
    match &pinned.stream {
        Ok(spec) => Finding::ok(area, what, format!("is {:?}", spec.name)),
        Err(why) => Finding::failure(
            area,
            what,
            why,
            "Start the device, or put the pins of the right one into the experiment file: razvilka streams prints them",
        ),
    }
}

fn fits(together: &Result<(), String>) -> Finding {
    let (area, what) = (Area::Streams, "with the experiment");
    match together {
        Ok(()) => Finding::ok(
            area,
            what,
            "channels, units, filter and profile go with these streams",
        ),
        Err(why) => Finding::failure(
            area,
            what,
            why,
            "Correct the experiment file, or calibrate again with these streams",
        ),
    }
}

/// One stream, and whether the session wants it: what would end a session is a failure then.
struct Judged<'a> {
    one: &'a Surveyed,
    facts: &'a Facts,
    wanted: bool,
}

impl Judged<'_> {
    fn findings(&self) -> Vec<Finding> {
        let spec = &self.one.spec;
        if let Some(why) = &self.one.refused {
            let advice = "Correct what the device's program says of its stream";
            return vec![self.grave(format!("refused: {why}"), advice)];
        }
        if spec.format == Format::String {
            return vec![self.fine(format!("{}, text, irregular", self.shape()))];
        }
        let heard = &self.one.heard;
        if heard.samples() == 0 && heard.not_finite() == 0 {
            return vec![self.silent()];
        }
        let mut found = vec![self.rate()];
        found.extend(self.age());
        found.extend(self.stamps());
        found
    }

    fn what(&self) -> String {
        format!("{:?}", self.one.spec.name)
    }

    fn shape(&self) -> String {
        format!(
            "{:?}, channels {}",
            self.one.spec.kind, self.one.channel_count
        )
    }

    fn fine(&self, figure: String) -> Finding {
        Finding::ok(Area::Streams, self.what(), figure)
    }

    fn so_so(&self, figure: impl Into<String>, advice: &str) -> Finding {
        Finding::warning(Area::Streams, self.what(), figure, advice)
    }

    fn grave(&self, figure: String, advice: &str) -> Finding {
        Finding {
            level: if self.wanted {
                Level::Failure
            } else {
                Level::Warning
            },
            ..self.so_so(figure, advice)
        }
    }

    fn silent(&self) -> Finding {
        let (shape, rate_hz) = (self.shape(), self.one.spec.rate_hz);
        if rate_hz == 0.0 {
            return self.fine(format!("{shape}, irregular: nothing came yet"));
        }
        let listened_s = self.facts.listened_s;
        self.grave(
            format!("{shape}, {rate_hz} Hz declared: nothing came within {listened_s} s"),
            "Start streaming in the device's program: its stream is there and empty",
        )
    }

    /// As the clock guard of a session judges a rate, but for what a short time leaves open.
    fn rate(&self) -> Finding {
        let (shape, declared_hz) = (self.shape(), self.one.spec.rate_hz);
        let listened_s = self.facts.listened_s;
        let Some(rate) = self.one.heard.rate() else {
            let samples = self.one.heard.samples();
            return self.fine(format!(
                "{shape}: {samples} samples within {listened_s} s, too few for a rate"
            ));
        };
        if declared_hz == 0.0 {
            let figure = format!("{shape}, no rate declared, {:.1} Hz measured", rate.hz);
            return self.fine(figure);
        }
        let off = (rate.hz / declared_hz - 1.0).abs();
        let figure = format!(
            "{shape}, {declared_hz} Hz declared, {:.2} Hz measured over {listened_s} s (to {:.1} %)",
            rate.hz,
            100.0 * rate.coarse
        );
        if off > RATE_REFUSE + rate.coarse {
            self.grave(
                figure,
                "Set the device's real rate in its program, or mend what loses samples (cable, radio, load): beyond 2 % no fork is decided",
            )
        } else if off > RATE_WARN + rate.coarse {
            self.so_so(
                figure,
                "See whether the device loses samples, or its clock runs off: beyond 2 % no fork is decided",
            )
        } else if rate.coarse > COARSE_MAX && self.longest_step(rate.coarse) > STEP_MAX {
            // A gap makes the rate coarse, and so hides what it takes from the rate.
            self.so_so(
                figure,
                "Samples are missing, or come in blocks of a tenth of the time listened and longer: mend what loses them (cable, radio, load), and listen longer (--listen-s 10)",
            )
        } else {
            self.fine(figure)
        }
    }

    /// The longest step between two stamps, in samples as declared.
    fn longest_step(&self, coarse: f64) -> f64 {
        let (_, span_s) = self.one.heard.apart();
        coarse * span_s * self.one.spec.rate_hz
    }

    fn age(&self) -> Option<Finding> {
        let Age {
            least_s,
            uncertainty_s,
        } = self.one.age?;
        let figure = format!(
            "samples are {:.1} ms old on arrival, to {:.1} ms",
            1e3 * least_s,
            1e3 * uncertainty_s
        );
        Some(if least_s > self.facts.age_s_max + uncertainty_s {
            self.grave(
                figure,
                "Shorten the buffers of the device's program: evidence older than gate.evidence_age_s_max counts for nothing",
            )
        } else if least_s < -self.facts.ahead_s_max - uncertainty_s {
            self.grave(
                figure,
                "Let the device's program stamp by the LSL clock (local_clock): stamps ahead of ours by more than gate.clock_slack_s are no evidence",
            )
        } else {
            self.fine(figure)
        })
    }

    fn stamps(&self) -> Vec<Finding> {
        let heard = &self.one.heard;
        let mut found = Vec::new();
        if heard.not_finite() + heard.backwards() > 0 {
            found.push(self.so_so(
                format!(
                    "{} stamps are no numbers, {} go back in time",
                    heard.not_finite(),
                    heard.backwards()
                ),
                "Look for a newer version of the device's LSL program: such samples are left out",
            ));
        }
        if let Some(words) = heard.shared().in_words(&self.one.spec.name) {
            let (figure, advice) = words.split_once(". ").unwrap_or((&words, ""));
            found.push(self.so_so(figure, advice));
        }
        found
    }
}

/// Streams that say the same of themselves.
fn twins(seen: &[Surveyed]) -> Vec<Finding> {
    let identity = |one: &Surveyed| {
        let spec = &one.spec;
        let key = [&spec.name, &spec.kind, &spec.source_id, &spec.hostname];
        key.map(String::clone)
    };
    let mut all: Vec<[String; 4]> = seen.iter().map(identity).collect();
    all.sort();
    let mut found: Vec<Finding> = Vec::new();
    for same in all.chunk_by(|a, b| a == b).filter(|same| same.len() > 1) {
        let Some([name, ..]) = same.first() else {
            continue;
        };
        found.push(Finding::warning(
            Area::Streams,
            format!("{name:?}"),
            format!(
                "{} streams of this name, type, source_id and host",
                same.len()
            ),
            "Stop all but one: a session refuses to choose between them",
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::engine::lines::profile_of_keys;
    use crate::source::Heard;

    fn seen(measured_hz: Option<f64>) -> Surveyed {
        let mut heard = Heard::default();
        if let Some(hz) = measured_hz {
            let stamps: Vec<f64> = (0..1_000).map(|k| f64::from(k) / hz).collect();
            heard.push(&stamps);
        }
        Surveyed {
            spec: StreamSpec {
                name: "Amp".into(),
                kind: "EEG".into(),
                source_id: "sn".into(),
                hostname: "lab".into(),
                uid: "u1".into(),
                rate_hz: 500.0,
                format: Format::Float32,
                labels: vec!["Fz".into(), "Cz".into()],
                units: Vec::new(),
                xml: String::new(),
            },
            channel_count: 2,
            refused: None,
            heard,
            age: None,
        }
    }

    fn facts(seen: Vec<Surveyed>, pinned: bool) -> Facts {
        let wanted = pinned.then(|| Pinned {
            section: "eeg",
            stream: Ok(seen[0].spec.clone()),
        });
        Facts {
            listened_s: 2.0,
            age_s_max: 1.0,
            ahead_s_max: 0.05,
            seen,
            pinned: wanted.into_iter().collect(),
            together: None,
        }
    }

    fn worst(facts: &Facts) -> Level {
        let found = judge(facts, !facts.pinned.is_empty());
        found.iter().map(|finding| finding.level).max().unwrap()
    }

    #[test]
    fn a_rate_that_a_session_would_refuse_fails_where_the_session_wants_the_stream() {
        for (hz, wanted, other) in [
            (500.0, Level::Ok, Level::Ok),
            (501.5, Level::Ok, Level::Ok),
            (504.0, Level::Warning, Level::Warning),
            (496.0, Level::Warning, Level::Warning),
            (520.0, Level::Failure, Level::Warning),
            (250.0, Level::Failure, Level::Warning),
        ] {
            assert_eq!(worst(&facts(vec![seen(Some(hz))], true)), wanted, "{hz}");
            assert_eq!(worst(&facts(vec![seen(Some(hz))], false)), other, "{hz}");
        }
    }

    #[test]
    fn a_gap_that_makes_the_rate_too_coarse_to_judge_is_warned_of() {
        // A quarter of two seconds is lost at once: the rate is off by as much as it is coarse.
        let kept = (0..1_000).filter(|k| !(300..550).contains(k));
        let stamps: Vec<f64> = kept.map(|k| f64::from(k) / 500.0).collect();
        let mut one = seen(None);
        one.heard.push(&stamps);
        let found = judge(&facts(vec![one], true), true);
        let warned = found.iter().find(|one| one.level == Level::Warning);
        let advice = warned.and_then(|one| one.advice.clone());
        assert!(advice.unwrap_or_default().contains("missing"), "{found:?}");
        // A slow stream has few steps, each a good part of the time listened.
        let mut slow = seen(None);
        slow.spec.rate_hz = 4.0;
        slow.heard
            .push(&(0..9).map(|k| f64::from(k) / 4.0).collect::<Vec<_>>());
        assert_eq!(worst(&facts(vec![slow.clone()], true)), Level::Ok);
        slow.heard.push(&[4.0]);
        assert_eq!(worst(&facts(vec![slow], true)), Level::Warning);
    }

    #[test]
    fn a_stream_that_sends_nothing_or_may_not_be_opened_fails_where_it_is_wanted() {
        let silent = seen(None);
        let refused = Surveyed {
            refused: Some("too large".into()),
            ..seen(Some(500.0))
        };
        for one in [silent, refused] {
            assert_eq!(worst(&facts(vec![one.clone()], true)), Level::Failure);
            assert_eq!(worst(&facts(vec![one], false)), Level::Warning);
        }
        let mut text = seen(None);
        (text.spec.format, text.spec.rate_hz) = (Format::String, 0.0);
        assert_eq!(worst(&facts(vec![text], true)), Level::Ok);
    }

    #[test]
    fn a_stream_that_declares_no_rate_is_recorded_at_the_one_it_has() {
        let mut one = seen(Some(120.0));
        one.spec.rate_hz = 0.0;
        let recorded = facts(vec![one], true).recorded();
        assert!((recorded[0].rate_hz - 120.0).abs() < 1e-6);
        let recorded = facts(vec![seen(Some(499.0))], true).recorded();
        assert_eq!(recorded[0].rate_hz, 500.0);
    }

    const TRACKER: &str = "[gaze]\nunits = \"normalised\"\nx = \"x\"\ny = \"y\"\npins = { name = \"Amp\" }\n\
                           [screen]\nwidth_cm = 53.0\nheight_cm = 30.0\ndistance_cm = 65.0\n";

    /// A tracker that declares no rate, heard at one for two seconds, and the experiment that wants it.
    fn tracker(hz: Option<f64>) -> (Plan, Surveyed) {
        let plan = Plan::parse(TRACKER, Path::new("experiment.toml")).unwrap();
        let mut one = seen(None);
        (one.spec.kind, one.spec.rate_hz) = ("Gaze".into(), 0.0);
        one.spec.labels = ["x", "y", "confidence"].map(str::to_owned).to_vec();
        if let Some(hz) = hz {
            let stamps: Vec<f64> = (0..(2.0 * hz) as u32).map(|k| f64::from(k) / hz).collect();
            one.heard.push(&stamps);
        }
        (plan, one)
    }

    #[test]
    fn a_tracker_that_declares_no_rate_is_held_to_the_one_that_a_session_would_measure() {
        for (hz, fits) in [
            (Some(120.0), true),
            (Some(30.0), true),
            (Some(12.0), false),
            (Some(5_000.0), false),
            (None, false),
        ] {
            let (plan, one) = tracker(hz);
            let pinned = [Pinned {
                section: "gaze",
                stream: Ok(one.spec.clone()),
            }];
            let found = together(&plan, &pinned, std::slice::from_ref(&one), 2.0).unwrap();
            assert_eq!(found.is_ok(), fits, "{hz:?}: {found:?}");
            if let Err(why) = found {
                assert!(why.contains("gaze.rate_hz"), "{why}");
            }
        }
        // The profile is looked at with that rate; without one it fits no line.
        let (plan, one) = tracker(Some(120.0));
        let (profile, gaze) = (profile_of_keys(), Some(&one.spec));
        assert!(check_profile(&plan, &profile, None, gaze).is_err());
        let known = with_heard_rate(&plan, gaze, std::slice::from_ref(&one), 2.0).unwrap();
        assert_eq!(known.gaze.as_ref().unwrap().rate_hz, 120.0);
        check_profile(&known, &profile, None, gaze).unwrap();
    }

    #[test]
    fn a_rate_that_the_experiment_file_gives_is_not_measured() {
        let (mut plan, one) = tracker(None);
        plan.gaze.as_mut().unwrap().rate_hz = 60.0;
        let same =
            with_heard_rate(&plan, Some(&one.spec), std::slice::from_ref(&one), 2.0).unwrap();
        assert_eq!(same, plan);
    }

    #[test]
    fn samples_that_are_too_old_or_ahead_of_our_clock_fail_where_they_are_wanted() {
        for (least_s, uncertainty_s, level) in [
            (0.012, 0.001, Level::Ok),
            (0.99, 0.001, Level::Ok),
            (1.5, 0.001, Level::Failure),
            (1.5, 0.6, Level::Ok),
            (-0.04, 0.001, Level::Ok),
            (-0.2, 0.001, Level::Failure),
        ] {
            let mut one = seen(Some(500.0));
            one.age = Some(Age {
                least_s,
                uncertainty_s,
            });
            assert_eq!(worst(&facts(vec![one], true)), level, "{least_s}");
        }
    }

    #[test]
    fn odd_stamps_blocks_and_twins_are_warned_of() {
        let mut odd = seen(Some(500.0));
        odd.heard.push(&[f64::NAN]);
        assert_eq!(worst(&facts(vec![odd], true)), Level::Warning);
        let mut blocks = seen(None);
        let stamps: Vec<f64> = (0..1_000).map(|k| f64::from(k / 10) * 0.02).collect();
        blocks.heard.push(&stamps);
        let found = judge(&facts(vec![blocks], true), true);
        assert!(found.iter().any(|f| f.figure.contains("share one stamp")));
        let twin = || seen(Some(500.0));
        let found = judge(&facts(vec![twin(), twin()], false), false);
        assert!(
            found
                .iter()
                .any(|f| f.figure.starts_with("2 streams of this name"))
        );
    }

    #[test]
    fn pins_that_nothing_fits_fail_and_no_stream_at_all_is_minded_only_where_one_is_needed() {
        let mut lacking = facts(vec![seen(Some(500.0))], true);
        lacking.pinned[0].stream = Err("no stream fits".into());
        assert_eq!(worst(&lacking), Level::Failure);
        let mut apart = facts(vec![seen(Some(500.0))], true);
        apart.together = Some(Err("another montage".into()));
        assert_eq!(worst(&apart), Level::Failure);
        let nothing = facts(Vec::new(), false);
        assert_eq!(judge(&nothing, false)[0].level, Level::Warning);
        assert_eq!(judge(&nothing, true)[0].level, Level::Ok);
    }
}
