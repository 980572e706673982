//! What rules yield, on the stack: recorded series and `ALERTS` in a real Prometheus as the store of the box has them.

use std::collections::BTreeMap;

use super::harness::{host_name, wait_for};
use super::prometheus::{Labels, Prometheus};
use super::rig::{Rig, SOON};

const RULES: &str = "
groups:
  - name: exported
    interval: 1s
    rules:
      - { record: 'shop:load:double', expr: load * 2, labels: { by: rule } }
      - { record: 'shop:load:of_shop', expr: 'sum by (job, service) (load)' }
      - { record: 'shop:load:max', expr: max(load) }
      - { alert: Fires, expr: load > 5, labels: { severity: page, team: '{{ $labels.service }}' } }
      - { alert: Waits, expr: load > 5, for: 1h, labels: { severity: page } }
";
const ALL: &str = "{__name__=~\"ALERTS|ALERTS_FOR_STATE|shop:.*\"}";

/// Labels and value of each series on the box.
fn ours(rig: &Rig) -> Result<BTreeMap<Labels, String>, String> {
    let rows = rig.query(ALL)?;
    let row = |row: &serde_json::Value| {
        let pairs = row["metric"].as_object().unwrap().iter();
        let labels = pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
        (labels, row["value"][1].as_str().unwrap().to_owned())
    };
    Ok(rows.as_array().ok_or("no rows")?.iter().map(row).collect())
}

#[test]
fn what_rules_yield_arrives_in_prometheus_under_the_labels_of_the_store() {
    let Some(prometheus) = Prometheus::start() else { return };
    let rig = Rig::new();
    rig.rules("exported.yml", RULES);
    rig.config("", &format!("destinations:\n{}", prometheus.destination()));
    rig.target.set("load{service=\"web\"}", 6.0);
    rig.target.set("load{service=\"job\"}", 1.0);
    let _agent = rig.start();
    rig.wait_rule("Fires", "firing");
    let both = wait_for("the same series with the same values both ways", SOON, || {
        let ours = ours(&rig)?;
        let theirs: BTreeMap<Labels, String> =
            prometheus.query(ALL)?.into_iter().map(|(labels, value)| (labels, value.to_string())).collect();
        // What names neither job nor instance goes out under Plimsoll's own, for the stack wants a job.
        let under_own = |(mut labels, value): (Labels, String)| {
            if !labels.contains_key("job") && !labels.contains_key("instance") {
                labels.extend([("job".to_owned(), "plimsoll".to_owned()), ("instance".to_owned(), host_name())]);
            }
            (labels, value)
        };
        let expected: BTreeMap<Labels, String> = ours.into_iter().map(under_own).collect();
        if expected.len() == 8 + 1 && expected == theirs {
            Ok(theirs)
        } else {
            Err(format!("ours {expected:?}\ntheirs {theirs:?}"))
        }
    });
    let names: Vec<&str> = both.keys().map(|labels| labels["__name__"].as_str()).collect();
    for name in ["ALERTS", "ALERTS_FOR_STATE", "shop:load:double", "shop:load:of_shop", "shop:load:max"] {
        assert!(names.contains(&name), "no {name}: {both:?}");
    }

    // What ends on the box ends there, too.
    rig.target.set("load{service=\"web\"}", 2.0);
    wait_for("no alert in Prometheus", SOON, || match prometheus.query("ALERTS")? {
        none if none.is_empty() => Ok(()),
        some => Err(format!("{some:?}")),
    });
}
