//! What a certification of a display found, as JSON and as a table.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::intervals::Intervals;
use super::photodiode::{Compared, Shown};
use crate::session::Machine;
use crate::view::surface::{StampQuality, Stamps};

/// Share of refreshes that may be missed, and of alternations without an edge of the photodiode.
const MISSED_MAX: f64 = 0.01;
/// Largest jitter of the stamps, in refreshes of the display: beyond it they do not tell which frame was seen.
const JITTER_MAX: f64 = 0.5;

/// A change of the patch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Alternation {
    /// To what, and when.
    #[serde(flatten)]
    pub shown: Shown,
    /// What that stamp is worth.
    pub quality: StampQuality,
}

/// Everything a certification of a display found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisplayCertificate {
    /// Version of this program.
    pub razvilka_version: String,
    /// What it ran on.
    pub machine: Machine,
    /// The display, as the environment names it.
    pub display: String,
    /// Frames that each alternation lasts.
    pub frames_each: u32,
    /// Alternations that were wanted; fewer are in `alternations` when the window was closed.
    pub wanted: u32,
    /// Frames per second that flashes need.
    pub rate_min_hz: f64,
    /// Frames shown from the first alternation on.
    pub frames: u64,
    /// How far they were apart.
    pub intervals: Intervals,
    /// Refreshes that passed without their frame.
    pub missed: u64,
    /// Whether the display's own counter told them; else they follow from the intervals.
    pub missed_by_counter: bool,
    /// What all stamps were worth.
    pub stamps: Stamps,
    /// What flashed, against WCAG 2.3.1, in words.
    pub flashing: String,
    /// Whether WCAG 2.3.1 was met.
    pub flashing_is_safe: bool,
    /// The stamps against a photodiode; `None` without one.
    pub photodiode: Option<Compared>,
    /// What the display misses, one sentence each.
    pub budget_missed: Vec<String>,
    /// Why the stamps are no certified ones, though nothing may be missed.
    pub uncertified: Vec<String>,
    /// Every change of the patch.
    pub alternations: Vec<Alternation>,
}

impl DisplayCertificate {
    /// Whether nothing was missed.
    #[must_use]
    pub fn within_budget(&self) -> bool {
        self.budget_missed.is_empty()
    }

    pub(super) fn judge(&mut self) {
        let mut missed = Vec::new();
        let shown = self.alternations.len();
        if shown < self.wanted as usize {
            missed.push(format!(
                "{shown} of {} alternations were shown: the window was closed, or frames were lost",
                self.wanted
            ));
        }
        match self.intervals.rate_hz() {
            Some(rate_hz) if rate_hz >= self.rate_min_hz => {}
            Some(rate_hz) => missed.push(format!(
                "{rate_hz:.1} frames per second, where flashes need {} (view.frame_rate_min_hz): choose by gaze or a switch on this display",
                self.rate_min_hz
            )),
            None => missed.push("no frames were shown".into()),
        }
        let all = self.frames + self.missed;
        if self.missed as f64 > MISSED_MAX * all as f64 {
            missed.push(format!(
                "{} of {all} refreshes were missed, more than {:.0} %",
                self.missed,
                100.0 * MISSED_MAX
            ));
        }
        let mut uncertified = Vec::new();
        let own = self.own_stamps();
        if own < shown {
            uncertified.push(format!(
                "{} of {shown} stamps were taken after the swap: the display system did not tell when those frames were shown",
                shown - own
            ));
        }
        match &self.photodiode {
            None => uncertified.push(
                "no photodiode: what the panel adds from the stamp to the light is not known"
                    .into(),
            ),
            Some(compared) => {
                let lost = compared.stamps_unmatched + compared.edges_unmatched;
                if lost as f64 > MISSED_MAX * shown as f64 {
                    missed.push(format!(
                        "{} alternations were not seen by the photodiode, and it saw {} that have no stamp",
                        compared.stamps_unmatched, compared.edges_unmatched
                    ));
                }
                if compared.jitter_s > JITTER_MAX * self.intervals.p50_s {
                    missed.push(format!(
                        "stamps jitter by {:.1} ms against the light, more than half a frame",
                        1e3 * compared.jitter_s
                    ));
                }
            }
        }
        if cfg!(debug_assertions) {
            uncertified.push("this is not a release build".into());
        }
        self.budget_missed = missed;
        self.uncertified = uncertified;
    }

