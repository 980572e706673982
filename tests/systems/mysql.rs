//! MySQL and MariaDB: what was done in them is what is counted.

use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use plimsoll::collect::dial::Address;
use plimsoll::collect::find::{Listening, Place, Process, Seen, rules};
use plimsoll::collect::mysql::{self, Settings, options};
use plimsoll::collect::{CollectError, Collector};
use rustix::process::Signal;

use super::harness::wait_for;
use super::mysql_server::{KINDS, Kind, Mysql};
use super::round::{Round, one, runtime};

pub(crate) const LIMIT: Duration = Duration::from_secs(40);

pub(crate) fn collector(server: &Mysql, user: &str, password: &str) -> mysql::Mysql {
    let address = Address::Tcp("127.0.0.1".into(), server.port);
    let opts = options(&address, Some(user), Some(password), None);
    mysql::Mysql::new(Settings { name: "test".into(), opts, top: 20 })
}

/// A server that the user `plimsoll` may read; `bare` has no right at all. Both have the password `word`.
pub(crate) fn start(kind: Kind, options: &[&str]) -> Mysql {
    let all = ["--performance-schema=ON", "--log-bin=bin", "--slow-query-log=ON", "--long-query-time=2"];
    let server = Mysql::start(kind, &[&all[..], options].concat());
    let grants =
        if kind.is_mariadb() { "PROCESS, BINLOG MONITOR, SLAVE MONITOR" } else { "PROCESS, REPLICATION CLIENT" };
    server.sql(&format!(
        "SET sql_log_bin = 0; CREATE USER plimsoll@'%' IDENTIFIED BY 'word' WITH MAX_USER_CONNECTIONS 3; \
         GRANT {grants} ON *.* TO plimsoll@'%'; GRANT SELECT ON performance_schema.* TO plimsoll@'%'; \
         CREATE USER bare@'%' IDENTIFIED BY 'word'"
    ));
    server
}

fn look(collector: &mut mysql::Mysql) -> Round {
    let found = runtime().block_on(one(collector, LIMIT));
    found.result.as_ref().unwrap_or_else(|error| panic!("{error}"));
    found
}

#[test]
fn what_is_done_in_mysql_and_mariadb_is_what_is_counted() {
    for kind in KINDS {
        let server = start(kind, &["--server-id=1"]);
        server.sql("CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY, note VARCHAR(50)); INSERT INTO shop.orders VALUES (1, 'a'), (2, 'b')");
        let slow = |found: &Round| found.value("mysql.query.slow.count", &[]).unwrap();
        // A collector is of one runtime, as its connection is.
        let runtime = runtime();
        let mut own = collector(&server, "plimsoll", "word");
        let before = runtime.block_on(one(&mut own, LIMIT));
        before.result.as_ref().unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        for _ in 0..7 {
            server.sql("SELECT COUNT(*) FROM shop.orders WHERE note = 'secret-word'");
        }
        server.sql("SELECT SLEEP(2.5); SELECT SLEEP(2.5)");
        server.sql(
            "INSERT INTO shop.orders SELECT seq.n + 10, 'c' FROM (SELECT 1 AS n UNION SELECT 2 UNION SELECT 3) seq",
        );
        let after = runtime.block_on(one(&mut own, LIMIT));
        assert_eq!(slow(&after) - slow(&before), 2.0, "{kind:?}");
        // MariaDB has no counts of rows any more.
        let (name, with) = if kind.is_mariadb() {
            ("mysql.handlers", ("kind", "write"))
        } else {
            ("mysql.row_operations", ("operation", "inserted"))
        };
        let rows = |found: &Round| found.value(name, &[with]).unwrap_or_else(|| panic!("{kind:?}: no {name}"));
        assert!(rows(&after) - rows(&before) >= 3.0, "{kind:?}");
        // A client that has just ended is still counted for a moment.
        wait_for("no connection but our own", LIMIT, || {
            let found = runtime.block_on(one(&mut own, LIMIT));
            match found.value("mysql.threads", &[("kind", "connected")]) {
                Some(1.0) => Ok(()),
                other => Err(format!("{kind:?}: {other:?}")),
            }
        });
        assert!(after.value("mysql.connection.limit", &[]).unwrap() > 100.0);
        assert!(after.value("mysql.binlog.size", &[]).unwrap() > 0.0, "{kind:?}: {}", own.detail());
        // MariaDB tells them in its status, MySQL elsewhere.
        assert!(after.value("mysql.innodb.history.length", &[]).is_some(), "{kind:?}");
        assert_eq!(after.value("mysql.innodb.deadlocks", &[]), Some(0.0), "{kind:?}");
        let found = look(&mut collector(&server, "plimsoll", "word"));
        let text = |wanted: &str| {
            let bare = |text: &str| text.replace([' ', '`'], "").to_ascii_lowercase();
            let found = found.events.iter().find(|event| bare(&event.body).contains(&bare(wanted)));
            found.unwrap_or_else(|| panic!("{kind:?}: {wanted}: {:?}", found))
        };
        let event = text("SELECT COUNT(*) FROM shop.orders WHERE note = ?");
        let digest = format!("{:?}", event.attributes[0].1);
        let digest = digest.split('"').nth(1).unwrap();
        assert_eq!(found.value("mysql.statement.calls", &[("mysql.digest", digest)]), Some(7.0), "{kind:?}");
        let all = format!("{:?}{:?}", found.samples.samples(), found.events);
        assert!(!all.contains("secret-word") && !all.contains("'word'"), "{kind:?}: {all}");
        locked(kind, &server);
        refused(kind, &server);
        shadowed(kind, &server);
    }
}

