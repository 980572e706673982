//! Cuts bytes into lines and lines into records. Pure: it sees a piece of a file and says what is whole in it.
//!
//! Nothing is kept between two pieces. What is not whole is read again from where its record began, so a
//! position always ends at a record's end and no memory is held for a line that is still being written.

use memchr::memchr;
use regex::bytes::Regex;

/// How bytes become text, as the byte order mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Encoding {
    #[default]
    Utf8,
    Utf16Le,
    Utf16Be,
}

impl Encoding {
    /// The encoding of a file that begins with `head`, and the length of its mark. `None`: more bytes are needed.
    pub(crate) fn of(head: &[u8]) -> Option<(Self, usize)> {
        match head {
            [0xff, 0xfe, ..] => Some((Self::Utf16Le, 2)),
            [0xfe, 0xff, ..] => Some((Self::Utf16Be, 2)),
            [0xef, 0xbb, 0xbf, ..] => Some((Self::Utf8, 3)),
            [] | [0xff | 0xfe | 0xef] | [0xef, 0xbb] => None,
            _ => Some((Self::Utf8, 0)),
        }
    }

    /// Bytes of a line feed.
    pub(crate) fn width(self) -> usize {
        if self == Self::Utf8 { 1 } else { 2 }
    }

    /// Where the first line feed at or after `from` stands. A line begins at the start of `data`.
    pub(crate) fn feed(self, data: &[u8], from: usize) -> Option<usize> {
        let unit = match self {
            Self::Utf8 => return memchr(b'\n', &data[from..]).map(|at| from + at),
            Self::Utf16Le => [b'\n', 0],
            Self::Utf16Be => [0, b'\n'],
        };
        let from = from & !1;
        data[from..].chunks_exact(2).position(|pair| pair == unit).map(|at| from + 2 * at)
    }

    /// `line` without a carriage return at its end.
    fn trim(self, line: &[u8]) -> usize {
        let end: &[u8] = match self {
            Self::Utf8 => b"\r",
            Self::Utf16Le => &[b'\r', 0],
            Self::Utf16Be => &[0, b'\r'],
        };
        line.strip_suffix(end).unwrap_or(line).len()
    }
}

/// Which lines are one record, and how long it may be.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Bytes of a line.
    pub(crate) max_line: usize,
    pub(crate) multiline: Option<Multiline>,
}

/// What a record's first line looks like, and how much may follow it.
#[derive(Debug, Clone)]
pub(crate) struct Multiline {
    pub(crate) start: Regex,
    pub(crate) max_lines: usize,
    pub(crate) max_bytes: usize,
    /// A record ends when nothing follows for this long, nanoseconds.
    pub(crate) timeout: u64,
}

/// What stands at the beginning of a piece.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A record without its line end; what follows begins at `next`. `cut`: it was longer.
    Record { end: usize, next: usize, cut: bool },
    /// A record that is longer than allowed and has no end yet: what follows `end` up to a line feed is not wanted.
    Long { end: usize },
    /// Not whole yet.
    Part,
}

impl Rules {
    /// Looks at `data`, whose first `searched` bytes have no line feed. `closed`: nothing more comes soon.
    pub(crate) fn next(&self, data: &[u8], searched: usize, encoding: Encoding, closed: bool) -> Next {
        let Some(multiline) = self.multiline.as_ref().filter(|_| encoding == Encoding::Utf8) else {
            return self.line(data, searched, encoding);
        };
        let (mut lines, mut whole) = (1, self.line(data, searched, encoding));
        while let Next::Record { end, next, cut: false } = whole {
            let rest = &data[next..];
            match self.line(rest, 0, encoding) {
                Next::Part => return if closed { whole } else { Next::Part },
                Next::Long { .. } => return whole,
                Next::Record { end: line, next: after, .. } => {
                    if lines >= multiline.max_lines || multiline.start.is_match(&rest[..line]) {
                        return whole;
                    }
                    if next + line > multiline.max_bytes.min(self.max_line) {
                        return Next::Record { end, next, cut: true };
                    }
                    lines += 1;
                    whole = Next::Record { end: next + line, next: next + after, cut: false };
                }
            }
        }
        whole
    }

    fn line(&self, data: &[u8], searched: usize, encoding: Encoding) -> Next {
        let limit = self.max_line & !1;
        match encoding.feed(data, searched) {
            Some(feed) if feed > limit => {
                Next::Record { end: cut(data, limit, encoding), next: feed + encoding.width(), cut: true }
            }
            Some(feed) => Next::Record { end: encoding.trim(&data[..feed]), next: feed + encoding.width(), cut: false },
            None if data.len() > limit => Next::Long { end: cut(data, limit, encoding) },
            None => Next::Part,
        }
    }
}

/// The largest end up to `limit` that divides no character.
fn cut(data: &[u8], limit: usize, encoding: Encoding) -> usize {
    if encoding != Encoding::Utf8 {
        return limit;
    }
    let continues = |at: usize| data.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    (limit.saturating_sub(3)..=limit).rev().find(|&at| !continues(at)).unwrap_or(limit)
}

