//! Secrets in every place where one can be: none may be found in anything that the program keeps, ships, prints or serves.
//!
//! Each is a marker of its own, so that one that leaks tells from where. Nothing in Plimsoll reads what process managers
//! such as pm2 dump, and no environment of another process is ever read.

use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plimsoll::base::base64;
use serde_json::Value;

use super::harness::{Process, Site, escaped, http, unpacked, wait_for};
use super::mysql_server::{Kind, Mysql};
use super::postgres_server::{Held, Postgres};
use super::redis_server::Redis;
use super::release::Release;

const SOON: Duration = Duration::from_secs(90);

/// All secrets, with the places where they are.
#[derive(Default)]
struct Secrets(Vec<(String, String)>);

impl Secrets {
    fn new(&mut self, place: &str) -> String {
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

/// A client that does `sql` and then waits.
fn busy(mut client: Command, sql: &str) -> Process {
    client.arg(sql);
    Process::start(&mut client, &std::env::temp_dir().join(format!("plimsoll-{}-client", std::process::id())))
}

/// PostgreSQL with secrets in statements that ran, run, wait and hold, and in every kind of command.
fn postgres(secrets: &mut Secrets, password: &str) -> (Postgres, Vec<Held>, Vec<Process>) {
    let server = Postgres::start(Release::Here, "track_activity_query_size = 16kB");
    server.sql("postgres", &format!("CREATE ROLE plimsoll LOGIN PASSWORD '{password}'; GRANT pg_monitor TO plimsoll"));
    let hba = server.socket().join("data/pg_hba.conf");
    std::fs::write(&hba, "host all postgres all trust\nhost all all all scram-sha-256\n").unwrap();
    server.sql("postgres", "SELECT pg_reload_conf()");
    server.sql("postgres", "CREATE EXTENSION pg_stat_statements; CREATE TABLE orders (id int, note text)");
    server.sql("postgres", "INSERT INTO orders VALUES (1, 'a'); CREATE EXTENSION IF NOT EXISTS plpgsql");
    for (place, sql) in [
        ("a literal", "SELECT count(*) FROM orders WHERE note = 'SECRET'"),
        ("a text with an escape", "SELECT E'it\\'s SECRET'"),
        ("a dollar quote", "SELECT $a$SECRET$a$"),
        ("a comment", "SELECT /* SECRET */ 1 -- SECRET"),
        ("CREATE ROLE", "CREATE ROLE app LOGIN PASSWORD 'SECRET'"),
        ("ALTER ROLE", "ALTER ROLE app PASSWORD 'SECRET'"),
        ("ALTER USER", "ALTER USER app WITH ENCRYPTED PASSWORD 'SECRET'"),
        ("COPY", "COPY orders (note) FROM PROGRAM 'echo SECRET'"),
        ("COPY TO", "COPY (SELECT 'SECRET') TO PROGRAM 'cat > /dev/null'"),
        ("SET", "SET my.token = 'SECRET'"),
        ("DO", "DO $$ BEGIN PERFORM 'SECRET'; END $$"),
        ("COMMENT", "COMMENT ON TABLE orders IS 'SECRET'"),
        ("NOTIFY", "NOTIFY shop, 'SECRET'"),
        ("PREPARE", "PREPARE p AS SELECT 'SECRET'::text; EXECUTE p"),
        ("EXECUTE", "PREPARE q (text) AS SELECT $1; EXECUTE q('SECRET')"),
        ("a cursor", "BEGIN; DECLARE c CURSOR FOR SELECT 'SECRET'; COMMIT"),
        ("CREATE FUNCTION", "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT ''SECRET'''"),
        ("a subscription", "CREATE SUBSCRIPTION s CONNECTION 'password=SECRET' PUBLICATION p WITH (connect = false)"),
        ("EXPLAIN", "EXPLAIN SELECT 1 FROM orders WHERE note = 'SECRET'"),
        ("ALTER DATABASE", "ALTER DATABASE postgres SET my.token TO 'SECRET'"),
    ] {
        server.sql("postgres", &sql.replace("SECRET", &secrets.new(&format!("PostgreSQL, {place}"))));
    }
    let held = server.hold("postgres", &format!("BEGIN; UPDATE orders SET note = '{}'", secrets.new("a holder")));
    server.until("postgres", "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'", "1");
    let mut client = |place, sql: &str| {
        let mut psql = server.psql("postgres");
        psql.arg("-c");
        busy(psql, &sql.replace("SECRET", &secrets.new(place)))
    };
    let clients = vec![
        client("a statement that runs", "SELECT pg_sleep(300), 'SECRET'"),
        client("a statement that waits", "UPDATE orders SET note = 'SECRET' WHERE id = 1"),
    ];
    server.until("postgres", "SELECT count(*) FROM pg_locks WHERE NOT granted", "1");
    (server, vec![held], clients)
}

/// MySQL or MariaDB with the same.
fn mysql(kind: Kind, secrets: &mut Secrets, password: &str) -> (Mysql, Vec<Process>) {
    let server = Mysql::start(kind, &["--performance-schema=ON", "--log-bin=bin", "--server-id=1"]);
    server.sql(&format!(
        "CREATE USER plimsoll@'%' IDENTIFIED BY '{password}'; GRANT PROCESS ON *.* TO plimsoll@'%'; \
         GRANT SELECT ON performance_schema.* TO plimsoll@'%'; SET GLOBAL innodb_lock_wait_timeout = 300; \
         CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY, note VARCHAR(90)); \
         INSERT INTO shop.orders VALUES (1, 'a')"
    ));
    for (place, sql) in [
        ("a literal", "SELECT COUNT(*) FROM shop.orders WHERE note = 'SECRET'"),
        ("a double quote", "SELECT \"SECRET\""),
        ("a comment", "SELECT /* SECRET */ 1 # SECRET"),
        ("CREATE USER", "CREATE USER app@'%' IDENTIFIED BY 'SECRET'"),
        ("ALTER USER", "ALTER USER app@'%' IDENTIFIED BY 'SECRET'"),
        ("SET PASSWORD", "SET PASSWORD FOR app@'%' = 'SECRET'"),
        ("SET", "SET @token = 'SECRET'"),
        ("PREPARE", "PREPARE p FROM 'SELECT \"SECRET\"'; EXECUTE p"),
        ("a source", "CHANGE MASTER TO MASTER_PASSWORD = 'SECRET'"),
    ] {
        let old = "CHANGE MASTER TO MASTER_PASSWORD";
        let sql = if kind.is_mariadb() {
            sql.to_owned()
        } else {
            sql.replace(old, "CHANGE REPLICATION SOURCE TO SOURCE_PASSWORD")
        };
        let set = if kind.is_mariadb() { "= PASSWORD('SECRET')" } else { "= 'SECRET'" };
        let sql = if place == "SET PASSWORD" { sql.replace("= 'SECRET'", set) } else { sql };
        server.sql(&sql.replace("SECRET", &secrets.new(&format!("{kind:?}, {place}"))));
    }
    let mut client = |place: &str, sql: &str| {
        let mut client = server.client();
        client.args(["-N", "-e"]);
        busy(client, &sql.replace("SECRET", &secrets.new(&format!("{kind:?}, {place}"))))
    };
    let holder = client("a holder", "BEGIN; UPDATE shop.orders SET note = 'SECRET'; SELECT SLEEP(300), 'SECRET'");
    let holds = "DO SLEEP(0.2); SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_rows_modified = 1";
    wait_for("a transaction with its lock", SOON, || match server.sql(holds).as_str() {
        "1" => Ok(()),
        other => Err(other.to_owned()),
    });
    // A session for which a backslash is only a backslash.
    let update = "SET sql_mode = 'NO_BACKSLASH_ESCAPES'; UPDATE shop.orders SET note = CONCAT('a\\', 'SECRET')";
    let waiter = client("a statement that waits", update);
    (server, vec![holder, waiter])
}

/// Redis with secrets in its slow log, its keys and its jobs.
fn redis(secrets: &mut Secrets, password: &str) -> Redis {
    let server = Redis::start(Release::Here, "redis-server", &["--slowlog-log-slower-than", "0"]);
    server.ask(&["ACL", "SETUSER", "plimsoll", "on", &format!(">{password}"), "~*", "+@all"]);
    let job = |secrets: &mut Secrets, kind: &str| {
        format!("{{\"class\":\"Mail\",\"enqueued_at\":1795470483,\"args\":[\"{}\"]}}", secrets.new(kind))
    };
    server.ask(&["HSET", "bull:mail:meta", "version", "bullmq:6.7.0"]);
    server.ask(&["HSET", "bull:mail:1", "timestamp", "1795470483000", "data", &job(secrets, "a job of BullMQ")]);
    server.ask(&["LPUSH", "bull:mail:wait", "1"]);
    server.ask(&["SADD", "queues", "default"]);
    server.ask(&["LPUSH", "queue:default", &job(secrets, "a job of Sidekiq")]);
    server.ask(&["LPUSH", "celery", &job(secrets, "a task of Celery")]);
    server.ask(&["XADD", "orders", "*", "card", &job(secrets, "an entry of a stream")]);
    server.ask(&["XGROUP", "CREATE", "orders", "billing", "0"]);
    server
}

/// Commands whose arguments stand in the slow log; again and again, as only new ones are told.
fn slow_commands(server: &Redis, secrets: &[String; 4]) {
    let [token, login, user, script] = secrets;
    server.ask(&["SET", &format!("token:{token}"), token]);
    // It is refused, and says so.
    let _refused = server.try_ask(&["AUTH", "nobody", login]).is_err();
    server.ask(&["ACL", "SETUSER", "other", "on", &format!(">{user}")]);
    server.ask(&["EVAL", &format!("return '{script}'"), "0"]);
}

/// The config, in which each kind of entry has its secrets, and many a failure.
fn config(site: &Site, secrets: &mut Secrets, peer: u16, servers: &Servers) -> (String, Vec<(String, String)>) {
    let mut variables = Vec::new();
    let file = |name: &str, secret: &str| {
        std::fs::write(site.path(name), secret).unwrap();
        format!("{{ file: {} }}", site.path(name).display())
    };
    let mut yaml = String::from("host: { interval: 1s }\ncollect:\n");
    let mut env = |name: &str, secret: String| {
        variables.push((name.to_owned(), secret));
        format!("{{ env: {name} }}")
    };
    let each = "interval: 1s";
    let (own, wrong) = (file("own", &servers.password), env("WRONG", secrets.new("a wrong password")));
    let closed = secrets.new("the user of a server that is not there");
    let refused = file("refused", &closed);
    for (kind, scheme, port) in [
        ("postgres", "postgres", servers.postgres),
        ("mysql", "mysql", servers.mysql[0]),
        ("redis", "redis", servers.redis),
    ] {
        let queues = if kind == "redis" {
            ", queues: { bullmq: auto, sidekiq: auto, celery: [celery], streams: [orders] }"
        } else {
            ""
        };
        writeln!(yaml, "  {kind}:").unwrap();
        writeln!(yaml, "    - {{ url: \"{scheme}://plimsoll@127.0.0.1:{port}\", password: {own}, {each}{queues} }}")
            .unwrap();
        writeln!(yaml, "    - {{ url: \"{scheme}://plimsoll@localhost:{port}\", password: {wrong}, {each} }}").unwrap();
        writeln!(yaml, "    - {{ url: \"{scheme}://plimsoll@127.0.0.1:1\", password: {refused}, {each} }}").unwrap();
        if kind == "mysql" {
            let other = servers.mysql[1];
            writeln!(yaml, "    - {{ url: \"mysql://plimsoll@127.0.0.1:{other}\", password: {own}, {each} }}").unwrap();
        }
    }
    for kind in ["rabbitmq", "nats"] {
        let password = file(kind, &secrets.new(&format!("the password of {kind}")));
        writeln!(
            yaml,
            "  {kind}: [ {{ url: \"http://127.0.0.1:{peer}/login\", username: me, password: {password}, {each} }} ]"
        )
        .unwrap();
    }
    yaml.push_str("  scrape:\n");
    let token = file("token", &secrets.new("the token of a scrape"));
    for (scheme, path) in [
        ("http", "page"),
        ("http", "login"),
        ("http", "elsewhere"),
        ("http", "broken"),
        ("http", "missing"),
        ("https", "page"),
    ] {
        let secret = secrets.new(&format!("the address of a scrape of {scheme} {path}"));
        let login = if path == "broken" { format!("token: {token}") } else { format!("username: me, password: {own}") };
        writeln!(
            yaml,
            "    - {{ url: \"{scheme}://127.0.0.1:{peer}/{path}?token={secret}\", service: {scheme}-{path}, {login}, {each} }}"
        )
        .unwrap();
    }
    let secret = secrets.new("the address of a scrape that nobody serves");
    writeln!(yaml, "    - {{ url: \"http://127.0.0.1:1/metrics?token={secret}\", {each} }}").unwrap();
    yaml.push_str("destinations:\n");
    let header = file("header", &secrets.new("a header of a destination"));
    writeln!(
        yaml,
        "  sink: {{ otlp_http: {{ endpoint: \"http://127.0.0.1:{peer}/take\", headers: {{ x-team: {header} }} }} }}"
    )
    .unwrap();
    for path in ["login", "elsewhere", "broken", "missing"] {
        let endpoint = format!("http://127.0.0.1:{peer}/{path}/{}", secrets.new("the path of a destination"));
        let password = file(&format!("at-{path}"), &secrets.new("the password of a destination"));
        writeln!(yaml, "  {path}: {{ otlp_http: {{ endpoint: \"{endpoint}\", username: me, password: {password} }} }}")
            .unwrap();
    }
    writeln!(yaml, "alerts:\n  rules: [ {} ]\n  interval: 1s\n  notify:", site.path("rules.yaml").display()).unwrap();
    for path in ["take", "login", "elsewhere", "broken", "missing"] {
        let url = format!("http://127.0.0.1:{peer}/{path}/{}", secrets.new("the path of a webhook"));
        let token = file(&format!("hook-{path}"), &secrets.new("the token of a webhook"));
        writeln!(yaml, "    hook-{path}: {{ webhook: {{ url: \"{url}\", token: {token} }} }}").unwrap();
        let slack = format!("http://127.0.0.1:{peer}/{path}/{}", secrets.new("the webhook of Slack"));
        writeln!(yaml, "    slack-{path}: {{ slack: {{ webhook: {} }} }}", file(&format!("slack-{path}"), &slack))
            .unwrap();
    }
    let key = env("ROUTING_KEY", secrets.new("the key of PagerDuty"));
    writeln!(yaml, "    pager: {{ pagerduty: {{ routing_key: {key}, url: \"http://127.0.0.1:{peer}/broken\" }}, severity: [page] }}").unwrap();
    let mail = file("mail", &secrets.new("the password of the mail server"));
    writeln!(yaml, "    mail: {{ email: {{ smarthost: \"127.0.0.1:1\", from: a@b.c, to: [d@e.f], username: me, password: {mail} }} }}").unwrap();
    let beat = format!("http://127.0.0.1:{peer}/missing/{}", secrets.new("the address of the heartbeat"));
    writeln!(yaml, "  heartbeat: {{ url: \"{beat}\", interval: 10s }}").unwrap();
    (yaml, variables)
}

struct Servers {
    password: String,
    postgres: u16,
    mysql: [u16; 2],
    redis: u16,
}

/// Fires at once, for as long as the agent runs.
const RULES: &str = "groups:\n  - name: shop\n    rules:\n      - alert: Sold\n        expr: shop_orders_total > 0\n        \
    labels: { severity: page }\n        annotations: { summary: sold }\n";

/// A process that is among the first in CPU time, with a secret on its command line and in its environment.
fn process(secrets: &mut Secrets) -> Process {
    let mut busy = Command::new("/usr/bin/perl");
    busy.args(["-e", "$0 = 'shopworker'; 1 while 1", "--"])
        .arg(format!("--password={}", secrets.new("a command line")));
    busy.env("DATABASE_PASSWORD", secrets.new("an environment"));
    let process =
        Process::start(&mut busy, &std::env::temp_dir().join(format!("plimsoll-{}-busy", std::process::id())));
    let id = rustix::process::Pid::from_raw(i32::try_from(process.id()).unwrap());
    rustix::process::setpriority_process(id, 19).unwrap();
    process
}

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

/// A config that is refused, line by line, because of what stands beside each secret.
fn refused(secrets: &mut Secrets) -> String {
    let mut yaml = String::from("discover: false\ncollect:\n");
    for (kind, scheme) in [("postgres", "postgres"), ("mysql", "mysql"), ("redis", "redis"), ("scrape", "http")] {
        let secret = secrets.new(&format!("the password in an address of {kind}"));
        let other = secrets.new(&format!("what is asked of {kind}"));
        writeln!(yaml, "  {kind}:\n    - {{ url: \"{scheme}://me:{secret}@127.0.0.1:9\" }}").unwrap();
        writeln!(yaml, "    - {{ url: \"{scheme}://127.0.0.1:9/m?token={other}\", intervall: 1s }}").unwrap();
        writeln!(yaml, "    - {{ url: \"{scheme}://127.0.0.1:9\", password: {} }}", secrets.new("a plain password"))
            .unwrap();
    }
    let [path, token, header] =
        ["a path", "a token", "a header"].map(|place| secrets.new(&format!("{place} of a bad config")));
    write!(
        yaml,
        "destinations:\n  one: {{ otlp_http: {{ endpoint: \"http://me:{token}@127.0.0.1:9\" }} }}\n  \
         two: {{ otlp_http: {{ endpoint: \"http://127.0.0.1:9\", headers: {{ x-key: {header} }}, tokenn: {token} }} }}\n\
         alerts:\n  notify:\n    a: {{ webhook: {{ url: \"http://127.0.0.1:9/{path}\", nothing: 1 }} }}\n    \
         b:\n      webhook:\n        url: \"http://a b/{path}\"\n    c: {{ slack: {{ webhook: \"http://127.0.0.1:9/{path}\" }} }}\n    \
         d: {{ pagerduty: {{ routing_key: {token} }} }}\n  heartbeat: {{ url: \"htp://127.0.0.1:9/{path}\" }}\n"
    )
    .unwrap();
    yaml
}

#[test]
fn no_secret_is_found_in_what_is_kept_shipped_printed_or_served() {
    let mut secrets = Secrets::default();
    let password = secrets.new("the password of the watched servers");
    let (of_postgres, _held, _clients) = postgres(&mut secrets, &password);
    let (of_mariadb, _waiting) = mysql(Kind::Mariadb10, &mut secrets, &password);
    let (of_mysql, _more) = mysql(Kind::Mysql, &mut secrets, &password);
    let of_redis = redis(&mut secrets, &password);
    let slow = ["SET", "AUTH", "ACL SETUSER", "EVAL"].map(|command| secrets.new(&format!("the slow log, {command}")));
    let _busy = process(&mut secrets);
    let peer = Peer::start();
    let site = Site::new();
    let mysql = [of_mariadb.port, of_mysql.port];
    let servers = Servers { password, postgres: of_postgres.port, mysql, redis: of_redis.port };
    let (yaml, variables) = config(&site, &mut secrets, peer.port, &servers);
    std::fs::write(site.path("rules.yaml"), RULES).unwrap();
    site.config(&yaml);
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, secret)| (name.as_str(), secret.as_str())).collect();
    let mut agent = site.start_with(&[&variables[..], &[("RUST_LOG", "debug")]].concat());
    // All of it has been there: the texts of statements, who waits, slow commands, an alert that was told and refused.
    wait_for("all that could tell a secret", SOON, || {
        agent.check();
        slow_commands(&of_redis, &slow);
        let taken = peer.taken();
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
    });
    wait_for("every failure", SOON, || every_failure(&site.status()?.1));
    for (what, said) in asked(&site) {
        secrets.are_not_in(&what, &said);
    }
    // A reload with a config that is no good is told in the log, and by the command.
    let bad = refused(&mut secrets);
    std::fs::write(site.path("bad.yaml"), &bad).unwrap();
    let checked = check(&site.path("bad.yaml").display().to_string()).output().unwrap();
    assert_eq!(checked.status.code(), Some(1), "{checked:?}");
    secrets.are_not_in("plimsoll check of a bad config", &format!("{}", String::from_utf8_lossy(&checked.stdout)));
    secrets.are_not_in("plimsoll check of a bad config", &format!("{}", String::from_utf8_lossy(&checked.stderr)));
    std::fs::write(site.path("plimsoll.yaml"), &bad).unwrap();
    let reloaded = site.run(&["reload"]);
    assert_eq!(reloaded.status.code(), Some(1), "{reloaded:?}");
    secrets.are_not_in("plimsoll reload", &format!("{reloaded:?}"));
    secrets.are_not_in("the status after it", &site.status().unwrap().1.to_string());
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
