//! Following log files through everything that is done to them, on real files, step by step and without a clock.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "tail/gzip.rs"]
mod gzip;
#[path = "tail/identity.rs"]
mod identity;
#[path = "tail/ledger.rs"]
mod ledger;
#[path = "tail/lines.rs"]
mod lines;
#[path = "tail/links.rs"]
mod links;
#[path = "tail/rig.rs"]
mod rig;
#[path = "tail/rotation.rs"]
mod rotation;
#[path = "tail/scale.rs"]
mod scale;
#[path = "tail/truncation.rs"]
mod truncation;
