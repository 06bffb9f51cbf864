//! The tables. Their order of columns is part of the hash: it never changes within a version.

/// Version of the tables, kept in SQLite's `user_version`. Read as well: 1, without the table `state`; 2, in which that has no columns
/// of the eyes; 3, whose `evidence` knows neither looks nor contractions; 4, whose `option` does not say what the memory preferred; 5,
/// with the same tables, in which the guard has no events and is no reason.
pub const SCHEMA_VERSION: u32 = 6;
/// "RZVL", kept in SQLite's `application_id`: tells a ledger from other databases.
pub(super) const APPLICATION_ID: i64 = 0x525A_564C;

/// A table of the chain; its columns without `n`, `prev_hash` and `hash`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Name and SQL type, in order.
    pub(super) columns: &'static [(&'static str, &'static str)],
    /// Further SQL run after the table was made.
    index: &'static str,
}

pub(super) const SESSION: Table = Table {
    name: "session",
    columns: &[
        ("session", "TEXT NOT NULL"),
        ("started_utc", "TEXT NOT NULL"),
        ("razvilka_version", "TEXT NOT NULL"),
        ("seed", "INTEGER NOT NULL"),
        ("config_sha256", "TEXT NOT NULL"),
        ("flash", "TEXT NOT NULL"),
        ("protocol", "TEXT NOT NULL"),
    ],
    index: "",
};

pub(super) const FORK: Table = Table {
    name: "fork",
    columns: &[
        ("fork", "INTEGER NOT NULL UNIQUE"),
        ("position_tokens", "INTEGER NOT NULL"),
        ("tokens_written", "INTEGER NOT NULL"),
        ("context", "TEXT NOT NULL"),
        ("origin", "TEXT NOT NULL"),
        ("attempt", "INTEGER NOT NULL"),
        ("asked", "INTEGER NOT NULL"),
        ("decision", "TEXT NOT NULL"),
        ("opened_lsl_s", "REAL"),
        ("opened_mono_ns", "INTEGER NOT NULL"),
        ("epoch", "INTEGER NOT NULL"),
        ("gate", "TEXT NOT NULL"),
        ("prior_capped", "TEXT"),
        ("eeg_offset_s", "REAL"),
        ("eeg_offset_at_s", "REAL"),
        ("gaze_offset_s", "REAL"),
        ("gaze_offset_at_s", "REAL"),
        ("model_sha256", "TEXT NOT NULL"),
        ("adapter", "TEXT"),
    ],
    index: "",
};

pub(super) const OPTION: Table = Table {
    name: "option",
    columns: &OPTION_COLUMNS,
    index: OPTION_INDEX,
};

/// The same before it said what the person's memory of choices preferred.
const OPTION_4: Table = Table {
    name: "option",
    columns: OPTION_COLUMNS.split_at(OPTION_4_COLUMNS).0,
    index: OPTION_INDEX,
};

/// Columns of [`OPTION`] up to version 4.
const OPTION_4_COLUMNS: usize = 11;

const OPTION_INDEX: &str = "CREATE UNIQUE INDEX option_item ON option (fork, item);";

const OPTION_COLUMNS: [(&str, &str); OPTION_4_COLUMNS + 1] = [
    ("fork", "INTEGER NOT NULL"),
    ("item", "INTEGER NOT NULL"),
    ("kind", "TEXT NOT NULL"),
    ("text", "TEXT NOT NULL"),
    ("tokens", "TEXT NOT NULL"),
    ("prior", "REAL"),
    ("log_prob_nats", "REAL"),
    ("x_deg", "REAL"),
    ("y_deg", "REAL"),
    ("w_deg", "REAL"),
    ("h_deg", "REAL"),
    ("attention", "REAL"),
];

pub(super) const EVIDENCE: Table = Table {
    name: "evidence",
    columns: &EVIDENCE_COLUMNS,
    index: EVIDENCE_INDEX,
};

/// The same before there were looks and contractions in it.
const EVIDENCE_3: Table = Table {
    name: "evidence",
    columns: EVIDENCE_COLUMNS.split_at(EVIDENCE_3_COLUMNS).0,
    index: EVIDENCE_INDEX,
};

/// Columns of [`EVIDENCE`] up to version 3.
const EVIDENCE_3_COLUMNS: usize = 16;

const EVIDENCE_INDEX: &str = "CREATE UNIQUE INDEX evidence_step ON evidence (fork, step);";

