//! Counts TCP sockets by state over netlink (`man 7 sock_diag`): some 150 bytes of binary for each socket, no right.
//!
//! The older of the two requests is sent: it alone answers IPv4 and IPv6 in one walk through the kernel's table of
//! connections, and on a quiet host with much memory that walk (a quarter of a million empty buckets) is the cost.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, sockopt};

use super::{Counts, TIME_WAIT};

/// The socket to the kernel and its buffer, kept for the next round.
#[derive(Default)]
pub(super) struct Diag {
    socket: Option<OwnedFd>,
    buffer: Vec<u8>,
    sequence: u32,
    refused: bool,
}

/// A round's time for it.
const DEADLINE: Duration = Duration::from_secs(1);
const BUFFER: usize = 32 << 10;

const HEADER: usize = 16;
/// `TCPDIAG_GETSOCK`.
const GET_TCP: u16 = 18;
/// `struct inet_diag_req`.
const REQUEST: usize = 60;
const REQUEST_AND_DUMP: u16 = 0x301;
const ERROR: u16 = 2;
const DONE: u16 = 3;

impl Diag {
    /// Sockets of IPv4 and IPv6 without those in TIME_WAIT; `None` if the kernel does not answer (no module, a
    /// filter of system calls): then it is not asked again.
    pub(super) fn count(&mut self) -> Option<Counts> {
        if self.refused {
            return None;
        }
        let counts = self.ask();
        if counts.is_none() {
            self.refused = true;
            self.socket = None;
        }
        counts
    }

    fn ask(&mut self) -> Option<Counts> {
        if self.socket.is_none() {
            let protocol = Some(netlink::SOCK_DIAG);
            let socket =
                net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol).ok()?;
            sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(DEADLINE)).ok()?;
            self.socket = Some(socket);
        }
        let socket = self.socket.as_ref()?;
        self.buffer.resize(BUFFER, 0);
        let mut counts = Counts::default();
        let end = Instant::now() + DEADLINE;
        self.sequence = self.sequence.wrapping_add(1);
        let kernel = netlink::SocketAddrNetlink::new(0, 0);
        net::sendto(socket, &request(self.sequence), SendFlags::empty(), &kernel).ok()?;
        loop {
            let (_, length) = net::recv(socket, &mut self.buffer, RecvFlags::TRUNC).ok()?;
            match read(self.buffer.get(..length)?, self.sequence, &mut counts) {
                Some(true) => return Some(counts),
                Some(false) if Instant::now() < end => {}
                _ => return None,
            }
        }
    }
}

/// `struct nlmsghdr` and `struct inet_diag_req`: all states but TIME_WAIT, no extensions, any address.
fn request(sequence: u32) -> [u8; HEADER + REQUEST] {
    let mut out = [0; HEADER + REQUEST];
    out[0..4].copy_from_slice(&((HEADER + REQUEST) as u32).to_ne_bytes());
    out[4..6].copy_from_slice(&GET_TCP.to_ne_bytes());
    out[6..8].copy_from_slice(&REQUEST_AND_DUMP.to_ne_bytes());
    out[8..12].copy_from_slice(&sequence.to_ne_bytes());
    let states: u32 = !(1 << TIME_WAIT);
    out[HEADER + 52..HEADER + 56].copy_from_slice(&states.to_ne_bytes());
    out
}

/// Counts the messages of one datagram; `Some(true)` after the last one, `None` if it is refused or broken.
fn read(mut datagram: &[u8], sequence: u32, counts: &mut Counts) -> Option<bool> {
    while datagram.len() >= HEADER {
        let length = u32::from_ne_bytes(datagram[0..4].try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(datagram[4..6].try_into().ok()?);
        let message = datagram.get(HEADER..length)?;
        // What is left of a request that was given up is not ours.
        if u32::from_ne_bytes(datagram[8..12].try_into().ok()?) == sequence {
            match kind {
                DONE => return Some(true),
                ERROR => return None,
                GET_TCP => {
                    let state = usize::from(*message.get(1)?);
                    if let Some(count) = counts.get_mut(state) {
                        *count += 1;
                    }
                }
                _ => {}
            }
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&((HEADER + body.len()) as u32).to_ne_bytes());
        out.extend_from_slice(&kind.to_ne_bytes());
        out.extend_from_slice(&0_u16.to_ne_bytes());
        out.extend_from_slice(&sequence.to_ne_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(body);
        out
    }

    #[test]
    fn sockets_of_this_request_are_counted_until_done() {
        let mut datagram = message(GET_TCP, 7, &[2, 10, 0, 0]);
        datagram.extend(message(GET_TCP, 7, &[2, 1, 0, 0]));
        datagram.extend(message(GET_TCP, 6, &[2, 1, 0, 0]));
        let mut counts = Counts::default();
        assert_eq!(read(&datagram, 7, &mut counts), Some(false));
        assert_eq!((counts[10], counts[1]), (1, 1));
        assert_eq!(read(&message(DONE, 7, &[0; 4]), 7, &mut counts), Some(true));
        assert_eq!(read(&message(ERROR, 7, &[0; 20]), 7, &mut counts), None);
    }

    #[test]
    fn a_message_that_lies_about_its_length_is_refused() {
        let mut datagram = message(GET_TCP, 7, &[2, 10, 0, 0]);
        datagram[0..4].copy_from_slice(&1000_u32.to_ne_bytes());
        assert_eq!(read(&datagram, 7, &mut Counts::default()), None);
        datagram[0..4].copy_from_slice(&3_u32.to_ne_bytes());
        assert_eq!(read(&datagram, 7, &mut Counts::default()), None, "shorter than its head: would never end");
    }

    #[test]
    fn the_running_kernel_counts_our_listeners_of_both_families_and_our_connections() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut diag = Diag::default();
        // A kernel without the module answers nothing, and the text files are read.
        let Some(before) = diag.count() else { return };
        let open: Vec<_> = (0..100)
            .map(|_| std::net::TcpStream::connect(listener.local_addr().unwrap()))
            .map_while(Result::ok)
            .collect();
        let six = std::net::TcpListener::bind("[::1]:0");
        let after = diag.count().unwrap();
        // Others open and close connections meanwhile, but hardly that many.
        assert!(after[1] >= before[1] + open.len() as u64 / 2, "{before:?} {after:?} {}", open.len());
        assert!(after[10] > u64::from(six.is_ok()), "{after:?}");
    }
}
