//! From a PromQL text to its tree, refusing with its place what Prometheus refuses by default.

use super::lex::{self, Token, Word};
use super::notes::{position, quoted};
use super::syntax::{At, Edges, Group, Kind, Matching, Node, Op, Shift, Subquery, Type};
use super::{QueryError, calls};
use crate::base::go;

mod build;
mod length;
mod selector;

/// Bytes of a query; Prometheus has no bound, but nobody writes more by hand.
const MAX_TEXT: usize = 64 << 10;
/// Levels of nesting: the evaluator walks the tree on the stack.
const MAX_HEIGHT: usize = 100;

/// Reads a query; true: lengths in it are calculated from the step or the range of the query.
pub(super) fn parse(text: &str) -> Result<(Node, bool), QueryError> {
    if text.len() > MAX_TEXT {
        return Err(fault(text, (0, format!("the query is longer than {MAX_TEXT} bytes"))));
    }
    let (tokens, end) = lex::cut(text);
    let mut parser = Parser { text, tokens, fault: end, at: 0, depth: 0, calculates: false };
    let node = parser.query().map_err(|error| fault(text, error))?;
    Ok((node, parser.calculates))
}

/// A fault with its line and column.
pub(super) fn fault(text: &str, (place, what): lex::Fault) -> QueryError {
    let (line, column) = position(text, place);
    QueryError::Parse { line, column, what }
}

type Parsed<T> = Result<T, lex::Fault>;

/// Keywords that cannot be the name of a metric.
const RESERVED: &[&str] = &["on", "ignoring", "group_left", "group_right", "bool", "atan2"];
const KEYWORDS: &[&str] = &[
    "offset",
    "smoothed",
    "anchored",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "start",
    "end",
    "step",
    "range",
    "max_of",
    "min_of",
];

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    /// Why the words end early.
    fault: Option<lex::Fault>,
    at: usize,
    depth: usize,
    /// A length was calculated.
    calculates: bool,
}

