//! Durations in Prometheus' notation: `5m`, `1d12h`, `0`.

use std::time::Duration;

use crate::query;

const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// What a duration looks like, for people.
pub const LIKE: &str =
    "a duration such as 30s, 5m or 1d12h: whole numbers with y, w, d, h, m, s, ms, the largest first";

/// Reads a duration; `None` where it is none or beyond 292 years.
pub fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    query::duration(text).and_then(|millis| u64::try_from(millis).ok()).map(Duration::from_millis)
}

/// As Prometheus writes it.
pub fn text(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if left == 0 {
        return "0s".into();
    }
    let mut out = String::new();
    for (unit, millis) in UNITS {
        // Years, weeks and days are written only where nothing is left over.
        let exact = matches!(unit, "y" | "w");
        if left >= millis && (!exact || left % millis == 0) {
            out.push_str(&format!("{}{unit}", left / millis));
            left %= millis;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_prometheus_reads_them() {
        let millis = |text: &str| parse(text).map(|duration| duration.as_millis());
        assert_eq!(millis("1d12h"), Some(36 * 3_600_000));
        assert_eq!((millis("0"), millis("1m30s"), millis("15ms")), (Some(0), Some(90_000), Some(15)));
        for wrong in ["", "5", "1.5h", "1h1d", "1h1h", "-1h", "h", "1 h", "300y", "99999999999999999999s"] {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
        assert_eq!(text(Duration::from_secs(36 * 3600)), "1d12h");
        assert_eq!((text(Duration::ZERO), text(Duration::from_secs(90))), ("0s".into(), "1m30s".into()));
    }
}
