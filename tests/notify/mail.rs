//! A mail server of the test's own, and mail to it.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{Running, alert, until};

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
