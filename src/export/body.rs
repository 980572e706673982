//! What stands in the body of an answer: a partial success, or a text that says why not.

use std::time::Duration;

use super::answer::{LONGEST_WAIT, SHORTEST_WAIT};
pub(super) use crate::base::http::retry_after;
use crate::signal::split::fields;

/// Most that is read of an answer (the limit that OTLP recommends).
pub(super) const MOST_READ: usize = 4 << 20;
/// Most that is kept of it: enough for the ignored entries of hundreds of streams.
pub(super) const MOST_KEPT: usize = 64 << 10;

/// The body of an answer while it is read: its beginning, and how many refused entries the rest tells of. Loki has a
/// sentence for each second that a refused line is of, so that an hour of old lines fills a megabyte.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) body: Vec<u8>,
    read: usize,
    /// What the part that was not kept ended with so far.
    last: Vec<u8>,
    more: u64,
}

impl Kept {
    /// False when enough was read.
    pub(super) fn take(&mut self, chunk: &[u8]) -> bool {
        self.read += chunk.len();
        let (head, rest) = chunk.split_at(chunk.len().min(MOST_KEPT - self.body.len()));
        self.body.extend_from_slice(head);
        if !rest.is_empty() {
            if self.last.is_empty() {
                self.last.extend_from_slice(&self.body[self.body.len() - LOOK_BACK..]);
            }
            let known = self.last.len();
            self.last.extend_from_slice(rest);
            for end in memchr::memmem::find_iter(&self.last, LIKE).map(|at| at + LIKE.len()).filter(|end| *end > known)
            {
                self.more = self.more.saturating_add(trailing_number(&self.last[..end - LIKE.len()]));
            }
            self.last.drain(..self.last.len() - LOOK_BACK);
        }
        self.read < MOST_READ
    }

    /// What is to be said about the part that was not kept, in Loki's own form.
    pub(super) fn more(&self) -> String {
        if self.more == 0 { String::new() } else { format!("…; {} errors like: these", self.more) }
    }
}

fn trailing_number(text: &[u8]) -> u64 {
    let start = text.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |at| at + 1);
    std::str::from_utf8(&text[start..]).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// `N errors like: …`
const LIKE: &[u8] = b" errors like: ";
/// Room for these words and a number before them.
const LOOK_BACK: usize = 40;

/// `partial_success` of an `Export…ServiceResponse`: how many were rejected, and why. Anything else is full success.
pub(super) fn partial_success(body: &[u8]) -> (u64, String) {
    let (mut refused, mut message) = (0, String::new());
    for field in fields(body).map_while(Result::ok).filter(|field| field.number == 1) {
        for field in fields(field.content.unwrap_or_default()).map_while(Result::ok) {
            match (field.number, field.content) {
                // An int64: a negative one is nonsense.
                (1, None) => refused = u64::try_from(field.value as i64).unwrap_or(0),
                (2, Some(text)) => message = String::from_utf8_lossy(text).into_owned(),
                _ => {}
            }
        }
    }
    (refused, message)
}

/// The text of a refusal: the message of a `google.rpc.Status` (which Loki sends without saying so), or plain text.
pub(super) fn text(body: &[u8]) -> String {
    let mut message = None;
    for field in fields(body) {
        match field.map(|field| (field.number, field.content)) {
            Ok((2, Some(text))) => message = std::str::from_utf8(text).ok(),
            Ok((1, None) | (3, Some(_))) => {}
            _ => {
                message = None;
                break;
            }
        }
    }
    message.map_or_else(|| String::from_utf8_lossy(torn(body).unwrap_or(body)).into_owned(), str::to_owned)
}

/// The message of a `google.rpc.Status` whose end was cut off.
fn torn(body: &[u8]) -> Option<&[u8]> {
    if body.len() < MOST_KEPT {
        return None;
    }
    let after_varint = |bytes: &[u8]| bytes.iter().take(10).position(|byte| *byte < 0x80).map(|end| end + 1);
    let body = match body.strip_prefix(b"\x08") {
        Some(code) => &code[after_varint(code)?..],
        None => body,
    };
    let message = body.strip_prefix(b"\x12")?;
    Some(&message[after_varint(message)?..])
}

