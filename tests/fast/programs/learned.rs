//! Schedules that are run without the programs, from what was learned of them, come to what the programs come to.

use serde_json::Value;

use super::{CLIENT, Finished, Place, finish};

/// Two copies of a program in Python, with a connection `c`.
struct Learning {
    place: Place,
}

impl Learning {
    fn new(setup: &str, program: &str, invariant: &str) -> Learning {
        let place = Place::new();
        place.write("client.py", CLIENT);
        let python =
            format!("import hashlib, os, random, time, uuid\nfrom client import *\nc = Connection()\n{program}\n");
        place.write("program.py", &python);
        let scenario = format!(
            "setup = \"{setup}\"\n[[session]]\nname = \"p\"\ncopies = 2\ncommand = [\"python3\", \"program.py\"]\n\
             [[invariant]]\nname = \"kept\"\nsql = \"{invariant}\"\n"
        );
        place.write("trial.toml", &scenario);
        Learning { place }
    }

    fn explore(&self, more: &[&str]) -> (Finished, Value) {
        let mut command = self.place.pgbraid();
        command.arg("explore").arg(self.place.path().join("trial.toml"));
        command.args(["--keep-going", "--no-shrink", "--jobs", "1", "--format", "json"]);
        command.args(more);
        let finished = finish(command);
        let report = serde_json::from_str(&finished.stdout).unwrap_or_default();
        (finished, report)
    }

    /// The search comes to the same outcomes, by the same number of schedules each, as one in which the programs always run.
    /// Returns how many schedules were run without them.
    fn compare(&self) -> u64 {
        self.compare_with(&[])
    }

    fn compare_with(&self, options: &[&str]) -> u64 {
        let (finished, learned) = self.explore(options);
        let (_, live) = self.explore(&[options, &["--live"]].concat());
        assert_eq!(live["learned_runs"], 0, "{live}");
        for key in ["verdict", "outcomes", "schedules_run", "reason_codes"] {
            assert_eq!(learned[key], live[key], "{key}: {finished:?}");
        }
        learned["learned_runs"].as_u64().unwrap()
    }
}

const SAMPLED: &[&str] = &["--strategy", "random", "--samples", "6", "--seed", "5"];

const T: &str = "CREATE TABLE t (x int); INSERT INTO t VALUES (0)";

#[test]
fn the_outcomes_are_those_of_the_programs() {
    let naive = "x = int(c.ask('SELECT x FROM t')[0][0])\nc.run(f'UPDATE t SET x = {x + 1}')";
    let learning = Learning::new(T, naive, "SELECT x = 2 FROM t");
    assert!(learning.compare() >= 3);
}

