//! A profile whose checksum is right and whose numbers cannot be: refused, in words, at once.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::sync::LazyLock;

use common::{Noise, eeg_alone};
use razvilka_calibration::{
    EegModel, EpochInfo, Epochs, LdaModel, Profile, ScorerKind, Symmetric, TangentModel, XdawnLda,
    fit_session,
};
use razvilka_dsp::eeg::EegSpec;
use razvilka_dsp::score::ScoreDensity;
use razvilka_dsp::units::{Hertz, Seconds};
use serde_json::{Value, json};

const CHANNELS: usize = 4;

/// A fitted profile: a response after every sixth flash, in noise of a fixed sequence; its last channel is not used.
static FITTED: LazyLock<Profile> = LazyLock::new(|| {
    let path = EegSpec::p300(Hertz::new(250.0).unwrap(), CHANNELS);
    let bins = path.epoch_shape().unwrap().bins();
    let mut noise = Noise(7);
    let mut epochs = Epochs::with_used(vec![true, true, true, false], bins).unwrap();
    for index in 0..300 {
        let target = index % 6 == 2;
        let info = EpochInfo {
            onset_s: f64::from(index) * 0.2,
            target,
            run: index as u32 / 60,
        };
        let features: Vec<f64> = (0..CHANNELS * bins)
            .map(|i| {
                let bump = (-0.5 * (((i % bins) as f64 - 20.0) / 4.0).powi(2)).exp();
                4.0 * noise.gauss() + if target { 1.5 * bump } else { 0.0 }
            })
            .collect();
        epochs.push(info, &features).unwrap();
    }
    let labels = ["Fz", "Cz", "Pz", "Oz"].map(str::to_owned).to_vec();
    fit_session(&eeg_alone(labels, path, epochs))
        .unwrap()
        .profile
});

/// What is said of the profile with this change.
fn said(change: impl FnOnce(&mut razvilka_calibration::EegCalibration)) -> String {
    let mut profile = FITTED.clone();
    change(profile.eeg.as_mut().unwrap());
    profile.validate().unwrap_err().to_string()
}

fn tangent(model: &mut EegModel) -> &mut TangentModel {
    match model {
        EegModel::Fusion { tangent, .. } => tangent,
        other => panic!("the fusion was picked, not {:?}", other.kind()),
    }
}

/// A discriminant of no bins at all.
fn empty_lda(channels: usize) -> LdaModel {
    LdaModel {
        used: vec![true; channels],
        bins: 0,
        mean_difference: Vec::new(),
        midpoint: Vec::new(),
        covariance: Symmetric::from_fn(0, |_, _| 0.0),
        shrinkage: 0.1,
        weights: Vec::new(),
        bias: 0.0,
    }
}

#[test]
fn what_was_fitted_is_taken() {
    FITTED.validate().unwrap();
}

#[test]
fn an_epoch_of_one_bin_is_refused_and_nothing_panics() {
    for xdawn in [false, true] {
        let said = said(|eeg| {
            eeg.path.epoch.length = Seconds::new(0.02).unwrap();
            eeg.lda = empty_lda(CHANNELS);
            eeg.model = EegModel::Lda;
            if xdawn {
                eeg.model = EegModel::XdawnLda(XdawnLda {
                    filters: vec![0.0; 2 * CHANNELS],
                    lda: empty_lda(2),
                });
            }
        });
        assert!(said.contains("bins of an epoch must lie in 2"), "{said}");
    }
    let weights = XdawnLda {
        filters: vec![0.0; 8],
        lda: empty_lda(2),
    };
    assert!(weights.weights(CHANNELS).is_empty());
}

#[test]
fn a_tangent_space_of_thousands_of_dimensions_is_refused_before_it_is_decomposed() {
    // An eigen-decomposition of this order would take hours: this test ends, or it does not.
    let order = 3000;
    let matrix = || {
        Symmetric::from_fn(order, |i, j| {
            if i == j {
                2.0 + 0.01 * i as f64
            } else {
                1e-3 / (1 + i + j) as f64
            }
        })
    };
    let said_of_large = said(|eeg| {
        let tangent = tangent(&mut eeg.model);
        let fixed = tangent.prototypes.len() / tangent.bins;
        tangent.filters = vec![0.1; (order - fixed) * CHANNELS];
        (tangent.reference, tangent.form) = (matrix(), matrix());
    });
    assert!(
        said_of_large.contains("order of the tangent space must lie in 1..=48"),
        "{said_of_large}"
    );
    let said_of_none = said(|eeg| {
        let tangent = tangent(&mut eeg.model);
        tangent.reference = Symmetric::from_fn(0, |_, _| 0.0);
        tangent.form = tangent.reference.clone();
        (tangent.filters, tangent.prototypes) = (Vec::new(), Vec::new());
    });
    assert!(
        said_of_none.contains("order of the tangent space"),
        "{said_of_none}"
    );
    let said_of_wide = said(|eeg| {
        let tangent = tangent(&mut eeg.model);
        tangent.prototypes = Vec::new();
        tangent.reference = Symmetric::from_fn(17, |i, j| f64::from(u8::from(i == j)));
        tangent.form = tangent.reference.clone();
        tangent.filters = vec![0.1; 17 * CHANNELS];
    });
    assert!(
        said_of_wide.contains("components of the tangent space must lie in 1..=16"),
        "{said_of_wide}"
    );
}

