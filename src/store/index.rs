//! Which series of the head a selector wants: for each label and value the sorted numbers of the series.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::Labels;
use super::head::Member;
use super::labels::Label;
use super::matcher::{Matcher, Op};

/// The series of the head, numbered.
#[derive(Debug, Default)]
pub(super) struct Index {
    members: Vec<Arc<Member>>,
    numbers: HashMap<Labels, u32>,
    postings: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Vec<u32>>>,
    words: HashSet<Arc<str>>,
    /// The place of each series in the order of the labels; of new ones not yet known.
    ranks: Vec<u32>,
}

impl Index {
    pub(super) fn members(&self) -> &[Arc<Member>] {
        &self.members
    }

    pub(super) fn get(&self, labels: &Labels) -> Option<&Arc<Member>> {
        self.members.get(*self.numbers.get(labels)? as usize)
    }

    /// Adds a series that is not there; its words are shared with the others'.
    pub(super) fn add(&mut self, labels: &Labels, owner: u64) -> Arc<Member> {
        let labels = Labels::shared(
            labels
                .as_slice()
                .iter()
                .map(|label| Label { name: self.word(&label.name), value: self.word(&label.value) }),
        );
        let member = Arc::new(Member::new(labels, owner));
        self.insert(Arc::clone(&member));
        member
    }

    fn word(&mut self, word: &Arc<str>) -> Arc<str> {
        if let Some(known) = self.words.get(word) {
            return Arc::clone(known);
        }
        self.words.insert(Arc::clone(word));
        Arc::clone(word)
    }

    fn insert(&mut self, member: Arc<Member>) {
        let number = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        for label in member.labels.as_slice() {
            let values = self.postings.entry(Arc::clone(&label.name)).or_default();
            values.entry(Arc::clone(&label.value)).or_default().push(number);
        }
        self.numbers.insert(member.labels.clone(), number);
        self.members.push(member);
    }

    /// Keeps only the series of which `keep` says so.
    pub(super) fn retain(&mut self, keep: impl Fn(&Member) -> bool) {
        let old = std::mem::take(self);
        for member in old.members {
            if keep(&member) {
                for label in member.labels.as_slice() {
                    self.words.insert(Arc::clone(&label.name));
                    self.words.insert(Arc::clone(&label.value));
                }
                self.insert(member);
            } else {
                member.dead.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
    }

    /// Finds the places of new series. Most stand in order already, so that few have to be looked at.
    fn rank(&mut self) {
        let (known, all) = (self.ranks.len(), self.members.len());
        if known == all {
            return;
        }
        let mut order = vec![0; known];
        for (number, rank) in (0..).zip(&self.ranks) {
            order[*rank as usize] = number;
        }
        order.extend(known as u32..all as u32);
        let labels = |number: u32| &self.members[number as usize].labels;
        order.sort_by(|a, b| labels(*a).cmp(labels(*b)));
        self.ranks.resize(all, 0);
        for (rank, number) in (0..).zip(order) {
            self.ranks[number as usize] = rank;
        }
    }

    /// The series that all `matchers` want, in the order of their labels.
    pub(super) fn find(&mut self, matchers: &[Matcher]) -> Vec<&Arc<Member>> {
        self.rank();
        let equal = |matcher: &&Matcher| matcher.op == Op::Equal && !matcher.value.is_empty();
        let lists: Option<Vec<&[u32]>> = matchers
            .iter()
            .filter(equal)
            .map(|matcher| Some(self.postings.get(&*matcher.name)?.get(&*matcher.value)?.as_slice()))
            .collect();
        let Some(mut lists) = lists else { return Vec::new() };
        lists.sort_by_key(|list| list.len());
        let mut numbers: Vec<u32> = match lists.split_first() {
            Some((first, others)) => {
                let in_all = |number: &&u32| others.iter().all(|list| list.binary_search(number).is_ok());
                first.iter().filter(in_all).copied().collect()
            }
            None => (0..self.members.len() as u32).collect(),
        };
        for matcher in matchers.iter().filter(|matcher| !equal(matcher)) {
            numbers = self.narrow(numbers, matcher);
        }
        numbers.sort_unstable_by_key(|number| self.ranks.get(*number as usize));
        numbers.iter().filter_map(|number| self.members.get(*number as usize)).collect()
    }

    /// Looks at each value once where that is less work than to look at each series.
    fn narrow(&self, mut numbers: Vec<u32>, matcher: &Matcher) -> Vec<u32> {
        let values = self.postings.get(&*matcher.name);
        if values.is_none_or(|values| values.len() > numbers.len()) {
            let wanted = |number: &u32| {
                self.members.get(*number as usize).is_some_and(|m| matcher.matches(m.labels.get(&matcher.name)))
            };
            numbers.retain(wanted);
            return numbers;
        }
        let without = matcher.matches("");
        // Where the empty value is wanted, the others are taken out; else the wanted ones are put together.
        let mut chosen: Vec<u32> = values
            .into_iter()
            .flatten()
            .filter(|(value, _)| matcher.matches(value) != without)
            .flat_map(|(_, list)| list.iter().copied())
            .collect();
        chosen.sort_unstable();
        numbers.retain(|number| chosen.binary_search(number).is_ok() != without);
        numbers
    }
}
