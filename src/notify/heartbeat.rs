//! The heartbeat: a POST to an outside service while the rules are evaluated. When the box dies, it is that service
//! which tells.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use super::Outcome;
use super::config::Heartbeat;
use super::http::Peer;
use super::line::{millis, now};
use crate::base::header::{HeaderValue, read};
use crate::base::secret::SecretString;
use crate::base::stop::Stop;
use crate::status::Board;

/// The one that beats.
pub(super) struct Heart {
    peer: Peer,
    interval: Duration,
    evaluated: AtomicI64,
    board: Board,
}

impl Heart {
    /// Reads the address. The error names the key.
    pub(super) fn new(config: &Heartbeat, board: &Board, timeout: Duration) -> Result<Self, String> {
        let url = match &config.url {
            HeaderValue::Plain(url) => url.clone(),
            HeaderValue::Secret(secret) => read("url", secret)?,
        };
        let peer = Peer::new(SecretString::from(url), http::HeaderMap::new(), &Default::default(), timeout)?;
        Ok(Self { peer, interval: config.interval.0, evaluated: AtomicI64::new(i64::MIN), board: board.clone() })
    }

    /// The rules had a round just now.
    pub(super) fn evaluated(&self) {
        self.evaluated.store(now(), Relaxed);
    }

    /// Beats until `stop`.
    pub(super) async fn run(&self, stop: &Stop) {
        // A start is soon followed by the first round; the first beat need not wait for a whole interval.
        let mut pause = self.interval.min(FIRST);
        while !stop.sleep(pause).await {
            let alive = now().saturating_sub(self.evaluated.load(Relaxed)) <= millis(self.interval.max(FRESH) * 2);
            if !alive {
                pause = self.interval.min(FIRST);
                continue;
            }
            pause = self.interval;
            self.board.note("heartbeat", self.beat().await);
        }
    }

    /// What went wrong, if anything.
    async fn beat(&self) -> Option<String> {
        let outcome = match self.peer.touch().await {
            Ok(reply) => reply.outcome(),
            Err(outcome) => outcome,
        };
        match outcome {
            Outcome::Taken => None,
            Outcome::Later(why, _) | Outcome::Failed(why) | Outcome::Refused(why) => {
                Some(format!("{why} (alerts.heartbeat.url); the service there will tell that this box is dead"))
            }
        }
    }
}

const FIRST: Duration = Duration::from_secs(1);
/// The loop of the rules says at least this often that it turns.
const FRESH: Duration = Duration::from_secs(60);
