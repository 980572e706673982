//! Syslog lines that the recorded ones do not hold.

use super::super::Format;
use super::super::tests::read;

fn syslog(line: &str) -> String {
    read(Format::Syslog, line)
}

#[test]
fn lines_that_are_no_syslog_are_not_parsed() {
    for line in [
        "",
        "<",
        "<>Nov 24 10:00:00 h a: m",
        "<192>Nov 24 10:00:00 h a: m",
        "<-1>Nov 24 10:00:00 h a: m",
        "<34>",
        "<34>1 ",
        "<34>1 2026-11-24 h a p m - x",
        "<34>1 - h a p m [ x",
        "<34>1 - h a p m [x y] z",
        "<34>1 - h a p m [x y=\"z] q",
        "Nov 24 10:00:00",
        "2026-11-24T10:00:00Z ERROR shop: x",
        "2026-11-24 10:00:00 h a: m",
    ] {
        assert!(syslog(line).starts_with("NOT PARSED"), "{line}");
    }
}

#[test]
fn a_host_may_be_missing_and_a_tag_may_be_missing() {
    let shown = syslog("<30>Nov 24 10:00:00 app[7]: hi");
    assert!(shown.contains("syslog.appname: \"app\"\nsyslog.procid: \"7\"\n") && !shown.contains("hostname"));
    let shown = syslog("Nov 24 10:00:00 box last message repeated 2 times");
    assert!(shown.contains("syslog.hostname: \"box\"\n") && !shown.contains("appname"));
}

#[test]
fn the_severity_of_a_priority_is_that_of_the_log_data_model() {
    for (priority, severity) in [(0, 21), (1, 19), (2, 18), (3, 17), (4, 13), (5, 10), (6, 9), (7, 5), (191, 5)] {
        let shown = syslog(&format!("<{priority}>Nov 24 10:00:00 h a: m"));
        assert!(shown.contains(&format!("severity: {severity} \n")), "{priority}");
    }
}

#[test]
fn of_parameters_with_one_name_the_last_wins_and_their_number_is_bounded() {
    assert!(syslog(r#"<30>1 - - - - - [x a="1" a="2"]"#).ends_with("syslog.structured_data.x.a: \"2\"\n"));
    let many: String = (0..10_000).map(|number| format!(" k{number}=\"1\"")).collect();
    let shown = syslog(&format!("<30>1 - - - - - [x{many}] m"));
    assert!(shown.lines().count() < 140);
}
