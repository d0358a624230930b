//! Scenarios drawn at random.

use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// The statements that sessions are made of, the plainest first: a counterexample is made smaller towards the front.
const STATEMENTS: &[&str] = &[
    "SELECT v FROM t WHERE id = 1",
    "SELECT v FROM t WHERE id = 2",
    "UPDATE t SET v = v + 1 WHERE id = 1",
    "UPDATE t SET v = :v + 1 WHERE id = 1",
    "UPDATE t SET v = :v + 1 WHERE id = 2",
    "SELECT sum(v) AS total FROM t",
    "SELECT count(*) AS many FROM t",
    "UPDATE t SET v = v + 1",
    "UPDATE t SET v = v * 2 WHERE id >= 2",
    "UPDATE t SET v = (SELECT sum(v) + 1 FROM t) WHERE id = 2",
    "UPDATE t SET k = k + 5 WHERE k = 10",
    "UPDATE t SET id = 3 WHERE id = 2",
    "UPDATE t SET v = v + 1 WHERE v = 0",
    "SELECT v FROM t WHERE id = 1 FOR UPDATE",
    "SELECT v FROM t WHERE id = 1 FOR SHARE",
    "SELECT v FROM t WHERE id = 2 FOR NO KEY UPDATE",
    "SELECT v FROM t WHERE id = 1 FOR KEY SHARE",
    "SELECT v FROM t WHERE id = 1 FOR UPDATE NOWAIT",
    "SELECT v FROM t WHERE id = 1 FOR SHARE NOWAIT",
    "SELECT id AS mine, v FROM t ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED",
    "SELECT v FROM t WHERE id = 1 FOR SHARE SKIP LOCKED",
    "SELECT id AS any_id FROM t FOR NO KEY UPDATE SKIP LOCKED",
    "SELECT id AS each_id FROM t ORDER BY id DESC FOR UPDATE",
    "INSERT INTO t VALUES (3, 30, 1)",
    "INSERT INTO t VALUES (3, 40, 2)",
    "INSERT INTO t VALUES (4, 30, 3)",
    "INSERT INTO t VALUES (3, 30, 5) ON CONFLICT DO NOTHING",
    "INSERT INTO t VALUES (3, 31, 7) ON CONFLICT (id) DO UPDATE SET v = t.v + 10",
    "INSERT INTO t VALUES (1, 10, 7) ON CONFLICT (id) DO UPDATE SET v = excluded.v",
    "INSERT INTO t SELECT 3, 30, count(*) FROM t WHERE NOT EXISTS (SELECT FROM t WHERE id = 3)",
    "DELETE FROM t WHERE id = 1",
    "DELETE FROM t WHERE id = 3",
    "DELETE FROM t",
    "INSERT INTO p VALUES (2)",
    "INSERT INTO p SELECT count(*) FROM p",
    "INSERT INTO p SELECT 3 WHERE NOT EXISTS (SELECT FROM p WHERE a = 3)",
    "INSERT INTO p SELECT :v",
    "INSERT INTO p SELECT sum(v) FROM t HAVING count(*) > 0",
    "SELECT count(*) AS many_p FROM p",
    "SELECT a AS each_a FROM p FOR SHARE NOWAIT",
    "UPDATE p SET a = a + 1",
    "DELETE FROM p",
    "DELETE FROM p WHERE a = 2",
    "SELECT a FROM p WHERE a = 1 FOR UPDATE",
    "INSERT INTO c VALUES (2, 1)",
    "INSERT INTO c VALUES (3, 2)",
    "INSERT INTO c VALUES (4, 3)",
    "UPDATE c SET t_id = 2 WHERE id = 1",
    "UPDATE c SET id = id + 1",
    "DELETE FROM c WHERE t_id = 1",
    "SELECT count(*) AS children FROM c",
    "SELECT count(*) AS joined FROM c JOIN t ON t.id = c.t_id",
    "INSERT INTO log (note) VALUES (1) RETURNING id AS log_id",
    "INSERT INTO log (note) SELECT v FROM t WHERE id = 1",
    "SELECT max(id) AS latest FROM log",
    "SELECT nextval('s') AS number",
    "SELECT last_value FROM s",
    "INSERT INTO p SELECT nextval('s')",
    "SELECT v FROM w",
    "UPDATE w SET v = v + 1",
    "SELECT v FROM lw WHERE id = 1",
    "SELECT pg_advisory_xact_lock(1)",
    "SELECT pg_try_advisory_xact_lock(1) AS got",
    "SELECT pg_advisory_xact_lock_shared(1)",
    "SELECT pg_try_advisory_lock(1) AS got_it",
    "SELECT pg_advisory_unlock(1) AS let_go",
    "LOCK TABLE t",
    "LOCK TABLE t IN SHARE MODE",
    "LOCK TABLE p IN EXCLUSIVE MODE NOWAIT",
    "TRUNCATE p",
    "TRUNCATE t CASCADE",
    "SELECT 1 / 0 AS never",
    "SELECT 1 AS one",
    "WITH gone AS (DELETE FROM p RETURNING a) INSERT INTO log (note) SELECT a FROM gone",
    "MERGE INTO t USING (SELECT 3 AS id) AS s ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = v + 1 WHEN NOT MATCHED THEN INSERT VALUES (3, 30, 0)",
    "SELECT bump(1) AS bumped",
    "SELECT total() AS in_all",
];

