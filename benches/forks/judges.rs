//! Everything that could say of two phrases that they mean the same, put before pairs of which it is known.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use razvilka::decode::{Embedder, Likeness, Model, Survey, contradict, reads_the_same};
use serde_json::json;

use super::Options;
use super::baselines::BASELINES;
use super::cases::{self, Case};
use super::figures::{Judged, report};
use super::grammar::KnownPair;

/// A judge: its name, how alike it finds two phrases, and from where on the program takes that for "the same".
type Judge = (
    &'static str,
    fn(&Likeness) -> Option<f64>,
    fn(&Options) -> Option<f64>,
);

/// Those that read with a language model.
const READERS: [Judge; 2] = [
    (
        "pooled hidden states",
        |l| Some(l.pooled_cosine),
        |o| Some(o.settings.cosine_min),
    ),
    (
        "consequences",
        |l| Some(1.0 - l.consequence_bits),
        |o| Some(1.0 - o.settings.converged_bits_max),
    ),
];

/// Those that need none.
const OTHERS: [Judge; 5] = [
    (
        "spelling",
        |l| Some(f64::from(u8::from(l.reads_the_same))),
        |_| Some(1.0),
    ),
    (
        "no contradiction",
        |l| Some(f64::from(u8::from(!l.contradict))),
        |_| Some(1.0),
    ),
    (
        "embedder, phrases alone",
        |l| l.embedder_alone,
        |o| Some(o.settings.embedder_different_max),
    ),
    (
        "embedder, in the sentence",
        |l| l.embedder_in_sentence,
        |o| Some(o.settings.embedder_same_min),
    ),
    (
        "embedder, in the sentence, unless they contradict",
        |l| {
            l.embedder_in_sentence
                .map(|cosine| if l.contradict { cosine - 2.0 } else { cosine })
        },
        |o| Some(o.settings.embedder_same_min),
    ),
];

/// Candidates at the grammar's forks and wordings.
pub(crate) fn on_the_grammar(options: &Options, pairs: &[KnownPair]) {
    for (name, likeness, told) in READERS.iter().chain(&OTHERS) {
        let judged = pairs.iter().filter_map(|pair| {
            Some(Judged {
                group: pair.place,
                likeness: likeness(&pair.likeness)?,
                same: pair.same,
            })
        });
        print(
            options,
            "grammar",
            name,
            &judged.collect::<Vec<_>>(),
            told(options),
        );
    }
    for (name, likeness) in BASELINES {
        let judged = pairs.iter().map(|pair| Judged {
            group: pair.place,
            likeness: likeness(&pair.likeness.phrases.0, &pair.likeness.phrases.1),
            same: pair.same,
        });
        print(options, "grammar", name, &judged.collect::<Vec<_>>(), None);
    }
    let wordings = pairs
        .iter()
        .filter(|pair| pair.kind == razvilka_grammar::Kind::Wording);
    eprintln!(
        "{} pairs on the grammar, {} of them at wordings",
        pairs.len(),
        wordings.count()
    );
}

/// The hand-made cases of both languages.
pub(crate) fn on_the_cases(
    options: &Options,
    model: &Arc<Model>,
    embedder: Option<&Embedder>,
) -> anyhow::Result<()> {
    for language in ["en", "ru"] {
        let cases = cases::read(&options.cases.join(format!("{language}.jsonl")))
            .map_err(anyhow::Error::msg)?;
        for (name, likeness) in BASELINES {
            let judged = each_pair(&cases, |case, a, b| {
                Some(likeness(&case.options[a], &case.options[b]))
            });
            print(options, language, name, &judged, None);
        }
        let said = cases
            .iter()
            .map(|case| said(options, model, embedder, case))
            .collect::<anyhow::Result<Vec<_>>>()?;
        // Without a model that knows the words, what it makes of them is no figure.
        let readers: &[Judge] = if options.model.is_some() {
            &READERS
        } else {
            &[]
        };
        for (name, likeness, told) in readers.iter().chain(&OTHERS) {
            let of = |index: usize, pair: (usize, usize)| {
                said[index]
                    .iter()
                    .find(|l| l.pair == pair)
                    .and_then(likeness)
            };
            let mut judged = Vec::new();
            for (index, case) in cases.iter().enumerate() {
                for (a, b, same) in case.pairs() {
                    judged.extend(of(index, (a, b)).map(|likeness| Judged {
                        group: index,
                        likeness,
                        same,
                    }));
                }
            }
            print(options, language, name, &judged, told(options));
            if name.starts_with("embedder") && !judged.is_empty() {
                by_kind(options, language, name, &cases, &judged);
            }
        }
        if let Some(embedder) = embedder {
            time(language, &cases, embedder)?;
        }
    }
    Ok(())
}

