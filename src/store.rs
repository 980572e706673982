//! Keeps recent series and logs to be asked.

pub mod config;
