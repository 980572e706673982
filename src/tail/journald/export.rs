//! The journal's export format, from bytes to entries.
//!
//! <https://systemd.io/JOURNAL_EXPORT_FORMATS/>: `NAME=text\n`, or `NAME\n`, a 64-bit little-endian length, that
//! many bytes and `\n`; an empty line ends the entry. Whoever may log writes most of it: a field may be 768 MiB
//! long and an entry may have any number of them. So only the fields that are asked for are kept, each within its
//! bound, and the rest is passed over as it comes in.

use memchr::memchr;

/// The fields that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Cursor,
    Realtime,
    SourceRealtime,
    Message,
    Priority,
    Pid,
    Unit,
    UserUnit,
    ObjectUnit,
    Identifier,
    Command,
    Transport,
    CodeFile,
    CodeLine,
    CodeFunction,
    Container,
}

/// Their names, in the order of [`Field`].
pub(super) const NAMES: [&str; 16] = [
    "__CURSOR",
    "__REALTIME_TIMESTAMP",
    "_SOURCE_REALTIME_TIMESTAMP",
    "MESSAGE",
    "PRIORITY",
    "_PID",
    "_SYSTEMD_UNIT",
    "_SYSTEMD_USER_UNIT",
    "UNIT",
    "SYSLOG_IDENTIFIER",
    "_COMM",
    "_TRANSPORT",
    "CODE_FILE",
    "CODE_LINE",
    "CODE_FUNC",
    "CONTAINER_NAME",
];

/// Longest message; what is beyond is cut. What Loki takes as one line.
pub(super) const MAX_MESSAGE: usize = 256 << 10;
/// Longest other field; a longer one is left out.
const MAX_FIELD: usize = 1 << 10;
/// Longest name that journald takes.
const MAX_NAME: usize = 64;
/// Where [`Field::Message`] stands in [`NAMES`].
const MESSAGE: usize = Field::Message as usize;

/// One entry: of each field the first value, as the journal lets a field come twice.
#[derive(Debug, Default)]
pub(super) struct Entry {
    values: [Vec<u8>; NAMES.len()],
    present: [bool; NAMES.len()],
    /// The message was longer than [`MAX_MESSAGE`].
    pub cut: bool,
}

impl Entry {
    /// The value; none when it is missing or was too long.
    pub(super) fn get(&self, field: Field) -> Option<&[u8]> {
        let at = field as usize;
        self.present.get(at).copied().unwrap_or(false).then(|| self.values.get(at).map(Vec::as_slice)).flatten()
    }

    /// The value when it is text and not empty.
    pub(super) fn text(&self, field: Field) -> Option<&str> {
        self.get(field).and_then(|value| str::from_utf8(value).ok()).filter(|text| !text.is_empty())
    }

    /// The value when it is a number.
    pub(super) fn number(&self, field: Field) -> Option<u64> {
        self.text(field)?.parse().ok()
    }

    fn clear(&mut self) {
        self.values.iter_mut().for_each(Vec::clear);
        self.present = [false; NAMES.len()];
        self.cut = false;
    }

    /// Room that it holds, in bytes.
    #[cfg(test)]
    fn room(&self) -> usize {
        self.values.iter().map(Vec::capacity).sum()
    }
}

/// Cuts the stream to entries. It may be fed in pieces of any size.
#[derive(Debug)]
pub(super) struct Parser {
    state: State,
    name: Vec<u8>,
    entry: Entry,
    any: bool,
    /// Lines that are no field, passed over.
    pub malformed: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Within a name.
    Name,
    /// Within a text value, up to the end of its line.
    Text(Slot),
    /// Within the length of a binary value: bytes so far, value so far.
    Length(Slot, u32, u64),
    /// Within a binary value: bytes that are missing.
    Binary(Slot, u64),
    /// At the line end behind a binary value.
    End,
    /// Within something that is no field.
    Skip,
    /// The entry was handed out.
    Done,
}

/// Where the value goes: an index in [`NAMES`], or nowhere.
type Slot = Option<usize>;

impl Parser {
    pub(super) fn new() -> Self {
        let name = Vec::with_capacity(MAX_NAME);
        Self { state: State::Name, name, entry: Entry::default(), any: false, malformed: 0 }
    }

