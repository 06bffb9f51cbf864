//! What was found, as Markdown tables for people or as JSON lines for programs.

use serde_json::{Map, json};

/// One cell.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value {
    Text(&'static str),
    Count(usize),
    Nanoseconds(f64),
    Microseconds(f64),
    Percent(f64),
    Ratio(f64),
}

impl Value {
    fn shown(self) -> String {
        match self {
            Self::Text(text) => text.into(),
            Self::Count(n) => n.to_string(),
            Self::Nanoseconds(v) => format!("{v:.1}"),
            Self::Microseconds(v) => format!("{v:.2}"),
            Self::Percent(v) => format!("{v:.3}"),
            Self::Ratio(v) => format!("{v:.2}"),
        }
    }

    fn json(self) -> serde_json::Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Count(n) => json!(n),
            Self::Nanoseconds(v) | Self::Microseconds(v) | Self::Percent(v) | Self::Ratio(v) => {
                json!(v)
            }
        }
    }
}

/// Prints rows as they come.
pub(crate) struct Report {
    json: bool,
    section: &'static str,
    headed: bool,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            section: "",
            headed: false,
        }
    }

    /// Begins a table: its name in JSON, its title, and how it was measured.
    pub(crate) fn section(&mut self, name: &'static str, title: &str, how: &str) {
        self.section = name;
        self.headed = false;
        if !self.json {
            println!("\n{title}\n\n{how}\n");
        }
    }

    /// Prints one row; the first also prints the head.
    pub(crate) fn row(&mut self, cells: &[(&str, Value)]) {
        if self.json {
            let mut line = Map::new();
            line.insert("table".into(), json!(self.section));
            for (name, value) in cells {
                line.insert((*name).into(), value.json());
            }
            println!("{}", serde_json::Value::Object(line));
            return;
        }
        let widths: Vec<usize> = cells.iter().map(|(name, _)| name.len().max(6)).collect();
        if !self.headed {
            self.headed = true;
            let names = cells.iter().zip(&widths);
            let names: Vec<String> = names.map(|((n, _), w)| format!("{n:>w$}")).collect();
            let rules: Vec<String> = widths.iter().map(|w| "-".repeat(w - 1) + ":").collect();
            println!("| {} |\n| {} |", names.join(" | "), rules.join(" | "));
        }
        let shown: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|((_, value), w)| format!("{:>w$}", value.shown()))
            .collect();
        println!("| {} |", shown.join(" | "));
    }
}
