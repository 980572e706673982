//! What a walk through the keys finds, and what the next one forgets.

use super::*;

/// A whole walk that comes by these queues.
fn walk(search: &mut Search, names: impl Iterator<Item = String>) {
    let keys = names.map(|name| Value::BulkString(format!("bull:{name}:meta").into_bytes())).collect();
    search.take_keys(&Value::Array(vec![Value::BulkString(b"0".to_vec()), Value::Array(keys)]));
}

fn names(search: &Search) -> Vec<String> {
    search.places().into_iter().map(|(place, _)| place.queue).collect()
}

fn days(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|day| format!("day{day:03}"))
}

#[test]
fn queues_that_are_gone_are_forgotten_and_make_room_for_others() {
    let mut search = Search::new(Wanted::Auto, None);
    walk(&mut search, days(0..MAX_QUEUES));
    assert_eq!(names(&search).len(), MAX_QUEUES);
    // A queue for each day: three are new, and the oldest three were taken away.
    walk(&mut search, days(3..MAX_QUEUES + 3));
    assert_eq!(names(&search), days(3..MAX_QUEUES + 3).collect::<Vec<_>>());
    assert!(!search.more, "all are read");
    walk(&mut search, days(3..MAX_QUEUES + 4));
    assert!(search.more && names(&search) == days(3..MAX_QUEUES + 3).collect::<Vec<_>>(), "those that were read stay");
    walk(&mut search, std::iter::empty());
    assert!(names(&search).is_empty());
}

#[test]
fn a_queue_without_a_key_is_there_as_long_as_somebody_works_on_it() {
    let mut search = Search::new(Wanted::Auto, None);
    search.take_clients("id=7 name=bull:bWFpbA== age=3\n");
    walk(&mut search, std::iter::empty());
    search.take_clients("id=7 name=bull:bWFpbA== age=63\n");
    walk(&mut search, std::iter::empty());
    assert_eq!(names(&search), ["mail"]);
    search.take_clients("");
    walk(&mut search, std::iter::empty());
    assert!(names(&search).is_empty());
}
