//! Takes the rounds of the sources: names them as Prometheus does, appends, and ends what is missing.
//!
//! What a source's point becomes (labels are many strings) is worked out once and remembered under the hash of what
//! the point is called; so a round of known series costs a hash and an append for each.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::ask::Family;
use super::head::{self, Member, Taken};
use super::index::Index;
use super::labels::NAME;
use super::sample::STALE;
use super::translate;
use super::{Inner, Labels, Sample, Store};
use crate::signal::metrics::{self, Metric, Point, Samples};
use crate::signal::resource::Resource;

/// What the lock of a store guards.
#[derive(Debug)]
pub(super) struct State {
    pub(super) index: Index,
    /// What is older went into a block: nothing is taken before it.
    pub(super) floor: i64,
    /// About the oldest and exactly the newest time in the head.
    pub(super) oldest: i64,
    pub(super) newest: i64,
    /// About what the head takes.
    pub(super) bytes: usize,
    /// When the bounds were looked at.
    pub(super) looked: i64,
    /// When a block ended early, because memory was short.
    pub(super) shortened: Option<i64>,
    pub(super) rounds: HashMap<Key, Round>,
    /// What was pushed before the start is pushed once more.
    pub(super) restoring: bool,
    pub(super) families: BTreeMap<String, Family>,
    /// What takes the room, worked out once until the bounds are looked at again.
    pub(super) blame: Option<String>,
    /// Series of each source.
    counts: HashMap<u64, usize>,
    sources: u64,
    hasher: RandomState,
}

/// A source may speak for several resources, such as an application that sends for its workers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) source: String,
    service: String,
    instance: String,
}

/// What is known of a source from its rounds.
#[derive(Debug)]
pub(super) struct Round {
    owner: u64,
    entries: HashMap<u64, Entry>,
    turn: u64,
    /// Time of the newest round, and how long after the one before it came.
    pub(super) t: i64,
    pub(super) interval: i64,
    /// Known from before the start only.
    pub(super) restored: bool,
}

/// What a point becomes: for a histogram its buckets, sum and count. Empty: there was no room.
#[derive(Debug)]
struct Entry {
    members: Box<[Arc<Member>]>,
    turn: u64,
}

/// What a round could not bring in.
#[derive(Debug, Default)]
pub(super) struct Refused {
    old: u64,
    duplicate: u64,
    example: Option<Labels>,
}

/// The owner of series that rules record.
pub(super) const RECORDED: u64 = 0;

/// Sources that are known, and families that are described; a hostile source makes no more.
const MAX_ROUNDS: usize = 10_000;
const MAX_FAMILIES: usize = 10_000;

impl Store {
    /// Takes a round of `source` at `nanos`; it cannot be refused. Series of the same source and resource that are not
    /// in it end here, as in a scrape of Prometheus. `_start`, since when sums count, is not kept.
    pub fn push(&self, source: &str, resource: &Resource, samples: &Samples, _start: u64, nanos: u64) {
        let t = millis(nanos);
        self.inner.take_round(source, resource, samples, t, false);
        self.inner.maintain(t);
    }

    /// Ends all series of a source that is not there any more.
    pub fn gone(&self, source: &str, nanos: u64) {
        let mut state = self.lock();
        let keys: Vec<Key> = state.rounds.keys().filter(|key| key.source == source).cloned().collect();
        for key in keys {
            state.end(&key, millis(nanos));
        }
    }
}

pub(super) fn millis(nanos: u64) -> i64 {
    i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX)
}

impl State {
    pub(super) fn new(floor: i64) -> Self {
        Self {
            index: Index::default(),
            floor,
            oldest: i64::MAX,
            newest: i64::MIN,
            bytes: 0,
            looked: i64::MIN,
            shortened: None,
            rounds: HashMap::new(),
            restoring: false,
            families: BTreeMap::new(),
            blame: None,
            counts: HashMap::new(),
            sources: RECORDED,
            hasher: RandomState::new(),
        }
    }

    pub(super) fn take(&mut self, member: &Member, sample: Sample) -> Taken {
        if sample.t < self.floor {
            if self.restoring {
                // A block has it.
                member.data().remember(sample);
                return Taken::Same;
            }
            return Taken::Old;
        }
        let taken = member.data().append(sample);
        if taken == Taken::Yes {
            self.oldest = self.oldest.min(sample.t);
            self.newest = self.newest.max(sample.t);
        }
        taken
    }

    /// Works out what the head takes.
    pub(super) fn weigh(&mut self) {
        let weight = |member: &Arc<Member>| Member::overhead(&member.labels) + member.data().weight();
        self.bytes = self.index.members().iter().map(weight).sum();
    }

    /// Ends what a source wrote and forgets the source.
    pub(super) fn end(&mut self, key: &Key, t: i64) {
        let Some(round) = self.rounds.remove(key) else { return };
        for member in round.entries.values().flat_map(|entry| &entry.members) {
            self.end_member(member, round.owner, t);
        }
    }

