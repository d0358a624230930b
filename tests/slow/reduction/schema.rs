//! The tables, views and triggers of the scenarios that are drawn.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// How the table `t` is made, the plainest first.
const TABLES: [&str; 5] = [
    "CREATE TABLE t (id int PRIMARY KEY, k int NOT NULL UNIQUE, v int NOT NULL);",
    "CREATE TABLE t (id bigint PRIMARY KEY, k smallint NOT NULL UNIQUE DEFERRABLE INITIALLY DEFERRED, v int NOT NULL);",
    "CREATE TABLE t (id numeric PRIMARY KEY, k int NOT NULL UNIQUE, v small NOT NULL);",
    "CREATE TABLE t (id int PRIMARY KEY, k int NOT NULL, v int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE t_low PARTITION OF t (UNIQUE (k)) FOR VALUES FROM (0) TO (3);
CREATE TABLE t_high PARTITION OF t DEFAULT;",
    "CREATE TABLE t (id int PRIMARY KEY, k int NOT NULL UNIQUE, v int NOT NULL);
CREATE TABLE t_more (more int UNIQUE DEFAULT 1) INHERITS (t);
INSERT INTO t_more VALUES (1, 10, 0);",
];

const REFERENCES: [&str; 6] = [
    "",
    "ON DELETE CASCADE",
    "ON DELETE SET NULL",
    "ON UPDATE CASCADE",
    "DEFERRABLE INITIALLY DEFERRED",
    "DEFAULT 2 REFERENCES t ON UPDATE SET DEFAULT ON DELETE SET DEFAULT",
];

const NAMES: [&str; 4] = ["text", "varchar(1)", "char(3)", "name"];

/// Functions, by what stands where they are called.
const FUNCTIONS: [(&str, &str); 7] = [
    (
        "total(",
        "CREATE FUNCTION total() RETURNS bigint LANGUAGE sql AS 'SELECT sum(v) FROM t';",
    ),
    (
        "bump(",
        "CREATE FUNCTION bump(int DEFAULT 2) RETURNS int LANGUAGE sql AS 'UPDATE t SET v = v + 1 WHERE id = $1 RETURNING v';",
    ),
    (
        "drawn(",
        "CREATE FUNCTION drawn(n bigint DEFAULT nextval('s')) RETURNS bigint LANGUAGE sql AS 'SELECT n';",
    ),
    (
        "add_p(",
        "CREATE FUNCTION add_p(int) RETURNS void LANGUAGE sql BEGIN ATOMIC; INSERT INTO p VALUES ($1); END;",
    ),
    (
        "seen(",
        "CREATE FUNCTION seen() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT v FROM w';",
    ),
    (
        "hold(",
        "CREATE FUNCTION hold() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM (SELECT FROM p FOR UPDATE) AS held';",
    ),
    (
        "deep(",
        "CREATE FUNCTION deep(int) RETURNS int LANGUAGE plpgsql AS
'BEGIN IF (SELECT count(*) FROM p) > 1 THEN RETURN bump($1); END IF; RETURN 0; END';",
    ),
];

