//! A real NATS with JetStream on loopback, and as much of its text protocol as a test needs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::harness::{Process, free_port, get, wait_for};
use super::release::{Folder, Release};

/// A server with JetStream.
pub(crate) struct Nats {
    folder: Folder,
    release: Release,
    pub(crate) process: Option<Process>,
    port: u16,
    pub(crate) web: u16,
    arguments: Vec<String>,
}

impl Nats {
    pub(crate) fn start(release: Release) -> Self {
        let mut server = Self::new(release, Vec::new());
        server.up();
        server
    }

    fn new(release: Release, arguments: Vec<String>) -> Self {
        let folder = release.folder("nats");
        Self { folder, release, process: None, port: free_port(), web: free_port(), arguments }
    }

    /// Three that know each other.
    pub(crate) fn cluster(release: Release) -> [Self; 3] {
        let places = [free_port(), free_port(), free_port()].map(|port| format!("nats://127.0.0.1:{port}"));
        let node = |number: usize| {
            let name = format!("node{number}");
            let (own, all) = (places[number].as_str(), places.join(","));
            let arguments = ["--server_name", &name, "--cluster_name", "shop", "--cluster", own, "--routes", &all]
                .map(str::to_owned);
            let mut server = Self::new(release, arguments.to_vec());
            server.spawn();
            server
        };
        let mut nodes = [node(0), node(1), node(2)];
        nodes.iter_mut().for_each(Self::wait);
        // Without one nobody answers what JetStream is asked.
        for node in &nodes {
            wait_for("a leader that all know", Duration::from_secs(60), || {
                let told = get(node.web, "/jsz", &[])?;
                let told: Value = serde_json::from_str(&told).map_err(|error| error.to_string())?;
                if told["meta_cluster"]["leader"].is_string() { Ok(()) } else { Err(told.to_string()) }
            });
        }
        nodes
    }

    pub(crate) fn up(&mut self) {
        self.spawn();
        self.wait();
    }

    fn spawn(&mut self) {
        let mut command = self.release.command("nats", "/usr/sbin/nats-server");
        command.args(["-a", "127.0.0.1", "-p", &self.port.to_string(), "-m", &self.web.to_string(), "-js", "-sd"]);
        command.arg(self.folder.inside()).args(&self.arguments);
        self.process = Some(Process::start(&mut command, &self.folder.path().join("log")));
    }

    fn wait(&mut self) {
        let process = self.process.as_mut().unwrap();
        wait_for("a NATS that answers", Duration::from_secs(20), || {
            process.check();
            get(self.web, "/healthz", &[])
        });
    }

    pub(crate) fn client(&self) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
        let mut client = Client { reader: BufReader::new(stream) };
        assert!(client.line().starts_with("INFO "));
        client.send("CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB _INBOX.test 1\r\n");
        client
    }
}

/// The text protocol, as much of it as a test needs.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn send(&mut self, text: &str) {
        self.reader.get_mut().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line
    }

    pub(crate) fn publish(&mut self, subject: &str, payload: &str) {
        self.send(&format!("PUB {subject} {}\r\n{payload}\r\n", payload.len()));
    }

    pub(crate) fn ask(&mut self, subject: &str, payload: &str) {
        self.send(&format!("PUB {subject} _INBOX.test {}\r\n{payload}\r\n", payload.len()));
    }

    /// The next message: the subject of its answer, and what it says.
    pub(crate) fn message(&mut self) -> (String, String) {
        loop {
            let line = self.line();
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["MSG" | "HMSG", _, _, rest @ .., size] => {
                    let mut body = vec![0; size.parse::<usize>().unwrap() + 2];
                    self.reader.read_exact(&mut body).unwrap();
                    let reply = rest.first().copied().unwrap_or_default().to_owned();
                    return (reply, String::from_utf8_lossy(&body).trim_end().to_owned());
                }
                ["PING"] => self.send("PONG\r\n"),
                _ => assert!(!line.is_empty() && !line.starts_with("-ERR"), "{line}"),
            }
        }
    }

    /// The answer of JetStream's interface, which is no error.
    pub(crate) fn jetstream(&mut self, what: &str, payload: &str) -> Value {
        self.ask(&format!("$JS.API.{what}"), payload);
        let answer: Value = serde_json::from_str(&self.message().1).unwrap();
        assert!(answer["error"].is_null(), "{what}: {answer}");
        answer
    }

    /// The same, and whether it was done: a cluster does nothing until it has chosen a leader.
    pub(crate) fn try_jetstream(&mut self, what: &str, payload: &str) -> Result<(), String> {
        self.ask(&format!("$JS.API.{what}"), payload);
        let (_, answer) = self.message();
        let done = serde_json::from_str(&answer).is_ok_and(|answer: Value| answer["error"].is_null());
        if done { Ok(()) } else { Err(answer) }
    }

    /// Ten messages in `ORDERS`; `billing` took four, acknowledged two and gave one back, and took that again.
    pub(crate) fn orders(&mut self) {
        self.jetstream("STREAM.CREATE.ORDERS", r#"{"name":"ORDERS","subjects":["orders.>"],"max_bytes":1048576}"#);
        for number in 0..10 {
            self.ask(&format!("orders.{number}"), "4111-secret");
            assert!(self.message().1.contains("ORDERS"));
        }
        let config = r#"{"stream_name":"ORDERS","config":{"durable_name":"billing","ack_policy":"explicit","ack_wait":3600000000000}}"#;
        self.jetstream("CONSUMER.DURABLE.CREATE.ORDERS.billing", config);
        self.jetstream("CONSUMER.CREATE.ORDERS", r#"{"stream_name":"ORDERS","config":{"ack_policy":"explicit"}}"#);
        let next = "$JS.API.CONSUMER.MSG.NEXT.ORDERS.billing";
        self.ask(next, r#"{"batch":4}"#);
        let taken: Vec<String> = (0..4).map(|_| self.message().0).collect();
        self.publish(&taken[0], "+ACK");
        self.publish(&taken[1], "+ACK");
        self.publish(&taken[3], "-NAK");
        self.ask(next, r#"{"batch":1}"#);
        assert!(!self.message().0.is_empty());
        // One that nobody ever asked for a message.
        let config = r#"{"stream_name":"ORDERS","config":{"durable_name":"nobody","ack_policy":"explicit"}}"#;
        self.jetstream("CONSUMER.DURABLE.CREATE.ORDERS.nobody", config);
        // One that waits for the next message of another consumer.
        self.jetstream(
            "CONSUMER.DURABLE.CREATE.ORDERS.mail",
            r#"{"stream_name":"ORDERS","config":{"durable_name":"mail","ack_policy":"explicit","deliver_policy":"new"}}"#,
        );
        self.ask("$JS.API.CONSUMER.MSG.NEXT.ORDERS.mail", r#"{"batch":1,"expires":600000000000}"#);
        self.send("PING\r\n");
        while !self.line().starts_with("PONG") {}
    }
}
