//! Where the programs are, and whether what they need is there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// `fixtures/apps`.
///
/// # Panics
/// When an interpreter or a driver is missing.
pub fn apps() -> PathBuf {
    static MISSING: OnceLock<Vec<&str>> = OnceLock::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/apps");
    let missing = MISSING.get_or_init(|| missing(&folder));
    assert!(
        missing.is_empty(),
        "{} cannot be run here; run fixtures/apps/install, which installs what the programs under fixtures/apps need",
        missing.join(", ")
    );
    folder
}

fn missing(folder: &Path) -> Vec<&'static str> {
    let python = folder.join("python/venv/bin/python");
    let rust = folder.join("rust/target/debug/with_tokio_postgres");
    let (python, rust) = (python.to_str().unwrap(), rust.to_str().unwrap());
    let jdbc = format!(
        "{}:/usr/share/java/postgresql.jar",
        folder.join("java/classes").display()
    );
    let languages: [(_, &[&str]); 6] = [
        ("PHP with PDO", &["php", "-r", "new ReflectionExtension('pdo_pgsql');"]),
        (
            "Ruby with pg and ActiveRecord",
            &["ruby", "-e", "require 'pg'; require 'active_record'"],
        ),
        (
            "Python with its drivers",
            &[
                python,
                "-c",
                "import asyncpg, django, psycopg, psycopg2, pytest, sqlalchemy",
            ],
        ),
        (
            "Node with its drivers",
            &[
                "node",
                "-e",
                "Promise.all([import('pg'), import('postgres')]).catch(() => process.exit(1))",
            ],
        ),
        (
            "Java with pgjdbc",
            &["javap", "-cp", &jdbc, "WithPgjdbc", "org.postgresql.Driver"],
        ),
        ("Rust with tokio-postgres", &["test", "-x", rust]),
    ];
    let runs = |words: &[&str]| {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(folder.join("node"));
        let status = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    };
    let missing = languages.into_iter().filter(|(_, words)| !runs(words));
    missing.map(|(name, _)| name).collect()
}
