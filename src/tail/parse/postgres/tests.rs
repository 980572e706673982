//! Postgres lines that the recorded ones do not hold.

use super::super::Format;
use super::super::tests::read;

fn postgres(line: &str) -> String {
    read(Format::Postgres, line)
}

#[test]
fn older_csvlogs_have_fewer_columns() {
    let head = "2026-11-24 10:00:00.123 UTC,\"ann\",\"shop\",7,\"[local]\",6b.7,1,\"SELECT\",2026-11-24 10:00:00 UTC,3/2,0,LOG,00000,\"duration: 1.5 ms\"";
    for columns in [23, 24, 26] {
        let line = format!("{head}{}\"p\"\"q\"{}", ",".repeat(9), ",".repeat(columns - 23));
        let shown = postgres(&line);
        assert!(shown.ends_with("duration_ms: 1.5\npostgresql.application_name: \"p\\\"q\"\n"), "{shown}");
    }
    assert!(postgres(head).starts_with("NOT PARSED"), "too few columns");
    assert!(postgres(&format!("{head}{}", ",".repeat(60))).starts_with("NOT PARSED"), "too many");
    assert!(postgres(&format!("{head},\"x")).starts_with("NOT PARSED"), "an open quote");
}

#[test]
fn a_zone_that_is_not_known_leaves_the_time_unknown() {
    let shown = postgres("2026-11-24 10:00:00.123 XYZ [7] LOG:  hi");
    assert!(!shown.contains("time:") && shown.contains("severity: 9 LOG\n"), "{shown}");
}

#[test]
fn lines_of_other_programs_are_not_parsed() {
    for line in ["", "LOG:  x", "2026-11-24 10:00:00 UTC hello", "2026-11-24 10:00:00 UTC [7] LOG: x", "{", "{\"a\":1"]
    {
        assert!(postgres(line).starts_with("NOT PARSED"), "{line}");
    }
}

#[test]
fn each_severity_has_its_number() {
    for (word, number) in [("DEBUG3", 5), ("NOTICE", 10), ("WARNING", 13), ("FATAL", 21), ("PANIC", 22), ("HINT", 0)] {
        let shown = postgres(&format!("2026-11-24 10:00:00.123 UTC [7] {word}:  x"));
        assert!(shown.contains(&format!("severity: {number} {word}\n")), "{shown}");
    }
}
