//! Rows compared: the first field that differs, in words.

use serde::{Deserialize, Serialize};

use crate::fork::ForkId;
use crate::session::{ChoiceRow, ForkRow, OptionRow};

/// The first place where the replay differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The fork, where it is about one.
    pub fork: Option<ForkId>,
    /// The input of its gate, where it is about one.
    pub step: Option<u64>,
    /// What differs.
    pub what: String,
    /// As recorded.
    pub expected: String,
    /// As made again.
    pub got: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(fork) = self.fork {
            write!(f, "fork {}, ", fork.0)?;
        }
        if let Some(step) = self.step {
            write!(f, "step {step}, ")?;
        }
        write!(
            f,
            "{}: recorded {}, replayed {}",
            self.what, self.expected, self.got
        )
    }
}

/// What differs, as recorded and as made again, in words.
pub(super) type Words = (String, String, String);

fn field<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, got: &T) -> Option<Words> {
    (expected != got).then(|| (what.to_owned(), format!("{expected:?}"), format!("{got:?}")))
}

pub(super) fn fork_difference(expected: &ForkRow, got: &ForkRow) -> Option<Words> {
    field("its number", &expected.fork, &got.fork)
        .or_else(|| field("its place", &expected.position_tokens, &got.position_tokens))
        .or_else(|| field("the text before it", &expected.context, &got.context))
        .or_else(|| field("its origin", &expected.origin, &got.origin))
        .or_else(|| {
            field(
                "tokens written",
                &expected.tokens_written,
                &got.tokens_written,
            )
        })
        .or_else(|| field("the attempt", &expected.attempt, &got.attempt))
        .or_else(|| field("whether to ask", &expected.decision, &got.decision))
        .or_else(|| field("the gate's settings", &expected.gate, &got.gate))
        .or_else(|| {
            field(
                "the capped prior",
                &expected.prior_capped,
                &got.prior_capped,
            )
        })
        .or_else(|| field("its row", expected, got))
}

pub(super) fn options_difference(expected: &[OptionRow], got: &[OptionRow]) -> Option<Words> {
    let count = field("the number of options", &expected.len(), &got.len());
    count.or_else(|| {
        expected.iter().zip(got).find_map(|(expected, got)| {
            let item = expected.tile.item;
            field(
                &format!("the tokens of option {item}"),
                &expected.tokens,
                &got.tokens,
            )
            .or_else(|| {
                field(
                    &format!("the tile of option {item}"),
                    &expected.tile,
                    &got.tile,
                )
            })
            .or_else(|| {
                field(
                    &format!("the prior of option {item}"),
                    &expected.prior,
                    &got.prior,
                )
            })
            .or_else(|| {
                // NaN, of control options, is equal to itself here.
                let (bits, again) = (expected.log_prob_nats, got.log_prob_nats);
                if bits.is_nan() && again.is_nan() {
                    return None;
                }
                field(
                    &format!("the log-probability of option {item}"),
                    &bits,
                    &again,
                )
            })
        })
    })
}

pub(super) fn choice_difference(expected: &ChoiceRow, got: &ChoiceRow) -> Option<Words> {
    field("the outcome", &expected.outcome, &got.outcome)
        .or_else(|| field("the item taken", &expected.item, &got.item))
        .or_else(|| field("who took it", &expected.chooser, &got.chooser))
        .or_else(|| field("why", &expected.why, &got.why))
        .or_else(|| field("the posterior", &expected.posterior, &got.posterior))
        .or_else(|| field("the four arms", &expected.arms, &got.arms))
        .or_else(|| field("the text written", &expected.text, &got.text))
        .or_else(|| field("its row", expected, got))
}
