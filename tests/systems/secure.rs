//! Databases over TLS: read with the certificate that the entry names, and not without it.

use std::time::Duration;

use super::harness::{Site, free_port, wait_for};
use super::mysql_server::{Kind, Mysql};
use super::postgres_server::Postgres;
use super::redis_server::Redis;
use super::release::{Folder, Release};

const SOON: Duration = Duration::from_secs(40);

/// A certificate for `localhost` and its key, in a folder of a server's user.
pub(crate) fn certificate(user: &str) -> Folder {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let folder = Release::Here.folder(user);
    let cert = folder.write("cert.pem", &made.cert.pem());
    let key = folder.write("key.pem", &made.signing_key.serialize_pem());
    for (program, what) in [("chown", user), ("chmod", "0600")] {
        let files: &[&String] = if program == "chown" { &[&cert, &key] } else { &[&key] };
        let mut command = Release::Here.command("root", program);
        assert!(command.arg(what).args(files).status().unwrap().success());
    }
    folder
}

pub(crate) fn file(folder: &Folder, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

/// The value of `up` of a service on the agent's page.
pub(crate) fn up(page: &str, service: &str) -> Option<f64> {
    let line = page.lines().find(|line| line.starts_with("up{") && line.contains(&format!("\"{service}\"")))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn databases_are_read_over_tls_and_not_when_they_are_not_who_they_should_be() {
    let (of_postgres, of_redis, of_mysql) = (certificate("postgres"), certificate("redis"), certificate("mysql"));
    let files = |folder: &Folder| (file(folder, "cert.pem"), file(folder, "key.pem"));
    let (cert, key) = files(&of_postgres);
    let postgres =
        Postgres::start(Release::Here, &format!("ssl = on\nssl_cert_file = '{cert}'\nssl_key_file = '{key}'"));
    postgres.sql("postgres", "CREATE ROLE plimsoll LOGIN CONNECTION LIMIT 6; GRANT pg_monitor TO plimsoll");
    let (cert, key) = files(&of_redis);
    let tls = free_port();
    let arguments = ["--tls-port", &tls.to_string(), "--tls-cert-file", &cert, "--tls-key-file", &key];
    let arguments = [&arguments[..], &["--tls-ca-cert-file", &cert, "--tls-auth-clients", "no"]].concat();
    let _redis = Redis::start(Release::Here, "redis-server", &arguments);
    let (cert, key) = files(&of_mysql);
    let mysql = Mysql::start(Kind::Mariadb10, &[&format!("--ssl-cert={cert}"), &format!("--ssl-key={key}")]);
    mysql.sql("CREATE USER plimsoll@'%' IDENTIFIED BY 'word' REQUIRE SSL; GRANT PROCESS ON *.* TO plimsoll@'%'");

    let site = Site::new();
    std::fs::write(site.path("password"), "word").unwrap();
    let entry = |url: &str, service: &str, authority: &Folder, more: &str| {
        let ca = file(authority, "cert.pem");
        format!("    - {{ url: \"{url}\", service: {service}, interval: 1s, tls: {{ ca: {ca} }}{more} }}\n")
    };
    let password = format!(", password: {{ file: {} }}", site.path("password").display());
    let urls = [
        ("postgres", format!("postgres://plimsoll@localhost:{}/postgres", postgres.port), &of_postgres, ""),
        ("redis", format!("rediss://localhost:{tls}"), &of_redis, ""),
        ("mysql", format!("mysql://plimsoll@localhost:{}", mysql.port), &of_mysql, password.as_str()),
    ];
    let mut text = "host: off\ncollect:\n".to_owned();
    for (kind, url, own, more) in &urls {
        text += &format!("  {kind}:\n");
        text += &entry(url, &format!("good-{kind}"), own, more);
        let other = if *kind == "redis" { &of_mysql } else { &of_redis };
        text += &entry(url, &format!("bad-{kind}"), other, more);
    }
    site.config(&text);
    let _agent = site.start();
    let page = wait_for("all three over TLS", SOON, || {
        let page = site.metrics()?;
        let all = urls.iter().all(|(kind, ..)| up(&page, &format!("good-{kind}")) == Some(1.0));
        let told = urls.iter().all(|(kind, ..)| up(&page, &format!("bad-{kind}")).is_some());
        if all && told {
            Ok(page)
        } else {
            Err(format!("{:?}", site.status().map(|(_, report)| report["sources"].clone())))
        }
    });
    for (kind, ..) in &urls {
        assert_eq!(up(&page, &format!("bad-{kind}")), Some(0.0), "{kind}: a certificate that nobody named");
    }
    let ssl = "SELECT bool_and(ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE usename = 'plimsoll'";
    assert_eq!(postgres.sql("postgres", ssl), "t");
}
