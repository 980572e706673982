//! The functions that templates have: the explicit list, and Prometheus' own. Go's stand in [`super::builtins`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use super::builtins as go;
use super::exec::Run;
use super::printf;
use super::value::{Sample, Value};
use crate::alert::rules::duration;
use crate::base::go::{general, quoted};
use crate::base::re2;

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Param {
    Any,
    Text,
    Vector,
    Sample,
}

impl Param {
    /// Go's name of the type; `None` for any.
    pub(super) fn kind(self) -> Option<&'static str> {
        match self {
            Self::Any => None,
            Self::Text => Some("string"),
            Self::Vector => Some("template.queryResult"),
            Self::Sample => Some("*template.sample"),
        }
    }

    pub(super) fn takes(self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Text => matches!(value, Value::Text(_)),
            Self::Vector => matches!(value, Value::Vector(_)),
            Self::Sample => matches!(value, Value::Sample(_)),
        }
    }
}

type Call = fn(&mut Run<'_, '_>, &[Value]) -> Result<Value, String>;

/// A function.
pub(super) struct Function {
    name: &'static str,
    pub(super) params: &'static [Param],
    /// What any further arguments are.
    pub(super) rest: Option<Param>,
    pub(super) call: Call,
}

impl Function {
    pub(super) fn param(&self, number: usize) -> Param {
        self.params.get(number).copied().or(self.rest).unwrap_or(Param::Any)
    }
}

pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

pub(super) fn exists(name: &str) -> bool {
    find(name).is_some()
}

const fn exact(name: &'static str, params: &'static [Param], call: Call) -> Function {
    Function { name, params, rest: None, call }
}

const fn open(name: &'static str, params: &'static [Param], rest: Param, call: Call) -> Function {
    Function { name, params, rest: Some(rest), call }
}

const A: Param = Param::Any;
const T: Param = Param::Text;

const FUNCTIONS: &[Function] = &[
    open("and", &[A], A, go::last),
    open("or", &[A], A, go::last),
    exact("not", &[A], go::not),
    open("eq", &[A], A, go::eq),
    exact("ne", &[A, A], go::ne),
    exact("lt", &[A, A], go::lt),
    exact("le", &[A, A], go::le),
    exact("gt", &[A, A], go::gt),
    exact("ge", &[A, A], go::ge),
    open("print", &[], A, go::print),
    open("println", &[], A, go::println),
    open("printf", &[T], A, |_, args| Ok(Value::text(printf::printf(&text(args, 0), &args[1..])))),
    exact("len", &[A], go::len),
    open("index", &[A], A, go::index),
    open("slice", &[A], A, go::slice),
    open("html", &[], A, go::html),
    open("js", &[], A, go::js),
    open("urlquery", &[], A, go::urlquery),
    open("call", &[A], A, |_, args| match &args[0] {
        Value::Nothing => Err("call of nil".into()),
        other => Err(format!("non-function {} of type {}", other.print(), other.kind())),
    }),
    exact("query", &[T], query),
    exact("first", &[Param::Vector], first),
    exact("label", &[T, Param::Sample], |_, args| {
        let Value::Sample(sample) = &args[1] else { return Ok(Value::Nothing) };
        Ok(Value::text(sample.labels.get(&text(args, 0))))
    }),
    exact("value", &[Param::Sample], |_, args| {
        let Value::Sample(sample) = &args[0] else { return Ok(Value::Nothing) };
        Ok(Value::Float(sample.value))
    }),
    exact("strvalue", &[Param::Sample], |_, args| {
        let Value::Sample(sample) = &args[0] else { return Ok(Value::Nothing) };
        Ok(Value::text(sample.labels.get("__value__")))
    }),
    exact("sortByLabel", &[T, Param::Vector], sort),
    open("args", &[], A, |_, args| {
        let pairs = args.iter().enumerate().map(|(number, value)| (format!("arg{number}"), value.clone()));
        Ok(Value::Map(Rc::new(pairs.collect::<BTreeMap<_, _>>())))
    }),
    exact("reReplaceAll", &[T, T, T], replace),
    exact("match", &[T, T], |_, args| Ok(Value::Bool(regex(&text(args, 0))?.is_match(&text(args, 1))))),
    exact("title", &[T], |_, args| Ok(Value::text(title(&text(args, 0))))),
    exact("toUpper", &[T], |_, args| Ok(Value::text(text(args, 0).to_uppercase()))),
    exact("toLower", &[T], |_, args| Ok(Value::text(text(args, 0).to_lowercase()))),
    exact("safeHtml", &[T], |_, args| Ok(args[0].clone())),
    exact("urlQueryEscape", &[T], |_, args| Ok(Value::text(escape(&text(args, 0))))),
    exact("stripPort", &[T], |_, args| {
        let host = text(args, 0);
        Ok(split_port(&host).map_or_else(|| args[0].clone(), |(host, _)| Value::text(host)))
    }),
    exact("stripDomain", &[T], |_, args| Ok(Value::text(strip_domain(&text(args, 0))))),
    exact("graphLink", &[T], |_, args| Ok(Value::text(link(&text(args, 0), 0)))),
    exact("tableLink", &[T], |_, args| Ok(Value::text(link(&text(args, 0), 1)))),
    exact("humanize", &[A], |_, args| Ok(Value::text(humanize(float(&args[0])?)))),
    exact("humanize1024", &[A], |_, args| Ok(Value::text(humanize1024(float(&args[0])?)))),
    exact("humanizeDuration", &[A], |_, args| Ok(Value::text(humanize_duration(float(&args[0])?)))),
    exact("humanizePercentage", &[A], |_, args| {
        Ok(Value::text(format!("{}%", general(float(&args[0])? * 100.0, Some(4)))))
    }),
    exact("humanizeTimestamp", &[A], |_, args| {
        let value = float(&args[0])?;
        if !value.is_finite() {
            return Ok(Value::text(general(value, Some(4))));
        }
        Ok(Value::text(time(value)?.print()))
    }),
    exact("toTime", &[A], |_, args| time(float(&args[0])?)),
    exact("toDuration", &[A], |_, args| Ok(Value::Span((float(&args[0])? * 1e9) as i64))),
    exact("now", &[], |run, _| Ok(Value::Float(run.data.now as f64 / 1000.0))),
    exact("parseDuration", &[T], |_, args| {
        let whole = text(args, 0);
        let (sign, bare) = whole.strip_prefix('-').map_or((1.0, &*whole), |rest| (-1.0, rest));
        let parsed = duration::parse(bare).ok_or_else(|| no_duration(bare));
        Ok(Value::Float(sign * parsed?.as_secs_f64()))
    }),
    exact("pathPrefix", &[], |run, _| {
        let url = run.data.external_url;
        let path = url.split_once("://").map_or("", |(_, rest)| rest.find('/').map_or("", |at| &rest[at..]));
        Ok(Value::text(path.split(['?', '#']).next().unwrap_or_default()))
    }),
    exact("externalURL", &[], |run, _| Ok(Value::text(run.data.external_url))),
    // Prometheus has it in pages only; a rule that uses it loads, and gets an empty text.
    open("tmpl", &[T], A, |_, _| Ok(Value::text(""))),
];

