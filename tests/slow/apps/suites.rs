//! Drivers' own tests, with pgbraid between the two and without: they come to the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::drivers::tcp_port_of;
use super::folder::apps;
use crate::common::program::{Place, finish};
use crate::common::server::{OwnServer, busy_runtime, connect};

/// The name that pgbraid gives the database.
const DATABASE: &str = "app";

/// The tests of a driver, which `fixtures/apps/install` has unpacked.
struct Suite {
    folder: &'static str,
    /// What pytest is told to run.
    tests: &'static [&'static str],
    /// What tests need that name the database otherwise.
    env: &'static [(&'static str, &'static str)],
}

impl Suite {
    /// Runs the tests from a shell, which writes to the file that `OUT` names.
    fn script(&self) -> String {
        let tests: Vec<String> = self.tests.iter().map(|word| format!("'{word}'")).collect();
        format!(
            "../../venv/bin/python -P -m pytest -q -rA --tb=no --no-header -p no:cacheprovider -W ignore --timeout 60 {} \
             >\"$OUT\" 2>&1; true",
            tests.join(" ")
        )
    }

    fn folder(&self) -> PathBuf {
        apps().join("python/suites").join(self.folder)
    }

    /// What becomes of each test without pgbraid.
    fn directly(&self) -> BTreeMap<String, String> {
        let runtime = busy_runtime();
        let server = OwnServer::start();
        let config = server.config();
        let client = runtime.block_on(connect(&config));
        runtime
            .block_on(client.batch_execute(&format!("CREATE DATABASE {DATABASE}")))
            .unwrap();
        let port = runtime.block_on(tcp_port_of(server.socket()));
        let place = Place::new();
        let out = place.path().join("out");
        Command::new("sh")
            .args(["-c", &self.script()])
            .current_dir(self.folder())
            .envs(self.env.iter().copied())
            .env("OUT", &out)
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", port.to_string())
            .env("PGUSER", config.get_user().unwrap())
            .env("PGPASSWORD", "any")
            .env("PGDATABASE", DATABASE)
            .env("PGSSLMODE", "disable")
            .stdin(Stdio::null())
            .status()
            .unwrap();
        results(&fs::read_to_string(out).unwrap())
    }

    /// What becomes of each test behind the proxy, where nobody schedules it.
    fn unscheduled(&self) -> BTreeMap<String, String> {
        let (code, found) = self.explored("setup_command", "\n[[session]]\nname = 'one'\nsteps = ['SELECT 1']");
        // tests that create roles change what all databases share, which is refused once they are over
        assert!(matches!(code, Some(0 | 2)), "{code:?}");
        found
    }

    /// What becomes of each test as the only session of a scenario.
    fn scheduled(&self) -> BTreeMap<String, String> {
        let (code, found) = self.explored("[[session]]\nname = 'suite'\ncommand", "");
        // they cancel what they send, by timers of their own
        assert_eq!(code, Some(4));
        found
    }

    /// Explores a scenario with the tests as the program of `key`.
    fn explored(&self, key: &str, rest: &str) -> (Option<i32>, BTreeMap<String, String>) {
        let place = Place::new();
        let scenario = format!(
            "{key} = [\"sh\", \"-c\", '''cd {:?} && {}''']{rest}\n[[invariant]]\nname = 'true'\nsql = 'SELECT true'\n",
            self.folder(),
            self.script(),
        );
        let mut command = place.pgbraid();
        command
            .env("OUT", place.path().join("out"))
            .envs(self.env.iter().copied());
        command.arg("explore").arg(place.write("suite.toml", &scenario));
        let finished = finish(command);
        let out = fs::read_to_string(place.path().join("out")).unwrap_or_else(|_| panic!("{finished:?}"));
        (finished.code, results(&out))
    }

    fn assert_same(&self, at_least: usize, differ: &[&str]) {
        self.assert_alike(&self.unscheduled(), at_least, differ);
    }

