//! Isolation levels, and where a statement names one.

use super::lexer::significant;

/// A transaction's isolation level; PostgreSQL treats READ UNCOMMITTED as READ COMMITTED.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Isolation {
    #[default]
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl Isolation {
    /// The name as SQL writes it, in lower case.
    pub fn as_sql(self) -> &'static str {
        match self {
            Isolation::ReadCommitted => "read committed",
            Isolation::RepeatableRead => "repeatable read",
            Isolation::Serializable => "serializable",
        }
    }
}

/// The level that a BEGIN or SET names.
pub fn isolation_named(sql: &str) -> Option<Isolation> {
    let words: Vec<String> = significant(sql)
        .iter()
        .map(|token| token.text.trim_matches('\'').to_lowercase())
        .collect();
    let text = words.join(" ");
    let levels = [
        ("read uncommitted", Isolation::ReadCommitted),
        ("read committed", Isolation::ReadCommitted),
        ("repeatable read", Isolation::RepeatableRead),
        ("serializable", Isolation::Serializable),
    ];
    let named = levels.into_iter().find(|(name, _)| text.contains(name));
    named.map(|(_, level)| level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isolation_is_found_in_begin_and_set() {
        for (sql, level) in [
            ("BEGIN", None),
            (
                "BEGIN ISOLATION  LEVEL repeatable\nread",
                Some(Isolation::RepeatableRead),
            ),
            (
                "SET default_transaction_isolation = 'serializable'",
                Some(Isolation::Serializable),
            ),
            (
                "START TRANSACTION READ ONLY, ISOLATION LEVEL READ UNCOMMITTED",
                Some(Isolation::ReadCommitted),
            ),
        ] {
            assert_eq!(isolation_named(sql), level, "{sql}");
        }
    }
}
