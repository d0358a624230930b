//! What is known of statements from the server's own parse trees: each entry of the lists of what is known not to matter,
//! with its neighbours that do.

use std::collections::BTreeSet;

use crate::common::server::{OwnServer, runtime};
use pgbraid::conflict::{StatementKnown, know};
use pgbraid::postgres::Server;
use pgbraid::postgres::catalog::Catalog;
use pgbraid::postgres::wire::Connection;
use tokio::runtime::Runtime;

const SCHEMA: &str = "
CREATE TABLE items (id int PRIMARY KEY, stock int NOT NULL, name text, price numeric, weight float8, made timestamptz,
                    code uuid UNIQUE, tag char(3));
CREATE TABLE orders (id serial PRIMARY KEY, item int REFERENCES items, note text, at timestamptz DEFAULT now());
CREATE TABLE marks (word text PRIMARY KEY, n bigint NOT NULL);
CREATE TABLE pairs (a int, b text, v int, PRIMARY KEY (a, b));
CREATE TABLE plain (a int, b text);
CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child () INHERITS (parent);
CREATE VIEW cheap AS SELECT id, stock FROM items WHERE price < 10;
CREATE SEQUENCE numbers;
CREATE TABLE secrets (id int PRIMARY KEY);
";

struct Lab {
    runtime: Runtime,
    control: Connection,
    catalog: Catalog,
    _embedded: OwnServer,
}

impl Lab {
    fn start() -> Lab {
        let embedded = OwnServer::start();
        let runtime = runtime();
        let (control, catalog) = runtime.block_on(async {
            let server = Server::connect(embedded.config(), true).await.unwrap();
            let database = server.create_scratch(None).await.unwrap();
            let mut control = server.control(&database).await.unwrap();
            control.simple(SCHEMA).await.unwrap().into_result().unwrap();
            let mut catalog = Catalog::read(&mut control).await.unwrap();
            catalog.try_constants(&mut control, true).await.unwrap();
            (control, catalog)
        });
        Lab {
            runtime,
            control,
            catalog,
            _embedded: embedded,
        }
    }

    fn know(&mut self, sql: &str) -> StatementKnown {
        let Lab {
            runtime,
            control,
            catalog,
            ..
        } = self;
        let analysis = runtime.block_on(catalog.analyse(control, sql, &[], true)).unwrap();
        assert!(analysis.is_some(), "the server does not take: {sql}");
        know(sql, analysis.as_ref(), catalog)
    }

    fn name(&self, table: u32) -> String {
        self.catalog
            .tables
            .get(&table)
            .map(|(_, name)| name.clone())
            .unwrap_or_default()
    }

    /// The tables of whose rows' order a statement may depend.
    fn ordered(&mut self, sql: &str) -> BTreeSet<String> {
        use pgbraid::conflict::Object;
        let known = self.know(sql);
        let objects = known.footprint.ordered.iter();
        let tables = objects.map(|object| match object {
            Object::Relation(table) => self.name(*table),
            other => format!("{other:?}"),
        });
        tables.collect()
    }

    /// The row that a statement is confined to, given its parameters.
    fn row(&mut self, sql: &str, parameters: &[&str]) -> Option<Vec<String>> {
        let parameters: Vec<Option<String>> = parameters.iter().map(|text| Some((*text).to_owned())).collect();
        let confined = self.know(sql).meaning.confined?;
        confined
            .row
            .values
            .iter()
            .map(|value| value.with(&parameters))
            .collect()
    }
}

#[test]
fn constants_are_read_as_the_server_has_them() {
    assert!(Lab::start().catalog.reads_constants);
}

