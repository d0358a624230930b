//! The state after setup, which workbenches are copies of.

use std::sync::Arc;

use super::unconnected::unconnected;
use crate::conflict::Program;
use crate::history::{Uncontrolled, Volatile};
use crate::postgres::Server;
use crate::postgres::baseline::Baseline;
use crate::postgres::fingerprint::{self, Probe};
use crate::postgres::shared_state::SharedState;
use crate::postgres::wire::Connection;
use crate::run::large_objects::LargeObjects;
use crate::run::timeouts::{self, Timeouts};
use crate::run::{Observed, RunError, SerialOracle, attached, check, one_step, setup_command, setup_database};
use crate::scenario::Scenario;
use crate::sql::classify::first_word;

/// A scenario's state after setup, in a database that workbenches are copied from.
#[derive(Debug)]
pub struct Template {
    pub(super) server: Arc<Server>,
    pub(super) scenario: Arc<Scenario>,
    pub(super) database: String,
    pub(super) baseline: Baseline,
    pub(super) large_objects: LargeObjects,
    pub(super) shared: SharedState,
    pub(super) probe: Probe,
    pub(super) volatile: Arc<Volatile>,
    pub(super) program: Arc<Program>,
    pub(super) notes: Vec<String>,
    pub(super) observed: Arc<Observed>,
    pub(super) timeouts: Option<Timeouts>,
    /// Present if outcomes must be serializable.
    pub(super) serial: Option<SerialOracle>,
}

impl Template {
    /// Runs the setup in a new scratch database, and checks every statement of the scenario against the result.
    ///
    /// # Errors
    /// When the server rejects the setup or a statement, with its place in the file.
    pub async fn prepare(server: Arc<Server>, scenario: Arc<Scenario>) -> Result<Template, RunError> {
        let (database, copied) = match &scenario.setup_database {
            Some(source) => setup_database::copy(&server, source).await?,
            None => (server.create_scratch(None).await?, Vec::new()),
        };
        let mut control = server.control(&database).await?;
        let volatile = Volatile::from_now(&mut control).await?;
        let mut volatile = match scenario.has_programs() {
            true => volatile.of_programs(),
            false => volatile,
        };
        let shared = SharedState::take(&mut control, server.version()).await?;
        let since = fingerprint::next_transaction(&mut control).await?;
        check::run_setup(&mut control, &server, &scenario).await?;
        setup_command::run(&server, &database, &scenario).await?;
        refuse_changes(&shared, &mut control, &server, "the setup").await?;
        let changes_schema = changes_schema(&scenario);
        let large_objects = LargeObjects::find(&mut control, &scenario).await?;
        let more_than_rows = changes_schema || large_objects.are_expected() || vacuums(&scenario);
        let baseline = Baseline::take(&mut control, &server, more_than_rows).await?;
        let probe = Probe::new(&mut control, &since).await?;
        let (program, catalog) = check::check_statements(&mut control, &server, &scenario, changes_schema).await?;
        check::ignore_columns(&mut control, &scenario, &baseline, &mut volatile).await?;
        let timeouts = Timeouts::find(&mut control, &server, &database, &scenario).await?;
        let program = program_with(timeouts.as_ref(), program, &scenario);
        let mut notes = one_step::notes(&mut control, &scenario).await?;
        notes.extend(timeouts::not_explored(&scenario));
        notes.extend(copied);
        let scenario = with_begins(scenario, &program);
        let serial = serial_oracle(&scenario)?;
        let opaque = timeouts.is_some() || changes_schema || catalog.changing_routines;
        let quiet = server.deadlock_control;
        let observed = Observed::new(program.clone(), catalog, quiet, scenario.schedules_prelude);
        if opaque {
            observed.meets_elsewhere();
        }
        let mut declared = scenario.sessions.iter().flat_map(|session| session.steps.iter());
        if declared.any(|step| attached::may_lock_tables(&step.sql.text)) {
            observed.locks_tables();
        }
        let observed = Arc::new(observed);
        Ok(Template {
            server,
            scenario,
            database,
            baseline,
            large_objects,
            shared,
            probe,
            volatile: Arc::new(volatile),
            program: Arc::new(program),
            notes,
            observed,
            timeouts,
            serial,
        })
    }

