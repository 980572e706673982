//! Start, reload and end of the agent as a program.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::SOON;
use super::harness::{self, Process, Site, host_name, wait_for};
use super::loki::Loki;

/// A config with the log files `names`, each a service of its name.
fn config(site: &Site, loki: &Loki, names: &[&str]) -> String {
    let entry = |name: &&str| site.entry(&format!("{name}.log"), &format!("service: {name}, format: text"));
    let entries: String = names.iter().map(entry).collect();
    format!("host: off\nlogs:\n  files:\n{entries}destinations:\n{}", loki.destination(""))
}

/// A good config by `plimsoll reload`, none, a bad one, and a good one by SIGHUP.
fn reload_in_all_ways(site: &Site, loki: &Loki, agent: &Process) {
    site.log("b.log", "first of b\n");
    site.config(&config(site, loki, &["a", "b"]));
    let reload = site.run(&["reload"]);
    assert_eq!(reload.status.code(), Some(0), "{reload:?}");
    assert!(String::from_utf8_lossy(&reload.stdout).contains("logs"), "{reload:?}");
    loki.wait("{service_name=\"b\"}", 1, SOON);
    let nothing = site.run(&["reload"]);
    assert_eq!(nothing.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&nothing.stdout).contains("nothing changed"), "{nothing:?}");

    let bad = config(site, loki, &["a", "c"]);
    site.config(&format!("{bad}sevrice: shop\n"));
    let refused = site.run(&["reload"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8(refused.stdout).unwrap();
    let line = fs::read_to_string(site.path("plimsoll.yaml")).unwrap().lines().count();
    assert!(said.contains(&format!("plimsoll.yaml:{line}:1")), "{said}");
    assert!(said.contains("sevrice") && said.contains("service"), "{said}");
    let (code, report) = site.status().unwrap();
    assert_eq!(code, 1, "{report}");
    assert!(report["notes"][0]["text"].as_str().unwrap().contains("the old one goes on"), "{report}");
    site.log("b.log", "second of b\n");
    loki.wait("{service_name=\"b\"}", 2, SOON);

    site.log("c.log", "first of c\n");
    site.config(&config(site, loki, &["a", "b", "c"]));
    agent.signal(Signal::HUP);
    loki.wait("{service_name=\"c\"}", 1, SOON);
    wait_for("a fault that is mended", SOON, || match site.status()? {
        (0, report) if report["notes"].as_array().unwrap().is_empty() => Ok(()),
        (code, report) => Err(format!("exit {code}: {report}")),
    });
}

#[test]
fn a_reload_takes_new_files_and_a_bad_config_changes_nothing_and_no_line_is_lost() {
    let Some(loki) = Loki::start() else { return };
    let site = Site::new();
    site.config(&config(&site, &loki, &["a"]));
    let agent = site.start();
    let done = AtomicBool::new(false);
    let lines = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut lines = 0;
            while !done.load(Ordering::Relaxed) {
                site.log("a.log", &format!("line {lines}\n"));
                lines += 1;
                thread::sleep(Duration::from_millis(1));
            }
            lines
        });
        // A failed check must not wait for the writer for ever.
        let end = End(&done);
        reload_in_all_ways(&site, &loki, &agent);
        drop(end);
        writer.join().unwrap()
    });
    let found = loki.wait("{service_name=\"a\"}", lines, SOON);
    for (number, entry) in found.iter().enumerate() {
        assert_eq!(entry.line, format!("line {number}"));
    }
}

/// Ends the writer.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn without_a_config_the_agent_says_what_it_found_and_what_comes_next_and_ends_when_told() {
    let site = Site::new();
    // The page's own port is one for the whole box.
    let mut agent = wait_for("the port of the page", Duration::from_secs(60), || site.try_bare());
    // It answers before it says what it found; this is the last of it.
    let said = wait_for("what an agent says first", SOON, || {
        let said = agent.log();
        if said.contains(", then plimsoll reload") { Ok(said) } else { Err(said) }
    });
    let head = format!("plimsoll {} on {}\n", env!("CARGO_PKG_VERSION"), host_name());
    assert!(said.starts_with(&head), "{said}");
    let state = site.state().display().to_string();
    for part in [
        "  host      CPU, memory",
        "  ships to  nothing yet",
        &format!("  state     {state}\n"),
        "  page      http://127.0.0.1:1876/\n",
        &format!("next: plimsoll status --state {state}\n"),
        "name a Loki and a Prometheus under `destinations:` in /etc/plimsoll/plimsoll.yaml",
    ] {
        assert!(said.contains(part), "{part:?} is not in:\n{said}");
    }
    let report = wait_for("a first round", SOON, || {
        let (_, report) = site.status()?;
        let points = |source: &serde_json::Value| source["kind"] == "host" && source["points"].as_u64() > Some(50);
        if report["sources"].as_array().unwrap().iter().any(points) { Ok(report) } else { Err(report.to_string()) }
    });
    for source in report["sources"].as_array().unwrap().iter().filter(|source| source["kind"] == "files") {
        let glob = source["name"].as_str().unwrap().trim_start_matches("files ");
        assert!(said.contains(glob), "{glob} is not in:\n{said}");
    }
    assert!(harness::get(1876, "/-/healthy", &[]).is_ok());
    assert_eq!(agent.terminate(Duration::from_secs(20)).code(), Some(0), "{}", agent.log());
    assert!(site.status().is_err(), "nobody answers any more");
}

