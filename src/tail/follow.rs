//! One file that is being read, and the reading of one piece of it.
//!
//! Each read begins [`WINDOW`](super::identity::WINDOW) bytes before the offset, so that it also shows whether the
//! content is still the one that was read before: a truncated and refilled file is found by the read itself.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::base::clock::SECOND;
use crate::signal::logs::LogBatch;
use crate::signal::record::{Record, Text, Value};

use super::group::Group;
use super::gzip::Unpack;
use super::identity::{HEAD, Head, Mark, Node, Print, WINDOW, read_at};
use super::lines::{Encoding, Next, alike, decode};
use super::parse::Parser;
use super::position::{Place, State};
use super::{Now, Sink};

/// Bytes that one turn reads; more only for a line that is longer.
pub(crate) const PIECE: usize = 128 << 10;

/// One generation of a file's content that is being read.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Key of its positions.
    pub(crate) id: u64,
    pub(crate) group: usize,
    /// Where it is, or was last.
    pub(crate) path: PathBuf,
    /// `log.file.path` of its records.
    pub(crate) label: String,
    /// Hash of the path under which it was read first.
    pub(crate) born: u64,
    pub(crate) node: Node,
    pub(crate) file: Option<File>,
    /// Bytes there are, as far as seen.
    pub(crate) size: u64,
    /// Time of the last change, as the file system tells it.
    pub(crate) modified: (i64, i64),
    /// When it was made, Unix seconds, where the file system knows.
    pub(crate) created: Option<i64>,
    /// `mark.offset` is where reading goes on.
    pub(crate) print: Print,
    /// The mark that went into the latest frame.
    pub(crate) noted: Mark,
    pub(crate) encoding: Encoding,
    pub(crate) state: State,
    /// There is no line feed between the offset and here.
    pub(crate) searched: u64,
    /// Everything beyond the offset is a hole.
    pub(crate) hole: bool,
    /// A walk has found it.
    pub(crate) linked: bool,
    /// No path leads to it any more.
    pub(crate) deleted: bool,
    /// When it grew last, on the monotonic clock.
    pub(crate) grown: u64,
    /// It waits in the queue of those that have something to read.
    pub(crate) queued: bool,
    /// Its end was reached since it lost its path.
    pub(crate) drained: bool,
    /// Since when it cannot be read, on the monotonic clock: what is unread is still to come.
    pub(crate) failed: Option<u64>,
    /// The file that was rotated away from its path, until the record between the two is settled.
    pub(crate) after: Option<u64>,
    /// It is in the batch.
    pub(crate) touched: bool,
    /// Time of its latest record without a time of its own.
    pub(crate) last: u64,
    /// Understands its lines; made with the first one.
    pub(crate) parser: Option<Box<Parser>>,
}

impl Stream {
    /// Where reading goes on.
    pub(crate) fn taken(&self) -> u64 {
        self.print.mark.offset
    }

    /// Bytes that were not taken yet.
    pub(crate) fn unread(&self) -> u64 {
        if self.hole { 0 } else { self.size.saturating_sub(self.taken()) }
    }

    /// True while its content can be had: by its handle or by a path.
    pub(crate) fn is_reachable(&self) -> bool {
        self.file.is_some() || self.linked
    }

    /// True with bytes in which a line may end.
    pub(crate) fn has_news(&self) -> bool {
        self.size > self.searched.max(self.taken()) && !self.hole
    }

    /// What the frames say of it.
    pub(crate) fn place(&self, glob: u64, unix: u64) -> Place {
        Place {
            id: self.id,
            node: self.node,
            group: glob,
            born: self.born,
            print: self.print,
            seen: self.size,
            when: unix / SECOND,
            state: self.state,
        }
    }
}

/// How a turn ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There is more to read.
    More,
    /// All that is whole was taken.
    End,
    /// The batch is full.
    Full,
    /// The file is shorter than it was.
    Shrunk,
    /// The content before the offset is not the one that was read: another generation.
    Changed,
}

/// Reads pieces of files into the batch.
pub(crate) struct Reader {
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) batch: LogBatch,
    buf: Vec<u8>,
    record: Record,
    text: String,
    room: usize,
    /// What the present turn did; moved to the board after it.
    pub(crate) tally: Tally,
}

/// What a turn did.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
    pub(crate) cut: u64,
    pub(crate) invalid: u64,
    pub(crate) nul: u64,
}

