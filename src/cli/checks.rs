//! Options of commands that judge runs.

use clap::Args;
use pgbraid::scenario::Scenario;

/// What must hold beyond what the scenario says.
#[derive(Debug, Clone, Copy, Args)]
pub struct Checks {
    /// Require every outcome to be that of some serial order of the committed transactions, as `serializable = true` in
    /// the scenario does
    #[arg(long)]
    serializable: bool,
}

impl Checks {
    pub fn add_to(self, scenario: &mut Scenario) {
        if self.serializable {
            scenario.require_serializable();
        }
    }
}
