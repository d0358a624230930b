//! What a statement does besides what it is for: with a row before it is locked, with rows that it does not want, with
//! tables that it does not name.

use crate::reduction::theme::{PLAINEST, Plain, Role, Shape, Theme};

/// What is worked out before a row is waited for can raise, draw a number, or take a lock.
pub const BEFORE_THE_LOCK: Theme = Theme {
    name: "before the lock",
    setups: &[
        "CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0); CREATE SEQUENCE s; CREATE TABLE p (a int);",
        "CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0); ALTER TABLE t ADD CHECK (v < 9); CREATE SEQUENCE s; CREATE TABLE p (a int);",
        "CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 2), (2, 0); CREATE SEQUENCE s; CREATE TABLE p (a int);",
    ],
    roles: &[
        Role {
            after: &["SELECT nextval('s') AS m"],
            ..Role::new(Shape::Block, 1, HOLDS)
        },
        Role {
            before: &["SELECT nextval('s') AS n"],
            ..Role::new(
                Shape::Any,
                1,
                &[
                    "SELECT 10 / v AS x FROM t WHERE id = 1 FOR UPDATE",
                    "SELECT v FROM t WHERE id = 1 ORDER BY 1 / v FOR UPDATE",
                    "SELECT 10 / v AS x FROM t WHERE id = 1 FOR SHARE",
                    "SELECT abs(10 / v) AS x FROM t WHERE id = 1 FOR NO KEY UPDATE",
                    "SELECT v, nextval('s') AS k FROM t WHERE id = 1 FOR UPDATE",
                    "SELECT pg_try_advisory_xact_lock(1) AS got, 1 / v AS x FROM t WHERE id = 1 FOR UPDATE",
                    "UPDATE t SET v = 10 / v WHERE id = 1",
                    "DELETE FROM t WHERE id = 1 AND 10 / v > 0",
                ],
            )
        },
        Role {
            after: &["INSERT INTO p VALUES (1)", "SELECT pg_advisory_xact_lock(1)"],
            ..Role::new(Shape::Block, 1, HOLDS)
        },
        Role {
            before: &["SELECT count(*) AS n FROM p", "SELECT pg_advisory_xact_lock_shared(1)"],
            ..Role::new(Shape::Any, 1, WAITS)
        },
        Role::new(Shape::Any, 2, WAITS),
    ],
    casts: &[&[0, 1], &[0, 1], &[0, 1], &[2, 3], &[0, 4]],
    other_levels: 0.1,
    invariants: &[
        "SELECT count(*) = 0 FROM pgbraid.sessions WHERE sqlstate = '22012' AND variables->>'n' = '2'",
        "SELECT count(*) = 0 FROM pgbraid.sessions WHERE variables->>'n' = '2'",
        "SELECT v < 5 FROM t WHERE id = 1",
    ],
    ..PLAINEST
};

const HOLDS: &[&str] = &[
    "UPDATE t SET v = 1 WHERE id = 1",
    "UPDATE t SET v = v + 2 WHERE id = 1",
    "UPDATE t SET v = v - 2 WHERE id = 1",
    "DELETE FROM t WHERE id = 1",
];

