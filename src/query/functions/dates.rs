//! Parts of a date in UTC; the value is Unix seconds.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The function with this name.
pub(super) fn find(name: &str) -> Option<fn(f64, &[f64]) -> f64> {
    Some(match name {
        "minute" => |value, _| part(value, |at| at.minute().into()),
        "hour" => |value, _| part(value, |at| at.hour().into()),
        "day_of_week" => |value, _| part(value, |at| at.weekday().to_sunday_zero_offset().into()),
        "day_of_month" => |value, _| part(value, |at| at.day().into()),
        "day_of_year" => |value, _| part(value, |at| at.day_of_year().into()),
        "days_in_month" => |value, _| part(value, |at| at.days_in_month().into()),
        "month" => |value, _| part(value, |at| at.month().into()),
        "year" => |value, _| part(value, |at| at.year().into()),
        _ => return None,
    })
}

/// NaN for what is no date that the calendar has.
fn part(seconds: f64, of: fn(DateTime) -> f64) -> f64 {
    if seconds.is_nan() {
        return f64::NAN;
    }
    // Whole seconds, cut towards zero as Prometheus does.
    let at = jiff::Timestamp::from_second(seconds as i64);
    at.map_or(f64::NAN, |at| of(TimeZone::UTC.to_datetime(at)))
}