#[test]
fn an_order_that_no_memory_holds_is_refused_in_the_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("profile.json");
    let mut whole: Value = serde_json::from_str(&FITTED.to_json().unwrap()).unwrap();
    let tangent = &mut whole["content"]["eeg"]["model"]["fusion"]["tangent"];
    for part in ["reference", "form"] {
        tangent[part]["order"] = json!(1_u64 << 62);
    }
    let load = |whole: &Value| {
        std::fs::write(&file, whole.to_string()).unwrap();
        Profile::load(&file).unwrap_err().to_string()
    };
    // The refusal of the checksum tells the right one.
    let refused = load(&whole);
    let actual = refused.split("its content has ").nth(1).unwrap();
    whole["sha256"] = json!(actual[..64]);
    let refused = load(&whole);
    assert!(refused.contains("order of the tangent space"), "{refused}");
}

#[test]
fn numbers_that_cannot_be_are_each_refused_by_their_name() {
    type Change = fn(&mut razvilka_calibration::EegCalibration);
    let swapped = |density: &ScoreDensity| {
        let (target, nontarget) = (density.nontarget(), density.target());
        ScoreDensity::new(target, nontarget, density.trusted(), density.clip_nats()).unwrap()
    };
    let densities = said(|eeg| eeg.density = swapped(&eeg.density));
    assert!(densities.contains("targets score lower"), "{densities}");
    let densities = said(|eeg| eeg.lda_density = swapped(&eeg.lda_density));
    assert!(densities.contains("targets score lower"), "{densities}");
    let cases: [(Change, &str); 20] = [
        (|eeg| eeg.lda.used = vec![false; 4], "no channel"),
        (|eeg| eeg.lda.used[0] = false, "not used has a weight"),
        (
            |eeg| eeg.lda.weights.fill(0.0),
            "not those of its covariance",
        ),
        (
            |eeg| eeg.lda.weights[3] *= 1.01,
            "not those of its covariance",
        ),
        (|eeg| eeg.lda.weights.fill(1e308), "weights must lie in"),
        (
            |eeg| eeg.lda.mean_difference[0] += 1.0,
            "not those of its covariance",
        ),
        (
            |eeg| {
                let order = eeg.lda.covariance.order();
                eeg.lda.covariance = Symmetric::from_fn(order, |_, _| 0.0);
            },
            "no variance",
        ),
        (
            |eeg| eeg.lda.shrinkage = -7.0,
            "shrinkage must lie in 0..=1",
        ),
        (
            |eeg| eeg.channel_covariance = Symmetric::from_fn(CHANNELS, |_, _| 0.0),
            "no variance",
        ),
        (|eeg| eeg.metrics.auc.value = 17.0, "AUC must lie in 0..=1"),
        (|eeg| eeg.metrics.ece = -0.1, "calibration error"),
        (|eeg| eeg.metrics.brier = f64::NAN, "Brier"),
        (
            |eeg| eeg.metrics.targets = 1_000_000,
            "targets among the epochs",
        ),
        (|eeg| eeg.metrics.epochs = 0, "epochs"),
        (|eeg| eeg.selection.picked = ScorerKind::Lda, "another kind"),
        (|eeg| eeg.path.epoch.open_max = 0, "open epochs"),
        (|eeg| eeg.path.quality.min_good = 100, "minimum montage"),
        (
            |eeg| eeg.lda_reliability = Some(1.5),
            "reliability of the LDA",
        ),
        (
            |eeg| {
                let last = CHANNELS - 1;
                tangent(&mut eeg.model).filters[last] = 1.0;
            },
            "left out",
        ),
        (
            |eeg| tangent(&mut eeg.model).bias = 1e300,
            "bias must lie in",
        ),
    ];
    for (change, expected) in cases {
        let said = said(change);
        assert!(said.contains(expected), "'{expected}' is not in: {said}");
    }
}

#[test]
fn the_discriminant_that_is_left_alone_is_trusted_no_more_than_it_has_earned() {
    let mut eeg = FITTED.eeg.clone().unwrap();
    assert!(eeg.lda_reliability.is_some());
    let kept = [true, false, false, true];
    eeg.reliability = 0.8;
    let llr_at = |eeg: &razvilka_calibration::EegCalibration, share: f64| {
        let (scorer, density) = eeg.restrict(&kept).unwrap();
        assert!(scorer.tangent().is_none());
        let (low, high) = density.trusted();
        density.llr(low + share * (high - low)).unwrap()
    };
    for share in [0.0, 0.3, 1.0] {
        eeg.lda_reliability = None;
        let whole = llr_at(&eeg, share);
        assert!(whole > 0.5 || share < 1.0, "{whole}");
        for (alone, expected) in [(0.2, 0.25 * whole), (0.8, whole), (1.0, whole), (0.0, 0.0)] {
            eeg.lda_reliability = Some(alone);
            assert!((llr_at(&eeg, share) - expected).abs() < 1e-12);
        }
    }
}
