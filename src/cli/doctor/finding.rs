//! What was found, how grave it is, and what to do about it.

use serde::Serialize;

use crate::cli::exit::Exit;
use crate::cli::paste::escaped;

/// What a finding is about, in the order in which they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    /// The experiment file itself.
    Experiment,
    /// Processor and memory.
    Machine,
    /// What the system lets this user do.
    Permissions,
    /// Where the participant window would be.
    Display,
    /// Sound.
    Sound,
    /// Where sessions are kept.
    Disk,
    /// Clocks.
    Clock,
    /// The Lab Streaming Layer.
    Lsl,
    /// The streams that answered, and those that the experiment names.
    Streams,
    /// The language model.
    Model,
}

impl Area {
    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Experiment => "experiment",
            Self::Machine => "machine",
            Self::Permissions => "permissions",
            Self::Display => "display",
            Self::Sound => "sound",
            Self::Disk => "disk",
            Self::Clock => "clock",
            Self::Lsl => "LSL",
            Self::Streams => "streams",
            Self::Model => "model",
        }
    }

    /// How the program ends where this area fails: as a session would that is refused for it.
    #[must_use]
    pub const fn exit(self) -> Exit {
        match self {
            Self::Lsl | Self::Streams => Exit::Source,
            Self::Model => Exit::Model,
            _ => Exit::Usage,
        }
    }
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// A session runs; something about it is worse than it could be, or not known.
    Warning,
    /// A session would be refused, lose data, or let others read it.
    Failure,
}

impl Level {
    const fn words(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "FAILURE",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub area: Area,
    /// What was looked at.
    pub what: String,
    /// How grave it is.
    pub level: Level,
    /// What was found: the figure, with its unit.
    pub figure: String,
    /// What to do, in one sentence; nothing where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(area: Area, what: impl Into<String>, figure: impl Into<String>) -> Self {
        Self {
            area,
            what: what.into(),
            level: Level::Ok,
            figure: figure.into(),
            advice: None,
        }
    }

    /// It could be better.
    pub fn warning(
        area: Area,
        what: impl Into<String>,
        figure: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Warning,
            advice: Some(advice.into()),
            ..Self::ok(area, what, figure)
        }
    }

    /// It does not do.
    pub fn failure(
        area: Area,
        what: impl Into<String>,
        figure: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Failure,
            ..Self::warning(area, what, figure, advice)
        }
    }
}

/// All findings, in order.
#[derive(Debug, Serialize)]
pub struct Findings {
    /// Version of this form.
    format: u32,
    /// Version of the program.
    razvilka: &'static str,
    findings: Vec<Finding>,
    warnings: usize,
    failures: usize,
}

impl Findings {
    /// Puts findings in order.
    #[must_use]
    pub fn new(mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| finding.area);
        let of = |level| findings.iter().filter(|f| f.level == level).count();
        Self {
            format: 1,
            razvilka: env!("CARGO_PKG_VERSION"),
            warnings: of(Level::Warning),
            failures: of(Level::Failure),
            findings,
        }
    }

    /// How the program ends, and in which areas something failed; `None` when nothing did. Of several exit codes the smallest: what was typed
    /// or written comes before streams, streams before the model.
    #[must_use]
    pub fn failed(&self) -> Option<(Exit, String)> {
        let mut areas: Vec<Area> = self
            .findings
            .iter()
            .filter(|finding| finding.level == Level::Failure)
            .map(|finding| finding.area)
            .collect();
        areas.dedup();
        let exit = areas
            .iter()
            .map(|area| area.exit())
            .min_by_key(|exit| exit.code())?;
        let words: Vec<&str> = areas.iter().map(|area| area.words()).collect();
        Some((
            exit,
            format!(
                "{} of {} checks failed: {}. What to do stands beside each",
                self.failures,
                self.findings.len(),
                words.join(", ")
            ),
        ))
    }

    /// For people: an area, its findings, and below each what to do.
    #[must_use]
    pub fn in_words(&self) -> String {
        let width = self
            .findings
            .iter()
            .map(|finding| finding.what.chars().count())
            .max()
            .unwrap_or(0);
        let mut text = String::new();
        let mut area = None;
        for finding in &self.findings {
            if area != Some(finding.area) {
                area = Some(finding.area);
                text.push_str(&format!("{}\n", finding.area.words()));
            }
            text.push_str(&format!(
                "  {:<9}{:<width$}  {}\n",
                finding.level.words(),
                finding.what,
                escaped(&finding.figure)
            ));
            if let Some(advice) = &finding.advice {
                text.push_str(&format!("           -> {}\n", escaped(advice)));
            }
        }
        text.push_str(&format!(
            "\n{} checks: {} ok, {}, {}\n",
            self.findings.len(),
            self.findings.len() - self.warnings - self.failures,
            counted(self.warnings, "warning"),
            counted(self.failures, "failure"),
        ));
        text
    }
}

fn counted(number: usize, word: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {word}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(area: Area) -> Finding {
        Finding::failure(area, "this", "is wrong", "Do that")
    }

    #[test]
    fn the_exit_code_is_that_of_what_a_session_would_be_refused_for_first() {
        let exit = |areas: &[Area]| {
            let findings = areas.iter().map(|area| failing(*area)).collect();
            Findings::new(findings).failed().map(|(exit, _)| exit)
        };
        assert_eq!(exit(&[]), None);
        assert_eq!(exit(&[Area::Model]), Some(Exit::Model));
        assert_eq!(exit(&[Area::Model, Area::Streams]), Some(Exit::Source));
        assert_eq!(exit(&[Area::Lsl, Area::Disk]), Some(Exit::Usage));
        let warned = Finding::warning(Area::Disk, "this", "is so so", "Mind it");
        assert_eq!(Findings::new(vec![warned]).failed(), None);
    }

    #[test]
    fn findings_are_told_by_area_with_what_to_do_and_counted() {
        let findings = Findings::new(vec![
            failing(Area::Model),
            Finding::ok(Area::Machine, "cores", "2"),
            failing(Area::Streams),
            Finding::warning(Area::Machine, "load", "9\u{1b}", "Wait"),
        ]);
        let text = findings.in_words();
        let at = |words: &str| {
            text.find(words)
                .unwrap_or_else(|| panic!("{words}: {text}"))
        };
        assert!(at("machine\n") < at("streams\n") && at("streams\n") < at("model\n"));
        assert!(text.contains("-> Wait\n") && !text.contains('\u{1b}'));
        assert!(
            text.ends_with("4 checks: 1 ok, 1 warning, 2 failures\n"),
            "{text}"
        );
        let (_, said) = findings.failed().unwrap();
        assert!(said.starts_with("2 of 4 checks failed: streams, model."));
        let json = serde_json::to_value(&findings).unwrap();
        assert_eq!(json["failures"], 2);
        assert_eq!(json["findings"][0]["area"], "machine");
        assert_eq!(json["findings"][0]["level"], "ok");
        assert!(json["findings"][0].get("advice").is_none());
    }
}
