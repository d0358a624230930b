//! Which programs are learned.

use std::collections::BTreeMap;

use crate::scenario::{Param, SessionProgram};

/// What tells a program from others: all that it is started with. `None` for one that is not learned: several sessions that are
/// connections of one program share its memory, and a closure costs little.
pub fn learnable(program: &SessionProgram, params: &BTreeMap<String, Param>) -> Option<String> {
    match program {
        SessionProgram::Command(program) if program.connections.is_none() => {
            Some(format!("{:?}", program.filled(params)))
        }
        SessionProgram::Request(request) => Some(format!("{:?}", request.filled(params))),
        SessionProgram::Command(_) | SessionProgram::Closure(_) => None,
    }
}