/// Starts the agent as `$0 run` with the config `$1`, and asks it as people do who name no folder.
const BY_HAND: &str = r#"
    # Root's places are one for the whole box: these are seen in here alone.
    if [ "$(id -u)" = 0 ]; then mount -t tmpfs none /var/lib && mount -t tmpfs none /run || exit 9; fi
    "$0" run --config "$1" & agent=$!
    for _ in $(seq 300); do
        "$0" query 'vector(1)' >&2 && break
        kill -0 $agent || exit 8
        sleep 0.1
    done
    "$0" status --json
    kill $agent
    wait $agent
"#;

#[test]
fn an_agent_that_was_started_by_hand_is_found_without_naming_its_folder() {
    let site = Site::new();
    site.config("host: off\n");
    let root = rustix::process::geteuid().is_root();
    let mut command = Command::new(if root { "unshare" } else { "sh" });
    if root {
        command.args(["--mount", "sh"]);
    }
    command.args(["-c", BY_HAND, env!("CARGO_BIN_EXE_plimsoll")]).arg(site.path("plimsoll.yaml"));
    command.env("XDG_STATE_HOME", site.path("state"));
    for unit in ["RUNTIME_DIRECTORY", "STATE_DIRECTORY", "NOTIFY_SOCKET"] {
        command.env_remove(unit);
    }
    let output = command.output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}\n{complained}");
    assert!(said.contains("\"sources\""), "{said}\n{complained}");
}

#[test]
fn systemd_is_told_of_start_reload_and_end_and_the_watchdog_is_fed() {
    let site = Site::new();
    site.config("host: off\nlogs: off\n");
    let path = site.path("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let hears = |words: &str| {
        let mut message = [0; 1024];
        loop {
            let length = socket.recv(&mut message).unwrap_or_else(|error| panic!("no {words}: {error}"));
            if String::from_utf8_lossy(&message[..length]).contains(words) {
                return;
            }
        }
    };
    let mut agent = site.start_with(&[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "900000")]);
    hears("READY=1");
    hears("WATCHDOG=1");
    hears("WATCHDOG=1");
    agent.signal(Signal::HUP);
    hears("RELOADING=1");
    hears("READY=1");
    agent.signal(Signal::TERM);
    hears("STOPPING=1");
    assert!(agent.terminate(SOON).success());
}

#[test]
fn a_destination_that_cannot_be_begun_is_refused_and_everything_else_goes_on() {
    let Some(loki) = Loki::start() else { return };
    let site = Site::new();
    site.config(&config(&site, &loki, &["a"]));
    site.log("a.log", "first of a\n");
    let _agent = site.start();
    loki.wait("{service_name=\"a\"}", 1, SOON);
    // Where the cursor of the new destination would be made stands something that cannot be moved out of the way.
    let name = format!("{:016x}.tmp", xxhash_rust::xxh3::xxh3_64(b"other"));
    let block = site.state().join("spool/logs/cursors").join(name);
    fs::create_dir(&block).unwrap();
    let other = config(&site, &loki, &["a"]) + &loki.destination("").replace("  loki:", "  other:");
    site.config(&other);
    for _ in 0..2 {
        let refused = site.run(&["reload"]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stdout).contains("the old one goes on"), "{refused:?}");
    }
    site.log("a.log", "second of a\n");
    loki.wait("{service_name=\"a\"}", 2, SOON);
    fs::remove_dir(&block).unwrap();
    let taken = site.run(&["reload"]);
    assert_eq!(taken.status.code(), Some(0), "{taken:?}");
}
