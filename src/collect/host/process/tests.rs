//! Groups of processes over rounds, from trees of `/proc` that the tests write.

use std::path::Path;

use super::super::Roots;
use super::*;
use crate::signal::metrics::{Limits, Point};

struct Tree {
    folder: tempfile::TempDir,
    context: Context,
}

impl Tree {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let proc = folder.path().to_owned();
        let mut context = Context::new(Roots { proc, sys: "/none".into(), run: "/none".into() });
        (context.ticks, context.page) = (100.0, 4096);
        Self { folder, context }
    }

    fn write(&self, path: impl AsRef<Path>, text: impl AsRef<[u8]>) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn process(&self, pid: u32, name: &[u8], (ticks, start, pages): (u64, u64, u64), cgroup: &str) {
        let tail = format!(") S 1 1 1 0 -1 4194560 0 0 0 0 {ticks} 0 0 0 20 0 2 0 {start} 1000 {pages} 1 0 0\n");
        self.write(format!("{pid}/stat"), [format!("{pid} (").as_bytes(), name, tail.as_bytes()].concat());
        self.write(format!("{pid}/cgroup"), format!("0::{cgroup}\n"));
        self.write(format!("{pid}/statm"), format!("1000 {pages} {} 1 0 1 0\n", pages / 2));
        self.write(format!("{pid}/status"), format!("Name:\tx\nRssAnon:\t{} kB\nVmSwap:\t1 kB\n", pages * 2));
    }

    fn end(&self, pid: u32) {
        std::fs::remove_dir_all(self.folder.path().join(pid.to_string())).unwrap();
    }

    fn round(&mut self, processes: &mut Processes) -> Samples {
        processes.budget = Budget::default();
        let mut out = Samples::new(Limits::default());
        processes.read(&mut self.context, &mut out).unwrap();
        out
    }
}

fn value(out: &Samples, name: &str, label: &str) -> Option<f64> {
    let found = out.samples().iter().find(|sample| {
        out.metrics()[sample.metric].name == name && sample.attributes.iter().any(|(_, value)| &**value == label)
    });
    match found?.point {
        Point::Number(number) => Some(number.as_f64()),
        Point::Histogram(_) => None,
    }
}

#[test]
fn the_cpu_time_of_a_group_goes_on_when_a_process_ends_and_another_one_takes_its_id() {
    let mut tree = Tree::new();
    let mut processes = Processes::new(15);
    tree.process(10, b"worker", (500, 7, 10), "/system.slice/app.service");
    tree.process(11, b"worker", (300, 8, 10), "/system.slice/app.service");
    let out = tree.round(&mut processes);
    assert_eq!(value(&out, "process.cpu.time", "app.service"), Some(8.0));
    assert_eq!(value(&out, "process.group.size", "app.service"), Some(2.0));
    assert_eq!(value(&out, "process.thread.count", "app.service"), Some(4.0));
    tree.end(11);
    tree.process(10, b"worker", (600, 7, 10), "/system.slice/app.service");
    assert_eq!(value(&tree.round(&mut processes), "process.cpu.time", "app.service"), Some(9.0));
    // The same id, started later: all of its time is new, though its number is smaller.
    tree.process(10, b"worker", (50, 9, 10), "/system.slice/app.service");
    assert_eq!(value(&tree.round(&mut processes), "process.cpu.time", "app.service"), Some(9.5));
    assert_eq!(processes.known.len(), 1);
}

#[test]
fn private_memory_is_resident_anonymous_and_swapped_memory() {
    let mut tree = Tree::new();
    tree.process(10, b"db", (1, 7, 100), "/");
    let out = tree.round(&mut Processes::new(15));
    assert_eq!(value(&out, "process.memory.usage", "db"), Some(409_600.0));
    assert_eq!(value(&out, "process.memory.private", "db"), Some(50.0 * 4096.0));
    tree.write("meminfo", "MemTotal: 100 kB\nSwapTotal: 100 kB\nSwapFree: 50 kB\n");
    let out = tree.round(&mut Processes::new(15));
    assert_eq!(value(&out, "process.memory.private", "db"), Some(201.0 * 1024.0));
}

