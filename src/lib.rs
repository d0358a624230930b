//! pgbraid: a deterministic interleaving explorer for database transactions, on real PostgreSQL.
//!
//! Transactions that are right one after another can be wrong at the same time, and a test shows that only if it happens
//! to run them in the wrong order. pgbraid runs the transactions of an application on a real server in every order of
//! their steps that matters. It either shows an order that breaks an invariant, or says that none does.
//!
//! # The model
//!
//! - A **scenario** ([`Scenario`]) is what is explored: a setup that makes the state to start from, sessions, and
//!   invariants.
//! - A **session** is one database connection and the ordered **steps** that it will run. A step is what a session
//!   sends in one go: one statement, or the commit of a statement outside a transaction. It is the unit of scheduling;
//!   `BEGIN` is sent with the statement after it, and inside a statement nothing is scheduled.
//! - A **schedule** is the order in which sessions are scheduled, one entry for each step. An **interleaving** is one
//!   schedule out of all that keep each session's own order. [`interleavings`](explore::interleavings) counts them.
//! - A session is **blocked** when its step was sent and the server holds it on a lock of another session. Its turn
//!   passes until a step of another session releases it; when it then resumes is a choice of the schedule,
//!   too. Interleavings that schedule a blocked session do not exist on the server, so fewer schedules run than there
//!   are interleavings.
//! - A **history** ([`History`]) is what one run did: every step with its result, its waits and when it resumed. Nothing
//!   in it differs between two runs of the same schedule.
//! - An **outcome** ([`Outcome`](verdict::outcome::Outcome)) is what a history amounts to: every step's result or
//!   SQLSTATE, and the final content of the tables.
//!
//! # From a scenario to a verdict
//!
//! Each stage has a module of its own, and data flows one way:
//!
//! 1. [`scenario`] reads the file.
//! 2. [`postgres`] starts a server or connects to one, makes scratch databases and resets them, and knows who waits for
//!    whom. [`Template::prepare`](run::Template::prepare) runs the setup and has the server check every statement.
//! 3. [`explore`] decides which schedules are run: a [`Strategy`](explore::Strategy) gives them, and
//!    [`explore()`](explore::explore) runs them, several at a time, and collects what they came to. [`conflict`] tells
//!    which steps can affect each other, so that not every order of the others need be run.
//! 4. [`run`] executes one schedule, step by step, and returns its history.
//! 5. [`verdict`] judges a history: invariants, errors, deadlocks.
//! 6. [`shrink`](mod@shrink) makes a failing schedule small.
//! 7. [`report`] renders the result, as text or JSON.
//!
//! A [`Schedule`] as people write it is kept in a file by [`schedule`], and [`replay`](mod@replay) runs such files as
//! tests.
//!
//! # In tests
//!
//! [`testing`] puts all of this together:
//!
//! ```
//! use pgbraid::Scenario;
//!
//! // as the body of a #[test]
//! Scenario::from_file("fixtures/seats-for-update.toml").unwrap().prove().assert_holds();
//! ```
//!
//! # Features
//!
//! - `proptest`: schedules of a scenario as a strategy of the crate `proptest`, `testing::schedules`.
//!
//! [`isolation`] is separate: it runs PostgreSQL's isolation specifications in the orders that they name, and
//! prints what the reference tester prints.
//!
//! # Example
//!
//! Two workers read a counter and write it plus one. Each has three steps, because `BEGIN` is not a step of its own, so there
//! are 6! / (3! · 3!) = 20 interleavings. Counting them takes no server:
//!
//! ```
//! use std::path::Path;
//!
//! use pgbraid::explore::interleavings;
//! use pgbraid::scenario::Scenario;
//!
//! # fn main() -> Result<(), pgbraid::scenario::ScenarioError> {
//! let text = r#"
//!     setup = """
//!     CREATE TABLE articles (id text PRIMARY KEY, views integer NOT NULL);
//!     INSERT INTO articles VALUES ('a1', 0);
//!     """
//!
//!     [[session]]
//!     name = "worker"
//!     copies = 2
//!     steps = [
//!       "BEGIN",
//!       "SELECT views FROM articles WHERE id = 'a1'",
//!       "UPDATE articles SET views = :views + 1 WHERE id = 'a1'",
//!       "COMMIT",
//!     ]
//!
//!     [[invariant]]
//!     name = "no update is lost"
//!     sql = "SELECT views = 2 FROM articles WHERE id = 'a1'"
//! "#;
//! let scenario = Scenario::from_toml("counter", "counter.toml", text, Path::new("."))?;
//!
//! let names: Vec<&str> = scenario.sessions.iter().map(|session| session.name.as_str()).collect();
//! assert_eq!(names, ["worker-1", "worker-2"]);
//! assert_eq!(interleavings(&scenario).to_string(), "20");
//! # Ok(())
//! # }
//! ```

#![deny(missing_docs, unsafe_code)]
#![warn(clippy::unwrap_used)]

#[allow(missing_docs, reason = "public for the command line")]
pub mod conflict;
pub mod descriptors;
pub mod explore;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod history;
pub mod input;
#[allow(missing_docs, reason = "public for the command line")]
pub mod isolation;
pub mod pipeline;
#[allow(missing_docs, reason = "public for the command line")]
pub mod postgres;
#[allow(missing_docs, reason = "public for the command line")]
pub mod process;
#[allow(missing_docs, reason = "public for the command line")]
pub mod proxy;
#[allow(missing_docs, reason = "public for the command line")]
pub mod record;
#[allow(missing_docs, reason = "public for the command line")]
pub mod replay;
#[allow(missing_docs, reason = "public for the command line")]
pub mod report;
#[allow(missing_docs, reason = "public for the command line")]
pub mod run;
pub mod scenario;
pub mod schedule;
#[allow(missing_docs, reason = "public for the command line")]
pub mod shrink;
#[allow(missing_docs, reason = "public for the command line")]
pub mod sql;
mod suggest;
pub mod terminal;
pub mod testing;
pub mod verdict;

pub use explore::Verdict;
pub use history::History;
pub use scenario::Scenario;
pub use schedule::Schedule;
