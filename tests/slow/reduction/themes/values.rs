//! Values that are not what they seem: sums that depend on their order, equal values that look different, one key written
//! in many ways.

use crate::reduction::theme::{PLAINEST, Plain, Role, Shape, Theme};

pub const FLOATS: Theme = Theme {
    name: "floats",
    setups: &[
        "CREATE TABLE p (a float8); INSERT INTO p VALUES (-1e20); CREATE TABLE q (a float8);",
        "CREATE TABLE p (a float4); INSERT INTO p VALUES (-1e20); CREATE TABLE q (a float8);",
        "CREATE TABLE p (a float8); CREATE TABLE q (a float8);",
    ],
    roles: &[
        Role::new(
            Shape::Any,
            1,
            &[
                "INSERT INTO p VALUES (1e20)",
                "INSERT INTO p VALUES (0)",
                "UPDATE p SET a = -a WHERE a > 1",
            ],
        ),
        Role::new(
            Shape::Any,
            1,
            &[
                "INSERT INTO p VALUES (1)",
                "INSERT INTO p VALUES (-1e20)",
                "INSERT INTO p VALUES ('-0')",
            ],
        ),
        Role::new(
            Shape::Any,
            2,
            &[
                "SELECT sum(a) AS s, count(*) AS n FROM p",
                "SELECT sum(a) - count(*) AS s, count(*) AS n FROM p",
                "SELECT avg(a) AS s, count(*) AS n FROM p",
                "SELECT sum(a) > 0 AS positive, count(*) AS n FROM p",
                "SELECT sum(a) OVER () AS s, stddev(a) OVER () AS dev FROM p",
                "SELECT sum(a::int8 % 7) AS s FROM p WHERE abs(a) < 10",
                "SELECT sum(a ORDER BY a) AS s, count(*) AS n FROM p",
                "SELECT max(a) AS most, count(*) AS n FROM p WHERE a < 1",
                "SELECT a, count(*) AS n FROM p GROUP BY a",
                "SELECT count(DISTINCT a) AS n FROM p",
                "INSERT INTO q SELECT unnest(ARRAY[sum(a), count(*)]) FROM p",
                "INSERT INTO q SELECT unnest(ARRAY[max(a), count(*)]) FROM p WHERE a < 1",
                "UPDATE p SET a = (SELECT sum(a) FROM p) WHERE a = 1 RETURNING a, (SELECT count(*) FROM p) AS n",
            ],
        ),
    ],
    casts: &[&[0, 1, 2], &[0, 1, 2], &[0, 1, 2], &[1, 2]],
    invariants: &[
        "SELECT sum(a) IS DISTINCT FROM 0 FROM p",
        "SELECT coalesce(sum(a), 1) = 1 FROM p",
        "SELECT count(*) < 3 FROM p",
    ],
    plain: Plain::Freely,
    ..PLAINEST
};

