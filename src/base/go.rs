//! Numbers, texts and durations as Go's `fmt` writes them, for texts that must be Prometheus' own.

/// `%q`: in double quotes, with escapes for what cannot be printed.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    text.chars().for_each(|c| escape(&mut out, c, '"', false));
    out.push('"');
    out
}

/// `%+q`: with escapes for all that is not ASCII, too.
pub fn quoted_ascii(text: &str) -> String {
    let mut out = String::from("\"");
    text.chars().for_each(|c| escape(&mut out, c, '"', true));
    out.push('"');
    out
}

/// `%q` of a rune: in single quotes; `ascii` as in [`quoted_ascii`].
pub fn quoted_char(c: char, ascii: bool) -> String {
    let mut out = String::from("'");
    escape(&mut out, c, '\'', ascii);
    out.push('\'');
    out
}

fn escape(out: &mut String, c: char, quote: char, ascii: bool) {
    let number = u32::from(c);
    match c {
        c if c == quote || c == '\\' => out.extend(['\\', c]),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        c if c.is_ascii_control() => out.push_str(&format!("\\x{number:02x}")),
        c if c.is_ascii() || !ascii && printed(c) => out.push(c),
        _ if number < 0x1_0000 => out.push_str(&format!("\\u{number:04x}")),
        _ => out.push_str(&format!("\\U{number:08x}")),
    }
}

/// Letters, marks, numbers, punctuation, symbols and the ASCII space.
fn printed(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    // The standard library has the table, and hands it out only so. A mark is printed when it has something to stand on.
    let mut on_something = [0; 5];
    on_something[0] = b'a';
    let length = c.encode_utf8(&mut on_something[1..]).len();
    let text = std::str::from_utf8(&on_something[..=length]).unwrap_or_default();
    text.escape_debug().nth(2).is_none()
}

/// A `time.Duration` of nanoseconds: `1h2m3.5s`.
pub fn duration(nanos: i64) -> String {
    let (sign, left) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
    let trim = |whole: u64, rest: u64, width: usize| {
        let text = format!("{whole}.{rest:0width$}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match left {
        0 => "0s".into(),
        1..1_000 => format!("{sign}{left}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", trim(left / 1_000, left % 1_000, 3)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", trim(left / 1_000_000, left % 1_000_000, 6)),
        _ => {
            let (whole, rest) = (left / 1_000_000_000, left % 1_000_000_000);
            let seconds = format!("{}s", trim(whole % 60, rest, 9));
            match (whole / 3600, whole / 60 % 60) {
                (0, 0) => format!("{sign}{seconds}"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

/// `%e`, with two digits of exponent at least; `None`: as many digits as the value needs.
pub fn exponent(value: f64, precision: Option<usize>) -> String {
    if !value.is_finite() {
        return odd(value);
    }
    let (mantissa, power) = scientific(value, precision);
    with_power(&mantissa, power)
}

/// `%f`; `None`: as many digits as the value needs.
pub fn fixed(value: f64, precision: Option<usize>) -> String {
    match precision {
        _ if !value.is_finite() => odd(value),
        Some(digits) => format!("{value:.digits$}"),
        None => format!("{value}"),
    }
}

/// `%g`: the shorter of both, without zeros at the end; `None`: as many digits as the value needs.
pub fn general(value: f64, precision: Option<usize>) -> String {
    if !value.is_finite() {
        return odd(value);
    }
    let digits = precision.map(|digits| digits.max(1));
    let (mantissa, power) = scientific(value, digits.map(|digits| digits - 1));
    let limit = digits.map_or(SHORTEST, |digits| i32::try_from(digits).unwrap_or(i32::MAX));
    if power < -4 || power >= limit {
        return with_power(trimmed(&mantissa), power);
    }
    match digits {
        Some(_) => {
            let behind = usize::try_from(limit - 1 - power).unwrap_or_default();
            trimmed(&format!("{value:.behind$}")).to_owned()
        }
        None => format!("{value}"),
    }
}

/// Mantissa and power of ten.
fn scientific(value: f64, precision: Option<usize>) -> (String, i32) {
    let text = match precision {
        Some(digits) => format!("{value:.digits$e}"),
        None => format!("{value:e}"),
    };
    let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
    (mantissa.to_owned(), power.parse().unwrap_or_default())
}

fn with_power(mantissa: &str, power: i32) -> String {
    format!("{mantissa}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs())
}

fn trimmed(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

fn odd(value: f64) -> String {
    if value.is_nan() { "NaN".into() } else { if value > 0.0 { "+Inf" } else { "-Inf" }.into() }
}

/// Go writes a power of ten from here on where it may choose the digits.
const SHORTEST: i32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go 1.26 prints for `%g`, `%.2g`, `%.3g`.
    #[test]
    fn numbers_are_written_as_go_writes_them() {
        let texts = [
            (1e5, ["100000", "1e+05", "1e+05"]),
            (123_456.0, ["123456", "1.2e+05", "1.23e+05"]),
            (1e6, ["1e+06", "1e+06", "1e+06"]),
            (1_234_567.0, ["1.234567e+06", "1.2e+06", "1.23e+06"]),
            (123_456_789.0, ["1.23456789e+08", "1.2e+08", "1.23e+08"]),
            (1e22, ["1e+22", "1e+22", "1e+22"]),
            (0.0001, ["0.0001", "0.0001", "0.0001"]),
            (0.000_01, ["1e-05", "1e-05", "1e-05"]),
            (100_000.5, ["100000.5", "1e+05", "1e+05"]),
            (1_000_000.5, ["1.0000005e+06", "1e+06", "1e+06"]),
            (99.9, ["99.9", "1e+02", "99.9"]),
            (0.000_123_45, ["0.00012345", "0.00012", "0.000123"]),
            (-12.0, ["-12", "-12", "-12"]),
            (0.0, ["0", "0", "0"]),
            (f64::INFINITY, ["+Inf", "+Inf", "+Inf"]),
            (f64::NEG_INFINITY, ["-Inf", "-Inf", "-Inf"]),
            (f64::NAN, ["NaN", "NaN", "NaN"]),
        ];
        for (value, expected) in texts {
            assert_eq!([None, Some(2), Some(3)].map(|precision| general(value, precision)), expected, "{value}");
        }
        assert_eq!((exponent(1234.5, Some(2)), fixed(2.5, Some(0))), ("1.23e+03".into(), "2".into()));
    }

    #[test]
    fn texts_are_quoted_as_go_quotes_them() {
        let texts = [
            (
                "a\u{a0}b\u{301}\u{200b}\u{2028}\u{e000}\u{e0001}\u{7f}",
                "\"a\\u00a0b\u{301}\\u200b\\u2028\\ue000\\U000e0001\\x7f\"",
            ),
            ("é\u{ad}", r#""é\u00ad""#),
            ("\u{3000} \u{fffd}", "\"\\u3000 \u{fffd}\""),
            ("'`", "\"'`\""),
            ("\"\\\u{7}\u{8}\u{c}\n\r\t\u{b}\u{1}", r#""\"\\\a\b\f\n\r\t\v\x01""#),
        ];
        for (text, expected) in texts {
            assert_eq!(quoted(text), expected);
        }
    }
}
