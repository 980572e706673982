//! The currency of the program: records, samples, resources and the OTLP bytes they become.
//!
//! A log line becomes a [`record::Record`] (spans into the line, nothing owned), is written once into a
//! [`logs::LogBatch`] as OTLP wire bytes and sealed to a [`frame::Frame`]. A collector fills
//! [`metrics::Samples`], which become a frame in the same way. The writers are our own, because building
//! `opentelemetry-proto` structs first costs six times as much; tests compare them with that crate.

pub mod frame;
pub mod logs;
pub mod metrics;
pub mod pack;
pub mod record;
pub mod resource;
pub mod split;
pub mod wire;
