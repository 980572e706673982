//! Reads log files and the journal.

pub mod config;
