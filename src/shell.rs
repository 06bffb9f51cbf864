//! Words of the commands that this program prints, as a shell reads them.

/// A text as one word.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_blanks_and_quotes_stays_one_word() {
        assert_eq!(quoted("/data/anna/s-1.toml"), "/data/anna/s-1.toml");
        assert_eq!(quoted("/data/it's mine"), r"'/data/it'\''s mine'");
        assert_eq!(quoted(""), "''");
    }
}
