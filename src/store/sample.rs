//! One number of a series at its time.

/// A number at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Unix milliseconds, as Prometheus counts.
    pub t: i64,
    /// The value; [`STALE`]'s bits end the series.
    pub v: f64,
}

/// The NaN whose bits say that a series ended, as in Prometheus (`value.StaleNaN`).
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether `value` is the marker; another NaN is a value.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE.to_bits()
}