/// An anonymous user of localhost goes before `plimsoll@'%'`: the command that is told makes both.
fn shadowed(kind: Kind, server: &Mysql) {
    server.sql("SET sql_log_bin = 0; CREATE USER ''@localhost; DROP USER plimsoll@'%'");
    let name = if kind.is_mariadb() { "mariadbd" } else { "mysqld" };
    let process = Some(Arc::new(Process { pid: 7, name: name.into(), command: Vec::new(), open: true }));
    let place = Place::Tcp(([127, 0, 0, 1], server.port).into());
    let seen =
        Seen { listening: vec![Listening { place, process: process.clone() }], processes: Vec::from_iter(process) };
    let told = rules::servers(&seen, &["mysql"], None).remove(0).grant;
    let (place, sql) = told.lines().next().unwrap().split_once(" -e ").unwrap();
    assert!(place.ends_with(&format!(" -h 127.0.0.1 -P {} -u root -p", server.port)), "{told}");
    server.sql(&sql.trim_matches('"').replace("PASSWORD", "word"));
    let mut own = collector(server, "plimsoll", "word");
    look(&mut own);
    assert!(!own.detail().contains("right"), "{kind:?}: {}", own.detail());
    let hosts = "SELECT COUNT(*) FROM mysql.user WHERE User = 'plimsoll' AND Host IN ('localhost', '%')";
    assert_eq!(server.sql(hosts), "2", "{kind:?}");
}

/// Who blocks whom.
fn locked(kind: Kind, server: &Mysql) {
    let update = |more: &str| {
        let sql = format!("BEGIN; UPDATE shop.orders SET note = 'secret-word' WHERE id = 1; {more}");
        server.client().args(["-N", "-e", &sql]).spawn().unwrap()
    };
    let mut holder = update("SELECT SLEEP(300)");
    // InnoDB makes this view anew only when nobody has read it for 100 ms.
    let holds = "DO SLEEP(0.2); SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_rows_modified = 1";
    wait_for("a transaction with its lock", LIMIT, || match server.sql(holds).as_str() {
        "1" => Ok(()),
        other => Err(other.to_owned()),
    });
    let mut waiter = update("ROLLBACK");
    let runtime = runtime();
    let mut own = collector(server, "plimsoll", "word");
    let told = wait_for("a session that is blocked", LIMIT, || {
        server.sql("DO SLEEP(0.2)");
        let found = runtime.block_on(one(&mut own, LIMIT));
        found.result.as_ref().map_err(ToString::to_string)?;
        let mut told = found.events.iter().filter(|event| event.name == "mysql.blocked_session");
        match told.next() {
            Some(event) => {
                assert_eq!(found.value("mysql.session.blocked", &[]), Some(1.0), "{kind:?}");
                assert_eq!(found.value("mysql.session.blocking", &[]), Some(1.0), "{kind:?}");
                assert!(found.value("mysql.lock.wait.max", &[]).unwrap() >= 5.0, "{kind:?}");
                Ok(event.clone())
            }
            None => Err(format!("{:?}", found.all("mysql.session.blocked", &[]))),
        }
    });
    let all = format!("{told:?}");
    assert!(all.contains("UPDATE shop.orders SET note = ? WHERE id = ?") && !all.contains("secret-word"), "{all}");
    for client in [&mut holder, &mut waiter] {
        client.kill().unwrap();
        client.wait().unwrap();
    }
}

