//! The page's last section: every number the profile rests on, and what it can be told by.

use std::fmt::Write as _;

use razvilka_dsp::eeg::{EegSpec, Reference};
use razvilka_dsp::score::StudentT;
use razvilka_dsp::stamps::StampRule;

use super::constants::push_constants;
use super::markup::escape;
use super::prior;
use super::signal::channel_name;
use crate::error::Result;
use crate::model::EegModel;
use crate::profile::{EegCalibration, FORMAT, Profile};
use crate::resample::{FORKS, FORKS_RESAMPLED, REPORT_SEED, RESAMPLES};
use crate::tangent::TangentModel;

/// The section.
///
/// # Errors
/// As [`Profile::checksum`], and when the path's numbers do not fit together, which [`Profile::validate`] excludes.
pub(super) fn push_parameters(page: &mut String, profile: &Profile) -> Result<()> {
    page.push_str("<section>\n<h2>Parameters and hashes</h2>\n<dl>\n");
    let mut facts = vec![
        ("Fitted", profile.provenance.created_utc.clone()),
        ("Software", profile.provenance.software.clone()),
    ];
    for source in &profile.provenance.sources {
        facts.push((
            "Recording",
            format!("{}, sha256 {}", source.name, source.sha256),
        ));
    }
    let prior = profile.eeg.as_ref().and_then(|eeg| eeg.prior.as_ref());
    facts.extend(prior.iter().flat_map(|prior| prior::facts(prior, true)));
    facts.push((
        "Profile",
        format!(
            "format {FORMAT}, sha256 of its content {}",
            profile.checksum()?
        ),
    ));
    if let Some(eeg) = &profile.eeg {
        path_facts(&mut facts, &eeg.path)?;
        scorer_facts(&mut facts, eeg);
        facts.push((
            "Random numbers",
            format!(
                "none in the fit; in this report seed {REPORT_SEED}: {FORKS} forks, {RESAMPLES} resamples of the folds with \
                 {FORKS_RESAMPLED} forks each"
            ),
        ));
    }
    for (name, value) in facts {
        let _ = writeln!(page, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(&value));
    }
    page.push_str("</dl>\n");
    if profile.eeg.is_some() {
        push_constants(page);
    }
    page.push_str("</section>\n");
    Ok(())
}