#[test]
fn a_swapped_out_program_is_told_though_it_has_hardly_any_resident_memory() {
    let mut tree = Tree::new();
    tree.process(10, b"big", (0, 7, 100), "/");
    tree.process(11, b"asleep", (0, 7, 1), "/");
    tree.write("11/status", "RssAnon:\t4 kB\nVmSwap:\t9000000 kB\n");
    tree.write("meminfo", "MemTotal: 100 kB\nSwapTotal: 100 kB\nSwapFree: 100 kB\n");
    assert_eq!(value(&tree.round(&mut Processes::new(1)), "process.memory.private", "asleep"), None);
    tree.write("meminfo", "MemTotal: 100 kB\nSwapTotal: 100 kB\nSwapFree: 50 kB\n");
    let out = tree.round(&mut Processes::new(1));
    assert_eq!(value(&out, "process.memory.private", "asleep"), Some(9_000_004.0 * 1024.0));
    assert!(value(&out, "process.memory.private", "big").is_some());
}

#[test]
fn only_the_groups_with_the_most_are_told_however_many_there_are() {
    let mut tree = Tree::new();
    for pid in 1..=300_u32 {
        let usage = (u64::from(pid), 7, 1000 - u64::from(pid));
        tree.process(pid, format!("p{pid}").as_bytes(), usage, "/");
    }
    let out = tree.round(&mut Processes::new(15));
    let groups =
        out.samples().iter().filter(|sample| out.metrics()[sample.metric].name == "process.group.size").count();
    // Resident and private memory choose the same fifteen here, CPU fifteen others.
    assert_eq!(groups, 30);
    assert!(value(&out, "process.memory.usage", "p1").is_some() && value(&out, "process.cpu.time", "p300").is_some());
    assert_eq!(value(&out, "system.process.count", "sleeping"), Some(300.0));
}

#[test]
fn a_hostile_name_is_told_in_print() {
    let mut tree = Tree::new();
    tree.process(10, b"a)\n\xff(", (1, 7, 10), "/user.slice/user-1.slice/session-3.scope");
    let out = tree.round(&mut Processes::new(15));
    assert!(value(&out, "process.group.size", "a)?\u{fffd}(").is_some(), "{out:?}");
}

#[test]
fn a_process_that_ends_between_the_list_and_its_files_is_passed_over() {
    let mut tree = Tree::new();
    tree.process(10, b"stays", (1, 7, 10), "/");
    // What is left of a process in such a moment: folders without files, and an empty file.
    std::fs::create_dir(tree.folder.path().join("11")).unwrap();
    tree.write("12/stat", "");
    tree.process(13, b"no_statm", (1, 7, 10), "/");
    std::fs::remove_file(tree.folder.path().join("13/statm")).unwrap();
    std::fs::remove_file(tree.folder.path().join("13/cgroup")).unwrap();
    let out = tree.round(&mut Processes::new(15));
    assert_eq!(value(&out, "system.process.count", "sleeping"), Some(2.0));
    assert_eq!(value(&out, "process.memory.private", "no_statm"), Some(0.0));
}

#[test]
fn a_new_process_is_told_under_the_unit_that_it_was_moved_to() {
    let mut tree = Tree::new();
    let mut processes = Processes::new(15);
    tree.process(10, b"svc", (1, 7, 10), "/");
    tree.round(&mut processes);
    tree.process(10, b"svc", (1, 7, 10), "/system.slice/svc.service");
    let out = tree.round(&mut processes);
    assert_eq!(value(&out, "process.group.size", "svc.service"), Some(1.0));
    assert_eq!(value(&out, "process.group.size", "svc"), None);
}

#[test]
fn the_unit_comes_from_either_version_of_cgroups() {
    assert_eq!(parse_cgroup("0::/system.slice/a.service\n"), Some("/system.slice/a.service"));
    assert_eq!(
        parse_cgroup("9:name=systemd:/system.slice/a.service\n8:pids:/x\n0::/\n"),
        Some("/system.slice/a.service")
    );
    assert_eq!(parse_cgroup("8:pids:/x\n"), None);
}

/// `cargo test --lib cost_of_processes -- --ignored --nocapture` prints what they cost on this machine.
#[test]
#[ignore = "a measurement, it asserts nothing"]
fn cost_of_processes() {
    let mut context = Context::new(Roots::default());
    let mut processes = Processes::new(15);
    for round in 0..5 {
        let begun = Instant::now();
        processes.budget = Budget::default();
        processes.read(&mut context, &mut Samples::new(Limits::default())).unwrap();
        println!("round {round}: {:?} for {} processes", begun.elapsed(), processes.known.len());
    }
}
