//! A conversation as a model was trained to see it: the template that lies with its tokenizer, rendered as Hugging Face renders it.
//!
//! A template is a program from a file. It can reach nothing but the messages, may take so many steps, and may write so much.

use std::fmt::Write as _;
use std::sync::Arc;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value, context};
use serde::{Deserialize, Serialize};

use super::error::DecodeError;
use super::model::Model;

/// Steps a template may take: a conversation of a thousand messages takes some fifty thousand.
const STEPS_MAX: u64 = 5_000_000;
/// Longest text a template may write, bytes.
const TEXT_BYTES_MAX: usize = 16 << 20;
/// Longest template, bytes.
pub(super) const TEMPLATE_BYTES_MAX: usize = 1 << 20;
const NAME: &str = "chat template";

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it: `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A message of a role.
    #[must_use]
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: content.into(),
        }
    }
}

/// A model's template, and the texts of the tokens it may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) text: String,
    pub(super) bos: String,
    pub(super) eos: String,
}

impl Model {
    /// Whether the model has a template for conversations.
    #[must_use]
    pub fn has_chat(&self) -> bool {
        self.chat.is_some()
    }

    /// A conversation as text, ending where the assistant's answer begins.
    ///
    /// # Errors
    /// [`DecodeError::Chat`]: no template, one that fails, or one that refuses these messages.
    pub fn chat_text(&self, messages: &[Message]) -> Result<String, DecodeError> {
        let Some(template) = &self.chat else {
            return Err(DecodeError::Chat {
                reason: "the model has no chat template; give it a prompt instead".into(),
            });
        };
        render(template, messages, true)
    }

    /// The tokens of a conversation, ending where the assistant's answer begins. Texts of special tokens inside of messages become such tokens, as
    /// everywhere these templates are used: do not pass on what a stranger wrote.
    ///
    /// # Errors
    /// As [`Self::chat_text`], and [`DecodeError::Tokenizer`].
    pub fn chat(&self, messages: &[Message]) -> Result<Vec<u32>, DecodeError> {
        self.tokens.encode_bare(&self.chat_text(messages)?)
    }

    /// Special tokens that end the assistant's turn in the model's template, in order; none without a template. They are two: the one that
    /// lies with the tokenizer as the end of a text, and the first that the template itself writes behind an answer. Often both are the token
    /// that the configuration names as the end of a text, but not in every model that was taught conversations afterwards.
    #[must_use]
    pub fn turn_ends(&self) -> Vec<u32> {
        let Some(template) = &self.chat else {
            return Vec::new();
        };
        let mut ends: Vec<u32> = self.tokens.special(&template.eos).into_iter().collect();
        // A word that no template has of its own.
        const ANSWER: &str = "qzxanswerqzx";
        let turn = [Message::new("user", "?"), Message::new("assistant", ANSWER)];
        let behind = render(template, &turn, false).ok();
        let behind = behind.as_deref().and_then(|text| text.rsplit_once(ANSWER));
        if let Some((_, behind)) = behind
            && let Ok(tokens) = self.tokens.encode_bare(behind)
        {
            let special = |token: &u32| self.tokens.is_special(*token);
            ends.extend(tokens.into_iter().find(special));
        }
        ends.sort_unstable();
        ends.dedup();
        ends
    }
}

/// Renders a conversation, with `answer` ending where the assistant's answer begins.
fn render(template: &Template, messages: &[Message], answer: bool) -> Result<String, DecodeError> {
    let failed = |error: Error| DecodeError::Chat {
        reason: match error.kind() {
            ErrorKind::OutOfFuel => "the template does not end".into(),
            _ => error.to_string(),
        },
    };
    let mut environment = Environment::new();
    environment.set_fuel(Some(STEPS_MAX));
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_filter("tojson", to_json);
    environment.add_function("raise_exception", |said: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, said))
    });
    // The day belongs to no conversation that is to be repeated: templates that ask for it get none.
    environment.add_function("strftime_now", |_: String| Value::from(""));
    environment
        .add_template(NAME, &template.text)
        .map_err(failed)?;
    let compiled = environment.get_template(NAME).map_err(failed)?;
    let mut out = Bounded(Vec::new());
    let given = context! {
        messages => messages,
        add_generation_prompt => answer,
        bos_token => template.bos,
        eos_token => template.eos,
    };
    compiled
        .render_captured_to(given, &mut out)
        .map_err(failed)?;
    String::from_utf8(out.0).map_err(|e| DecodeError::Chat {
        reason: e.to_string(),
    })
}

/// Text that may not grow past its bound.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > TEXT_BYTES_MAX {
            return Err(std::io::Error::other("the template writes without an end"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// JSON as Python writes it: a space behind commas and colons, nothing escaped that need not be.
fn to_json(value: &Value, options: Kwargs) -> Result<String, Error> {
    // `ensure_ascii` and `sort_keys` change nothing that templates of chats use.
    let indent: Option<usize> = options.get("indent")?;
    let mut out = String::new();
    write_json(value, indent, 0, &mut out)?;
    Ok(out)
}

fn write_json(
    value: &Value,
    indent: Option<usize>,
    depth: usize,
    out: &mut String,
) -> Result<(), Error> {
    const DEPTH_MAX: usize = 64;
    if depth > DEPTH_MAX {
        return Err(Error::new(ErrorKind::BadSerialization, "nested too deep"));
    }
    let line = |out: &mut String, depth: usize| {
        if let Some(indent) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent.min(16) * depth));
        }
    };
    let between = if indent.is_some() { "," } else { ", " };
    let plain = |value: &Value| {
        serde_json::to_string(value)
            .map_err(|e| Error::new(ErrorKind::BadSerialization, e.to_string()))
    };
    match value.kind() {
        ValueKind::Map => {
            out.push('{');
            for (i, key) in value.try_iter()?.enumerate() {
                out.push_str(if i > 0 { between } else { "" });
                line(out, depth + 1);
                out.push_str(&plain(&Value::from(key.to_string()))?);
                out.push_str(": ");
                write_json(&value.get_item(&key)?, indent, depth + 1, out)?;
            }
            line(out, depth);
            out.push('}');
        }
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            for (i, item) in value.try_iter()?.enumerate() {
                out.push_str(if i > 0 { between } else { "" });
                line(out, depth + 1);
                write_json(&item, indent, depth + 1, out)?;
            }
            line(out, depth);
            out.push(']');
        }
        _ => {
            let _ = write!(out, "{}", plain(value)?); // into a String
        }
    }
    Ok(())
}

/// The template of a folder: `chat_template.jinja`, or the one in `tokenizer_config.json`, whose token texts count in both cases.
pub(super) fn of_folder(
    config: Option<&serde_json::Value>,
    alone: Option<String>,
) -> Option<Arc<Template>> {
    let text_of = |key: &str| match config?.get(key)? {
        serde_json::Value::String(text) => Some(text.clone()),
        other => other.get("content")?.as_str().map(str::to_owned),
    };
    let inside = || match config?.get("chat_template")? {
        serde_json::Value::String(text) => Some(text.clone()),
        // Several with names: the plain one.
        serde_json::Value::Array(several) => several
            .iter()
            .find(|one| one.get("name").and_then(|name| name.as_str()) == Some("default"))?
            .get("template")?
            .as_str()
            .map(str::to_owned),
        _ => None,
    };
    let text = alone.or_else(inside)?;
    (text.len() <= TEMPLATE_BYTES_MAX).then(|| {
        Arc::new(Template {
            text,
            bos: text_of("bos_token").unwrap_or_default(),
            eos: text_of("eos_token").unwrap_or_default(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Templates in the shape of four families, and what `apply_chat_template` of transformers makes of them: fixtures/golden/decode/make_chat.py.
    const GOLDEN: &str = include_str!("../../fixtures/golden/decode/chat/golden.json");

    #[derive(Deserialize)]
    struct Case {
        template: String,
        messages: Vec<Message>,
        /// `None` where the template refuses the messages.
        text: Option<String>,
    }

    fn template(text: &str) -> Template {
        Template {
            text: text.into(),
            bos: "<s>".into(),
            eos: "</s>".into(),
        }
    }

    #[test]
    fn conversations_are_rendered_as_hugging_face_renders_them() {
        let golden: serde_json::Value = serde_json::from_str(GOLDEN).unwrap();
        let cases: Vec<Case> = serde_json::from_value(golden["cases"].clone()).unwrap();
        assert!(cases.len() >= 20);
        for case in cases {
            let text = golden["templates"][&case.template].as_str().unwrap();
            let found = render(&template(text), &case.messages, true);
            assert_eq!(
                found.ok(),
                case.text,
                "{} {:?}",
                case.template,
                case.messages
            );
        }
    }

    #[test]
    fn a_template_that_does_not_end_or_fails_is_told() {
        let messages = [Message::new("user", "hello")];
        let said = |text: &str| {
            let failed = render(&template(text), &messages, true);
            failed.unwrap_err().to_string()
        };
        let loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% set c = 1 %}{% endfor %}{% endfor %}";
        assert!(said(loops).contains("does not end"), "{}", said(loops));
        let writes = format!(
            "{{% for a in range(9999) %}}{{{{ '{}' }}}}{{% endfor %}}",
            "x".repeat(10_000)
        );
        assert!(said(&writes).contains("failed"), "{}", said(&writes));
        assert!(said("{{ raise_exception('only two may speak') }}").contains("only two may speak"));
        assert!(said("{% if %}").contains("chat template"));
        assert!(
            said("{% include '/etc/passwd' %}").contains("not found"),
            "no file is reached"
        );
    }

    #[test]
    fn a_folder_tells_its_template_in_three_ways() {
        let of = |json: serde_json::Value, alone: Option<&str>| {
            of_folder(Some(&json), alone.map(Into::into)).map(|t| (t.text.clone(), t.bos.clone()))
        };
        use serde_json::json;
        let plain = json!({"chat_template": "A", "bos_token": "<s>"});
        assert_eq!(of(plain.clone(), None), Some(("A".into(), "<s>".into())));
        assert_eq!(of(plain, Some("B")), Some(("B".into(), "<s>".into())));
        let several = json!({
            "chat_template": [{"name": "tools", "template": "T"}, {"name": "default", "template": "D"}],
            "bos_token": {"content": "<b>"},
        });
        assert_eq!(of(several, None), Some(("D".into(), "<b>".into())));
        assert_eq!(of(json!({"chat_template": null}), None), None);
        assert_eq!(of_folder(None, None), None);
    }
}
