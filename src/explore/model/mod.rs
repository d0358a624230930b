//! The search against full enumeration, on drawn programs that run in no time: what the reduction loses in one of a
//! thousand scenarios on a server shows here in seconds. What real statements conflict over is compared on a server
//! (`tests/slow/reduction`).
//!
//! A longer run, or other programs: `PGBRAID_CASES=50000 PGBRAID_SEED=7 cargo test --release --lib drawn_programs --
//! --nocapture`.

mod branching;
mod executor;
mod recorded;
mod world;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use num_bigint::BigUint;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use self::recorded::Recorded;
use self::world::{Answers, Program, Script, Step, Value, World};
use super::source_sets::SourceSets;
use crate::scenario::Symmetry;

const CASES: u32 = 1000;
const SEED: u64 = 1;

const ROWS: [usize; 4] = [0, 1, 2, 3];

/// A program with more schedules is skipped.
const MOST_SCHEDULES: u64 = 5000;

type Outcome = (Vec<u8>, Answers);

/// A program, its rows, each with whether sessions that wait for it form a queue, and which sessions are alike.
#[derive(Debug, Clone)]
struct Case {
    program: Program,
    rows: Vec<bool>,
    groups: Vec<usize>,
    /// Commits are turns of their own, as on a server.
    commits_apart: bool,
}

fn cases() -> impl Strategy<Value = Case> {
    let steps = prop::collection::vec(step(), 1..4);
    let session = (
        any::<bool>(),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.15),
        steps,
    )
        .prop_map(|(repeatable_read, retries, times_out, steps)| Script {
            repeatable_read,
            retries,
            times_out,
            steps,
            ..Script::default()
        });
    let sessions = prop::collection::vec((session, prop::option::weighted(0.3, any::<Index>())), 2..6);
    let alone = subsequence(ROWS.to_vec(), 0..=ROWS.len());
    let levels = prop::bool::weighted(0.3);
    let timeouts = prop::bool::weighted(0.3);
    let rows = prop::collection::vec(any::<bool>(), 1..=ROWS.len());
    let some = (levels, timeouts);
    (sessions, rows, alone, some, any::<bool>()).prop_map(|(drawn, rows, alone, (levels, timeouts), commits_apart)| {
        let mut program = Program::new();
        let mut groups: Vec<usize> = Vec::new();
        for (index, (mut session, copied)) in drawn.into_iter().enumerate() {
            let original = copied.filter(|_| index > 0).map(|copied| groups[copied.index(index)]);
            if let Some(original) = original {
                session = program[original].clone();
            }
            session.repeatable_read &= levels;
            session.times_out &= timeouts;
            for step in &mut session.steps {
                within(step, rows.len());
                take_alone(step, &alone);
            }
            if let Some(last) = session.steps.last_mut() {
                last.commits = true;
            }
            if commits_apart && original.is_none() {
                session.steps = session.steps.into_iter().flat_map(with_commit_apart).collect();
            }
            program.push(session);
            groups.push(original.unwrap_or(index));
        }
        Case {
            program,
            rows,
            groups,
            commits_apart,
        }
    })
}

fn with_commit_apart(step: Step) -> Vec<Step> {
    let commit = Step {
        commits: true,
        ..Step::default()
    };
    match step.commits {
        true => vec![Step { commits: false, ..step }, commit],
        false => vec![step],
    }
}

fn step() -> impl Strategy<Value = Step> {
    let condition = prop::option::of((select(&ROWS), 0..2u8));
    let value = prop_oneof![(0..3u8).prop_map(Value::Set), Just(Value::AddOne)];
    let writes = (subsequence(ROWS.to_vec(), 0..3), prop::collection::vec(value, 2));
    let row_alone = (select(&ROWS), prop::option::of(0..2u8), any::<bool>());
    let any = (condition, subsequence(ROWS.to_vec(), 0..3), writes, any::<bool>());
    prop_oneof![
        any.prop_map(|(condition, reads, (rows, values), commits)| Step {
            condition,
            reads,
            writes: rows.into_iter().zip(values).collect(),
            commits,
            ..Step::default()
        }),
        row_alone.prop_map(|(row, condition, commits)| Step {
            condition: condition.map(|value| (row, value)),
            writes: vec![(row, Value::AddOne)],
            commits,
            ..Step::default()
        }),
    ]
}

