//! Go's `printf` as far as templates can reach it: flags, widths and precisions, indexes of arguments, all verbs but the
//! hexadecimal and binary forms of fractions.
//!
//! <https://pkg.go.dev/fmt#hdr-Printing>

use super::value::Value;
use crate::base::go::{self, quoted, quoted_ascii, quoted_char};

#[derive(Debug, Clone, Default)]
struct Spec {
    minus: bool,
    plus: bool,
    zero: bool,
    space: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
}

/// Nobody needs wider columns, and a hostile width would fill the memory.
const MAX_WIDTH: usize = 1000;

/// `format` with `args`, with Go's words for what does not fit.
pub(super) fn printf(format: &str, args: &[Value]) -> String {
    let chars: Vec<char> = format.chars().collect();
    let mut printer = Printer { rest: &chars, args, next: 0, indexed: false, good: true, behind: false };
    let mut out = String::new();
    while let Some((first, rest)) = printer.rest.split_first() {
        printer.rest = rest;
        if *first == '%' { printer.verb(&mut out) } else { out.push(*first) }
    }
    if !printer.indexed && printer.next < args.len() {
        let each = args[printer.next..].iter().map(|arg| match arg {
            Value::Nothing => "<nil>".into(),
            arg => format!("{}={}", arg.kind(), arg.print()),
        });
        out.push_str(&format!("%!(EXTRA {})", each.collect::<Vec<_>>().join(", ")));
    }
    out
}

/// The place in the format and among the arguments.
struct Printer<'a> {
    rest: &'a [char],
    args: &'a [Value],
    next: usize,
    /// An index was given, so that arguments may be left over.
    indexed: bool,
    /// The indexes of the present verb mean arguments.
    good: bool,
    /// An index was read last.
    behind: bool,
}

impl Printer<'_> {
    /// What comes behind a percent sign.
    fn verb(&mut self, out: &mut String) {
        let mut spec = Spec::default();
        (self.good, self.behind) = (true, false);
        while let [flag @ ('-' | '+' | '0' | ' ' | '#'), rest @ ..] = self.rest {
            match flag {
                '-' => spec.minus = true,
                '+' => spec.plus = true,
                '0' => spec.zero = true,
                ' ' => spec.space = true,
                _ => spec.sharp = true,
            }
            self.rest = rest;
        }
        self.index();
        self.width(&mut spec, out);
        self.precision(&mut spec, out);
        if !self.behind {
            self.index();
        }
        let Some((verb, rest)) = self.rest.split_first() else { return out.push_str("%!(NOVERB)") };
        self.rest = rest;
        match self.args.get(self.next) {
            _ if *verb == '%' => out.push('%'),
            _ if !self.good => out.push_str(&format!("%!{verb}(BADINDEX)")),
            None => out.push_str(&format!("%!{verb}(MISSING)")),
            Some(arg) => {
                self.next += 1;
                out.push_str(&one(&spec, *verb, arg));
            }
        }
    }

    fn width(&mut self, spec: &mut Spec, out: &mut String) {
        if let ['*', rest @ ..] = self.rest {
            self.rest = rest;
            match self.star() {
                Some(width) => {
                    spec.width = width.unsigned_abs().min(MAX_WIDTH);
                    spec.minus |= width < 0;
                }
                None => out.push_str("%!(BADWIDTH)"),
            }
        } else if let Some(width) = self.number() {
            spec.width = width;
            // An index belongs behind the width.
            self.good &= !self.behind;
        }
    }

    fn precision(&mut self, spec: &mut Spec, out: &mut String) {
        // At the end it is the verb.
        let ['.', rest @ ..] = self.rest else { return };
        if rest.is_empty() {
            return;
        }
        self.rest = rest;
        self.good &= !self.behind;
        self.index();
        if let ['*', rest @ ..] = self.rest {
            self.rest = rest;
            match self.star() {
                Some(precision @ 0..) => spec.precision = Some(precision.unsigned_abs().min(MAX_WIDTH)),
                _ => out.push_str("%!(BADPREC)"),
            }
        } else {
            spec.precision = Some(self.number().unwrap_or(0));
        }
    }

    /// An argument as a width or a precision.
    fn star(&mut self) -> Option<isize> {
        self.behind = false;
        let arg = self.args.get(self.next)?;
        self.next += 1;
        let Value::Int(int) = arg else { return None };
        isize::try_from(*int).ok().filter(|int| int.unsigned_abs() <= 1_000_000)
    }

    fn number(&mut self) -> Option<usize> {
        let (digits, rest) = self.rest.split_at(self.rest.iter().take_while(|c| c.is_ascii_digit()).count());
        self.rest = rest;
        let add = |sum: usize, c: &char| (sum * 10 + c.to_digit(10).unwrap_or(0) as usize).min(MAX_WIDTH);
        (!digits.is_empty()).then(|| digits.iter().fold(0, add))
    }

    /// `[n]`: the argument from which it goes on, counted from 1.
    fn index(&mut self) {
        self.behind = false;
        let ['[', inner @ ..] = self.rest else { return };
        self.indexed = true;
        self.rest = inner;
        let number = self.number();
        if let (Some(number), [']', rest @ ..]) = (number, self.rest) {
            self.rest = rest;
            self.behind = true;
            match number.checked_sub(1).filter(|index| *index < self.args.len()) {
                Some(index) => self.next = index,
                None => self.good = false,
            }
            return;
        }
        // Without an end only the bracket is passed over, and so it is close to the end of the format.
        let end = inner.iter().position(|c| *c == ']').filter(|_| inner.len() > 1).map_or(0, |at| at + 1);
        self.rest = &inner[end..];
        self.good = false;
    }
}

