//! What the ledger's rows and the gaze thread's orders are made from; the same live and in replay.

use razvilka_dsp::gaze_evidence::Tile;
use razvilka_dsp::units::LslTime;

use crate::choice::{Step, Why};
use crate::decode::Backend;
use crate::engine::question::{Question, priors};
use crate::fork::{ForkId, MAX_OPTIONS};
use crate::gate::{Gate, GateSettings, Lease, Posterior};
use crate::marker::{OptionKind, OptionTile};
use crate::pipeline::gaze::Tiles;
use crate::session::{OptionRow, sha256_hex};

/// The prior as the gate will cap it.
#[must_use]
pub fn capped_prior(settings: GateSettings, question: &Question) -> Option<Posterior> {
    let mut gate = Gate::new(settings);
    gate.open(
        question.id,
        &question.kinds,
        &question.priors,
        question.opened_at,
        Lease { epoch: 0 },
    )
    .ok()?;
    Some(gate.arms().prior)
}

/// The rows of a question's options.
#[must_use]
pub fn option_rows(question: &Question) -> Vec<OptionRow> {
    let mut branches = question.fork.branches.iter();
    let mut attention = question.preference.iter().flatten();
    question
        .tiles
        .iter()
        .zip(priors(&question.fork, &question.kinds))
        .map(|(tile, prior)| {
            let (branch, attention) = if tile.kind == OptionKind::Branch {
                (branches.next(), attention.next())
            } else {
                (None, None)
            };
            OptionRow {
                fork: question.id,
                tile: tile.clone(),
                tokens: branch
                    .map(|branch| branch.tokens.clone())
                    .unwrap_or_default(),
                prior,
                log_prob_nats: branch.map_or(f64::NAN, |branch| branch.log_prob_nats),
                attention: attention.copied().map(f64::from),
            }
        })
        .collect()
}

/// The tiles as the gaze thread needs them: looks count from the moment when the tiles appear, and what is reading among them is
/// told by the words there are to read.
#[must_use]
pub fn tiles_of(
    fork: ForkId,
    shown: &[OptionTile],
    lease: Lease,
    appears: LslTime,
    offset_s: f64,
) -> Tiles {
    let empty = Tile {
        x_deg: 0.0,
        y_deg: 0.0,
        w_deg: 1.0,
        h_deg: 1.0,
        words: 0,
    };
    let mut tiles = [empty; MAX_OPTIONS];
    for (to, tile) in tiles.iter_mut().zip(shown) {
        *to = Tile {
            x_deg: tile.x_deg,
            y_deg: tile.y_deg,
            w_deg: tile.w_deg,
            h_deg: tile.h_deg,
            words: tile.text.split_whitespace().count() as u32,
        };
    }
    Tiles {
        fork,
        lease,
        tiles,
        count: shown.len().min(MAX_OPTIONS),
        from_s: appears.get() - offset_s,
        offset_s,
        shift_deg: (0.0, 0.0),
    }
}

/// Why a step is taken.
#[must_use]
pub fn why_of(step: &Step) -> Why {
    match *step {
        Step::TakeBranch { why, .. }
        | Step::ModelChooses { why }
        | Step::OfferOther { why }
        | Step::TakeBack { why }
        | Step::AskAgain { why } => why,
    }
}

/// One digest for a model: SHA-256 over the names and digests of its files, hexadecimal; over what a server says of itself for
/// a model behind one.
#[must_use]
pub fn model_digest(model: &Backend) -> String {
    sha256_hex(model.identity().concat().as_bytes())
}