/// What is missing is named; a wrong password is no fault of the network.
fn refused(kind: Kind, server: &Mysql) {
    let runtime = runtime();
    let mut bare = collector(server, "bare", "word");
    let found = runtime.block_on(one(&mut bare, LIMIT));
    found.result.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
    let said = bare.detail();
    let grant = if kind.is_mariadb() { "GRANT SLAVE MONITOR ON *.*" } else { "GRANT REPLICATION CLIENT ON *.*" };
    assert!(said.contains(grant) && said.contains("GRANT PROCESS ON *.*"), "{kind:?}: {said}");
    let found = runtime.block_on(one(&mut collector(server, "plimsoll", "wrong"), LIMIT));
    let told = found.result.unwrap_err();
    assert!(matches!(told, CollectError::Denied(_)) && !told.to_string().contains("wrong"), "{kind:?}: {told:?}");
}

#[test]
fn the_cost_of_reading_mysql_is_known() {
    for kind in KINDS {
        let server = start(kind, &["--server-id=1"]);
        let runtime = runtime();
        let mut own = collector(&server, "plimsoll", "word");
        // With the statements of a new connection, and the digests of a minute.
        runtime.block_on(one(&mut own, LIMIT)).result.unwrap();
        let asked = || -> Vec<f64> {
            let sql = "SELECT SUM(COUNT_STAR), SUM(SUM_TIMER_WAIT) / 1e9, SUM(SUM_ROWS_SENT) FROM \
                performance_schema.events_statements_summary_by_account_by_event_name WHERE USER = 'plimsoll'";
            server.sql(sql).split('\t').map(|number| number.parse().unwrap()).collect()
        };
        let first = asked();
        for _ in 0..10 {
            runtime.block_on(one(&mut own, LIMIT)).result.unwrap();
        }
        let all = asked();
        let round: Vec<f64> = all.iter().zip(&first).map(|(all, first)| (all - first) / 10.0).collect();
        eprintln!("{kind:?}: statements, ms and rows of the first round {first:?}, of another one {round:?}");
        // As its docs say.
        assert_eq!(round[0], if kind.is_mariadb() { 6.0 } else { 7.0 }, "{kind:?}");
        assert!(round[2] < 2000.0, "{kind:?}: {round:?}");
    }
}

#[test]
fn a_mysql_that_is_hung_full_or_restarted_costs_rounds_and_is_read_again() {
    for kind in [Kind::Mariadb10, Kind::Mysql] {
        let mut server = start(kind, &["--server-id=1", "--max-connections=12", FEW_DIGESTS]);
        let runtime = runtime();
        let mut kept = collector(&server, "plimsoll", "word");
        runtime.block_on(one(&mut kept, LIMIT)).result.unwrap();
        crowded(kind, &server);
        server.process().signal(Signal::STOP);
        let hung = runtime.block_on(one(&mut kept, Duration::from_millis(300))).result;
        assert!(matches!(hung, Err(CollectError::Timeout(_))), "{kind:?}: {hung:?}");
        server.process().signal(Signal::CONT);
        runtime.block_on(one(&mut kept, LIMIT)).result.unwrap();
        full(kind, &server, &runtime, &mut kept);
        server.process().kill();
        let gone = runtime.block_on(one(&mut kept, LIMIT)).result;
        assert!(matches!(gone, Err(CollectError::Connect(_))), "{kind:?}: {gone:?}");
        server.up();
        let found = runtime.block_on(one(&mut kept, LIMIT));
        found.result.as_ref().unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        assert_eq!(found.value("mysql.connection.limit", &[]), Some(12.0), "{kind:?}");
    }
}

/// More statements than the server has places for.
const FEW_DIGESTS: &str = "--performance-schema-digests-size=8";

/// The row of all that had no place is no statement, and the status says that there is one.
fn crowded(kind: Kind, server: &Mysql) {
    for number in 0..9 {
        server.sql(&format!("SELECT 1 AS a{number}"));
    }
    let lost = "SELECT COUNT(*) FROM performance_schema.events_statements_summary_by_digest WHERE DIGEST IS NULL";
    assert_eq!(server.sql(lost), "1", "{kind:?}");
    let mut own = collector(server, "plimsoll", "word");
    let found = look(&mut own);
    let calls = found.all("mysql.statement.calls", &[]).len();
    assert!((1..8).contains(&calls), "{kind:?}: {calls}");
    assert!(own.detail().contains("a larger performance_schema_digests_size"), "{kind:?}: {}", own.detail());
}

