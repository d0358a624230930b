//! Scenarios of statements of every kind, on one set of tables: the theme `mixed`.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::plan::{Item, Part, Plan, Session, Setup, Step};
use super::schema::{Schema, schemas};

/// The theme's name.
pub const MIXED: &str = "mixed";

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

/// Statements on what only some schemas have, and other ways to say which row is meant.
const ELSEWHERE: &[&str] = &[
    "SELECT v FROM n WHERE name = 'a'",
    "UPDATE n SET v = v + 1 WHERE name = 'a'",
    "UPDATE n SET v = v + 1 WHERE name = 'a '",
    "UPDATE n SET v = 5 WHERE name = 'b'",
    "UPDATE n SET name = 'c' WHERE name = 'b'",
    "SELECT v FROM n WHERE name = 'a ' FOR UPDATE",
    "INSERT INTO n VALUES ('c')",
    "INSERT INTO n VALUES ('c ') ON CONFLICT DO NOTHING",
    "INSERT INTO n VALUES ('A', 3)",
    "UPDATE q SET v = v + 1 WHERE x = 1 AND y = 1",
    "UPDATE q SET v = v + 1 WHERE x = 1",
    "UPDATE q SET v = 3 WHERE (x, y) = (1, 2)",
    "UPDATE q SET y = 3 WHERE x = 1 AND y = 1",
    "UPDATE q SET (x, y) = (2, 2) WHERE x = 2 AND y = 1",
    "SELECT v FROM q WHERE x = 1 AND y = 2 FOR UPDATE",
    "INSERT INTO q VALUES (2, 2, 0)",
    "INSERT INTO q SELECT 2, 2, sum(v) FROM q",
    "SELECT sum(v) AS in_q FROM q ",
    "UPDATE r SET key = 3 WHERE key = 2",
    "UPDATE r SET amount = amount + 1 WHERE key = 1",
    "UPDATE r SET amount = amount + 1 WHERE other = 10",
    "UPDATE r SET other = 20 WHERE key = 1",
    "DELETE FROM r WHERE key = 2",
    "INSERT INTO r VALUES (30, 1, 3)",
    "SELECT amount FROM r WHERE key = 1 FOR UPDATE",
    "UPDATE few SET v = v + 1 WHERE id = 1",
    "UPDATE iv SET v = v + 1",
    "SELECT total FROM m ",
    "REFRESH MATERIALIZED VIEW m",
    "SELECT sum(v) AS total FROM t",
    "UPDATE t SET v = v + 1 WHERE id = 1",
    "UPDATE t SET v = v + 1 WHERE id = 2",
    "UPDATE t SET v = 2 WHERE id = :v",
    "UPDATE t SET v = 2 WHERE id = :v + 1",
    "UPDATE t SET v = 2 WHERE id = '1'",
    "UPDATE t SET v = v + 2 WHERE id IN (1, 3)",
    "UPDATE t SET v = 2 WHERE id = ANY ('{2,3}')",
    "UPDATE t SET (k, v) = (20, 1) WHERE (id, k) = (1, 10)",
    "UPDATE t SET (k, v) = (SELECT 11, max(a) FROM p) WHERE id = 1",
    "UPDATE ONLY t AS x SET v = 4 WHERE x.id = 1",
    "UPDATE t SET v = p.a FROM p WHERE t.id = p.a",
    "DELETE FROM t USING p WHERE t.id = 1",
    "DELETE FROM t WHERE id = 2 AND v = 0",
    "UPDATE t SET id = -id WHERE id = 1",
    "UPDATE t SET v = -1 WHERE k = 10 AND id = 1",
    "UPDATE t SET v = DEFAULT WHERE id = 2",
    "INSERT INTO t (id, k, v) SELECT id + 2, k + 20, v FROM t WHERE id = 1",
    "INSERT INTO p DEFAULT VALUES",
    "INSERT INTO p VALUES (3)",
    "INSERT INTO p VALUES (3) ON CONFLICT DO NOTHING",
    "INSERT INTO p VALUES (1)",
    "UPDATE p SET a = 2",
    "DELETE FROM p",
    "UPDATE c SET t_id = DEFAULT",
    "DELETE FROM c",
    "SET CONSTRAINTS ALL IMMEDIATE",
    "SELECT bump() AS bumped",
    "INSERT INTO p SELECT bump(1)",
    "UPDATE t SET v = total() WHERE id = 1",
    "INSERT INTO p SELECT drawn()",
    "SELECT add_p(3)",
    "SELECT seen() AS seen",
    "UPDATE t SET v = seen() WHERE id = 2",
    "SELECT hold() AS held",
    "SELECT deep(1) AS deep",
    "SELECT currval('s') AS mine FROM nextval('s')",
    "SELECT note FROM log",
    "DO 'BEGIN UPDATE t SET v = v + 1 WHERE id = 1; END'",
    "ANALYZE t",
];

