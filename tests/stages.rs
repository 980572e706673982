//! The seven stages of a web system, each with the fault that is its ceiling.
//!
//! A stage is played with real parts (`cargo test --test stages -- --ignored`, which `tests/run --record-stages` does);
//! what its agents shipped is recorded under `tests/fixtures/stages`. The tests that always run replay that into a real
//! Prometheus and Loki, and hold the stage's board and the shipped rules against it. `tests/stages/README.md` tells how
//! a stage is written.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so and ends")]

#[path = "stages/boards.rs"]
mod boards;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/cgroup.rs"]
mod cgroup;
#[path = "stages/fixture.rs"]
mod fixture;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/harness.rs"]
mod harness;
#[path = "stages/live.rs"]
mod live;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/loki.rs"]
mod loki;
#[path = "stages/network.rs"]
mod network;
#[path = "stages/parts.rs"]
mod parts;
#[path = "stages/points.rs"]
mod points;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/postgres.rs"]
mod postgres_server;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/prometheus.rs"]
mod prometheus;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/redis.rs"]
mod redis_server;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/release.rs"]
mod release;
#[path = "stages/replay.rs"]
mod replay;
#[path = "stages/rules.rs"]
mod rules;
#[path = "stages/stage_1.rs"]
mod stage_1;
#[path = "stages/stage_2.rs"]
mod stage_2;
#[path = "stages/stage_3.rs"]
mod stage_3;
#[path = "stages/stage_4.rs"]
mod stage_4;
#[path = "stages/stage_5.rs"]
mod stage_5;
#[path = "stages/stage_6.rs"]
mod stage_6;
#[path = "stages/stage_7.rs"]
mod stage_7;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/worker.rs"]
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use fixture::Fixture;
use live::Live;
use loki::Loki;
use prometheus::Prometheus;
use replay::Replay;

/// One stage: how it is played, and what its fault shows.
pub(crate) struct Stage {
    pub(crate) number: u8,
    /// Plays it and writes the fixture.
    pub(crate) play: fn(Live),
    /// Exactly the pages that fire from the fault on.
    pub(crate) pages: &'static [&'static str],
    /// Where its board shows the ceiling.
    pub(crate) shows: &'static [Shows],
    /// What may have no data: a panel, how its query begins, and why.
    pub(crate) empty: &'static [(&'static str, &'static str, &'static str)],
}

/// A panel whose value crosses a limit with the fault, and not in the half hour before.
pub(crate) struct Shows {
    pub(crate) panel: &'static str,
    /// What the query holds, where the panel has several.
    pub(crate) holds: &'static str,
    /// The value goes above the limit; else below.
    pub(crate) above: bool,
    pub(crate) limit: f64,
}

/// All of them.
const STAGES: &[&Stage] = &[
    &stage_1::STAGE,
    &stage_2::STAGE,
    &stage_3::STAGE,
    &stage_4::STAGE,
    &stage_5::STAGE,
    &stage_6::STAGE,
    &stage_7::STAGE,
];

/// The status that a GET is answered with, within `limit`.
pub(crate) fn http(address: SocketAddr, path: &str, limit: Duration) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: shop\r\n\r\n").as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    io::copy(&mut reader.take(1 << 20), &mut io::sink())?;
    status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, line))
}

/// When a replay ends: at a whole minute, so that its samples lie in the same way on the grids of queries each time.
fn end() -> u64 {
    const MINUTE: u64 = 60_000_000_000;
    harness::now() / MINUTE * MINUTE
}

/// The fixture of a stage, shown twice: with its own boxes, and with as many again that stay healthy.
fn replayed(stage: &Stage) {
    let fixture = Fixture::read(stage.number);
    for twins in [false, true] {
        let Some(prometheus) = Prometheus::start() else { return };
        let Some(loki) = Loki::start() else { return };
        let replay = Replay::new(&fixture, end(), boards::longest(stage.number), twins);
        replay.send(prometheus.port, loki.port);
        let mut faults = Vec::from_iter(rules::faults(stage, &replay, &prometheus));
        faults.extend(boards::Shown { stage, replay: &replay, prometheus: &prometheus, loki: &loki }.faults());
        assert!(faults.is_empty(), "stage {}, twins {twins}:\n{}", stage.number, faults.join("\n"));
    }
}

