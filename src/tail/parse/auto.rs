//! Which format a file is written in, by its first lines.
//!
//! Each line is tried with all formats; a format that reads a line scores. Of formats that score the same the more
//! special one wins (a Postgres jsonlog is also JSON, HAProxy's lines are also syslog). It is decided after three
//! lines when they agree, after 20 lines at the latest, and never again.

use super::{Format, Tools, haproxy, logfmt, postgres, syslog};
use crate::signal::record::Record;

/// How often each format has read a line.
#[derive(Debug, Default)]
pub(super) struct Scores {
    hits: [u8; FORMATS.len()],
    lines: u8,
}

/// One bit per format of [`FORMATS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hits(u8);

/// The formats that read this line. The record is used as room.
pub(super) fn hits(line: &str, record: &mut Record, tools: &mut Tools) -> Hits {
    let mut hits = 0;
    for (bit, format) in FORMATS.iter().enumerate() {
        record.clear();
        let hit = match format {
            Format::Postgres => postgres::is_certain(line, record, &mut tools.clock),
            Format::Haproxy => haproxy::is_traffic(line, record, &mut tools.clock),
            Format::Syslog => syslog::is_certain(line, record, &mut tools.clock),
            Format::Logfmt => logfmt::is_certain(line),
            format => tools.parse(*format, line, record),
        };
        hits |= u8::from(hit) << bit;
    }
    Hits(hits)
}

impl Scores {
    /// Counts a line's hits. The format to read this line with: of those that hit it the best so far, else text.
    pub(super) fn add(&mut self, hits: Hits) -> Format {
        self.lines += 1;
        for (bit, count) in self.hits.iter_mut().enumerate() {
            *count += hits.0 >> bit & 1;
        }
        self.best(hits.0).map_or(Format::Text, |(format, _)| format)
    }

    /// The file's format, if it is clear or has to be.
    pub(super) fn decide(&self) -> Option<Format> {
        let (format, hits) = self.best(u8::MAX).unwrap_or((Format::Text, 0));
        let agreed = hits == self.lines && hits >= AGREE;
        if agreed || hits >= SURE {
            return Some(format);
        }
        // Lines of another kind go out as text in any format, so a quarter suffices where a hit is no accident.
        let enough = if format == Format::Logfmt { self.lines / 2 } else { self.lines / 4 };
        (self.lines >= LINES).then_some(if hits >= enough && hits > 0 { format } else { Format::Text })
    }

    fn best(&self, among: u8) -> Option<(Format, u8)> {
        let scored = FORMATS.iter().zip(self.hits).enumerate();
        let mut best = None;
        for (bit, (format, hits)) in scored {
            if among >> bit & 1 == 1 && hits > best.map_or(0, |(_, most)| most) {
                best = Some((*format, hits));
            }
        }
        best
    }
}

/// The more special before the more general.
const FORMATS: [Format; 6] =
    [Format::Postgres, Format::Json, Format::Haproxy, Format::Nginx, Format::Syslog, Format::Logfmt];
/// Lines after which it is decided when all agree.
const AGREE: u8 = 3;
/// Hits that suffice whatever the other lines are.
const SURE: u8 = 10;
/// Lines after which it is decided.
const LINES: u8 = 20;

#[cfg(test)]
mod tests;
