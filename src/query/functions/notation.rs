//! Numbers as text.

/// As Go's `%f` in the shortest form.
pub(in crate::query) fn decimal(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    value.to_string()
}
