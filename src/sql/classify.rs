//! What kind of statement a step is.

use super::commands::split;
use super::lexer::{Token, TokenKind};
use super::words::{CHANGES, QUERIES};
use super::{Statement, StatementKind};
use crate::suggest::one_of;

impl Statement {
    /// Classifies a statement by its text; the first one where the text holds several. Takes any text.
    pub fn classify(sql: &str) -> Statement {
        let command = split(sql).into_iter().next().unwrap_or_default();
        let command = Command::new(&command);
        Statement {
            kind: command.kind(),
            ordered: command.ordered(),
            changes_schema: command.changes_schema(),
            arbitrary_rows: command.arbitrary_rows(),
        }
    }
}

/// Whether a statement may return rows, which become variables. Only the server can judge a misspelled one.
pub(crate) fn may_return_rows(sql: &str) -> bool {
    let command = split(sql).into_iter().next().unwrap_or_default();
    let command = Command::new(&command);
    let returning =
        |index: usize| command.depths[index] == 0 && one_of(command.tokens[index].text, ["RETURNING"]).is_some();
    command.is_query()
        || !command.tokens.first().is_some_and(Token::returns_no_rows)
        || (0..command.tokens.len()).any(returning)
}

/// Whether a statement has an effect only in a transaction block, and is an error outside one.
pub(crate) fn needs_block(sql: &str) -> bool {
    let command = split(sql).into_iter().next().unwrap_or_default();
    let command = Command::new(&command);
    match command.kind() {
        StatementKind::Savepoint | StatementKind::RollbackTo | StatementKind::Release => true,
        StatementKind::Plain if command.at(0, &["LOCK"]) => true,
        StatementKind::Plain if command.at(0, &["DECLARE"]) => !command.has(&["WITH", "HOLD"]),
        _ => false,
    }
}

/// Whether a command sends or takes rows outside of statements: COPY … FROM STDIN, COPY … TO STDOUT.
pub(crate) fn copies_to_client(command: &[Token<'_>]) -> bool {
    let command = Command::new(command);
    command.at(0, &["COPY"]) && (command.has(&["FROM", "STDIN"]) || command.has(&["TO", "STDOUT"]))
}

/// The first word, in lower case.
pub(crate) fn first_word(sql: &str) -> Option<String> {
    let command = split(sql).into_iter().next()?;
    command
        .iter()
        .find(|token| token.kind == TokenKind::Word)
        .map(|token| token.text.to_lowercase())
}

/// One statement's tokens, and how deeply each of them is nested in brackets.
struct Command<'a> {
    tokens: &'a [Token<'a>],
    depths: Vec<usize>,
}

