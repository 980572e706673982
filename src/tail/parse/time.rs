//! Time stamps of log lines: ISO 8601 and RFC 3339 in all their spellings, the common log format, RFC 3164, epoch
//! numbers.
//!
//! Own readers, because they cost a third of a general library's and because a log's stamps keep to no one
//! standard. The library (jiff) answers what needs a database: which offset the box had at that local time.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::base::clock::{SECOND, unix_nanos};
use crate::signal::record::Time;

/// What reading a time stamp needs from outside: the local time zone, and today's date for stamps without a year.
#[derive(Debug, Clone)]
pub struct Clock {
    zone: TimeZone,
    now: Option<u64>,
    quarter: i64,
    offset: i64,
}

impl Clock {
    /// The box's own clock and time zone.
    pub fn system() -> Self {
        Self { zone: TimeZone::system(), now: None, quarter: i64::MIN, offset: 0 }
    }

    /// A clock that stands at `now` (Unix nanoseconds) in `zone`.
    pub fn fixed(now: u64, zone: TimeZone) -> Self {
        Self { zone, now: Some(now), quarter: i64::MIN, offset: 0 }
    }

    fn now(&self) -> i64 {
        (self.now.unwrap_or_else(unix_nanos) / SECOND) as i64
    }

    /// Unix seconds of a local wall time. The offset is asked for once per quarter of an hour of local time: no
    /// zone changes its offset at other minutes since 1972.
    fn local(&mut self, wall: i64) -> Option<i64> {
        let quarter = wall.div_euclid(900);
        if quarter != self.quarter {
            let noon: DateTime = TimeZone::UTC.to_datetime(Timestamp::from_second(wall).ok()?);
            self.offset = wall - self.zone.to_timestamp(noon).ok()?.as_second();
            self.quarter = quarter;
        }
        Some(wall - self.offset)
    }

    /// True when the local zone is called `name` at this wall time.
    fn is_called(&mut self, name: &str, wall: i64) -> bool {
        let Some(stamp) = self.local(wall).and_then(|unix| Timestamp::from_second(unix).ok()) else { return false };
        self.zone.to_offset_info(stamp).abbreviation() == name
    }
}

/// A time stamp at the start of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// The time; none when it lies before 1970 or after 2262.
    pub(super) time: Option<Time>,
    /// Bytes it takes.
    pub(super) len: usize,
    /// True when it names its offset or zone.
    pub(super) zoned: bool,
}

/// `2026-11-24T10:00:00.123456+01:00` and its kin: `/` between the date's parts, a space for the `T`, a comma for
/// the point, offset as `Z`, `+01`, `+0100`, `+01:00` or a zone's name after a space, or none (local time).
pub(super) fn iso(text: &str, clock: &mut Clock) -> Option<Stamp> {
    let bytes = text.as_bytes();
    let head = bytes.first_chunk::<19>()?;
    let fits = matches!(head[4], b'-' | b'/') && head[7] == head[4] && matches!(head[10], b'T' | b' ' | b't');
    if !fits || head[13] != b':' || head[16] != b':' {
        return None;
    }
    let year = i64::from(two(head[0], head[1])?) * 100 + i64::from(two(head[2], head[3])?);
    let date = days(year, two(head[5], head[6])?, two(head[8], head[9])?)?;
    let wall = date * 86_400 + day_seconds(&head[11..19])?;
    let (fraction, resolution, mut at) = fraction(bytes, 19);
    let (offset, end) = offset(text, at, wall, clock);
    at = end;
    if bytes.get(at).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let unix = match offset {
        Some(offset) => Some(wall - offset),
        None => clock.local(wall),
    };
    let time = unix.and_then(|unix| finish(unix, fraction, resolution));
    Some(Stamp { time, len: at, zoned: offset.is_some() })
}

/// `24/Nov/2026:10:00:00 +0100` of access logs; `24/Nov/2026:10:00:00.123` of HAProxy (local time).
pub(super) fn common_log(text: &str, clock: &mut Clock) -> Option<Stamp> {
    let bytes = text.as_bytes();
    let head = bytes.first_chunk::<20>()?;
    if head[2] != b'/' || head[6] != b'/' || head[11] != b':' || head[14] != b':' || head[17] != b':' {
        return None;
    }
    let year = i64::from(two(head[7], head[8])?) * 100 + i64::from(two(head[9], head[10])?);
    let date = days(year, month([head[3], head[4], head[5]])?, two(head[0], head[1])?)?;
    let wall = date * 86_400 + day_seconds(&head[12..20])?;
    let (fraction, resolution, at) = fraction(bytes, 20);
    let (offset, at) = offset(text, at, wall, clock);
    let unix = match offset {
        Some(offset) => Some(wall - offset),
        None => clock.local(wall),
    };
    let time = unix.and_then(|unix| finish(unix, fraction, resolution));
    Some(Stamp { time, len: at, zoned: offset.is_some() })
}