    /// The certificate for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let Machine {
            cpu, cores, kernel, ..
        } = &self.machine;
        writeln!(
            out,
            "razvilka {}, {cpu}, {cores} cores, linux {kernel}\ndisplay {}",
            self.razvilka_version, self.display
        )?;
        writeln!(out, "{}", self.flashing)?;
        let Intervals {
            n,
            p50_s,
            p99_s,
            max_s,
            deviation_s,
            ..
        } = &self.intervals;
        let ms = |s: &f64| format!("{:.2}", 1e3 * s);
        writeln!(
            out,
            "\n{} alternations of {} frames\nfrom frame to frame, ms: n {n}  p50 {}  p99 {}  max {}  deviation {}  ({} Hz)",
            self.alternations.len(),
            self.frames_each,
            ms(p50_s),
            p99_s.as_ref().map_or_else(|| "-".into(), ms),
            ms(max_s),
            ms(deviation_s),
            self.intervals
                .rate_hz()
                .map_or_else(|| "-".into(), |hz| format!("{hz:.1}")),
        )?;
        for line in self.intervals.lines() {
            writeln!(out, "  {line}")?;
        }
        let by = if self.missed_by_counter {
            "the display's own counter"
        } else {
            "their intervals"
        };
        writeln!(out, "missed refreshes: {}, by {by}", self.missed)?;
        writeln!(out, "stamps: {}", self.stamps.in_words())?;
        if let Some(compared) = &self.photodiode {
            let [least, most] = &compared.latency_range_s;
            writeln!(
                out,
                "photodiode ({} with white, a sample each {} ms): from stamp to light, ms: n {}  median {}  p99 {}  from {} to {}  jitter (SD) {}; {} alternations \
                 without an edge, {} edges without an alternation",
                if compared.inverted { "falls" } else { "rises" },
                ms(&compared.sample_s),
                compared.matched,
                ms(&compared.latency_s),
                compared
                    .latency_p99_s
                    .as_ref()
                    .map_or_else(|| "-".into(), ms),
                ms(least),
                ms(most),
                ms(&compared.jitter_s),
                compared.stamps_unmatched,
                compared.edges_unmatched
            )?;
        }
        writeln!(out)?;
        for reason in &self.uncertified {
            writeln!(out, "uncertified: {reason}")?;
        }
        for missed in &self.budget_missed {
            writeln!(out, "missed: {missed}")?;
        }
        if self.within_budget() {
            writeln!(out, "flashes can be shown on this display")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use razvilka_dsp::units::MonoTime;

    use super::super::photodiode::Trace;
    use super::super::{Alternated, certify_display};
    use super::*;
    use crate::view::flashing::{Flashing, SAFE_AREA_SR};
    use crate::view::surface::{Presented, What};

    /// A display of 50 Hz that shows 100 alternations of 5 frames.
    fn alternated(quality: StampQuality) -> Alternated {
        let frame = |number: u64| Presented {
            what: What::Scene(number),
            at: MonoTime::from_nanos(7_000_000_000 + 20_000_000 * number),
            quality,
        };
        Alternated {
            frames: (0..520).map(frame).collect(),
            frames_before: 10,
            frames_each: 5,
            wanted: 100,
            stamps: Stamps::default(),
        }
    }

    fn patch() -> Flashing {
        Flashing {
            area_sr: SAFE_AREA_SR,
            rate_hz: 10.0,
            contrast: 1.0,
            darker: 0.0,
        }
    }

    fn certified(alternated: &Alternated) -> DisplayCertificate {
        certify_display(":1".into(), alternated, 45.0, &patch())
    }

    #[test]
    fn a_display_that_shows_every_frame_passes_and_says_what_is_not_known() {
        let found = certified(&alternated(StampQuality::AfterSwap));
        assert!(found.within_budget(), "{:?}", found.budget_missed);
        assert_eq!((found.alternations.len(), found.missed), (100, 0));
        assert!((found.every_s() - 0.1).abs() < 1e-9);
        let first = found.alternations[0].shown;
        assert!((first.at_s - 7.2).abs() < 1e-9 && first.white);
        let said = found.uncertified.join("\n");
        assert!(said.contains("after the swap") && said.contains("no photodiode"));
        let own = certified(&alternated(StampQuality::PresentFlip));
        assert!(!own.uncertified.join("\n").contains("after the swap"));
        let json = serde_json::to_string(&own).unwrap();
        let read: DisplayCertificate = serde_json::from_str(&json).unwrap();
        assert_eq!(read, own);
        for part in [
            "50.0 Hz",
            "missed refreshes: 0",
            "within WCAG 2.3.1",
            "100 alternations",
        ] {
            assert!(own.table().contains(part), "{part}: {}", own.table());
        }
    }

    #[test]
    fn a_slow_display_missed_refreshes_and_a_closed_window_are_misses() {
        let mut slow = alternated(StampQuality::AfterSwap);
        for frame in &mut slow.frames {
            frame.at = MonoTime::from_nanos(3 * frame.at.as_nanos());
        }
        assert!(certified(&slow).budget_missed[0].contains("16.7 frames"));
        let mut missing = alternated(StampQuality::AfterSwap);
        missing.stamps.missed = Some(6);
        assert!(certified(&missing).budget_missed[0].contains("6 of 516 refreshes"));
        missing.stamps.missed = Some(5);
        assert!(certified(&missing).within_budget());
        let mut closed = alternated(StampQuality::AfterSwap);
        closed.frames.truncate(300);
        assert!(certified(&closed).budget_missed[0].contains("58 of 100"));
        let nothing = certified(&Alternated::default());
        assert!(nothing.budget_missed.join("\n").contains("no frames"));
    }

    #[test]
    fn a_photodiode_tells_what_the_panel_adds_and_stamps_that_jitter_are_a_miss() {
        let shown = alternated(StampQuality::PresentFlip);
        let diode = |late: &dyn Fn(usize) -> f64| {
            let at_s: Vec<f64> = (0..13_000).map(|n| 7.0 + 0.001 * f64::from(n)).collect();
            let light = |at: &f64| {
                let changes = (0..100).take_while(|n| 7.2 + 0.1 * *n as f64 + late(*n) <= *at);
                f64::from(changes.count() as u32 % 2)
            };
            Trace {
                values: at_s.iter().map(light).collect(),
                at_s,
            }
        };
        let steady = certified(&shown).beside(&diode(&|_| 0.0085)).unwrap();
        let compared = steady.photodiode.clone().unwrap();
        assert_eq!((compared.matched, compared.stamps_unmatched), (100, 0));
        assert!((compared.latency_s - 0.0085).abs() < 0.001, "{compared:?}");
        assert!(steady.within_budget(), "{:?}", steady.budget_missed);
        assert!(!steady.uncertified.join("\n").contains("photodiode"));
        // Every other alternation comes two frames late.
        let wild = certified(&shown).beside(&diode(&|n| if n % 2 == 0 { 0.0 } else { 0.04 }));
        assert!(wild.unwrap().budget_missed[0].contains("jitter"));
    }
}
