//! Sessions of the file that are programs.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;

use super::raw::{RawSession, Text};
use super::{Document, program_folder, service};
use crate::scenario::error::{Mistake, ScenarioError};
use crate::scenario::program::{ProgramCommand, SessionProgram, placeholders};
use crate::scenario::service::Service;
use crate::suggest;

/// Keys that concern programs alone.
const PROGRAM_KEYS: &str = "`stdin`, `env`, `cwd`, `allow_exit` and `connections` go with `command`";

/// The program, or the request, that a session is; `None` where it has steps of its own.
pub(super) fn read(
    document: &Document,
    raw: &RawSession,
    services: &[Service],
    base_dir: &Path,
) -> Result<Option<SessionProgram>, ScenarioError> {
    let name = raw.name.get_ref();
    let Some(request) = &raw.request else {
        if let Some(statuses) = &raw.allow_status {
            return Err(document
                .error(Mistake::NoRequest(name.clone()), statuses.span(), "here")
                .hint("`allow_status` goes with `request`"));
        }
        return Ok(command(document, raw, base_dir)?.map(SessionProgram::Command));
    };
    let other = raw.command.as_ref().map(Spanned::span);
    if let Some(other) = other.or_else(|| raw.steps.first().map(Spanned::span)) {
        let error = document.error(Mistake::RequestAndMore(name.clone()), request.span(), "one too many");
        return Err(error
            .at(&document.source, document.first_line(other), "the other")
            .hint("a session runs its steps, or a program, or sends a request"));
    }
    // keys of a program have no place here, either
    command(document, raw, base_dir)?;
    refuse_keys_of_scripts(document, raw)?;
    let request = service::request(document, request.get_ref(), raw.allow_status.as_ref(), services)?;
    Ok(Some(SessionProgram::Request(request)))
}

/// Keys that concern sessions with steps alone.
fn refuse_keys_of_scripts(document: &Document, raw: &RawSession) -> Result<(), ScenarioError> {
    for (key, span) in [
        ("isolation", raw.isolation.as_ref().map(Spanned::span)),
        ("retry", raw.retry.as_ref().map(|retry| retry.on.span())),
        ("allow_errors", raw.allow_errors.first().map(Spanned::span)),
    ] {
        if let Some(span) = span {
            let hint = "a program chooses isolation levels and handles errors by itself; `allow_exit` and \
                        `allow_status` say how it may end";
            return Err(document.error(Mistake::NotOfPrograms(key), span, "here").hint(hint));
        }
    }
    Ok(())
}

fn command(document: &Document, raw: &RawSession, base_dir: &Path) -> Result<Option<ProgramCommand>, ScenarioError> {
    let Some(command) = &raw.command else {
        let stray = raw.stdin.as_ref().map(Spanned::span);
        let stray = stray.or_else(|| raw.cwd.as_ref().map(Spanned::span));
        let stray = stray.or_else(|| raw.env.as_ref().map(Spanned::span));
        let stray = stray.or_else(|| raw.connections.as_ref().map(Spanned::span));
        return match stray.or_else(|| raw.allow_exit.as_ref().map(Spanned::span)) {
            Some(span) => Err(document
                .error(Mistake::NoCommand(raw.name.get_ref().clone()), span, "here")
                .hint(PROGRAM_KEYS)),
            None => Ok(None),
        };
    };
    let name = raw.name.get_ref();
    if let Some(step) = raw.steps.first() {
        let error = document.error(Mistake::StepsAndCommand(name.clone()), command.span(), "one too many");
        return Err(error
            .at(&document.source, document.first_line(step.span()), "the other")
            .hint("a session runs either its steps or a program"));
    }
    refuse_keys_of_scripts(document, raw)?;
    check_words(
        document,
        "`command`",
        command,
        "`command = [\"python3\", \"import.py\"]`",
    )?;
    let mut allow_exit = Vec::new();
    for code in raw.allow_exit.iter().flat_map(|codes| codes.get_ref()) {
        match i32::try_from(*code.get_ref()) {
            Ok(number @ 0..=255) => allow_exit.push(number),
            _ => {
                return Err(document
                    .error(Mistake::BadExitCode(*code.get_ref()), code.span(), "here")
                    .hint("exit codes go from 0 to 255"));
            }
        }
    }
    let connections = match &raw.connections {
        None => None,
        Some(given) => match usize::try_from(*given.get_ref()) {
            Ok(number @ 1..) => Some(number),
            _ => {
                return Err(document
                    .error(Mistake::BadConnections(*given.get_ref()), given.span(), "here")
                    .hint("say how many connections the program uses at the same time"));
            }
        },
    };
    if let Some(stdin) = &raw.stdin {
        no_nul(document, stdin)?;
    }
    Ok(Some(ProgramCommand {
        stdin: raw.stdin.as_ref().map(|text| text.get_ref().clone()),
        allow_exit,
        connections,
        ..launched(document, command, raw.env.as_ref(), raw.cwd.as_ref(), base_dir)?
    }))
}

