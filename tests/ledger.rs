//! The promise: a line is in the spool exactly once, whatever the rotation and whenever the agent is killed, and the
//! destination sees a line twice only in a request that is an exact repeat of one whose answer was lost.
//!
//! Writers stamp their lines, the agent is killed with SIGKILL a hundred times, the sink misbehaves, and in the end
//! the books are compared. `PLIMSOLL_LEDGER_KILLS` raises the number of kills, `PLIMSOLL_LEDGER_SEED` sets the
//! chances (what the scheduler does to them it does not), `PLIMSOLL_LEDGER_DOWN` the seconds without a sink.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first fault")]

#[path = "ledger/agent.rs"]
mod agent;
#[path = "ledger/dice.rs"]
mod dice;
#[path = "ledger/sink.rs"]
mod sink;
#[path = "ledger/verdict.rs"]
mod verdict;
#[path = "ledger/writer.rs"]
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use agent::Agent;
use dice::Dice;
use sink::Sink;
use verdict::{Verdict, compare, frames, without_repeats};
use writer::{Deeds, Habit, Mood, Writer};

const HABITS: [Habit; 5] = [
    Habit { json: false, split: false, rename: true, truncate: false },
    Habit { json: false, split: false, rename: false, truncate: true },
    Habit { json: true, split: true, rename: true, truncate: false },
    Habit { json: true, split: true, rename: false, truncate: true },
    Habit { json: false, split: true, rename: true, truncate: true },
];

#[test]
fn no_line_is_lost_or_spooled_twice_however_often_the_agent_is_killed() {
    let seed = number("PLIMSOLL_LEDGER_SEED", 1);
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let mut sink = Sink::start(seed);
    let mut agent = Agent::new(folder.path(), &logs, &sink.endpoint());
    let mood = Arc::new(Mood::default());
    let began = Instant::now();
    let writers = write(&logs, seed, &mood, &sink);

    let kills = lives(seed, &mut agent, &mut sink, &mood);

    mood.stop.store(true, SeqCst);
    let deeds: Vec<Deeds> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    let written: Vec<(u8, u32)> = deeds.iter().enumerate().map(|(n, deeds)| (n as u8, deeds.lines)).collect();
    sink.behave();
    agent.start();
    let lines: u64 = deeds.iter().map(|deeds| u64::from(deeds.lines)).sum();
    let caught_up = arrival(&sink, lines);
    agent.stop();

    let frames = frames(&agent.spool());
    let book = sink.book();
    let (stamps, repeats) = without_repeats(&book, &frames);
    let sum = |field: fn(&Deeds) -> u64| deeds.iter().map(field).sum::<u64>();
    eprintln!(
        "{kills} kills in {:.0} s, {lines} lines ({} MB), {} renames, {} copytruncates, {} rotated files deleted; \
         {} frames, {} requests taken; faults {:?}; {repeats:?}; caught up {caught_up:.1?} after the last start",
        began.elapsed().as_secs_f64(),
        sum(|deeds| deeds.bytes) / 1_000_000,
        sum(|deeds| u64::from(deeds.renamed)),
        sum(|deeds| u64::from(deeds.truncated)),
        sum(|deeds| u64::from(deeds.deleted)),
        frames.bodies.len(),
        book.taken.len(),
        book.faults,
    );
    let spooled = compare("spool", &written, &frames.stamps, frames.malformed);
    let malformed = book.taken.iter().map(|taken| taken.malformed).sum();
    let arrived = compare("sink", &written, &stamps, malformed);
    let wrong = spooled != Verdict::default() || arrived != Verdict::default();
    if wrong {
        eprintln!("kept in {}\n{}", folder.keep().display(), agent.said());
    }
    assert!(!wrong, "spool: {spooled:?}, sink: {arrived:?}");
}

fn write(logs: &Path, seed: u64, mood: &Arc<Mood>, sink: &Sink) -> Vec<JoinHandle<Deeds>> {
    let start = |(number, habit): (usize, &Habit)| {
        Writer::start(logs, number as u8, *habit, seed, Arc::clone(mood), sink.witness())
    };
    HABITS.iter().enumerate().map(start).collect()
}

/// Short lives, each ended by SIGKILL: at any moment, or just when a request is under way.
fn lives(seed: u64, agent: &mut Agent, sink: &mut Sink, mood: &Mood) -> u64 {
    let (wanted, down) = (number("PLIMSOLL_LEDGER_KILLS", 100), number("PLIMSOLL_LEDGER_DOWN", 20));
    let mut dice = Dice::new(seed + 1000);
    let mut kills = 0;
    let mut dark: Option<Instant> = None;
    let mut was_dark = false;
    while kills < wanted || dark.is_some() {
        if !was_dark && kills >= wanted / 3 {
            sink.down();
            (dark, was_dark) = (Some(Instant::now()), true);
        }
        if dark.is_some_and(|since| since.elapsed() >= Duration::from_secs(down)) {
            sink.up();
            dark = None;
        }
        agent.start();
        // A frame ends when nothing is written for a moment: without one a short life would never end a frame.
        let end = Instant::now() + Duration::from_millis(150 + dice.roll(950));
        let (phase, began) = (Duration::from_millis(dice.roll(400)), Instant::now());
        let request = (dice.roll(3) == 0).then(|| sink.requests() + 1 + dice.roll(3));
        while Instant::now() < end {
            let turn = (began.elapsed() + phase).as_millis() % 400;
            mood.quiet.store(turn > 130, SeqCst);
            if request.is_some_and(|request| sink.requests() >= request) {
                thread::sleep(Duration::from_micros(dice.roll(4000)));
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        agent.kill();
        kills += 1;
        mood.quiet.store(false, SeqCst);
        thread::sleep(Duration::from_millis(dice.roll(60)));
    }
    kills
}

/// Waits until `lines` have arrived; how long it took. What is missing after the deadline is for the verdict.
fn arrival(sink: &Sink, lines: u64) -> Duration {
    let began = Instant::now();
    let deadline = began + Duration::from_secs(90);
    while (sink.book().delivered.len() as u64) < lines && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(50));
    }
    began.elapsed()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}