/// The delay of a `google.rpc.RetryInfo` among the details of a `google.rpc.Status`.
pub(super) fn retry_info(status: &[u8]) -> Option<Duration> {
    for detail in fields(status).map_while(Result::ok).filter(|field| field.number == 3) {
        let inside: Vec<_> = fields(detail.content.unwrap_or_default()).map_while(Result::ok).collect();
        let content = |number| inside.iter().find(|field| field.number == number).and_then(|field| field.content);
        if !content(1).unwrap_or_default().ends_with(b"google.rpc.RetryInfo") {
            continue;
        }
        let delay = fields(content(2).unwrap_or_default()).map_while(Result::ok).find(|field| field.number == 1);
        let (mut seconds, mut nanos) = (0, 0);
        for field in fields(delay.and_then(|field| field.content).unwrap_or_default()).map_while(Result::ok) {
            match field.number {
                1 => seconds = u64::try_from(field.value as i64).unwrap_or(0),
                2 => nanos = u64::try_from(field.value as i64).unwrap_or(0),
                _ => {}
            }
        }
        let delay = Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos));
        return Some(delay.clamp(SHORTEST_WAIT, LONGEST_WAIT));
    }
    None
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
    use prost::Message;

    use super::*;

    #[test]
    fn a_partial_success_is_read_and_everything_else_is_full_success() {
        let partial = ExportLogsPartialSuccess { rejected_log_records: 7, error_message: "seven too old".into() };
        let body = ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        assert_eq!(partial_success(&body), (7, "seven too old".into()));
        for garbage in [&b""[..], b"OK", b"\x0a\xff", b"<html>", &[0xff; 40]] {
            assert_eq!(partial_success(garbage), (0, String::new()), "{garbage:?}");
        }
        let negative = ExportLogsPartialSuccess { rejected_log_records: -1, error_message: String::new() };
        let body = ExportLogsServiceResponse { partial_success: Some(negative) }.encode_to_vec();
        assert_eq!(partial_success(&body).0, 0);
    }

    #[test]
    fn a_refusal_is_read_from_a_status_message_and_from_plain_text() {
        assert_eq!(text(b"\x08\x03\x12\x07too old"), "too old");
        assert_eq!(text(b"out of order sample\n"), "out of order sample\n");
        assert_eq!(text(b""), "");
        assert_eq!(text(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_refusal_that_is_too_long_to_keep_is_counted_to_its_end() {
        let sentence = |number: u64| format!("{number} errors like: entry has timestamp too old; ");
        let text: String = (0..4000).map(|_| sentence(3)).collect();
        let mut body = b"\x08\x03\x12".to_vec();
        prost::encode_length_delimiter(text.len(), &mut body).unwrap();
        body.extend_from_slice(text.as_bytes());
        for size in [1, 7, 1000, 65_536, body.len()] {
            let mut kept = Kept::default();
            assert!(body.chunks(size).all(|chunk| kept.take(chunk)));
            let why = super::text(&kept.body) + &kept.more();
            assert!(why.starts_with("3 errors like: entry"), "{}", &why[..40]);
            assert_eq!(crate::export::refusal::told(&why), Some(12_000), "in chunks of {size}");
        }
        let mut kept = Kept::default();
        assert!(!kept.take(&vec![b'x'; MOST_READ]));
        assert_eq!((kept.body.len(), kept.more()), (MOST_KEPT, String::new()));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_ten_minutes_at_most() {
        let now = 784_111_777_000_000_000; // Sun, 06 Nov 1994 08:49:37 GMT
        let seconds = |text| retry_after(text, now).map(|wait| wait.as_secs());
        assert_eq!(seconds(" 30 "), Some(30));
        assert_eq!(seconds("315360000"), Some(600));
        assert_eq!(seconds("99999999999999999999999999"), Some(600));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(seconds("Sat, 06 Nov 2004 08:50:37 GMT"), Some(600));
        for garbage in ["", "soon", "-1", "1.5", "Sun, 99 Nov"] {
            assert_eq!(seconds(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn a_destination_that_wants_no_wait_is_not_hammered() {
        let now = 784_111_777_000_000_000;
        // No RetryInfo { retry_delay } at all is a delay of zero.
        let info = b"\x1a\x2a\x0a\x28type.googleapis.com/google.rpc.RetryInfo";
        let waits = [retry_after("0", now), retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), retry_info(info)];
        for wait in waits {
            assert!(wait.unwrap() >= Duration::from_secs(1), "{wait:?}");
        }
    }
}
