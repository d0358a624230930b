//! The account that the server runs as. PostgreSQL refuses to run as root.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use nix::unistd::{User, geteuid};

use super::error::EmbeddedError;

/// The accounts that are tried first, in this order.
const PREFERRED: [&str; 2] = ["postgres", "nobody"];

/// An account other than the one that pgbraid runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

impl Account {
    /// The account to change to for the server; none when pgbraid does not run as root and the server runs as the same
    /// user.
    pub fn for_server() -> Result<Option<Account>, EmbeddedError> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let passwd = fs::read("/etc/passwd").unwrap_or_default();
        Account::choose(Account::named, &String::from_utf8_lossy(&passwd))
            .map(Some)
            .ok_or(EmbeddedError::NoAccount)
    }

    fn named(name: &str) -> Option<Account> {
        let user = User::from_name(name).ok()??;
        Some(Account {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
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

    /// Reads `name:password:uid:gid:…`.
    fn of_passwd_line(line: &str) -> Option<Account> {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Account { name, uid, gid })
    }

    /// Whether the modes of `dir` and of the folders above it let the account pass through all of them.
    pub fn can_enter(&self, dir: &Path) -> io::Result<bool> {
        for folder in dir.ancestors() {
            let found = fs::metadata(folder)?;
            let execute = match (found.uid() == self.uid, found.gid() == self.gid) {
                (true, _) => 0o100,
                (false, true) => 0o010,
                (false, false) => 0o001,
            };
            if found.permissions().mode() & execute == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
                          # a comment\n\
                          daemon:x:1:2:daemon:/usr/sbin:/usr/sbin/nologin\n\
                          someone:x:1000:1000::/home/someone:/bin/sh\n";

    fn account(name: &str, uid: u32, gid: u32) -> Account {
        Account {
            name: name.to_owned(),
            uid,
            gid,
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
    fn entering_takes_the_execute_bit_of_every_folder() {
        let root = tempfile::tempdir_in("/tmp").unwrap();
        let inner = root.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let found = fs::metadata(&inner).unwrap();
        let (owner, other) = (
            account("owner", found.uid(), found.gid()),
            account("other", found.uid() + 1, u32::MAX),
        );
        let member = account("member", found.uid() + 1, found.gid());
        let modes = |outer_mode, inner_mode| {
            fs::set_permissions(root.path(), fs::Permissions::from_mode(outer_mode)).unwrap();
            fs::set_permissions(&inner, fs::Permissions::from_mode(inner_mode)).unwrap();
            [&owner, &member, &other].map(|account| account.can_enter(&inner).unwrap())
        };
        assert_eq!(modes(0o755, 0o755), [true, true, true]);
        assert_eq!(modes(0o755, 0o700), [true, false, false]);
        assert_eq!(modes(0o700, 0o755), [true, false, false]);
        assert_eq!(modes(0o750, 0o710), [true, true, false]);
        assert!(owner.can_enter(&root.path().join("absent")).is_err());
    }
}
