//! Which units are read, and what is known of each: the format of its messages and its latest time stamp.

use std::collections::HashMap;

use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::tail::parse::{Choice, Format, Parser};

use super::export::{Entry, Field};
use super::record;

/// Units with a format of their own; the messages of further ones are read as text.
const MAX_UNITS: usize = 256;

/// Picks entries by unit.
#[derive(Debug)]
pub(super) struct Filter {
    units: Option<GlobSet>,
    exclude: GlobSet,
    own_unit: String,
    own_pid: u64,
}

impl Filter {
    /// No `units`: all of them.
    pub(super) fn new(
        units: &[String],
        exclude: &[String],
        own_unit: &str,
        own_pid: u32,
    ) -> Result<Self, globset::Error> {
        let units = if units.is_empty() { None } else { Some(globs(units)?) };
        Ok(Self { units, exclude: globs(exclude)?, own_unit: own_unit.to_owned(), own_pid: u64::from(own_pid) })
    }

    /// The agent's own lines are never taken: each would make the next.
    pub(super) fn takes(&self, entry: &Entry) -> bool {
        if entry.number(Field::Pid) == Some(self.own_pid) || entry.text(Field::Unit) == Some(&self.own_unit) {
            return false;
        }
        let names = [record::unit(entry), entry.text(Field::UserUnit)];
        let any = |set: &GlobSet| names.iter().flatten().any(|name| set.is_match(name));
        !any(&self.exclude) && self.units.as_ref().is_none_or(any)
    }
}

fn globs(patterns: &[String]) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern)?);
    }
    set.build()
}

/// What is kept of a unit from entry to entry.
#[derive(Debug)]
pub(super) struct Unit {
    pub parser: Parser,
    /// Its latest time stamp, Unix nanoseconds; before its first: the latest of all before the start.
    latest: u64,
    fresh: bool,
}

impl Unit {
    fn new(choice: Choice, floor: u64) -> Self {
        Self { parser: Parser::new(choice), latest: floor, fresh: true }
    }

    /// A time stamp for what happened at `micros`.
    pub(super) fn stamp(&mut self, micros: u64) -> u64 {
        // What another unit did last before the start matters only when it was at the same microsecond.
        if std::mem::take(&mut self.fresh) && self.latest / 1_000 != micros {
            self.latest = 0;
        }
        self.latest = record::rising(self.latest, micros);
        self.latest
    }
}

/// The units that were seen.
#[derive(Debug)]
pub(super) struct Units {
    known: HashMap<Box<str>, Unit>,
    others: Unit,
    choice: Choice,
    floor: u64,
}

impl Units {
    /// `floor` is the time stamp of the latest record before the start.
    pub(super) fn new(choice: Choice, floor: u64) -> Self {
        let shared = if choice == Choice::Auto { Choice::Fixed(Format::Text) } else { choice };
        let others = Unit::new(shared, floor);
        Self { known: HashMap::new(), others, choice, floor }
    }

    /// The one that is named so, made when it is new and there is room.
    pub(super) fn of(&mut self, name: &str) -> &mut Unit {
        if !self.known.contains_key(name) && self.known.len() < MAX_UNITS {
            self.known.insert(name.into(), Unit::new(self.choice, self.floor));
        }
        self.known.get_mut(name).unwrap_or(&mut self.others)
    }

    /// How many are known.
    pub(super) fn count(&self) -> usize {
        self.known.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::export;
    use super::*;

    fn takes(filter: &Filter, fields: &str) -> bool {
        let input = format!("{fields}\n\n");
        export::Parser::new().next(&mut input.as_bytes()).is_some_and(|entry| filter.takes(entry))
    }

    fn filter(units: &[&str], exclude: &[&str]) -> Filter {
        let own = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        Filter::new(&own(units), &own(exclude), "plimsoll.service", 99).unwrap()
    }

    #[test]
    fn units_are_picked_by_globs_and_left_alone_by_globs() {
        let some = filter(&["shop-*.service"], &["shop-test*"]);
        assert!(takes(&some, "_SYSTEMD_UNIT=shop-1.service"));
        assert!(takes(&some, "_SYSTEMD_UNIT=user@1000.service\n_SYSTEMD_USER_UNIT=shop-1.service"));
        assert!(takes(&some, "_PID=1\nUNIT=shop-1.service\n_SYSTEMD_UNIT=init.scope"));
        assert!(!takes(&some, "_SYSTEMD_UNIT=shop-test.service"));
        assert!(!takes(&some, "_SYSTEMD_UNIT=nginx.service"));
        assert!(!takes(&some, "_TRANSPORT=kernel"));
        assert!(takes(&filter(&[], &["shop*"]), "_TRANSPORT=kernel"));
    }

    #[test]
    fn the_agents_own_lines_are_never_read() {
        let all = filter(&[], &[]);
        assert!(!takes(&all, "_SYSTEMD_UNIT=plimsoll.service\n_PID=5"));
        assert!(!takes(&all, "_SYSTEMD_UNIT=session-1.scope\n_PID=99"));
        assert!(takes(&all, "_PID=1\nUNIT=plimsoll.service\n_SYSTEMD_UNIT=init.scope"));
    }

    #[test]
    fn the_first_record_after_a_start_never_has_the_time_of_the_last_one_before_it() {
        let mut units = Units::new(Choice::Auto, 7_002);
        assert_eq!(units.of("a").stamp(7), 7_003);
        assert_eq!(units.of("b").stamp(6), 6_000);
    }

    #[test]
    fn the_list_of_units_is_bounded() {
        let mut units = Units::new(Choice::Auto, 0);
        for number in 0..2 * MAX_UNITS {
            units.of(&format!("{number}.service")).stamp(1);
        }
        assert_eq!(units.count(), MAX_UNITS);
        assert_eq!(units.others.latest, 1_000 + MAX_UNITS as u64 - 1);
    }
}
