//! Interleavings that a program has and none of which may be left out, and what makes a verdict impossible.

use super::{Trial, assert_fails, assert_holds, assert_inconclusive, finish};

const ADD: &str = "c.run('UPDATE t SET x = x + 1')";
const NEVER_SEEN: &str = "SELECT NOT EXISTS (SELECT FROM seen WHERE x = 1)";

#[test]
fn a_silent_statement_that_takes_the_snapshot_is_scheduled() {
    let read = "c.run('BEGIN ISOLATION LEVEL REPEATABLE READ')\nc.run('SELECT 1')\n\
                c.run('INSERT INTO seen SELECT x FROM t')\nc.run('COMMIT')";
    assert_fails(&Trial::new(&[("read", read), ("write", ADD)], NEVER_SEEN).run());
}

#[test]
fn the_level_that_a_connection_begins_with_counts() {
    let read = "c = Connection(options='-c default_transaction_isolation=serializable')\n\
                c.run('BEGIN')\nc.run('SELECT 1')\nc.run('INSERT INTO seen SELECT x FROM t')\nc.run('COMMIT')";
    assert_fails(&Trial::new(&[("read", read), ("write", ADD)], NEVER_SEEN).run());
}

#[test]
fn a_flush_commits_nothing() {
    let write = "c.send(parse('UPDATE t SET x = x + 1'), bind(), execute(), FLUSH)\nc.until(b'C')\n\
                 c.send(parse('UPDATE t SET x = x + 10'), bind(), execute(), FLUSH)\nc.until(b'C')\n\
                 c.send(SYNC)\nassert c.kinds() == 'Z' and c.status == 'I'\nassert c.run('SELECT x FROM t') == [['11']]";
    let look = "c.run('INSERT INTO seen SELECT x FROM t')";
    assert_holds(&Trial::new(&[("write", write), ("look", look)], NEVER_SEEN).run());
}

#[test]
fn what_was_flushed_is_rolled_back_with_the_statement_that_fails() {
    let write = "c.send(parse('UPDATE t SET x = x + 1'), bind(), execute(), FLUSH)\nc.until(b'C')\n\
                 c.send(parse('UPDATE t SET x = 1 / 0'), bind(), execute(), FLUSH)\nc.until(b'E')\n\
                 c.send(parse('UPDATE t SET x = 5'), bind(), execute(), FLUSH)\nc.send(SYNC)\n\
                 assert c.kinds() == 'Z' and c.status == 'I'\nassert c.run('SELECT x FROM t') == [['0']]";
    assert_holds(&Trial::new(&[("write", write)], "SELECT x = 0 FROM t").run());
}

#[test]
fn a_program_that_leaves_it_to_chance_is_inconclusive() {
    // the file makes every other run do otherwise
    let chance = "import os\nodd = os.path.exists('odd')\nos.remove('odd') if odd else open('odd', 'w').close()\n\
                  c.run('UPDATE t SET x = x + 1' if odd else 'SELECT x FROM t')";
    let finished = Trial::new(&[("chance", chance), ("write", ADD)], "SELECT true").run();
    assert_inconclusive(&finished, "runs-differ");
}

#[test]
fn statements_of_two_connections_at_once_are_inconclusive() {
    let threads = "import threading\nd = Connection()\n\
                   def work(one, by): one.run(f'UPDATE t SET x = x + {by}')\n\
                   all = [threading.Thread(target=work, args=args) for args in ((c, 1), (d, 2))]\n\
                   for one in all: one.start()\nfor one in all: one.join()";
    let finished = Trial::new(&[("threads", threads), ("write", ADD)], "SELECT true").run();
    assert_inconclusive(&finished, "concurrent-connections");
}

#[test]
fn two_connections_that_take_turns_are_under_control() {
    let turns = "d = Connection()\nfor one in (c, d, c): one.run('UPDATE t SET x = x + 1')";
    assert_holds(&Trial::new(&[("turns", turns), ("write", ADD)], "SELECT x = 4 FROM t").run());
}

