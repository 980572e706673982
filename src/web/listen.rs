//! Connections with bounds: how many, how long a request's head may take and be, how long a client may not read.
//!
//! The HTTP library bounds neither time nor, tightly, size before it has parsed a head; so the bytes are watched
//! on their way to it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// Bounds of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; more wait to be accepted.
    pub connections: usize,
    /// From the accept, or the latest answer, to the end of the next head: slow heads and idle connections end.
    pub head: Duration,
    /// Bytes of one head.
    pub head_bytes: usize,
    /// How long a client may not read while an answer waits for it.
    pub write: Duration,
    /// Everything together: a client that reads a byte now and then ends too.
    pub life: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            head: Duration::from_secs(10),
            head_bytes: 32 * 1024,
            write: Duration::from_secs(20),
            life: Duration::from_secs(300),
        }
    }
}

/// A listener within bounds.
pub(super) struct Limited {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    places: Arc<Semaphore>,
    limits: Limits,
}

impl Limited {
    pub(super) fn new(listener: TcpListener, tls: Option<TlsAcceptor>, limits: Limits) -> Self {
        Self { listener, tls, places: Arc::new(Semaphore::new(limits.connections)), limits }
    }
}

impl axum::serve::Listener for Limited {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            // Never closed, so that the only way on is a place; the loop is for the type.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { continue };
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let stream = match &self.tls {
                        Some(tls) => Stream::Greeting(Box::new(tls.accept(stream))),
                        None => Stream::Plain(stream),
                    };
                    return (Connection::new(stream, place, self.limits), peer);
                }
                // Most often too many open files: nothing is won by a loop without a pause.
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// The bytes of a connection, in the clear or not.
enum Stream {
    Plain(TcpStream),
    /// Whoever connected has not shown yet that they speak TLS: no reason to keep others waiting.
    Greeting(Box<Accept<TcpStream>>),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The stream to read from and write to, once it can be.
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<&mut (dyn Both + '_)>> {
        if let Self::Greeting(accept) = self {
            match Pin::new(accept).poll(context) {
                Poll::Ready(Ok(stream)) => *self = Self::Tls(Box::new(stream)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        match self {
            Self::Plain(stream) => Poll::Ready(Ok(stream)),
            Self::Tls(stream) => Poll::Ready(Ok(stream)),
            // Just left.
            Self::Greeting(_) => Poll::Pending,
        }
    }
}

trait Both: AsyncRead + AsyncWrite + Unpin {}

impl Both for TcpStream {}
impl Both for Box<TlsStream<TcpStream>> {}

/// A connection within bounds.
pub(super) struct Connection {
    stream: Stream,
    _place: OwnedSemaphorePermit,
    limits: Limits,
    /// `None` while a request is being answered.
    head: Option<Head>,
    /// When the head must be complete.
    head_end: Pin<Box<Sleep>>,
    /// When the waiting client must have read.
    write_end: Pin<Box<Sleep>>,
    writing: bool,
    life_end: Pin<Box<Sleep>>,
}

/// What was seen of a request's head.
#[derive(Debug, Clone, Copy, Default)]
struct Head {
    bytes: usize,
    /// Line ends before the request line belong to no head: a parser skips them.
    begun: bool,
    /// Line ends seen last, with nothing between them.
    ends: u8,
}

impl Head {
    /// Takes the next bytes; true when they complete the head.
    fn take(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            self.bytes += 1;
            self.begun |= !matches!(byte, b'\r' | b'\n');
            if !self.begun {
                continue;
            }
            self.ends = match byte {
                b'\n' => self.ends + 1,
                b'\r' => self.ends,
                _ => 0,
            };
            if self.ends == 2 {
                return true;
            }
        }
        false
    }
}

impl Connection {
    fn new(stream: Stream, place: OwnedSemaphorePermit, limits: Limits) -> Self {
        Self {
            stream,
            _place: place,
            limits,
            head: Some(Head::default()),
            head_end: Box::pin(tokio::time::sleep(limits.head)),
            write_end: Box::pin(tokio::time::sleep(limits.write)),
            writing: false,
            life_end: Box::pin(tokio::time::sleep(limits.life)),
        }
    }

    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let late = |what: &str| Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, what.to_owned()));
        if self.life_end.as_mut().poll(context).is_ready() {
            return late("the connection lasted too long");
        }
        if self.head.is_some() && self.head_end.as_mut().poll(context).is_ready() {
            return late("the request took too long");
        }
        if self.writing && self.write_end.as_mut().poll(context).is_ready() {
            return late("the client does not read");
        }
        Poll::Pending
    }

    /// What a write of `bytes` came to: progress is the beginning of an answer, after which the next request is due.
    /// After an interim one (`100 Continue`) the body is due.
    fn wrote(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Ok(_)) if bytes.starts_with(b"HTTP/1.1 1") => {
                self.writing = false;
                result
            }
            Poll::Ready(_) => {
                self.writing = false;
                self.head = Some(Head::default());
                self.head_end.as_mut().reset(Instant::now() + self.limits.head);
                result
            }
            Poll::Pending => {
                if !self.writing {
                    self.writing = true;
                    self.write_end.as_mut().reset(Instant::now() + self.limits.write);
                }
                // While an answer waits for its reader the next head cannot come.
                self.head = None;
                match self.poll_over(context) {
                    Poll::Ready(error) => Poll::Ready(Err(error)),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_over(context) {
            return Poll::Ready(Err(error));
        }
        let before = buf.filled().len();
        let read = match ready!(self.stream.poll_open(context)) {
            Ok(stream) => Pin::new(stream).poll_read(context, buf),
            Err(error) => Poll::Ready(Err(error)),
        };
        let most = self.limits.head_bytes;
        if let (Poll::Ready(Ok(())), Some(head)) = (&read, &mut self.head) {
            if head.take(&buf.filled()[before..]) {
                self.head = None;
            } else if head.bytes > most {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the request's head is too large")));
            }
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = match ready!(self.stream.poll_open(context)) {
            Ok(stream) => Pin::new(stream).poll_write(context, buf),
            Err(error) => Poll::Ready(Err(error)),
        };
        self.wrote(context, buf, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(self.stream.poll_open(context)) {
            Ok(stream) => Pin::new(stream).poll_flush(context),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Before the greeting nothing was said that wants an end.
        match self.stream.poll_open(context) {
            Poll::Ready(Ok(stream)) => Pin::new(stream).poll_shutdown(context),
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = match ready!(self.stream.poll_open(context)) {
            Ok(stream) => Pin::new(stream).poll_write_vectored(context, bufs),
            Err(error) => Poll::Ready(Err(error)),
        };
        self.wrote(context, bufs.first().map_or(&[], |first| &**first), result)
    }

    fn is_write_vectored(&self) -> bool {
        matches!(&self.stream, Stream::Plain(stream) if stream.is_write_vectored())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_at_its_empty_line_however_the_bytes_come() {
        let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        for cut in 0..request.len() {
            let mut head = Head::default();
            assert!(!head.take(&request[..cut]), "cut at {cut}");
            assert!(head.take(&request[cut..]), "cut at {cut}");
        }
        assert!(Head::default().take(b"GET / HTTP/1.1\n\n"));
        assert!(!Head::default().take(b"GET / HTTP/1.1\r\nA: \r\nB: c\r\n"));
        assert!(!Head::default().take(b"\r\n\r\n\r\n"), "empty lines in front would end the watch");
    }
}
