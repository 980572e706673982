//! Recent telemetry on the box: names as Prometheus has them, and the newest round of each source.

pub mod config;
pub mod latest;
pub mod translate;

pub use latest::Latest;
