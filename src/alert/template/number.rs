//! Times as Go writes them.

/// `1970-01-01 00:00:10.5 +0000 UTC`
pub(super) fn time(millis: i64) -> String {
    let Ok(stamp) = jiff::Timestamp::from_millisecond(millis) else { return format!("{millis} ms") };
    let text = jiff::tz::Offset::UTC.to_datetime(stamp).to_string();
    format!("{} +0000 UTC", text.replacen('T', " ", 1))
}
