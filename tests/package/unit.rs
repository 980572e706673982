//! The service's unit: as closed as promised, understood by old and new systemd.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build::packages;
use crate::root::{RELEASES, Root, told};

/// Ubuntu 22.04's.
const OLDEST: u32 = 249;

fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/deb/plimsoll.service")
}

/// Name and value of each directive.
fn directives() -> Vec<(String, String)> {
    let text = fs::read_to_string(unit()).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with(['#', '[']) && !line.is_empty());
    lines.map(|line| line.split_once('=').unwrap()).map(|(name, value)| (name.into(), value.into())).collect()
}

#[test]
fn the_unit_is_as_closed_as_promised() {
    let mut analyze = Command::new("systemd-analyze");
    let output = analyze.args(["security", "--offline=true", "--threshold=20"]).arg(unit()).output().unwrap();
    assert!(output.status.success(), "more open than 2.0: {}", told(&output));
}

#[test]
fn the_unit_names_no_credential_and_is_always_started_again() {
    let all = directives();
    let value =
        |name: &str| all.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect::<Vec<_>>();
    assert!(!all.iter().any(|(name, _)| name.contains("Credential")), "{all:?}");
    assert_eq!((value("StartLimitIntervalSec"), value("Restart")), (vec!["0"], vec!["always"]));
    assert_eq!((value("Type"), value("User")), (vec!["notify"], vec!["plimsoll"]));
    assert!(!value("WatchdogSec").is_empty() && !value("MemoryMax").is_empty());
    assert_eq!(value("CapabilityBoundingSet"), [""]);
}

#[test]
fn every_systemd_that_is_had_understands_the_unit() {
    let Some(packages) = packages() else { return };
    for release in RELEASES {
        let Some(root) = Root::new(release) else { return };
        root.copy(&packages.this, "/root/this.deb");
        root.run("dpkg -i /root/this.deb");
        // The newest one has the servers of other tests only.
        if !root.at("/usr/bin/systemd-analyze").exists() {
            assert_eq!(release, "sid");
            continue;
        }
        let output = root.try_run("SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no plimsoll.service");
        assert!(output.status.success(), "{release}: {}", told(&output));
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!words.contains("plimsoll"), "{release}: {words}");
    }
}

#[test]
fn no_directive_is_newer_than_the_systemd_of_the_oldest_system() {
    let Some(root) = Root::new("trixie") else { return };
    let mut since = BTreeMap::new();
    for page in ["unit", "service", "exec", "kill", "resource-control"] {
        let file = fs::File::open(root.at(&format!("/usr/share/man/man5/systemd.{page}.5.gz"))).unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
        read_page(&text, &mut since);
    }
    assert_eq!(since.get("RestartSteps"), Some(&Some(254)), "the pages are not read rightly");
    assert_eq!(since.get("RestartSec"), Some(&None), "the pages are not read rightly");
    for (name, _) in directives() {
        // Of the section [Install].
        if name == "WantedBy" {
            continue;
        }
        let version = since.get(&name).unwrap_or_else(|| panic!("no manual page has {name}="));
        assert!(version.is_none_or(|version| version <= OLDEST), "{name}= came with systemd {version:?}");
    }
}

/// Each directive with the version that brought it; the oldest ones have none.
fn read_page(text: &str, since: &mut BTreeMap<String, Option<u32>>) {
    let (mut names, mut before) = (Vec::new(), "");
    for line in text.lines() {
        if before == ".PP" && line.starts_with("\\fI") {
            let each = line.split("\\fI").skip(1).filter_map(|part| part.split_once("=\\fR"));
            names = each.map(|(name, _)| name.to_owned()).collect();
            names.iter().for_each(|name| _ = since.entry(name.clone()).or_insert(None));
        }
        if let Some(version) = line.strip_prefix("Added in version ") {
            let version = version.trim_end_matches("\\&.").parse().unwrap();
            for name in names.drain(..) {
                since.insert(name, Some(version));
            }
        }
        before = line;
    }
}