/// Decodes one line. `text` is room for what does not stand in `bytes` as it is; true: something was replaced.
pub(crate) fn decode<'a>(bytes: &'a [u8], encoding: Encoding, text: &'a mut String) -> (&'a str, bool) {
    match std::str::from_utf8(bytes) {
        Ok(line) if encoding == Encoding::Utf8 => return (line, false),
        _ => text.clear(),
    }
    let mut replaced = false;
    if encoding == Encoding::Utf8 {
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
                replaced = true;
            }
        }
        return (text, replaced);
    }
    let units = bytes.chunks_exact(2).map(|pair| match encoding {
        Encoding::Utf16Be => u16::from_be_bytes([pair[0], pair[1]]),
        _ => u16::from_le_bytes([pair[0], pair[1]]),
    });
    for unit in char::decode_utf16(units) {
        replaced |= unit.is_err();
        text.push(unit.unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    (text, replaced || bytes.len() % 2 == 1)
}

/// True when `first` begins like `known` does: a record of its own rather than the rest of one.
pub(crate) fn alike(known: &[u8], first: &[u8]) -> bool {
    let class = |byte: &u8| match byte {
        b'0'..=b'9' => b'0',
        b'a'..=b'z' | b'A'..=b'Z' => b'a',
        other => *other,
    };
    let reach = known.len().min(first.len()).min(8);
    // Two or three characters are like anything.
    reach >= known.len().clamp(1, 4) && known[..reach].iter().map(class).eq(first[..reach].iter().map(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(rules: &Rules, data: &[u8], encoding: Encoding, closed: bool) -> Vec<String> {
        let (mut at, mut out) = (0, Vec::new());
        while let Next::Record { end, next, cut } = rules.next(&data[at..], 0, encoding, closed) {
            let mut text = String::new();
            let (line, _) = decode(&data[at..at + end], encoding, &mut text);
            out.push(format!("{line}{}", if cut { " CUT" } else { "" }));
            at += next;
        }
        out
    }

    fn plain(max_line: usize) -> Rules {
        Rules { max_line, multiline: None }
    }

    fn traces() -> Rules {
        let start = Regex::new(r"^\d{4}-").unwrap();
        let multiline = Multiline { start, max_lines: 4, max_bytes: 1000, timeout: 1 };
        Rules { max_line: 1000, multiline: Some(multiline) }
    }

    #[test]
    fn lines_end_at_line_feeds_with_or_without_carriage_return() {
        assert_eq!(records(&plain(100), b"a\nb\r\n\nrest", Encoding::Utf8, false), ["a", "b", ""]);
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_between_characters_and_the_next_one_is_whole() {
        let data = "12345678é0\nnext\n".as_bytes();
        assert_eq!(records(&plain(9), data, Encoding::Utf8, false), ["12345678 CUT", "next"]);
        assert_eq!(plain(4).next(b"123456", 0, Encoding::Utf8, false), Next::Long { end: 4 });
        assert_eq!(plain(6).next(b"123456", 0, Encoding::Utf8, false), Next::Part);
    }

    #[test]
    fn utf_16_lines_are_found_on_even_bytes_only_and_decoded() {
        let text = "\u{0a0a}x\n\u{1F6A2}\r\nrest";
        let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(records(&plain(100), &le, Encoding::Utf16Le, false), ["\u{0a0a}x", "\u{1F6A2}"]);
        assert_eq!(records(&plain(100), &be, Encoding::Utf16Be, false), ["\u{0a0a}x", "\u{1F6A2}"]);
    }

    #[test]
    fn a_trace_is_one_record_and_ends_at_the_next_start_or_when_nothing_follows() {
        let data = b"2026-01 a\n  at x\n  at y\n2026-01 b\n  at z\n";
        assert_eq!(records(&traces(), data, Encoding::Utf8, false), ["2026-01 a\n  at x\n  at y"]);
        let closed = records(&traces(), data, Encoding::Utf8, true);
        assert_eq!(closed, ["2026-01 a\n  at x\n  at y", "2026-01 b\n  at z"]);
    }

    #[test]
    fn a_start_that_never_comes_ends_a_record_at_its_limits() {
        let data = "  at x\n".repeat(9);
        let lines: Vec<_> =
            records(&traces(), data.as_bytes(), Encoding::Utf8, true).iter().map(|r| r.lines().count()).collect();
        assert_eq!(lines, [4, 4, 1]);
        let data = format!("{}\n", "x".repeat(400)).repeat(4);
        let sizes: Vec<_> = records(&traces(), data.as_bytes(), Encoding::Utf8, true).iter().map(String::len).collect();
        assert_eq!(sizes, [805, 801]);
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_replaced_one_by_one_sequence() {
        let mut text = String::new();
        assert_eq!(decode(b"a\xffb\xc3", Encoding::Utf8, &mut text), ("a\u{fffd}b\u{fffd}", true));
    }

    #[test]
    fn the_rest_of_a_divided_line_does_not_look_like_the_start_of_one() {
        assert!(alike(b"2026-01-01 12:00:00 x", b"2026-01-02 01:00:00 y"));
        assert!(alike(b"{\"time\":", b"{\"time\":"));
        assert!(!alike(b"{\"time\":", b"ssage\":\"x\"}"));
    }
}
