//! A state that is a copy of a database of the server.

use std::path::PathBuf;
use std::sync::Arc;

use super::{RunError, unscheduled};
use crate::history::Exit;
use crate::postgres::embedded::Binaries;
use crate::postgres::{PostgresError, Server};
use crate::scenario::ProgramCommand;

/// What is read and written: content, without what belongs to the whole server or leads out of the database.
const OPTIONS: [&str; 4] = ["--no-owner", "--no-privileges", "--no-comments", "--no-tablespaces"];

const DUMP_OPTIONS: [&str; 6] = [
    "--format=custom",
    "--compress=0",
    "--no-security-labels",
    "--no-publications",
    "--no-subscriptions",
    "--file=dump",
];

/// Everything else that it needs to connect is in its environment.
const RESTORE_OPTIONS: [&str; 3] = ["--exit-on-error", "--dbname=application_name=pgbraid", "dump"];

/// Copies the database `source` of the server into a new scratch database. Returns its name, and what the reader should
/// know of the copy.
///
/// # Errors
/// When it cannot be copied.
pub async fn copy(server: &Arc<Server>, source: &str) -> Result<(String, Vec<String>), RunError> {
    let refused = |reason: String| RunError::NotCopied {
        database: source.to_owned(),
        reason,
    };
    if !server.is_given() {
        return Err(RunError::NothingToCopy(source.to_owned()));
    }
    let mut notes = Vec::new();
    let name = match server.copy_files(source).await? {
        Some(name) => name,
        None => {
            notes.push(format!(
                "the state is what pg_dump read of database {source}, since other clients are connected to it, or it is \
                 somebody else's: rows lie in another order, statistics are new, owners, privileges and policies are left out"
            ));
            let name = server.create_scratch_like(source).await?;
            let folder = tempfile::tempdir().map_err(RunError::Runtime)?;
            let run = async |program: &'static str, options: &[&str], database: &str| {
                let command = ProgramCommand {
                    command: std::iter::once(Binaries::client(program).to_string_lossy().into_owned())
                        .chain(OPTIONS.iter().chain(options).map(|&option| option.to_owned()))
                        .collect(),
                    cwd: PathBuf::from(folder.path()),
                    ..ProgramCommand::default()
                };
                match unscheduled::run(server, database, program, &command).await {
                    Ok((Exit::Code(0), _)) => Ok(()),
                    Ok((_, output)) => Err(refused(format!("{program} failed: {}", output.stderr.trim()))),
                    Err(RunError::Launch { source, .. }) => {
                        Err(refused(format!("{program} could not be started: {source}")))
                    }
                    Err(error) => Err(error),
                }
            };
            run("pg_dump", &DUMP_OPTIONS, source).await?;
            run("pg_restore", &RESTORE_OPTIONS, &name).await?;
            let mut control = server.control(&name).await?;
            control.simple("ANALYZE").await.map_err(PostgresError::from)?;
            name
        }
    };
    let left_out = server.copy_settings(source, &name).await?;
    if !left_out.is_empty() {
        notes.push(format!(
            "settings of database {source} that its copy does not have: {}",
            left_out.join(", ")
        ));
    }
    let mut control = server.control(&name).await?;
    let foreign = "SELECT srvname FROM pg_catalog.pg_foreign_server LIMIT 1";
    let foreign = control.simple(foreign).await.map_err(PostgresError::from)?;
    if let Some(foreign) = foreign.results.first().and_then(|result| result.scalar()) {
        return Err(refused(format!(
            "its foreign server {foreign} leads out of the copy, so runs could change what lies there"
        )));
    }
    Ok((name, notes))
}
