//! The service in a system that is booted: it starts by itself, sees the box through its sandbox, is reloaded, comes back
//! whatever ends it, is upgraded with all that it kept, is pointed at a stack, and goes without a trace.

use std::path::Path;

use crate::booted::Booted;
use crate::build::packages;
use crate::harness::binary;
use crate::root::{Root, told};

/// What a test cannot wait for: a watchdog that bites within seconds, though not on a busy box; a restart at once.
const HURRY: &str = "[Service]\nWatchdogSec=10\nTimeoutAbortSec=1\nRestartSec=100ms\n";

/// A booted system with the package of this tree installed before the boot.
fn booted(release: &str, prepare: &str) -> Option<Booted> {
    let packages = packages()?;
    let root = Root::new(release)?;
    root.copy(&packages.this, "/root/this.deb");
    root.run("dpkg -i /root/this.deb && mkdir -p /etc/systemd/system/plimsoll.service.d");
    std::fs::write(root.at("/etc/systemd/system/plimsoll.service.d/test.conf"), HURRY).unwrap();
    std::fs::write(root.at("/etc/hostname"), "shop-box\n").unwrap();
    root.run("printf 'host: { interval: 1s }\\n' >>/etc/plimsoll/plimsoll.yaml");
    root.run(prepare);
    Booted::new(root)
}

/// How often the host was read, as the store remembers.
fn rounds(here: &Booted) -> u64 {
    let answer = here.run("plimsoll query 'count_over_time(system_uptime_seconds[1h])' --json");
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let number = answer["result"][0]["value"][1].as_str();
    number.unwrap_or_else(|| panic!("{answer}")).parse().unwrap()
}

fn wait_until_active(here: &Booted) {
    here.wait("a service that is active", "systemctl show plimsoll --value -p ActiveState", |state| state == "active");
    here.wait("an agent that answers", "plimsoll status --json", |_| true);
}

#[test]
fn the_service_works_at_once_and_sees_the_box_through_its_sandbox() {
    for release in ["bookworm", "trixie"] {
        let prepare = "mkdir -p /var/log/shop /home/ann/.pm2/logs
            echo '{\"msg\":\"first\"}' >/var/log/shop/shop.log
            chown -R root:adm /var/log/shop && chmod 0750 /var/log/shop && chmod 0640 /var/log/shop/shop.log";
        let Some(here) = booted(release, prepare) else { return };
        wait_until_active(&here);
        assert_eq!(here.show("NRestarts"), "0", "{}", here.journal());
        assert_eq!(here.show("User"), "plimsoll");
        assert_eq!(here.run("stat -c '%a %U' /var/lib/plimsoll /run/plimsoll"), "750 plimsoll\n750 plimsoll");
        let status = here.wait("the box's sources", "plimsoll status", |text| {
            ["host", "journald", "/var/log/shop/"].iter().all(|source| text.contains(source))
        });
        assert!(status.contains("nothing since start"), "{status}");
        here.wait("rounds of the host", "plimsoll query 'system_uptime_seconds'", |text| text.contains("shop-box"));
        // ProtectSystem= makes everything read-only for the service, PrivateTmp= and others mount over the box's folders:
        // none of it is the box.
        let mounts = here.run("plimsoll query 'count by (system_filesystem_mountpoint, system_filesystem_mode) (system_filesystem_utilization_ratio)' --json");
        let mounts: serde_json::Value = serde_json::from_str(&mounts).unwrap();
        let shown: Vec<(&str, &str)> = mounts["result"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["metric"])
            .map(|labels| {
                let label = |name: &str| labels[name].as_str().unwrap();
                (label("system_filesystem_mountpoint"), label("system_filesystem_mode"))
            })
            .collect();
        assert!(shown.contains(&("/", "rw")), "{shown:?}");
        let mounts = here.run("findmnt --raw --noheadings --output TARGET,OPTIONS");
        for (point, mode) in &shown {
            let known = mounts
                .lines()
                .filter_map(|line| line.split_once(' '))
                .any(|(target, options)| target == *point && options.split(',').any(|option| option == *mode));
            assert!(known, "{release}: {point} ({mode}) is a mount of the sandbox, not of the box:\n{mounts}");
        }
        // The processes of others are seen.
        here.wait("process 1", "plimsoll query 'system_processes_created_total or system_process_count'", |text| {
            !text.is_empty()
        });
        // Members of its group may ask it, others may not.
        here.run("useradd ann && useradd --groups plimsoll bob");
        let ask = |user: &str| {
            let script = format!("setpriv --reuid={user} --regid={user} --init-groups plimsoll status");
            here.try_run(&script).unwrap()
        };
        assert!(ask("bob").status.success(), "{}", told(&ask("bob")));
        assert!(told(&ask("ann")).contains("as a member of the socket's group"), "{}", told(&ask("ann")));
        // What it may not: write, gain rights, look into others.
        let process = here.show("MainPID");
        let status = here.run(&format!("cat /proc/{process}/status"));
        for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
            assert!(status.contains(line), "{line}: {status}");
        }
    }
}

