//! What is drawn: a theme for each way in which a verdict has been wrong, or well might be.

mod invariants;
mod numbers;
mod objects;
mod order;
mod rows;
mod times;
mod values;
mod waits;

use super::theme::Theme;

pub const THEMES: &[&Theme] = &[
    &order::TIES,
    &order::FIRST_ROWS,
    &order::SEVERAL_MATCHES,
    &order::WRITING_CTES,
    &order::MERGES,
    &order::QUEUES,
    &values::FLOATS,
    &values::EQUAL_VALUES,
    &values::KEYS,
    &values::OTHER_KEYS,
    &times::TIMES,
    &numbers::NUMBERED_ROWS,
    &numbers::SEQUENCES,
    &rows::BEFORE_THE_LOCK,
    &rows::OTHER_ROWS,
    &rows::COMPUTED,
    &rows::POLICIES,
    &objects::TRIGGERS,
    &objects::CASCADES,
    &objects::VIEWS,
    &objects::MATERIALIZED_VIEWS,
    &invariants::INVARIANTS,
    &invariants::INVARIANTS_OF_VALUES,
    &invariants::INVARIANTS_OF_TIMES,
    &invariants::SESSIONS,
    &waits::RELEASED_FROM_A_KEY,
    &waits::RELEASED_UPSERTS,
    &waits::RELEASED_TOGETHER,
    &waits::RELEASED_FROM_A_ROW,
    &waits::PASSED_OVER,
    &waits::RELEASED_FROM_A_LOCK,
    &waits::SAVEPOINTS,
    &waits::TIMEOUTS,
];
