//! Time stamps, and those that are none.

use jiff::tz::TimeZone;

use super::{Clock, common_log, epoch, epoch_double, iso, rfc3164, whole};
use crate::signal::record::Time;

/// 2026-11-24 10:00:00 UTC in seconds.
const TEN: u64 = 1_795_514_400;

fn at(now: &str, zone: &str) -> Clock {
    let now: jiff::Timestamp = now.parse().unwrap();
    let zone = if zone == "UTC" { TimeZone::UTC } else { TimeZone::posix(zone).unwrap() };
    Clock::fixed(now.as_nanosecond() as u64, zone)
}

fn clock() -> Clock {
    at("2026-11-24T12:00:00Z", "UTC")
}

/// Berlin's rule.
const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

fn time(nanos: u64, resolution: u32) -> Option<Time> {
    Some(Time { nanos, resolution })
}

#[test]
fn iso_stamps_are_read_in_all_spellings() {
    let millis = time(TEN * 1_000_000_000 + 123_000_000, 1_000_000);
    for text in [
        "2026-11-24T10:00:00.123Z",
        "2026-11-24t10:00:00.123z",
        "2026-11-24 10:00:00,123",
        "2026/11/24 10:00:00.123",
        "2026-11-24T11:00:00.123+01:00",
        "2026-11-24T11:00:00.123+0100",
        "2026-11-24T11:00:00.123+01",
        "2026-11-24 04:30:00.123 -0530",
        "2026-11-24 10:00:00.123 UTC",
        "2026-11-24 11:00:00.123 CET",
        "2026-11-24 05:00:00.123 EST",
    ] {
        assert_eq!(whole(text, &mut clock()), millis, "{text}");
    }
    assert_eq!(whole("2026-11-24T10:00:00Z", &mut clock()), time(TEN * 1_000_000_000, 1_000_000_000));
    assert_eq!(whole("2026-11-24T10:00:00.123456789123Z", &mut clock()), time(TEN * 1_000_000_000 + 123_456_789, 1));
}

#[test]
fn a_stamp_ends_where_it_ends() {
    for (text, len) in [
        ("2026-11-24 10:00:00 ERROR x", 19),
        ("2026-11-24 10:00:00, then", 19),
        ("2026-11-24 10:00:00 +5 apples", 19),
        ("2026-11-24 10:00:00 - shop", 19),
        ("2026-11-24 10:00:00 UTC [1]", 23),
        ("2026-11-24 10:00:00 UTCX", 19),
        ("2026-11-24T10:00:00.5Z]", 22),
    ] {
        assert_eq!(iso(text, &mut clock()).unwrap().len, len, "{text}");
    }
}

#[test]
fn what_is_no_time_is_none() {
    for text in [
        "",
        "2026-11-24",
        "2026-13-01T10:00:00Z",
        "2026-02-29T10:00:00Z",
        "2026-00-10T10:00:00Z",
        "2026-11-24T24:00:00Z",
        "2026-11-24T10:60:00Z",
        "2026-11-24T10:00:61Z",
        "2026-11-24T10:00",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2263-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2026-11-24T10:00:00.123Zjunk",
        "-5",
        "12",
        "1e9",
        "99999999",
        "9223372036854775808",
        "2026-11-24T10:00:00é",
        "éééééééééééééééééééé",
        "1970-01-01T00:00:00+18:00",
    ] {
        assert_eq!(whole(text, &mut clock()), None, "{text}");
    }
}

#[test]
fn a_leap_second_is_the_first_of_the_next_minute() {
    assert_eq!(whole("2016-12-31T23:59:60Z", &mut clock()), whole("2017-01-01T00:00:00Z", &mut clock()));
}