    /// The same state, for other sessions and invariants. `known` is the program of these.
    pub(super) fn with_scenario(&self, scenario: Arc<Scenario>, known: Program) -> Result<Template, RunError> {
        let program = program_with(self.timeouts.as_ref(), known, &scenario);
        let scenario = with_begins(scenario, &program);
        Ok(Template {
            server: self.server.clone(),
            serial: serial_oracle(&scenario)?,
            scenario,
            database: self.database.clone(),
            baseline: self.baseline.clone(),
            large_objects: self.large_objects.clone(),
            shared: self.shared.clone(),
            probe: self.probe.clone(),
            volatile: self.volatile.clone(),
            program: Arc::new(program),
            notes: self.notes.clone(),
            observed: self.observed.clone(),
            timeouts: self.timeouts.clone(),
        })
    }

    pub fn scenario(&self) -> &Arc<Scenario> {
        &self.scenario
    }

    /// What each step may touch.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// What has been seen of the scenario's programs; `None` where it has none.
    pub fn observed(&self) -> Option<&Arc<Observed>> {
        Some(&self.observed).filter(|_| self.scenario.has_programs())
    }

    /// Every schedule is run with the programs themselves.
    pub fn learn_nothing(&self) {
        self.observed.learned().stop();
    }

    /// What was not under control, beside what runs say of themselves.
    pub fn doubts(&self) -> Vec<Uncontrolled> {
        if !self.scenario.has_programs() {
            return Vec::new();
        }
        let mut doubts = self.observed.doubts();
        doubts.extend(unconnected(&self.scenario, &self.observed.connected()));
        doubts
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// What was not explored because it happens within one step, in a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        notes.extend(self.observed.notes());
        notes
    }

    /// The database that workbenches are copied from.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Distinguishes a copy from the state after setup.
    pub fn probe(&self) -> &Probe {
        &self.probe
    }

    /// Drops the database; no workbench can be opened after that.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn drop_database(&self) -> Result<(), RunError> {
        Ok(self.server.drop_scratch(&self.database).await?)
    }
}
/// What belongs to the whole server is not restored.
pub(super) async fn refuse_changes(
    shared: &SharedState,
    control: &mut Connection,
    server: &Server,
    what: &'static str,
) -> Result<(), RunError> {
    let changes = shared.changes(control).await?;
    match changes.is_empty() {
        true => Ok(()),
        false => Err(RunError::ReachedOut {
            what,
            changes,
            given: server.is_given(),
        }),
    }
}

/// If timeouts may end waits, a waiting step may end at any move of others, so no wait is left out.
fn program_with(timeouts: Option<&Timeouts>, known: Program, scenario: &Scenario) -> Program {
    match timeouts {
        Some(_) => Program::unknown(scenario, true),
        None => known,
    }
}

/// The scenario with turns for its BEGINs, if the time that they take matters.
fn with_begins(scenario: Arc<Scenario>, program: &Program) -> Arc<Scenario> {
    if !(0..scenario.sessions.len()).any(|session| program.begins_apart(session)) {
        return scenario;
    }
    let mut scenario = Scenario::clone(&scenario);
    for (index, session) in scenario.sessions.iter_mut().enumerate() {
        session.begins_apart = program.begins_apart(index);
    }
    Arc::new(scenario)
}

fn serial_oracle(scenario: &Scenario) -> Result<Option<SerialOracle>, RunError> {
    let oracle = scenario.serializable.then(|| SerialOracle::new(scenario));
    Ok(oracle.transpose()?)
}

pub(super) fn changes_schema(scenario: &Scenario) -> bool {
    let mut steps = scenario.sessions.iter().flat_map(|session| session.steps.iter());
    steps.any(|step| step.statement.changes_schema)
}

/// VACUUM may gather statistics, which plans depend on.
fn vacuums(scenario: &Scenario) -> bool {
    let mut steps = scenario.sessions.iter().flat_map(|session| session.steps.iter());
    steps.any(|step| first_word(&step.sql.text).as_deref() == Some("vacuum"))
}
