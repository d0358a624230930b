//! What was found of a program is kept as a test, and outlives the fix.

use std::fs;

use super::folder::apps;
use super::programs::pgbraid_on;
use crate::common::program::{Place, finish};

#[test]
fn an_order_that_was_found_is_replayed_and_holds_once_the_program_is_right() {
    let place = Place::new();
    let pinned = place.path().join("pinned");
    let found = pgbraid_on("explore", "ruby/counter/naive", &["--pin", pinned.to_str().unwrap()]);
    assert_eq!(found.code, Some(1), "{found:?}");
    let file = fs::read_dir(&pinned).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&file).unwrap();
    let order = r#"order = ["worker-1 until select counters", "worker-2 to end", "worker-1 to end"]"#;
    assert!(text.contains(order), "{text}");

    let replay = || {
        let mut command = place.pgbraid();
        command.arg("replay").arg(&pinned);
        finish(command)
    };
    let replayed = replay();
    assert_eq!(replayed.code, Some(0), "{replayed:?}");

    let scenario = apps().join("ruby/counter/lock.toml");
    let lines = text.lines().map(|line| match line.starts_with("scenario = ") {
        true => format!("scenario = {scenario:?}"),
        false => line.to_owned(),
    });
    fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let replayed = replay();
    assert_eq!(replayed.code, Some(1), "{replayed:?}");
    assert!(replayed.stdout.contains("holds, but is pinned to fail"), "{replayed:?}");
    let mut update = place.pgbraid();
    update.arg("replay").arg(&pinned).arg("--update");
    assert_eq!(finish(update).code, Some(0));
    let updated = fs::read_to_string(&file).unwrap();
    assert!(
        updated.contains("expect = \"holds\"") && updated.contains(order),
        "{updated}"
    );
    assert_eq!(replay().code, Some(0));
}
