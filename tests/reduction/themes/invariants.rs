//! Invariants are readers of tables, too.

use crate::theme::{PLAINEST, Role, Shape, Theme};

pub const INVARIANTS: Theme = Theme {
    name: "invariants",
    setups: &[
        "CREATE TABLE p (a int); CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0); CREATE TABLE f (x float8, n numeric); CREATE TABLE e (a int, at timestamptz DEFAULT now());
CREATE VIEW first AS SELECT a FROM p LIMIT 1; CREATE FUNCTION first_a() RETURNS int LANGUAGE sql AS 'SELECT a FROM p LIMIT 1';",
        "CREATE TABLE p (a int UNIQUE); CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0); CREATE TABLE f (x float8, n numeric); INSERT INTO f VALUES (-1e20, 1); CREATE TABLE e (a int, at timestamptz DEFAULT now());
CREATE VIEW first AS SELECT a FROM p LIMIT 1; CREATE FUNCTION first_a() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT a FROM p LIMIT 1); END';",
    ],
    roles: &[
        Role::new(
            Shape::Any,
            2,
            &["INSERT INTO p VALUES (1)", "INSERT INTO p VALUES (2)", "INSERT INTO p VALUES (0)", "UPDATE p SET a = a + 10 WHERE a = 1", "DELETE FROM p WHERE a = 2"],
        ),
        Role::new(
            Shape::Any,
            2,
            &["UPDATE t SET v = v + 1 WHERE id = 1", "UPDATE t SET v = v * 2 + 1 WHERE id = 1", "UPDATE t SET v = 1 WHERE id = 2", "UPDATE t SET id = 3 WHERE id = 2"],
        ),
        Role::new(
            Shape::Any,
            2,
            &["INSERT INTO f VALUES (1e20, 1.0)", "INSERT INTO f VALUES (1, 1.00)", "INSERT INTO f VALUES (-1e20, 2)"],
        ),
        Role::new(Shape::Any, 2, &["INSERT INTO e VALUES (1)", "INSERT INTO e VALUES (2)", "INSERT INTO e VALUES (3, clock_timestamp())"]),
    ],
    casts: &[&[0, 0], &[0, 0], &[0, 0, 0], &[0, 1], &[1, 1], &[2, 2], &[2, 2, 2], &[3, 3], &[0, 3]],
    other_levels: 0.1,
    invariants: &[
        "SELECT a = 1 FROM p LIMIT 1",
        "SELECT (array_agg(a))[1] IS DISTINCT FROM 2 FROM p",
        "SELECT string_agg(a::text, ',') IS DISTINCT FROM '2,1' FROM p",
        "SELECT count(*) < 2 FROM p JOIN t ON t.v = p.a",
        "SELECT t.v < 2 FROM p JOIN t ON t.id = p.a LIMIT 1",
        "SELECT (SELECT a FROM p LIMIT 1) IS DISTINCT FROM 2",
        "SELECT (SELECT a FROM p) IS NULL OR true",
        "SELECT a > 0 FROM p ORDER BY a % 2 LIMIT 1",
        "SELECT DISTINCT ON (a % 2) a <> 2 FROM p WHERE a % 2 = 0",
        "SELECT NOT EXISTS (SELECT FROM p WHERE 1 / a > 5)",
        "SELECT EXISTS (SELECT FROM p WHERE 10 / a = 10) OR true",
        "SELECT 1 = ANY (SELECT 2 / a FROM p) OR true",
        "SELECT first_value(a) OVER () = 1 FROM p LIMIT 1",
        "SELECT a = 1 FROM first",
        "SELECT coalesce(first_a(), 1) = 1",
        "SELECT sum(x) IS DISTINCT FROM 0 FROM f",
        "SELECT coalesce(sum(x) > 0, true) FROM f",
        "SELECT max(n)::text IS DISTINCT FROM '1.0' FROM f",
        "SELECT count(*) = 0 FROM (SELECT n FROM f GROUP BY n) AS g WHERE n::text = '1.00'",
        "SELECT sum(v) < 3 FROM t",
        "SELECT bool_and(v < 2) FROM t",
        "SELECT ctid < (SELECT max(ctid) FROM t) FROM t WHERE id = 1",
        "SELECT v FROM (SELECT v = 0 AS v FROM t LIMIT 1) AS x",
        "SELECT (SELECT a FROM e ORDER BY at DESC, a LIMIT 1) IS DISTINCT FROM 1",
        "SELECT count(*) = 0 FROM e x JOIN e y ON x.a < y.a AND x.at > y.at",
        "SELECT min(at) < clock_timestamp() - interval '1 hour' FROM e WHERE a > 1",
        "SELECT coalesce(bool_and(committed), false) FROM pgbraid.sessions",
        "SELECT count(*) = 0 FROM pgbraid.sessions WHERE sqlstate = '23505'",
    ],
    least_invariants: 2,
    ..PLAINEST
};

/// How the sessions ended, and what they have read.
pub const SESSIONS: Theme = Theme {
    name: "sessions",
    setups: &[
        "CREATE TABLE p (a int UNIQUE); CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL CHECK (v < 3)); INSERT INTO t VALUES (1, 0), (2, 0); CREATE SEQUENCE s;",
        "CREATE TABLE p (a int); CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0); CREATE SEQUENCE s;",
    ],
    roles: &[Role::new(
        Shape::Any,
        2,
        &[
            "SELECT count(*) AS n FROM p",
            "INSERT INTO p VALUES (1)",
            "INSERT INTO p VALUES (2)",
            "UPDATE t SET v = v + 1 WHERE id = 1 RETURNING v AS n",
            "UPDATE t SET v = v + 2 WHERE id = 1",
            "UPDATE t SET v = v + 1 WHERE id = 2",
            "SELECT v AS n FROM t WHERE id = 1",
            "SELECT nextval('s') AS n",
            "SELECT sum(v) AS n FROM t",
            "SELECT v AS n FROM t WHERE id = 1 FOR UPDATE NOWAIT",
            "SELECT 1 / v AS n FROM t WHERE id = 1",
            "SELECT now() AS since",
        ],
    )],
    casts: &[&[0, 0], &[0, 0, 0]],
    invariants: &[
        "SELECT count(*) = 0 FROM pgbraid.sessions WHERE variables->>'n' = '1'",
        "SELECT count(DISTINCT variables->>'n') < 2 FROM pgbraid.sessions",
        "SELECT count(*) = 0 FROM pgbraid.sessions WHERE sqlstate = '23505' AND name = 'b'",
        "SELECT count(*) = 0 FROM pgbraid.sessions WHERE sqlstate IN ('22012', '55P03')",
        "SELECT count(*) FILTER (WHERE committed) > 1 FROM pgbraid.sessions",
        "SELECT coalesce(max((variables->>'n')::int), 0) = (SELECT max(v) FROM t) FROM pgbraid.sessions",
        "SELECT count(*) = 0 FROM pgbraid.sessions x JOIN pgbraid.sessions y ON x.name < y.name AND x.variables->>'n' > y.variables->>'n'",
        "SELECT coalesce(max(variables->>'since') FILTER (WHERE name = 'a') < max(variables->>'since') FILTER (WHERE name = 'b'), true) FROM pgbraid.sessions",
    ],
    least_invariants: 1,
    plain: true,
    ..PLAINEST
};
