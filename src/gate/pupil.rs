//! The numbers of the pupil's trust: small, as it lags and can only ever support.

use super::limit::Limit;

/// Reliability, clip of one item, clip of all.
pub(super) const PUPIL: [Limit; 3] = [
    Limit {
        key: "gate.pupil.reliability",
        unit: "",
        min: 0.0,
        max: 1.0,
        default: 1.0,
        about: "exponent of the likelihood of the pupil after an option was read; fitted in calibration",
    },
    Limit {
        key: "gate.pupil.item_clip_nats",
        unit: "nats",
        min: 0.1,
        max: 2.0,
        default: 0.7,
        about: "most that the pupil after one option may separate it from the others by",
    },
    Limit {
        key: "gate.pupil.total_clip_nats",
        unit: "nats",
        min: 0.1,
        max: 2.0,
        // Below human_lead_nats_min: alone it leads by too little for a commit, whatever else counts.
        default: 0.9,
        about: "most that the pupil as a whole may separate two options by",
    },
];
