//! The System V shared memory segments that killed processes of a server leave in the kernel.
//!
//! Every server has one, of a few bytes, as a guard against a second server on its data, and so has every process that
//! `initdb` runs. An orderly shutdown, the immediate one included, removes it.

use std::io;
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};

use super::directory::Identity;

/// What PostgreSQL's segments start with.
const MAGIC: i32 = 679_834_894;

/// The positions of the data folder's device, in words of 8 bytes; its inode is next. They depend on the version.
const DEVICE_WORDS: [usize; 2] = [4, 5];

/// How much of a segment is read: within its first page, however short it is.
const WORDS: usize = 7;

/// How many keys are tried: if one is in use, PostgreSQL takes the next.
const KEYS: u64 = 8;

/// Removes the segments of the server, or of `initdb`, on the data folder `data`. Each names the folder that it guards. One
/// that is in use, or that another account than this thread's made, is left alone.
pub(super) fn release(data: Identity) -> io::Result<()> {
    let owner = rustix::process::geteuid().as_raw();
    for id in ids(data) {
        if stat(id).is_ok_and(|segment| is_left(&segment, owner)) && guards(id, data) {
            remove(id)?;
        }
    }
    Ok(())
}

/// The ids of the candidate segments.
#[cfg(target_os = "linux")]
fn ids(_data: Identity) -> Vec<libc::c_int> {
    let listed = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    let id = |line: &str| line.split_whitespace().nth(1)?.parse().ok();
    listed.lines().filter_map(id).collect()
}

/// The ids of the candidate segments.
#[cfg(not(target_os = "linux"))]
fn ids(data: Identity) -> Vec<libc::c_int> {
    keyed(data).collect()
}

