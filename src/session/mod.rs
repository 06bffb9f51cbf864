//! The session folder: manifest, ledger, recording, text.
