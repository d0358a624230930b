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
    /// Further keys at the top of the file.
    keys: &'static str,
}

impl Trial {
    /// A service that handles requests by these lines of Python, after `start` has run.
    fn new(start: &str, handle: &str) -> Trial {
        let place = Place::new();
        place.write("client.py", CLIENT);
        let handle: String = handle.lines().map(|line| format!("    {line}\n")).collect();
        let service = format!("{SERVICE}\ndef handle(c):\n{handle}\n{start}\nserver.serve_forever()\n");
        place.write("service.py", &service);
        Trial {
            place,
            instances: 1,
            keys: "",
        }
    }

    fn on(self, instances: usize) -> Trial {
        Trial { instances, ..self }
    }

    fn with(self, keys: &'static str) -> Trial {
        Trial { keys, ..self }
    }

    fn prove(&self) -> Finished {
        self.finish("prove", &["--no-shrink", "--step-timeout", "8", "--format", "json"])
    }

    /// With a limit that a request which hangs reaches soon.
    fn explore_briefly(&self) -> Finished {
        self.finish("explore", &["--no-shrink", "--step-timeout", "2", "--format", "json"])
    }

    fn finish(&self, command: &str, arguments: &[&str]) -> Finished {
        let scenario = format!(
            r#"
{}
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
            self.keys, self.instances
        );
        let path = self.place.write("trial.toml", &scenario);
        let mut run = self.place.pgbraid();
        run.arg(command).arg(path).args(arguments);
        finish(run)
    }
}

