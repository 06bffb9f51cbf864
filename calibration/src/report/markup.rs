//! The pieces that the sections of the page are made of: escaped text, rows of figures, plots with captions.

use std::fmt::Write as _;

use super::grade::Grade;

/// Text for HTML and for attributes in double quotes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() && c != '\n' => {}
            c => out.push(c),
        }
    }
    out
}

/// Writing to a `String` cannot fail; this keeps the call sites short.
macro_rules! put {
    ($page:expr, $($arg:tt)*) => { let _ = writeln!($page, $($arg)*); };
}
pub(super) use put;

/// A row of a table of figures: name, value, grade and bands.
pub(super) fn put_row(
    page: &mut String,
    name: &str,
    value: &str,
    grade: Option<Grade>,
    bands: &str,
) {
    let cell = grade.map_or_else(String::new, |g| {
        format!("<span class=\"mark {0}\">{0}</span>", g.word())
    });
    put!(
        page,
        "<tr><th scope=\"row\">{}</th><td class=\"number\">{}</td><td>{cell}</td><td class=\"bands\">{}</td></tr>",
        escape(name),
        escape(value),
        escape(bands)
    );
}

pub(super) fn open_table(page: &mut String) {
    page.push_str(
        "<table>\n<thead><tr><th scope=\"col\">Figure</th><th scope=\"col\" class=\"number\">Value</th>\
         <th scope=\"col\">Grade</th><th scope=\"col\">Bands</th></tr></thead>\n<tbody>\n",
    );
}

/// A plot with what is to be said of it, which is HTML already.
pub(super) fn figure(page: &mut String, svg: &str, caption: &str) {
    put!(
        page,
        "<figure>{svg}<figcaption>{caption}</figcaption></figure>"
    );
}
