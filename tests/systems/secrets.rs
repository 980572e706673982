//! Secrets in every place where one can be: none may be found in anything that the program keeps, ships, prints or serves.
//!
//! Each is a marker of its own, so that one that leaks tells from where. Nothing in Plimsoll reads what process managers
//! such as pm2 dump, and no environment of another process is ever read.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plimsoll::base::base64;
use serde_json::Value;

use super::harness::{Site, escaped, http, unpacked, wait_for};
use super::mysql_server::Kind;
use super::secrets_config::{Draft, Servers, refused};
use super::secrets_servers::{mysql, postgres, process, redis, slow_commands};

const SOON: Duration = Duration::from_secs(90);

/// All secrets, with the places where they are.
#[derive(Default)]
pub(crate) struct Secrets(Vec<(String, String)>);

impl Secrets {
    pub(crate) fn make(&mut self, place: &str) -> String {
        let random = RandomState::new().build_hasher().finish();
        let secret = format!("mk{random:016x}z9");
        self.0.push((place.to_owned(), secret.clone()));
        // As it stands in the header of a login.
        for user in ["me", "plimsoll"] {
            let packed = base64::encode(format!("{user}:{secret}").as_bytes());
            self.0.push((format!("{place}, in the login of {user}"), packed));
        }
        secret
    }

    /// None of them stands in `text`.
    fn are_not_in(&self, what: &str, text: &str) {
        let found: Vec<_> = self.0.iter().filter(|(_, secret)| text.contains(secret)).collect();
        let near = |secret: &str| {
            let at = text.find(secret).unwrap();
            let from = text.floor_char_boundary(at.saturating_sub(200));
            text[from..text.ceil_char_boundary((at + 60).min(text.len()))].to_owned()
        };
        let near: Vec<_> = found.iter().map(|(place, secret)| format!("{place}: …{}…", near(secret))).collect();
        assert!(found.is_empty(), "{what} tells {}", near.join("\n"));
    }
}

/// Who answers over HTTP: takes, refuses, points elsewhere, and says in each refusal what it was asked for.
struct Peer {
    port: u16,
    /// All that was sent to it, unpacked.
    taken: Arc<Mutex<String>>,
}

impl Peer {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&taken);
        // It ends with the test program.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                // The other side may have gone.
                std::thread::spawn(move || answer(&stream, &kept).is_err());
            }
        });
        Self { port, taken }
    }

    fn taken(&self) -> String {
        self.taken.lock().unwrap().clone()
    }
}

fn answer(stream: &TcpStream, taken: &Mutex<String>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    if reader.fill_buf()?.first() == Some(&0x16) {
        return (&mut &*stream).write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    }
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let told = format!("Cannot do {target} here\n");
    let (status, more) = match target.split(['/', '?']).nth(1).unwrap_or_default() {
        "take" => {
            let mut plain = Vec::new();
            let gzip = flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut plain).is_ok();
            let plain = if gzip { plain } else { zstd::decode_all(body.as_slice()).unwrap_or(body) };
            taken.lock().unwrap().push_str(&String::from_utf8_lossy(&plain));
            ("200 OK", String::new())
        }
        "page" => ("200 OK", String::new()),
        "login" => ("401 Unauthorized", String::new()),
        "elsewhere" => ("302 Found", format!("Location: http://127.0.0.1:1{target}\r\n")),
        "broken" => ("500 Internal Server Error", String::new()),
        _ => ("404 Not Found", String::new()),
    };
    let told = match status {
        "200 OK" if target.starts_with("/page") => "shop_orders_total 7\n",
        "200 OK" => "",
        _ => &told,
    };
    let head = format!("HTTP/1.1 {status}\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n", told.len());
    (&mut &*stream).write_all(head.as_bytes())?;
    (&mut &*stream).write_all(told.as_bytes())
}

/// Fires at once, for as long as the agent runs.
const RULES: &str = "groups:\n  - name: shop\n    rules:\n      - alert: Sold\n        expr: shop_orders_total > 0\n        \
    labels: { severity: page }\n        annotations: { summary: sold }\n";

/// What every command of the agent says, and every page that it serves.
fn asked(site: &Site) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let config = site.path("plimsoll.yaml").display().to_string();
    let commands: [&[&str]; 12] = [
        &["status"],
        &["status", "--json"],
        &["doctor"],
        &["doctor", "--json"],
        &["alerts"],
        &["alerts", "--json"],
        &["alerts", "--history"],
        &["alerts", "--history", "--json"],
        &["alerts", "review"],
        &["query", "--json", "{__name__=~\".+\"}"],
        &["query", "up"],
        &["reload"],
    ];
    for words in commands {
        let output = site.run(words);
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(!said.is_empty(), "{words:?}");
        out.push((format!("plimsoll {}", words.join(" ")), said));
    }
    for more in [&[][..], &["--json"]] {
        let output = check(&config).args(more).output().unwrap();
        out.push((format!("plimsoll check {more:?}"), format!("{output:?}")));
    }
    let all = escaped("{__name__=~\".+\"}");
    for path in [
        "/".to_owned(),
        "/metrics".into(),
        "/-/healthy".into(),
        "/-/ready".into(),
        format!("/api/v1/query?query={all}"),
        format!("/api/v1/series?match[]={all}"),
        "/api/v1/labels".into(),
        "/api/v1/label/source/values".into(),
        "/api/v1/metadata".into(),
        "/api/v1/rules".into(),
        "/api/v1/alerts".into(),
        "/api/v1/status/buildinfo".into(),
    ] {
        // What is not healthy says so with another status than 200.
        let (_, body) = http(site.port, "GET", &path, &[], b"").unwrap();
        out.push((path, String::from_utf8_lossy(&body).into_owned()));
    }
    out
}

