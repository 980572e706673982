//! Sends what the spool holds to its destinations.

pub mod config;
