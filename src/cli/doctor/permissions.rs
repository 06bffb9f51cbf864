//! What the system lets this user do: real-time priority, locked memory.

use super::finding::{Area, Finding};
use crate::config::RealtimeSection;
use crate::rt::{self, Wish};

/// What was asked for and granted.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// SCHED_FIFO priority as granted, or why not.
    pub(super) priority: Result<u32, String>,
    /// Whether pages were locked, or why not; `None` where it was not asked.
    pub(super) locked: Option<Result<(), String>>,
    /// The system's limits on both, as it writes them.
    pub(super) priority_limit: String,
    pub(super) locked_limit: String,
}

/// Asks for what a session asks for. Pages stay locked, as in a session: so this comes last.
pub(super) fn facts(wanted: &RealtimeSection) -> Facts {
    let wish = Wish {
        priority: wanted.priority,
        cpu: None,
    };
    let priority = match rt::spawn("doctor", wish, |granted| granted.priority) {
        Ok(thread) => thread
            .join()
            .unwrap_or_else(|_| Err("its thread panicked".into())),
        Err(error) => Err(error.to_string()),
    };
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    Facts {
        priority,
        locked: wanted.lock_memory.then(rt::lock_memory),
        priority_limit: limit_of(&limits, "Max realtime priority"),
        locked_limit: limit_of(&limits, "Max locked memory"),
    }
}

/// The limit in force of this name, from the table of `/proc/self/limits`; `unknown` where there is none.
fn limit_of(table: &str, name: &str) -> String {
    let line = table.lines().find_map(|line| line.strip_prefix(name));
    let soft = line.and_then(|line| line.split_whitespace().next());
    soft.unwrap_or("unknown").to_owned()
}

/// What that means for a session.
pub(super) fn judge(facts: &Facts, wanted: &RealtimeSection) -> Vec<Finding> {
    let area = Area::Permissions;
    let priority = match &facts.priority {
        _ if wanted.priority == 0 => Finding::ok(
            area,
            "real-time priority",
            "not asked for (realtime.priority = 0)",
        ),
        Ok(granted) => Finding::ok(area, "real-time priority", format!("SCHED_FIFO {granted}")),
        Err(why) => Finding::warning(
            area,
            "real-time priority",
            format!(
                "SCHED_FIFO {} refused: {why} (limit {})",
                wanted.priority, facts.priority_limit
            ),
            format!(
                "A session runs, uncertified. To allow it, put `YOURNAME - rtprio {}` into /etc/security/limits.d/razvilka.conf and log in again",
                wanted.priority
            ),
        ),
    };
    let locked = match &facts.locked {
        None => Finding::ok(
            area,
            "locked memory",
            "not asked for (realtime.lock_memory = false)",
        ),
        Some(Ok(())) => Finding::ok(area, "locked memory", "granted"),
        Some(Err(why)) => Finding::warning(
            area,
            "locked memory",
            format!("refused: {why} (limit {} bytes)", facts.locked_limit),
            "A session runs, uncertified, and may stand still while pages are fetched. To allow it, put `YOURNAME - memlock unlimited` into \
             /etc/security/limits.d/razvilka.conf and log in again",
        ),
    };
    vec![priority, locked]
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn the_limit_is_the_one_in_force() {
        let table = "Limit                     Soft Limit           Hard Limit           Units     \n\
                     Max locked memory         8388608              unlimited            bytes     \n\
                     Max realtime priority     0                    99                             \n";
        assert_eq!(limit_of(table, "Max locked memory"), "8388608");
        assert_eq!(limit_of(table, "Max realtime priority"), "0");
        assert_eq!(limit_of(table, "Max stack size"), "unknown");
    }

    #[test]
    fn what_is_refused_is_a_warning_with_its_limit_and_what_is_not_asked_for_is_none() {
        let refused = Facts {
            priority: Err("Operation not permitted".into()),
            locked: Some(Err("Cannot allocate memory".into())),
            priority_limit: "0".into(),
            locked_limit: "8388608".into(),
        };
        let found = judge(&refused, &RealtimeSection::default());
        assert!(found.iter().all(|f| f.level == Level::Warning), "{found:?}");
        assert!(
            found[0].figure.contains("SCHED_FIFO 20 refused")
                && found[0].figure.contains("limit 0")
        );
        assert!(found[1].figure.contains("limit 8388608 bytes"));
        let unasked = RealtimeSection {
            priority: 0,
            lock_memory: false,
        };
        let facts = Facts {
            locked: None,
            ..refused.clone()
        };
        let found = judge(&facts, &unasked);
        assert!(found.iter().all(|f| f.level == Level::Ok), "{found:?}");
        let granted = Facts {
            priority: Ok(20),
            locked: Some(Ok(())),
            ..refused
        };
        let found = judge(&granted, &RealtimeSection::default());
        assert!(found.iter().all(|f| f.level == Level::Ok), "{found:?}");
    }
}
