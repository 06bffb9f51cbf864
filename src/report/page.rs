//! The page around the sections.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::figures::readable;
use super::material::Material;
use super::{arms, facts, forks, network, posterior, state, text, timing, verdict};

/// Colours, type and print. Holds no `<` and refers to nothing.
pub(super) const STYLE: &str = include_str!("style.css");

/// Forbids the page everything but its own style and script, whatever text it may hold.
pub(super) fn policy() -> String {
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; {}",
        network::script_policy()
    )
}

pub(super) fn page(material: &Material) -> Markup {
    let session = readable(&material.manifest.session);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Razvilka session " (session) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    header {
                        h1 { "Session " (session) }
                        p class="aside" {
                            (readable(&material.manifest.started_utc)) " · Razvilka " (readable(&material.manifest.versions.razvilka))
                        }
                    }
                    (verdict::section(material))
                    nav {
                        a href="#text" { "Text" } a href="#network" { "Network" } a href="#forks" { "Forks" } a href="#arms" { "Four arms" }
                        a href="#posterior" { "Posterior" } a href="#state" { "State" } a href="#timing" { "Timing" } a href="#facts" { "Facts" }
                    }
                    (text::section(material))
                    (network::section(material))
                    (forks::section(material))
                    (arms::section(material))
                    (posterior::section(material))
                    (state::section(material))
                    (timing::section(material))
                    (facts::section(material))
                }
                (network::script())
            }
        }
    }
}
