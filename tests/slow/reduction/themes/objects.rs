//! Triggers, foreign keys, views: statements that stand elsewhere.

use crate::reduction::theme::{PLAINEST, Plain, Role, Shape, Theme};

pub const TRIGGERS: Theme = Theme {
    name: "triggers",
    setups: &[
        "CREATE TABLE p (a int); CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0); CREATE TABLE log (id serial, note text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log (note) SELECT a FROM p; RETURN NULL; END';
CREATE TRIGGER note AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note();",
        "CREATE TABLE p (a int); CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0); CREATE TABLE log (id serial, note text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log (note) SELECT string_agg(a::text, '','') FROM p; RETURN NULL; END';
CREATE TRIGGER note AFTER UPDATE ON t EXECUTE FUNCTION note();",
        "CREATE TABLE p (a int); CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0); CREATE TABLE log (id serial, note text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.v := coalesce((SELECT a FROM p LIMIT 1), NEW.v); RETURN NEW; END';
CREATE TRIGGER note BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note();",
        "CREATE TABLE p (a int); CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0); CREATE TABLE log (id serial, note text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log (note) VALUES (NEW.a); RETURN NULL; END';
CREATE TRIGGER note AFTER INSERT OR UPDATE ON p FOR EACH ROW EXECUTE FUNCTION note();",
        "CREATE TABLE p (a int); CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0); CREATE TABLE log (id serial, note text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log (note) SELECT count(*) FROM p; RETURN NULL; END';
CREATE CONSTRAINT TRIGGER note AFTER INSERT ON p DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note();",
    ],
    extras: &["CREATE RULE also AS ON INSERT TO p DO ALSO UPDATE t SET v = v + 1 WHERE id = 2;"],
    roles: &[
        Role::new(
            Shape::Any,
            1,
            &[
                "INSERT INTO p VALUES (1)",
                "INSERT INTO p VALUES (3), (4)",
            ],
        ),
        Role::new(
            Shape::Any,
            1,
            &[
                "INSERT INTO p VALUES (2)",
                "UPDATE p SET a = a + 10 WHERE a = 1",
            ],
        ),
        Role::new(
            Shape::Any,
            2,
            &[
                "UPDATE t SET v = v + 1 WHERE id = 1",
                "UPDATE t SET v = v * 2 WHERE id = 2",
                "UPDATE p SET a = a + 20",
                "INSERT INTO p SELECT v FROM t WHERE id = 1",
                "SELECT note FROM log ORDER BY id",
                "SELECT max(id) AS n FROM log",
            ],
        ),
    ],
    casts: &[&[0, 1, 2], &[0, 1, 2], &[0, 1], &[0, 2], &[2, 2]],
    invariants: &[
        "SELECT count(*) = 0 FROM log x JOIN log y ON x.id < y.id WHERE x.note > y.note",
        "SELECT count(*) = 0 FROM log WHERE note = '2,1'",
        "SELECT max(v) < 2 FROM t",
    ],
    ..PLAINEST
};

pub const CASCADES: Theme = Theme {
    name: "cascades",
    setups: &[
        "CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0); CREATE TABLE c (id int, t_id int REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE); INSERT INTO c VALUES (1, 1); CREATE TABLE log (id serial, note text);",
        "CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0); CREATE TABLE c (id int, t_id int REFERENCES t ON DELETE SET NULL ON UPDATE RESTRICT); INSERT INTO c VALUES (1, 1); CREATE TABLE log (id serial, note text);",
        "CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0); CREATE TABLE c (id int, t_id int DEFAULT 2 REFERENCES t ON DELETE SET DEFAULT DEFERRABLE INITIALLY DEFERRED); INSERT INTO c VALUES (1, 1); CREATE TABLE log (id serial, note text);",
    ],
    extras: &[
        "CREATE FUNCTION gone() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log (note) VALUES (OLD.id); RETURN NULL; END';
CREATE TRIGGER gone AFTER DELETE OR UPDATE ON c FOR EACH ROW EXECUTE FUNCTION gone();",
        "CREATE FUNCTION total() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE t SET v = (SELECT count(*) FROM c WHERE t_id = 2) WHERE id = 2; RETURN NULL; END';
CREATE TRIGGER total AFTER INSERT ON c EXECUTE FUNCTION total();",
    ],
    roles: &[Role::new(
        Shape::Any,
        2,
        &[
            "INSERT INTO c VALUES (2, 1)",
            "INSERT INTO c VALUES (3, 1)",
            "DELETE FROM t WHERE id = 1",
            "UPDATE t SET id = 7 WHERE id = 1",
            "INSERT INTO c VALUES (4, 2)",
            "UPDATE c SET t_id = 2 WHERE id = 1",
            "DELETE FROM c WHERE id = 1",
            "UPDATE t SET v = v + 1 WHERE id = 1",
            "UPDATE t SET v = v + 10 WHERE id = 2",
            "SELECT id FROM t WHERE id = 1 FOR KEY SHARE",
            "SELECT count(*) AS n FROM c WHERE t_id = 1",
        ],
    )],
    casts: &[&[0, 0], &[0, 0, 0]],
    invariants: &[
        "SELECT count(*) = 0 FROM log x JOIN log y ON x.id < y.id WHERE x.note > y.note",
        "SELECT count(*) < 2 FROM c",
    ],
    plain: Plain::Freely,
    ..PLAINEST
};

