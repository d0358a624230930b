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
    let steps = scenario
        .sessions
        .iter()
        .flat_map(|session| std::iter::repeat_n(session.name.clone(), turns(session) as usize));
    Just(steps.collect::<Vec<String>>()).prop_shuffle().prop_map(|order| {
        order
            .into_iter()
            .map(|session| Entry::new(session, Extent::OneStep))
            .collect()
    })
}
