//! What is asked of a target, and what is told of its address.

use std::time::Duration;

use plimsoll::base::tls;
use plimsoll::collect::http::{Http, Login};
use plimsoll::collect::scrape::Scrape;

use super::fake::{Fake, Mood};
use super::round::{Round, one, runtime};

const LIMIT: Duration = Duration::from_secs(10);

fn read(address: &str) -> Round {
    let http = Http::new(address, &Login::None, tls::nobody().unwrap()).unwrap();
    runtime().block_on(one(&mut Scrape::new(http), LIMIT))
}

/// Each address has its own number; all others are not there.
fn pages(path: &str) -> String {
    let number = match path {
        "/metrics/" => 1,
        "/metrics" => 2,
        "/" => 3,
        "/metrics?of=a/" => 4,
        _ => return String::new(),
    };
    format!("asked {number}\n")
}

#[test]
fn a_target_is_asked_at_its_address_as_it_stands_with_a_slash_at_its_end_or_without() {
    let fake = Fake::start(pages);
    fake.set(Mood::Good);
    for (path, number) in [("/metrics/", 1.0), ("/metrics", 2.0), ("/", 3.0), ("", 3.0), ("/metrics?of=a/", 4.0)] {
        let found = read(&format!("http://127.0.0.1:{}{path}", fake.port));
        assert_eq!(found.value("asked", &[]), Some(number), "{path}: {:?}", found.result);
    }
}

#[test]
fn a_token_in_the_address_of_a_target_is_told_by_no_fault() {
    let fake = Fake::start(pages);
    fake.set(Mood::Good);
    let found = read(&format!("http://127.0.0.1:{}/v1/4fa2c81b77d0/metrics?key=hunter2", fake.port));
    let why = found.result.unwrap_err().to_string();
    assert!(why.contains(&format!("127.0.0.1:{}/v1/(hidden)/metrics answers 404", fake.port)), "{why}");
    assert!(!why.contains("hunter2"), "{why}");
}
