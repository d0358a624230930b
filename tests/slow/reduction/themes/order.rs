//! Rows come in the order in which they lie.

use crate::reduction::theme::{PLAINEST, Plain, Role, Shape, Theme};

/// Sorting with ties.
pub const TIES: Theme = Theme {
    name: "ties",
    setups: &[
        "CREATE TABLE p (a int, prio int); CREATE TABLE q (a int);",
        "CREATE TABLE p (a int, prio int); INSERT INTO p VALUES (0, 0); CREATE TABLE q (a int);",
        "CREATE TABLE p (a int PRIMARY KEY, prio int); INSERT INTO p VALUES (0, 0); CREATE TABLE q (a int);",
    ],
    extras: &["CREATE INDEX ON p (prio);", "ALTER TABLE p ADD CHECK (a < 30);"],
    roles: &[
        Role::new(Shape::Any, 1, ONE_WRITES),
        Role::new(Shape::Any, 1, ANOTHER_WRITES),
        Role::new(
            Shape::Any,
            2,
            &[
                "SELECT a FROM p ORDER BY prio",
                "SELECT a FROM p ORDER BY a % 1",
                "SELECT a, prio FROM p ORDER BY prio DESC",
                "SELECT x.a FROM p AS x ORDER BY x.prio NULLS FIRST",
                "SELECT a FROM p UNION ALL SELECT a FROM q ORDER BY 1",
                "SELECT a, 0 AS same FROM p ORDER BY same",
                "SELECT a FROM p ORDER BY prio, a",
                "SELECT a FROM p ORDER BY prio OFFSET 0",
                "SELECT a FROM p ORDER BY prio FETCH FIRST ROW WITH TIES",
                "SELECT a FROM p ORDER BY prio FOR SHARE",
                "SELECT a, rank() OVER (ORDER BY prio) AS rank FROM p ORDER BY rank",
                "WITH x AS (SELECT a, prio FROM p) SELECT a FROM x ORDER BY prio",
                "SELECT count(*) AS n, max(a) AS most FROM p",
            ],
        ),
    ],
    casts: &[&[0, 1, 2], &[0, 1, 2], &[0, 1, 2], &[0, 2]],
    invariants: &["SELECT count(*) < 4 FROM p"],
    plain: Plain::Freely,
    ..PLAINEST
};

const ONE_WRITES: &[&str] = &[
    "INSERT INTO p VALUES (1, 0)",
    "INSERT INTO p VALUES (4, 0), (5, 0)",
    "UPDATE p SET a = a + 20 WHERE a = 0",
];

const ANOTHER_WRITES: &[&str] = &[
    "INSERT INTO p VALUES (2, 0)",
    "INSERT INTO p VALUES (3, 1)",
    "UPDATE p SET prio = 0 WHERE a = 1",
];

