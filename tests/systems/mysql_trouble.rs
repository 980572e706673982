//! MySQL and MariaDB with settings that get in the way: another time zone and language, users who are locked out or lack a
//! right, questions that take too long, the certificates of a company.

use std::process::{Child, Stdio};
use std::time::Duration;

use plimsoll::collect::{CollectError, Collector};

use super::harness::{Site, wait_for};
use super::mysql::{LIMIT, collector, start};
use super::mysql_server::{KINDS, Kind, Mysql};
use super::round::{Round, one, runtime};
use super::secure::{certificate, file, up};

/// A transaction that holds a row, and one that waits for it; both end with this.
struct Blocked([Child; 2]);

impl Blocked {
    fn start(server: &Mysql) -> Self {
        server.sql(
            "SET sql_log_bin = 0; CREATE DATABASE IF NOT EXISTS shop; CREATE TABLE IF NOT EXISTS shop.orders (id INT \
             PRIMARY KEY, note VARCHAR(50)); INSERT IGNORE INTO shop.orders VALUES (1, 'a')",
        );
        let update = |then: &str| {
            let sql = format!("BEGIN; UPDATE shop.orders SET note = 'b' WHERE id = 1; {then}");
            server.client().args(["-N", "-e", &sql]).stderr(Stdio::null()).spawn().unwrap()
        };
        let holder = update("SELECT SLEEP(300)");
        let number = |wanted: &str| {
            // InnoDB makes this view anew only when nobody has read it for 100 ms.
            let sql = format!("DO SLEEP(0.2); SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE {wanted}");
            wait_for("a transaction", LIMIT, || match server.sql(&sql).as_str() {
                "1" => Ok(()),
                other => Err(format!("{other} with {wanted}")),
            });
        };
        number("trx_rows_modified = 1");
        let waiter = update("ROLLBACK");
        number("trx_state = 'LOCK WAIT'");
        Self([holder, waiter])
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        for client in &mut self.0 {
            // One that has ended cannot be killed.
            let _ended = client.kill().is_err();
            let _gone = client.wait().is_err();
        }
    }
}

/// One round of a new collector.
fn once(server: &Mysql, user: &str) -> (Round, String) {
    let mut own = collector(server, user, "word");
    let found = runtime().block_on(one(&mut own, LIMIT));
    found.result.as_ref().unwrap_or_else(|error| panic!("{user}: {error}"));
    (found, own.detail())
}

#[test]
fn ages_are_true_whatever_the_time_zone_of_the_server() {
    for kind in KINDS {
        let server = start(kind, &["--server-id=1"]);
        let _blocked = Blocked::start(&server);
        // The system's own can be one of them.
        for zone in ["+09:00", "-09:00"] {
            server.sql(&format!("SET GLOBAL time_zone = '{zone}'; DO SLEEP(0.2)"));
            let (found, _) = once(&server, "plimsoll");
            for name in ["mysql.transaction.age.max", "mysql.lock.wait.max"] {
                let age = found.value(name, &[]).unwrap();
                assert!((0.0..600.0).contains(&age), "{kind:?}, {zone}: {name} is {age}");
            }
        }
    }
}

#[test]
fn a_question_of_ours_that_takes_too_long_is_ended_by_the_server() {
    for kind in KINDS {
        let server = start(kind, &["--server-id=1"]);
        server.sql("SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = ON");
        let mut own = collector(&server, "plimsoll", "word").within(Duration::from_secs(1));
        runtime().block_on(one(&mut own, LIMIT)).result.unwrap();
        server.sql("SET GLOBAL general_log = OFF");
        let logged = "SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log WHERE command_type = 'Query' AND \
            user_host LIKE 'plimsoll%' AND argument LIKE 'SET SESSION max%'";
        let (bound, code) = match kind.is_mariadb() {
            true => ("SET SESSION max_statement_time = 0.8", "1969"),
            false => ("SET SESSION max_execution_time = 800", "3024"),
        };
        assert_eq!(server.sql(logged), bound, "{kind:?}");
        // What it is worth on this server.
        let all = ["a", "b", "c", "d", "e"].map(|name| format!("information_schema.COLLATIONS {name}")).join(", ");
        let long = format!("{bound}; SELECT COUNT(*) FROM {all}");
        let output = server.client().args(["-N", "-e", &long]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(code), "{kind:?}: {told}");
    }
}

