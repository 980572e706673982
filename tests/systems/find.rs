//! Finding: real servers, and an agent that nobody told of them. Other tests run servers of their own beside these:
//! only this test's ports are spoken of.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::harness::{Process, Site, host_name, wait_for};
use super::mariadb_server::Mariadb;
use super::postgres_server::Postgres;
use super::redis_server::Redis;
use super::release::Release;

const SOON: Duration = Duration::from_secs(40);

/// A config that names nothing of these servers but `collect`.
fn discovering(site: &Site, collect: &str) {
    let port = site.port;
    let text = format!("listen: {{ http: \"127.0.0.1:{port}\" }}\nhost: off\nlogs: off\ncollect: {{ {collect} }}\n");
    std::fs::write(site.path("plimsoll.yaml"), text).unwrap();
}

/// Starts the agent as another user of the system.
fn start_as(site: &Site, user: &str) -> Process {
    let (folder, program) = (site.path(""), site.path("plimsoll"));
    // Not by ourselves: a child of another test that is not its program yet would hold the file open for writing.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_plimsoll")).arg(&program).status();
    assert!(copied.unwrap().success());
    assert!(Command::new("chown").args(["-R", user]).arg(&folder).status().unwrap().success());
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups", "--"]).arg(program);
    command.args(["run", "--state"]).arg(site.state()).env("HOME", &folder).current_dir("/");
    command.env_remove("RUNTIME_DIRECTORY").env_remove("STATE_DIRECTORY").env_remove("NOTIFY_SOCKET");
    command.arg("--config").arg(site.path("plimsoll.yaml"));
    let mut agent = Process::start(&mut command, &site.path("agent.log"));
    wait_for("an agent that answers", SOON, || {
        agent.check();
        site.status().map(|_| ())
    });
    agent
}

/// The source `kind` with this port, when it stands in the report and `wanted` says so.
fn source(site: &Site, kind: &str, port: u16, wanted: impl Fn(&Value) -> bool) -> Value {
    let name = format!("{kind} {}:{port}", host_name());
    wait_for(&format!("{name} as wanted"), SOON, || {
        let (_, report) = site.status()?;
        let found = report["sources"].as_array().unwrap().iter().find(|source| source["name"] == name.as_str());
        found.filter(|source| wanted(source)).cloned().ok_or_else(|| report["sources"].to_string())
    })
}

/// Kind and name of each source.
fn named(site: &Site) -> Vec<String> {
    let (_, report) = site.status().unwrap();
    let text = |source: &Value, key: &str| source[key].as_str().unwrap().to_owned();
    let sources = report["sources"].as_array().unwrap().iter();
    sources.map(|source| format!("{} {}", text(source, "kind"), text(source, "name"))).collect()
}

fn is_read(source: &Value) -> bool {
    source["points"].as_u64() > Some(5) && source["fault"] == "" && source["hint"] == ""
}

fn hint(source: &Value) -> &str {
    source["hint"].as_str().unwrap()
}

