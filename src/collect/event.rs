//! Log records that a collector makes: what a number cannot say, such as who blocks whom.

use crate::signal::record::{Record, Text, Value};

/// One log record with an `event.name`.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its `event.name`, such as `postgresql.blocked_session`.
    pub name: &'static str,
    /// When, in Unix nanoseconds; 0: when the round ended.
    pub nanos: u64,
    /// OTLP severity number; 9 is INFO, 13 WARN, 17 ERROR.
    pub severity: u8,
    /// One sentence for people.
    pub body: String,
    /// Everything else.
    pub attributes: Vec<(&'static str, Detail)>,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Detail {
    /// A text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Double(f64),
}

impl Event {
    /// Fills `record` with it; the line that goes with the record is the body.
    pub fn fill(&self, record: &mut Record) {
        record.clear();
        record.severity = self.severity;
        record.severity_text = Text::Fixed(match self.severity {
            17.. => "ERROR",
            13..=16 => "WARN",
            _ => "INFO",
        });
        record.body = Text::of(&self.body, &self.body);
        record.event_name = Text::Fixed(self.name);
        // Loki drops OTLP's own field.
        record.put(Text::Fixed("event.name"), Value::Text(Text::Fixed(self.name)));
        for (name, detail) in &self.attributes {
            let value = match detail {
                Detail::Text(text) => Value::Text(record.keep(text)),
                Detail::Int(int) => Value::Int(*int),
                Detail::Double(double) => Value::Double(*double),
            };
            record.put(Text::Fixed(name), value);
        }
    }
}

impl From<&str> for Detail {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Detail {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<f64> for Detail {
    fn from(number: f64) -> Self {
        Self::Double(number)
    }
}

impl From<i64> for Detail {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}
