//! The exhaustive search reaches what brute force reaches: no schedule more, none less.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use pgbraid::explore::turns;
use pgbraid::run::Ordered;
use pgbraid::run::Workbench;
use pgbraid::scenario::Scenario;

use super::on_rows;
use crate::common::lab::{Lab, scenario};

const CASES: u32 = 20;

/// Orders that brute force may run for one case.
const MOST_ORDERS: usize = 90;

/// What statements are made of; `{row}` and `{who}` differ, so that most orders can be told by what they leave.
const STATEMENTS: [&str; 7] = [
    "SELECT v FROM t WHERE id = {row}",
    "SELECT sum(v) FROM t",
    "SELECT v FROM t WHERE id = {row} FOR UPDATE",
    "UPDATE t SET v = v * 10 + {who} WHERE id = {row}",
    "UPDATE t SET v = v * 10 + {who} WHERE v < 100",
    "INSERT INTO t VALUES (4, {who})",
    "DELETE FROM t WHERE id = {row}",
];

#[derive(Debug, Clone)]
struct RandomSession {
    isolation: &'static str,
    in_transaction: bool,
    statements: Vec<(usize, u32)>,
}

impl RandomSession {
    fn turns(&self) -> usize {
        match self.in_transaction {
            true => self.statements.len() + 1,
            false => 2 * self.statements.len(),
        }
    }

    fn toml(&self, who: usize) -> String {
        let mut steps: Vec<String> = self
            .statements
            .iter()
            .map(|(statement, row)| {
                STATEMENTS[*statement]
                    .replace("{row}", &row.to_string())
                    .replace("{who}", &who.to_string())
            })
            .collect();
        if self.in_transaction {
            steps.insert(0, "BEGIN".to_owned());
            steps.push("COMMIT".to_owned());
        }
        format!(
            "[[session]]\nname = \"s{who}\"\nisolation = \"{}\"\nsteps = {steps:?}\n",
            self.isolation
        )
    }
}

fn session() -> impl proptest::strategy::Strategy<Value = RandomSession> {
    let isolation = prop_oneof![
        4 => Just("read committed"),
        1 => Just("repeatable read"),
        1 => Just("serializable"),
    ];
    let statement = (0..STATEMENTS.len(), 1..=2u32);
    (
        isolation,
        prop::bool::weighted(0.7),
        prop::collection::vec(statement, 1..=3),
    )
        .prop_map(|(isolation, in_transaction, statements)| RandomSession {
            isolation,
            in_transaction,
            statements,
        })
}

fn sessions() -> impl proptest::strategy::Strategy<Value = Vec<RandomSession>> {
    prop::collection::vec(session(), 2..=3).prop_filter("too many orders", |sessions| {
        let lengths: Vec<usize> = sessions.iter().map(RandomSession::turns).collect();
        multinomial(&lengths) <= MOST_ORDERS
    })
}

fn multinomial(lengths: &[usize]) -> usize {
    let mut placed = 0;
    lengths.iter().flat_map(|&length| 1..=length).fold(1, |count, own| {
        placed += 1;
        count * placed / own
    })
}

/// All orders of the sessions' turns that keep each session's own order.
fn orders(remaining: &mut [usize], order: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
    if remaining.iter().all(|&turns| turns == 0) {
        all.push(order.clone());
    }
    for session in 0..remaining.len() {
        if remaining[session] > 0 {
            remaining[session] -= 1;
            order.push(session);
            orders(remaining, order, all);
            order.pop();
            remaining[session] += 1;
        }
    }
}

/// How many schedules lead to each outcome.
type Outcomes = BTreeMap<String, u64>;

fn by_brute_force(lab: &Lab, scenario: &Arc<Scenario>) -> Outcomes {
    let lengths: Vec<usize> = scenario
        .sessions
        .iter()
        .map(|session| turns(session) as usize)
        .collect();
    let mut all = Vec::new();
    orders(&mut lengths.clone(), &mut Vec::new(), &mut all);
    assert_eq!(all.len(), multinomial(&lengths));
    let template = lab.prepare(scenario);
    let mut schedules = BTreeSet::new();
    let mut outcomes = Outcomes::new();
    lab.runtime.block_on(async {
        let mut workbench = Workbench::open(template, Duration::from_secs(20)).await.unwrap();
        // how often sessions are released and resumed depends on the schedule, so each run tells what else there is
        let mut pending = vec![Vec::new()];
        while let Some(prefix) = pending.pop() {
            let run = workbench.run(&mut Ordered::new(prefix.iter().copied())).await.unwrap();
            let order = run.order();
            for (place, decision) in run.decisions.iter().enumerate().skip(prefix.len()) {
                for &other in decision.ready.iter().filter(|&&ready| ready != decision.chosen) {
                    pending.push([&order[..place], &[other]].concat());
                }
            }
            assert!(schedules.insert(order));
            *outcomes.entry(run.outcome.id).or_default() += 1;
        }
        for order in all {
            let run = workbench.run(&mut Ordered::new(order)).await.unwrap();
            assert!(schedules.contains(&run.order()));
        }
    });
    outcomes
}

fn by_search(lab: &Lab, text: &str) -> Outcomes {
    let exploration = lab.explore_all(text);
    assert_eq!(exploration.reasons, [], "{text}");
    let mut outcomes = Outcomes::new();
    for tally in exploration.outcomes {
        *outcomes.entry(tally.id).or_default() += tally.schedules;
    }
    outcomes
}

#[test]
fn the_search_reaches_what_brute_force_reaches() {
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 50,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let lab = Lab::new();
    let result = runner.run(&sessions(), |sessions| {
        let text: String = sessions
            .iter()
            .enumerate()
            .map(|(who, session)| session.toml(who + 1))
            .collect();
        let text = on_rows(&text);
        let expected = by_brute_force(&lab, &scenario(&text));
        prop_assert_eq!(by_search(&lab, &text), expected, "{}", text);
        Ok(())
    });
    if let Err(difference) = result {
        panic!("{difference}");
    }
}
