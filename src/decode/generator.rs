//! Plain decoding: one prompt after the other, each answered token by token. Nobody is asked.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::dense::{self, Device, Floats};
use super::distribution::{Place, Purpose};
use super::error::DecodeError;
use super::model::Model;
use super::runner::Runner;
use super::sampling::{Sampler, Sampling};
use super::stop::StopTexts;
use super::text::TextStream;

/// What happens when an answer has come to the end of the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// The answer ends there: [`Finish::ContextFull`].
    #[default]
    Stop,
    /// The last half of the text is read again as a fresh context, behind the model's beginning token if the text had it in front, and
    /// the answer goes on. What stood before is forgotten.
    Renew,
}

impl std::str::FromStr for WhenFull {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "stop" => Ok(Self::Stop),
            "renew" => Ok(Self::Renew),
            other => Err(format!("`{other}` is neither stop nor renew")),
        }
    }
}

/// Settings of a [`Generator`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GeneratorSettings {
    /// Same seed and prompt: same answer.
    pub seed: u64,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Tokens of one answer, 1 to 1,000,000.
    pub tokens_max: usize,
    /// Tokens that prompt and answer may have together, from 2; the model's own context if that is shorter, or `None`.
    pub context_tokens_max: Option<usize>,
    /// What happens when they have.
    pub when_full: WhenFull,
    /// Texts that end an answer, without being part of it.
    pub stop: Vec<String>,
    /// Tokens that end an answer beside those that the model's configuration names, such as [`Model::turn_ends`].
    pub end_tokens: Vec<u32>,
}

impl Default for GeneratorSettings {
    fn default() -> Self {
        Self {
            seed: 1,
            sampling: Sampling::default(),
            tokens_max: 200,
            context_tokens_max: None,
            when_full: WhenFull::Stop,
            stop: Vec::new(),
            end_tokens: Vec::new(),
        }
    }
}

impl GeneratorSettings {
    /// Checks every range.
    ///
    /// # Errors
    /// [`DecodeError::Setting`] with the key, its value and the range.
    pub fn check(&self) -> Result<(), DecodeError> {
        self.sampling.check()?;
        let context = self.context_tokens_max.unwrap_or(2);
        for (key, found, min, max) in [
            ("tokens_max", self.tokens_max, 1, 1_000_000),
            ("context_tokens_max", context, 2, 1 << 24),
        ] {
            if !(min..=max).contains(&found) {
                return Err(DecodeError::Setting {
                    key,
                    found: found as f64,
                    min: f64::from(min as u32),
                    max: f64::from(max as u32),
                });
            }
        }
        Ok(())
    }
}

/// Why an answer is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model ended it.
    EndOfText,
    /// One of [`GeneratorSettings::stop`] came.
    StopText,
    /// [`GeneratorSettings::tokens_max`] is reached.
    TokensMax,
    /// Prompt and answer fill the context.
    ContextFull,
}

/// A prompt that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PromptRead {
    /// Its tokens.
    pub tokens: usize,
    /// How many of them were held already, as the beginning of the text before, and did not have to be computed.
    pub reused_tokens: usize,
}

/// One token of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The token; `None` when the answer was over before it.
    pub token: Option<u32>,
    /// The text that it completes, in whole characters; often empty, as a character or a stop text may still be open.
    pub text: String,
    /// Whether the answer is over with it, and why.
    pub finish: Option<Finish>,
}

/// Answers prompts with one model. Belongs to one thread.
///
/// An answer is a function of model, settings and prompt. A prompt that begins as the text before it, as in a conversation, is computed
/// from where the two part: other chunks of the same sums, so logits may differ from those of the whole prompt in their last bits.
#[derive(Debug)]
pub struct Generator {
    model: Arc<Model>,
    settings: GeneratorSettings,
    context: usize,
    runner: Box<dyn Runner>,
    sampler: Sampler,
    /// The tokens that the runner holds.
    held: Vec<u32>,
    /// The last token written, which the runner has not read yet.
    unread: Option<u32>,
    /// Tokens of prompt and answer, those included that a fresh context has left behind.
    position: usize,
    written: usize,
    text: TextStream,
    stop: StopTexts,
    finish: Option<Finish>,
    begun: bool,
}

