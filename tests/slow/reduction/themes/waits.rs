//! Sessions that wait, and what each has done before it waits.

use crate::reduction::theme::{PLAINEST, Plain, Role, Shape, Theme};

/// Several sessions wait for the end of one that has added the same key.
pub const RELEASED_FROM_A_KEY: Theme = Theme {
    name: "released from a key",
    setups: &[
        "CREATE TABLE t (id int PRIMARY KEY, n int, at timestamptz DEFAULT now()); CREATE SEQUENCE s; CREATE TABLE d (v int, at timestamptz DEFAULT '2000-01-01'); INSERT INTO d VALUES (5);",
        "CREATE TABLE t (id int, n int, at timestamptz DEFAULT now(), EXCLUDE USING btree (id WITH =)); CREATE SEQUENCE s; CREATE TABLE d (v int, at timestamptz DEFAULT '2000-01-01'); INSERT INTO d VALUES (5);",
        "CREATE TABLE t (id int UNIQUE, n int, at timestamptz DEFAULT now()); CREATE SEQUENCE s; CREATE TABLE d (v int, at timestamptz DEFAULT '2000-01-01'); INSERT INTO d VALUES (5);",
    ],
    roles: &[
        Role {
            rollbacks: 4,
            ..Role::new(
                Shape::Block,
                1,
                &[
                    "INSERT INTO t VALUES (3, 0)",
                    "INSERT INTO t VALUES (3, 9) ON CONFLICT DO NOTHING",
                ],
            )
        },
        Role::new(
            Shape::Alone,
            1,
            &[
                "INSERT INTO t VALUES (3, nextval('s'))",
                "INSERT INTO t SELECT 3, v FROM d",
                "INSERT INTO t VALUES (3, nextval('s')) ON CONFLICT DO NOTHING",
                "INSERT INTO t VALUES (3, (clock_timestamp() > (SELECT at FROM d))::int) RETURNING n",
            ],
        ),
        Role::new(
            Shape::Alone,
            1,
            &[
                "UPDATE d SET v = v + 1",
                "SELECT nextval('s') AS k",
                "DELETE FROM t WHERE id = 3",
            ],
        ),
        Role {
            before: &["INSERT INTO t VALUES (3, 0)"],
            rollbacks: 4,
            ..Role::new(
                Shape::Block,
                1,
                &[
                    "UPDATE d SET v = v + 1",
                    "SELECT nextval('s') AS k",
                    "DELETE FROM t WHERE id = 3",
                ],
            )
        },
    ],
    casts: &[&[0, 1, 1], &[0, 1, 1], &[0, 1, 1], &[0, 1, 2], &[3, 1, 1]],
    other_levels: 0.1,
    invariants: &[
        "SELECT count(*) = 0 FROM t WHERE n = 2",
        "SELECT count(*) = 0 FROM t WHERE n = 1",
    ],
    plain: Plain::AfterTheFirst,
    ..PLAINEST
};

