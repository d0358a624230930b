//! pgbouncer, where it is installed.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::common::given::Given;
use crate::common::program::{finish, fixture};
use crate::common::server::eventually;

const PROGRAM: &str = "/usr/sbin/pgbouncer";

/// Ended when it is dropped.
struct Pooler(Child);

impl Drop for Pooler {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn pgbouncer_is_named() {
    if !Path::new(PROGRAM).exists() {
        println!("skipped: {PROGRAM} is not installed");
        return;
    }
    let given = Given::start();
    let url = given.server.url("postgres");
    let server = url.split(" user=").next().unwrap();
    let refused = "extra_float_digits,IntervalStyle,bytea_output,plan_cache_mode,max_parallel_workers_per_gather,jit,\
                   search_path,statement_timeout,lock_timeout,idle_in_transaction_session_timeout,\
                   default_transaction_read_only,default_transaction_deferrable";
    for (mode, ignored) in [("session", ""), ("session", refused), ("transaction", refused)] {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let users = given.place.write("users", "\"postgres\" \"\"\n");
        let users = users.display();
        let settings = given.place.write(
            "pgbouncer.ini",
            &format!(
                "[databases]\n* = {server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
                 auth_type = trust\nauth_file = {users}\npool_mode = {mode}\nignore_startup_parameters = {ignored}\n"
            ),
        );
        for file in ["users", "pgbouncer.ini"] {
            let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            fs::set_permissions(given.place.path().join(file), readable).unwrap();
        }
        let mut command = Command::new(PROGRAM);
        if nix::unistd::geteuid().is_root() {
            command.args(["-u", "postgres"]);
        }
        command
            .arg(settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let pooler = Pooler(command.spawn().unwrap());
        eventually("pgbouncer", || TcpStream::connect(("127.0.0.1", port)).ok());
        let mut command = given.place.explore(&fixture("counter"));
        command.args([
            "--database-url",
            &format!("postgres://postgres@127.0.0.1:{port}/postgres"),
        ]);
        finish(command).assert_error(3, &["a connection pooler", "name the server itself"]);
        drop(pooler);
    }
}
