//! Invariants are readers of tables, too.

use crate::reduction::theme::{PLAINEST, Plain, Role, Shape, Theme};

/// Invariants of the rows as they lie, of several tables, and of what may raise.
pub const INVARIANTS: Theme = Theme {
    name: "invariants",
    setups: &[
        "CREATE TABLE p (a int); CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0);
CREATE VIEW first AS SELECT a FROM p LIMIT 1; CREATE FUNCTION first_a() RETURNS int LANGUAGE sql AS 'SELECT a FROM p LIMIT 1';",
        "CREATE TABLE p (a int UNIQUE); CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0);
CREATE VIEW first AS SELECT a FROM p LIMIT 1; CREATE FUNCTION first_a() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT a FROM p LIMIT 1); END';",
    ],
    roles: &[
        Role::new(
            Shape::Any,
            2,
            &["INSERT INTO p VALUES (1)", "INSERT INTO p VALUES (0)", "UPDATE p SET a = a + 10 WHERE a = 1"],
        ),
        Role::new(Shape::Any, 1, &["INSERT INTO p VALUES (2)", "DELETE FROM p WHERE a = 0", "INSERT INTO p VALUES (4), (1)"]),
        Role::new(
            Shape::Any,
            1,
            &["UPDATE t SET v = v + 1 WHERE id = 1", "UPDATE t SET v = 1 WHERE id = 2", "UPDATE t SET id = 3 WHERE id = 2"],
        ),
        Role::new(Shape::Any, 1, &["UPDATE t SET v = v * 2 + 1 WHERE id = 1", "UPDATE t SET v = 2 WHERE id = 1"]),
    ],
    casts: &[&[0, 1], &[0, 1], &[0, 1], &[0, 2, 1], &[2, 3], &[0, 0]],
    other_levels: 0.1,
    invariants: &[
        "SELECT a = 1 FROM p LIMIT 1",
        "SELECT (array_agg(a))[1] IS DISTINCT FROM 2 FROM p",
        "SELECT string_agg(a::text, ',') IS DISTINCT FROM '2,1' FROM p",
        "SELECT count(*) < 2 FROM p JOIN t ON t.v = p.a",
        "SELECT t.id < 2 FROM p JOIN t ON t.id = p.a LIMIT 1",
        "SELECT (SELECT a FROM p LIMIT 1) IS DISTINCT FROM 2",
        "SELECT (SELECT a FROM p) IS NULL OR true",
        "SELECT a <> 1 FROM p ORDER BY a % 1 LIMIT 1",
        "SELECT DISTINCT ON (a % 1) a <> 2 FROM p",
        "SELECT EXISTS (SELECT FROM p WHERE 10 / a = 10)",
        "SELECT NOT EXISTS (SELECT FROM p WHERE 1 / a > 5)",
        "SELECT 1 = ANY (SELECT 2 / a FROM p)",
        "SELECT first_value(a) OVER () = 1 FROM p LIMIT 1",
        "SELECT a = 1 FROM first",
        "SELECT coalesce(first_a(), 1) = 1",
        "SELECT sum(v) < 3 FROM t",
        "SELECT bool_and(v < 2) FROM t",
        "SELECT ctid < (SELECT max(ctid) FROM t) FROM t WHERE id = 1",
        "SELECT v = 0 FROM t LIMIT 1",
        "SELECT count(*) < 3 FROM p",
        "SELECT coalesce(bool_and(committed), false) FROM pgbraid.sessions",
        "SELECT count(*) = 0 FROM pgbraid.sessions WHERE sqlstate = '23505'",
    ],
    least_invariants: 1,
    plain: Plain::Freely,
    ..PLAINEST
};

/// Invariants of values that do not come alike from every order.
pub const INVARIANTS_OF_VALUES: Theme = Theme {
    name: "invariants of values",
    setups: &[
        "CREATE TABLE f (x float8, n numeric);",
        "CREATE TABLE f (x float8, n numeric); INSERT INTO f VALUES (-1e20, 1);",
    ],
    roles: &[
        Role::new(
            Shape::Any,
            1,
            &["INSERT INTO f VALUES (1e20, 1.0)", "INSERT INTO f VALUES (2, 1.0)"],
        ),
        Role::new(
            Shape::Any,
            1,
            &["INSERT INTO f VALUES (1, 1.00)", "INSERT INTO f VALUES (-1e20, 2)"],
        ),
        Role::new(
            Shape::Any,
            1,
            &["INSERT INTO f VALUES (-1e20, 1.000)", "UPDATE f SET n = n * 1.0000"],
        ),
    ],
    casts: &[&[0, 1], &[0, 1], &[0, 1, 2]],
    other_levels: 0.1,
    invariants: &[
        "SELECT sum(x) IS DISTINCT FROM 0 FROM f",
        "SELECT coalesce(sum(x) > 0, true) FROM f",
        "SELECT max(n)::text IS DISTINCT FROM '1.0' FROM f",
        "SELECT min(n)::text IS DISTINCT FROM '1.00' FROM f",
        "SELECT count(*) = 0 FROM (SELECT n FROM f GROUP BY n) AS g WHERE n::text = '1.00'",
        "SELECT count(*) = 0 FROM (SELECT DISTINCT n FROM f) AS g WHERE n::text = '1.0'",
        "SELECT avg(x) > 0 FROM f",
        "SELECT sum(n) < 5 FROM f",
    ],
    least_invariants: 1,
    plain: Plain::Freely,
    ..PLAINEST
};

/// Invariants of times.
pub const INVARIANTS_OF_TIMES: Theme = Theme {
    name: "invariants of times",
    setups: &[
        "CREATE TABLE e (a int, at timestamptz DEFAULT now()); CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL); INSERT INTO t VALUES (1, '2000-01-01'), (2, '2000-01-01');",
        "CREATE TABLE e (a int PRIMARY KEY, at timestamptz DEFAULT clock_timestamp()); CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL); INSERT INTO t VALUES (1, '2000-01-01'), (2, '2000-01-01');",
    ],
    roles: &[
        Role::new(
            Shape::Any,
            2,
            &["INSERT INTO e VALUES (1)", "UPDATE t SET at = now() WHERE id = 1"],
        ),
        Role::new(
            Shape::Any,
            2,
            &[
                "INSERT INTO e VALUES (2)",
                "UPDATE t SET at = now() WHERE id = 2",
                "UPDATE t SET at = clock_timestamp() WHERE id = 2",
            ],
        ),
    ],
    casts: &[&[0, 1]],
    other_levels: 0.1,
    invariants: &[
        "SELECT (SELECT at FROM t WHERE id = 1) < (SELECT at FROM t WHERE id = 2)",
        "SELECT (SELECT a FROM e ORDER BY at DESC, a LIMIT 1) IS DISTINCT FROM 1",
        "SELECT count(*) = 0 FROM e x JOIN e y ON x.a < y.a AND x.at > y.at",
        "SELECT coalesce(min(at) FILTER (WHERE a = 2) > min(at), true) FROM e",
        "SELECT id = 2 FROM t ORDER BY at DESC, id LIMIT 1",
        "SELECT greatest(max(at), '2000-01-02') <= clock_timestamp() FROM t",
        "SELECT count(*) = 0 FROM e JOIN t ON t.id = e.a WHERE t.at > e.at",
        "SELECT coalesce(max(e.at) < (SELECT max(at) FROM t), true) FROM e",
    ],
    least_invariants: 1,
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
    plain: Plain::Freely,
    ..PLAINEST
};