/// What is started, in which folder, and with which environment.
pub(super) fn launched(
    document: &Document,
    command: &Spanned<Vec<Text>>,
    env: Option<&Spanned<BTreeMap<Text, Text>>>,
    cwd: Option<&Text>,
    base_dir: &Path,
) -> Result<ProgramCommand, ScenarioError> {
    let env = env.iter().flat_map(|env| env.get_ref());
    for text in cwd
        .into_iter()
        .chain(env.clone().flat_map(|(name, value)| [name, value]))
    {
        no_nul(document, text)?;
    }
    let env = env.map(|(name, value)| (name.get_ref().clone(), value.get_ref().clone()));
    Ok(ProgramCommand {
        command: command.get_ref().iter().map(|word| word.get_ref().clone()).collect(),
        env: env.collect(),
        cwd: program_folder(&base_dir.join(cwd.map_or("", |cwd| cwd.get_ref()))),
        ..ProgramCommand::default()
    })
}

/// A command names a program, and holds what one can be given. `example` is how the key is written.
pub(super) fn check_words(
    document: &Document,
    key: &str,
    command: &Spanned<Vec<Text>>,
    example: &str,
) -> Result<(), ScenarioError> {
    if command.get_ref().first().is_none_or(|word| word.get_ref().is_empty()) {
        return Err(document
            .error(Mistake::Empty(key.to_owned()), command.span(), "here")
            .hint(format!("name the program and its arguments: {example}")));
    }
    command.get_ref().iter().try_for_each(|word| no_nul(document, word))
}

pub(super) fn no_nul(document: &Document, text: &Text) -> Result<(), ScenarioError> {
    match text.get_ref().contains('\0') {
        false => Ok(()),
        true => Err(document
            .error(Mistake::Nul("this text".to_owned()), text.span(), "here")
            .hint("programs are given texts without one")),
    }
}

/// Names in braces are parameters of every copy. JSON has braces of its own, so that one without parameters is left alone.
pub(super) fn check_parameters<'a>(
    document: &Document,
    program: &SessionProgram,
    place: &Text,
    known: impl Iterator<Item = &'a String> + Clone,
) -> Result<(), ScenarioError> {
    for name in program.texts().into_iter().flat_map(|text| placeholders(text)) {
        if !known.clone().any(|one| one == name) {
            let names: Vec<&str> = known.clone().map(String::as_str).collect();
            let hint = match names.is_empty() {
                true => "`{name}` stands for a parameter: add `params = { … }`".to_owned(),
                false => match suggest::one_of(name, names.iter().copied()) {
                    Some(near) => format!("did you mean `{{{near}}}`?"),
                    None => format!("the parameters are {}", names.join(", ")),
                },
            };
            let mistake = Mistake::UnknownParameter(name.to_owned());
            return Err(document.error(mistake, place.span(), "in this session").hint(hint));
        }
    }
    Ok(())
}
