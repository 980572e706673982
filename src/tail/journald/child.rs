//! The `journalctl` child: started without a shell and environment, read without blocking for long, always reaped.
//!
//! A child and not libsystemd: the journal's files are parsed in a process whose crash is not ours, and the binary
//! links no C library. Its export format is stable (<https://systemd.io/JOURNAL_EXPORT_FORMATS/>).

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::export::NAMES;
use super::position::Place;

/// Where it may be.
const PROGRAMS: [&str; 2] = ["/usr/bin/journalctl", "/bin/journalctl"];
/// Where journald keeps its files.
pub(super) const FOLDERS: [&str; 2] = ["/run/log/journal", "/var/log/journal"];
/// Bytes that are kept of what it complains.
const MAX_COMPLAINT: usize = 1 << 10;

/// Which entries are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// Those that there are, of all boots.
    Rest,
    /// Those of the current boot, also later ones: `--follow` leaves earlier boots out, whatever the cursor.
    Follow,
}

/// A running `journalctl`.
#[derive(Debug)]
pub(super) struct Journalctl {
    child: Child,
    stdout: ChildStdout,
    stderr: Option<ChildStderr>,
    complaint: Vec<u8>,
}

/// What one read has brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// Bytes, at the front of the buffer.
    Bytes(usize),
    /// Nothing within the time.
    Nothing,
    /// The child has closed its output.
    End,
}

/// The program; none when it is not installed.
pub(super) fn find() -> Option<PathBuf> {
    PROGRAMS.iter().map(PathBuf::from).find(|path| path.exists())
}

/// True when the box's own journal may not be read: `journalctl` then shows only what the agent's own user wrote,
/// and calls that success.
pub(super) fn is_closed() -> bool {
    let folders = FOLDERS.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    folders
        .map(|folder| folder.path().join("system.journal"))
        .any(|path| std::fs::File::open(path).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied))
}

/// The arguments from `place` on, its own entry first. That entry is asked for, and not those after it, to see that
/// it is still there, and because `--after-cursor` leaves out the first entry of a new boot (systemd issue 38912).
fn arguments(ask: Ask, place: &Place, directory: Option<&Path>) -> Vec<String> {
    let mut out: Vec<String> =
        ["--output=export", "--all", "--quiet", "--no-pager", "--no-tail"].map(str::to_owned).into();
    out.push(format!(
        "--output-fields={}",
        NAMES.iter().filter(|name| !name.starts_with("__")).copied().collect::<Vec<_>>().join(",")
    ));
    if ask == Ask::Follow {
        out.push("--follow".into());
    }
    out.push(if place.cursor.is_empty() {
        format!("--since=@{}.{:06}", place.realtime / 1_000_000, place.realtime % 1_000_000)
    } else {
        format!("--cursor={}", place.cursor)
    });
    out.extend(directory.map(|directory| format!("--directory={}", directory.display())));
    out
}

impl Journalctl {
    /// Starts it.
    pub(super) fn start(program: &Path, ask: Ask, place: &Place, directory: Option<&Path>) -> io::Result<Self> {
        let mut child = Command::new(program)
            // A Ctrl-C at the terminal is for the agent, which ends its child itself.
            .process_group(0)
            .args(arguments(ask, place, directory))
            .env_clear()
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        match (child.stdout.take(), child.stderr.take()) {
            (Some(stdout), stderr) => Ok(Self { child, stdout, stderr, complaint: Vec::new() }),
            (None, _) => Err(io::Error::other("no pipe to its output")),
        }
    }

    /// Reads what there is, after at most `time`.
    pub(super) fn read(&mut self, buffer: &mut [u8], time: Duration) -> io::Result<Got> {
        let timeout = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        let mut fds = vec![PollFd::new(&self.stdout, PollFlags::IN)];
        fds.extend(self.stderr.as_ref().map(|stderr| PollFd::new(stderr, PollFlags::IN)));
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Got::Nothing),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        let (out, err) = (ready(0), ready(1));
        if err {
            self.listen();
        }
        if !out {
            return Ok(Got::Nothing);
        }
        Ok(match self.stdout.read(buffer)? {
            0 => Got::End,
            count => Got::Bytes(count),
        })
    }

    /// Keeps the first of what it complains.
    fn listen(&mut self) {
        let mut bytes = [0; 512];
        match self.stderr.as_mut().map(|stderr| stderr.read(&mut bytes)) {
            Some(Ok(count)) if count > 0 => {
                let room = MAX_COMPLAINT.saturating_sub(self.complaint.len()).min(count);
                self.complaint.extend_from_slice(bytes.get(..room).unwrap_or_default());
            }
            _ => self.stderr = None,
        }
    }

    /// Reaps it once its output is closed: whether it ended well, and what it said, else how it ended.
    pub(super) fn end(mut self) -> (bool, String) {
        if let Some(mut stderr) = self.stderr.take() {
            let mut bytes = Vec::new();
            // A failure to read the complaint leaves the complaint short, and the exit status stands.
            if (&mut stderr).take(MAX_COMPLAINT as u64).read_to_end(&mut bytes).is_ok() {
                self.complaint.extend(bytes);
            }
        }
        let text = String::from_utf8_lossy(&self.complaint);
        let said = text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned);
        match self.child.wait() {
            Ok(status) => (status.success(), said.unwrap_or_else(|| status.to_string())),
            Err(error) => (false, error.to_string()),
        }
    }

    /// For tests that kill it.
    #[cfg(test)]
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Journalctl {
    fn drop(&mut self) {
        // Either fails only when it is already reaped.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_asked_for_by_itself_and_without_one_the_time() {
        let mut place = Place { cursor: String::new(), realtime: 1_700_000_000_000_042, nanos: 0 };
        let asked = arguments(Ask::Rest, &place, None);
        assert!(asked.contains(&"--since=@1700000000.000042".to_owned()), "{asked:?}");
        assert!(!asked.contains(&"--follow".to_owned()));
        place.cursor = "s=1;i=2".into();
        let asked = arguments(Ask::Follow, &place, Some(Path::new("/x")));
        assert!(asked.ends_with(&["--follow".into(), "--cursor=s=1;i=2".into(), "--directory=/x".into()]), "{asked:?}");
    }
}
