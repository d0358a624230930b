//! A recorded run: its committed transactions, and which of them wrote which versions of which rows.

use std::collections::BTreeSet;

use super::committed_states::{CommittedStates, Version};
use super::driver::Sent;
use crate::conflict::{Footprint, Object, Program};
use crate::history::{Origin, Turn, TxEnd, Volatile};
use crate::scenario::Isolation;
use crate::sql::lexer::{Token, significant};
use crate::sql::words::CHANGES;

/// A run, and what is needed to run its statements again.
pub struct Recorded<'a> {
    pub program: &'a Program,
    pub volatile: &'a Volatile,
    pub turns: &'a [Turn],
    /// What was sent in each turn of each session.
    pub sent: &'a [Vec<Sent>],
    pub states: &'a CommittedStates,
    /// Rows can be put into tables without firing triggers.
    pub replication_role: bool,
}

/// A committed transaction.
pub struct Committed {
    pub session: usize,
    /// Its turns, ascending.
    pub turns: Vec<usize>,
    /// The turn in which it committed.
    pub committed_in: usize,
    pub isolation: Isolation,
}

/// A version of a row that a transaction replaced, made or deleted.
pub struct Write {
    /// Index of the transaction.
    pub by: usize,
    pub table: usize,
    /// Index of the first state that contains it.
    pub state: usize,
    pub old: Option<Version>,
    pub new: Option<Version>,
}

impl Write {
    pub fn key(&self) -> Option<&str> {
        self.new.as_ref().or(self.old.as_ref())?.key.as_deref()
    }

    /// Whether both are of the row with the same primary key.
    pub fn same_row(&self, other: &Write) -> bool {
        self.table == other.table && self.key().is_some() && self.key() == other.key()
    }
}

impl Recorded<'_> {
    pub fn is_step(&self, turn: usize) -> bool {
        self.turns[turn].origin.is_step()
    }

    pub fn sql(&self, turn: usize) -> &str {
        &self.turns[turn].statement.sql
    }

    pub fn footprint(&self, turn: usize) -> Footprint {
        match self.turns[turn].origin {
            Origin::Step(_) => {
                let turn = &self.turns[turn];
                self.program.step(turn.session, turn.program_step())
            }
            _ => Footprint::default(),
        }
    }

    pub fn object(&self, table: usize) -> Object {
        Object::Relation(self.states.tables[table].oid)
    }

    /// What was sent in a turn.
    pub fn sent(&self, turn: usize) -> Option<&Sent> {
        let session = self.turns[turn].session;
        let before = self.turns[..turn].iter().filter(|one| one.session == session);
        self.sent[session].get(before.count())
    }

    /// The committed transactions, in the order of their commits.
    pub fn committed(&self) -> Vec<Committed> {
        let mut all = Vec::new();
        for session in 0..self.sent.len() {
            let mut turns = Vec::new();
            for (number, turn) in self
                .turns
                .iter()
                .enumerate()
                .filter(|(_, turn)| turn.session == session)
            {
                turns.push(number);
                let Some(end) = turn.tx.end else { continue };
                let turns = std::mem::take(&mut turns);
                if end == TxEnd::Committed {
                    all.push(Committed {
                        session,
                        turns,
                        committed_in: turn.finished_in,
                        isolation: turn.tx.isolation.unwrap_or_default(),
                    });
                }
            }
        }
        all.sort_by_key(|one| one.committed_in);
        all
    }

    /// The writes of the transactions, in the order of their commits; deletions come before insertions.
    pub fn writes(&self, committed: &[Committed]) -> Vec<Write> {
        let mut writes = Vec::new();
        for (index, pair) in self.states.states.windows(2).enumerate() {
            let Some(by) = committed.iter().position(|one| Some(one.committed_in) == pair[1].after) else {
                continue;
            };
            for (table, (before, after)) in pair[0].tables.iter().zip(&pair[1].tables).enumerate() {
                let mut made = apart_from(after, before);
                let mut add = |old, new| {
                    writes.push(Write {
                        by,
                        table,
                        state: index + 1,
                        old,
                        new,
                    });
                };
                for old in apart_from(before, after) {
                    let successor = made.iter().position(|new| {
                        new.key.is_some() && new.key == old.key && !self.is_insertion(&committed[by], new)
                    });
                    add(Some(old), successor.map(|place| made.remove(place)));
                }
                for new in made {
                    add(None, Some(new));
                }
            }
        }
        writes
    }

    /// Whether a version is that of a new row: a row with the key of one that the transaction deleted is not its
    /// successor.
    fn is_insertion(&self, by: &Committed, version: &Version) -> bool {
        let Some(turn) = self.turn_of_command(by, version.command) else {
            return false;
        };
        let words = significant(self.sql(turn));
        words.first().is_some_and(|word| word.is("insert")) && !words.iter().any(|word| word.is("conflict"))
    }

    /// The turn of a transaction's statement, given the number of its command.
    fn turn_of_command(&self, of: &Committed, command: usize) -> Option<usize> {
        let commands = of.turns.iter().copied();
        commands
            .filter(|&turn| self.is_step(turn) && takes_command(self.sql(turn)))
            .nth(command)
    }

    /// The turn in which the transaction wrote the row.
    pub fn turn_of_write(&self, write: &Write, by: &Committed) -> usize {
        let steps = || by.turns.iter().copied().filter(|&turn| self.is_step(turn));
        let writes_table = |turn: usize| {
            let footprint = self.footprint(turn);
            footprint.unknown || footprint.writes.contains_key(&self.object(write.table))
        };
        let by_command = write.new.as_ref().and_then(|new| self.turn_of_command(by, new.command));
        let deletes = |turn: usize| significant(self.sql(turn)).iter().any(|word| word.is("delete"));
        by_command
            .filter(|&turn| writes_table(turn))
            .or_else(|| steps().rfind(|&turn| writes_table(turn) && write.new.is_none() && deletes(turn)))
            .or_else(|| steps().rfind(|&turn| writes_table(turn) && takes_command(self.sql(turn))))
            .or_else(|| steps().rfind(|&turn| writes_table(turn)))
            .unwrap_or(by.committed_in)
    }
}

