//! The metrics that are made from the log lines of one service, as a source of their own.

use std::sync::Arc;

use async_trait::async_trait;

use super::{CollectError, Collector};
use crate::pipeline::derive::Derived;
use crate::signal::metrics::Samples;

/// Reads what the lines added up to.
pub struct FromLogs {
    derived: Vec<Arc<Derived>>,
}

impl FromLogs {
    /// Of `derived`.
    pub fn new(derived: Vec<Arc<Derived>>) -> Self {
        Self { derived }
    }
}

#[async_trait]
impl Collector for FromLogs {
    async fn collect(&mut self, out: &mut Samples) -> Result<(), CollectError> {
        self.derived.iter().for_each(|derived| derived.put(out));
        Ok(())
    }
}
