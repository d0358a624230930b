//! Times that steps write are masked in outcomes, but what compares or sorts them shows their order.

use crate::reduction::theme::{PLAINEST, Role, Shape, Theme};

pub const TIMES: Theme = Theme {
    name: "times",
    setups: &[
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT '2000-01-01', v int NOT NULL DEFAULT 0); INSERT INTO t VALUES (1), (2);
CREATE TABLE e (a int, at timestamptz DEFAULT now());",
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT '2000-01-01', v int NOT NULL DEFAULT 0); INSERT INTO t VALUES (1), (2);
CREATE TABLE e (a int, at timestamptz DEFAULT clock_timestamp());",
        "CREATE TABLE t (id int PRIMARY KEY, at timestamp NOT NULL DEFAULT '2000-01-01', v int NOT NULL DEFAULT 0); INSERT INTO t VALUES (1), (2);
CREATE TABLE e (a int PRIMARY KEY, at timestamp DEFAULT CURRENT_TIMESTAMP);",
    ],
    extras: &[
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.at := clock_timestamp(); RETURN NEW; END';
CREATE TRIGGER touch BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch();",
        "CREATE INDEX ON e (at);",
    ],
    roles: &[
        Role::new(
            Shape::Any,
            2,
            &[
                "UPDATE t SET at = now() WHERE id = 1",
                "UPDATE t SET at = now() WHERE id = 2",
                "INSERT INTO e VALUES (1)",
                "INSERT INTO e VALUES (2)",
                "UPDATE t SET at = clock_timestamp() WHERE id = 1",
                "UPDATE t SET at = statement_timestamp() WHERE id = 2",
                "UPDATE t SET at = greatest(at, now()) WHERE id = 1",
                "UPDATE t SET at = now() + interval '1 hour' WHERE id = 2",
                "INSERT INTO e VALUES (3, clock_timestamp())",
                "UPDATE t SET v = v + 1 WHERE id = 1",
            ],
        ),
        Role::new(
            Shape::Any,
            2,
            &[
                "SELECT a FROM e ORDER BY at",
                "SELECT a FROM e ORDER BY at DESC LIMIT 1",
                "SELECT id FROM t ORDER BY at",
                "SELECT count(*) AS n FROM e WHERE at <= now()",
                "SELECT count(*) AS n FROM e WHERE at < clock_timestamp()",
                "SELECT (SELECT at FROM t WHERE id = 1) < (SELECT at FROM t WHERE id = 2) AS less",
                "SELECT id FROM t WHERE at = (SELECT max(at) FROM t)",
                "SELECT a FROM e WHERE at > (SELECT at FROM t WHERE id = 1)",
                "SELECT at - (SELECT at FROM t WHERE id = 1) > interval '0' AS later FROM t WHERE id = 2",
                "DELETE FROM e WHERE at < (SELECT max(at) FROM e)",
                "UPDATE t SET v = 1 WHERE at < now() AND id = 1",
                "UPDATE t SET v = 7 WHERE at > now() - interval '1 minute'",
                "SELECT greatest((SELECT at FROM t WHERE id = 1), (SELECT at FROM t WHERE id = 2)) = (SELECT at FROM t WHERE id = 1) AS one",
                "SELECT a FROM e WHERE at < now() + interval '1 hour'",
                "SELECT extract(epoch FROM max(at) - min(at)) > 0 AS apart FROM e",
            ],
        ),
        Role::new(
            Shape::Block,
            2,
            &[
                "SELECT count(*) AS n FROM e WHERE at > now()",
                "UPDATE t SET at = now() WHERE id = 2",
                "SELECT at > now() AS newer FROM t WHERE id = 1",
            ],
        ),
    ],
    casts: &[&[0, 0], &[0, 0, 1], &[0, 0, 1], &[0, 1], &[0, 2]],
    invariants: &[
        "SELECT (SELECT at FROM t WHERE id = 1) < (SELECT at FROM t WHERE id = 2)",
        "SELECT (SELECT a FROM e ORDER BY at DESC, a LIMIT 1) IS DISTINCT FROM 1",
        "SELECT bool_and(at <= now()) FROM t",
        "SELECT coalesce(max(at) FILTER (WHERE id = 1) > max(at) FILTER (WHERE id = 2), true) FROM t",
        "SELECT count(*) = 0 FROM e x JOIN e y ON x.a < y.a AND x.at > y.at",
        "SELECT count(*) < 2 FROM e WHERE at <= clock_timestamp()",
    ],
    ..PLAINEST
};
