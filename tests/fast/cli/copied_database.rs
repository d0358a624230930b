//! The state is a copy of a database of the server.

use std::process::Command;

use tokio_postgres::Client;

use crate::common::given::Given;
use crate::common::program::{Finished, finish};
use crate::common::server::connect;

const CLIENT: &str = include_str!("../programs/client.py");

/// Settings, a schema that they name, rows in another place than where they were written first, and numbers drawn.
const SHOP: &str = "CREATE SCHEMA app; CREATE TABLE app.t (id serial PRIMARY KEY, x int);
INSERT INTO app.t (x) VALUES (1), (2), (3); UPDATE app.t SET x = 7 WHERE id = 1; DELETE FROM app.t WHERE id = 3;
ANALYZE app.t";

const BUMP: &str = "from client import *
c = Connection()
assert c.run(\"SELECT current_setting('app.tenant')\") == [[\"o'neil\"]]
print(c.run('SELECT string_agg(id::text, $$ $$) FROM t WHERE x > 0')[0][0])
c.run('BEGIN')
x = int(c.run('SELECT x FROM t WHERE id = 1')[0][0])
c.run(f'UPDATE t SET x = {x + 1} WHERE id = 1')
c.run('INSERT INTO t (x) VALUES (0) RETURNING id')
c.run('COMMIT')
";

/// What [`SHOP`] holds, and never ceases to hold.
const CONTENT: &str = "SELECT concat(ctid, ' ', id, ' ', x) FROM app.t
  UNION ALL SELECT concat(last_value, ' ', is_called) FROM app.t_id_seq";

struct Shop {
    given: Given,
}

impl Shop {
    fn new() -> Shop {
        let given = Given::start();
        given.execute("CREATE DATABASE shop");
        given.execute("ALTER DATABASE shop SET search_path = app, public");
        given.execute("ALTER DATABASE shop SET app.tenant = 'o''neil'");
        let shop = Shop { given };
        shop.execute(SHOP);
        shop.given.place.write("client.py", CLIENT);
        shop
    }

    fn client(&self) -> Client {
        let mut config = self.given.server.config();
        self.given.runtime.block_on(connect(config.dbname("shop")))
    }

    fn execute(&self, sql: &str) {
        self.given.runtime.block_on(self.client().batch_execute(sql)).unwrap();
    }

    fn content(&self) -> Vec<String> {
        let rows = self.given.runtime.block_on(self.client().query(CONTENT, &[])).unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    fn url(&self, user: &str) -> String {
        self.given.server.url(user).replace("dbname=postgres", "dbname=shop")
    }

    fn command(&self, user: &str) -> Command {
        let mut command = self.given.place.pgbraid();
        command.current_dir(self.given.place.path());
        command.args(["run", "--database-url", &self.url(user), "--step-timeout", "5"]);
        command
    }

    /// Runs two programs that read and write. Their database stays as it was.
    fn run(&self, user: &str, invariant: &str) -> Finished {
        let content = self.content();
        self.given.place.write("bump.py", BUMP);
        let mut command = self.command(user);
        command.args(["--serializable", "--no-shrink", "--invariant", invariant]);
        command.args(["--", "python3", "bump.py"]);
        let finished = finish(command);
        assert_eq!(self.content(), content);
        assert_eq!(self.given.scratch_databases(), [""; 0]);
        finished
    }
}

#[test]
fn a_database_is_copied_with_its_settings_as_it_lies_on_the_disk() {
    let shop = Shop::new();
    assert_eq!(shop.content()[1], "(0,4) 1 7");
    let naive = shop.run("postgres", "SELECT true");
    assert_eq!(naive.code, Some(1), "{naive:?}");
    for expected in ["not serializable", "lost update", "x = 7", "2 1"] {
        assert!(naive.stdout.contains(expected), "{expected}: {naive:?}");
    }
    assert!(!naive.stdout.contains("pg_dump"), "{naive:?}");
}

#[test]
fn a_database_that_others_use_is_copied_by_pg_dump() {
    let shop = Shop::new();
    shop.given.execute("CREATE ROLE app LOGIN CREATEDB");
    shop.given.execute("ALTER DATABASE shop OWNER TO app");
    shop.execute("SELECT lo_from_bytea(4711, 'large')");
    shop.execute("ALTER SCHEMA app OWNER TO app; ALTER TABLE app.t OWNER TO app; ALTER LARGE OBJECT 4711 OWNER TO app");
    shop.execute("ALTER DATABASE shop SET lc_messages = 'C'; ALTER DATABASE shop RESET search_path");
    shop.execute("ALTER ROLE app SET search_path = app");
    let other = shop.client();
    let naive = shop.run("app", "SELECT convert_from(lo_get(4711), 'UTF8') = 'large'");
    assert_eq!(naive.code, Some(1), "{naive:?}");
    assert!(!naive.stdout.contains("broken"), "{naive:?}");
    let text = naive.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in [
        "x = 7",
        "the state is what pg_dump read of database shop",
        "settings of database shop that its copy does not have: lc_messages",
    ] {
        assert!(text.contains(expected), "{expected}: {naive:?}");
    }
    drop(other);
}

#[test]
fn what_cannot_be_copied_is_said() {
    let shop = Shop::new();
    let said = |url: &str, words: &[&str], code: i32| {
        let mut command = shop.given.place.pgbraid();
        command.args(["run", "--database-url", url, "--", "true"]);
        finish(command).assert_error(code, words);
    };
    let nowhere = shop.given.server.url("postgres").replace("dbname=postgres", "");
    said(&nowhere, &["names no database"], 2);
    shop.execute("CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw");
    said(
        &shop.url("postgres"),
        &["database shop cannot be copied", "foreign server far"],
        3,
    );
    let scenario = "setup_database = \"shop\"\n[[session]]\nname = \"a\"\nsteps = [\"SELECT 1\"]\n";
    let file = shop.given.place.write("copied.toml", scenario);
    finish(shop.given.place.explore(&file)).assert_error(2, &["shop", "no server is named"]);
    assert_eq!(shop.given.scratch_databases(), [""; 0]);
}

/// The key of the file takes the copy as setup would, whichever database the URL names.
#[test]
fn a_scenario_may_name_the_database_to_copy() {
    let shop = Shop::new();
    let scenario = "setup_database = \"shop\"\nsetup = \"UPDATE t SET x = x + 1 WHERE id = 1\"\n[[session]]\nname = \"a\"\n\
                    copies = 2\nsteps = [\"UPDATE t SET x = x + 1 WHERE id = 1\"]\n[[invariant]]\nname = \"both\"\n\
                    sql = \"SELECT x = 10 FROM t WHERE id = 1\"\n";
    let holds = shop.given.explore_text("postgres", scenario);
    assert_eq!(holds.code, Some(0), "{holds:?}");
}
