//! Whether a rule can yield anything on this box: by the metrics that it asks for and the sources that bring them.

use std::collections::{BTreeMap, BTreeSet};

use super::rules::{Kind, Rule};
use super::view::Presence;
use crate::query::Query;
use crate::signal::metrics::{Desc, Kind as MetricKind};
use crate::status::Board;
use crate::store::labels::NAME;
use crate::store::matcher::Op;
use crate::store::{Matcher, Store, translate};

/// Which kinds of source bring a metric, by its name in queries.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    kinds: BTreeMap<String, BTreeSet<&'static str>>,
}

impl Catalogue {
    /// Of lists of metrics by the kind of source, such as `host`, that brings them.
    pub fn new<'a>(lists: impl IntoIterator<Item = (&'static str, &'a [Desc])>) -> Self {
        let mut kinds: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
        for (kind, list) in lists {
            for desc in list {
                let Some(name) = translate::metric_name(desc.name, desc.kind, desc.unit) else { continue };
                let suffixes: &[&str] =
                    if desc.kind == MetricKind::Histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
                for suffix in suffixes {
                    kinds.entry(format!("{name}{suffix}")).or_default().insert(kind);
                }
            }
        }
        Self { kinds }
    }

    /// The kinds that bring the metric with this name in queries; none for one that is no source's.
    pub fn kinds(&self, name: &str) -> Vec<&'static str> {
        self.kinds.get(name).into_iter().flatten().copied().collect()
    }
}

/// What is known when a rule is judged.
pub struct Scene<'a> {
    /// Which source brings what.
    pub catalogue: &'a Catalogue,
    /// The sources.
    pub board: &'a Board,
    /// What came.
    pub store: &'a Store,
    /// What recording rules yield, by name.
    pub recorded: &'a BTreeMap<String, Query>,
    /// Unix milliseconds.
    pub now: i64,
}

/// How many recording rules may stand behind each other.
const DEPTH: usize = 8;
/// A metric that came within this time (milliseconds) is here, whatever its source says.
const FRESH: i64 = 300_000;

impl Scene<'_> {
    /// Judges one rule. One that copes with a selector that finds nothing (`or`, `absent`) is only judged by what it
    /// has when nothing that it asks for is here, or not what it cannot do without (the left side of `unless`).
    pub fn presence(&self, rule: &Rule) -> Presence {
        self.of_query(&rule.expr, DEPTH)
    }

    fn of_query(&self, query: &Query, depth: usize) -> Presence {
        let each: Vec<Presence> = query.names().into_iter().map(|name| self.of_metric(name, depth)).collect();
        let here = |presence: &&Presence| **presence == Presence::Here;
        let needed = || query.needs().into_iter().all(|name| self.of_metric(name, depth) == Presence::Here);
        if query.copes() && each.iter().any(|presence| here(&presence)) && needed() {
            return Presence::Here;
        }
        let absent = each.iter().find(|presence| matches!(presence, Presence::NotHere(_)));
        absent.or_else(|| each.iter().find(|presence| !here(presence))).cloned().unwrap_or_default()
    }

    fn of_metric(&self, name: &str, depth: usize) -> Presence {
        if let (Some(query), true) = (self.recorded.get(name), depth > 0) {
            return self.of_query(query, depth - 1);
        }
        let Some(kinds) = self.catalogue.kinds.get(name) else { return self.of_users_own(name) };
        let faults = self.faults(|kind| kinds.contains(kind));
        if faults.is_empty() {
            return Presence::NotHere(kinds.iter().copied().collect::<Vec<_>>().join(" or "));
        }
        if faults.iter().any(|(_, fault)| fault.is_empty()) || self.came(name) {
            return Presence::Here;
        }
        let why = faults.first().map(|(source, fault)| format!("{source}: {fault}")).unwrap_or_default();
        Presence::CannotFire { why, mend: "plimsoll doctor".into() }
    }

    /// Nobody knows where users' own metrics come from. While one does not come and a scraped target fails, that target
    /// is the likeliest; better said once too often than a dead rule that looks quiet.
    fn of_users_own(&self, name: &str) -> Presence {
        let faults = self.faults(|kind| kind == "scrape");
        let failing = faults.iter().find(|(_, fault)| !fault.is_empty());
        match failing.filter(|_| !name.starts_with("ALERTS") && !self.came(name)) {
            Some((source, fault)) => Presence::CannotFire {
                why: format!("no {name} comes, and {source}: {fault}"),
                mend: "plimsoll doctor".into(),
            },
            None => Presence::Here,
        }
    }

    /// The sources of some kinds with their faults, empty where they are fine.
    fn faults(&self, wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let sources = self.board.sources().into_iter().filter(|(_, source)| wanted(&source.kind.get()));
        sources.map(|(name, source)| (name, source.fault.get())).collect()
    }

    fn came(&self, name: &str) -> bool {
        let matcher = Matcher::new(NAME, Op::Equal, name);
        matcher.is_ok_and(|matcher| {
            self.store.select(&[matcher], self.now - FRESH, self.now).is_ok_and(|series| !series.is_empty())
        })
    }
}