#[test]
fn a_reload_takes_a_good_config_and_refuses_a_bad_one() {
    let Some(here) = booted("bookworm", "true") else { return };
    wait_until_active(&here);
    let process = here.show("MainPID");
    here.run("echo 'environment: production' >>/etc/plimsoll/plimsoll.yaml && systemctl reload plimsoll");
    here.run("cp /etc/plimsoll/plimsoll.yaml /root/good && echo 'enviroment: x' >>/etc/plimsoll/plimsoll.yaml");
    let refused = here.try_run("systemctl reload plimsoll").unwrap();
    assert!(!refused.status.success());
    assert!(here.journal().contains("did you mean `environment`?"), "{}", here.journal());
    assert_eq!((here.show("ActiveState").as_str(), here.show("MainPID")), ("active", process));
    here.run("cat /root/good >/etc/plimsoll/plimsoll.yaml && systemctl reload plimsoll");
}

#[test]
fn whatever_ends_or_stops_the_service_it_comes_back_with_all_that_it_kept() {
    let Some(here) = booted("bookworm", "true") else { return };
    wait_until_active(&here);
    let mut restarts = 0;
    let ends = [
        ("kill -KILL", "Failed with result 'signal'"),
        ("kill -STOP", "Failed with result 'watchdog'"),
        ("kill -TERM", "Deactivated successfully"),
    ];
    for (what, result) in ends {
        here.wait("a few rounds", "plimsoll query 'count_over_time(system_uptime_seconds[1h]) > 3'", |text| {
            text.contains("shop-box")
        });
        let (process, kept) = (here.show("MainPID"), rounds(&here));
        here.run(&format!("{what} {process}"));
        here.wait("another process", "systemctl show plimsoll --value -p MainPID", |now| now != process && now != "0");
        wait_until_active(&here);
        restarts += 1;
        assert_eq!(here.show("NRestarts"), restarts.to_string(), "after {what}: {}", here.journal());
        // The newest second of a killed process may be lost with it, and nothing more.
        here.wait("what was kept", "plimsoll query 'count_over_time(system_uptime_seconds[1h])'", |_| {
            rounds(&here) >= kept
        });
        assert!(here.journal().contains(result), "after {what}: {}", here.journal());
    }
    // It never gives up.
    for _ in 0..8 {
        let process = here.wait("a process", "systemctl show plimsoll --value -p MainPID", |now| now != "0");
        here.run(&format!("kill -KILL {process} || true"));
    }
    wait_until_active(&here);
}

#[test]
fn an_upgrade_of_a_running_service_restarts_it_once_with_all_that_it_kept_and_a_purge_ends_it() {
    let Some(here) = booted("trixie", "true") else { return };
    wait_until_active(&here);
    here.wait("a few rounds", "plimsoll query 'count_over_time(system_uptime_seconds[1h]) > 3'", |text| {
        text.contains("shop-box")
    });
    let (process, kept) = (here.show("MainPID"), rounds(&here));
    here.copy(&packages().unwrap().next, "/root/next.deb");
    here.run("dpkg -i /root/next.deb");
    wait_until_active(&here);
    assert_ne!(here.show("MainPID"), process);
    assert_eq!(here.show("NRestarts"), "0", "started by the package, once: {}", here.journal());
    here.wait("what was kept", "plimsoll query 'count_over_time(system_uptime_seconds[1h])'", |_| {
        rounds(&here) >= kept
    });
    here.run("dpkg -i /root/this.deb");
    wait_until_active(&here);
    here.wait("what was kept", "plimsoll query 'count_over_time(system_uptime_seconds[1h])'", |_| {
        rounds(&here) >= kept
    });

    here.run("dpkg -P plimsoll");
    assert_eq!(here.run("pgrep -x plimsoll || echo none"), "none");
    assert_eq!(here.run("ls -d /var/lib/plimsoll /run/plimsoll /etc/plimsoll 2>/dev/null || true"), "");
    assert_eq!(here.run("systemctl is-active plimsoll || true"), "inactive");
    here.run("dpkg -i /root/this.deb");
    wait_until_active(&here);
}