/// No connection is left: who has one goes on, who has none is told.
fn full(kind: Kind, server: &Mysql, runtime: &tokio::runtime::Runtime, kept: &mut mysql::Mysql) {
    let wait = || server.client().args(["-e", "SELECT SLEEP(300)"]).stderr(Stdio::null()).spawn().unwrap();
    let mut held: Vec<Child> = (0..14).map(|_| wait()).collect();
    let told = wait_for("a server that is full", Duration::from_secs(30), || {
        match runtime.block_on(one(&mut collector(server, "plimsoll", "word"), LIMIT)).result {
            Ok(()) => Err("it let us in".into()),
            Err(told) => Ok(told),
        }
    });
    assert!(matches!(&told, CollectError::Connect(why) if why.contains("onnections")), "{kind:?}: {told:?}");
    let found = runtime.block_on(one(kept, LIMIT));
    found.result.as_ref().unwrap_or_else(|error| panic!("{kind:?}: {error}"));
    let connected = found.value("mysql.threads", &[("kind", "connected")]).unwrap();
    assert!(connected >= 12.0, "{kind:?}: {connected}");
    for client in &mut held {
        // Those that were not let in have ended.
        let _ended = client.kill().is_err();
        client.wait().unwrap();
    }
}

#[test]
fn a_replica_that_runs_and_one_that_stands_are_told() {
    for kind in KINDS {
        let source = start(kind, &["--server-id=1"]);
        let replica = start(kind, &["--server-id=2", "--read-only=ON", "--performance-schema=OFF"]);
        source.sql("CREATE USER repl@'%' IDENTIFIED BY 'repl-secret'; GRANT REPLICATION SLAVE ON *.* TO repl@'%'");
        let port = source.port;
        if kind.is_mariadb() {
            replica.sql(&format!(
                "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, MASTER_USER='repl', \
                 MASTER_PASSWORD='repl-secret', MASTER_USE_GTID=no, MASTER_LOG_FILE='bin.000001', MASTER_LOG_POS=4, \
                 MASTER_SSL=0, MASTER_SSL_VERIFY_SERVER_CERT=0; START SLAVE"
            ));
        } else if kind == Kind::Mysql8 {
            // Before 8.0.22 it knows only the old words.
            replica.sql(&format!(
                "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, MASTER_USER='repl', \
                 MASTER_PASSWORD='repl-secret', GET_MASTER_PUBLIC_KEY=1, MASTER_LOG_FILE='bin.000001', \
                 MASTER_LOG_POS=4; START SLAVE"
            ));
        } else {
            replica.sql(&format!(
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={port}, SOURCE_USER='repl', \
                 SOURCE_PASSWORD='repl-secret', GET_SOURCE_PUBLIC_KEY=1, SOURCE_LOG_FILE='bin.000001', \
                 SOURCE_LOG_POS=4; START REPLICA"
            ));
        }
        source.sql("CREATE DATABASE shop");
        let runtime = runtime();
        let mut own = collector(&replica, "plimsoll", "word");
        let mut state = |wanted: [f64; 2]| {
            wait_for("the state of the replica", Duration::from_secs(20), || {
                let found = runtime.block_on(one(&mut own, LIMIT));
                found.result.as_ref().map_err(ToString::to_string)?;
                let io = found.value("mysql.replica.io.running", &[]);
                let sql = found.value("mysql.replica.sql.running", &[]);
                assert_eq!(found.value("mysql.read_only", &[]), Some(1.0), "{kind:?}");
                if [io, sql] != wanted.map(Some) {
                    return Err(format!("{io:?} {sql:?} instead of {wanted:?}"));
                }
                Ok(found.value("mysql.replica.time_behind_source", &[]))
            })
        };
        assert!(state([1.0, 1.0]).is_some(), "{kind:?}");
        let word = if kind == Kind::Mysql { "REPLICA" } else { "SLAVE" };
        replica.sql(&format!("STOP {word} SQL_THREAD"));
        assert_eq!(state([1.0, 0.0]), None, "{kind:?}: nobody knows how late it is");
        replica.sql(&format!("STOP {word}"));
        assert_eq!(state([0.0, 0.0]), None, "{kind:?}");
        replica.sql(&format!("START {word}"));
        state([1.0, 1.0]);
        // MariaDB finds who blocks whom without it.
        let lacking = if kind.is_mariadb() { "no statements:" } else { "no statements and locks:" };
        let told = format!("{lacking} performance_schema = ON");
        assert!(own.detail().contains(&told), "{kind:?}: {}", own.detail());
    }
}
