//! Following log files through everything that is done to them, on real files, step by step and without a clock.

#[path = "tail/rig.rs"]
mod rig;
#[path = "tail/rotation.rs"]
mod rotation;
