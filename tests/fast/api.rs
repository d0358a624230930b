//! The library as a Rust test uses it.

use std::time::Duration;

use pgbraid::explore::Reason;
use pgbraid::scenario::Param;
use pgbraid::schedule::{Entry, Extent};
use pgbraid::testing::Bench;
use pgbraid::{Scenario, Schedule, Verdict};

use crate::common::lab::fixture;
use crate::common::server::runtime;

/// What a panic says.
fn panic_of(work: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = std::panic::catch_unwind(work).expect_err("it panics");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn seats_are_never_booked_twice() {
    fixture("seats-for-update").prove().assert_holds();
}

#[test]
fn a_failure_panics_with_the_timeline() {
    let said = panic_of(|| fixture("seats").prove().assert_holds());
    for part in [
        "invariant broken: one ticket a seat",
        "│ user-1",
        "INSERT INTO tickets VALUES ('alice', 12)",
        "Smallest schedule: user-1 until check, user-2 to end, user-1 to end",
        "FAILS  seats",
    ] {
        assert!(said.contains(part), "no {part:?} in\n{said}");
    }
}

#[test]
fn what_is_inconclusive_does_not_hold() {
    let said = panic_of(|| {
        fixture("last-items-for-update")
            .explore()
            .max_schedules(3)
            .assert_holds()
    });
    assert!(said.contains("the bound of 3 schedules was reached"), "{said}");
    let sampled = fixture("seats-for-update").explore().sampled(5, 1).run().unwrap();
    assert_eq!(sampled.verdict(), Verdict::Inconclusive);
    assert_eq!(sampled.reasons(), [Reason::Sampled]);
    assert!(sampled.failure().is_none());
}

#[test]
fn a_failure_that_is_expected_is_returned() {
    let found = fixture("opposite-order").explore().jobs(1).assert_fails("deadlock");
    let history = found.history().expect("it fails");
    assert_eq!(history.sessions, ["worker-1", "worker-2"]);
    let said = panic_of(|| {
        fixture("opposite-order").explore().assert_fails("no update is lost");
    });
    assert!(
        said.contains("no schedule that violates `no update is lost` was found"),
        "{said}"
    );
}

#[test]
fn a_mistake_is_shown_in_its_place() {
    let scenario = Scenario::builder("typo").session("a", |a| a.step("read", "SELECT views FROM articls"));
    let said = panic_of(|| scenario.build().expect("it can be read").prove().assert_holds());
    assert!(said.contains("relation \"articls\" does not"), "{said}");
    assert!(said.contains("typo (built in code):4:"), "{said}");
}

#[test]
fn a_search_can_be_awaited() {
    let runtime = runtime();
    runtime.block_on(async {
        let found = fixture("counter").explore().await.unwrap();
        assert_eq!(found.verdict(), Verdict::Fails);
        // the blocking way works there too
        fixture("counter-atomic").prove().assert_holds();
        // a future that is dropped ends its search
        let long = fixture("version-column-5").explore();
        let ended = tokio::time::timeout(Duration::from_millis(300), std::future::IntoFuture::into_future(long)).await;
        assert!(ended.is_err());
    });
}

#[test]
fn a_schedule_that_was_found_can_be_run_and_kept() {
    let found = fixture("counter").explore().run().unwrap();
    let schedule = found.schedule().expect("it fails");
    let mut bench = Bench::open(fixture("counter")).unwrap();
    let run = bench.run(&schedule).unwrap();
    assert_eq!(Some(&run.history), found.history());
    let serial: Schedule = ["worker-2", "worker-1"]
        .map(|name| Entry::new(name, Extent::ToEnd))
        .into_iter()
        .collect();
    assert!(bench.run(&serial).unwrap().violations.is_empty());
    let unknown = Schedule::parse(["worker-3 to end"]).expect("a session is named");
    let error = bench.run(&unknown).expect_err("there is no worker-3").to_string();
    assert!(error.contains("there is no session `worker-3`"), "{error}");
    // and the bench can be used further
    assert_eq!(bench.run(&schedule).unwrap().violated(), ["no update is lost"]);
}

#[test]
fn a_scenario_made_in_code_is_one() {
    let transfers = |check: &'static str| {
        Scenario::builder("transfer")
            .setup("CREATE TABLE accounts (owner text PRIMARY KEY, balance integer NOT NULL)")
            .setup("INSERT INTO accounts VALUES ('ann', 100), ('ben', 0)")
            .session("transfer", move |transfer| {
                transfer
                    .copy_with([("amount", Param::from(80))])
                    .copy_with([("amount", Param::from(70))])
                    .statement("BEGIN")
                    .step("check", check)
                    .step_when(
                        ":balance >= :amount",
                        "debit",
                        "UPDATE accounts SET balance = balance - :amount WHERE owner = 'ann'",
                    )
                    .statement("COMMIT")
            })
            .invariant(
                "nobody owes",
                "SELECT bool_and(balance >= 0), min(balance) AS least FROM accounts",
            )
            .build()
            .unwrap_or_else(|error| panic!("{error}"))
    };
    let check = "SELECT balance FROM accounts WHERE owner = 'ann'";
    transfers(check).explore().assert_fails("nobody owes");
    transfers("SELECT balance FROM accounts WHERE owner = 'ann' FOR UPDATE")
        .prove()
        .assert_holds();
}
