//! The network as a picture: a row for each place, told in bands that fit a sheet of paper.

use maud::{Markup, html};

use super::lanes::{Lanes, Line};
use super::{Told, decided_at};
use crate::choice::handover::Autonomy;
use crate::choice::network::Place;
use crate::fork::Chooser;
use crate::report::figures::readable;
use crate::report::plot::at;
use crate::report::text::tail;

/// From one lane to the next, CSS pixels, as all lengths here.
const LANE: f64 = 16.0;
/// From the left edge to the first lane.
const LEFT: f64 = 12.0;
/// Width of a letter of the widest of the usual fonts, at the size of a way.
const LETTER: f64 = 7.1;
/// Letters in a line of text.
const LINE_CHARS: usize = 36;
/// From one line of text to the next.
const LINE: f64 = 16.0;
/// Centre of a row's own mark below its top.
const MARK: f64 = 12.0;
/// Radius of a mark.
const RADIUS: f64 = 5.5;
/// Height at which a band ends: a few of them fill a sheet of A4, and what one leaves empty at its foot is little.
const BAND: f64 = 300.0;
/// Visits of a place that are named in its row, at most.
const NAMED: usize = 3;

/// A row of the picture, measured.
struct Row {
    top: f64,
    height: f64,
    /// Its visits, and who decided.
    heading: Vec<String>,
    /// Of each way, its lines of text.
    ways: Vec<Vec<String>>,
}

impl Row {
    fn of(told: &Told, lanes: &Lanes, number: usize, place: &Place, top: f64) -> Self {
        // Bold letters are wider.
        let heading = lines(&heading(told, place), LINE_CHARS - 5);
        let words = |(text, to): (&str, &[usize])| {
            let mut words = readable(text);
            for to in to.iter().filter(|to| !lanes.draws(number, **to)) {
                words.push_str(&format!(" \u{2192}\u{a0}place\u{a0}{}", to + 1));
            }
            lines(&words, LINE_CHARS)
        };
        let ways: Vec<Vec<String>> = (place.ways.iter())
            .map(|way| words((&way.text, &way.leads_to)))
            .collect();
        let count = heading.len() + ways.iter().map(Vec::len).sum::<usize>();
        Self {
            top,
            height: MARK + LINE * count as f64 + 14.0,
            heading,
            ways,
        }
    }
}

/// The picture: its bands, one below the other. Also gives its width.
pub(super) fn picture(told: &Told, lanes: &Lanes) -> (Markup, f64) {
    let label = LEFT + LANE * lanes.width as f64 + 8.0;
    let width = label + 18.0 + LETTER * LINE_CHARS as f64;
    let places = told.network.places();
    let mut bands: Vec<(usize, usize, f64)> = Vec::new();
    let mut rows: Vec<Row> = Vec::with_capacity(places.len());
    let (mut first, mut top) = (0, 0.0);
    for (number, place) in places.iter().enumerate() {
        let mut row = Row::of(told, lanes, number, place, top);
        if top > 0.0 && top + row.height > BAND {
            bands.push((first, number, top));
            (first, top) = (number, 0.0);
            row.top = 0.0;
        }
        top += row.height;
        rows.push(row);
    }
    bands.push((first, places.len(), top));
    let markup = html! {
        @for (first, end, height) in bands {
            div class="band" {
                svg role="group" width=(at(width)) height=(at(height)) viewBox=(format!("0 0 {} {}", at(width), at(height))) {
                    title { "Places " (first + 1) " to " (end) " of the network" }
                    @for number in first..end {
                        @if let (Some(row), Some(place)) = (rows.get(number), places.get(number)) {
                            (lines_at(lanes, number, row))
                            (place_at(told, lanes, number, place, row, label))
                        }
                    }
                }
            }
        }
    };
    (markup, width)
}

