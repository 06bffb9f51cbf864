//! The text as written, each choice marked by who made it.

use std::ops::Range;

use maud::{Markup, html};

use super::figures::{self, chooser, chooser_class, probability, readable};
use super::material::{ForkStory, Material};
use crate::marker::OptionKind;
use crate::session::{EventKind, TextRecord};

/// Characters of the text before a choice that must be as its fork remembers them, if there are so many.
const CONTEXT_CHARS: usize = 12;

/// A choice that stands in the text.
pub(super) struct Placed<'a> {
    /// Bytes of the text that were written because of it.
    pub(super) span: Range<usize>,
    pub(super) story: &'a ForkStory,
}

pub(super) fn section(material: &Material) -> Markup {
    let text = material.text.as_deref().unwrap_or_default();
    let placed = place(text, material);
    let given = prompts(text, &material.manifest.texts);
    html! {
        section id="text" {
            h2 { "The text" }
            p class="key" {
                span class="by-person" { "chosen by the person" } " "
                span class="by-model" { "by the model" } " "
                @if material.summary.counts.by_imitator > 0 { span class="by-imitator" { "by the imitator" } " " }
                @if given.iter().any(|prompt| !prompt.is_empty()) { span class="given" { "the prompt" } " " }
                "the rest is the model's own. Numbers are forks."
            }
            @match &material.text {
                None => p { "The session left no text.txt." },
                Some(text) if text.trim().is_empty() => p { "No text was written." },
                Some(text) => div class="story" lang="" dir="auto" { (marked(text, &placed, &given)) },
            }
            (notes(material, &placed))
        }
    }
}

/// Where the prompts lie, bytes.
pub(super) fn prompts(text: &str, records: &[TextRecord]) -> Vec<Range<usize>> {
    let byte = |chars: u64| {
        let at = usize::try_from(chars).ok();
        let at = at.and_then(|chars| text.char_indices().nth(chars));
        at.map_or(text.len(), |(byte, _)| byte)
    };
    records
        .iter()
        .map(|record| byte(record.begins_char)..byte(record.begins_char + record.prompt_chars))
        .collect()
}

/// Text that nobody chose, with its prompts.
fn unchosen(text: &str, span: Range<usize>, given: &[Range<usize>]) -> Markup {
    let mut end = span.start;
    let within = given.iter().filter(|prompt| {
        !prompt.is_empty() && prompt.start >= span.start && prompt.end <= span.end
    });
    let pieces: Vec<(&str, &str)> = within
        .map(|prompt| {
            let before = text.get(end..prompt.start).unwrap_or_default();
            end = prompt.end;
            (before, text.get(prompt.clone()).unwrap_or_default())
        })
        .collect();
    html! {
        @for (before, prompt) in pieces {
            (readable(before))
            span class="given" { (readable(prompt)) }
        }
        (readable(text.get(end..span.end).unwrap_or_default()))
    }
}

/// The text with its choices in colour.
fn marked(text: &str, placed: &[Placed<'_>], given: &[Range<usize>]) -> Markup {
    let mut end = 0;
    let pieces: Vec<(Range<usize>, &Placed<'_>)> = placed
        .iter()
        .map(|choice| {
            let before = end..choice.span.start;
            end = choice.span.end;
            (before, choice)
        })
        .collect();
    html! {
        @for (before, choice) in pieces {
            (unchosen(text, before, given))
            @let written = text.get(choice.span.clone()).unwrap_or_default();
            @let (space, phrase, rest) = parts(written, choice.story);
            (space)
            span class=(chooser_class(choice.story.choice.as_ref().and_then(|choice| choice.chooser))) { (readable(phrase)) }
            @let number = choice.story.id().0;
            sup { a href=(format!("#note-{number}")) { (number) } }
            (readable(rest))
        }
        (unchosen(text, end..text.len(), given))
    }
}

/// What was written at a choice: the space before it, the phrase that was chosen, and what the model had ready behind it.
pub(super) fn parts<'a>(written: &'a str, story: &ForkStory) -> (&'a str, &'a str, &'a str) {
    let phrase = written.trim_start();
    let space = written.strip_suffix(phrase).unwrap_or_default();
    let offered = story.taken().map_or("", |option| option.tile.text.trim());
    match phrase.strip_prefix(offered).filter(|_| !offered.is_empty()) {
        Some(rest) => (space, phrase.strip_suffix(rest).unwrap_or(phrase), rest),
        // Wordings may differ from what was shown: then all of it counts as chosen.
        None => (space, phrase, ""),
    }
}

/// What each choice was made from.
fn notes(material: &Material, placed: &[Placed<'_>]) -> Markup {
    let in_text = |story: &ForkStory| placed.iter().any(|choice| choice.story.id() == story.id());
    html! {
        ul class="notes" {
            @for story in &material.forks {
                @if let (Some(choice), Some(taken)) = (&story.choice, story.taken()) {
                    li id=(format!("note-{}", story.id().0)) {
                        a href=(format!("#fork-{}", story.id().0)) { (story.id().0) } " "
                        (chooser(choice.chooser)) ": "
                        bdi lang="" { (option_words(taken)) } (posterior_of(story, taken.tile.item))
                        ", not "
                        @for (nth, option) in branches(story).filter(|option| option.tile.item != taken.tile.item).enumerate() {
                            @if nth > 0 { " or " }
                            bdi lang="" { (readable(&option.tile.text)) } (posterior_of(story, option.tile.item))
                        }
                        @if !in_text(story) { " – not in the final text" }
                    }
                }
            }
        }
    }
}

fn branches(story: &ForkStory) -> impl Iterator<Item = &crate::session::OptionRow> {
    story
        .options
        .iter()
        .filter(|option| matches!(option.tile.kind, OptionKind::Branch | OptionKind::Item))
}

fn posterior_of(story: &ForkStory, item: i32) -> String {
    let posterior = story.choice.as_ref().and_then(|choice| choice.posterior);
    usize::try_from(item)
        .ok()
        .and_then(|option| posterior?.as_slice().get(option).copied())
        .map(|p| format!(" ({})", probability(p)))
        .unwrap_or_default()
}

/// Finds in the final text what each choice wrote.
///
/// The ledger keeps what was written and the end of the text before it, not where that lies in the final text, from which
/// undone choices are gone. So choices are looked for from the last to the first, each before its successor, where the text
/// before it agrees best with what its fork remembers; what was taken back is passed over.
pub(super) fn place<'a>(text: &str, material: &'a Material) -> Vec<Placed<'a>> {
    enum Past<'a> {
        Choice(&'a ForkStory, &'a str),
        Undo,
    }
    let given = prompts(text, &material.manifest.texts);
    let mut past: Vec<(u64, Past<'a>)> = Vec::new();
    for story in &material.forks {
        let Some(choice) = &story.choice else {
            continue;
        };
        let at = choice.committed_mono.as_nanos();
        if story.is_undo() {
            past.push((at, Past::Undo));
        } else if !choice.text.is_empty() {
            past.push((at, Past::Choice(story, &choice.text)));
        }
    }
    past.extend(
        material
            .events
            .iter()
            .filter(|event| event.kind == EventKind::Operator && is_undo(&event.detail))
            .map(|event| (event.mono.as_nanos(), Past::Undo)),
    );
    past.sort_by_key(|(at, _)| *at);

    let (mut placed, mut end, mut undone) = (Vec::new(), text.len(), 0_u32);
    for (_, step) in past.into_iter().rev() {
        match step {
            Past::Undo => undone += 1,
            Past::Choice(..) if undone > 0 => undone -= 1,
            Past::Choice(story, written) => {
                let before = text.get(..end).unwrap_or_default();
                let span = find(before, written, &story.row.context);
                // Nobody chose a prompt.
                let in_prompt = |span: &Range<usize>| given.iter().any(|p| p.contains(&span.start));
                if let Some(span) = span.filter(|span| !in_prompt(span)) {
                    end = span.start;
                    placed.push(Placed { span, story });
                }
            }
        }
    }
    placed.reverse();
    placed
}