/// Several sessions wait to add a key or to change the row that has it.
pub const RELEASED_UPSERTS: Theme = Theme {
    name: "released upserts",
    setups: &[
        "CREATE TABLE t (id int PRIMARY KEY, n int, at timestamptz DEFAULT now()); CREATE SEQUENCE s; CREATE TABLE d (v int); INSERT INTO d VALUES (5);",
        "CREATE TABLE t (id int UNIQUE, n int, at timestamptz DEFAULT now()); CREATE SEQUENCE s; CREATE TABLE d (v int); INSERT INTO d VALUES (5);",
    ],
    roles: &[
        Role {
            rollbacks: 2,
            ..Role::new(
                Shape::Block,
                1,
                &[
                    "INSERT INTO t VALUES (3, 0)",
                    "INSERT INTO t VALUES (3, 9) ON CONFLICT DO NOTHING",
                ],
            )
        },
        Role::new(
            Shape::Alone,
            1,
            &[
                "INSERT INTO t VALUES (3, nextval('s')) ON CONFLICT (id) DO UPDATE SET n = excluded.n",
                "INSERT INTO t VALUES (3, nextval('s')) ON CONFLICT (id) DO UPDATE SET n = t.n * 10 + excluded.n",
                "INSERT INTO t VALUES (3, 0) ON CONFLICT (id) DO UPDATE SET n = t.n * 2 + (t.at < excluded.at)::int, at = excluded.at",
                "INSERT INTO t SELECT 3, v FROM d ON CONFLICT (id) DO UPDATE SET n = t.n * 2 + excluded.n",
                "INSERT INTO t VALUES (3, nextval('s')) ON CONFLICT DO NOTHING RETURNING n",
                "MERGE INTO t USING (SELECT nextval('s') AS n OFFSET 0) AS s ON t.id = 3 WHEN MATCHED THEN UPDATE SET n = s.n WHEN NOT MATCHED THEN INSERT VALUES (3, s.n)",
            ],
        ),
    ],
    casts: &[&[0, 1, 1]],
    other_levels: 0.1,
    invariants: &[
        "SELECT count(*) = 0 FROM t WHERE n = 1",
        "SELECT count(*) = 0 FROM t WHERE n = 2",
    ],
    plain: Plain::AfterTheFirst,
    ..PLAINEST
};

/// What a session does after it has found that a row does not meet its condition, or that it does.
pub const PASSED_OVER: Theme = Theme {
    name: "passed over",
    setups: &[
        "CREATE TABLE p (id int PRIMARY KEY, n int); INSERT INTO p VALUES (1, 1), (2, 0); CREATE TABLE o (who int REFERENCES p);",
        "CREATE TABLE p (id int PRIMARY KEY, n int); INSERT INTO p VALUES (1, 2), (2, 3); CREATE TABLE o (who int);",
    ],
    roles: &[
        Role {
            before: &[
                "UPDATE p SET n = n - 1 WHERE id = 1 AND n > 0 RETURNING n AS x",
                "SELECT n AS x FROM p WHERE id = 1 AND n > 0 FOR UPDATE",
                "UPDATE p SET n = n - 1 WHERE id = 1 AND n > 0 RETURNING nullif(n, 0) AS x",
            ],
            ..Role::new(
                Shape::Block,
                2,
                &[
                    "INSERT INTO o VALUES (1) | when :x IS NOT NULL",
                    "UPDATE p SET n = n + 1 WHERE id = 2 | when :x IS NOT NULL",
                    "UPDATE p SET n = n * 2 + 1 WHERE id = 2 | when :x IS NULL",
                    "UPDATE p SET n = n + 5 WHERE id = 2 AND n < 3 RETURNING n AS x | when :x IS NOT NULL AND :x < 5",
                    "UPDATE p SET n = n * 3 WHERE id = 2 | when :x IS NOT NULL OR :x IS NULL",
                    "SELECT n AS x FROM p WHERE id = 2",
                    "UPDATE p SET n = 7 WHERE id = 2 | when coalesce(:x, 1) > 0",
                ],
            )
        },
        Role::new(
            Shape::Alone,
            1,
            &[
                "UPDATE p SET n = n + 1 WHERE id = 1",
                "UPDATE p SET n = 0 WHERE id = 1",
                "UPDATE p SET n = n * 2 WHERE id = 2",
            ],
        ),
    ],
    casts: &[&[0, 0, 1], &[0, 0, 1], &[0, 0], &[0, 0, 0]],
    other_levels: 0.05,
    plain: Plain::Freely,
    ..PLAINEST
};