/// What the judges say of each two options. A tokenizer of stories loses words: what needs no language model looks at the case's own text.
fn said(
    options: &Options,
    model: &Arc<Model>,
    embedder: Option<&Embedder>,
    case: &Case,
) -> anyhow::Result<Vec<Likeness>> {
    let mut read = Vec::new();
    if options.model.is_some() {
        let before = model.tokens().encode(&case.before)?;
        let mut survey = Survey::start(Arc::clone(model), options.settings.clone(), &before)?;
        let phrases: Vec<String> = case
            .options
            .iter()
            .map(|option| format!(" {option}"))
            .collect();
        read = survey.likenesses_of(&phrases.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    let sentences: Vec<String> = case
        .options
        .iter()
        .map(|option| format!("{} {option}", case.before))
        .collect();
    let vectors = |texts: &[String]| {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        embedder.map(|embedder| embedder.embed(&texts)).transpose()
    };
    let (alone, in_sentence) = (vectors(&case.options)?, vectors(&sentences)?);
    let cosine = |vectors: &Option<Vec<Vec<f32>>>, a: usize, b: usize| {
        let vectors = vectors.as_ref()?;
        let products = vectors[a]
            .iter()
            .zip(&vectors[b])
            .map(|(x, y)| f64::from(x * y));
        Some(products.sum::<f64>())
    };
    let pairs = case.pairs().map(|(a, b, _)| {
        let (x, y) = (&case.options[a], &case.options[b]);
        let found = read.iter().find(|likeness| likeness.pair == (a, b));
        Likeness {
            pair: (a, b),
            heads: found.map_or((0, 0), |likeness| likeness.heads),
            phrases: (x.clone(), y.clone()),
            reads_the_same: reads_the_same(x, y),
            contradict: contradict(x, y),
            pooled_cosine: found.map_or(0.0, |likeness| likeness.pooled_cosine),
            consequence_bits: found.map_or(1.0, |likeness| likeness.consequence_bits),
            embedder_alone: cosine(&alone, a, b),
            embedder_in_sentence: cosine(&in_sentence, a, b),
        }
    });
    Ok(pairs.collect())
}

fn each_pair(cases: &[Case], likeness: impl Fn(&Case, usize, usize) -> Option<f64>) -> Vec<Judged> {
    let mut judged = Vec::new();
    for (group, case) in cases.iter().enumerate() {
        for (a, b, same) in case.pairs() {
            judged.extend(likeness(case, a, b).map(|likeness| Judged {
                group,
                likeness,
                same,
            }));
        }
    }
    judged
}

fn print(options: &Options, material: &str, judge: &str, judged: &[Judged], told: Option<f64>) {
    // A judge who is not there has said nothing.
    if judged.is_empty() {
        return;
    }
    let line = json!({
        "bench": "forks", "judge": judge, "material": material, "seed": options.seed, "figures": report(judged, told, options.seed),
    });
    println!("{line}");
}

/// On stderr: pairs of each kind that are told in the wrong order, the same less alike than the different.
fn by_kind(options: &Options, language: &str, name: &str, cases: &[Case], judged: &[Judged]) {
    let mut kinds: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for (index, case) in cases.iter().enumerate() {
        let of = |kind: bool| {
            judged
                .iter()
                .filter(move |j| j.group == index && j.same == kind)
        };
        let counts = kinds.entry(&case.kind).or_default();
        for same in of(true) {
            for different in of(false) {
                counts[0] += 1;
                counts[1] += usize::from(same.likeness <= different.likeness);
            }
        }
    }
    kinds.retain(|_, [_, wrong]| *wrong > 0);
    eprintln!(
        "{language}, {name}, seed {}: kinds with [comparisons, wrong ones]: {kinds:?}",
        options.seed
    );
}

/// How long the phrases of a case take, alone and behind their sentence, as at a fork.
fn time(language: &str, cases: &[Case], embedder: &Embedder) -> anyhow::Result<()> {
    let mut taken_ms = Vec::with_capacity(cases.len());
    for case in cases {
        let sentences: Vec<String> = case
            .options
            .iter()
            .map(|option| format!("{} {option}", case.before))
            .collect();
        let texts: Vec<&str> = case
            .options
            .iter()
            .chain(&sentences)
            .map(String::as_str)
            .collect();
        let begun = Instant::now();
        embedder.embed(&texts)?;
        taken_ms.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    taken_ms.sort_by(f64::total_cmp);
    let line = json!({
        "bench": "forks", "embedder": embedder.card().name, "material": language, "cases": cases.len(),
        "embed_ms_p50": taken_ms[taken_ms.len() / 2], "embed_ms_max": taken_ms.last(),
    });
    println!("{line}");
    Ok(())
}
