#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

use super::*;

fn offered(item: i32, text: &str, embedding: Option<&[f32]>) -> Offered {
    Offered {
        item,
        text: text.to_owned(),
        prior: 0.4,
        embedding: embedding.map(<[f32]>::to_vec),
    }
}

fn met(
    session: usize,
    fork: u64,
    after: Option<usize>,
    context: &str,
    phrases: &[&str],
    taken: usize,
) -> Met {
    Met {
        session,
        fork: ForkId(fork),
        after,
        context: context.to_owned(),
        model_sha256: "a".to_owned(),
        state: None,
        offered: (0..)
            .zip(phrases)
            .map(|(item, text)| offered(item, text, None))
            .collect(),
        taken: Some(taken),
        chooser: Some(Chooser::Human),
        level: None,
        asked: true,
        taken_back: None,
    }
}

fn visits(network: &Network) -> Vec<&[usize]> {
    network
        .places()
        .iter()
        .map(|place| place.visits.as_slice())
        .collect()
}

#[test]
fn two_texts_that_begin_alike_share_their_beginning_and_part_where_they_chose_otherwise() {
    let network = Network::of(
        vec![
            met(0, 0, None, "Once", &["a fox", "a hen"], 0),
            met(0, 1, Some(0), "Once a fox", &["ran", "slept"], 0),
            met(1, 0, None, "Once", &["A fox!", "a hen"], 1),
            met(1, 1, Some(2), "Once a hen", &["ran", "slept"], 1),
        ],
        &Rule::default(),
    );
    assert_eq!(visits(&network), [&[0, 2][..], &[1], &[3]]);
    let root = &network.places()[0];
    assert_eq!(root.ways.len(), 2, "{root:?}");
    assert_eq!(root.ways[0].also, ["A fox!"]);
    let ways: Vec<_> = root
        .ways
        .iter()
        .map(|way| (&way.taken[..], &way.leads_to[..]))
        .collect();
    assert_eq!(ways, [(&[0][..], &[1][..]), (&[2], &[2])]);
    assert_eq!(network.shared_places(), 1);
}

#[test]
fn a_choice_taken_back_and_made_anew_is_two_visits_of_one_place() {
    let mut first = met(0, 0, None, "Once", &["a fox", "a hen"], 0);
    first.taken_back = Some(TakenBack::Undo);
    let network = Network::of(
        vec![
            first,
            met(0, 1, Some(0), "Once a fox", &["ran", "slept"], 0),
            // Undo: the place of fork 0 again.
            met(0, 2, None, "Once", &["a fox", "a hen"], 1),
            met(0, 3, Some(2), "Once a hen", &["sang", "flew"], 1),
        ],
        &Rule::default(),
    );
    assert_eq!(visits(&network), [&[0, 2][..], &[1], &[3]]);
    assert_eq!(network.places()[0].ways[0].leads_to, [1]);
    assert_eq!(network.places()[0].ways[1].leads_to, [2]);
    assert_eq!(network.shared_places(), 0, "one session");
}

#[test]
fn states_that_point_the_same_way_join_places_only_where_the_same_is_offered() {
    let at = |session, context: &str, state: &[f32], phrases: [(&str, [f32; 2]); 2]| Met {
        state: Some(state.to_vec()),
        offered: (0..)
            .zip(phrases)
            .map(|(item, (text, embedding))| offered(item, text, Some(&embedding)))
            .collect(),
        ..met(session, 0, None, context, &[], 0)
    };
    let forest = ("into the forest", [1.0, 0.0]);
    let home = ("home", [0.0, 1.0]);
    let network = Network::of(
        vec![
            at(0, "The fox went", &[1.0, 0.0, 0.0], [forest, home]),
            // Other words, the same state and meanings, in another order.
            at(
                1,
                "The wolf walked",
                &[0.999, 0.01, 0.0],
                [("back home", [0.01, 1.0]), ("to the woods", [1.0, 0.01])],
            ),
            // The same state, and something else to choose.
            at(
                2,
                "The hen went",
                &[1.0, 0.0, 0.0],
                [forest, ("to sleep", [0.7, 0.7])],
            ),
            // The same choice in another state.
            at(3, "The cat went", &[0.0, 1.0, 0.0], [forest, home]),
        ],
        &Rule::default(),
    );
    assert_eq!(visits(&network), [&[0, 1][..], &[2], &[3]]);
    assert_eq!(network.way_of(1, 0), Some(1));
    assert_eq!(network.way_of(1, 1), Some(0));
    assert_eq!(network.places()[0].ways[1].also, ["back home"]);
}

