//! Collectors against the real servers, of this release and of the newest: what was done there is what is counted.
//!
//! `tests/run` installs the servers and makes the newest release; `tests/README.md` says what is tested where.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so and ends")]

#[path = "support/harness.rs"]
mod harness;
#[path = "systems/postgres.rs"]
mod postgres;
#[path = "support/postgres.rs"]
mod postgres_server;
#[path = "support/release.rs"]
mod release;
#[path = "systems/round.rs"]
mod round;
