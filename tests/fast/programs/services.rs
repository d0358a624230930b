//! Requests to a service as sessions: a small one, with a pool of connections of its own.

use super::{CLIENT, Finished, Place, assert_inconclusive, finish};

/// Serves `POST /`: `handle` answers with what is written there, given a connection of the pool.
const SERVICE: &str = r#"
import http.server, os, sys, threading, time
from client import *

free, guard, single = [], threading.Lock(), threading.Lock()

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        with guard:
            c = free.pop() if free else None
        c = c or Connection()
        try:
            status, body = handle(c)
        finally:
            with guard:
                free.append(c)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(str(body).encode())

    def log_message(self, *of):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
"#;

struct Trial {
    place: Place,
    instances: usize,
}

impl Trial {
    /// A service that handles requests by these lines of Python, after `start` has run.
    fn new(start: &str, handle: &str) -> Trial {
        let place = Place::new();
        place.write("client.py", CLIENT);
        let handle: String = handle.lines().map(|line| format!("    {line}\n")).collect();
        let service = format!("{SERVICE}\ndef handle(c):\n{handle}\n{start}\nserver.serve_forever()\n");
        place.write("service.py", &service);
        Trial { place, instances: 1 }
    }

    fn on(self, instances: usize) -> Trial {
        Trial { instances, ..self }
    }

    fn prove(&self) -> Finished {
        let scenario = format!(
            r#"
setup = "CREATE TABLE t (x int); INSERT INTO t VALUES (0)"
[[service]]
name = "counter"
instances = {}
command = ["python3", "-SE", "service.py", "{{port}}"]
[[session]]
name = "bump"
copies = 2
request = {{ service = "counter", method = "POST", path = "/" }}
[[invariant]]
name = "both count"
sql = "SELECT x = 2 FROM t"
"#,
            self.instances
        );
        let path = self.place.write("trial.toml", &scenario);
        let mut command = self.place.pgbraid();
        command.arg("prove").arg(path);
        command.args(["--no-shrink", "--step-timeout", "8", "--format", "json"]);
        finish(command)
    }
}

const READ_AND_WRITE: &str =
    "x = int(c.ask('SELECT x FROM t')[0][0])\nc.run(f'UPDATE t SET x = {x + 1}')\nreturn 200, x";

#[test]
fn requests_to_one_instance_race_as_those_to_two_do() {
    for instances in [1, 2] {
        let found = Trial::new("", READ_AND_WRITE).on(instances).prove();
        assert_eq!(found.code, Some(1), "{instances}: {found:?}");
        assert_eq!(found.json()["failure"]["violations"], serde_json::json!(["both count"]));
    }
}

#[test]
fn a_counter_that_is_changed_in_one_statement_is_proved() {
    let handle = "c.run('UPDATE t SET x = x + 1')\nreturn 200, ''";
    for instances in [1, 2] {
        let found = Trial::new("", handle).on(instances).prove();
        assert_eq!(found.code, Some(0), "{instances}: {found:?}");
    }
}

#[test]
fn requests_that_wait_for_each_other_inside_their_service_are_inconclusive() {
    let handle = format!("with single:\n    {}", READ_AND_WRITE.replace('\n', "\n    "));
    let found = Trial::new("", &handle).prove();
    assert_inconclusive(&found, "start-order");
}

#[test]
fn a_timer_of_a_request_is_inconclusive() {
    let handle = "c.run('UPDATE t SET x = x + 1')\ntime.sleep(0.8)\nc.run('UPDATE t SET x = x')\nreturn 200, ''";
    let found = Trial::new("", handle).prove();
    assert_inconclusive(&found, "waited-for-timer");
}

/// What a handler does in a thread, a moment after it has answered.
fn later(pause: f32) -> String {
    format!(
        "def later():\n    time.sleep({pause})\n    Connection().run('UPDATE t SET x = x')\n\
         c.run('UPDATE t SET x = x + 1')\nthreading.Thread(target=later, daemon=True).start()\nreturn 200, ''"
    )
}

#[test]
fn a_thread_that_works_after_the_answer_is_inconclusive() {
    for pause in [0.5, 4.0] {
        let found = Trial::new("", &later(pause)).prove();
        assert_inconclusive(&found, "work-left");
    }
}

/// A thread of the service itself, which waits for no time that is known.
#[test]
fn a_statement_after_the_last_answer_is_inconclusive() {
    let start = "import queue\nwork = queue.SimpleQueue()\n\
                 def worker():\n    while True:\n        work.get()\n        time.sleep(0.4)\n        \
                 Connection().run('UPDATE t SET x = x')\nthreading.Thread(target=worker, daemon=True).start()";
    let handle = "c.run('UPDATE t SET x = x + 1')\nwork.put(1)\nreturn 200, ''";
    let found = Trial::new(start, handle).on(2).prove();
    assert_inconclusive(&found, "work-left");
}

#[test]
fn a_status_of_500_fails() {
    let found = Trial::new("", "c.run('UPDATE t SET x = x + 1')\nreturn 500, ''").prove();
    assert_eq!(found.code, Some(1), "{found:?}");
    assert_eq!(found.json()["failure"]["violations"][0], "status 500 of bump-1");
}

#[test]
fn a_service_that_changes_the_database_as_it_starts_is_refused() {
    let found = Trial::new("Connection().run('CREATE TABLE u ()')", "return 200, ''").prove();
    found.assert_error(2, &["counter", "CREATE TABLE u ()", "setup_command"]);
}

#[test]
fn a_service_that_ends_as_it_starts_is_an_error() {
    let found = Trial::new(
        "print('no such file', flush=True); raise SystemExit(3)",
        "return 200, ''",
    )
    .prove();
    found.assert_error(2, &["counter", "exit code 3", "no such file"]);
}

#[test]
fn a_failing_run_shows_what_its_service_printed_and_nothing_of_earlier_runs() {
    let handle = format!("sys.stderr.write('asked' + chr(10))\nsys.stderr.flush()\n{READ_AND_WRITE}");
    let found = Trial::new("", &handle).prove();
    assert_eq!(found.code, Some(1), "{found:?}");
    let printed = &found.json()["failure"]["outputs"][0]["stderr"];
    assert_eq!(printed, "asked\nasked\n", "{found:?}");
}
