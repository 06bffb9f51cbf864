//! The network in words: every place with what was chosen there, what the other ways say, and the command that goes on along them.

use maud::{Markup, html};

use super::{Told, decided_at};
use crate::choice::network::{Place, Way};
use crate::report::figures::{chooser_class, percent, readable};
use crate::shell::quoted;

/// All places, in order. Also what a browser shows beside the picture when a place in it is picked.
pub(super) fn list(told: &Told) -> Markup {
    html! {
        details id="places" {
            summary { "Every place in words, with the commands that go the other way" }
            ol class="places" {
                @for (number, place) in told.network.places().iter().enumerate() { (item(told, number, place)) }
            }
        }
    }
}

fn item(told: &Told, number: usize, place: &Place) -> Markup {
    let visits = told.network.visits();
    let first = place.visits.first().and_then(|visit| visits.get(*visit));
    html! {
        li id=(format!("place-{number}")) {
            h4 { "Place " (number + 1) }
            p class="context" { bdi lang="" { "…" (first.map_or_else(String::new, |met| readable(&met.context))) } }
            @for &visit in &place.visits {
                @if let Some(met) = visits.get(visit) {
                    p {
                        span class=(chooser_class(met.chooser)) { (decided_at(told, visit)) }
                        @if let Some(level) = met.level { ", level: " (level.words()) }
                        @if let Some(session) = told.sessions.get(met.session).filter(|_| told.sessions.len() > 1) {
                            span class="aside" { " (session " (readable(&session.id)) ")" }
                        }
                    }
                }
            }
            ul class="ways" {
                @for (nth, way) in place.ways.iter().enumerate() { li { (way_in_words(told, place, nth, way)) } }
            }
        }
    }
}

fn way_in_words(told: &Told, place: &Place, nth: usize, way: &Way) -> Markup {
    let taken: Vec<String> = way
        .taken
        .iter()
        .map(|visit| decided_at(told, *visit))
        .collect();
    html! {
        span class=(if taken.is_empty() { "left" } else { "chosen" }) { bdi lang="" { (readable(&way.text)) } }
        " " span class="aside" {
            (percent(way.prior)) " of the model's mass"
            @if taken.is_empty() { ", not taken" } @else { ", taken at " (taken.join("; ")) }
            @if !way.also.is_empty() {
                ", also worded " @for (n, text) in way.also.iter().enumerate() { @if n > 0 { ", " } bdi lang="" { (readable(text)) } }
            }
            @for to in &way.leads_to { ", leads to " a href=(format!("#place-{to}")) { "place " (to + 1) } }
        }
        @if let Some(command) = command(told, place, nth).filter(|_| way.taken.is_empty()) {
            " " code class="command" { (command) }
        }
    }
}

/// What goes on along a way: at the first fork that offered it in a session whose folder is known and whose text can be gone on with.
fn command(told: &Told, place: &Place, way: usize) -> Option<String> {
    place.visits.iter().find_map(|&visit| {
        let met = told.network.visits().get(visit)?;
        let session = told.sessions.get(met.session)?;
        let folder = session.folder.as_ref().filter(|_| session.goes_on)?;
        let branch = (0..met.offered.len())
            .find(|branch| told.network.way_of(visit, *branch) == Some(way))?;
        Some(format!(
            "razvilka generate --from {} --fork {} --branch {}{}",
            quoted(&folder.display().to_string()),
            met.fork.0,
            met.offered.get(branch)?.item,
            session.sampling
        ))
    })
}
