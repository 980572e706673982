//! The metrics that are made from log lines, as a source of their own.

use std::sync::Arc;

use async_trait::async_trait;

use super::{CollectError, Collector};
use crate::pipeline::derive::Derived;
use crate::signal::metrics::{Desc, Samples};

/// Reads what the lines of one entry of `logs.files` added up to.
pub struct FromLogs {
    derived: Arc<Derived>,
}

impl FromLogs {
    /// Of `derived`.
    pub fn new(derived: Arc<Derived>) -> Self {
        Self { derived }
    }
}

#[async_trait]
impl Collector for FromLogs {
    fn metrics(&self) -> &'static [Desc] {
        &[]
    }

    async fn collect(&mut self, out: &mut Samples) -> Result<(), CollectError> {
        self.derived.put(out);
        Ok(())
    }
}