#[test]
fn epoch_numbers_are_told_apart_by_their_magnitude() {
    assert_eq!(epoch(TEN as i64), time(TEN * 1_000_000_000, 1_000_000_000));
    assert_eq!(epoch(TEN as i64 * 1_000 + 5), time(TEN * 1_000_000_000 + 5_000_000, 1_000_000));
    assert_eq!(epoch(TEN as i64 * 1_000_000 + 5), time(TEN * 1_000_000_000 + 5_000, 1_000));
    assert_eq!(epoch(TEN as i64 * 1_000_000_000 + 5), time(TEN * 1_000_000_000 + 5, 1));
    assert_eq!(whole("1795514400.250", &mut clock()), time(TEN * 1_000_000_000 + 250_000_000, 1_000_000));
    assert_eq!(epoch_double(1_795_514_400.25), time(TEN * 1_000_000_000 + 250_000_000, 10_000_000));
    assert_eq!(epoch_double(1_795_514_400_000.5), time(TEN * 1_000_000_000 + 500_000, 100_000));
    for number in [0, 5, -1, 99_999_999, i64::MIN, 50_000_000_000] {
        assert_eq!(epoch(number), None, "{number}");
    }
    for number in [0.35, -1.0, f64::MAX, f64::INFINITY, f64::NAN, 5e10] {
        assert_eq!(epoch_double(number), None, "{number}");
    }
}

#[test]
fn stamps_without_offset_are_local_in_summer_and_winter() {
    let mut clock = at("2026-11-24T12:00:00Z", BERLIN);
    for (local, utc) in [
        ("2026-11-24 11:00:00", "2026-11-24T10:00:00Z"),
        ("2026-07-01 12:00:00", "2026-07-01T10:00:00Z"),
        ("2026-03-29 01:59:59", "2026-03-29T00:59:59Z"),
        ("2026-03-29 03:00:00", "2026-03-29T01:00:00Z"),
        ("2026-10-25 03:00:00", "2026-10-25T02:00:00Z"),
        ("2026-11-24 11:00:00", "2026-11-24T10:00:00Z"),
    ] {
        assert_eq!(whole(local, &mut clock), whole(utc, &mut clock), "{local}");
    }
    let mut india = at("2026-11-24T12:00:00Z", "IST-5:30");
    assert_eq!(whole("2026-11-24 15:30:00 IST", &mut india), time(TEN * 1_000_000_000, 1_000_000_000));
    assert!(!iso("2026-11-24 15:30:00 IST", &mut clock).unwrap().zoned, "not Berlin's name");
}

#[test]
fn stamps_without_a_year_belong_to_the_latest_that_is_not_ahead() {
    for (now, text, expected) in [
        ("2026-11-24T12:00:00Z", "Nov 24 10:00:00", "2026-11-24T10:00:00Z"),
        ("2027-01-01T00:00:05Z", "Dec 31 23:59:58", "2026-12-31T23:59:58Z"),
        ("2026-12-31T23:59:58Z", "Jan  1 00:00:03", "2027-01-01T00:00:03Z"),
        ("2026-11-24T12:00:00Z", "Nov 25 11:00:00", "2026-11-25T11:00:00Z"),
        ("2026-11-24T12:00:00Z", "Nov 26 11:00:00", "2025-11-26T11:00:00Z"),
        ("2026-11-24T12:00:00Z", "Feb 29 11:00:00", "2024-02-29T11:00:00Z"),
        ("2028-03-01T12:00:00Z", "Feb 29 11:00:00", "2028-02-29T11:00:00Z"),
    ] {
        let stamp = rfc3164(text, &mut at(now, "UTC")).unwrap();
        assert_eq!(stamp.time, whole(expected, &mut clock()), "{text} at {now}");
    }
    for text in ["Nov 31 10:00:00", "Nov 00 10:00:00", "Foo 24 10:00:00", "Nov 24 25:00:00", "Nov 24 10:00"] {
        assert!(rfc3164(text, &mut clock()).and_then(|stamp| stamp.time).is_none(), "{text}");
    }
}

#[test]
fn access_logs_and_haproxy_write_the_day_first() {
    let stamp = common_log("24/Nov/2026:11:00:00 +0100] \"", &mut clock()).unwrap();
    assert_eq!((stamp.time, stamp.len), (time(TEN * 1_000_000_000, 1_000_000_000), 26));
    let stamp = common_log("24/Nov/2026:10:00:00.123] x", &mut clock()).unwrap();
    assert_eq!((stamp.time, stamp.len), (time(TEN * 1_000_000_000 + 123_000_000, 1_000_000), 24));
    assert!(common_log("24/Foo/2026:10:00:00 +0000", &mut clock()).is_none());
}
