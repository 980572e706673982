//! Connections to watched servers: TCP or a Unix socket, with TLS or not, and a bound on what may come back.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::CollectError;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Host and port.
    Tcp(String, u16),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// Both directions of a connection.
#[derive(Debug)]
enum Io {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Bytes that the server may still send before the connection is given up; a line end counts for more. Clones share
/// them.
#[derive(Debug, Clone)]
pub struct Budget(Arc<AtomicU64>);

impl Budget {
    /// So many bytes.
    pub fn new(bytes: u64) -> Self {
        Self(Arc::new(AtomicU64::new(bytes)))
    }

    /// So many bytes from now on.
    pub fn renew(&self, bytes: u64) {
        self.0.store(bytes, Relaxed);
    }

    /// Whether the server sent all that it may.
    pub fn is_spent(&self) -> bool {
        self.0.load(Relaxed) == 0
    }
}

/// Connects; with `tls` the server must be who the address says.
///
/// # Errors
/// The system's, or that of the handshake.
pub async fn dial(address: &Address, tls: Option<&Arc<rustls::ClientConfig>>, budget: &Budget) -> io::Result<Counted> {
    let stream = match address {
        Address::Unix(path) => Io::Unix(UnixStream::connect(path).await?),
        Address::Tcp(host, port) => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            // A small question must not wait for the answer to the one before.
            stream.set_nodelay(true)?;
            match tls {
                None => Io::Tcp(stream),
                Some(tls) => {
                    let name = rustls::pki_types::ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                    Io::Tls(Box::new(TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?))
                }
            }
        }
    };
    Ok(Counted { stream, budget: budget.clone() })
}

/// Why no connection to `name` was made, in words: the permissions of a socket are a refusal too.
pub fn failed(name: &str, error: &io::Error) -> CollectError {
    let text = format!("cannot connect to {name}: {error}");
    if error.kind() == io::ErrorKind::PermissionDenied {
        CollectError::Denied(text)
    } else {
        CollectError::Connect(text)
    }
}

/// A connection that ends when the server sends more than its budget.
#[derive(Debug)]
pub struct Counted {
    stream: Io,
    budget: Budget,
}

impl Counted {
    fn reader(&mut self) -> Pin<&mut (dyn AsyncRead + Send + Unpin)> {
        match &mut self.stream {
            Io::Unix(stream) => Pin::new(stream),
            Io::Tcp(stream) => Pin::new(stream),
            Io::Tls(stream) => Pin::new(stream),
        }
    }

    fn writer(&mut self) -> Pin<&mut (dyn AsyncWrite + Send + Unpin)> {
        match &mut self.stream {
            Io::Unix(stream) => Pin::new(stream),
            Io::Tcp(stream) => Pin::new(stream),
            Io::Tls(stream) => Pin::new(stream),
        }
    }
}

/// Bytes, and for each line end what the value takes that it may end: in Redis' protocol a number of two bytes.
fn weight(bytes: &[u8]) -> u64 {
    const LINE: usize = 32;
    (bytes.len() + LINE * memchr::memchr_iter(b'\n', bytes).count()) as u64
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.budget.is_spent() {
            return Poll::Ready(Err(io::Error::other("the answer is too large")));
        }
        let before = buf.filled().len();
        let polled = self.reader().poll_read(context, buf);
        let taken = weight(&buf.filled()[before..]);
        self.budget.renew(self.budget.0.load(Relaxed).saturating_sub(taken));
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writer().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer().poll_shutdown(context)
    }
}
