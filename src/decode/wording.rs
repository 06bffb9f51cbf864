//! What can be said of two phrases without a model: whether they read the same but for spelling, and whether they plainly contradict each other.
//!
//! English and Russian; words of other languages are taken as they are.

/// A phrase without what does not matter for its meaning: case, punctuation but for a question mark, contractions, ё, numbers in words or in
/// digits. Words with one space between them.
fn plain(phrase: &str) -> String {
    words(phrase).join(" ")
}

/// Whether two phrases read the same but for case, punctuation, contractions, ё, and numbers in words or in digits.
#[must_use]
pub fn reads_the_same(a: &str, b: &str) -> bool {
    a == b || plain(a) == plain(b)
}

/// Whether one of the phrases denies and the other does not, or both have numbers and these differ: then likeness by the topic says nothing.
#[must_use]
pub fn contradict(a: &str, b: &str) -> bool {
    let (a, b) = (words(a), words(b));
    let denies = |words: &[String]| words.iter().any(|word| NEGATIONS.contains(&word.as_str()));
    let numbers = |words: &[String]| {
        let numbers = words
            .iter()
            .filter(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        numbers.cloned().collect::<Vec<String>>()
    };
    let (m, n) = (numbers(&a), numbers(&b));
    denies(&a) != denies(&b) || (!m.is_empty() && !n.is_empty() && m != n)
}

const NEGATIONS: [&str; 22] = [
    "not",
    "no",
    "never",
    "nobody",
    "nothing",
    "none",
    "neither",
    "nor",
    "without",
    "hardly",
    "cannot",
    "не",
    "ни",
    "нет",
    "никто",
    "никого",
    "ничего",
    "ничто",
    "никогда",
    "нельзя",
    "без",
    "нигде",
];

/// Numbers by their words; a place in the list is the number.
const NUMBERS: [&[&str]; 21] = [
    &["zero", "ноль", "нуль"],
    &["one", "один", "одна", "одно", "одну", "одного", "одной"],
    &["two", "два", "две", "двух"],
    &["three", "три", "трёх", "трех"],
    &["four", "четыре", "четырёх", "четырех"],
    &["five", "пять", "пяти"],
    &["six", "шесть", "шести"],
    &["seven", "семь", "семи"],
    &["eight", "восемь", "восьми"],
    &["nine", "девять", "девяти"],
    &["ten", "десять", "десяти"],
    &["eleven", "одиннадцать", "одиннадцати"],
    &["twelve", "двенадцать", "двенадцати"],
    &["thirteen", "тринадцать", "тринадцати"],
    &["fourteen", "четырнадцать", "четырнадцати"],
    &["fifteen", "пятнадцать", "пятнадцати"],
    &["sixteen", "шестнадцать", "шестнадцати"],
    &["seventeen", "семнадцать", "семнадцати"],
    &["eighteen", "восемнадцать", "восемнадцати"],
    &["nineteen", "девятнадцать", "девятнадцати"],
    &["twenty", "двадцать", "двадцати"],
];

fn words(phrase: &str) -> Vec<String> {
    let text = phrase.to_lowercase().replace('’', "'").replace('ё', "е");
    let question = text.trim_end().ends_with('?');
    let mut out = Vec::new();
    for part in text.split(|c: char| c.is_whitespace() || matches!(c, '—' | '–' | '/')) {
        // A stop or comma within a number stays.
        let word = part.trim_matches(|c: char| !c.is_alphanumeric());
        if !word.is_empty() {
            spelled_out(word, &mut out);
        }
    }
    if question {
        out.push("?".into());
    }
    out
}

fn spelled_out(word: &str, out: &mut Vec<String>) {
    match word {
        "can't" | "cannot" => return out.extend(["can".into(), "not".into()]),
        "won't" => return out.extend(["will".into(), "not".into()]),
        "shan't" => return out.extend(["shall".into(), "not".into()]),
        _ => {}
    }
    for (end, full) in [
        ("n't", "not"),
        ("'ll", "will"),
        ("'re", "are"),
        ("'ve", "have"),
        ("'m", "am"),
    ] {
        if let Some(stem) = word.strip_suffix(end).filter(|stem| !stem.is_empty()) {
            return out.extend([stem.into(), full.into()]);
        }
    }
    let number = NUMBERS
        .iter()
        .position(|names| names.iter().any(|name| name.replace('ё', "е") == word));
    out.push(number.map_or_else(|| word.to_owned(), |n| n.to_string()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_is_no_difference_and_everything_else_is() {
        for (a, b, same) in [
            ("said she could not stay.", "said she couldn't stay.", true),
            ("I won’t come", "I will not come!", true),
            ("two boxes of gloves.", "2 boxes of gloves", true),
            ("две коробки", "2 коробки.", true),
            ("ещё одну главу", "Еще 1 главу.", true),
            ("Come in, please.", "come in — please", true),
            ("You come.", "You come?", false),
            ("3.5 metres", "35 metres", false),
            ("Anna beat Maria.", "Maria beat Anna.", false),
            ("есть воспаление.", "нет воспаления.", false),
            ("twelve boxes", "2 boxes", false),
        ] {
            assert_eq!(reads_the_same(a, b), same, "{a:?} {b:?}");
            assert_eq!(reads_the_same(b, a), same, "{b:?} {a:?}");
        }
    }

    #[test]
    fn a_denial_and_another_number_contradict() {
        for (a, b, contradicts) in [
            ("have an infection.", "do not have an infection.", true),
            ("she couldn't stay", "she could stay", true),
            ("вернулась.", "не вернулась.", true),
            ("two boxes", "twelve boxes", true),
            ("two boxes", "2 boxes", false),
            ("two boxes", "some boxes", false),
            ("do not know.", "have no idea.", false),
            ("turn left.", "turn right.", false),
        ] {
            assert_eq!(contradict(a, b), contradicts, "{a:?} {b:?}");
        }
    }
}
