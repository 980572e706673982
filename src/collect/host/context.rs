//! What the groups of the host share: the roots, one buffer, the kernel's constants.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::Roots;
use crate::collect::CollectError;

/// Reads files of `/proc` and `/sys` into one buffer that is used again.
pub(super) struct Context {
    pub(super) roots: Roots,
    /// Clock ticks in a second: the unit of CPU times.
    pub(super) ticks: f64,
    /// Bytes of a memory page.
    pub(super) page: u64,
    buffer: Vec<u8>,
    text: String,
}

/// The longest file that is read whole; `/proc/stat` of a host with 1,000 CPUs is 200 KB.
const MAX_FILE: u64 = 4 << 20;

impl Context {
    pub(super) fn new(roots: Roots) -> Self {
        Self {
            roots,
            ticks: rustix::param::clock_ticks_per_second() as f64,
            page: rustix::param::page_size() as u64,
            buffer: Vec::with_capacity(16 << 10),
            text: String::new(),
        }
    }

    /// The text of a file below `/proc`.
    pub(super) fn proc(&mut self, path: &str) -> Result<&str, CollectError> {
        self.read(&self.roots.proc.join(path))
    }

    /// The text of a file below `/sys`.
    pub(super) fn sys(&mut self, path: &str) -> Result<&str, CollectError> {
        self.read(&self.roots.sys.join(path))
    }

    /// The one number that a file below `/proc` holds.
    pub(super) fn proc_number(&mut self, path: &str) -> Result<u64, CollectError> {
        let text = self.proc(path)?;
        text.trim().parse().map_err(|_| CollectError::Parse(format!("{path} holds no number: {:.40}", text.trim())))
    }

    /// The text of a file; bytes that are no UTF-8 are replaced.
    pub(super) fn read(&mut self, path: &Path) -> Result<&str, CollectError> {
        self.buffer.clear();
        let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut self.buffer));
        read.map_err(|error| fault(path, &error))?;
        match std::str::from_utf8(&self.buffer) {
            Ok(text) => Ok(text),
            Err(_) => {
                self.text.clear();
                self.text.push_str(&String::from_utf8_lossy(&self.buffer));
                Ok(&self.text)
            }
        }
    }

    /// True if the files come from the running kernel, not from a recorded tree.
    pub(super) fn live(&self) -> bool {
        self.roots.proc.as_os_str() == "/proc"
    }
}

/// A missing file is a kernel without this feature, or a process that ended: nothing to say.
pub(super) fn fault(path: &Path, error: &io::Error) -> CollectError {
    let gone = [rustix::io::Errno::SRCH, rustix::io::Errno::OPNOTSUPP, rustix::io::Errno::NODEV]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()));
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            CollectError::NoData(format!("{} is not there", path.display()))
        }
        _ if gone => CollectError::NoData(format!("{} is switched off", path.display())),
        ErrorKind::PermissionDenied => CollectError::Query(format!("no right to read {}", path.display())),
        _ => CollectError::Query(format!("cannot read {}: {error}", path.display())),
    }
}

/// The words of a line that are numbers; a word that is none counts as 0, so that columns keep their places.
pub(super) fn numbers(line: &str) -> impl Iterator<Item = u64> {
    line.split_ascii_whitespace().map(|word| word.parse().unwrap_or(0))
}

/// `None` for what is not there, so that one missing file does not end a group that reads several.
pub(super) fn optional<T>(result: Result<T, CollectError>) -> Result<Option<T>, CollectError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(CollectError::NoData(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