/// The first row, and all rows as they come. How many there are shows that what is first was not alone.
pub const FIRST_ROWS: Theme = Theme {
    name: "first rows",
    setups: &[
        "CREATE TABLE p (a int, prio int); CREATE TABLE q (a int, n int);",
        "CREATE TABLE p (a int, prio int); INSERT INTO p VALUES (0, 0); CREATE TABLE q (a int, n int);",
        "CREATE TABLE p (a int PRIMARY KEY, prio int); CREATE TABLE q (a int, n int);",
    ],
    roles: &[
        Role::new(Shape::Any, 1, ONE_WRITES),
        Role::new(Shape::Any, 1, ANOTHER_WRITES),
        Role::new(
            Shape::Any,
            2,
            &[
                "SELECT a, (SELECT count(*) FROM p) AS n FROM p LIMIT 1",
                "SELECT a, (SELECT count(*) FROM p) AS n FROM p ORDER BY prio LIMIT 1",
                "SELECT DISTINCT ON (prio) a, (SELECT count(*) FROM p) AS n FROM p ORDER BY prio",
                "SELECT array_agg(a) AS all_a FROM p",
                "SELECT string_agg(a::text, ',' ORDER BY prio) AS all_a FROM p",
                "SELECT json_agg(a) AS all_a FROM p",
                "SELECT a, row_number() OVER (ORDER BY prio) AS n FROM p",
                "SELECT a, lag(a) OVER () AS before FROM p",
                "SELECT a, first_value(a) OVER (ORDER BY prio) AS first FROM p",
                "SELECT (array_agg(a))[1] AS first, count(*) AS n FROM p GROUP BY prio",
                "SELECT a, (SELECT count(*) FROM p) AS n FROM p OFFSET 1",
                "SELECT a, (SELECT count(*) FROM p) AS n FROM p ORDER BY prio LIMIT 1 FOR UPDATE",
                "SELECT min(a) AS least, (SELECT count(*) FROM p) AS n FROM (SELECT a FROM p LIMIT 1) AS one",
                "SELECT ARRAY(SELECT a FROM p) AS all_a",
                "SELECT (SELECT a FROM p LIMIT 1) AS one, (SELECT count(*) FROM p) AS n",
                "SELECT ntile(2) OVER (ORDER BY prio) AS half, a FROM p",
                "SELECT x.a, (SELECT count(*) FROM p) AS n FROM (VALUES (1)) AS one, LATERAL (SELECT a FROM p LIMIT 1) AS x",
                "DELETE FROM p WHERE a = (SELECT a FROM p LIMIT 1) RETURNING (SELECT count(*) FROM p) AS n",
                "DELETE FROM p WHERE ctid = (SELECT min(ctid) FROM p) RETURNING (SELECT count(*) FROM p) AS n",
                "UPDATE p SET prio = 9 WHERE a = (SELECT a FROM p ORDER BY prio LIMIT 1) RETURNING (SELECT count(*) FROM p) AS n",
                "INSERT INTO q SELECT a, (SELECT count(*) FROM p) FROM p ORDER BY prio LIMIT 1",
                "INSERT INTO q SELECT sum(a), count(*) FROM p",
            ],
        ),
    ],
    casts: &[&[0, 1, 2], &[0, 1, 2], &[0, 1, 2], &[0, 2]],
    invariants: &["SELECT count(*) < 4 FROM p", "SELECT count(*) < 2 FROM q"],
    plain: Plain::Freely,
    ..PLAINEST
};

/// The first of several rows that match changes the row, or gives it its value.
pub const SEVERAL_MATCHES: Theme = Theme {
    name: "several matches",
    setups: &[
        "CREATE TABLE p (a int); CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0);",
        "CREATE TABLE p (a int); INSERT INTO p VALUES (1); CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0);",
    ],
    roles: &[
        Role::new(
            Shape::Any,
            1,
            &["INSERT INTO p VALUES (11)", "UPDATE p SET a = a + 40 WHERE a = 1"],
        ),
        Role::new(
            Shape::Any,
            1,
            &["INSERT INTO p VALUES (21)", "INSERT INTO p VALUES (32)"],
        ),
        Role::new(
            Shape::Any,
            2,
            &[
                "UPDATE t SET v = p.a FROM p WHERE t.id = 1 RETURNING v, (SELECT count(*) FROM p) AS n",
                "UPDATE t SET v = p.a, id = (SELECT count(*) FROM p) + 10 FROM p WHERE t.id = 1",
                "UPDATE t SET v = p.a FROM p WHERE t.id = p.a % 10 RETURNING v, (SELECT count(*) FROM p) AS n",
                "UPDATE t SET v = t.v + 1 FROM p WHERE t.id = 1 AND p.a > 10 RETURNING p.a, (SELECT count(*) FROM p) AS n",
                "UPDATE t SET v = (SELECT a FROM p LIMIT 1) WHERE id = 1 AND EXISTS (SELECT FROM p) RETURNING v, (SELECT count(*) FROM p) AS n",
                "DELETE FROM t USING p WHERE t.id = 1 RETURNING p.a, (SELECT count(*) FROM p) AS n",
                "DELETE FROM t USING p WHERE t.id = p.a % 10 RETURNING p.a AS gone, (SELECT count(*) FROM p) AS n",
                "MERGE INTO t USING (SELECT a, (SELECT count(*) FROM p) AS n FROM p LIMIT 1) AS one ON t.id = 2 WHEN MATCHED THEN UPDATE SET v = one.a * 10 + one.n",
                "MERGE INTO t USING p ON t.id = p.a % 10 WHEN MATCHED THEN UPDATE SET v = p.a",
                "INSERT INTO t SELECT 5, a FROM p ON CONFLICT DO NOTHING RETURNING (SELECT count(*) FROM p) AS n",
                "INSERT INTO t SELECT DISTINCT ON (a % 10) 5 + a % 10, a FROM p RETURNING (SELECT count(*) FROM p) AS n",
                "SELECT v, a, (SELECT count(*) FROM p) AS n FROM t JOIN p ON t.id = p.a % 10 LIMIT 1",
            ],
        ),
    ],
    casts: &[&[0, 1, 2], &[0, 1, 2], &[0, 1, 2], &[0, 2]],
    invariants: &["SELECT max(v) < 20 FROM t"],
    plain: Plain::Freely,
    ..PLAINEST
};

