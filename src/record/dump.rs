//! What a `setup_command` has left, as SQL.

use std::sync::Arc;

use super::RecordError;
use crate::history::Exit;
use crate::postgres::Server;
use crate::postgres::embedded::Binaries;
use crate::run::{RunError, unscheduled};
use crate::scenario::ProgramCommand;
use crate::sql::commands::split;

/// The name of pg_dump in errors.
const NAME: &str = "pg_dump";

/// The schema and rows of a database, without what belongs to the whole server.
const OPTIONS: [&str; 9] = [
    "--inserts",
    "--rows-per-insert=100",
    "--no-owner",
    "--no-privileges",
    "--no-comments",
    "--no-tablespaces",
    "--no-security-labels",
    "--exclude-schema=pgbraid",
    "--file=dump.sql",
];

/// A database's content as SQL.
///
/// # Errors
/// When there is no pg_dump, or it fails.
pub async fn dump(server: &Arc<Server>, database: &str) -> Result<String, RecordError> {
    let folder = tempfile::tempdir().map_err(RecordError::NoFolder)?;
    let program = ProgramCommand {
        command: std::iter::once(Binaries::client(NAME).to_string_lossy().into_owned())
            .chain(OPTIONS.map(str::to_owned))
            .collect(),
        cwd: folder.path().to_owned(),
        ..ProgramCommand::default()
    };
    match unscheduled::run(server, database, NAME, &program).await {
        Ok((Exit::Code(0), _)) => {}
        Ok((_, output)) => return Err(RecordError::NoDump(output.stderr.trim().to_owned())),
        Err(RunError::Launch { source, .. }) => return Err(RecordError::NoDump(source.to_string())),
        Err(error) => return Err(error.into()),
    }
    let text = std::fs::read_to_string(folder.path().join("dump.sql")).map_err(RecordError::NoFolder)?;
    Ok(tidied(&text))
}

/// The statements of a dump without comments, and without settings of the session that reads it.
fn tidied(dump: &str) -> String {
    let is_for_psql = |line: &&str| !line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict ");
    let dump: String = dump.split_inclusive('\n').filter(is_for_psql).collect();
    let mut text = String::new();
    for command in split(&dump) {
        let (Some(first), Some(last)) = (command.first(), command.last()) else {
            continue;
        };
        let sql = &dump[first.offset..last.end()];
        let sets = first.is("SET") && !sql.contains("check_function_bodies");
        if !sets && !sql.starts_with("SELECT pg_catalog.set_config('search_path'") {
            text += sql;
            text += ";\n";
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_what_setup_needs() {
        let dump = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\nSET statement_timeout = 0;\n\
                    SELECT pg_catalog.set_config('search_path', '', false);\nSET check_function_bodies = false;\n\n\
                    --\n-- Name: t\n--\n\nCREATE TABLE public.t (\n    a text\n);\n\n\nINSERT INTO public.t VALUES\n\t('--;\nx');\n\n\
                    \\unrestrict abc\n";
        let expected = "SET check_function_bodies = false;\nCREATE TABLE public.t (\n    a text\n);\n\
                        INSERT INTO public.t VALUES\n\t('--;\nx');\n";
        assert_eq!(tidied(dump), expected);
    }
}
