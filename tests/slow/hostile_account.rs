//! Root runs pgbraid while the account that its server runs as does what it can to gain by it.
//!
//! These tests need root, and a PostgreSQL that is installed.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::{User, geteuid};
use tempfile::TempDir;

use super::embedded_server::sweep;
use crate::common::program::{fixture, open_folder, pgbraid};

/// A sweep that does not hang takes no longer, on a slow machine too.
const SOON: Duration = Duration::from_secs(60);

/// A folder in which the account `postgres` acts, and what root has that it may not touch.
struct Scene {
    root: TempDir,
    account: User,
}

impl Scene {
    /// None, and a line that says so, where there is no root or no such account.
    fn new() -> Option<Scene> {
        let account = User::from_name("postgres").unwrap();
        let Some(account) = account.filter(|_| geteuid().is_root()) else {
            eprintln!("skipped: not root, or no account named postgres");
            return None;
        };
        let scene = Scene {
            root: open_folder(),
            account,
        };
        fs::create_dir(scene.temporary()).unwrap();
        fs::create_dir_all(scene.precious().join("data/base")).unwrap();
        for file in ["file", "owner.lock", "data/base/1"] {
            fs::write(scene.precious().join(file), "precious").unwrap();
        }
        Some(scene)
    }

    /// The temporary folder of pgbraid.
    fn temporary(&self) -> PathBuf {
        self.root.path().join("temporary")
    }

    fn precious(&self) -> PathBuf {
        self.root.path().join("precious")
    }

    fn give(&self, path: &Path) {
        chown(path, Some(self.account.uid.as_raw()), Some(self.account.gid.as_raw())).unwrap();
    }

    /// A folder as a killed run of root's leaves it.
    fn leftover(&self) -> PathBuf {
        let folder = self.temporary().join("pgbraid-1-aaaaaa");
        fs::create_dir_all(folder.join("data/base")).unwrap();
        for file in ["owner.lock", "data/base/1"] {
            fs::write(folder.join(file), "").unwrap();
        }
        for path in ["", "owner.lock", "data", "data/base", "data/base/1"] {
            self.give(&folder.join(path));
        }
        folder
    }

    /// `script`, run by a shell as the account until this is dropped, in `folder` and with the precious one as `$0`.
    fn attack(&self, folder: &Path, script: &str) -> Attack {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", script])
            .arg(self.precious())
            .current_dir(folder)
            .uid(self.account.uid.as_raw())
            .gid(self.account.gid.as_raw())
            .stderr(Stdio::null());
        Attack(shell.spawn().unwrap())
    }

    fn run(&self) -> Output {
        let begun = Instant::now();
        let output = pgbraid()
            .args(["explore", "--no-shrink"])
            .arg(fixture("counter"))
            .env("TMPDIR", self.temporary())
            .output()
            .unwrap();
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        output
    }

    /// Removes leftovers in a process with this temporary folder.
    fn sweep(&self) {
        let begun = Instant::now();
        sweep(&self.temporary());
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    }

    fn assert_untouched(&self) {
        for file in ["file", "owner.lock", "data/base/1"] {
            let path = self.precious().join(file);
            assert_eq!(fs::read_to_string(&path).unwrap(), "precious", "{file}");
            let found = fs::metadata(&path).unwrap();
            assert_eq!((found.uid(), found.gid()), (0, 0), "{file}");
        }
        assert_eq!(fs::read_dir(self.precious()).unwrap().count(), 3);
    }
}

struct Attack(Child);

