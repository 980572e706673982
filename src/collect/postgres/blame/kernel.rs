//! The kernel's own messages from now on: `/dev/kmsg` (CAP_SYSLOG, or `kernel.dmesg_restrict = 0`), else the journal's
//! kernel transport by `journalctl` (group systemd-journal). Never waits: what is there is taken.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::fs::OFlags;

use super::oom::{Kill, Lines, record};

/// Where the messages come from.
pub(super) struct Kernel {
    source: Source,
    lines: Lines,
    /// The beginning of a line of the journal whose end is still to come.
    rest: Vec<u8>,
    /// Whether there is nothing more to come: the child has ended.
    is_over: bool,
}

enum Source {
    Kmsg(File),
    Journal(Child, ChildStdout),
}

/// One record of `/dev/kmsg` is never longer.
const RECORD: usize = 8192;
/// Records and pieces taken at once.
const MAX_READS: usize = 10_000;

/// Where journald keeps its files.
const FOLDERS: [&str; 2] = ["/run/log/journal", "/var/log/journal"];

impl Kernel {
    /// Begins at the end; `None` when neither way is open to us.
    pub(super) fn open() -> Option<Self> {
        let source = kmsg().map(Source::Kmsg).ok().or_else(|| if is_closed() { None } else { journal(None) })?;
        Some(Self::of(source))
    }

    fn of(source: Source) -> Self {
        Self { source, lines: Lines::default(), rest: Vec::new(), is_over: false }
    }

    /// Whether nothing more can come: `journalctl` has ended.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// The kills since the last look.
    pub(super) fn kills(&mut self) -> Vec<Kill> {
        let mut found = Vec::new();
        let mut buffer = [0_u8; RECORD];
        for _ in 0..MAX_READS {
            let read = match &mut self.source {
                Source::Kmsg(file) => file.read(&mut buffer),
                Source::Journal(_, out) => out.read(&mut buffer),
            };
            match read {
                Ok(0) => {
                    self.is_over = matches!(self.source, Source::Journal(..));
                    break;
                }
                Ok(length) => self.take(&buffer[..length], &mut found),
                // Records were overwritten before we read them: it goes on with the oldest one that is left.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        found
    }

    fn take(&mut self, bytes: &[u8], found: &mut Vec<Kill>) {
        if matches!(self.source, Source::Kmsg(_)) {
            let text = String::from_utf8_lossy(bytes);
            found.extend(record(&text).and_then(|line| self.lines.take(line)));
            return;
        }
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            found.extend(self.lines.take(String::from_utf8_lossy(&line).trim_end()));
        }
        if self.rest.len() > RECORD {
            self.rest.clear();
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        if let Source::Journal(child, _) = &mut self.source {
            // It may have ended already.
            let _ended = child.kill().is_err();
            let _gone = child.wait().is_err();
        }
    }
}

fn kmsg() -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let mut file = File::options().read(true).custom_flags(flags).open("/dev/kmsg")?;
    file.seek(SeekFrom::End(0))?;
    Ok(file)
}

/// `journalctl` shows who may not read the box's journal what he wrote himself, and calls that success.
fn is_closed() -> bool {
    let folders = FOLDERS.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    folders
        .map(|folder| folder.path().join("system.journal"))
        .any(|path| File::open(path).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied))
}

/// Follows the kernel's transport of this boot; `directory`: other files than the box's own.
fn journal(directory: Option<&Path>) -> Option<Source> {
    let program =
        ["/usr/bin/journalctl", "/bin/journalctl"].map(PathBuf::from).into_iter().find(|path| path.exists())?;
    let mut command = Command::new(program);
    command.args(["--dmesg", "--follow", "--lines=0", "--output=cat", "--no-pager", "--quiet"]);
    if let Some(directory) = directory {
        command.arg("--directory").arg(directory);
    }
    command.env_clear().env("LC_ALL", "C").current_dir("/");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let out = child.stdout.take()?;
    rustix::fs::fcntl_setfl(&out, OFlags::NONBLOCK).ok()?;
    Some(Source::Journal(child, out))
}

#[cfg(test)]
mod tests;