/// `Nov 24 10:00:00` of RFC 3164, local time. The year is the latest that does not put it more than a day after
/// now: lines of December that are read in January belong to the old year.
pub(super) fn rfc3164(text: &str, clock: &mut Clock) -> Option<Stamp> {
    let head = text.as_bytes().first_chunk::<15>()?;
    if head[3] != b' ' || head[6] != b' ' || head[9] != b':' || head[12] != b':' {
        return None;
    }
    let month = month([head[0], head[1], head[2]])?;
    let day = two(if head[4] == b' ' { b'0' } else { head[4] }, head[5])?;
    let seconds = day_seconds(&head[7..15])?;
    if !(1..=31).contains(&day) {
        return None;
    }
    let latest = clock.now() + 86_400;
    let this = 1970 + latest / 31_556_952;
    // Nine years, because 29 February may be eight years ago (2096 to 2104).
    let unix = (this - 8..=this + 1).rev().find_map(|year| {
        let wall = days(year, month, day)? * 86_400 + seconds;
        clock.local(wall).filter(|unix| *unix <= latest)
    });
    Some(Stamp { time: unix.and_then(|unix| finish(unix, 0, SECOND as u32)), len: 15, zoned: false })
}

/// A text that is a time as a whole: a stamp or an epoch number.
pub(super) fn whole(text: &str, clock: &mut Clock) -> Option<Time> {
    let stamp = iso(text, clock).or_else(|| common_log(text, clock));
    if let Some(stamp) = stamp {
        return stamp.time.filter(|_| stamp.len == text.len());
    }
    let (whole, fraction_digits) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction_digits) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    if fraction_digits.is_empty() {
        return epoch(whole);
    }
    let (fraction, resolution, _) = fraction(text.as_bytes(), text.len() - fraction_digits.len() - 1);
    match scale(whole)? {
        SECOND => finish(whole, fraction, resolution).filter(is_likely),
        _ => epoch(whole),
    }
}

/// An epoch number: seconds, milliseconds, microseconds or nanoseconds by its magnitude. Numbers that would mean a
/// time before 2000 or after 2100 are no times: they are durations and counters.
pub(super) fn epoch(number: i64) -> Option<Time> {
    let scale = scale(number)?;
    Some(Time { nanos: (number as u64).checked_mul(scale)?, resolution: scale as u32 }).filter(is_likely)
}

/// An epoch number with a fraction. Its resolution is that of the shortest decimal that means this double.
pub(super) fn epoch_double(number: f64) -> Option<Time> {
    if !(1e8..9.2e18).contains(&number) {
        return None;
    }
    let scale = scale(number as i64)?;
    let mut resolution = scale;
    let mut power = 1.0;
    while resolution > 1 && (number * power).round() / power != number {
        resolution /= 10;
        power *= 10.0;
    }
    let units = (number * power).round() as u64;
    let nanos = units.checked_mul(resolution).filter(|nanos| *nanos <= i64::MAX as u64)?;
    Some(Time { nanos, resolution: resolution as u32 }).filter(is_likely)
}

fn is_likely(time: &Time) -> bool {
    (946_684_800 * SECOND..4_102_444_800 * SECOND).contains(&time.nanos)
}

/// What one unit of an epoch number is worth in nanoseconds.
fn scale(number: i64) -> Option<u64> {
    match number {
        100_000_000..100_000_000_000 if number <= i64::MAX / SECOND as i64 => Some(SECOND),
        100_000_000_000..100_000_000_000_000 if number <= i64::MAX / 1_000_000 => Some(1_000_000),
        100_000_000_000_000..100_000_000_000_000_000 if number <= i64::MAX / 1_000 => Some(1_000),
        100_000_000_000_000_000.. => Some(1),
        _ => None,
    }
}

/// Digits behind a point or comma at `at`: nanoseconds, what the last digit is worth, where they end. A comma
/// needs three digits, for it is also punctuation.
#[inline]
fn fraction(bytes: &[u8], at: usize) -> (u32, u32, usize) {
    let none = (0, SECOND as u32, at);
    let Some(mark @ (b'.' | b',')) = bytes.get(at) else { return none };
    let mut nanos = 0;
    let mut unit = SECOND as u32;
    let mut end = at + 1;
    while let Some(digit @ b'0'..=b'9') = bytes.get(end) {
        if unit > 1 {
            nanos = nanos * 10 + u32::from(digit - b'0');
            unit /= 10;
        }
        end += 1;
    }
    if end == at + 1 || (*mark == b',' && end < at + 4) {
        return none;
    }
    (nanos * unit, unit, end)
}

