//! Streams that cannot be written, files that cannot be finished, and text that would steer a terminal.

use std::fs::{self, File};
use std::io::pipe;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::program::{Finished, Place, finish, fixture};

/// The writing end of a pipe that nobody reads.
fn closed() -> Stdio {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    writer.into()
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// The command under a limit of the shell's `ulimit`.
fn limited(limit: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("ulimit {limit}; exec \"$0\" \"$@\"")])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.stdin(Stdio::null());
    shell
}

/// A specification of which `--dry-run` prints more than a pipe holds.
fn many_permutations(place: &Place) -> std::path::PathBuf {
    let session = |name: &str| {
        let steps: String = (0..6)
            .map(|step| format!("step {name}{step} {{ SELECT 1; }}\n"))
            .collect();
        format!("session {name}\n{steps}")
    };
    place.write("many.spec", &["a", "b", "c"].map(session).concat())
}

#[test]
fn a_reader_that_is_gone_ends_a_command_quietly() {
    let place = Place::new();
    let run = |command: &mut Command| {
        let Finished { code, stderr, .. } = finish_with_stdout(command, closed());
        assert_eq!(stderr, "");
        code
    };
    let many = many_permutations(&place);
    assert_eq!(run(place.pgbraid().args(["spec", "-n"]).arg(&many)), Some(0));
    let one = place.write("one.spec", "session s step a { SELECT 1; }");
    assert_eq!(run(place.pgbraid().arg("spec").arg(&one)), Some(0));
    assert_eq!(run(&mut place.explore(&fixture("counter"))), Some(1));
    assert_eq!(place.run_folders().len(), 0);
}

fn finish_with_stdout(command: &mut Command, stdout: Stdio) -> Finished {
    let output = command
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    Finished::new(output)
}