/// Marks on a record that is not a line as it was written.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Marks {
    /// It was longer.
    pub(crate) cut: bool,
    /// Its beginning or end is missing.
    pub(crate) partial: bool,
}

impl Reader {
    /// `max_line` is the longest of all groups.
    pub(crate) fn new(sink: Box<dyn Sink>, max_line: usize) -> Self {
        let room = WINDOW + PIECE.max(2 * max_line + 4096);
        Self {
            sink,
            batch: LogBatch::default(),
            buf: Vec::new(),
            record: Record::default(),
            text: String::new(),
            room,
            tally: Tally::default(),
        }
    }

    /// Reads one piece of `stream`.
    pub(crate) fn turn(&mut self, stream: &mut Stream, group: &Group, now: Now) -> io::Result<Turn> {
        let Some(file) = stream.file.take() else { return Ok(Turn::End) };
        let turn = self.piece(&file, stream, group, now);
        stream.file = Some(file);
        turn
    }

    /// Reads one piece of an unpacked content, whose end is final.
    pub(crate) fn unpack(
        &mut self,
        job: &mut Unpack,
        stream: &mut Stream,
        group: &Group,
        now: Now,
    ) -> io::Result<Turn> {
        let last = job.read(&mut self.buf)?;
        let (back, got) = (stream.print.mark.reach(), self.buf.len());
        let from = stream.taken() - back as u64;
        let (mut at, mut turn) = self.split(stream, group, now, back..got, last);
        if turn == Turn::End && at < got && !stream.state.skip && !self.is_zero(at..got) {
            self.record(stream, group, now, at..got, from + at as u64, Marks { cut: false, partial: true });
            at = got;
        }
        if last && turn == Turn::More {
            turn = Turn::End;
        }
        self.advance(stream, at, from);
        job.took(at, turn != Turn::Full);
        Ok(turn)
    }

    fn piece(&mut self, file: &File, stream: &mut Stream, group: &Group, now: Now) -> io::Result<Turn> {
        let back = stream.print.mark.reach();
        let from = stream.taken() - back as u64;
        let mut want = back + PIECE;
        loop {
            if self.buf.len() < want {
                self.buf.resize(want, 0);
            }
            let got = read_at(file, &mut self.buf[..want], from)?;
            if !stream.print.mark.holds(&self.buf[..got.min(back)]) {
                return Ok(Turn::Changed);
            }
            let end = from + got as u64;
            if got < want && end < stream.size {
                return Ok(Turn::Shrunk);
            }
            stream.size = stream.size.max(end);
            grow_head(stream, file, &self.buf[..got], from)?;
            if self.is_zero(back..got) {
                return self.over_zeros(file, stream, end);
            }
            let (at, turn) = self.split(stream, group, now, back..got, got < want);
            if at == back && turn == Turn::More && want < self.room {
                want = self.room;
                continue;
            }
            self.advance(stream, at, from);
            return Ok(turn);
        }
    }

    /// Takes the records of `range`; where it stopped in the buffer, and why.
    fn split(
        &mut self,
        stream: &mut Stream,
        group: &Group,
        now: Now,
        range: std::ops::Range<usize>,
        last: bool,
    ) -> (usize, Turn) {
        let (mut at, got) = (range.start, range.end);
        let end = if last { Turn::End } else { Turn::More };
        if stream.taken() == 0 {
            let Some((encoding, mark)) = Encoding::of(&self.buf[at..got]) else { return (at, Turn::End) };
            stream.encoding = encoding;
            at += mark;
        }
        let quiet = now.mono.saturating_sub(stream.grown);
        let closed = last && group.rules.multiline.as_ref().is_some_and(|lines| quiet >= lines.timeout);
        loop {
            if stream.state.skip {
                let data = &self.buf[at..got];
                match stream.encoding.feed(data, 0) {
                    Some(feed) => at += feed + stream.encoding.width(),
                    None => return (got - data.len() % stream.encoding.width(), end),
                }
                stream.state.skip = false;
            }
            if self.buf[at..got].first() == Some(&0) && stream.encoding == Encoding::Utf8 {
                let Some(zeros) = self.buf[at..got].iter().position(|&byte| byte != 0) else { return (at, end) };
                self.tally.nul += zeros as u64;
                at += zeros;
            }
            let offset = stream.taken() + (at - range.start) as u64;
            let searched = stream.searched.saturating_sub(offset).min((got - at) as u64) as usize;
            match group.rules.next(&self.buf[at..got], searched, stream.encoding, closed) {
                Next::Record { end, next, cut } => {
                    self.record(stream, group, now, at..at + end, offset, Marks { cut, partial: false });
                    at += next;
                }
                Next::Long { end } => {
                    self.record(stream, group, now, at..at + end, offset, Marks { cut: true, partial: false });
                    at += end;
                    stream.state.skip = true;
                }
                Next::Part => {
                    if group.rules.multiline.is_none() {
                        stream.searched = stream.taken() + (got - range.start) as u64;
                    }
                    return (at, end);
                }
            }
            if self.batch.is_full() {
                return (at, Turn::Full);
            }
        }
    }

