//! A theme: tables, and statements and invariants upon them that press on one way to be wrong.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::draw;
use super::plan::{Item, Part, Plan, Session, Setup, Step};
use super::themes::THEMES;

/// Everything is listed with the plainest first: a counterexample is made smaller towards the front.
#[derive(Debug)]
pub struct Theme {
    pub name: &'static str,
    /// One of them makes the tables.
    pub setups: &'static [&'static str],
    /// Up to two of them come after that.
    pub extras: &'static [&'static str],
    /// What a session can be.
    pub roles: &'static [Role],
    /// Which roles meet, by their index in `roles`.
    pub casts: &'static [&'static [usize]],
    /// How often a session is not at READ COMMITTED.
    pub other_levels: f64,
    pub invariants: &'static [&'static str],
    /// How many of them there are at least.
    pub least_invariants: usize,
    pub plain: Plain,
}

/// Whether what a plain server does is compared with what enumeration has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// A statement is one step, but statements that overlap in time can do what they cannot one after the other: draw
    /// several numbers each, or a time and then a lock.
    No,
    Freely,
    /// The others come one by one, when the first session has its locks: they wait for it, and what they draw before they
    /// wait is drawn in the order in which they come.
    AfterTheFirst,
}

/// What a session of a theme does.
#[derive(Debug)]
pub struct Role {
    pub shape: Shape,
    /// Up to two of them stand outside a transaction ahead of it.
    pub settings: &'static [&'static str],
    pub least_settings: usize,
    /// One of them comes first, and one of `after` last, where there are any.
    pub before: &'static [&'static str],
    pub after: &'static [&'static str],
    pub steps: &'static [&'static str],
    /// Most of `steps` in a transaction.
    pub most: usize,
    /// How many of six transactions are rolled back.
    pub rollbacks: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A statement outside a transaction.
    Alone,
    /// A transaction.
    Block,
    /// A transaction, with savepoints in it.
    Savepoints,
    /// Either.
    Any,
}

/// Where a theme says nothing else.
pub const PLAINEST: Theme = Theme {
    name: "",
    setups: &[],
    extras: &[],
    roles: &[],
    casts: &[],
    other_levels: 0.2,
    invariants: &[],
    least_invariants: 0,
    plain: Plain::No,
};

impl Role {
    pub const fn new(shape: Shape, most: usize, steps: &'static [&'static str]) -> Role {
        Role {
            shape,
            settings: &[],
            least_settings: 0,
            before: &[],
            after: &[],
            steps,
            most,
            rollbacks: 1,
        }
    }
}

/// The names of all themes.
pub fn names() -> Vec<&'static str> {
    let themes = drawn_themes().map(|theme| theme.name);
    std::iter::once(draw::MIXED).chain(themes).collect()
}

/// Timeouts are no choice of a schedule yet, so that theme is drawn on demand.
pub fn drawn_themes() -> impl Iterator<Item = &'static Theme> {
    let timeouts = std::env::var_os("PGBRAID_TIMEOUTS").is_some();
    THEMES
        .iter()
        .copied()
        .filter(move |theme| timeouts || theme.name != "timeouts")
}

/// Scenarios of the themes that `accepts` names, with at most so many interleavings.
pub fn plans(most_interleavings: u64, accepts: impl Fn(&str) -> bool) -> BoxedStrategy<Plan> {
    let mut all: Vec<(u32, BoxedStrategy<Plan>)> = drawn_themes()
        .filter(|theme| accepts(theme.name))
        .map(|theme| (2, theme.plans()))
        .collect();
    if accepts(draw::MIXED) {
        // as many as a few of the others
        all.push((8, draw::plans().boxed()));
    }
    assert!(
        !all.is_empty(),
        "there is no such theme; there are {}",
        names().join(", ")
    );
    proptest::strategy::Union::new_weighted(all)
        .prop_filter("too many interleavings, or one alone", move |plan| {
            (2..=most_interleavings).contains(&plan.interleavings())
        })
        .boxed()
}

impl Theme {
    fn plans(&'static self) -> BoxedStrategy<Plan> {
        let extras = prop_oneof![
            2 => Just(Vec::new()),
            1 => subsequence(self.extras, 0..=self.extras.len().min(2)),
        ];
        let setup = (select(self.setups), extras).prop_map(|(setup, extras)| {
            let mut text = String::new();
            for part in std::iter::once(setup).chain(extras) {
                text += part;
                text += "\n";
            }
            text
        });
        let least = self.least_invariants;
        let most = self.invariants.len().min(least + 1);
        let invariants = match self.invariants.is_empty() {
            true => Just(Vec::new()).boxed(),
            false => prop_oneof![
                1 => subsequence(self.invariants, least..=least),
                1 => subsequence(self.invariants, least..=most),
            ]
            .boxed(),
        };
        let sessions = select(self.casts).prop_flat_map(move |cast| {
            let sessions: Vec<_> = cast
                .iter()
                .map(|&role| self.roles[role].sessions(self.other_levels))
                .collect();
            sessions
        });
        (setup, invariants, sessions)
            .prop_map(move |(setup, invariants, sessions)| Plan {
                theme: self.name,
                setup: Setup::Text(setup),
                invariants,
                sessions,
            })
            .boxed()
    }

