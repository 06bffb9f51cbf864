//! The page's section on the signal: what each channel did, and why epochs were rejected.

use std::fmt::Write as _;

use super::markup::escape;
use crate::signal::SignalQuality;

/// The channel's label, or its number from 1 where it has none.
pub(super) fn channel_name(labels: &[String], channel: usize) -> String {
    let label = labels.get(channel).map(String::as_str).unwrap_or_default();
    if label.is_empty() {
        format!("channel {}", channel + 1)
    } else {
        label.to_owned()
    }
}

fn percent(part: f64, whole: f64) -> String {
    format!("{:.1} %", 100.0 * part / whole.max(1.0))
}

/// The section; a sentence where nothing is known.
pub(super) fn push_signal(page: &mut String, labels: &[String], signal: Option<&SignalQuality>) {
    page.push_str("<section>\n<h2>Signal</h2>\n");
    let Some(signal) = signal else {
        page.push_str(
            "<p>The quality of the channels was not recorded with these epochs.</p>\n</section>\n",
        );
        return;
    };
    let rejected: Vec<String> = signal
        .rejected
        .iter()
        .map(|(why, count)| format!("{} {count}", why.words()))
        .collect();
    let rejected = if rejected.is_empty() {
        "none of them is in doubt".to_owned()
    } else {
        let count: usize = signal.rejected.iter().map(|(_, count)| count).sum();
        format!(
            "{count} of them are in doubt and no evidence ({})",
            rejected.join(", ")
        )
    };
    let _ = writeln!(
        page,
        "<p>{} flashes have a whole epoch; by the channels that are used, {}.</p>",
        signal.epochs,
        escape(&rejected)
    );
    for note in &signal.notes {
        let _ = writeln!(page, "<p>{}.</p>", escape(note));
    }
    let _ = writeln!(
        page,
        "<table>\n<caption>Channels, judged once a second for {} s. Epochs doubted: the channel was bad in them, or swung beyond \
         the peak-to-peak limit.</caption>\n<thead><tr><th scope=\"col\">Channel</th>\
         <th scope=\"col\" class=\"number\">Bad</th><th scope=\"col\">Why, seconds</th>\
         <th scope=\"col\" class=\"number\">Epochs doubted</th><th scope=\"col\">Use</th></tr></thead>\n<tbody>",
        signal.seconds
    );
    for (index, channel) in signal.channels.iter().enumerate() {
        let bad: u64 = channel.bad_s.iter().map(|(_, seconds)| seconds).sum();
        let why: Vec<String> = channel
            .bad_s
            .iter()
            .map(|(why, seconds)| format!("{} {seconds}", why.words()))
            .collect();
        let used = channel.left_out.map_or_else(
            || "used".to_owned(),
            |why| format!("<span class=\"mark poor\">left out</span>: {}", why.words()),
        );
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\">{}</th><td class=\"number\">{}</td><td class=\"bands\">{}</td>\
             <td class=\"number\">{}</td><td>{used}</td></tr>",
            escape(&channel_name(labels, index)),
            percent(bad as f64, signal.seconds as f64),
            escape(&why.join(", ")),
            percent(channel.doubted as f64, signal.epochs as f64),
        );
    }
    page.push_str("</tbody>\n</table>\n</section>\n");
}
