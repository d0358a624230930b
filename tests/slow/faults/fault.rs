//! The faults that are tried.

use std::time::Duration;

use nix::sys::signal::Signal;
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::fake_server::Nonsense;
use super::limits::Limit;

#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// Signals to pgbraid, with a pause between them.
    Signals(&'static [Signal], Duration),
    /// A session's backend gets these signals, with a pause between them.
    Backend(&'static [Signal], Duration),
    Postmaster(Signal),
    /// The embedded server's folder is removed while it is used.
    FolderRemoved,
    /// The reader of a stream goes away, after this many bytes.
    Closed(Stream, usize),
    /// A stream is no open file at all.
    NoStream(Stream),
    StdoutFull,
    /// What the process finds, from its start.
    Limit(Limit),
    Fake(Nonsense),
    /// Something between pgbraid and the given server.
    Proxy(Meddling),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// What happens to what the server says on one connection, after this many of its bytes.
#[derive(Debug, Clone, Copy)]
pub enum Meddling {
    Cut(u64),
    Delay(u64, Duration),
    Garble(u64),
}

/// When a fault comes.
#[derive(Debug, Clone, Copy)]
pub enum Moment {
    /// A share of the time that the task takes undisturbed.
    Share(f64),
    /// The embedded server's folder is there.
    Folder,
    /// A session has a backend.
    Session,
}

/// What may be left, until the next run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftovers {
    None,
    UntilTheNextRun,
}

type Draw = fn(&mut ChaCha8Rng) -> Fault;

fn pause(rng: &mut ChaCha8Rng) -> Duration {
    Duration::from_millis(rng.random_range(0..400))
}

/// Every kind of fault by its name.
pub const FAULTS: &[(&str, Draw)] = &[
    ("SIGKILL", |_| Fault::Signals(&[Signal::SIGKILL], Duration::ZERO)),
    ("SIGTERM", |_| Fault::Signals(&[Signal::SIGTERM], Duration::ZERO)),
    ("SIGINT", |_| Fault::Signals(&[Signal::SIGINT], Duration::ZERO)),
    ("SIGINT twice", |rng| {
        Fault::Signals(&[Signal::SIGINT, Signal::SIGINT], pause(rng))
    }),
    ("SIGTERM, SIGKILL", |rng| {
        Fault::Signals(&[Signal::SIGTERM, Signal::SIGKILL], pause(rng))
    }),
    ("SIGHUP", |_| Fault::Signals(&[Signal::SIGHUP], Duration::ZERO)),
    ("SIGSTOP, SIGCONT", |rng| {
        Fault::Signals(&[Signal::SIGSTOP, Signal::SIGCONT], pause(rng) * 5)
    }),
    ("backend SIGKILL", |_| {
        Fault::Backend(&[Signal::SIGKILL], Duration::ZERO)
    }),
    ("backend SIGTERM", |_| {
        Fault::Backend(&[Signal::SIGTERM], Duration::ZERO)
    }),
    ("backend SIGQUIT", |_| {
        Fault::Backend(&[Signal::SIGQUIT], Duration::ZERO)
    }),
    ("backend SIGINT", |_| Fault::Backend(&[Signal::SIGINT], Duration::ZERO)),
    ("backend stopped", |rng| {
        Fault::Backend(&[Signal::SIGSTOP, Signal::SIGCONT], pause(rng) * 5)
    }),
    ("postmaster SIGKILL", |_| Fault::Postmaster(Signal::SIGKILL)),
    ("postmaster SIGQUIT", |_| Fault::Postmaster(Signal::SIGQUIT)),
    ("postmaster SIGINT", |_| Fault::Postmaster(Signal::SIGINT)),
    ("folder removed", |_| Fault::FolderRemoved),
    ("stdout closed", |rng| {
        Fault::Closed(Stream::Stdout, *[0, 1, 100].choose(rng).unwrap())
    }),
    ("stderr closed", |_| Fault::Closed(Stream::Stderr, 0)),
    ("no stdout", |_| Fault::NoStream(Stream::Stdout)),
    ("no stderr", |_| Fault::NoStream(Stream::Stderr)),
    ("stdout full", |_| Fault::StdoutFull),
    ("small disk", |rng| {
        Fault::Limit(Limit::SmallDisk(
            *[64, 1_000, 8_000, 24_000, 40_000, 48_000, 64_000].choose(rng).unwrap(),
        ))
    }),
    ("full disk for files", |rng| {
        Fault::Limit(Limit::FullDiskForFiles(*[0, 4].choose(rng).unwrap()))
    }),
    ("file size", |rng| {
        Fault::Limit(Limit::FileSize(
            *[0, 100, 1_000, 100_000, 20_000_000].choose(rng).unwrap(),
        ))
    }),
    ("few descriptors", |rng| {
        Fault::Limit(Limit::Descriptors(*[5, 7, 9, 12, 16, 20, 40].choose(rng).unwrap()))
    }),
    ("no environment", |_| Fault::Limit(Limit::NoEnvironment)),
    ("no HOME", |_| Fault::Limit(Limit::NoHome)),
    ("no /dev/shm", |_| Fault::Limit(Limit::NoSharedMemory)),
    ("small /dev/shm", |_| Fault::Limit(Limit::SmallSharedMemory)),
    ("read-only TMPDIR", |_| Fault::Limit(Limit::ReadOnlyTmpdir)),
    ("no TMPDIR", |_| Fault::Limit(Limit::MissingTmpdir)),
    ("fake: random", |rng| Fault::Fake(Nonsense::Random(rng.random()))),
    ("fake: length", |rng| {
        Fault::Fake(Nonsense::Length(
            *[-1, i32::MIN, 0, 3, i32::MAX, 0x4000_0000].choose(rng).unwrap(),
        ))
    }),
    ("fake: notices", |_| Fault::Fake(Nonsense::EndlessNotices)),
    ("fake: rows", |_| Fault::Fake(Nonsense::EndlessRows)),
    ("fake: silent", |_| Fault::Fake(Nonsense::Silent)),
    ("fake: end", |_| Fault::Fake(Nonsense::EarlyEnd)),
    ("fake: half", |_| Fault::Fake(Nonsense::HalfMessage)),
    ("fake: HTTP", |_| Fault::Fake(Nonsense::Http)),
    ("proxy: cut", |rng| Fault::Proxy(Meddling::Cut(place(rng)))),
    ("proxy: delay", |rng| {
        Fault::Proxy(Meddling::Delay(place(rng), pause(rng) * 5))
    }),
    ("proxy: garbled", |rng| Fault::Proxy(Meddling::Garble(place(rng)))),
];

/// Early places are as likely as late ones, whatever the scale.
fn place(rng: &mut ChaCha8Rng) -> u64 {
    let scale = rng.random_range(1..=18);
    rng.random_range(0..1_u64 << scale)
}

impl Fault {
    /// It comes to a run that is under way.
    pub fn has_a_moment(self) -> bool {
        matches!(
            self,
            Fault::Signals(..) | Fault::Backend(..) | Fault::Postmaster(_) | Fault::FolderRemoved
        )
    }

    /// On which servers it can be tried: the embedded one, a given one.
    pub fn servers(self) -> (bool, bool) {
        match self {
            Fault::FolderRemoved => (true, false),
            Fault::Limit(limit) => (true, !limit.is_about_the_embedded_server()),
            Fault::Fake(_) | Fault::Proxy(_) => (false, true),
            _ => (true, true),
        }
    }

    pub fn leftovers(self, given: bool) -> Leftovers {
        let kills = |signals: &[Signal]| signals.contains(&Signal::SIGKILL) || signals.contains(&Signal::SIGHUP);
        match self {
            Fault::Signals(signals, _) if kills(signals) => Leftovers::UntilTheNextRun,
            // a server that is gone, or restarting, drops no database
            Fault::Backend([Signal::SIGKILL | Signal::SIGQUIT], _) | Fault::Postmaster(_) if given => {
                Leftovers::UntilTheNextRun
            }
            // may end pgbraid by SIGXFSZ
            Fault::Limit(Limit::FileSize(_)) => Leftovers::UntilTheNextRun,
            Fault::Limit(Limit::Descriptors(_)) if given => Leftovers::UntilTheNextRun,
            Fault::Proxy(_) => Leftovers::UntilTheNextRun,
            _ => Leftovers::None,
        }
    }

    /// Whether pgbraid may end in this way where it should say `truth` undisturbed. `code` is 128 and the signal where one
    /// ended it.
    pub fn allows(self, truth: i32, code: i32) -> bool {
        const ENVIRONMENT: i32 = 3;
        const INCONCLUSIVE: i32 = 4;
        const INTERRUPTED: i32 = 130;
        let by = |signal: Signal| code == 128 + signal as i32;
        let troubled = [truth, ENVIRONMENT, INCONCLUSIVE].contains(&code);
        match self {
            Fault::Signals(signals, _) => {
                let stops = signals.contains(&Signal::SIGSTOP);
                code == truth || !stops && (code == INTERRUPTED || signals.iter().any(|&signal| by(signal)))
            }
            Fault::Backend(..) | Fault::Postmaster(_) | Fault::FolderRemoved => troubled,
            Fault::Closed(Stream::Stdout, _) => code == truth || code == 0,
            Fault::Closed(Stream::Stderr, _) | Fault::NoStream(_) => code == truth,
            Fault::StdoutFull => [truth, 2, ENVIRONMENT].contains(&code),
            Fault::Limit(limit) => match limit {
                Limit::NoEnvironment | Limit::NoHome | Limit::MissingTmpdir => code == truth,
                Limit::ReadOnlyTmpdir => [truth, ENVIRONMENT].contains(&code),
                Limit::FullDiskForFiles(_) => [truth, 2, ENVIRONMENT].contains(&code),
                Limit::FileSize(_) => troubled || code == 2 || by(Signal::SIGXFSZ),
                _ => troubled,
            },
            Fault::Fake(_) => [ENVIRONMENT, INTERRUPTED].contains(&code),
            // what is garbled may mean anything
            Fault::Proxy(Meddling::Garble(_)) => (0..=4).contains(&code),
            Fault::Proxy(_) => troubled,
        }
    }
}

impl Moment {
    pub fn draw(rng: &mut ChaCha8Rng) -> Moment {
        match rng.random_range(0..8) {
            0 => Moment::Folder,
            1 | 2 => Moment::Session,
            _ => Moment::Share(rng.random_range(0.0..1.1)),
        }
    }
}