pub const VIEWS: Theme = Theme {
    name: "views",
    setups: &[
        "CREATE TABLE p (a int, at timestamptz DEFAULT now()); CREATE TABLE f (x float8); INSERT INTO f VALUES (-1e20); CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0); CREATE SEQUENCE s; CREATE TABLE q (a int);
CREATE VIEW first AS SELECT a FROM p LIMIT 1; CREATE VIEW latest AS SELECT a FROM p ORDER BY at DESC LIMIT 1; CREATE VIEW summed AS SELECT sum(x) AS sum FROM f;
CREATE VIEW numbered AS SELECT a, nextval('s') AS n FROM p; CREATE VIEW one AS SELECT id, v FROM t WHERE id = 1; CREATE VIEW low WITH (security_barrier) AS SELECT id, v FROM t WHERE v < 2 WITH CHECK OPTION;
CREATE VIEW inverse AS SELECT id, 10 / v AS i FROM t; CREATE VIEW of_view AS SELECT a FROM first WHERE a > 0;",
    ],
    extras: &["INSERT INTO p VALUES (0);"],
    roles: &[
        Role::new(
            Shape::Any,
            1,
            &[
                "INSERT INTO p VALUES (1)",
                "INSERT INTO f VALUES (1e20), (2)",
                "UPDATE t SET v = v + 1 WHERE id = 1",
            ],
        ),
        Role::new(
            Shape::Any,
            1,
            &[
                "INSERT INTO p VALUES (2)",
                "INSERT INTO f VALUES (1)",
                "UPDATE t SET v = v + 1 WHERE id = 2",
            ],
        ),
        Role::new(
            Shape::Any,
            2,
            &[
                "SELECT a, (SELECT count(*) FROM p) AS n FROM first",
                "SELECT a, (SELECT count(*) FROM p) AS n FROM latest",
                "SELECT sum, (SELECT count(*) FROM f) AS n FROM summed",
                "SELECT a, n FROM numbered",
                "SELECT v FROM one",
                "UPDATE one SET v = v * 2 + 1",
                "UPDATE low SET v = v + 1 WHERE id = 1",
                "DELETE FROM low WHERE id = 2",
                "SELECT i FROM inverse WHERE id = 2",
                "SELECT id FROM inverse WHERE id = 1",
                "SELECT v FROM one FOR UPDATE",
                "INSERT INTO q SELECT a FROM of_view",
                "SELECT count(*) AS n FROM first",
            ],
        ),
    ],
    casts: &[&[0, 1, 2], &[0, 1, 2], &[0, 2], &[1, 2, 2]],
    invariants: &["SELECT a < 2 FROM first", "SELECT sum(v) < 3 FROM low"],
    ..PLAINEST
};

pub const MATERIALIZED_VIEWS: Theme = Theme {
    name: "materialized views",
    setups: &[
        "CREATE TABLE p (a int); INSERT INTO p VALUES (0); CREATE MATERIALIZED VIEW m AS SELECT array_agg(a) AS a FROM p;",
        "CREATE TABLE p (a int); INSERT INTO p VALUES (0); CREATE MATERIALIZED VIEW m AS SELECT a, row_number() OVER () AS n FROM p;",
        "CREATE TABLE p (a int); INSERT INTO p VALUES (0); CREATE MATERIALIZED VIEW m AS SELECT sum(a) AS a, now() AS at FROM p;",
        "CREATE TABLE p (a int); INSERT INTO p VALUES (0); CREATE MATERIALIZED VIEW m AS SELECT a FROM p; CREATE UNIQUE INDEX ON m (a);",
    ],
    roles: &[
        Role::new(
            Shape::Any,
            1,
            &[
                "INSERT INTO p VALUES (1)",
                "UPDATE p SET a = a + 5 WHERE a = 0",
                "DELETE FROM p WHERE a = 0",
            ],
        ),
        Role {
            after: &[
                "SELECT a::text AS a FROM m",
                "SELECT count(*) AS n, max(a::text) AS most FROM m",
            ],
            ..Role::new(
                Shape::Any,
                1,
                &["REFRESH MATERIALIZED VIEW m", "REFRESH MATERIALIZED VIEW m WITH DATA"],
            )
        },
        Role::new(
            Shape::Any,
            2,
            &[
                "SELECT a::text AS a FROM m LIMIT 1",
                "SELECT count(*) AS n FROM m",
                "INSERT INTO p SELECT count(*) FROM m",
            ],
        ),
        Role::new(
            Shape::Any,
            1,
            &["INSERT INTO p VALUES (2)", "UPDATE p SET a = a * 3 + 1"],
        ),
    ],
    casts: &[&[0, 1], &[0, 1, 2], &[1, 2], &[0, 3, 1], &[0, 3, 1]],
    other_levels: 0.1,
    invariants: &[
        "SELECT count(*) = 1 FROM m",
        "SELECT a::text NOT LIKE '%2%1%' FROM m LIMIT 1",
    ],
    plain: Plain::Freely,
    ..PLAINEST
};
