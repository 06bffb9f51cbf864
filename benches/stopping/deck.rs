//! Recorded answers, drawn without replacement.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// A pack of answers: shuffled for each selection, and again when it is used up.
pub(crate) struct Deck {
    cards: Vec<Option<f64>>,
    next: usize,
}

impl Deck {
    pub(crate) fn new(cards: Vec<Option<f64>>) -> Self {
        Self { cards, next: 0 }
    }

    /// A new selection begins: every card is in the pack again.
    pub(crate) fn gather(&mut self) {
        self.next = 0;
    }

    /// A card that has not been drawn since [`Deck::gather`] (Fisher and Yates).
    pub(crate) fn draw(&mut self, random: &mut ChaCha8Rng) -> Option<f64> {
        if self.next == self.cards.len() {
            self.next = 0;
        }
        let pick = random.random_range(self.next..self.cards.len());
        self.cards.swap(self.next, pick);
        self.next += 1;
        self.cards[self.next - 1]
    }
}
