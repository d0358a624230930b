//! The System V shared memory segment that a killed server leaves in the kernel.
//!
//! Every server has one, of a few bytes, as a guard against a second server on its data. An orderly shutdown, the
//! immediate one included, removes it.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::ptr::null_mut;

/// The line of `postmaster.pid`, from 0, that holds the segment's key and id.
const SEGMENT_LINE: usize = 6;

/// Removes the segment that the `postmaster.pid` in `data` names. An orderly shutdown removes that file, so there is
/// nothing to do without it. A segment that is in use, or that belongs to another account than `data`, is not the
/// server's any more and is left alone.
pub(super) fn release(data: &Path) -> io::Result<()> {
    let Ok(pid_file) = fs::read_to_string(data.join("postmaster.pid")) else {
        return Ok(());
    };
    let Some((key, id)) = key_and_id(&pid_file) else {
        return Ok(());
    };
    let owner = fs::metadata(data)?.uid();
    // SAFETY: plain system calls on a segment's key and id. The only memory that they write is `segment`, which is of
    // the type that IPC_STAT fills in and is read only after the call has succeeded.
    unsafe {
        // After a restart of the machine the id may be another's; its key tells.
        if libc::shmget(key, 0, 0) != id {
            return Ok(());
        }
        let mut segment = MaybeUninit::<libc::shmid_ds>::uninit();
        if libc::shmctl(id, libc::IPC_STAT, segment.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let segment = segment.assume_init();
        if segment.shm_nattch == 0 && segment.shm_perm.uid == owner && libc::shmctl(id, libc::IPC_RMID, null_mut()) != 0
        {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

fn key_and_id(pid_file: &str) -> Option<(libc::key_t, libc::c_int)> {
    let mut words = pid_file.lines().nth(SEGMENT_LINE)?.split_whitespace();
    // The key is printed unsigned.
    let key = words.next()?.parse::<u32>().ok()?.cast_signed();
    Some((key, words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_file_names_the_segment() {
        let start = "4711\n/tmp/x/data\n1700000000\n5432\n/tmp/x\n\n";
        assert_eq!(
            key_and_id(&format!("{start} 10118176     65572\nready\n")),
            Some((10_118_176, 65_572))
        );
        assert_eq!(key_and_id(&format!("{start}4294967295 3\n")), Some((-1, 3)));
        assert_eq!(key_and_id(start), None);
        assert_eq!(key_and_id(&format!("{start}ready\n")), None);
    }
}
