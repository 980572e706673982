//! Reads log files and the journal.

pub mod config;
pub mod parse;
