//! How many schedules it takes: no more than there are orders that matter, however many interleavings there are.

use std::path::Path;
use std::time::Duration;

use pgbraid::explore::{Dpor, Strategy};
use pgbraid::run::Workbench;
use pgbraid::scenario::Scenario;

use super::host::Host;

const NAIVE: &str = r#""BEGIN", "SELECT v FROM t WHERE id = 1", "UPDATE t SET v = :v + 1 WHERE id = 1", "COMMIT""#;
const FOR_UPDATE: &str =
    r#""BEGIN", "SELECT v FROM t WHERE id = 1 FOR UPDATE", "UPDATE t SET v = :v + 1 WHERE id = 1", "COMMIT""#;
const ATOMIC: &str = r#""UPDATE t SET v = v + 1 WHERE id = 1""#;

struct Found {
    schedules: u64,
    /// The number of the first that fails, from 1 on.
    first_failure: Option<u64>,
}

/// Runs the schedules of so many workers, up to the first that fails.
fn explore(steps: &str, workers: usize, symmetric: bool) -> Found {
    let toml = format!(
        r#"setup = "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0)"
           [[session]]
           name = "worker"
           copies = {workers}
           steps = [{steps}]
           [[invariant]]
           name = "no update is lost"
           sql = "SELECT v = {workers} FROM t"
        "#
    );
    let scenario = Scenario::from_toml("counter", "counter.toml", &toml, Path::new(".")).unwrap();
    let host = Host::start();
    host.with_template(scenario, |template| {
        let mut bench = host
            .runtime
            .block_on(Workbench::open(template.clone(), Duration::from_secs(60)))
            .unwrap();
        let mut dpor = Dpor::new(template.scenario(), template.program().clone(), symmetric);
        let mut found = Found {
            schedules: 0,
            first_failure: None,
        };
        while let Some(mut job) = dpor.next() {
            let run = host.runtime.block_on(bench.run(job.scheduler.as_mut())).unwrap();
            found.schedules += 1;
            assert_eq!(dpor.observe(&job.key, &run), None);
            if !run.violations.is_empty() {
                found.first_failure = Some(found.schedules);
                break;
            }
        }
        found
    })
    .unwrap()
}

#[test]
fn interchangeable_workers_that_lock_the_row_first_take_one_schedule() {
    for workers in [2, 3, 10] {
        let found = explore(FOR_UPDATE, workers, true);
        assert_eq!((found.schedules, found.first_failure), (1, None), "{workers} workers");
    }
}

#[test]
fn workers_that_lock_the_row_first_take_a_schedule_for_each_order_of_theirs() {
    let found = explore(FOR_UPDATE, 3, false);
    assert_eq!((found.schedules, found.first_failure), (6, None));
}

#[test]
fn interchangeable_workers_with_an_atomic_update_take_one_schedule() {
    let found = explore(ATOMIC, 10, true);
    assert_eq!((found.schedules, found.first_failure), (1, None));
}

#[test]
fn the_lost_update_of_naive_workers_shows_at_once() {
    assert_eq!(explore(NAIVE, 10, true).first_failure, Some(2));
}
