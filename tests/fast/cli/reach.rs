//! Steps that reach beyond their database.

use crate::common::given::Given;
use crate::common::program::{Place, finish};

fn scenario(setup: &str, step: &str) -> String {
    format!(
        "setup = '''\nCREATE TABLE t (v integer); {setup}\n'''\n[[session]]\nname = \"a\"\nsteps = ['''{step}''']\n\
         [[session]]\nname = \"b\"\nsteps = [\"SELECT v FROM t\"]\n"
    )
}

/// Puts a command together, so that no word of it is seen.
const HIDDEN: &str = "DO $$ BEGIN EXECUTE 'CREATE ' || 'ROLE reached'; END $$";

#[test]
fn steps_that_reach_out_of_a_given_server_are_refused() {
    let given = Given::start();
    let before = given.inventory();
    let alias = "CREATE FUNCTION harmless(integer, bigint) RETURNS boolean LANGUAGE internal AS 'pg_terminate_backend'";
    // a result of 13 on has a time to wait for
    let alias_before_14 =
        "CREATE FUNCTION harmless(integer) RETURNS boolean LANGUAGE internal AS 'pg_terminate_backend'";
    let has_time = given.column("SELECT (current_setting('server_version_num')::integer >= 140000)::text")[0] == "true";
    let (alias, call) = match has_time {
        true => (alias, "SELECT harmless(0, 0)"),
        false => (alias_before_14, "SELECT harmless(0)"),
    };
    let view = "CREATE VIEW v AS SELECT lower('X')";
    for (setup, step, said) in [
        ("", "CREATE ROLE reached", "roles, databases"),
        (
            "",
            "DO $$ BEGIN EXECUTE 'CREATE ROLE reached'; END $$",
            "roles, databases",
        ),
        ("", "GRANT pg_monitor TO postgres", "a member of a role"),
        ("", "COMMENT ON DATABASE postgres IS 'reached'", "commented"),
        ("", "COPY t TO PROGRAM 'cat'", "COPY is not to run programs"),
        ("", "SELECT pg_terminate_backend(0)", "reaches beyond"),
        (
            "",
            "SELECT pg_create_physical_replication_slot('reached')",
            "reaches beyond",
        ),
        (alias, call, "function harmless reaches beyond"),
        ("CREATE ROLE reached", "SELECT 1", "roles, databases"),
    ] {
        let run = given.explore_text("postgres", &scenario(setup, step));
        println!("{setup} {step}");
        run.assert_error(2, &[said]);
        assert_eq!(given.inventory(), before);
    }
    let run = given.explore_text("postgres", &scenario(view, "SELECT * FROM v"));
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn a_change_of_what_databases_share_is_no_verdict() {
    let given = Given::start();
    let changes = [
        ("CREATE ' || 'ROLE reached", "role reached (new)", "DROP ROLE reached"),
        (
            "GRANT ' || 'pg_monitor TO other",
            "membership in role pg_monitor of other (new)",
            "REVOKE pg_monitor FROM other",
        ),
        (
            "COMMENT ' || 'ON DATABASE postgres IS ''reached'' ",
            "comment on postgres",
            "COMMENT ON DATABASE postgres IS NULL",
        ),
        (
            "ALTER ' || 'ROLE other SET work_mem = ''1MB'' ",
            "settings of role other (new)",
            "ALTER ROLE other RESET ALL",
        ),
        (
            "ALTER ' || 'DATABASE postgres CONNECTION LIMIT 50",
            "database postgres",
            "ALTER DATABASE postgres CONNECTION LIMIT -1",
        ),
    ];
    given.execute("CREATE ROLE other; COMMENT ON DATABASE postgres IS NULL");
    for (command, said, undo) in changes {
        let step = format!("DO $$ BEGIN EXECUTE '{command}'; END $$");
        for (setup, step, what) in [
            ("", step.as_str(), "the sessions ran"),
            (&step, "SELECT 1", "the setup ran"),
        ] {
            let run = given.explore_text("postgres", &scenario(setup, step));
            println!("{command}");
            run.assert_error(2, &[what, said, "another client"]);
            given.execute(undo);
        }
    }
}

#[test]
fn a_change_of_what_databases_share_is_no_verdict_on_an_embedded_server_either() {
    let place = Place::new();
    let file = place.write("scenario.toml", &scenario("", HIDDEN));
    let run = finish(place.explore(&file));
    run.assert_error(2, &["role reached (new)", "does not undo that"]);
    assert!(!run.stderr.contains("superuser"), "{}", run.stderr);
}

#[test]
fn a_role_of_its_own_is_no_reason_to_warn() {
    let given = Given::start();
    given.execute("CREATE ROLE app LOGIN CREATEDB");
    let run = finish(given.explore("counter-atomic", "app"));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.stderr, "");
}