impl Drop for Attack {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_link_in_place_of_a_file_leads_root_nowhere() {
    let Some(scene) = Scene::new() else { return };
    for name in [
        "server.log",
        "data",
        "data/postmaster.pid",
        "data/postgresql.conf",
        ".s.PGSQL.5432",
    ] {
        let target = if name == "data" { "" } else { "/file" };
        let script = format!(
            r#"while :; do for folder in pgbraid-*; do
                   if [ -d "$folder" ]; then ln -sfn "$0{target}" "$folder/{name}"; fi
               done; done"#
        );
        let _attack = scene.attack(&scene.temporary(), &script);
        scene.run();
        scene.assert_untouched();
    }
}

#[test]
fn the_sweep_does_not_remove_through_a_swapped_folder() {
    const INNER: &str = "pgbraid-1-aaaaaa/data";
    for (folder, name) in [("", "pgbraid-1-aaaaaa"), ("pgbraid-1-aaaaaa", "data"), (INNER, "base")] {
        for _ in 0..3 {
            let Some(scene) = Scene::new() else { return };
            // The account may swap the run folder itself.
            scene.give(&scene.temporary());
            let leftover = scene.leftover();
            // It takes a while to remove.
            for number in 0..2000 {
                let path = leftover.join(format!("data/base/{number}"));
                fs::write(&path, "").unwrap();
                scene.give(&path);
            }
            let target = match name {
                "pgbraid-1-aaaaaa" => "",
                "data" => "/data",
                _ => "/data/base",
            };
            let script = format!(
                r#"while :; do
                       mv -T {name} aside; ln -s "$0{target}" {name}; rm {name}; mv -T aside {name}
                   done"#
            );
            let _attack = scene.attack(&scene.temporary().join(folder), &script);
            scene.sweep();
            scene.assert_untouched();
        }
    }
}

#[test]
fn a_pid_file_that_never_ends_does_not_hold_the_sweep_up() {
    let Some(scene) = Scene::new() else { return };
    for plant in [
        "mkfifo data/postmaster.pid",
        "ln -s /dev/zero data/postmaster.pid",
        "rm owner.lock; mkfifo owner.lock",
    ] {
        let leftover = scene.leftover();
        let planted = scene.attack(&leftover, plant).0.wait().unwrap();
        assert!(planted.success());
        scene.sweep();
        scene.assert_untouched();
        let _ = fs::remove_dir_all(leftover);
    }
}

#[test]
fn what_is_not_the_servers_is_not_killed() {
    let Some(scene) = Scene::new() else { return };
    let leftover = scene.leftover();
    // names are forged as the account could make anybody's process bear them
    let named = |title: &str, folder: &Path, account: Option<&User>| {
        let mut command = Command::new("sleep");
        command.arg0(title).arg("100").current_dir(folder);
        if let Some(account) = account {
            command.uid(account.uid.as_raw()).gid(account.gid.as_raw());
        }
        Attack(command.spawn().unwrap())
    };
    let title = "postgres: pgbraid-1-aaaaaa: checkpointer";
    let mut roots = named(title, &leftover.join("data"), None);
    let mut elsewhere = named(title, Path::new("/"), Some(&scene.account));
    let mut shell = named("-bash", &leftover, Some(&scene.account));
    let mut servers = named(title, &leftover.join("data"), Some(&scene.account));
    let pid_file = leftover.join("data/postmaster.pid");
    fs::write(
        &pid_file,
        format!("{}\n{}\n", roots.0.id(), leftover.join("data").display()),
    )
    .unwrap();
    scene.give(&pid_file);
    scene.sweep();
    assert!(!leftover.exists());
    for process in [&mut roots, &mut elsewhere, &mut shell] {
        assert!(process.0.try_wait().unwrap().is_none());
    }
    assert!(servers.0.try_wait().unwrap().is_some());
    let _ = servers.0.kill();
}

#[test]
fn a_program_of_the_account_is_not_run_as_root() {
    let Some(scene) = Scene::new() else { return };
    let bindir = scene.root.path().join("bin");
    fs::create_dir(&bindir).unwrap();
    scene.give(&bindir);
    let script = r#"for program in postgres initdb; do
            printf '#!/bin/sh\nid -u >>"%s/ids"\nid -G >>"%s/ids"\necho "postgres (PostgreSQL) 17.2"\nexit 1\n' "$PWD" "$PWD" >$program
            chmod 755 $program
        done"#;
    assert!(scene.attack(&bindir, script).0.wait().unwrap().success());
    let output = pgbraid()
        .arg("explore")
        .arg(fixture("counter"))
        .env("PGBRAID_PG_BINDIR", &bindir)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let ids = fs::read_to_string(bindir.join("ids")).unwrap();
    assert!(ids.lines().count() >= 4, "{ids}");
    for id in ids.split_whitespace() {
        assert_ne!(id, "0", "{ids}");
    }
}

#[test]
fn a_temporary_folder_that_leads_elsewhere_is_not_used_as_root() {
    let Some(scene) = Scene::new() else { return };
    // the account decides where it leads
    let owned = scene.root.path().join("owned");
    fs::create_dir(&owned).unwrap();
    symlink(scene.precious(), owned.join("temporary")).unwrap();
    scene.give(&owned);
    fs::remove_dir(scene.temporary()).unwrap();
    symlink(owned.join("temporary"), scene.temporary()).unwrap();
    assert_eq!(scene.run().status.code(), Some(1), "another folder is used");
    scene.assert_untouched();
    assert_eq!(fs::metadata(scene.precious()).unwrap().uid(), 0);
}