/// Statements of which those that lock or change `t` take one row by its key, for transactions at READ COMMITTED: where
/// there are no others, a session that would only wait is not let go on.
const BY_ROW: &[&str] = &[
    "SELECT v FROM t WHERE id = 1",
    "UPDATE t SET v = v + 1 WHERE id = 1",
    "UPDATE t SET v = v + 1 WHERE id = 2",
    "UPDATE t SET v = :v + 1 WHERE id = 1",
    "UPDATE t SET v = v + 1 WHERE id = 1 AND v < 1",
    "UPDATE t SET v = v - 1 WHERE id = 1 AND v > 0 RETURNING v AS taken",
    "UPDATE t SET v = 5 WHERE id = 2 AND (v = :v OR v > 5)",
    "SELECT v FROM t WHERE id = 1 FOR UPDATE",
    "SELECT v FROM t WHERE id = 2 FOR UPDATE",
    "SELECT v FROM t WHERE id = 1 AND v <> 1 FOR UPDATE",
    "SELECT sum(v) AS total FROM t",
    "INSERT INTO c VALUES (2, 1)",
    "INSERT INTO c VALUES (3, 2)",
    "INSERT INTO p SELECT count(*) FROM p",
    "INSERT INTO p SELECT :v",
    "SELECT count(*) AS many_p FROM p",
    "UPDATE p SET a = a + 1",
    "SELECT pg_advisory_xact_lock(1)",
];

const CONDITIONS: [&str; 3] = [":v = 0", ":v IS NULL OR :v > 0", ":v < 2"];

const LEVELS: [&str; 3] = ["read committed", "repeatable read", "serializable"];

const REFERENCES: [&str; 5] = [
    "",
    "ON DELETE CASCADE",
    "ON DELETE SET NULL",
    "ON UPDATE CASCADE",
    "DEFERRABLE INITIALLY DEFERRED",
];

const INVARIANTS: [&str; 3] = [
    "SELECT sum(v) < 3 FROM t",
    "SELECT count(*) < 2 FROM p",
    "SELECT count(*) FILTER (WHERE committed) > 0 FROM pgbraid.sessions",
];

/// Errors that sessions are allowed to end with.
const ALLOWED: &str =
    r#"["23505", "23503", "23502", "23514", "40001", "40P01", "55P03", "22012", "22003", "25P02", "42704"]"#;

#[derive(Debug, Clone)]
pub struct Step {
    sql: &'static str,
    when: Option<&'static str>,
}

#[derive(Debug, Clone)]
pub enum Item {
    Step(Step),
    /// What is done is taken back.
    Savepoint(Vec<Step>),
    /// A lock that outlives the transaction.
    Advisory(Vec<Step>),
}

#[derive(Debug, Clone)]
pub enum Part {
    Autocommitted(Step),
    Transaction { items: Vec<Item>, commits: bool },
}

#[derive(Debug, Clone)]
pub struct Session {
    copies: usize,
    level: &'static str,
    retry: bool,
    parts: Vec<Part>,
}

#[derive(Clone)]
pub struct Plan {
    references: &'static str,
    trigger: bool,
    invariant: Option<&'static str>,
    sessions: Vec<Session>,
}

