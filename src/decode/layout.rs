//! Which tensors a model of a configuration has, by the names and in the shapes of Hugging Face.

use super::config::{Family, ModelConfig};

/// A matrix that the decoder holds as one: parts with the same inputs, one above the other.
#[derive(Debug)]
pub(super) struct Matrix {
    /// Name without `.weight`, and outputs.
    pub(super) parts: Vec<(String, usize)>,
    pub(super) inputs: usize,
    pub(super) biased: bool,
}

impl Matrix {
    pub(super) fn outputs(&self) -> usize {
        self.parts.iter().map(|(_, outputs)| outputs).sum()
    }
}

/// A vector: its name and length.
pub(super) type Vector = (String, usize);

/// The tensors of one layer.
#[derive(Debug)]
pub(super) struct LayerLayout {
    pub(super) attention_norm: Vector,
    pub(super) qkv: Matrix,
    /// Query's and key's.
    pub(super) head_norms: Option<[Vector; 2]>,
    pub(super) output: Matrix,
    pub(super) mlp_norm: Vector,
    pub(super) gate_up: Matrix,
    pub(super) down: Matrix,
}

impl ModelConfig {
    pub(super) fn embedding_layout(&self) -> Matrix {
        self.table("model.embed_tokens")
    }

    /// `None` where the embedding is used again.
    pub(super) fn head_layout(&self) -> Option<Matrix> {
        (!self.tied).then(|| self.table("lm_head"))
    }

    fn table(&self, name: &str) -> Matrix {
        Matrix {
            parts: vec![(name.into(), self.vocabulary)],
            inputs: self.hidden,
            biased: false,
        }
    }

    pub(super) fn norm_layout(&self) -> Vector {
        ("model.norm.weight".into(), self.hidden)
    }

    pub(super) fn layer_layout(&self, index: usize) -> LayerLayout {
        let name = |part: &str| format!("model.layers.{index}.{part}");
        let (hidden, inter, dim) = (self.hidden, self.intermediate, self.head_dim);
        let (q, kv) = (self.heads * dim, self.kv_heads * dim);
        let matrix = |parts: &[(&str, usize)], inputs, biased| Matrix {
            parts: parts.iter().map(|(part, n)| (name(part), *n)).collect(),
            inputs,
            biased,
        };
        let qkv = [
            ("self_attn.q_proj", q),
            ("self_attn.k_proj", kv),
            ("self_attn.v_proj", kv),
        ];
        let gate_up = [("mlp.gate_proj", inter), ("mlp.up_proj", inter)];
        LayerLayout {
            attention_norm: (name("input_layernorm.weight"), hidden),
            qkv: matrix(&qkv, hidden, self.qkv_bias),
            head_norms: (self.family == Family::Qwen3)
                .then(|| ["q", "k"].map(|p| (name(&format!("self_attn.{p}_norm.weight")), dim))),
            output: matrix(&[("self_attn.o_proj", hidden)], q, self.output_bias),
            mlp_norm: (name("post_attention_layernorm.weight"), hidden),
            gate_up: matrix(&gate_up, hidden, self.mlp_bias),
            down: matrix(&[("mlp.down_proj", hidden)], inter, self.mlp_bias),
        }
    }

    /// Every big matrix.
    pub(super) fn matrices(&self) -> impl Iterator<Item = Matrix> + '_ {
        let tables = [Some(self.embedding_layout()), self.head_layout()];
        let layers = (0..self.layers).flat_map(|index| {
            let layer = self.layer_layout(index);
            [layer.qkv, layer.output, layer.gate_up, layer.down]
        });
        tables.into_iter().flatten().chain(layers)
    }

    /// Every vector that is no bias.
    pub(super) fn vectors(&self) -> impl Iterator<Item = Vector> + '_ {
        let layers = (0..self.layers).flat_map(|index| {
            let layer = self.layer_layout(index);
            let norms = [layer.attention_norm, layer.mlp_norm];
            norms
                .into_iter()
                .chain(layer.head_norms.into_iter().flatten())
        });
        std::iter::once(self.norm_layout()).chain(layers)
    }

    /// Every tensor, with its shape.
    pub(super) fn tensors(&self) -> impl Iterator<Item = (String, Vec<usize>)> + '_ {
        let matrices = self.matrices().flat_map(|matrix| {
            let (inputs, biased) = (matrix.inputs, matrix.biased);
            matrix.parts.into_iter().flat_map(move |(name, outputs)| {
                let weight = (format!("{name}.weight"), vec![outputs, inputs]);
                let bias = biased.then(|| (format!("{name}.bias"), vec![outputs]));
                std::iter::once(weight).chain(bias)
            })
        });
        matrices.chain(self.vectors().map(|(name, len)| (name, vec![len])))
    }
}
