//! Adapters held to peft and to PyTorch's gradients, and learning held to what it promises.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Tensor;
use safetensors::SafeTensors;
use serde_json::{Value, json};

use super::super::cancel::Cancel;
use super::super::model::{LoadSettings, Model, Precision};
use super::super::runner::{Processor, Runner};
use super::super::samples::{Shape, golden, random_model};
use super::*;
use crate::decode::{DecodeError, ModelError};

/// Numbers of a golden file.
struct Golden(Vec<u8>);

impl Golden {
    fn of(adapter: &str) -> Self {
        let path = golden().join("adapter").join(adapter);
        Self(std::fs::read(path.join("golden.safetensors")).unwrap())
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        file.tensor(name).unwrap().data().to_vec()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let bytes = self.bytes(name);
        let each = bytes.as_chunks::<4>().0.iter();
        each.map(|b| f32::from_le_bytes(*b)).collect()
    }

    fn tokens(&self, name: &str) -> Vec<u32> {
        let bytes = self.bytes(name);
        let each = bytes.as_chunks::<8>().0.iter();
        each.map(|b| i64::from_le_bytes(*b) as u32).collect()
    }
}

fn adapted(model: &str, adapter: &Path, precision: Precision) -> Result<Model, ModelError> {
    let settings = LoadSettings {
        precision,
        ..LoadSettings::default()
    };
    Model::load_adapted(Some(&golden().join(model)), &settings, adapter)
}

fn of_peft(name: &str) -> PathBuf {
    golden().join("adapter").join(name)
}

/// Logits behind each token.
fn logits(model: Model, tokens: &[u32]) -> Vec<f32> {
    let mut line = Processor::new(Arc::new(model));
    let each = tokens.iter().flat_map(|token| {
        line.read(&[*token]).unwrap();
        line.logits().to_vec()
    });
    each.collect()
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let each = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    each.fold(0.0, f32::max)
}

#[test]
fn a_model_with_an_adapter_of_peft_has_its_logits() {
    for name in ["llama", "qwen2", "qwen3"] {
        let golden = Golden::of(name);
        let model = adapted(name, &of_peft(name), Precision::Stored).unwrap();
        assert_eq!(model.adapter().unwrap().files().len(), 2);
        let apart = difference(
            &logits(model, &golden.tokens("tokens")),
            &golden.floats("logits"),
        );
        assert!(apart < 3e-5, "{name}: {apart}");
    }
}

#[test]
fn a_matrix_of_eight_bits_is_rounded_after_the_adapter_was_added() {
    // Rows of this model are no whole blocks.
    let refused = adapted("llama", &of_peft("llama"), Precision::Q8);
    assert!(matches!(refused, Err(ModelError::Precision { .. })));
    let dir = tempfile::tempdir().unwrap();
    let base = random_model(Shape(64, 2, 4, 2, 16, 96), 128, 5);
    let learner = learner(&base, 2, 0.3);
    learner.adapter().unwrap().save(dir.path(), "it").unwrap();
    let adapter = Adapter::load(dir.path(), &base.config).unwrap();
    let [outputs, inputs] = Target::Down.shape(&base.config);
    let mut plain = vec![0.25; outputs * inputs];
    adapter.add_to("model.layers.1.mlp.down_proj", inputs, &mut plain);
    // By definition, entry by entry.
    let Factors { a, b } = &adapter.factors["model.layers.1.mlp.down_proj"];
    for (row, col) in [(0, 0), (3, 17), (outputs - 1, inputs - 1)] {
        let product: f32 = (0..2).map(|r| b[row * 2 + r] * a[r * inputs + col]).sum();
        let expected = 0.25 + adapter.shape().scale() * product;
        assert!((plain[row * inputs + col] - expected).abs() < 1e-6);
    }
    assert!(difference(&plain, &vec![0.25; outputs * inputs]) > 0.01);
}