/// What of each line lies in this row.
fn lines_at(lanes: &Lanes, number: usize, row: &Row) -> Markup {
    let x = |lane: usize| LEFT + LANE * lane as f64;
    let own = x(lanes.of.get(number).copied().unwrap_or(0));
    let (top, mark, bottom) = (row.top, row.top + MARK, row.top + row.height);
    let path = |line: &Line| -> String {
        let lane = x(line.lane);
        if line.from == number {
            let bend = f64::min(bottom - mark, 26.0);
            let (ax, ay, bx, by) = (own, mark, lane, mark + bend);
            let middle = mark + bend / 2.0;
            format!(
                "M{} {}C{} {} {} {} {} {}V{}",
                at(ax),
                at(ay),
                at(ax),
                at(middle),
                at(bx),
                at(middle),
                at(bx),
                at(by),
                at(bottom)
            )
        } else if line.to == number {
            let middle = top + MARK / 2.0;
            format!(
                "M{} {}C{} {} {} {} {} {}",
                at(lane),
                at(top),
                at(lane),
                at(middle),
                at(own),
                at(middle),
                at(own),
                at(mark)
            )
        } else {
            format!("M{} {}V{}", at(lane), at(top), at(bottom))
        }
    };
    html! {
        @for d in lanes.at(number).map(path) { path class="way" d=(d) {} }
    }
}

fn place_at(
    told: &Told,
    lanes: &Lanes,
    number: usize,
    place: &Place,
    row: &Row,
    label: f64,
) -> Markup {
    let x = LEFT + LANE * lanes.of.get(number).copied().unwrap_or(0) as f64;
    let y = row.top + MARK;
    let visits = || {
        place
            .visits
            .iter()
            .filter_map(|visit| told.network.visits().get(*visit))
    };
    let last = visits().next_back();
    let context = visits()
        .next()
        .map_or_else(String::new, |met| tail(&met.context, LINE_CHARS));
    let right = label + LETTER * LINE_CHARS as f64;
    let mut next = y + 4.0 - LINE;
    let mut next_line = || {
        next += LINE;
        next
    };
    html! {
        a class="place" href=(format!("#place-{number}")) id=(format!("at-{number}")) data-words=(words_of(told, place)) {
            rect class="ground" x=(at(label - 6.0)) y=(at(row.top + 1.0)) width=(at(right - label + 22.0)) height=(at(row.height - 6.0)) rx="4" {}
            @if let Some(met) = last {
                (mark(x, y, RADIUS, met.chooser, met.taken.is_some(), met.taken_back.is_some()))
            }
            @for words in &row.heading { text class="who" x=(at(label)) y=(at(next_line())) { (words) } }
            @let y = next_line();
            text class="tick" x=(at(label)) y=(at(y)) { (context) }
            @if let Some(level) = last.and_then(|met| met.level) { (bars(right + 12.0, y, level)) }
            @for (way, lines) in place.ways.iter().zip(&row.ways) {
                @let taker = way.taken.last().and_then(|visit| told.network.visits().get(*visit));
                @for (nth, words) in lines.iter().enumerate() {
                    @let y = next_line();
                    @if nth == 0 {
                        (mark(label + 4.0, y - 4.0, 4.0, taker.and_then(|met| met.chooser), taker.is_some(), taker.is_some_and(|met| met.taken_back.is_some())))
                    }
                    text class=(if taker.is_some() { "chosen" } else { "left" }) x=(at(label + 14.0)) y=(at(y)) { (words) }
                }
            }
        }
    }
}

/// The visits of a place by name, and who decided.
fn heading(told: &Told, place: &Place) -> String {
    let mut words: Vec<String> = place
        .visits
        .iter()
        .take(NAMED)
        .map(|visit| decided_at(told, *visit))
        .collect();
    if let Some(more @ 1..) = place.visits.len().checked_sub(NAMED) {
        words.push(format!("{more} more"));
    }
    words.join(" · ")
}

/// What can be looked for.
fn words_of(told: &Told, place: &Place) -> String {
    let ways = place
        .ways
        .iter()
        .flat_map(|way| std::iter::once(&way.text).chain(&way.also));
    let ways: Vec<String> = ways.map(|text| readable(text)).collect();
    let visits = place.visits.iter().map(|visit| decided_at(told, *visit));
    let visits: Vec<String> = visits.collect();
    format!("{} | {}", visits.join(" | "), ways.join(" | ")).to_lowercase()
}

