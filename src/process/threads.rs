//! Which thread of a program waits for which of its connections, as far as the kernel tells.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use libc::c_long;

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

/// A thread waits for no more descriptors than that if it is to be told by them.
const MOST_DESCRIPTORS: u64 = 1024;

/// By port of the program's end of a connection: the thread that waits for something to come over it. A thread that waits in
/// another way, or a connection that is no TCP connection, is not told.
pub fn waiting_threads(processes: &[i32]) -> BTreeMap<u16, Thread> {
    let mut found = BTreeMap::new();
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let ports = ports(&table);
    for &process in processes {
        let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
            continue;
        };
        let threads = threads.filter_map(|thread| thread.ok()?.file_name().to_str()?.parse::<i32>().ok());
        for thread in threads {
            let waits_in = fs::read_to_string(format!("/proc/{process}/task/{thread}/syscall"));
            for descriptor in waits_in.map_or_else(|_| Vec::new(), |call| descriptors(process, &call)) {
                let file = fs::read_link(format!("/proc/{process}/fd/{descriptor}"));
                let socket = file.ok().and_then(|file| inode(file.to_str()?));
                if let Some(port) = socket.and_then(|socket| ports.get(&socket)) {
                    found.insert(*port, (process, thread));
                }
            }
        }
    }
    found
}

/// The descriptors that a system call waits for: `7 0x7f77540011d0 0x1 …`, its number and its arguments (proc(5)).
fn descriptors(process: i32, call: &str) -> Vec<u64> {
    let mut words = call.split_whitespace();
    let number = words.next().and_then(|number| number.parse::<c_long>().ok());
    let arguments: Vec<u64> = words
        .filter_map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok())
        .collect();
    let (Some(number), [first, second, ..]) = (number, arguments.as_slice()) else {
        return Vec::new();
    };
    let memory = |place: u64, bytes: u64| {
        let mut read = vec![0; usize::try_from(bytes).ok()?];
        let memory = File::open(format!("/proc/{process}/mem")).ok()?;
        memory.read_exact_at(&mut read, place).ok()?;
        Some(read)
    };
    if READS.contains(&number) {
        return vec![*first];
    }
    if POLLS.contains(&number) && *second <= MOST_DESCRIPTORS {
        return memory(*first, second * POLLFD).map_or_else(Vec::new, |array| polled(&array));
    }
    if SELECTS.contains(&number) && *first <= MOST_DESCRIPTORS {
        return memory(*second, first.div_ceil(8)).map_or_else(Vec::new, |set| selected(&set, *first));
    }
    Vec::new()
}

/// Size of a `struct pollfd`: the descriptor, and what happened to it.
const POLLFD: u64 = 8;

fn polled(array: &[u8]) -> Vec<u64> {
    let entries = array.chunks_exact(POLLFD as usize);
    let descriptors = entries.map(|entry| i32::from_ne_bytes([entry[0], entry[1], entry[2], entry[3]]));
    descriptors.filter_map(|descriptor| u64::try_from(descriptor).ok()).collect()
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
        assert!(descriptors(1, "running").is_empty());
    }
}
