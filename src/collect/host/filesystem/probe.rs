//! Asks `statvfs` on a thread that may hang, so that the round does not.
//!
//! One thread answers all mounts of a round. When one of them does not answer in time, its thread is left to it and a
//! new one goes on with the rest; that mount is not asked again until its thread came back. So a dead mount costs one
//! thread and one deadline, not one per round.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Space, Statvfs};

/// Waited for each mount: a healthy one answers in microseconds, a slow network within this.
const DEADLINE: Duration = Duration::from_millis(500);
/// Waited in one round for all mounts.
const ROUND: Duration = Duration::from_secs(2);
/// Threads that hang at once; with as many, mounts that were not asked yet are not asked.
const MAX_HUNG: usize = 8;

/// What is known of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It answered.
    Space(Space),
    /// It hangs, in this round or since an earlier one.
    Hangs,
    /// It answered with an error.
    Refused,
    /// The round's time was over before it was asked.
    Later,
}

/// Asks, and remembers who hangs.
pub(super) struct Prober {
    statvfs: Statvfs,
    hung: Arc<Mutex<HashSet<PathBuf>>>,
    worker: Option<Worker>,
}

struct Worker {
    asks: Sender<PathBuf>,
    answers: Receiver<Answer>,
}

impl Prober {
    /// Starts no thread yet.
    pub(super) fn new(statvfs: Statvfs) -> Self {
        Self { statvfs, hung: Arc::default(), worker: None }
    }

    /// An answer for each path, within two seconds.
    pub(super) fn ask(&mut self, paths: Vec<PathBuf>) -> Vec<Answer> {
        let end = Instant::now() + ROUND;
        paths.into_iter().map(|path| self.ask_one(path, end)).collect()
    }

    fn ask_one(&mut self, path: PathBuf, end: Instant) -> Answer {
        let hung = self.hung.lock().unwrap_or_else(PoisonError::into_inner);
        if hung.contains(&path) {
            return Answer::Hangs;
        }
        let many = hung.len() >= MAX_HUNG;
        drop(hung);
        let left = end.saturating_duration_since(Instant::now());
        if many || left.is_zero() {
            return Answer::Later;
        }
        let Some(worker) = self.worker.take().or_else(|| self.start()) else { return Answer::Later };
        if worker.asks.send(path.clone()).is_err() {
            return Answer::Later;
        }
        match worker.answers.recv_timeout(DEADLINE.min(left)) {
            Ok(answer) => {
                self.worker = Some(worker);
                answer
            }
            Err(_) => {
                // The thread takes the mark away when it comes back. Should it have answered in this moment, it does
                // so at once: it waits for the lock, or finds its channel closed.
                self.hung.lock().unwrap_or_else(PoisonError::into_inner).insert(path);
                Answer::Hangs
            }
        }
    }

    fn start(&self) -> Option<Worker> {
        let (asks, asked) = channel::<PathBuf>();
        let (answered, answers) = channel();
        let (statvfs, hung) = (Arc::clone(&self.statvfs), Arc::clone(&self.hung));
        let thread = std::thread::Builder::new().name("statvfs".into()).stack_size(64 << 10);
        let started = thread.spawn(move || {
            let mut last = PathBuf::new();
            for path in asked {
                let answer = statvfs(&path).map_or(Answer::Refused, Answer::Space);
                last = path;
                if answered.send(answer).is_err() {
                    break;
                }
            }
            // The asker is gone, or gave up waiting for the last path: either way that path can be asked again.
            hung.lock().unwrap_or_else(PoisonError::into_inner).remove(&last);
        });
        started.is_ok().then_some(Worker { asks, answers })
    }
}