#[test]
fn a_cosine_is_that_of_the_whole_vectors_whatever_their_lengths() {
    for length in [1_usize, 7, 8, 9, 31, 64] {
        let a: Vec<f32> = (0..length).map(|n| (n as f32 * 0.7).sin() + 0.1).collect();
        let b: Vec<f32> = (0..length).map(|n| 40.0 * (n as f32 * 0.3).cos()).collect();
        let sum = |a: &[f32], b: &[f32]| -> f64 {
            let pairs = a.iter().zip(b);
            pairs.map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
        };
        let expected = sum(&a, &b) / (sum(&a, &a) * sum(&b, &b)).sqrt();
        assert!((cosine(&a, &b) - expected).abs() < 1e-12, "{length}");
        let (a, b) = (direction(&a).unwrap(), direction(&b).unwrap());
        assert!((dot(&a, &b) - expected).abs() < 1e-6, "{length}");
    }
    for none in [
        &[][..],
        &[0.0, 0.0],
        &[f32::NAN, 1.0],
        &[f32::INFINITY, 1.0],
    ] {
        assert_eq!(direction(none), None, "{none:?}");
    }
}

#[test]
fn a_state_counts_by_where_it_points_and_not_by_its_length() {
    let phrases = [("ran", [1.0, 0.0]), ("slept", [0.0, 1.0])];
    let at = |session, context: &str, state: &[f32]| Met {
        state: Some(state.to_vec()),
        offered: (0..)
            .zip(phrases)
            .map(|(item, (text, embedding))| offered(item, text, Some(&embedding)))
            .collect(),
        ..met(session, 0, None, context, &[], 0)
    };
    let network = Network::of(
        vec![
            at(0, "a", &[0.3, 0.4]),
            at(1, "b", &[300.0, 400.0]),
            at(2, "c", &[0.0, 0.0]),
            at(3, "d", &[-3.0, -4.0]),
        ],
        &Rule::default(),
    );
    assert_eq!(visits(&network), [&[0, 1][..], &[2], &[3]]);
}

#[test]
fn what_contradicts_is_no_wording_however_near_and_another_models_states_say_nothing() {
    let near = [("she went", [1.0, 0.0]), ("she did not go", [1.0, 0.001])];
    let one = |text: &str, embedding: [f32; 2], model: &str| Met {
        model_sha256: model.to_owned(),
        state: Some(vec![1.0, 0.0]),
        offered: vec![
            offered(0, text, Some(&embedding)),
            offered(1, "other", Some(&[0.0, 1.0])),
        ],
        ..met(0, 0, None, text, &[], 0)
    };
    let rule = Rule::default();
    let apart = Network::of(
        vec![
            one(near[0].0, near[0].1, "a"),
            one(near[1].0, near[1].1, "a"),
        ],
        &rule,
    );
    assert_eq!(apart.places().len(), 2);
    let joined = Network::of(
        vec![
            one("she went", [1.0, 0.0], "a"),
            one("she left", [1.0, 0.001], "a"),
        ],
        &rule,
    );
    assert_eq!(joined.places().len(), 1);
    let models = Network::of(
        vec![
            one("she went", [1.0, 0.0], "a"),
            one("she left", [1.0, 0.001], "b"),
        ],
        &rule,
    );
    assert_eq!(models.places().len(), 2);
}