#[test]
fn what_is_known_not_to_depend_on_where_rows_lie() {
    let mut lab = Lab::start();
    for sql in [
        "SELECT 1",
        "SELECT a, b FROM plain",
        "SELECT a FROM plain WHERE a > 1 AND b = 'x'",
        "SELECT count(*), sum(a), min(b), max(a), bool_and(a > 0) FROM plain",
        "SELECT count(*) = 1, sum(stock)::int FROM items",
        "SELECT (SELECT stock FROM items WHERE id = 1) + (SELECT sum(a) FROM plain) = 3",
        "SELECT sum(price), avg(price) FROM items",
        "SELECT b, count(*) FROM plain GROUP BY b",
        "SELECT DISTINCT a FROM plain",
        "SELECT a FROM plain UNION SELECT stock FROM items",
        "SELECT a FROM plain UNION ALL SELECT stock FROM items",
        "SELECT a, b FROM plain ORDER BY a, b",
        "SELECT name FROM items ORDER BY stock, id",
        "SELECT name FROM items ORDER BY id LIMIT 1",
        "SELECT b, count(*) FROM plain GROUP BY b ORDER BY b LIMIT 2",
        "SELECT name FROM items WHERE id = 1 LIMIT 1",
        "SELECT price, weight, nextval('numbers') FROM items WHERE id = 1",
        "SELECT stock FROM items i WHERE EXISTS (SELECT FROM orders WHERE item = i.id)",
        "SELECT stock FROM items WHERE id IN (SELECT item FROM orders)",
        "SELECT (SELECT count(*) FROM orders), stock FROM items",
        "SELECT stock FROM cheap",
        "WITH q AS (SELECT count(*) AS n FROM plain) SELECT n FROM q",
        "SELECT string_agg(b, ',' ORDER BY b) FROM plain",
        "SELECT array_agg(DISTINCT a ORDER BY a) FROM plain",
        "SELECT i.stock, o.note FROM items i JOIN orders o ON o.item = i.id",
        "INSERT INTO plain VALUES (1, 'a'), (2, 'b')",
        "INSERT INTO plain SELECT count(*), 'n' FROM items",
        "INSERT INTO plain SELECT id, name FROM items ORDER BY id",
        "INSERT INTO orders (item) SELECT id FROM items WHERE id = 1",
        "UPDATE items SET stock = (SELECT count(*) FROM plain) WHERE id = 1",
        "UPDATE items SET stock = stock - 1 WHERE id = 1 RETURNING stock",
        "DELETE FROM items WHERE id = 1",
        "SELECT stock FROM items WHERE id = 1 FOR UPDATE",
    ] {
        assert_eq!(lab.ordered(sql), BTreeSet::new(), "{sql}");
    }
}