/// The offset in seconds at `at`, if there is one, and where it ends.
#[inline]
fn offset(text: &str, at: usize, wall: i64, clock: &mut Clock) -> (Option<i64>, usize) {
    let bytes = text.as_bytes();
    match bytes.get(at) {
        Some(b'Z' | b'z') => (Some(0), at + 1),
        Some(b'+' | b'-') => numeric(bytes, at, 2).map_or((None, at), |(offset, end)| (Some(offset), end)),
        Some(b' ') => match bytes.get(at + 1) {
            Some(b'+' | b'-') => {
                // Behind a space two digits may be anything; an offset is spelled with four.
                numeric(bytes, at + 1, 4).map_or((None, at), |(offset, end)| (Some(offset), end))
            }
            Some(b'A'..=b'Z') => named(text, at + 1, wall, clock).map_or((None, at), |(o, end)| (Some(o), end)),
            _ => (None, at),
        },
        _ => (None, at),
    }
}

#[inline]
fn numeric(bytes: &[u8], at: usize, least: usize) -> Option<(i64, usize)> {
    let sign = if bytes.get(at) == Some(&b'-') { -1 } else { 1 };
    let pair = |at: usize| two(*bytes.get(at)?, *bytes.get(at + 1)?);
    let hours = pair(at + 1)?;
    let (minutes, end) = match bytes.get(at + 3) {
        Some(b':') => (pair(at + 4)?, at + 6),
        Some(b'0'..=b'9') => (pair(at + 3)?, at + 5),
        _ if least <= 2 => (0, at + 3),
        _ => return None,
    };
    (hours <= 18 && minutes < 60).then(|| (sign * (i64::from(hours) * 3600 + i64::from(minutes) * 60), end))
}

fn named(text: &str, at: usize, wall: i64, clock: &mut Clock) -> Option<(i64, usize)> {
    let word = text.get(at..)?;
    let len = word.bytes().take_while(u8::is_ascii_uppercase).take(6).count();
    if word.as_bytes().get(len).is_some_and(|next| next.is_ascii_alphanumeric() || matches!(next, b'_' | b'=')) {
        return None;
    }
    let name = word.get(..len)?;
    let hours = match name {
        "Z" | "UTC" | "GMT" | "WET" => 0,
        "CET" | "WEST" => 1,
        "CEST" | "EET" => 2,
        "EEST" | "MSK" => 3,
        "JST" | "KST" => 9,
        "AEST" => 10,
        "EDT" => -4,
        "EST" | "CDT" => -5,
        "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        // CST, IST, BST and others mean several zones: only the box's own can be told.
        _ if (3..=5).contains(&len) && clock.is_called(name, wall) => {
            return Some((wall - clock.local(wall)?, at + len));
        }
        _ => return None,
    };
    Some((hours * 3600, at + len))
}

/// Unix seconds and nanoseconds to a time, unless it lies before 1970 or after 2262.
#[inline]
fn finish(unix: i64, nanos: u32, resolution: u32) -> Option<Time> {
    if unix < 0 || unix >= i64::MAX / SECOND as i64 || (unix == 0 && nanos == 0) {
        return None;
    }
    Some(Time { nanos: unix as u64 * SECOND + u64::from(nanos), resolution })
}

#[inline]
fn two(tens: u8, ones: u8) -> Option<u8> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| tens * 10 + ones)
}

/// `10:00:00` to seconds. Second 60 is a leap second: it becomes the next minute's first, as Unix time has it.
#[inline]
fn day_seconds(clock: &[u8]) -> Option<i64> {
    let [h1, h2, _, m1, m2, _, s1, s2] = *clock.first_chunk::<8>()?;
    let (hour, minute, second) = (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?);
    (hour < 24 && minute < 60 && second <= 60)
        .then(|| i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second))
}

fn month(name: [u8; 3]) -> Option<u8> {
    Some(match &name {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    })
}

/// Days since 1970-01-01 of a date of the Gregorian calendar, by Howard Hinnant's `days_from_civil`.
#[inline]
fn days(year: i64, month: u8, day: u8) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day == 0 || day > last {
        return None;
    }
    let (month, day) = (i64::from(month), i64::from(day));
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

#[cfg(test)]
mod tests;