const EVIDENCE_COLUMNS: [(&str, &str); EVIDENCE_3_COLUMNS + 5] = [
    ("fork", "INTEGER NOT NULL"),
    ("step", "INTEGER NOT NULL"),
    ("input", "TEXT NOT NULL"),
    ("now_s", "REAL"),
    ("about_fork", "INTEGER"),
    ("source", "TEXT"),
    ("mode", "TEXT"),
    ("epoch", "INTEGER"),
    ("seq", "INTEGER"),
    ("at_s", "REAL"),
    ("log_lik_nats", "TEXT"),
    ("reason", "TEXT"),
    ("item", "INTEGER"),
    ("flash_seq", "INTEGER"),
    ("raw_score", "REAL"),
    ("onset_sample", "INTEGER"),
    ("onset_s", "REAL"),
    ("last_s", "REAL"),
    ("llr_nats", "REAL"),
    ("look", "INTEGER"),
    ("look_over", "INTEGER"),
];

pub(super) const CHOICE: Table = Table {
    name: "choice",
    columns: &[
        ("fork", "INTEGER NOT NULL UNIQUE"),
        ("outcome", "TEXT"),
        ("item", "INTEGER"),
        ("kind", "TEXT"),
        ("chooser", "TEXT"),
        ("why", "TEXT NOT NULL"),
        ("text", "TEXT NOT NULL"),
        ("posterior", "TEXT"),
        ("arms", "TEXT"),
        ("pick_prior", "INTEGER"),
        ("pick_gaze", "INTEGER"),
        ("pick_eeg", "INTEGER"),
        ("pick_fused", "INTEGER"),
        ("items_gaze", "INTEGER NOT NULL"),
        ("items_p300", "INTEGER NOT NULL"),
        ("flashes", "INTEGER NOT NULL"),
        ("tokens_written", "INTEGER NOT NULL"),
        ("decided_lsl_s", "REAL"),
        ("decided_mono_ns", "INTEGER NOT NULL"),
        ("committed_mono_ns", "INTEGER NOT NULL"),
        ("latency_ns", "TEXT NOT NULL"),
        ("model_sha256", "TEXT NOT NULL"),
        ("adapter", "TEXT"),
    ],
    index: "",
};

pub(super) const EVENT: Table = Table {
    name: "event",
    columns: &[
        ("kind", "TEXT NOT NULL"),
        ("fork", "INTEGER"),
        ("at_lsl_s", "REAL"),
        ("at_mono_ns", "INTEGER NOT NULL"),
        ("detail", "TEXT NOT NULL"),
    ],
    index: "",
};

/// State of the person at a fork; the values are [`crate::person::COLUMNS`].
pub(super) const STATE: Table = Table {
    name: "state",
    columns: &STATE_COLUMNS,
    index: "",
};

/// The same before there were eyes in it.
const STATE_2: Table = Table {
    name: "state",
    columns: STATE_COLUMNS.split_at(STATE_2_COLUMNS).0,
    index: "",
};

/// Columns of [`STATE`] that version 2 has: where and when, then what rests on EEG.
const STATE_2_COLUMNS: usize = 4 + crate::person::OF_EEG;

const STATE_COLUMNS: [(&str, &str); 4 + crate::person::VALUES] = [
    ("fork", "INTEGER NOT NULL UNIQUE"),
    ("at_lsl_s", "REAL"),
    ("at_mono_ns", "INTEGER NOT NULL"),
    ("time_on_task_s", "REAL NOT NULL"),
    ("baseline_share", "REAL NOT NULL"),
    ("channels", "REAL NOT NULL"),
    ("theta_alpha", "REAL"),
    ("theta_alpha_baseline", "REAL"),
    ("theta_alpha_z", "REAL"),
    ("theta_alpha_risen", "REAL"),
    ("slow_fast", "REAL"),
    ("slow_fast_baseline", "REAL"),
    ("slow_fast_z", "REAL"),
    ("slow_fast_risen", "REAL"),
    ("spindles_per_min", "REAL"),
    ("spindles_per_min_baseline", "REAL"),
    ("spindles_per_min_z", "REAL"),
    ("spindles_per_min_risen", "REAL"),
    ("spindle_s", "REAL"),
    ("spindle_uv", "REAL"),
    ("p300_amplitude", "REAL"),
    ("p300_se", "REAL"),
    ("p300_forks", "REAL"),
    ("p300_baseline", "REAL"),
    ("p300_z", "REAL"),
    ("p300_fallen", "REAL"),
    ("eyes_baseline_share", "REAL NOT NULL"),
    ("blinks_per_min", "REAL"),
    ("blinks_per_min_baseline", "REAL"),
    ("blinks_per_min_z", "REAL"),
    ("blinks_per_min_risen", "REAL"),
    ("blink_s", "REAL"),
    ("blink_s_baseline", "REAL"),
    ("blink_s_z", "REAL"),
    ("blink_s_risen", "REAL"),
    ("perclos", "REAL"),
    ("perclos_baseline", "REAL"),
    ("perclos_z", "REAL"),
    ("perclos_risen", "REAL"),
    ("perclos_measured", "REAL"),
    ("saccade_peak_deg_s", "REAL"),
    ("saccade_peak_deg_s_baseline", "REAL"),
    ("saccade_peak_deg_s_z", "REAL"),
    ("saccade_peak_deg_s_risen", "REAL"),
    ("bcea_deg2", "REAL"),
    ("bcea_deg2_baseline", "REAL"),
    ("bcea_deg2_z", "REAL"),
    ("bcea_deg2_risen", "REAL"),
    ("rms_s2s_deg", "REAL"),
];

