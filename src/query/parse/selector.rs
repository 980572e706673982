//! Selectors, lists of labels, and the small steps over words.

use crate::query::lex::{self, Token, Word};
use crate::query::notes::quoted;
use crate::query::syntax::{Edges, Kind, Node, Op, Selector, Shift};
use crate::store::labels::NAME;
use crate::store::matcher::{Matcher, Op as Compare};

use super::{KEYWORDS, Parsed, Parser, build};

impl Parser<'_> {
    /// `name{…}`, either part may be missing.
    pub(super) fn selector(&mut self) -> Parsed<Node> {
        let start = self.peek().start;
        let mut name = None;
        if self.peek().word != Word::Sign("{") {
            let token = self.take();
            name = Some(self.slice(token).to_owned());
        }
        let mut matchers = Vec::new();
        if self.accept("{") {
            while !self.accept("}") {
                matchers.push(self.matcher()?);
                if !self.accept(",") && self.peek().word != Word::Sign("}") {
                    return self.unexpected("label matching", "\",\" or \"}\"");
                }
            }
        }
        if let Some(name) = &name {
            if let Some(other) = matchers.iter().find(|matcher| matcher.name == NAME) {
                let (a, b) = (quoted(name), quoted(&other.value));
                return Err((start, format!("metric name must not be set twice: {a} or {b}")));
            }
            let named = Matcher::new(NAME, Compare::Equal, name.as_str());
            matchers.push(named.map_err(|error| (start, error))?);
        } else if matchers.iter().all(|matcher| matcher.matches("")) {
            return Err((start, "vector selector must contain at least one non-empty matcher".into()));
        }
        let selector = Selector { name, matchers, shift: Shift::default(), edges: Edges::Plain };
        self.node(Kind::Select(selector), start)
    }

    fn matcher(&mut self) -> Parsed<Matcher> {
        let token = self.peek();
        let name = match token.word {
            Word::Name => {
                self.take();
                self.slice(token).to_owned()
            }
            Word::Text => self.string()?,
            _ => return self.unexpected("label matching", "identifier or \"}\""),
        };
        let op = match self.peek().word {
            Word::Sign("=") => Compare::Equal,
            Word::Sign("!=") => Compare::NotEqual,
            Word::Sign("=~") => Compare::Match,
            Word::Sign("!~") => Compare::NotMatch,
            // A text alone is the name of the metric.
            _ if token.word == Word::Text => {
                return Matcher::new(NAME, Compare::Equal, name).map_err(|error| (token.start, error));
            }
            _ => return self.unexpected("label matching", "label matching operator"),
        };
        self.take();
        if self.peek().word != Word::Text {
            return self.unexpected("label matching", "string");
        }
        let value = self.string()?;
        Matcher::new(name, op, value).map_err(|error| (token.start, format!("error parsing regexp: {error}")))
    }

    /// `(a, b)` behind `by`, `on` and the like.
    pub(super) fn labels(&mut self) -> Parsed<Vec<String>> {
        if !self.accept("(") {
            return self.unexpected("grouping opts", "\"(\"");
        }
        let mut out = Vec::new();
        while !self.accept(")") {
            let token = self.peek();
            match token.word {
                Word::Name | Word::Metric => {
                    self.take();
                    out.push(self.slice(token).to_owned());
                }
                Word::Text => {
                    let label = self.string()?;
                    if label.is_empty() {
                        return Err((token.start, "invalid label name for grouping: \"\"".into()));
                    }
                    out.push(label);
                }
                _ => return self.unexpected("grouping opts", "label"),
            }
            if !self.accept(",") && self.peek().word != Word::Sign(")") {
                return self.unexpected("grouping opts", "\",\" or \")\"");
            }
        }
        Ok(out)
    }

    /// The text of a text word.
    pub(super) fn string(&mut self) -> Parsed<String> {
        let token = self.take();
        lex::unquoted(self.slice(token)).map_err(|error| (token.start, error))
    }

    pub(super) fn peek(&self) -> Token {
        self.ahead(0)
    }

    pub(super) fn ahead(&self, count: usize) -> Token {
        let end = Token { word: Word::End, start: self.text.len(), end: self.text.len() };
        self.tokens.get(self.at + count).copied().unwrap_or(end)
    }

    pub(super) fn take(&mut self) -> Token {
        let token = self.peek();
        self.at += 1;
        token
    }

    /// The byte behind the last word that was taken.
    pub(super) fn done(&self) -> usize {
        self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map_or(0, |token| token.end)
    }

    pub(super) fn slice(&self, token: Token) -> &str {
        &self.text[token.start..token.end]
    }

    pub(super) fn accept(&mut self, sign: &'static str) -> bool {
        let here = self.peek().word == Word::Sign(sign);
        if here {
            self.at += 1;
        }
        here
    }

    pub(super) fn sign(&mut self, sign: &'static str, context: &str, expected: &str) -> Parsed<()> {
        if self.accept(sign) { Ok(()) } else { self.unexpected(context, expected) }
    }

    pub(super) fn keyword(&mut self, word: &str) -> bool {
        let here = self.is_name(self.peek(), &[word]);
        if here {
            self.at += 1;
        }
        here
    }

    /// Whether `token` is one of these words, in any case.
    pub(super) fn is_name(&self, token: Token, words: &[&str]) -> bool {
        token.word == Word::Name && words.iter().any(|word| self.slice(token).eq_ignore_ascii_case(word))
    }

    pub(super) fn node(&self, kind: Kind, place: usize) -> Parsed<Node> {
        let fixed = matches!(kind, Kind::Number(..) | Kind::Text(_));
        build::checked(kind, place, self.done(), 1, fixed)
    }

    /// Complains about the word that comes next.
    pub(super) fn unexpected<T>(&self, context: &str, expected: &str) -> Parsed<T> {
        let token = self.peek();
        if let Some(fault) = self.fault.as_ref().filter(|_| token.word == Word::Fault) {
            return Err(fault.clone());
        }
        let mut what = format!("unexpected {}", self.described(token));
        if !context.is_empty() {
            what += " in ";
            what += context;
        }
        if !expected.is_empty() {
            what += ", expected ";
            what += expected;
        }
        Err((token.start, what))
    }

    fn described(&self, token: Token) -> String {
        let text = self.slice(token);
        let lower = text.to_ascii_lowercase();
        let short: String = text.chars().take(10).collect();
        let short = if short.len() < text.len() { format!("{}...", quoted(&short)) } else { quoted(text) };
        match token.word {
            Word::End | Word::Fault => "end of input".into(),
            Word::Name if build::is_aggregator(&lower) => format!("<aggr:{text}>"),
            Word::Name if KEYWORDS.contains(&lower.as_str()) => format!("<{text}>"),
            Word::Name if Op::ALL.iter().any(|(op, _, _)| *op == lower) => format!("<op:{text}>"),
            Word::Name => format!("identifier {}", quoted(text)),
            Word::Metric => format!("metric identifier {}", quoted(text)),
            Word::Number => format!("number {short}"),
            Word::Duration => format!("duration {short}"),
            Word::Text => format!("string {short}"),
            Word::Sign(sign) if Op::ALL.iter().any(|(op, _, _)| *op == sign) || matches!(sign, "=~" | "!~" | "@") => {
                format!("<op:{sign}>")
            }
            Word::Sign(_) => short,
        }
    }
}
