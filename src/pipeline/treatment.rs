//! What happens to each record of one source: redact, bound, derive, then write it under its resource.

use std::sync::Arc;

use super::derive::Derived;
use super::limit;
use super::redact::Redaction;
use crate::signal::logs::LogBatch;
use crate::signal::record::{Record, Text, Value};
use crate::signal::resource::Resource;
use crate::status::Board;

/// One source's settings, made once. Clones are cheap and share the derived metrics.
#[derive(Clone)]
pub struct Treatment {
    resource: Arc<Resource>,
    redaction: Arc<Redaction>,
    derived: Arc<[Arc<Derived>]>,
    board: Board,
}

impl Treatment {
    /// Records go out under `resource`.
    pub fn new(resource: Arc<Resource>, redaction: Redaction, derived: Vec<Arc<Derived>>, board: Board) -> Self {
        Self { resource, redaction: Arc::new(redaction), derived: derived.into(), board }
    }

    /// Who its records come from.
    pub fn resource(&self) -> &Arc<Resource> {
        &self.resource
    }

    /// Writes `record`, which happened at `nanos` (Unix), into `batch`.
    pub fn emit(&self, record: &mut Record, line: &str, nanos: u64, batch: &mut LogBatch) {
        self.redaction.apply(record, line);
        let cut = limit::apply(record, line, &self.resource);
        if cut != limit::Cut::default() {
            self.count(cut, record, line);
        }
        self.derived.iter().for_each(|derived| derived.observe(record, line));
        batch.push(&self.resource, nanos, record, line);
    }

    fn count(&self, cut: limit::Cut, record: &Record, line: &str) {
        let path = |(name, value): &(Text, Value)| match value {
            Value::Text(text) if record.text(line, *name) == "log.file.path" => {
                Some(record.text(line, *text).to_owned())
            }
            _ => None,
        };
        let place = record.attributes.iter().find_map(path).unwrap_or_else(|| self.resource.service().to_owned());
        let max = limit::MAX_ATTRIBUTES;
        if cut.dropped > 0 {
            self.board.lost(
                "pipeline",
                "attributes_dropped",
                cut.dropped,
                format!("{place}: a line with more than {max} attributes; its body is whole"),
            );
        }
        if cut.shortened > 0 {
            self.board.lost(
                "pipeline",
                "attributes_cut",
                cut.shortened,
                format!("{place}: a line with more than 48 KiB of attributes; its body is whole"),
            );
        }
    }
}
