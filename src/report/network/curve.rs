//! The curve of autonomy: how much is asked, and how far the imitator has agreed where it was checked, session by session.

use maud::{Markup, html};

use crate::choice::bound::AgreementBound;
use crate::choice::handover::{Autonomy, Report};
use crate::report::figures::{NONE, percent, readable, tick};
use crate::report::material::Material;
use crate::report::plot::{Frame, Scale, at};
use crate::session::AutonomyEvent;

/// Sessions whose numbers are written at the axis, at most.
const NUMBERED_MAX: usize = 25;

/// A session's figures.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sitting {
    /// Its number on the page, from 1: sessions of which the memory alone tells have numbers, and no figures.
    pub(super) number: usize,
    pub(super) session: String,
    pub(super) began_utc: String,
    /// Questions put to the person.
    pub(super) questions: u64,
    /// Tokens written, undone ones included.
    pub(super) tokens: u64,
    /// Questions by which the imitator was checked, and those at which the person chose as it would have; none where none was at work.
    pub(super) audits: Option<(u64, u64)>,
    /// How things stood at the end.
    pub(super) stands: Option<Report>,
    /// The risk that the bound is wrong.
    pub(super) risk: f64,
}

impl Sitting {
    /// Not numbered yet.
    pub(super) fn of(material: &Material) -> Self {
        let mut stands = None;
        for event in material.events.iter().filter_map(AutonomyEvent::of) {
            if let AutonomyEvent::Stands(report) | AutonomyEvent::Ends(report) = event {
                stands = Some(*report);
            }
        }
        let autonomy = material.summary.autonomy.as_ref();
        Self {
            number: 0,
            session: material.manifest.session.clone(),
            began_utc: material.manifest.started_utc.clone(),
            questions: material.summary.counts.asked,
            tokens: material.summary.tokens_written,
            audits: autonomy.map(|autonomy| (autonomy.audits, autonomy.agreed)),
            stands,
            risk: material.imitate.config().risk,
        }
    }

    fn questions_per_100_tokens(&self) -> Option<f64> {
        (self.tokens > 0).then(|| 100.0 * self.questions as f64 / self.tokens as f64)
    }

    fn level(&self) -> Option<Autonomy> {
        self.stands.map(|report| report.autonomy)
    }
}

/// The lower bound on agreement over all audits up to each session: with the probability `1 - risk` it is at no moment above the mean of
/// what was to be expected of them. `None` before the first audit.
fn bounds(sittings: &[Sitting]) -> Vec<Option<f64>> {
    let (mut audits, mut agreed) = (0_u64, 0_u64);
    let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    sittings
        .iter()
        .map(|sitting| {
            let (here, of_them) = sitting.audits.unwrap_or_default();
            (audits, agreed) = (audits + here, agreed + of_them);
            (audits > 0)
                .then(|| AgreementBound::after(sitting.risk, count(audits), count(agreed)).lower())
        })
        .collect()
}

pub(super) fn section(sittings: &[Sitting]) -> Markup {
    html! {
        section id="autonomy" {
            h2 { "The curve of autonomy" }
            @if sittings.is_empty() {
                p { "How much was asked stands in the sessions' own folders: name them to see it." }
            } @else {
                @let bounds = bounds(sittings);
                p {
                    "Questions for each 100 tokens written, and agreement at audits: questions at which the imitator was sure and would have chosen, put to the person all the same, by a coin. "
                    "The bound rests on all audits up to then and holds at every moment at once with " (percent(1.0 - sittings.iter().map(|s| s.risk).fold(0.0, f64::max))) ": it is on their mean, not on the next one."
                }
                (questions(sittings))
                (agreement(sittings, &bounds))
                (table(sittings, &bounds))
            }
        }
    }
}

fn frame() -> Frame {
    Frame {
        width: 620.0,
        height: 210.0,
        left: 54.0,
        right: 606.0,
        top: 26.0,
        bottom: 160.0,
    }
}

/// Middle of a session's stretch of the axis.
fn x(frame: &Frame, nth: usize, of: usize) -> f64 {
    frame.x((nth as f64 + 0.5) / of.max(1) as f64)
}

/// The axis of sessions, with its name; and the name of the other.
fn axes(frame: &Frame, sittings: &[Sitting], vertical: &str) -> Markup {
    let of = sittings.len();
    let step = of.div_ceil(NUMBERED_MAX).max(1);
    html! {
        line class="axis" x1=(at(frame.left)) x2=(at(frame.right)) y1=(at(frame.bottom)) y2=(at(frame.bottom)) {}
        @for (nth, sitting) in sittings.iter().enumerate().step_by(step) {
            @let x = x(frame, nth, of);
            line class="axis" x1=(at(x)) x2=(at(x)) y1=(at(frame.bottom)) y2=(at(frame.bottom + 4.0)) {}
            text class="tick" x=(at(x)) y=(at(frame.bottom + 16.0)) text-anchor="middle" { (sitting.number) }
        }
        text class="tick" x=(at(f64::midpoint(frame.left, frame.right))) y=(at(frame.bottom + 34.0)) text-anchor="middle" { "session, in order of time" }
        text class="tick" x=(at(frame.left - 50.0)) y="11" { (vertical) }
    }
}