/// Restricts a step to the existing rows.
fn within(step: &mut Step, rows: usize) {
    if let Some((row, _)) = &mut step.condition {
        *row %= rows;
    }
    step.reads.retain(|&row| row < rows);
    step.writes.retain(|&(row, _)| row < rows);
}

/// Makes a step that writes one of these rows do nothing else.
fn take_alone(step: &mut Step, alone: &[usize]) {
    if let Some(&(row, value)) = step.writes.iter().find(|(row, _)| alone.contains(row)) {
        step.writes = vec![(row, value)];
        step.reads.clear();
        step.condition = step.condition.filter(|&(looked_at, _)| looked_at == row);
    }
}

/// Every outcome, and the number of schedules; `None` if there are more than `most`.
fn enumerate<'a>(
    world: World<'a>,
    most: u64,
    known: &mut HashMap<World<'a>, u64>,
    outcomes: &mut BTreeSet<Outcome>,
) -> Option<u64> {
    if let Some(&count) = known.get(&world) {
        return Some(count);
    }
    let ready = world.ready();
    let mut count = 0;
    for &session in &ready {
        let mut next = world.clone();
        next.make_move(session);
        count += enumerate(next, most, known, outcomes)?;
    }
    if ready.is_empty() {
        outcomes.insert(world.outcome());
        count = 1;
    }
    known.insert(world, count);
    (count <= most).then_some(count)
}

struct Found {
    outcomes: BTreeSet<Outcome>,
    runs: u64,
    redundant: u64,
    covered: Option<BigUint>,
}

/// All runs of the search.
fn search(case: &Case, symmetry: &Symmetry) -> Found {
    let mut search = SourceSets::new(symmetry.clone());
    let mut outcomes = BTreeSet::new();
    let mut runs = 0;
    while let Some(guide) = search.next() {
        let recorded = Recorded::run(World::new(&case.program, &case.rows), &guide, symmetry);
        outcomes.insert(recorded.outcome());
        assert_eq!(search.observe(&recorded), None, "{case:?}");
        runs += 1;
    }
    Found {
        outcomes,
        runs,
        redundant: search.redundant(),
        covered: search.covered(),
    }
}

/// The outcomes, and those in which sessions that are alike have swapped places.
fn whatever_the_names(outcomes: &BTreeSet<Outcome>, groups: &[usize]) -> BTreeSet<Outcome> {
    let mut all = outcomes.clone();
    let mut left: Vec<Outcome> = all.iter().cloned().collect();
    while let Some((rows, answers)) = left.pop() {
        for (one, other) in (0..groups.len()).flat_map(|other| (0..other).map(move |one| (one, other))) {
            if groups[one] != groups[other] {
                continue;
            }
            let mut answers = answers.clone();
            answers.swap(one, other);
            let outcome = (rows.clone(), answers);
            if all.insert(outcome.clone()) {
                left.push(outcome);
            }
        }
    }
    all
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name} is a number"))
    })
}

