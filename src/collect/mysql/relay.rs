//! Between the library that speaks MySQL's protocol and the server: bounds what comes back, and ends with the round.
//!
//! The library opens its connections itself, takes room for as many columns as the server says there are, and reads an
//! answer that nobody wants any more to its end, however long that takes. So it connects to a listener of our own for
//! one connection, and what it reads passes through here.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener as Plain};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use mysql_async::{Opts, OptsBuilder};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;

use super::frames::Frames;
use crate::base::clock::unix_nanos;
use crate::collect::dial::{Address, Budget, Counted, dial};

/// Bytes of all answers of a round: the largest, 2,000 digests with their texts, has 8 MB.
const MAX_ANSWERS: u64 = 32 << 20;

/// The way to one server. Dropped, it is closed, whatever the library still wants to read.
pub(super) struct Relay {
    /// For the library.
    pub(super) opts: Opts,
    task: JoinHandle<()>,
    budget: Budget,
    fault: Arc<OnceLock<&'static str>>,
}

/// What the library connects to.
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

trait Both: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

impl Relay {
    /// Connects to the server that `opts` name.
    ///
    /// # Errors
    /// The system's.
    pub(super) async fn open(opts: &Opts) -> io::Result<Self> {
        let address = match opts.socket() {
            Some(path) => Address::Unix(path.into()),
            None => Address::Tcp(opts.ip_or_hostname().to_owned(), opts.tcp_port()),
        };
        let budget = Budget::new(MAX_ANSWERS);
        // The protocol asks for TLS itself, on the open connection: the library speaks it through here.
        let server = dial(&address, None, &budget).await?;
        let (listener, opts) = listen(opts, &address).await?;
        let fault = Arc::new(OnceLock::new());
        // What is encrypted cannot be looked into; such a server has proved who it is.
        let frames = opts.ssl_opts().is_none().then(Frames::default);
        let told = Arc::clone(&fault);
        let task = tokio::spawn(async move {
            let passed = async { pass(accept(&listener).await?, server, frames, &told).await };
            // The library sees the end of its connection, and `why` says more.
            let _ended = passed.await.is_err();
        });
        Ok(Self { opts, task, budget, fault })
    }

    /// Gives the answers of the next round their full room.
    pub(super) fn renew(&self) {
        self.budget.renew(MAX_ANSWERS);
    }

    /// Why this ended the connection; `None`: it did not.
    pub(super) fn why(&self) -> Option<String> {
        let spent = self.budget.is_spent().then(|| format!("answers larger than {} MiB", MAX_ANSWERS >> 20));
        spent.or_else(|| self.fault.get().map(|fault| (*fault).to_owned()))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A socket is met by a socket and TCP by TCP: the library chooses by it how a password may be sent.
async fn listen(opts: &Opts, address: &Address) -> io::Result<(Listener, Opts)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let builder = OptsBuilder::from_opts(opts.clone());
    match address {
        Address::Tcp(host, _) => {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            let port = listener.local_addr()?.port();
            let tls = opts.ssl_opts().cloned();
            // The certificate is for the server's name and not for ours.
            let tls = tls.map(|tls| tls.with_danger_tls_hostname_override(Some(host.clone())));
            let opts = builder.ip_or_hostname("127.0.0.1").tcp_port(port).ssl_opts(tls);
            Ok((Listener::Tcp(listener), opts.into()))
        }
        Address::Unix(_) => {
            let number = NEXT.fetch_add(1, Relaxed);
            let name = format!("plimsoll-mysql-{}-{number}-{}", std::process::id(), unix_nanos());
            let listener = Plain::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
            listener.set_nonblocking(true)?;
            let opts = builder.socket(Some(format!("\0{name}")));
            Ok((Listener::Unix(UnixListener::from_std(listener)?), opts.into()))
        }
    }
}

async fn accept(listener: &Listener) -> io::Result<Box<dyn Both>> {
    match listener {
        Listener::Tcp(listener) => {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
        Listener::Unix(listener) => loop {
            let (stream, _) = listener.accept().await?;
            // The server may trust who connects to its socket: nobody else comes in as us.
            if stream.peer_cred()?.pid() == i32::try_from(std::process::id()).ok() {
                return Ok(Box::new(stream));
            }
        },
    }
}

/// Passes on what both sides say until one of them ends.
async fn pass(
    mut library: Box<dyn Both>,
    mut server: Counted,
    mut frames: Option<Frames>,
    fault: &OnceLock<&'static str>,
) -> io::Result<()> {
    let (mut question, mut answer) = (vec![0; 4096], vec![0; 16_384]);
    loop {
        tokio::select! {
            read = library.read(&mut question) => {
                let length = read?;
                if length == 0 {
                    return Ok(());
                }
                if let Some(frames) = &mut frames {
                    frames.asked();
                }
                server.write_all(&question[..length]).await?;
            }
            read = server.read(&mut answer) => {
                let length = read?;
                if length == 0 {
                    return Ok(());
                }
                if let Some(why) = frames.as_mut().and_then(|frames| frames.fault(&answer[..length])) {
                    let _first = fault.set(why).is_ok();
                    return Ok(());
                }
                library.write_all(&answer[..length]).await?;
            }
        }
    }
}
