//! The commands that let Plimsoll into a server that was found: the least rights that its collector needs.
//!
//! Each text is a line for each command, ready for a shell, and at its end the lines of the config where a password is
//! needed: `PASSWORD` is for the reader to choose.

use std::net::SocketAddr;
use std::path::Path;

use super::rules::is_looked_in;
use crate::collect::address::Url;
use crate::collect::dial::Address;

/// What the collector of Redis reads of the server itself.
const REDIS: &str = "-@all +ping +info '+slowlog|get' '+slowlog|len' '+latency|latest' '+client|list'";

/// A role that comes by the socket, without a password.
pub(super) fn postgres(user: &str, folder: &Path, port: u16) -> String {
    let mut place = String::new();
    if !is_looked_in(folder) {
        place = format!(" -h {}", shell(&folder.to_string_lossy()));
    }
    if port != 5432 {
        place.push_str(&format!(" -p {port}"));
    }
    let role = identifier(user);
    let sql = format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 3; GRANT pg_monitor TO {role};");
    format!("sudo -u postgres psql{place} -c '{sql}'")
}

/// A role with a password, for a server without a socket here.
pub(super) fn postgres_by_password(url: &str, at: SocketAddr) -> String {
    let sql = "CREATE ROLE plimsoll LOGIN CONNECTION LIMIT 3 PASSWORD 'PASSWORD'; GRANT pg_monitor TO plimsoll;";
    let psql = format!("psql -h {} -p {} -U postgres -c \"{sql}\"", at.ip(), at.port());
    format!("{psql}\n{}", config("postgres", url, ""))
}

/// A line of its access list.
pub(super) fn redis(url: &str) -> String {
    let place = match Url::parse(url, &["redis", "redis+unix"], 6379).map(|url| url.address) {
        Ok(Address::Unix(path)) => format!("-s {}", shell(&path.to_string_lossy())),
        Ok(Address::Tcp(host, port)) if host == "127.0.0.1" => format!("-p {port}"),
        Ok(Address::Tcp(host, port)) => format!("-h {host} -p {port}"),
        Err(_) => String::new(),
    };
    let url = url.replacen("://", "://plimsoll@", 1);
    let acl = format!("redis-cli {place} --askpass ACL SETUSER plimsoll on '>PASSWORD' {REDIS}");
    format!("{acl}\n{}", config("redis", &url, ""))
}

/// A user that comes by the socket, without a password.
pub(super) fn mysql(user: &str, path: &Path, mariadb: bool) -> String {
    let (client, how) = if mariadb { ("mariadb", "VIA unix_socket") } else { ("mysql", "WITH auth_socket") };
    let socket = match path.to_str() {
        Some("/run/mysqld/mysqld.sock" | "/var/run/mysqld/mysqld.sock") => String::new(),
        _ => format!(" -S {}", shell(&path.to_string_lossy())),
    };
    let mut out = String::new();
    if !mariadb {
        let plugin = "INSTALL PLUGIN auth_socket SONAME 'auth_socket.so'";
        out = format!("sudo mysql{socket} -e \"{plugin}\"   # where it is missing\n");
    }
    let user = format!("{}@localhost", if is_plain(user) { user.to_owned() } else { format!("'{user}'") });
    out + &format!("sudo {client}{socket} -e \"{}\"", mysql_user(&[&user], how, mariadb))
}

/// A user with a password, for a server whose socket is not here or of no use: one of each host. A server in a container
/// sees us come from elsewhere, and on the box an anonymous user of localhost would go before `plimsoll@'%'`.
pub(super) fn mysql_by_password(url: &str, path: Option<&Path>, port: u16, mariadb: bool) -> String {
    let client = if mariadb { "mariadb" } else { "mysql" };
    let place = match path {
        Some(path) => format!("sudo {client} -S {}", shell(&path.to_string_lossy())),
        None => format!("{client} -h 127.0.0.1 -P {port} -u root -p"),
    };
    let sql = mysql_user(&["plimsoll@localhost", "plimsoll@'%'"], "BY 'PASSWORD'", mariadb);
    format!("{place} -e \"{sql}\"\n{}", config("mysql", url, ""))
}

fn mysql_user(users: &[&str], how: &str, mariadb: bool) -> String {
    let made: Vec<String> = users.iter().map(|user| format!("{user} IDENTIFIED {how}")).collect();
    let (made, users) = (made.join(", "), users.join(", "));
    let rights = if mariadb { "PROCESS, BINLOG MONITOR, SLAVE MONITOR" } else { "PROCESS, REPLICATION CLIENT" };
    format!(
        "CREATE USER {made} WITH MAX_USER_CONNECTIONS 3; GRANT {rights} ON *.* TO {users}; \
         GRANT SELECT ON performance_schema.* TO {users};"
    )
}

/// A user of the admin console.
pub(super) fn pgbouncer(url: &str) -> String {
    format!(
        "in pgbouncer.ini: stats_users = plimsoll\nin its auth_file: \"plimsoll\" \"PASSWORD\"\n\
         sudo systemctl reload pgbouncer\n{}",
        config("pgbouncer", url, "")
    )
}

/// A user of the management plugin, which may not be on.
pub(super) fn rabbitmq(url: &str, management: bool) -> String {
    let plugin = if management { "" } else { "sudo rabbitmq-plugins enable rabbitmq_management\n" };
    format!(
        "{plugin}sudo rabbitmqctl add_user plimsoll PASSWORD\nsudo rabbitmqctl set_user_tags plimsoll monitoring\n\
         sudo rabbitmqctl set_permissions -p / plimsoll '^$' '^$' '^$'\n{}",
        config("rabbitmq", url, "username: plimsoll, ")
    )
}

/// Its monitoring, which is not on or not seen.
pub(super) fn nats() -> String {
    "in its config: http: 127.0.0.1:8222   # or start it with -m 8222\n\
     in plimsoll.yaml, when it is another port: collect: { nats: [ { url: \"http://127.0.0.1:PORT\" } ] }"
        .to_owned()
}

/// The entry that goes into the config.
fn config(kind: &str, url: &str, more: &str) -> String {
    let entry = format!("{{ url: \"{url}\", {more}password: {{ file: /etc/plimsoll/{kind} }} }}");
    format!("in plimsoll.yaml: collect: {{ {kind}: [ {entry} ] }}")
}

/// A name in SQL.
fn identifier(name: &str) -> String {
    if is_plain(name) { name.to_owned() } else { format!("\"{name}\"") }
}

fn is_plain(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
}

/// A word for a shell.
fn shell(word: &str) -> String {
    let plain = word.chars().all(|letter| letter.is_ascii_alphanumeric() || "/-_.".contains(letter));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}
