//! Opens an export request as far as its records, to count them or to halve it.
//!
//! A request that is too large, or that holds one point which the destination refuses, is sent in halves. Only the
//! envelopes are opened (`opentelemetry/proto/{logs,metrics,trace}/v1` and `collector/*/v1`); records are copied as
//! they lie, and everything beside them goes with both halves. What is read may be hostile: it was received, or lay
//! on a disk.

use super::frame::Signal;
use super::wire;

#[cfg(test)]
mod tests;

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its number.
    pub number: u64,
    /// Content of a string, of bytes or of a message; `None` for numbers.
    pub content: Option<&'a [u8]>,
    /// A number as it stands; 0 for what has content.
    pub value: u64,
    /// All of it, with its tag.
    whole: &'a [u8],
}

/// Bytes that are no protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no OTLP request")]
pub struct Malformed;

/// A request in two parts, each with at least one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halves {
    /// The first records.
    pub first: Vec<u8>,
    /// How many.
    pub first_records: u64,
    /// The others.
    pub second: Vec<u8>,
    /// How many.
    pub second_records: u64,
}

/// Number of log records, metric points or spans in the request `raw`.
///
/// # Errors
/// `raw` is no request.
pub fn count(signal: Signal, raw: &[u8]) -> Result<u64, Malformed> {
    count_below(levels(signal), raw)
}

/// Halves the request `raw` by its records, in their order; `None` when it holds fewer than two.
///
/// # Errors
/// `raw` is no request.
pub fn halve(signal: Signal, raw: &[u8]) -> Result<Option<Halves>, Malformed> {
    let records = count(signal, raw)?;
    if records < 2 {
        return Ok(None);
    }
    let middle = records / 2;
    let take = |from, to| {
        let mut out = Vec::with_capacity(raw.len() / 2 + raw.len() / 8);
        Range { from, to, at: 0 }.copy(levels(signal), raw, &mut out).map(|_| out)
    };
    Ok(Some(Halves {
        first: take(0, middle)?,
        first_records: middle,
        second: take(middle, records)?,
        second_records: records - middle,
    }))
}

/// The fields of `message`, one after the other; ends with the first that is malformed.
pub fn fields(message: &[u8]) -> impl Iterator<Item = Result<Field<'_>, Malformed>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = field(&mut rest);
        if field.is_err() {
            rest = &[];
        }
        Some(field)
    })
}

/// Field numbers from the request down to its records; several are the branches of a `oneof`.
type Levels = &'static [&'static [u64]];

fn levels(signal: Signal) -> Levels {
    match signal {
        // resource_logs, scope_logs, log_records; resource_spans, scope_spans, spans.
        Signal::Logs | Signal::Traces => &[&[1], &[2], &[2]],
        // resource_metrics, scope_metrics, metrics; gauge, sum, histogram, exponential_histogram, summary; data_points.
        Signal::Metrics => &[&[1], &[2], &[2], &[5, 7, 9, 10, 11], &[1]],
    }
}

fn count_below(levels: Levels, message: &[u8]) -> Result<u64, Malformed> {
    let Some((numbers, deeper)) = levels.split_first() else { return Ok(1) };
    let mut sum = 0;
    for field in fields(message) {
        let field = field?;
        if let Some(content) = field.content.filter(|_| numbers.contains(&field.number)) {
            sum += count_below(deeper, content)?;
        }
    }
    Ok(sum)
}

/// Which records are copied.
struct Range {
    from: u64,
    to: u64,
    /// Records met so far.
    at: u64,
}

impl Range {
    /// Copies `message` with the records of the range only; false when it has none of them.
    fn copy(&mut self, levels: Levels, message: &[u8], out: &mut Vec<u8>) -> Result<bool, Malformed> {
        let Some((numbers, deeper)) = levels.split_first() else {
            let taken = (self.from..self.to).contains(&self.at);
            self.at += 1;
            out.extend_from_slice(if taken { message } else { &[] });
            return Ok(taken);
        };
        let mut any = false;
        for field in fields(message) {
            let field = field?;
            let Some(content) = field.content.filter(|_| numbers.contains(&field.number)) else {
                out.extend_from_slice(field.whole);
                continue;
            };
            let before = out.len();
            // Numbers up to 15 have a tag of one byte, and all of ours are below.
            let mark = wire::open(out, (field.number << 3) as u8 | LENGTH_DELIMITED);
            if self.copy(deeper, content, out)? {
                wire::close(out, mark);
                any = true;
            } else {
                // An envelope without records is refused by some.
                out.truncate(before);
            }
        }
        Ok(any)
    }
}

fn field<'a>(rest: &mut &'a [u8]) -> Result<Field<'a>, Malformed> {
    let start = *rest;
    let tag = varint(rest)?;
    let number = tag >> 3;
    if number == 0 || tag > u64::from(u32::MAX) {
        return Err(Malformed);
    }
    let (content, value) = match tag as u8 & 7 {
        0 => (None, varint(rest)?),
        1 => (None, little(take(rest, 8)?)),
        LENGTH_DELIMITED => {
            let len = usize::try_from(varint(rest)?).map_err(|_| Malformed)?;
            (Some(take(rest, len)?), 0)
        }
        5 => (None, little(take(rest, 4)?)),
        // Groups (3, 4) were never part of OTLP.
        _ => return Err(Malformed),
    };
    Ok(Field { number, content, value, whole: &start[..start.len() - rest.len()] })
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], Malformed> {
    let (taken, left) = rest.split_at_checked(len).ok_or(Malformed)?;
    *rest = left;
    Ok(taken)
}

fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0;
    for index in 0..10 {
        let (byte, left) = rest.split_first().ok_or(Malformed)?;
        *rest = left;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Malformed)
}

const LENGTH_DELIMITED: u8 = 2;
