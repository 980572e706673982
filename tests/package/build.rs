//! The package as `packaging/deb/build` makes it of the program under test, and what it must be by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::harness::binary;
use crate::root::told;

/// The package of this tree, one of a lower version, and one of a higher one.
pub(crate) struct Packages {
    pub(crate) old: PathBuf,
    pub(crate) this: PathBuf,
    pub(crate) next: PathBuf,
}

/// Made once for all tests of this process; `None` where they are left out on purpose.
pub(crate) fn packages() -> Option<&'static Packages> {
    static MADE: OnceLock<(TempDir, Packages)> = OnceLock::new();
    binary("cargo-deb")?;
    let (_, packages) = MADE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let [old, this, next] = ["old", "this", "next"].map(|name| dir.path().join(format!("{name}.deb")));
        let mut build = command(Path::new(env!("CARGO_BIN_EXE_plimsoll")));
        let made = build.arg("--output").arg(&this).output().unwrap();
        assert!(made.status.success() && this.exists(), "{}", told(&made));
        another(&this, "0.0.9-1", &old);
        another(&this, "99.0.0-1", &next);
        (dir, Packages { old, this, next })
    });
    Some(packages)
}

/// The same package under another version.
fn another(package: &Path, version: &str, output: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let script = "dpkg-deb --raw-extract \"$1\" \"$2\"
        sed -i \"s/^Version: .*/Version: $3/\" \"$2/DEBIAN/control\"
        dpkg-deb -Znone --root-owner-group --build \"$2\" \"$4\"";
    let mut repack = Command::new("sh");
    repack.args(["-ec", script, "repack"]).arg(package).arg(dir.path().join("tree")).arg(version).arg(output);
    let made = repack.output().unwrap();
    assert!(made.status.success(), "{}", told(&made));
}

fn command(program: &Path) -> Command {
    let cargo_deb = binary("cargo-deb").unwrap();
    let path = format!("{}:{}", cargo_deb.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut build = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/deb/build"));
    build.env("PATH", path).arg("--binary").arg(program);
    build
}

#[test]
fn lintian_finds_nothing_wrong_with_the_package() {
    let Some(packages) = packages() else { return };
    let mut lintian = Command::new("lintian");
    let output = lintian.args(["--fail-on", "error,warning", "--no-tag-display-limit"]).arg(&packages.this).output();
    let output = output.unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{}", told(&output));
}

#[test]
fn a_program_that_wants_a_newer_glibc_is_not_packed() {
    if binary("cargo-deb").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (source, program) = (dir.path().join("new.s"), dir.path().join("new"));
    // arc4random came with glibc 2.36.
    fs::write(&source, ".globl main\nmain:\n  call arc4random@PLT\n  ret\n.section .note.GNU-stack\n").unwrap();
    let made = Command::new("gcc").arg("-o").arg(&program).arg(&source).output().unwrap();
    assert!(made.status.success(), "{}", told(&made));
    let refused = command(&program).arg("--output").arg(dir.path().join("new.deb")).output().unwrap();
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && words.contains("arc4random") && words.contains("2.36"), "{}", told(&refused));
}

#[test]
fn the_package_holds_what_the_manual_promises_and_depends_on_little() {
    let Some(packages) = packages() else { return };
    let list = |arguments: &[&str]| {
        let output = Command::new("dpkg-deb").args(arguments).arg(&packages.this).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let files = list(&["--contents"]);
    for wanted in [
        "-rwxr-xr-x 0/0 ./usr/bin/plimsoll",
        "-rw-r--r-- 0/0 ./usr/lib/systemd/system/plimsoll.service",
        "-rw-r--r-- 0/0 ./etc/plimsoll/plimsoll.yaml",
        "-rw-r--r-- 0/0 ./usr/share/plimsoll/alerts/fleet.yaml",
        "-rw-r--r-- 0/0 ./usr/share/plimsoll/dashboards/overview.json",
        "-rw-r--r-- 0/0 ./usr/share/man/man1/plimsoll.1.gz",
        "-rw-r--r-- 0/0 ./usr/share/man/man1/plimsoll-setup.1.gz",
        "-rw-r--r-- 0/0 ./usr/share/man/man5/plimsoll.yaml.5.gz",
        "-rw-r--r-- 0/0 ./usr/share/bash-completion/completions/plimsoll",
        "-rw-r--r-- 0/0 ./usr/share/zsh/vendor-completions/_plimsoll",
        "-rw-r--r-- 0/0 ./usr/share/fish/vendor_completions.d/plimsoll.fish",
        "-rw-r--r-- 0/0 ./usr/share/doc/plimsoll/examples/plimsoll.example.yaml",
        "-rw-r--r-- 0/0 ./usr/share/doc/plimsoll/copyright",
        "-rw-r--r-- 0/0 ./usr/share/doc/plimsoll/third-party-licences",
        "-rw-r--r-- 0/0 ./usr/share/doc/plimsoll/changelog.Debian.gz",
    ] {
        let words: Vec<&str> = wanted.split(' ').collect();
        let found = files.lines().any(|line| {
            let line: Vec<&str> = line.split_whitespace().collect();
            [line[0], line[1], line[5]] == words[..]
        });
        assert!(found, "no {wanted} in\n{files}");
    }
    let depends = list(&["--show", "--showformat=${Depends}"]);
    let names: Vec<&str> = depends.split(", ").map(|one| one.split(' ').next().unwrap()).collect();
    assert_eq!(names.iter().filter(|name| !["adduser", "libc6", "libgcc-s1"].contains(name)).count(), 0, "{depends}");
    let libc = depends.split("libc6 (>= ").nth(1).unwrap().split(')').next().unwrap();
    let minor: u32 = libc.split('.').nth(1).unwrap().parse().unwrap();
    assert!(libc.starts_with("2.") && minor <= 35, "it must install on Ubuntu 22.04: libc6 {libc}");
    let conffiles = list(&["--info"]);
    assert!(conffiles.contains("conffiles") && !files.contains("./etc/plimsoll/alerts/"), "{conffiles}{files}");
}

#[test]
fn the_licence_of_every_linked_crate_is_told_with_its_text() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(here.join("packaging/deb/licences")).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let shipped = here.join("packaging/deb/third-party-licences");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&shipped, &text).unwrap();
    }
    let same = fs::read_to_string(shipped).unwrap() == text;
    assert!(same, "run packaging/deb/licences >packaging/deb/third-party-licences");
    let mut tree = Command::new("cargo");
    tree.current_dir(here).args(["tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none"]);
    let crates = String::from_utf8(tree.output().unwrap().stdout).unwrap();
    let crates: std::collections::BTreeSet<&str> = crates
        .lines()
        .map(|line| line.trim_end_matches(" (*)"))
        .filter(|line| !line.starts_with("plimsoll "))
        .collect();
    assert!(crates.len() > 50, "{crates:?}");
    for name in crates {
        assert!(text.lines().any(|line| line.trim_start().starts_with(name)), "{name}");
    }
    for words in ["Permission is hereby granted, free of charge", "Redistribution and use in source and binary forms"] {
        assert!(text.contains(words), "{words}");
    }
}