/// What the recording rules among `rules` yield.
pub fn recorded<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> BTreeMap<String, Query> {
    let recording = rules.into_iter().filter(|rule| matches!(rule.kind, Kind::Record));
    recording.map(|rule| (rule.name.clone(), rule.expr.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Labels, Sample};

    const HOST: &[Desc] = &[Desc::gauge("system.memory.utilization", "1", "")];
    const REDIS: &[Desc] = &[Desc::counter("redis.commands.processed", "{command}", "")];

    fn judge(board: &Board, store: &Store, expr: &str) -> Presence {
        let recorded =
            BTreeMap::from([("redis:rate".to_owned(), Query::parse("redis_commands_processed_total").unwrap())]);
        let catalogue = Catalogue::new([("host", HOST), ("redis", REDIS)]);
        let scene = Scene { catalogue: &catalogue, board, store, recorded: &recorded, now: 1000 };
        scene.of_query(&Query::parse(expr).unwrap(), DEPTH)
    }

    #[test]
    fn a_rule_is_not_here_cannot_fire_or_is_fine_as_its_sources_are() {
        let (board, store) = (Board::new(), Store::memory());
        board.source("host").kind.set("host");
        let not_here = Presence::NotHere("redis".into());
        assert_eq!(judge(&board, &store, "system_memory_utilization_ratio > 0.9"), Presence::Here);
        assert_eq!(judge(&board, &store, "rate(redis_commands_processed_total[5m]) > 1"), not_here);
        assert_eq!(judge(&board, &store, "redis:rate > 1"), not_here, "through a recording rule");
        assert_eq!(judge(&board, &store, "shop_orders_total > 1"), Presence::Here, "users' own");
        let either = "redis:rate > 1 or system_memory_utilization_ratio > 0.9";
        assert_eq!(judge(&board, &store, either), Presence::Here);
        let without = "system_memory_utilization_ratio > 0.9 unless redis:rate > 1";
        assert_eq!(judge(&board, &store, without), Presence::Here, "it can do without Redis");
        let of_redis = "system_memory_utilization_ratio and redis:rate > 1 unless system_memory_utilization_ratio";
        assert_eq!(judge(&board, &store, of_redis), not_here, "what unless takes away is no help");

        let redis = board.source("redis 127.0.0.1:6379");
        redis.kind.set("redis");
        redis.fault.set("NOAUTH: name a password");
        let Presence::CannotFire { why, .. } = judge(&board, &store, "redis:rate > 1") else {
            panic!("it is at fault")
        };
        assert_eq!(why, "redis 127.0.0.1:6379: NOAUTH: name a password");
        store.append(&Labels::new([(NAME, "redis_commands_processed_total")]), Sample { t: 900, v: 1.0 });
        assert_eq!(judge(&board, &store, "redis:rate > 1"), Presence::Here, "a part of it comes all the same");

        let target = board.source("scrape box:9187");
        target.kind.set("scrape");
        assert_eq!(judge(&board, &store, "shop_orders_total > 1"), Presence::Here, "its target is fine");
        target.fault.set("connection refused");
        let Presence::CannotFire { why, .. } = judge(&board, &store, "shop_orders_total > 1") else {
            panic!("its target fails")
        };
        assert_eq!(why, "no shop_orders_total comes, and scrape box:9187: connection refused");
        store.append(&Labels::new([(NAME, "shop_orders_total")]), Sample { t: 900, v: 1.0 });
        assert_eq!(judge(&board, &store, "shop_orders_total > 1"), Presence::Here, "it comes from elsewhere");
    }
}
