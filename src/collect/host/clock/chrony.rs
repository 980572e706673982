//! Asks chronyd how well it keeps the clock: the request that `chronyc tracking` sends, to which it answers
//! everybody on the loopback interface (version 6 of its command protocol, since chrony 2.2).

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// chronyd's `cmdport`.
pub(super) const PORT: u16 = 323;

/// What is used of the answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tracking {
    pub(super) synchronized: bool,
    /// Seconds, without direction.
    pub(super) offset: f64,
}

const WAIT: Duration = Duration::from_millis(100);
const VERSION: u8 = 6;
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const TRACKING: u16 = 33;
const TRACKING_REPLY: u16 = 5;
/// Both packets: chronyd does not answer a request that is shorter than the answer.
const LENGTH: usize = 104;
/// Any number: the answer repeats it.
const SEQUENCE: u32 = 0x706c_696d;

/// `None` if there is no answer or none that is understood.
pub(super) fn ask(server: SocketAddr) -> Option<Tracking> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    socket.connect(server).ok()?;
    socket.set_read_timeout(Some(WAIT)).ok()?;
    let mut request = [0; LENGTH];
    request[..2].copy_from_slice(&[VERSION, REQUEST]);
    request[4..6].copy_from_slice(&TRACKING.to_be_bytes());
    request[8..12].copy_from_slice(&SEQUENCE.to_be_bytes());
    socket.send(&request).ok()?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).ok()?;
    parse(&answer[..length], SEQUENCE)
}

/// A head of 28 bytes (version, kind, …, command, reply, status, …, sequence), then the tracking data.
fn parse(answer: &[u8], sequence: u32) -> Option<Tracking> {
    let short = |at: usize| Some(u16::from_be_bytes(answer.get(at..at + 2)?.try_into().ok()?));
    let long = |at: usize| Some(u32::from_be_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    let (version, kind) = (*answer.first()?, *answer.get(1)?);
    let is_ours = (version, kind, short(6)?, short(8)?, long(16)?) == (VERSION, REPLY, TRACKING_REPLY, 0, sequence);
    if !is_ours {
        return None;
    }
    const UNSYNCHRONIZED: u16 = 3;
    Some(Tracking { synchronized: short(54)? != UNSYNCHRONIZED, offset: float(long(68)?).abs() })
}

/// chrony's own float: seven bits of exponent, 25 of coefficient, both signed.
fn float(bits: u32) -> f64 {
    let exponent = (bits as i32) >> 25;
    let coefficient = ((bits << 7) as i32) >> 7;
    f64::from(coefficient) * 2_f64.powi(exponent - 25)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// chronyd 4.3 with `local stratum 8`.
    const KEPT: &str = "060200000021000500000000000000000000303900000000000000007f7f01010000000000000000000000000000000000\
        00000000080000000000006b05e221323008ff000000000000000000000000000000000000000000000000000000000000000000000000";
    /// chronyd 4.3 without a source; its root delay is one second.
    const LOST: &str = "0602000000210005000000000000000000003039000000000000000000000000000000000000000000000000000000000000000000000003\
        000000000000000000000000000000000000000000000000000000000000000000000000048000000480000000000000";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn recorded_answers_say_whether_the_clock_is_kept() {
        assert_eq!(parse(&bytes(KEPT), 12345), Some(Tracking { synchronized: true, offset: 0.0 }));
        assert_eq!(parse(&bytes(LOST), 12345), Some(Tracking { synchronized: false, offset: 0.0 }));
        assert_eq!(parse(&bytes(KEPT), 1), None, "an answer to another question");
        for end in 0..72 {
            assert_eq!(parse(&bytes(KEPT)[..end], 12345), None, "{end}");
        }
    }

    #[test]
    fn chronys_float_is_read_as_chronyc_prints_it() {
        let root_delay = u32::from_be_bytes(bytes(LOST)[92..96].try_into().unwrap());
        assert_eq!(float(root_delay), 1.0);
        assert_eq!(float(0), 0.0);
        assert_eq!(float(0xffff_ffff), -(2_f64.powi(-26)));
    }

    #[test]
    fn the_question_is_long_enough_and_repeats_in_the_answer() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let asked = std::thread::spawn(move || {
            let mut request = [0; 512];
            let (length, from) = server.recv_from(&mut request).unwrap();
            let mut answer = bytes(KEPT);
            answer[16..20].copy_from_slice(&request[8..12]);
            server.send_to(&answer, from).unwrap();
            length
        });
        let answer = ask(address);
        assert_eq!(asked.join().unwrap(), LENGTH);
        // A loaded machine may let the time pass.
        assert!(answer.is_none_or(|tracking| tracking.synchronized));
    }
}
