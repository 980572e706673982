//! The tailer's way into the pipeline: one treatment for each group of files.

use std::io;

use super::{Refused, Sink};
use crate::pipeline::{Pipeline, PushError, Treatment};
use crate::signal::frame::Frame;
use crate::signal::logs::LogBatch;
use crate::signal::record::Record;

/// Hands records to the treatment of their group and frames to the pipeline.
pub struct Intake {
    pipeline: Pipeline,
    treatments: Vec<Treatment>,
}

impl Intake {
    /// `treatments` stand in the order of the groups.
    pub fn new(pipeline: Pipeline, treatments: Vec<Treatment>) -> Self {
        Self { pipeline, treatments }
    }
}

impl Sink for Intake {
    fn emit(&mut self, group: usize, record: &mut Record, line: &str, nanos: u64, batch: &mut LogBatch) {
        if let Some(treatment) = self.treatments.get(group) {
            treatment.emit(record, line, nanos, batch);
        }
    }

    fn seal(&mut self, batch: &mut LogBatch) -> io::Result<Frame> {
        self.pipeline.seal(batch)
    }

    fn push(&mut self, frame: &Frame) -> Result<(), Refused> {
        self.pipeline.push(frame).map_err(|error| match error {
            PushError::Full => Refused::Full,
            PushError::Disk(why) => Refused::Failed(why),
        })
    }
}
