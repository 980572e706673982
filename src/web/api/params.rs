//! Parameters of Prometheus' API: forms, times and durations, read as Prometheus (Go) reads them.

use crate::query;

use std::str::FromStr;

use jiff::Timestamp;

use super::Refusal;

/// The parameters of a request: those of a body stand before those of the URL.
#[derive(Debug, Clone, Default)]
pub(super) struct Params {
    pairs: Vec<(String, String)>,
    /// Why some could not be read; most routes go on without them, as Prometheus does.
    pub(super) broken: Option<String>,
}

/// Pairs of one form; a form within the bounds of a request could have a hundred thousand.
const MAX_PAIRS: usize = 1000;

impl Params {
    /// Adds a form (`application/x-www-form-urlencoded`, or what stands behind the `?` of a URL).
    pub(super) fn add(&mut self, form: &str) {
        for pair in form.split('&').filter(|pair| !pair.is_empty()) {
            if self.pairs.len() >= MAX_PAIRS {
                self.broken.get_or_insert_with(|| format!("more than {MAX_PAIRS} parameters"));
                return;
            }
            if pair.contains(';') {
                self.broken.get_or_insert_with(|| "invalid semicolon separator in query".to_owned());
                continue;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match unescape(name).and_then(|name| Ok((name, unescape(value)?))) {
                Ok(pair) => self.pairs.push(pair),
                Err(why) => {
                    self.broken.get_or_insert(why);
                }
            }
        }
    }

    /// The first value, empty where there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// All values.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A time in Unix milliseconds that may be left out.
    pub(super) fn time_or(&self, name: &str, default: i64) -> Result<i64, Refusal> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(default);
        }
        time(text).map_err(|why| Refusal::parameter(name, &format!("invalid time value for '{name}': {why}")))
    }

    /// A time that must be there.
    pub(super) fn time(&self, name: &str) -> Result<i64, Refusal> {
        time(self.get(name)).map_err(|why| Refusal::parameter(name, &why))
    }

    /// Most results; `None`: all.
    pub(super) fn limit(&self) -> Result<Option<usize>, Refusal> {
        let text = self.get("limit");
        if text.is_empty() {
            return Ok(None);
        }
        let limit = integer(text).map_err(|why| Refusal::parameter("limit", &why))?;
        match usize::try_from(limit) {
            Ok(0) => Ok(None),
            Ok(limit) => Ok(Some(limit)),
            Err(_) => Err(Refusal::parameter("limit", "limit must be non-negative")),
        }
    }
}

/// A whole number as Go's `strconv.Atoi` reads it.
pub(super) fn integer(text: &str) -> Result<i64, String> {
    i64::from_str(text).map_err(|error| match error.kind() {
        std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
            format!("strconv.Atoi: parsing {text:?}: value out of range")
        }
        _ => format!("strconv.Atoi: parsing {text:?}: invalid syntax"),
    })
}

fn unescape(text: &str) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = bytes.get(at..at + 2).and_then(|two| std::str::from_utf8(two).ok());
                let value = digits.filter(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()));
                let Some(value) = value.and_then(|two| u8::from_str_radix(two, 16).ok()) else {
                    let shown: String = text[at - 1..].chars().take(3).collect();
                    return Err(format!("invalid URL escape {shown:?}"));
                };
                out.push(value);
                at += 2;
            }
            byte => out.push(byte),
        }
    }
    // Prometheus keeps other bytes and refuses them later, where a label or an expression must be UTF-8.
    Ok(String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Seconds since 1970 with a fraction, or RFC 3339; as Unix milliseconds.
///
/// # Errors
/// The text is neither.
pub fn time(text: &str) -> Result<i64, String> {
    let wrong = || format!("cannot parse {text:?} to a valid timestamp");
    if let Some(seconds) = number(text) {
        let whole = seconds.trunc();
        // The rounding is Prometheus' own: a fraction as people write it names its millisecond.
        let fraction = ((seconds - whole) * 1000.0).round() / 1000.0;
        // Beyond it no time stamp of a sample lies, and milliseconds would not fit.
        if !seconds.is_finite() || whole.abs() > 9e12 {
            return Err(wrong());
        }
        let nanos = i128::from(whole as i64) * 1_000_000_000 + i128::from((fraction * 1e9) as i64);
        return i64::try_from(nanos.div_euclid(1_000_000)).map_err(|_| wrong());
    }
    if !is_rfc3339(text.as_bytes()) {
        return Err(wrong());
    }
    let stamp: Timestamp = text.parse().map_err(|_| wrong())?;
    i64::try_from(stamp.as_nanosecond().div_euclid(1_000_000)).map_err(|_| wrong())
}

/// `2006-01-02T15:04:05`, perhaps a fraction, and `Z` or `+07:00`.
fn is_rfc3339(text: &[u8]) -> bool {
    let shape = b"dddd-dd-ddTdd:dd:dd";
    let fits = |text: &[u8], shape: &[u8]| {
        text.len() == shape.len()
            && text.iter().zip(shape).all(|(byte, wanted)| match wanted {
                b'd' => byte.is_ascii_digit(),
                wanted => byte == wanted,
            })
    };
    let Some((head, rest)) = text.split_at_checked(shape.len()) else { return false };
    let rest = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            &fraction[digits..]
        }
        None => rest,
    };
    fits(head, shape) && (rest == b"Z" || fits(rest, b"+dd:dd") || fits(rest, b"-dd:dd"))
}

