//! What programs send as scenarios of steps.

use std::fs;
use std::os::unix::fs::symlink;

use insta::assert_snapshot;
use pgbraid::postgres::embedded::Binaries;

use super::{CLIENT, Finished, Place, finish};
use crate::common::program::open;

/// A scenario of programs in Python, and what comes of recording it.
struct Recording {
    place: Place,
    scenario: String,
}

impl Recording {
    /// `copies` copies of a program with a connection `c`, on a table `t` of one row.
    fn new(copies: &str, program: &str) -> Recording {
        let place = Place::new();
        place.write("client.py", CLIENT);
        let scenario = "setup = \"CREATE TABLE t (id int PRIMARY KEY, x int NOT NULL); INSERT INTO t VALUES (7, 0)\"\n";
        Recording {
            place,
            scenario: scenario.to_owned(),
        }
        .with("count", copies, program)
    }

    fn with(mut self, name: &str, keys: &str, program: &str) -> Recording {
        let text = format!("import sys\nfrom client import *\n{ASK}\nc = Connection()\n{program}\n");
        self.place.write(&format!("{name}.py"), &text);
        let argument = if keys.contains("id =") { ", \"{id}\"" } else { "" };
        self.scenario += &format!(
            "[[session]]\nname = \"{name}\"\n{keys}\ncommand = [\"python3\", \"-SE\", \"{name}.py\"{argument}]\n"
        );
        self
    }

    fn invariant(mut self, name: &str, sql: &str) -> Recording {
        self.scenario += &format!("[[invariant]]\nname = \"{name}\"\nsql = \"{sql}\"\n");
        self
    }

    fn record(&self, options: &[&str]) -> Finished {
        let path = self.place.write("trial.toml", &self.scenario);
        let mut command = self.place.pgbraid();
        command.arg("record").arg(path).args(options);
        finish(command)
    }

    /// The recorded scenario.
    fn recorded(&self) -> String {
        let found = self.record(&[]);
        assert_eq!(found.code, Some(0), "{found:?}");
        found.stdout
    }

    /// What a command says of a recorded scenario.
    fn judged(&self, command: &str, recorded: &str) -> Finished {
        let path = self.place.write("recorded.toml", recorded);
        let mut program = self.place.pgbraid();
        program.arg(command).arg(path).args(["--no-shrink", "--format", "json"]);
        finish(program)
    }
}

/// Asks as drivers do, which have the columns described.
const ASK: &str = "def ask(sql, *values):\n    \
                   c.send(parse(sql), bind(values), describe(kind=b'P'), execute(), SYNC)\n    return c.rows()";

/// Reads, and writes one more.
const READ_AND_WRITE: &str = "x = int(ask('SELECT x FROM t WHERE id = $1', 7)[0][0])\n\
                              ask('UPDATE t SET x = $1 WHERE id = $2', x + 1, 7)";

#[test]
fn a_counter_is_written_as_it_counts() {
    let trial = Recording::new("copies = 2", READ_AND_WRITE).invariant("both count", "SELECT x = 2 FROM t");
    let recorded = trial.recorded();
    assert_snapshot!(recorded);
    let found = trial.judged("explore", &recorded);
    assert_eq!(found.code, Some(1), "{found:?}");
    assert_eq!(found.json()["failure"]["violations"], serde_json::json!(["both count"]));
}

#[test]
fn a_counter_that_locks_its_row_is_proved() {
    let program = format!(
        "c.run('BEGIN')\n{}\nc.run('COMMIT')",
        READ_AND_WRITE.replace("id = $1", "id = $1 FOR UPDATE")
    );
    let mut trial = Recording::new("copies = 2", &program).invariant("both count", "SELECT x = 2 FROM t");
    trial.scenario = format!("serializable = true\n{}", trial.scenario);
    let recorded = trial.recorded();
    assert!(recorded.contains("serializable = true"), "{recorded}");
    let found = trial.judged("prove", &recorded);
    assert_eq!(found.code, Some(0), "{found:?}");
}

#[test]
fn a_branch_is_a_condition_and_parameters_stay_parameters() {
    let program = "if c.run('SELECT count(*) FROM t WHERE x = 5') == [['0']]:\n    \
                   ask('INSERT INTO t VALUES ($1, 5)', sys.argv[1])";
    let trial = Recording::new("params = [{ id = 1 }, { id = 2 }]", program)
        .invariant("one", "SELECT count(*) = 1 FROM t WHERE x = 5");
    let recorded = trial.recorded();
    assert_snapshot!(recorded);
    let found = trial.judged("explore", &recorded);
    assert_eq!(found.code, Some(1), "{found:?}");
}

#[test]
fn copies_whose_paths_no_variable_tells_apart_are_sessions_of_their_own() {
    let program = "c.run('UPDATE t SET x = 5')\n\
                   if sys.argv[1] == 'b':\n    c.run('DELETE FROM t WHERE x = 6')";
    let trial = Recording::new("params = [{ id = 'a' }, { id = 'b' }, { id = 'a' }]", program);
    assert_snapshot!(trial.recorded());
}

#[test]
fn what_a_script_cannot_do_is_said() {
    let program = "c.run('UPDATE t SET x = 3; UPDATE t SET x = 4')\n\
                   try:\n    c.run('INSERT INTO t VALUES (7, 7)')\nexcept Failed:\n    c.run('DELETE FROM t WHERE x = 0')\n\
                   print('done')";
    let trial = Recording::new("allow_exit = [1]", program)
        .invariant("it says so", "SELECT stdout = 'done' FROM pgbraid.sessions")
        .invariant("it ends", "SELECT count(*) = 1 FROM pgbraid.sessions");
    let found = trial.record(&[]);
    assert_eq!(found.code, Some(0), "{found:?}");
    assert_snapshot!(found.stdout);
}