/// What else there can be, each for itself.
const EXTRAS: &[&str] = &[
    "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log (note) VALUES (NEW.v); RETURN NULL; END';
CREATE TRIGGER note AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note();",
    "ALTER TABLE t ADD CHECK (v < 3);",
    "ALTER TABLE t ADD CHECK (k <> 15 OR v = 0);",
    "ALTER TABLE t ADD g int GENERATED ALWAYS AS (v * 10 + k) STORED; CREATE UNIQUE INDEX ON t (g, id);",
    "ALTER TABLE t ADD h int GENERATED ALWAYS AS (v / 2 + k) STORED CHECK (h <> 11);",
    "ALTER TABLE t ADD drawn int NOT NULL DEFAULT nextval('s');",
    "CREATE INDEX ON t ((k % 7)) WHERE v > 0;",
    "CREATE UNIQUE INDEX ON t (id, (v % 7)) WHERE v > 0;",
    "CREATE UNIQUE INDEX ON t (id, k) INCLUDE (v);",
    "CREATE UNIQUE INDEX ON p (a);",
    "CREATE UNIQUE INDEX ON p ((a / 2));",
    "CREATE UNIQUE INDEX ON p ((1)) WHERE a > 1;",
    "ALTER TABLE p ADD EXCLUDE USING btree (a WITH =);",
    "ALTER TABLE p ADD UNIQUE (a) DEFERRABLE INITIALLY DEFERRED;",
    "ALTER TABLE p ADD CHECK (a < 3);",
    "ALTER TABLE p ALTER a SET DEFAULT nextval('s');",
    "ALTER TABLE p ALTER a SET DEFAULT 2;",
    "ALTER TABLE p ADD sum bigint DEFAULT total();",
    "ALTER TABLE p ADD CHECK (a < total() + 3);",
    "ALTER TABLE p ADD FOREIGN KEY (a) REFERENCES t;",
    "ALTER TABLE p ADD b int GENERATED ALWAYS AS (a % 2) STORED REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED;",
    "ALTER TABLE c ADD UNIQUE (id);
CREATE TABLE d (c_id int REFERENCES c (id) ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO d VALUES (1);",
    "ALTER TABLE c ADD parent int REFERENCES t ON DELETE SET NULL; UPDATE c SET parent = 2;",
    "CREATE TABLE q_child (x int, y int, FOREIGN KEY (x, y) REFERENCES q ON UPDATE CASCADE);
INSERT INTO q_child VALUES (1, 1);",
    "CREATE FUNCTION twice() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.v := NEW.v * 2; RETURN NEW; END';
CREATE TRIGGER twice BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION twice();",
    "CREATE FUNCTION number() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.a := (SELECT count(*) FROM p); RETURN NEW; END';
CREATE TRIGGER number BEFORE INSERT ON p FOR EACH ROW EXECUTE FUNCTION number();",
    "CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE p SET a = a + 1; RETURN NULL; END';
CREATE TRIGGER follow AFTER INSERT ON log EXECUTE FUNCTION follow();",
    "CREATE FUNCTION gone() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE t SET v = v + 1 WHERE id = OLD.t_id; RETURN NULL; END';
CREATE TRIGGER gone AFTER DELETE ON c FOR EACH ROW EXECUTE FUNCTION gone();",
    "CREATE FUNCTION at_most() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN IF (SELECT count(*) FROM p) > 2 THEN RAISE check_violation; END IF; RETURN NULL; END';
CREATE CONSTRAINT TRIGGER at_most AFTER INSERT ON p DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION at_most();",
    "CREATE FUNCTION by_text() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN EXECUTE ''INSERT INTO '' || ''p VALUES (5)''; RETURN NEW; END';
CREATE TRIGGER by_text BEFORE UPDATE ON n FOR EACH ROW WHEN (NEW.v > 0) EXECUTE FUNCTION by_text();",
    "CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE t SET v = NEW.v WHERE id = OLD.id; RETURN NEW; END';
CREATE TRIGGER instead INSTEAD OF UPDATE ON iv FOR EACH ROW EXECUTE FUNCTION instead();",
    "CREATE RULE also AS ON INSERT TO p DO ALSO INSERT INTO log (note) VALUES (NEW.a);",
    "CREATE RULE instead AS ON DELETE TO p DO INSTEAD UPDATE p SET a = a + 1;",
    "CREATE RULE instead AS ON UPDATE TO r DO INSTEAD UPDATE q SET v = NEW.amount WHERE x = OLD.key;",
    "CREATE UNIQUE INDEX ON n (lower(name));",
    "CREATE UNIQUE INDEX ON q (v) WHERE v > 0;",
    "ALTER TABLE q ADD UNIQUE (v, y) DEFERRABLE;",
];

/// What the sessions' statements are about.
#[derive(Debug, Clone)]
pub struct Schema {
    table: &'static str,
    references: &'static str,
    name: &'static str,
    extras: Vec<&'static str>,
}

impl Schema {
    /// Everything at once, with each way to make `t`.
    pub fn full() -> Vec<Schema> {
        let with_table = |table| Schema {
            table,
            references: REFERENCES[0],
            name: NAMES[0],
            extras: EXTRAS.to_vec(),
        };
        TABLES.into_iter().map(with_table).collect()
    }

    /// The setup of a scenario with these statements. What many statements would conflict with for no reason is left
    /// out where nothing uses it.
    pub fn setup(&self, statements: &[String]) -> String {
        let uses = |word: &str| {
            let texts = statements.iter().map(String::as_str).chain(self.extras.iter().copied());
            texts.into_iter().any(|text| text.contains(word))
        };
        let mut setup = String::new();
        if self.table.contains("small") {
            setup += "CREATE DOMAIN small AS int CHECK (VALUE < 3);\n";
        }
        let references = match self.references.contains("REFERENCES") {
            true => self.references.to_owned(),
            false => format!("REFERENCES t {}", self.references),
        };
        setup += &format!(
            "{}
CREATE TABLE c (id int, t_id int {references});
CREATE TABLE p (a int NOT NULL);
CREATE TABLE log (id serial, note int);
CREATE SEQUENCE s START 3;
CREATE VIEW w AS SELECT id, v FROM t WHERE id = 1;
CREATE VIEW lw AS SELECT id, v FROM t FOR UPDATE;
",
            self.table
        );
        // one that calls another comes after it
        let mut called = statements.to_vec();
        called.extend(self.extras.iter().map(|&extra| extra.to_owned()));
        let mut functions = Vec::new();
        for &(name, function) in FUNCTIONS.iter().rev() {
            if called.iter().any(|text| text.contains(name)) {
                functions.push(function);
                called.push(function.to_owned());
            }
        }
        if uses(" n ") {
            setup += &format!(
                "CREATE TABLE n (name {} PRIMARY KEY, v int NOT NULL DEFAULT 0);\n",
                self.name
            );
            setup += "INSERT INTO n VALUES ('a', 0), ('b', 0);\n";
        }
        if uses(" q ") {
            setup += "CREATE TABLE q (x int, y int, v int NOT NULL, PRIMARY KEY (x, y));\n";
            setup += "INSERT INTO q VALUES (1, 1, 0), (1, 2, 0), (2, 1, 7);\n";
        }
        if uses(" r ") {
            setup += "CREATE VIEW r AS SELECT k AS other, v AS amount, id AS key FROM t;\n";
        }
        if uses(" few ") {
            setup += "CREATE VIEW few AS SELECT id, v FROM t WHERE v < 2 WITH CHECK OPTION;\n";
        }
        if uses(" iv ") {
            setup += "CREATE VIEW iv AS SELECT id, v FROM t WHERE id = 2;\n";
        }
        for function in functions.into_iter().rev() {
            setup += function;
            setup += "\n";
        }
        setup += "INSERT INTO t VALUES (1, 10, 0), (2, 20, 0);
INSERT INTO c VALUES (1, 1);
INSERT INTO p VALUES (1);
";
        if uses(" m ") || uses(" VIEW m") {
            setup += "CREATE MATERIALIZED VIEW m AS SELECT sum(v) AS total FROM t;\n";
        }
        for extra in &self.extras {
            setup += extra;
            setup += "\n";
        }
        setup
    }
}

/// Mostly the plainest.
pub fn schemas() -> impl Strategy<Value = Schema> {
    let table = prop_oneof![4 => Just(TABLES[0]), 1 => select(&TABLES[..])];
    let references = prop_oneof![4 => Just(REFERENCES[0]), 1 => select(&REFERENCES[..])];
    let extras = prop_oneof![
        2 => Just(Vec::new()),
        3 => subsequence(EXTRAS, 1..=2),
        1 => subsequence(EXTRAS, 3..=4),
    ];
    (table, references, select(&NAMES[..]), extras).prop_map(|(table, references, name, extras)| Schema {
        table,
        references,
        name,
        extras,
    })
}
