//! The kernel's own messages from now on: `/dev/kmsg` (CAP_SYSLOG, or `kernel.dmesg_restrict = 0`), else the journal's
//! kernel transport by `journalctl` (group systemd-journal). Never waits: what is there is taken.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::fs::OFlags;

use super::oom::{Kill, Lines, record};

/// Where the messages come from.
pub(super) struct Kernel {
    source: Source,
    lines: Lines,
    /// The beginning of a line of the journal whose end is still to come.
    rest: Vec<u8>,
}

enum Source {
    Kmsg(File),
    Journal(Child, ChildStdout),
}

/// One record of `/dev/kmsg` is never longer.
const RECORD: usize = 8192;
/// Records and pieces taken at once.
const MAX_READS: usize = 10_000;

impl Kernel {
    /// Begins at the end; `None` when neither way is open to us.
    pub(super) fn open() -> Option<Self> {
        let source = kmsg().map(Source::Kmsg).ok().or_else(journal)?;
        Some(Self { source, lines: Lines::default(), rest: Vec::new() })
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
                Ok(0) => break,
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

fn journal() -> Option<Source> {
    let program =
        ["/usr/bin/journalctl", "/bin/journalctl"].into_iter().find(|path| std::path::Path::new(path).exists())?;
    let mut command = Command::new(program);
    command.args(["--dmesg", "--follow", "--lines=0", "--output=cat", "--no-pager", "--quiet"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let out = child.stdout.take()?;
    rustix::fs::fcntl_setfl(&out, OFlags::NONBLOCK).ok()?;
    Some(Source::Journal(child, out))
}