/// Queries that write.
pub const WRITING_CTES: Theme = Theme {
    name: "writing CTEs",
    setups: &[
        "CREATE TABLE p (a int); INSERT INTO p VALUES (1); CREATE TABLE log (id serial, note int); CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0);",
        "CREATE TABLE p (a int); CREATE TABLE log (id serial, note int); CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0);",
    ],
    roles: &[
        Role::new(
            Shape::Any,
            2,
            &[
                "INSERT INTO p VALUES (2)",
                "INSERT INTO p VALUES (3)",
                "UPDATE t SET v = v + 1 WHERE id = 1",
                "UPDATE t SET v = v * 2 + 1 WHERE id = 2",
                "DELETE FROM p WHERE a = 1",
            ],
        ),
        Role::new(
            Shape::Any,
            2,
            &[
                "WITH gone AS (DELETE FROM p RETURNING a) INSERT INTO log (note) SELECT a FROM gone",
                "WITH moved AS (UPDATE p SET a = a + 10 RETURNING a) SELECT a, (SELECT count(*) FROM moved) AS n FROM moved LIMIT 1",
                "WITH more AS (INSERT INTO p VALUES (4) RETURNING a) SELECT count(*) AS n FROM p, more",
                "WITH one AS (UPDATE t SET v = v + 1 WHERE id = 1 RETURNING v), two AS (UPDATE t SET v = v + 10 WHERE id = 2 RETURNING v) SELECT one.v + two.v AS both FROM one, two",
                "WITH gone AS (DELETE FROM p WHERE a = 2 RETURNING a) UPDATE t SET v = v + 1 WHERE id IN (SELECT a FROM gone)",
                "WITH more AS (INSERT INTO p SELECT v FROM t WHERE id = 1 RETURNING a) INSERT INTO log (note) SELECT a FROM more",
                "WITH next AS (SELECT a FROM p LIMIT 1 FOR UPDATE SKIP LOCKED) DELETE FROM p USING next WHERE p.a = next.a RETURNING p.a, (SELECT count(*) FROM p) AS n",
                "WITH one AS (UPDATE t SET v = 1 WHERE id = 1 RETURNING id) UPDATE t SET v = 2 FROM one WHERE t.id = one.id + 1",
                "WITH one AS (UPDATE t SET v = v + 1 WHERE id = 1) SELECT v FROM t WHERE id = 1",
                "WITH x AS MATERIALIZED (SELECT a FROM p) INSERT INTO log (note) SELECT a FROM x ORDER BY a",
                "SELECT count(*) AS n FROM log",
            ],
        ),
    ],
    casts: &[&[0, 0, 1], &[0, 1], &[1, 1], &[0, 1, 1]],
    invariants: &[
        "SELECT count(*) = 0 FROM log x JOIN log y ON x.id < y.id WHERE x.note > y.note",
        "SELECT sum(v) < 12 FROM t",
    ],
    plain: Plain::Freely,
    ..PLAINEST
};

