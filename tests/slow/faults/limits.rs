//! Surroundings in which something is missing or short.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};

#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// `TMPDIR` is a disk of so many kB.
    SmallDisk(u64),
    /// What pgbraid is told to write goes to a disk with so many kB left.
    FullDiskForFiles(u64),
    /// `RLIMIT_FSIZE`, in bytes.
    FileSize(u64),
    /// `RLIMIT_NOFILE`.
    Descriptors(u64),
    NoEnvironment,
    NoHome,
    NoSharedMemory,
    SmallSharedMemory,
    ReadOnlyTmpdir,
    MissingTmpdir,
}

const MEMORY: &str = "/dev/shm";

impl Limit {
    pub fn is_about_the_embedded_server(self) -> bool {
        use Limit::*;
        matches!(
            self,
            SmallDisk(_) | NoSharedMemory | SmallSharedMemory | ReadOnlyTmpdir | MissingTmpdir
        )
    }

    /// It takes file systems of its own, which root can mount.
    pub fn takes_mounts(self) -> bool {
        use Limit::*;
        matches!(
            self,
            SmallDisk(_) | FullDiskForFiles(_) | NoSharedMemory | SmallSharedMemory | ReadOnlyTmpdir
        )
    }

    /// Sets it up for `command`. `tmpdir` and `files` are the folders that it is to use.
    pub fn impose(self, command: &mut Command, tmpdir: &Path, files: &Path) -> Mounted {
        let mut mounted = Mounted(Vec::new());
        match self {
            Limit::SmallDisk(size) => mounted.add(tmpdir, MsFlags::empty(), &format!("size={size}k,mode=1777")),
            Limit::ReadOnlyTmpdir => mounted.add(tmpdir, MsFlags::MS_RDONLY, "size=64k,mode=1777"),
            Limit::FullDiskForFiles(room) => {
                mounted.add(files, MsFlags::empty(), &format!("size={}k", room + 4));
                std::fs::write(files.join("full"), [0; 4096]).unwrap();
            }
            Limit::FileSize(bytes) => before_exec(command, move || set(Resource::RLIMIT_FSIZE, bytes)),
            Limit::Descriptors(count) => before_exec(command, move || set(Resource::RLIMIT_NOFILE, count)),
            Limit::NoEnvironment => drop(command.env_clear()),
            Limit::NoHome => drop(command.env_remove("HOME")),
            Limit::MissingTmpdir => drop(command.env("TMPDIR", tmpdir.join("missing"))),
            Limit::NoSharedMemory => before_exec(command, || over_memory(MsFlags::MS_RDONLY)),
            Limit::SmallSharedMemory => before_exec(command, || over_memory(MsFlags::empty())),
        }
        mounted
    }
}

fn before_exec(command: &mut Command, prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static) {
    // SAFETY: what is passed here makes plain system calls with arguments that allocate nothing
    unsafe { command.pre_exec(prepare) };
}

fn set(resource: Resource, limit: u64) -> io::Result<()> {
    Ok(setrlimit(resource, limit, limit)?)
}

fn over_memory(flags: MsFlags) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let options = Some("size=64k,mode=1777");
    Ok(mount(Some("tmpfs"), MEMORY, Some("tmpfs"), flags, options)?)
}

/// File systems that are there until this is dropped, for this thread and what it starts.
pub struct Mounted(Vec<std::path::PathBuf>);

impl Mounted {
    fn add(&mut self, folder: &Path, flags: MsFlags, options: &str) {
        mount(Some("tmpfs"), folder, Some("tmpfs"), flags, Some(options)).unwrap();
        self.0.push(folder.to_owned());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        for folder in &self.0 {
            let _ = umount2(folder, MntFlags::MNT_DETACH);
        }
    }
}

/// Has this thread see mounts that nobody else does. Whether it may.
pub fn own_mounts() -> bool {
    unshare(CloneFlags::CLONE_NEWNS).is_ok()
        && mount(
            None::<&str>,
            "/",
            None::<&str>,
            MsFlags::MS_REC | MsFlags::MS_PRIVATE,
            None::<&str>,
        )
        .is_ok()
}