#[test]
fn a_wait_that_a_timeout_may_end_is_inconclusive() {
    let hurried =
        "c.run(\"SET lock_timeout = '1h'\")\nc.run('BEGIN')\nc.run('UPDATE t SET x = x + 1')\nc.run('COMMIT')";
    let finished = Trial::new(&[("hurried", hurried), ("write", ADD)], "SELECT x = 2 FROM t").run();
    assert_inconclusive(&finished, "timeout-not-explored");
}

#[test]
fn a_wait_for_ones_own_other_connection_is_an_error() {
    let own = "d = Connection()\nc.run('BEGIN')\nc.run('UPDATE t SET x = 1')\nd.run('UPDATE t SET x = 2')";
    let finished = Trial::new(&[("own", own)], "SELECT true").run();
    finished.assert_error(3, &["another connection of the same program"]);
}

#[test]
fn a_lock_on_a_file_and_one_on_a_row_that_wait_for_each_other_are_an_error() {
    let program = |first: &str, second: &str| {
        format!(
            "import fcntl\nfile = open('lock', 'w')\ndef lock(): fcntl.flock(file, fcntl.LOCK_EX)\n\
             def row(): c.run('UPDATE t SET x = x + 1')\nc.run('BEGIN')\nc.run('SELECT x FROM t')\n{first}()\n{second}()\n\
             c.run('COMMIT')"
        )
    };
    let (one, other) = (program("lock", "row"), program("row", "lock"));
    let finished = Trial::new(&[("one", &one), ("other", &other)], "SELECT true").run();
    finished.assert_error(3, &["outside the database"]);
}

#[test]
fn the_anomaly_of_two_programs_is_named() {
    let bump = "c.run('BEGIN')\nx = int(c.run('SELECT x FROM t')[0][0])\nc.ask('UPDATE t SET x = $1', [x + 1])\nc.run('COMMIT')";
    let found = Trial::new(&[("one", bump), ("other", bump)], "SELECT x = 2 FROM t").run();
    assert_fails(&found);
    assert_eq!(found.json()["failure"]["anomaly"], "lost update", "{found:?}");
}

