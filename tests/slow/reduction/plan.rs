//! A scenario that was drawn, and the file that it makes.

use std::fmt;

use super::schema::Schema;

/// Errors that sessions are allowed to end with.
const ALLOWED: &str = r#"["21000", "22001", "22003", "22012", "22023", "2201B", "22P02", "23502", "23503", "23505", "23514", "23P01", "25006", "25P02", "27000", "40001", "40P01", "42501", "42704", "42P01", "42P07", "42710", "44000", "55000", "55P03", "57014", "P0001"]"#;

#[derive(Debug, Clone)]
pub struct Step {
    pub sql: &'static str,
    pub when: Option<&'static str>,
}

#[derive(Debug, Clone)]
pub enum Item {
    Step(Step),
    /// What is done is taken back.
    Savepoint(Vec<Step>),
    /// What is done is kept.
    Released(Vec<Step>),
    /// A lock that outlives the transaction.
    Advisory(Vec<Step>),
}

#[derive(Debug, Clone)]
pub enum Part {
    /// A SET outside a transaction.
    Setting(&'static str),
    Autocommitted(Step),
    Transaction {
        items: Vec<Item>,
        commits: bool,
    },
}

#[derive(Debug, Clone)]
pub struct Session {
    pub copies: usize,
    pub level: &'static str,
    /// The parameter of that name.
    pub v: i32,
    pub retry: bool,
    pub parts: Vec<Part>,
}

#[derive(Clone)]
pub enum Setup {
    /// Tables that are made as the statements need them.
    Schema(Schema),
    Text(String),
}

#[derive(Clone)]
pub struct Plan {
    pub theme: &'static str,
    pub setup: Setup,
    pub invariants: Vec<&'static str>,
    pub sessions: Vec<Session>,
}

impl Session {
    fn steps(&self) -> Vec<String> {
        let mut steps = Vec::new();
        let step = |step: &Step| match step.when {
            Some(when) => format!("{{ sql = {}, when = {} }}", quoted(step.sql), quoted(when)),
            None => quoted(step.sql),
        };
        let mut add = |more: Vec<String>| steps.extend(more);
        for part in &self.parts {
            match part {
                Part::Setting(sql) => add(vec![quoted(sql)]),
                Part::Autocommitted(one) => add(vec![step(one)]),
                Part::Transaction { items, commits } => {
                    add(vec![quoted("BEGIN")]);
                    for item in items {
                        let around = |before, inner: &[Step], after| {
                            let inner = inner.iter().map(step);
                            std::iter::once(quoted(before))
                                .chain(inner)
                                .chain([quoted(after)])
                                .collect()
                        };
                        add(match item {
                            Item::Step(one) => vec![step(one)],
                            Item::Savepoint(inner) => around("SAVEPOINT a", inner, "ROLLBACK TO a"),
                            Item::Released(inner) => around("SAVEPOINT a", inner, "RELEASE a"),
                            Item::Advisory(inner) => {
                                around("SELECT pg_advisory_lock(1)", inner, "SELECT pg_advisory_unlock(1)")
                            }
                        });
                    }
                    add(vec![quoted(if *commits { "COMMIT" } else { "ROLLBACK" })]);
                }
            }
        }
        steps
    }

    /// Turns where each step runs once.
    fn turns(&self) -> u64 {
        let of_part = |part: &Part| match part {
            Part::Setting(_) => 1,
            Part::Autocommitted(_) => 2,
            Part::Transaction { items, .. } => {
                let of_item = |item: &Item| match item {
                    Item::Step(_) => 1,
                    Item::Savepoint(inner) | Item::Released(inner) | Item::Advisory(inner) => inner.len() as u64 + 2,
                };
                items.iter().map(of_item).sum::<u64>() + 1
            }
        };
        self.parts.iter().map(of_part).sum()
    }
}

impl Plan {
    /// Orders of the declared steps.
    pub fn interleavings(&self) -> u64 {
        let (mut placed, mut count) = (0u64, 1u64);
        for session in self
            .sessions
            .iter()
            .flat_map(|one| std::iter::repeat_n(one, one.copies))
        {
            for own in 1..=session.turns() {
                placed += 1;
                count = count.saturating_mul(placed) / own;
            }
        }
        count
    }

    /// As a scenario file.
    pub fn to_toml(&self) -> String {
        let steps: Vec<String> = self.sessions.iter().flat_map(Session::steps).collect();
        let setup = match &self.setup {
            Setup::Schema(schema) => schema.setup(&steps),
            Setup::Text(text) => text.clone(),
        };
        let mut text = format!("deadlock = \"allowed\"\nsetup = '''\n{setup}'''\n");
        for (index, session) in self.sessions.iter().enumerate() {
            text += &format!("\n[[session]]\nname = \"{}\"\n", ["a", "b", "c", "d", "e", "f"][index]);
            if session.copies > 1 {
                text += &format!("copies = {}\n", session.copies);
            }
            text += &format!("isolation = \"{}\"\nparams = {{ v = {} }}\n", session.level, session.v);
            text += &format!("allow_errors = {ALLOWED}\n");
            if session.retry {
                text += "retry = { on = [\"40001\", \"40P01\", \"23505\"], max = 1 }\n";
            }
            text += "steps = [\n";
            for step in session.steps() {
                text += &format!("  {step},\n");
            }
            text += "]\n";
        }
        for (index, invariant) in self.invariants.iter().enumerate() {
            let name = format!("in bounds {}", index + 1);
            text += &format!("\n[[invariant]]\nname = \"{name}\"\nsql = {}\n", quoted(invariant));
        }
        text
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n# {}\n{}", self.theme, self.to_toml())
    }
}

fn quoted(sql: &str) -> String {
    match sql.contains(['"', '\\', '\n']) {
        true => format!("'''{sql}'''"),
        false => format!("\"{sql}\""),
    }
}