    fn end_member(&mut self, member: &Member, owner: u64, t: i64) {
        // Another source may have taken it over.
        if member.owner.load(Relaxed) == owner && !member.data().ended() {
            // At its newest time already: then it has just been written.
            let _taken = self.take(member, Sample { t, v: STALE });
        }
    }

    /// After series were forgotten: counts those that are left, and gives refused ones another chance.
    pub(super) fn recount(&mut self) {
        self.counts.clear();
        for member in self.index.members() {
            *self.counts.entry(member.owner.load(Relaxed)).or_default() += 1;
        }
        for round in self.rounds.values_mut() {
            let alive = |entry: &Entry| {
                !entry.members.is_empty() && !entry.members.iter().any(|member| member.dead.load(Relaxed))
            };
            round.entries.retain(|_, entry| alive(entry));
        }
    }
}

impl Inner {
    /// Takes a round; `quiet`: it was counted before the start.
    pub(super) fn take_round(&self, source: &str, resource: &Resource, samples: &Samples, t: i64, quiet: bool) {
        let mut state = self.lock();
        let key = Key {
            source: source.to_owned(),
            service: resource.service().to_owned(),
            instance: resource.instance().to_owned(),
        };
        let Some(mut round) = state.begin(&key) else { return };
        round.turn += 1;
        round.restored = quiet;
        let mut refused = Refused::default();
        let mut values = Vec::new();
        for sample in samples.samples() {
            let Some(metric) = samples.metrics().get(sample.metric) else { continue };
            let hash = state.hash(metric, sample);
            if !round.entries.get(&hash).is_some_and(Entry::alive) {
                let members = self.members(&mut state, resource, metric, sample, round.owner);
                round.entries.insert(hash, Entry { members, turn: 0 });
            }
            let Some(entry) = round.entries.get_mut(&hash) else { continue };
            entry.turn = round.turn;
            values.clear();
            numbers(&sample.point, &mut values);
            for (member, value) in entry.members.iter().zip(&values) {
                refused.count(state.take(member, Sample { t, v: *value }), member);
                member.owner.store(round.owner, Relaxed);
            }
        }
        if !samples.is_empty() {
            self.target_info(&mut state, &mut round, resource, t);
        }
        if t > round.t {
            round.interval = if round.t == i64::MIN { 0 } else { t.saturating_sub(round.t) };
            round.t = t;
            let (turn, owner) = (round.turn, round.owner);
            for (_, entry) in round.entries.extract_if(|_, entry| entry.turn != turn) {
                entry.members.iter().for_each(|member| state.end_member(member, owner, t));
            }
        }
        state.rounds.insert(key, round);
        drop(state);
        if !quiet {
            refused.tell(self, source);
        }
    }

    fn target_info(&self, state: &mut State, round: &mut Round, resource: &Resource, t: i64) {
        let hash = state.hasher.hash_one(resource.encoded());
        if !round.entries.get(&hash).is_some_and(Entry::alive) {
            let labels = translate::target_info(resource);
            let named = labels.map(|labels| named("target_info", "", labels));
            let member = named.and_then(|labels| self.member(state, &labels, round.owner));
            state.describe("target_info", "gauge", "Target metadata", "");
            round.entries.insert(hash, Entry { members: member.into_iter().collect(), turn: 0 });
        }
        let Some(entry) = round.entries.get_mut(&hash) else { return };
        entry.turn = round.turn;
        for member in &entry.members {
            let _taken = state.take(member, Sample { t, v: 1.0 });
            member.owner.store(round.owner, Relaxed);
        }
    }

    /// The series that a point becomes.
    fn members(
        &self,
        state: &mut State,
        resource: &Resource,
        metric: &Metric,
        sample: &metrics::Sample,
        owner: u64,
    ) -> Box<[Arc<Member>]> {
        let point = metrics::Sample { metric: 0, ..sample.clone() };
        let mut made = Vec::new();
        for family in translate::families(resource, std::slice::from_ref(metric), &[point]) {
            state.describe(&family.name, family.kind, &family.help, &metric.unit);
            for series in family.series {
                let labels = named(&family.name, series.suffix, series.labels);
                match self.member(state, &labels, owner) {
                    Some(member) => made.push(member),
                    // A histogram is there whole or not at all.
                    None => return Box::default(),
                }
            }
        }
        made.into()
    }

    /// The series with these labels, made when there is room for it; else counted.
    pub(super) fn member(&self, state: &mut State, labels: &Labels, owner: u64) -> Option<Arc<Member>> {
        if let Some(member) = state.index.get(labels) {
            return Some(Arc::clone(member));
        }
        let count = state.counts.get(&owner).copied().unwrap_or_default();
        let full = state.bytes > self.limits.memory;
        if full || count >= self.limits.series {
            self.over(state, labels, owner, full);
            return None;
        }
        state.bytes = state.bytes.saturating_add(Member::overhead(labels) + head::OPEN);
        *state.counts.entry(owner).or_default() += 1;
        Some(state.index.add(labels, owner))
    }

