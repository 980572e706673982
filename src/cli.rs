//! The subcommands.

pub mod check;
pub mod metrics;
pub mod print;
pub mod reach;
pub mod reload;
pub mod status;