/// A learner whose second factors are no longer nothing.
fn learner(model: &Arc<Model>, rank: usize, spread: f64) -> Learner {
    let settings = LearnSettings {
        rank,
        ..LearnSettings::default()
    };
    let learner = Learner::new(Arc::clone(model), settings).unwrap();
    for (k, factors) in learner.factors.iter().enumerate() {
        let values: Vec<f32> = (0..factors.b.elem_count())
            .map(|i| (spread * ((i * 7 + k) as f64 * 0.7).sin()) as f32)
            .collect();
        let b = Tensor::from_vec(values, factors.b.shape(), factors.b.device()).unwrap();
        factors.b.set(&b).unwrap();
    }
    learner
}

#[test]
fn a_choice_teaches_what_pytorch_says_it_does() {
    let golden_numbers = Golden::of("llama");
    let base = Arc::new(Model::load(golden().join("llama")).unwrap());
    let adapter = Adapter::load(of_peft("llama"), &base.config).unwrap();
    let settings = LearnSettings {
        rank: adapter.shape.rank,
        alpha: f64::from(adapter.shape.alpha),
        beta: 0.5,
        anchor: 1.0,
        ..LearnSettings::default()
    };
    let mut learner = Learner::new(base, settings).unwrap();
    for factors in &learner.factors {
        let Factors { a, b } = &adapter.factors[&factors.matrix];
        for (var, values) in [(&factors.a, a), (&factors.b, b)] {
            let now = Tensor::from_vec(values.clone(), var.shape(), var.device());
            var.set(&now.unwrap()).unwrap();
        }
    }
    let options = (0..3)
        .map(|k| golden_numbers.tokens(&format!("option_{k}")))
        .collect();
    let chosen = golden_numbers.tokens("chosen")[0] as usize;
    let lesson = Lesson::chosen(golden_numbers.tokens("context"), options, chosen);
    for (scorer, name) in [
        (&mut learner.own, "own"),
        (&mut learner.reference, "reference"),
    ] {
        let found: Vec<f32> = scorer.options(&lesson).unwrap().to_vec1().unwrap();
        assert!(difference(&found, &golden_numbers.floats(name)) < 1e-4);
    }
    let plain = golden_numbers.tokens("plain");
    let (losses, gradients) = learner.gradients(&[&lesson], Some(&plain)).unwrap();
    for (found, expected) in losses.iter().zip(golden_numbers.floats("losses")) {
        assert!((found - f64::from(expected)).abs() < 1e-4, "{losses:?}");
    }
    for (factors, found) in learner.factors.iter().zip(gradients.chunks(2)) {
        for (part, found) in ["lora_A", "lora_B"].iter().zip(found) {
            let name = format!("gradient.base_model.model.{}.{part}.weight", factors.matrix);
            let expected = golden_numbers.floats(&name);
            let found: Vec<f32> = found.flatten_all().unwrap().to_vec1().unwrap();
            let largest = expected.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
            let apart = difference(&found, &expected);
            assert!(
                apart < 1e-3 * largest.max(1e-3),
                "{name}: {apart} of {largest}"
            );
        }
    }
}

#[test]
fn gradients_reach_every_number_of_every_factor() {
    let base = random_model(Shape(64, 3, 4, 2, 16, 96), 128, 11);
    let mut learner = learner(&base, 3, 0.2);
    let lesson = Lesson::chosen(vec![5, 9, 40, 7], vec![vec![11, 12], vec![13, 14, 15]], 1);
    let (_, gradients) = learner.gradients(&[&lesson], None).unwrap();
    assert_eq!(gradients.len(), 2 * 3 * 3);
    for (factors, both) in learner.factors.iter().zip(gradients.chunks(2)) {
        for gradient in both {
            let values: Vec<f32> = gradient.flatten_all().unwrap().to_vec1().unwrap();
            let none = values.iter().filter(|x| **x == 0.0).count();
            assert_eq!(none, 0, "{}: of {}", factors.matrix, values.len());
        }
    }
    // And they are the slopes that the loss has: moved a little along them, it changes by as much.
    let square = |g: &Tensor| g.sqr()?.sum_all()?.to_scalar::<f32>();
    let squares: f64 = gradients
        .iter()
        .map(|g| f64::from(square(g).unwrap()))
        .sum();
    let step = 0.002 / squares.sqrt();
    let mut moved = |by: f64| {
        let vars = learner.factors.iter().flat_map(|f| [&f.a, &f.b]);
        for (var, gradient) in vars.zip(&gradients) {
            let now = (var.as_tensor() + (gradient * by).unwrap()).unwrap();
            var.set(&now).unwrap();
        }
        learner.gradients(&[&lesson], None).unwrap().0[0]
    };
    let (above, below) = (moved(step), moved(-2.0 * step));
    let slope = (above - below) / (2.0 * step);
    assert!((slope / squares - 1.0).abs() < 0.02, "{slope} {squares}");
}