fn stat(id: libc::c_int) -> io::Result<libc::shmid_ds> {
    let mut segment = MaybeUninit::uninit();
    // SAFETY: the only memory that the call writes is `segment`, which is of the type that IPC_STAT fills in and is read
    // only after the call has succeeded.
    unsafe {
        match libc::shmctl(id, libc::IPC_STAT, segment.as_mut_ptr()) {
            0 => Ok(segment.assume_init()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

fn is_left(segment: &libc::shmid_ds, owner: libc::uid_t) -> bool {
    segment.shm_nattch == 0 && segment.shm_perm.uid == owner && segment.shm_perm.cuid == owner
}

/// Whether a segment says that it is PostgreSQL's, for the data folder `data`.
fn guards(id: libc::c_int, data: Identity) -> bool {
    let mut words = [0; WORDS];
    // SAFETY: the segment is attached for reading only, at an address that the kernel chooses, aligned to a page. Segments
    // are of whole pages and cannot be made shorter. Should another process write to it meanwhile, the words would be wrong and
    // nothing worse, as they are read as volatile.
    unsafe {
        let address = libc::shmat(id, null(), libc::SHM_RDONLY);
        if address.addr() == usize::MAX {
            return false;
        }
        for (index, word) in words.iter_mut().enumerate() {
            *word = address.cast::<u64>().add(index).read_volatile();
        }
        libc::shmdt(address);
    }
    if words[0] == 0 {
        // its process was killed before it wrote anything; from PostgreSQL 13 on the key tells
        return keyed(data).any(|keyed| keyed == id);
    }
    names(&words, data)
}

/// The ids of the segments with the keys that PostgreSQL tries for a data folder: its inode, then the next ones.
fn keyed(data: Identity) -> impl Iterator<Item = libc::c_int> {
    let inodes = (0..KEYS).map(move |further| data.inode.wrapping_add(further));
    inodes.map(id_of).filter(|id| *id != -1)
}

/// The id of the segment whose key is `inode`, truncated to the size of a key; -1 if there is none.
fn id_of(inode: u64) -> libc::c_int {
    let [first, second, third, fourth, ..] = inode.to_le_bytes();
    let key = libc::key_t::from_le_bytes([first, second, third, fourth]);
    // SAFETY: a plain system call on numbers; without IPC_CREAT it makes nothing.
    unsafe { libc::shmget(key, 0, 0) }
}

fn names(words: &[u64; WORDS], data: Identity) -> bool {
    let [first, second, third, fourth, ..] = words[0].to_ne_bytes();
    i32::from_ne_bytes([first, second, third, fourth]) == MAGIC
        && DEVICE_WORDS
            .iter()
            .any(|at| words[*at..].starts_with(&[data.device, data.inode]))
}

fn remove(id: libc::c_int) -> io::Result<()> {
    // SAFETY: a plain system call on an id; it takes no memory.
    match unsafe { libc::shmctl(id, libc::IPC_RMID, null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: Identity = Identity {
        device: 0xfe01,
        inode: 10_141_781,
    };

    #[test]
    fn a_segment_names_the_data_folder_that_it_guards() {
        let magic = u64::from(MAGIC.cast_unsigned()) | 4711 << 32;
        let (device, inode) = (DATA.device, DATA.inode);
        assert!(names(&[magic, 56, 56, 0, 0, device, inode], DATA));
        assert!(names(&[magic, 48, 48, 0, device, inode, 0], DATA));
        assert!(!names(&[magic, 56, 56, 0, 0, device, inode + 1], DATA));
        assert!(!names(&[magic, 56, 56, 0, 0, device + 1, inode], DATA));
        assert!(!names(&[magic + 1, 56, 56, 0, 0, device, inode], DATA));
    }

    /// A segment of 56 bytes with these words; removed when dropped.
    struct Segment(libc::c_int);

    impl Segment {
        fn new(words: &[u64; WORDS]) -> Segment {
            Segment::with_key(libc::IPC_PRIVATE, words)
        }

        fn with_key(key: libc::key_t, words: &[u64; WORDS]) -> Segment {
            // SAFETY: a new segment, attached where the kernel chooses, as long as what is written to it.
            unsafe {
                let id = libc::shmget(key, size_of_val(words), libc::IPC_CREAT | 0o600);
                assert_ne!(id, -1);
                let address = libc::shmat(id, null(), 0);
                assert_ne!(address.addr(), usize::MAX);
                address.cast::<[u64; WORDS]>().write(*words);
                assert_eq!(libc::shmdt(address), 0);
                Segment(id)
            }
        }
    }

    impl Drop for Segment {
        fn drop(&mut self) {
            let _ = remove(self.0);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_the_segment_of_the_data_folder_is_removed() {
        let magic = u64::from(MAGIC.cast_unsigned());
        let ours = Segment::new(&[magic, 0, 0, 0, 0, DATA.device, DATA.inode]);
        let anothers = Segment::new(&[magic, 0, 0, 0, 0, DATA.device, DATA.inode + 1]);
        let unlike = Segment::new(&[magic + 1, 0, 0, 0, 0, DATA.device, DATA.inode]);
        let in_use = Segment::new(&[magic, 0, 0, 0, 0, DATA.device, DATA.inode]);
        // SAFETY: attached for reading where the kernel chooses, and not read.
        let attached = unsafe { libc::shmat(in_use.0, null(), libc::SHM_RDONLY) };
        release(DATA).unwrap();
        assert!(stat(ours.0).is_err());
        for kept in [&anothers, &unlike, &in_use] {
            stat(kept.0).unwrap();
        }
        // SAFETY: the address that was attached above.
        unsafe { libc::shmdt(attached) };
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_empty_segment_is_told_by_its_key() {
        let data = Identity {
            device: 1,
            inode: 0x1_7abc_def0,
        };
        let (ours, anothers) = (Segment::with_key(0x7abc_def0, &[0; WORDS]), Segment::new(&[0; WORDS]));
        release(data).unwrap();
        assert!(stat(ours.0).is_err());
        stat(anothers.0).unwrap();
    }

    #[test]
    fn a_segment_of_another_account_is_not_left_to_this_one() {
        let segment = Segment::new(&[0; WORDS]);
        let owner = rustix::process::geteuid().as_raw();
        let found = stat(segment.0).unwrap();
        assert!(is_left(&found, owner));
        assert!(!is_left(&found, owner + 1));
    }
}
