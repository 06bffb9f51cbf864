//! The tokenizer of a GGUF file: its own vocabulary, put into the form the tokenizer library reads.
//!
//! Two kinds are known. `gpt2` is byte-level BPE with its merges; how text is cut into words before is told by a name. `llama` is
//! SentencePiece's BPE: a piece is merged before another when its score is higher, and bytes stand in for characters that are in no piece.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::{Header, Value};
use crate::decode::error::ModelError;
use crate::decode::text::Tokens;

/// What a token is, by its number in the file.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;
const UNUSED: i64 = 5;
/// Longest piece of a SentencePiece vocabulary that merges are looked for in, bytes.
const PIECE_BYTES_MAX: usize = 256;

/// Names of ways to cut text into words that are known, for messages.
const KNOWN: &str = "gpt-2, smollm, qwen2, llama-bpe and tekken";

/// The tokenizer of a file whose model has `rows` rows.
pub(in crate::decode) fn tokenizer(
    path: &Path,
    header: &Header,
    rows: usize,
) -> Result<Tokens, ModelError> {
    let of = Vocabulary { path, header };
    let kind = of.text("tokenizer.ggml.model")?;
    let json = match kind {
        "gpt2" => of.byte_level()?,
        "llama" => of.sentence_pieces()?,
        other => {
            return Err(of.refused(format!(
                "tokenizer.ggml.model is `{other}`; gpt2 and llama are supported"
            )));
        }
    };
    let bytes = serde_json::to_vec(&json).map_err(|e| of.refused(e.to_string()))?;
    Tokens::parse(path, &bytes, rows)
}

struct Vocabulary<'a> {
    path: &'a Path,
    header: &'a Header,
}

impl<'a> Vocabulary<'a> {
    fn refused(&self, reason: String) -> ModelError {
        ModelError::Tokenizer {
            path: self.path.into(),
            reason,
        }
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.header.values.get(key)
    }

