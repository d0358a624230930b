//! A race and its fix, in a scenario made in code: two transfers from one account, checked first without and then with a
//! row lock. In a test, `assert_fails` and `assert_holds` take the place of the report.
//!
//! ```sh
//! cargo run --example prove_a_fix
//! ```

use std::error::Error;

use pgbraid::scenario::{Param, ScenarioError};
use pgbraid::{Scenario, Verdict};

/// Two transfers, of 80 and of 70, from an account that holds 100. `check` reads its balance.
fn transfers(name: &str, check: &str) -> Result<Scenario, ScenarioError> {
    Scenario::builder(name)
        .setup("CREATE TABLE accounts (owner text PRIMARY KEY, balance integer NOT NULL)")
        .setup("INSERT INTO accounts VALUES ('ann', 100)")
        .session("transfer", |transfer| {
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
            "SELECT min(balance) >= 0, min(balance) AS least FROM accounts",
        )
        .build()
}

fn main() -> Result<(), Box<dyn Error>> {
    let read = "SELECT balance FROM accounts WHERE owner = 'ann'";
    let broken = transfers("transfers", read)?.explore().run()?;
    println!("{broken}\n");
    assert_eq!(broken.verdict(), Verdict::Fails);

    let fixed = transfers("transfers-for-update", &format!("{read} FOR UPDATE"))?
        .prove()
        .run()?;
    println!("{fixed}");
    assert_eq!(fixed.verdict(), Verdict::Holds);
    Ok(())
}
