//! Tests of the parser as a whole.

use super::{Choice, Format, Parser};
use crate::signal::record::{Record, Value};

#[test]
fn a_json_line_becomes_time_severity_body_ids_and_attributes() {
    let line = r#"{"time":"2026-11-24T10:00:00.123Z","level":"error","msg":"no \"card\"","user":{"id":7},"trace_id":"0af7651916cd43dd8448eb211c80319c","tags":[1,2],"x":null,"ms":1.5}"#;
    let mut record = Record::default();
    assert!(Parser::new(Choice::Fixed(Format::Json)).parse(line, &mut record));
    let time = record.time.unwrap();
    assert_eq!((time.nanos, time.resolution), (1_795_514_400_123_000_000, 1_000_000));
    assert_eq!((record.severity, record.text(line, record.severity_text)), (17, "error"));
    assert_eq!(record.text(line, record.body), "no \"card\"");
    assert_eq!(record.trace_id.unwrap()[0], 0x0a);
    let names: Vec<_> = record.attributes.iter().map(|(name, _)| record.text(line, *name)).collect();
    assert_eq!(names, ["user.id", "tags", "ms"]);
    assert_eq!(record.attributes[0].1, Value::Int(7));
    assert_eq!(record.attributes[2].1, Value::Double(1.5));
}
