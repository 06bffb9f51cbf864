//! Candle's operations on the processor, held to Hugging Face's logits and to our own kernels.

use safetensors::SafeTensors;

use super::super::samples::{Shape, golden, random_model};
use super::*;

fn dense(model: &Arc<Model>, floats: Floats) -> Dense {
    Dense::new(Arc::clone(model), &On::Cpu, floats.into())
        .unwrap()
        .unwrap()
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

/// Tokens of a golden folder, and the logits behind each.
fn expected(folder: &str) -> (Vec<u32>, Vec<f32>) {
    let bytes = std::fs::read(golden().join(folder).join("golden.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (tokens, logits) = (
        file.tensor("tokens").unwrap(),
        file.tensor("logits").unwrap(),
    );
    let tokens = tokens.data().as_chunks::<8>().0.iter();
    let logits = logits.data().as_chunks::<4>().0.iter();
    (
        tokens.map(|b| i64::from_le_bytes(*b) as u32).collect(),
        logits.map(|b| f32::from_le_bytes(*b)).collect(),
    )
}

#[test]
fn every_family_has_the_logits_of_hugging_face_in_any_chunks() {
    for folder in [
        "llama",
        "llama3",
        "mistral",
        "qwen2",
        "qwen3",
        "mistral_window",
        "qwen2_window",
        "yarn",
        "linear",
        "dynamic",
    ] {
        let model = Arc::new(Model::load(golden().join(folder)).unwrap());
        let (tokens, logits) = expected(folder);
        let mut line = dense(&model, Floats::F32);
        let mut at = 0;
        for chunk in [1, 7, 1, 1, 20, tokens.len()] {
            let end = (at + chunk).min(tokens.len());
            line.read(&tokens[at..end]).unwrap();
            at = end;
            let behind = &logits[(at - 1) * model.config.vocabulary..][..model.config.vocabulary];
            let difference = difference(line.logits(), behind);
            assert!(
                difference < 2e-5,
                "{folder}: {difference} behind {at} tokens"
            );
            if at == tokens.len() {
                break;
            }
        }
        assert_eq!(at, tokens.len());
    }
}

#[test]
fn halves_of_floats_stay_near() {
    let model = Arc::new(Model::load(golden().join("qwen3")).unwrap());
    let (tokens, logits) = expected("qwen3");
    let last = &logits[logits.len() - model.config.vocabulary..];
    // Logits have a standard deviation near 1, and on the way to them some thirty roundings of eleven and of eight bits add up.
    for (floats, rounding) in [
        (Floats::F16, 2.0_f32.powi(-11)),
        (Floats::Bf16, 2.0_f32.powi(-8)),
    ] {
        let most = 32.0 * rounding;
        let mut line = dense(&model, floats);
        line.read(&tokens).unwrap();
        let difference = difference(line.logits(), last);
        assert!(
            difference > 1e-5 && difference < most,
            "{floats:?}: {difference}"
        );
    }
}

#[test]
fn a_line_that_is_cut_goes_on_as_if_nothing_had_been_behind() {
    let model = random_model(Shape(48, 3, 6, 2, 8, 80), 256, 8);
    let (mut cut, mut own) = (
        dense(&model, Floats::F32),
        Processor::new(Arc::clone(&model)),
    );
    let tokens: Vec<u32> = (2..42).collect();
    for line in [&mut cut as &mut dyn Runner, &mut own] {
        line.read(&tokens).unwrap();
        line.read(&[9; 5]).unwrap();
        line.cut(33);
        line.read(&[5, 6, 7]).unwrap();
    }
    let whole = model.logits(&[&tokens[..33], &[5, 6, 7]].concat()).unwrap();
    let last = &whole[whole.len() - model.config.vocabulary..];
    assert!(difference(cut.logits(), last) < 2e-5);
    assert!(difference(own.logits(), last) < 2e-5);
    cut.cut(0);
    cut.read(&tokens[..4]).unwrap();
    let begin = model.logits(&tokens[..4]).unwrap();
    assert!(
        difference(
            cut.logits(),
            &begin[begin.len() - model.config.vocabulary..]
        ) < 2e-5
    );
}

#[test]
fn what_cannot_be_computed_there_is_refused() {
    let model = random_model(Shape(32, 1, 4, 2, 8, 48), 256, 8);
    let mut line = dense(&model, Floats::F32);
    assert!(matches!(
        line.read(&[2, 9999]),
        Err(DecodeError::UnknownToken { token: 9999, .. })
    ));
    let packed = Model::load_as(golden().join("qwen3"), super::super::Precision::Q8).unwrap();
    assert!(
        Dense::new(Arc::new(packed), &On::Cpu, DType::F32)
            .unwrap()
            .is_none()
    );
    if !cfg!(feature = "cuda") {
        let said = runner(model, Device::Cuda(0), Floats::F32)
            .unwrap_err()
            .to_string();
        assert!(
            said.contains("cuda:0") && said.contains("without the feature `cuda`"),
            "{said}"
        );
    }
}

#[test]
fn devices_are_named() {
    for (text, device) in [
        ("cpu", Device::Cpu),
        ("cuda", Device::Cuda(0)),
        ("cuda:3", Device::Cuda(3)),
    ] {
        assert_eq!(text.parse(), Ok(device));
    }
    for wrong in ["gpu", "cuda:", "cuda:x", "cuda:64", "cuda:-1", ""] {
        wrong.parse::<Device>().unwrap_err();
    }
}