impl Generator {
    /// A generator that holds nothing, on our own kernels.
    ///
    /// # Errors
    /// [`DecodeError::Setting`].
    pub fn new(model: Arc<Model>, settings: GeneratorSettings) -> Result<Self, DecodeError> {
        Self::on(model, settings, Device::Cpu, Floats::default())
    }

    /// As [`Self::new`], on a device. `floats` is for cards; our own kernels compute as the model is held. A card has a copy of the weights,
    /// made here.
    ///
    /// # Errors
    /// As [`Self::new`]; [`DecodeError::Device`] where the device is not there, or cannot compute this model.
    pub fn on(
        model: Arc<Model>,
        settings: GeneratorSettings,
        device: Device,
        floats: Floats,
    ) -> Result<Self, DecodeError> {
        settings.check()?;
        let runner = dense::runner(Arc::clone(&model), device, floats)?;
        let own = model.config().context_tokens;
        let context = settings
            .context_tokens_max
            .map_or(own, |most| most.min(own));
        Ok(Self {
            model,
            context,
            runner,
            sampler: Sampler::new(),
            held: Vec::new(),
            unread: None,
            position: 0,
            written: 0,
            text: TextStream::new(),
            stop: StopTexts::default(),
            finish: None,
            begun: false,
            settings,
        })
    }

    /// Reads a prompt; the answer to it comes from [`Generator::advance`]. What it has in common with the beginning of the text before
    /// (prompt and answer) is not computed again.
    ///
    /// # Errors
    /// [`DecodeError::EmptyPrompt`]; [`DecodeError::PromptTooLong`] when prompt and one token of an answer do not fit into the context:
    /// nothing is cut off a prompt, and the text before stays; [`DecodeError::UnknownToken`], [`DecodeError::NonFinite`].
    pub fn prompt(&mut self, tokens: &[u32]) -> Result<PromptRead, DecodeError> {
        if tokens.is_empty() {
            return Err(DecodeError::EmptyPrompt);
        }
        if tokens.len() >= self.context {
            return Err(DecodeError::PromptTooLong {
                found_tokens: tokens.len(),
                context_tokens: self.context,
            });
        }
        self.begun = false;
        let common = self.held.iter().zip(tokens).take_while(|(a, b)| a == b);
        // The last token is read in any case: logits are wanted behind it.
        let reused_tokens = common.count().min(tokens.len() - 1);
        self.unread = None;
        self.hold(reused_tokens);
        self.read(&tokens[reused_tokens..])?;
        self.text = TextStream::new();
        for &token in tokens {
            self.text.push(self.model.tokens(), token)?;
        }
        self.stop = StopTexts::new(&self.settings.stop);
        (self.position, self.written, self.finish) = (tokens.len(), 0, None);
        self.begun = true;
        Ok(PromptRead {
            tokens: tokens.len(),
            reused_tokens,
        })
    }

