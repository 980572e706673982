//! What a destination says to a request, in the words that the send loop knows.
//!
//! A transport only says what an answer means; what follows from it stands in `plan.rs` and `send.rs` alone.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::signal::frame::{Codec, Signal};

pub(crate) use crate::base::http::{LONGEST_WAIT, SHORTEST_WAIT, shown};

/// An export request as it goes over the wire.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) signal: Signal,
    /// How `body` is compressed: what [`Transport::codec`] named.
    pub(crate) codec: Codec,
    pub(crate) body: Bytes,
}

/// One way to speak to a destination.
#[async_trait]
pub(crate) trait Transport: Send + Sync {
    /// The codec that requests of this signal take.
    fn codec(&self, signal: Signal) -> Codec;

    /// Sends one request and understands the answer; returns within the destination's timeout.
    async fn send(&self, request: &Request) -> Answer;
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Answered for good; `refused` records of it were not taken. `message` is the answer in short, or why some were
    /// refused.
    Taken { refused: u64, message: String },
    /// Not now: after `after`, or after the backoff.
    Retry { why: String, after: Option<Duration>, reached: Reached },
    /// Too much at once (429): as `Retry`, but a smaller request may pass.
    Limited { why: String, after: Option<Duration> },
    /// Somebody must mend something first (3xx, 401, 403, 404).
    Hold { why: String },
    /// A smaller request may pass (413).
    TooLarge { why: String },
    /// It will never be taken as it is (400 and other 4xx); what of it was stored stands in `why`, if anywhere.
    Refused { why: String },
    /// The destination failed over this request (500).
    Broken { why: String },
}

/// Whether a request without a good answer can have been stored all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// It never left, or was turned away at the door.
    No,
    /// The answer was lost on the way.
    Perhaps,
}

impl Answer {
    /// In short, for `status`.
    pub(crate) fn words(&self) -> &str {
        match self {
            Self::Taken { message, .. } => message,
            Self::Retry { why, .. }
            | Self::Limited { why, .. }
            | Self::Hold { why }
            | Self::TooLarge { why }
            | Self::Refused { why }
            | Self::Broken { why } => why,
        }
    }
}
