//! What GGUF calls the tensors that Hugging Face has other names for.

/// Names of the tensors of a layer, GGUF's and Hugging Face's.
const LAYER: [(&str, &str); 11] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];
/// Names outside the layers.
const OUTSIDE: [(&str, &str); 3] = [
    ("token_embd", "model.embed_tokens"),
    ("output", "lm_head"),
    ("output_norm", "model.norm"),
];

fn renamed(
    name: &str,
    from_prefix: &str,
    to_prefix: &str,
    other: impl Fn((&'static str, &'static str)) -> (&'static str, &'static str),
) -> Option<String> {
    let (stem, kind) = name.rsplit_once('.')?;
    let find = |table: &[(&'static str, &'static str)], wanted: &str| {
        let pairs = table.iter().copied().map(&other);
        pairs.into_iter().find(|(from, _)| *from == wanted)
    };
    match stem.strip_prefix(from_prefix) {
        Some(rest) => {
            let (layer, part) = rest.split_once('.')?;
            let (_, to) = find(&LAYER, part)?;
            Some(format!("{to_prefix}{layer}.{to}.{kind}"))
        }
        None => find(&OUTSIDE, stem).map(|(_, to)| format!("{to}.{kind}")),
    }
}

/// Hugging Face's name of a tensor of a GGUF file; its own where there is none.
pub(in crate::decode) fn told(name: &str) -> String {
    renamed(name, "blk.", "model.layers.", |pair| pair).unwrap_or_else(|| name.into())
}

/// GGUF's name of a tensor, for messages about such a file.
pub(in crate::decode) fn spoken(name: &str) -> String {
    renamed(name, "model.layers.", "blk.", |(a, b)| (b, a)).unwrap_or_else(|| name.into())
}

/// Whether the rows of a tensor of GGUF's `llama` lie in another order: queries and keys do.
pub(in crate::decode) fn interleaved(name: &str) -> bool {
    name.ends_with("self_attn.q_proj.weight")
        || name.ends_with("self_attn.k_proj.weight")
        || name.ends_with("self_attn.q_proj.bias")
        || name.ends_with("self_attn.k_proj.bias")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for (gguf, hugging_face) in [
            ("token_embd.weight", "model.embed_tokens.weight"),
            ("output.weight", "lm_head.weight"),
            ("output_norm.weight", "model.norm.weight"),
            (
                "blk.12.attn_q.bias",
                "model.layers.12.self_attn.q_proj.bias",
            ),
            (
                "blk.0.attn_k_norm.weight",
                "model.layers.0.self_attn.k_norm.weight",
            ),
            (
                "blk.3.ffn_down.weight",
                "model.layers.3.mlp.down_proj.weight",
            ),
        ] {
            assert_eq!(told(gguf), hugging_face);
            assert_eq!(spoken(hugging_face), gguf);
        }
        assert_eq!(
            told("blk.0.ffn_gate_exps.weight"),
            "blk.0.ffn_gate_exps.weight"
        );
    }
}
