//! Servers in this process that break the rules of every protocol in the same way, and a collector of each kind for them.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use plimsoll::base::tls;
use plimsoll::collect::dial::Address;
use plimsoll::collect::http::{Http, Login};
use plimsoll::collect::mysql::{self, options};
use plimsoll::collect::nats::Nats;
use plimsoll::collect::pgbouncer::Pgbouncer;
use plimsoll::collect::postgres::session::Target;
use plimsoll::collect::postgres::{self, Settings};
use plimsoll::collect::rabbitmq::Rabbitmq;
use plimsoll::collect::redis::Redis;
use plimsoll::collect::redis::queues::{Queues, Wanted};
use plimsoll::collect::scrape::Scrape;
use plimsoll::collect::{CollectError, Collector};
use plimsoll::signal::metrics::Point;
use secrecy::SecretString;

use super::harness::wait_for;
use super::redis::target;
use super::round::{Round, one, runtime};

/// What a connection does.
pub(crate) type Talk = fn(TcpStream) -> std::io::Result<()>;

/// A server that ends with the test program.
pub(crate) struct Breaker {
    pub(crate) port: u16,
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Breaker {
    pub(crate) fn start(talk: Talk) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let (counted, highest) = (Arc::clone(&open), Arc::clone(&most));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let open = Arc::clone(&counted);
                highest.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    // Whether the other side still listens is no matter here.
                    let _ended = talk(stream).is_err();
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, open, most }
    }

    /// Never were there many connections at once: those of a round that was given up end before the next ones.
    pub(crate) fn is_rarely_asked(&self) {
        let most = self.most.load(Ordering::SeqCst);
        assert!((1..=4).contains(&most), "{most} connections at once");
    }

    /// Waits until the other sides have left, while `runtime` goes on with what rounds may have left to be done.
    pub(crate) fn is_left(&self, sort: Sort, runtime: &tokio::runtime::Runtime) {
        wait_for(&format!("{sort:?}: connections that are closed"), Duration::from_secs(20), || {
            runtime.block_on(async { tokio::time::sleep(Duration::from_millis(20)).await });
            match self.open.load(Ordering::SeqCst) {
                0 => Ok(()),
                open => Err(format!("{open} are open")),
            }
        });
    }
}

/// Every kind of watched server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Postgres,
    Pgbouncer,
    Mysql,
    Redis,
    Queues,
    Rabbitmq,
    Nats,
    Scrape,
}

pub(crate) const SORTS: [Sort; 8] =
    [Sort::Postgres, Sort::Pgbouncer, Sort::Mysql, Sort::Redis, Sort::Queues, Sort::Rabbitmq, Sort::Nats, Sort::Scrape];
pub(crate) const OVER_HTTP: [Sort; 3] = [Sort::Rabbitmq, Sort::Nats, Sort::Scrape];

impl Sort {
    pub(crate) fn collector(self, port: u16) -> Box<dyn Collector> {
        let http = |path| {
            let login = Login::Basic("plimsoll".into(), SecretString::from("word"));
            Http::new(&format!("http://127.0.0.1:{port}{path}"), &login, tls::nobody().unwrap()).unwrap()
        };
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(port).user("plimsoll").dbname("postgres");
        let password = Some(SecretString::from("word"));
        let of_postgres = Target { name: "liar".into(), config, password, tls: None };
        match self {
            Self::Postgres => {
                Box::new(postgres::Postgres::new(Settings { target: of_postgres, databases: None, top: 20 }))
            }
            Self::Pgbouncer => Box::new(Pgbouncer::new(of_postgres)),
            Self::Mysql => {
                let opts = options(&Address::Tcp("127.0.0.1".into(), port), Some("plimsoll"), Some("word"), None);
                Box::new(mysql::Mysql::new(mysql::Settings { name: "liar".into(), opts, top: 20 }))
            }
            Self::Redis => Box::new(Redis::new(target(port), Queues::default())),
            Self::Queues => {
                let names = || vec!["mail".to_owned()];
                let queues = Queues::new(Wanted::Named(names()), Wanted::Auto, names(), names());
                Box::new(Redis::new(target(port), queues))
            }
            Self::Rabbitmq => Box::new(Rabbitmq::new(http(""), Vec::new())),
            Self::Nats => Box::new(Nats::new(http(""))),
            Self::Scrape => Box::new(Scrape::new(http("/metrics"))),
        }
    }

    /// One round of a collector of its own within `limit`.
    pub(crate) fn round(self, port: u16, limit: Duration) -> Round {
        runtime().block_on(one(&mut *self.collector(port), limit))
    }
}

/// The error as people see it is short and moves no terminal.
pub(crate) fn is_clear(error: &CollectError) -> String {
    let text = error.to_string();
    assert!(text.len() < 500 && !text.chars().any(char::is_control), "{} bytes: {text:?}", text.len());
    text
}

/// A MiB of the same again and again, up to 2 GiB.
pub(crate) fn endless(mut stream: TcpStream, piece: &[u8]) -> std::io::Result<()> {
    let mut sent = 0;
    while sent < 1 << 31 {
        stream.write_all(piece)?;
        sent += piece.len();
    }
    Ok(())
}

/// All points are numbers, and all texts short and without what moves a terminal; gives how many points there are.
pub(crate) fn is_plain(found: &Round) -> usize {
    if let Err(error) = &found.result {
        is_clear(error);
    }
    for sample in found.samples.samples() {
        let harmless = sample.attributes.iter().all(|(_, value)| value.len() <= 1024);
        let number = match &sample.point {
            Point::Number(number) => number.as_f64(),
            Point::Histogram(_) => 0.0,
        };
        assert!(harmless && number.is_finite(), "{}: {sample:?}", found.samples.metrics()[sample.metric].name);
    }
    for event in &found.events {
        assert!(event.body.len() < 10_000 && !event.body.chars().any(char::is_control), "{event:?}");
    }
    found.samples.samples().len()
}
