//! The notation of series in Prometheus' tests: `metric{a="b"}` and `1+0x6 _x3 stale`.
//!
//! See "Series" in promtool's documentation of unit tests. Native histograms (`{{…}}`) are refused by name.

use super::QueryError;
use super::lex::unquoted;
use crate::store::Labels;
use crate::store::labels::NAME;
use crate::store::sample::STALE;

/// Points of one series: a hostile repetition ends here.
pub const MAX_POINTS: usize = 1_000_000;

/// A series and its points, one for each step; `None`: no sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its labels, the name among them.
    pub labels: Labels,
    /// Its points; stale markers have [`STALE`]'s bits.
    pub points: Vec<Option<f64>>,
}

/// Reads `metric{a="b"} 1 2+1x3`: labels, and points behind them.
///
/// # Errors
/// [`QueryError::Parse`] with the column.
pub fn series(text: &str) -> Result<Series, QueryError> {
    let mut reader = Reader { text, at: 0 };
    let labels = reader.labels()?;
    let points = reader.points()?;
    Ok(Series { labels, points })
}

/// Reads labels alone.
///
/// # Errors
/// [`QueryError::Parse`] with the column.
pub fn labels(text: &str) -> Result<Labels, QueryError> {
    let mut reader = Reader { text, at: 0 };
    let labels = reader.labels()?;
    reader.space();
    if reader.at < text.len() { Err(reader.fault("nothing more is expected here")) } else { Ok(labels) }
}

/// Reads points alone.
///
/// # Errors
/// [`QueryError::Parse`] with the column.
pub fn points(text: &str) -> Result<Vec<Option<f64>>, QueryError> {
    Reader { text, at: 0 }.points()
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn fault(&self, what: impl Into<String>) -> QueryError {
        let (line, column) = super::notes::position(self.text, self.at);
        QueryError::Parse { line, column, what: what.into() }
    }

    fn take(&mut self, what: &str) -> bool {
        let taken = self.rest().starts_with(what);
        if taken {
            self.at += what.len();
        }
        taken
    }

    fn labels(&mut self) -> Result<Labels, QueryError> {
        self.space();
        let mut pairs: Vec<(String, String)> = Vec::new();
        let length = name_end(self.rest(), true);
        if length > 0 {
            pairs.push((NAME.to_owned(), self.rest()[..length].to_owned()));
            self.at += length;
        }
        self.space();
        if self.rest().starts_with("{{") || !self.take("{") {
            return if pairs.is_empty() {
                Err(self.fault("a series is expected: metric{label=\"value\"}"))
            } else {
                Ok(Labels::new(pairs))
            };
        }
        loop {
            self.space();
            if self.take("}") {
                return Ok(Labels::new(pairs));
            }
            pairs.push(self.pair()?);
            self.space();
            if !self.take(",") && !self.rest().starts_with('}') {
                return Err(self.fault("`,` or `}` is expected"));
            }
        }
    }

    /// `name="value"`, or the quoted name of the metric alone.
    fn pair(&mut self) -> Result<(String, String), QueryError> {
        let name = if self.rest().starts_with(['"', '\'', '`']) {
            let name = self.quoted()?;
            self.space();
            if self.rest().starts_with([',', '}']) {
                return Ok((NAME.to_owned(), name));
            }
            name
        } else {
            let length = name_end(self.rest(), false);
            if length == 0 {
                return Err(self.fault("a label's name is expected"));
            }
            let name = self.rest()[..length].to_owned();
            self.at += length;
            name
        };
        self.space();
        if !self.take("=") {
            return Err(self.fault("`=` is expected"));
        }
        self.space();
        if !self.rest().starts_with(['"', '\'', '`']) {
            return Err(self.fault("a value in quotes is expected"));
        }
        Ok((name, self.quoted()?))
    }

    fn quoted(&mut self) -> Result<String, QueryError> {
        let Some(length) = quoted_length(self.rest()) else {
            return Err(self.fault("a text in quotes that ends is expected"));
        };
        let text = unquoted(&self.rest()[..length]).map_err(|what| self.fault(what))?;
        self.at += length;
        Ok(text)
    }

    fn points(&mut self) -> Result<Vec<Option<f64>>, QueryError> {
        let mut out = Vec::new();
        loop {
            self.space();
            if self.rest().is_empty() {
                return Ok(out);
            }
            if self.rest().starts_with("{{") {
                return Err(self.fault("native histograms are not read here"));
            }
            let length = self.rest().find(char::is_whitespace).unwrap_or(self.rest().len());
            let item = &self.rest()[..length];
            let read = item_points(item, &mut out);
            if let Err(what) = read {
                return Err(self.fault(what));
            }
            self.at += length;
        }
    }
}

/// The bytes of the name at the start; a metric's may have colons.
fn name_end(text: &str, metric: bool) -> usize {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || (metric && c == ':');
    if text.starts_with(|c: char| c.is_ascii_digit()) { 0 } else { text.find(|c| !part(c)).unwrap_or(text.len()) }
}

