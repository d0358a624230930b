//! Writes what programs sent as a script: a scenario whose sessions have steps.
//!
//! [`record`] runs a scenario's programs once, one after the other. `lines` makes statements of what each of them sent,
//! `rows` lays the copies of a program side by side, `bind` finds out where their values come from, `when` why some did
//! without a statement, and `answers` how their exit codes and statuses can be told. `script` makes a scenario of it all,
//! which is run in its turn: `check` compares.

mod answers;
mod bind;
mod check;
mod columns;
mod dump;
mod known;
mod lines;
mod pieces;
mod rows;
mod script;
mod steps;
mod values;
mod when;

pub use script::NotScripted;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::script::Script;
use crate::postgres::Server;
use crate::run::{Exchange, Ordered, Run, RunError, Template, Worker, interruptible, runtime};
use crate::scenario::source::SqlText;
use crate::scenario::{Scenario, ScenarioError};

/// How scenarios are run.
#[derive(Debug, Clone)]
pub struct RecordOptions {
    /// The longest time that a step may take while it does not wait for another session.
    pub step_timeout: Duration,
    /// Cancelling this ends the work with [`RunError::Interrupted`].
    pub interrupt: CancellationToken,
}

/// A scenario that was recorded.
#[derive(Debug)]
pub struct Recorded {
    /// The text of its file.
    pub text: String,
    /// In which ways it does not do what the programs did, in a sentence each.
    pub differences: Vec<String>,
}

/// Why there is no script.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("no session is a program: there is nothing to record")]
    NoPrograms,
    #[error(transparent)]
    NotScripted(#[from] NotScripted),
    /// What a `setup_command` has made cannot be told.
    #[error("pg_dump failed: {0}")]
    NoDump(String),
    #[error("working with a temporary folder failed: {0}")]
    NoFolder(std::io::Error),
    /// The steps cannot be run as they were recorded.
    #[error(transparent)]
    NotAccepted(ScenarioError),
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Runs the programs of a scenario in a scratch database, one after the other, and makes steps of what they sent.
///
/// # Errors
/// When a program has no result, or something that it did cannot be written as a step.
pub fn record(
    server: &Arc<Server>,
    scenario: &Arc<Scenario>,
    options: &RecordOptions,
) -> Result<Recorded, RecordError> {
    if !scenario.has_programs() {
        return Err(RecordError::NoPrograms);
    }
    let (programs, transcripts, dumped) = run(server, scenario, options)?;
    let mut script = script::script(scenario, &transcripts, &programs.history.ends)?;
    if let Some(setup) = dumped {
        script.scenario.setup_command = None;
        script.scenario.setup_database = None;
        script.scenario.setup = Some(SqlText::unplaced(setup));
    }
    let mut head = vec![origin(scenario)];
    if scenario.setup_command.is_some() {
        head.push("`setup` is a dump of what `setup_command` had left.".to_owned());
    }
    let broken = programs.violated();
    if !broken.is_empty() {
        head.push(format!(
            "The programs themselves went wrong as they were recorded: {}.",
            broken.join(", ")
        ));
    }
    script.remarks.head.splice(0..0, head);
    let written = read(scenario, &script)?;
    let (scripted, ..) = run(server, &Arc::new(written), options).map_err(|error| match error {
        RecordError::Run(error) => match error.into_mistake() {
            Ok(mistake) => RecordError::NotAccepted(mistake),
            Err(error) => error.into(),
        },
        other => other,
    })?;
    let invariants = script.scenario.invariants.iter();
    let invariants: Vec<String> = invariants.map(|invariant| invariant.name.clone()).collect();
    let differences = check::differences(&programs, &scripted, &invariants);
    if !differences.is_empty() {
        script.remarks.head.push(format!(
            "NOT THE SAME: when the sessions run one after the other, as the programs did, {}.",
            differences.join("; ")
        ));
    }
    Ok(Recorded {
        text: script.scenario.to_toml_with(&script.remarks),
        differences,
    })
}

fn origin(scenario: &Scenario) -> String {
    let file = scenario.path.as_deref().and_then(Path::file_name);
    let file = file.map_or(scenario.name.clone(), |name| name.to_string_lossy().into_owned());
    format!(
        "Recorded from {file} by `pgbraid record`: what its programs sent when they ran one after the other. This is the path \
         that each of them took then; what a program does when it is told something else is not in it."
    )
}

/// The script as its file is read.
fn read(recorded: &Scenario, script: &Script) -> Result<Scenario, RecordError> {
    let text = script.scenario.to_toml_with(&script.remarks);
    let name = format!("{} (recorded)", recorded.name);
    Scenario::from_toml(&recorded.name, &name, &text, Path::new("")).map_err(RecordError::NotAccepted)
}

/// A run, what its programs sent, and what a `setup_command` had left as SQL.
type Ran = (Run, Vec<Vec<Exchange>>, Option<String>);

/// Runs the sessions of a scenario one after the other.
fn run(server: &Arc<Server>, scenario: &Arc<Scenario>, options: &RecordOptions) -> Result<Ran, RecordError> {
    let runtime = runtime()?;
    // only what this one run sends is of interest, not what serial orders come to
    let alone = Scenario {
        serializable: false,
        ..Scenario::clone(scenario)
    };
    let preparing = Template::prepare(server.clone(), Arc::new(alone));
    let template = Arc::new(runtime.block_on(interruptible(&options.interrupt, preparing))?);
    let dumped = match &scenario.setup_command {
        Some(_) => Some(runtime.block_on(async {
            tokio::select! {
                biased;
                () = options.interrupt.cancelled() => Err(RunError::Interrupted.into()),
                dumped = dump::dump(server, template.database()) => dumped,
            }
        })?),
        None => None,
    };
    let mut worker = Worker::open(template.clone(), options.step_timeout, options.interrupt.clone())?;
    // the first session that can move does
    let run = worker.run_live(&mut Ordered::new([]))?;
    let transcripts = worker.transcripts();
    worker.close()?;
    runtime.block_on(template.drop_database())?;
    Ok((run, transcripts, dumped))
}
