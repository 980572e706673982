//! Plimsoll: one small program per server that shows what the box is doing and ships it.
//!
//! The folder list is the way of the data: `tail`, `collect` bring telemetry, `pipeline` takes it in one
//! plain call, `spool` keeps it until it is delivered, `export` delivers it, `status`, `control`, `web` and
//! `cli` show it. Imports point one way; `tests/layers.rs` holds the order.

pub mod agent;
pub mod alert;
pub mod base;
pub mod cli;
pub mod collect;
pub mod config;
pub mod control;
pub mod export;
pub mod notify;
pub mod pipeline;
pub mod query;
pub mod signal;
pub mod spool;
pub mod status;
pub mod store;
pub mod tail;
pub mod web;
