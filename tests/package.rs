//! The Debian package: what it holds, what its installation, upgrade, removal and purge leave in real Debian systems, and
//! the service in one that is booted.
//!
//! The systems are those of `tests/stack/roots` and `tests/stack/newest`, each under a layer that goes with its test.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so and ends")]

#[path = "support/harness.rs"]
#[allow(dead_code, reason = "what other test programs use of it")]
mod harness;

#[path = "package/boot.rs"]
mod boot;
#[path = "package/box.rs"]
mod booted;
#[path = "package/build.rs"]
mod build;
#[path = "package/downgrade.rs"]
mod downgrade;
#[path = "package/life.rs"]
mod life;
#[path = "package/root.rs"]
mod root;
#[path = "package/setup.rs"]
mod setup;
#[path = "package/unit.rs"]
mod unit;