    fn text(&self, key: &str) -> Result<&'a str, ModelError> {
        match self.get(key) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(self.refused(format!("the file has no text `{key}`"))),
        }
    }

    fn texts(&self, key: &str) -> Result<&'a [String], ModelError> {
        match self.get(key) {
            Some(Value::Texts(texts)) => Ok(texts),
            _ => Err(self.refused(format!("the file has no list of texts `{key}`"))),
        }
    }

    fn flag(&self, key: &str, default: bool) -> bool {
        match self.get(key) {
            Some(Value::Flag(on)) => *on,
            _ => default,
        }
    }

    /// The tokens; an empty one stands for nothing and is left out, as are those the file calls unused.
    fn tokens(&self) -> Result<Vec<(usize, &'a str, i64)>, ModelError> {
        let tokens = self.texts("tokenizer.ggml.tokens")?;
        let kinds: &[i64] = match self.get("tokenizer.ggml.token_type") {
            Some(Value::Wholes(kinds)) if kinds.len() == tokens.len() => kinds,
            None => &[],
            _ => {
                let reason = "tokenizer.ggml.token_type does not have one number for each token";
                return Err(self.refused(reason.into()));
            }
        };
        let each = tokens.iter().enumerate().map(|(id, token)| {
            let kind = kinds.get(id).copied().unwrap_or(1);
            (id, token.as_str(), kind)
        });
        let used: Vec<_> = each
            .filter(|(_, token, kind)| *kind != UNUSED && !token.is_empty())
            .collect();
        let mut seen = HashMap::with_capacity(used.len());
        for (id, token, _) in &used {
            if let Some(first) = seen.insert(*token, *id) {
                let reason = format!("tokens {first} and {id} are both `{token}`");
                return Err(self.refused(reason));
            }
        }
        Ok(used)
    }

    fn added(tokens: &[(usize, &str, i64)]) -> Json {
        let added = tokens
            .iter()
            .filter(|(_, _, kind)| matches!(*kind, CONTROL | USER_DEFINED));
        let each = added.map(|(id, content, kind)| {
            json!({"id": id, "content": content, "special": *kind == CONTROL, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false})
        });
        each.collect()
    }

    /// What stands around every text: the token that begins one, where the file asks for it.
    fn around(&self, tokens: &[(usize, &str, i64)], default: bool) -> Json {
        let begin = match self.get("tokenizer.ggml.bos_token_id") {
            Some(Value::Whole(id)) => tokens
                .iter()
                .find(|(found, ..)| i128::try_from(*found) == Ok(*id)),
            _ => None,
        };
        let Some((id, content, _)) =
            begin.filter(|_| self.flag("tokenizer.ggml.add_bos_token", default))
        else {
            return Json::Null;
        };
        let (first, text) = (
            json!({"SpecialToken": {"id": content, "type_id": 0}}),
            json!({"Sequence": {"id": "A", "type_id": 0}}),
        );
        json!({
            "type": "TemplateProcessing", "single": [first, text],
            "pair": [first, text, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {*content: {"id": content, "ids": [id], "tokens": [content]}},
        })
    }

    fn byte_level(&self) -> Result<Json, ModelError> {
        let name = self.text("tokenizer.ggml.pre")?;
        let Some(cut) = Cut::named(name) else {
            return Err(self.refused(format!(
                "tokenizer.ggml.pre is `{name}`; {KNOWN} are supported"
            )));
        };
        let tokens = self.tokens()?;
        let merges = self.texts("tokenizer.ggml.merges")?;
        let vocabulary: serde_json::Map<String, Json> = tokens
            .iter()
            .map(|(id, token, _)| ((*token).to_owned(), json!(id)))
            .collect();
        Ok(json!({
            "version": "1.0", "added_tokens": Self::added(&tokens),
            "normalizer": if cut.composed { json!({"type": "NFC"}) } else { Json::Null },
            "pre_tokenizer": cut.json(),
            "post_processor": self.around(&tokens, cut.begins),
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {"type": "BPE", "vocab": vocabulary, "merges": merges, "ignore_merges": cut.whole_words},
        }))
    }

    fn sentence_pieces(&self) -> Result<Json, ModelError> {
        const SPACE: &str = "▁";
        let tokens = self.tokens()?;
        let scores: &[f32] = match self.get("tokenizer.ggml.scores") {
            Some(Value::Reals(scores)) => scores,
            _ => return Err(self.refused("the file has no tokenizer.ggml.scores".into())),
        };
        let total = self.texts("tokenizer.ggml.tokens")?.len();
        if scores.len() != total || scores.iter().any(|score| score.is_nan()) {
            let reason = format!("tokenizer.ggml.scores are not {total} numbers");
            return Err(self.refused(reason));
        }
        let unknown = match self.get("tokenizer.ggml.unknown_token_id") {
            Some(Value::Whole(id)) => *id,
            _ => 0,
        };
        let unknown = tokens
            .iter()
            .find(|(id, ..)| i128::try_from(*id) == Ok(unknown))
            .map(|(_, token, _)| *token);
        let vocabulary: serde_json::Map<String, Json> = tokens
            .iter()
            .map(|(id, token, _)| ((*token).to_owned(), json!(id)))
            .collect();
        let merges = merges(&tokens, scores).ok_or_else(|| {
            let reason = format!(
                "its pieces can be put together from others in more than {MERGES_MAX} ways"
            );
            self.refused(reason)
        })?;
        let prefix = self.flag("tokenizer.ggml.add_space_prefix", true);
        let spaces = json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE});
        let normalizer = if prefix {
            json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, spaces]})
        } else {
            spaces
        };
        let mut decoders = vec![
            json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "}),
            json!({"type": "ByteFallback"}),
            json!({"type": "Fuse"}),
        ];
        if prefix {
            decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        }
        Ok(json!({
            "version": "1.0", "added_tokens": Self::added(&tokens),
            "normalizer": normalizer, "pre_tokenizer": null,
            "post_processor": self.around(&tokens, true),
            "decoder": {"type": "Sequence", "decoders": decoders},
            "model": {
                "type": "BPE", "unk_token": unknown, "fuse_unk": true, "byte_fallback": true,
                "vocab": vocabulary, "merges": merges,
            },
        }))
    }
}

/// Most ways to put pieces together from others: several times those of the largest vocabularies.
const MERGES_MAX: usize = 4_000_000;

