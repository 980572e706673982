//! HAProxy lines that the recorded ones do not hold.

use super::super::Format;
use super::super::tests::read;

fn haproxy(line: &str) -> String {
    read(Format::Haproxy, line)
}

#[test]
fn a_failed_handshake_has_its_client_and_frontend() {
    let shown = haproxy("haproxy[12]: 127.0.0.1:57995 [24/Nov/2026:10:00:00.123] fe/1: SSL handshake failure");
    let expected = "time: 2026-11-24T10:00:00.123Z ± 1000000\nbody: the line\nclient.address: \"127.0.0.1\"\nclient.port: 57995\nhaproxy.frontend: \"fe\"\n";
    assert_eq!(shown, expected);
}

#[test]
fn other_lines_of_haproxy_are_syslog() {
    let shown = haproxy("Nov 24 10:00:00 lb haproxy[12]: Server static/srv1 is DOWN, reason: Layer4 timeout");
    assert!(!shown.contains("NOT PARSED") && shown.contains("syslog.appname: \"haproxy\"\n"), "{shown}");
    assert!(haproxy("Server static/srv1 is DOWN").starts_with("NOT PARSED"));
}

#[test]
fn a_tls_frontend_loses_its_mark_and_a_cut_request_is_kept() {
    let line = "10.0.0.1:5 [24/Nov/2026:10:00:00.000] web~ b/s 0/0/1/2/3 200 9 - - ---- 1/1/1/1/+1 0/0 \"GET /long";
    let shown = haproxy(line);
    assert!(shown.contains("haproxy.frontend: \"web\"\nhaproxy.tls: true\n"), "{shown}");
    assert!(
        shown.contains("haproxy.retries: 1\n") && shown.contains("http.request.method: \"GET\"\nurl.path: \"/long\"\n")
    );
}

#[test]
fn broken_traffic_lines_are_not_parsed() {
    for line in [
        "",
        "10.0.0.1:5 [",
        "10.0.0.1:5 [24/Nov/2026:10:00:00.000] a b/c 1/2 3",
        "10.0.0.1:5 [24/Nov/2026:10:00:00.000] a b/c 1/2/3/4/x 200",
        "10.0.0.1:5 [24/Nov/2026:10:00:00.000] a b/c 0/0/1/2/3 200 9 - - --- 1/1/1/1/1 0/0 \"x\"",
        "10.0.0.1:5 [24/Nov/2026:10:00:00.000] a b/c 0/0/1 9 -- 1/1/1/1 0/0",
    ] {
        assert!(haproxy(line).starts_with("NOT PARSED"), "{line}");
    }
}
