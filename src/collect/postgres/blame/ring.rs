//! The last minutes of the server's processes, bounded: how much each had, and what the largest did.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::backends::Backend;
use super::oom::Kill;
use crate::base::clock;
use crate::collect::event::{Detail, Event};

/// What `pg_stat_activity` said about a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) database: String,
    pub(super) user: String,
    pub(super) application: String,
    pub(super) state: String,
    pub(super) kind: String,
    /// The server's id of the statement, else the hash of its text.
    pub(super) query: String,
    /// Without literals.
    pub(super) text: String,
}

/// What is kept.
#[derive(Debug, Default)]
pub(super) struct Ring {
    known: HashMap<(u32, u64), Known>,
    looks: u64,
    turned: Option<Instant>,
    pub(super) largest: u64,
    pub(super) sum: u64,
}

#[derive(Debug, Default)]
struct Known {
    inner: u32,
    /// What it had one to two minutes ago, and what at the last turn of the minute.
    before: u64,
    turn: u64,
    last: u64,
    /// The look in which it was there last.
    seen: u64,
    history: VecDeque<(Instant, u64)>,
    /// What the server said of it, and when.
    session: Option<(Instant, Session)>,
}

/// Processes whose sessions are looked up: by size, and by growth.
const TOP: usize = 5;
/// Looks that are kept of each of them, and for which one that ended is remembered.
const LOOKS: usize = 12;
/// Processes that are known at all.
const MAX_KNOWN: usize = 10_000;
const MINUTE: Duration = Duration::from_secs(60);
/// Growth that is no news.
const LITTLE: u64 = 4 << 20;
/// Growth between two looks that calls for a closer watch.
const FAST: u64 = 32 << 20;

impl Known {
    fn grown(&self) -> u64 {
        self.last.saturating_sub(self.before)
    }
}

impl Ring {
    /// Takes a look at `now`; whether one of them grows fast.
    pub(super) fn take(&mut self, now: Instant, backends: &[Backend]) -> bool {
        let first = self.looks == 0;
        self.looks += 1;
        let looks = self.looks;
        if self.turned.is_none_or(|turned| now.duration_since(turned) >= MINUTE) {
            self.turned = Some(now);
            for known in self.known.values_mut() {
                (known.before, known.turn) = (known.turn, known.last);
            }
        }
        let mut fast = false;
        for backend in backends {
            let key = (backend.pid, backend.start);
            if self.known.len() >= MAX_KNOWN && !self.known.contains_key(&key) {
                continue;
            }
            let known = self.known.entry(key).or_insert_with(|| {
                // One that began since the last look began with nothing.
                let had = if first { backend.memory } else { 0 };
                Known { inner: backend.inner, before: had, turn: had, last: had, ..Known::default() }
            });
            fast |= backend.memory.saturating_sub(known.last) >= FAST;
            (known.last, known.seen) = (backend.memory, looks);
        }
        self.known.retain(|_, known| known.seen + LOOKS as u64 > looks);
        for key in self.chosen() {
            if let Some(known) = self.known.get_mut(&key) {
                known.history.truncate(LOOKS - 1);
                known.history.push_front((now, known.last));
            }
        }
        self.largest = backends.iter().map(|backend| backend.memory).max().unwrap_or(0);
        self.sum = backends.iter().fold(0, |sum, backend| sum.saturating_add(backend.memory));
        fast
    }

    /// The ids, as the server knows them, of those whose sessions are wanted.
    pub(super) fn wanted(&self) -> Vec<u32> {
        self.chosen().iter().filter_map(|key| self.known.get(key)).map(|known| known.inner).collect()
    }

    /// Takes what the server says about one that is there now.
    pub(super) fn session(&mut self, inner: u32, now: Instant, session: Session) {
        let looks = self.looks;
        let found = self.known.values_mut().find(|known| known.inner == inner && known.seen == looks);
        if let Some(known) = found {
            known.session = Some((now, session));
        }
    }

