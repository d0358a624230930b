//! Sessions that are closures of the test itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pgbraid::scenario::ScenarioBuilder;
use pgbraid::testing::{Found, Search, TestError};
use pgbraid::{Scenario, Verdict};
use tokio_postgres::{Client, NoTls};

type Failing = Box<dyn std::error::Error + Send + Sync>;

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn look_and_insert(url: String) -> Result<(), tokio_postgres::Error> {
    let client = connect(&url).await?;
    let found = client
        .query_opt("SELECT FROM users WHERE email = $1", &[&"ann"])
        .await?;
    if found.is_none() {
        client.execute("INSERT INTO users VALUES ($1)", &[&"ann"]).await?;
    }
    Ok(())
}

async fn lock_and_insert(url: String) -> Result<(), tokio_postgres::Error> {
    let mut client = connect(&url).await?;
    let transaction = client.transaction().await?;
    transaction.batch_execute("SELECT pg_advisory_xact_lock(1)").await?;
    let found = transaction
        .query_opt("SELECT FROM users WHERE email = $1", &[&"ann"])
        .await?;
    if found.is_none() {
        transaction.execute("INSERT INTO users VALUES ($1)", &[&"ann"]).await?;
    }
    transaction.commit().await
}

fn users(name: &str) -> ScenarioBuilder {
    Scenario::builder(name)
        .setup("CREATE TABLE users (email text)")
        .invariant("one user of the address", "SELECT count(*) <= 1 FROM users")
}

/// One search, of which the quickest is shown.
fn search(builder: ScenarioBuilder) -> Search {
    builder
        .build()
        .unwrap()
        .explore()
        .without_shrinking()
        .step_timeout(Duration::from_secs(2))
}

fn error_of(found: Result<Found, TestError>) -> String {
    match found {
        Ok(found) => panic!("{found}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_race_between_closures_is_found_and_its_fix_proved() {
    let found = search(
        users("naive")
            .attach("one", look_and_insert)
            .attach("other", look_and_insert),
    );
    let found = found.assert_fails("one user of the address");
    let said = found.to_string();
    assert!(said.contains("INSERT INTO users VALUES ('ann')"), "{said}");
    users("locked")
        .attach("one", lock_and_insert)
        .attach("other", lock_and_insert)
        .build()
        .unwrap()
        .prove()
        .assert_holds();
}

#[test]
fn a_closure_races_with_a_session_of_steps() {
    let steps = users("mixed")
        .attach("closure", look_and_insert)
        .session("steps", |steps| steps.statement("INSERT INTO users VALUES ('ann')"));
    let found = search(steps).assert_fails("one user of the address");
    assert_eq!(found.history().unwrap().sessions, ["closure", "steps"]);
}

#[test]
fn an_error_is_a_failed_exit_and_shown() {
    let failing = users("failing").attach("failing", |url| async move {
        let client = connect(&url).await?;
        client.batch_execute("INSERT INTO users VALUES ('bob')").await?;
        Err::<(), Failing>("the card was declined".into())
    });
    let said = search(failing).assert_fails("exit code 1 of failing").to_string();
    assert!(said.contains("the card was declined"), "{said}");

    let refused = users("refused").attach("refused", |url| async move {
        connect(&url).await?.batch_execute("SELECT nothing").await
    });
    let said = search(refused).assert_fails("exit code 1 of refused").to_string();
    assert!(said.contains("column \"nothing\" does not exist"), "{said}");
}

#[test]
fn a_panic_is_a_failed_exit_and_shown() {
    let panicking = users("panicking").attach("panicking", |url| async move {
        let client = connect(&url).await?;
        let found = client.query("SELECT email FROM users", &[]).await?;
        assert!(!found.is_empty(), "there are no users");
        Ok::<(), tokio_postgres::Error>(())
    });
    let said = search(panicking).assert_fails("exit code 1 of panicking").to_string();
    assert!(said.contains("panicked: there are no users"), "{said}");
}

#[test]
fn a_closure_that_neither_sends_nor_ends_is_an_error() {
    let pending = users("pending").attach("pending", |_| std::future::pending::<Result<(), Failing>>());
    let said = error_of(search(pending).run());
    assert!(said.contains("pending") && said.contains("2s"), "{said}");

    // it blocks the thread that it runs on
    let blocking = users("blocking").attach("blocking", |_| async {
        std::thread::sleep(Duration::from_secs(20));
        Ok::<(), Failing>(())
    });
    let said = error_of(search(blocking).run());
    assert!(said.contains("blocking") && said.contains("2s"), "{said}");
}

#[test]
fn a_closure_need_not_connect() {
    let idle = users("idle")
        .attach("idle", |_| async { Ok::<(), Failing>(()) })
        .attach("user", look_and_insert);
    assert_eq!(search(idle).run().unwrap().verdict(), Verdict::Holds);
}

/// Counts those that are there.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Counted {
        count.fetch_add(1, Ordering::SeqCst);
        Counted(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn what_a_closure_has_started_ends_with_its_run() {
    let (calls, alive) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let most = Arc::new(AtomicUsize::new(0));
    let (called, counted, seen) = (calls.clone(), alive.clone(), most.clone());
    let spawning = users("spawning")
        .attach("spawning", move |url| {
            called.fetch_add(1, Ordering::SeqCst);
            seen.fetch_max(counted.load(Ordering::SeqCst), Ordering::SeqCst);
            let guard = Counted::new(&counted);
            async move {
                tokio::spawn(async move {
                    let _guard = guard;
                    std::future::pending::<()>().await;
                });
                look_and_insert(url).await
            }
        })
        .attach("other", lock_and_insert);
    let found = search(spawning).jobs(1).keep_going().run().unwrap();
    assert_eq!(found.verdict(), Verdict::Fails);
    assert!(calls.load(Ordering::SeqCst) > 2);
    assert_eq!((most.load(Ordering::SeqCst), alive.load(Ordering::SeqCst)), (0, 0));
}
