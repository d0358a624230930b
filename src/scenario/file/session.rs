//! Sessions of the file, their copies expanded.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;

use super::raw::{RawParamTable, RawParams, RawRetry, RawSession, Text};
use super::{Document, Names, program, sqlstate, steps, transactions, variables};
use crate::scenario::error::{Mistake, ScenarioError};
use crate::scenario::{Isolation, Param, Retry, Service, Session};
use crate::suggest;

/// Each session is a connection, and a server accepts 100 of them by default.
const MAX_SESSIONS: i64 = 90;

/// The steps of a run are compared with each other, so time grows with the square of their number.
pub(crate) const MAX_STEPS: usize = 2_000;
pub(crate) const TOO_MANY_STEPS: &str = "all sessions together have up to 2,000, copies counted";

pub(super) fn read(
    document: &Document,
    entries: Vec<RawSession>,
    services: &[Service],
    base_dir: &Path,
    warnings: &mut Vec<String>,
) -> Result<Vec<Session>, ScenarioError> {
    if entries.is_empty() {
        let hint = "a session is a [[session]] table with `name` and `steps`";
        return Err(document
            .error(Mistake::NoSessions, 0..0, "no [[session]] in this file")
            .hint(hint));
    }
    let mut names = Names::new(document, "session");
    let mut sessions = Vec::new();
    let mut total_steps = 0usize;
    for (entry, raw) in entries.into_iter().enumerate() {
        let name = raw.name.get_ref();
        let places = raw.params.as_ref().map_or_else(Vec::new, ParamPlaces::of);
        let program = program::read(document, &raw, services, base_dir)?.map(Arc::new);
        let (copies, params) = copies_and_params(document, raw.copies.as_ref(), raw.params)?;
        let connections = program.as_ref().and_then(|program| program.connections());
        let all = copies.saturating_mul(connections.map_or(1, |count| i64::try_from(count).unwrap_or(i64::MAX)));
        let total = all.saturating_add(i64::try_from(sessions.len()).unwrap_or(i64::MAX));
        if total > MAX_SESSIONS {
            let counted = raw.copies.as_ref().or(raw.connections.as_ref());
            let span = counted.map_or_else(|| raw.name.span(), Spanned::span);
            return Err(document
                .error(Mistake::TooManySessions(total), span, "with this one")
                .hint(format!("up to {MAX_SESSIONS} sessions run at the same time")));
        }
        total_steps = total_steps.saturating_add(raw.steps.len().saturating_mul(params.len()));
        if total_steps > MAX_STEPS {
            return Err(document
                .error(Mistake::TooManySteps(total_steps), raw.name.span(), "with this one")
                .hint(TOO_MANY_STEPS));
        }
        if raw.steps.is_empty() && program.is_none() {
            return Err(document
                .error(Mistake::NoSteps(name.clone()), raw.name.span(), "this session")
                .hint("add `steps = [\"…\"]`, `command = [\"…\"]` for a program, or `request = { … }` for a request to a service"));
        }
        let isolation = raw
            .isolation
            .map_or(Ok(Isolation::default()), |value| isolation(document, &value))?;
        let allow_errors = sqlstate::read(document, raw.allow_errors)?;
        let retry = raw.retry.map(|raw| retry(document, raw)).transpose()?;
        let steps = steps::read(document, name, raw.steps)?;
        transactions::check(name, &steps)?;
        for step in steps.iter().filter(|step| step.statement.arbitrary_rows) {
            warnings.push(format!(
                "step `{}` of session `{name}` takes rows without ORDER BY: which ones is up to the server",
                step.name
            ));
        }

        let steps = Arc::from(steps);
        for (copy, own) in params.iter().enumerate() {
            let name = if copies == 1 {
                name.clone()
            } else {
                format!("{name}-{}", copy + 1)
            };
            names.add(&name, raw.name.span(), "a session")?;
            let numbers: Vec<Option<usize>> = match connections {
                Some(count) => (1..=count).map(Some).collect(),
                None => vec![None],
            };
            let place = places.get(copy).cloned().unwrap_or_default();
            match &program {
                Some(program) => program::check_parameters(document, program, &raw.name, own.keys())?,
                None => variables::check(document, &name, &steps, own, &params, &place)?,
            }
            for connection in numbers {
                let name = match connection {
                    Some(number) => format!("{name}.{number}"),
                    None => name.clone(),
                };
                if connection.is_some() {
                    names.add(&name, raw.name.span(), "a session")?;
                }
                sessions.push(Session {
                    name,
                    entry,
                    copy: (copies > 1).then_some(copy + 1),
                    connection,
                    isolation,
                    params: own.clone(),
                    steps: Arc::clone(&steps),
                    allow_errors: allow_errors.clone(),
                    retry: retry.clone(),
                    begins_apart: false,
                    program: program.clone(),
                });
            }
        }
    }
    Ok(sessions)
}

/// Where the parameters of one copy are in the file.
#[derive(Clone, Default)]
pub(super) struct ParamPlaces {
    pub table: Range<usize>,
    pub names: BTreeMap<String, Range<usize>>,
}

impl ParamPlaces {
    /// The places for each copy; none where all copies share one table, since then no copy lacks what another has.
    fn of(params: &Spanned<RawParams>) -> Vec<ParamPlaces> {
        let RawParams::Each(tables) = params.get_ref() else {
            return Vec::new();
        };
        let places = tables.iter().map(|table| ParamPlaces {
            table: table.span(),
            names: table
                .get_ref()
                .keys()
                .map(|name| (name.get_ref().clone(), name.span()))
                .collect(),
        });
        places.collect()
    }
}

