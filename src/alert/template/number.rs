//! Numbers, times and durations as Go writes them.

/// `%e`, with two digits of exponent at least.
pub(super) fn exponent(value: f64, precision: Option<usize>) -> String {
    if !value.is_finite() {
        return odd(value);
    }
    let text = match precision {
        Some(digits) => format!("{value:.digits$e}"),
        None => format!("{value:e}"),
    };
    let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs())
}

/// `%f`.
pub(super) fn fixed(value: f64, precision: Option<usize>) -> String {
    match precision {
        _ if !value.is_finite() => odd(value),
        Some(digits) => format!("{value:.digits$}"),
        None => format!("{value}"),
    }
}

/// `%g`: the shorter of both; `None`: as many digits as the value needs.
pub(super) fn general(value: f64, precision: Option<usize>) -> String {
    if !value.is_finite() {
        return odd(value);
    }
    let digits = precision.map(|digits| digits.max(1));
    let text = match digits {
        Some(digits) => format!("{value:.*e}", digits - 1),
        None => format!("{value:e}"),
    };
    let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    let limit = digits.map_or(SHORTEST, |digits| i32::try_from(digits).unwrap_or(i32::MAX));
    let trimmed = if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    if power < -4 || power >= limit {
        return format!("{trimmed}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs());
    }
    let behind = digits.map(|digits| usize::try_from(limit - 1 - power).unwrap_or(0).min(digits + 4));
    match behind {
        Some(behind) => {
            let text = format!("{value:.behind$}");
            if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
        }
        None => format!("{value}"),
    }
}

/// Go writes an exponent from here on where it may choose the digits.
const SHORTEST: i32 = 6;

fn odd(value: f64) -> String {
    if value.is_nan() { "NaN".into() } else { if value > 0.0 { "+Inf" } else { "-Inf" }.into() }
}

/// `1970-01-01 00:00:10.5 +0000 UTC`
pub(super) fn time(millis: i64) -> String {
    let Ok(stamp) = jiff::Timestamp::from_millisecond(millis) else { return format!("{millis} ms") };
    let text = jiff::tz::Offset::UTC.to_datetime(stamp).to_string();
    format!("{} +0000 UTC", text.replacen('T', " ", 1))
}

/// `1h2m3.5s`
pub(super) fn span(nanos: i64) -> String {
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