impl<'a> Command<'a> {
    fn new(tokens: &'a [Token<'a>]) -> Self {
        let mut depth = 0usize;
        let depths = tokens.iter().map(|token| match token.kind {
            TokenKind::Open => {
                depth += 1;
                depth - 1
            }
            TokenKind::Close => {
                depth = depth.saturating_sub(1);
                depth
            }
            _ => depth,
        });
        Command {
            depths: depths.collect(),
            tokens,
        }
    }

    /// Whether one of these keywords stands at an index.
    fn at(&self, index: usize, keywords: &[&str]) -> bool {
        self.tokens.get(index).is_some_and(|token| token.is_one_of(keywords))
    }

    /// Whether these keywords follow each other somewhere outside brackets.
    fn has(&self, keywords: &[&str]) -> bool {
        self.positions(keywords).next().is_some()
    }

    /// Where these keywords follow each other outside brackets.
    fn positions(&self, keywords: &[&str]) -> impl Iterator<Item = usize> {
        (0..self.tokens.len()).filter(move |&start| self.depths[start] == 0 && self.follow(start, keywords))
    }

    /// Whether these keywords follow each other from an index on. A word after AS or a dot is a name.
    fn follow(&self, start: usize, keywords: &[&str]) -> bool {
        let name = start > 0 && (self.at(start - 1, &["AS"]) || self.tokens[start - 1].text == ".");
        !name
            && keywords
                .iter()
                .enumerate()
                .all(|(index, keyword)| self.at(start + index, &[keyword]))
    }

    fn is_query(&self) -> bool {
        self.tokens
            .first()
            .is_some_and(|token| token.begins_query() || token.text == "(")
    }

    fn kind(&self) -> StatementKind {
        let Some(first) = self.tokens.first().filter(|token| token.kind == TokenKind::Word) else {
            return StatementKind::Plain;
        };
        let first = first.text.to_ascii_uppercase();
        match first.as_str() {
            "COMMIT" | "ROLLBACK" if self.at(1, &["PREPARED"]) => StatementKind::OutsideBlock,
            "PREPARE" if self.at(1, &["TRANSACTION"]) => StatementKind::PrepareTransaction,
            "BEGIN" => StatementKind::Begin,
            "START" if self.at(1, &["TRANSACTION"]) => StatementKind::Begin,
            "COMMIT" | "END" => StatementKind::Commit { chain: self.chains() },
            "ROLLBACK" if self.at(self.after_noise(), &["TO"]) => StatementKind::RollbackTo,
            "ROLLBACK" | "ABORT" => StatementKind::Rollback { chain: self.chains() },
            "SAVEPOINT" => StatementKind::Savepoint,
            "RELEASE" => StatementKind::Release,
            // these run checks, or take over a snapshot from elsewhere
            "SET" if self.at(1, &["CONSTRAINTS"]) || self.has(&["TRANSACTION", "SNAPSHOT"]) => StatementKind::Plain,
            "SET" | "RESET" | "SHOW" => StatementKind::Setting,
            _ if self.refused_in_block() => StatementKind::OutsideBlock,
            _ => StatementKind::Plain,
        }
    }

    /// The index after the first word and an optional WORK or TRANSACTION.
    fn after_noise(&self) -> usize {
        if self.at(1, &["WORK", "TRANSACTION"]) { 2 } else { 1 }
    }

    fn chains(&self) -> bool {
        self.follow(self.after_noise(), &["AND", "CHAIN"])
    }

    fn refused_in_block(&self) -> bool {
        let starts = |words: &[&str]| self.follow(0, words);
        let any = |words: &[&str]| self.tokens.iter().any(|token| token.is_one_of(words));
        starts(&["VACUUM"])
            || starts(&["CREATE", "INDEX", "CONCURRENTLY"])
            || starts(&["CREATE", "UNIQUE", "INDEX", "CONCURRENTLY"])
            || starts(&["DROP", "INDEX", "CONCURRENTLY"])
            || starts(&["REINDEX"]) && any(&["CONCURRENTLY", "DATABASE", "SYSTEM", "SCHEMA"])
            || self.at(0, &["CREATE", "DROP"]) && self.at(1, &["DATABASE", "TABLESPACE"])
            || starts(&["ALTER", "SYSTEM"])
            || starts(&["ALTER", "DATABASE"]) && self.has(&["SET", "TABLESPACE"])
            || starts(&["ALTER", "TABLE"]) && self.has(&["DETACH", "PARTITION"]) && self.ends_with("CONCURRENTLY")
            || starts(&["CLUSTER"]) && self.names_no_table()
            || starts(&["CREATE", "SUBSCRIPTION"]) && !any(&["CREATE_SLOT", "CONNECT"])
            || starts(&["DROP", "SUBSCRIPTION"])
            || starts(&["DISCARD", "ALL"])
    }

    fn ends_with(&self, keyword: &str) -> bool {
        self.tokens.last().is_some_and(|token| token.is(keyword))
    }

    /// CLUSTER, CLUSTER VERBOSE, CLUSTER (…)
    fn names_no_table(&self) -> bool {
        let mut rest = self
            .tokens
            .iter()
            .zip(&self.depths)
            .skip(1)
            .filter(|&(_, &depth)| depth == 0);
        rest.all(|(token, _)| token.is("VERBOSE") || matches!(token.kind, TokenKind::Open | TokenKind::Close))
    }

    /// The index of the keyword of the statement that a WITH clause belongs to, if there is one.
    fn main_verb(&self) -> usize {
        if !self.at(0, &["WITH"]) {
            return 0;
        }
        let is_verb = |index: usize| self.at(index, &QUERIES) || self.at(index, &CHANGES);
        // the name of a common table expression follows these, and it may be `insert` or `values`
        let names = |index: usize| self.at(index - 1, &["WITH", "RECURSIVE"]) || self.tokens[index - 1].text == ",";
        (1..self.tokens.len())
            .find(|&i| self.depths[i] == 0 && is_verb(i) && !names(i))
            .unwrap_or(0)
    }

    fn ordered(&self) -> bool {
        let mut inner = 0..self.tokens.len();
        while self.encloses(&inner) {
            inner = inner.start + 1..inner.end - 1;
        }
        let Some(&depth) = self.depths.get(inner.start) else {
            return false;
        };
        let inside = Command {
            tokens: &self.tokens[inner.clone()],
            depths: self.depths[inner]
                .iter()
                .map(|other| other.saturating_sub(depth))
                .collect(),
        };
        let writes = inside.at(inside.main_verb(), &CHANGES);
        inside.is_query() && !writes && inside.has(&["ORDER", "BY"])
    }

    /// Whether a range begins with a bracket that closes at its end.
    fn encloses(&self, range: &std::ops::Range<usize>) -> bool {
        let Some(tokens) = self.tokens.get(range.clone()).filter(|tokens| tokens.len() >= 2) else {
            return false;
        };
        let depth = self.depths[range.start];
        let close = (range.start + 1..range.end)
            .find(|&index| self.tokens[index].kind == TokenKind::Close && self.depths[index] == depth);
        tokens[0].kind == TokenKind::Open && close == Some(range.end - 1)
    }

    fn changes_schema(&self) -> bool {
        let Some(first) = self.tokens.first() else { return false };
        if first.is("EXPLAIN") {
            let explained = (1..self.tokens.len()).find(|&i| {
                self.depths[i] == 0 && self.tokens[i].kind == TokenKind::Word && !self.at(i, &EXPLAIN_WORDS)
            });
            let rest = explained.map_or(&[][..], |index| &self.tokens[index..]);
            return Command::new(rest).changes_schema();
        }
        let known = first.leaves_schema() || first.text == "(";
        !known || self.selects_into()
    }

    /// SELECT … INTO makes a table.
    fn selects_into(&self) -> bool {
        let verb = self.main_verb();
        self.at(verb, &["SELECT"]) && self.positions(&["INTO"]).any(|index| index > verb)
    }

    fn arbitrary_rows(&self) -> bool {
        if self.at(0, &["FETCH", "MOVE"]) {
            return false;
        }
        let mut queries = vec![Query::default()];
        let mut arbitrary = false;
        for (index, token) in self.tokens.iter().enumerate() {
            match token.kind {
                TokenKind::Open => {
                    let exists = index > 0 && self.at(index - 1, &["EXISTS"]);
                    queries.push(Query {
                        exists,
                        ..Query::default()
                    });
                    continue;
                }
                TokenKind::Close => {
                    // the first one is the statement itself; a stray closing bracket must not remove it
                    let closed = if queries.len() > 1 { queries.pop() } else { None };
                    arbitrary |= closed.is_some_and(|query| query.arbitrary());
                    continue;
                }
                _ => {}
            }
            let Some(query) = queries.last_mut() else { continue };
            let at = |offset: usize, keywords: &[&str]| self.at(index + offset, keywords);
            let none = at(1, &["ALL", "NULL"]) || self.tokens.get(index + 1).is_some_and(|next| next.text == "0");
            query.ordered |= self.follow(index, &["ORDER", "BY"]);
            query.takes_some |= !none && (self.follow(index, &["LIMIT"]) || self.follow(index, &["OFFSET"]))
                || self.follow(index, &["FETCH"]) && at(1, &["FIRST", "NEXT"])
                || self.follow(index, &["DISTINCT", "ON"]);
        }
        arbitrary || queries.iter().any(Query::arbitrary)
    }
}