fn one(spec: &Spec, verb: char, arg: &Value) -> String {
    let text = match (verb, arg) {
        ('T' | 'v', Value::Nothing) => Some("<nil>".into()),
        ('T', arg) => Some(cut(spec, arg.kind())),
        ('v', Value::Text(text)) if spec.sharp => Some(quoted(text)),
        ('v', _) => Some(plain(&Spec { plus: false, ..spec.clone() }, arg)),
        ('e' | 'f' | 'F' | 'g' | 'E' | 'G', Value::Float(float)) => Some(signed(spec, floating(spec, verb, *float))),
        (_, Value::Int(int)) => integer(spec, verb, *int),
        ('t', Value::Bool(truth)) => Some(truth.to_string()),
        ('s', Value::Text(_) | Value::Time(_) | Value::Span(_)) => Some(cut(spec, &arg.print())),
        ('q', Value::Text(text)) => Some(quote(spec, &cut(spec, text))),
        ('x', Value::Text(text)) => Some(hex(spec, text)),
        ('X', Value::Text(text)) => Some(hex(spec, text).to_uppercase()),
        ('d', Value::Span(nanos)) => Some(nanos.to_string()),
        ('s', Value::Labels(_) | Value::Map(_)) => Some(arg.print()),
        _ => None,
    };
    match (text, arg) {
        (Some(text), arg) => pad(spec, verb, text, arg),
        (None, Value::Nothing) => format!("%!{verb}(<nil>)"),
        // As `v` would print it, but with all flags.
        (None, arg) => format!("%!{verb}({}={})", arg.kind(), pad(spec, 'v', plain(spec, arg), arg)),
    }
}

/// As `v` prints it.
fn plain(spec: &Spec, arg: &Value) -> String {
    match arg {
        Value::Float(float) => signed(spec, go::general(*float, spec.precision)),
        Value::Int(int) => integer(spec, 'd', *int).unwrap_or_default(),
        Value::Text(text) => cut(spec, text),
        arg => arg.print(),
    }
}

fn quote(spec: &Spec, text: &str) -> String {
    let bare = |c: char| c == '\t' || !(c.is_ascii_control() || c == '`' || c == '\u{feff}');
    match (spec.sharp, spec.plus) {
        (true, _) if text.chars().all(bare) => format!("`{text}`"),
        (_, true) => quoted_ascii(text),
        _ => quoted(text),
    }
}

fn hex(spec: &Spec, text: &str) -> String {
    let bytes = &text.as_bytes()[..spec.precision.unwrap_or(text.len()).min(text.len())];
    let each: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let start = if spec.sharp && !each.is_empty() { "0x" } else { "" };
    let between = if spec.space && spec.sharp { " 0x" } else { &" "[..usize::from(spec.space)] };
    format!("{start}{}", each.join(between))
}

fn floating(spec: &Spec, verb: char, float: f64) -> String {
    match verb {
        'e' => go::exponent(float, Some(spec.precision.unwrap_or(6))),
        'E' => go::exponent(float, Some(spec.precision.unwrap_or(6))).to_uppercase(),
        'g' => go::general(float, spec.precision),
        'G' => go::general(float, spec.precision).to_uppercase(),
        _ => go::fixed(float, Some(spec.precision.unwrap_or(6))),
    }
}

