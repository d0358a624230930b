//! Schedules for property tests.

use proptest::prelude::*;

use crate::explore::turns;
use crate::scenario::Scenario;
use crate::schedule::{Entry, Extent, Schedule};

/// Schedules of a scenario, an entry a step, each order of the steps as likely as any other. A failing one shrinks
/// towards the order in which the sessions run one after another.
///
/// ```
/// use pgbraid::Scenario;
/// use pgbraid::testing::{Bench, schedules};
/// use proptest::prelude::*;
/// use proptest::test_runner::TestRunner;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let scenario = Scenario::from_file("fixtures/counter-atomic.toml")?;
/// let strategy = schedules(&scenario);
/// let bench = std::cell::RefCell::new(Bench::open(scenario)?);
/// let mut runner = TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20) });
/// runner.run(&strategy, |schedule| {
///     let run = bench.borrow_mut().run(&schedule).map_err(|error| TestCaseError::fail(error.to_string()))?;
///     prop_assert!(run.violations.is_empty(), "{schedule}");
///     Ok(())
/// })?;
/// # Ok(())
/// # }
/// ```
pub fn schedules(scenario: &Scenario) -> impl Strategy<Value = Schedule> + use<> {
    let steps: Vec<(String, u32)> = scenario
        .sessions
        .iter()
        .map(|session| (session.name.clone(), turns(session)))
        .collect();
    let total: u32 = steps.iter().map(|(_, turns)| turns).sum();
    proptest::collection::vec(any::<u32>(), total as usize).prop_map(move |draws| order(steps.clone(), &draws))
}

/// Draws from the remaining steps, each with equal probability, which makes every order equally likely. The smaller a
/// draw, the earlier the session.
fn order(mut left: Vec<(String, u32)>, draws: &[u32]) -> Schedule {
    let mut total: u64 = left.iter().map(|(_, turns)| u64::from(*turns)).sum();
    let mut entries = Vec::new();
    for &draw in draws {
        let mut place = (u64::from(draw) * total) >> u32::BITS;
        let drawn = left
            .iter_mut()
            .find(|(_, turns)| match place.checked_sub(u64::from(*turns)) {
                Some(beyond) => {
                    place = beyond;
                    false
                }
                None => true,
            });
        if let Some((session, turns)) = drawn {
            *turns -= 1;
            total -= 1;
            entries.push(Entry::new(session.clone(), Extent::OneStep));
        }
    }
    Schedule { entries }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    use super::*;

    #[test]
    fn every_order_is_as_likely_as_any_other() {
        let text = r#"
            [[session]]
            name = "long"
            steps = ["BEGIN", "SELECT 1", "SELECT 2", "COMMIT"]
            [[session]]
            name = "short"
            steps = ["SELECT 1"]
        "#;
        let scenario = Scenario::from_toml("test", "test.toml", text, Path::new(".")).unwrap();
        let strategy = schedules(&scenario);
        let mut runner = TestRunner::deterministic();
        let mut seen: HashMap<String, u32> = HashMap::new();
        for _ in 0..10_000 {
            *seen
                .entry(strategy.new_tree(&mut runner).unwrap().current().to_string())
                .or_default() += 1;
        }
        // ten orders, each expected a thousand times; eight standard deviations to either side
        assert_eq!(seen.len(), 10);
        assert!(seen.values().all(|count| (760..1240).contains(count)), "{seen:?}");
    }
}