/// The first of equal values is shown.
pub const EQUAL_VALUES: Theme = Theme {
    name: "equal values",
    setups: &[
        "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE p (a numeric, i interval, c text COLLATE ci, j jsonb, g text); CREATE TABLE q (a numeric);",
        "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE p (a numeric, i interval, c text COLLATE ci, j jsonb, g text); INSERT INTO p VALUES (1, '86400 s', 'A', '1', 'z'); CREATE TABLE q (a numeric);",
    ],
    roles: &[
        Role::new(
            Shape::Any,
            1,
            &[
                "INSERT INTO p VALUES (1.0, '1 day', 'x', '1.0', 'x')",
                "INSERT INTO p VALUES (2, '2 days', 'b', '2', 'x')",
            ],
        ),
        Role::new(
            Shape::Any,
            1,
            &[
                "INSERT INTO p VALUES (1.00, '24:00', 'X', '1.00', 'y')",
                "UPDATE p SET a = a * 1.000 WHERE a = 1",
            ],
        ),
        Role::new(
            Shape::Any,
            2,
            &[
                "SELECT a, count(*) AS n FROM p GROUP BY a",
                "SELECT DISTINCT a, (SELECT count(*) FROM p) AS n FROM p",
                "SELECT max(a) AS most, count(*) AS n FROM p",
                "SELECT min(a) AS least, max(a) AS most, count(*) AS n FROM p",
                "SELECT max(i) AS most, count(*) AS n FROM p",
                "SELECT i, count(*) AS n FROM p GROUP BY i",
                "SELECT max(c) AS most, count(*) AS n FROM p",
                "SELECT DISTINCT c, (SELECT count(*) FROM p) AS n FROM p",
                "SELECT j, count(*) AS n FROM p GROUP BY j",
                "SELECT max(g) AS most, min(g) AS least FROM p",
                "SELECT a, (SELECT count(*) FROM p) AS n FROM p UNION SELECT 7, 7",
                "SELECT a, (SELECT count(*) FROM p) AS n FROM p EXCEPT SELECT 2, 2",
                "SELECT a FROM p ORDER BY a",
                "SELECT sum(a) AS total FROM p",
                "SELECT count(DISTINCT a) AS n FROM p",
                "INSERT INTO q SELECT unnest(ARRAY[max(a), count(*)]) FROM p",
            ],
        ),
    ],
    casts: &[&[0, 1, 2], &[0, 1, 2], &[0, 1, 2], &[1, 2]],
    invariants: &[
        "SELECT max(a)::text IS DISTINCT FROM '1.00' FROM p",
        "SELECT coalesce(max(a) < 2, true) FROM p",
    ],
    plain: Plain::Freely,
    ..PLAINEST
};

macro_rules! each {
    ($before:literal [$($key:literal),* $(,)?]) => {
        &[$(concat!($before, $key)),*]
    };
}

/// A row by its key, which is an integer.
pub const KEYS: Theme = Theme {
    name: "keys",
    setups: &[
        "CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0), (-1, 0), (0, 0);",
        "CREATE TABLE t (id bigint PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0), (-1, 0), (0, 0);",
        "CREATE TABLE t (id smallint PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0), (-1, 0), (0, 0);",
    ],
    roles: &[
        Role::new(
            Shape::Any,
            2,
            each!("UPDATE t SET v = v + 1 WHERE id = " [
                "1", "- -1", "-(-1)", "- - - -1", "+1", "- +1", "-1", "1 + 0", "2 - 1", "'1'", "' 1'", "'+1'", "'01'", "01",
                "1::bigint", "'1'::int", "int '1'", "CAST('1' AS int2)", "1.0", "1e0", "10e-1", "(1)", "((1))",
                "abs(-1)", "(SELECT 1)", ":v", ":v + 0", "- :v", "(:v)::int", "-0", "0", "1 /* one */", "2",
                "ANY (ARRAY[1])", "ANY ('{1}')", "1 AND true", "1 OR id = 1", "1 OR id = 2", "ANY (VALUES (1))",
                "- -1 AND v < 5", "coalesce(NULL, 1)", "CASE WHEN true THEN 1 ELSE 2 END", "length('a')", "1 # 0", "~ -2",
            ]),
        ),
        Role::new(
            Shape::Any,
            2,
            &[
                "UPDATE t SET v = v * 2 WHERE id = 1",
                "UPDATE t SET v = v * 2 WHERE id = 2",
                "UPDATE t SET v = v * 2 WHERE id = -1",
                "UPDATE t SET v = v * 2 WHERE id = 0",
                "UPDATE t SET v = v * 2 WHERE 1 = id",
                "UPDATE t SET v = v * 2 WHERE id IN (1)",
                "UPDATE t SET v = v * 2 WHERE id IN (- -1, 7)",
                "UPDATE t SET v = v * 2 WHERE id BETWEEN 1 AND 1",
                "UPDATE t SET v = v * 2 WHERE NOT id <> 1",
                "UPDATE t SET v = v * 2 WHERE ROW(id) = ROW(1)",
                "UPDATE t SET v = v * 2 WHERE (id, v) = (1, 0)",
                "UPDATE t SET v = v * 2 WHERE id::text = '1'",
                "UPDATE t SET v = v * 2 WHERE - id = -1",
                "UPDATE t SET v = v * 2 WHERE id + 0 = 1",
                "UPDATE t SET v = v * 2 WHERE \"id\" = 1",
                "UPDATE t AS x SET v = v * 2 WHERE x.id = - -1",
                "UPDATE t SET v = v * 2 WHERE id =- -1",
                "UPDATE t SET v = v * 2 WHERE id = -1 * -1",
                "SELECT v FROM t WHERE id = - - 1 FOR UPDATE",
                "SELECT v FROM t WHERE id = 1",
                "DELETE FROM t WHERE id = -(-1)",
                "UPDATE t SET id = - -1 + 6 WHERE id = 2 - 1",
                "INSERT INTO t VALUES (- -1, 5) ON CONFLICT (id) DO UPDATE SET v = t.v * 3 + 1",
                "INSERT INTO t VALUES (3 - -4, 5) ON CONFLICT DO NOTHING",
            ],
        ),
    ],
    casts: &[&[0, 1], &[0, 1], &[0, 0], &[0, 1, 1]],
    invariants: &["SELECT v <> 1 FROM t WHERE id = 1", "SELECT sum(v) < 3 FROM t"],
    plain: Plain::Freely,
    ..PLAINEST
};

