//! One log record before it becomes bytes: spans into its line, nothing owned, reused for each line.

/// A text of a record: a part of the line, of the record's scratch space, or a name known to the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// Bytes `start..end` of the line.
    Line(u32, u32),
    /// Bytes `start..end` of [`Record::scratch`].
    Scratch(u32, u32),
    /// A constant.
    Fixed(&'static str),
}

impl Text {
    /// No characters.
    pub const EMPTY: Self = Self::Fixed("");

    /// The span of `part`, which must be a slice of `line`.
    #[inline]
    pub fn of(line: &str, part: &str) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(line.as_ptr() as usize);
        debug_assert!(start + part.len() <= line.len(), "the part does not lie in the line");
        Self::Line(start as u32, (start + part.len()) as u32)
    }

    /// The characters.
    #[inline]
    pub fn get<'a>(self, line: &'a str, scratch: &'a str) -> &'a str {
        match self {
            Self::Line(start, end) => line.get(start as usize..end as usize).unwrap_or_default(),
            Self::Scratch(start, end) => scratch.get(start as usize..end as usize).unwrap_or_default(),
            Self::Fixed(text) => text,
        }
    }

    /// Bytes of the text.
    #[inline]
    pub fn len(self) -> usize {
        match self {
            Self::Line(start, end) | Self::Scratch(start, end) => (end - start) as usize,
            Self::Fixed(text) => text.len(),
        }
    }

    /// True without characters.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// The value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A string; arrays stand here as their JSON text.
    Text(Text),
    /// An integer.
    Int(i64),
    /// A number with a fraction or exponent.
    Double(f64),
    /// `true` or `false`.
    Bool(bool),
}

/// A time as a line tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// Unix nanoseconds.
    pub nanos: u64,
    /// What the line's last digit is worth, in nanoseconds (1,000,000,000 for whole seconds). Below it the
    /// reader fills in the line's offset, so that equal lines stay apart.
    pub resolution: u32,
}

/// One log record. Spans refer to the line that is handed along with it.
#[derive(Debug, Clone)]
pub struct Record {
    /// The line's own time.
    pub time: Option<Time>,
    /// OTLP severity number, 1 (TRACE) to 24 (FATAL4); 0: not told.
    pub severity: u8,
    /// The severity as the line spells it.
    pub severity_text: Text,
    /// The message, or the whole line.
    pub body: Text,
    /// W3C trace id.
    pub trace_id: Option<[u8; 16]>,
    /// W3C span id.
    pub span_id: Option<[u8; 8]>,
    /// OTLP's `event_name`; empty for ordinary lines.
    pub event_name: Text,
    /// Everything else, names joined by dots.
    pub attributes: Vec<(Text, Value)>,
    /// Unescaped and rewritten texts.
    pub scratch: String,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            time: None,
            severity: 0,
            severity_text: Text::EMPTY,
            body: Text::EMPTY,
            trace_id: None,
            span_id: None,
            event_name: Text::EMPTY,
            attributes: Vec::with_capacity(32),
            scratch: String::with_capacity(256),
        }
    }
}

impl Record {
    /// Empties the record and keeps its room.
    #[inline]
    pub fn clear(&mut self) {
        self.time = None;
        self.severity = 0;
        self.severity_text = Text::EMPTY;
        self.body = Text::EMPTY;
        self.trace_id = None;
        self.span_id = None;
        self.event_name = Text::EMPTY;
        self.attributes.clear();
        self.scratch.clear();
    }

    /// Copies `text` to the scratch space.
    #[inline]
    pub fn keep(&mut self, text: &str) -> Text {
        let start = self.scratch.len();
        self.scratch.push_str(text);
        Text::Scratch(start as u32, self.scratch.len() as u32)
    }

    /// Adds an attribute.
    #[inline]
    pub fn put(&mut self, name: Text, value: Value) {
        self.attributes.push((name, value));
    }

    /// Adds a string attribute with a constant name, its value a slice of `line`.
    #[inline]
    pub fn put_str(&mut self, name: &'static str, line: &str, value: &str) {
        self.attributes.push((Text::Fixed(name), Value::Text(Text::of(line, value))));
    }

    /// Adds an integer attribute with a constant name.
    #[inline]
    pub fn put_int(&mut self, name: &'static str, value: i64) {
        self.attributes.push((Text::Fixed(name), Value::Int(value)));
    }

    /// The characters of one of its texts.
    #[inline]
    pub fn text<'a>(&'a self, line: &'a str, text: Text) -> &'a str {
        text.get(line, &self.scratch)
    }
}
