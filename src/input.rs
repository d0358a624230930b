//! Reads a scenario from a file of any kind.

use std::path::Path;

use crate::isolation::Specification;
use crate::scenario::{Mistake, Scenario, ScenarioError};

/// How a scenario is read from its file, if the file does not say everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// The outcome must equal that of some serial order, whatever the scenario says.
    pub serializable: bool,
    /// For a specification: use only the steps in this one of its named permutations, counted from 1; `None` uses all
    /// steps.
    pub permutation: Option<usize>,
}

impl Scenario {
    /// Reads a scenario file; the scenario is named after the file, without its extension. A file that ends in `.spec`
    /// is an isolation specification, whose permutations are ignored.
    ///
    /// # Errors
    ///
    /// The first mistake in the file, or a file (this one or its `setup_file`) that cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Scenario, ScenarioError> {
        Scenario::read(path.as_ref(), Reading::default())
    }

    /// As [`Scenario::from_file`], with settings that apply whatever the file says.
    ///
    /// # Errors
    ///
    /// As there, and if there is no such permutation.
    pub fn read(path: &Path, reading: Reading) -> Result<Scenario, ScenarioError> {
        let mut scenario = match (path.extension(), reading.permutation) {
            (Some(extension), permutation) if extension == "spec" => {
                Specification::from_file(path)?.scenario(permutation)?
            }
            (_, Some(_)) => {
                let mistake = Mistake::NoPermutations(path.display().to_string());
                return Err(
                    ScenarioError::new(mistake).hint("the files of isolationtester do: their names end in .spec")
                );
            }
            (_, None) => Scenario::from_toml_file(path)?,
        };
        scenario.path = Some(path.to_owned());
        if reading.serializable {
            scenario.require_serializable();
        }
        Ok(scenario)
    }
}