const WAITS: &[&str] = &[
    "SELECT 10 / v AS x FROM t WHERE id = 1 FOR UPDATE",
    "SELECT v, nextval('s') AS n FROM t WHERE id = 1 FOR UPDATE",
    "SELECT v FROM t WHERE id = 1 ORDER BY 1 / v FOR UPDATE",
    "SELECT 10 / v AS x FROM t WHERE id = 1 FOR SHARE",
    "SELECT pg_try_advisory_xact_lock(1) AS got, v FROM t WHERE id = 1 FOR UPDATE",
    "SELECT (SELECT count(*) FROM p) AS n, v FROM t WHERE id = 1 FOR UPDATE",
    "SELECT DISTINCT 10 / v AS x FROM (SELECT v FROM t WHERE id = 1 FOR UPDATE) AS held",
    "SELECT abs(10 / v) AS x FROM t WHERE id = 1 FOR NO KEY UPDATE",
    "SELECT (10 / v)::text::smallint AS x FROM t WHERE id = 1 FOR UPDATE",
    "UPDATE t SET v = 10 / v WHERE id = 1",
    "UPDATE t SET v = v + 1 WHERE id = 1 RETURNING 10 / (v - 1) AS x",
    "UPDATE t SET v = nextval('s') WHERE id = 1",
    "UPDATE t SET v = 5 WHERE id = 1 AND 1 / v >= 0",
    "UPDATE t SET v = (SELECT count(*) FROM p) + 3 WHERE id = 1",
    "DELETE FROM t WHERE id = 1 RETURNING nextval('s') AS n",
    "INSERT INTO t VALUES (1, nextval('s')) ON CONFLICT (id) DO UPDATE SET v = excluded.v",
    "INSERT INTO t VALUES (1, 3) ON CONFLICT (id) DO UPDATE SET v = 10 / t.v",
    "SELECT v FROM t WHERE id = 1 FOR UPDATE",
];

/// Settings and small tables turn a look-up by key into a scan, and the condition is then put to other rows.
pub const OTHER_ROWS: Theme = Theme {
    name: "other rows",
    setups: &[
        "CREATE TABLE t (id int PRIMARY KEY, rx text NOT NULL, d int NOT NULL); INSERT INTO t VALUES (1, '(', 0), (2, 'x', 1); CREATE SEQUENCE s;",
        "CREATE TABLE t (id int PRIMARY KEY, rx text NOT NULL, d int NOT NULL); INSERT INTO t VALUES (1, 'x', 1), (2, 'x', 1); CREATE SEQUENCE s;",
        "CREATE TABLE t (id int PRIMARY KEY, rx text NOT NULL, d int NOT NULL); INSERT INTO t VALUES (1, '(', 0), (2, 'x', 1); CREATE SEQUENCE s; ANALYZE t;",
    ],
    extras: &[
        "ANALYZE t;",
        "CREATE INDEX ON t (d);",
        "CREATE FUNCTION quick(int) RETURNS boolean LANGUAGE plpgsql COST 0.001 AS 'BEGIN RETURN 10 / $1 > 0; END';",
    ],
    roles: &[
        Role::new(
            Shape::Any,
            1,
            &[
                "UPDATE t SET rx = 'y', d = 2 WHERE id = 1",
                "UPDATE t SET rx = '(', d = 0 WHERE id = 1",
                "DELETE FROM t WHERE id = 1",
                "INSERT INTO t VALUES (3, '(', 0)",
                "UPDATE t SET rx = 'x' WHERE id = 2",
            ],
        ),
        Role {
            settings: &[
                "SET enable_indexscan = off",
                "SET enable_bitmapscan = off",
                "SET enable_seqscan = off",
                "SET plan_cache_mode = force_generic_plan",
                "SET random_page_cost = 100",
            ],
            ..Role::new(
                Shape::Any,
                2,
                &[
                    "SELECT rx FROM t WHERE 'x' ~ rx AND id = 2",
                    "SELECT d FROM t WHERE 10 / d > 0 AND id = 2",
                    "UPDATE t SET d = d + 1 WHERE 10 / d > 0 AND id = 2",
                    "SELECT rx FROM t WHERE rx ~ 'x' AND id = 2 FOR UPDATE",
                    "DELETE FROM t WHERE 10 / d > 0 AND id = 2",
                    "SELECT d FROM t WHERE nextval('s') > 0 AND id = 2",
                    "SELECT d FROM t WHERE id = 2 AND ('x' ~ rx OR d > 5)",
                    "SELECT 1 AS one FROM t WHERE id = 2",
                    "SELECT d FROM t WHERE CASE WHEN id = 2 THEN 10 / d > 0 END",
                ],
            )
        },
        Role {
            settings: &["SET enable_indexscan = off", "SET enable_bitmapscan = off"],
            least_settings: 2,
            ..Role::new(
                Shape::Any,
                1,
                &[
                    "SELECT rx FROM t WHERE 'x' ~ rx AND id = 2",
                    "SELECT d FROM t WHERE 10 / d > 0 AND id = 2",
                    "UPDATE t SET d = d + 1 WHERE 10 / d > 0 AND id = 2",
                    "SELECT d FROM t WHERE nextval('s') > 0 AND id = 2",
                    "SELECT d FROM t WHERE rx::int > 0 AND id = 2",
                    "SELECT d FROM t WHERE 10 / d > 0 AND id = 2 FOR UPDATE",
                    "DELETE FROM t WHERE 'x' ~ rx AND id = 2",
                ],
            )
        },
    ],
    casts: &[&[0, 2], &[0, 2], &[0, 2], &[0, 1], &[0, 0, 1]],
    invariants: &["SELECT sum(d) < 3 FROM t"],
    plain: Plain::Freely,
    ..PLAINEST
};