    fn chosen(&self) -> Vec<(u32, u64)> {
        let mut alive: Vec<(&(u32, u64), &Known)> =
            self.known.iter().filter(|(_, known)| known.seen == self.looks).collect();
        let mut chosen = Vec::new();
        let by: [fn(&Known) -> u64; 2] = [|known| known.last, Known::grown];
        for measure in by {
            alive.sort_by_key(|(key, known)| (std::cmp::Reverse(measure(known)), **key));
            chosen.extend(alive.iter().take(TOP).map(|(key, _)| **key));
        }
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    /// What was known when the kernel killed.
    pub(super) fn freeze(&mut self, kill: &Kill, now: Instant) -> Event {
        if let Some(victim) =
            self.known.iter_mut().filter(|((pid, _), _)| *pid == kill.pid).max_by_key(|(key, _)| key.1)
        {
            // It grew on after the last look.
            victim.1.last = victim.1.last.max(kill.memory.unwrap_or(0));
        }
        let mut all: Vec<(&(u32, u64), &Known)> = self.known.iter().collect();
        all.sort_by_key(|(key, known)| (std::cmp::Reverse((known.grown(), known.last)), **key));
        // Nobody is blamed for next to nothing: what grew and died between two looks was never seen, and then what
        // another one took meanwhile is little beside it.
        let is_known = self.known.keys().any(|(pid, _)| *pid == kill.pid);
        let least = if is_known { LITTLE } else { LITTLE.max(kill.memory.unwrap_or(0) / 10) };
        let grown = all.first().copied().filter(|(_, known)| known.grown() >= least);
        let mut attributes = victim(kill);
        let mut body = format!("the kernel killed {} (process {}", kill.name, kill.pid);
        body.push_str(&kill.memory.map_or_else(String::new, |memory| format!(", {} MiB", memory >> 20)));
        body.push_str(if kill.is_cgroup { ") at the limit of its cgroup" } else { "): the host had no memory left" });
        if let Some((key, known)) = grown {
            let is_victim = key.0 == kill.pid;
            attributes.extend(most(*key, known, is_victim, now));
            let who = if is_victim { "it grew most itself".to_owned() } else { format!("process {} grew most", key.0) };
            body.push_str(&format!(": {who}, by {} to {} MiB", known.grown() >> 20, known.last >> 20));
            body.push_str(&what_it_did(known, now));
        }
        if grown.is_none() {
            body.push_str("; no process of this server was seen to grow before");
        }
        attributes.push(("postgresql.backends", others(&all).into()));
        Event { name: "plimsoll.oom_kill", nanos: clock::unix_nanos(), severity: 17, body, attributes }
    }
}

/// In words, and how old the knowledge is: it may have begun something else since.
fn what_it_did(known: &Known, now: Instant) -> String {
    let Some((at, session)) = &known.session else {
        return "; what it did is not known: it grew before the server could be asked".into();
    };
    let Session { state, user, database, kind, text, .. } = session;
    let before = now.duration_since(*at).as_secs_f64();
    if text.is_empty() {
        return format!(", {kind}, asked {before:.1} s before");
    }
    format!(", {state} of {user} in {database}, asked {before:.1} s before: {text}")
}

fn victim(kill: &Kill) -> Vec<(&'static str, Detail)> {
    let mut out: Vec<(&'static str, Detail)> =
        vec![("oom.victim.pid", i64::from(kill.pid).into()), ("oom.victim.name", kill.name.clone().into())];
    out.extend(kill.memory.map(|memory| ("oom.victim.memory", memory.cast_signed().into())));
    out.push(("oom.constraint", if kill.is_cgroup { "cgroup" } else { "host" }.into()));
    out.extend(kill.cgroup.clone().map(|cgroup| ("oom.cgroup", cgroup.into())));
    out
}

/// The one that grew most.
fn most(key: (u32, u64), known: &Known, is_victim: bool, now: Instant) -> Vec<(&'static str, Detail)> {
    let history = known.history.iter().rev();
    let history: Vec<String> =
        history.map(|(at, memory)| format!("-{} s {} MiB", now.duration_since(*at).as_secs(), memory >> 20)).collect();
    let mut out: Vec<(&'static str, Detail)> = vec![
        ("postgresql.backend.is_victim", if is_victim { "true" } else { "false" }.into()),
        ("process.pid", i64::from(key.0).into()),
        ("postgresql.pid", i64::from(known.inner).into()),
        ("postgresql.backend.memory", known.last.cast_signed().into()),
        ("postgresql.backend.growth", known.grown().cast_signed().into()),
        ("postgresql.backend.history", history.join(", ").into()),
        ("postgresql.session.is_known", if known.session.is_some() { "true" } else { "false" }.into()),
    ];
    if let Some((at, session)) = &known.session {
        out.push(("postgresql.session.age", now.duration_since(*at).as_secs_f64().into()));
        let named = [
            ("db.namespace", &session.database),
            ("user.name", &session.user),
            ("postgresql.application_name", &session.application),
            ("postgresql.state", &session.state),
            ("postgresql.backend.type", &session.kind),
            ("postgresql.query.id", &session.query),
            ("db.query.text", &session.text),
        ];
        let named = named.into_iter().filter(|(_, text)| !text.is_empty());
        out.extend(named.map(|(name, text)| (name, Detail::from(text.clone()))));
    }
    out
}

/// The first few by growth, one line each.
fn others(all: &[(&(u32, u64), &Known)]) -> String {
    let line = |(key, known): &(&(u32, u64), &Known)| {
        let (_, session) = known.session.clone().unwrap_or_else(|| (Instant::now(), Session::default()));
        format!(
            "{} {} MiB +{} MiB {} {} {} {}",
            key.0,
            known.last >> 20,
            known.grown() >> 20,
            session.kind,
            session.user,
            session.database,
            session.query
        )
    };
    all.iter().take(TOP).map(|entry| line(entry).trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(pid: u32, mib: u64) -> Backend {
        Backend { pid, inner: pid + 1000, start: 1, memory: mib << 20 }
    }

    fn attribute(event: &Event, name: &str) -> Option<Detail> {
        event.attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }

    #[test]
    fn the_one_that_grew_is_named_and_not_the_largest_nor_the_victim() {
        let mut ring = Ring::default();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert!(!ring.take(at(0), &[backend(1, 900), backend(2, 10), backend(3, 500)]));
        assert!(ring.take(at(5), &[backend(1, 900), backend(2, 300), backend(3, 500)]));
        let session = Session {
            user: "app".into(),
            database: "shop".into(),
            state: "active".into(),
            text: "SELECT ?".into(),
            query: "77".into(),
            ..Session::default()
        };
        ring.session(1002, at(4), session);
        let kill = Kill { pid: 3, name: "postgres".into(), memory: Some(510 << 20), ..Kill::default() };
        let event = ring.freeze(&kill, at(6));
        assert_eq!(attribute(&event, "process.pid"), Some(Detail::Int(2)));
        assert_eq!(attribute(&event, "oom.victim.pid"), Some(Detail::Int(3)));
        assert_eq!(attribute(&event, "db.query.text"), Some("SELECT ?".into()));
        assert_eq!(attribute(&event, "postgresql.backend.history"), Some("-6 s 10 MiB, -1 s 300 MiB".into()));
        assert!(
            event.body.ends_with("by 290 to 300 MiB, active of app in shop, asked 2.0 s before: SELECT ?"),
            "{}",
            event.body
        );
        assert_eq!(attribute(&event, "postgresql.session.age"), Some(Detail::Double(2.0)));
        assert_eq!(attribute(&event, "postgresql.session.is_known"), Some("true".into()));
    }

    #[test]
    fn of_a_query_that_could_not_be_asked_about_the_record_says_so() {
        let mut ring = Ring::default();
        let now = Instant::now();
        ring.take(now, &[backend(1, 10)]);
        ring.take(now, &[backend(1, 10), backend(2, 500)]);
        let event = ring.freeze(&Kill { pid: 2, name: "postgres".into(), ..Kill::default() }, now);
        assert!(
            event.body.contains("it grew most itself, by 500 to 500 MiB; what it did is not known"),
            "{}",
            event.body
        );
        assert_eq!(attribute(&event, "postgresql.session.is_known"), Some("false".into()));
        assert_eq!(attribute(&event, "db.query.text"), None);
        // And one that came and was killed between two looks was not seen at all.
        let mut ring = Ring::default();
        ring.take(now, &[backend(1, 10)]);
        ring.take(now, &[backend(1, 60)]);
        let event = ring.freeze(&Kill { pid: 3, memory: Some(900 << 20), ..Kill::default() }, now);
        assert!(event.body.ends_with("no process of this server was seen to grow before"), "{}", event.body);
    }

    #[test]
    fn an_id_that_is_used_again_is_another_process() {
        let mut ring = Ring::default();
        let now = Instant::now();
        ring.take(now, &[backend(1, 900)]);
        ring.take(now, &[Backend { start: 2, ..backend(1, 20) }]);
        let event = ring.freeze(&Kill { pid: 9, ..Kill::default() }, now);
        assert_eq!(attribute(&event, "postgresql.backend.growth"), Some(Detail::Int(20 << 20)));
    }

    #[test]
    fn what_ended_is_forgotten_after_some_looks_and_the_number_is_bounded() {
        let mut ring = Ring::default();
        let now = Instant::now();
        let crowd: Vec<Backend> = (0..20_000).map(|pid| backend(pid, 1)).collect();
        ring.take(now, &crowd);
        assert_eq!(ring.known.len(), MAX_KNOWN);
        for _ in 0..LOOKS {
            ring.take(now, &[]);
        }
        assert!(ring.known.is_empty());
        assert_eq!((ring.largest, ring.sum), (0, 0));
    }
}
