//! The hand-made fork cases of fixtures/forks: read, and checked for being what their README says.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

/// A place in a text, continuations, and which of them mean the same.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// Language and number: `en01`.
    pub(crate) id: String,
    /// What makes it hard.
    pub(crate) kind: String,
    /// The text before the fork.
    pub(crate) before: String,
    /// Continuations, each to be read after one space.
    pub(crate) options: Vec<String>,
    /// The meaning of each option, numbered in the order of their first appearance.
    pub(crate) meanings: Vec<usize>,
}

/// Reads the cases of one language, one JSON object a line.
///
/// # Errors
/// A sentence naming file and line: it does not parse, or a case is not well formed.
pub(crate) fn read(path: &Path) -> Result<Vec<Case>, String> {
    let at = |line: usize, what: &str| format!("{}, line {}: {what}", path.display(), line + 1);
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let case: Case = serde_json::from_str(line).map_err(|e| at(number, &e.to_string()))?;
        case.check().map_err(|what| at(number, &what))?;
        if cases.iter().any(|other| other.id == case.id) {
            return Err(at(number, &format!("{} stands there twice", case.id)));
        }
        cases.push(case);
    }
    Ok(cases)
}

impl Case {
    /// Pairs of options, and whether they mean the same.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (usize, usize, bool)> + '_ {
        let all = 0..self.options.len();
        let pairs = all.flat_map(|a| (a + 1..self.options.len()).map(move |b| (a, b)));
        pairs.map(|(a, b)| (a, b, self.meanings[a] == self.meanings[b])) // as many meanings as options: `check`
    }

    fn check(&self) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{}: {what}", self.id));
        if !(2..=4).contains(&self.options.len()) {
            return wrong("a case has two to four options");
        }
        if self.meanings.len() != self.options.len() {
            return wrong("every option has one meaning");
        }
        // Each meaning that is new has the next number.
        let mut next = 0;
        for meaning in &self.meanings {
            if *meaning > next {
                return wrong("meanings are numbered 0, 1, ... in the order of their first option");
            }
            next = next.max(meaning + 1);
        }
        if next < 2 {
            return wrong("without two meanings it is no fork");
        }
        if self.options.iter().collect::<BTreeSet<_>>().len() < self.options.len() {
            return wrong("two options read the same");
        }
        let texts = self.options.iter().chain([&self.before, &self.kind]);
        for text in texts {
            let sound = text.trim() == text
                && !text.contains("  ")
                && text.chars().any(char::is_alphabetic);
            if !sound {
                return wrong(&format!("{text:?} is empty, or has spaces too many"));
            }
        }
        Ok(())
    }
}