/// Several sessions that can all have what they wait for at the same time.
pub const RELEASED_TOGETHER: Theme = Theme {
    name: "released together",
    setups: &[
        "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0), (2, 0); CREATE SEQUENCE s; CREATE TABLE log (id serial, note int);",
        "CREATE TABLE t (id int, n int); INSERT INTO t VALUES (1, 0), (2, 0); CREATE SEQUENCE s; CREATE TABLE log (id serial, note int);",
    ],
    roles: &[
        Role::new(Shape::Block, 1, &["LOCK TABLE t", "LOCK TABLE t IN SHARE MODE"]),
        Role::new(
            Shape::Alone,
            1,
            &[
                "UPDATE t SET n = nextval('s') WHERE id = 1",
                "SELECT nextval('s') AS k FROM t WHERE id = 1",
                "INSERT INTO log (note) SELECT n FROM t WHERE id = 2",
                "UPDATE t SET n = n * 2 + 1 WHERE id = 1",
                "UPDATE t SET n = n + 1 WHERE id = 1 RETURNING n",
                "DELETE FROM t WHERE id = 1",
                "INSERT INTO t VALUES (3, nextval('s'))",
            ],
        ),
        Role::new(
            Shape::Block,
            1,
            &[
                "SELECT pg_advisory_xact_lock(1)",
                "SELECT pg_advisory_xact_lock(1), count(*) AS n FROM t",
            ],
        ),
        Role::new(
            Shape::Alone,
            1,
            &[
                "SELECT pg_advisory_xact_lock_shared(1), nextval('s') AS k",
                "WITH held AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared(1)) INSERT INTO log (note) SELECT 2 FROM held RETURNING id",
                "WITH held AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared(1)) UPDATE t SET n = n * 2 + 1 FROM held WHERE id = 1 RETURNING n",
            ],
        ),
        Role::new(
            Shape::Block,
            1,
            &[
                "UPDATE t SET id = 1, n = 7 WHERE id = 1",
                "SELECT n FROM t WHERE id = 1 FOR UPDATE",
            ],
        ),
        Role::new(
            Shape::Alone,
            1,
            &[
                "WITH held AS MATERIALIZED (SELECT n FROM t WHERE id = 1 FOR SHARE) SELECT n, nextval('s') AS k FROM held",
                "WITH held AS MATERIALIZED (SELECT n FROM t WHERE id = 1 FOR KEY SHARE) INSERT INTO log (note) SELECT n FROM held RETURNING id",
            ],
        ),
    ],
    casts: &[&[0, 1, 1], &[2, 3, 3], &[4, 5, 5]],
    other_levels: 0.1,
    invariants: &["SELECT n <> 1 FROM t WHERE id = 1", "SELECT count(*) < 2 FROM log"],
    plain: Plain::AfterTheFirst,
    ..PLAINEST
};

/// Several sessions wait for one row.
pub const RELEASED_FROM_A_ROW: Theme = Theme {
    name: "released from a row",
    setups: &[
        "CREATE TABLE t (id int PRIMARY KEY, n int, at timestamptz DEFAULT now()); INSERT INTO t VALUES (1, 0); CREATE SEQUENCE s; CREATE TABLE d (v int, at timestamptz DEFAULT '2000-01-01'); INSERT INTO d VALUES (5);",
        "CREATE TABLE t (id int PRIMARY KEY, n int UNIQUE, at timestamptz DEFAULT now()); INSERT INTO t VALUES (1, 0); CREATE SEQUENCE s; CREATE TABLE d (v int, at timestamptz DEFAULT '2000-01-01'); INSERT INTO d VALUES (5);",
    ],
    roles: &[
        Role::new(
            Shape::Block,
            1,
            &[
                "UPDATE t SET n = 7 WHERE id = 1",
                "DELETE FROM t WHERE id = 1",
                "SELECT n FROM t WHERE id = 1 FOR UPDATE",
                "UPDATE t SET id = 3 WHERE id = 1",
            ],
        ),
        Role::new(
            Shape::Alone,
            1,
            &[
                "UPDATE t SET n = nextval('s') WHERE id = 1",
                "INSERT INTO t VALUES (1, nextval('s')) ON CONFLICT (id) DO UPDATE SET n = excluded.n",
                "UPDATE t SET n = n * 10 + (SELECT v FROM d) WHERE id = 1",
                "UPDATE t SET n = k.n FROM (SELECT nextval('s') AS n OFFSET 0) AS k WHERE id = 1",
                "UPDATE t SET n = n * 2 + (at < now())::int, at = now() WHERE id = 1",
                "WITH k AS MATERIALIZED (SELECT nextval('s') AS n) UPDATE t SET n = k.n FROM k WHERE id = 1 RETURNING k.n AS mine",
                "SELECT n, nextval('s') AS k FROM t WHERE id = 1 FOR UPDATE",
                "DELETE FROM t WHERE id = 1 RETURNING n",
                "SELECT n FROM t WHERE id = 1 FOR UPDATE SKIP LOCKED",
                "SELECT n FROM t WHERE id = 1 FOR SHARE NOWAIT",
                "SELECT n FROM t WHERE id = 1 FOR SHARE",
            ],
        ),
        Role::new(Shape::Alone, 1, &["UPDATE d SET v = v + 1", "SELECT nextval('s') AS k"]),
    ],
    casts: &[&[0, 1, 1], &[0, 1, 1], &[0, 1, 1], &[0, 1, 2]],
    other_levels: 0.1,
    invariants: &[
        "SELECT count(*) = 0 FROM t WHERE n = 1",
        "SELECT count(*) = 0 FROM t WHERE n = 2",
        "SELECT count(*) < 2 FROM t",
    ],
    plain: Plain::AfterTheFirst,
    ..PLAINEST
};