/// How many copies there are, and the parameters of each.
fn copies_and_params(
    document: &Document,
    copies: Option<&Spanned<i64>>,
    params: Option<Spanned<RawParams>>,
) -> Result<(i64, Vec<BTreeMap<String, Param>>), ScenarioError> {
    if let Some(copies) = copies.filter(|copies| *copies.get_ref() < 1) {
        let error = document.error(Mistake::BadCopies(*copies.get_ref()), copies.span(), "here");
        return Err(error.hint("a session has at least one copy"));
    }
    let (span, params) = params.map_or((0..0, None), |params| (params.span(), Some(params.into_inner())));
    let given = copies.map_or(1, |copies| *copies.get_ref());
    // where there are too many, the caller refuses them; no need to fill memory first
    let repeat = usize::try_from(given.min(MAX_SESSIONS)).unwrap_or(1);
    match params {
        None => Ok((given, vec![BTreeMap::new(); repeat])),
        Some(RawParams::Shared(table)) => Ok((given, vec![param_table(document, table)?; repeat])),
        Some(RawParams::Each(tables)) => {
            let count = i64::try_from(tables.len()).unwrap_or(i64::MAX);
            let wanted = copies.map_or(count, |copies| *copies.get_ref());
            if wanted != count || count == 0 {
                return Err(mismatch(document, wanted, tables.len(), span, copies));
            }
            let tables = tables
                .into_iter()
                .map(|table| param_table(document, table.into_inner()));
            Ok((count, tables.collect::<Result<_, _>>()?))
        }
    }
}

fn mismatch(
    document: &Document,
    wanted: i64,
    params: usize,
    span: Range<usize>,
    copies: Option<&Spanned<i64>>,
) -> ScenarioError {
    let mistake = Mistake::ParamsMismatch {
        copies: wanted.max(1),
        params,
    };
    let error = document.error(mistake, span, "one table a copy");
    let error = error.hint("give each copy a table, or one table for all: `params = { name = \"value\" }`");
    match copies {
        Some(copies) => error.at(&document.source, copies.span(), "this many copies"),
        None => error,
    }
}

fn param_table(document: &Document, table: RawParamTable) -> Result<BTreeMap<String, Param>, ScenarioError> {
    let mut params = BTreeMap::new();
    for (name, value) in table {
        let starts_right = name
            .get_ref()
            .starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        if !starts_right || !name.get_ref().chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(document
                .error(Mistake::BadParamName(name.get_ref().clone()), name.span(), "here")
                .hint("a variable's name is made of ASCII letters, digits and _, and begins with no digit"));
        }
        let param = param(document, name.get_ref(), &value)?;
        params.insert(name.into_inner(), param);
    }
    Ok(params)
}

fn param(document: &Document, name: &str, value: &Spanned<toml::Value>) -> Result<Param, ScenarioError> {
    let refuse = |what| {
        let mistake = Mistake::BadParamValue {
            name: name.to_owned(),
            what,
        };
        let hint = "a parameter is a string, an integer, a number or a boolean";
        Err(document.error(mistake, value.span(), "here").hint(hint))
    };
    match value.get_ref() {
        toml::Value::String(text) if text.contains('\0') => refuse("text with a NUL character"),
        toml::Value::String(text) => Ok(Param::Text(text.clone())),
        toml::Value::Integer(number) => Ok(Param::Integer(*number)),
        toml::Value::Float(number) if !number.is_finite() => refuse("inf or nan"),
        toml::Value::Float(number) => {
            // as written in the file: 1.10 keeps its zero, and no digit is lost
            let written = document.source.text.get(value.span()).map(|text| text.replace('_', ""));
            let number = written.map_or_else(|| number.to_string(), |text| text.trim_start_matches('+').to_owned());
            Ok(Param::Numeric(number))
        }
        toml::Value::Boolean(value) => Ok(Param::Boolean(*value)),
        toml::Value::Datetime(time) => Ok(Param::Text(time.to_string())),
        toml::Value::Array(_) => refuse("an array"),
        toml::Value::Table(_) => refuse("a table"),
    }
}

fn isolation(document: &Document, value: &Text) -> Result<Isolation, ScenarioError> {
    let levels = [
        Isolation::ReadCommitted,
        Isolation::RepeatableRead,
        Isolation::Serializable,
    ];
    let written = value
        .get_ref()
        .to_lowercase()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    if let Some(level) = levels.into_iter().find(|level| level.as_sql() == written) {
        return Ok(level);
    }
    let hint = match suggest::one_of(&written, levels.map(Isolation::as_sql)) {
        Some(level) => format!("did you mean \"{level}\"?"),
        None => "it is \"read committed\", \"repeatable read\" or \"serializable\"".to_owned(),
    };
    Err(document
        .error(Mistake::UnknownIsolation(value.get_ref().clone()), value.span(), "here")
        .hint(hint))
}

fn retry(document: &Document, raw: RawRetry) -> Result<Retry, ScenarioError> {
    if raw.on.get_ref().is_empty() {
        let error = document.error(Mistake::EmptyRetry, raw.on.span(), "here");
        return Err(error.hint("name the SQLSTATEs to retry on, such as \"40001\", or leave `retry` out"));
    }
    let on = sqlstate::read(document, raw.on.into_inner())?;
    match u32::try_from(*raw.max.get_ref()) {
        Ok(max) if max >= 1 => Ok(Retry { on, max }),
        _ => Err(document
            .error(Mistake::BadRetries(*raw.max.get_ref()), raw.max.span(), "here")
            .hint("a transaction is retried at least once, and at most 4294967295 times")),
    }
}
