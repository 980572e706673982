//! Keeps frames on disk until they are delivered.

pub mod config;
