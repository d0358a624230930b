//! The name of a failing schedule's anomaly, and the dependencies behind it.

use std::collections::HashSet;

use crate::history::History;
use crate::report::text::layout::{TextOptions, joined, visible, wrap};
use crate::verdict::dependencies::{Anomaly, Cycle, Dependency, DependencyKind, Explanation};

/// Names the anomaly of a failing schedule in a sentence, and lists the dependencies of its cycle, one per line. The
/// last line has no line break.
pub fn anomaly(explanation: &Explanation, history: &History, options: &TextOptions) -> String {
    let Some(cycle) = &explanation.cycle else {
        return wrap(&without_cycle(explanation), options.width, |_| false).join("\n");
    };
    let words = Words { explanation, history };
    let mut lines = wrap(&words.sentence(cycle), options.width, |_| false);
    for dependency in &cycle.dependencies {
        let line = format!("  {}", words.line(dependency));
        lines.extend(wrap(&line, options.width, |_| false));
    }
    lines.join("\n")
}

fn without_cycle(explanation: &Explanation) -> String {
    let mut text = "No cycle of dependencies among the committed transactions explains it.".to_owned();
    let mut sessions = HashSet::new();
    if !explanation.transactions.iter().all(|one| sessions.insert(one.session)) {
        text += " A session ran several transactions: what it read in one may have changed before the next.";
    }
    text
}

struct Words<'a> {
    explanation: &'a Explanation,
    history: &'a History,
}

impl Words<'_> {
    fn sentence(&self, cycle: &Cycle) -> String {
        let name = format!("This is a {} ({})", cycle.anomaly.name(), cycle.anomaly.code());
        if let (Anomaly::LostUpdate, Some(read)) = (cycle.anomaly, cycle.dependencies.first()) {
            let (reader, writer) = (self.transaction(read.from), self.transaction(read.to));
            let row = row(read);
            return format!("{name}: {reader} read {row} before {writer} wrote it, and overwrote what {writer} wrote.");
        }
        let clauses: Vec<String> = cycle.dependencies.iter().map(|one| self.clause(one)).collect();
        format!("{name}: {}.", joined(&clauses))
    }

    fn clause(&self, dependency: &Dependency) -> String {
        let (from, to) = (self.transaction(dependency.from), self.transaction(dependency.to));
        let row = row(dependency);
        match dependency.kind {
            DependencyKind::Overwrote => format!("{to} overwrote {row} after {from} wrote it"),
            DependencyKind::Read => format!("{to} read {row} after {from} wrote it"),
            DependencyKind::ReadBefore { predicate: false } => format!("{from} read {row} before {to} wrote it"),
            DependencyKind::ReadBefore { predicate: true } => {
                let table = visible(&dependency.table);
                let key = dependency
                    .row
                    .as_ref()
                    .map_or_else(String::new, |row| format!(" ({})", visible(row)));
                format!("{from} looked for rows of {table} before {to} wrote one of them{key}")
            }
        }
    }

    fn line(&self, dependency: &Dependency) -> String {
        let edge = dependency.kind.abbreviation();
        let (did, did_then) = match dependency.kind {
            DependencyKind::Overwrote => ("written", "overwritten"),
            DependencyKind::Read => ("written", "read"),
            DependencyKind::ReadBefore { predicate: false } => ("read", "written"),
            DependencyKind::ReadBefore { predicate: true } => ("looked for", "written"),
        };
        format!(
            "{} --{edge}--> {} ({}: {did} in {}; {did_then} in {})",
            self.transaction(dependency.from),
            self.transaction(dependency.to),
            cell(dependency),
            self.step(dependency.from_turn),
            self.step(dependency.to_turn)
        )
    }

    /// The session's name and, if the session has several transactions, the turn in which this one began.
    fn transaction(&self, index: usize) -> String {
        let Some(transaction) = self.explanation.transactions.get(index) else {
            return String::new();
        };
        let name = self
            .history
            .sessions
            .get(transaction.session)
            .map(|name| visible(name))
            .unwrap_or_default();
        let of_session = self
            .explanation
            .transactions
            .iter()
            .filter(|other| other.session == transaction.session);
        match transaction.turns.first() {
            Some(first) if of_session.count() > 1 => format!("{name} from turn {}", first + 1),
            _ => name,
        }
    }

    fn step(&self, turn: usize) -> String {
        let name = self
            .history
            .turns
            .get(turn)
            .map(|turn| visible(&turn.step))
            .unwrap_or_default();
        format!("step {name}, turn {}", turn + 1)
    }
}

