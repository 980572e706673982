//! Reads `/proc/<pid>/stat` of every process with one buffer and paths relative to one open folder.

use std::fmt::Write as _;
use std::mem::MaybeUninit;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};

use crate::collect::CollectError;
use crate::collect::host::context::fault;

/// What is used of a process's `stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat<'a> {
    /// The program's name, of any bytes: at most 15 for a program, 64 for a kernel thread.
    pub(super) name: &'a [u8],
    /// The kernel's letter.
    pub(super) state: u8,
    /// CPU time in user and kernel mode.
    pub(super) ticks: u64,
    pub(super) threads: u64,
    /// Clock ticks after boot.
    pub(super) start: u64,
    /// Resident memory.
    pub(super) pages: u64,
    pub(super) is_kernel: bool,
}

/// The list of processes.
#[derive(Default)]
pub(super) struct Table {
    pids: Vec<u32>,
    path: String,
    /// One file: 52 numbers and a name.
    stat: Vec<u8>,
}

/// Bytes of a `stat` file that are read.
const MAX_STAT: usize = 2048;
const ENTRIES: usize = 32 << 10;

impl Table {
    /// Calls `take` for each process, at most `most`; those that end while they are read are passed over.
    pub(super) fn each(
        &mut self,
        proc: &Path,
        most: usize,
        mut take: impl FnMut(u32, &Stat<'_>),
    ) -> Result<(), CollectError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let folder = openat(CWD, proc, flags | OFlags::DIRECTORY, Mode::empty());
        let folder = folder.map_err(|error| fault(proc, &error.into()))?;
        self.pids.clear();
        let mut buffer = vec![MaybeUninit::uninit(); ENTRIES];
        let mut entries = RawDir::new(&folder, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|error| fault(proc, &error.into()))?;
            if let Some(pid) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) {
                self.pids.push(pid);
            }
            if self.pids.len() >= most {
                break;
            }
        }
        self.stat.resize(MAX_STAT, 0);
        for pid in &self.pids {
            self.path.clear();
            // Writing to a String cannot fail.
            let _infallible = write!(self.path, "{pid}/stat").is_ok();
            let Ok(file) = openat(&folder, self.path.as_str(), flags, Mode::empty()) else { continue };
            let Ok(length) = rustix::io::read(&file, &mut self.stat[..]) else { continue };
            if let Some(stat) = parse(&self.stat[..length]) {
                take(*pid, &stat);
            }
        }
        Ok(())
    }
}

/// `man 5 proc_pid_stat`. The name stands in parentheses and may hold parentheses, spaces and newlines itself: it
/// ends at the last one.
fn parse(line: &[u8]) -> Option<Stat<'_>> {
    const PF_KTHREAD: u64 = 0x0020_0000;
    let open = memchr::memchr(b'(', line)?;
    let close = memchr::memrchr(b')', line)?;
    let name = line.get(open + 1..close)?;
    let mut words = std::str::from_utf8(&line[close + 1..]).ok()?.split_ascii_whitespace();
    let state = *words.next()?.as_bytes().first()?;
    // Fields 4 to 24, named by their number in the manual page less 4.
    let mut fields = [0_u64; 21];
    for field in &mut fields {
        // Some are negative (the terminal's group, priorities); none of these is used.
        *field = words.next()?.parse().unwrap_or(0);
    }
    Some(Stat {
        name,
        state,
        is_kernel: fields[9 - 4] & PF_KTHREAD != 0,
        ticks: fields[14 - 4].saturating_add(fields[15 - 4]),
        threads: fields[20 - 4],
        start: fields[22 - 4],
        pages: fields[24 - 4],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: &str =
        " S 0 0 0 0 -1 4194560 21956 35400160 0 3497 53 276 79584 9622 10 -10 13 0 22 46120960 3349 1 0 0";

    #[test]
    fn a_name_of_any_bytes_ends_at_the_last_parenthesis() {
        for name in [&b"a) R (b"[..], b"new\nline", b"\xff\xfe", b"", b"((", b"))"] {
            let line = [b"17 (", name, b")", TAIL.as_bytes()].concat();
            let stat = parse(&line).unwrap();
            assert_eq!((stat.name, stat.state), (name, b'S'));
            assert_eq!((stat.ticks, stat.threads, stat.start, stat.pages), (329, 13, 22, 3349));
            assert!(!stat.is_kernel);
        }
    }

    #[test]
    fn a_cut_line_is_no_process() {
        let line = format!("17 (x){TAIL}");
        let fields = "17 (x) S 0 0 0 0 -1 4194560 21956 35400160 0 3497 53 276 79584 9622 10 -10 13 0 22 46120960 3349";
        assert!(parse(line.as_bytes()).is_some() && parse(fields.as_bytes()).is_some());
        for end in 0..fields.len() - 4 {
            assert_eq!(parse(&fields.as_bytes()[..end]), None, "{end}");
        }
    }

    #[test]
    fn a_thread_of_the_kernel_is_told_by_its_flag() {
        let line = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 22 0 0 18446744073709551615";
        assert!(parse(line).unwrap().is_kernel);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_the_reader(line in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let _ = parse(&line);
        }
    }
}
