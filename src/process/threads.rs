//! What the threads of a program wait for, as far as the kernel tells: a connection, or a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use libc::{c_int, c_long};
use nix::time::{ClockId, clock_gettime};

/// A process and one of its threads. Threads that were started later have greater numbers, until the numbers begin anew.
pub type Thread = (i32, i32);

/// Calls that read from one descriptor, their first argument.
const READS: [c_long; 3] = [libc::SYS_read, libc::SYS_recvfrom, libc::SYS_recvmsg];

/// Calls that wait for descriptors in an array of `struct pollfd`.
#[cfg(target_arch = "x86_64")]
const POLLS: [c_long; 2] = [libc::SYS_poll, libc::SYS_ppoll];
#[cfg(not(target_arch = "x86_64"))]
const POLLS: [c_long; 1] = [libc::SYS_ppoll];

/// Calls that wait for descriptors in a set of bits.
#[cfg(target_arch = "x86_64")]
const SELECTS: [c_long; 2] = [libc::SYS_select, libc::SYS_pselect6];
#[cfg(not(target_arch = "x86_64"))]
const SELECTS: [c_long; 1] = [libc::SYS_pselect6];

/// Calls that wait for a time alone.
const SLEEPS: [c_long; 2] = [libc::SYS_nanosleep, libc::SYS_clock_nanosleep];

/// A thread waits for no more descriptors than that if it is to be told by them.
const MOST_DESCRIPTORS: u64 = 1024;

/// By port of the program's end of a connection: the thread that waits for something to come over it. A thread that waits in
/// another way, or a connection that is no TCP connection, is not told.
pub fn waiting_threads(processes: &[i32]) -> BTreeMap<u16, Thread> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let ports = ports(&table);
    let mut found = BTreeMap::new();
    for (process, thread) in threads(processes) {
        for descriptor in Call::of(process, thread).map_or_else(Vec::new, |call| call.descriptors()) {
            let file = fs::read_link(format!("/proc/{process}/fd/{descriptor}"));
            let socket = file.ok().and_then(|file| inode(file.to_str()?));
            if let Some(port) = socket.and_then(|socket| ports.get(&socket)) {
                found.insert(*port, (process, thread));
            }
        }
    }
    found
}

/// Whether a thread may run within this time though nobody does anything: it waits for a time, or it is not known what it
/// waits for.
pub fn may_wake_within(processes: &[i32], time: Duration) -> bool {
    threads(processes).any(|(process, thread)| {
        let call = Call::of(process, thread);
        call.is_none_or(|call| match call.deadline() {
            Deadline::Never => false,
            Deadline::In(left) => left <= time,
            Deadline::Unknown => true,
        })
    })
}

/// The threads that there are.
pub fn all_threads(processes: &[i32]) -> BTreeSet<Thread> {
    threads(processes).collect()
}

/// The threads that sleep, or wait for no longer than this time.
pub fn threads_with_timers(processes: &[i32], time: Duration) -> BTreeSet<Thread> {
    let has_timer = |&(process, thread): &Thread| {
        Call::of(process, thread).is_some_and(|call| match call.deadline() {
            Deadline::In(left) => left <= time,
            Deadline::Never | Deadline::Unknown => SLEEPS.contains(&call.number),
        })
    };
    threads(processes).filter(has_timer).collect()
}

pub(super) fn threads(processes: &[i32]) -> impl Iterator<Item = Thread> {
    processes.iter().flat_map(|&process| {
        let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
        threads.filter_map(move |thread| Some((process, thread.ok()?.file_name().to_str()?.parse::<i32>().ok()?)))
    })
}

/// A system call that a thread waits in.
struct Call {
    process: i32,
    number: c_long,
    arguments: Vec<u64>,
}

/// When a call ends by itself.
#[derive(Debug, PartialEq, Eq)]
enum Deadline {
    Never,
    In(Duration),
    Unknown,
}

impl Call {
    fn of(process: i32, thread: i32) -> Option<Call> {
        let text = fs::read_to_string(format!("/proc/{process}/task/{thread}/syscall")).ok()?;
        Call::parse(process, &text)
    }

