//! Where the lines of a network run: one row for each place, one lane for each line that passes it.

use crate::choice::network::Network;

/// Lanes side by side, at most: what finds none is told in words, by the number of the place.
const LANES_MAX: usize = 10;
/// Rows that a line passes, at most; nobody follows a longer one with the eyes.
const PASSED_MAX: usize = 40;

/// A line from a way to the place that it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) from: usize,
    pub(super) to: usize,
    /// In the rows between; the lane of the place that it leads to, where there are none.
    pub(super) lane: usize,
}

/// The picture's plan: places in rows, in the order in which they were first met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lanes {
    /// Lane of each place.
    pub(super) of: Vec<usize>,
    /// Lines that are drawn, by the places that they lead to; the others are told in words.
    lines: Vec<Line>,
    /// Lanes in use, one at least.
    pub(super) width: usize,
}

/// Rows that are taken, lane by lane.
#[derive(Default)]
struct Taken(Vec<Vec<(usize, usize)>>);

impl Taken {
    fn is_free(&self, lane: usize, (first, last): (usize, usize)) -> bool {
        let Some(stretches) = self.0.get(lane) else {
            return true;
        };
        // Places come row by row: what could be in the way was taken lately.
        let near = stretches.iter().rev().take(4 * PASSED_MAX);
        first > last
            || near
                .into_iter()
                .all(|&(from, to)| to < first || from > last)
    }

    fn take(&mut self, lane: usize, (first, last): (usize, usize)) {
        if first > last {
            return;
        }
        if self.0.len() <= lane {
            self.0.resize_with(lane + 1, Vec::new);
        }
        if let Some(stretches) = self.0.get_mut(lane) {
            stretches.push((first, last));
        }
    }

    /// The wished lane, or the first that is free.
    fn lane(&self, wished: Option<usize>, rows: (usize, usize)) -> Option<usize> {
        let wished = wished.filter(|lane| *lane < LANES_MAX);
        let mut order = wished.into_iter().chain(0..LANES_MAX);
        order.find(|lane| self.is_free(*lane, rows))
    }
}

impl Lanes {
    /// Plans a network.
    pub(super) fn of(network: &Network) -> Self {
        let places = network.places();
        let mut into: Vec<Vec<usize>> = vec![Vec::new(); places.len()];
        for (from, place) in places.iter().enumerate() {
            for &to in place.ways.iter().flat_map(|way| &way.leads_to) {
                // A way back up the page is told in words.
                if let Some(into) = into
                    .get_mut(to)
                    .filter(|into| to > from && !into.contains(&from))
                {
                    into.push(from);
                }
            }
        }
        let (mut taken, mut of, mut lines) = (Taken::default(), Vec::new(), Vec::new());
        for (row, mut from) in into.into_iter().enumerate() {
            // The nearest first: its line becomes the place's lane.
            from.sort_by_key(|from| std::cmp::Reverse(*from));
            from.retain(|from| row - from <= PASSED_MAX);
            let mut from = from.into_iter();
            let first = from.next();
            let own: Option<usize> = first.and_then(|first| of.get(first).copied());
            let passes = first.map_or((row, row), |first| (first + 1, row));
            let lane = taken.lane(own, passes);
            if let (Some(first), Some(lane)) = (first, lane) {
                lines.push(Line {
                    from: first,
                    to: row,
                    lane,
                });
            }
            // A place is drawn, whether its line is or not.
            let (lane, rows) = match lane {
                Some(lane) => (lane, passes),
                // The lane behind the last holds places alone.
                None => (
                    taken.lane(None, (row, row)).unwrap_or(LANES_MAX),
                    (row, row),
                ),
            };
            taken.take(lane, rows);
            of.push(lane);
            for other in from {
                let between = (other + 1, row - 1);
                if let Some(lane) = taken.lane(Some(lane), between) {
                    taken.take(lane, between);
                    lines.push(Line {
                        from: other,
                        to: row,
                        lane,
                    });
                }
            }
        }
        let used = lines.iter().map(|line| line.lane).chain(of.iter().copied());
        let width = used.max().unwrap_or(0) + 1;
        Self { of, lines, width }
    }

    /// Whether the line between these places is drawn.
    pub(super) fn draws(&self, from: usize, to: usize) -> bool {
        let mut into = self.at_or_below(to).take_while(|line| line.to == to);
        into.any(|line| line.from == from)
    }