/// The second statement needs the uuid that the first has made in the same run.
#[test]
fn what_a_program_passes_on_is_that_of_the_run() {
    let setup = "CREATE TABLE parent (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text UNIQUE); \
                 CREATE TABLE child (parent uuid NOT NULL REFERENCES parent, note text)";
    let program = "c.run('BEGIN')
found = c.ask(\"INSERT INTO parent (name) VALUES ('a') ON CONFLICT DO NOTHING RETURNING id\")
if not found:
    found = c.ask(\"SELECT id FROM parent WHERE name = 'a'\")
id = found[0][0]
c.run(f\"INSERT INTO child VALUES ('{id}', 'of {id}')\")
c.run('COMMIT')";
    let invariant = "SELECT count(*) = 2 FROM child JOIN parent ON parent.id = parent AND note = 'of ' || id";
    Learning::new(setup, program, invariant).compare();
}

/// It names the row that it has inserted: the uuid must be the same in both statements, and another in each session.
#[test]
fn what_a_program_makes_is_made_once_for_each_session() {
    let setup = "CREATE TABLE made (id uuid PRIMARY KEY, x int)";
    let program = "id = uuid.uuid4()
c.run(f\"INSERT INTO made VALUES ('{id}', 0)\")
n = int(c.ask('SELECT count(*) FROM made')[0][0])
c.run(f\"UPDATE made SET x = {n} WHERE id = '{id}'\")";
    let learning = Learning::new(setup, program, "SELECT count(*) = 2 AND min(x) > 0 FROM made");
    assert!(learning.compare_with(SAMPLED) >= 2);
}

/// A token that is made of another value is not followed: the program itself must say what it does.
#[test]
fn what_cannot_be_followed_is_left_to_the_program() {
    let setup = "CREATE TABLE t (x int, token uuid DEFAULT gen_random_uuid(), digest text); INSERT INTO t VALUES (0)";
    let by_digest = "token = c.ask('SELECT token FROM t')[0][0]
digest = hashlib.md5(token.encode()).hexdigest()
c.run(f\"UPDATE t SET x = x + 1, digest = '{digest}' WHERE md5(token::text) = '{digest}'\")";
    let learning = Learning::new(setup, by_digest, "SELECT x = 2 FROM t");
    assert_eq!(learning.compare_with(SAMPLED), 0);
}

/// Which of two known uuids it is told decides what it does, and the two look alike where they are masked.
#[test]
fn a_uuid_that_a_program_knows_is_told_from_another() {
    let setup = "CREATE TABLE seat (owner uuid); INSERT INTO seat VALUES ('11111111-1111-4111-8111-111111111111')";
    let program = "mine = '22222222-2222-4222-8222-222222222222'
owner = c.ask('SELECT owner FROM seat')[0][0]
if owner != mine:
    c.run(f\"UPDATE seat SET owner = '{mine}'\")
else:
    c.run('DELETE FROM seat')";
    Learning::new(setup, program, "SELECT count(*) <= 1 FROM seat").compare();
}

#[test]
fn settings_and_prepared_statements_are_those_of_a_new_connection() {
    let program = "c.run(\"SET myapp.tenant = 'a'\")
tenant = c.ask(\"SELECT current_setting('myapp.tenant') FROM t\")[0][0]
c.run(\"SET myapp.tenant = 'b'\")
c.run('PREPARE bump AS UPDATE t SET x = x + 1')
c.run('EXECUTE bump')
assert tenant == 'a'";
    Learning::new(T, program, "SELECT x = 2 FROM t").compare_with(SAMPLED);
}

#[test]
fn errors_and_locks_are_met_without_the_programs_too() {
    let setup =
        "CREATE TABLE t (id int PRIMARY KEY, x int); INSERT INTO t VALUES (1, 0), (2, 0); CREATE TABLE log (x int)";
    // each begins with the row that the other ends with, by chance of who came first
    let program = "c.run('BEGIN')
n = int(c.ask(\"SELECT count(*) FROM log\")[0][0])
c.run('INSERT INTO log VALUES (1)')
c.run('COMMIT')
try:
    c.run('BEGIN')
    c.run(f'UPDATE t SET x = x + 1 WHERE id = {1 + n % 2}')
    c.run(f'UPDATE t SET x = x + 1 WHERE id = {2 - n % 2}')
    c.run('COMMIT')
except Failed as error:
    c.run('ROLLBACK')
    c.run(f\"INSERT INTO log VALUES ({error.code[:2]})\")";
    let learning = Learning::new(setup, program, "SELECT count(*) = 2 FROM log");
    assert!(learning.compare_with(SAMPLED) > 2);
}

/// Whether a file is there decides: the first run sees something else than all others.
#[test]
fn a_program_that_remembers_between_runs_is_named() {
    let program = "known = os.path.exists('seen')
open('seen', 'a').close()
c.run('UPDATE t SET x = x + 1' if known else 'UPDATE t SET x = x + 2')";
    let (finished, report) = Learning::new(T, program, "SELECT x >= 2 FROM t").explore(&[]);
    assert_eq!(finished.code, Some(4), "{finished:?}");
    assert!(report["reason_codes"].to_string().contains("runs-differ"), "{report}");
}

/// Nobody holds the lock where no program runs, so nothing is learned of programs that lock files.
#[test]
fn programs_that_lock_files_always_run() {
    let program = "import fcntl
x = int(c.ask('SELECT x FROM t')[0][0])
f = open('lock', 'w')
fcntl.flock(f, fcntl.LOCK_EX)
c.run(f'UPDATE t SET x = {x + 1}')
f.close()";
    let learning = Learning::new(T, program, "SELECT x >= 1 FROM t");
    let (_, report) = learning.explore(&["--max-schedules", "4"]);
    assert_eq!(report["learned_runs"], 0, "{report}");
}
