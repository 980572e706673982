//! Parts of a date in UTC; the value is Unix seconds.
//!
//! The calendar is counted here: Prometheus' knows years far beyond 9999, where the crates for dates end.

/// Seconds of a day.
const DAY: i64 = 86_400;

/// The function with this name.
pub(super) fn find(name: &str) -> Option<fn(f64, &[f64]) -> f64> {
    Some(match name {
        "minute" => |value, _| part(value, |at| at.second / 60 % 60),
        "hour" => |value, _| part(value, |at| at.second / 3600),
        // 1970-01-01 was a Thursday; Sunday is 0.
        "day_of_week" => |value, _| part(value, |at| (at.days + 4).rem_euclid(7)),
        "day_of_month" => |value, _| part(value, |at| at.day),
        "day_of_year" => |value, _| part(value, |at| at.days - days(at.year, 1, 1) + 1),
        "days_in_month" => |value, _| part(value, |at| length(at.year, at.month)),
        "month" => |value, _| part(value, |at| at.month),
        "year" => |value, _| part(value, |at| at.year),
        _ => return None,
    })
}

struct Date {
    /// Since 1970-01-01.
    days: i64,
    year: i64,
    month: i64,
    day: i64,
    /// Of the day.
    second: i64,
}

/// NaN for what is no number.
fn part(seconds: f64, of: fn(&Date) -> i64) -> f64 {
    if seconds.is_nan() {
        return f64::NAN;
    }
    // Whole seconds, cut towards zero as Prometheus does.
    let seconds = seconds as i64;
    of(&date(seconds.div_euclid(DAY), seconds.rem_euclid(DAY))) as f64
}

/// The date of a day, counted in eras of 400 years that begin in March, so that the leap day is the last of its year.
fn date(days: i64, second: i64) -> Date {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    Date { days, year, month, day, second }
}

/// The day's number, counted from 1970-01-01.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = (month + 9) % 12;
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn length(year: i64, month: i64) -> i64 {
    let next = if month == 12 { days(year + 1, 1, 1) } else { days(year, month + 1, 1) };
    next - days(year, month, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, seconds: f64) -> f64 {
        find(name).unwrap()(seconds, &[])
    }

    #[test]
    fn every_day_of_eight_centuries_is_what_the_calendar_says() {
        let mut day = jiff::civil::date(1600, 1, 1);
        let mut number = days(1600, 1, 1);
        while day.year() < 2400 {
            let seconds = (number * DAY) as f64;
            let found = ["year", "month", "day_of_month", "day_of_week", "day_of_year", "days_in_month"];
            let wanted = [
                f64::from(day.year()),
                f64::from(day.month()),
                f64::from(day.day()),
                f64::from(day.weekday().to_sunday_zero_offset()),
                f64::from(day.day_of_year()),
                f64::from(day.days_in_month()),
            ];
            assert_eq!(found.map(|name| call(name, seconds)), wanted, "{day}");
            (day, number) = (day.tomorrow().unwrap(), number + 1);
        }
    }

    #[test]
    fn times_are_cut_to_seconds_and_nothing_overflows() {
        assert_eq!((call("hour", -1.0), call("minute", -1.0), call("day_of_month", -1.0)), (23.0, 59.0, 31.0));
        assert_eq!(call("year", -0.9), 1970.0, "cut towards zero");
        assert_eq!(call("year", 1e12), 33_658.0);
        assert!(call("year", f64::NAN).is_nan());
        for name in ["year", "day_of_year", "days_in_month", "day_of_week", "minute"] {
            assert!(call(name, f64::INFINITY).is_finite() && call(name, f64::NEG_INFINITY).is_finite(), "{name}");
        }
    }
}
