//! The socket of the control service: made with its permissions, freed from an agent that died, its peers checked.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::Stream;
use tonic::transport::server::{Connected, UdsConnectInfo};

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The folder does not keep strangers out.
    #[error("cannot make the control socket in {folder}: {problem}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it, and the mend.
        problem: String,
    },
    /// Somebody answers on it.
    #[error("another agent answers on {0}: give this one its own folder with --state")]
    InUse(PathBuf),
    /// Something that is no socket lies there.
    #[error("{0} is no socket: move it away")]
    NoSocket(PathBuf),
    /// `sun_path` has 108 bytes, the last of them zero.
    #[error("the path {0} is too long for a socket: name a folder with a shorter path with --state")]
    TooLong(PathBuf),
    /// A system call failed.
    #[error("cannot make the control socket {path}: {source}")]
    Io {
        /// The socket's path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Owner and group may connect, nobody else.
const MODE: u32 = 0o660;
/// The suffix under which a socket gets its permissions before it has its name.
const NEW: &str = ".new";

/// A listening control socket; its file goes when it is dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    file: File,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    path: PathBuf,
    inode: u64,
}

impl Socket {
    /// Listens on `path`. The file of an agent that died is replaced, that of a living one is an error.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let fail = |source| SocketError::Io { path: path.to_owned(), source };
        if path.as_os_str().len() + NEW.len() > 107 {
            return Err(SocketError::TooLong(path.to_owned()));
        }
        check_folder(path)?;
        check_file(path)?;
        // Bound under another name, so that it never has its own name with wider permissions.
        let mut new = path.as_os_str().to_owned();
        new.push(NEW);
        let new = PathBuf::from(new);
        if let Err(error) = std::fs::remove_file(&new)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(fail(error));
        }
        let listener = UnixListener::bind(&new).map_err(fail)?;
        let inode = std::fs::set_permissions(&new, std::fs::Permissions::from_mode(MODE))
            .and_then(|()| std::fs::symlink_metadata(&new))
            .map_err(fail)?
            .ino();
        std::fs::rename(&new, path).map_err(fail)?;
        Ok(Self { listener, file: File { path: path.to_owned(), inode } })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Its connections, at most `connections` at once, those of strangers left out.
    pub(super) fn incoming(self, connections: usize) -> Incoming {
        Incoming { socket: self, places: Arc::new(Semaphore::new(connections)), pause: None }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A later agent may have put its own socket there.
        if std::fs::symlink_metadata(&self.file.path).is_ok_and(|meta| meta.ino() == self.file.inode) {
            let _already_gone = std::fs::remove_file(&self.file.path).is_err();
        }
    }
}

/// In a folder that others can write to they could put their own socket in place of ours.
fn check_folder(path: &Path) -> Result<(), SocketError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let problem = match std::fs::metadata(&folder) {
        Err(error) => error.to_string(),
        Ok(meta) if !meta.is_dir() => "it is no folder".to_owned(),
        Ok(meta) if meta.mode() & 0o002 != 0 => {
            format!("everybody may write to it; name another with --state, or chmod o-w {}", folder.display())
        }
        Ok(_) => return Ok(()),
    };
    Err(SocketError::Folder { folder, problem })
}

fn check_file(path: &Path) -> Result<(), SocketError> {
    let fail = |source| SocketError::Io { path: path.to_owned(), source };
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fail(error)),
    };
    if !meta.file_type().is_socket() {
        return Err(SocketError::NoSocket(path.to_owned()));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(SocketError::InUse(path.to_owned())),
        // Nobody listens: its agent died.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // A full queue is a living agent too.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(SocketError::InUse(path.to_owned())),
        Err(error) => Err(fail(error)),
    }
}

/// May a peer of user `peer` talk to an agent of user `own` through a socket of mode `mode`? The kernel let it
/// connect, so it owns the socket, is in its group, or is root, as long as the mode still keeps others out.
fn may_talk(peer: u32, own: u32, mode: u32) -> bool {
    peer == own || peer == 0 || mode & 0o007 == 0
}

/// The connections of a socket.
pub(super) struct Incoming {
    socket: Socket,
    places: Arc<Semaphore>,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Incoming {
    /// After a failed accept, which is most often one of too many open files: nothing is won by a loop.
    fn poll_pause(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        Poll::Ready(())
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            ready!(self.poll_pause(context));
            let Ok((stream, _)) = ready!(self.socket.listener.poll_accept(context)) else {
                self.pause = Some(Box::pin(tokio::time::sleep(Duration::from_millis(200))));
                continue;
            };
            let mode = std::fs::symlink_metadata(self.socket.path()).map_or(0o777, |meta| meta.mode());
            let own = rustix::process::geteuid().as_raw();
            let known = stream.peer_cred().is_ok_and(|peer| may_talk(peer.uid(), own, mode));
            // Over the limit, or a stranger: closed by the drop, and the client says so.
            if let Ok(place) = Arc::clone(&self.places).try_acquire_owned()
                && known
            {
                return Poll::Ready(Some(Ok(Connection { stream, _place: place })));
            }
        }
    }
}

/// A connection that holds one of the places until it is closed.
pub(super) struct Connection {
    stream: UnixStream,
    _place: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = UdsConnectInfo;

    fn connect_info(&self) -> UdsConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
