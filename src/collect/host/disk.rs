//! Disk traffic and times, from `/proc/diskstats`.
//!
//! Whole disks only (those of `/sys/block`): partitions would count the same bytes again. Loop and RAM disks are left
//! out, and so is what was never used since boot: a virtual machine brings dozens of those.

use super::context::{Context, numbers};
use super::{CollectError, Group};
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[IO, OPERATIONS, MERGED, OPERATION_TIME, IO_TIME, WEIGHTED, PENDING];
const IO: Desc = Desc::counter("system.disk.io", "By", "Bytes read from and written to the disk since boot.");
const OPERATIONS: Desc = Desc::counter("system.disk.operations", "{operation}", "Reads and writes since boot.");
const MERGED: Desc = Desc::counter(
    "system.disk.merged",
    "{operation}",
    "Reads and writes that were merged into another one since boot.",
);
const OPERATION_TIME: Desc =
    Desc::counter("system.disk.operation_time", "s", "Sum of the times that reads and writes took since boot.");
const IO_TIME: Desc = Desc::counter("system.disk.io_time", "s", "Time since boot that the disk had something to do.");
const WEIGHTED: Desc = Desc::counter(
    "system.disk.weighted_io_time",
    "s",
    "Time that the disk had something to do, times what was waiting: its rate is the mean queue.",
);
const PENDING: Desc = Desc::updown("system.disk.pending_operations", "{operation}", "Operations under way.");

pub(super) struct Disk;

impl Group for Disk {
    fn name(&self) -> &'static str {
        "disk"
    }

    fn read(&mut self, context: &mut Context, out: &mut Samples) -> Result<(), CollectError> {
        let block = context.roots.sys.join("block");
        // A container may hide /sys: then every device is taken, partitions too.
        let known = block.is_dir();
        let mut found = false;
        for disk in context.proc("diskstats")?.lines().filter_map(parse_line) {
            if left_out(disk.name) || disk.operations == [0, 0] {
                continue;
            }
            // In /sys a slash of the name is an exclamation mark (cciss!c0d0).
            if known && !block.join(disk.name.replace('/', "!")).exists() {
                continue;
            }
            found = true;
            put(&disk, out);
        }
        if found { Ok(()) } else { Err(CollectError::NoData("no disk was used".into())) }
    }
}

fn put(disk: &Line<'_>, out: &mut Samples) {
    for (index, direction) in ["read", "write"].into_iter().enumerate() {
        let attributes = [("system.device", disk.name), ("disk.io.direction", direction)];
        out.put_with(&IO, &attributes, disk.sectors[index].saturating_mul(SECTOR));
        out.put_with(&OPERATIONS, &attributes, disk.operations[index]);
        out.put_with(&MERGED, &attributes, disk.merged[index]);
        out.put_with(&OPERATION_TIME, &attributes, disk.millis[index] as f64 / 1e3);
    }
    let attributes = [("system.device", disk.name)];
    out.put_with(&IO_TIME, &attributes, disk.busy_millis as f64 / 1e3);
    out.put_with(&WEIGHTED, &attributes, disk.weighted_millis as f64 / 1e3);
    out.put_with(&PENDING, &attributes, disk.pending);
}

/// Bytes: in this file always, whatever the device's own sectors are.
const SECTOR: u64 = 512;

fn left_out(name: &str) -> bool {
    ["loop", "ram"]
        .iter()
        .any(|kind| name.strip_prefix(kind).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit())))
}

/// Pairs are reads and writes.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    name: &'a str,
    operations: [u64; 2],
    merged: [u64; 2],
    sectors: [u64; 2],
    millis: [u64; 2],
    pending: u64,
    busy_millis: u64,
    weighted_millis: u64,
}

/// The kernel's `Documentation/admin-guide/iostats.rst`; `None` for a line with too few columns.
fn parse_line(line: &str) -> Option<Line<'_>> {
    let name = line.split_ascii_whitespace().nth(2)?;
    let mut columns = [0; 11];
    let mut count = 0;
    for (column, number) in columns.iter_mut().zip(numbers(line).skip(3)) {
        *column = number;
        count += 1;
    }
    let [reads, reads_merged, read, read_ms, writes, writes_merged, written, write_ms, pending, busy, weighted] =
        columns;
    (count == columns.len()).then_some(Line {
        name,
        operations: [reads, writes],
        merged: [reads_merged, writes_merged],
        sectors: [read, written],
        millis: [read_ms, write_ms],
        pending,
        busy_millis: busy,
        weighted_millis: weighted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_an_old_and_of_a_new_kernel_are_read_alike() {
        let old =
            parse_line(" 254 0 vda 188815 41978 12074818 53653 36536 266193 23272664 110666 1 23196 166898").unwrap();
        let new = "254 0 vda 188815 41978 12074818 53653 36536 266193 23272664 110666 1 23196 166898 15404 24 5176160 2554 325 23";
        assert_eq!(Some(&old), parse_line(new).as_ref());
        assert_eq!((old.name, old.operations, old.millis), ("vda", [188_815, 36_536], [53_653, 110_666]));
        assert_eq!((old.pending, old.busy_millis, old.weighted_millis), (1, 23_196, 166_898));
        assert_eq!(parse_line("254 0 vda 1 2 3"), None);
    }

    #[test]
    fn only_loop_and_ram_disks_are_left_out_by_name() {
        assert!(left_out("loop0") && left_out("ram15"));
        assert!(!left_out("rampart") && !left_out("nvme0n1"));
    }
}