/// Several sessions wait for an advisory lock or a table.
pub const RELEASED_FROM_A_LOCK: Theme = Theme {
    name: "released from a lock",
    setups: &[
        "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0); CREATE SEQUENCE s; CREATE TABLE log (id serial, note int);",
        "CREATE TABLE t (id int, n int); INSERT INTO t VALUES (1, 0); CREATE SEQUENCE s; CREATE TABLE log (id serial, note int);",
    ],
    extras: &["CREATE FUNCTION hold() RETURNS void LANGUAGE sql AS 'SELECT pg_advisory_xact_lock(1)';"],
    roles: &[
        Role::new(
            Shape::Block,
            1,
            &[
                "SELECT pg_advisory_xact_lock(1)",
                "SELECT pg_advisory_xact_lock(1), count(*) AS n FROM t",
            ],
        ),
        Role::new(
            Shape::Block,
            2,
            &[
                "SELECT pg_advisory_xact_lock(1)",
                "SELECT nextval('s') AS k",
                "UPDATE t SET n = n * 2 + 1 WHERE id = 1",
                "INSERT INTO log (note) VALUES (1)",
                "SELECT pg_advisory_xact_lock_shared(1)",
                "SELECT pg_try_advisory_xact_lock(1) AS got",
            ],
        ),
        Role::new(
            Shape::Alone,
            1,
            &[
                "SELECT nextval('s') AS k, pg_advisory_xact_lock(1)",
                "WITH k AS MATERIALIZED (SELECT nextval('s') AS n), held AS MATERIALIZED (SELECT k.n, pg_advisory_xact_lock(1) FROM k) UPDATE t SET n = held.n FROM held",
                "WITH held AS MATERIALIZED (SELECT pg_advisory_xact_lock(1)) INSERT INTO log (note) SELECT 2 FROM held",
                "SELECT pg_advisory_xact_lock_shared(1), nextval('s') AS k",
            ],
        ),
        Role::new(
            Shape::Block,
            1,
            &[
                "LOCK TABLE t",
                "LOCK TABLE t IN SHARE MODE",
                "LOCK TABLE t IN EXCLUSIVE MODE",
                "UPDATE t SET n = 9",
            ],
        ),
        Role::new(
            Shape::Block,
            2,
            &[
                "LOCK TABLE t",
                "LOCK TABLE t IN SHARE MODE",
                "LOCK TABLE t IN ROW EXCLUSIVE MODE",
                "UPDATE t SET n = n * 2 + 1 WHERE id = 1",
                "SELECT nextval('s') AS k",
                "INSERT INTO t VALUES (2, 0)",
                "SELECT count(*) AS n FROM t",
            ],
        ),
    ],
    casts: &[&[0, 2, 2], &[0, 2, 2], &[0, 1, 1], &[3, 4, 4], &[3, 4], &[0, 1, 2]],
    other_levels: 0.1,
    invariants: &[
        "SELECT count(*) = 0 FROM t WHERE n = 2",
        "SELECT sum(n) < 3 FROM t",
        "SELECT count(*) < 2 FROM log",
    ],
    plain: Plain::AfterTheFirst,
    ..PLAINEST
};

