//! Outcomes of programs compared with those of serial orders of their transactions.

use super::{Trial, assert_fails, assert_holds, assert_inconclusive, finish};

/// Reads and writes in one transaction.
fn bump(read: &str) -> String {
    format!(
        "c.run('BEGIN')\nx = int(c.run('{read}')[0][0])\nc.ask('UPDATE t SET x = $1', [x + 1])\nc.run('COMMIT')\nprint(x)"
    )
}

fn trial(programs: &[(&str, &str)]) -> Trial {
    let trial = Trial::new(programs, "SELECT true");
    let scenario = format!("serializable = true\n{}", trial.scenario);
    Trial { scenario, ..trial }
}

#[test]
fn what_two_programs_do_in_no_serial_order_is_found_shown_and_pinned() {
    let naive = bump("SELECT x FROM t");
    let found = trial(&[("one", &naive), ("other", &naive)]);
    let path = found.place.write("trial.toml", &found.scenario);
    let mut explore = found.place.pgbraid();
    explore.arg("explore").arg(path).args(["--confirm", "1", "--pin"]);
    explore.arg(found.place.path().join("pinned"));
    let explored = finish(explore);
    assert_fails(&explored);
    for expected in [
        "no serial order of the committed transactions leads to this outcome",
        "Of 2 serial orders that this was compared with the nearest is one, other. It differs in:",
        "other, step select t: x = 0; in that order x = 1",
        "t at the end: (x = 1); in that order (x = 2)",
        "lost update",
    ] {
        assert!(explored.stdout.contains(expected), "{expected}: {explored:?}");
    }
    let mut replay = found.place.pgbraid();
    replay.arg("replay").arg(found.place.path().join("pinned"));
    assert_eq!(finish(replay).code, Some(0));
    let fixed = bump("SELECT x FROM t FOR UPDATE");
    assert_holds(&trial(&[("one", &fixed), ("other", &fixed)]).run());
}

/// Each statement is a transaction, and what one program sends depends on what was committed between two of them.
#[test]
fn a_serial_order_may_switch_programs_after_each_transaction() {
    let look = "a = c.run('SELECT x FROM t')[0][0]\nb = c.run('SELECT x FROM t')[0][0]\n\
                c.run(f'INSERT INTO seen VALUES ({a}), ({b})' if a != b else 'SELECT count(*) FROM seen')";
    let add = "c.run('UPDATE t SET x = x + 1')\nc.run('INSERT INTO seen VALUES (7)')";
    assert_holds(&trial(&[("look", look), ("add", add)]).run());
}

#[test]
fn a_script_and_a_program_are_put_in_one_order() {
    let program = "c.run('BEGIN')\nn = int(c.run('SELECT count(*) FROM seen')[0][0])\n\
                   c.run(f'UPDATE t SET x = {n + 5}')\nc.run('COMMIT')";
    let script = |read: &str| {
        let steps = format!("steps = ['BEGIN', '{read}', 'INSERT INTO seen VALUES (:x)', 'COMMIT']");
        let mut mixed = trial(&[("program", program)]);
        mixed.scenario += &format!("[[session]]\nname = \"script\"\n{steps}\n");
        mixed
    };
    let skewed = script("SELECT x FROM t").run();
    assert_fails(&skewed);
    assert_eq!(skewed.json()["failure"]["anomaly"], "phantom", "{skewed:?}");
    assert_holds(&script("SELECT x FROM t LIMIT 0").run());
}

#[test]
fn a_transaction_that_a_program_runs_again_counts_as_it_ended() {
    let again = "while True:\n    try:\n        c.run('BEGIN ISOLATION LEVEL SERIALIZABLE')\n        \
                 x = int(c.run('SELECT x FROM t')[0][0])\n        c.run(f'UPDATE t SET x = {x + 1}')\n        \
                 c.run('COMMIT')\n        break\n    except Failed:\n        c.run('ROLLBACK')";
    assert_holds(&trial(&[("one", again), ("other", again)]).run());
}

#[test]
fn an_error_that_a_serial_order_has_too_is_no_difference() {
    let get_or_create = "def get(): return c.run('SELECT x FROM seen WHERE x = 1')\nif not get():\n    try:\n        \
                         c.run('INSERT INTO seen VALUES (1)')\n    except Failed:\n        assert get()";
    let mut unique = trial(&[("one", get_or_create), ("other", get_or_create)]);
    unique.scenario = unique.scenario.replace("seen (x int)", "seen (x int UNIQUE)");
    assert_holds(&unique.run());
}

#[test]
fn what_follows_a_failure_that_no_serial_order_has_is_inconclusive() {
    let create = "try:\n    c.run('BEGIN')\n    if not c.run('SELECT x FROM seen'): c.run('INSERT INTO seen VALUES (1)')\n    \
                  c.run('COMMIT')\nexcept Failed:\n    c.run('ROLLBACK')\n    c.run('UPDATE t SET x = x + 1')";
    let mut unique = trial(&[("one", create), ("other", create)]);
    unique.scenario = unique.scenario.replace("seen (x int)", "seen (x int UNIQUE)");
    assert_inconclusive(&unique.run(), "serial-after-failure");
}

#[test]
fn transactions_that_a_program_has_open_at_the_same_time_are_inconclusive() {
    let two = "d = Connection()\nc.run('BEGIN')\nc.run('INSERT INTO seen VALUES (1)')\nd.run('UPDATE t SET x = x + 1')\n\
               c.run('COMMIT')";
    assert_inconclusive(&trial(&[("two", two)]).run(), "transactions-overlap");
    let prepares = "c.run('BEGIN')\nc.run('UPDATE t SET x = 1')\nc.run(\"PREPARE TRANSACTION 'p'\")\nc.run(\"COMMIT PREPARED 'p'\")";
    assert_inconclusive(&trial(&[("prepares", prepares)]).run(), "transaction-prepared");
}

#[test]
fn a_program_that_prints_something_else_for_the_same_answers_is_inconclusive() {
    let prints = |what: &str| format!("import os, uuid\nc.run('UPDATE t SET x = x + 1')\nprint({what})");
    assert_inconclusive(&trial(&[("prints", &prints("os.getpid()"))]).run(), "runs-differ");
    assert_holds(&trial(&[("prints", &prints("uuid.uuid4()"))]).run());
}