/// Choices of whoever always wants one of six tokens rather than one of six others, behind any text that ends with the same word.
fn choices(count: usize) -> Vec<Lesson> {
    let token = |k: usize| 100 + (k * 37 % 200) as u32;
    (0..count)
        .map(|k| {
            let wanted = vec![30 + (k * 5 % 6) as u32];
            let other = vec![60 + (k * 7 % 6) as u32];
            let context = vec![token(k), token(2 * k + 1), 90];
            match k % 2 {
                0 => Lesson::chosen(context, vec![wanted, other], 0),
                _ => Lesson::chosen(context, vec![other, wanted], 1),
            }
        })
        .collect()
}

fn eager() -> LearnSettings {
    LearnSettings {
        rate: 1e-2,
        epochs: 6,
        choices_per_step: 4,
        anchor: 0.1,
        ..LearnSettings::default()
    }
}

#[test]
fn held_out_choices_become_likelier_and_plain_text_stays() {
    let base = random_model(Shape(64, 2, 4, 2, 16, 96), 128, 7);
    let plain = plain_texts(&base, 8, 24, 1).unwrap();
    let learn = |settings: LearnSettings| {
        let mut learner = Learner::new(Arc::clone(&base), settings).unwrap();
        let mut steps = Vec::new();
        let mut told = |p: Progress| steps.push(p.step);
        let learned = learner
            .learn(&choices(60), &plain, &Cancel::new(), &mut told)
            .unwrap();
        assert_eq!(steps.len(), learned.steps[0]);
        learned
    };
    let learned = learn(eager());
    let Comparison { before, after, .. } = learned.held_out;
    assert_eq!((learned.choices, before.choices), (48, 12));
    assert!(
        after.log_loss_nats < 0.8 * before.log_loss_nats,
        "{before:?} {after:?}"
    );
    assert!(after.right > before.right);
    assert!(learned.held_out.is_better(f64::INFINITY));
    assert!(!learned.held_out.is_better(-1.0));
    assert!(before.plain_tokens > 20);
    // The same choices and seed give the same adapter.
    let once = LearnSettings {
        epochs: 1,
        ..eager()
    };
    assert_eq!(learn(once.clone()).adapter, learn(once).adapter);
    let dir = tempfile::tempdir().unwrap();
    learned.adapter.save(dir.path(), "random").unwrap();
    let read = Adapter::load(dir.path(), &base.config).unwrap();
    assert_eq!(read.factors, learned.adapter.factors);
    assert_eq!(read.shape, learned.adapter.shape);
}

#[test]
fn choices_without_a_pattern_teach_nothing_that_is_used() {
    let base = random_model(Shape(64, 2, 4, 2, 16, 96), 128, 7);
    let mut lessons = choices(60);
    for (k, lesson) in lessons.iter_mut().enumerate() {
        // A coin, thrown for each.
        if ((k * 2_654_435_761) >> 7) % 2 == 0 {
            lesson.wanted.reverse();
        }
    }
    let mut learner = Learner::new(base, eager()).unwrap();
    let learned = learner.learn(&lessons, &[], &Cancel::new(), &mut |_| ());
    let held_out = learned.unwrap().held_out;
    assert!(!held_out.is_better(0.01), "{held_out:?}");
}