    fn over(&self, state: &mut State, labels: &Labels, owner: u64, full: bool) {
        if state.blame.is_none() {
            let all = state.index.members().iter();
            let of_owner = all.filter(|member| full || member.owner.load(Relaxed) == owner);
            state.blame = Some(blame(of_owner.map(|member| &member.labels), labels));
        }
        let hint = state.blame.as_deref().unwrap_or_default();
        let (reason, bound) = if full {
            ("memory_full", "the store's memory is full")
        } else {
            ("over_series_limit", "a source has its number of series in the store")
        };
        self.board.lost("store", reason, 1, format!("{bound}: {hint}"));
    }
}

impl State {
    /// What is known of a source. Taken out, so that the rest of the state can be changed meanwhile.
    fn begin(&mut self, key: &Key) -> Option<Round> {
        if let Some(round) = self.rounds.remove(key) {
            return Some(round);
        }
        if self.rounds.len() >= MAX_ROUNDS {
            return None;
        }
        self.sources += 1;
        let owner = self.sources;
        Some(Round { owner, entries: HashMap::new(), turn: 0, t: i64::MIN, interval: 0, restored: false })
    }

    fn hash(&self, metric: &Metric, sample: &metrics::Sample) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        metric.name.hash(&mut hasher);
        metric.unit.hash(&mut hasher);
        (metric.kind as u8).hash(&mut hasher);
        sample.attributes.hash(&mut hasher);
        if let Point::Histogram(histogram) = &sample.point {
            histogram.bounds.iter().for_each(|bound| bound.to_bits().hash(&mut hasher));
        }
        hasher.finish()
    }

    pub(super) fn describe(&mut self, name: &str, kind: &'static str, help: &str, unit: &str) {
        if self.families.len() < MAX_FAMILIES && !self.families.contains_key(name) {
            let short = |text: &str, bytes| text[..text.floor_char_boundary(bytes)].to_owned();
            let family = Family { name: name.to_owned(), kind, help: short(help, 500), unit: short(unit, 50) };
            self.families.insert(name.to_owned(), family);
        }
    }
}

impl Entry {
    fn alive(&self) -> bool {
        !self.members.iter().any(|member| member.dead.load(Relaxed))
    }
}

impl Refused {
    pub(super) fn count(&mut self, taken: Taken, member: &Member) {
        match taken {
            // What finds no room is counted where that shows.
            Taken::Yes | Taken::Same | Taken::NoRoom => return,
            Taken::Old => self.old += 1,
            Taken::Duplicate => self.duplicate += 1,
        }
        self.example.get_or_insert_with(|| member.labels.clone());
    }

    pub(super) fn tell(&self, inner: &Inner, source: &str) {
        let Some(example) = &self.example else { return };
        if self.old > 0 {
            let hint = format!("{source} sent samples older than the newest, such as of {example}: mend its clock");
            inner.board.lost("store", "out_of_order", self.old, hint);
        }
        if self.duplicate > 0 {
            let hint = format!("two points of {source} at one time become one series, such as {example}");
            inner.board.lost("store", "duplicate", self.duplicate, hint);
        }
    }
}

/// Names the metric with the most series, and its label with the most values.
fn blame<'a>(all: impl Iterator<Item = &'a Labels>, refused: &Labels) -> String {
    let mut by_name: HashMap<&str, Vec<&Labels>> = HashMap::new();
    all.for_each(|labels| by_name.entry(labels.name()).or_default().push(labels));
    let Some((name, series)) = by_name.into_iter().max_by_key(|(_, series)| series.len()) else {
        return format!("no room for {refused}");
    };
    let mut values: BTreeMap<&str, std::collections::HashSet<&str>> = BTreeMap::new();
    for (label, value) in series.iter().flat_map(|labels| labels.iter()).filter(|(label, _)| *label != NAME) {
        values.entry(label).or_default().insert(value);
    }
    let worst = values.iter().max_by_key(|(_, values)| values.len());
    let (label, count) = worst.map_or(("", 0), |(label, values)| (*label, values.len()));
    format!("{name} alone has {} series, its label {label} {count} values: bound it, or collect less", series.len())
}

fn named(name: &str, suffix: &str, labels: translate::Labels) -> Labels {
    let name = [(NAME.to_owned(), format!("{name}{suffix}"))];
    Labels::new(labels.into_iter().chain(name))
}

/// The values of a point in the order of the series that `translate::families` makes of it.
fn numbers(point: &Point, out: &mut Vec<f64>) {
    match point {
        Point::Number(number) => out.push(number.as_f64()),
        Point::Histogram(histogram) => {
            let all: u64 = histogram.counts.iter().sum();
            let mut below = 0;
            for (_, count) in histogram.bounds.iter().zip(&histogram.counts) {
                below += count;
                out.push(below as f64);
            }
            out.extend([all as f64, histogram.sum, all as f64]);
        }
    }
}