/// Checks, generated columns, defaults and expressions in indexes that raise or look elsewhere.
pub const COMPUTED: Theme = Theme {
    name: "computed",
    setups: &[
        "CREATE TABLE p (a int); CREATE SEQUENCE s; CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL, g int GENERATED ALWAYS AS (10 / v) STORED); INSERT INTO t VALUES (1, 1), (2, 2);",
        "CREATE TABLE p (a int); CREATE SEQUENCE s; CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL CHECK (10 / v > 2)); INSERT INTO t VALUES (1, 1), (2, 2);",
        "CREATE TABLE p (a int); CREATE SEQUENCE s; CREATE FUNCTION few() RETURNS boolean LANGUAGE sql AS 'SELECT count(*) < 2 FROM p'; CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL CHECK (few())); INSERT INTO t VALUES (1, 1), (2, 2);",
        "CREATE TABLE p (a int); CREATE SEQUENCE s; CREATE DOMAIN small AS int CHECK (VALUE < 4); CREATE TABLE t (id int PRIMARY KEY, v small NOT NULL); CREATE INDEX ON t ((10 / v)); INSERT INTO t VALUES (1, 1), (2, 2);",
        "CREATE TABLE p (a int); CREATE SEQUENCE s; CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL DEFAULT nextval('s'), UNIQUE (v)); INSERT INTO t VALUES (1, 11), (2, 12);",
    ],
    extras: &[
        "CREATE UNIQUE INDEX ON t (id, v) WHERE 10 / v > 1;",
        "ALTER TABLE p ADD h int GENERATED ALWAYS AS (12 / (a - 3)) STORED;",
    ],
    roles: &[Role::new(
        Shape::Any,
        2,
        &[
            "UPDATE t SET v = v - 1 WHERE id = 1",
            "UPDATE t SET v = v + 1 WHERE id = 1",
            "UPDATE t SET v = v * 2 WHERE id = 1",
            "INSERT INTO p VALUES (1)",
            "INSERT INTO p VALUES (2)",
            "UPDATE p SET a = a + 1",
            "UPDATE t SET v = v - 1",
            "SELECT nextval('s') AS n",
            "INSERT INTO t VALUES (3, 3)",
            "INSERT INTO t (id) VALUES (4)",
            "UPDATE t SET v = DEFAULT WHERE id = 2",
            "SELECT v FROM t WHERE id = 1 FOR UPDATE",
            "SELECT sum(v) AS total FROM t",
        ],
    )],
    casts: &[&[0, 0], &[0, 0, 0]],
    invariants: &[
        "SELECT sum(v) > 2 FROM t",
        "SELECT count(*) = 0 FROM pgbraid.sessions WHERE sqlstate IS NOT NULL",
    ],
    plain: Plain::Freely,
    ..PLAINEST
};