#[test]
fn a_login_that_is_refused_for_whatever_reason_is_no_fault_of_the_network() {
    for kind in KINDS {
        let first = if kind.is_mariadb() { "--max-password-errors=1" } else { "--mysqlx=OFF" };
        let server = start(kind, &["--server-id=1", "--skip-name-resolve", first]);
        let user = |name: &str, more: &str| {
            server.sql(&format!("SET sql_log_bin = 0; CREATE USER {name}@'%' IDENTIFIED BY 'word' {more}"));
        };
        let told = |user: &str, password: &str| {
            let found = runtime().block_on(one(&mut collector(&server, user, password), LIMIT));
            found.result.expect_err(user)
        };
        user("locked", "ACCOUNT LOCK");
        user("expired", "PASSWORD EXPIRE");
        let mut users = vec!["locked", "expired"];
        // Before 8.0.19 nobody is blocked.
        if kind != Kind::Mysql8 {
            let after = if kind.is_mariadb() { "" } else { "FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME 1" };
            user("blocked", after);
            told("blocked", "wrong");
            users.push("blocked");
        }
        // MySQL picks at random how each of them is to prove who he is.
        let nobody: Vec<_> = (0..20).map(|number| format!("nobody{number}")).collect();
        users.extend(nobody.iter().map(String::as_str));
        for user in users {
            let told = told(user, "word");
            assert!(matches!(told, CollectError::Denied(_)), "{kind:?}, {user}: {told:?}");
        }
        // The host of nobody: its users are of others.
        let all = "SELECT GROUP_CONCAT(QUOTE(User), '@', QUOTE(Host)) FROM mysql.user WHERE Host <> 'localhost'";
        server.sql(&format!("SET sql_log_bin = 0; DROP USER {}; FLUSH PRIVILEGES", server.sql(all)));
        let told = told("plimsoll", "word");
        assert!(matches!(&told, CollectError::Denied(why) if why.contains("127.0.0.1")), "{kind:?}: {told:?}");
    }
}

#[test]
fn rights_that_are_missing_are_told_in_every_round_and_in_every_language() {
    // The oldest MySQL is here without other languages.
    for kind in [Kind::Mariadb10, Kind::Mariadb11, Kind::Mysql] {
        let server = start(kind, &["--server-id=1"]);
        server.sql("SET GLOBAL lc_messages = 'fr_FR'");
        let runtime = runtime();
        let found = runtime.block_on(one(&mut collector(&server, "bare", "wrong"), LIMIT));
        let told = found.result.unwrap_err().to_string();
        assert!(told.contains("refus\u{e9}"), "{kind:?} speaks no French: {told}");
        let mut bare = collector(&server, "bare", "word");
        let monitor = if kind.is_mariadb() { "SLAVE MONITOR" } else { "REPLICATION CLIENT" };
        let grants = [&format!("{monitor} ON *.*"), "PROCESS ON *.*", "SELECT ON performance_schema.*"];
        for round in 0..3 {
            runtime.block_on(one(&mut bare, LIMIT)).result.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
            let said = bare.detail();
            for grant in grants {
                assert_eq!(said.matches(&format!("GRANT {grant}")).count(), 1, "{kind:?}, round {round}: {said}");
            }
        }
    }
}

#[test]
fn how_many_block_others_is_not_told_where_nobody_can_know() {
    for on in ["ON", "OFF"] {
        let server = start(Kind::Mysql, &["--server-id=1", &format!("--performance-schema={on}")]);
        server.sql("SET sql_log_bin = 0; GRANT PROCESS ON *.* TO bare@'%'");
        let blocking = |blocked: f64| {
            let (found, said) = once(&server, "bare");
            assert_eq!(found.value("mysql.session.blocked", &[]), Some(blocked), "{on}: {said}");
            (found.value("mysql.session.blocking", &[]), said)
        };
        assert_eq!(blocking(0.0).0, Some(0.0), "{on}: nobody waits");
        let _blocked = Blocked::start(&server);
        let (number, said) = blocking(1.0);
        let mend = if on == "ON" { "GRANT SELECT ON performance_schema.*" } else { "performance_schema = ON" };
        assert!(number.is_none() && said.contains(mend), "{on}: {number:?}, {said}");
    }
}

#[test]
fn a_mysql_with_the_certificate_of_an_authority_that_the_system_trusts_is_read() {
    let own = certificate("mysql");
    let (cert, key) = (file(&own, "cert.pem"), file(&own, "key.pem"));
    let server = start(Kind::Mariadb10, &[&format!("--ssl-cert={cert}"), &format!("--ssl-key={key}")]);
    server.sql("SET sql_log_bin = 0; ALTER USER plimsoll@'%' REQUIRE SSL");
    let read = |trusted: &str| {
        let site = Site::new();
        std::fs::write(site.path("password"), "word").unwrap();
        let password = site.path("password").display().to_string();
        let url = format!("mysql://plimsoll@localhost:{}?ssl-mode=required", server.port);
        site.config(&format!(
            "host: off\ncollect:\n  mysql:\n    - {{ url: \"{url}\", interval: 1s, password: {{ file: {password} }} }}\n"
        ));
        let _agent = site.start_with(&[("SSL_CERT_FILE", trusted)]);
        wait_for("a round", Duration::from_secs(40), || {
            up(&site.metrics()?, "mysql").ok_or_else(|| format!("{:?}", site.status().map(|(_, report)| report)))
        })
    };
    assert_eq!(read(&cert), 1.0);
    let other = certificate("redis");
    assert_eq!(read(&file(&other, "cert.pem")), 0.0);
}