    /// For each setup, with all extras, a session that has every statement, and every invariant.
    pub fn all_statements(&self) -> Vec<Plan> {
        let step = |&sql: &&'static str| Item::Step(plain(sql));
        let session = |role: &Role| {
            let settings = role.settings.iter().map(|&sql| Part::Setting(sql));
            let block = Part::Transaction {
                items: [role.before, role.steps, role.after]
                    .concat()
                    .iter()
                    .map(step)
                    .collect(),
                commits: true,
            };
            Session {
                copies: 1,
                level: LEVELS[0],
                v: 1,
                retry: false,
                parts: settings.chain([block]).collect(),
            }
        };
        let plan = |setup: &&str| Plan {
            theme: self.name,
            setup: Setup::Text(format!("{setup}\n{}\n", self.extras.join("\n"))),
            invariants: self.invariants.to_vec(),
            sessions: self.roles.iter().map(session).collect(),
        };
        self.setups.iter().map(plan).collect()
    }
}

const LEVELS: [&str; 3] = ["read committed", "repeatable read", "serializable"];

impl Role {
    fn sessions(&'static self, other_levels: f64) -> BoxedStrategy<Session> {
        let alone = one_of(self.steps).prop_map(|step| vec![step]).boxed();
        let around = |inner: BoxedStrategy<Vec<Item>>| {
            let before = some_of(self.before, 1..=1);
            let after = some_of(self.after, 1..=1);
            (before, inner, after).prop_map(|(before, inner, after)| {
                let item = |sql| Item::Step(plain(sql));
                let before = before.into_iter().map(item);
                before
                    .chain(inner)
                    .chain(after.into_iter().map(item))
                    .collect::<Vec<_>>()
            })
        };
        let autocommitted = |items: Vec<Item>| {
            let part = |item| match item {
                Item::Step(step) => Some(Part::Autocommitted(step)),
                _ => None,
            };
            items.into_iter().filter_map(part).collect::<Vec<_>>()
        };
        let alone = around(alone).prop_map(autocommitted).boxed();
        let items = match self.shape {
            Shape::Savepoints => {
                let some = || vec(select(self.steps).prop_map(plain), 1..=2);
                let item = prop_oneof![
                    2 => one_of(self.steps),
                    1 => some().prop_map(Item::Savepoint),
                    1 => some().prop_map(Item::Released),
                ];
                vec(item, 1..=self.most).boxed()
            }
            _ => vec(one_of(self.steps), 1..=self.most).boxed(),
        };
        let commits = prop_oneof![6 - self.rollbacks => Just(true), self.rollbacks => Just(false)];
        let block = (around(items), commits).prop_map(|(items, commits)| vec![Part::Transaction { items, commits }]);
        let parts = match self.shape {
            Shape::Alone => alone,
            Shape::Block | Shape::Savepoints => block.boxed(),
            Shape::Any => prop_oneof![2 => alone, 1 => block].boxed(),
        };
        let settings = some_of(self.settings, self.least_settings..=2);
        let level = prop::bool::weighted(other_levels).prop_flat_map(|other| match other {
            true => select(&LEVELS[1..]),
            false => select(&LEVELS[..1]),
        });
        (settings, parts, level)
            .prop_map(|(settings, parts, level)| Session {
                copies: 1,
                level,
                v: 1,
                retry: false,
                parts: settings.into_iter().map(Part::Setting).chain(parts).collect(),
            })
            .boxed()
    }
}

/// A statement, or a statement and its condition behind `| when`.
fn plain(text: &'static str) -> Step {
    match text.split_once(" | when ") {
        Some((sql, when)) => Step { sql, when: Some(when) },
        None => Step { sql: text, when: None },
    }
}

fn one_of(steps: &'static [&'static str]) -> BoxedStrategy<Item> {
    select(steps).prop_map(|sql| Item::Step(plain(sql))).boxed()
}

/// So many of them as there can be.
fn some_of(steps: &'static [&'static str], count: std::ops::RangeInclusive<usize>) -> BoxedStrategy<Vec<&'static str>> {
    let most = steps.len().min(*count.end());
    subsequence(steps, most.min(*count.start())..=most).boxed()
}