#[test]
fn requests_are_compared_with_serial_orders() {
    let handle = |lock| {
        format!(
            "c.run('BEGIN')\nx = int(c.run('SELECT x FROM t{lock}')[0][0])\nc.run(f'UPDATE t SET x = {{x + 1}}')\n\
             c.run('COMMIT')\nreturn 200, x"
        )
    };
    let naive = Trial::new("", &handle("")).with("serializable = true").on(2).prove();
    assert_eq!(naive.code, Some(1), "{naive:?}");
    assert!(naive.stdout.contains("\"not serializable\""), "{naive:?}");
    let fixed = Trial::new("", &handle(" FOR UPDATE"))
        .with("serializable = true")
        .on(2)
        .prove();
    assert_eq!(fixed.code, Some(0), "{fixed:?}");
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

/// As asyncpg has it.
const RETURN_TO_POOL: &str = "SELECT pg_advisory_unlock_all();CLOSE ALL;UNLISTEN *;RESET ALL;";

#[test]
fn a_pool_that_resets_its_connections_keeps_the_service_and_its_steps_independent() {
    let start = "open('starts', 'a').write('x')";
    let handle = format!("c.run('UPDATE t SET x = x + 1')\nc.run('{RETURN_TO_POOL}')\nreturn 200, ''");
    let trial = Trial::new(start, &handle);
    let found = trial.finish("prove", &["--no-shrink", "--live", "--jobs", "1", "--format", "json"]);
    assert_eq!(found.code, Some(0), "{found:?}");
    let schedules = found.json()["schedules_run"].as_u64().unwrap();
    assert!(schedules <= 4, "the 35 of six steps that may all meet: {found:?}");
    let starts = std::fs::read_to_string(trial.place.path().join("starts")).unwrap();
    assert!(starts.len() < 5, "not one for each run: {starts}");
}

#[test]
fn locks_that_a_connection_gives_back_as_it_returns_to_its_pool_are_given_back_in_a_step() {
    let handle = format!(
        "if c.ask('SELECT pg_try_advisory_lock(1)') == [['t']]:\n    c.run('UPDATE t SET x = x + 1')\n\
         c.run('{RETURN_TO_POOL}')\nreturn 200, ''"
    );
    let found = Trial::new("", &handle).prove();
    assert_eq!(
        found.code,
        Some(1),
        "the second may come before the first gives the lock back: {found:?}"
    );
}

#[test]
fn a_service_that_is_notified_by_its_requests_is_inconclusive() {
    let start = "own = Connection()\nown.run('LISTEN heard')\n\
                 def hear():\n    while True:\n        own.one()\nthreading.Thread(target=hear, daemon=True).start()";
    let handle = "c.run('BEGIN; UPDATE t SET x = x + 1; NOTIFY heard; COMMIT')\nreturn 200, ''";
    let found = Trial::new(start, handle).prove();
    assert_inconclusive(&found, "notified");
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

/// Two requests that both read before either has written: the second to write then does this.
fn when_overtaken(what: &str) -> String {
    format!(
        "x = int(c.ask('SELECT x FROM t')[0][0])\nc.run('UPDATE t SET x = x + 1')\n\
         if int(c.ask('SELECT x FROM t')[0][0]) != x + 1:\n    {what}\nreturn 200, ''"
    )
}

#[test]
fn a_service_that_dies_during_a_request_fails_the_schedule_and_is_started_anew() {
    let handle = when_overtaken("sys.stderr.write('overtaken'); sys.stderr.flush(); os.kill(os.getpid(), 9)");
    let trial = Trial::new("", &handle);
    let pins = trial.place.path().join("pins");
    let arguments = ["--confirm", "2", "--format", "json", "--pin", pins.to_str().unwrap()];
    let found = trial.finish("explore", &arguments);
    assert_eq!(found.code, Some(1), "{found:?}");
    let report = found.json();
    let lost = serde_json::json!([{
        "name": "no answer to bump-1",
        "kind": "no_answer",
        "session": "bump-1",
        "cause": "the service ended with signal 9",
        "code": null,
        "signal": 9,
    }]);
    assert_eq!(report["failure"]["details"], lost);
    assert_eq!(report["failure"]["outputs"][0]["stderr"], "overtaken", "{found:?}");
    assert_eq!(report["shrink"]["confirmed"], 2, "{found:?}");
    let mut replay = trial.place.pgbraid();
    replay.arg("replay").arg(&pins);
    let replayed = finish(replay);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
}

#[test]
fn a_connection_that_a_service_closes_without_an_answer_fails_the_schedule() {
    let found = Trial::new("", &when_overtaken("raise OSError('overtaken')")).prove();
    assert_eq!(found.code, Some(1), "{found:?}");
    let failure = &found.json()["failure"];
    assert_eq!(failure["details"][0]["cause"], "the service closed the connection");
    let printed = failure["outputs"][0]["stderr"].as_str().unwrap();
    assert!(
        printed.ends_with("OSError: overtaken\n----------------------------------------\n"),
        "{printed}"
    );
}

#[test]
fn a_request_that_is_not_answered_in_time_fails_the_schedule() {
    let found = Trial::new("", &when_overtaken("threading.Event().wait()")).explore_briefly();
    assert_eq!(found.code, Some(1), "{found:?}");
    let details = &found.json()["failure"]["details"];
    assert_eq!(details[0]["cause"], "nothing came for 2s", "{found:?}");
}

/// The first to come updates and then takes the lock, the second takes the lock and then updates.
#[test]
fn requests_that_hold_each_other_up_inside_and_outside_the_database_fail_the_schedule() {
    let handle = "c.run('BEGIN')\nc.ask('SELECT 1 FROM t')\nwith guard:\n    first = len(came) % 2 == 0\n    came.append(1)\n\
                  update = lambda: c.run('UPDATE t SET x = x + 1')\n\
                  if first:\n    update()\nwith single:\n    first or update()\n    c.run('COMMIT')\nreturn 200, ''";
    // who is first is kept in memory, which tells more than what a request is told
    let arguments = ["--no-shrink", "--live", "--step-timeout", "2", "--format", "json"];
    let found = Trial::new("came = []", handle).finish("explore", &arguments);
    assert_eq!(found.code, Some(1), "{found:?}");
    assert_eq!(
        found.json()["failure"]["details"][0]["cause"],
        "nothing came for 2s",
        "{found:?}"
    );
}

#[test]
fn a_request_that_waits_for_what_an_answered_one_has_left_locked_fails_the_schedule() {
    let handle = "c = Connection()\nc.run('BEGIN')\nc.run('UPDATE t SET x = x + 1')\nleft.append(c)\nreturn 200, ''";
    let found = Trial::new("left = []", handle).explore_briefly();
    assert_eq!(found.code, Some(1), "{found:?}");
    let details = &found.json()["failure"]["details"];
    assert_eq!(
        details[0]["cause"], "it waits for a lock that no session gives back",
        "{found:?}"
    );
}

#[test]
fn a_request_that_is_never_answered_is_an_error() {
    let killed = Trial::new("", "print('no luck', flush=True)\nos.kill(os.getpid(), 9)").prove();
    killed.assert_error(3, &["bump-1", "even if it is the first", "signal 9", "no luck"]);
    let silent = Trial::new("", "threading.Event().wait()").explore_briefly();
    silent.assert_error(3, &["bump-1", "even if it is the first", "nothing came for 2s"]);
}

#[test]
fn a_service_that_does_not_come_to_rest_is_an_error() {
    let handle = "def spin():\n    while True:\n        pass\nthreading.Thread(target=spin, daemon=True).start()\nreturn 200, ''";
    let found = Trial::new("", handle).explore_briefly();
    found.assert_error(3, &["counter", "does not come to rest within 2s"]);
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