#[test]
fn the_pages_and_the_board_of_stage_1_tell_of_a_query_that_eats_the_memory() {
    replayed(&stage_1::STAGE);
}

#[test]
fn the_pages_and_the_board_of_stage_2_tell_of_a_network_that_is_slow_and_then_cut() {
    replayed(&stage_2::STAGE);
}

#[test]
fn the_pages_and_the_board_of_stage_3_tell_of_an_application_at_its_limit_and_of_a_bad_deploy() {
    replayed(&stage_3::STAGE);
}

#[test]
fn the_pages_and_the_board_of_stage_4_tell_of_a_full_pool_and_of_a_server_that_dies() {
    replayed(&stage_4::STAGE);
}

#[test]
fn the_pages_and_the_board_of_stage_5_tell_of_a_slow_upstream_and_of_a_cache_that_was_emptied() {
    replayed(&stage_5::STAGE);
}

#[test]
fn the_pages_and_the_board_of_stage_6_tell_of_jobs_that_wait_and_of_a_row_that_all_want() {
    replayed(&stage_6::STAGE);
}

#[test]
fn the_pages_and_the_board_of_stage_7_tell_of_a_replica_that_gives_old_answers() {
    replayed(&stage_7::STAGE);
}

#[test]
fn a_recording_tells_only_of_its_own_boxes_and_programs() {
    for stage in STAGES {
        let fixture = Fixture::read(stage.number);
        assert!(fixture.mark("healthy") < fixture.mark("fault"), "stage {}", stage.number);
        let mut boxes = BTreeSet::new();
        for resource in fixture.resources() {
            boxes.extend(resource.attributes.iter().filter(|known| known.key == "host.name").map(points::text));
        }
        assert!(!boxes.is_empty() && boxes.iter().all(|name| name.starts_with("shop-")), "{boxes:?}");
        for (_, series, point) in fixture.points() {
            assert!(live::is_own(&point), "stage {}: {}: {point:?}", stage.number, series.metric.name);
        }
    }
}

#[test]
fn a_replay_ends_when_it_is_told_and_its_counters_fall_only_where_their_source_began_anew() {
    for stage in STAGES {
        let fixture = Fixture::read(stage.number);
        let end = end();
        let replay = Replay::new(&fixture, end, Duration::from_secs(3600), true);
        let recorded = falls(fixture.points().into_iter());
        let (mut first, mut last) = (u64::MAX, 0);
        let points = replay.metrics.iter().flat_map(|(_, request)| points::each(request));
        let points = points.inspect(|(_, _, point)| {
            first = first.min(point.time());
            last = last.max(point.time());
        });
        let replayed = falls(points);
        assert!(replayed <= recorded, "stage {}: {recorded} counters fell, and {replayed} in the replay", stage.number);
        assert!(first == replay.begin && last <= end && end - last < 60_000_000_000, "{first} {last} {end}");
        assert!(replay.begin < replay.fault && replay.fault < end);
    }
}

/// How often a number that only grows fell.
fn falls(points: impl Iterator<Item = (points::Key, points::Series, points::Point)>) -> usize {
    let mut before: BTreeMap<points::Key, Vec<f64>> = BTreeMap::new();
    let mut falls = 0;
    for (key, _, point) in points {
        let now = point.counts();
        if let Some(before) = before.insert(key, now.clone()) {
            falls += usize::from(before.iter().zip(&now).any(|(before, now)| now < before));
        }
    }
    falls
}

/// One test for all, one after another: they need the whole machine. `PLIMSOLL_STAGES` chooses some of them.
#[test]
#[ignore = "takes minutes for each and makes boxes as root: tests/run --record-stages"]
fn record_stages() {
    let chosen = std::env::var("PLIMSOLL_STAGES").unwrap_or_else(|_| "1 2 3 4 5 6 7".to_owned());
    for stage in STAGES.iter().filter(|stage| chosen.contains(&stage.number.to_string())) {
        (stage.play)(Live::start(stage.number));
    }
}
