//! Faults of an amplifier, as they act on its samples.

use super::settings::Fault;

/// Where a channel sits that is driven to the end of its range: 24 bits at gain 24 and 4.5 V, microvolts.
const RAIL_UV: f32 = 187_500.0;
pub(super) fn stuck_at(faults: &[Fault], label: &str) -> Option<f32> {
    faults.iter().find_map(|fault| match fault {
        Fault::Railed { channel } if channel == label => Some(RAIL_UV),
        Fault::Flat { channel } if channel == label => Some(0.0),
        _ => None,
    })
}

pub(super) fn nan_spans(faults: &[Fault], label: &str) -> Vec<(f64, f64)> {
    faults
        .iter()
        .filter_map(|fault| match fault {
            Fault::Nan {
                channel,
                at_s,
                for_s,
            } if channel == label => Some((*at_s, at_s + for_s)),
            _ => None,
        })
        .collect()
}

pub(super) fn gaps(faults: &[Fault]) -> Vec<(f64, f64)> {
    faults
        .iter()
        .filter_map(|fault| match fault {
            Fault::Gap { at_s, for_s } => Some((*at_s, at_s + for_s)),
            _ => None,
        })
        .collect()
}

pub(super) fn within(spans: &[(f64, f64)], t_s: f64) -> bool {
    spans.iter().any(|&(from, to)| (from..to).contains(&t_s))
}