#[test]
fn what_may_depend_on_where_rows_lie() {
    let mut lab = Lab::start();
    let cases: &[(&str, &[&str])] = &[
        ("SELECT a FROM plain LIMIT 1", &["plain"]),
        ("SELECT a FROM plain OFFSET 1", &["plain"]),
        ("SELECT a FROM plain ORDER BY a", &[]),
        ("SELECT a, b FROM plain ORDER BY a", &["plain"]),
        ("SELECT name FROM items ORDER BY stock", &["items"]),
        ("SELECT name FROM items ORDER BY stock, id + 0", &["items"]),
        // NULLs are many
        ("SELECT name FROM items ORDER BY code LIMIT 1", &["items"]),
        ("SELECT price FROM items ORDER BY price", &["items"]),
        ("SELECT DISTINCT ON (a) a, b FROM plain", &["plain"]),
        ("SELECT DISTINCT price FROM items", &["items"]),
        ("SELECT DISTINCT tag FROM items", &["items"]),
        ("SELECT price FROM items UNION SELECT a FROM plain", &["items", "plain"]),
        ("SELECT price, count(*) FROM items GROUP BY price", &["items"]),
        ("SELECT sum(weight) FROM items", &["items"]),
        ("SELECT max(price) FROM items", &["items"]),
        ("SELECT array_agg(a) FROM plain", &["plain"]),
        ("SELECT string_agg(b, ',') FROM plain", &["plain"]),
        ("SELECT string_agg(b, ',' ORDER BY a) FROM plain", &["plain"]),
        ("SELECT string_agg(DISTINCT tag::text, ',') FROM items", &["items"]),
        ("SELECT row_number() OVER () FROM plain", &["plain"]),
        ("SELECT a, nextval('numbers') FROM plain", &["plain"]),
        ("SELECT a FROM plain WHERE random() < 0.5", &["plain"]),
        ("SELECT 10 / a FROM plain WHERE b ~ 'x'", &["plain"]),
        ("SELECT EXISTS (SELECT FROM plain WHERE 10 / a > 1)", &["plain"]),
        ("SELECT ARRAY(SELECT a FROM plain)", &["plain"]),
        (
            "SELECT a FROM plain UNION ALL SELECT stock FROM items LIMIT 1",
            &["items", "plain"],
        ),
        (
            "SELECT a, b FROM plain UNION ALL SELECT stock, name FROM items ORDER BY 1",
            &["items", "plain"],
        ),
        (
            "INSERT INTO plain (a) SELECT a FROM plain UNION ALL SELECT stock FROM items",
            &["items", "plain"],
        ),
        // a plan may come to the row that fails, or not
        ("SELECT sum(stock * 2) FROM items", &["items"]),
        ("SELECT name FROM items WHERE 10 % stock = 1 AND id = 1", &["items"]),
        ("SELECT 'x' ~ ANY (SELECT b FROM plain)", &["plain"]),
        ("SELECT max(stock) FROM items WHERE 10 % stock = 1", &["items"]),
        (
            "SELECT a FROM plain WHERE 10 % a > 0 AND a IN (SELECT stock FROM items)",
            &["items", "plain"],
        ),
        (
            "SELECT a FROM plain JOIN items ON id = a WHERE 10 % stock = 1",
            &["items", "plain"],
        ),
        (
            "WITH q AS MATERIALIZED (SELECT 10 % a AS m FROM plain) SELECT EXISTS (SELECT FROM q)",
            &["plain"],
        ),
        ("SELECT a FROM plain TABLESAMPLE BERNOULLI (50)", &["plain"]),
        ("SELECT a FROM plain, items FOR UPDATE OF items", &["items", "plain"]),
        ("SELECT a FROM plain FOR UPDATE SKIP LOCKED LIMIT 1", &["plain"]),
        (
            "WITH q AS (SELECT a FROM plain LIMIT 1) SELECT count(*) FROM q",
            &["plain"],
        ),
        (
            "WITH q AS (DELETE FROM plain RETURNING a) SELECT count(*) FROM q",
            &["plain"],
        ),
        ("INSERT INTO orders (note) SELECT b FROM plain", &["plain"]),
        (
            "INSERT INTO marks SELECT b, 1 FROM plain ON CONFLICT DO NOTHING",
            &["marks", "plain"],
        ),
        (
            "UPDATE items SET stock = a FROM plain WHERE id = 1",
            &["items", "plain"],
        ),
        ("UPDATE items SET stock = 0 WHERE stock < 0", &["items"]),
        (
            "UPDATE items SET stock = 0 WHERE id IN (SELECT a FROM plain)",
            &["items", "plain"],
        ),
        ("DELETE FROM items USING plain WHERE id = a", &["items", "plain"]),
        // other rows may be read on the way to the one
        ("DELETE FROM items WHERE id = 1 AND 10 / stock > 1", &["items"]),
    ];
    for (sql, tables) in cases {
        let expected: BTreeSet<String> = tables.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(lab.ordered(sql), expected, "{sql}");
    }
}

