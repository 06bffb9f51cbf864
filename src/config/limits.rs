//! One table for every number of the experiment file: unit, smallest, largest, default, meaning.
//!
//! The parser checks against these rows, `razvilka run --explain` prints them, and a test keeps the annotated example and
//! the rows the same. The rooms that own their numbers (gate, flashes, protocol) bring their own rows.

use crate::choice::FlashConfig;
use crate::choice::ProtocolConfig;
use crate::gate::{GateConfig, Limit};

const fn limit(
    key: &'static str,
    unit: &'static str,
    (min, max): (f64, f64),
    default: f64,
    about: &'static str,
) -> Limit {
    Limit {
        key,
        unit,
        min,
        max,
        default,
        about,
    }
}

/// The numbers of the sections that this room reads itself.
pub(super) const OWN: &[Limit] = &[
    limit(
        "session.seed",
        "",
        (0.0, 9_007_199_254_740_992.0),
        1.0,
        "seed of everything random in the session",
    ),
    limit(
        "session.forks",
        "",
        (1.0, 10_000.0),
        20.0,
        "the session ends after this many answered forks",
    ),
    limit(
        "session.minutes_max",
        "min",
        (0.5, 480.0),
        60.0,
        "the session ends after this long",
    ),
    limit(
        "network.resolve_s",
        "s",
        (0.5, 30.0),
        2.0,
        "how long streams are looked for",
    ),
    limit(
        "streams.lost_wait_s",
        "s",
        (0.0, 3_600.0),
        30.0,
        "how long a lost stream is looked for before the session ends; 0 ends it at once",
    ),
    limit(
        "gaze.confidence_min",
        "",
        (0.0, 1.0),
        0.5,
        "samples of less confidence count as lost",
    ),
    limit(
        "gaze.rate_hz",
        "Hz",
        (0.0, 2_000.0),
        0.0,
        "what the tracker's rate really is; 0: as the stream declares, or as measured at the start where it declares none",
    ),
    limit(
        "gaze.margin_deg",
        "deg",
        (0.0, 90.0),
        10.0,
        "gaze farther outside the picture than this counts as lost",
    ),
    limit(
        "screen.width_cm",
        "cm",
        (5.0, 500.0),
        53.0,
        "width of the picture",
    ),
    limit(
        "screen.height_cm",
        "cm",
        (5.0, 500.0),
        30.0,
        "height of the picture",
    ),
    limit(
        "screen.distance_cm",
        "cm",
        (10.0, 1_000.0),
        65.0,
        "from the eye to the screen",
    ),
    limit(
        "screen.width_px",
        "px",
        (1.0, 32_768.0),
        1_920.0,
        "width of the picture, for gaze in pixels",
    ),
    limit(
        "screen.height_px",
        "px",
        (1.0, 32_768.0),
        1_080.0,
        "height of the picture, for gaze in pixels",
    ),
    limit(
        "filter.low_hz",
        "Hz",
        (0.05, 30.0),
        0.5,
        "lower edge of the band-pass",
    ),
    limit(
        "filter.high_hz",
        "Hz",
        (1.0, 200.0),
        20.0,
        "upper edge of the band-pass",
    ),
    limit(
        "filter.order",
        "",
        (1.0, 12.0),
        2.0,
        "order of the Butterworth band-pass",
    ),
    limit(
        "filter.notch_hz",
        "Hz",
        (0.0, 400.0),
        0.0,
        "mains notch, from 20 Hz; 0 leaves it out",
    ),
    limit(
        "epoch.length_s",
        "s",
        (0.2, 2.0),
        0.8,
        "how much EEG after a flash is scored",
    ),
    limit(
        "quality.window_s",
        "s",
        (0.1, 60.0),
        2.0,
        "EEG that each second's verdict on a channel looks back on",
    ),
    limit(
        "quality.rail_uv",
        "uV",
        (1.0, 1e6),
        400_000.0,
        "a channel that reaches this for 1 % of a window is railed; rails below it are found by their shape",
    ),
    limit(
        "quality.flat_uv",
        "uV",
        (0.0, 1e6),
        0.5,
        "a channel that spans no more within a window is flat",
    ),
    limit(
        "quality.swing_uv",
        "uV",
        (0.0, 1e9),
        1_000.0,
        "a filtered value beyond this is a jump; from 1, or 0: not watched",
    ),
    limit(
        "quality.variance_z_max",
        "",
        (1.0, 1e3),
        6.0,
        "log-variance this far from the channels' median, in robust standard deviations, is a fault",
    ),
    limit(
        "quality.line_hz",
        "Hz",
        (0.0, 400.0),
        0.0,
        "mains that are watched, 50 or 60; 0: not watched",
    ),
    limit(
        "quality.line_ratio_max",
        "",
        (1e-3, 1e9),
        400.0,
        "power of the mains before the filters over the variance behind them",
    ),
    limit(
        "quality.correlation_min",
        "",
        (0.0, 1.0),
        0.15,
        "a channel that goes with no other by this much over 10 s is a fault; 0: not watched",
    ),
    limit(
        "quality.copy_min",
        "",
        (0.9, 1.0),
        0.9995,
        "a channel that goes with another by this much, and has no rest of its own, is its copy",
    ),
    limit(
        "quality.settle_s",
        "s",
        (0.0, 60.0),
        2.0,
        "a channel stays bad for this long after a jump or a value that is no number",
    ),
    limit(
        "quality.good_min",
        "",
        (0.0, 512.0),
        0.0,
        "channels that must be good for EEG to count; 0: half of them, at most 4",
    ),
    limit(
        "blink.cues",
        "",
        (10.0, 60.0),
        15.0,
        "how often a deliberate blink is asked for in a live calibration",
    ),
    limit(
        "blink.cue_every_s",
        "s",
        (4.0, 20.0),
        6.0,
        "from one time to the next; in between the person blinks as ever",
    ),
    limit(
        "blink.reach_s",
        "s",
        (0.1, 5.0),
        0.7,
        "how long before a deliberate blink the look at the option may have ended",
    ),
    limit(
        "pupil.cues",
        "",
        (15.0, 90.0),
        24.0,
        "how often the person is told what to want in a live calibration, for its pupil",
    ),
    limit(
        "pupil.tell_s",
        "s",
        (1.0, 10.0),
        2.0,
        "how long it has to take in what it shall want",
    ),
    limit(
        "pupil.options_s",
        "s",
        (3.0, 20.0),
        6.0,
        "how long the options then stand to be read",
    ),
    limit(
        "contraction.cues",
        "",
        (10.0, 60.0),
        15.0,
        "how often a contraction is asked for in a live calibration",
    ),
    limit(
        "contraction.cue_every_s",
        "s",
        (4.0, 20.0),
        6.0,
        "from one time to the next; in between the person rests, speaks and swallows as ever",
    ),
    limit(
        "calibration.blink_s",
        "s",
        (0.0, 60.0),
        12.0,
        "blinks on cue, from which they are taken out later, where a channel sees them; 0: none",
    ),
    limit(
        "calibration.blocks",
        "",
        (3.0, 40.0),
        8.0,
        "cued blocks of flashes",
    ),
    limit(
        "calibration.flashes_per_item",
        "",
        (2.0, 40.0),
        4.0,
        "flashes of each item in a block",
    ),
    limit(
        "calibration.points",
        "",
        (5.0, 13.0),
        9.0,
        "gaze points that are fitted: 5, 9 or 13",
    ),
    limit(
        "calibration.check_points",
        "",
        (0.0, 8.0),
        4.0,
        "gaze points that only judge the map",
    ),
    limit(
        "calibration.point_s",
        "s",
        (0.5, 5.0),
        1.2,
        "how long a gaze point stands",
    ),
    limit(
        "calibration.pursuit_deg_s",
        "deg/s",
        (3.0, 20.0),
        10.0,
        "mean speed of the moving target; its peak is 1.6 times that",
    ),
    limit(
        "model.pace_tokens_per_s",
        "1/s",
        (1.0, 10_000.0),
        30.0,
        "how fast text that needs no choice appears",
    ),
    limit(
        "writer.temperature",
        "",
        (0.0, 2.0),
        0.8,
        "sampling temperature of banal tokens; 0 is greedy",
    ),
    limit(
        "writer.top_k",
        "",
        (0.0, 1_000_000.0),
        0.0,
        "likeliest tokens that are drawn from; 0: any number",
    ),
    limit(
        "writer.min_p",
        "",
        (0.0, 1.0),
        0.0,
        "least probability of a token that is drawn, relative to the likeliest",
    ),
    limit(
        "writer.repeat_penalty",
        "",
        (1.0, 2.0),
        1.0,
        "makes tokens that were written lately less likely; 1: no",
    ),
    limit(
        "writer.repeat_last_tokens",
        "tokens",
        (0.0, 32_768.0),
        64.0,
        "how many tokens back is lately",
    ),
    limit(
        "writer.top_p",
        "",
        (0.05, 1.0),
        0.95,
        "mass of the likeliest tokens that are drawn from",
    ),
    limit(
        "writer.tokens_max",
        "tokens",
        (1.0, 1_000_000.0),
        400.0,
        "length of one text; then the next begins",
    ),
    limit(
        "writer.context_tokens_max",
        "tokens",
        (64.0, 32_768.0),
        2_048.0,
        "how far back the model looks",
    ),
    limit(
        "writer.second_mass_min",
        "",
        (0.01, 0.5),
        0.2,
        "cheap test: least probability of the second likeliest token",
    ),
    limit(
        "writer.top3_mass_min",
        "",
        (0.0, 1.0),
        0.8,
        "cheap test: least mass of the three likeliest tokens",
    ),
    limit(
        "decode.threads",
        "",
        (1.0, 64.0),
        1.0,
        "threads that decode; matrices in f32 are not shared out",
    ),
    limit(
        "decode.nice",
        "",
        (0.0, 19.0),
        5.0,
        "niceness of the decoding threads beyond the first",
    ),
    limit(
        "writer.embedder_same_min",
        "",
        (0.0, 1.0),
        0.97,
        "with model.embedder: cosine in the sentence from which branches mean the same",
    ),
    limit(
        "writer.embedder_different_max",
        "",
        (-1.0, 1.0),
        0.4,
        "with model.embedder: a wording that takes a cosine below this is none",
    ),
    limit(
        "writer.length_ratio_max",
        "",
        (1.0, 16.0),
        3.0,
        "longest branch relative to the shortest, which counts as 12 characters at least",
    ),
    limit(
        "writer.meaning_mass_min",
        "",
        (0.01, 0.5),
        0.15,
        "least mass of a meaning that is offered",
    ),
    limit(
        "writer.phrase_tokens_max",
        "tokens",
        (2.0, 48.0),
        16.0,
        "length of a phrase without a stop",
    ),
    limit(
        "writer.ready_tokens_max",
        "tokens",
        (0.0, 1_024.0),
        48.0,
        "decoded ahead on each branch while the person decides",
    ),
    limit(
        "writer.undo_depth",
        "",
        (1.0, 1_024.0),
        16.0,
        "choices that can be taken back",
    ),
    limit(
        "ask.reading_base_s",
        "s",
        (0.0, 10.0),
        0.3,
        "reading time before flashes begin, before the first word",
    ),
    limit(
        "ask.reading_s_per_word",
        "s",
        (0.0, 2.0),
        0.1,
        "reading time for each word on the branch tiles",
    ),
    limit(
        "state.baseline_s",
        "s",
        (30.0, 1_800.0),
        120.0,
        "good EEG of this sitting that makes the person's own baseline; a live calibration counts",
    ),
    limit(
        "state.recent_s",
        "s",
        (20.0, 600.0),
        60.0,
        "how far back the present reaches",
    ),
    limit(
        "state.window_s",
        "s",
        (2.0, 10.0),
        4.0,
        "length of a window of band powers; a new one each second",
    ),
    limit(
        "state.artefact_uv",
        "uV",
        (20.0, 10_000.0),
        150.0,
        "a channel that spans more within a window is left out of it",
    ),
    limit(
        "state.spindle_factor",
        "",
        (1.2, 5.0),
        2.0,
        "envelope of an alpha spindle over the baseline's median",
    ),
    limit(
        "state.spindle_min_s",
        "s",
        (0.3, 2.0),
        0.5,
        "least length of an alpha spindle",
    ),
    limit(
        "state.p300_half_life_forks",
        "",
        (1.0, 200.0),
        20.0,
        "after so many forks a P300 weighs half",
    ),
    limit(
        "adaptation.memory_epochs_min",
        "epochs",
        (20.0, 100_000.0),
        200.0,
        "a new epoch weighs at most as much as one of this many",
    ),
    limit(
        "adaptation.memory_epochs_max",
        "epochs",
        (20.0, 100_000.0),
        2_000.0,
        "a new epoch weighs at least as much as one of this many: older ones fade",
    ),
    limit(
        "adaptation.epochs_per_fork_max",
        "epochs",
        (1.0, 500.0),
        60.0,
        "epochs taken from one fork",
    ),
    limit(
        "adaptation.distance_sds_max",
        "",
        (1.0, 20.0),
        3.0,
        "an epoch further from the mean of its class is refused, root mean square in standard deviations",
    ),
    limit(
        "adaptation.change_max",
        "",
        (0.0, 1.0),
        0.3,
        "1 minus the correlation of the adapted scores with those calibrated; beyond it nothing is adapted",
    ),
    limit(
        "adaptation.refit_every_forks",
        "forks",
        (0.0, 10_000.0),
        8.0,
        "the scorer is fitted anew after so many confirmed forks; 0 never",
    ),
    limit(
        "adaptation.refit_epochs_max",
        "epochs",
        (100.0, 20_000.0),
        2_000.0,
        "epochs of confirmed choices in a fit anew; the latest",
    ),
    limit(
        "adaptation.gaze_shift_max_deg",
        "deg",
        (0.0, 3.0),
        1.5,
        "how far gaze is moved in all after a tracker that drifts, by confirmed choices; 0: not at all",
    ),
    limit(
        "adaptation.gaze_step_deg",
        "deg",
        (0.01, 1.0),
        0.15,
        "how far gaze is moved from one fork to the next",
    ),
    limit(
        "budget.stamp_to_pulled_ms",
        "ms",
        (0.1, 10_000.0),
        20.0,
        "latency budget: sample stamp to pulled",
    ),
    limit(
        "budget.pulled_to_scored_ms",
        "ms",
        (0.01, 1_000.0),
        1.0,
        "latency budget: pulled to scored",
    ),
    limit(
        "budget.scored_to_decided_ms",
        "ms",
        (0.01, 1_000.0),
        1.0,
        "latency budget: scored to decided",
    ),
    limit(
        "budget.decided_to_committed_ms",
        "ms",
        (0.01, 1_000.0),
        1.0,
        "latency budget: decided to committed",
    ),
    limit(
        "budget.committed_to_shown_ms",
        "ms",
        (0.01, 10_000.0),
        20.0,
        "latency budget: committed to text shown",
    ),
    limit(
        "realtime.priority",
        "",
        (0.0, 99.0),
        20.0,
        "SCHED_FIFO priority asked for; 0 asks for none",
    ),
];

/// Every number an experiment file can hold, with its range and default.
#[must_use]
pub fn limits() -> Vec<Limit> {
    let mut all = OWN.to_vec();
    all.extend(GateConfig::LIMITS);
    all.extend(FlashConfig::LIMITS);
    all.extend(ProtocolConfig::LIMITS);
    all
}

/// The row of one of our own keys.
pub fn own(key: &str) -> Option<&'static Limit> {
    OWN.iter().find(|limit| limit.key == key)
}

/// All rows as a table for people.
#[must_use]
pub fn explain() -> String {
    let mut text = format!(
        "{:<40}{:>12}{:>12}{:>12}  {:<9}meaning\n",
        "key", "default", "min", "max", "unit"
    );
    for Limit {
        key,
        unit,
        min,
        max,
        default,
        about,
    } in limits()
    {
        text.push_str(&format!(
            "{key:<40}{default:>12}{min:>12}{max:>12}  {unit:<9}{about}\n"
        ));
    }
    text
}
