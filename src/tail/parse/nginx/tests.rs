//! Access and error lines that the recorded ones do not hold.

use super::super::Format;
use super::super::tests::read;

fn nginx(line: &str) -> String {
    read(Format::Nginx, line)
}

#[test]
fn lines_that_are_no_access_lines_are_not_parsed() {
    for line in [
        "",
        "x",
        "1.2.3.4 - - [",
        "1.2.3.4 - - [24/Nov/2026:10:00:00 +0000] \"GET / HTTP/1.1",
        "1.2.3.4 - - []",
        "1.2.3.4 - - [24/Nov/2026:10:00:00 +0000] \"GET / HTTP/1.1\" abc 5",
        "2026/11/24 10:00:00 [gold] 1#2: x",
        "1.2.3.4 - - [24/Nov/2026:10:00:00 +0000] \"GET / HTTP/1.1\" 200 five \"-\" \"-\"",
    ] {
        assert!(nginx(line).starts_with("NOT PARSED"), "{line}");
    }
}

#[test]
fn the_common_format_ends_with_the_bytes() {
    let shown = nginx(r#"2001:db8::1 - ann [24/Nov/2026:10:00:00 +0000] "GET /?q=%20#x HTTP/2.0" 200 5"#);
    let expected = "time: 2026-11-24T10:00:00Z ± 1000000000\nseverity: 9 \nbody: the line\nclient.address: \"2001:db8::1\"\nuser.name: \"ann\"\nhttp.request.method: \"GET\"\nurl.path: \"/\"\nurl.query: \"q=%20#x\"\nnetwork.protocol.version: \"2\"\nhttp.response.status_code: 200\nhttp.response.body.size: 5\n";
    assert_eq!(shown, expected);
}

#[test]
fn a_file_name_cannot_forge_the_fields_of_an_error_line() {
    let line = r#"2026/11/24 10:00:00 [error] 1#2: *3 open() "/x, client: 6.6.6.6, server: y" failed, client: 10.0.0.1, server: shop, request: "GET /x, host: z HTTP/1.1", host: "shop.example""#;
    let shown = nginx(line);
    assert!(
        shown.contains("client.address: \"10.0.0.1\"\nnginx.server: \"shop\"\nhttp.request.method: \"GET\"\nurl.path: \"/x, host: z\"\n")
    );
    assert!(shown.contains("server.address: \"shop.example\"\n") && !shown.contains("6.6.6.6"));
}

#[test]
fn binary_escapes_stay_and_readable_ones_are_undone() {
    let shown = nginx(r#"1.2.3.4 - - [24/Nov/2026:10:00:00 +0000] "-" 400 0 "\x16\x03" "a\x22b\xC3\xA9\x5C""#);
    assert!(
        shown.contains("http.request.header.referer: \"\\\\x16\\\\x03\"\nuser_agent.original: \"a\\\"bé\\\\\"\n"),
        "{shown}"
    );
    let half = nginx(r#"1.2.3.4 - - [24/Nov/2026:10:00:00 +0000] "-" 400 0 "-" "\xC3 \x""#);
    assert!(half.contains("user_agent.original: \"\\\\xC3 \\\\x\"\n"), "{half}");
}