/// One for the case, and the numbers of schedules, runs and redundant runs; or what is wrong.
fn compare(case: &Case) -> Result<Option<[u64; 4]>, TestCaseError> {
    let mut outcomes = BTreeSet::new();
    let world = World::new(&case.program, &case.rows);
    let Some(count) = enumerate(world, MOST_SCHEDULES, &mut HashMap::new(), &mut outcomes) else {
        return Ok(None);
    };
    let found = search(case, &Symmetry::of_groups((0..case.program.len()).collect()));
    prop_assert_eq!(&found.outcomes, &outcomes, "every session by itself");
    let by_name = search(case, &Symmetry::of_groups(case.groups.clone()));
    let renamed = whatever_the_names(&by_name.outcomes, &case.groups);
    prop_assert_eq!(&renamed, &outcomes, "with symmetry");
    // the counts are compared only where commits are moves of their own: a step that also commits could not have begun
    // to wait earlier and do nothing else
    let certificates = [found.covered, by_name.covered].into_iter().flatten();
    for covered in certificates.filter(|_| case.commits_apart) {
        prop_assert_eq!(covered, BigUint::from(count), "schedules that the runs stand for");
    }
    Ok(Some([1, count, found.runs, found.redundant]))
}

/// Compares what is drawn. The sums of what was counted in each case that could be compared; the first is the number of
/// these cases.
fn draw<S: Strategy, const COUNTS: usize>(
    cases: u32,
    drawn: S,
    compare: impl Fn(&S::Value) -> Result<Option<[u64; COUNTS]>, TestCaseError>,
) -> [u64; COUNTS] {
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(setting("PGBRAID_CASES", cases.into()) as u32)
    };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&setting("PGBRAID_SEED", SEED).to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let sums = RefCell::new([0; COUNTS]);
    let result = runner.run(&drawn, |case| {
        let counts = compare(&case)?.unwrap_or([0; COUNTS]);
        sums.borrow_mut()
            .iter_mut()
            .zip(counts)
            .for_each(|(sum, count)| *sum += count);
        Ok(())
    });
    result.unwrap();
    sums.into_inner()
}

#[test]
fn the_search_loses_nothing_of_drawn_programs() {
    let [programs, schedules, runs, redundant] = draw(CASES, cases(), compare);
    println!("{programs} programs, {schedules} schedules, {runs} runs, {redundant} of them redundant");
}

/// Programs for which the search, or a version of it that was tried, once lost an outcome.
#[test]
fn the_search_loses_nothing_of_programs_that_told_something() {
    use Value::{AddOne, Set};
    let step = |reads: &[usize], writes: &[(usize, Value)], commits| Step {
        reads: reads.to_vec(),
        writes: writes.to_vec(),
        commits,
        ..Step::default()
    };
    let commit = || step(&[], &[], true);
    let behind_the_later_turn = vec![
        vec![step(&[], &[(0, Set(0)), (2, Set(0))], false), commit()],
        vec![step(&[], &[(0, AddOne)], true)],
        vec![step(&[], &[(2, Set(1))], true)],
        vec![step(&[0, 2], &[], true)],
    ];
    let race_of_the_step_after_a_wait = vec![
        vec![step(&[], &[(0, Set(1))], false), commit()],
        vec![step(&[], &[(0, Set(2))], false), step(&[1], &[], false), commit()],
        vec![step(&[0], &[(1, Set(1))], false), commit()],
    ];
    let first_in_a_victims_queue = vec![
        vec![step(&[], &[(0, AddOne)], false), step(&[], &[(1, Set(0))], true)],
        vec![step(&[], &[(1, AddOne)], false), step(&[], &[(0, AddOne)], true)],
        vec![step(&[], &[(0, AddOne)], false), step(&[], &[(1, Set(0))], true)],
    ];
    for steps in [
        behind_the_later_turn,
        race_of_the_step_after_a_wait,
        first_in_a_victims_queue,
    ] {
        let groups: Vec<usize> = (0..steps.len()).collect();
        let script = |steps| Script {
            steps,
            ..Script::default()
        };
        for queued in [false, true] {
            let case = Case {
                program: steps.iter().cloned().map(script).collect(),
                rows: vec![queued; 3],
                groups: groups.clone(),
                commits_apart: false,
            };
            assert!(compare(&case).unwrap().is_some());
        }
    }
}