const EXPLAIN_WORDS: [&str; 3] = ["ANALYZE", "ANALYSE", "VERBOSE"];

/// What was seen of one query between its brackets.
#[derive(Default)]
struct Query {
    ordered: bool,
    takes_some: bool,
    /// Only the existence of a row matters.
    exists: bool,
}

impl Query {
    fn arbitrary(&self) -> bool {
        self.takes_some && !self.ordered && !self.exists
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn transaction_control() {
        use StatementKind::*;
        for (sql, kind) in [
            ("begin", Begin),
            ("/* x */ BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY;", Begin),
            ("START TRANSACTION", Begin),
            ("COMMIT", Commit { chain: false }),
            ("END WORK", Commit { chain: false }),
            ("COMMIT TRANSACTION AND CHAIN", Commit { chain: true }),
            ("COMMIT AND NO CHAIN", Commit { chain: false }),
            ("ABORT", Rollback { chain: false }),
            ("ROLLBACK AND CHAIN", Rollback { chain: true }),
            ("ROLLBACK TO s", RollbackTo),
            ("ROLLBACK WORK TO SAVEPOINT s", RollbackTo),
            ("SAVEPOINT s", Savepoint),
            ("RELEASE SAVEPOINT s", Release),
            ("PREPARE TRANSACTION 'x'", PrepareTransaction),
            ("PREPARE p AS SELECT 1", Plain),
            ("COMMIT PREPARED 'x'", OutsideBlock),
            ("ROLLBACK PREPARED 'x'", OutsideBlock),
            ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", Setting),
            ("SET LOCAL lock_timeout = '1s'", Setting),
            ("RESET ALL", Setting),
            ("SHOW transaction_isolation", Setting),
            ("SET CONSTRAINTS ALL IMMEDIATE", Plain),
            ("SET TRANSACTION SNAPSHOT '1'", Plain),
            ("\"begin\"", Plain),
            ("", Plain),
        ] {
            assert_eq!(Statement::classify(sql).kind, kind, "{sql}");
        }
    }

    #[test]
    fn refused_in_a_transaction_block() {
        for sql in [
            "VACUUM",
            "VACUUM (FULL) t",
            "CREATE INDEX CONCURRENTLY i ON t (a)",
            "create unique index concurrently on t (a)",
            "DROP INDEX CONCURRENTLY i",
            "REINDEX TABLE CONCURRENTLY t",
            "REINDEX (CONCURRENTLY) INDEX i",
            "REINDEX DATABASE d",
            "CREATE DATABASE d",
            "DROP TABLESPACE s",
            "ALTER SYSTEM SET a = 1",
            "ALTER DATABASE d SET TABLESPACE s",
            "CLUSTER",
            "CLUSTER (VERBOSE)",
            "ALTER TABLE t DETACH PARTITION p CONCURRENTLY",
            "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p",
            "DROP SUBSCRIPTION s",
            "DISCARD ALL",
        ] {
            assert_eq!(Statement::classify(sql).kind, StatementKind::OutsideBlock, "{sql}");
        }
        for sql in [
            "CREATE INDEX i ON t (a)",
            "REINDEX TABLE t",
            "ALTER DATABASE d SET search_path = x",
            "CLUSTER t",
            "CLUSTER VERBOSE t",
            "ALTER TABLE t DETACH PARTITION p",
            "ALTER TABLE t DETACH PARTITION p FINALIZE",
            "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p WITH (create_slot = false)",
            "DISCARD TEMP",
            "CHECKPOINT",
            "LISTEN c",
            "SELECT 'VACUUM'",
        ] {
            assert_eq!(Statement::classify(sql).kind, StatementKind::Plain, "{sql}");
        }
    }

    #[test]
    fn ordered_is_the_order_of_the_statement_itself() {
        for sql in [
            "SELECT a FROM t ORDER BY a",
            "VALUES (2), (1) ORDER BY 1",
            "TABLE t ORDER BY a;",
            "WITH q AS (SELECT 1) SELECT * FROM q ORDER BY 1 FOR UPDATE",
            "WITH update AS (SELECT 1) SELECT * FROM update ORDER BY 1",
            "((SELECT a FROM t ORDER BY a))",
            "(SELECT 1) UNION (SELECT 2) ORDER BY 1",
        ] {
            assert!(Statement::classify(sql).ordered, "{sql}");
        }
        for sql in [
            "SELECT a FROM t",
            "SELECT a FROM (SELECT a FROM t ORDER BY a) q",
            "SELECT sum(a) OVER (ORDER BY a) FROM t",
            "(SELECT 1 ORDER BY 1) UNION ALL (SELECT 2 ORDER BY 1)",
            "INSERT INTO t SELECT a FROM s ORDER BY a RETURNING a",
            "WITH q AS (SELECT 1) INSERT INTO t SELECT * FROM q ORDER BY 1 RETURNING a",
            "SELECT a AS \"order\" FROM t -- ORDER BY a",
            "SELECT 'ORDER BY a'",
            "",
        ] {
            assert!(!Statement::classify(sql).ordered, "{sql}");
        }
    }

    #[test]
    fn rows_taken_without_an_order_are_arbitrary() {
        for sql in [
            "SELECT a FROM t LIMIT 1",
            "SELECT a FROM t OFFSET 1",
            "SELECT a FROM t FETCH FIRST 2 ROWS ONLY",
            "SELECT DISTINCT ON (a) a, b FROM t",
            "UPDATE t SET a = 1 WHERE id IN (SELECT id FROM t LIMIT 1 FOR UPDATE SKIP LOCKED)",
            "SELECT * FROM (SELECT a FROM t LIMIT 1) q ORDER BY a",
            "SELECT (SELECT a FROM t ORDER BY a LIMIT 1), b FROM t LIMIT :n",
            "DELETE FROM t WHERE id = ANY (ARRAY(SELECT id FROM t LIMIT 5))",
            "SELECT a) FROM t LIMIT 1",
        ] {
            assert!(Statement::classify(sql).arbitrary_rows, "{sql}");
        }
        for sql in [
            "SELECT a FROM t ORDER BY a LIMIT 1",
            "SELECT a FROM t LIMIT ALL OFFSET 0",
            "SELECT a FROM t LIMIT NULL",
            "SELECT DISTINCT ON (a) a, b FROM t ORDER BY a, b",
            "UPDATE t SET a = 1 WHERE id = (SELECT id FROM t ORDER BY id LIMIT 1)",
            "SELECT EXISTS (SELECT 1 FROM t LIMIT 1)",
            "FETCH FIRST FROM c",
            "FETCH NEXT FROM c",
            "SELECT t.limit, a AS limit FROM t",
            "SELECT 'LIMIT 1'",
        ] {
            assert!(!Statement::classify(sql).arbitrary_rows, "{sql}");
        }
    }

    #[test]
    fn what_is_not_known_to_leave_the_schema_alone_changes_it() {
        for sql in [
            "CREATE TABLE t (a int)",
            "ALTER TABLE t ADD b int",
            "DO $$ BEGIN END $$",
            "CALL p()",
            "REFRESH MATERIALIZED VIEW v",
            "SELECT a INTO s FROM t",
            "WITH q AS (SELECT 1) SELECT * INTO s FROM q",
            "EXPLAIN (ANALYZE) CREATE TABLE t AS SELECT 1",
            "EXPLAIN ANALYZE SELECT 1 INTO t",
            "whatever",
            // statistics are no rows that a run could put back
            "ANALYZE t",
            "ANALYSE t",
        ] {
            assert!(Statement::classify(sql).changes_schema, "{sql}");
        }
        for sql in [
            "SELECT 1",
            "(SELECT 1)",
            "INSERT INTO t SELECT 1",
            "WITH q AS (SELECT 1) INSERT INTO t SELECT * FROM q",
            "MERGE INTO t USING s ON true WHEN MATCHED THEN DO NOTHING",
            "EXPLAIN ANALYZE INSERT INTO t VALUES (1)",
            "EXPLAIN SELECT 1",
            "PREPARE TRANSACTION 'x'",
            "TRUNCATE t",
            "COPY t TO '/tmp/x'",
            "BEGIN",
            "",
        ] {
            assert!(!Statement::classify(sql).changes_schema, "{sql}");
        }
    }

    #[test]
    fn who_returns_rows_and_who_needs_a_block() {
        assert!(may_return_rows("UPDATE t SET a = 1 RETURNING a"));
        assert!(may_return_rows("(VALUES (1))"));
        assert!(may_return_rows("SELCT a FROM t"));
        assert!(may_return_rows("UPDATE t SET a = 1 RETURNIG a"));
        assert!(!may_return_rows("UPDATE t SET a = (SELECT 1)"));
        assert!(!may_return_rows("ANALYSE t"));
        assert!(needs_block("LOCK t"));
        assert!(needs_block("DECLARE c CURSOR FOR SELECT 1"));
        assert!(!needs_block("DECLARE c CURSOR WITH HOLD FOR SELECT 1"));
        assert!(!needs_block("SELECT 1"));
    }

    proptest! {
        #[test]
        fn any_text_is_classified(
            words in prop::collection::vec(prop::sample::select(vec![
                "SELECT", "WITH", "q", "AS", "(", ")", "ORDER", "BY", "LIMIT", "1", ",", "INSERT", "INTO", "EXPLAIN",
                "ANALYZE", "[", "]", ".", ";", "UPDATE", "CLUSTER", "ROLLBACK", "TO", "AND", "CHAIN", "EXISTS", "'x'",
            ]), 0..12),
            rest in any::<String>(),
        ) {
            let sql = format!("{} {rest}", words.join(" "));
            Statement::classify(&sql);
            may_return_rows(&sql);
            needs_block(&sql);
            first_word(&sql);
        }
    }
}
