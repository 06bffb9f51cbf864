//! One answer: read the prompt, write token by token, note how long each took.

use std::io::Write;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::output::{Ended, Out};
use crate::decode::{Finish, Generator};

/// An answer and its figures.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    /// What was written; the prompt is no part of it.
    pub(super) text: String,
    /// Its tokens. Those of a stop text at its end are among them.
    pub(super) tokens: Vec<u32>,
    /// Why it is over.
    pub(super) finish: Finish,
    pub(super) prompt: Prompt,
    pub(super) generation: Generation,
}

/// How the prompt was read.
#[derive(Debug, Serialize)]
pub(super) struct Prompt {
    pub(super) tokens: usize,
    /// Of these, held from the turn before.
    pub(super) reused_tokens: usize,
    pub(super) seconds: f64,
    /// Of those that were computed.
    pub(super) tokens_per_s: f64,
}

/// How the answer was written.
#[derive(Debug, Serialize)]
pub(super) struct Generation {
    pub(super) tokens: usize,
    /// From the prompt's being read to the end.
    pub(super) seconds: f64,
    /// From the prompt's being there to the first token; `None` when there was none.
    pub(super) first_token_s: Option<f64>,
    /// Of the tokens behind the first, which each take one step of the model.
    pub(super) tokens_per_s: Option<f64>,
    pub(super) token_ms_p50: Option<f64>,
    /// From 100 such tokens on.
    pub(super) token_ms_p99: Option<f64>,
}

/// Writes one answer to a prompt, behind `begins` where the text goes on from there, and tells about it.
pub(super) fn answer<W: Write, T: Write>(
    generator: &mut Generator,
    (prompt, begins): (&[u32], &str),
    out: &mut Out<'_, W, T>,
) -> Result<Answer, Ended> {
    let begun = Instant::now();
    let read = generator.prompt(prompt)?;
    let read_s = begun.elapsed().as_secs_f64();
    out.piece_of_prompt(begins)?;
    let (mut text, mut tokens, mut first_token_s) = (String::new(), Vec::new(), None);
    let mut steps = Steps::new()?;
    let finish = loop {
        let step = Instant::now();
        let written = generator.advance()?;
        if let Some(token) = written.token {
            tokens.push(token);
            match first_token_s {
                None => first_token_s = Some(begun.elapsed().as_secs_f64()),
                Some(_) => steps.note(step.elapsed()),
            }
        }
        text.push_str(&written.text);
        out.piece(&written.text)?;
        if let Some(finish) = written.finish {
            break finish;
        }
    };
    let computed = read.tokens - read.reused_tokens;
    let answer = Answer {
        text,
        finish,
        prompt: Prompt {
            tokens: read.tokens,
            reused_tokens: read.reused_tokens,
            seconds: read_s,
            tokens_per_s: computed as f64 / read_s.max(1e-9),
        },
        generation: Generation {
            tokens: tokens.len(),
            seconds: begun.elapsed().as_secs_f64() - read_s,
            first_token_s,
            tokens_per_s: steps.per_s(),
            token_ms_p50: steps.ms(0.5, 1),
            token_ms_p99: steps.ms(0.99, 100),
        },
        tokens,
    };
    out.end(&answer, generator.context_tokens())?;
    Ok(answer)
}

/// How long tokens took.
struct Steps {
    ns: Histogram<u64>,
    seconds: f64,
}

impl Steps {
    fn new() -> Result<Self, Ended> {
        /// An hour.
        const LONGEST_NS: u64 = 3_600_000_000_000;
        Ok(Self {
            ns: Histogram::new_with_bounds(1, LONGEST_NS, 3).map_err(Ended::internal)?,
            seconds: 0.0,
        })
    }

    fn note(&mut self, took: Duration) {
        self.seconds += took.as_secs_f64();
        self.ns.saturating_record(took.as_nanos() as u64);
    }

    fn per_s(&self) -> Option<f64> {
        (!self.ns.is_empty()).then(|| self.ns.len() as f64 / self.seconds.max(1e-9))
    }

    /// A quantile in milliseconds, if there are enough tokens for it.
    fn ms(&self, quantile: f64, least: u64) -> Option<f64> {
        (self.ns.len() >= least).then(|| self.ns.value_at_quantile(quantile) as f64 / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_times_noted_and_need_enough_of_them() {
        let mut steps = Steps::new().unwrap();
        assert_eq!((steps.per_s(), steps.ms(0.5, 1)), (None, None));
        for ms in 1..=99 {
            steps.note(Duration::from_millis(ms));
        }
        assert_eq!(steps.ms(0.99, 100), None);
        steps.note(Duration::from_millis(100));
        let near = |found: Option<f64>, expected: f64| {
            (found.unwrap() / expected - 1.0).abs() < 1e-3 // three digits are kept
        };
        assert!(near(steps.ms(0.5, 1), 50.0), "{:?}", steps.ms(0.5, 1));
        assert!(near(steps.ms(0.99, 100), 99.0), "{:?}", steps.ms(0.99, 100));
        assert!(near(steps.per_s(), 100.0 / 5.05), "{:?}", steps.per_s());
    }
}
