//! Ranges, steps and offsets: numbers, durations, and what is calculated from them.

use crate::query::length::{Length, Sum, Term};
use crate::query::lex::Word;
use crate::query::syntax::Op;

use super::{MAX_HEIGHT, Parsed, Parser};

/// How tightly a sign binds: as multiplication does.
const SIGN: u8 = 5;
/// What may begin a length.
const EXPECTED: &str = "number, duration, step(), or range()";

impl Parser<'_> {
    /// Inside of brackets: a length above 0; `context` and `expected` are for complaints.
    pub(super) fn length(&mut self, context: &'static str, expected: &str) -> Parsed<Length> {
        let first = self.peek();
        let begins = matches!(first.word, Word::Number | Word::Duration | Word::Sign("(" | "+" | "-"));
        if !begins && !self.is_name(first, &["step", "range", "min_of", "max_of"]) {
            return self.unexpected(context, expected);
        }
        let term = self.sum(0, context)?;
        let Some(seconds) = term.literal() else { return Ok(self.calculated(term)) };
        let length = Length::known(seconds).ok_or_else(|| out_of_range(term.place))?;
        if length.millis <= 0 {
            return Err((term.place, "duration must be greater than 0".into()));
        }
        Ok(length)
    }

    /// Behind `offset`: a number or a call with a sign at most, or a calculation that begins with a parenthesis.
    pub(super) fn offset(&mut self) -> Parsed<Length> {
        let (place, minus) = (self.peek().start, self.peek().word == Word::Sign("-"));
        let signed = minus || self.peek().word == Word::Sign("+");
        let next = self.ahead(usize::from(signed));
        let free = match next.word {
            Word::Sign("+" | "-") => signed,
            Word::Sign("(") => !signed,
            _ => false,
        };
        let mut term = if free {
            self.sum(0, "offset")?
        } else {
            if signed {
                self.take();
            }
            let term = self.part("offset", place)?;
            if signed { sign(minus, place, term) } else { term }
        };
        if let Some(seconds) = term.literal() {
            term.place = place;
            return Length::known(seconds).ok_or_else(|| out_of_range(place));
        }
        Ok(self.calculated(term))
    }

    fn calculated(&mut self, term: Term) -> Length {
        self.calculates = true;
        Length::calculated(term)
    }

    /// A calculation of operators that bind at least as tightly as `least`.
    fn sum(&mut self, least: u8, context: &'static str) -> Parsed<Term> {
        self.deeper()?;
        let mut left = match self.peek().word {
            Word::Sign(text @ ("+" | "-")) => {
                let place = self.take().start;
                let inner = self.sum(SIGN + 1, context)?;
                sign(text == "-", place, inner)
            }
            _ => self.part(context, self.peek().start)?,
        };
        while let Some((op, binds)) = self.reckoning().filter(|(_, binds)| *binds >= least) {
            let place = self.take().start;
            let right = self.sum(if op == Op::Pow { binds } else { binds + 1 }, context)?;
            left = binary(place, op, left, right)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    /// The operator that comes next, if it is one for lengths.
    fn reckoning(&self) -> Option<(Op, u8)> {
        let Word::Sign(text @ ("+" | "-" | "*" | "/" | "%" | "^")) = self.peek().word else { return None };
        Op::ALL.iter().find(|(name, _, _)| *name == text).map(|(_, op, binds)| (*op, *binds))
    }

    /// A number, a call, or a calculation in parentheses; `place` is where a number with its sign begins.
    fn part(&mut self, context: &'static str, place: usize) -> Parsed<Term> {
        let token = self.peek();
        if matches!(token.word, Word::Number | Word::Duration) {
            let seconds = self.seconds()?;
            if Length::known(seconds).is_none() {
                return Err(out_of_range(place));
            }
            return Ok(Term::new(Sum::Number(seconds, token.word == Word::Duration), token.start, 1));
        }
        if self.accept("(") {
            let inner = self.sum(0, context)?;
            self.sign(")", context, EXPECTED)?;
            return Ok(Term { wrapped: true, ..inner });
        }
        for (word, sum) in [("step", Sum::Step), ("range", Sum::Range)] {
            if self.keyword(word) {
                self.sign("(", context, EXPECTED)?;
                self.sign(")", context, EXPECTED)?;
                return Ok(Term::new(sum, token.start, 1));
            }
        }
        let least = self.keyword("min_of");
        if least || self.keyword("max_of") {
            self.sign("(", context, EXPECTED)?;
            let a = Box::new(self.sum(0, context)?);
            self.sign(",", context, EXPECTED)?;
            let b = Box::new(self.sum(0, context)?);
            self.sign(")", context, EXPECTED)?;
            let height = a.height.max(b.height) + 1;
            let sum = if least { Sum::Least(a, b) } else { Sum::Most(a, b) };
            return Ok(Term::new(sum, token.start, height));
        }
        self.unexpected(context, EXPECTED)
    }
}

impl Term {
    fn new(sum: Sum, place: usize, height: usize) -> Self {
        Self { sum, place, height, wrapped: false }
    }

    /// The seconds of what is nothing but a number; in parentheses it is calculated, as Prometheus sees it.
    fn literal(&self) -> Option<f64> {
        match self.sum {
            Sum::Number(seconds, _) if !self.wrapped => Some(seconds),
            _ => None,
        }
    }
}

fn sign(minus: bool, place: usize, inner: Term) -> Term {
    if let (Some(seconds), Sum::Number(_, duration)) = (inner.literal(), &inner.sum) {
        let seconds = if minus { -seconds } else { seconds };
        return Term::new(Sum::Number(seconds, *duration), place, 1);
    }
    if !minus {
        return inner;
    }
    let height = inner.height + 1;
    Term::new(Sum::Minus(Box::new(inner)), place, height)
}

fn binary(at: usize, op: Op, left: Term, right: Term) -> Parsed<Term> {
    if right.literal() == Some(0.0) {
        match op {
            Op::Div => return Err((at, "division by zero".into())),
            Op::Mod => return Err((at, "modulo by zero".into())),
            _ => {}
        }
    }
    let (place, height) = (left.place, left.height.max(right.height) + 1);
    if height > MAX_HEIGHT {
        return Err((at, format!("nested deeper than {MAX_HEIGHT} levels")));
    }
    Ok(Term::new(Sum::Binary(op, Box::new(left), Box::new(right)), place, height))
}

fn out_of_range(place: usize) -> (usize, String) {
    (place, "duration out of range".into())
}
