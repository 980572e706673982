//! Log formats: from one line to one [`Record`], without an allocation once the record is warm.
//!
//! Each format is one file with a pure function from text to spans. A line that is not of its file's format is not
//! lost: it goes out as plain text, and [`Parser::parse`] says so. Everything here is fed by whoever can write to a
//! log, so nothing recurses, panics or grows beyond the line.

mod auto;
mod haproxy;
mod json;
mod logfmt;
mod names;
mod nginx;
mod postgres;
mod request;
mod severity;
mod syslog;
mod text;
mod time;

use serde::Deserialize;

pub use self::time::Clock;
use crate::signal::record::Record;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object per line.
    Json,
    /// `key=value` pairs.
    Logfmt,
    /// nginx and Apache access logs (common, combined, with more fields), nginx error log.
    Nginx,
    /// Postgres' own log: stderr with a `log_line_prefix`, csvlog, jsonlog.
    Postgres,
    /// HAProxy's `httplog` and `tcplog`.
    Haproxy,
    /// RFC 3164, RFC 5424, rsyslog's and journald's files.
    Syslog,
    /// Anything else.
    Text,
}

impl Format {
    /// The name in the config.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Logfmt => "logfmt",
            Self::Nginx => "nginx",
            Self::Postgres => "postgres",
            Self::Haproxy => "haproxy",
            Self::Syslog => "syslog",
            Self::Text => "text",
        }
    }
}

/// The name of OpenTelemetry's conventions that a field called `name` gets, where it gets one: a config may name either.
pub fn convention(name: &str) -> Option<&'static str> {
    names::convention(name)
}

/// The format of a file as it is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// Decided by the file's first lines.
    #[default]
    Auto,
    /// Told.
    Fixed(Format),
}

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Name {
            Auto,
            Json,
            Logfmt,
            Nginx,
            Postgres,
            Haproxy,
            Syslog,
            Text,
        }
        Ok(match Name::deserialize(deserializer)? {
            Name::Auto => Self::Auto,
            Name::Json => Self::Fixed(Format::Json),
            Name::Logfmt => Self::Fixed(Format::Logfmt),
            Name::Nginx => Self::Fixed(Format::Nginx),
            Name::Postgres => Self::Fixed(Format::Postgres),
            Name::Haproxy => Self::Fixed(Format::Haproxy),
            Name::Syslog => Self::Fixed(Format::Syslog),
            Name::Text => Self::Fixed(Format::Text),
        })
    }
}

/// Parses the lines of one file.
#[derive(Debug)]
pub struct Parser {
    decided: Option<Format>,
    scores: auto::Scores,
    tools: Tools,
}

/// What is kept from line to line.
#[derive(Debug)]
struct Tools {
    clock: Clock,
    room: json::Room,
}

impl Parser {
    /// A parser for one file, with the box's clock and time zone.
    pub fn new(choice: Choice) -> Self {
        Self::with_clock(choice, Clock::system())
    }

    /// The same with a given clock.
    pub fn with_clock(choice: Choice, clock: Clock) -> Self {
        let decided = match choice {
            Choice::Auto => None,
            Choice::Fixed(format) => Some(format),
        };
        Self { decided, scores: auto::Scores::default(), tools: Tools { clock, room: json::Room::default() } }
    }

    /// Fills `record`, which is cleared first, from `line` (without its end). False when the line is not of the
    /// file's format: the record is then the whole line as text, with its time and level where they are plain.
    ///
    /// While the format is not decided, the format that fits best so far is used and the answer is true.
    pub fn parse(&mut self, line: &str, record: &mut Record) -> bool {
        // Spans have 31 bits. Files' lines are cut long before.
        let line = line.get(..line.floor_char_boundary(MAX_LINE)).unwrap_or(line);
        record.clear();
        match self.decided {
            Some(format) => {
                let parsed = self.tools.parse(format, line, record);
                if !parsed {
                    self.tools.plain(line, record);
                }
                parsed
            }
            None => {
                self.guess(line, record);
                true
            }
        }
    }

    /// The format, once it is known. It never changes after that.
    pub fn decided(&self) -> Option<Format> {
        self.decided
    }

    fn guess(&mut self, line: &str, record: &mut Record) {
        if line.trim_ascii().is_empty() {
            return self.tools.plain(line, record);
        }
        let hits = auto::hits(line, record, &mut self.tools);
        let best = self.scores.add(hits);
        self.decided = self.scores.decide();
        record.clear();
        if !self.tools.parse(best, line, record) {
            self.tools.plain(line, record);
        }
    }
}

impl Tools {
    fn parse(&mut self, format: Format, line: &str, record: &mut Record) -> bool {
        match format {
            Format::Json => json::parse(line, record, &mut self.clock, &mut self.room),
            Format::Logfmt => logfmt::parse(line, record, &mut self.clock),
            Format::Nginx => nginx::parse(line, record, &mut self.clock),
            Format::Postgres => postgres::parse(line, record, &mut self.clock, &mut self.room),
            Format::Haproxy => haproxy::parse(line, record, &mut self.clock),
            Format::Syslog => syslog::parse(line, record, &mut self.clock),
            Format::Text => {
                text::parse(line, record, &mut self.clock);
                true
            }
        }
    }

    fn plain(&mut self, line: &str, record: &mut Record) {
        record.clear();
        text::parse(line, record, &mut self.clock);
    }
}

/// More than any line of a file.
const MAX_LINE: usize = 1 << 28;

#[cfg(test)]
mod tests;
