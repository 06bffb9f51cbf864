//! What needs no model: likenesses of two phrases by their letters alone, each from 0 to 1.

use std::collections::BTreeMap;

/// A likeness of two phrases: 1 where they are alike.
pub(crate) type Likeness = fn(&str, &str) -> f64;

/// Name and likeness of every baseline.
pub(crate) const BASELINES: [(&str, Likeness); 5] = [
    ("same text", same_text),
    ("same first word", same_first_word),
    ("edit distance", edit_likeness),
    ("bag of words", bag_of_words),
    ("trigrams of characters", trigrams),
];

fn words(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| !c.is_alphanumeric() && c != '\'');
    parts
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

fn same_text(a: &str, b: &str) -> f64 {
    f64::from(u8::from(words(a) == words(b)))
}

fn same_first_word(a: &str, b: &str) -> f64 {
    f64::from(u8::from(words(a).first() == words(b).first()))
}

/// One less Levenshtein's distance over the characters of the longer.
fn edit_likeness(a: &str, b: &str) -> f64 {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let changed = above[j] + usize::from(x != y);
            row.push(changed.min(above[j + 1] + 1).min(row[j] + 1));
        }
        above = row;
    }
    1.0 - above[b.len()] as f64 / a.len().max(b.len()).max(1) as f64
}

/// Cosine of the counts of words.
fn bag_of_words(a: &str, b: &str) -> f64 {
    cosine(words(a), words(b))
}

/// Cosine of the counts of three characters in a row, a space at both ends.
fn trigrams(a: &str, b: &str) -> f64 {
    let grams = |text: &str| {
        let text: Vec<char> = format!(" {} ", words(text).join(" ")).chars().collect();
        text.windows(3)
            .map(|three| three.iter().collect())
            .collect::<Vec<String>>()
    };
    cosine(grams(a), grams(b))
}

fn cosine(a: Vec<String>, b: Vec<String>) -> f64 {
    let mut counts: BTreeMap<String, [f64; 2]> = BTreeMap::new();
    for (side, words) in [a, b].into_iter().enumerate() {
        for word in words {
            counts.entry(word).or_default()[side] += 1.0;
        }
    }
    let sum = |of: fn(&[f64; 2]) -> f64| counts.values().map(of).sum::<f64>();
    let lengths = (sum(|n| n[0] * n[0]) * sum(|n| n[1] * n[1])).sqrt();
    if lengths > 0.0 {
        sum(|n| n[0] * n[1]) / lengths
    } else {
        0.0
    }
}