#[test]
fn what_no_step_can_be_is_refused() {
    let copies = "c.send(query('COPY t TO STDOUT'))\nc.until([b'Z'])";
    let found = Recording::new("", copies).record(&[]);
    found.assert_error(2, &["session count", "copy t", "COPY"]);
    let overlapping = "d = Connection()\nc.run('BEGIN')\nc.run('UPDATE t SET x = 1')\nd.run('SELECT x FROM t')\n\
                       c.run('COMMIT')";
    let found = Recording::new("", overlapping).record(&[]);
    found.assert_error(2, &["session count", "several connections"]);
    let found = Recording::new("", "c.run('SELECT 1')").record(&[]);
    found.assert_error(2, &["session count", "no statement"]);
    let mut scripted = Recording::new("", "");
    scripted.scenario = "[[session]]\nname = \"a\"\nsteps = [\"SELECT 1\"]\n".to_owned();
    scripted.record(&[]).assert_error(2, &["nothing to record"]);
}

#[test]
fn the_state_of_a_setup_command_is_written() {
    let mut trial = Recording::new("", "c.run('UPDATE more SET b = a')")
        .invariant("more", "SELECT bool_and(b = a) AND count(*) = 2 FROM more");
    let migrate = "from client import *\nc = Connection()\n\
                   c.run(\"CREATE TABLE more (a text, b text); INSERT INTO more VALUES ('it''s;', NULL), ('b', 'c')\")\n";
    trial.place.write("migrate.py", migrate);
    trial.scenario = format!(
        "setup_command = [\"python3\", \"-SE\", \"migrate.py\"]\n{}",
        trial.scenario
    );
    let recorded = trial.recorded();
    assert!(!recorded.contains("setup_command ="), "{recorded}");
    let found = trial.judged("prove", &recorded);
    assert_eq!(found.code, Some(0), "{recorded} {found:?}");
}

#[test]
fn without_pg_dump_nobody_knows_the_state_of_a_setup_command() {
    let trial = Recording::new("", "c.run('UPDATE t SET x = 1')");
    let server = Binaries::find().unwrap();
    let folder = trial.place.path().join("bin");
    fs::create_dir(&folder).unwrap();
    open(&folder);
    for program in ["postgres", "initdb"] {
        symlink(server.dir().join(program), folder.join(program)).unwrap();
    }
    let scenario = format!("setup_command = [\"/bin/sh\", \"-c\", \"\"]\n{}", trial.scenario);
    let path = trial.place.write("trial.toml", &scenario);
    let mut command = trial.place.pgbraid();
    command.arg("record").arg(path);
    command.env("PGBRAID_PG_BINDIR", &folder).env("PATH", &folder);
    finish(command).assert_error(3, &["pg_dump", "setup_command"]);
}

#[test]
fn a_service_is_written_as_its_requests() {
    let place = Place::new();
    place.write("client.py", CLIENT);
    place.write(
        "service.py",
        &format!(
            "import http.server, sys\nfrom client import *\n{ASK}\nc = Connection()\nc.run(\"SET work_mem = '8MB'\")\n\
         class Handler(http.server.BaseHTTPRequestHandler):\n    \
         def do_POST(self):\n        \
         x = int(ask('SELECT x FROM t')[0][0])\n        ask('UPDATE t SET x = $1', x + 1)\n        \
         self.send_response(200)\n        self.end_headers()\n    \
         def log_message(self, *of):\n        pass\n\
         http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()\n"
        ),
    );
    let scenario = r#"
setup = "CREATE TABLE t (x int); INSERT INTO t VALUES (0)"
[[service]]
name = "counter"
instances = 2
command = ["python3", "-SE", "service.py", "{port}"]
[[session]]
name = "bump"
copies = 2
request = { service = "counter", method = "POST", path = "/" }
[[invariant]]
name = "both count"
sql = "SELECT x = 2 FROM t"
[[invariant]]
name = "both are answered"
sql = "SELECT bool_and(status = 200) FROM pgbraid.sessions"
"#;
    let recording = Recording {
        place,
        scenario: scenario.to_owned(),
    };
    let recorded = recording.recorded();
    assert_snapshot!(recorded);
    let found = recording.judged("explore", &recorded);
    assert_eq!(found.code, Some(1), "{found:?}");
}

#[test]
fn a_file_is_replaced_on_request_only() {
    let trial = Recording::new("", "c.run('UPDATE t SET x = 1')");
    let file = trial.place.write("there.toml", "old");
    let name = file.to_str().unwrap();
    let found = trial.record(&["--output", name]);
    found.assert_error(2, &["there.toml", "--force"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "old");
    let found = trial.record(&["--output", name, "--force"]);
    assert_eq!((found.code, found.stdout.as_str()), (Some(0), ""), "{found:?}");
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.starts_with("# Recorded from trial.toml"), "{written}");
    assert!(written.ends_with("]\n"), "{written}");
}

#[test]
fn steps_that_do_something_else_are_inconclusive() {
    // what it writes next depends on chance of its own
    let program = "c.run('UPDATE t SET x = 1')\n\
                   try:\n    c.run('INSERT INTO t VALUES (7, 7)')\nexcept Failed:\n    c.run('INSERT INTO t VALUES (8, 8)')";
    let found = Recording::new("", program).record(&[]);
    assert_eq!(found.code, Some(4), "{found:?}");
    assert!(
        found.stderr.contains("table t holds other rows at the end"),
        "{found:?}"
    );
    assert!(found.stdout.contains("# NOT THE SAME"), "{found:?}");
}
