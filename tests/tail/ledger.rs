//! A ledger over random lives: writers stamp each line, do to their logs what is done to logs, the agent dies, the
//! sink is full; in the end every line that was not truncated away unread is there exactly once, in order, and
//! what was truncated away is counted to the byte.

use std::collections::BTreeMap;

use crate::rig::Rig;

/// xorshift64: the same life for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[derive(Default)]
struct Writer {
    name: String,
    next: u32,
    /// The part of a line that is not written yet.
    rest: String,
    generation: u32,
    bytes: u64,
}

impl Writer {
    fn line(&mut self, dice: &mut Dice) -> String {
        self.next += 1;
        let body = "x".repeat(dice.roll(120) as usize);
        let text = format!("{} {:08} {body}", self.name, self.next);
        let line = format!("{text} #{:016x}\n", xxhash_rust::xxh3::xxh3_64(text.as_bytes()));
        self.bytes += line.len() as u64;
        line
    }

    fn write(&mut self, rig: &Rig, dice: &mut Dice) {
        let mut text = std::mem::take(&mut self.rest);
        let most = if dice.roll(20) == 0 { 3000 } else { 40 };
        for _ in 0..dice.roll(most) {
            text.push_str(&self.line(dice));
        }
        if dice.roll(3) == 0 {
            let line = self.line(dice);
            let (now, later) = line.split_at(1 + dice.roll(line.len() as u64 - 1) as usize);
            text.push_str(now);
            later.clone_into(&mut self.rest);
        }
        rig.append(&format!("{}.log", self.name), text);
    }

    /// Ends the line that is being written.
    fn finish(&mut self, rig: &Rig) {
        let rest = std::mem::take(&mut self.rest);
        rig.append(&format!("{}.log", self.name), rest);
    }

    fn shift(&mut self) -> String {
        self.generation += 1;
        format!("{}.log.{}", self.name, self.generation)
    }
}

fn number(line: &str) -> Option<(&str, u32)> {
    let (text, sum) = line.rsplit_once(" #")?;
    let good = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text.as_bytes())) == sum;
    let mut words = text.split(' ');
    let (name, number) = (words.next()?, words.next()?.parse().ok()?);
    good.then_some((name, number))
}

/// What a life may do beside writing and dying.
#[derive(Clone, Copy, PartialEq)]
enum Ways {
    /// Renames, copies that the glob sees, compression.
    Kept,
    /// Truncation whose copy nobody sees.
    Lossy,
}

fn live(seed: u64, ways: Ways) -> (Rig, Vec<Writer>) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let glob = if ways == Ways::Kept { "*.log*" } else { "*.log" };
    let mut rig = Rig::with(&[glob], |settings| settings.max_open = 6);
    let mut writers: Vec<Writer> =
        ["ann", "bob", "cyd"].iter().map(|&name| Writer { name: name.to_owned(), ..Writer::default() }).collect();
    for _ in 0..120 {
        let writer = &mut writers[dice.roll(3) as usize];
        let what = dice.roll(12);
        match what {
            0..5 => writer.write(&rig, &mut dice),
            5 => rotate(&mut rig, writer, ways, &mut dice),
            6 => rig.restart(),
            7 => rig.full(dice.roll(6) as u32),
            8 => drop(rig.step()),
            _ => rig.pass(dice.roll(4)),
        }
    }
    rig.full(0);
    for writer in &mut writers {
        writer.finish(&rig);
    }
    rig.pass(120);
    (rig, writers)
}

