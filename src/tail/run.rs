//! The tailer's thread: steps, sleeps until there is something to do, and is woken by inotify.
//!
//! inotify is a hint only. Its limits (watches, instances, queue) and the file systems without it cost delay, never
//! lines, because a step looks at the files themselves once a second.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use notify::event::ModifyKind;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::{Done, GlobError, Intake, Now, Settings, Tailer, position};
use crate::base::clock;
use crate::base::stop::Stop;
use crate::signal::frame::Position;
use crate::status::Board;

/// Looks for the stop this often at least.
const LONGEST_SLEEP: Duration = Duration::from_millis(250);
/// A full spool is tried again this often.
const BLOCKED_SLEEP: Duration = Duration::from_millis(100);
/// After a hint the thread waits this long for more of them, so that a busy writer costs no wake-up for each line.
const GATHER: Duration = Duration::from_millis(20);
/// How long a stop tries to hand over what was read.
const LAST_TRIES: u32 = 20;

/// Starts the thread; it ends soon after `stop` is set.
///
/// # Errors
/// A glob is none, or no thread can be had.
pub fn start(
    settings: Settings,
    positions: &[Position],
    intake: Intake,
    board: Board,
    stop: Stop,
) -> Result<JoinHandle<()>, StartError> {
    let origin = Instant::now();
    let later = position::of_later_versions(positions);
    board.note(
        "files version",
        (later > 0).then(|| {
            format!("the positions of {later} files were written by a later version of plimsoll: these are read anew")
        }),
    );
    let tailer = Tailer::new(settings, positions, Box::new(intake), &board, now(origin))?;
    let thread = std::thread::Builder::new().name("tail".into());
    let runner = Runner { tailer, origin, board, stop };
    Ok(thread.spawn(move || runner.run())?)
}

/// Why the tailer cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A glob is none.
    #[error(transparent)]
    Glob(#[from] GlobError),
    /// The system gives no thread.
    #[error("cannot start the tailer's thread: {0}")]
    Thread(#[from] std::io::Error),
}

struct Runner {
    tailer: Tailer,
    origin: Instant,
    board: Board,
    stop: Stop,
}

fn now(origin: Instant) -> Now {
    Now { mono: u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX), unix: clock::unix_nanos() }
}

impl Runner {
    fn run(mut self) {
        let (wake, woken) = mpsc::sync_channel(1);
        let mut watch = Watch::new(wake, self.board.clone());
        while !self.stop.is_set() {
            let done = self.tailer.step(now(self.origin));
            watch.follow(self.tailer.folders());
            let sleep = match done {
                Done::More => continue,
                Done::Blocked => {
                    std::thread::sleep(BLOCKED_SLEEP);
                    continue;
                }
                Done::Idle(nanos) => Duration::from_nanos(nanos).min(LONGEST_SLEEP),
            };
            match woken.recv_timeout(sleep) {
                Ok(()) => {
                    std::thread::sleep(GATHER);
                    if watch.renamed.swap(false, Relaxed) {
                        self.tailer.hint();
                    }
                    self.tailer.nudge();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(sleep),
            }
        }
        for _ in 0..LAST_TRIES {
            if self.tailer.stop(now(self.origin)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        tracing::info!("the spool takes nothing: lines read last are read again after the next start");
    }
}

/// Watches on folders.
struct Watch {
    watcher: Option<RecommendedWatcher>,
    watched: HashSet<PathBuf>,
    /// A name came or went since the last look, or events were lost.
    renamed: Arc<AtomicBool>,
    board: Board,
}

impl Watch {
    fn new(wake: SyncSender<()>, board: Board) -> Self {
        let renamed = Arc::new(AtomicBool::new(false));
        let names = Arc::clone(&renamed);
        let made = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let written = event
                .is_ok_and(|event| matches!(event.kind, EventKind::Modify(ModifyKind::Data(_)) | EventKind::Access(_)));
            if !written {
                names.store(true, Relaxed);
            }
            // Full means that a wake-up waits already.
            let _waits = wake.try_send(()).is_err();
        });
        let mut watch = Self { watcher: None, watched: HashSet::new(), renamed, board };
        match made {
            Ok(watcher) => watch.watcher = Some(watcher),
            Err(error) => watch.note(&error),
        }
        watch
    }

    /// Watches `folders`, each once, and no others.
    fn follow(&mut self, folders: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        if folders.len() == self.watched.len() && folders.iter().all(|folder| self.watched.contains(folder)) {
            return;
        }
        let wanted: HashSet<_> = folders.iter().cloned().collect();
        for gone in self.watched.difference(&wanted) {
            // The folder may be gone, and its watch with it.
            drop(watcher.unwatch(gone));
        }
        let mut refused = None;
        for new in wanted.difference(&self.watched) {
            if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                refused = Some(error);
            }
        }
        self.watched = wanted;
        match refused {
            Some(error) if !matches!(error.kind, notify::ErrorKind::PathNotFound) => self.note(&error),
            _ => {}
        }
    }

    fn note(&self, error: &notify::Error) {
        let text = format!(
            "files are looked at once a second, without inotify: {error}; raise fs.inotify.max_user_watches or max_user_instances with sysctl"
        );
        self.board.note("inotify", Some(text));
    }
}
