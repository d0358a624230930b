//! The account that the server runs as. PostgreSQL refuses to run as root.
//!
//! Root itself does nothing where that account may write: the folders, files and processes of a server are handled by
//! threads that have become the account, so whatever it puts in their way can only harm the account itself.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::thread;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};

use super::error::EmbeddedError;

/// The accounts that are tried first, in this order.
const PREFERRED: [&str; 2] = ["postgres", "nobody"];

/// An account other than the one that pgbraid runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub home: PathBuf,
}

/// Calls `act` as `account`, on a separate thread; on this one if there is no other account.
pub(super) fn act_as<T: Send>(account: Option<&Account>, act: impl FnOnce() -> T + Send) -> Result<T, EmbeddedError> {
    let Some(account) = account else {
        return Ok(act());
    };
    thread::scope(|scope| {
        let acting = thread::Builder::new()
            .spawn_scoped(scope, || account.assume().map(|()| act()))
            .map_err(EmbeddedError::Keeper)?;
        acting
            .join()
            .unwrap_or_else(|_| Err(EmbeddedError::Keeper(io::Error::other("it panicked"))))
    })
}

/// Sends `signal` to a process that the server named. It may name any; only its own are reached.
pub(in crate::postgres) fn signal_server_process(pid: i32, signal: Signal) -> Result<(), Errno> {
    let account = Account::for_server().map_err(|_| Errno::EPERM)?;
    act_as(account.as_ref(), || kill(Pid::from_raw(pid), signal)).unwrap_or(Err(Errno::EPERM))
}

impl Account {
    /// The account to change to for the server; `None` if pgbraid does not run as root, so that the server runs as the
    /// same user.
    pub fn for_server() -> Result<Option<Account>, EmbeddedError> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        if !cfg!(target_os = "linux") {
            return Err(EmbeddedError::RootWithoutThreads);
        }
        let passwd = fs::read("/etc/passwd").unwrap_or_default();
        Account::choose(Account::named, &String::from_utf8_lossy(&passwd))
            .map(Some)
            .ok_or(EmbeddedError::NoAccount)
    }

    /// Makes the calling thread, and what it spawns, act as this account. Other threads are not affected: on Linux each
    /// has ids of its own.
    #[cfg(target_os = "linux")]
    pub fn assume(&self) -> Result<(), EmbeddedError> {
        use rustix::thread::{CapabilitySet, CapabilitySets};
        use rustix::thread::{set_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

        let (uid, gid) = (rustix::fs::Uid::from_raw(self.uid), rustix::fs::Gid::from_raw(self.gid));
        if rustix::process::geteuid() == uid {
            return Ok(());
        }
        let assume = || {
            set_thread_groups(&[])?;
            set_thread_res_gid(gid, gid, gid)?;
            // the saved id stays root's, so that the account may not trace this process
            set_thread_res_uid(uid, uid, None)?;
            // they are gone already, unless this process was told to keep them
            let none = CapabilitySet::empty();
            set_capabilities(
                None,
                CapabilitySets {
                    effective: none,
                    permitted: none,
                    inheritable: none,
                },
            )
        };
        assume().map_err(|errno: rustix::io::Errno| EmbeddedError::SwitchAccount {
            account: self.name.clone(),
            source: errno.into(),
        })
    }

    #[cfg(not(target_os = "linux"))]
    pub fn assume(&self) -> Result<(), EmbeddedError> {
        Err(EmbeddedError::RootWithoutThreads)
    }

    fn named(name: &str) -> Option<Account> {
        let user = User::from_name(name).ok()??;
        Some(Account {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            home: user.dir,
        })
    }

    /// The first of the preferred accounts that `named` knows, else the first in `passwd` that is not root.
    fn choose(named: impl Fn(&str) -> Option<Account>, passwd: &str) -> Option<Account> {
        PREFERRED
            .into_iter()
            .filter_map(named)
            .chain(passwd.lines().filter_map(Account::of_passwd_line))
            .find(|account| account.uid != 0)
    }

    /// Reads `name:password:uid:gid:comment:home:…`.
    fn of_passwd_line(line: &str) -> Option<Account> {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        let home = fields.nth(1)?.into();
        Some(Account { name, uid, gid, home })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::unix::fs::PermissionsExt;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
                          # a comment\n\
                          daemon:x:1:2:daemon:/usr/sbin:/usr/sbin/nologin\n\
                          someone:x:1000:1000::/home/someone:/bin/sh\n";

    fn account(name: &str, uid: u32, gid: u32) -> Account {
        Account {
            name: name.to_owned(),
            uid,
            gid,
            home: "/usr/sbin".into(),
        }
    }

    #[test]
    fn postgres_then_nobody_then_the_first_that_is_not_root() {
        let both = |name: &str| Some(account(name, if name == "postgres" { 101 } else { 65534 }, 7));
        assert_eq!(Account::choose(both, PASSWD), Some(account("postgres", 101, 7)));
        let nobody = |name: &str| (name == "nobody").then(|| account(name, 65534, 65534));
        assert_eq!(Account::choose(nobody, PASSWD), Some(account("nobody", 65534, 65534)));
        assert_eq!(Account::choose(|_| None, PASSWD), Some(account("daemon", 1, 2)));
        assert_eq!(Account::choose(|_| None, "root:x:0:0::/root:/bin/sh\n"), None);
        let root_again = |name: &str| Some(account(name, 0, 0));
        assert_eq!(
            Account::choose(root_again, PASSWD),
            Some(account("daemon", 1, 2)),
            "another name of root"
        );
    }

    #[test]
    fn a_thread_that_acts_as_an_account_has_its_powers_alone() {
        let Ok(Some(account)) = Account::for_server() else {
            eprintln!("skipped: not root");
            return;
        };
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let file = folder.path().join("root's own");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let init = Pid::from_raw(1);
        let (uid, read, signalled, groups) = act_as(Some(&account), || {
            let status = fs::read_to_string("/proc/thread-self/status").unwrap();
            let groups = status
                .lines()
                .find_map(|line| line.strip_prefix("Groups:"))
                .map(str::to_owned);
            (geteuid().as_raw(), fs::read(&file), kill(init, None), groups)
        })
        .unwrap();
        assert_eq!(uid, account.uid);
        assert!(read.is_err());
        assert_eq!(signalled, Err(Errno::EPERM));
        assert_eq!(groups.unwrap().trim(), "");
        assert!(geteuid().is_root(), "this thread is still root's");
        fs::read(&file).unwrap();
    }

    #[test]
    fn a_process_of_another_account_is_not_signalled_because_the_server_names_it() {
        if !geteuid().is_root() {
            eprintln!("skipped: not root");
            return;
        }
        let mut bystander = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let signalled = signal_server_process(bystander.id().cast_signed(), Signal::SIGKILL);
        assert_eq!(signalled, Err(Errno::EPERM));
        assert!(bystander.try_wait().unwrap().is_none());
        bystander.kill().unwrap();
        bystander.wait().unwrap();
    }
}
