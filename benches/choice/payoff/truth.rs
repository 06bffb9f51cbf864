//! What a text means, by the grammar: the turns of its plot. No model has a part in it.

use razvilka_grammar::{BEGIN, Kind, Language, Story, Truth, Vocabulary};

/// How every text of this benchmark begins: the language and the opening are no part of a wish.
pub(crate) const OPENING: &str = "Once upon a time,";

/// One turn of the plot: which choice of the grammar, and what was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
    /// The token that reveals it.
    pub(crate) at: usize,
}

impl Turn {
    /// Whether it means the same, wherever it stands.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.name == other.name && self.meaning == other.meaning
    }
}

/// A text, read token by token beside the grammar.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub(crate) tokens: Vec<u32>,
    pub(crate) turns: Vec<Turn>,
    /// Turns that were complete at the end of each finished sentence.
    pub(crate) sentences: Vec<usize>,
    /// The first token that the grammar never writes there: from it on nothing is known of the text.
    pub(crate) strange: Option<usize>,
    full_stop: Option<u32>,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self {
            tokens: Vec::new(),
            turns: Vec::new(),
            sentences: Vec::new(),
            strange: None,
            full_stop: Vocabulary::get().id("."),
        }
    }

    pub(crate) fn of(tokens: &[u32]) -> Self {
        let mut trace = Self::new();
        trace.follow(tokens);
        trace
    }

    /// What may come next; nothing behind a strange token.
    pub(crate) fn next(&self) -> Option<Truth> {
        if self.strange.is_some() {
            return None;
        }
        Language::En.truth(&self.tokens)
    }

    /// Goes on by one token of which `truth` is known.
    pub(crate) fn push_known(&mut self, token: u32, truth: &Truth) {
        match truth.meaning(token) {
            None => self.strange = self.strange.or(Some(self.tokens.len())),
            Some(meaning) if truth.kind == Kind::Fork => self.turns.push(Turn {
                name: truth.name,
                meaning,
                at: self.tokens.len(),
            }),
            Some(_) => {}
        }
        self.tokens.push(token);
        if Some(token) == self.full_stop && self.strange.is_none() {
            self.sentences.push(self.turns.len());
        }
    }

    pub(crate) fn push(&mut self, token: u32) {
        match self.next() {
            Some(truth) => self.push_known(token, &truth),
            None => {
                self.strange = self.strange.or(Some(self.tokens.len()));
                self.tokens.push(token);
            }
        }
    }

    /// Comes to be the trace of `tokens`: goes on, or back first to where the two part.
    pub(crate) fn follow(&mut self, tokens: &[u32]) {
        let same = self.tokens.iter().zip(tokens).take_while(|(a, b)| a == b);
        let same = same.count();
        if same < self.tokens.len() {
            // A text that was taken back: rare enough to be read anew.
            *self = Self::of(&tokens[..same]);
        }
        for &token in &tokens[same..] {
            self.push(token);
        }
    }
}

/// A story of the grammar that begins with [`OPENING`], traced to its end, and the grammar's own probability of its first 1,
/// 2, ... turns.
pub(crate) fn story(rng: &mut rand_chacha::ChaCha8Rng) -> (Trace, Vec<f64>) {
    loop {
        let story = Story::generate(rng);
        if !story.text.starts_with(OPENING) {
            continue;
        }
        let mut trace = Trace::new();
        let (mut probability, mut of_turns) = (1.0, Vec::new());
        for (token, truth) in story.tokens.iter().zip(&story.positions) {
            if truth.kind == Kind::Fork {
                let meanings = truth.meanings();
                let own = meanings
                    .iter()
                    .find(|(m, _)| truth.meaning(*token) == Some(m));
                probability *= own.map_or(0.0, |(_, p)| *p);
                of_turns.push(probability);
            }
            trace.push_known(*token, truth);
        }
        return (trace, of_turns);
    }
}

/// The tokens of [`OPENING`].
pub(crate) fn opening() -> Vec<u32> {
    let mut tokens = vec![BEGIN];
    tokens.extend(Vocabulary::get().encode(OPENING));
    tokens
}
