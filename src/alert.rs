//! Prometheus' rule files, evaluated on the box as Prometheus would: groups, states, restore.

pub mod config;
pub mod engine;
pub mod group;
pub mod persist;
pub mod presence;
pub mod rules;
pub mod state;
pub mod template;
pub mod testing;
pub mod view;
