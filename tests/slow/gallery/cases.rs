//! The scenarios of the gallery, and what each must give.
//!
//! How many schedules there are and how many of them fail was also counted by another program, which runs the same
//! scenarios by a depth-first search of its own.

use super::check::Cause::{Deadlock, Error, Invariant};
use super::check::{Case, Coverage};

/// A test for each case, and a table of them all.
macro_rules! gallery {
    ($($name:ident: $coverage:expr, $cause:expr;)*) => {
        /// By name: the file's, with `_` for `-`.
        pub const CASES: &[(&str, Case)] = &[$((stringify!($name), Case { coverage: $coverage, cause: $cause })),*];

        $(#[test]
        fn $name() {
            crate::gallery::check::check(stringify!($name));
        })*

        mod fifty_times {
            $(#[test]
            #[ignore = "takes minutes: cargo test --release --test slow -- --ignored fifty_times"]
            fn $name() {
                crate::gallery::repetition::check(stringify!($name), 50);
            })*
        }
    };
}

const fn every(schedules: u64, failing: u64) -> Coverage {
    Coverage::Every { schedules, failing }
}

const fn reduced(schedules: u64) -> Coverage {
    Coverage::Reduced { schedules }
}

gallery! {
    counter: every(14, 12), Some(Invariant("no update is lost"));
    counter_10: reduced(2), Some(Invariant("no update is lost"));
    counter_atomic: every(4, 0), None;
    counter_atomic_10: reduced(1), None;
    counter_rule: every(14, 12), Some(Invariant("the counter stops at 1000"));
    counter_for_update_rule: every(6, 0), None;
    counter_for_update_autocommit: every(40, 32), Some(Invariant("no update is lost"));
    dirty_read: every(6, 0), None;
    seats: every(24, 22), Some(Invariant("one ticket a seat"));
    seats_for_update: every(8, 0), None;
    stock: every(14, 12), Some(Invariant("the stock ends at zero"));
    stock_for_update: every(6, 0), None;
    stock_check: every(14, 0), None;
    account_import: every(24, 22), Some(Error("23505"));
    account_import_advisory_lock: every(10, 0), None;
    account_import_on_conflict: every(6, 0), None;
    list_refresh: every(6, 4), Some(Error("23505"));
    list_refresh_for_update: every(8, 0), None;
    list_refresh_for_update_3: every(762, 414), Some(Error("23505"));
    list_refresh_parent_lock_3: every(312, 0), None;
    list_refresh_truncate_3: every(84, 0), None;
    opposite_order: every(8, 4), Some(Deadlock);
    opposite_order_retry: every(12, 0), None;
    same_order: every(6, 0), None;
    rails_increment: every(50, 48), Some(Invariant("no like is lost"));
    rails_increment_lock: every(6, 0), None;
    last_items: reduced(2), Some(Invariant("three items make three orders"));
    last_items_for_update: reduced(24), None;
    last_items_conditional_update: reduced(24), None;
    unique_key_10: reduced(10), None;
    version_column_5: reduced(5110), None;
    withdrawals_10: reduced(2), Some(Invariant("ten withdrawals empty the account"));
    withdrawals_conditional_update_10: reduced(1), None;
    transfer_above_balance: every(24, 22), Some(Invariant("one transfer goes through"));
    transfer_above_balance_conditional_update: every(6, 0), None;
    transfer_sum: every(182, 170), Some(Invariant("no money is lost"));
    transfer_sum_conditional_update: every(14, 0), None;
    payment_twice: every(20, 18), Some(Invariant("one payment for the key"));
    payment_twice_unique_key: every(6, 0), None;
    payment_other_data: every(20, 18), Some(Invariant("one payment for the key"));
    payment_other_data_unique_key: every(6, 0), None;
    insert_not_exists: every(6, 4), Some(Invariant("one row"));
    insert_not_exists_unique: every(4, 0), None;
    write_skew: every(20, 18), Some(Invariant("someone is on call"));
    write_skew_serializable: every(20, 0), None;
}
