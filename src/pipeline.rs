//! The one call that takes telemetry in: enrich, redact, limit, derive; then store and spool.

pub mod config;
