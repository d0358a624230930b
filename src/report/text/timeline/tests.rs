use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

use crate::history::Wait;
use crate::history::testing::{self, Sample, deadlock, done, error, lost_update, row, rows};

fn drawn(history: &History) -> String {
    timeline(history, &TextOptions::default())
}

#[test]
fn a_lost_update() {
    assert_snapshot!(drawn(&lost_update()), @"
     # │ worker-1                                   │ worker-2
    ───┼────────────────────────────────────────────┼────────────────────────────────────────────
     1 │ BEGIN                                      │
       │ SELECT views FROM articles WHERE id = 'a1' │
       │ → views = 0                                │
     2 │                                            │ BEGIN
       │                                            │ SELECT views FROM articles WHERE id = 'a1'
       │                                            │ → views = 0
     3 │ UPDATE articles SET views = 0 + 1          │
       │   WHERE id = 'a1'                          │
       │ → 1 row updated                            │
     4 │ COMMIT → committed                         │
     5 │                                            │ UPDATE articles SET views = 0 + 1
       │                                            │   WHERE id = 'a1'
       │                                            │ → 1 row updated
     6 │                                            │ COMMIT → committed
    ");
}

#[test]
fn a_step_that_waits_for_a_row_lock_goes_on_after_the_commit() {
    let read = "SELECT views FROM articles WHERE id = 'a1' FOR UPDATE";
    let history = Sample::new(&["worker-1", "worker-2"])
        .turn(0, read, row(&[("views", Some("0"))]))
        .begun()
        .turn(1, read, row(&[("views", Some("1"))]))
        .begun()
        .waiting(&[(&[0], 1, 3)])
        .turn(0, "UPDATE articles SET views = 0 + 1 WHERE id = 'a1'", done("UPDATE 1"))
        .turn(0, "COMMIT", done("COMMIT"))
        .turn(1, "UPDATE articles SET views = 1 + 1 WHERE id = 'a1'", done("UPDATE 1"))
        .turn(1, "COMMIT", done("COMMIT"))
        .history();
    assert_snapshot!(drawn(&history), @"
     # │ worker-1                                   │ worker-2
    ───┼────────────────────────────────────────────┼────────────────────────────────────────────
     1 │ BEGIN                                      │
       │ SELECT views FROM articles WHERE id = 'a1' │
       │   FOR UPDATE                               │
       │ → views = 0                                │
     2 │                                            │ BEGIN
       │                                            │ SELECT views FROM articles WHERE id = 'a1'
       │                                            │   FOR UPDATE
       │                                            │ ⏳ waits for worker-1
     3 │ UPDATE articles SET views = 0 + 1          │ ┊
       │   WHERE id = 'a1'                          │ ┊
       │ → 1 row updated                            │ ┊
     4 │ COMMIT → committed                         │ ┊
       │                                            │ ▶ resumed: SELECT views FROM articles…
       │                                            │ → views = 1
     5 │                                            │ UPDATE articles SET views = 1 + 1
       │                                            │   WHERE id = 'a1'
       │                                            │ → 1 row updated
     6 │                                            │ COMMIT → committed
    ");
}

#[test]
fn a_deadlock() {
    assert_snapshot!(drawn(&deadlock()), @"
     # │ worker-1                                   │ worker-2
    ───┼────────────────────────────────────────────┼────────────────────────────────────────────
     1 │ BEGIN                                      │
       │ UPDATE accounts SET n = n - 1 WHERE id = 1 │
       │ → 1 row updated                            │
     2 │                                            │ BEGIN
       │                                            │ UPDATE accounts SET n = n - 1 WHERE id = 2
       │                                            │ → 1 row updated
     3 │ UPDATE accounts SET n = n + 1 WHERE id = 2 │
       │ ⏳ waits for worker-2                      │
     4 │ ┊                                          │ UPDATE accounts SET n = n + 1 WHERE id = 1
       │ ┊                                          │ ⏳ waits for worker-1
       │ ┊                                          │ ✗ 40P01 deadlock detected
       │ ▶ resumed: UPDATE accounts SET n = n + 1…  │
       │ → 1 row updated                            │
     5 │                                            │ ROLLBACK (after the error) → rolled back
     6 │ COMMIT → committed                         │
    ");
}

#[test]
fn a_deadlock_whose_victim_blocked_first() {
    let history = Sample::new(&["a", "b"])
        .turn(
            0,
            "UPDATE accounts SET n = 1 WHERE id = 2",
            error("40P01", "deadlock detected"),
        )
        .waiting(&[(&[1], 0, 1)])
        .turn(1, "UPDATE accounts SET n = 1 WHERE id = 1", done("UPDATE 1"))
        .waiting(&[(&[0], 1, 1)])
        .history();
    assert_snapshot!(drawn(&history), @"
     # │ a                                      │ b
    ───┼────────────────────────────────────────┼────────────────────────────────────────
     1 │ UPDATE accounts SET n = 1 WHERE id = 2 │
       │ ⏳ waits for b                         │
     2 │ ┊                                      │ UPDATE accounts SET n = 1 WHERE id = 1
       │ ┊                                      │ ⏳ waits for a
       │ ┊                                      │ ▶ resumed
       │ ┊                                      │ → 1 row updated
       │ ▶ resumed: UPDATE accounts SET n = 1…  │
       │ ✗ 40P01 deadlock detected              │
    ");
}

#[test]
fn sessions_released_together_and_a_wait_that_moves_on() {
    let write = |to: u32| format!("UPDATE seats SET taken_by = {to} WHERE id = 12 AND taken_by IS NULL");
    let history = Sample::new(&["booking-1", "booking-2", "booking-3"])
        .turn(0, &write(1), done("UPDATE 1"))
        .begun()
        .turn(1, &write(2), done("UPDATE 0"))
        .begun()
        .waiting(&[(&[0], 1, 3)])
        .turn(2, &write(3), done("UPDATE 0"))
        .begun()
        .waiting(&[(&[0, 1], 2, 3), (&[1], 3, 4)])
        .turn(0, "COMMIT", done("COMMIT"))
        .turn(1, "COMMIT", done("COMMIT"))
        .turn(0, "LOCK TABLE seats", done("LOCK TABLE"))
        .turn(1, "SELECT count(*) FROM seats", row(&[("count", Some("9"))]))
        .waiting(&[(&[0], 6, 8)])
        .turn(2, "SELECT count(*) FROM seats", row(&[("count", Some("9"))]))
        .waiting(&[(&[0], 7, 8)])
        .turn(0, "ROLLBACK", done("ROLLBACK"))
        .history();
    assert_snapshot!(drawn(&history), @"
     # │ booking-1                     │ booking-2                     │ booking-3
    ───┼───────────────────────────────┼───────────────────────────────┼───────────────────────────────
     1 │ BEGIN                         │                               │
       │ UPDATE seats SET taken_by = 1 │                               │
       │   WHERE id = 12               │                               │
       │   AND taken_by IS NULL        │                               │
       │ → 1 row updated               │                               │
     2 │                               │ BEGIN                         │
       │                               │ UPDATE seats SET taken_by = 2 │
       │                               │   WHERE id = 12               │
       │                               │   AND taken_by IS NULL        │
       │                               │ ⏳ waits for booking-1        │
     3 │                               │ ┊                             │ BEGIN
       │                               │ ┊                             │ UPDATE seats SET taken_by = 3
       │                               │ ┊                             │   WHERE id = 12
       │                               │ ┊                             │   AND taken_by IS NULL
       │                               │ ┊                             │ ⏳ waits for booking-1 and
       │                               │ ┊                             │   booking-2
     4 │ COMMIT → committed            │ ┊                             │ ┊
       │                               │ ▶ resumed: UPDATE seats SET   │ ⏳ now waits for booking-2
       │                               │   taken_by = 2…               │
       │                               │ → 0 rows updated              │
     5 │                               │ COMMIT → committed            │ ┊
       │                               │                               │ ▶ resumed: UPDATE seats SET
       │                               │                               │   taken_by = 3…
       │                               │                               │ → 0 rows updated
     6 │ LOCK TABLE seats              │                               │
       │ → locked                      │                               │
     7 │                               │ SELECT count(*) FROM seats    │
       │                               │ ⏳ waits for booking-1        │
     8 │                               │ ┊                             │ SELECT count(*) FROM seats
       │                               │ ┊                             │ ⏳ waits for booking-1
     9 │ ROLLBACK → rolled back        │ ┊                             │ ┊
       │                               │ ▶ resumed with booking-3:     │ ▶ resumed with booking-2:
       │                               │   SELECT count(*) FROM seats  │   SELECT count(*) FROM seats
       │                               │ → count = 9                   │ → count = 9
    ");
}

fn imports(sessions: &[&str]) -> History {
    let insert = "INSERT INTO accounts (email, name, created_by) VALUES ('ann@example.com', 'Ann', NULL)";
    let mut sample = Sample::new(sessions);
    for session in 0..sessions.len() {
        let none = rows(&["id"], &[], "SELECT 0");
        sample = sample
            .turn(session, "SELECT id FROM accounts WHERE email = 'ann@example.com'", none)
            .begun();
    }
    sample = sample.turn(0, insert, done("INSERT 0 1"));
    let commit = 2 * sessions.len();
    for session in 1..sessions.len() {
        let duplicate = r#"duplicate key value violates unique constraint "accounts_email_key""#;
        sample = sample.turn(session, insert, error("23505", duplicate));
        sample = sample.waiting(&[(&[0], sessions.len() + session, commit)]);
    }
    sample = sample.turn(0, "COMMIT", done("COMMIT"));
    for session in 1..sessions.len() {
        sample = sample
            .turn(session, "ROLLBACK", done("ROLLBACK"))
            .with(|turn| turn.origin = Origin::Rollback(0));
    }
    sample.history()
}

#[test]
fn five_sessions_have_a_column_each() {
    assert_snapshot!(drawn(&imports(&["import-1", "import-2", "import-3", "import-4", "import-5"])), @r#"
     #  │ import-1         │ import-2         │ import-3         │ import-4         │ import-5
    ────┼──────────────────┼──────────────────┼──────────────────┼──────────────────┼───────────────────
      1 │ BEGIN            │                  │                  │                  │
        │ SELECT id        │                  │                  │                  │
        │   FROM accounts  │                  │                  │                  │
        │   WHERE email =  │                  │                  │                  │
        │   'ann@example.  │                  │                  │                  │
        │   com'           │                  │                  │                  │
        │ → no row         │                  │                  │                  │
      2 │                  │ BEGIN            │                  │                  │
        │                  │ SELECT id        │                  │                  │
        │                  │   FROM accounts  │                  │                  │
        │                  │   WHERE email =  │                  │                  │
        │                  │   'ann@example.  │                  │                  │
        │                  │   com'           │                  │                  │
        │                  │ → no row         │                  │                  │
      3 │                  │                  │ BEGIN            │                  │
        │                  │                  │ SELECT id        │                  │
        │                  │                  │   FROM accounts  │                  │
        │                  │                  │   WHERE email =  │                  │
        │                  │                  │   'ann@example.  │                  │
        │                  │                  │   com'           │                  │
        │                  │                  │ → no row         │                  │
      4 │                  │                  │                  │ BEGIN            │
        │                  │                  │                  │ SELECT id        │
        │                  │                  │                  │   FROM accounts  │
        │                  │                  │                  │   WHERE email =  │
        │                  │                  │                  │   'ann@example.  │
        │                  │                  │                  │   com'           │
        │                  │                  │                  │ → no row         │
      5 │                  │                  │                  │                  │ BEGIN
        │                  │                  │                  │                  │ SELECT id
        │                  │                  │                  │                  │   FROM accounts
        │                  │                  │                  │                  │   WHERE email =
        │                  │                  │                  │                  │   'ann@example.
        │                  │                  │                  │                  │   com'
        │                  │                  │                  │                  │ → no row
      6 │ INSERT INTO      │                  │                  │                  │
        │   accounts       │                  │                  │                  │
        │   (email, name,  │                  │                  │                  │
        │   created_by)    │                  │                  │                  │
        │   VALUES         │                  │                  │                  │
        │   ('ann@example. │                  │                  │                  │
        │   com', 'Ann',   │                  │                  │                  │
        │   NULL)          │                  │                  │                  │
        │ → 1 row inserted │                  │                  │                  │
      7 │                  │ INSERT INTO      │                  │                  │
        │                  │   accounts       │                  │                  │
        │                  │   (email, name,  │                  │                  │
        │                  │   created_by)    │                  │                  │
        │                  │   VALUES         │                  │                  │
        │                  │   ('ann@example. │                  │                  │
        │                  │   com', 'Ann',   │                  │                  │
        │                  │   NULL)          │                  │                  │
        │                  │ ⏳ waits for     │                  │                  │
        │                  │   import-1       │                  │                  │
      8 │                  │ ┊                │ INSERT INTO      │                  │
        │                  │ ┊                │   accounts       │                  │
        │                  │ ┊                │   (email, name,  │                  │
        │                  │ ┊                │   created_by)    │                  │
        │                  │ ┊                │   VALUES         │                  │
        │                  │ ┊                │   ('ann@example. │                  │
        │                  │ ┊                │   com', 'Ann',   │                  │
        │                  │ ┊                │   NULL)          │                  │
        │                  │ ┊                │ ⏳ waits for     │                  │
        │                  │ ┊                │   import-1       │                  │
      9 │                  │ ┊                │ ┊                │ INSERT INTO      │
        │                  │ ┊                │ ┊                │   accounts       │
        │                  │ ┊                │ ┊                │   (email, name,  │
        │                  │ ┊                │ ┊                │   created_by)    │
        │                  │ ┊                │ ┊                │   VALUES         │
        │                  │ ┊                │ ┊                │   ('ann@example. │
        │                  │ ┊                │ ┊                │   com', 'Ann',   │
        │                  │ ┊                │ ┊                │   NULL)          │
        │                  │ ┊                │ ┊                │ ⏳ waits for     │
        │                  │ ┊                │ ┊                │   import-1       │
     10 │                  │ ┊                │ ┊                │ ┊                │ INSERT INTO
        │                  │ ┊                │ ┊                │ ┊                │   accounts
        │                  │ ┊                │ ┊                │ ┊                │   (email, name,
        │                  │ ┊                │ ┊                │ ┊                │   created_by)
        │                  │ ┊                │ ┊                │ ┊                │   VALUES
        │                  │ ┊                │ ┊                │ ┊                │   ('ann@example.
        │                  │ ┊                │ ┊                │ ┊                │   com', 'Ann',
        │                  │ ┊                │ ┊                │ ┊                │   NULL)
        │                  │ ┊                │ ┊                │ ┊                │ ⏳ waits for
        │                  │ ┊                │ ┊                │ ┊                │   import-1
     11 │ COMMIT           │ ┊                │ ┊                │ ┊                │ ┊
        │   → committed    │ ┊                │ ┊                │ ┊                │ ┊
        │                  │ ▶ resumed with 3 │ ▶ resumed with 3 │ ▶ resumed with 3 │ ▶ resumed with 3
        │                  │   others: INSERT │   others: INSERT │   others: INSERT │   others: INSERT
        │                  │   INTO accounts  │   INTO accounts  │   INTO accounts  │   INTO accounts
        │                  │   (email…        │   (email…        │   (email…        │   (email…
        │                  │ ✗ 23505          │ ✗ 23505          │ ✗ 23505          │ ✗ 23505 duplicate
        │                  │   duplicate key  │   duplicate key  │   duplicate key  │   key value
        │                  │   value violates │   value violates │   value violates │   violates unique
        │                  │   unique         │   unique         │   unique         │   constraint
        │                  │   constraint     │   constraint     │   constraint     │   "accounts_
        │                  │   "accounts_     │   "accounts_     │   "accounts_     │   email_key"
        │                  │   email_key"     │   email_key"     │   email_key"     │
     12 │                  │ ROLLBACK (after  │                  │                  │
        │                  │   the error)     │                  │                  │
        │                  │   → rolled back  │                  │                  │
     13 │                  │                  │ ROLLBACK (after  │                  │
        │                  │                  │   the error)     │                  │
        │                  │                  │   → rolled back  │                  │
     14 │                  │                  │                  │ ROLLBACK (after  │
        │                  │                  │                  │   the error)     │
        │                  │                  │                  │   → rolled back  │
     15 │                  │                  │                  │                  │ ROLLBACK (after
        │                  │                  │                  │                  │   the error)
        │                  │                  │                  │                  │   → rolled back
    "#);
}

#[test]
fn ten_sessions_make_a_list() {
    let names: Vec<String> = (1..=10).map(|i| format!("import-{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_snapshot!(drawn(&imports(&names)), @r#"
     #  │ session   │ statement
    ────┼───────────┼─────────────────────────────────────────────────────────────────────────────
      1 │ import-1  │ BEGIN
        │           │ SELECT id FROM accounts WHERE email = 'ann@example.com'
        │           │ → no row
      2 │ import-2  │ BEGIN
        │           │ SELECT id FROM accounts WHERE email = 'ann@example.com'
        │           │ → no row
      3 │ import-3  │ BEGIN
        │           │ SELECT id FROM accounts WHERE email = 'ann@example.com'
        │           │ → no row
      4 │ import-4  │ BEGIN
        │           │ SELECT id FROM accounts WHERE email = 'ann@example.com'
        │           │ → no row
      5 │ import-5  │ BEGIN
        │           │ SELECT id FROM accounts WHERE email = 'ann@example.com'
        │           │ → no row
      6 │ import-6  │ BEGIN
        │           │ SELECT id FROM accounts WHERE email = 'ann@example.com'
        │           │ → no row
      7 │ import-7  │ BEGIN
        │           │ SELECT id FROM accounts WHERE email = 'ann@example.com'
        │           │ → no row
      8 │ import-8  │ BEGIN
        │           │ SELECT id FROM accounts WHERE email = 'ann@example.com'
        │           │ → no row
      9 │ import-9  │ BEGIN
        │           │ SELECT id FROM accounts WHERE email = 'ann@example.com'
        │           │ → no row
     10 │ import-10 │ BEGIN
        │           │ SELECT id FROM accounts WHERE email = 'ann@example.com'
        │           │ → no row
     11 │ import-1  │ INSERT INTO accounts (email, name, created_by)
        │           │   VALUES ('ann@example.com', 'Ann', NULL)
        │           │ → 1 row inserted
     12 │ import-2  │ INSERT INTO accounts (email, name, created_by)
        │           │   VALUES ('ann@example.com', 'Ann', NULL)
        │           │ ⏳ waits for import-1
     13 │ import-3  │ INSERT INTO accounts (email, name, created_by)
        │           │   VALUES ('ann@example.com', 'Ann', NULL)
        │           │ ⏳ waits for import-1
     14 │ import-4  │ INSERT INTO accounts (email, name, created_by)
        │           │   VALUES ('ann@example.com', 'Ann', NULL)
        │           │ ⏳ waits for import-1
     15 │ import-5  │ INSERT INTO accounts (email, name, created_by)
        │           │   VALUES ('ann@example.com', 'Ann', NULL)
        │           │ ⏳ waits for import-1
     16 │ import-6  │ INSERT INTO accounts (email, name, created_by)
        │           │   VALUES ('ann@example.com', 'Ann', NULL)
        │           │ ⏳ waits for import-1
     17 │ import-7  │ INSERT INTO accounts (email, name, created_by)
        │           │   VALUES ('ann@example.com', 'Ann', NULL)
        │           │ ⏳ waits for import-1
     18 │ import-8  │ INSERT INTO accounts (email, name, created_by)
        │           │   VALUES ('ann@example.com', 'Ann', NULL)
        │           │ ⏳ waits for import-1
     19 │ import-9  │ INSERT INTO accounts (email, name, created_by)
        │           │   VALUES ('ann@example.com', 'Ann', NULL)
        │           │ ⏳ waits for import-1
     20 │ import-10 │ INSERT INTO accounts (email, name, created_by)
        │           │   VALUES ('ann@example.com', 'Ann', NULL)
        │           │ ⏳ waits for import-1
     21 │ import-1  │ COMMIT → committed
        │ import-2  │ ▶ resumed with 8 others: INSERT INTO accounts (email…
        │           │ ✗ 23505 duplicate key value violates unique constraint "accounts_email_key"
        │ import-3  │ ▶ resumed with 8 others: INSERT INTO accounts (email…
        │           │ ✗ 23505 duplicate key value violates unique constraint "accounts_email_key"
        │ import-4  │ ▶ resumed with 8 others: INSERT INTO accounts (email…
        │           │ ✗ 23505 duplicate key value violates unique constraint "accounts_email_key"
        │ import-5  │ ▶ resumed with 8 others: INSERT INTO accounts (email…
        │           │ ✗ 23505 duplicate key value violates unique constraint "accounts_email_key"
        │ import-6  │ ▶ resumed with 8 others: INSERT INTO accounts (email…
        │           │ ✗ 23505 duplicate key value violates unique constraint "accounts_email_key"
        │ import-7  │ ▶ resumed with 8 others: INSERT INTO accounts (email…
        │           │ ✗ 23505 duplicate key value violates unique constraint "accounts_email_key"
        │ import-8  │ ▶ resumed with 8 others: INSERT INTO accounts (email…
        │           │ ✗ 23505 duplicate key value violates unique constraint "accounts_email_key"
        │ import-9  │ ▶ resumed with 8 others: INSERT INTO accounts (email…
        │           │ ✗ 23505 duplicate key value violates unique constraint "accounts_email_key"
        │ import-10 │ ▶ resumed with 8 others: INSERT INTO accounts (email…
        │           │ ✗ 23505 duplicate key value violates unique constraint "accounts_email_key"
     22 │ import-2  │ ROLLBACK (after the error) → rolled back
     23 │ import-3  │ ROLLBACK (after the error) → rolled back
     24 │ import-4  │ ROLLBACK (after the error) → rolled back
     25 │ import-5  │ ROLLBACK (after the error) → rolled back
     26 │ import-6  │ ROLLBACK (after the error) → rolled back
     27 │ import-7  │ ROLLBACK (after the error) → rolled back
     28 │ import-8  │ ROLLBACK (after the error) → rolled back
     29 │ import-9  │ ROLLBACK (after the error) → rolled back
     30 │ import-10 │ ROLLBACK (after the error) → rolled back
    "#);
}

#[test]
fn a_retry() {
    let begin = "BEGIN ISOLATION LEVEL SERIALIZABLE";
    let read = "SELECT count(*) FROM doctors WHERE on_call";
    let write = "UPDATE doctors SET on_call = false WHERE name = 'bob'";
    let refused = "could not serialize access due to read/write dependencies among transactions";
    let history = Sample::new(&["alice", "bob"])
        .turn(0, read, row(&[("count", Some("2"))]))
        .with(|turn| turn.begin = Some(begin.to_owned()))
        .turn(1, read, row(&[("count", Some("2"))]))
        .with(|turn| turn.begin = Some(begin.to_owned()))
        .turn(
            0,
            "UPDATE doctors SET on_call = false WHERE name = 'alice'",
            done("UPDATE 1"),
        )
        .turn(0, "COMMIT", done("COMMIT"))
        .turn(1, write, error("40001", refused))
        .turn(1, "ROLLBACK", done("ROLLBACK"))
        .with(|turn| turn.origin = Origin::Rollback(0))
        .turn(1, read, row(&[("count", Some("1"))]))
        .with(|turn| {
            turn.begin = Some(begin.to_owned());
            turn.attempt = 1;
        })
        .turn(1, "COMMIT", done("COMMIT"))
        .with(|turn| turn.attempt = 1)
        .history();
    assert_snapshot!(drawn(&history), @"
     # │ alice                                      │ bob
    ───┼────────────────────────────────────────────┼──────────────────────────────────────────────
     1 │ BEGIN ISOLATION LEVEL SERIALIZABLE         │
       │ SELECT count(*) FROM doctors WHERE on_call │
       │ → count = 2                                │
     2 │                                            │ BEGIN ISOLATION LEVEL SERIALIZABLE
       │                                            │ SELECT count(*) FROM doctors WHERE on_call
       │                                            │ → count = 2
     3 │ UPDATE doctors SET on_call = false         │
       │   WHERE name = 'alice'                     │
       │ → 1 row updated                            │
     4 │ COMMIT → committed                         │
     5 │                                            │ UPDATE doctors SET on_call = false
       │                                            │   WHERE name = 'bob'
       │                                            │ ✗ 40001 could not serialize access due to
       │                                            │   read/write dependencies among transactions
     6 │                                            │ ROLLBACK (after the error) → rolled back
     7 │                                            │ ↻ retry 1
       │                                            │ BEGIN ISOLATION LEVEL SERIALIZABLE
       │                                            │ SELECT count(*) FROM doctors WHERE on_call
       │                                            │ → count = 1
     8 │                                            │ COMMIT → committed
    ");
}

#[test]
fn autocommitted_statements() {
    let insert = "
        INSERT INTO payments (key, amount)
          SELECT 'k1', 100 WHERE NOT EXISTS (SELECT FROM payments WHERE key = 'k1')";
    let commit = |session: usize| {
        move |turn: &mut Turn| {
            turn.origin = Origin::Autocommit(0);
            turn.session = session;
        }
    };
    let history = Sample::new(&["client-1", "client-2"])
        .turn(0, insert, done("INSERT 0 1"))
        .begun()
        .turn(1, insert, done("INSERT 0 1"))
        .begun()
        .turn(0, "COMMIT", done("COMMIT"))
        .with(commit(0))
        .turn(1, "COMMIT", done("COMMIT"))
        .with(commit(1))
        .history();
    assert_snapshot!(drawn(&history), @"
     # │ client-1                                    │ client-2
    ───┼─────────────────────────────────────────────┼─────────────────────────────────────────────
     1 │ BEGIN (autocommit)                          │
       │ INSERT INTO payments (key, amount)          │
       │   SELECT 'k1', 100 WHERE NOT EXISTS (SELECT │
       │   FROM payments WHERE key = 'k1')           │
       │ → 1 row inserted                            │
     2 │                                             │ BEGIN (autocommit)
       │                                             │ INSERT INTO payments (key, amount)
       │                                             │   SELECT 'k1', 100 WHERE NOT EXISTS (SELECT
       │                                             │   FROM payments WHERE key = 'k1')
       │                                             │ → 1 row inserted
     3 │ COMMIT (autocommit) → committed             │
     4 │                                             │ COMMIT (autocommit) → committed
    ");
}

#[test]
fn several_rows_null_and_what_a_terminal_would_act_on() {
    let rows = StepResult::Rows {
        columns: vec!["id".into(), "note".into()],
        rows: (1..=5)
            .map(|i| vec![Some(i.to_string()), (i > 1).then(|| "red \u{1b}[31m\nnext".into())])
            .collect(),
        ordered: true,
        tag: "SELECT 5".into(),
    };
    let history = Sample::new(&["reader"])
        .turn(0, "SELECT id, note FROM t ORDER BY id", rows)
        .history();
    assert_snapshot!(drawn(&history), @r"
     # │ reader
    ───┼───────────────────────────────────────
     1 │ SELECT id, note FROM t ORDER BY id
       │ → 5 rows
       │   id = 1, note = NULL
       │   id = 2, note = red \u{1b}[31m\nnext
       │   id = 3, note = red \u{1b}[31m\nnext
       │   … 2 more rows
    ");
}

#[test]
fn colours_only_where_asked_for() {
    let coloured = timeline(
        &deadlock(),
        &TextOptions {
            colour: true,
            ..TextOptions::default()
        },
    );
    assert!(
        coloured.contains("\u{1b}[33m⏳ waits for worker-2\u{1b}["),
        "{coloured}"
    );
    assert!(
        coloured.contains("\u{1b}[31m✗ 40P01 deadlock detected\u{1b}["),
        "{coloured}"
    );
    assert!(coloured.contains("\u{1b}[1mworker-1\u{1b}["), "{coloured}");
    let plain: String = coloured
        .split('\u{1b}')
        .enumerate()
        .map(|(i, part)| {
            if i == 0 {
                part
            } else {
                part.split_once('m').map_or("", |(_, text)| text)
            }
        })
        .collect();
    let drawn = drawn(&deadlock());
    let trimmed: Vec<&str> = plain.lines().map(str::trim_end).collect();
    assert_eq!(trimmed, drawn.lines().collect::<Vec<_>>(), "colours move nothing");
}

fn any_result() -> impl Strategy<Value = StepResult> {
    let cell = proptest::option::of(any::<String>());
    let rows = (proptest::collection::vec(any::<String>(), 0..4), 0..6usize).prop_flat_map(move |(columns, n)| {
        let row = proptest::collection::vec(cell.clone(), columns.len());
        (Just(columns), proptest::collection::vec(row, n))
    });
    prop_oneof![
        "[A-Z]{1,8} [0-9]{1,3}".prop_map(|tag| StepResult::Done { tag }),
        any::<String>().prop_map(|tag| StepResult::Done { tag }),
        ("[0-9A-Z]{5}", any::<String>()).prop_map(|(state, message)| error(&state, &message)),
        rows.prop_map(|(columns, rows)| StepResult::Rows {
            columns,
            rows,
            ordered: false,
            tag: "SELECT 1".into()
        }),
    ]
}

fn any_turn(sessions: usize, turns: usize) -> impl Strategy<Value = Turn> {
    let blocked_by = proptest::collection::vec(0..sessions, 0..3);
    let wait = (blocked_by, 0..turns, 0..turns).prop_map(|(blocked_by, from, until)| Wait {
        blocked_by,
        from,
        until,
    });
    let origin = prop_oneof![
        Just(Origin::Step(0)),
        Just(Origin::Autocommit(0)),
        Just(Origin::Rollback(0))
    ];
    let statement = prop_oneof![any::<String>(), "[A-Za-z ,()'=$-]{0,400}"];
    (
        0..sessions,
        origin,
        statement,
        proptest::option::of(any::<String>()),
        0..3u32,
        any_result(),
        proptest::collection::vec(wait, 0..3),
        0..turns,
    )
        .prop_map(
            |(session, origin, sql, begin, attempt, result, waits, finished_in)| Turn {
                origin,
                begin,
                attempt,
                waits,
                finished_in,
                ..testing::turn(session, (0, "step"), &sql, result)
            },
        )
}

fn any_history(sessions: impl Strategy<Value = usize>) -> impl Strategy<Value = History> {
    (sessions, 0..12usize).prop_flat_map(|(sessions, turns)| {
        (
            proptest::collection::vec("\\PC{0,40}", sessions),
            proptest::collection::vec(any_turn(sessions, turns.max(1)), turns),
        )
            .prop_map(|(sessions, turns)| testing::history(&sessions, turns, Vec::new()))
    })
}

proptest! {
    #[test]
    fn two_sessions_fit_100_columns(history in any_history(Just(2usize))) {
        for line in drawn(&history).lines() {
            prop_assert!(width(line) <= 100, "{} columns: {line}", width(line));
        }
    }

    #[test]
    fn any_number_of_sessions_fits_its_width(history in any_history(1..12usize), max in 60..200usize) {
        for line in timeline(&history, &TextOptions { width: max, colour: false }).lines() {
            prop_assert!(width(line) <= max, "{} columns: {line}", width(line));
        }
    }

    #[test]
    fn every_turn_is_numbered_once_in_order(history in any_history(1..8usize)) {
        let drawn = drawn(&history);
        let below_head = drawn.lines().skip_while(|line| !line.starts_with('─')).skip(1);
        let rows = below_head.take_while(|line| !line.starts_with("Turns "));
        let numbers: Vec<usize> = rows.filter_map(|line| line.split('│').next()?.trim().parse().ok()).collect();
        let alone = alone(&history);
        let by_itself = |turn: &Turn| alone.ahead.contains(&turn.session) || alone.after.contains(&turn.session);
        let turns = (1..).zip(&history.turns);
        prop_assert_eq!(numbers, turns.filter(|(_, turn)| !by_itself(turn)).map(|(number, _)| number).collect::<Vec<_>>());
    }
}

/// `a b …`: the sessions in the order in which they move, each by a step named after it.
fn order(sessions: &[&str], turns: &str) -> Sample {
    turns.split(' ').fold(Sample::new(sessions), |sample, name| {
        let session = sessions.iter().position(|session| *session == name).expect("a session");
        sample.turn(session, &format!("SELECT '{name}'"), done("SELECT 1"))
    })
}

#[test]
fn sessions_that_run_by_themselves_beside_a_race_are_named_in_a_line() {
    let sessions = ["w-1", "w-2", "w-3", "w-4", "w-5", "first", "second"];
    let turns = "first first second w-1 w-2 w-2 w-1 w-3 w-3 w-4 w-5 w-5";
    assert_snapshot!(drawn(&order(&sessions, turns).history()), @"
    Turns 1 to 3: first and second run by themselves, one after another.
     #  │ w-1          │ w-2
    ────┼──────────────┼──────────────
      4 │ SELECT 'w-1' │
        │ → 1 row read │
      5 │              │ SELECT 'w-2'
        │              │ → 1 row read
      6 │              │ SELECT 'w-2'
        │              │ → 1 row read
      7 │ SELECT 'w-1' │
        │ → 1 row read │
    Turns 8 to 12: w-3 to w-5 run by themselves, one after another.
    ");
}

#[test]
fn sessions_are_shown_where_nothing_races_or_they_did_not_just_run() {
    let shown = |sample: Sample| drawn(&sample.history());
    // a serial order
    assert!(!shown(order(&["a", "b", "c"], "a a b b c c")).contains("by themselves"));
    // one alone
    assert!(!shown(order(&["a", "b", "c"], "a b a c c")).contains("by themselves"));
    // an error
    let failing = order(&["a", "b", "c", "d"], "a b a c").turn(3, "SELECT 1 / 0", error("22012", "division by zero"));
    let text = shown(failing);
    assert!(text.contains("22012") && !text.contains("by themselves"), "{text}");
    // released after the race began
    let waiting = order(&["a", "b", "c"], "a b")
        .with(|turn| turn.finished_in = 2)
        .turn(0, "COMMIT", done("COMMIT"));
    assert!(!shown(waiting.turn(2, "SELECT 1", done("SELECT 1"))).contains("by themselves"));
}
