//! The application's own code as sessions: two requests sign up the same address, first naively and then with
//! `ON CONFLICT`. They are closures of this program, which are given the address of a database.
//!
//! ```sh
//! cargo run --example explore_closures
//! ```

use std::error::Error;

use pgbraid::scenario::ScenarioBuilder;
use pgbraid::{Scenario, Verdict};
use tokio_postgres::{Client, NoTls};

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Finds the user of an address, or makes it.
async fn sign_up(url: String, email: &str) -> Result<(), tokio_postgres::Error> {
    let client = connect(&url).await?;
    let found = client
        .query_opt("SELECT id FROM users WHERE email = $1", &[&email])
        .await?;
    if found.is_none() {
        client
            .execute("INSERT INTO users (email) VALUES ($1)", &[&email])
            .await?;
    }
    Ok(())
}

/// The same for addresses that are unique.
async fn sign_up_on_conflict(url: String, email: &str) -> Result<(), tokio_postgres::Error> {
    let client = connect(&url).await?;
    client
        .execute(
            "INSERT INTO users (email) VALUES ($1) ON CONFLICT (email) DO NOTHING",
            &[&email],
        )
        .await?;
    Ok(())
}

fn users(name: &str, table: &str) -> ScenarioBuilder {
    Scenario::builder(name)
        .setup(table)
        .invariant("one user of the address", "SELECT count(*) = 1 FROM users")
}

fn main() -> Result<(), Box<dyn Error>> {
    let naive = users("naive", "CREATE TABLE users (id serial PRIMARY KEY, email text)")
        .attach("form", |url| sign_up(url, "ann@example.com"))
        .attach("app", |url| sign_up(url, "ann@example.com"))
        .build()?
        .explore()
        .run()?;
    println!("{naive}\n");
    assert_eq!(naive.verdict(), Verdict::Fails);

    let unique = "CREATE TABLE users (id serial PRIMARY KEY, email text UNIQUE)";
    let fixed = users("on-conflict", unique)
        .attach("form", |url| sign_up_on_conflict(url, "ann@example.com"))
        .attach("app", |url| sign_up_on_conflict(url, "ann@example.com"))
        .build()?
        .prove()
        .run()?;
    println!("{fixed}");
    assert_eq!(fixed.verdict(), Verdict::Holds);
    Ok(())
}
