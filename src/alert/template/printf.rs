//! Go's `printf` as far as rules use it: verbs, flags, width and precision.

use super::value::Value;
use crate::base::go::{self, quoted};

#[derive(Default)]
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
    let mut out = String::new();
    let mut next = 0;
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = Spec::default();
        while let Some(&flag) = chars.peek() {
            match flag {
                '-' => spec.minus = true,
                '+' => spec.plus = true,
                '0' => spec.zero = true,
                ' ' => spec.space = true,
                '#' => spec.sharp = true,
                _ => break,
            }
            chars.next();
        }
        let mut number = || {
            let mut digits = None;
            while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                chars.next();
                digits = Some((digits.unwrap_or(0) * 10 + digit as usize).min(MAX_WIDTH));
            }
            digits
        };
        spec.width = number().unwrap_or(0);
        if chars.next_if_eq(&'.').is_some() {
            let mut digits = 0;
            while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                chars.next();
                digits = (digits * 10 + digit as usize).min(MAX_WIDTH);
            }
            spec.precision = Some(digits);
        }
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match args.get(next) {
                None => out.push_str(&format!("%!{verb}(MISSING)")),
                Some(arg) => {
                    next += 1;
                    out.push_str(&one(&spec, verb, arg));
                }
            },
        }
    }
    if next < args.len() {
        let each = args[next..].iter().map(|arg| match arg {
            Value::Nothing => "<nil>".into(),
            arg => format!("{}={}", arg.kind(), arg.print()),
        });
        out.push_str(&format!("%!(EXTRA {})", each.collect::<Vec<_>>().join(", ")));
    }
    out
}

fn one(spec: &Spec, verb: char, arg: &Value) -> String {
    let text = match (verb, arg) {
        ('T', arg) => Some(arg.kind().to_owned()),
        ('v', Value::Float(float)) => Some(signed(spec, go::general(*float, spec.precision))),
        ('v', Value::Int(int)) => Some(signed(spec, int.to_string())),
        ('v', Value::Text(text)) if spec.sharp => Some(quoted(text)),
        ('v', arg) => Some(arg.print()),
        ('e' | 'f' | 'F' | 'g' | 'E' | 'G', Value::Float(float)) => Some(signed(spec, floating(spec, verb, *float))),
        (_, Value::Int(int)) => integer(spec, verb, *int),
        ('t', Value::Bool(truth)) => Some(truth.to_string()),
        ('s', Value::Text(_) | Value::Time(_) | Value::Span(_)) => Some(cut(spec, &arg.print())),
        ('q', Value::Text(text)) => Some(quoted(&cut(spec, text))),
        ('x', Value::Text(text)) => Some(text.bytes().map(|byte| format!("{byte:02x}")).collect()),
        ('X', Value::Text(text)) => Some(text.bytes().map(|byte| format!("{byte:02X}")).collect()),
        ('d', Value::Span(nanos)) => Some(nanos.to_string()),
        ('s', Value::Labels(_) | Value::Map(_)) => Some(arg.print()),
        _ => None,
    };
    let numeric = matches!(arg, Value::Float(_) | Value::Int(_));
    let text = text.unwrap_or_else(|| match arg {
        Value::Nothing => format!("%!{verb}(<nil>)"),
        arg => format!("%!{verb}({}={})", arg.kind(), arg.print()),
    });
    pad(spec, text, numeric)
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
    let sign = if int < 0 { "-" } else { "" };
    let size = int.unsigned_abs();
    let text = match verb {
        'd' => int.to_string(),
        'x' => format!("{sign}{}{size:x}", if spec.sharp { "0x" } else { "" }),
        'X' => format!("{sign}{}{size:X}", if spec.sharp { "0X" } else { "" }),
        'o' => format!("{sign}{}{size:o}", if spec.sharp { "0" } else { "" }),
        'b' => format!("{sign}{size:b}"),
        'c' => u32::try_from(int).ok().and_then(char::from_u32).unwrap_or('\u{fffd}').to_string(),
        _ => return None,
    };
    Some(signed(spec, text))
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

fn pad(spec: &Spec, text: String, numeric: bool) -> String {
    let missing = spec.width.saturating_sub(text.chars().count());
    let finite = text.chars().any(|c| c.is_ascii_digit());
    if spec.minus {
        format!("{text}{}", " ".repeat(missing))
    } else if spec.zero && (!numeric || finite) {
        let split = usize::from(text.starts_with(['-', '+', ' ']) && numeric);
        format!("{}{}{}", &text[..split], "0".repeat(missing), &text[split..])
    } else {
        format!("{}{text}", " ".repeat(missing))
    }
}