    /// `7 0x7f77540011d0 0x1 …`: its number and its arguments, or `running` (proc(5)).
    fn parse(process: i32, text: &str) -> Option<Call> {
        let mut words = text.split_whitespace();
        let number = words.next()?.parse().ok()?;
        let arguments = words.map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok());
        let arguments: Vec<u64> = arguments.collect::<Option<_>>()?;
        (arguments.len() >= 6).then_some(Call {
            process,
            number,
            arguments,
        })
    }

    fn memory(&self, place: u64, bytes: u64) -> Option<Vec<u8>> {
        let mut read = vec![0; usize::try_from(bytes).ok()?];
        let memory = File::open(format!("/proc/{}/mem", self.process)).ok()?;
        memory.read_exact_at(&mut read, place).ok()?;
        Some(read)
    }

    /// The descriptors that it waits for.
    fn descriptors(&self) -> Vec<u64> {
        let (first, second) = (self.arguments[0], self.arguments[1]);
        if READS.contains(&self.number) {
            vec![first]
        } else if POLLS.contains(&self.number) && second <= MOST_DESCRIPTORS {
            let array = self.memory(first, second * POLLFD);
            array.map_or_else(Vec::new, |array| polled(&array))
        } else if SELECTS.contains(&self.number) && first <= MOST_DESCRIPTORS {
            let set = self.memory(second, first.div_ceil(8));
            set.map_or_else(Vec::new, |set| selected(&set, first))
        } else {
            Vec::new()
        }
    }

    fn deadline(&self) -> Deadline {
        let arguments = &self.arguments;
        let unless = |given: bool| if given { Deadline::Unknown } else { Deadline::Never };
        match self.number {
            libc::SYS_read | libc::SYS_recvfrom | libc::SYS_recvmsg | libc::SYS_accept | libc::SYS_accept4 => {
                Deadline::Never
            }
            libc::SYS_wait4 | libc::SYS_waitid | libc::SYS_rt_sigsuspend => Deadline::Never,
            libc::SYS_ppoll => unless(arguments[2] != 0),
            libc::SYS_pselect6 => unless(arguments[4] != 0),
            // milliseconds, negative for ever
            libc::SYS_epoll_pwait => unless(arguments[3] as c_int >= 0),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_poll => unless(arguments[2] as c_int >= 0),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_select => unless(arguments[4] != 0),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_epoll_wait => unless(arguments[3] as c_int >= 0),
            libc::SYS_futex => self.futex_deadline(),
            _ => Deadline::Unknown,
        }
    }

    /// futex(2): FUTEX_WAIT has a timeout that is relative, FUTEX_WAIT_BITSET one that is a time.
    fn futex_deadline(&self) -> Deadline {
        let operation = self.arguments[1] as c_int;
        let is_realtime = operation & libc::FUTEX_CLOCK_REALTIME != 0;
        match operation & libc::FUTEX_CMD_MASK {
            libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET if self.arguments[3] == 0 => Deadline::Never,
            libc::FUTEX_WAIT_BITSET => self.until(self.arguments[3], is_realtime).unwrap_or(Deadline::Unknown),
            _ => Deadline::Unknown,
        }
    }

    /// The time left until the one that `struct timespec` at a place of its memory names.
    fn until(&self, place: u64, is_realtime: bool) -> Option<Deadline> {
        let read = self.memory(place, 16)?;
        let number = |at: usize| Some(u64::from_ne_bytes(read.get(at..at + 8)?.try_into().ok()?));
        let then = Duration::new(number(0)?, u32::try_from(number(8)?).ok()?);
        let clock = match is_realtime {
            true => ClockId::CLOCK_REALTIME,
            false => ClockId::CLOCK_MONOTONIC,
        };
        let now = Duration::from(clock_gettime(clock).ok()?);
        Some(Deadline::In(then.saturating_sub(now)))
    }
}

/// Size of a `struct pollfd`: the descriptor, and what happened to it.
const POLLFD: u64 = 8;

fn polled(array: &[u8]) -> Vec<u64> {
    let entries = array.chunks_exact(POLLFD as usize);
    let descriptors = entries.map(|entry| i32::from_ne_bytes([entry[0], entry[1], entry[2], entry[3]]));
    descriptors
        .filter_map(|descriptor| u64::try_from(descriptor).ok())
        .collect()
}

