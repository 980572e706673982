//! A mail server of the test's own, and mail to it.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};

use super::harness::{Process, wait_for};
use super::{LIMIT, Running, alert, until};

/// Speaks SMTP (RFC 5321) as far as a client needs it.
#[derive(Clone)]
pub(crate) struct Mail {
    port: u16,
    mails: Arc<Mutex<Vec<String>>>,
    /// What the next mails are answered instead of 250.
    faults: Arc<Mutex<VecDeque<&'static str>>>,
}

impl Mail {
    pub(crate) fn new(faults: &[&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let faults = Arc::new(Mutex::new(faults.iter().copied().collect()));
        let mail = Self { port, mails: Arc::default(), faults };
        let server = mail.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                // The other side may go at any moment.
                std::thread::spawn(move || server.serve(&stream).is_ok());
            }
        });
        mail
    }

    pub(crate) fn notifier(&self) -> Value {
        json!({ "email": {
            "smarthost": format!("127.0.0.1:{}", self.port), "security": "none",
            "from": "plimsoll@example.com", "to": ["ops@example.com"],
        } })
    }

    pub(crate) fn mails(&self) -> Vec<String> {
        self.mails.lock().unwrap().clone()
    }

    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut out = stream;
        let mut lines = BufReader::new(stream).lines();
        out.write_all(b"220 here\r\n")?;
        while let Some(line) = lines.next() {
            let command = line?.to_uppercase();
            let answer = match command.split(' ').next().unwrap_or_default() {
                "EHLO" => "250-here\r\n250 8BITMIME\r\n",
                "DATA" => {
                    out.write_all(b"354 go\r\n")?;
                    let mut text = String::new();
                    for line in lines.by_ref() {
                        let line = line?;
                        if line == "." {
                            break;
                        }
                        text.push_str(line.strip_prefix('.').unwrap_or(&line));
                        text.push_str("\r\n");
                    }
                    match self.faults.lock().unwrap().pop_front() {
                        Some(fault) => fault,
                        None => {
                            self.mails.lock().unwrap().push(text);
                            "250 taken\r\n"
                        }
                    }
                }
                "QUIT" => return out.write_all(b"221 bye\r\n"),
                "MAIL" | "RCPT" | "RSET" | "NOOP" => "250 fine\r\n",
                _ => "502 what\r\n",
            };
            out.write_all(answer.as_bytes())?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_is_sent_again_until_the_server_takes_it() {
    let mail = Mail::new(&["451 later\r\n", "554 no\r\n", "gibberish\r\n"]);
    let running = Running::new(&[("mail", mail.notifier())]);
    running.offer(&[alert("Down")]);
    let mails = until("a mail", || Some(mail.mails()).filter(|mails| !mails.is_empty())).await;
    assert!(mails[0].contains("Subject: [page] Down on shop-db-1: 1 firing\r\n"), "{}", mails[0]);
    assert!(mails[0].contains("Firing: Down is wrong"), "{}", mails[0]);
    let entry = running.entry("mail");
    until("its end", || (entry.alerts.get() == 1).then_some(())).await;
    assert_eq!((mail.mails().len(), entry.retries.get()), (1, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_server_without_tls_gets_nothing_where_tls_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let key = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, key.cert.pem()).unwrap();
    let mail = Mail::new(&[]);
    for security in ["starttls", "tls"] {
        let mut config = mail.notifier();
        config["email"]["security"] = json!(security);
        config["email"]["tls"] = json!({ "ca": ca });
        let running = Running::new(&[("mail", config)]);
        running.offer(&[alert("Down")]);
        let entry = running.entry("mail");
        until("a failure", || (entry.retries.get() > 0).then_some(())).await;
        assert_eq!(mail.mails(), [] as [String; 0], "{security}");
    }
}

/// An authority, `ca.pem`, and what it vouches for: a server by the name of `localhost`.
fn certificates(dir: &Path) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "an authority of the test's own");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    std::fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
    std::fs::write(dir.join("server.pem"), server.pem()).unwrap();
    std::fs::write(dir.join("server.key"), key.serialize_pem()).unwrap();
}

/// aiosmtpd, which takes mail over TLS from `plimsoll` with its password only.
struct Server {
    process: Process,
    port: u16,
}

impl Server {
    fn start(dir: &Path, security: &str) -> Self {
        let mut command = Command::new("/usr/bin/python3");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/notify/smtpd.py");
        command.args(["-u", "-B"]).arg(script).arg(security).arg(dir.join("server.pem")).arg(dir.join("server.key"));
        let mut process = Process::start(&mut command, &dir.join(format!("{security}.log")));
        let port = wait_for("a mail server that is ready", LIMIT, || {
            process.check();
            let log = process.log();
            log.lines().find_map(|line| line.strip_prefix("port ")?.parse().ok()).ok_or(log)
        });
        Self { process, port }
    }

    fn mails(&self) -> Vec<Value> {
        self.process.log().lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_mail_server_takes_mail_over_tls_from_the_first_byte_and_after_starttls() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certificates(dir.path());
    certificates(other.path());
    for security in ["starttls", "tls"] {
        let server = Server::start(dir.path(), security);
        let config = |ca: &Path, password: &str| {
            let file = dir.path().join(password);
            std::fs::write(&file, password).unwrap();
            json!({ "email": {
                "smarthost": format!("localhost:{}", server.port), "security": security,
                "from": "plimsoll@example.com", "to": ["ops@example.com", "night@example.com"],
                "username": "plimsoll", "password": { "file": file }, "tls": { "ca": ca },
            } })
        };
        // Neither a server that somebody else vouches for nor a wrong password gets a mail through.
        for (ca, password, why) in [(other.path(), "sesame", "set tls.ca"), (dir.path(), "wrong", "535")] {
            let running = Running::new(&[("mail", config(&ca.join("ca.pem"), password))]);
            running.offer(&[alert("Down")]);
            let entry = running.entry("mail");
            until(&format!("{security}: {why}"), || entry.answer.get().contains(why).then_some(())).await;
        }
        assert_eq!(server.mails(), [] as [Value; 0], "{security}");
        let running = Running::new(&[("mail", config(&dir.path().join("ca.pem"), "sesame"))]);
        running.offer(&[alert("Down")]);
        let mail = until("a mail", || server.mails().pop()).await;
        let envelope = json!([mail["from"], mail["to"], mail["login"]]);
        let expected = json!(["plimsoll@example.com", ["ops@example.com", "night@example.com"], "plimsoll"]);
        assert_eq!(envelope, expected, "{security}");
        assert!(mail["tls"].as_str().is_some_and(|version| version.starts_with("TLSv1.")), "{security}: {mail}");
        assert!(mail["text"].as_str().unwrap().contains("Firing: Down is wrong"), "{mail}");
        let entry = running.entry("mail");
        until("its end", || (entry.alerts.get() == 1).then_some(())).await;
        assert_eq!((server.mails().len(), entry.retries.get()), (1, 0), "{security}");
    }
}
