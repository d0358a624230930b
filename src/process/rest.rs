//! Whether a program has nothing to do until somebody outside it acts.

use std::fs;

use super::threads::threads;

/// A moment in which every thread of a program slept, and nothing that was sent to it, or by it, was on its way. Two equal
/// ones say that it slept all the time between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    /// By thread: how often it has given up the processor (proc_pid_status(5)).
    switches: Vec<(i32, u64)>,
}

/// Looks whether the processes of a program rest. `ports` are those at which it talks with pgbraid.
pub fn at_rest(processes: &[i32], ports: &[u16]) -> Option<Rest> {
    let mut switches = Vec::new();
    for (process, thread) in threads(processes) {
        // one that has ended meanwhile does nothing any more
        if let Ok(status) = fs::read_to_string(format!("/proc/{process}/task/{thread}/status")) {
            switches.push((thread, sleeping(&status)?));
        }
    }
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let is_idle = |table: &&str| fs::read_to_string(table).map_or(true, |table| !is_on_its_way(&table, ports));
    tables.iter().all(is_idle).then_some(Rest { switches })
}

/// How often a thread has given up the processor; `None` if it does not sleep.
fn sleeping(status: &str) -> Option<u64> {
    let value = |name: &str| {
        let mut lines = status.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value.trim())
    };
    // one that is no longer run is as good as asleep
    if !value("State")?.starts_with(['S', 'Z', 'X', 'I']) {
        return None;
    }
    let count = |name| value(name).and_then(|count| count.parse::<u64>().ok());
    Some(count("voluntary_ctxt_switches")? + count("nonvoluntary_ctxt_switches")?)
}

/// Whether a socket of these ports has bytes that were not acknowledged, or not read: `0: 0100007F:1F90 … 01 00000000:00000005`
/// (proc_pid_net(5)).
fn is_on_its_way(table: &str, ports: &[u16]) -> bool {
    let port = |address: &str| {
        let (_, port) = address.rsplit_once(':')?;
        u16::from_str_radix(port, 16).ok()
    };
    table.lines().skip(1).any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, local, remote, state, queues, ..] = words.as_slice() else {
            return false;
        };
        // the queue of a socket that listens is one of connections
        let concerns = [local, remote]
            .into_iter()
            .filter_map(|one| port(one))
            .any(|one| ports.contains(&one));
        concerns && *state == "01" && *queues != "00000000:00000000"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_runs_does_not_rest() {
        let status =
            |state| format!("Name:\tx\nState:\t{state}\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t2\n");
        assert_eq!(sleeping(&status("S (sleeping)")), Some(9));
        assert_eq!(sleeping(&status("R (running)")), None);
        assert_eq!(sleeping(&status("D (disk sleep)")), None);
    }

    #[test]
    fn bytes_that_nobody_has_read_are_on_their_way() {
        let table = |state: &str, queues: &str| {
            format!(
                "  sl  local_address rem_address   st tx_queue rx_queue\n   0: 0100007F:1F90 0100007F:A001 {state} {queues} 00:0\n"
            )
        };
        assert!(is_on_its_way(&table("01", "00000000:00000005"), &[8080]));
        assert!(is_on_its_way(&table("01", "00000003:00000000"), &[0xA001]));
        assert!(!is_on_its_way(&table("01", "00000000:00000000"), &[8080]));
        assert!(!is_on_its_way(&table("01", "00000000:00000005"), &[81]));
        assert!(!is_on_its_way(&table("0A", "00000000:00000005"), &[8080]));
    }
}