fn check(config: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.args(["check", "--config", config]).stdin(Stdio::null());
    command
}

/// Each way to fail has been told, by each who is told of alerts too.
fn every_failure(report: &Value) -> Result<(), String> {
    let text = report.to_string();
    let wanted = [
        "refuses the login",
        "connection refused",
        "answers 302",
        "answers 404",
        "answers 500",
        "401",
        "speaks no TLS",
        "302 is not followed",
        "Cannot do /missing/(hidden)",
    ];
    let missing: Vec<_> = wanted.iter().filter(|wanted| !text.contains(**wanted)).collect();
    let silent: Vec<_> = report["notifiers"].as_array().unwrap().iter().filter(|told| told["answer"] == "").collect();
    if missing.is_empty() && silent.is_empty() { Ok(()) } else { Err(format!("{missing:?} {silent:?} {text}")) }
}

/// What was shipped tells of all that holds secrets.
fn has_all(taken: &str) -> Result<(), String> {
    let wanted = [
        "ALTER ROLE app PASSWORD ?",
        "COPY orders (note) FROM PROGRAM ?",
        "UPDATE orders SET note = ?",
        "UPDATE shop.orders SET note = CONCAT(?",
        "postgresql.blocked_session",
        "mysql.blocked_session",
        "redis.slow_command",
        "bullmq",
        "sidekiq",
        "celery",
        "orders/billing",
        "shopworker",
        "Sold",
    ];
    let missing: Vec<_> = wanted.iter().filter(|wanted| !taken.contains(**wanted)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) }
}

/// A config that is no good is told by two commands and in the log.
fn bad_config(site: &Site, secrets: &mut Secrets) {
    let bad = refused(secrets);
    std::fs::write(site.path("plimsoll.yaml"), &bad).unwrap();
    for more in [&[][..], &["--json"]] {
        let checked = check(&site.path("plimsoll.yaml").display().to_string()).args(more).output().unwrap();
        assert_eq!(checked.status.code(), Some(1), "{checked:?}");
        secrets.are_not_in("plimsoll check of a bad config", &String::from_utf8_lossy(&checked.stdout));
        secrets.are_not_in("plimsoll check of a bad config", &String::from_utf8_lossy(&checked.stderr));
    }
    let reloaded = site.run(&["reload"]);
    assert_eq!(reloaded.status.code(), Some(1), "{reloaded:?}");
    secrets.are_not_in("plimsoll reload", &format!("{reloaded:?}"));
    secrets.are_not_in("the status after it", &site.status().unwrap().1.to_string());
}

#[test]
fn no_secret_is_found_in_what_is_kept_shipped_printed_or_served() {
    let mut secrets = Secrets::default();
    let password = secrets.make("the password of the watched servers");
    let (of_postgres, _held, _clients) = postgres(&mut secrets, &password);
    let (of_mariadb, _waiting) = mysql(Kind::Mariadb10, &mut secrets, &password);
    let (of_mysql, _more) = mysql(Kind::Mysql, &mut secrets, &password);
    let of_redis = redis(&mut secrets, &password);
    let slow = ["SET", "AUTH", "ACL SETUSER", "EVAL"].map(|command| secrets.make(&format!("the slow log, {command}")));
    let _busy = process(&mut secrets);
    let peer = Peer::start();
    let site = Site::new();
    let mysql = [of_mariadb.port, of_mysql.port];
    let servers = Servers { password, postgres: of_postgres.port, mysql, redis: of_redis.port };
    let draft = Draft::new(&site, &mut secrets, peer.port, &servers);
    std::fs::write(site.path("rules.yaml"), RULES).unwrap();
    site.config(&draft.yaml);
    let mut variables = vec![("RUST_LOG", "debug")];
    variables.extend(draft.variables.iter().map(|(name, secret)| (name.as_str(), secret.as_str())));
    let mut agent = site.start_with(&variables);
    // All of it has been there: the texts of statements, who waits, slow commands, an alert that was told and refused.
    wait_for("all that could tell a secret", SOON, || {
        agent.check();
        slow_commands(&of_redis, &slow);
        has_all(&peer.taken())
    });
    wait_for("every failure", SOON, || every_failure(&site.status()?.1));
    for (what, said) in asked(&site) {
        secrets.are_not_in(&what, &said);
    }
    bad_config(&site, &mut secrets);
    let arguments = std::fs::read(format!("/proc/{}/cmdline", agent.id())).unwrap();
    secrets.are_not_in("the agent's command line", &String::from_utf8_lossy(&arguments));
    assert!(agent.terminate(SOON).success(), "{}", agent.log());
    let kept = unpacked(&site.state());
    assert!(kept.contains("ALTER ROLE app PASSWORD ?") && kept.contains("Sold"), "the state can be searched");
    secrets.are_not_in("the state folder", &kept);
    secrets.are_not_in("what was shipped", &peer.taken());
    let log = agent.log();
    assert!(log.contains("DEBUG"), "{log}");
    secrets.are_not_in("the log", &log);
}