fn selected(set: &[u8], count: u64) -> Vec<u64> {
    let is_in = |descriptor: &u64| {
        let byte = usize::try_from(descriptor / 8).ok().and_then(|place| set.get(place));
        byte.is_some_and(|byte| byte >> (descriptor % 8) & 1 == 1)
    };
    (0..count).filter(is_in).collect()
}

fn inode(file: &str) -> Option<u64> {
    file.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The local ports of sockets: `0: 0100007F:1F90 … inode …` (proc_pid_net(5)).
fn ports(table: &str) -> BTreeMap<u64, u16> {
    let rows = table.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = words.get(1)?.rsplit_once(':')?;
        Some((words.get(9)?.parse().ok()?, u16::from_str_radix(port, 16).ok()?))
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_thread_that_reads_is_told_by_its_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let port = stream.local_addr().unwrap().port();
        let reading = thread::spawn(move || stream.read(&mut [0]));
        let started = Instant::now();
        let own = i32::try_from(std::process::id()).unwrap();
        while !waiting_threads(&[own]).contains_key(&port) {
            assert!(started.elapsed() < Duration::from_secs(10), "never seen");
            thread::sleep(Duration::from_millis(1));
        }
        drop(listener);
        let _ = reading.join().unwrap();
    }

    #[test]
    fn descriptors_are_read_from_what_calls_are_given() {
        let mut array = Vec::new();
        for descriptor in [7i32, -1, 9] {
            array.extend(descriptor.to_ne_bytes());
            array.extend([1, 0, 0, 0]);
        }
        assert_eq!(polled(&array), [7, 9]);
        assert_eq!(selected(&[0b1000_0001, 0b10], 16), [0, 7, 9]);
        assert_eq!(inode("socket:[42]"), Some(42));
        assert_eq!(inode("/tmp/x"), None);
        assert!(Call::parse(1, "running").is_none());
    }

    #[test]
    fn a_call_without_a_time_never_ends_by_itself() {
        let deadline = |number: c_long, arguments: &str| {
            let call = Call::parse(1, &format!("{number} {arguments} 0x0 0x0")).unwrap();
            call.deadline()
        };
        assert_eq!(deadline(libc::SYS_read, "0x5 0x0 0x0 0x0 0x0 0x0"), Deadline::Never);
        assert_eq!(deadline(libc::SYS_ppoll, "0x7f00 0x1 0x0 0x0 0x8 0x0"), Deadline::Never);
        assert_eq!(
            deadline(libc::SYS_ppoll, "0x7f00 0x1 0x7f10 0x0 0x8 0x0"),
            Deadline::Unknown
        );
        assert_eq!(
            deadline(libc::SYS_epoll_pwait, "0x4 0x0 0x1 0xffffffff 0x0 0x0"),
            Deadline::Never
        );
        assert_eq!(
            deadline(libc::SYS_epoll_pwait, "0x4 0x0 0x1 0x64 0x0 0x0"),
            Deadline::Unknown
        );
        assert_eq!(
            deadline(libc::SYS_futex, "0x7f00 0x80 0x2 0x0 0x0 0x0"),
            Deadline::Never
        );
        assert_eq!(
            deadline(libc::SYS_nanosleep, "0x7f00 0x0 0x0 0x0 0x0 0x0"),
            Deadline::Unknown
        );
    }

    #[test]
    fn a_thread_that_waits_for_a_time_wakes_by_itself() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(may_wake_within(&[own], Duration::from_secs(1)), "it runs");
        let asleep = std::process::Command::new("sleep").arg("30").spawn();
        let mut reading = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut asleep = asleep.unwrap();
        let pid = |child: &std::process::Child| i32::try_from(child.id()).unwrap();
        let started = Instant::now();
        while may_wake_within(&[pid(&reading)], Duration::from_secs(1)) {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "cat waits for nothing but its input"
            );
            thread::sleep(Duration::from_millis(1));
        }
        assert!(may_wake_within(&[pid(&asleep)], Duration::from_secs(1)));
        for child in [&mut asleep, &mut reading] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