    /// A prompt for going on with a text: its tokens, or where they leave no room for an answer what a fresh context would begin with.
    #[must_use]
    pub fn going_on<'a>(&self, text: &'a [u32]) -> Cow<'a, [u32]> {
        if text.len() < self.context {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(self.last_half(text))
        }
    }

    /// Writes one token. When the answer is over, says so again.
    ///
    /// # Errors
    /// [`DecodeError::NotStarted`] before a prompt, or after one that failed; [`DecodeError::NonFinite`] and
    /// [`DecodeError::NoCandidates`] when the model has no sound answer.
    pub fn advance(&mut self) -> Result<Written, DecodeError> {
        if !self.begun {
            return Err(DecodeError::NotStarted);
        }
        if self.finish.is_some() {
            return Ok(self.over(None));
        }
        if self.written >= self.settings.tokens_max {
            return Ok(self.over(Some(Finish::TokensMax)));
        }
        if self.held.len() + usize::from(self.unread.is_some()) >= self.context {
            match self.settings.when_full {
                WhenFull::Stop => return Ok(self.over(Some(Finish::ContextFull))),
                WhenFull::Renew => self.renew()?,
            }
        }
        if let Some(token) = self.unread {
            self.read(&[token])?;
            self.unread = None;
        }
        let token = self.draw()?;
        if self.is_end(token) {
            return Ok(self.over(Some(Finish::EndOfText)));
        }
        let piece = self.text.push(self.model.tokens(), token)?;
        self.unread = Some(token);
        self.position += 1;
        self.written += 1;
        let (text, stopped) = self.stop.push(&piece);
        self.finish = stopped.then_some(Finish::StopText);
        Ok(Written {
            token: Some(token),
            text,
            finish: self.finish,
        })
    }

    /// Tokens that prompt and answer may have together.
    #[must_use]
    pub fn context_tokens(&self) -> usize {
        self.context
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Forgets the text: the next prompt is computed from its first token on.
    pub fn clear(&mut self) {
        self.hold(0);
        (self.unread, self.begun) = (None, false);
    }

    fn over(&mut self, finish: Option<Finish>) -> Written {
        let (text, stopped) = self.stop.finish();
        let finish = if stopped {
            Some(Finish::StopText)
        } else {
            finish
        };
        self.finish = self.finish.or(finish);
        Written {
            token: None,
            text,
            finish: self.finish,
        }
    }

    fn is_end(&self, token: u32) -> bool {
        self.model.is_end(token) || self.settings.end_tokens.contains(&token)
    }

    fn draw(&mut self) -> Result<u32, DecodeError> {
        let position = self.position;
        let place = Place {
            seed: self.settings.seed,
            position,
            choices: 0,
        };
        let (model, ends) = (&self.model, &self.settings.end_tokens);
        self.sampler
            .draw(
                &self.settings.sampling,
                self.runner.logits(),
                self.held.iter().rev().copied(),
                place.draw(Purpose::Token, 0),
                |token| model.is_allowed(token) || ends.contains(&token),
            )
            .ok_or(DecodeError::NoCandidates { position })
    }

    /// Keeps the first `tokens` tokens held.
    fn hold(&mut self, tokens: usize) {
        self.held.truncate(tokens);
        self.runner.cut(tokens);
    }

    fn read(&mut self, tokens: &[u32]) -> Result<(), DecodeError> {
        match self.runner.read(tokens) {
            Ok(()) => {
                self.held.extend_from_slice(tokens);
                Ok(())
            }
            Err(error) => {
                self.begun = false;
                self.hold(0); // what a failed step leaves behind is not relied on
                Err(error)
            }
        }
    }

    /// Reads the last half of the text into a fresh context.
    fn renew(&mut self) -> Result<(), DecodeError> {
        let mut text = std::mem::take(&mut self.held);
        text.extend(self.unread.take());
        let fresh = self.last_half(&text);
        self.runner.cut(0);
        self.read(&fresh)
    }

    /// What a fresh context begins with, as the writer's does: the last tokens of a text, half as many as the context holds, behind the one
    /// that begins texts where the text had it.
    fn last_half(&self, text: &[u32]) -> Vec<u32> {
        let begins = self.model.config().bos;
        let begins = begins.filter(|bos| text.first() == Some(bos));
        let kept = &text[text.len() - (self.context / 2).max(1).min(text.len())..];
        begins.into_iter().chain(kept.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Shape, random_model};
    use super::super::{Cancel, End, Step, Writer, WriterSettings};
    use super::*;

    const CONTEXT: usize = 200;

    fn model() -> Arc<Model> {
        random_model(Shape(32, 2, 4, 2, 8, 48), CONTEXT, 3)
    }

    fn settings(tokens_max: usize) -> GeneratorSettings {
        GeneratorSettings {
            tokens_max,
            ..GeneratorSettings::default()
        }
    }

    fn generator(settings: GeneratorSettings) -> Generator {
        Generator::new(model(), settings).unwrap()
    }

    /// Tokens and text up to the end, and why it came.
    fn answer(generator: &mut Generator) -> (Vec<u32>, String, Finish) {
        let (mut tokens, mut text) = (Vec::new(), String::new());
        loop {
            let written = generator.advance().unwrap();
            tokens.extend(written.token);
            text.push_str(&written.text);
            if let Some(finish) = written.finish {
                return (tokens, text, finish);
            }
        }
    }

    #[test]
    fn an_answer_is_what_the_writer_writes_where_nothing_is_asked() {
        let model = model();
        for seed in 0..4 {
            let sampling = Sampling {
                repeat_penalty: 1.2,
                top_k: 40,
                ..Sampling::default()
            };
            let asked_nothing = WriterSettings {
                seed,
                detect: false,
                tokens_max: 50,
                top_k: sampling.top_k,
                repeat_penalty: sampling.repeat_penalty,
                ..WriterSettings::default()
            };
            let mut writer = Writer::new(Arc::clone(&model), asked_nothing).unwrap();
            writer.start("Лиса нашла").unwrap();
            while !matches!(
                writer.advance(&Cancel::new()).unwrap(),
                Step::End(End::Tokens | End::Text)
            ) {}

            let settings = GeneratorSettings {
                seed,
                sampling,
                ..settings(50)
            };
            let mut generator = Generator::new(Arc::clone(&model), settings).unwrap();
            let prompt = model.prompt("Лиса нашла").unwrap();
            generator.prompt(&prompt).unwrap();
            let (tokens, text, _) = answer(&mut generator);
            assert_eq!(writer.tokens(), [prompt, tokens].concat());
            assert_eq!(writer.text(), format!("Лиса нашла{text}"));
        }
    }

    #[test]
    fn a_prompt_that_begins_as_the_text_before_is_computed_from_where_they_part() {
        let greedy = GeneratorSettings {
            sampling: Sampling::likeliest(),
            ..settings(12)
        };
        let mut generator = generator(greedy.clone());
        let first: Vec<u32> = (2..42).collect();
        assert_eq!(generator.prompt(&first).unwrap().reused_tokens, 0);
        let (tokens, _, _) = answer(&mut generator);
        assert_eq!(tokens.len(), 12);

        // The last token of the answer was shown, and never read.
        let second = [&first[..], &tokens, &[7, 9, 11]].concat();
        let read = generator.prompt(&second).unwrap();
        assert_eq!((read.tokens, read.reused_tokens), (55, 51));
        let continued = answer(&mut generator);

        // Another way on from the middle of it.
        let third = [&second[..45], &[8; 30]].concat();
        assert_eq!(generator.prompt(&third).unwrap().reused_tokens, 45);
        let parted = answer(&mut generator);
        assert_eq!(
            generator.prompt(&third).unwrap().reused_tokens,
            74,
            "the last one is read again"
        );
        assert_eq!(answer(&mut generator), parted);

        for (prompt, expected) in [(second, continued), (third, parted)] {
            let mut fresh = Generator::new(Arc::clone(generator.model()), greedy.clone()).unwrap();
            assert_eq!(fresh.prompt(&prompt).unwrap().reused_tokens, 0);
            assert_eq!(answer(&mut fresh), expected);
        }
        generator.clear();
        assert!(matches!(generator.advance(), Err(DecodeError::NotStarted)));
        assert_eq!(generator.prompt(&first).unwrap().reused_tokens, 0);
        assert_eq!(answer(&mut generator).0, tokens);
    }

    #[test]
    fn an_answer_ends_where_the_context_is_full_or_goes_on_in_a_fresh_one() {
        let prompt: Vec<u32> = (2..152).collect();
        let mut stops = generator(settings(1000));
        stops.prompt(&prompt).unwrap();
        let (tokens, _, finish) = answer(&mut stops);
        assert_eq!((tokens.len(), finish), (CONTEXT - 150, Finish::ContextFull));
        assert_eq!(
            stops.advance().unwrap().finish,
            Some(Finish::ContextFull),
            "and says so again"
        );

        let mut renews = generator(GeneratorSettings {
            when_full: WhenFull::Renew,
            ..settings(180)
        });
        renews.prompt(&prompt).unwrap();
        let (further, _, finish) = answer(&mut renews);
        assert_eq!((further.len(), finish), (180, Finish::TokensMax));
        assert_eq!(further[..tokens.len()], tokens);
        assert!(renews.held.len() < CONTEXT);
    }

    #[test]
    fn a_text_is_gone_on_with_whole_or_from_its_last_half_behind_the_token_that_begins_texts() {
        let generator = generator(settings(4));
        let text: Vec<u32> = (2..31).cycle().take(CONTEXT + 60).collect();
        let fits = &text[..CONTEXT - 1];
        assert_eq!(*generator.going_on(fits), *fits);
        let last = &text[text.len() - CONTEXT / 2..];
        assert_eq!(*generator.going_on(&text), *last);
        // The sample's beginning token is 0.
        let begun = [&[0], &text[..]].concat();
        assert_eq!(*generator.going_on(&begun), [&[0], last].concat());
    }

    #[test]
    fn a_prompt_without_room_for_an_answer_is_refused_and_the_text_before_stays() {
        let mut generator = generator(GeneratorSettings {
            context_tokens_max: Some(20),
            ..settings(4)
        });
        let fits: Vec<u32> = (2..21).collect();
        generator.prompt(&fits).unwrap();
        let refused = generator.prompt(&[5; 20]).unwrap_err().to_string();
        assert!(
            refused.contains("20 tokens") && refused.contains("room"),
            "{refused}"
        );
        assert!(matches!(
            generator.prompt(&[]),
            Err(DecodeError::EmptyPrompt)
        ));
        assert_eq!(answer(&mut generator).2, Finish::ContextFull);
        let unknown = generator.prompt(&[2, 3, 9999]);
        assert!(matches!(
            unknown,
            Err(DecodeError::UnknownToken { token: 9999, .. })
        ));
        assert!(matches!(generator.advance(), Err(DecodeError::NotStarted)));
        assert_eq!(
            generator.prompt(&fits).unwrap().tokens,
            19,
            "it can go on from here"
        );
    }

    #[test]
    fn a_stop_text_and_a_further_end_token_end_the_answer() {
        let mut free = generator(settings(40));
        let prompt: Vec<u32> = (2..30).collect();
        free.prompt(&prompt).unwrap();
        let (tokens, text, _) = answer(&mut free);
        let (at, _) = text.char_indices().nth(text.chars().count() / 2).unwrap();
        let stop: String = text[at..].chars().take(3).collect();

        let mut stopped = generator(GeneratorSettings {
            stop: vec![stop.clone()],
            ..settings(40)
        });
        stopped.prompt(&prompt).unwrap();
        let before = text.split(&stop).next().unwrap().to_owned();
        let (_, found, finish) = answer(&mut stopped);
        assert_eq!((found, finish), (before, Finish::StopText));

        let mut ended = generator(GeneratorSettings {
            end_tokens: vec![tokens[9]],
            ..settings(40)
        });
        ended.prompt(&prompt).unwrap();
        let first = tokens.iter().position(|token| *token == tokens[9]).unwrap();
        let (found, _, finish) = answer(&mut ended);
        assert_eq!((&found[..], finish), (&tokens[..first], Finish::EndOfText));
    }
}