/// A row by its key, which is no integer.
pub const OTHER_KEYS: Theme = Theme {
    name: "other keys",
    setups: &[
        "CREATE TABLE t (id numeric PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1.0, 0), (2, 0), (0, 0);",
        "CREATE TABLE t (id float8 PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1.0, 0), (2, 0), ('-0', 0);",
    ],
    extras: &[
        "CREATE TABLE n (id interval PRIMARY KEY, v int NOT NULL); INSERT INTO n VALUES ('1 day', 0), ('1 s', 0);",
        "CREATE TABLE d (id timestamptz PRIMARY KEY, v int NOT NULL); INSERT INTO d VALUES ('2001-01-01 00:00:00+00', 0);",
    ],
    roles: &[Role::new(
        Shape::Any,
        2,
        &[
            "UPDATE t SET v = v + 1 WHERE id = 1",
            "UPDATE t SET v = v * 2 WHERE id = 1.00",
            "UPDATE t SET v = v * 2 WHERE id = 1e0",
            "UPDATE t SET v = v + 1 WHERE id = 10e-1",
            "UPDATE t SET v = v * 2 WHERE id = '1.0'",
            "UPDATE t SET v = v * 2 WHERE id = '1e0'",
            "UPDATE t SET v = v + 1 WHERE id = .1e1",
            "UPDATE t SET v = v + 1 WHERE id = 1.",
            "UPDATE t SET v = v * 2 WHERE id = :v",
            "UPDATE t SET v = v + 1 WHERE id = 0",
            "UPDATE t SET v = v * 2 + 1 WHERE id = '-0'",
            "UPDATE t SET v = v * 2 + 1 WHERE id = -0.0",
            "UPDATE t SET v = v * 2 + 1 WHERE id = - -0.0",
            "SELECT v FROM t WHERE id = 01.0 FOR UPDATE",
            "DELETE FROM t WHERE id = 1.000",
            "INSERT INTO t VALUES (1.00, 7) ON CONFLICT (id) DO UPDATE SET v = t.v + 5",
            "INSERT INTO t VALUES (3.0, 7) ON CONFLICT DO NOTHING",
            "INSERT INTO t VALUES (3.00, 8) ON CONFLICT DO NOTHING",
            "INSERT INTO t VALUES (3, 9)",
        ],
    )],
    casts: &[&[0, 0], &[0, 0, 0]],
    invariants: &["SELECT v <> 1 FROM t WHERE id = 1", "SELECT sum(v) < 3 FROM t"],
    plain: Plain::Freely,
    ..PLAINEST
};
