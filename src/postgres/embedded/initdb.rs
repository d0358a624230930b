//! Makes the data folder of a new server.

use super::account::Account;
use super::binaries::Binaries;
use super::command::{command_line, server_command, spawn_error};
use super::error::EmbeddedError;
use super::run_folder::RunFolder;

/// The server's superuser, which connects without a password.
pub(super) const USER: &str = "postgres";

/// The first major version that computes data checksums unless told not to.
const CHECKSUMS_BY_DEFAULT: u32 = 18;

/// Runs `initdb` for the data folder of `folder`.
pub(super) fn initdb(binaries: &Binaries, account: Option<&Account>, folder: &RunFolder) -> Result<(), EmbeddedError> {
    let mut command = server_command(&binaries.initdb(), account, folder.path());
    command.arg("-D").arg(folder.data()).args([
        "--username",
        USER,
        "--auth=trust",
        "--encoding=UTF8",
        "--no-locale",
        "--no-sync",
        "--no-instructions",
        // Files of 1 MB are quicker to make than the usual 16 MB.
        "--wal-segsize=1",
    ]);
    if binaries.version().major >= CHECKSUMS_BY_DEFAULT {
        command.arg("--no-data-checksums");
    }
    let output = command
        .output()
        .map_err(|source| spawn_error(&command, account, source))?;
    if output.status.success() {
        return Ok(());
    }
    let said = if output.stderr.is_empty() {
        output.stdout
    } else {
        output.stderr
    };
    Err(EmbeddedError::Initdb {
        command: command_line(&command),
        status: output.status,
        output: String::from_utf8_lossy(&said).trim_end().to_owned(),
    })
}