#[test]
fn servers_are_found_and_read_and_one_that_lets_nobody_in_says_what_does_and_is_no_fault() {
    let redis = Redis::start(Release::Here, "redis-server", &[]);
    let locked = Redis::start(Release::Here, "redis-server", &[]);
    locked.ask(&["CONFIG", "SET", "requirepass", "secret-word"]);
    let postgres = Postgres::start(Release::Here, "");
    let mariadb = Mariadb::start();
    let site = Site::new();
    discovering(&site, "pgbouncer: off");
    let agent = site.start();
    source(&site, "redis", redis.port, is_read);
    source(&site, "mysql", mariadb.port, is_read);

    let refused = source(&site, "postgres", postgres.port, |source| !hint(source).is_empty());
    let place = format!("sudo -u postgres psql -h {} -p {}", postgres.socket().display(), postgres.port);
    let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    let sql = "LOGIN CONNECTION LIMIT 3; GRANT pg_monitor TO";
    let command = format!("{place} -c 'CREATE ROLE {0} {sql} {0};'", user.trim());
    assert!(hint(&refused).lines().any(|line| line == command), "{command} is not in {refused}");
    assert_eq!((&refused["fault"], &refused["failures"]), (&Value::from(""), &Value::from(0)));
    let screen = String::from_utf8(site.run(&["status"]).stdout).unwrap();
    assert!(screen.lines().any(|line| line.trim() == command), "the command can be copied: {screen}");
    let closed = source(&site, "redis", locked.port, |source| !hint(source).is_empty());
    assert!(hint(&closed).contains("ACL SETUSER plimsoll on '>PASSWORD'"), "{closed}");
    assert!(agent.log().contains(&format!("redis     {}:{}", host_name(), redis.port)), "{}", agent.log());

    // The command as it stands, then as the hint says.
    let words = command.strip_prefix("sudo -u postgres ").unwrap();
    let granted =
        Command::new("sh").args(["-c", &format!("cd / && setpriv --reuid=postgres --clear-groups {words}")]).output();
    let granted = granted.unwrap();
    assert!(granted.status.success(), "{}", String::from_utf8_lossy(&granted.stderr));
    assert!(site.run(&["reload"]).status.success());
    source(&site, "postgres", postgres.port, is_read);
    let up = format!("up{{instance=\"{}:{}\",job=\"postgresql\"", host_name(), postgres.port);
    // The status shows a round before the page does.
    let text = wait_for("the server's round on the page", SOON, || {
        let text = site.metrics()?;
        if text.lines().any(|line| line.starts_with(&up) && line.ends_with(" 1")) { Ok(text) } else { Err(text) }
    });
    let closed = format!("instance=\"{}:{}\"", host_name(), locked.port);
    assert!(!text.contains(&closed), "nothing is said of one that lets nobody in");
}

#[test]
fn a_kind_that_is_off_or_named_is_not_found_and_a_server_that_comes_later_is() {
    let redis = Redis::start(Release::Here, "redis-server", &[]);
    let site = Site::new();
    discovering(&site, "redis: off");
    let _agent = site.start();
    let later = Postgres::start(Release::Here, "");
    assert!(site.run(&["reload"]).status.success());
    source(&site, "postgres", later.port, |_| true);
    let names = named(&site);
    assert!(!names.iter().any(|name| name.contains("redis")), "{names:?}");

    let other = Redis::start(Release::Here, "redis-server", &[]);
    discovering(&site, &format!("redis: [ {{ url: \"redis://127.0.0.1:{}\" }} ], postgres: off", other.port));
    assert!(site.run(&["reload"]).status.success());
    source(&site, "redis", other.port, is_read);
    let names = named(&site);
    let off = |name: &String| name.contains("postgres") || name.ends_with(&format!(":{}", redis.port));
    assert!(!names.iter().any(off), "{names:?}");
}

#[test]
fn without_the_right_to_see_the_files_of_others_servers_are_found_by_their_command_line_and_let_us_in_as_told() {
    let redis = Redis::start(Release::Here, "redis-server", &[]);
    let postgres = Postgres::start(Release::Here, "");
    let mariadb = Mariadb::start();
    let site = Site::new();
    discovering(&site, "pgbouncer: off");
    let _agent = start_as(&site, "daemon");
    source(&site, "redis", redis.port, is_read);
    let refused = source(&site, "postgres", postgres.port, |source| !hint(source).is_empty());
    assert!(hint(&refused).contains("CREATE ROLE daemon LOGIN"), "{refused}");
    let refused = source(&site, "mysql", mariadb.port, |source| !hint(source).is_empty());
    let command = hint(&refused).lines().find_map(|line| line.strip_prefix("sudo ")).expect("a command");
    assert!(command.contains("CREATE USER daemon@localhost IDENTIFIED VIA unix_socket"), "{command}");
    let granted = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(granted.status.success(), "{command}: {}", String::from_utf8_lossy(&granted.stderr));
    assert!(site.run(&["reload"]).status.success());
    let read = source(&site, "mysql", mariadb.port, is_read);
    assert!(!read["detail"].as_str().unwrap().contains("right"), "all rights are there: {read}");
}
