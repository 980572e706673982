//! The packets of a MySQL server, as far as it takes to know which of them says how many columns follow.

/// More columns than a table can have.
const MAX_COLUMNS: u64 = 4096;
/// Of a packet: its length and number, and the longest number behind.
const START: usize = 4 + 9;

/// Where in the conversation the server is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Greeting,
    Login,
    /// Nothing was asked.
    Idle,
    /// An answer begins.
    Asked,
    /// Descriptions of so many columns follow.
    Columns(u64),
    /// Rows follow; whether the first packet behind the columns has come, which may be their end.
    Rows(bool),
}

/// Follows the bytes of one connection without TLS.
#[derive(Debug, Default)]
pub(super) struct Frames {
    phase: Phase,
    /// The beginning of the packet at hand.
    start: Vec<u8>,
    /// Bytes of it that are still to come.
    left: usize,
    length: usize,
}

impl Frames {
    /// The client said something.
    pub(super) fn asked(&mut self) {
        if self.phase == Phase::Idle {
            self.phase = Phase::Asked;
        }
    }

    /// What is wrong with the bytes that come next, if anything.
    pub(super) fn fault(&mut self, bytes: &[u8]) -> Option<&'static str> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.start.len() < 4 {
                let (head, behind) = rest.split_at(rest.len().min(4 - self.start.len()));
                self.start.extend_from_slice(head);
                rest = behind;
                if let [a, b, c, _] = self.start[..] {
                    self.length = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
                    self.left = self.length;
                }
            } else {
                let (body, behind) = rest.split_at(rest.len().min(self.left));
                let room = START - self.start.len();
                self.start.extend_from_slice(&body[..body.len().min(room)]);
                self.left -= body.len();
                rest = behind;
            }
            if self.start.len() >= 4 && self.left == 0 {
                let next = self.packet();
                self.start.clear();
                match next {
                    Ok(phase) => self.phase = phase,
                    Err(why) => return Some(why),
                }
            }
        }
        None
    }

    /// What comes behind the packet at hand.
    fn packet(&self) -> Result<Phase, &'static str> {
        let body = &self.start[4..];
        let first = body.first().copied();
        Ok(match (self.phase, first) {
            (Phase::Greeting, _) => Phase::Login,
            (Phase::Login, Some(0)) => Phase::Idle,
            (Phase::Login, _) => Phase::Login,
            // It says so when it ends the connection.
            (Phase::Idle, Some(0xff)) => Phase::Idle,
            (Phase::Idle, _) => return Err("it sends more than was asked for"),
            (Phase::Asked, None | Some(0 | 0xff)) => Phase::Idle,
            (Phase::Asked, Some(0xfb)) => return Err("it asks for a file"),
            (Phase::Asked, _) => match number(body) {
                Some(count @ 1..=MAX_COLUMNS) => Phase::Columns(count),
                _ => return Err("an answer of more than 4096 columns"),
            },
            (Phase::Columns(count), _) if count > 1 => Phase::Columns(count - 1),
            (Phase::Columns(_), _) => Phase::Rows(false),
            // Older servers end the columns by a packet of this length, which is too short for the end of the rows of
            // newer ones. No row of ours begins with this byte: it would have 16 MB.
            (Phase::Rows(false), Some(0xfe)) if self.length == 5 => Phase::Rows(true),
            (Phase::Rows(_), Some(0xfe | 0xff)) => Phase::Idle,
            (Phase::Rows(_), _) => Phase::Rows(true),
        })
    }
}

/// A number of 1, 2, 3 or 8 bytes.
fn number(body: &[u8]) -> Option<u64> {
    let (first, rest) = body.split_first()?;
    let wide = |bytes: usize| Some(rest.get(..bytes)?.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    match first {
        0xfc => wide(2),
        0xfd => wide(3),
        0xfe => wide(8),
        _ => Some(u64::from(*first)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(body: &[u8]) -> Vec<u8> {
        [&[u8::try_from(body.len()).unwrap(), 0, 0, 1][..], body].concat()
    }

    /// A connection that was let in.
    fn open() -> Frames {
        let mut frames = Frames::default();
        assert_eq!(frames.fault(&[packet(b"\x0a8.0"), packet(&[0, 0, 0])].concat()), None);
        frames
    }

    #[test]
    fn answers_of_old_and_new_servers_are_followed_to_their_end_however_they_are_cut() {
        let (eof, ok) = (packet(&[0xfe, 0, 0, 2, 0]), packet(&[0xfe, 0, 0, 2, 0, 0, 0]));
        let columns = [packet(&[2]), packet(b"\x03def"), packet(b"\x03def")].concat();
        let row = packet(b"\x01a\x01b");
        let old = [&columns[..], &eof, &row, &row, &eof].concat();
        let new = [&columns[..], &row, &ok].concat();
        let none = [&columns[..], &eof, &eof].concat();
        for answer in [old, new, none, [&columns[..], &ok].concat(), packet(&[0, 0, 0]), packet(b"\xffno")] {
            for piece in 1..answer.len() {
                let mut frames = open();
                frames.asked();
                assert!(answer.chunks(piece).all(|bytes| frames.fault(bytes).is_none()), "{answer:?}");
                assert_eq!(frames.phase, Phase::Idle, "{answer:?} in pieces of {piece}");
                assert!(frames.fault(&row).is_some(), "what nobody asked for");
            }
        }
    }

    #[test]
    fn more_columns_than_a_table_can_have_are_refused_before_room_is_taken_for_them() {
        for count in
            [&b"\xfc\x01\x10"[..], b"\xfd\0\0\x01", b"\xfe\xff\xff\xff\xff\xff\xff\xff\x0f", b"\xfe\x01", b"\xfb"]
        {
            let mut frames = open();
            frames.asked();
            assert!(frames.fault(&packet(count)).is_some(), "{count:?}");
        }
        let mut frames = open();
        frames.asked();
        assert_eq!((frames.fault(&packet(b"\xfc\0\x10")), frames.phase), (None, Phase::Columns(4096)));
    }
}