/// The versions that `other` does not have.
fn apart_from(versions: &[Version], other: &[Version]) -> Vec<Version> {
    let places: BTreeSet<_> = other.iter().map(|version| &version.place).collect();
    let apart = versions.iter().filter(|version| !places.contains(&version.place));
    apart.cloned().collect()
}

/// Whether the statement reads or changes rows, with a snapshot.
pub fn is_query(sql: &str) -> bool {
    significant(sql).first().is_some_and(Token::begins_query_or_change)
}

pub fn is_insert(sql: &str) -> bool {
    significant(sql).first().is_some_and(|word| word.is("insert"))
}

/// Whether the statement takes a command number of its transaction: it changes or locks rows.
pub fn takes_command(sql: &str) -> bool {
    let words = significant(sql);
    words.first().is_some_and(|word| word.is_one_of(&CHANGES))
        || (is_query(sql)
            && words.windows(2).any(|pair| {
                (pair[0].is("for") && pair[1].is_one_of(&["update", "no", "share", "key"]))
                    || pair[1].is_one_of(&CHANGES)
            }))
}

/// Whether the statement may skip rows of its tables.
pub fn selects_rows(sql: &str) -> bool {
    let words = [
        "where", "on", "using", "natural", "having", "filter", "limit", "fetch", "offset", "distinct",
    ];
    significant(sql).iter().any(|token| token.is_one_of(&words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_change_or_lock_rows_take_command_numbers() {
        for (sql, takes) in [
            ("SELECT 1 FROM t", false),
            ("select 1 from t for no key update", true),
            ("SELECT substring(a FOR 2) FROM t", false),
            ("WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", true),
            ("INSERT INTO t VALUES (1)", true),
            ("SET x = 1", false),
            ("LOCK TABLE t", false),
        ] {
            assert_eq!(takes_command(sql), takes, "{sql}");
        }
    }
}