/// The ids of all outcomes that a strategy finds.
fn outcomes(trial: &Trial, strategy: &str) -> Vec<String> {
    let mut command = trial.command();
    command.args(["--strategy", strategy, "--keep-going"]);
    let found = finish(command);
    let report = found.json();
    assert_eq!(report["exhaustive"], true, "{found:?}");
    let outcomes = report["outcomes"].as_array().unwrap().iter();
    let mut ids: Vec<String> = outcomes.map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

#[test]
fn what_came_before_a_savepoint_outlives_an_error() {
    let write = "c.run('BEGIN')\nc.run('UPDATE t SET x = 1')\nc.run('SAVEPOINT a')\n\
                 try:\n    c.run('SELECT 1 / 0')\nexcept Failed:\n    c.run('ROLLBACK TO a')\n\
                 c.run('INSERT INTO seen VALUES (7)')\nc.run('COMMIT')";
    let look = "c.run('INSERT INTO seen SELECT x FROM t FOR SHARE')";
    let trial = Trial::new(&[("write", write), ("look", look)], "SELECT true");
    let all = outcomes(&trial, "exhaustive");
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(outcomes(&trial, "dpor"), all);
}

#[test]
fn a_transaction_that_another_follows_at_once_has_ended() {
    let write = "c.run('BEGIN')\nc.run('UPDATE t SET x = 1')\nc.run('COMMIT AND CHAIN')\n\
                 c.run('UPDATE t SET x = x + 1')\nc.run('COMMIT')";
    let look = "c.run('INSERT INTO seen SELECT x FROM t FOR SHARE')";
    let trial = Trial::new(&[("write", write), ("look", look)], "SELECT true");
    let all = outcomes(&trial, "exhaustive");
    assert_eq!(all.len(), 3, "{all:?}");
    assert_eq!(outcomes(&trial, "dpor"), all);
}

#[test]
fn a_begin_that_is_sent_with_its_statement_belongs_to_it() {
    let begins = "c.send(parse('BEGIN'), bind(), execute(), parse('UPDATE t SET x = x + 1'), bind(), execute(), SYNC)\n\
                  c.until(b'Z')\nc.run('COMMIT')";
    let noted = |program: &str| {
        let finished = Trial::new(&[("program", program)], "SELECT true").run();
        assert_holds(&finished);
        finished.stdout.contains("several statements in one request")
    };
    assert!(!noted(begins));
    assert!(noted(&begins.replace("BEGIN", "UPDATE t SET x = 0")));
}

/// What a program makes anew in each run: none of it is the same twice.
const FRESH: &str = "import datetime, time, uuid\nnow = datetime.datetime.now(datetime.timezone.utc).isoformat()\n\
                     id, moment, key = str(uuid.uuid4()), time.time(), uuid.uuid4().hex\nc.run('BEGIN')\n\
                     x = int(c.run('SELECT x FROM t{lock}')[0][0])\n\
                     c.run(f\"INSERT INTO made VALUES ('{id}', '{now}', {moment}, '{key}')\")\n\
                     c.ask('INSERT INTO made VALUES ($1, $2, $3, $4)', [uuid.uuid4(), now, moment, key])\n\
                     assert c.run(f\"SELECT count(*) FROM made WHERE key = '{key}'\") == [['2']]\n\
                     c.run(f'UPDATE t SET x = {x + 1}')\nc.run('COMMIT')";

/// Two programs that make such values beside what they are about.
fn with_fresh_values(lock: &str) -> Trial {
    let program = FRESH.replace("{lock}", lock);
    let trial = Trial::new(&[("one", &program), ("other", &program)], "SELECT x = 2 FROM t");
    let tables = "CREATE TABLE made (id uuid PRIMARY KEY, at timestamptz, moment numeric, key text);";
    let scenario = trial.scenario.replacen("setup = \"", &format!("setup = \"{tables}"), 1);
    Trial { scenario, ..trial }
}

#[test]
fn values_that_programs_make_anew_are_no_difference_between_runs() {
    assert_fails(&with_fresh_values("").run());
    assert_holds(&with_fresh_values(" FOR UPDATE").run());
}

#[test]
fn an_invariant_may_name_a_table_that_a_program_creates() {
    let create = "c.run('CREATE TABLE IF NOT EXISTS made (x int)')\nc.run('INSERT INTO made VALUES (1)')";
    assert_holds(&Trial::new(&[("create", create)], "SELECT count(*) = 1 FROM made").run());
    let nothing = Trial::new(&[("look", "c.run('SELECT x FROM t')")], "SELECT count(*) = 1 FROM made").run();
    assert_eq!(nothing.code, Some(2), "{nothing:?}");
    assert!(nothing.stderr.contains("does not exist"), "{nothing:?}");
}

/// The first to look at its clock need not be the first to send a statement.
#[test]
fn times_of_programs_own_clocks_that_are_compared_are_inconclusive() {
    let adds = "import datetime\nnow = str(datetime.datetime.now(datetime.timezone.utc))\n\
                typed = text('') + text('INSERT INTO seen VALUES ($1)') + struct.pack('!hi', 1, 1184)\n\
                c.send(message(b'P', typed), bind([now]), execute(), message(b'S'))\nc.until(b'Z')";
    let run = |invariant| {
        let mut trial = Trial::new(&[("one", adds), ("other", adds)], invariant);
        trial.scenario = trial.scenario.replace("seen (x int)", "seen (x timestamptz)");
        trial.run()
    };
    assert_holds(&run("SELECT count(*) = 2 FROM seen"));
    assert_inconclusive(&run("SELECT count(*) = 2 AND max(x) >= min(x) FROM seen"), "own-clock");
}
