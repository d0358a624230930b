//! What a program waits for outside the database, as far as the kernel tells.

use std::fs;

use super::group::Group;

/// A process that waits for a lock on a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLockWait {
    /// The process that holds the lock.
    pub holder: i32,
}

/// The lock on a file that a process of the group waits for.
pub fn file_lock_wait(group: &Group) -> Option<FileLockWait> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // most programs wait for none
    if !locks.contains("->") {
        return None;
    }
    waits(&locks).find_map(|(waiter, holder)| group.has(waiter).then_some(FileLockWait { holder }))
}

/// Whether a process of the group holds a lock on a file that another may want.
pub fn holds_file_lock(group: &Group) -> bool {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    // to look at those who hold one costs less than to find the processes of the group
    let mut held = holders(&locks).filter(|(holder, _)| group.has(*holder));
    held.any(|(holder, file)| {
        let maps = fs::read_to_string(format!("/proc/{holder}/maps")).unwrap_or_default();
        !is_of_java_alone(holder, file, &maps)
    })
}

/// Who holds locks, and on which files: device and inode.
fn holders(locks: &str) -> impl Iterator<Item = (i32, &str)> {
    let holding = locks.lines().filter(|line| !line.contains("->"));
    holding.filter_map(|line| {
        let mut words = line.split_whitespace().skip(4);
        Some((words.next()?.parse().ok()?, words.next()?))
    })
}

/// Whether a file is where a Java virtual machine counts what it does: it has one of its own, named after its process, which
/// it maps and locks as long as it runs.
fn is_of_java_alone(process: i32, file: &str, maps: &str) -> bool {
    maps.lines().any(|line| {
        let mut words = line.split_whitespace().skip(3);
        let (Some(device), Some(inode), Some(path)) = (words.next(), words.next(), words.next()) else {
            return false;
        };
        let mut parts = path.rsplit('/');
        file.strip_prefix(device).and_then(|rest| rest.strip_prefix(':')) == Some(inode)
            && parts.next() == Some(&*process.to_string())
            && parts.next().is_some_and(|folder| folder.starts_with("hsperfdata_"))
    })
}

/// Who waits for whom: `7: FLOCK  ADVISORY  WRITE 4711 fe:00:42 0 EOF`, and `7: -> FLOCK  ADVISORY  WRITE 4712 …` for each that
/// waits (proc(5)).
fn waits(locks: &str) -> impl Iterator<Item = (i32, i32)> + '_ {
    let mut holder = None;
    locks.lines().filter_map(move |line| {
        let mut words = line.split_whitespace().skip(1).peekable();
        let is_waiting = words.peek() == Some(&"->");
        let pid = words.nth(if is_waiting { 4 } else { 3 })?.parse::<i32>().ok()?;
        match is_waiting {
            true => Some((pid, holder?)),
            false => {
                holder = Some(pid);
                None
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_under_who_holds() {
        let locks = "1: FLOCK  ADVISORY  WRITE 100 fe:00:42 0 EOF\n\
                     1: -> FLOCK  ADVISORY  WRITE 101 fe:00:42 0 EOF\n\
                     2: POSIX  ADVISORY  WRITE 7 fe:00:43 0 EOF\n\
                     3: POSIX  ADVISORY  READ 8 fe:00:44 0 EOF\n\
                     3: -> POSIX  ADVISORY  WRITE 9 fe:00:44 0 EOF\n";
        assert_eq!(waits(locks).collect::<Vec<_>>(), [(101, 100), (9, 8)]);
        let holders: Vec<_> = holders(locks).collect();
        assert_eq!(holders, [(100, "fe:00:42"), (7, "fe:00:43"), (8, "fe:00:44")]);
    }

    #[test]
    fn a_file_of_javas_is_of_one_process() {
        let maps = "7f0000000000-7f0000008000 rw-s 00000000 fe:00 42                         /tmp/hsperfdata_root/100\n\
                    7f0000009000-7f000000a000 rw-s 00000000 fe:00 43                         /srv/data/100\n\
                    7f000000b000-7f000000c000 rw-p 00000000 00:00 0\n";
        assert!(is_of_java_alone(100, "fe:00:42", maps));
        for (process, file) in [(101, "fe:00:42"), (100, "fe:00:4"), (100, "fe:00:43"), (100, "00:00:0")] {
            assert!(!is_of_java_alone(process, file, maps), "{process} {file}");
        }
    }
}
