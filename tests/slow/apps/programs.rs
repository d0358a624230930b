//! Each program that is wrong is refuted, and each that is right is proved.

use crate::common::program::{Finished, finish, pgbraid};

use super::folder::apps;

/// What `pgbraid COMMAND fixtures/apps/SCENARIO.toml` comes to.
pub fn pgbraid_on(command: &str, scenario: &str, options: &[&str]) -> Finished {
    let mut program = pgbraid();
    program
        .arg(command)
        .arg(apps().join(format!("{scenario}.toml")))
        .args(options);
    finish(program)
}

fn refuted(scenario: &str, violations: &[&str]) {
    let found = pgbraid_on("explore", scenario, &["--no-shrink", "--format", "json"]);
    assert_eq!(found.code, Some(1), "{found:?}");
    let report = found.json();
    let broken: Vec<&str> = report["failure"]["violations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one.as_str().unwrap())
        .collect();
    assert_eq!(broken, violations);
}

fn proved(scenario: &str) {
    let found = pgbraid_on("prove", scenario, &["--format", "json"]);
    assert_eq!(found.code, Some(0), "{found:?}");
    let report = found.json();
    assert_eq!(report["verdict"], "holds");
    assert!(report["schedules_run"].as_u64().unwrap() > 0);
}

/// Too many interleavings to run them all: none of a sample fails, and the verdict says no more than that.
fn sampled(scenario: &str) {
    let options = [
        "--strategy",
        "random",
        "--samples",
        "10",
        "--seed",
        "7",
        "--format",
        "json",
    ];
    let found = pgbraid_on("explore", scenario, &options);
    let report = found.json();
    assert_eq!(report["schedules_run"], 10, "{found:?}");
    assert_eq!(report["failure"], serde_json::Value::Null, "{found:?}");
    assert_eq!(report["reason_codes"], serde_json::json!(["sampled"]), "{found:?}");
}

/// A test for each program.
macro_rules! programs {
    (
        refuted { $($wrong:ident: $wrong_path:literal, $violations:expr;)* }
        proved { $($right:ident: $right_path:literal;)* }
        sampled { $($large:ident: $large_path:literal;)* }
    ) => {
        const SCENARIOS: &[&str] = &[$($wrong_path,)* $($right_path,)* $($large_path,)*];

        $(#[test]
        fn $wrong() {
            refuted($wrong_path, &$violations);
        })*

        $(#[test]
        fn $right() {
            proved($right_path);
        })*

        $(#[test]
        fn $large() {
            sampled($large_path);
        })*
    };
}

programs! {
    refuted {
        fastapi_create: "python/shop/create-naive", ["one created, nine conflicts"];
        fastapi_price: "python/shop/price-naive", ["one change, four conflicts"];
        fastapi_payment: "python/shop/payment-naive", ["paid once"];
        fastapi_payment_and_other_data: "python/shop/payment-other-data-naive", ["the other is refused"];
        fastapi_transfer: "python/shop/transfer-naive", ["one transfer"];
        fastapi_total: "python/shop/total-naive", ["the total is always 100"];
        fastapi_withdraw: "python/shop/withdraw-naive", ["five withdrawals"];
        pdo_account_import: "php/account/naive", ["one account"];
        pdo_opposite_order: "php/users/opposite-order", ["deadlock", "exit code 255 of activate"];
        asyncpg_views: "python/views/naive", ["no view is lost"];
        asyncpg_last_seat: "python/cinema/naive", ["one ticket a seat"];
        asyncpg_last_seat_for_update_without_a_transaction: "python/cinema/for-update-autocommit", ["one ticket a seat"];
        psycopg_counter: "python/counter/psycopg-naive", ["no increment is lost"];
        psycopg2_counter: "python/counter/psycopg2-naive", ["no increment is lost"];
        sqlalchemy_article: "python/articles/naive", ["no text is lost"];
        django_tags: "python/tags/naive", ["one tag of the name"];
        active_record_counter: "ruby/counter/naive", ["no increment is lost"];
        active_record_four_threads: "ruby/items/naive", ["three are sold"];
        node_postgres_users: "node/users/pg-naive", ["one user of the address"];
        postgres_js_users: "node/users/postgres-naive", ["one user of the address"];
        pgjdbc_users: "java/users/naive", ["one user of the address"];
        pgjdbc_withdrawal: "java/accounts/naive", ["one withdrawal"];
        tokio_postgres_users: "rust/users/naive", ["one user of the address"];
        tokio_postgres_withdrawal: "rust/accounts/naive", ["one withdrawal"];
    }
    proved {
        fastapi_payment_key: "python/shop/payment-fixed";
        fastapi_payment_key_and_other_data: "python/shop/payment-other-data-fixed";
        fastapi_transfer_for_update: "python/shop/transfer-fixed";
        fastapi_total_at_once: "python/shop/total-fixed";
        pdo_account_import_with_an_advisory_lock: "php/account/advisory-lock";
        pdo_account_import_with_a_file_lock: "php/account/file-lock";
        pdo_same_order: "php/users/same-order";
        asyncpg_views_in_one_update: "python/views/atomic";
        asyncpg_views_for_update: "python/views/for-update";
        asyncpg_last_seat_for_update: "python/cinema/for-update";
        psycopg_counter_for_update: "python/counter/psycopg-for-update";
        psycopg2_counter_for_update: "python/counter/psycopg2-for-update";
        sqlalchemy_article_with_a_version: "python/articles/version-column";
        django_tags_with_a_unique_name: "python/tags/get-or-create";
        active_record_counter_locked: "ruby/counter/lock";
        node_postgres_users_on_conflict: "node/users/pg-on-conflict";
        postgres_js_users_on_conflict: "node/users/postgres-on-conflict";
        pgjdbc_users_on_conflict: "java/users/on-conflict";
        pgjdbc_withdrawal_for_update: "java/accounts/for-update";
        tokio_postgres_users_on_conflict: "rust/users/on-conflict";
        tokio_postgres_withdrawal_for_update: "rust/accounts/for-update";
    }
    sampled {
        fastapi_ten_creations: "python/shop/create-fixed";
        fastapi_five_prices: "python/shop/price-fixed";
        fastapi_ten_withdrawals: "python/shop/withdraw-fixed";
        active_record_four_threads_with_a_lock: "ruby/items/lock";
    }
}

#[test]
fn every_scenario_has_a_test() {
    let apps = apps();
    let mut found = Vec::new();
    for language in ["java", "node", "php", "python", "ruby", "rust"] {
        for program in std::fs::read_dir(apps.join(language)).unwrap() {
            let program = program.unwrap().path();
            let installed = ["venv", "node_modules", "target"]
                .iter()
                .any(|name| program.ends_with(name));
            if program.is_dir() && !installed {
                let files = std::fs::read_dir(program).unwrap().map(|entry| entry.unwrap().path());
                found.extend(files.filter(|file| file.extension().is_some_and(|extension| extension == "toml")));
            }
        }
    }
    let name = |file: std::path::PathBuf| {
        let path = file.strip_prefix(&apps).unwrap().with_extension("");
        path.to_str().unwrap().to_owned()
    };
    let mut found: Vec<String> = found.into_iter().map(name).collect();
    found.sort();
    let mut tested = SCENARIOS.to_vec();
    tested.sort_unstable();
    assert_eq!(found, tested);
}

#[test]
fn a_timeline_shows_the_programs_own_statements() {
    let found = pgbraid_on("explore", "python/views/naive", &[]);
    let (timeline, _) = found.stdout.split_once(" outcome ").unwrap();
    insta::assert_snapshot!(timeline);
}