#[test]
fn what_cannot_be_said_on_standard_error_changes_no_exit_code() {
    let place = Place::new();
    let broken = place.write("broken.toml", "[[session]]\n");
    for stderr in [closed(), full()] {
        let mut command = place.explore(&broken);
        assert_eq!(command.stderr(stderr).status().unwrap().code(), Some(2));
    }
    let pinned = place.write(
        "pinned.toml",
        &format!(
            "scenario = '{}'\nexpect = \"holds\"\norder = [\"worker-1 until read\", \"worker-2 to end\"]",
            fixture("counter").display()
        ),
    );
    let mut replay = place.pgbraid();
    replay.arg("replay").arg(&pinned).env("GITHUB_ACTIONS", "true");
    let status = replay.stdout(Stdio::null()).stderr(closed()).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_full_disk_behind_standard_output_gives_3() {
    let place = Place::new();
    for command in [
        &mut place.explore(&fixture("counter")),
        place.pgbraid().args(["spec", "-n"]).arg(many_permutations(&place)),
    ] {
        let run = finish_with_stdout(command, full());
        run.assert_error(3, &["cannot write standard output", "No space left"]);
    }
}

#[test]
fn too_few_descriptors_give_3() {
    let place = Place::new();
    for most in [6, 7, 8, 20] {
        let run = finish(limited(&format!("-n {most}"), &place.explore(&fixture("counter"))));
        run.assert_error(3, &["cannot start: Too many open files", "`ulimit -n`"]);
    }
}

#[test]
fn a_file_that_cannot_be_finished_is_as_it_was() {
    let place = Place::new();
    let spec = place.write(
        "large.spec",
        &format!(
            "setup {{ {} }} session s step a {{ SELECT 1; }}",
            "SELECT 1;\n".repeat(2_000)
        ),
    );
    fs::create_dir(place.path().join("out")).unwrap();
    let file = place.write("out/scenario.toml", "old");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let link = place.path().join("link.toml");
    symlink("out/scenario.toml", &link).unwrap();
    let absent = place.path().join("out/absent.toml");

    let convert = |output: &Path| {
        let mut command = place.pgbraid();
        command
            .args(["spec", "--to-scenario", "--output"])
            .arg(output)
            .arg(&spec);
        command
    };
    for output in [&file, &link, &absent] {
        let run = finish(limited("-f 8", &convert(output)));
        run.assert_error(3, &["cannot write", "File too large"]);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "old");
    assert_eq!(fs::read_dir(place.path().join("out")).unwrap().count(), 1);

    assert_eq!(finish(convert(&link)).code, Some(0));
    assert!(fs::read_to_string(&file).unwrap().len() > 20_000);
    assert!(link.is_symlink());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Names, statements, values, messages and a path that would steer a terminal or turn the direction of text.
fn hostile(place: &Place) -> std::path::PathBuf {
    place.write(
        "a\u{1b}[31m\u{202e}.toml",
        r##"
        setup = '''
        CREATE TABLE t (n integer, x text);
        INSERT INTO t VALUES (1, E'\x1b]0;title\x07');
        CREATE FUNCTION f() RETURNS integer LANGUAGE plpgsql AS $$
        BEGIN
          RAISE NOTICE E'\x1b[31mnotice';
          RAISE EXCEPTION E'\x1b[2Jmessage\r\u009b' USING ERRCODE = 'P0001';
        END $$;
        '''
        [[session]]
        name = "a\u202eb"
        steps = ["SELECT x, '\u001b[31m' AS \"c\u001b\" FROM t", "UPDATE t SET n = n + 1 -- \u009b2J"]
        [[session]]
        name = "b"
        steps = [{ name = "\u2066q", sql = "SELECT '\u001b[2J\r', n FROM t" }, "SELECT f()"]
        [[invariant]]
        name = "one\u202etwo"
        sql = "SELECT bool_and(n = 1), max(x), '\u001b[0m' FROM t"
        "##,
    )
}

fn steers(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn assert_harmless(run: &Finished, code: i32) {
    assert_eq!(run.code, Some(code), "{run:?}");
    for stream in [&run.stdout, &run.stderr] {
        let found = stream.lines().find(|line| line.contains(steers));
        assert_eq!(found, None, "{stream:?}");
    }
}

#[test]
fn nothing_in_a_report_steers_the_terminal() {
    let place = Place::new();
    let scenario = hostile(&place);
    let run = |arguments: &[&str], path: &Path| {
        let mut command = place.pgbraid();
        command.args(arguments).arg(path).env("GITHUB_ACTIONS", "true");
        finish(command)
    };
    let (pins, smallest) = (place.path().join("pins"), place.path().join("small\u{1b}.toml"));
    let folder = pins.to_str().unwrap();
    let all = ["explore", "--keep-going", "--pin", folder, "--smallest-scenario"];
    let explored = run(&[&all[..], &[smallest.to_str().unwrap()]].concat(), &scenario);
    assert_harmless(&explored, 1);
    for part in [
        r"a\u{202e}b",
        r"c\u{1b} = \u{1b}[31m",
        r"P0001 \u{1b}[2Jmessage",
        r"one\u{202e}two",
    ] {
        assert!(explored.stdout.contains(part), "no {part} in:\n{}", explored.stdout);
    }
    // what was written can be shown on a terminal, and is what was meant
    let pinned = fs::read_dir(&pins).unwrap().next().unwrap().unwrap().path();
    for file in [&pinned, &smallest] {
        let text = fs::read_to_string(file).unwrap();
        assert!(!text.contains(steers), "{text:?}");
    }
    let json = |arguments: &[&str], path: &Path| -> Value { run(arguments, path).json() };
    let report = json(&["explore", "--format", "json"], &scenario);
    let sessions = report["failure"]["order"].as_array().unwrap();
    assert!(sessions.contains(&Value::from("a\u{202e}b")), "{report}");
    assert_harmless(&run(&["explore"], &smallest), 1);
    assert_harmless(&run(&["shrink"], &pinned), 1);
    assert_harmless(&run(&["replay"], &pinned), 0);

    let text = fs::read_to_string(&pinned).unwrap();
    let holds = place.write(
        "holds\u{1b}.toml",
        &text.replace("\"fails\"", "\"holds\"").replace("../", ""),
    );
    assert_harmless(&run(&["replay"], &holds), 1);
    let message = json(&["replay", "--format", "json"], &holds)["schedules"][0]["file"].clone();
    assert!(message.as_str().unwrap().ends_with("holds\u{1b}.toml"));
    let junit = run(&["replay", "--format", "junit"], &holds);
    let forbidden =
        |c: char| (c.is_control() && !"\n\t\r".contains(c) && c < '\u{7f}') || matches!(c, '\u{fffe}' | '\u{ffff}');
    assert!(!junit.stdout.contains(forbidden), "{junit:?}");
    assert_harmless(&run(&["replay", "--update"], &holds), 0);

    let broken = |name: &str, text: &str| run(&["explore"], &place.write(name, text));
    assert_harmless(&broken("b\u{1b}.toml", "[[session]]\n\u{9b}31m\u{202e} = 1\n"), 2);
    assert_harmless(
        &broken(
            "c.toml",
            "[[session]]\nname = 'a'\nsteps = ['\u{202e}', \"SELECT '\u{9b}' FROM nowhere\u{1b}\"]\n",
        ),
        2,
    );
    assert_harmless(
        &broken(
            "d.toml",
            "[[session]]\nname = 'a'\nsteps = [\"SELECT '\u{9b}' FROM \\\"no\\u001b[2J\\\"\"]\n",
        ),
        2,
    );
    assert_harmless(&run(&["explore"], &place.path().join("absent\u{1b}.toml")), 2);
}
