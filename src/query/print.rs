//! A query as Prometheus would write it, for the rules' API and `ALERTS`' links.

use std::fmt::{self, Display, Formatter, Write};

use super::length::{Length, Sum, Term};
use super::notes::quoted;
use super::syntax::{Aggregate, At, Binary, Edges, Group, Kind, Matching, Node, Selector, Shift};
use crate::store::labels::NAME;
use crate::store::matcher::Op;

impl Display for Node {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Number(value, duration) => number(out, *value, *duration),
            Kind::Text(text) => out.write_str(&quoted(text)),
            Kind::Select(selector) => {
                write!(out, "{selector}{}{}", Moment(selector.shift.at), selector.edges)?;
                offset(out, &selector.shift)
            }
            Kind::Range(selector, range) => {
                write!(out, "{selector}[{range}]{}{}", selector.edges, Moment(selector.shift.at))?;
                offset(out, &selector.shift)
            }
            Kind::Subquery(subquery) => {
                write!(out, "{}[{}:", subquery.expr, subquery.range)?;
                subquery.step.as_ref().map_or(Ok(()), |step| write!(out, "{step}"))?;
                write!(out, "]{}", Moment(subquery.shift.at))?;
                offset(out, &subquery.shift)
            }
            Kind::Sign(minus, inner) => write!(out, "{}{inner}", if *minus { '-' } else { '+' }),
            Kind::Paren(inner) => write!(out, "({inner})"),
            Kind::Binary(binary) => binary.fmt(out),
            Kind::Aggregate(aggregate) => aggregate.fmt(out),
            Kind::Call(function, args) => {
                write!(out, "{}(", function.name)?;
                for (index, arg) in args.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(out, "{comma}{arg}")?;
                }
                out.write_char(')')
            }
        }
    }
}

impl Display for Binary {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let truth = if self.truth { " bool" } else { "" };
        write!(out, "{} {}{truth}{} {}", self.left, self.op.text(), self.matching, self.right)
    }
}

impl Display for Matching {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        if !self.labels.is_empty() || self.on || self.group != Group::One {
            write!(out, " {} ({})", if self.on { "on" } else { "ignoring" }, listed(&self.labels))?;
        }
        match self.group {
            Group::One => Ok(()),
            Group::Left => write!(out, " group_left ({})", listed(&self.include)),
            Group::Right => write!(out, " group_right ({})", listed(&self.include)),
        }
    }
}

impl Display for Aggregate {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(self.op.text())?;
        if self.without {
            write!(out, " without ({}) ", listed(&self.labels))?;
        } else if !self.labels.is_empty() {
            write!(out, " by ({}) ", listed(&self.labels))?;
        }
        out.write_char('(')?;
        self.param.as_ref().map_or(Ok(()), |param| write!(out, "{param}, "))?;
        write!(out, "{})", self.expr)
    }
}

impl Display for Selector {
    /// Without `offset` and `@`.
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or_default();
        out.write_str(name)?;
        let shown = self.matchers.iter().filter(|matcher| {
            let named = matcher.name == NAME && matcher.op == Op::Equal && matcher.value == name;
            !named || name.is_empty()
        });
        let mut demands: Vec<String> = shown
            .map(|matcher| {
                let op = match matcher.op {
                    Op::Equal => "=",
                    Op::NotEqual => "!=",
                    Op::Match => "=~",
                    Op::NotMatch => "!~",
                };
                format!("{}{op}{}", label(&matcher.name), quoted(&matcher.value))
            })
            .collect();
        demands.sort();
        if demands.is_empty() { Ok(()) } else { write!(out, "{{{}}}", demands.join(",")) }
    }
}

/// `@` with its time.
struct Moment(Option<At>);

impl Display for Moment {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(At::Start) => out.write_str(" @ start()"),
            Some(At::End) => out.write_str(" @ end()"),
            Some(At::Time(at)) => {
                let sign = if at < 0 { "-" } else { "" };
                let millis = at.unsigned_abs();
                write!(out, " @ {sign}{}.{:03}", millis / 1000, millis % 1000)
            }
        }
    }
}

impl Display for Edges {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        if *self == Self::Plain { Ok(()) } else { write!(out, " {}", self.word()) }
    }
}

fn offset(out: &mut Formatter<'_>, shift: &Shift) -> fmt::Result {
    if shift.offset.given() { write!(out, " offset {}", shift.offset) } else { Ok(()) }
}

impl Display for Length {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match &self.term {
            Some(term) => term.fmt(out),
            None => signed(out, self.millis),
        }
    }
}

impl Display for Term {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.wrapped { ("(", ")") } else { ("", "") };
        out.write_str(open)?;
        match &self.sum {
            Sum::Number(seconds, duration) => number(out, *seconds, *duration)?,
            Sum::Step => out.write_str("step()")?,
            Sum::Range => out.write_str("range()")?,
            Sum::Minus(term) => write!(out, "-{term}")?,
            Sum::Binary(op, left, right) => write!(out, "{left} {} {right}", op.text())?,
            Sum::Least(a, b) => write!(out, "min_of({a}, {b})")?,
            Sum::Most(a, b) => write!(out, "max_of({a}, {b})")?,
        }
        out.write_str(close)
    }
}

/// A number; `duration`: seconds that were written as a duration.
fn number(out: &mut Formatter<'_>, value: f64, duration: bool) -> fmt::Result {
    if !duration {
        return out.write_str(&decimal(value));
    }
    #[expect(clippy::cast_possible_truncation, reason = "it was read from whole milliseconds")]
    let millis = (value * 1000.0).round() as i64;
    signed(out, millis)
}

fn signed(out: &mut Formatter<'_>, millis: i64) -> fmt::Result {
    let sign = if millis < 0 { "-" } else { "" };
    write!(out, "{sign}{}", Span(millis.saturating_abs()))
}

/// Milliseconds in units; years and weeks only where nothing is left over.
struct Span(i64);

impl Display for Span {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        const UNITS: &[(&str, i64, bool)] = &[
            ("y", 365 * 86_400_000, true),
            ("w", 7 * 86_400_000, true),
            ("d", 86_400_000, false),
            ("h", 3_600_000, false),
            ("m", 60_000, false),
            ("s", 1_000, false),
            ("ms", 1, false),
        ];
        if self.0 == 0 {
            return out.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, length, whole) in UNITS {
            let count = rest / length;
            if count > 0 && !(*whole && rest % length != 0) {
                write!(out, "{count}{unit}")?;
                rest -= count * length;
            }
        }
        Ok(())
    }
}

fn listed(labels: &[String]) -> String {
    labels.iter().map(|name| label(name)).collect::<Vec<_>>().join(", ")
}

/// A label's name, in quotes where it is not a plain one.
pub(super) fn label(name: &str) -> String {
    let plain =
        name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && name.starts_with(|c: char| !c.is_ascii_digit());
    if plain { name.to_owned() } else { quoted(name) }
}

/// A number in full, never with an exponent.
pub(super) fn decimal(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    value.to_string()
}