/// A booted system with a Prometheus and a Loki in it that do not run yet, and how each is started.
fn with_a_stack() -> Option<(Booted, &'static str)> {
    let (prometheus, loki) = binary("prometheus").zip(binary("loki"))?;
    let here = booted("bookworm", "mkdir -p /opt/stack")?;
    let source = |path: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    for (from, to) in [
        (prometheus.with_file_name("promtool"), "/opt/stack/promtool"),
        (prometheus, "/opt/stack/prometheus"),
        (loki, "/opt/stack/loki"),
        (source("tests/stack/loki.yaml"), "/opt/stack/loki.yaml"),
        (source("tests/stack/prometheus.yml"), "/opt/stack/prometheus.yml"),
    ] {
        here.copy(&from, to);
    }
    let start = "systemd-run -q -p WorkingDirectory=/opt/stack /opt/stack/prometheus --config.file=prometheus.yml \
         --storage.tsdb.path=/opt/stack/data --web.listen-address=:9090 --web.enable-otlp-receiver
         systemd-run -q -p WorkingDirectory=/opt/stack -E LOKI_HTTP_PORT=3100 -E LOKI_GRPC_PORT=9095 \
         -E LOKI_DIR=/opt/stack/l /opt/stack/loki -config.file=loki.yaml -config.expand-env=true";
    Some((here, start))
}

#[test]
fn setup_points_the_service_at_a_stack_and_a_token_reaches_it_alone() {
    let Some((here, start)) = with_a_stack() else { return };
    wait_until_active(&here);
    here.run("printf 's3cret-of-the-stack' >/root/token && chmod 0600 /root/token");
    let setup =
        "plimsoll setup --prometheus http://127.0.0.1:9090 --loki http://127.0.0.1:3100 --token-file /root/token";
    let config = || here.run("cat /etc/plimsoll/plimsoll.yaml");
    let before = config();
    let refused = here.try_run(setup).unwrap();
    let words = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(refused.status.code() == Some(1) && words.matches("connection refused").count() == 2, "{words}");
    assert_eq!(config(), before, "nothing is written that was not tried");
    assert_eq!(here.run("ls /etc/plimsoll"), "alerts\nplimsoll.yaml");

    here.run(start);
    here.wait("a stack that answers", &format!("{setup} --dry-run"), |words| words.matches(": takes ").count() == 2);
    assert_eq!(config(), before, "a dry run writes nothing");
    let process = here.show("MainPID");
    let words = here.run(setup);
    assert!(words.contains("service     restarted") && words.contains("next: plimsoll status"), "{words}");
    assert_eq!(here.show("ActiveState"), "active");
    assert_ne!(here.show("MainPID"), process);
    let modes = "stat -c '%a %U' /etc/plimsoll/credentials /etc/plimsoll/credentials/stack";
    assert_eq!(here.run(modes), "700 root\n600 root");
    assert!(config().starts_with(&before) && config().contains("token: { credential: stack }"), "{}", config());
    it_arrives_and_the_token_is_told_nowhere(&here);

    // The same again changes nothing, and the config is fine for whoever checks it.
    let process = here.show("MainPID");
    let again = here.run(setup);
    assert!(again.contains("nothing changed") && again.contains("runs, nothing to do"), "{again}");
    assert_eq!((here.show("MainPID"), here.show("NRestarts").as_str()), (process, "0"));
    assert!(here.run("setpriv --reuid=plimsoll --regid=plimsoll --init-groups plimsoll check").contains("fine"));
    // Without --token-file the one that is set stays, and another address needs a reload only.
    let moved = here.run("plimsoll setup --prometheus http://127.0.0.2:9090");
    assert!(moved.contains("reloaded: changed: destinations"), "{moved}");
    assert_eq!(config().matches("credential: stack").count(), 2);
}

fn it_arrives_and_the_token_is_told_nowhere(here: &Booted) {
    let query = "promtool query instant http://127.0.0.1:9090 'system_uptime_seconds'";
    here.wait("the box in Prometheus", query, |text| text.contains("instance=\"shop-box\""));
    here.wait("lines in Loki", "plimsoll status --json", |text| {
        let status: serde_json::Value = serde_json::from_str(text).unwrap();
        let all = status["destinations"].as_array().unwrap().clone();
        all.len() == 2 && all.iter().all(|one| one["records"].as_u64().is_some_and(|records| records > 0))
    });
    // Neither the config nor what the agent tells nor its environment has the token.
    let environment = format!("tr '\\0' '\\n' </proc/{}/environ", here.show("MainPID"));
    for place in [
        "cat /etc/plimsoll/plimsoll.yaml",
        "plimsoll status --json",
        "journalctl -u plimsoll --no-pager",
        "systemctl cat plimsoll",
        &environment,
    ] {
        assert!(!here.run(place).contains("s3cret"), "{place}");
    }
}