impl Parser<'_> {
    fn query(&mut self) -> Parsed<Node> {
        if self.peek().word == Word::End {
            return Err((0, "no expression found in input".into()));
        }
        let node = self.expr(0)?;
        if self.peek().word != Word::End {
            return self.unexpected("", "");
        }
        Ok(node)
    }

    /// An expression of operators that bind at least as tightly as `least`.
    fn expr(&mut self, least: u8) -> Parsed<Node> {
        self.deeper()?;
        let mut left = self.signed()?;
        while let Some((op, binds)) = self.operator()?.filter(|(_, binds)| *binds >= least) {
            let place = self.take().start;
            let (truth, matching) = self.modifiers(left.place)?;
            let right = self.expr(if op == Op::Pow { binds } else { binds + 1 })?;
            left = build::binary(place, op, left, right, matching, truth)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    /// One level down in the text.
    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > MAX_HEIGHT {
            return Err((self.peek().start, format!("nested deeper than {MAX_HEIGHT} levels")));
        }
        Ok(())
    }

    fn operator(&self) -> Parsed<Option<(Op, u8)>> {
        let token = self.peek();
        let text = match token.word {
            Word::Sign("</" | ">/") => {
                return Err((token.start, "trim operators need native histograms, which are not kept here".into()));
            }
            Word::Sign(text) => text.to_owned(),
            Word::Name => self.slice(token).to_ascii_lowercase(),
            _ => return Ok(None),
        };
        Ok(Op::ALL.iter().find(|(name, _, _)| *name == text).map(|(_, op, binds)| (*op, *binds)))
    }

    /// `bool`, `on`, `group_left` and the like behind an operator.
    fn modifiers(&mut self, left: usize) -> Parsed<(bool, Matching)> {
        let mut matching = Matching::default();
        let truth = self.keyword("bool");
        let on = self.keyword("on");
        if on || self.keyword("ignoring") {
            matching.on = on;
            matching.labels = self.labels()?;
            for (word, group) in [("group_left", Group::Left), ("group_right", Group::Right)] {
                if matching.group == Group::One && self.keyword(word) {
                    matching.group = group;
                    if self.peek().word == Word::Sign("(") {
                        matching.include = self.labels()?;
                    }
                }
            }
        }
        let fill = self.is_name(self.peek(), &["fill", "fill_left", "fill_right"]);
        if fill && self.ahead(1).word == Word::Sign("(") {
            return Err((left, "binop fill modifiers are experimental and not enabled".into()));
        }
        Ok((truth, matching))
    }

    /// An expression with its signs in front.
    fn signed(&mut self) -> Parsed<Node> {
        let minus = match self.peek().word {
            Word::Sign("-") => true,
            Word::Sign("+") => false,
            _ => {
                let primary = self.primary()?;
                return self.suffixed(primary);
            }
        };
        let place = self.take().start;
        // The sign binds as multiplication does: -a ^ b is -(a ^ b).
        let inner = self.expr(6)?;
        build::sign(place, minus, inner)
    }

    fn primary(&mut self) -> Parsed<Node> {
        let token = self.peek();
        match token.word {
            Word::Number | Word::Duration => {
                let value = self.seconds()?;
                self.node(Kind::Number(value, token.word == Word::Duration), token.start)
            }
            Word::Text => {
                let text = self.string()?;
                self.node(Kind::Text(text), token.start)
            }
            Word::Sign("(") => {
                self.take();
                let inner = self.expr(0)?;
                self.sign(")", "", "")?;
                build::paren(token.start, self.done(), inner)
            }
            Word::Sign("{") | Word::Metric => self.selector(),
            Word::Name => self.named(),
            _ => self.unexpected("", ""),
        }
    }

    /// A metric, a function or an aggregation.
    fn named(&mut self) -> Parsed<Node> {
        let token = self.peek();
        let word = self.slice(token).to_ascii_lowercase();
        let next = self.ahead(1);
        let called = next.word == Word::Sign("(");
        if build::is_aggregator(&word) && (called || self.is_name(next, &["by", "without"])) {
            return self.aggregate(&word);
        }
        let function = !KEYWORDS.contains(&word.as_str())
            || matches!(word.as_str(), "start" | "end" | "step" | "range" | "max_of" | "min_of");
        if called && function && Op::ALL.iter().all(|(text, _, _)| *text != word) {
            return self.call();
        }
        if RESERVED.contains(&word.as_str()) {
            return self.unexpected("", "");
        }
        self.selector()
    }

    fn aggregate(&mut self, word: &str) -> Parsed<Node> {
        let place = self.take().start;
        let mut grouping = self.grouping()?;
        if self.peek().word != Word::Sign("(") {
            return self.unexpected("aggregation", "");
        }
        let args = self.arguments()?;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        build::aggregate(place, self.done(), word, args, grouping.unwrap_or_default())
    }

    /// `by (…)` or `without (…)`; true for the latter.
    fn grouping(&mut self) -> Parsed<Option<(bool, Vec<String>)>> {
        let without = self.keyword("without");
        if without || self.keyword("by") {
            return Ok(Some((without, self.labels()?)));
        }
        Ok(None)
    }

    fn call(&mut self) -> Parsed<Node> {
        let token = self.take();
        let name = self.slice(token);
        let function = match calls::find(name) {
            calls::Found::Function(function) => function,
            calls::Found::Refused(why) => return Err((token.start, why)),
            calls::Found::Unknown => {
                return Err((token.start, format!("unknown function with name {}", quoted(name))));
            }
        };
        let args = self.arguments()?;
        build::call(token.start, self.done(), function, args)
    }

    fn arguments(&mut self) -> Parsed<Vec<Node>> {
        self.take();
        let mut args = Vec::new();
        if self.accept(")") {
            return Ok(args);
        }
        loop {
            args.push(self.expr(0)?);
            let comma = self.peek();
            if !self.accept(",") {
                self.sign(")", "", "")?;
                return Ok(args);
            }
            if self.peek().word == Word::Sign(")") {
                return Err((comma.start, "trailing commas not allowed in function call args".into()));
            }
        }
    }

    /// Ranges, `offset` and `@` behind an expression.
    fn suffixed(&mut self, mut node: Node) -> Parsed<Node> {
        loop {
            let token = self.peek();
            if token.word == Word::Sign("[") {
                node = self.range(node)?;
            } else if token.word == Word::Sign("@") {
                self.take();
                let at = self.moment(node.place)?;
                let end = self.done();
                let shift = build::shift(&mut node, "@ modifier")?;
                if shift.at.is_some() {
                    return Err((node.place, "@ <timestamp> may not be set multiple times".into()));
                }
                shift.at = Some(at);
                node.end = end;
                node.fixed = true;
            } else if self.keyword("offset") {
                let offset = self.offset()?;
                let end = self.done();
                let shift = build::shift(&mut node, "offset modifier")?;
                if shift.offset.given() {
                    return Err((node.place, "offset may not be set multiple times".into()));
                }
                shift.offset = offset;
                node.end = end;
            } else if self.is_name(token, &["anchored", "smoothed"]) {
                let anchored = self.keyword("anchored");
                if !anchored {
                    self.take();
                }
                build::edges(&mut node, if anchored { Edges::Anchored } else { Edges::Smoothed })?;
            } else {
                return Ok(node);
            }
        }
    }

    fn range(&mut self, node: Node) -> Parsed<Node> {
        let open = self.take().start;
        let range = self.length("subquery or range selector", "number, duration, step(), or range()")?;
        if self.accept(":") {
            let step = match self.peek().word {
                Word::Sign("]") => None,
                _ => Some(self.length("subquery selector", "number, duration, step(), range(), or \"]\"")?),
            };
            self.sign("]", "subquery selector", "\"]\"")?;
            if node.ty() != Type::Vector {
                let what = format!("subquery is only allowed on instant vector, got {} instead", type_word(node.ty()));
                return Err((node.place, what));
            }
            let (place, height) = (node.place, node.height + 1);
            let subquery = Subquery { expr: node, range, step, shift: Shift::default() };
            return build::checked(Kind::Subquery(Box::new(subquery)), place, self.done(), height, false);
        }
        self.sign("]", "subquery or range", "\":\" or \"]\"")?;
        build::range(open, self.done(), node, range)
    }

    /// What follows `@`.
    fn moment(&mut self, place: usize) -> Parsed<At> {
        for (word, at) in [("start", At::Start), ("end", At::End)] {
            if self.keyword(word) {
                self.sign("(", "@", "timestamp")?;
                self.sign(")", "@", "timestamp")?;
                return Ok(at);
            }
        }
        let minus = self.accept("-");
        if !minus {
            self.accept("+");
        }
        if !matches!(self.peek().word, Word::Number | Word::Duration) {
            return self.unexpected("@", "timestamp");
        }
        let seconds = self.seconds()? * if minus { -1.0 } else { 1.0 };
        #[expect(clippy::cast_precision_loss, reason = "the bound is meant roughly")]
        let bounded = seconds.is_finite() && seconds.abs() < i64::MAX as f64 / 1000.0;
        if !bounded {
            return Err((place, format!("timestamp out of bounds for @ modifier: {}", go::fixed(seconds, Some(6)))));
        }
        #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
        Ok(At::Time((seconds * 1000.0).round() as i64))
    }

    /// A number, or a duration in seconds.
    fn seconds(&mut self) -> Parsed<f64> {
        let token = self.take();
        let text = self.slice(token);
        let value = match token.word {
            #[expect(clippy::cast_precision_loss, reason = "Prometheus counts in floating seconds too")]
            Word::Duration => lex::duration(text).map(|millis| millis as f64 / 1000.0),
            _ => lex::number(text),
        };
        value.ok_or_else(|| {
            let text = quoted(text);
            let what = match token.word {
                Word::Duration => format!("not a valid duration string: {text}"),
                _ => format!("error parsing number: {text} is out of range"),
            };
            (token.start, what)
        })
    }
}

/// How Prometheus names a type where it shows it bare.
fn type_word(ty: Type) -> &'static str {
    match ty {
        Type::Scalar => "scalar",
        Type::Vector => "vector",
        Type::Matrix => "matrix",
        Type::Text => "string",
    }
}
