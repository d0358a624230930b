//! Candidates: each is run once on the server.

use std::collections::HashMap;
use std::sync::Arc;

use super::arrangement::{Arranged, Arrangement, Planned};
use super::{Progress, ShrinkOptions, Target};
use crate::run::{Run, RunError, Template, Worker};
use crate::scenario::Scenario;

/// Runs candidates of a scenario, or of a reduced one.
pub struct Trials<'a> {
    template: &'a Arc<Template>,
    target: Target,
    options: &'a ShrinkOptions,
    progress: &'a mut dyn FnMut(Progress),
    worker: Worker,
    scenario: Arc<Scenario>,
    /// For the present scenario: the runs, by what was asked for.
    cache: HashMap<(Arrangement, Vec<Planned>), Arc<Trial>>,
    runs: u64,
    known: u64,
}

/// A candidate's run.
pub struct Trial {
    pub run: Run,
    /// It violates what it should.
    pub fails: bool,
}

impl<'a> Trials<'a> {
    pub fn new(
        template: &'a Arc<Template>,
        target: Target,
        options: &'a ShrinkOptions,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Result<Trials<'a>, RunError> {
        Ok(Trials {
            template,
            target,
            options,
            progress,
            worker: Worker::open(template.clone(), options.step_timeout, options.interrupt.clone())?,
            scenario: template.scenario().clone(),
            cache: HashMap::new(),
            runs: 0,
            known: 0,
        })
    }

    pub fn scenario(&self) -> &Arc<Scenario> {
        &self.scenario
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn runs(&self) -> u64 {
        self.runs
    }

    pub fn known(&self) -> u64 {
        self.known
    }

    /// Whether the bound on the number of candidates is reached.
    pub fn is_exhausted(&self) -> bool {
        self.runs >= self.options.most_runs
    }

    /// Runs the racing sessions in this order, unless that has been done.
    ///
    /// # Errors
    /// When the run has no result.
    pub fn run(&mut self, arrangement: &Arrangement, order: &[Planned]) -> Result<Arc<Trial>, RunError> {
        let key = (arrangement.clone(), order.to_vec());
        if let Some(trial) = self.cache.get(&key) {
            self.known += 1;
            return Ok(trial.clone());
        }
        let run = self.worker.run(&mut Arranged::new(arrangement, order))?;
        self.runs += 1;
        (self.progress)(Progress { runs: self.runs });
        let fails = self.target.is_met(&run, &self.scenario);
        let ran = arrangement.race(&run);
        let trial = Arc::new(Trial { run, fails });
        self.cache.insert((arrangement.clone(), ran), trial.clone());
        self.cache.insert(key, trial.clone());
        Ok(trial)
    }

    /// Switches to another scenario on the same state after setup. Returns whether the server accepts its statements.
    ///
    /// # Errors
    /// When the server fails.
    pub fn change_scenario(&mut self, scenario: Arc<Scenario>) -> Result<bool, RunError> {
        self.cache.clear();
        match self.worker.change_scenario(scenario.clone()) {
            Ok(()) => {
                self.scenario = scenario;
                Ok(true)
            }
            Err(error) if is_refusal(&error) => {
                self.reopen()?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Starts again with the unchanged scenario, after a run that had no result.
    pub fn reopen(&mut self) -> Result<(), RunError> {
        let (step_timeout, interrupt) = (self.options.step_timeout, self.options.interrupt.clone());
        let worker = Worker::open(self.template.clone(), step_timeout, interrupt)?;
        std::mem::replace(&mut self.worker, worker).close()?;
        self.scenario = self.template.scenario().clone();
        self.cache.clear();
        Ok(())
    }
}

/// Whether an error is due to the scenario, not to the server or the machine.
pub fn is_refusal(error: &RunError) -> bool {
    matches!(
        error,
        RunError::Scenario(_)
            | RunError::Serial(_)
            | RunError::SeveralRows { .. }
            | RunError::Condition { .. }
            | RunError::Stuck { .. }
            | RunError::StepTimeout { .. }
            | RunError::NothingToIgnore { .. }
    )
}
