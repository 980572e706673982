//! What 1,000 files cost to which nobody writes: CPU time per second of the steps that the thread would do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on says so and ends"
)]

use std::io;
use std::time::Duration;

use plimsoll::base::clock::SECOND;
use plimsoll::signal::frame::{Codec, Frame};
use plimsoll::signal::logs::LogBatch;
use plimsoll::signal::record::Record;
use plimsoll::status::Board;
use plimsoll::tail::{Done, GroupSettings, Now, Refused, Settings, Sink, Tailer};
use rustix::time::{ClockId, clock_gettime};

struct Drop;

impl Sink for Drop {
    fn emit(&mut self, _group: usize, _record: &mut Record, _line: &str, _nanos: u64, _batch: &mut LogBatch) {}

    fn seal(&mut self, batch: &mut LogBatch) -> io::Result<Frame> {
        batch.seal(Codec::Identity, |raw| Ok(raw.to_vec()))
    }

    fn push(&mut self, _frame: &Frame) -> Result<(), Refused> {
        Ok(())
    }
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn main() -> anyhow::Result<()> {
    for files in [1_000, 10_000] {
        let folder = tempfile::tempdir()?;
        for number in 0..files {
            std::fs::write(folder.path().join(format!("{number}.log")), format!("the first line of {number}\n"))?;
        }
        let groups = vec![GroupSettings::new(format!("{}/*.log", folder.path().display()))];
        let settings = Settings { groups, ..Settings::default() };
        let mut now = Now { mono: 0, unix: SECOND };
        let mut tailer = Tailer::new(settings, &[], Box::new(Drop), &Board::new(), now)?;
        let mut pass = |seconds: u64| {
            for _ in 0..seconds * 4 {
                now.mono += SECOND / 4;
                now.unix += SECOND / 4;
                while tailer.step(now) == Done::More {}
            }
        };
        // Until they count as quiet.
        pass(120);
        let before = cpu();
        pass(100);
        let each = (cpu() - before) / 100;
        println!("{files} quiet files: {each:?} of CPU per second");
    }
    Ok(())
}