    /// The lines that begin, end or pass in a row.
    pub(super) fn at(&self, row: usize) -> impl Iterator<Item = &Line> {
        let near = self.at_or_below(row);
        near.take_while(move |line| line.to <= row + PASSED_MAX)
            .filter(move |line| line.from <= row)
    }

    /// The lines to places in this row or below.
    fn at_or_below(&self, row: usize) -> impl Iterator<Item = &Line> {
        let above = self.lines.partition_point(|line| line.to < row);
        self.lines.iter().skip(above)
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use super::*;
    use crate::choice::network::{Met, Offered, Rule};
    use crate::fork::{Chooser, ForkId};

    /// A network from pairs: the fork that each stands behind, and its text.
    fn network(forks: &[(Option<usize>, &str)]) -> Network {
        let met = |(number, &(after, context)): (usize, &(Option<usize>, &str))| Met {
            session: 0,
            fork: ForkId(number as u64),
            after,
            context: context.to_owned(),
            model_sha256: String::new(),
            state: None,
            offered: vec![Offered {
                item: 0,
                text: format!("way {number}"),
                prior: 1.0,
                embedding: None,
            }],
            taken: Some(0),
            chooser: Some(Chooser::Human),
            level: None,
            asked: true,
            taken_back: None,
        };
        Network::of(
            forks.iter().enumerate().map(met).collect(),
            &Rule::default(),
        )
    }

    #[test]
    fn a_text_is_one_line_and_a_way_that_was_left_gets_a_lane_of_its_own() {
        let lanes = Lanes::of(&network(&[(None, "a"), (Some(0), "b"), (Some(1), "c")]));
        assert_eq!((&lanes.of[..], lanes.width), (&[0, 0, 0][..], 1));
        // The second way out of `a` passes by `b` and `c`.
        let lanes = Lanes::of(&network(&[
            (None, "a"),
            (Some(0), "b"),
            (Some(1), "c"),
            (Some(0), "d"),
            (Some(3), "e"),
        ]));
        assert_eq!(lanes.of, [0, 0, 0, 1, 1]);
        assert!(lanes.draws(0, 3) && lanes.draws(3, 4) && !lanes.draws(2, 3));
    }

    #[test]
    fn no_line_runs_over_a_place_or_another_line() {
        let mut forks: Vec<(Option<usize>, String)> = vec![(None, "0".into())];
        for number in 1..300_usize {
            let after = number.checked_sub(1 + number * 7 % 13);
            forks.push((after, (number % 211).to_string()));
        }
        let forks: Vec<_> = forks
            .iter()
            .map(|(after, text)| (*after, text.as_str()))
            .collect();
        let network = network(&forks);
        let lanes = Lanes::of(&network);
        for (row, &lane) in lanes.of.iter().enumerate() {
            let passing = |line: &&Line| line.from < row && row < line.to;
            let mut used: Vec<usize> = lanes
                .lines
                .iter()
                .filter(passing)
                .map(|line| line.lane)
                .collect();
            used.push(lane);
            let all = used.len();
            used.sort_unstable();
            used.dedup();
            assert_eq!(used.len(), all, "row {row}");
        }
        assert!(lanes.width <= LANES_MAX + 1, "{}", lanes.width);
        assert!(lanes.lines.len() > 100);
        for row in 0..lanes.of.len() {
            let touches = |line: &&Line| line.from <= row && row <= line.to;
            let all: Vec<&Line> = lanes.lines.iter().filter(touches).collect();
            assert_eq!(lanes.at(row).collect::<Vec<_>>(), all, "row {row}");
        }
        for line in &lanes.lines {
            assert!(lanes.draws(line.from, line.to));
        }
    }

    #[test]
    fn where_no_lane_is_left_a_line_is_told_in_words_and_the_place_is_drawn() {
        let many: Vec<(Option<usize>, String)> = (0..60)
            .map(|n: usize| ((n > 0).then_some(0), n.to_string()))
            .collect();
        let many: Vec<_> = many
            .iter()
            .map(|(after, text)| (*after, text.as_str()))
            .collect();
        let lanes = Lanes::of(&network(&many));
        assert_eq!(lanes.of.len(), 60);
        assert!(lanes.width <= LANES_MAX + 1);
        assert!(!lanes.draws(0, 59));
    }
}
