//! Rule tests: verdicts, messages, refused files.

use super::*;

const RULES: &str = "
groups:
  - name: a
    rules:
      - record: job:up:sum
        expr: sum by (job) (up)
      - alert: Down
        expr: up == 0
        for: 2m
        labels: { severity: page }
        annotations: { summary: '{{ $labels.instance }} of {{ $externalLabels.region }} is {{ $value }}' }
";

fn verdict(tests: &str) -> Result<Report, Vec<Errors>> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rules.yaml"), RULES).unwrap();
    let file = dir.path().join("tests.yaml");
    std::fs::write(&file, format!("rule_files: ['rul*.yaml']\n{tests}")).unwrap();
    run(&file)
}

fn messages(tests: &str) -> Vec<String> {
    verdict(tests).unwrap().failures.into_iter().map(|failure| failure.message).collect()
}

const INPUT: &str = "
tests:
  - external_labels: { region: eu }
    input_series: [ { series: 'up{job=\"shop\", instance=\"i\"}', values: '1 0x10' } ]
";

#[test]
fn alerts_and_expressions_are_compared_at_their_times() {
    let cases = "
    alert_rule_test:
      - { eval_time: 2m, alertname: Down }
      - eval_time: 3m30s
        alertname: Down
        exp_alerts:
          - exp_labels: { severity: page, job: shop, instance: i }
            exp_annotations: { summary: 'i of eu is 0' }
    promql_expr_test:
      - { expr: 'job:up:sum', eval_time: 0m, exp_samples: [ { labels: 'job:up:sum{job=\"shop\"}', value: 1 } ] }
      - { expr: 'ALERTS{alertstate=\"pending\"}', eval_time: 1m, exp_samples: [
          { labels: 'ALERTS{alertname=\"Down\", alertstate=\"pending\", instance=\"i\", job=\"shop\", severity=\"page\"}', value: 1 } ] }
      - { expr: '1 + 1', eval_time: 1m, exp_samples: [ { labels: '{}', value: 2 } ] }
";
    assert_eq!(messages(&format!("{INPUT}{cases}")), Vec::<String>::new());
}

#[test]
fn what_differs_is_shown_beside_what_was_wanted() {
    let told = messages(&format!("{INPUT}    alert_rule_test: [ {{ eval_time: 5m, alertname: Down }} ]\n"));
    assert!(told[0].contains("alertname: Down, time: 5m") && told[0].contains("exp:[]"), "{told:?}");
    assert!(told[0].contains("instance=\"i\"") && told[0].contains("summary=\"i of eu is 0\""), "{told:?}");
    let told = messages(&format!(
        "{INPUT}    promql_expr_test: [ {{ eval_time: 1m, expr: 'up * NaN', exp_samples: [ {{ labels: '{{job=\"shop\", instance=\"i\"}}', value: .nan }} ] }} ]\n"
    ));
    assert!(told[0].contains("exp: {instance=\"i\", job=\"shop\"} NaN"), "NaN equals nothing: {told:?}");
    let told = messages(&format!("{INPUT}    promql_expr_test: [ {{ eval_time: 1m, expr: 'up +' }} ]\n"));
    assert!(told[0].contains("err: ") && told[0].contains("parse error"), "{told:?}");
}

#[test]
fn a_file_that_is_none_is_refused_with_its_place() {
    let error = |tests: &str| verdict(tests).unwrap_err()[0].to_string();
    assert!(error("test: []").contains("did you mean `tests`?"));
    assert!(error("evaluation_interval: soon").contains("is no duration"));
    assert!(error("group_eval_order: [a, a]").contains("named twice"));
    assert!(error("tests: [ { start_timestamp: soon } ]").contains("this is no time"));
    let endless = "tests: [ { promql_expr_test: [ { eval_time: 100y, expr: '1' } ] } ]";
    assert!(messages(endless)[0].contains("rounds"));
    let series = "tests: [ { input_series: [ { series: 'up{', values: '1' } ] } ]";
    assert!(messages(series)[0].contains("closing brace"));
}