/// The bytes of the quoted text at the start, its quotes among them.
fn quoted_length(text: &str) -> Option<usize> {
    let quote = text.chars().next()?;
    let mut letters = text.char_indices().skip(1);
    while let Some((at, c)) = letters.next() {
        if c == '\\' && quote != '`' {
            letters.next();
        } else if c == quote {
            return Some(at + 1);
        }
    }
    None
}

/// `5`, `5x3`, `5+2x3`, `_`, `_x3`, `stale`.
fn item_points(item: &str, out: &mut Vec<Option<f64>>) -> Result<(), String> {
    let more = |out: &Vec<Option<f64>>, count: usize| {
        let fits = out.len().saturating_add(count) <= MAX_POINTS;
        if fits { Ok(()) } else { Err(format!("a series of more than {MAX_POINTS} points")) }
    };
    if let Some(rest) = item.strip_prefix('_') {
        let count = if rest.is_empty() { 1 } else { times(rest)? };
        more(out, count)?;
        out.resize(out.len() + count, None);
        return Ok(());
    }
    if let Some(rest) = item.strip_prefix("stale") {
        let count = if rest.is_empty() { 1 } else { times(rest)? + 1 };
        more(out, count)?;
        out.resize(out.len() + count, Some(STALE));
        return Ok(());
    }
    let (start, rest) = number(item)?;
    if rest.is_empty() {
        more(out, 1)?;
        out.push(Some(start));
        return Ok(());
    }
    let (step, rest) = match rest.strip_prefix('+') {
        Some(rest) => number(rest)?,
        None => match rest.strip_prefix('-') {
            Some(rest) => number(rest).map(|(step, rest)| (-step, rest))?,
            None => (0.0, rest),
        },
    };
    let count = times(rest)?;
    more(out, count + 1)?;
    // Added up, as Prometheus does: what rounding takes is the same.
    let mut value = start;
    for _ in 0..=count {
        out.push(Some(value));
        value += step;
    }
    Ok(())
}

/// `x3`.
fn times(text: &str) -> Result<usize, String> {
    let count = text.strip_prefix('x').and_then(|digits| digits.parse().ok());
    count.filter(|count| *count <= MAX_POINTS).ok_or_else(|| format!("`{}` is no repetition such as x5", shown(text)))
}

/// The number at the start, and what follows it.
fn number(text: &str) -> Result<(f64, &str), String> {
    let bytes = text.as_bytes();
    let mut at = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let word = &text[at..];
    for (name, value) in [("Inf", f64::INFINITY), ("inf", f64::INFINITY), ("NaN", f64::NAN), ("nan", f64::NAN)] {
        if let Some(rest) = word.strip_prefix(name) {
            return Ok((if text.starts_with('-') { -value } else { value }, rest));
        }
    }
    while at < bytes.len() {
        let exponent = matches!(bytes[at], b'e' | b'E') && matches!(bytes.get(at + 1), Some(b'0'..=b'9' | b'+' | b'-'));
        match bytes[at] {
            b'0'..=b'9' | b'.' => at += 1,
            _ if exponent => at += 2,
            _ => break,
        }
    }
    let value = text[..at].parse().map_err(|_| format!("`{}` is no number", shown(text)))?;
    Ok((value, &text[at..]))
}

fn shown(text: &str) -> &str {
    &text[..text.floor_char_boundary(40)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_read_as_promtool_reads_them() {
        let read = series("m{a=\"b\", \"c d\"='e'} 1+2x2 _ _x2 stale 3x1 -1-1x1 NaN 1e3 -Inf").unwrap();
        assert_eq!(read.labels.to_string(), "m{a=\"b\", \"c d\"=\"e\"}");
        let shown: Vec<String> = read.points.iter().map(|point| format!("{point:?}")).collect();
        let wanted = [
            "Some(1.0)",
            "Some(3.0)",
            "Some(5.0)",
            "None",
            "None",
            "None",
            "Some(NaN)",
            "Some(3.0)",
            "Some(3.0)",
            "Some(-1.0)",
            "Some(-2.0)",
            "Some(NaN)",
            "Some(1000.0)",
            "Some(-inf)",
        ];
        assert_eq!(shown, wanted);
        assert!(crate::store::sample::is_stale(read.points[6].unwrap()));
        assert!(!crate::store::sample::is_stale(read.points[11].unwrap()));
    }

    #[test]
    fn what_is_no_series_is_told_with_its_column() {
        let column = |text: &str| match series(text) {
            Err(QueryError::Parse { column, .. }) => column,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(column("m{a=b} 1"), 5);
        assert_eq!(column("m 1 2y"), 5);
        assert_eq!(column("m {{schema:1}}"), 3);
        assert_eq!(column("m 1x99999999999"), 3);
        assert_eq!(column("m 1x999999 1x999999"), 12);
        assert_eq!(column(""), 1);
    }
}