/// A method of a time or a duration.
pub(super) fn method(value: &Value, name: &str) -> Option<Value> {
    match (value, name) {
        (Value::Time(millis), "Unix") => Some(Value::Int(millis.div_euclid(1000))),
        (Value::Time(millis), "UnixMilli") => Some(Value::Int(*millis)),
        (Value::Span(nanos), "Seconds") => Some(Value::Float(*nanos as f64 / 1e9)),
        (Value::Span(nanos), "Minutes") => Some(Value::Float(*nanos as f64 / 60e9)),
        (Value::Span(nanos), "Hours") => Some(Value::Float(*nanos as f64 / 3600e9)),
        (Value::Span(nanos), "Milliseconds") => Some(Value::Int(nanos / 1_000_000)),
        (_, "String") => Some(Value::text(value.print())),
        _ => None,
    }
}

fn text(args: &[Value], number: usize) -> Rc<str> {
    if let Some(Value::Text(text)) = args.get(number) { text.clone() } else { "".into() }
}

/// Prometheus' words for what is no duration.
fn no_duration(text: &str) -> String {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let unit = unit.split(|c: char| c.is_ascii_digit()).next().unwrap_or_default();
    let known = ["y", "w", "d", "h", "m", "s", "ms", ""].contains(&unit);
    if known || !text.starts_with(|c: char| c.is_ascii_digit()) {
        return format!("not a valid duration string: {}", quoted(text));
    }
    format!("unknown unit {} in duration {}", quoted(unit), quoted(text))
}

/// A number of any kind as Prometheus converts it.
fn float(value: &Value) -> Result<f64, String> {
    match value {
        Value::Float(float) => Ok(*float),
        Value::Int(int) => Ok(*int as f64),
        Value::Text(text) => {
            let odd = text.is_empty() || text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace);
            let parsed = text.parse().ok().filter(|_| !odd);
            parsed.ok_or_else(|| format!("strconv.ParseFloat: parsing {}: invalid syntax", quoted(text)))
        }
        other => Err(format!("can't convert {} to float", other.kind())),
    }
}

fn query(run: &mut Run<'_, '_>, args: &[Value]) -> Result<Value, String> {
    run.asks()?;
    let mut ask = run.ask.try_borrow_mut().map_err(|_| "queries cannot be nested".to_owned())?;
    let answer = (*ask)(&text(args, 0))?;
    let samples = answer.into_iter().map(|element| Sample { labels: element.labels, value: element.sample.v });
    Ok(Value::Vector(samples.collect()))
}

fn first(_: &mut Run<'_, '_>, args: &[Value]) -> Result<Value, String> {
    match &args[0] {
        Value::Vector(all) if !all.is_empty() => Ok(Value::Sample(all[0].clone())),
        _ => Err("first() called on vector with no elements".into()),
    }
}