fn rotate(rig: &mut Rig, writer: &mut Writer, ways: Ways, dice: &mut Dice) {
    let name = format!("{}.log", writer.name);
    if !rig.path(&name).exists() {
        return;
    }
    tick(rig);
    match (ways, dice.roll(3)) {
        (Ways::Kept, 0) => {
            // logrotate copies and truncates between two writes.
            writer.finish(rig);
            let copy = writer.shift();
            rig.copy(&name, &copy);
            tick(rig);
            rig.truncate(&name);
        }
        (Ways::Kept, kind) => {
            // Lines divided by a rotation have tests of their own, in `rotation`.
            writer.finish(rig);
            let old = writer.shift();
            rig.rename(&name, &old);
            writer.write(rig, dice);
            if kind == 2 {
                rig.pass(dice.roll(8));
                compress(rig, &old);
            }
        }
        (Ways::Lossy, _) => {
            writer.finish(rig);
            // A look at the file, so that its size is known: what nobody saw nobody can count.
            if dice.roll(2) == 0 {
                rig.full(u32::MAX);
                let burst: String = (0..dice.roll(16_000)).map(|_| writer.line(dice)).collect();
                rig.append(&name, burst);
            }
            rig.pass(6);
            rig.truncate(&name);
            rig.full(0);
            // Until then the loss is not certain: a copy may turn up.
            rig.pass(30);
        }
    }
}

/// Waits until files that are made now are younger than those made before: the kernel's file times are coarse.
fn tick(rig: &Rig) {
    let made = || {
        rig.append("../tick", "x");
        std::fs::metadata(rig.path("../tick")).unwrap().modified().unwrap()
    };
    let first = made();
    while made() == first {}
}

fn compress(rig: &Rig, name: &str) {
    let content = std::fs::read(rig.path(name)).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &content).unwrap();
    rig.append(&format!("{name}.gz"), encoder.finish().unwrap());
    rig.remove(name);
}

/// Numbers of each writer as they arrived; every line whole.
fn arrived(rig: &Rig, seed: u64) -> BTreeMap<String, Vec<u32>> {
    let mut out: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for line in &rig.kept().lines {
        let Some((name, number)) = number(&line.text) else { panic!("seed {seed}: spoiled line {line:?}") };
        out.entry(name.to_owned()).or_default().push(number);
    }
    out
}

#[test]
fn no_line_is_lost_or_repeated_over_rotations_copies_compression_and_crashes() {
    for seed in seeds() {
        let (rig, writers) = live(seed, Ways::Kept);
        let arrived = arrived(&rig, seed);
        for writer in writers {
            let mut numbers = arrived.get(&writer.name).cloned().unwrap_or_default();
            numbers.sort_unstable();
            let expected: Vec<u32> = (1..=writer.next).collect();
            let lost: Vec<_> = expected.iter().filter(|n| numbers.binary_search(n).is_err()).collect();
            let repeated: Vec<_> = numbers.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
            assert!(
                lost.is_empty() && repeated.is_empty(),
                "seed {seed}, {}: lost {lost:?}, repeated {repeated:?}",
                writer.name
            );
        }
        assert!(rig.board.losses().is_empty(), "seed {seed}: {:?}", rig.board.losses());
    }
}

#[test]
fn what_truncation_takes_is_counted_to_the_byte_and_nothing_is_repeated() {
    for seed in seeds() {
        let (rig, writers) = live(seed, Ways::Lossy);
        let arrived = arrived(&rig, seed);
        let (mut written, mut taken) = (0, 0);
        for writer in &writers {
            let numbers = arrived.get(&writer.name).cloned().unwrap_or_default();
            assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "seed {seed}: repeated or out of order");
            written += u64::from(writer.next);
            taken += numbers.len() as u64;
        }
        let bytes: u64 = rig.kept().lines.iter().map(|line| line.text.len() as u64 + 1).sum();
        let lost = rig.lost("truncated_unread");
        assert_eq!(lost == 0, written == taken, "seed {seed}");
        assert_eq!(bytes + lost, writers.iter().map(|writer| writer.bytes).sum::<u64>(), "seed {seed}");
    }
}

/// `TAIL_SEEDS=1000..2000` lives other lives than the usual ones.
fn seeds() -> std::ops::Range<u64> {
    let text = std::env::var("TAIL_SEEDS").unwrap_or_default();
    let range = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    range.unwrap_or(0..40)
}
