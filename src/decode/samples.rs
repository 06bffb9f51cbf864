//! Small random models for the tests of this room.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, TensorView};

use super::model::Model;

/// The folder of golden values.
pub(super) fn golden() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden/decode")
}

/// Shape of a random model: hidden width, layers, heads, key heads, head width, feed-forward width.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape(
    pub(super) usize,
    pub(super) usize,
    pub(super) usize,
    pub(super) usize,
    pub(super) usize,
    pub(super) usize,
);

/// Writes a random Llama of this shape, with the golden tokenizer, and loads it.
pub(super) fn random_model(
    Shape(hidden, layers, heads, kv_heads, head_dim, inter): Shape,
    context: usize,
    seed: u64,
) -> Arc<Model> {
    const ROWS: usize = 352;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"], "hidden_size": hidden, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": head_dim,
        "intermediate_size": inter, "vocab_size": ROWS, "max_position_embeddings": context,
        "tie_word_embeddings": true, "bos_token_id": 0, "eos_token_id": 1,
    });
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![ROWS, hidden]),
        ("model.norm.weight".into(), vec![hidden]),
    ];
    for i in 0..layers {
        let (q, kv) = (heads * head_dim, kv_heads * head_dim);
        for (part, shape) in [
            ("input_layernorm", vec![hidden]),
            ("post_attention_layernorm", vec![hidden]),
            ("self_attn.q_proj", vec![q, hidden]),
            ("self_attn.k_proj", vec![kv, hidden]),
            ("self_attn.v_proj", vec![kv, hidden]),
            ("self_attn.o_proj", vec![hidden, q]),
            ("mlp.gate_proj", vec![inter, hidden]),
            ("mlp.up_proj", vec![inter, hidden]),
            ("mlp.down_proj", vec![hidden, inter]),
        ] {
            shapes.push((format!("model.layers.{i}.{part}.weight"), shape));
        }
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let data: Vec<(String, Vec<usize>, Vec<u8>)> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let (middle, spread) = match shape.as_slice() {
                [_] => (1.0, 0.2),
                [.., inputs] => (0.0, 1.7 / (*inputs as f32).sqrt()),
                [] => (0.0, 1.0),
            };
            let n: usize = shape.iter().product();
            let bytes = (0..n)
                .flat_map(|_| (middle + spread * rng.random_range(-1.0_f32..1.0)).to_le_bytes())
                .collect();
            (name, shape, bytes)
        })
        .collect();
    let views: HashMap<&str, TensorView<'_>> = data
        .iter()
        .map(|(name, shape, bytes)| {
            (
                name.as_str(),
                TensorView::new(Dtype::F32, shape.clone(), bytes).expect("a sound view"),
            )
        })
        .collect();
    let weights = safetensors::serialize(views, None).expect("tensors serialize");
    std::fs::write(dir.path().join("model.safetensors"), weights).expect("written");
    std::fs::write(dir.path().join("config.json"), config.to_string()).expect("written");
    std::fs::copy(
        golden().join("tokenizer.json"),
        dir.path().join("tokenizer.json"),
    )
    .expect("copied");
    Arc::new(Model::load(dir.path()).expect("a sound model"))
}
