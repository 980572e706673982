//! The rules against what real boxes show: recorded addresses, paths and command lines.

use std::sync::Arc;

use super::super::Listening;
use super::*;
use crate::base::yaml;
use crate::collect::config::Config;
use crate::collect::dial::Address;

const ALL: &[&str] = &["postgres", "redis", "mysql", "pgbouncer", "rabbitmq", "nats"];

/// A process with the words of its command line; a name that starts with `?` is one whose files may not be seen.
struct Machine(Seen);

fn bare() -> Machine {
    Machine(Seen::default())
}

impl Machine {
    fn runs(mut self, name: &str, command: &[&str], places: &[&str]) -> Self {
        let (name, open) = name.strip_prefix('?').map_or((name, true), |name| (name, false));
        let process = Arc::new(Process {
            pid: self.0.processes.len() as u32 + 10,
            name: name.into(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            open,
        });
        let owner = open.then(|| Arc::clone(&process));
        self.0.processes.push(process);
        self.listens(places, owner)
    }

    fn listens(mut self, places: &[&str], process: Option<Arc<Process>>) -> Self {
        for place in places {
            let place = match place.parse() {
                Ok(at) => Place::Tcp(at),
                Err(_) => Place::Unix(place.into()),
            };
            self.0.listening.push(Listening { place, process: process.clone() });
        }
        self
    }

    /// Kind, address and whether it is tried, of each server.
    fn found(&self) -> Vec<(&'static str, String, bool)> {
        let told = |server: Server| {
            assert_eq!(server.entry.faults(), [], "{}", server.entry.entry().url);
            (server.entry.kind(), server.entry.entry().url.clone(), server.tried)
        };
        servers(&self.0, ALL, Some("plimsoll")).into_iter().map(told).collect()
    }
}

/// What stands below `collect: `; the files of its secrets are not there.
fn config(line: &str) -> Config {
    yaml::parse::<Config>(Path::new("x"), &line["collect: ".len()..], |_| Vec::new()).unwrap()
}

fn one(kind: &'static str, url: &str, tried: bool) -> Vec<(&'static str, String, bool)> {
    vec![(kind, url.to_owned(), tried)]
}

#[test]
fn a_debian_postgres_is_reached_by_its_socket_as_the_agents_own_user() {
    let command = ["/usr/lib/postgresql/15/bin/postgres", "-D", "/var/lib/postgresql/15/main"];
    let places = ["127.0.0.1:5432", "[::1]:5432", "/var/run/postgresql/.s.PGSQL.5432"];
    let url = "postgres:///postgres?host=/var/run/postgresql&port=5432";
    let seen = bare().runs("postgres", &command, &places);
    assert_eq!(seen.found(), one("postgres", url, true));
    let hidden = bare().runs("?postgres", &command, &[]).listens(&places, None);
    assert_eq!(hidden.found(), one("postgres", url, true), "without the right to see whose a socket is");
    let server = servers(&seen.0, ALL, Some("plimsoll")).remove(0);
    assert_eq!(server.entry.entry().username.as_deref(), Some("plimsoll"));
    assert_eq!(
        server.grant,
        "sudo -u postgres psql -c 'CREATE ROLE plimsoll LOGIN CONNECTION LIMIT 3; GRANT pg_monitor TO plimsoll;'"
    );
}

#[test]
fn two_clusters_and_odd_folders_are_told_apart_and_their_commands_name_them() {
    let seen = bare().runs("postgres", &[], &["/var/run/postgresql/.s.PGSQL.5432", "/tmp/.s.PGSQL.5432"]).runs(
        "postgres",
        &[],
        &["127.0.0.1:5433", "/tmp/a b/.s.PGSQL.5433"],
    );
    let found = seen.found();
    assert_eq!(found[0].1, "postgres:///postgres?host=/var/run/postgresql&port=5432");
    assert_eq!(found[1].1, "postgres:///postgres?host=/tmp/a%20b&port=5433");
    assert_eq!(found.len(), 2);
    let grants: Vec<String> = servers(&seen.0, ALL, Some("web-1")).into_iter().map(|server| server.grant).collect();
    assert!(grants[1].starts_with("sudo -u postgres psql -h '/tmp/a b' -p 5433 -c 'CREATE ROLE \"web-1\" LOGIN"));
}

#[test]
fn a_postgres_that_only_takes_passwords_is_told_and_not_tried() {
    let seen = bare().runs("postgres", &[], &["0.0.0.0:5432"]);
    assert_eq!(seen.found(), one("postgres", "postgres://plimsoll@127.0.0.1:5432/postgres", false));
    let nobody = servers(&bare().runs("postgres", &[], &["/tmp/.s.PGSQL.5432", "127.0.0.1:5432"]).0, ALL, None);
    assert!(!nobody[0].tried, "an agent whose user has no name");
    let clusters =
        bare().runs("?postgres", &["postgres", "-D", "/a"], &[]).runs("?postgres", &["postgres", "-D", "/b"], &[]);
    let clusters = clusters.listens(&["/run/postgresql/.s.PGSQL.5432", "/run/postgresql/.s.PGSQL.5433"], None);
    assert_eq!(clusters.found().len(), 2, "whichever of the two each one is of");
}

#[test]
fn every_flavour_of_redis_is_reached_and_its_other_ports_are_not() {
    for name in ["redis-server", "valkey-server", "keydb-server"] {
        let seen =
            bare().runs(name, &["redis-server *:6380 [cluster]"], &["0.0.0.0:16380", "[::]:6380", "0.0.0.0:6380"]);
        assert_eq!(seen.found(), one("redis", "redis://127.0.0.1:6380", true), "{name}");
    }
    assert_eq!(
        bare().runs("redis-server", &[], &["10.0.0.5:6379"]).found(),
        one("redis", "redis://10.0.0.5:6379", true)
    );
    assert_eq!(bare().runs("redis-server", &[], &["[::1]:6379"]).found(), one("redis", "redis://[::1]:6379", true));
    let socket = bare().runs("redis-server", &[], &["/run/redis/redis-server.sock"]);
    assert_eq!(socket.found(), one("redis", "redis+unix:///run/redis/redis-server.sock", true));
    let odd = bare().runs("redis-server", &[], &["/run/redis/a@b.sock"]);
    assert_eq!(odd.found(), one("redis", "redis+unix:///run/redis/a%40b.sock", true));
    let server = servers(&odd.0, ALL, None).remove(0);
    assert_eq!(server.entry.url().unwrap().address, Address::Unix("/run/redis/a@b.sock".into()));
    assert!(server.grant.contains(" -s '/run/redis/a@b.sock' "), "{}", server.grant);
    let sentinel = bare().runs("redis-server", &["redis-server *:26379 [sentinel]"], &["0.0.0.0:26379"]);
    assert_eq!(sentinel.found(), []);
}

#[test]
fn a_port_whose_owner_may_not_be_seen_counts_only_where_a_process_of_the_kind_runs_and_names_it() {
    let port = ["127.0.0.1:6379", "127.0.0.1:6400", "127.0.0.1:7000"];
    assert_eq!(bare().listens(&port, None).found(), [], "any program may listen there");
    let seen = bare().runs("redis-server", &[], &[]).listens(&port, None);
    assert_eq!(seen.found(), [], "the sockets of the one that runs may be seen, and these are others");
    let hidden = bare().runs("?redis-server", &["redis-server 127.0.0.1:6400"], &[]).listens(&port, None);
    assert_eq!(hidden.found(), one("redis", "redis://127.0.0.1:6400", true), "6379 is of another program");
    let silent = bare().runs("?redis-server", &[], &[]).listens(&port, None);
    assert_eq!(silent.found(), one("redis", "redis://127.0.0.1:6379", true));
}

#[test]
fn mysql_and_mariadb_are_reached_by_their_socket_and_get_their_own_commands() {
    let maria = bare().runs("mariadbd", &["/usr/sbin/mariadbd"], &["127.0.0.1:3306", "/run/mysqld/mysqld.sock"]);
    assert_eq!(maria.found(), one("mysql", "mysql:///?socket=/run/mysqld/mysqld.sock&port=3306", true));
    let grant = servers(&maria.0, ALL, Some("plimsoll")).remove(0).grant;
    assert!(
        grant.starts_with("sudo mariadb -e \"CREATE USER plimsoll@localhost IDENTIFIED VIA unix_socket"),
        "{grant}"
    );
    assert!(grant.contains("GRANT PROCESS, BINLOG MONITOR, SLAVE MONITOR ON *.* TO plimsoll@localhost"), "{grant}");
    let places = ["[::]:33060", "127.0.0.1:3307", "/tmp/mysqlx.sock", "/tmp/mysql.sock"];
    let mysql = bare().runs("mysqld", &[], &places);
    assert_eq!(mysql.found(), one("mysql", "mysql:///?socket=/tmp/mysql.sock&port=3307", true));
    let grant = servers(&mysql.0, ALL, Some("plimsoll")).remove(0).grant;
    assert!(
        grant.contains("sudo mysql -S /tmp/mysql.sock -e \"CREATE USER plimsoll@localhost IDENTIFIED WITH auth_socket")
    );
    assert!(grant.contains("GRANT PROCESS, REPLICATION CLIENT ON *.*"), "{grant}");
    let remote = bare().runs("mysqld", &[], &["0.0.0.0:3306"]);
    let grant = servers(&remote.0, ALL, Some("plimsoll")).remove(0).grant;
    let made = "CREATE USER plimsoll@localhost IDENTIFIED BY 'PASSWORD', plimsoll@'%' IDENTIFIED BY 'PASSWORD' WITH";
    assert!(grant.starts_with(&format!("mysql -h 127.0.0.1 -P 3306 -u root -p -e \"{made}")), "{grant}");
    assert!(grant.contains("ON *.* TO plimsoll@localhost, plimsoll@'%';"), "{grant}");
    let hidden = bare().runs("?mariadbd", &[], &[]).listens(&["/run/mysqld/mysqld.sock", "127.0.0.1:3306"], None);
    assert_eq!(hidden.found(), maria.found());
    let command = ["mariadbd", "--port=3400", "--socket=/srv/db.sock"];
    let named =
        bare().runs("?mariadbd", &command, &[]).listens(&["127.0.0.1:3400", "/srv/db.sock", "/srv/x.sock"], None);
    assert_eq!(named.found(), one("mysql", "mysql:///?socket=/srv/db.sock&port=3400", true));
}

#[test]
fn what_needs_a_login_is_told_with_the_commands_that_make_one() {
    let seen = bare()
        .runs("pgbouncer", &["pgbouncer", "/etc/pgbouncer/pgbouncer.ini"], &["127.0.0.1:6432", "/tmp/.s.PGSQL.6432"])
        .runs("beam.smp", &["beam.smp", "-pa", "", "-s", "rabbit", "boot"], &["[::]:5672", "0.0.0.0:15672"]);
    let expected = [
        ("pgbouncer", "postgres://plimsoll@127.0.0.1:6432/pgbouncer".to_owned(), false),
        ("rabbitmq", "http://127.0.0.1:15672".to_owned(), false),
    ];
    assert_eq!(seen.found(), expected);
    let grants: Vec<String> = servers(&seen.0, ALL, None).into_iter().map(|server| server.grant).collect();
    assert!(grants[0].contains("stats_users = plimsoll"), "{}", grants[0]);
    assert!(grants[1].contains("rabbitmqctl set_user_tags plimsoll monitoring"), "{}", grants[1]);
    for grant in grants {
        let line = grant.lines().last().unwrap().strip_prefix("in plimsoll.yaml: ").unwrap();
        assert_eq!(config(line).entries().len(), 1);
    }
    let silent = bare().runs("beam.smp", &["beam.smp", "-s", "rabbit"], &["[::]:5672"]);
    assert!(servers(&silent.0, ALL, None)[0].grant.starts_with("sudo rabbitmq-plugins enable rabbitmq_management"));
    assert_eq!(
        bare().runs("beam.smp", &["beam.smp", "ejabberd"], &["[::]:5222"]).found(),
        [],
        "another server in Erlang"
    );
}

#[test]
fn a_rabbitmq_whose_prometheus_plugin_listens_is_read_at_once() {
    let command = ["beam.smp", "-s", "rabbit"];
    let read = one("rabbitmq", "http://[::1]:15692", true);
    assert_eq!(bare().runs("beam.smp", &command, &["[::]:5672", "[::]:15692"]).found(), read);
    let both = bare().runs("beam.smp", &command, &["[::]:5672", "0.0.0.0:15672", "[::]:15692"]);
    assert_eq!(both.found(), read, "rather than by the one that needs a login");
    let grant = &servers(&both.0, ALL, None)[0].grant;
    assert!(grant.starts_with("sudo rabbitmqctl add_user") && grant.contains("http://127.0.0.1:15672"), "{grant}");
    let hidden = bare().runs("?beam.smp", &command, &[]).listens(&["127.0.0.1:15692"], None);
    assert_eq!(hidden.found(), one("rabbitmq", "http://127.0.0.1:15692", true));
    let other = bare().runs("beam.smp", &["beam.smp", "ejabberd"], &["[::]:15692"]);
    assert_eq!(other.found(), [], "another server in Erlang");
}

#[test]
fn the_monitoring_of_nats_is_told_from_its_port_for_clients_by_its_command_line() {
    let found = |command: &[&str], places: &[&str]| bare().runs("nats-server", command, places).found();
    assert_eq!(
        found(&["nats-server", "-m", "8300"], &["[::]:4222", "[::]:8300"]),
        one("nats", "http://[::1]:8300", true)
    );
    assert_eq!(
        found(&["nats-server", "--http_port=8300"], &["0.0.0.0:8300"]),
        one("nats", "http://127.0.0.1:8300", true)
    );
    let config = ["nats-server", "-c", "/etc/nats-server.conf"];
    assert_eq!(found(&config, &["0.0.0.0:4222", "127.0.0.1:8222"]), one("nats", "http://127.0.0.1:8222", true));
    let hidden = bare().runs("?nats-server", &["nats-server", "-p", "4333"], &[]);
    let hidden = hidden.listens(&["0.0.0.0:4333", "127.0.0.1:8222"], None);
    assert_eq!(hidden.found(), one("nats", "http://127.0.0.1:8222", true));
    assert!(!found(&config, &["0.0.0.0:4222"])[0].2, "it has none: told");
    assert!(!found(&["nats-server", "-p", "8222"], &["0.0.0.0:8222"])[0].2, "its port for clients is not asked");
}

#[test]
fn kinds_that_are_named_or_off_are_left_alone() {
    let seen = bare().runs("redis-server", &[], &["127.0.0.1:6379"]);
    assert!(servers(&seen.0, &["postgres"], None).is_empty());
    assert_eq!(config("collect: { redis: off, nats: [] }").unnamed(), ["postgres", "pgbouncer", "mysql", "rabbitmq"]);
    assert_eq!(config("collect: {}").unnamed().len(), ALL.len());
}

#[test]
fn the_user_is_called_as_the_system_calls_it_when_the_name_can_stand_in_a_command() {
    let passwd = "root:x:0:0:root:/root:/bin/bash\nplimsoll:x:998:998::/:/bin/false\n$(rm):x:5:5::/:/bin/sh\nbad\n";
    assert_eq!(user_name(passwd, 998).as_deref(), Some("plimsoll"));
    assert_eq!(user_name(passwd, 5), None);
    assert_eq!(user_name(passwd, 77), None);
}
