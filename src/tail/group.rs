//! One entry of the settings as the tailer uses it: its glob, its rules, and which of its folders are out of sight.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::status::{Board, Source};

use super::discover::Glob;
use super::lines::{Multiline, Rules};
use super::{GlobError, GroupSettings, Start, parse};

/// Files of a group whose format is told.
const MAX_TOLD: u32 = 20;

/// One entry of the settings, ready.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) index: usize,
    pub(crate) glob: Glob,
    pub(crate) rules: Rules,
    pub(crate) partial_after: Option<u64>,
    pub(crate) format: parse::Choice,
    /// Files whose format was told.
    told: AtomicU32,
    pub(crate) source: Arc<Source>,
    pub(crate) start: Start,
    /// Its first start is over.
    pub(crate) started: bool,
    /// Folders that the latest walk could not list.
    pub(crate) closed: Vec<PathBuf>,
    /// Those of them that no walk could list since the first start: their files were there before it.
    pub(crate) late: Vec<PathBuf>,
}

impl Group {
    pub(crate) fn new(index: usize, settings: &GroupSettings, board: &Board) -> Result<Self, GlobError> {
        let source = board.source(&format!("files {}", settings.path));
        source.kind.set("files");
        let multiline = settings.multiline.as_ref().map(|lines| Multiline {
            start: lines.start.clone(),
            max_lines: lines.max_lines,
            max_bytes: lines.max_bytes,
            timeout: lines.timeout,
        });
        Ok(Self {
            index,
            glob: Glob::new(&settings.path, &settings.exclude)?,
            rules: Rules { max_line: settings.max_line, multiline },
            partial_after: settings.partial_after,
            format: settings.format,
            told: AtomicU32::new(0),
            source,
            start: settings.start,
            started: false,
            closed: Vec::new(),
            late: Vec::new(),
        })
    }

    /// True below a folder that could not be listed: what is there cannot be seen.
    pub(crate) fn hides(&self, path: &Path) -> bool {
        self.closed.iter().any(|folder| path.starts_with(folder))
    }

    /// Says what `auto` decided; of thousands of files only the first ones are told.
    pub(crate) fn tell_format(&self, label: &str, format: parse::Format) {
        if self.told.fetch_add(1, Relaxed) < MAX_TOLD {
            tracing::info!("{label}: lines are read as {}", format.name());
        }
    }
}