/// As [`row`], for use in brackets.
fn cell(dependency: &Dependency) -> String {
    match &dependency.row {
        Some(row) => format!("{} {}", visible(&dependency.table), visible(row)),
        None => visible(&dependency.table),
    }
}

fn row(dependency: &Dependency) -> String {
    match &dependency.row {
        Some(row) => format!("{} ({})", visible(&dependency.table), visible(row)),
        None => format!("a row of {}", visible(&dependency.table)),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::history::testing::lost_update;
    use crate::verdict::dependencies::Transaction;

    fn explained(dependencies: Vec<Dependency>) -> String {
        explained_of(&[0, 1], dependencies)
    }

    /// Each transaction is of one of these sessions.
    fn explained_of(sessions: &[usize], dependencies: Vec<Dependency>) -> String {
        let transaction = |(session, turns): (&usize, [usize; 3])| Transaction {
            session: *session,
            turns: turns.to_vec(),
            wrote: true,
        };
        let transactions = sessions.iter().zip([[0, 2, 3], [1, 4, 5]]).map(transaction).collect();
        anomaly(
            &Explanation::new(transactions, dependencies),
            &lost_update(),
            &TextOptions::default(),
        )
    }

    fn dependency(from: (usize, usize), to: (usize, usize), kind: DependencyKind, row: Option<&str>) -> Dependency {
        Dependency {
            from: from.0,
            to: to.0,
            kind,
            table: "articles".to_owned(),
            row: row.map(str::to_owned),
            from_turn: from.1,
            to_turn: to.1,
        }
    }

    #[test]
    fn a_lost_update() {
        let item = DependencyKind::ReadBefore { predicate: false };
        let dependencies = vec![
            dependency((0, 2), (1, 4), DependencyKind::Overwrote, Some("id = a1")),
            dependency((1, 1), (0, 2), item, Some("id = a1")),
        ];
        assert_snapshot!(explained(dependencies), @"
        This is a lost update (P4): worker-2 read articles (id = a1) before worker-1 wrote it, and overwrote
          what worker-1 wrote.
          worker-2 --rw--> worker-1 (articles id = a1: read in step select, turn 2; written in step update,
          turn 3)
          worker-1 --ww--> worker-2 (articles id = a1: written in step update, turn 3; overwritten in step
          update, turn 5)
        ");
    }

    #[test]
    fn a_phantom_in_a_table_without_a_key() {
        let predicate = DependencyKind::ReadBefore { predicate: true };
        let dependencies = vec![
            dependency((0, 0), (1, 4), predicate, None),
            dependency((1, 1), (0, 2), predicate, None),
        ];
        assert_snapshot!(explained(dependencies), @"
        This is a phantom (G2): worker-1 looked for rows of articles before worker-2 wrote one of them and
          worker-2 looked for rows of articles before worker-1 wrote one of them.
          worker-1 --rw--> worker-2 (articles: looked for in step select, turn 1; written in step update,
          turn 5)
          worker-2 --rw--> worker-1 (articles: looked for in step select, turn 2; written in step update,
          turn 3)
        ");
    }

    #[test]
    fn without_a_cycle_it_says_so() {
        assert_snapshot!(
            explained(Vec::new()),
            @"No cycle of dependencies among the committed transactions explains it."
        );
        assert_snapshot!(
            explained_of(&[0, 0], Vec::new()),
            @"
        No cycle of dependencies among the committed transactions explains it. A session ran several
          transactions: what it read in one may have changed before the next.
        "
        );
    }
}