#[test]
fn a_row_is_told_by_every_column_of_a_unique_key() {
    let mut lab = Lab::start();
    let one = Some(vec!["1".to_owned()]);
    for sql in [
        "SELECT stock FROM items WHERE id = 1",
        "SELECT stock FROM items WHERE 1 = id AND stock > 0",
        "SELECT stock FROM public.items AS i WHERE i.id = '1'",
        "SELECT stock FROM items WHERE id = - -1",
        "SELECT stock FROM items WHERE id = '1'::int FOR UPDATE",
        "UPDATE items SET stock = 2 WHERE (id = 1)",
        "DELETE FROM items WHERE id = 1",
    ] {
        assert_eq!(lab.row(sql, &[]), one, "{sql}");
    }
    assert_eq!(
        lab.row("SELECT n FROM marks WHERE word = 'it''s'", &[]),
        Some(vec!["it's".to_owned()])
    );
    assert_eq!(
        lab.row("UPDATE marks SET n = -5 WHERE word = $1", &["a b "]),
        Some(vec!["a b ".to_owned()])
    );
    assert_eq!(
        lab.row("SELECT v FROM pairs WHERE b = 'x' AND a = -7", &[]),
        Some(vec!["-7".to_owned(), "x".to_owned()])
    );
    assert_eq!(
        lab.row("SELECT stock FROM items WHERE id = 3000000000", &[]),
        Some(vec!["3000000000".to_owned()])
    );
    assert_eq!(
        lab.row("SELECT stock FROM items WHERE id = $1", &[" 07 "]),
        Some(vec!["7".to_owned()])
    );
    assert_eq!(
        lab.row(
            "INSERT INTO marks VALUES ('w', 1) ON CONFLICT (word) DO UPDATE SET n = marks.n + 1",
            &[]
        ),
        Some(vec!["w".to_owned()])
    );
    assert_eq!(
        lab.row(
            "SELECT stock FROM items WHERE code = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
            &[]
        ),
        Some(vec!["a0eebc999c0b4ef8bb6d6bb9bd380a11".to_owned()])
    );
    for sql in [
        "SELECT stock FROM items WHERE id > 1",
        "SELECT stock FROM items WHERE id = 1 OR stock = 2",
        "SELECT stock FROM items WHERE id = 1 AND id = 2",
        "SELECT stock FROM items WHERE id = 1e0",
        "SELECT stock FROM items WHERE id = NULL",
        "SELECT stock FROM items WHERE id = 1 AND 10 / stock > 1",
        "SELECT stock FROM items WHERE id = 1 AND name ~ '('",
        "SELECT stock FROM items WHERE id = 1 AND random() < 0.5",
        "SELECT stock FROM cheap WHERE id = 1",
        "SELECT stock FROM items JOIN orders ON note = name WHERE items.id = 1",
        "SELECT stock FROM items WHERE id = (SELECT max(item) FROM orders)",
        "SELECT v FROM pairs WHERE a = 1",
        "SELECT id FROM parent WHERE id = 1",
        "UPDATE items SET id = 2 WHERE id = 1",
        "UPDATE items SET stock = a FROM plain WHERE id = 1",
        "INSERT INTO marks VALUES ('a', 1), ('b', 1)",
        "INSERT INTO marks SELECT 'a', 1 FROM plain",
        "INSERT INTO items VALUES (1, 1)",
    ] {
        assert_eq!(lab.row(sql, &[]), None, "{sql}");
    }
}

#[test]
fn a_row_is_taken_first_where_nothing_before_that_can_fail_or_draw() {
    let mut lab = Lab::start();
    let mut first = |sql: &str| lab.know(sql).meaning.confined.map(|confined| confined.takes_first);
    for sql in [
        "SELECT stock FROM items WHERE id = 1 FOR UPDATE",
        "SELECT stock, name FROM items WHERE id = 1 ORDER BY name FOR NO KEY UPDATE",
        "UPDATE items SET stock = stock - 1 WHERE id = 1",
    ] {
        assert_eq!(first(sql), Some(true), "{sql}");
    }
    for sql in [
        "SELECT 10 / stock FROM items WHERE id = 1 FOR UPDATE",
        "SELECT stock FROM items WHERE id = 1 ORDER BY 10 / stock FOR UPDATE",
        "SELECT nextval('numbers') FROM items WHERE id = 1 FOR UPDATE",
        "SELECT stock FROM items WHERE id = 1 LIMIT 1 FOR UPDATE",
        "UPDATE items SET stock = random() WHERE id = 1",
    ] {
        assert_eq!(first(sql), Some(false), "{sql}");
    }
}

