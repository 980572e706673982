//! Prometheus' test language (promqltest/README.md), read into statements.

use plimsoll::query::notation::{self, Series};

/// One statement with its line.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) line: usize,
    pub(crate) what: What,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    Clear,
    /// Step in milliseconds, and the series; those that cannot be read here (native histograms) by their text.
    Load {
        step: i64,
        series: Vec<Result<Series, String>>,
        native: bool,
    },
    Eval(Box<Eval>),
}

/// One evaluation and what is expected of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Eval {
    pub(crate) query: String,
    pub(crate) when: When,
    pub(crate) ordered: bool,
    pub(crate) fail: Option<Texts>,
    pub(crate) warn: Remarks,
    pub(crate) info: Remarks,
    pub(crate) scalar: Option<f64>,
    pub(crate) text: Option<String>,
    /// Bounds and step of an expected range vector.
    pub(crate) vector: Option<(i64, i64, i64)>,
    pub(crate) series: Vec<Series>,
    /// A line of the expectation that cannot be read here: a native histogram.
    pub(crate) native: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) enum When {
    #[default]
    Never,
    Instant(i64),
    Range(i64, i64, i64),
}

/// Which remarks are expected.
#[derive(Debug, Clone, Default)]
pub(crate) struct Remarks {
    pub(crate) none: bool,
    pub(crate) some: Vec<Texts>,
}

/// What a text must be.
#[derive(Debug, Clone)]
pub(crate) enum Texts {
    Any,
    Exactly(String),
    Matching(regex::Regex),
}

impl Texts {
    pub(crate) fn fits(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(wanted) => text == wanted,
            Self::Matching(regex) => regex.is_match(text),
        }
    }
}

/// Reads a file.
pub(crate) fn read(text: &str) -> Vec<Statement> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut out = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        if line.is_empty() || line.starts_with('#') {
            at += 1;
            continue;
        }
        let block = lines[at + 1..].iter().take_while(|line| !line.is_empty()).count();
        let body: Vec<&str> =
            lines[at + 1..=at + block].iter().copied().filter(|line| !line.starts_with('#')).collect();
        let what = if line == "clear" {
            // It has no body: what follows is a statement of its own.
            out.push(Statement { line: at + 1, what: What::Clear });
            at += 1;
            continue;
        } else if let Some(rest) = line.strip_prefix("load") {
            load(rest, &body)
        } else if let Some(rest) = line.strip_prefix("eval") {
            What::Eval(Box::new(eval(rest, &body)))
        } else {
            panic!("line {}: no statement: {line}", at + 1);
        };
        out.push(Statement { line: at + 1, what });
        at += block + 1;
    }
    out
}

fn load(head: &str, body: &[&str]) -> What {
    let native = head.starts_with("_with_nhcb");
    let step = duration(head.trim_start_matches("_with_nhcb").trim());
    let series = body.iter().map(|line| notation::series(line).map_err(|_| (*line).to_owned())).collect();
    What::Load { step, series, native }
}

fn eval(head: &str, body: &[&str]) -> Eval {
    let (suffix, rest) = head.split_once(char::is_whitespace).unwrap();
    let rest = rest.trim();
    let mut eval = Eval::default();
    match suffix {
        "_fail" => eval.fail = Some(Texts::Any),
        "_warn" => eval.warn.some.push(Texts::Any),
        "_info" => eval.info.some.push(Texts::Any),
        "_ordered" => eval.ordered = true,
        _ => {}
    }
    if let Some(rest) = rest.strip_prefix("instant") {
        let rest = rest.trim();
        let (at, query) = match rest.strip_prefix("at ") {
            Some(rest) => rest.trim().split_once(char::is_whitespace).unwrap(),
            None => ("0", rest),
        };
        eval.when = When::Instant(duration(at));
        eval.query = query.trim().to_owned();
    } else {
        let words = regex::Regex::new(r"^range\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)\s+(.+)$").unwrap();
        let found = words.captures(rest).unwrap_or_else(|| panic!("{rest}"));
        eval.when = When::Range(duration(&found[1]), duration(&found[2]), duration(&found[3]));
        eval.query = found[4].to_owned();
    }
    for line in body {
        expectation(&mut eval, line);
    }
    eval
}

fn expectation(eval: &mut Eval, line: &str) {
    let spaces = regex::Regex::new(r"\s+").unwrap();
    if let Some(rest) = line.strip_prefix("expect string ") {
        eval.text = Some(unquoted(rest.trim()));
    } else if let Some(rest) = line.strip_prefix("expect range vector ") {
        let words: Vec<&str> = spaces.split(rest.trim()).collect();
        eval.vector = Some((duration(words[1]), duration(words[3]), duration(words[5])));
    } else if let Some(rest) = line.strip_prefix("expect ") {
        let (word, texts) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
        let texts = texts.trim();
        let texts = if let Some(text) = texts.strip_prefix("msg:") {
            Texts::Exactly(text.trim().to_owned())
        } else if let Some(text) = texts.strip_prefix("regex:") {
            Texts::Matching(regex::Regex::new(text.trim()).unwrap())
        } else {
            Texts::Any
        };
        match word {
            "ordered" => eval.ordered = true,
            "fail" => eval.fail = Some(texts),
            "warn" => eval.warn.some.push(texts),
            "info" => eval.info.some.push(texts),
            "no_warn" => eval.warn.none = true,
            "no_info" => eval.info.none = true,
            other => panic!("unknown expectation {other}"),
        }
    } else if let Some(rest) = line.strip_prefix("expected_fail_message ") {
        eval.fail = Some(Texts::Exactly(rest.trim().to_owned()));
    } else if let Some(rest) = line.strip_prefix("expected_fail_regexp ") {
        eval.fail = Some(Texts::Matching(regex::Regex::new(rest.trim()).unwrap()));
    } else if let Ok([Some(number)]) = notation::points(line).as_deref() {
        eval.scalar = Some(*number);
    } else {
        match notation::series(line) {
            Ok(series) => eval.series.push(series),
            Err(_) => eval.native = true,
        }
    }
}

/// Go's quoted text.
fn unquoted(text: &str) -> String {
    let labels = notation::labels(&format!("{{a={text}}}"));
    labels.unwrap_or_else(|error| panic!("{text}: {error}")).get("a").to_owned()
}

/// Milliseconds of `1h30m`, `90` or `-1m`.
pub(crate) fn duration(text: &str) -> i64 {
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds * 1e3).round() as i64;
    }
    let (sign, mut rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or_else(|| panic!("{text}"));
        let number: f64 = rest[..digits].parse().unwrap_or_else(|_| panic!("{text}"));
        rest = &rest[digits..];
        let units = [("ms", 1.0), ("s", 1e3), ("m", 6e4), ("h", 36e5), ("d", 864e5), ("w", 6048e5), ("y", 31_536e6)];
        let (unit, millis) = units.iter().find(|(unit, _)| rest.starts_with(unit)).unwrap_or_else(|| panic!("{text}"));
        total += number * millis;
        rest = &rest[unit.len()..];
    }
    sign * total.round() as i64
}
