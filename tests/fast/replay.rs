//! Pinned schedules run as tests: those of the gallery, and one through a fix.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::lab::Lab;
use pgbraid::replay::{Judgement, Replay, ReplayOptions, find_files, replay, replay_all};
use pgbraid::schedule::{DepartureKind, Expectation, PinnedFile};
use tokio_util::sync::CancellationToken;

fn options(times: u32) -> ReplayOptions {
    ReplayOptions {
        jobs: 2,
        times,
        step_timeout: Duration::from_secs(20),
        interrupt: CancellationToken::new(),
    }
}

fn schedules() -> Vec<PathBuf> {
    find_files(&[Path::new(env!("CARGO_MANIFEST_DIR")).join("schedules")]).unwrap()
}

fn check_all(times: u32) {
    let lab = Lab::new();
    let files = schedules();
    let replays = replay_all(&lab.server, &files, &options(times), &mut |_| {});
    for (file, replay) in files.iter().zip(replays) {
        let replay = replay.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert_eq!(replay.judgement, Judgement::Met, "{}", file.display());
        assert_eq!(replay.times, times);
        if replay.file.pinned.expect == Expectation::Fails {
            assert_eq!(replay.departures, [], "{}", file.display());
        }
    }
}

#[test]
fn every_pinned_schedule_does_what_it_is_pinned_for() {
    check_all(2);
}

#[test]
#[ignore = "takes minutes: cargo test --release --test fast -- --ignored replay"]
fn a_thousand_replays_have_identical_histories() {
    check_all(1000);
}

/// The files of the gallery say in their head what is expected of them.
#[test]
fn every_race_of_the_gallery_is_pinned() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let head = |path: &PathBuf| -> String {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().take_while(|line| line.starts_with('#')).collect()
    };
    let races: BTreeSet<PathBuf> = find_files(&[fixtures])
        .unwrap()
        .into_iter()
        .filter(|path| head(path).contains("Expected: fails"))
        .map(|path| path.canonicalize().unwrap())
        .collect();
    let pinned: BTreeSet<PathBuf> = schedules()
        .into_iter()
        .map(|path| PinnedFile::read(path).unwrap())
        .filter(|file| file.pinned.expect == Expectation::Fails)
        .map(|file| file.scenario_path().unwrap().canonicalize().unwrap())
        .collect();
    assert!(races.len() > 10);
    assert_eq!(races.difference(&pinned).collect::<Vec<_>>(), Vec::<&PathBuf>::new());
}

/// `run_until(:after_find)` for both, then `finish` for both; the fix locks the row in the find.
#[test]
fn an_order_fails_before_the_fix_and_holds_after_it() {
    let lab = Lab::new();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schedules/rails-increment-lock.toml");
    let after = std::fs::read_to_string(&path).unwrap();
    let before = after.replace("rails-increment-lock.toml", "rails-increment.toml");
    assert_ne!(before, after);
    let run = |text: &str| -> Replay {
        let file = PinnedFile::from_toml(&path, text).unwrap();
        replay(&lab.server, file, &options(3)).unwrap_or_else(|error| panic!("{error}"))
    };
    let before = run(&before);
    assert_eq!(before.judgement, Judgement::Fails);
    assert_eq!(before.run.violated(), ["no like is lost"]);
    assert_eq!(before.departures, []);
    let after = run(&after);
    assert_eq!(after.judgement, Judgement::Met);
    assert_eq!(after.departures.len(), 1);
    assert_eq!(after.departures[0].entry, 1);
    assert_eq!(after.departures[0].kind, DepartureKind::Blocked { in_turn: 1 });
}

#[test]
fn what_chance_decides_is_no_verdict() {
    let lab = Lab::new();
    let folder = tempfile::tempdir().unwrap();
    let scenario = "[[session]]\nname = \"a\"\nsteps = [\"SELECT random()\"]\n";
    std::fs::write(folder.path().join("chance.toml"), scenario).unwrap();
    let text = "scenario = \"chance.toml\"\nexpect = \"holds\"\norder = [\"a to end\"]\n";
    let file = PinnedFile::from_toml(&folder.path().join("pinned.toml"), text).unwrap();
    let replay = replay(&lab.server, file, &options(5)).unwrap_or_else(|error| panic!("{error}"));
    assert!(
        matches!(&replay.judgement, Judgement::Differs { run: 2, .. }),
        "{:?}",
        replay.judgement
    );
}
