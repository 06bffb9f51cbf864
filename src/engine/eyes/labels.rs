//! What the labels of gaze channels say: axis, eye, and whether the point of regard is meant.

/// Words that say that a position is not the point of regard, or not on the screen: each by its beginning.
const OTHER_THINGS: [&str; 26] = [
    "pupil",
    "origin",
    "center",
    "centre",
    "normal",
    "3d",
    "camera",
    "cam",
    "target",
    "head",
    "reflex",
    "cr",
    "degree",
    "ppd",
    "diameter",
    "user",
    "direction",
    "velocity",
    "vel",
    "track",
    "resolution",
    "angle",
    "raw",
    "openness",
    "fixation",
    "rotation",
];

/// Which eye a channel belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Eye {
    /// Both, or not said.
    Combined,
    Left,
    Right,
}

impl Eye {
    /// For people.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Combined => "both eyes together",
            Self::Left => "left eye",
            Self::Right => "right eye",
        }
    }
}

/// Horizontal or vertical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    X,
    Y,
}

/// A label taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) axis: Option<Axis>,
    pub(super) eye: Option<Eye>,
    /// The other words.
    pub(super) rest: Vec<String>,
}

impl Label {
    /// Takes a label apart: `left_gaze_x`, `R_gazeX`, `Screen_X_left`, `leftEyeX`, `x.position_on_display_area.gaze_point.left_eye`.
    pub(super) fn of(label: &str) -> Self {
        let mut found = Self {
            axis: None,
            eye: None,
            rest: Vec::new(),
        };
        for word in words(label) {
            match word.as_str() {
                "x" | "horizontal" => found.axis = found.axis.or(Some(Axis::X)),
                "y" | "vertical" => found.axis = found.axis.or(Some(Axis::Y)),
                "left" | "l" => found.eye = Some(Eye::Left),
                "right" | "r" => found.eye = Some(Eye::Right),
                "both" | "combined" | "average" | "avg" | "mean" | "cyclopean" => {
                    found.eye = Some(Eye::Combined);
                }
                _ => found.rest.push(word),
            }
        }
        found
    }

    /// Whether it tells of something else than where the person looks.
    pub(super) fn is_other(&self) -> bool {
        self.rest
            .iter()
            .any(|word| OTHER_THINGS.iter().any(|other| word.starts_with(other)))
    }

    pub(super) fn has(&self, words: &[&str]) -> bool {
        self.rest.iter().any(|word| words.contains(&word.as_str()))
    }
}

/// Small-letter words: parted at signs, and where a capital begins a word.
pub(super) fn words(label: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for part in label.split(|c: char| !c.is_alphanumeric()) {
        let letters: Vec<char> = part.chars().collect();
        let mut word = String::new();
        for (at, letter) in letters.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|at| letters.get(at));
            let next = letters.get(at + 1);
            let begins = letter.is_uppercase()
                && before.is_some_and(|before| {
                    before.is_lowercase() || next.is_some_and(|next| next.is_lowercase())
                });
            if begins && !word.is_empty() {
                found.push(std::mem::take(&mut word));
            }
            word.extend(letter.to_lowercase());
        }
        if !word.is_empty() {
            found.push(word);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_trackers_are_taken_apart() {
        for (label, axis, eye, rest, other) in [
            ("x", Some(Axis::X), None, "", false),
            ("left_x", Some(Axis::X), Some(Eye::Left), "", false),
            ("leftEyeX", Some(Axis::X), Some(Eye::Left), "eye", false),
            ("rightEyeY", Some(Axis::Y), Some(Eye::Right), "eye", false),
            (
                "Screen_Y_right",
                Some(Axis::Y),
                Some(Eye::Right),
                "screen",
                false,
            ),
            ("R_gazeX", Some(Axis::X), Some(Eye::Right), "gaze", false),
            (
                "GazePointXLeft",
                Some(Axis::X),
                Some(Eye::Left),
                "gaze point",
                false,
            ),
            ("norm_pos_y", Some(Axis::Y), None, "norm pos", false),
            (
                "gaze_point_3d_x",
                Some(Axis::X),
                None,
                "gaze point 3d",
                true,
            ),
            (
                "pixelsPerDegreeX",
                Some(Axis::X),
                None,
                "pixels per degree",
                true,
            ),
            (
                "Pupil_X_left",
                Some(Axis::X),
                Some(Eye::Left),
                "pupil",
                true,
            ),
            (
                "y.position_on_display_area.gaze_point.left_eye",
                Some(Axis::Y),
                Some(Eye::Left),
                "position on display area gaze point eye",
                false,
            ),
            ("confidence", None, None, "confidence", false),
        ] {
            let found = Label::of(label);
            assert_eq!(
                (found.axis, found.eye, found.rest.join(" ").as_str()),
                (axis, eye, rest),
                "{label}"
            );
            assert_eq!(found.is_other(), other, "{label}");
        }
    }
}
