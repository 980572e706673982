//! Prometheus' text format 0.0.4 and OpenMetrics 1.0, line by line over a borrowed body.
//!
//! Sources: prometheus.io/docs/instrumenting/exposition_formats and the OpenMetrics specification. As with Prometheus one
//! line that is not understood spoils the whole answer, and OpenMetrics ends with `# EOF`. What cannot be misunderstood
//! is read though Prometheus refuses it: `\r\n`, OpenMetrics' types in the older format, space where none belongs.
//! Names in quotes (`{"a.b", c="d"}`) are those of Prometheus 3. Nothing is allocated for a line without escapes.

use std::borrow::Cow;

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::collect) enum Type {
    Counter,
    Gauge,
    Histogram,
    Summary,
    /// Untyped and unknown, info, stateset, gaugehistogram: plain numbers.
    Other,
}

/// One line that says something.
#[derive(Debug, PartialEq)]
pub(in crate::collect) enum Line<'a, 'b> {
    /// `# TYPE name type`.
    Type(&'a str, Type),
    /// `# HELP name text`, its escapes as they are written.
    Help(&'a str, &'a str),
    /// A series and its value.
    Sample { name: &'b str, labels: &'b [(Cow<'a, str>, Cow<'a, str>)], value: f64 },
}

/// Why an answer was not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::collect) enum Fault {
    #[error("line {0}: {1}")]
    Line(usize, &'static str),
    #[error("it ends without `# EOF`")]
    Unended,
    #[error("it is no UTF-8")]
    Utf8,
}

/// More labels has no series that is meant to be read.
const MAX_LABELS: usize = 64;
/// Bytes of a name. Prometheus' own default is no bound.
const MAX_NAME: usize = 512;

/// Gives each line of `body` to `visit`.
pub(in crate::collect) fn parse<'a>(
    body: &'a [u8],
    open_metrics: bool,
    visit: &mut dyn FnMut(Line<'a, '_>),
) -> Result<(), Fault> {
    let text = std::str::from_utf8(body).map_err(|_| Fault::Utf8)?;
    let mut labels = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let told = |what| Fault::Line(index + 1, what);
        let line = line.trim_start_matches(BLANK);
        if let Some(comment) = line.strip_prefix('#') {
            if open_metrics && comment == " EOF" {
                return Ok(());
            }
            self::comment(comment, visit).map_err(told)?;
        } else if !line.is_empty() {
            sample(line, open_metrics, &mut labels, visit).map_err(told)?;
        }
    }
    if open_metrics { Err(Fault::Unended) } else { Ok(()) }
}

const BLANK: [char; 2] = [' ', '\t'];

fn comment<'a>(comment: &'a str, visit: &mut dyn FnMut(Line<'a, '_>)) -> Result<(), &'static str> {
    let (word, rest) = word(comment);
    if !matches!(word, "TYPE" | "HELP") {
        return Ok(());
    }
    let rest = rest.trim_start_matches(BLANK);
    let (name, rest) = if rest.starts_with('"') {
        match quoted(rest)? {
            (Cow::Borrowed(name), rest) => (name, rest),
            // A name with escapes: what describes it is left out.
            (Cow::Owned(_), _) => return Ok(()),
        }
    } else {
        self::word(rest)
    };
    let rest = rest.trim_matches(BLANK);
    if word == "HELP" {
        visit(Line::Help(name, rest));
        return Ok(());
    }
    visit(Line::Type(
        name,
        match rest {
            "counter" => Type::Counter,
            "gauge" => Type::Gauge,
            "histogram" => Type::Histogram,
            "summary" => Type::Summary,
            "untyped" | "unknown" | "info" | "stateset" | "gaugehistogram" => Type::Other,
            _ => return Err("unknown type"),
        },
    ));
    Ok(())
}