pub const SAVEPOINTS: Theme = Theme {
    name: "savepoints",
    setups: &[
        "CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0); CREATE TABLE p (a int UNIQUE); CREATE SEQUENCE s;",
    ],
    roles: &[
        Role::new(
            Shape::Savepoints,
            2,
            &[
                "UPDATE t SET v = v + 1 WHERE id = 1",
                "UPDATE t SET v = v * 2 + 1 WHERE id = 1",
                "SELECT v FROM t WHERE id = 1 FOR UPDATE",
                "INSERT INTO p VALUES (1)",
                "INSERT INTO t VALUES (3, 0)",
                "DELETE FROM t WHERE id = 2",
                "SELECT nextval('s') AS n",
                "SELECT v FROM t WHERE id = 1 FOR SHARE",
                "UPDATE t SET v = v + 1 WHERE id = 2",
            ],
        ),
        Role::new(
            Shape::Any,
            1,
            &[
                "UPDATE t SET v = v + 5 WHERE id = 1",
                "INSERT INTO p VALUES (1)",
                "INSERT INTO t VALUES (3, 9)",
                "SELECT v FROM t WHERE id = 1 FOR UPDATE SKIP LOCKED",
                "SELECT count(*) AS n FROM p",
            ],
        ),
    ],
    casts: &[&[0, 1], &[0, 1], &[0, 0], &[0, 1, 1]],
    invariants: &["SELECT v < 6 FROM t WHERE id = 1", "SELECT count(*) < 3 FROM t"],
    plain: Plain::Freely,
    ..PLAINEST
};

/// A wait that the server ends by itself.
pub const TIMEOUTS: Theme = Theme {
    name: "timeouts",
    setups: &[
        "CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0);",
        "CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0); CREATE FUNCTION slow() RETURNS int LANGUAGE sql SET lock_timeout = '300ms' AS 'UPDATE t SET v = v + 1 WHERE id = 1 RETURNING v';",
    ],
    roles: &[
        Role::new(
            Shape::Any,
            2,
            &[
                "UPDATE t SET v = v + 1 WHERE id = 1",
                "UPDATE t SET v = v + 1 WHERE id = 2",
                "SELECT v FROM t WHERE id = 1 FOR UPDATE",
            ],
        ),
        Role {
            settings: &[
                "SET lock_timeout = '200ms'",
                "SET statement_timeout = '400ms'",
                "SELECT set_config('lock_timeout', '100ms', false)",
                "SET statement_timeout = 0",
            ],
            ..Role::new(
                Shape::Any,
                3,
                &[
                    "UPDATE t SET v = v * 2 + 1 WHERE id = 1",
                    "SET LOCAL lock_timeout = '200ms'",
                    "SET LOCAL statement_timeout = '300ms'",
                    "SELECT v FROM t WHERE id = 1 FOR UPDATE",
                    "UPDATE t SET v = v + 1 WHERE id = 2",
                ],
            )
        },
    ],
    casts: &[&[0, 1], &[1, 1], &[0, 0, 1]],
    invariants: &[
        "SELECT sum(v) < 2 FROM t",
        "SELECT count(*) = 0 FROM pgbraid.sessions WHERE sqlstate = '55P03'",
    ],
    ..PLAINEST
};
