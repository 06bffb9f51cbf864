//! The annotated example as the template of a new experiment file: cut into its sections, so that those of the sources can be others.
//!
//! There is one annotated file, and a test keeps it the same as the table of limits. What is written for a person is therefore never
//! older than the program that reads it.

/// The example, as it stood when the program was built.
pub(super) const EXAMPLE: &str = include_str!("../../../examples/experiment.toml");

/// A stretch of the template: a section with its header, or what stands between sections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block<'a> {
    /// Name of the section, which may be commented out; empty for what is none.
    pub(super) name: &'a str,
    /// All its lines, the header first.
    pub(super) lines: Vec<&'a str>,
}

/// Cuts an annotated file where a section begins, and where a chapter (`# ---`) does.
pub(super) fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = vec![Block {
        name: "",
        lines: Vec::new(),
    }];
    for line in text.lines() {
        let name = section_of(line);
        if name.is_some() || line.starts_with("# ---") {
            blocks.push(Block {
                name: name.unwrap_or(""),
                lines: Vec::new(),
            });
        }
        if let Some(block) = blocks.last_mut() {
            block.lines.push(line);
        }
    }
    blocks
}

/// The section that begins with this line, also where it is commented out.
fn section_of(line: &str) -> Option<&str> {
    let inner = line.strip_prefix("# ").unwrap_or(line).strip_prefix('[')?;
    let (name, _) = inner.split_once(']')?;
    let plain = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

/// The key that a line gives a value; none where the line is a comment.
pub(super) fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.split_once('=')?;
    let key = key.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!key.is_empty() && key.chars().all(plain)).then_some(key)
}

/// The line with another value, its comment where it was.
pub(super) fn with_value(line: &str, value: &str) -> String {
    let Some(key) = key_of(line) else {
        return line.to_owned();
    };
    // No value of the template holds a '#'.
    match line.find('#') {
        Some(at) => format!("{:<at$}{}", format!("{key} = {value} "), &line[at..]),
        None => format!("{key} = {value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_cut_into_its_sections_and_nothing_of_it_is_lost() {
        let blocks = blocks(EXAMPLE);
        let lines: Vec<&str> = blocks
            .iter()
            .flat_map(|block| block.lines.clone())
            .collect();
        assert_eq!(lines, EXAMPLE.lines().collect::<Vec<_>>());
        for name in ["eeg", "gaze", "keys", "network", "screen", "gate.gaze"] {
            let of_name = blocks.iter().filter(|block| block.name == name);
            assert_eq!(of_name.count(), 1, "{name}");
        }
    }

    #[test]
    fn a_section_begins_with_its_header_and_not_with_a_list() {
        assert_eq!(
            section_of("[gate.gaze]          # with EEG"),
            Some("gate.gaze")
        );
        assert_eq!(section_of("# [keys]   # a stream"), Some("keys"));
        assert_eq!(section_of("# channels = [\"EMG1\"]"), None);
        assert_eq!(section_of("[\"EMG1\"]"), None);
        assert_eq!(section_of("# Pins: name"), None);
    }

    #[test]
    fn a_value_is_exchanged_and_its_comment_stays() {
        let line = "mode = \"laboratory\"   # laboratory: as ever";
        let changed = with_value(line, "\"loopback\"");
        assert_eq!(changed, "mode = \"loopback\"     # laboratory: as ever");
        assert_eq!(with_value("a = 1 # x", "123456"), "a = 123456 # x");
        assert_eq!(with_value("# only = \"words\"", "1"), "# only = \"words\"");
    }
}