    /// Moves the mark to `at` in the buffer, which begins at offset `from` of the file.
    fn advance(&mut self, stream: &mut Stream, at: usize, from: u64) {
        let offset = from + at as u64;
        if offset != stream.taken() {
            stream.print.mark = Mark::new(offset, &self.buf[..at]);
            stream.touched = true;
        }
    }

    fn is_zero(&self, range: std::ops::Range<usize>) -> bool {
        !range.is_empty() && self.buf[range].iter().all(|&byte| byte == 0)
    }

    /// Nothing but zeros up to `end`: goes to where data begins, without reading what a hole would bring. Zeros at
    /// the end of the file are left: a writer may have laid out the file and fill it later.
    fn over_zeros(&mut self, file: &File, stream: &mut Stream, end: u64) -> io::Result<Turn> {
        let next = match seek(file, SeekFrom::Data(end)) {
            Ok(next) if next < stream.size.max(end + 1) => next,
            Ok(_) | Err(Errno::NXIO) => {
                stream.hole = true;
                return Ok(Turn::End);
            }
            Err(error) => return Err(error.into()),
        };
        let mark = mark_at(file, next)?;
        self.tally.nul += next - stream.taken();
        stream.print.mark = mark;
        stream.touched = true;
        Ok(Turn::More)
    }

    /// Makes a record of `range` of the buffer, which stands at `offset` of its file.
    fn record(
        &mut self,
        stream: &mut Stream,
        group: &Group,
        now: Now,
        range: std::ops::Range<usize>,
        offset: u64,
        mut marks: Marks,
    ) {
        let Self { buf, text, record, batch, sink, tally, .. } = self;
        let bytes = &buf[range];
        let (line, replaced) = decode(bytes, stream.encoding, text);
        let (line, longer) = within(line, group.rules.max_line);
        marks.cut |= longer;
        marks.partial |= std::mem::take(&mut stream.state.fragment);
        tally.lines += 1;
        tally.bytes += bytes.len() as u64 + stream.encoding.width() as u64;
        tally.invalid += u64::from(replaced);
        tally.cut += u64::from(marks.cut);
        if !line.is_empty() || marks.partial {
            emit(stream, group, now, (line, offset), marks, (record, batch, sink.as_mut()));
        }
    }

    /// Takes what is left of `old`, a rotated or deleted file whose last line has no end. If `young`, the file that
    /// took its path, begins with the rest of that line, both become one record; else the rest is marked. False:
    /// `young` has no line yet.
    pub(crate) fn tail(
        &mut self,
        old: &mut Stream,
        young: Option<&mut Stream>,
        group: &Group,
        now: Now,
    ) -> io::Result<bool> {
        let from = old.taken();
        let mut bytes = vec![0; (old.size - from).min(group.rules.max_line as u64) as usize];
        let Some(file) = &old.file else { return Ok(true) };
        let got = read_at(file, &mut bytes, from)?;
        bytes.truncate(got);
        // All that can fail is done before anything is taken: else it would be taken again.
        let whole = from + got as u64 >= old.size;
        let mark = mark_at(file, if old.state.skip { old.size } else { from + got as u64 })?;
        let mut marks = Marks { cut: false, partial: true };
        if let Some(young) = young.filter(|_| whole) {
            let Some((first, next)) = self.first_line(young, group)? else { return Ok(false) };
            let start = self.start_of(file, from)?;
            // A whole line tells better how records begin than the piece does.
            let known = if start[0] == 0 { &bytes[..] } else { &start[..] };
            if !alike(known, &first) && old.encoding == Encoding::Utf8 {
                bytes.extend(first);
                marks.partial = false;
                let Some(file) = &young.file else { return Ok(false) };
                young.print.mark = mark_at(file, next)?;
                young.touched = true;
            }
        }
        let mut text = String::new();
        let (line, replaced) = decode(&bytes, old.encoding, &mut text);
        let (line, longer) = within(line, group.rules.max_line);
        marks.cut = longer;
        self.tally.cut += u64::from(longer);
        self.tally.lines += 1;
        self.tally.bytes += bytes.len() as u64;
        self.tally.invalid += u64::from(replaced);
        if old.state.skip {
            marks.cut = true;
        } else if !line.is_empty() {
            let Self { record, batch, sink, .. } = self;
            emit(old, group, now, (line, from), marks, (record, batch, sink.as_mut()));
        }
        old.state.skip = false;
        old.state.fragment = marks.partial;
        old.print.mark = mark;
        old.touched = true;
        Ok(true)
    }