fn sample<'a>(
    line: &'a str,
    open_metrics: bool,
    labels: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>,
    visit: &mut dyn FnMut(Line<'a, '_>),
) -> Result<(), &'static str> {
    labels.clear();
    let end = line.find(['{', ' ', '\t']).ok_or("a value is missing")?;
    let (mut name, mut rest) = (Cow::Borrowed(&line[..end]), line[end..].trim_start_matches(BLANK));
    if let Some(inside) = rest.strip_prefix('{') {
        let (quoted_name, after) = self::labels(inside, labels)?;
        rest = after;
        if let Some(quoted_name) = quoted_name {
            if !name.is_empty() {
                return Err("two names");
            }
            name = quoted_name;
        } else if !is_name(&name, true) {
            return Err("no name of a metric");
        }
    } else if !is_name(&name, true) {
        return Err("no name of a metric");
    }
    if name.is_empty() || name.len() > MAX_NAME {
        return Err("a name that is empty or longer than 512 bytes");
    }
    let (value, rest) = word(rest);
    let value = number(value).ok_or("the value is no number")?;
    let rest = rest.trim_matches(BLANK);
    // A time stamp, then in OpenMetrics an exemplar: both are left out.
    let stamp = if open_metrics { rest.split('#').next().unwrap_or_default().trim_end() } else { rest };
    if !stamp.is_empty() && stamp.parse::<f64>().is_err() {
        return Err("what follows the value is no time stamp");
    }
    visit(Line::Sample { name: &name, labels, value });
    Ok(())
}

/// The labels up to `}`, and what follows it. A name in quotes without a value is the metric's.
fn labels<'a>(
    mut rest: &'a str,
    out: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>,
) -> Result<(Option<Cow<'a, str>>, &'a str), &'static str> {
    let mut metric = None;
    loop {
        rest = rest.trim_start_matches(BLANK);
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((metric, after));
        }
        let in_quotes = rest.starts_with('"');
        let (name, after) = if in_quotes {
            quoted(rest)?
        } else {
            let end = rest.find(['=', ' ', '\t', '}', ',']).ok_or("labels without `}`")?;
            (Cow::Borrowed(&rest[..end]), &rest[end..])
        };
        let after = after.trim_start_matches(BLANK);
        rest = match after.strip_prefix('=') {
            Some(after) => {
                if name.len() > MAX_NAME || name.is_empty() || !in_quotes && !is_name(&name, false) {
                    return Err("no name of a label");
                }
                let (value, after) = quoted(after.trim_start_matches(BLANK))?;
                if out.len() == MAX_LABELS {
                    return Err("more than 64 labels");
                }
                if out.iter().any(|(known, _)| *known == name) {
                    return Err("a label stands twice");
                }
                out.push((name, value));
                after
            }
            None if in_quotes && metric.is_none() => {
                metric = Some(name);
                after
            }
            None => return Err("a label without a value"),
        };
        rest = rest.trim_start_matches(BLANK);
        if let Some(after) = rest.strip_prefix(',') {
            rest = after;
        } else if !rest.starts_with('}') {
            return Err("labels without `,` or `}`");
        }
    }
}

/// The text in quotes, without its escapes, and what follows it.
fn quoted(text: &str) -> Result<(Cow<'_, str>, &str), &'static str> {
    let inside = text.strip_prefix('"').ok_or("a value without quotes")?;
    let mut from = 0;
    let end = loop {
        let at = memchr::memchr2(b'"', b'\\', &inside.as_bytes()[from..]).ok_or("a quote is not closed")? + from;
        if inside.as_bytes()[at] == b'"' {
            break at;
        }
        from = at + 2;
        if from > inside.len() {
            return Err("a quote is not closed");
        }
    };
    let raw = &inside[..end];
    let value = if memchr::memchr(b'\\', raw.as_bytes()).is_some() { Cow::Owned(plain(raw)) } else { raw.into() };
    Ok((value, &inside[end + 1..]))
}

/// `\n`, `\"` and `\\` as what they stand for; any other backslash is itself.
fn plain(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.clone().next() } else { None }) {
            ('\\', Some(escaped @ ('n' | '"' | '\\'))) => {
                chars.next();
                out.push(if escaped == 'n' { '\n' } else { escaped });
            }
            _ => out.push(c),
        }
    }
    out
}

fn number(text: &str) -> Option<f64> {
    // Go and Rust agree on all that exporters write; Rust takes no sign before NaN, and neither does Go. What is too
    // large Rust takes for infinite.
    let word = || text.bytes().any(|c| c.eq_ignore_ascii_case(&b'i'));
    text.parse().ok().filter(|number: &f64| number.is_finite() || number.is_nan() || word())
}

fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches(BLANK);
    text.split_at(text.find(BLANK).unwrap_or(text.len()))
}

fn is_name(name: &str, colons: bool) -> bool {
    let good = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || colons && c == b':';
    !name.is_empty() && name.bytes().all(good) && !name.as_bytes()[0].is_ascii_digit()
}
