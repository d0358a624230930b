//! Which messages a client asked for: pgbraid has the server send all, since it needs those about waits.

use crate::sql::StatementKind;
use crate::sql::lexer::significant;

/// Settings that pgbraid needs as it has set them, and what sets them so again.
const NEEDED: [(&str, &str); 3] = [
    ("client_min_messages", "SET client_min_messages = log"),
    ("log_lock_waits", "SET log_lock_waits = on"),
    ("lc_messages", "SET lc_messages = 'C'"),
];

/// What the client hears of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Least {
    #[default]
    Notice,
    Warning,
    Error,
}

impl Least {
    /// By the setting's value.
    pub fn named(value: &str) -> Least {
        match value.trim_matches(['\'', '"']).to_lowercase().as_str() {
            "warning" => Least::Warning,
            "error" | "fatal" | "panic" => Least::Error,
            _ => Least::Notice,
        }
    }

    /// Whether a message of this severity is for the client.
    pub fn lets(self, severity: &str) -> bool {
        match severity {
            "INFO" => true,
            "NOTICE" => self == Least::Notice,
            "WARNING" => self <= Least::Warning,
            // LOG and DEBUG come because pgbraid asked for them
            _ => false,
        }
    }
}

/// What a client's SET has changed of the settings that pgbraid needs: how to set that again, and, where it chose which
/// messages it wants, which.
pub fn changed(kind: StatementKind, sql: &str) -> Option<(&'static str, Option<Least>)> {
    if kind != StatementKind::Setting {
        return None;
    }
    let words = significant(sql);
    if words.first().is_some_and(|word| word.is("SHOW")) {
        return None;
    }
    let (name, again) = NEEDED.iter().find(|(name, _)| words.iter().any(|word| word.is(name)))?;
    let least =
        (*name == "client_min_messages").then(|| words.last().map_or(Least::Notice, |word| Least::named(word.text)));
    Some((again, least))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_hears_what_it_asked_for() {
        let (again, least) = changed(StatementKind::Setting, "SET client_min_messages TO 'warning'").unwrap();
        assert_eq!((again, least), ("SET client_min_messages = log", Some(Least::Warning)));
        assert!(Least::Warning.lets("WARNING") && !Least::Warning.lets("NOTICE") && !Least::Notice.lets("LOG"));
        assert_eq!(changed(StatementKind::Setting, "SHOW client_min_messages"), None);
        assert_eq!(changed(StatementKind::Setting, "SET timezone = 'UTC'"), None);
    }
}
