//! What a reader needs to judge the figures.

use maud::{Markup, html};

use super::figures::{NONE, readable};
use super::material::Material;
use super::verdict::reruns;
use crate::engine::adapting::Adaptation;
use crate::engine::drift::GazeStep;
use crate::session::{AutonomyEvent, EventKind, EventRow, GuardEvent, StreamRecord};

pub(super) fn section(material: &Material) -> Markup {
    let manifest = &material.manifest;
    let machine = &manifest.machine;
    let speed = &material.summary.speed;
    let figure = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| NONE.to_owned(), |value| format!("{value:.digits$}"))
    };
    let (same, all) = reruns(material);
    let commits = format!(" (n = {})", material.summary.counts.committed);
    let scored = material
        .summary
        .accuracy
        .as_ref()
        .map_or_else(String::new, |scores| {
            format!(" (n = {} scored)", scores.committed.n)
        });
    html! {
        section id="facts" {
            h2 { "Facts" }
            h3 { "The session" }
            dl {
                dt { "session" } dd { (readable(&manifest.session)) }
                dt { "began, ended" }
                dd { (readable(&manifest.started_utc)) ", " (manifest.ended_utc.as_deref().map_or_else(|| "not by itself".to_owned(), readable)) }
                dt { "command" } dd { code { (readable(&manifest.command.join(" "))) } }
                dt { "seeds" }
                dd {
                    @if manifest.seeds.is_empty() { (NONE) }
                    @for (nth, (name, seed)) in manifest.seeds.iter().enumerate() {
                        @if nth > 0 { ", " } (readable(name)) " " (seed)
                    }
                }
                @if let Some(autonomy) = &material.summary.autonomy {
                    dt { "autonomy" } dd { (autonomy.in_words()) }
                }
                @if let Some(guard) = &material.summary.guard {
                    dt { "guard" } dd { (guard.in_words()) }
                }
                dt { "tokens written" } dd { (material.summary.tokens_written) }
                dt { "commits per 100 tokens" } dd { (figure(speed.selections_per_100_tokens, 1)) (commits) }
                dt { "flashes per commit" } dd { (figure(speed.flashes_per_decision, 1)) (commits) }
                dt { "bits the person added" }
                dd {
                    (format!("{:.1}", speed.bits_added_total)) " in all, " (figure(speed.bits_added_mean, 2))
                    " per commit" (commits) ": divergence of the posterior from the capped prior"
                }
                dt { "information transfer rate" }
                dd {
                    (figure(speed.itr_bits_per_min, 1)) " bits/min, " (figure(speed.wolpaw_bits_per_selection, 2))
                    " bits per commit" (scored)
                    ", by Wolpaw, who undervalues a choice among few options that differ in meaning"
                }
            }
            h3 { "What it ran on" }
            dl {
                dt { "Razvilka" }
                dd {
                    (readable(&manifest.versions.razvilka))
                    @if let Some(commit) = &manifest.versions.commit { ", commit " (readable(commit)) }
                }
                dt { "configuration" } dd { "SHA-256 " code { (readable(&manifest.config.sha256)) } }
                dt { "profile" }
                dd {
                    @match &manifest.profile_sha256 {
                        Some(sha256) => { "SHA-256 " code { (readable(sha256)) } }
                        None => (NONE),
                    }
                }
                @for model in &manifest.models {
                    dt { (readable(&model.role)) }
                    dd { (readable(&model.name)) ", " (model.bytes) " bytes, SHA-256 " code { (readable(&model.sha256)) }
                        @if let Some(precision) = &model.precision { ", held as " (readable(precision)) }
                    }
                }
                dt { "machine" }
                dd {
                    (readable(&machine.cpu)) ", " (super::figures::count(machine.cores as u64, "core")) ", "
                    (format!("{:.1}", machine.memory_kib as f64 / 1_048_576.0)) " GiB, "
                    (readable(&machine.system)) " " (readable(&machine.kernel)) ", " (readable(&machine.hostname))
                }
            }
            @if let Some(frames) = &manifest.display {
                dl { dt { "display" } dd { (readable(&frames.in_words())) } }
            }
            (streams(&manifest.streams))
            h3 { "What can be relied on" }
            dl {
                dt { "ledger" }
                dd {
                    @match &material.chain {
                        Ok(head) => {
                            "chain verified, " (super::figures::count(head.rows.unsigned_abs(), "row")) ", last " code { (head.hash) }
                            @match &manifest.ledger {
                                Some(said) if said == head => ", as in the manifest",
                                Some(_) => span class="bad" { ", not as in the manifest" },
                                None => ", to which the manifest says nothing",
                            }
                        }
                        Err(reason) => span class="bad" { (readable(reason)) },
                    }
                }
                dt { "decisions" } dd { "the gate, run again on the recorded inputs, came to the very same end at " (same) " of " (all) " forks" }
                dt { "recording" }
                dd {
                    @if manifest.recording_incomplete.is_empty() { "nothing is known to be missing" }
                    @else { ul { @for gap in &manifest.recording_incomplete { li class="bad" { (readable(gap)) } } } }
                }
                dt { "latency" }
                dd {
                    @if manifest.uncertified.is_empty() { "nothing speaks against the figures" }
                    @else { "not certified:" ul { @for reason in &manifest.uncertified { li { (readable(reason)) } } } }
                }
            }
            (events(material))
        }
    }
}

