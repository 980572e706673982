//! What statuses and bodies mean, beyond the rows that the plan's tests walk through.

use super::*;
use crate::base::certs::Tls;

fn meaning(status: u16, body: &str) -> Answer {
    understand(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
}

#[test]
fn a_codec_that_the_destination_does_not_take_holds_and_names_the_key() {
    // Prometheus, Loki, an OpenTelemetry collector; dropping all frames would be the price of one wrong key.
    for (status, body) in [
        (400, "unsupported compression: zstd. Only \"gzip\" or no compression supported"),
        (400, "Content-Encoding \"zstd\" not supported"),
        (400, "unsupported Content-Encoding: zstd"),
        (415, ""),
    ] {
        let answer = meaning(status, body);
        assert!(matches!(answer, Answer::Hold { .. }), "{status} {body}: {answer:?}");
        assert!(answer.words().contains("compression"), "{}", answer.words());
    }
    assert!(matches!(meaning(400, "out of order sample"), Answer::Refused { .. }));
    assert!(matches!(meaning(400, "proto: illegal wireType 7"), Answer::Refused { .. }));
}

#[test]
fn a_web_page_with_status_200_took_nothing() {
    for page in ["<!DOCTYPE html><html>log in</html>", "\n <html lang=en>", "<!doctype HTML>"] {
        let answer = meaning(200, page);
        assert!(matches!(answer, Answer::Hold { .. }), "{answer:?}");
    }
    for body in ["", "OK", "{}", "<", "\u{0}"] {
        assert!(matches!(meaning(200, body), Answer::Taken { refused: 0, .. }), "{body:?}");
    }
    assert!(matches!(meaning(204, ""), Answer::Taken { refused: 0, .. }));
}

#[test]
fn a_destination_without_tls_needs_no_certificates_of_the_system() {
    let otlp = |endpoint: &str| Otlp {
        endpoint: endpoint.into(),
        tls: Tls { ca: Some("/nonexistent/ca.pem".into()), ..Tls::default() },
        ..Otlp::default()
    };
    assert!(Http::new(&otlp("http://loki:3100/otlp")).is_ok(), "certificates are read though nothing asks for them");
    let error = Http::new(&otlp("https://loki:3100/otlp")).err().unwrap();
    assert!(error.contains("/nonexistent/ca.pem"), "{error}");
}

#[test]
fn other_peoples_texts_cannot_move_a_terminal_or_turn_the_line_around() {
    let answer = meaning(400, "bad\u{1b}[2J\u{7}\r\nFAKE LINE \u{202e}txet\u{2066}");
    let shown = shown(answer.words());
    assert!(!shown.chars().any(|letter| letter.is_control()), "{shown:?}");
    assert!(!shown.contains(['\u{202e}', '\u{2066}']), "{shown:?}");
}
