//! Mounts that hang, refuse or fill, with a `statvfs` that does as told; trees of `mountinfo` in a folder.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, atomic};
use std::time::{Duration, Instant};

use super::super::Roots;
use super::*;
use crate::signal::metrics::Limits;

const MOUNTS: &str = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:44 / /mnt/nfs rw - nfs4 box:/srv rw\n\
    3 1 8:2 / /zz rw - xfs /dev/sdb1 rw\n";

fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Context) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let roots =
        Roots { proc: folder.path().to_owned(), sys: folder.path().join("sys"), run: folder.path().join("run") };
    let context = Context::new(roots);
    (folder, context)
}

/// Points as `name{values} number`.
fn points(group: &mut Filesystem, context: &mut Context) -> Vec<String> {
    let mut out = Samples::new(Limits::default());
    group.read(context, &mut out).unwrap();
    let mut lines: Vec<String> = out
        .samples()
        .iter()
        .map(|sample| {
            let values: Vec<&str> = sample.attributes.iter().map(|(_, value)| &**value).collect();
            format!("{} {} {:?}", out.metrics()[sample.metric].name, values.join(" "), sample.point)
        })
        .collect();
    lines.sort();
    lines
}

fn has(points: &[String], parts: &[&str]) -> bool {
    points.iter().any(|point| parts.iter().all(|part| point.contains(part)))
}

#[test]
fn a_mount_that_hangs_is_marked_and_does_not_keep_the_others_from_their_points() {
    let (_folder, mut context) = tree(&[("self/mountinfo", MOUNTS)]);
    let asked = Arc::new(atomic::AtomicUsize::new(0));
    let (release, held): (Sender<()>, _) = channel();
    let held = Mutex::new(held);
    let count = Arc::clone(&asked);
    let mut group = Filesystem::new(Arc::new(move |path: &Path| {
        if path == Path::new("/mnt/nfs") {
            count.fetch_add(1, atomic::Ordering::SeqCst);
            let _closed = held.lock().unwrap().recv();
        }
        Ok(Space { block: 10, blocks: 100, free: 40, available: 30, files: 10, files_free: 9 })
    }));
    for _ in 0..3 {
        let points = points(&mut group, &mut context);
        assert!(has(&points, &["unresponsive", "/mnt/nfs", "Int(1)"]), "{points:#?}");
        assert!(!has(&points, &["filesystem.usage", "/mnt/nfs"]));
        assert!(has(&points, &["filesystem.usage", "/zz", "used", "Int(600)"]), "{points:#?}");
        assert!(has(&points, &["unresponsive", "/zz", "Int(0)"]));
    }
    assert_eq!(asked.load(atomic::Ordering::SeqCst), 1, "a mount that hangs is not asked again");
    // The server is back: the thread returns and the mount is asked anew.
    drop(release);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !has(&points(&mut group, &mut context), &["filesystem.usage", "/mnt/nfs", "used"]) {
        assert!(Instant::now() < deadline, "the mount stayed marked");
        std::thread::yield_now();
    }
}

#[test]
fn with_many_dead_mounts_the_threads_and_the_round_are_bounded() {
    let text: String = (0..40).map(|n| format!("{n} 1 0:{n} / /n/{n} rw - nfs box:/{n} rw\n")).collect();
    let (_folder, mut context) = tree(&[("self/mountinfo", &text)]);
    let asked = Arc::new(atomic::AtomicUsize::new(0));
    let (release, held): (Sender<()>, _) = channel();
    let held = Mutex::new(held);
    let count = Arc::clone(&asked);
    let mut group = Filesystem::new(Arc::new(move |_: &Path| {
        count.fetch_add(1, atomic::Ordering::SeqCst);
        let _closed = held.lock().unwrap().recv();
        Ok(Space::default())
    }));
    for _ in 0..4 {
        points(&mut group, &mut context);
    }
    assert_eq!(asked.load(atomic::Ordering::SeqCst), 8);
    drop(release);
}

#[test]
fn the_states_add_up_to_the_size_and_the_share_is_that_of_df() {
    let (_folder, mut context) = tree(&[("self/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n")]);
    let space = Space { block: 4096, blocks: 100, free: 40, available: 30, files: 0, files_free: 0 };
    let mut group = Filesystem::new(Arc::new(move |_: &Path| Ok(space)));
    let points = points(&mut group, &mut context);
    for (state, blocks) in [("used", 60), ("free", 30), ("reserved", 10)] {
        assert!(has(&points, &["usage", state, &format!("Int({})", blocks * 4096)]), "{points:#?}");
    }
    assert!(has(&points, &["utilization", "0.666"]));
    assert!(!has(&points, &["inodes"]), "no inodes where the file system counts none");
}

#[test]
fn mounts_of_the_host_that_are_hidden_from_us_are_not_told() {
    let host = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /home rw - ext4 /dev/sda2 rw\n";
    let own = "1 0 8:1 / / ro - ext4 /dev/sda1 rw\n2 1 8:2 / /home ro - ext4 /dev/sda2 rw\n\
        3 1 0:22 /systemd/inaccessible/dir /home ro - tmpfs tmpfs rw\n";
    let (_folder, mut context) = tree(&[("1/mountinfo", host), ("self/mountinfo", own)]);
    let mounts = visible(&mut context).unwrap();
    let told: Vec<(&str, bool)> = mounts.iter().map(|mount| (mount.point.as_str(), mount.read_only)).collect();
    assert_eq!(told, [("/", false)]);
}

#[test]
fn a_mount_that_refuses_is_left_out() {
    let (_folder, mut context) = tree(&[("self/mountinfo", MOUNTS)]);
    let mut group = Filesystem::new(Arc::new(|path: &Path| match path.to_str() {
        Some("/mnt/nfs") => Err(io::Error::from(io::ErrorKind::PermissionDenied)),
        _ => Ok(Space { block: 1, blocks: 1, ..Space::default() }),
    }));
    let points = points(&mut group, &mut context);
    assert!(!has(&points, &["/mnt/nfs"]) && has(&points, &["/zz"]));
}
