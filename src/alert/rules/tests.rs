//! Rule files: what is read, what is refused and where, which file holds.

use std::path::Path;

use super::*;

fn wrong(text: &str) -> String {
    parse(Path::new("r.yaml"), text).unwrap_err().to_string()
}

#[test]
fn a_rule_file_is_read_with_all_that_it_may_hold() {
    let text = "
groups:
  - name: a
    interval: 1m30s
    limit: 5
    query_offset: 10s
    labels: { team: shop, severity: none }
    rules:
      - record: job:x:rate5m
        expr: sum by (job) (rate(x_total[5m]))
      - alert: Slow
        expr: |
          x
            > 1
        for: 1d12h
        keep_firing_for: 5m
        labels: { severity: page, n: 1 }
        annotations: { summary: '{{ $labels.job }} is {{ $value }}' }
";
    let (groups, warnings) = parse(Path::new("r.yaml"), text).unwrap();
    assert!(warnings.is_empty());
    let group = &groups[0];
    assert_eq!((group.interval, group.limit), (Some(Duration::from_secs(90)), 5));
    assert_eq!(group.query_offset, Duration::from_secs(10));
    assert_eq!((group.rules[0].line, group.rules[1].line), (9, 11));
    let labels: Vec<_> = group.rules[1].labels.iter().map(|(name, text)| (name.as_str(), text.text())).collect();
    assert_eq!(labels, [("n", "1"), ("severity", "page"), ("team", "shop")], "a rule's label goes before its group's");
    let Kind::Alert { hold, keep, .. } = &group.rules[1].kind else { panic!() };
    assert_eq!((hold.as_secs(), keep.as_secs()), (129_600, 300));
    assert!(parse(Path::new("r.yaml"), "").unwrap().0.is_empty(), "an empty file has no rules");
}

#[test]
fn every_fault_has_its_place_and_names_what_is_wrong() {
    let rule = |rule: &str| wrong(&format!("groups:\n  - name: a\n    rules:\n      - {rule}\n"));
    for (text, place, words) in [
        ("{ alert: A, exprr: up }", "r.yaml:4:21", "did you mean `expr`?"),
        ("{ alert: A, record: b, expr: up }", "r.yaml:4", "both `record` and `alert`"),
        ("{ expr: up }", "r.yaml:4", "neither `record` nor `alert`"),
        ("{ alert: A }", "r.yaml:4", "no expression"),
        ("{ record: a, expr: up, for: 5m }", "r.yaml:4", "`for` in a recording rule"),
        ("{ record: 'a{b}', expr: up }", "r.yaml:4", "braces"),
        ("{ alert: A, expr: up, for: 5 minutes }", "r.yaml:4", "is no duration"),
        ("{ alert: A, expr: up, labels: { __name__: x } }", "r.yaml:4", "`__name__`"),
        ("{ record: a, expr: up, annotations: { a: b } }", "r.yaml:4", "`annotations` in a recording rule"),
    ] {
        let error = rule(text);
        assert!(error.contains(place) && error.contains(words), "{text}: {error}");
    }
    let error = wrong("groups: [ { name: a }, { name: a } ]");
    assert!(error.contains("r.yaml:1:32") && error.contains("second time"), "{error}");
    assert!(wrong("groups: [ { rules: [] } ]").contains("no name"));
    assert!(wrong("groups: [ { name: a, limit: -1 } ]").contains("negative"));
}

#[test]
fn faults_in_expressions_and_templates_point_into_them() {
    let plain = wrong("groups:\n- name: a\n  rules:\n  - alert: A\n    expr: up == ) 1\n");
    assert!(plain.contains("r.yaml:5:18"), "{plain}");
    let block = wrong("groups:\n- name: a\n  rules:\n  - alert: A\n    expr: |\n      up\n        == +* 1\n");
    assert!(block.contains("r.yaml:7:13"), "{block}");
    let template = wrong(
        "groups:\n- name: a\n  rules:\n  - alert: A\n    expr: up\n    annotations:\n      summary: \"x {{ nofunc }}\"\n",
    );
    assert!(template.contains("r.yaml:7:22") && template.contains("nofunc"), "{template}");
}

#[test]
fn what_others_write_is_accepted_with_a_warning() {
    let text = "groups:\n- name: a\n  source_tenants: [x]\n  rules:\n  - { alert: A, expr: up }\n  - { alert: A, expr: up }\n---\nfoo: 1\n";
    let (groups, warnings) = parse(Path::new("r.yaml"), text).unwrap();
    let told: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(groups[0].rules.len(), 2);
    assert!(told[0].starts_with("r.yaml:7: a second document"), "{told:?}");
    assert!(told[1].contains("source_tenants") && told[2].starts_with("r.yaml:6: the rule \"A\""), "{told:?}");
}

#[test]
fn a_file_of_the_same_name_replaces_the_shipped_one_and_a_bad_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let (shipped, own) = (dir.path().join("shipped"), dir.path().join("own"));
    let write = |folder: &Path, name: &str, alert: &str| {
        std::fs::create_dir_all(folder).unwrap();
        let text = format!("groups: [ {{ name: g, rules: [ {{ alert: {alert}, expr: up }} ] }} ]\n");
        std::fs::write(folder.join(name), text).unwrap();
    };
    for name in ["one.yaml", "two.yaml", "fleet.yaml"] {
        write(&shipped, name, "Shipped");
    }
    write(&own, "one.yaml", "Own");
    let names = |loaded: &Loaded| loaded.groups.iter().map(|group| group.rules[0].name.clone()).collect::<Vec<_>>();
    let loaded = load(&shipped, &[own.join("*.yaml")]);
    assert_eq!(names(&loaded), ["Own", "Shipped"]);
    assert_eq!((loaded.fleet.len(), loaded.errors.len()), (1, 0));
    std::fs::write(own.join("one.yaml"), "groups: 1").unwrap();
    std::fs::write(own.join("three.yaml"), "grups: []").unwrap();
    let loaded = load(&shipped, &[own.join("*.yaml"), own.join("missing.yaml")]);
    assert_eq!(names(&loaded), ["Shipped", "Shipped"], "the shipped file holds where the own one is bad");
    let files: Vec<_> = loaded.errors.iter().map(|errors| errors.file.file_name().unwrap().to_owned()).collect();
    assert_eq!(files, ["missing.yaml", "one.yaml", "three.yaml"]);
}

#[test]
fn hostile_files_end_with_an_error() {
    let deep = format!("groups: [ {{ name: a, rules: [ {{ alert: A, expr: '{}' }} ] }} ]", "(".repeat(50_000));
    assert!(wrong(&deep).contains("no PromQL"));
    let template = "{{ if true }}".repeat(10_000);
    let deep = format!("groups: [ {{ name: a, rules: [ {{ alert: A, expr: up, labels: {{ a: '{template}' }} }} ] }} ]");
    assert!(wrong(&deep).contains("no template"));
    assert!(wrong(&format!("groups: {}", "[".repeat(10_000))).contains("r.yaml:"));
}
