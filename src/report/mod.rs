//! The session's report: one self-contained HTML file.