pub const MERGES: Theme = Theme {
    name: "merges",
    setups: &[
        "CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0); CREATE TABLE p (a int);",
        "CREATE TABLE t (id int, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0); CREATE TABLE p (a int);",
    ],
    roles: &[
        Role::new(
            Shape::Any,
            2,
            &[
                "MERGE INTO t USING (VALUES (3)) AS s (id) ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = v + 1 WHEN NOT MATCHED THEN INSERT VALUES (3, 0)",
                "MERGE INTO t USING (VALUES (1)) AS s (id) ON t.id = s.id WHEN MATCHED AND v > 0 THEN DELETE WHEN MATCHED THEN UPDATE SET v = v + 1",
                "MERGE INTO t USING (VALUES (1)) AS s (id) ON t.id = s.id WHEN MATCHED AND v > 0 THEN DO NOTHING WHEN MATCHED THEN UPDATE SET v = 5",
                "MERGE INTO p USING t ON p.a = t.v WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (t.v)",
                "MERGE INTO t USING p ON t.id = p.a WHEN MATCHED THEN UPDATE SET v = p.a WHEN NOT MATCHED THEN INSERT VALUES (p.a, 7)",
                "MERGE INTO t USING (SELECT max(a) AS a FROM p) AS s ON t.id = 1 WHEN MATCHED AND s.a > 0 THEN UPDATE SET v = s.a",
            ],
        ),
        Role::new(
            Shape::Any,
            2,
            &[
                "UPDATE t SET v = v + 1 WHERE id = 1",
                "INSERT INTO t VALUES (3, 30)",
                "INSERT INTO p VALUES (1)",
                "INSERT INTO p VALUES (3)",
                "DELETE FROM t WHERE id = 1",
                "SELECT sum(v) AS total FROM t",
            ],
        ),
    ],
    casts: &[&[0, 1], &[0, 0], &[0, 0, 1], &[0, 1, 1]],
    invariants: &["SELECT sum(v) < 6 FROM t"],
    plain: Plain::Freely,
    ..PLAINEST
};

/// Workers that take the next of several jobs.
pub const QUEUES: Theme = Theme {
    name: "queues",
    setups: &[
        "CREATE TABLE jobs (id int PRIMARY KEY, prio int NOT NULL, done int NOT NULL); INSERT INTO jobs VALUES (1, 0, 0), (2, 0, 0);",
        "CREATE TABLE jobs (id int, prio int NOT NULL, done int NOT NULL); INSERT INTO jobs VALUES (1, 0, 0), (2, 0, 0);",
    ],
    extras: &["CREATE INDEX ON jobs (prio) WHERE done = 0;"],
    roles: &[
        Role::new(
            Shape::Any,
            2,
            &[
                "SELECT id FROM jobs WHERE done = 0 ORDER BY prio LIMIT 1 FOR UPDATE SKIP LOCKED",
                "UPDATE jobs SET done = 1 WHERE id = (SELECT id FROM jobs WHERE done = 0 LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id",
                "DELETE FROM jobs WHERE id = (SELECT id FROM jobs ORDER BY prio, id LIMIT 1 FOR UPDATE) RETURNING id",
                "SELECT id FROM jobs ORDER BY prio FOR UPDATE SKIP LOCKED",
                "SELECT id FROM jobs WHERE done = 0 LIMIT 1 FOR UPDATE NOWAIT",
            ],
        ),
        Role::new(
            Shape::Any,
            2,
            &[
                "INSERT INTO jobs VALUES (3, 0, 0)",
                "INSERT INTO jobs VALUES (4, 0, 0)",
                "UPDATE jobs SET prio = 1 WHERE id = 1",
                "UPDATE jobs SET done = 1 WHERE id = 2",
                "UPDATE jobs SET prio = 0 WHERE id = 1",
            ],
        ),
    ],
    casts: &[&[0, 0], &[0, 1], &[0, 1, 1], &[0, 0, 1]],
    invariants: &["SELECT count(*) FILTER (WHERE done = 1) < 2 FROM jobs"],
    plain: Plain::Freely,
    ..PLAINEST
};