/// Statements of which those that lock or change `t` take one row by its key, for transactions at READ COMMITTED: where
/// there are no others, a session that would only wait is not scheduled.
const BY_ROW: &[&str] = &[
    "SELECT v FROM t WHERE id = 1",
    "UPDATE t SET v = v + 1 WHERE id = 1",
    "UPDATE t SET v = v + 1 WHERE id = 2",
    "UPDATE t SET v = 5 WHERE id = 1",
    "UPDATE t SET v = 7 WHERE id = 2",
    "UPDATE t SET v = :v + 1 WHERE id = 1",
    "UPDATE t SET v = 1 WHERE id = :v",
    "UPDATE t SET v = v + 1 WHERE id = 1 AND v < 1",
    "UPDATE t SET v = v - 1 WHERE id = 1 AND v > 0 RETURNING v AS taken",
    "UPDATE t SET v = 5 WHERE id = 2 AND (v = :v OR v > 5)",
    "SELECT v FROM t WHERE id = 1 FOR UPDATE",
    "SELECT v FROM t WHERE id = 2 FOR UPDATE",
    "SELECT id AS v FROM t WHERE id = 1 FOR UPDATE",
    "SELECT v FROM t WHERE id = 1 AND v <> 1 FOR UPDATE",
    "SELECT sum(v) AS total FROM t",
    "UPDATE p SET a = (SELECT sum(v) FROM t)",
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

const INVARIANTS: [&str; 3] = [
    "SELECT sum(v) < 3 FROM t",
    "SELECT count(*) < 2 FROM p",
    "SELECT count(*) FILTER (WHERE committed) > 0 FROM pgbraid.sessions",
];

/// The statements that a scenario draws from: a few, so that sessions meet.
fn vocabulary() -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![
        3 => vec(select(STATEMENTS), 2..7),
        2 => vec(select(ELSEWHERE), 2..6),
        1 => vec(select([STATEMENTS, ELSEWHERE].concat()), 2..6),
    ]
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
    let v = prop_oneof![4 => Just(0), 1 => -1..=2];
    (parts, level, v, prop::bool::weighted(0.1)).prop_map(move |(parts, level, v, retry)| Session {
        copies,
        level,
        v,
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
    let four = vec(session(words, 1, 1), 4);
    let alike = session(words, 4, 2).prop_map(|a| vec![a]);
    let three_alike = session(words, 2, 3).prop_map(|a| vec![a]);
    let one_and_alike = (session(words, 2, 1), session(words, 2, 2)).prop_map(|(a, b)| vec![a, b]);
    let serializable_three = (session(words, 3, 1), session(words, 3, 1), session(words, 3, 1))
        .prop_map(move |(a, b, c)| at_level(vec![a, b, c], LEVELS[2]));
    prop_oneof![
        4 => two,
        5 => three,
        1 => four,
        1 => alike,
        1 => three_alike,
        1 => one_and_alike,
        1 => serializable_three,
    ]
}

pub fn plans() -> impl Strategy<Value = Plan> {
    let invariant = prop::option::weighted(0.3, select(&INVARIANTS[..]));
    // boxed, because what they are drawn from is too large for a thread's stack
    let any = vocabulary().prop_flat_map(|words| sessions(&words)).boxed();
    let by_row = vec(select(BY_ROW), 2..6).prop_flat_map(|words| sessions(&words));
    let by_row = by_row.prop_map(|sessions| at_level(sessions, LEVELS[0])).boxed();
    let sessions = prop_oneof![2 => any, 1 => by_row];
    (schemas(), invariant, sessions).prop_map(|(schema, invariant, sessions)| Plan {
        theme: MIXED,
        setup: Setup::Schema(schema),
        invariants: invariant.into_iter().collect(),
        sessions,
    })
}

/// One session that runs every statement that can be drawn, on each table with all that can be drawn, so that a mistake
/// in one shows.
pub fn all_statements() -> Vec<Plan> {
    let autocommitted = |&sql: &&'static str| Part::Autocommitted(Step { sql, when: None });
    let allowed_alone = |sql: &&&str| !sql.starts_with("LOCK");
    let statements = STATEMENTS.iter().chain(ELSEWHERE).chain(BY_ROW).filter(allowed_alone);
    let session = Session {
        copies: 1,
        level: LEVELS[0],
        v: 0,
        retry: false,
        parts: statements.map(autocommitted).collect(),
    };
    let plan = |schema| Plan {
        theme: MIXED,
        setup: Setup::Schema(schema),
        invariants: Vec::new(),
        sessions: vec![session.clone()],
    };
    Schema::full().into_iter().map(plan).collect()
}