#[test]
fn a_text_that_goes_in_circles_does_not_come_back_to_a_place_it_has_passed() {
    let phrases = ["again", "enough"];
    let round = |fork: u64| {
        met(
            0,
            fork,
            fork.checked_sub(1).map(|n| n as usize),
            "and so on",
            &phrases,
            0,
        )
    };
    let network = Network::of((0..4).map(round).collect(), &Rule::default());
    assert_eq!(network.places().len(), 4);
    // Another session that goes in the same circles walks the same places, in the same order.
    let twice = (0..4).map(round).chain((0..4).map(|fork| Met {
        session: 1,
        after: (fork > 0).then(|| 3 + fork as usize),
        ..round(fork)
    }));
    let network = Network::of(twice.collect(), &Rule::default());
    assert_eq!(visits(&network), [[0, 4], [1, 5], [2, 6], [3, 7]]);
}

#[test]
fn nonsense_is_taken_as_the_beginning_of_a_text_and_as_no_choice() {
    let network = Network::of(
        vec![
            Met {
                after: Some(7),
                taken: Some(9),
                ..met(0, 0, None, "x", &["a", "b"], 0)
            },
            Met {
                state: Some(vec![f32::NAN; 2]),
                ..met(0, 1, Some(0), "y", &[], 0)
            },
        ],
        &Rule::default(),
    );
    assert_eq!(network.places().len(), 2);
    assert!(network.visits().iter().all(|met| met.taken.is_none()));
    assert!(
        network.places()[0]
            .ways
            .iter()
            .all(|way| way.leads_to.is_empty())
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    /// Whatever is met: every fork is at one place, every branch is one way, no two branches of a fork are the same way, and what leads
    /// somewhere was taken.
    #[test]
    fn every_fork_and_every_branch_has_its_one_place(
        forks in proptest::collection::vec((0_usize..3, 0_u8..6, 0_u8..4, 0_usize..3, 0_usize..40), 1..40)
    ) {
        let visits = forks.iter().enumerate().map(|(number, &(session, context, phrase, taken, back))| {
            let phrases = [format!("way {phrase}"), format!("way {}", phrase + 1), "stay".to_owned()];
            let phrases: Vec<&str> = phrases.iter().map(String::as_str).collect();
            let after = number.checked_sub(back + 1);
            met(session, number as u64, after, &format!("text {context}"), &phrases, taken)
        });
        let network = Network::of(visits.collect(), &Rule::default());
        let mut seen = vec![0; forks.len()];
        for (number, place) in network.places().iter().enumerate() {
            for &visit in &place.visits {
                seen[visit] += 1;
                proptest::prop_assert_eq!(network.place_of(visit), Some(number));
                let ways: HashSet<_> = (0..3).map(|branch| network.way_of(visit, branch).unwrap()).collect();
                proptest::prop_assert_eq!(ways.len(), 3);
                proptest::prop_assert!(ways.iter().all(|way| *way < place.ways.len()));
            }
            for way in &place.ways {
                proptest::prop_assert!(way.leads_to.is_empty() || !way.taken.is_empty());
                proptest::prop_assert!(way.leads_to.iter().all(|to| *to != number));
            }
        }
        proptest::prop_assert!(seen.iter().all(|times| *times == 1));
    }
}

#[test]
fn a_branch_is_no_wording_of_what_is_farther_from_it_than_what_was_offered_beside_it() {
    // A model whose states all point roughly one way.
    let at = |angle: f32| [angle.cos(), angle.sin()];
    let fork = |session, context: &str, phrases: [(&str, f32); 2]| Met {
        state: Some(vec![1.0, 0.0]),
        offered: (0..)
            .zip(phrases)
            .map(|(item, (text, angle))| offered(item, text, Some(&at(angle))))
            .collect(),
        ..met(session, 0, None, context, &[], 0)
    };
    let here = [("by the sea", 0.0), ("in the hills", 0.2)];
    let rule = Rule::default();
    let near = [("at the shore", 0.05), ("up the hills", 0.25)];
    let joined = Network::of(vec![fork(0, "a", here), fork(1, "b", near)], &rule);
    assert_eq!(joined.places().len(), 1);
    assert_eq!(
        (joined.way_of(1, 0), joined.way_of(1, 1)),
        (Some(0), Some(1))
    );
    let elsewhere = [("at a market", -0.25), ("in a tower", -0.45)];
    let apart = Network::of(vec![fork(0, "a", here), fork(1, "b", elsewhere)], &rule);
    assert_eq!(
        apart.places().len(),
        2,
        "their cosines are above the rule's"
    );
}
