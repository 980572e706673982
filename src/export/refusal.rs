//! Reads why a destination refused something: Loki's and Prometheus' own words.

use crate::signal::frame::Signal;

/// A short word for the kind of refusal, as it is counted.
pub(super) fn reason(signal: Signal, why: &str) -> &'static str {
    let why = why.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| why.contains(word));
    if has(&["duplicate sample"]) {
        "duplicate"
    } else if has(&["out of order", "out-of-order", "too far behind", "too_far_behind"]) {
        "out_of_order"
    } else if has(&["too new", "too_far_in_the_future", "greater_than_max_sample_age_in_future"]) {
        "too_new"
    } else if has(&["too old", "out of bounds", "greater_than_max_sample_age"]) {
        "too_old"
    } else if signal == Signal::Logs && has(&["max entry size", "max line size", "line too long", "line_too_long"]) {
        "line_too_long"
    } else if signal == Signal::Logs && has(&["structured metadata"]) {
        "metadata"
    } else {
        "rejected"
    }
}

/// True when the time is before the oldest that is taken of any series.
pub(super) fn speaks_of_the_bounds(why: &str) -> bool {
    why.to_ascii_lowercase().contains("out of bounds")
}

/// What to do about it, with the destination's words.
pub(super) fn hint(signal: Signal, reason: &str, why: &str) -> String {
    let why = super::answer::shown(why);
    let mend = match (signal, reason) {
        (Signal::Metrics, "out_of_order" | "too_old") => "set storage.tsdb.out_of_order_time_window in prometheus.yml",
        (Signal::Metrics, "duplicate") => {
            "two sources send the same series: give one of them another service or instance"
        }
        (Signal::Logs, "out_of_order") => "Loki takes entries up to max_chunk_age/2 behind the newest of their stream",
        (Signal::Logs, "too_old") => "raise limits_config.reject_old_samples_max_age in Loki",
        (Signal::Logs, "line_too_long") => "raise limits_config.max_line_size in Loki, or set max_line_size_truncate",
        (Signal::Logs, "metadata") => "raise limits_config.max_structured_metadata_size in Loki",
        (_, "too_new") => "the clock of this box or of the server is wrong",
        _ => return why,
    };
    format!("{mend}; it said: {why}")
}

/// True for what a server says to points that it has already. Not for what is too old: that would be said to points
/// that it never saw, after a longer outage to all of them.
pub(super) fn speaks_of_a_repeat(reason: &str) -> bool {
    matches!(reason, "duplicate" | "out_of_order")
}

/// True for `unsupported compression: zstd` (Prometheus), `Content-Encoding "zstd" not supported` (Loki) and the like:
/// a fault of the settings, not of what was sent.
pub(super) fn speaks_of_the_codec(why: &str) -> bool {
    let why = why.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| why.contains(word));
    has(&["content-encoding", "content encoding", "compression"]) && has(&["not supported", "unsupported"])
}