fn questions(sittings: &[Sitting]) -> Markup {
    let frame = frame();
    let values: Vec<Option<f64>> = sittings
        .iter()
        .map(Sitting::questions_per_100_tokens)
        .collect();
    let scale = Scale::from_zero(values.iter().flatten().copied().fold(0.0, f64::max));
    let content = html! {
        (frame.y_grid(&scale, &scale.ticks(), |value| tick(value).to_string()))
        (axes(&frame, sittings, "questions per 100 tokens"))
        @for (nth, value) in values.iter().enumerate() {
            @if let Some(value) = value {
                @let (x, y) = (x(&frame, nth, sittings.len()), frame.y(scale.share(*value)));
                line class="stem" x1=(at(x)) x2=(at(x)) y1=(at(frame.bottom)) y2=(at(y)) {}
                circle class="dot" cx=(at(x)) cy=(at(y)) r="4.5" {}
            }
        }
    };
    html! { figure { figcaption { "Questions" } (frame.picture("Questions per 100 tokens, by session", &content)) } }
}

fn agreement(sittings: &[Sitting], bounds: &[Option<f64>]) -> Markup {
    let frame = frame();
    let scale = Scale::Linear { from: 0.0, to: 1.0 };
    let share = |sitting: &Sitting| {
        let (audits, agreed) = sitting.audits?;
        (audits > 0).then(|| (agreed as f64 / audits as f64, audits))
    };
    let content = html! {
        (frame.y_grid(&scale, &scale.ticks(), |share| format!("{:.0} %", 100.0 * share)))
        (axes(&frame, sittings, "agreement at audits"))
        @for (nth, (sitting, bound)) in sittings.iter().zip(bounds).enumerate() {
            @let x = x(&frame, nth, sittings.len());
            @if let Some(bound) = bound {
                @let y = frame.y(scale.share(*bound));
                line class="bound" x1=(at(x - 9.0)) x2=(at(x + 9.0)) y1=(at(y)) y2=(at(y)) {}
            }
            @if let Some((share, audits)) = share(sitting) {
                @let y = frame.y(scale.share(share));
                circle class="dot" cx=(at(x)) cy=(at(y)) r="4.5" {}
                text class="tick" x=(at(x)) y=(at(y - 8.0)) text-anchor="middle" { "n " (audits) }
            }
        }
    };
    html! {
        figure {
            figcaption {
                "Agreement: a point is a session's audits, a bar the lower bound over all audits so far"
                @if bounds.iter().all(Option::is_none) { ". There was no audit yet" }
            }
            (frame.picture("Agreement at audits with its lower bound, by session", &content))
        }
    }
}

fn table(sittings: &[Sitting], bounds: &[Option<f64>]) -> Markup {
    let figure =
        |value: Option<f64>| value.map_or_else(|| NONE.to_owned(), |value| format!("{value:.2}"));
    html! {
        table {
            thead {
                tr {
                    th class="n" { "session" } th { "began" } th class="n" { "questions" } th class="n" { "tokens" }
                    th class="n" { "questions per 100 tokens" } th class="n" { "audits" } th class="n" { "agreed" }
                    th class="n" { "lower bound" } th { "level at the end" }
                }
            }
            tbody {
                @for (sitting, bound) in sittings.iter().zip(bounds) {
                    tr {
                        td class="n" { (sitting.number) }
                        td { (readable(&sitting.began_utc)) }
                        td class="n" { (sitting.questions) }
                        td class="n" { (sitting.tokens) }
                        td class="n" { (figure(sitting.questions_per_100_tokens())) }
                        td class="n" { (sitting.audits.map_or_else(|| NONE.to_owned(), |(audits, _)| audits.to_string())) }
                        td class="n" { (sitting.audits.map_or_else(|| NONE.to_owned(), |(_, agreed)| agreed.to_string())) }
                        td class="n" { (figure(*bound)) }
                        td { (sitting.level().map_or("no imitator at work", Autonomy::words)) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sitting(audits: Option<(u64, u64)>) -> Sitting {
        Sitting {
            number: 1,
            session: String::new(),
            began_utc: String::new(),
            questions: 3,
            tokens: 200,
            audits,
            stands: None,
            risk: 0.05,
        }
    }

    #[test]
    fn the_bound_rests_on_all_audits_so_far_and_never_exceeds_what_was_seen() {
        let sittings = [
            sitting(None),
            sitting(Some((20, 20))),
            sitting(Some((0, 0))),
            sitting(Some((20, 10))),
        ];
        let bounds = bounds(&sittings);
        assert_eq!(bounds[0], None);
        // Twenty agreements in a row: excluded at 95 % is what would give them with less than one in twenty, at least.
        let first = bounds[1].unwrap_or(0.0);
        assert!(first > 0.5 && first < 0.05_f64.powf(1.0 / 20.0), "{first}");
        assert_eq!(bounds[2], bounds[1]);
        assert!(
            bounds[3] < bounds[2] && bounds[3].is_some_and(|bound| bound < 0.75),
            "{bounds:?}"
        );
        assert_eq!(sittings[0].questions_per_100_tokens(), Some(1.5));
    }

    #[test]
    fn every_axis_has_its_unit_and_every_session_its_row() {
        let sittings: Vec<Sitting> = (0..60)
            .map(|n| sitting((n > 3).then_some((n, n))))
            .collect();
        let page = section(&sittings).into_string();
        for said in [
            "questions per 100 tokens",
            "agreement at audits",
            "session, in order of time",
            "100 %",
        ] {
            assert!(page.contains(said), "{said}");
        }
        assert_eq!(page.matches("<tr>").count(), 61);
        // By the number that the page has for it, not by its place among those with figures.
        let third = Sitting {
            number: 7,
            ..sitting(None)
        };
        let page = section(&[third]).into_string();
        assert!(page.contains(r#"<td class="n">7</td>"#), "{page}");
        assert!(page.contains(r#"text-anchor="middle">7</text>"#), "{page}");
        assert!(section(&[]).into_string().contains("name them"));
    }
}
