//! Alerts as a user has them: the real agent with rules and numbers of the test, and those who are told.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so and ends")]
#![allow(dead_code, reason = "the support has more than these tests need")]

#[path = "support/alertmanager.rs"]
mod alertmanager;
#[path = "alerts/cases.rs"]
mod cases;
#[path = "alerts/clock.rs"]
mod clock;
#[path = "alerts/exported.rs"]
mod exported;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/harness.rs"]
mod harness;
#[path = "alerts/kill.rs"]
mod kill;
#[path = "alerts/live.rs"]
mod live;
#[path = "alerts/lives.rs"]
mod lives;
#[path = "notify/peer.rs"]
mod peer;
#[path = "support/prometheus.rs"]
mod prometheus;
#[path = "alerts/rig.rs"]
mod rig;