/// An undo that was asked for while no fork was open.
pub(super) fn is_undo(detail: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(detail)
        .is_ok_and(|detail| detail.get("undo").is_some())
}

/// The last place in `text` where `written` stands behind the best piece of `context`.
fn find(text: &str, written: &str, context: &str) -> Option<Range<usize>> {
    let enough = context.chars().count().min(CONTEXT_CHARS);
    text.match_indices(written)
        .filter_map(|(start, _)| {
            let before = text.get(..start)?;
            let same = before
                .chars()
                .rev()
                .zip(context.chars().rev())
                .take_while(|(a, b)| a == b)
                .count();
            // At the start of a text the fork may remember a prompt, which folders of before left out of the text.
            let begins = before.is_empty() || before.ends_with("\n\n");
            (same >= enough || begins).then_some((same, start))
        })
        .max()
        .map(|(_, start)| start..start + written.len())
}

/// The end of a context, a dozen words at most.
pub(super) fn tail(context: &str, chars: usize) -> String {
    let flat: String = readable(context).replace(['\n', '\t'], " ");
    let count = flat.chars().count();
    if count <= chars {
        return flat;
    }
    let cut: String = flat.chars().skip(count - chars).collect();
    let whole_words = cut.split_once(' ').map_or(cut.as_str(), |(_, rest)| rest);
    format!("…{whole_words}")
}

/// What an option says, or does.
pub(super) fn option_words(option: &crate::session::OptionRow) -> String {
    match figures::control(option.tile.kind) {
        Some(control) => control.to_owned(),
        None => readable(&option.tile.text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_that_stands_twice_is_found_where_its_context_is() {
        let text = "The fox went to the mill. The hen went to the mill.";
        assert_eq!(find(text, " to the mill", "The fox went"), Some(12..24));
        assert_eq!(
            find(text, " to the mill", "prompt: The hen went"),
            Some(38..50)
        );
        assert_eq!(find(text, " to the mill", "The wolf ran off"), None);
    }

    #[test]
    fn the_first_words_of_a_text_are_found_though_the_context_is_a_prompt() {
        assert_eq!(find("Лиса спала.", "Лиса", "Tell me a story:"), Some(0..8));
    }

    #[test]
    fn each_prompt_is_marked_where_its_text_begins() {
        let text = "Лиса спала.\n\nЛиса & co";
        let records = [
            TextRecord::behind("", "Лиса"),
            TextRecord::behind("Лиса спала.\n\n", "Лиса &"),
        ];
        let given = prompts(text, &records);
        assert_eq!(
            unchosen(text, 0..text.len(), &given).into_string(),
            "<span class=\"given\">Лиса</span> спала.\n\n<span class=\"given\">Лиса &amp;</span> co"
        );
        // A text cut off before its prompt's end is shown as far as it goes.
        assert_eq!(prompts("Ли", &records), [0..4, 4..4]);
    }

    #[test]
    fn a_tail_begins_with_a_whole_word() {
        assert_eq!(tail("one two three four", 11), "…three four");
        assert_eq!(tail("one\ntwo", 11), "one two");
    }
}
