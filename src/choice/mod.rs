//! The protocol: when the person is asked, and which flashes are shown.