/// Row-level security. The sessions are superusers, whom no policy stops; the functions and views belong to others.
pub const POLICIES: Theme = Theme {
    name: "policies",
    setups: &[
        "CREATE TABLE q (k int); INSERT INTO q VALUES (1); CREATE TABLE t (id int); INSERT INTO t VALUES (1); GRANT ALL ON q, t TO pg_monitor;
ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY pol ON t USING (EXISTS (SELECT FROM q WHERE k = t.id));
CREATE FUNCTION f() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM t'; ALTER FUNCTION f() OWNER TO pg_read_all_data;
CREATE FUNCTION g(int) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'WITH x AS (UPDATE t SET id = id + $1 RETURNING id) SELECT count(*) FROM x'; ALTER FUNCTION g(int) OWNER TO pg_monitor;
CREATE VIEW w AS SELECT count(*) AS n FROM t; ALTER VIEW w OWNER TO pg_read_all_data;",
        "CREATE TABLE q (k int); INSERT INTO q VALUES (1); CREATE TABLE t (id int); INSERT INTO t VALUES (1), (2); GRANT ALL ON q, t TO pg_monitor;
ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY pol ON t USING (id <= (SELECT max(k) FROM q)) WITH CHECK (id < 9);
CREATE FUNCTION f() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN (SELECT count(*) FROM t); END'; ALTER FUNCTION f() OWNER TO pg_monitor;
CREATE FUNCTION g(int) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'WITH x AS (DELETE FROM t RETURNING id) SELECT count(*) FROM x'; ALTER FUNCTION g(int) OWNER TO pg_monitor;
CREATE VIEW w AS SELECT id AS n FROM t; ALTER VIEW w OWNER TO pg_monitor;",
        "CREATE TABLE q (k int); INSERT INTO q VALUES (1); CREATE TABLE t (id int); INSERT INTO t VALUES (1); GRANT ALL ON q, t TO pg_monitor;
CREATE FUNCTION allowed(int) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT $1 IN (SELECT k FROM q)';
ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY pol ON t TO pg_monitor USING (allowed(id));
CREATE FUNCTION f() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT sum(id) FROM t'; ALTER FUNCTION f() OWNER TO pg_monitor;
CREATE FUNCTION g(int) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'WITH x AS (INSERT INTO t VALUES ($1) RETURNING id) SELECT count(*) FROM x'; ALTER FUNCTION g(int) OWNER TO pg_monitor;
CREATE VIEW w AS SELECT count(*) AS n FROM t; ALTER VIEW w OWNER TO pg_monitor;",
    ],
    roles: &[
        Role::new(
            Shape::Any,
            2,
            &[
                "DELETE FROM q",
                "INSERT INTO q VALUES (2)",
                "UPDATE q SET k = k + 1",
                "INSERT INTO t VALUES (2)",
                "UPDATE t SET id = 5 WHERE id = 2",
            ],
        ),
        Role::new(
            Shape::Any,
            2,
            &["SELECT f() AS n", "SELECT n FROM w LIMIT 1", "SELECT g(1) AS n", "SELECT count(*) AS n FROM t", "SELECT max(k) AS k FROM q"],
        ),
        Role {
            settings: &["SET ROLE pg_monitor"],
            least_settings: 1,
            ..Role::new(
                Shape::Alone,
                1,
                &[
                    "SELECT count(*) AS n FROM t",
                    "UPDATE t SET id = id + 10",
                    "SELECT f() AS n",
                ],
            )
        },
    ],
    casts: &[&[0, 1], &[0, 1], &[0, 2], &[0, 1, 1], &[0, 0, 1]],
    invariants: &[
        "SELECT count(*) = 0 FROM pgbraid.sessions WHERE variables->>'n' = '1'",
        "SELECT sum(id) < 5 FROM t",
    ],
    plain: Plain::Freely,
    ..PLAINEST
};
