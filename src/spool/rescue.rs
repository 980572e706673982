//! After a failed sync: the kernel may have forgotten what it could not write, and a second sync would say all is
//! well. So the segment is sealed as far as it was synced, and what came after is copied into a new one.

use std::io;

use super::disk::Disk;
use super::format::{Content, FRAMES};
use super::log::{Log, Positions, Segment, apply};
use super::scan::Scan;

impl Log {
    /// Copies all frames that are not synced into a new segment. They get new numbers: nobody was handed the old ones.
    pub(super) fn rescue(&mut self) -> io::Result<()> {
        let from = self.point.as_ref().map_or(0, |point| point.first);
        let keep = self.segments.partition_point(|segment| segment.first < from);
        let old: Vec<Segment> = self.segments.iter().skip(keep).cloned().collect();
        let positions = self.synced_positions(&old);
        self.writer = None;
        let made = self.create_segment(&positions, self.synced, self.synced + 1)?;
        let new = made.0.clone();
        let before = (self.last, self.unsynced.clone());
        self.push_segment(made);
        if let Err(error) = self.copy_all(&old) {
            self.segments.pop_back();
            self.writer = None;
            (self.last, self.unsynced) = before;
            let _removed = self.disk.remove(&new.path).is_ok();
            return Err(error);
        }
        self.retire(keep, &old);
        self.unsynced.retain(|(first, _)| *first == new.first);
        self.must_copy = false;
        self.show_sizes();
        Ok(())
    }

    /// Positions as of the newest synced frame: newer ones must not be durable before their frames are.
    fn synced_positions(&self, old: &[Segment]) -> Positions {
        let mut positions = Positions::new();
        let Some(segment) = old.first() else { return self.positions.clone() };
        let Ok(file) = self.disk.open(&segment.path) else { return self.positions.clone() };
        let mut scan = Scan::new(file, segment.salt, segment.end);
        let mut offset = FRAMES;
        while let Some((at, head)) = scan.find(offset) {
            if head.number > self.synced && !head.opening {
                break;
            }
            if let Some((_, moves)) = scan.body(at, &head) {
                apply(&mut positions, &moves);
            }
            offset = at + head.len();
        }
        positions
    }

    fn copy_all(&mut self, old: &[Segment]) -> io::Result<()> {
        for segment in old {
            let file = self.disk.open(&segment.path)?;
            let mut scan = Scan::new(file, segment.salt, segment.end);
            let mut offset = match &self.point {
                Some(point) if point.first == segment.first => point.end,
                _ => FRAMES,
            };
            while let Some((at, head)) = scan.find(offset) {
                offset = at + head.len();
                if head.opening || head.number <= self.synced {
                    continue;
                }
                let body = scan.body(at, &head);
                let (Some((services, moves)), Some(payload)) = (body, scan.payload(at, &head)?) else {
                    let hint = format!("frame {} could not be read back after a failed sync", head.number);
                    self.damage.lost("sync_failed", head.records.into(), hint);
                    continue;
                };
                let content = Content {
                    codec: head.codec,
                    payload: &payload,
                    raw_len: head.raw_len,
                    records: head.records,
                    times: head.times,
                    charge: head.charge,
                    services: &services,
                };
                self.put(&content, &moves)?;
            }
        }
        Ok(())
    }

    /// Takes the first copies out of the account: what was synced of the oldest segment stays, the rest goes.
    fn retire(&mut self, keep: usize, old: &[Segment]) {
        for (index, segment) in old.iter().enumerate().rev() {
            match &self.point {
                Some(point) if point.first == segment.first => {
                    self.segments[keep + index] = point.clone();
                    if let Ok(file) = self.disk.open(&segment.path) {
                        // The new segment says that they are void, so a failure here costs disk only.
                        let _cut = file.truncate(point.end).is_ok();
                    }
                }
                _ => {
                    self.segments.remove(keep + index);
                    let _removed = remove(&*self.disk, segment);
                }
            }
        }
        let firsts: Vec<u64> = self.segments.iter().map(|segment| segment.first).collect();
        for reader in self.readers.values_mut() {
            if firsts.binary_search(&reader.place.0).is_err() {
                let next = firsts.iter().find(|first| **first > reader.place.0);
                reader.place = (next.copied().unwrap_or(reader.place.0), FRAMES);
                reader.done = super::log::Totals::default();
            }
            reader.moved += 1;
        }
    }
}

fn remove(disk: &dyn Disk, segment: &Segment) -> bool {
    disk.remove(&segment.path).is_ok()
}
