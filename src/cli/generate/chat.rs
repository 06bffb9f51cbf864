//! A conversation: every line is answered, in the form that the model was taught.

use std::io::{BufRead, Write};

use super::answer::answer;
use super::input::line;
use super::output::{Ended, Out};
use crate::decode::{DecodeError, Generator, Message};

/// Begins the conversation anew.
const CLEAR: &str = "/clear";
/// Ends it.
const QUIT: &str = "/quit";

/// Answers lines until there are no more. What was said before stays in the model's memory and is not computed again.
///
/// A line that does not fit into the context any more is refused: a person is told, and may begin anew; for a pipe that is an error.
pub(super) fn talk<W: Write, T: Write>(
    generator: &mut Generator,
    system: Option<&str>,
    typed: bool,
    stdin: &mut impl BufRead,
    out: &mut Out<'_, W, T>,
) -> Result<(), Ended> {
    let model = std::sync::Arc::clone(generator.model());
    let begin: Vec<Message> = system
        .map(|text| Message::new("system", text))
        .into_iter()
        .collect();
    let mut said = begin.clone();
    // Before anything is typed: whether the model has a template at all, and one that takes these roles.
    said.push(Message::new("user", "?"));
    model.chat(&said)?;
    said.pop();
    loop {
        if typed {
            out.ask();
        }
        let Some(line) = line(stdin)? else {
            return Ok(());
        };
        match line.trim() {
            "" => continue,
            QUIT => return Ok(()),
            CLEAR => {
                said.clone_from(&begin);
                generator.clear();
                continue;
            }
            _ => said.push(Message::new("user", line)),
        }
        let tokens = model.chat(&said)?;
        match answer(generator, (&tokens, ""), out) {
            Ok(answer) => said.push(Message::new("assistant", answer.text)),
            Err(Ended::Refused(error @ DecodeError::PromptTooLong { .. })) if typed => {
                said.pop();
                out.say(&format!("{error}. {CLEAR} begins the conversation anew"));
            }
            Err(ended) => return Err(ended),
        }
    }
}
