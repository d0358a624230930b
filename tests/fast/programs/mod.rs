//! Sessions that are programs: small ones, which speak the protocol by themselves.

mod connections;
mod endings;
mod learned;
mod protocol;
mod record;
mod serializable;
mod services;
mod verdicts;

use std::fs;
use std::process::Command;

use crate::common::program::{Finished, Place, finish};

const CLIENT: &str = include_str!("client.py");
const TABLES: &str = "CREATE TABLE t (x int); INSERT INTO t VALUES (0); CREATE TABLE seen (x int)";

/// A scenario of programs in Python, each with a connection `c`.
struct Trial {
    place: Place,
    scenario: String,
    /// In seconds.
    step_timeout: &'static str,
}

impl Trial {
    fn new(programs: &[(&str, &str)], invariant: &str) -> Trial {
        let place = Place::new();
        place.write("client.py", CLIENT);
        let mut scenario = format!("setup = \"{TABLES}\"\n");
        for (name, text) in programs {
            let python = format!("from client import *\nc = Connection()\n{text}\n");
            place.write(&format!("{name}.py"), &python);
            scenario += &format!("[[session]]\nname = \"{name}\"\ncommand = [\"python3\", \"-SE\", \"{name}.py\"]\n");
        }
        scenario += &format!("[[invariant]]\nname = \"kept\"\nsql = \"\"\"{invariant}\"\"\"\n");
        Trial {
            place,
            scenario,
            step_timeout: "3",
        }
    }

    /// A session by any command.
    fn with(mut self, name: &str, command: &str) -> Trial {
        self.scenario += &format!("[[session]]\nname = \"{name}\"\ncommand = {command}\n");
        self
    }

    /// A program that makes the state.
    fn with_setup(mut self, text: &str) -> Trial {
        let python = format!("from client import *\nc = Connection()\n{text}\n");
        self.place.write("setup.py", &python);
        self.scenario
            .insert_str(0, "setup_command = [\"python3\", \"-SE\", \"setup.py\"]\n");
        self
    }

    fn command(&self) -> Command {
        let path = self.place.write("trial.toml", &self.scenario);
        let mut command = self.place.pgbraid();
        command.arg("explore").arg(path);
        command.args(["--no-shrink", "--step-timeout", self.step_timeout, "--format", "json"]);
        command
    }

    fn run(&self) -> Finished {
        let finished = finish(self.command());
        let left: Vec<_> = fs::read_dir(self.place.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("pgbraid-"))
            .collect();
        assert_eq!(left, Vec::<String>::new(), "{finished:?}");
        finished
    }
}

/// The programs' sessions ran, and every interleaving holds.
fn assert_holds(finished: &Finished) {
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

fn assert_fails(finished: &Finished) {
    assert_eq!(finished.code, Some(1), "{finished:?}");
}

/// It ended inconclusive, for a reason of this code among others.
fn assert_inconclusive(finished: &Finished, code: &str) {
    assert_eq!(finished.code, Some(4), "{finished:?}");
    assert!(finished.stdout.contains(&format!("\"{code}\"")), "{finished:?}");
}
