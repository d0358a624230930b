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
    let processes = group.processes();
    waits(&locks).find_map(|(waiter, holder)| processes.contains(&waiter).then_some(FileLockWait { holder }))
}

/// Whether a process of the group holds a lock on a file.
pub fn holds_file_lock(group: &Group) -> bool {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let holders: Vec<i32> = holders(&locks).collect();
    !holders.is_empty() && group.processes().iter().any(|process| holders.contains(process))
}

fn holders(locks: &str) -> impl Iterator<Item = i32> + '_ {
    let holding = locks.lines().filter(|line| !line.contains("->"));
    holding.filter_map(|line| line.split_whitespace().nth(4)?.parse().ok())
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
        assert_eq!(holders(locks).collect::<Vec<_>>(), [100, 7, 8]);
    }
}