#[test]
fn times_are_told_apart_unless_they_are_only_passed_on() {
    let mut lab = Lab::start();
    let mut times = |sql: &str| {
        let times = lab.know(sql).meaning.times;
        (times.takes, times.keeps, times.tells)
    };
    for (sql, expected) in [
        ("SELECT stock FROM items", (false, false, false)),
        ("SELECT made FROM items WHERE made IS NOT NULL", (false, false, false)),
        ("INSERT INTO orders (item) VALUES (1)", (true, true, false)),
        ("UPDATE items SET made = now() + interval '1 day'", (true, true, false)),
        (
            "UPDATE items SET made = coalesce(made, current_timestamp)",
            (true, true, false),
        ),
        ("SELECT now() AS t", (true, true, false)),
        ("SELECT count(made) FROM items", (false, false, false)),
        ("SELECT stock FROM items WHERE made < now()", (true, false, true)),
        ("SELECT stock FROM items ORDER BY made", (false, false, true)),
        ("SELECT max(made) FROM items", (false, false, true)),
        ("SELECT DISTINCT made FROM items", (false, false, true)),
        ("SELECT made::text FROM items", (false, false, true)),
        ("SELECT to_jsonb(items) FROM items", (false, false, true)),
        ("SELECT extract(epoch FROM clock_timestamp())", (true, true, true)),
        ("UPDATE items SET made = greatest(made, now())", (true, true, true)),
        ("UPDATE items SET made = 'now'", (true, true, true)),
        ("UPDATE items SET made = E'n\\x6fw'", (true, true, false)),
        ("UPDATE items SET made = '2001-01-01'", (false, false, false)),
        (
            "UPDATE items SET made = now() WHERE EXISTS (SELECT FROM orders WHERE at < now())",
            (true, true, true),
        ),
        (
            "SELECT stock FROM items WHERE EXISTS (SELECT FROM orders WHERE at < now())",
            (true, false, true),
        ),
        (
            "SELECT row_number() OVER (ORDER BY made) FROM items",
            (false, false, true),
        ),
        ("SELECT timeofday()", (true, true, true)),
    ] {
        assert_eq!(times(sql), expected, "{sql}");
    }
}

#[test]
fn what_looks_elsewhere_is_unknown() {
    let mut lab = Lab::start();
    let mut unknown = |sql: &str| lab.know(sql).footprint.unknown;
    for sql in [
        "SELECT pg_current_xact_id()",
        "SELECT txid_current()",
        "SELECT ctid FROM items",
        "SELECT xmin FROM items WHERE id = 1",
        "SELECT count(*) FROM pg_locks",
        "SELECT relname FROM pg_class",
        "SELECT query_to_xml('SELECT 1', true, true, '')",
        "SELECT lo_create(0)",
        "SELECT set_config('search_path', 'x', true)",
    ] {
        assert!(unknown(sql), "{sql}");
    }
    for sql in [
        "SELECT tableoid::regclass, now(), to_char(now(), 'YYYY'), current_setting('app.user', true) FROM items",
        "SELECT jsonb_build_object('a', stock), format('%s', name), gen_random_uuid() FROM items",
        "SELECT pg_sleep(0)",
    ] {
        assert!(!unknown(sql), "{sql}");
    }
}

#[test]
fn a_sequence_is_known_by_its_name() {
    use pgbraid::conflict::Object;
    let mut lab = Lab::start();
    let sequences = |known: &StatementKnown| {
        let writes = known.footprint.writes.keys().cloned();
        writes
            .filter(|object| !matches!(object, Object::Relation(0)))
            .collect::<Vec<_>>()
            .len()
    };
    // orders and the sequence of its key; items is only looked up
    let inserts = lab.know("INSERT INTO orders (item) VALUES (1)");
    assert_eq!(sequences(&inserts), 2);
    let named = lab.know("SELECT nextval('numbers')");
    assert_eq!(sequences(&named), 1);
    let unnamed = lab.know("SELECT nextval(b::regclass) FROM plain");
    assert!(unnamed.footprint.writes.contains_key(&Object::Sequences));
}
