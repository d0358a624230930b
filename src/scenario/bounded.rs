//! Reads files that may be anything: too large, endless, or a folder.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// The largest file that is read. Processing it takes several times its size in memory.
const MOST_BYTES: u64 = 64 << 20;

/// The text of a file.
///
/// # Errors
/// When it cannot be read, is too large, or is not UTF-8.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// The bytes of a file.
///
/// # Errors
/// When it cannot be read, or is too large.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let (file, kind) = open(path)?;
    let bytes = read_all(file)?;
    if bytes.is_empty() && kind.is_fifo() {
        return Err(io::Error::other("it is a pipe, and nothing came from it"));
    }
    Ok(bytes)
}

/// Everything that `reader` gives.
///
/// # Errors
/// When it cannot be read, or is too large.
pub(crate) fn read_all(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= MOST_BYTES => Ok(bytes),
        _ => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {} MiB", MOST_BYTES >> 20),
        )),
    }
}

fn open(path: &Path) -> io::Result<(File, FileType)> {
    // otherwise, opening a pipe would wait for a writer
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
    }
    // the shell's <(…) is a pipe with a writer
    if kind.is_fifo() {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
    }
    Ok((file, kind))
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;

    use super::*;

    fn refusal(path: &Path) -> String {
        read_text(path).expect_err("it is refused").to_string()
    }

    #[test]
    fn what_is_no_text_of_bounded_size_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(refusal(Path::new("/dev/zero")), "it is larger than 64 MiB");
        assert_eq!(refusal(folder.path()), "it is a folder");

        let sparse = folder.path().join("sparse");
        File::create(&sparse).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(refusal(&sparse), "it is larger than 64 MiB");

        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        assert_eq!(refusal(&pipe), "it is a pipe, and nothing came from it");

        let binary = folder.path().join("binary");
        std::fs::write(&binary, b"a\xff").unwrap();
        assert_eq!(refusal(&binary), "it is not UTF-8");
    }

    #[test]
    fn a_pipe_with_a_writer_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        // opened for both, so that it has a writer before it has a reader
        let writer = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        let written = std::thread::spawn(move || {
            io::Write::write_all(&mut &writer, "text".repeat(50_000).as_bytes()).unwrap();
        });
        let text = read_text(&pipe).unwrap();
        written.join().unwrap();
        assert_eq!(text.len(), 200_000);
    }
}