/// Every way to put a piece together from two others, those of the best pieces first; `None` when they are too many.
fn merges(tokens: &[(usize, &str, i64)], scores: &[f32]) -> Option<Vec<Json>> {
    let ids: HashMap<&str, usize> = tokens.iter().map(|(id, token, _)| (*token, *id)).collect();
    let normal = tokens.iter().filter(|(_, token, kind)| {
        *kind != CONTROL && *kind != 6 && *kind != 2 && token.len() <= PIECE_BYTES_MAX
    });
    let mut found: Vec<(f32, usize, usize, &str, &str)> = normal
        .flat_map(|(id, token, _)| {
            let cuts = token
                .char_indices()
                .skip(1)
                .map(|(at, _)| token.split_at(at));
            let ids = &ids;
            cuts.filter_map(move |(left, right)| {
                Some((scores[*id], *ids.get(left)?, *ids.get(right)?, left, right))
            })
        })
        .take(MERGES_MAX + 1)
        .collect();
    if found.len() > MERGES_MAX {
        return None;
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let pairs = found.into_iter();
    Some(
        pairs
            .map(|(.., left, right)| json!([left, right]))
            .collect(),
    )
}

/// How text is cut into words before it becomes tokens.
struct Cut {
    /// Of every digit its own word, before the expression is looked at.
    digits: bool,
    /// An expression for words; GPT-2's without one.
    words: Option<&'static str>,
    /// Accents are put onto their letters first.
    composed: bool,
    /// A word that is a token is not put together from parts.
    whole_words: bool,
    /// Texts begin with the token that begins texts, unless the file says otherwise.
    begins: bool,
}

impl Cut {
    fn named(name: &str) -> Option<Self> {
        let plain = Self {
            digits: false,
            words: None,
            composed: false,
            whole_words: false,
            begins: false,
        };
        Some(match name {
            "gpt-2" | "gpt2" => plain,
            "smollm" => Self {
                digits: true,
                ..plain
            },
            "qwen2" => Self {
                words: Some(
                    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
                ),
                composed: true,
                ..plain
            },
            "llama-bpe" | "llama3" | "llama-v3" => Self {
                words: Some(
                    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
                ),
                whole_words: true,
                begins: true,
                ..plain
            },
            "tekken" => Self {
                words: Some(
                    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
                ),
                whole_words: true,
                begins: true,
                ..plain
            },
            _ => return None,
        })
    }

    fn json(&self) -> Json {
        let bytes = json!({
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": self.words.is_none(),
        });
        let before = match self.words {
            Some(words) => {
                json!({"type": "Split", "pattern": {"Regex": words}, "behavior": "Isolated", "invert": false})
            }
            None if self.digits => json!({"type": "Digits", "individual_digits": true}),
            None => return bytes,
        };
        json!({"type": "Sequence", "pretokenizers": [before, bytes]})
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(serde::Deserialize)]
    struct Golden {
        tokens: Vec<String>,
        merges: Vec<String>,
        encodings: BTreeMap<String, Vec<Encoding>>,
    }

    #[derive(serde::Deserialize)]
    struct Encoding {
        text: String,
        ids: Vec<u32>,
    }

    /// Independent truth: llama.cpp (`fixtures/golden/decode/make_pretokenizers.py`), but for accents apart from their letters.
    #[test]
    fn text_is_cut_into_words_as_llama_cpp_cuts_it() {
        let golden = include_str!("../../../fixtures/golden/decode/gguf/pretokenizers.json");
        let golden: Golden = serde_json::from_str(golden).unwrap();
        let rows = golden.tokens.len();
        assert_eq!(golden.encodings.len(), 5);
        let mut wrong = Vec::new();
        for (name, encodings) in golden.encodings {
            let mut kinds = vec![1; rows];
            kinds[rows - 2..].fill(CONTROL);
            let text = |text: &str| Value::Text(text.to_owned());
            let values = [
                ("model", text("gpt2")),
                ("pre", text(&name)),
                ("tokens", Value::Texts(golden.tokens.clone())),
                ("merges", Value::Texts(golden.merges.clone())),
                ("token_type", Value::Wholes(kinds)),
                ("bos_token_id", Value::Whole(rows as i128 - 2)),
                ("eos_token_id", Value::Whole(rows as i128 - 1)),
            ];
            let values = values.map(|(key, value)| (format!("tokenizer.ggml.{key}"), value));
            let header = Header {
                values: values.into(),
                tensors: Vec::new(),
            };
            let tokens = tokenizer(Path::new("golden.gguf"), &header, rows).unwrap();
            for Encoding { text, ids } in encodings {
                let found = tokens.encode(&text).unwrap();
                if found != ids {
                    wrong.push(format!("{name} {text:?}: {found:?}, not {ids:?}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