    /// The bytes with which the line before `offset` begins, to compare beginnings.
    fn start_of(&mut self, file: &File, offset: u64) -> io::Result<[u8; 8]> {
        let mut window = [0; 4096];
        let reach = offset.min(4096) as usize;
        let got = read_at(file, &mut window[..reach], offset - reach as u64)?;
        let before = window[..got].strip_suffix(b"\n").unwrap_or(&window[..got]);
        let from = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        let mut start = [0; 8];
        let len = (before.len() - from).min(8);
        start[..len].copy_from_slice(&before[from..from + len]);
        Ok(start)
    }

    /// The first line of a file of which nothing was taken, and the offset behind it.
    fn first_line(&mut self, young: &Stream, group: &Group) -> io::Result<Option<(Vec<u8>, u64)>> {
        let (Some(file), 0) = (&young.file, young.taken()) else { return Ok(None) };
        let mut bytes = vec![0; group.rules.max_line.min(young.size as usize)];
        let got = read_at(file, &mut bytes, 0)?;
        let Some(feed) = memchr::memchr(b'\n', &bytes[..got]) else { return Ok(None) };
        bytes.truncate(feed);
        Ok(Some((bytes, feed as u64 + 1)))
    }
}

fn mark_at(file: &File, offset: u64) -> io::Result<Mark> {
    let mut window = [0; WINDOW];
    let reach = offset.min(WINDOW as u64);
    let got = read_at(file, &mut window[..reach as usize], offset - reach)?;
    Ok(Mark::new(offset, &window[..got]))
}

/// The part of `line` that is within `max` bytes; true: it was longer, for two halves of a line or what stands for
/// invalid bytes take more room than what was read.
fn within(line: &str, max: usize) -> (&str, bool) {
    (&line[..line.floor_char_boundary(max)], line.len() > max)
}

/// The hash of the head grows with the file.
fn grow_head(stream: &mut Stream, file: &File, piece: &[u8], from: u64) -> io::Result<()> {
    if from == 0 {
        stream.print.head = Head::of(piece);
    } else if usize::from(stream.print.head.len) < HEAD && stream.size > u64::from(stream.print.head.len) {
        let mut head = [0; HEAD];
        let got = read_at(file, &mut head, 0)?;
        stream.print.head = Head::of(&head[..got]);
    }
    Ok(())
}

/// Fills in what the reader knows and hands the record on.
fn emit(
    stream: &mut Stream,
    group: &Group,
    now: Now,
    (line, offset): (&str, u64),
    marks: Marks,
    (record, batch, sink): (&mut Record, &mut LogBatch, &mut dyn Sink),
) {
    let parser = stream.parser.get_or_insert_with(|| Box::new(Parser::new(group.format)));
    let decided = parser.decided();
    if !parser.parse(line, record) {
        group.source.unparsed.add(1);
    }
    if let (None, Some(format)) = (decided, parser.decided()) {
        group.tell_format(&stream.label, format);
    }
    let path = record.keep(&stream.label);
    record.put(Text::Fixed("log.file.path"), Value::Text(path));
    if marks.cut {
        record.put(Text::Fixed("plimsoll.truncated"), Value::Bool(true));
    }
    if marks.partial {
        record.put(Text::Fixed("plimsoll.partial"), Value::Bool(true));
    }
    let nanos = match record.time {
        Some(time) => {
            let room = u64::from(time.resolution.max(1));
            time.nanos - time.nanos % room + offset % room
        }
        // Equal lines at equal times would be one for Loki. A clock that was set back is followed.
        None if stream.last >= now.unix && stream.last - now.unix < SECOND => stream.last + 1,
        None => now.unix,
    };
    if record.time.is_none() {
        stream.last = nanos;
    }
    sink.emit(group.index, record, line, nanos, batch);
}