/// How many entries Loki says that it did not store: the ingesters' `total ignored: N out of M` of each stream and
/// the distributor's `N errors like: …`; a single error of the distributor stands there as it is. `None` when it
/// tells no number.
pub(super) fn told(why: &str) -> Option<u64> {
    let ignored = why.split(IGNORED).skip(1).filter_map(|rest| {
        let (number, rest) = leading_number(rest)?;
        rest.starts_with(" out of ").then_some(number)
    });
    let mut pieces = why.split(LIKE).peekable();
    let mut like = Vec::new();
    while let Some(piece) = pieces.next() {
        // What stands behind the last one is no number's text.
        if pieces.peek().is_some() {
            like.extend(trailing_number(piece));
        }
    }
    let told = ignored.chain(like).reduce(u64::saturating_add);
    told.or_else(|| OF_ONE_ENTRY.iter().any(|words| why.contains(words)).then_some(1))
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

fn trailing_number(text: &str) -> Option<u64> {
    let start = text.rfind(|letter: char| !letter.is_ascii_digit()).map_or(0, |at| at + 1);
    // The letter before may be longer than a byte; then there is no number anyway.
    text.get(start..)?.parse().ok()
}

const IGNORED: &str = "total ignored: ";
const LIKE: &str = " errors like: ";
/// What the distributor says of an entry, not of a stream or a request.
const OF_ONE_ENTRY: &[&str] = &[
    "' has timestamp too old: ",
    "' has timestamp too new: ",
    "ax entry size '",
    "' has structured metadata too large: ",
    "' has too many structured metadata labels: ",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lokis_numbers_are_added_over_its_streams_and_kinds_of_errors() {
        let text = "entry with timestamp 2026-08-01 00:00:00 +0000 UTC ignored, reason: 'entry too far behind, entry \
                    timestamp is: x, oldest acceptable timestamp is: y',\nuser 'fake', total ignored: 3 out of 7 for \
                    stream: {a=\"b\"}\nuser 'fake', total ignored: 2 out of 2 for stream: {a=\"c\"}";
        assert_eq!(told(text), Some(5));
        assert_eq!(reason(Signal::Logs, text), "out_of_order");
        assert_eq!(
            told("100 errors like: Max entry size exceeded; 2 errors like: entry has timestamp too old"),
            Some(102)
        );
        assert_eq!(told("400 Bad Request: total ignored: 10 out of 10"), Some(10));
    }

    /// Loki names no number when one line alone is bad (`GroupedErrors` in its `pkg/util/errors.go`); the others of the
    /// request are stored.
    #[test]
    fn a_sole_bad_line_is_one_line_not_the_whole_request() {
        for text in [
            "entry for stream '{service_name=\"shop\"}' has timestamp too old: 2020-01-01T00:00:00Z, oldest acceptable timestamp is: 2026-08-15T00:00:00Z",
            "Max entry size '262144' bytes exceeded for stream '{service_name=\"shop\"}' while adding an entry with length '300000' bytes",
            "stream '{service_name=\"shop\"}' has structured metadata too large: '70000' bytes, limit: '65536' bytes",
        ] {
            assert_eq!(told(&format!("400 Bad Request: {text}")), Some(1), "{text}");
        }
        assert_eq!(told("400 Bad Request: couldn't parse push request: unexpected EOF"), None);
    }

    #[test]
    fn a_single_refused_entry_has_no_number_before_it() {
        let old = "400 Bad Request: entry for stream '{a=\"b\"}' has timestamp too old: 2026-11-16T20:02:20Z, oldest \
                   acceptable timestamp is: 2026-11-17T20:02:20Z";
        assert_eq!(told(old), Some(1));
        assert_eq!(told(&format!("1 errors like: {old}; 3 errors like: {old}")), Some(4));
        assert_eq!(told("stream '{a=\"b\"}' has label name too long: 'x'"), None, "that is the whole stream");
    }

    #[test]
    fn text_without_numbers_or_with_torn_ones_tells_none() {
        for text in
            ["", "error at least one label pair is required", "total ignored: ", "é errors like: ", " errors like: x"]
        {
            assert_eq!(told(text), None, "{text:?}");
        }
        assert_eq!(told("total ignored: 99999999999999999999999 out of 3"), None);
    }

    #[test]
    fn prometheus_words_become_reasons_with_a_mend() {
        let cases = [
            ("out of order sample", "out_of_order"),
            ("duplicate sample for timestamp", "duplicate"),
            ("out of bounds", "too_old"),
            ("too old sample", "too_old"),
            ("proto: wrong wireType", "rejected"),
        ];
        for (why, expected) in cases {
            assert_eq!(reason(Signal::Metrics, why), expected, "{why}");
        }
        assert!(hint(Signal::Metrics, "out_of_order", "x").contains("storage.tsdb.out_of_order_time_window"));
    }
}