#[test]
fn learning_can_be_stopped_and_says_what_it_cannot_use() {
    let base = random_model(Shape(32, 1, 2, 1, 16, 32), 64, 3);
    let mut learner = Learner::new(Arc::clone(&base), eager()).unwrap();
    let mut learn = |lessons: &[Lesson], cancel: &Cancel| {
        learner
            .learn(lessons, &[], cancel, &mut |_| ())
            .map(|_| ())
            .unwrap_err()
    };
    let cancel = Cancel::new();
    cancel.request();
    assert!(matches!(
        learn(&choices(20), &cancel),
        DecodeError::Cancelled
    ));
    let cancel = Cancel::new();
    let said = learn(&choices(9), &cancel).to_string();
    assert!(said.contains("9 choices are too few, 10"), "{said}");
    type Spoil = fn(&mut Lesson);
    let spoilt: [(&str, Spoil); 5] = [
        ("two options", |l| l.options.truncate(1)),
        ("before the fork", |l| l.context.clear()),
        ("none of them empty", |l| l.options[1].clear()),
        ("together 1", |l| l.wanted = vec![0.9, 0.9]),
        ("out of range", |l| l.context[0] = 9999),
    ];
    for (words, spoil) in spoilt {
        let mut lessons = choices(20);
        spoil(&mut lessons[4]);
        let said = learn(&lessons, &cancel).to_string();
        assert!(said.contains(words), "{words}: {said}");
    }
    let wrong = LearnSettings {
        beta: f64::NAN,
        ..LearnSettings::default()
    };
    let said = Learner::new(base, wrong)
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(said.contains("beta"), "{said}");
}

#[test]
fn folders_that_mean_something_else_are_refused_by_their_key() {
    let base = Model::load(golden().join("llama")).unwrap();
    let whole: Value = serde_json::from_slice(
        &std::fs::read(of_peft("llama").join("adapter_config.json")).unwrap(),
    )
    .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let weights = std::fs::read(of_peft("llama").join("adapter_model.safetensors")).unwrap();
    let load = |key: &str, value: Value, weights: &[u8]| {
        let mut config = whole.clone();
        config[key] = value;
        std::fs::write(dir.path().join("adapter_config.json"), config.to_string()).unwrap();
        std::fs::write(dir.path().join("adapter_model.safetensors"), weights).unwrap();
        Adapter::load(dir.path(), base.config())
    };
    load("revision", json!(null), &weights).unwrap();
    for (key, value) in [
        ("peft_type", json!("IA3")),
        ("use_dora", json!(true)),
        ("bias", json!("all")),
        ("r", json!(0)),
        ("r", json!(1e9)),
        ("lora_alpha", json!("seven")),
        ("rank_pattern", json!({"q_proj": 4})),
        ("modules_to_save", json!(["lm_head"])),
        ("target_modules", json!(["qkv_proj"])),
        ("target_modules", json!("all-linear")),
        ("layers_to_transform", json!([3])),
        ("layer_replication", json!([[0, 2]])),
        ("fan_in_fan_out", json!(true)),
    ] {
        let said = load(key, value, &weights).unwrap_err().to_string();
        assert!(said.contains(key), "{key}: {said}");
    }
    // Another rank, fewer matrices, more of them, a cut file, a number that is none, another model.
    let refused = load("r", json!(4), &weights).unwrap_err();
    assert!(
        matches!(refused, ModelError::TensorShape { .. }),
        "{refused}"
    );
    let refused = load("target_modules", json!(["q_proj"]), &weights).unwrap_err();
    assert!(
        matches!(refused, ModelError::TensorUnknown { .. }),
        "{refused}"
    );
    let refused = load(
        "target_modules",
        json!(["q_proj", "v_proj", "down_proj", "up_proj"]),
        &weights,
    );
    assert!(matches!(refused, Err(ModelError::TensorMissing { .. })));
    let refused = load("revision", json!(null), &weights[..weights.len() - 5]).unwrap_err();
    assert!(matches!(refused, ModelError::Length { .. }), "{refused}");
    let mut spoilt = weights.clone();
    let end = spoilt.len();
    spoilt[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let refused = load("revision", json!(null), &spoilt).unwrap_err();
    assert!(matches!(refused, ModelError::NonFinite { .. }), "{refused}");
    let other = Model::load(golden().join("qwen2")).unwrap();
    Adapter::load(of_peft("llama"), other.config()).unwrap_err();
}