/// A mark by shape and colour: a disc for the person, a rhombus for the imitator, a square for the model, a ring for nobody. Hollow where
/// nothing was taken, crossed out where it was taken back.
pub(super) fn mark(
    x: f64,
    y: f64,
    r: f64,
    chooser: Option<Chooser>,
    taken: bool,
    back: bool,
) -> Markup {
    let class = match (chooser, taken) {
        (Some(Chooser::Human), true) => "mark person",
        (Some(Chooser::Human), false) => "mark person hollow",
        (Some(Chooser::Imitator), _) => "mark imitator",
        (Some(Chooser::Model), _) => "mark model",
        (None, _) => "mark hollow",
    };
    let side = r * 1.75;
    html! {
        @match chooser {
            Some(Chooser::Imitator) => path class=(class) d=(format!("M{} {}L{} {}L{} {}L{} {}Z",
                at(x), at(y - r * 1.3), at(x + r * 1.3), at(y), at(x), at(y + r * 1.3), at(x - r * 1.3), at(y))) {},
            Some(Chooser::Model) => rect class=(class) x=(at(x - side / 2.0)) y=(at(y - side / 2.0)) width=(at(side)) height=(at(side)) {},
            Some(Chooser::Human) => circle class=(class) cx=(at(x)) cy=(at(y)) r=(at(r)) {},
            None => circle class=(class) cx=(at(x)) cy=(at(y)) r=(at(r * 0.7)) {},
        }
        @if back {
            line class="back" x1=(at(x - r * 1.5)) y1=(at(y + r * 1.5)) x2=(at(x + r * 1.5)) y2=(at(y - r * 1.5)) {}
        }
    }
}

/// The level of autonomy: of three bars as many filled as it is above the lowest. `x` is their right edge, `y` their foot.
pub(super) fn bars(x: f64, y: f64, level: Autonomy) -> Markup {
    let filled = match level {
        Autonomy::Asks => 0,
        Autonomy::Watches => 1,
        Autonomy::OftenChecked => 2,
        Autonomy::SeldomChecked => 3,
    };
    html! {
        g class="level" {
            title { "level: " (level.words()) }
            @for bar in 0..3 {
                @let height = 4.0 + 3.0 * f64::from(bar);
                rect class=(if bar < filled { "full" } else { "empty" }) x=(at(x - 15.0 + 5.0 * f64::from(bar))) y=(at(y - height))
                    width="4" height=(at(height)) {}
            }
        }
    }
}

/// A text in lines of at most `max` letters, where a wide letter counts as two. A word that is longer is cut.
fn lines(text: &str, max: usize) -> Vec<String> {
    let wide = |c: char| {
        if c >= '\u{1100}' { 2 } else { 1 }
    };
    let length = |text: &str| text.chars().map(wide).sum::<usize>();
    let (mut lines, mut line) = (Vec::new(), String::new());
    // A blank that does not break stays.
    for word in text
        .split([' ', '\n', '\t'])
        .filter(|word| !word.is_empty())
    {
        if !line.is_empty() && length(&line) + 1 + length(word) > max {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            if length(&line) + wide(c) > max {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_letter_of_a_phrase_is_lost_and_no_line_is_too_long() {
        for text in [
            "and went home",
            "",
            "a phrase that is a good deal longer than one line of the picture could ever hold, and then some",
            "Donaudampfschifffahrtsgesellschaftskapitänswitwenrentenauszahlungsstelle",
            "狐狸沿着河边一直走到磨坊然后在那里等着母鸡因为天色已经很晚了",
        ] {
            let lines = lines(text, LINE_CHARS);
            let joined: String = lines.concat();
            assert_eq!(joined.replace(' ', ""), text.replace(' ', ""));
            let chars = |line: &String| {
                line.chars()
                    .map(|c| if c >= '\u{1100}' { 2 } else { 1 })
                    .sum::<usize>()
            };
            assert!(
                lines.iter().all(|line| chars(line) <= LINE_CHARS),
                "{lines:?}"
            );
        }
    }
}
