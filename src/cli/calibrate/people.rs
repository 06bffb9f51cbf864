//! Whose recordings they are: as typed, or by their names.
//!
//! Whether two files are of one person decides what a prior may be judged on: a person judged by a prior that knows them would
//! look too good. A part of a name that merely looks like a person's only makes fewer people of the files, which is the safe side.

use std::path::{Path, PathBuf};

/// `PERSON=FILE` as typed, unless there is a file of that whole name.
pub(super) fn person_and_file(typed: &Path) -> (Option<String>, PathBuf) {
    let text = typed.to_string_lossy();
    match text.split_once('=') {
        Some((person, file)) if !person.is_empty() && !file.is_empty() && !typed.exists() => {
            (Some(person.to_owned()), PathBuf::from(file))
        }
        _ => (None, typed.to_owned()),
    }
}

/// A number for each file's person, from 0 in the order of the files.
pub(super) fn people_of(files: &[(Option<String>, PathBuf)]) -> Vec<usize> {
    let mut known: Vec<String> = Vec::new();
    files
        .iter()
        .enumerate()
        .map(|(index, (typed, file))| {
            let person = typed
                .clone()
                .or_else(|| person_in(file))
                // No name holds a line feed that a shell would type: nobody else's.
                .unwrap_or_else(|| format!("\n{index}"));
            known.iter().position(|k| *k == person).unwrap_or_else(|| {
                known.push(person);
                known.len() - 1
            })
        })
        .collect()
}

/// `2 people, 4 recordings` and what that allows.
pub(super) fn grouping_in_words(people: &[usize]) -> String {
    let count = people.iter().max().map_or(0, |most| most + 1);
    let plural =
        |n: usize, one: &str, more: &str| format!("{n} {}", if n == 1 { one } else { more });
    let words = format!(
        "{}, {}",
        plural(count, "person", "people"),
        plural(people.len(), "recording", "recordings")
    );
    if count < 2 && people.len() > 1 {
        format!("{words}. Are they of several people? Then say so: anna=FILE boris=FILE")
    } else {
        words
    }
}

/// The part of a file's name that names a person: `sub-NAME`, or S, P, VP, sub, subj, subject, participant or person with a number.
fn person_in(file: &Path) -> Option<String> {
    let name = file.file_stem()?.to_string_lossy().to_ascii_lowercase();
    let parts = || name.split(['_', '.', ' ']);
    if let Some(bids) =
        parts().find(|part| part.strip_prefix("sub-").is_some_and(|n| !n.is_empty()))
    {
        return Some(bids.to_owned());
    }
    let words = [
        "s",
        "p",
        "vp",
        "sub",
        "subj",
        "subject",
        "participant",
        "person",
    ];
    parts()
        .flat_map(|part| part.split('-'))
        .find(|part| {
            let word = part.trim_end_matches(|c: char| c.is_ascii_digit());
            word.len() < part.len() && words.contains(&word)
        })
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(names: &[&str]) -> Vec<usize> {
        let files: Vec<_> = names
            .iter()
            .map(|name| person_and_file(Path::new(name)))
            .collect();
        people_of(&files)
    }

    #[test]
    fn a_file_is_one_persons_unless_its_name_or_the_line_says_otherwise() {
        assert_eq!(people(&["a.xdf", "b.xdf", "c.xdf"]), [0, 1, 2]);
        assert_eq!(
            people(&[
                "x/gtec5_S1_train.xdf",
                "gtec5_S2_train.xdf",
                "gtec5_S1_test.xdf"
            ]),
            [0, 1, 0]
        );
        assert_eq!(
            people(&[
                "sub-anna_ses-S001_task-a.xdf",
                "sub-boris_ses-S001_task-a.xdf"
            ]),
            [0, 1],
            "a session is no person"
        );
        assert_eq!(people(&["me=a.xdf", "you=b.xdf", "me=c.xdf"]), [0, 1, 0]);
        assert_eq!(people(&["me=sub-1.xdf", "you=sub-1.xdf"]), [0, 1]);
        assert_eq!(people(&["subject07.xdf", "Subject07_b.xdf"]), [0, 0]);
        assert_eq!(
            people(&["p300.xdf", "P300_b.xdf"]),
            [0, 0],
            "on the safe side"
        );
    }
}
