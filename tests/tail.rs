//! Following log files through everything that is done to them, on real files, step by step and without a clock.

#[path = "tail/rig.rs"]
mod rig;
#[path = "tail/rotation.rs"]
mod rotation;
#[path = "tail/identity.rs"]
mod identity;
#[path = "tail/truncation.rs"]
mod truncation;
#[path = "tail/lines.rs"]
mod lines;
#[path = "tail/links.rs"]
mod links;
#[path = "tail/scale.rs"]
mod scale;
