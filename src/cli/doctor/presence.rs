//! Which metrics have data: asked in lists, of the agent's store or of a Prometheus.

use std::collections::BTreeSet;

use crate::control::Client;
use crate::query::Value;
use crate::query::notes::quoted;
use crate::store::labels::NAME;

/// Names of metrics.
pub(super) type Names = BTreeSet<String>;

/// Names that are asked for at once: the answer has one element for each.
const AT_ONCE: usize = 50;

/// The queries that tell which values of the label `by` the metrics `names` have had in the last ten minutes; `more`
/// are further demands, such as `instance="a"`.
pub(super) fn questions(by: &str, names: &Names, more: &str) -> Vec<String> {
    let names: Vec<&String> = names.iter().collect();
    let list = |names: &[&String]| names.iter().map(|name| regex::escape(name)).collect::<Vec<_>>().join("|");
    let ask = |names: &[&String]| {
        let comma = if more.is_empty() { "" } else { ", " };
        let pattern = quoted(&list(names));
        format!("group by ({by}) (last_over_time({{__name__=~{pattern}{comma}{more}}}[10m]))")
    };
    names.chunks(AT_ONCE).map(ask).collect()
}

/// Which of `names` have data in the agent's store.
pub(super) async fn local(client: &mut Client, names: &Names, now: i64) -> anyhow::Result<Names> {
    values(client, NAME, names, now).await
}

/// Whose data that is: values of `instance`, an empty one where a rule recorded something of no one.
pub(super) async fn instances(client: &mut Client, names: &Names, now: i64) -> anyhow::Result<Names> {
    values(client, "instance", names, now).await
}

async fn values(client: &mut Client, label: &str, names: &Names, now: i64) -> anyhow::Result<Names> {
    let mut found = Names::new();
    for question in questions(label, names, "") {
        if let Value::Vector(elements) = client.query(&question, now).await??.value {
            found.extend(elements.iter().map(|element| element.labels.get(label).to_owned()));
        }
    }
    Ok(found)
}

/// The demand that it is data of one of these; none for so many that a query would be too long.
pub(super) fn of(instances: &Names) -> String {
    if instances.len() > AT_ONCE {
        return String::new();
    }
    let list: Vec<String> = instances.iter().map(|instance| regex::escape(instance)).collect();
    format!("instance=~{}", quoted(&list.join("|")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;

    #[test]
    fn many_names_are_asked_in_lists_that_are_queries() {
        let names: Names = (0..120).map(|index| format!("metric:{index}")).collect();
        let all = questions(NAME, &names, &of(&Names::from(["".into(), "box".into(), "cache.lan:6379".into()])));
        assert_eq!(all.len(), 3);
        for question in all {
            Query::parse(&question).unwrap();
            assert!(question.contains(r#", instance=~"|box|cache\\.lan:6379"}[10m]"#), "{question}");
        }
        assert!(questions(NAME, &Names::new(), "").is_empty());
        assert_eq!(of(&(0..51).map(|index| format!("box-{index}")).collect()), "");
    }
}