impl Session {
    fn steps(&self) -> Vec<String> {
        let mut steps = Vec::new();
        let step = |step: &Step| match step.when {
            Some(when) => format!("{{ sql = \"{}\", when = \"{when}\" }}", step.sql),
            None => format!("\"{}\"", step.sql),
        };
        for part in &self.parts {
            match part {
                Part::Autocommitted(one) => steps.push(step(one)),
                Part::Transaction { items, commits } => {
                    steps.push("\"BEGIN\"".to_owned());
                    for item in items {
                        match item {
                            Item::Step(one) => steps.push(step(one)),
                            Item::Savepoint(inner) => {
                                steps.push("\"SAVEPOINT a\"".to_owned());
                                steps.extend(inner.iter().map(step));
                                steps.push("\"ROLLBACK TO a\"".to_owned());
                            }
                            Item::Advisory(inner) => {
                                steps.push("\"SELECT pg_advisory_lock(1)\"".to_owned());
                                steps.extend(inner.iter().map(step));
                                steps.push("\"SELECT pg_advisory_unlock(1)\"".to_owned());
                            }
                        }
                    }
                    steps.push(format!("\"{}\"", if *commits { "COMMIT" } else { "ROLLBACK" }));
                }
            }
        }
        steps
    }

    /// Turns where each step runs once.
    fn turns(&self) -> u64 {
        let of_part = |part: &Part| match part {
            Part::Autocommitted(_) => 2,
            Part::Transaction { items, .. } => {
                let of_item = |item: &Item| match item {
                    Item::Step(_) => 1,
                    Item::Savepoint(inner) | Item::Advisory(inner) => inner.len() as u64 + 2,
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
        let mut text = format!("deadlock = \"allowed\"\nsetup = \"\"\"\n{}\"\"\"\n", self.setup());
        for (index, session) in self.sessions.iter().enumerate() {
            text += &format!("\n[[session]]\nname = \"{}\"\n", ["a", "b", "c"][index % 3]);
            if session.copies > 1 {
                text += &format!("copies = {}\n", session.copies);
            }
            text += &format!("isolation = \"{}\"\nparams = {{ v = 0 }}\n", session.level);
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
        if let Some(invariant) = self.invariant {
            text += &format!("\n[[invariant]]\nname = \"in bounds\"\nsql = \"{invariant}\"\n");
        }
        text
    }

    fn setup(&self) -> String {
        let steps: Vec<String> = self.sessions.iter().flat_map(Session::steps).collect();
        let uses = |word: &str| steps.iter().any(|step| step.contains(word));
        let mut setup = format!(
            "CREATE TABLE t (id int PRIMARY KEY, k int NOT NULL UNIQUE, v int NOT NULL);
CREATE TABLE c (id int, t_id int REFERENCES t {});
CREATE TABLE p (a int NOT NULL);
CREATE TABLE log (id serial, note int);
CREATE SEQUENCE s;
CREATE VIEW w AS SELECT id, v FROM t WHERE id = 1;
CREATE VIEW lw AS SELECT id, v FROM t FOR UPDATE;
INSERT INTO t VALUES (1, 10, 0), (2, 20, 0);
INSERT INTO c VALUES (1, 1);
INSERT INTO p VALUES (1);
",
            self.references
        );
        if uses("bump(") {
            setup += "CREATE FUNCTION bump(int) RETURNS int LANGUAGE sql AS 'UPDATE t SET v = v + 1 WHERE id = $1 RETURNING v';\n";
        }
        if uses("total(") {
            setup += "CREATE FUNCTION total() RETURNS bigint LANGUAGE sql AS 'SELECT sum(v) FROM t';\n";
        }
        if self.trigger {
            setup += "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log (note) VALUES (NEW.v); RETURN NULL; END';
CREATE TRIGGER note AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note();
";
        }
        setup
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{}", self.to_toml())
    }
}

/// The statements that a scenario draws from: a few, so that sessions meet.
fn vocabulary() -> impl Strategy<Value = Vec<&'static str>> {
    vec(select(STATEMENTS), 2..7)
}

fn step(words: &[&'static str]) -> impl Strategy<Value = Step> + use<> {
    let when = prop_oneof![9 => Just(None), 1 => select(&CONDITIONS[..]).prop_map(Some)];
    (select(words.to_vec()), when).prop_map(|(sql, when)| Step { sql, when })
}

fn item(words: &[&'static str]) -> impl Strategy<Value = Item> + use<> {
    prop_oneof![
        12 => step(words).prop_map(Item::Step),
        1 => vec(step(words), 1..3).prop_map(Item::Savepoint),
        1 => vec(step(words), 0..2).prop_map(Item::Advisory),
    ]
}

fn part(words: &[&'static str], longest: usize) -> impl Strategy<Value = Part> + use<> {
    let commits = prop_oneof![5 => Just(true), 1 => Just(false)];
    prop_oneof![
        1 => step(words).prop_filter("outside a block it does nothing", |step| !step.sql.starts_with("LOCK")).prop_map(Part::Autocommitted),
        2 => (vec(item(words), 1..=longest), commits).prop_map(|(items, commits)| Part::Transaction { items, commits }),
    ]
}

fn session(words: &[&'static str], longest: usize, copies: usize) -> impl Strategy<Value = Session> + use<> {
    let parts = prop_oneof![4 => vec(part(words, longest), 1..2), 1 => vec(part(words, longest), 2..3)];
    let level = prop_oneof![3 => Just(LEVELS[0]), 1 => Just(LEVELS[1]), 2 => Just(LEVELS[2])];
    (parts, level, prop::bool::weighted(0.1)).prop_map(move |(parts, level, retry)| Session {
        copies,
        level,
        retry,
        parts,
    })
}

fn at_level(sessions: Vec<Session>, level: &'static str) -> Vec<Session> {
    sessions
        .into_iter()
        .map(|session| Session { level, ..session })
        .collect()
}

fn sessions(words: &[&'static str]) -> impl Strategy<Value = Vec<Session>> + use<> {
    let two = (session(words, 4, 1), session(words, 4, 1)).prop_map(|(a, b)| vec![a, b]);
    let three = (session(words, 3, 1), session(words, 3, 1), session(words, 3, 1)).prop_map(|(a, b, c)| vec![a, b, c]);
    let alike = session(words, 4, 2).prop_map(|a| vec![a]);
    let three_alike = session(words, 2, 3).prop_map(|a| vec![a]);
    let one_and_alike = (session(words, 2, 1), session(words, 2, 2)).prop_map(|(a, b)| vec![a, b]);
    let serializable_three = (session(words, 3, 1), session(words, 3, 1), session(words, 3, 1))
        .prop_map(move |(a, b, c)| at_level(vec![a, b, c], LEVELS[2]));
    prop_oneof![
        4 => two,
        5 => three,
        1 => alike,
        1 => three_alike,
        1 => one_and_alike,
        1 => serializable_three,
    ]
}

/// Scenarios with at most so many interleavings.
pub fn plans(most_interleavings: u64) -> impl Strategy<Value = Plan> {
    let references = prop_oneof![4 => Just(""), 1 => select(&REFERENCES[..])];
    let trigger = prop::bool::weighted(0.08);
    let invariant = prop::option::weighted(0.3, select(&INVARIANTS[..]));
    // boxed, because what they are drawn from is too large for a thread's stack
    let any = vocabulary().prop_flat_map(|words| sessions(&words)).boxed();
    let by_row = vec(select(BY_ROW), 2..6).prop_flat_map(|words| sessions(&words));
    let by_row = by_row.prop_map(|sessions| at_level(sessions, LEVELS[0])).boxed();
    let sessions = prop_oneof![2 => any, 1 => by_row];
    (references, trigger, invariant, sessions)
        .prop_map(|(references, trigger, invariant, sessions)| Plan {
            references,
            trigger,
            invariant,
            sessions,
        })
        .prop_filter("too many interleavings, or one alone", move |plan| {
            (2..=most_interleavings).contains(&plan.interleavings())
        })
}

/// One session that runs every statement that can be drawn, so that a mistake in one shows.
pub fn all_statements() -> Plan {
    let autocommitted = |&sql: &&'static str| Part::Autocommitted(Step { sql, when: None });
    let allowed_alone = |sql: &&&str| !sql.starts_with("LOCK");
    Plan {
        references: "",
        trigger: true,
        invariant: None,
        sessions: vec![Session {
            copies: 1,
            level: LEVELS[0],
            retry: false,
            parts: STATEMENTS
                .iter()
                .chain(BY_ROW)
                .filter(allowed_alone)
                .map(autocommitted)
                .collect(),
        }],
    }
}
