//! An agent on a box whose clock is wrong at first and is then set right.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::harness::{self, wait_for};
use super::rig::{Rig, SOON};

/// What is loaded before the C library, so that the agent's clock can be moved.
fn shim(folder: &Path) -> PathBuf {
    let (source, made) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/clock.c"), folder.join("clock.so"));
    let status = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&made).arg(source).status().unwrap();
    assert!(status.success(), "cc: {status}");
    made
}

fn now() -> i64 {
    (harness::now() / 1_000_000_000) as i64
}

/// How far the newest sample of `load` lies before `at`, in seconds.
fn age(rig: &Rig, at: i64) -> Result<i64, String> {
    let rows = rig.query("timestamp(load)")?;
    let newest = rows[0]["value"][1].as_str().ok_or_else(|| format!("no load: {rows}"))?;
    Ok(at - newest.parse::<f64>().map_err(|error| error.to_string())? as i64)
}

#[test]
fn a_clock_that_is_set_back_makes_the_agent_start_again_and_its_rules_see() {
    let rig = Rig::new();
    rig.target.set("load", 1.0);
    let rule = "{ alert: High, expr: load > 5, labels: { severity: page } }";
    rig.rules("rules.yml", &format!("groups: [ {{ name: g, interval: 1s, rules: [ {rule} ] }} ]\n"));
    rig.config("", "");
    let clock = rig.site.path("moved");
    std::fs::write(&clock, "7200").unwrap();
    let (shim, clock) = (shim(&rig.site.path("")), clock.display().to_string());
    let variables = [("LD_PRELOAD", shim.to_str().unwrap()), ("MOVED_CLOCK", &clock)];
    let mut agent = rig.site.start_with(
        &[&variables[..], &[("PLIMSOLL_SHIPPED_ALERTS", &rig.site.path("none").display().to_string())]].concat(),
    );
    let pid = agent.id();
    wait_for("samples of a clock that is two hours ahead", SOON, || match age(&rig, now() + 7200)? {
        -30..30 => Ok(()),
        other => Err(format!("{other} s old")),
    });
    let note = |what: &str| {
        wait_for(what, SOON, || {
            let notes = rig.site.status()?.1["notes"].to_string();
            if notes.contains(what) { Ok(()) } else { Err(notes) }
        });
    };
    // With a config that nothing could start with, it goes on as it is.
    rig.site.config("nonsense: 1\n");
    std::fs::write(&clock, "0").unwrap();
    note("time stamps 1h 5");
    note("does not start again, though the clock was set back");
    agent.check();
    rig.config("", "");
    // It looks three times, ten seconds apart.
    wait_for("samples of the right time", Duration::from_secs(120), || match age(&rig, now())? {
        -30..30 => Ok(()),
        other => Err(format!("{other} s old; {}", agent.log())),
    });
    agent.check();
    let report = rig.site.status().unwrap().1;
    assert_eq!(report["pid"], pid, "systemd would see no end of it: {report}");
    assert!(!report["notes"].to_string().contains("clock"), "{report}");
    assert!(report["losses"].to_string().contains("ahead_of_clock"), "{report}");
    rig.target.set("load", 9.0);
    let told = rig.wait_told("High", 1);
    assert!((now() - told[0].starts_at / 1000).abs() < 3600, "it began by the right clock: {told:?}");
    assert!(agent.log().contains("the clock was set back by 1h "), "{}", agent.log());
    assert!(agent.terminate(Duration::from_secs(20)).success());
}