    /// Takes bytes off the front of `input` up to the end of an entry, and hands that out; none when all bytes are
    /// taken and the entry goes on in the next ones.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Option<&Entry> {
        if matches!(self.state, State::Done) {
            self.entry.clear();
            self.any = false;
            self.state = State::Name;
        }
        while !input.is_empty() && !matches!(self.state, State::Done) {
            self.state = self.turn(input);
        }
        matches!(self.state, State::Done).then_some(&self.entry)
    }

    /// Takes at least one byte.
    fn turn(&mut self, input: &mut &[u8]) -> State {
        match self.state {
            State::Name => self.name(input),
            State::Text(slot) => {
                let end = memchr(b'\n', input);
                self.keep(slot, take(input, end.unwrap_or(input.len())));
                match end {
                    Some(_) => {
                        take(input, 1);
                        self.ended(slot)
                    }
                    None => State::Text(slot),
                }
            }
            State::Length(slot, have, value) => {
                let byte = take(input, 1).first().copied().unwrap_or(0);
                let value = value | u64::from(byte) << (8 * have);
                if have == 7 { State::Binary(slot, value) } else { State::Length(slot, have + 1, value) }
            }
            State::Binary(slot, 0) => {
                self.ended(slot);
                State::End
            }
            State::Binary(slot, left) => {
                let bytes = take(input, usize::try_from(left).unwrap_or(usize::MAX));
                self.keep(slot, bytes);
                State::Binary(slot, left - bytes.len() as u64)
            }
            State::End if take(input, 1) == b"\n" => State::Name,
            State::End => self.garbage(),
            State::Skip => match memchr(b'\n', input) {
                Some(end) => {
                    take(input, end + 1);
                    State::Name
                }
                None => {
                    take(input, input.len());
                    State::Skip
                }
            },
            State::Done => State::Done,
        }
    }

    fn name(&mut self, input: &mut &[u8]) -> State {
        let Some(&byte) = input.first() else { return State::Name };
        take(input, 1);
        match byte {
            b'\n' if self.name.is_empty() => {
                if self.any {
                    return State::Done;
                }
                State::Name
            }
            b'\n' => State::Length(self.slot(), 0, 0),
            b'=' if !self.name.is_empty() => State::Text(self.slot()),
            b'A'..=b'Z' | b'0'..=b'9' | b'_' if self.name.len() < MAX_NAME => {
                self.name.push(byte);
                State::Name
            }
            _ => self.garbage(),
        }
    }

    fn garbage(&mut self) -> State {
        self.malformed += 1;
        self.name.clear();
        State::Skip
    }

    /// The place of the field that was named, when it is wanted and is its entry's first of that name.
    fn slot(&mut self) -> Slot {
        self.any = true;
        let slot = NAMES.iter().position(|name| name.as_bytes() == self.name);
        self.name.clear();
        let taken = |at: &usize| self.present(*at) || self.entry.values.get(*at).is_some_and(|value| !value.is_empty());
        slot.filter(|at| !taken(at))
    }

    fn present(&self, at: usize) -> bool {
        self.entry.present.get(at).copied().unwrap_or(false)
    }

    fn keep(&mut self, slot: Slot, bytes: &[u8]) {
        let Some((at, value)) = slot.and_then(|at| Some((at, self.entry.values.get_mut(at)?))) else { return };
        // One byte more than the bound tells later that there was more.
        let most = if at == MESSAGE { MAX_MESSAGE } else { MAX_FIELD };
        let room = (most + 1).saturating_sub(value.len());
        value.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn ended(&mut self, slot: Slot) -> State {
        let Some(at) = slot else { return State::Name };
        let Some(value) = self.entry.values.get_mut(at) else { return State::Name };
        let mut present = true;
        if at == MESSAGE && value.len() > MAX_MESSAGE {
            self.entry.cut = true;
            value.truncate(whole(value, MAX_MESSAGE));
        } else if at != MESSAGE && value.len() > MAX_FIELD {
            present = false;
        }
        if let Some(flag) = self.entry.present.get_mut(at) {
            *flag = present;
        }
        State::Name
    }
}

/// Takes up to `count` bytes off the front.
fn take<'a>(input: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(count.min(input.len()));
    *input = rest;
    taken
}

/// The longest length up to `most` that does not cut a UTF-8 character.
fn whole(value: &[u8], most: usize) -> usize {
    let continues = |at: usize| value.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    (most.saturating_sub(3)..=most).rev().find(|at| !continues(*at)).unwrap_or(most)
}

#[cfg(test)]
mod tests;