fn sort(_: &mut Run<'_, '_>, args: &[Value]) -> Result<Value, String> {
    let Value::Vector(all) = &args[1] else { return Ok(Value::Nothing) };
    let (by, mut sorted) = (text(args, 0), all.to_vec());
    sorted.sort_by(|a, b| a.labels.get(&by).cmp(b.labels.get(&by)));
    Ok(Value::Vector(sorted.into()))
}

fn regex(pattern: &str) -> Result<regex::Regex, String> {
    re2::anywhere(pattern).map_err(|error| format!("error parsing regexp: {error}"))
}

fn replace(_: &mut Run<'_, '_>, args: &[Value]) -> Result<Value, String> {
    let pattern = text(args, 0);
    // Go panics over it, and says so.
    let quote = || if pattern.contains('`') { quoted(&pattern) } else { format!("`{pattern}`") };
    let regex = regex(&pattern).map_err(|error| format!("regexp: Compile({}): {error}", quote()))?;
    let (into, text) = (text(args, 1), text(args, 2));
    // Each match may grow by the replacement: what would come out is bounded before it is made.
    if text.len().saturating_mul(into.len() + 1) > 1 << 20 {
        return Err("the replaced text becomes too long".into());
    }
    Ok(Value::text(regex.replace_all(&text, &*into).into_owned()))
}

fn title(text: &str) -> String {
    let mut start = true;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let inside = c.is_alphanumeric() || c == '_' || c == '\'' || c == '’';
        if inside && start {
            out.extend(c.to_uppercase())
        } else {
            out.push(c)
        }
        start = !(inside || (c == '.' && !start));
    }
    out
}

/// As Go's `url.QueryEscape`.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Host and port as Go splits them; `None` where it cannot.
fn split_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    if let Some(rest) = host.strip_prefix('[') {
        let inner = rest.strip_suffix(']')?;
        return (!inner.contains(['[', ']']) && !port.contains(['[', ']'])).then_some((inner, port));
    }
    (!host.contains([':', '[', ']']) && !port.contains(['[', ']'])).then_some((host, port))
}

fn strip_domain(text: &str) -> String {
    let (host, port) = split_port(text).unwrap_or((text, ""));
    if host.parse::<IpAddr>().is_ok() {
        return text.to_owned();
    }
    let host = host.split('.').next().unwrap_or_default();
    if port.is_empty() { host.to_owned() } else { format!("{host}:{port}") }
}

fn link(expr: &str, tab: u8) -> String {
    format!("/graph?g0.expr={}&g0.tab={tab}", escape(expr))
}

fn humanize(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return general(value, Some(4));
    }
    let (value, prefix) = if value.abs() >= 1.0 {
        scaled(value, &["k", "M", "G", "T", "P", "E", "Z", "Y"], |value| value.abs() < 1000.0, 1.0 / 1000.0)
    } else {
        small(value)
    };
    format!("{}{prefix}", general(value, Some(4)))
}

fn humanize1024(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return general(value, Some(4));
    }
    let units = ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];
    let (value, prefix) = scaled(value, &units, |value| value.abs() < 1024.0, 1.0 / 1024.0);
    format!("{}{prefix}", general(value, Some(4)))
}

fn small(value: f64) -> (f64, &'static str) {
    scaled(value, &["m", "u", "n", "p", "f", "a", "z", "y"], |value| value.abs() >= 1.0, 1000.0)
}

fn scaled(mut value: f64, units: &[&'static str], enough: fn(f64) -> bool, factor: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for unit in units {
        if enough(value) {
            break;
        }
        prefix = unit;
        // Dividing rounds as Go does, which a product with the inverse would not.
        value = if factor < 1.0 { value / (1.0 / factor).round() } else { value * factor };
    }
    (value, prefix)
}

fn humanize_duration(value: f64) -> String {
    if !value.is_finite() {
        return general(value, Some(4));
    }
    if value == 0.0 {
        return format!("{}s", general(value, Some(4)));
    }
    if value.abs() < 1.0 {
        let (value, prefix) = small(value);
        return format!("{}{prefix}s", general(value, Some(4)));
    }
    let (sign, size) = (if value < 0.0 { "-" } else { "" }, value.abs());
    let whole = size as i64;
    let (days, hours, minutes, seconds) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", general(size, Some(4))),
        (0, 0, _) => format!("{sign}{minutes}m {seconds}s"),
        (0, _, _) => format!("{sign}{hours}h {minutes}m {seconds}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
    }
}

fn time(seconds: f64) -> Result<Value, String> {
    if !seconds.is_finite() {
        return Err("value is NaN or Inf".into());
    }
    let nanos = seconds * 1e9;
    if nanos.abs() > i64::MAX as f64 {
        let shown = general(seconds, None);
        return Err(format!("{shown} cannot be represented as a nanoseconds timestamp since it overflows int64"));
    }
    Ok(Value::Time((nanos as i64) / 1_000_000))
}