/// Seconds as a number, or Prometheus' duration (`1h30m`); in nanoseconds.
///
/// # Errors
/// The text is neither, or beyond 292 years.
pub fn duration(text: &str) -> Result<i64, String> {
    if let Some(seconds) = number(text) {
        let nanos = seconds * 1e9;
        if nanos.is_nan() || nanos >= i64::MAX as f64 || nanos < i64::MIN as f64 {
            return Err(format!("cannot parse {text:?} to a valid duration. It overflows int64"));
        }
        return Ok(nanos as i64);
    }
    query::duration(text)
        .and_then(|millis| millis.checked_mul(1_000_000))
        .ok_or_else(|| format!("cannot parse {text:?} to a valid duration"))
}

/// As Go's `strconv.ParseFloat` reads it: a number too large for a double is none.
fn number(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    let written_out = text.bytes().any(|byte| byte.is_ascii_digit());
    (!(number.is_infinite() && written_out)).then_some(number)
}

/// The label that a path segment names: `U__` begins the escaped form of a name with other characters.
pub(super) fn label_name(segment: &str) -> String {
    let Some(escaped) = segment.strip_prefix("U__") else { return segment.to_owned() };
    unescape_name(escaped).unwrap_or_else(|| segment.to_owned())
}

fn unescape_name(escaped: &str) -> Option<String> {
    let mut out = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('_') {
            out.push('_');
            rest = behind;
            continue;
        }
        let end = rest.find('_')?;
        // Six digits hold the largest character there is.
        if end > 5 || !rest[..end].bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let code = if end == 0 { 0 } else { u32::from_str_radix(&rest[..end], 16).ok()? };
        out.push(char::from_u32(code)?);
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_prometheus_reads_them() {
        for (text, millis) in [
            ("0", 0),
            ("1700000000", 1_700_000_000_000),
            ("1700000000.123", 1_700_000_000_123),
            ("1.7e9", 1_700_000_000_000),
            ("-1.5", -1500),
            ("2015-06-03T13:21:58.555Z", 1_433_337_718_555),
            ("2015-06-03T14:21:58.555+01:00", 1_433_337_718_555),
            ("2015-06-03T13:21:58Z", 1_433_337_718_000),
        ] {
            assert_eq!(time(text), Ok(millis), "{text}");
        }
        for text in
            ["", "now", "2015-06-03", "2015-06-03 13:21:58Z", "2015-06-03T13:21:58", "2015-06-33T00:00:00Z", "1e400"]
        {
            assert_eq!(time(text), Err(format!("cannot parse {text:?} to a valid timestamp")));
        }
    }

    #[test]
    fn durations_are_seconds_or_units_in_their_order() {
        for (text, nanos) in
            [("15", 15e9), ("0.5", 5e8), ("1h30m", 5400e9), ("1d", 86400e9), ("20ms", 2e7), ("1m", 60e9), ("0s", 0.0)]
        {
            assert_eq!(duration(text), Ok(nanos as i64), "{text}");
        }
        for text in ["", "30m1h", "1x", "1h1h", "m", "-5m", "1.5h", "99999999999y"] {
            assert_eq!(duration(text), Err(format!("cannot parse {text:?} to a valid duration")));
        }
        assert!(duration("1e300").unwrap_err().ends_with("It overflows int64"));
        assert!(duration("NaN").unwrap_err().ends_with("It overflows int64"));
    }

    #[test]
    fn forms_are_unescaped_and_what_is_broken_is_told() {
        let mut params = Params::default();
        params.add("query=a%20%2B+b&match[]=x&match%5B%5D=y&empty");
        params.add("query=second&bad=%zz&later=1");
        assert_eq!(params.get("query"), "a + b");
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!((params.get("empty"), params.get("missing"), params.get("later")), ("", "", "1"));
        assert_eq!(params.broken.as_deref(), Some("invalid URL escape \"%zz\""));
        let mut many = Params::default();
        many.add(&"a=1&".repeat(100_000));
        assert!(many.pairs.len() <= MAX_PAIRS && many.broken.is_some());
    }

    #[test]
    fn names_with_other_characters_come_escaped() {
        for (segment, name) in [
            ("job", "job"),
            ("U__http_2e_method", "http.method"),
            ("U__a__b", "a_b"),
            ("U__bad_zz_", "U__bad_zz_"),
            ("U__open_2e", "U__open_2e"),
            ("U___1F600_", "\u{1f600}"),
        ] {
            assert_eq!(label_name(segment), name);
        }
    }
}