    fn assert_alike(&self, behind: &BTreeMap<String, String>, at_least: usize, differ: &[&str]) {
        let alone = self.directly();
        let passed = alone.values().filter(|result| *result == "PASSED").count();
        println!("{}: {} tests, {passed} of which pass", self.folder, alone.len());
        assert!(passed >= at_least, "{alone:#?}");
        let names: std::collections::BTreeSet<&String> = alone.keys().chain(behind.keys()).collect();
        let different = names
            .into_iter()
            .filter(|name| alone.get(*name) != behind.get(*name))
            // one that fails without pgbraid, and by chance passes with it, says nothing of the proxy
            .filter(|name| behind.get(*name).is_none_or(|result| result != "PASSED"))
            .map(|name| format!("{name}: {:?}, {:?}", alone.get(name), behind.get(name)));
        let unknown: Vec<String> = different
            .filter(|line| !differ.iter().any(|known| line.contains(known)))
            .collect();
        assert_eq!(unknown, Vec::<String>::new());
    }
}

/// From the summary: `PASSED tests/test_copy.py::TestCopy::test_x`, and `FAILED … - why`. Tests that were skipped have no name
/// there.
fn results(output: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in output.lines() {
        let Some((result, name)) = line.split_once(' ') else {
            continue;
        };
        if ["PASSED", "FAILED", "ERROR", "XFAIL", "XPASS"].contains(&result) && name.contains("::") {
            let name = name.split(" - ").next().unwrap_or_default();
            found.insert(name.to_owned(), result.to_owned());
        }
    }
    found
}

const ASYNCPG: &str = "asyncpg-0.30.0";
const PG8000: &str = "pg8000-1.31.2";
const PSYCOPG2: &str = "psycopg2-2.9.10";

#[test]
fn what_asyncpg_tests_of_statements() {
    let suite = Suite {
        folder: ASYNCPG,
        tests: &[
            "tests/test_execute.py",
            "tests/test_prepare.py",
            "tests/test_cursor.py",
            "tests/test_copy.py",
            "tests/test_transaction.py",
        ],
        env: &[],
    };
    suite.assert_same(80, &[]);
}

/// Rows and portals, errors in the middle of a COPY, cancellations, transactions in transactions.
#[test]
#[ignore = "takes minutes"]
fn what_asyncpg_tests_of_statements_as_a_session() {
    let suite = Suite {
        folder: ASYNCPG,
        tests: &[
            "tests/test_copy.py",
            "tests/test_cursor.py",
            "tests/test_transaction.py",
            "tests/test_execute.py",
        ],
        env: &[],
    };
    // a reply is withheld until its request is complete, so a client does not hear of an error while it sends more
    suite.assert_alike(
        &suite.scheduled(),
        50,
        &["test_executemany_server_failure_during_writes"],
    );
}

/// Whatever database a program names is that of its run, and pgbraid asks for the password that it gave before it says anything
/// else.
const DATABASES: &[&str] = &[
    "_in_pool",
    "test_async_connection_error_message",
    "test_pickle_connection_error",
    "atabaseName",
    "atabase_missing",
    "atabase_name",
    "atabaseMissing",
    "assword",
    "test_md5",
    "testMd5",
];

#[test]
#[ignore = "takes minutes"]
fn all_that_asyncpg_tests() {
    let suite = Suite {
        folder: ASYNCPG,
        tests: &["tests"],
        env: &[],
    };
    suite.assert_same(250, DATABASES);
}

#[test]
#[ignore = "takes minutes"]
fn all_that_pg8000_tests() {
    let suite = Suite {
        folder: PG8000,
        tests: &[
            "test/native",
            "test/dbapi",
            "test/legacy",
            "--benchmark-skip",
            "--ignore-glob=*/auth",
            "-k",
            "not tpc and not two_phase",
        ],
        env: &[],
    };
    suite.assert_same(600, DATABASES);
}

#[test]
#[ignore = "takes minutes"]
fn all_that_psycopg2_tests() {
    let suite = Suite {
        folder: PSYCOPG2,
        tests: &["tests", "-k", "not TwoPhase"],
        env: &[("PSYCOPG2_TESTDB", DATABASE)],
    };
    suite.assert_same(700, DATABASES);
}