fn integer(spec: &Spec, verb: char, int: i64) -> Option<String> {
    let size = int.unsigned_abs();
    let sharp = |prefix: &'static str| if spec.sharp { prefix } else { "" };
    let (prefix, digits) = match verb {
        'd' => ("", size.to_string()),
        'x' => (sharp("0x"), format!("{size:x}")),
        'X' => (sharp("0X"), format!("{size:X}")),
        'o' => (sharp("0"), format!("{size:o}")),
        'O' => ("0o", format!("{}{size:o}", if int == 0 { "" } else { sharp("0") })),
        'b' => (sharp("0b"), format!("{size:b}")),
        'c' => return Some(letter(int).to_string()),
        'q' => return Some(quoted_char(letter(int), spec.plus)),
        'U' => return Some(code(spec, int)),
        _ => return None,
    };
    let digits = match spec.precision {
        Some(0) if int == 0 => return Some(String::new()),
        Some(least) => format!("{}{digits}", "0".repeat(least.saturating_sub(digits.len()))),
        // Zeros fill what the sign leaves.
        None if spec.zero && !spec.minus => {
            let taken = usize::from(int < 0 || spec.plus || spec.space);
            format!("{}{digits}", "0".repeat(spec.width.saturating_sub(digits.len() + taken)))
        }
        None => digits,
    };
    let prefix = if verb == 'o' && digits.starts_with('0') { "" } else { prefix };
    Some(signed(spec, format!("{}{prefix}{digits}", if int < 0 { "-" } else { "" })))
}

fn letter(int: i64) -> char {
    u32::try_from(int).ok().and_then(char::from_u32).unwrap_or('\u{fffd}')
}

/// `U+0041`.
fn code(spec: &Spec, int: i64) -> String {
    let digits = format!("{int:X}");
    let least = spec.precision.unwrap_or(4).max(4);
    let letter = char::from_u32(u32::try_from(int).unwrap_or(u32::MAX)).filter(|c| spec.sharp && !c.is_control());
    let letter = letter.map_or_else(String::new, |c| format!(" '{c}'"));
    format!("U+{}{digits}{letter}", "0".repeat(least.saturating_sub(digits.len())))
}

fn signed(spec: &Spec, text: String) -> String {
    let sign = text.starts_with(['-', '+']);
    match (spec.plus, spec.space) {
        (true, _) if !sign => format!("+{text}"),
        (false, true) if !sign => format!(" {text}"),
        _ => text,
    }
}

fn cut(spec: &Spec, text: &str) -> String {
    spec.precision.map_or_else(|| text.to_owned(), |most| text.chars().take(most).collect())
}

fn pad(spec: &Spec, verb: char, text: String, arg: &Value) -> String {
    let missing = spec.width.saturating_sub(text.chars().count());
    // Whole numbers have their zeros already.
    let zeros = match arg {
        Value::Int(_) => matches!(verb, 'c' | 'q'),
        Value::Float(float) => float.is_finite(),
        _ => true,
    };
    if spec.minus {
        format!("{text}{}", " ".repeat(missing))
    } else if spec.zero && zeros {
        let split = usize::from(text.starts_with(['-', '+', ' ']) && matches!(arg, Value::Float(_)));
        format!("{}{}{}", &text[..split], "0".repeat(missing), &text[split..])
    } else {
        format!("{}{text}", " ".repeat(missing))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;

    fn value(arg: &Json) -> Value {
        match arg {
            Json::Null => Value::Nothing,
            Json::Bool(truth) => Value::Bool(*truth),
            Json::String(text) => Value::text(text.as_str()),
            arg => match (arg["int"].as_i64(), arg["float"].as_f64()) {
                (Some(int), _) => Value::Int(int),
                (None, Some(float)) => Value::Float(float),
                _ => panic!("{arg}"),
            },
        }
    }

    #[test]
    fn formats_are_printed_as_go_prints_them() {
        let made: Json = serde_json::from_str(include_str!("../../../tests/fixtures/go/printf.json")).unwrap();
        let cases: Vec<(String, Vec<Json>, String)> = serde_json::from_value(made["cases"].clone()).unwrap();
        let mut wrong = Vec::new();
        for (format, args, wanted) in &cases {
            let args: Vec<Value> = args.iter().map(value).collect();
            let got = printf(format, &args);
            if got != *wanted {
                wrong.push(format!("{format:?} {args:?}\n  {wanted:?}\n  {got:?}"));
            }
        }
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
        assert!(cases.len() > 500, "{} cases", cases.len());
    }
}
