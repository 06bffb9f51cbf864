//! The page's table of constants of the fit: what no configuration sets, read from where the fit reads it.

use std::fmt::Write as _;

use super::markup::escape;
use crate::choice::{INNER_FOLDS, PRIOR_AUC_MIN, WEIGHT_PENALTY};
use crate::comparison::{COMPARED_FOLDS_MIN, LEVEL};
use crate::crossval::{FOLDS, MIN_PER_CLASS};
use crate::density::{CLIP_MAX_NATS, DOF_RANGE, RULE_OF_THREE};
use crate::drift::{DRIFT_MEMORY_MIN, SHIFT_MAX, STRETCH_RANGE};
use crate::lda;
use crate::model::{ERP_CHANNELS_MAX, XDAWN_LDA_FILTERS};
use crate::prior::{COVARIANCE_FLASHES, DIFFERENCE_TARGETS};
use crate::profile::{DISTANCE_LEFT_MIN, MASKED_SHARE};
use crate::session::FIT_SWING_MAX;
use crate::tangent::{COMPONENTS, OTHER_PROTOTYPES, REGRESSION_C, TARGET_PROTOTYPES};

/// What a constant rests on.
enum From {
    /// Published, or what the field's programs take.
    Field(&'static str),
    /// Chosen or checked on the g.tec recordings of three people (BR41N.IO), whose figures it flatters.
    ThreePeople,
    /// Neither: decided.
    Decided,
}

impl From {
    const fn words(&self) -> &'static str {
        match self {
            Self::Field(source) => source,
            Self::ThreePeople => {
                "chosen or checked on the g.tec recordings of three people (BR41N.IO), whose own figures it flatters"
            }
            Self::Decided => "a decision of ours; no recording it was tuned on is known",
        }
    }
}

fn constants() -> Vec<(&'static str, String, From)> {
    vec![
        (
            "Folds aimed at, outer and inner",
            format!("{FOLDS} and {INNER_FOLDS}"),
            From::Field("usual"),
        ),
        (
            "Least flashes of a class",
            MIN_PER_CLASS.to_string(),
            From::Decided,
        ),
        (
            "Comparison: chance of leaving the fusion for nothing, least folds",
            format!("{LEVEL} in all, {COMPARED_FOLDS_MIN}"),
            From::Field("Nadeau & Bengio 2003, Bonferroni"),
        ),
        (
            "Ridge of the discriminant's solve, relative",
            format!("{:e}", lda::RIDGE),
            From::Decided,
        ),
        (
            "xDAWN + LDA, filters",
            XDAWN_LDA_FILTERS.to_string(),
            From::Field("usual"),
        ),
        (
            "Tangent stack: components, prototypes of targets and of non-targets",
            format!("{COMPONENTS}, {TARGET_PROTOTYPES} and {OTHER_PROTOTYPES}"),
            From::ThreePeople,
        ),
        (
            "ERP covariance, most channels",
            ERP_CHANNELS_MAX.to_string(),
            From::Decided,
        ),
        (
            "Regression in the tangent space, C",
            REGRESSION_C.to_string(),
            From::Field("pyRiemann's examples"),
        ),
        (
            "Fusion, penalty on its weights",
            WEIGHT_PENALTY.to_string(),
            From::ThreePeople,
        ),
        (
            "Densities, degrees of freedom",
            format!("{} to {}", DOF_RANGE.0, DOF_RANGE.1),
            From::Decided,
        ),
        (
            "Densities, bound of the evidence",
            format!("ln(n / {RULE_OF_THREE}), at most {CLIP_MAX_NATS} nats"),
            From::Field("rule of three"),
        ),
        (
            "Drift of the scores: flashes that the calibration counts for, furthest shift in scales, range of the stretch",
            format!(
                "{DRIFT_MEMORY_MIN}, {SHIFT_MAX}, {} to {}",
                STRETCH_RANGE.0, STRETCH_RANGE.1
            ),
            From::ThreePeople,
        ),
        (
            "Fitted on up to, in peak-to-peak limits",
            FIT_SWING_MAX.to_string(),
            From::Decided,
        ),
        (
            "Scorer goes on whole with fewer masked than",
            format!("1 in {MASKED_SHARE} of the channels used"),
            From::ThreePeople,
        ),
        (
            "and with at least this share of the squared distance of the classes",
            DISTANCE_LEFT_MIN.to_string(),
            From::Decided,
        ),
        (
            "Prior: least AUC by itself",
            PRIOR_AUC_MIN.to_string(),
            From::ThreePeople,
        ),
        (
            "Prior counts for: flashes in the covariance, targets in the difference",
            format!("{COVARIANCE_FLASHES}, {DIFFERENCE_TARGETS}"),
            From::ThreePeople,
        ),
    ]
}

/// The table.
pub(super) fn push_constants(page: &mut String) {
    page.push_str(
        "<table>\n<caption>Constants of the fit</caption>\n<thead><tr><th scope=\"col\">Constant</th>\
         <th scope=\"col\">Value</th><th scope=\"col\">Where from</th></tr></thead>\n<tbody>\n",
    );
    for (name, value, from) in constants() {
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"bands\">{}</td></tr>",
            escape(name),
            escape(&value),
            escape(from.words())
        );
    }
    page.push_str("</tbody>\n</table>\n");
}