fn streams(streams: &[StreamRecord]) -> Markup {
    html! {
        @if !streams.is_empty() {
            h3 { "Streams" }
            table {
                thead {
                    tr {
                        th { "used for" } th { "name" } th { "type" } th { "source" } th { "host" }
                        th class="n" { "channels" } th class="n" { "Hz" }
                    }
                }
                tbody {
                    @for stream in streams {
                        @let spec = &stream.spec;
                        tr {
                            td { (readable(&stream.role)) }
                            td { (readable(&spec.name)) }
                            td { (readable(&spec.kind)) }
                            td { (readable(&spec.source_id)) }
                            td { (readable(&spec.hostname)) }
                            td class="n" { (spec.labels.len()) }
                            td class="n" { @if spec.rate_hz > 0.0 { (spec.rate_hz) } @else { "irregular" } }
                        }
                    }
                }
            }
            @for stream in streams {
                @if let Some(words) = &stream.read_as {
                    p { (readable(&stream.role)) " was read as " (readable(words)) }
                }
            }
        }
    }
}

fn events(material: &Material) -> Markup {
    let start = material.forks.first().map(|story| story.row.opened_at);
    html! {
        @if !material.events.is_empty() {
            h3 { "Events" }
            table {
                thead { tr { th class="n" { "s" } th { "what" } th class="n" { "fork" } th { "detail" } } }
                tbody {
                    @for event in &material.events {
                        tr {
                            td class="n" { @if let Some(start) = start { (format!("{:.1}", event.at.since(start))) } }
                            td { (kind(event.kind)) }
                            td class="n" { @if let Some(fork) = event.fork { (fork.0) } }
                            td class="detail" { (readable(&detail(event))) }
                        }
                    }
                }
            }
            p class="aside" { "Seconds since the first fork." }
        }
    }
}

/// The event's own words; a step of learning is told in fewer.
fn detail(event: &EventRow) -> String {
    if let Some(step) = GazeStep::of_detail(&event.detail) {
        return step.in_words();
    }
    if let Some(event) = AutonomyEvent::of(event) {
        return event.in_words();
    }
    if let Some(event) = GuardEvent::of(event) {
        return event.in_words();
    }
    let learnt = (event.kind == EventKind::Adaptation)
        .then(|| serde_json::from_str::<Adaptation>(&event.detail).ok())
        .flatten();
    learnt.map_or_else(|| event.detail.clone(), |step| step.in_words())
}

const fn kind(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Pause => "pause",
        EventKind::Resume => "resume",
        EventKind::Operator => "operator",
        EventKind::Source => "source",
        EventKind::Clock => "clock",
        EventKind::Model => "model",
        EventKind::Recording => "recording",
        EventKind::Fault => "fault",
        EventKind::Exchange => "exchange",
        EventKind::Adaptation => "adaptation",
        EventKind::Autonomy => "autonomy",
        EventKind::Guard => "guard",
        EventKind::End => "end",
    }
}
