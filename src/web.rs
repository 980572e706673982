//! HTTP: the page, `/metrics`, health.

pub mod config;
