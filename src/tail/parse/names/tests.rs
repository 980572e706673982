//! Which fields are renamed, and which are not.

use std::collections::BTreeSet;

use super::super::Format;
use super::super::tests::read;
use super::{TABLE, place_of};

fn json(line: &str) -> String {
    read(Format::Json, line).replace("body: the line\n", "")
}

#[test]
fn the_table_names_each_field_once_and_finds_it_in_any_case() {
    let mut names = BTreeSet::new();
    for (at, (name, _)) in TABLE.iter().enumerate() {
        assert!(names.insert(*name), "{name} stands twice");
        assert_eq!(name.to_ascii_lowercase(), *name);
        assert_eq!(usize::from(place_of(name.as_bytes())), at + 1);
        assert_eq!(usize::from(place_of(name.to_ascii_uppercase().as_bytes())), at + 1);
        assert_eq!(place_of(format!("{name}x").as_bytes()), place_of(format!("{name}X").as_bytes()));
    }
    assert_eq!(place_of(b""), 0);
    assert_eq!(place_of(b"`timestamp"), 0, "a letter that looks like @ when it is made small");
}

#[test]
fn access_fields_get_the_names_of_the_conventions() {
    let line = r#"{"method":"GET","path":"/a?b=1","status":"404","bytes":12,"host":"shop.example","client":"10.0.0.1:4711","ua":"x","duration_ms":1.5}"#;
    let expected = "severity: 9 \nhttp.request.method: \"GET\"\nhttp.response.status_code: 404\nhttp.response.body.size: 12\nserver.address: \"shop.example\"\nclient.address: \"10.0.0.1\"\nua: \"x\"\nduration_ms: 1.5\nurl.path: \"/a\"\nurl.query: \"b=1\"\nclient.port: 4711\n";
    assert_eq!(json(line), expected);
}

#[test]
fn names_that_may_mean_anything_stay_without_a_request() {
    let line =
        r#"{"path":"/etc/shop.conf","host":"db-1","bytes":12,"client":"10.0.0.1","method":"eth_call","status":"ok"}"#;
    let expected = "path: \"/etc/shop.conf\"\nhost: \"db-1\"\nbytes: 12\nclient: \"10.0.0.1\"\nmethod: \"eth_call\"\nstatus: \"ok\"\n";
    assert_eq!(json(line), expected);
}

#[test]
fn no_two_attributes_get_one_name() {
    let line = r#"{"status":200,"status_code":201,"url.path":"/x","method":"GET","path":"/y","err":"a","error":"b"}"#;
    let expected = "severity: 9 \nhttp.response.status_code: 200\nstatus_code: 201\nurl.path: \"/x\"\nhttp.request.method: \"GET\"\npath: \"/y\"\nexception.message: \"a\"\nerror: \"b\"\n";
    assert_eq!(json(line), expected);
}

#[test]
fn a_value_that_cannot_be_used_stays_an_attribute() {
    let line = r#"{"time":"noon","ts":12,"level":"gold","trace_id":"xyz","span_id":7,"pid":"abc","url":"shop"}"#;
    let expected =
        "time: \"noon\"\nts: 12\nlevel: \"gold\"\ntrace_id: \"xyz\"\nspan_id: 7\npid: \"abc\"\nurl: \"shop\"\n";
    assert_eq!(json(line), expected);
    assert_eq!(json(r#"{"time":"1969-01-01T00:00:00Z"}"#), "time: \"1969-01-01T00:00:00Z\"\n");
}

#[test]
fn the_second_time_of_a_line_stays_an_attribute() {
    let line = r#"{"ts":"2026-11-24T10:00:00Z","timestamp":"2026-11-24T11:00:00Z"}"#;
    assert_eq!(json(line), "time: 2026-11-24T10:00:00Z ± 1000000000\ntimestamp: \"2026-11-24T11:00:00Z\"\n");
}

#[test]
fn severities_are_words_pino_steps_and_otlp_numbers() {
    for (level, severity) in [
        ("\"trace\"", 1),
        ("\"DEBUG\"", 5),
        ("\"Information\"", 9),
        ("\"notice\"", 10),
        ("\"WARNING\"", 13),
        ("\"err\"", 17),
        ("\"crit\"", 18),
        ("\"alert\"", 19),
        ("\"emerg\"", 21),
        ("\"E\"", 17),
        ("50", 17),
        ("\"40\"", 13),
    ] {
        let shown = json(&format!(r#"{{"level":{level}}}"#));
        assert!(shown.starts_with(&format!("severity: {severity} ")), "{level}: {shown}");
        assert_eq!(shown.lines().count(), 1, "{level} is taken");
    }
    assert_eq!(json(r#"{"level":35}"#), "severity: 9 \nlevel: 35\n", "a step of one's own is not lost");
    assert_eq!(json(r#"{"severity_text":"Oops","severity_number":18}"#), "severity: 18 \nseverity_text: \"Oops\"\n");
    assert_eq!(json(r#"{"severity_number":18,"severity_text":"error"}"#), "severity: 18 error\n");
    assert_eq!(json(r#"{"severity_number":25,"level":7}"#), "severity_number: 25\nlevel: 7\n");
}

#[test]
fn ids_are_hexadecimal_and_all_zeros_are_none() {
    let line = r#"{"traceId":"0AF7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331"}"#;
    assert_eq!(json(line), "trace: 0af7651916cd43dd8448eb211c80319c\nspan: b7ad6b7169203331\n");
    assert_eq!(json(r#"{"trace_id":"00000000000000000000000000000000","span_id":"0"}"#), "");
    assert_eq!(
        json(r#"{"trace":{"id":"0af7651916cd43dd8448eb211c80319c"}}"#),
        "trace: 0af7651916cd43dd8448eb211c80319c\n"
    );
}