/// All tables of the chain.
pub(super) const TABLES: [&Table; 7] =
    [&SESSION, &FORK, &OPTION, &EVIDENCE, &CHOICE, &EVENT, &STATE];

/// The tables that a ledger of this version has.
pub(super) fn tables_of(version: u32) -> impl Iterator<Item = &'static Table> {
    TABLES
        .into_iter()
        .filter_map(move |table| table.at(version))
}

/// One row per fork, for people with `sqlite3` at hand.
const VIEW: &str = "CREATE VIEW decision AS
    SELECT f.fork, f.position_tokens, f.context, f.origin, f.attempt, f.asked, f.decision, c.outcome, c.chooser, c.why,
           c.item, c.kind, c.text, o.text AS option_text, f.prior_capped, c.posterior, c.arms, c.pick_prior, c.pick_gaze,
           c.pick_eeg, c.pick_fused, c.items_gaze, c.items_p300, c.flashes, f.opened_lsl_s, c.decided_lsl_s,
           c.decided_lsl_s - f.opened_lsl_s AS decision_s, (c.committed_mono_ns - c.decided_mono_ns) / 1e3 AS commit_us,
           f.eeg_offset_s, f.gaze_offset_s, c.model_sha256, c.adapter
    FROM fork f LEFT JOIN choice c ON c.fork = f.fork LEFT JOIN option o ON o.fork = c.fork AND o.item = c.item
    ORDER BY f.fork;";

impl Table {
    /// As it is in a ledger of this version; `None` where it is not there.
    pub(super) fn at(&'static self, version: u32) -> Option<&'static Self> {
        match version {
            0..=3 if *self == EVIDENCE => Some(&EVIDENCE_3),
            0..=4 if *self == OPTION => Some(&OPTION_4),
            _ if *self != STATE => Some(self),
            0 | 1 => None,
            2 => Some(&STATE_2),
            _ => Some(self),
        }
    }

    fn create_sql(&self) -> String {
        let columns: String = self
            .columns
            .iter()
            .map(|(name, kind)| format!("{name} {kind}, "))
            .collect();
        format!(
            "CREATE TABLE {} (n INTEGER PRIMARY KEY, {columns}prev_hash BLOB NOT NULL, hash BLOB NOT NULL) STRICT;\n{}\n",
            self.name, self.index
        )
    }

    pub(super) fn insert_sql(&self) -> String {
        let marks = ", ?".repeat(self.columns.len() + 2);
        format!(
            "INSERT INTO {} (n, {}, prev_hash, hash) VALUES (?{marks})",
            self.name,
            self.column_list()
        )
    }

    /// `n`, the columns in order, `prev_hash`, `hash`.
    pub(super) fn select_sql(&self) -> String {
        format!(
            "SELECT n, {}, prev_hash, hash FROM {}",
            self.column_list(),
            self.name
        )
    }

    fn column_list(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }
}

/// Everything that makes an empty ledger of an empty database.
pub(super) fn create_sql() -> String {
    let tables: String = TABLES.iter().map(|table| table.create_sql()).collect();
    format!(
        "BEGIN;\n{tables}{VIEW}\nPRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {SCHEMA_VERSION};\nCOMMIT;"
    )
}
