//! Options whose value is one of a few names.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use pgbraid::explore::{NamedStrategy, STRATEGIES};
use pgbraid::report::Format;

/// Takes the name of a format.
pub fn format() -> impl TypedValueParser<Value = Format> {
    one_of(Format::ALL.to_vec(), |format| (format.name(), format.about()))
}

/// Takes the name of a strategy.
pub fn strategy() -> impl TypedValueParser<Value = NamedStrategy> {
    one_of(STRATEGIES.to_vec(), |strategy| (strategy.name, strategy.about))
}

/// Takes the name of one of these; `described` gives a name, and what the help says of it.
fn one_of<T: Copy + Send + Sync + 'static>(
    all: Vec<T>,
    described: fn(T) -> (&'static str, &'static str),
) -> impl TypedValueParser<Value = T> {
    let value = |&one: &T| {
        let (name, about) = described(one);
        PossibleValue::new(name).help(about)
    };
    let names = PossibleValuesParser::new(all.iter().map(value).collect::<Vec<_>>());
    names.try_map(move |name| {
        let named = all.iter().copied().find(|&one| described(one).0 == name);
        named.ok_or("there is no such name")
    })
}