fn path_facts(facts: &mut Vec<(&'static str, String)>, path: &EegSpec) -> Result<()> {
    let band = path.band.map_or("none".to_owned(), |band| {
        format!(
            "Butterworth, causal, {} to {} Hz, order {}",
            band.low.get(),
            band.high.get(),
            band.order
        )
    });
    facts.push(("Band-pass", band));
    let notch = path.notch.map_or("none".to_owned(), |notch| {
        format!("{} Hz, Q {}", notch.centre.get(), notch.q)
    });
    facts.push(("Notch", notch));
    let reference = match path.reference {
        Reference::AsRecorded => "as recorded",
        Reference::CommonAverage => "common average of the channels used",
    };
    facts.push(("Reference", reference.to_owned()));
    let shape = path.epoch_shape()?;
    let bin_ms = 1e3 * shape.bin_samples() as f64 / path.rate.get();
    facts.push((
        "Epoch",
        format!(
            "{} to {} s after the flash; {} bins of {} samples ({bin_ms:.0} ms); rejected as evidence beyond {} microvolts peak to peak",
            path.epoch.start.get(),
            path.epoch.start.get() + path.epoch.length.get(),
            shape.bins(),
            shape.bin_samples(),
            path.epoch.peak_to_peak.get()
        ),
    ));
    let q = &path.quality;
    let line = q.line.map_or("not judged".to_owned(), |line| {
        format!(
            "at {} Hz up to {} times the rest",
            line.get(),
            q.line_ratio_max
        )
    });
    let swing = q.swing.map_or("any jump".to_owned(), |swing| {
        format!("jump {} µV", swing.get())
    });
    facts.push((
        "Channel limits",
        format!(
            "rail {} µV, flat {} µV, {swing}, variance z {}, mains {line}, correlation from {}, copy from {}; window {} s, settling {} s, at least \
             {} good channels",
            q.rail.get(),
            q.flat.get(),
            q.variance_z_max,
            q.correlation_min,
            q.copy_min,
            q.window.get(),
            q.settle.get(),
            q.min_good
        ),
    ));
    let stamps = match path.stamps {
        StampRule::PerSample => "one for each sample",
        StampRule::Blocks => "one for each block, spread evenly",
    };
    facts.push(("Time stamps", stamps.to_owned()));
    facts.push((
        "Settling",
        format!("{} s after each start of the filters", path.settle.get()),
    ));
    facts.push((
        "Bounds",
        format!(
            "a flash may be announced {} s after its samples; at most {} epochs open at once",
            path.history.get(),
            path.epoch.open_max
        ),
    ));
    Ok(())
}

fn scorer_facts(facts: &mut Vec<(&'static str, String)>, eeg: &EegCalibration) {
    let blinks = eeg.blinks.as_ref().map_or("left in".to_owned(), |blinks| {
        let name = channel_name(&eeg.labels, blinks.reference());
        let weights: Vec<String> = blinks.weights().iter().map(|w| signed(*w)).collect();
        format!(
            "taken out by regression on {name}, weights {}",
            weights.join(" ")
        )
    });
    facts.push(("Blinks", blinks));
    let used = eeg.lda.used.iter().filter(|used| **used).count();
    facts.push((
        "Shrinkage LDA",
        format!(
            "{used} channels, {} features, Ledoit-Wolf shrinkage {:.4}",
            used * eeg.lda.bins,
            eeg.lda.shrinkage
        ),
    ));
    let kind = eeg.model.kind().name();
    let details = match &eeg.model {
        EegModel::Lda => String::new(),
        EegModel::BlockToeplitzLda(lda) => format!(", shrinkage {:.4}", lda.shrinkage),
        EegModel::XdawnLda(model) => format!(
            ", {} spatial filters, shrinkage {:.4}",
            model.lda.used.len(),
            model.lda.shrinkage
        ),
        EegModel::XdawnTangent(tangent) | EegModel::ErpTangent(tangent) => {
            tangent_in_words(tangent)
        }
        EegModel::Fusion {
            lda_weight,
            tangent,
        }
        | EegModel::Informed {
            lda_weight,
            tangent,
        } => format!(
            ", weight of the LDA {lda_weight:.4}{}",
            tangent_in_words(tangent)
        ),
    };
    facts.push(("Scorer taken", format!("{kind}{details}")));
    let (low, high) = eeg.density.trusted();
    facts.push((
        "Densities",
        format!(
            "targets {}; non-targets {}; scores trusted from {} to {}, clipped at {:.3} nats",
            student_in_words(&eeg.density.target()),
            student_in_words(&eeg.density.nontarget()),
            signed(low),
            signed(high),
            eeg.density.clip_nats()
        ),
    ));
    let (low, high) = eeg.lda_density.trusted();
    facts.push((
        "Densities of the LDA alone",
        format!(
            "targets {}; non-targets {}; scores trusted from {} to {}, clipped at {:.3} nats",
            student_in_words(&eeg.lda_density.target()),
            student_in_words(&eeg.lda_density.nontarget()),
            signed(low),
            signed(high),
            eeg.lda_density.clip_nats()
        ),
    ));
    facts.push((
        "Evidence",
        format!(
            "reliability {:.4}, base rate of targets {:.4}",
            eeg.reliability, eeg.base_rate
        ),
    ));
    let judged = match prior::judged_on_others(eeg) {
        Some(others) => format!(
            "none of this person: {} flashes of the prior's {} people, each left out",
            eeg.metrics.epochs, others.people
        ),
        None => format!(
            "{} contiguous folds, {} s around each left out; figures of {} epochs in {} runs",
            eeg.metrics.folds,
            eeg.path.epoch.length.get(),
            eeg.metrics.epochs,
            eeg.metrics.runs
        ),
    };
    facts.push(("Cross-validation", judged));
}

fn tangent_in_words(tangent: &TangentModel) -> String {
    format!(
        ", tangent space of covariances of order {} ({} components), constant {}; its form, as all matrices, is in the profile by \
         the hash above",
        tangent.reference.order(),
        tangent.components(),
        signed(tangent.bias)
    )
}

/// With a true minus sign.
fn signed(value: f64) -> String {
    format!("{value:.3}").replace('-', "\u{2212}")
}

fn student_in_words(t: &StudentT) -> String {
    format!(
        "Student-t at {}, scale {:.3}, {:.1} degrees of freedom",
        signed(t.location),
        t.scale,
        t.dof
    )
}
