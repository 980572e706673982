//! Writers that stamp each line with who wrote it, its number and a checksum, and rotate as people do.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_64;

use crate::dice::Dice;

/// Writer and number of a line.
pub(crate) type Stamp = (u8, u32);

/// The stamp of a line, if it is whole.
pub(crate) fn stamp(text: &str) -> Option<Stamp> {
    let (text, sum) = text.rsplit_once(" #")?;
    if sum != format!("{:016x}", xxh3_64(text.as_bytes())) {
        return None;
    }
    let mut words = text.split(' ');
    let writer = words.next()?.strip_prefix('w')?.parse().ok()?;
    Some((writer, words.next()?.parse().ok()?))
}

/// How a writer behaves.
#[derive(Clone, Copy)]
pub(crate) struct Habit {
    pub(crate) json: bool,
    /// Some lines are written in two pieces with a pause between.
    pub(crate) split: bool,
    pub(crate) rename: bool,
    pub(crate) truncate: bool,
}

/// What a writer did.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Deeds {
    pub(crate) lines: u32,
    pub(crate) bytes: u64,
    pub(crate) renamed: u32,
    pub(crate) truncated: u32,
    pub(crate) deleted: u32,
}

/// What all writers look at.
#[derive(Default)]
pub(crate) struct Mood {
    /// Write nothing for now.
    pub(crate) quiet: AtomicBool,
    pub(crate) stop: AtomicBool,
}

pub(crate) struct Writer<F> {
    number: u8,
    habit: Habit,
    dice: Dice,
    path: PathBuf,
    file: File,
    deeds: Deeds,
    /// Rotated files with their last number.
    old: Vec<(PathBuf, u32)>,
    has_arrived: F,
}

impl<F: Fn(Stamp) -> bool + Send + 'static> Writer<F> {
    pub(crate) fn start(
        dir: &Path,
        number: u8,
        habit: Habit,
        seed: u64,
        mood: Arc<Mood>,
        has_arrived: F,
    ) -> JoinHandle<Deeds> {
        let path = dir.join(format!("w{number}.log"));
        let (dice, deeds) = (Dice::new(seed + u64::from(number)), Deeds::default());
        let file = open(&path);
        let writer = Self { number, habit, dice, path, file, deeds, old: Vec::new(), has_arrived };
        thread::spawn(move || writer.run(&mood))
    }

    fn run(mut self, mood: &Mood) -> Deeds {
        while !mood.stop.load(SeqCst) {
            if !mood.quiet.load(SeqCst) {
                self.burst();
                if self.dice.roll(9) == 0 {
                    self.rotate(mood);
                }
            }
            thread::sleep(Duration::from_millis(5 + self.dice.roll(40)));
        }
        self.deeds
    }

    fn burst(&mut self) {
        let most = if self.dice.roll(12) == 0 { 2500 } else { 150 };
        let lines = 1 + self.dice.roll(most);
        let mut text = String::new();
        for _ in 0..lines {
            text.push_str(&self.line());
            if text.len() > 20_000 {
                self.write(&text);
                text.clear();
            }
        }
        if self.habit.split && self.dice.roll(2) == 0 {
            let last = self.line();
            let (first, rest) = last.split_at(1 + self.dice.roll(last.len() as u64 - 1) as usize);
            text.push_str(first);
            self.write(&text);
            thread::sleep(Duration::from_millis(1 + self.dice.roll(60)));
            self.write(rest);
        } else {
            self.write(&text);
        }
    }

    fn line(&mut self) -> String {
        self.deeds.lines += 1;
        let filling = "x".repeat(self.dice.roll(140) as usize);
        let text = format!("w{} {:08} {filling}", self.number, self.deeds.lines);
        let text = format!("{text} #{:016x}", xxh3_64(text.as_bytes()));
        let line = if self.habit.json {
            format!("{{\"level\":\"info\",\"n\":{},\"msg\":\"{text}\",\"shard\":\"s\\u00e4ule\"}}\n", self.deeds.lines)
        } else {
            text + "\n"
        };
        self.deeds.bytes += line.len() as u64;
        line
    }

    fn write(&mut self, text: &str) {
        self.file.write_all(text.as_bytes()).unwrap();
    }

    fn rotate(&mut self, mood: &Mood) {
        let rename = match (self.habit.rename, self.habit.truncate) {
            (true, true) => self.dice.roll(2) == 0,
            (rename, _) => rename,
        };
        let number = self.deeds.renamed + self.deeds.truncated + 1;
        let old = self.path.with_extension(format!("log.{number}"));
        if rename {
            fs::rename(&self.path, &old).unwrap();
            // Most programs write on for a moment before they open the new file.
            if self.dice.roll(2) == 0 {
                thread::sleep(Duration::from_millis(self.dice.roll(30)));
                self.burst();
            }
            self.file = open(&self.path);
            self.deeds.renamed += 1;
        } else {
            // Behind a reader that has not caught up it cannot but lose lines.
            if !self.wait_for_arrival(mood) {
                return;
            }
            fs::copy(&self.path, &old).unwrap();
            self.file.set_len(0).unwrap();
            self.deeds.truncated += 1;
        }
        self.old.push((old, self.deeds.lines));
        self.delete();
    }

    fn wait_for_arrival(&self, mood: &Mood) -> bool {
        let deadline = Instant::now() + Duration::from_secs(4);
        while !(self.has_arrived)((self.number, self.deeds.lines)) {
            if mood.stop.load(SeqCst) || Instant::now() > deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(3));
        }
        true
    }

    /// As logrotate's `rotate 3`, but never what has not arrived.
    fn delete(&mut self) {
        while self.old.len() > 3 && (self.has_arrived)((self.number, self.old[0].1)) {
            let (path, _) = self.old.remove(0);
            fs::remove_file(path).unwrap();
            self.deeds.deleted += 1;
        }
    }
}

fn open(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}
