//! Times and durations as Go writes them.

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
