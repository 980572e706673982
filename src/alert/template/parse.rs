//! From a template's words to its tree, with the rules of Go's text/template.

use std::collections::BTreeMap;

use super::functions;
use super::lex::{Fault, Token, Word, cut};
use super::node::{Arg, Branch, Command, Node, Operand, Pipe};

/// The text itself, and the templates that it defines, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Parsed {
    pub(super) body: Vec<Node>,
    pub(super) defined: BTreeMap<String, Vec<Node>>,
}

/// No person nests deeper; each level costs stack.
const MAX_DEPTH: usize = 50;

/// Reads a template.
pub(super) fn parse(text: &str) -> Result<Parsed, Fault> {
    let mut parser = Parser {
        words: cut(text)?,
        next: 0,
        depth: 0,
        loops: 0,
        variables: vec!["$".into()],
        defined: BTreeMap::new(),
    };
    let (body, end) = parser.list(true)?;
    match end {
        Stop::End => Ok(Parsed { body, defined: parser.defined }),
        stop => Err((parser.at(), format!("unexpected {{{{{}}}}}", stop.word()))),
    }
}

/// What a list of nodes ended with.
enum Stop {
    End,
    Closed,
    Else,
}

impl Stop {
    fn word(&self) -> &'static str {
        match self {
            Self::End => "EOF",
            Self::Closed => "end",
            Self::Else => "else",
        }
    }
}

struct Parser {
    words: Vec<Token>,
    next: usize,
    depth: usize,
    loops: usize,
    variables: Vec<String>,
    defined: BTreeMap<String, Vec<Node>>,
}

impl Parser {
    fn at(&self) -> usize {
        self.words.get(self.next.saturating_sub(1)).map_or(0, |token| token.at)
    }

    fn peek(&self) -> &Word {
        self.words.get(self.next).map_or(&Word::End, |token| &token.word)
    }

    fn peek_at(&self) -> usize {
        self.words.get(self.next).map_or(0, |token| token.at)
    }

    fn take(&mut self) -> Word {
        let word = self.peek().clone();
        self.next = (self.next + 1).min(self.words.len());
        word
    }

    fn spaces(&mut self) {
        while *self.peek() == Word::Space {
            self.next += 1;
        }
    }

    fn name(&self) -> &str {
        if let Word::Name(name) = self.peek() { name } else { "" }
    }

    fn list(&mut self, top: bool) -> Result<(Vec<Node>, Stop), Fault> {
        let mut out = Vec::new();
        loop {
            match self.take() {
                Word::End => return Ok((out, Stop::End)),
                Word::Text(text) => out.push(Node::Text(text)),
                _ => {
                    self.spaces();
                    let at = self.peek_at();
                    match self.name() {
                        "end" => {
                            self.next += 1;
                            self.close("end")?;
                            return Ok((out, Stop::Closed));
                        }
                        "else" => {
                            self.next += 1;
                            return Ok((out, Stop::Else));
                        }
                        "define" if top => {
                            self.next += 1;
                            self.define()?;
                        }
                        "define" => return Err((at, "unexpected {{define}}".into())),
                        _ => out.push(self.action()?),
                    }
                }
            }
        }
    }

    fn action(&mut self) -> Result<Node, Fault> {
        let at = self.peek_at();
        let keyword = self.name().to_owned();
        if KEYWORDS.contains(&keyword.as_str()) {
            self.next += 1;
        }
        match keyword.as_str() {
            "if" => self.control(Branch::If),
            "with" => self.control(Branch::With),
            "range" => self.control(Branch::Range),
            "break" | "continue" => {
                self.close(&keyword)?;
                if self.loops == 0 {
                    return Err((at, format!("{{{{{keyword}}}}} outside {{{{range}}}}")));
                }
                Ok(if keyword == "break" { Node::Break } else { Node::Continue })
            }
            "template" => {
                self.spaces();
                let at = self.peek_at();
                let name = self.quoted("template clause")?;
                self.spaces();
                let pipe = if *self.peek() == Word::Close { None } else { Some(self.pipe("template clause")?) };
                self.close("template clause")?;
                Ok(Node::Call(at, name, pipe))
            }
            "block" => {
                self.spaces();
                let at = self.peek_at();
                let name = self.quoted("block clause")?;
                let pipe = self.pipe("block clause")?;
                self.close("block clause")?;
                self.body(&name)?;
                Ok(Node::Call(at, name, Some(pipe)))
            }
            _ => {
                let pipe = self.pipe("command")?;
                self.close("command")?;
                Ok(Node::Action(pipe))
            }
        }
    }

    fn define(&mut self) -> Result<(), Fault> {
        let name = self.quoted("define clause")?;
        self.close("define clause")?;
        self.body(&name)
    }

    /// The rest of a `define` or `block`, which knows no variable from around it.
    fn body(&mut self, name: &str) -> Result<(), Fault> {
        self.deeper()?;
        let around = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let loops = std::mem::take(&mut self.loops);
        let (body, stop) = self.list(false)?;
        if !matches!(stop, Stop::Closed) {
            return Err((self.at(), format!("unexpected {} in define clause", stop.word())));
        }
        (self.variables, self.loops) = (around, loops);
        self.depth -= 1;
        self.defined.insert(name.to_owned(), body);
        Ok(())
    }

    fn control(&mut self, kind: Branch) -> Result<Node, Fault> {
        self.deeper()?;
        let known = self.variables.len();
        let word = match kind {
            Branch::If => "if",
            Branch::With => "with",
            Branch::Range => "range",
        };
        let pipe = self.pipe(word)?;
        self.close(word)?;
        self.loops += usize::from(kind == Branch::Range);
        let (body, stop) = self.list(false)?;
        self.loops -= usize::from(kind == Branch::Range);
        let mut other = Vec::new();
        match stop {
            Stop::Closed => {}
            Stop::End => return Err((self.at(), "unexpected EOF".into())),
            Stop::Else => {
                self.spaces();
                let again = match (kind, self.name()) {
                    (Branch::If, "if") => Some(Branch::If),
                    (Branch::With, "with") => Some(Branch::With),
                    _ => None,
                };
                if let Some(kind) = again {
                    self.next += 1;
                    // The inner one takes the `end` that closes both.
                    other.push(self.control(kind)?);
                } else {
                    self.close("else")?;
                    let (list, stop) = self.list(false)?;
                    other = list;
                    if !matches!(stop, Stop::Closed) {
                        return Err((self.at(), format!("expected end; found {}", stop.word())));
                    }
                }
            }
        }
        self.variables.truncate(known);
        self.depth -= 1;
        Ok(Node::Branch(kind, pipe, body, other))
    }

    fn deeper(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err((self.at(), format!("nested deeper than {MAX_DEPTH} levels"))) } else { Ok(()) }
    }

    fn close(&mut self, context: &str) -> Result<(), Fault> {
        self.spaces();
        match self.take() {
            Word::Close => Ok(()),
            word => Err((self.at(), format!("unexpected {} in {context}", show(&word)))),
        }
    }

    fn quoted(&mut self, context: &str) -> Result<String, Fault> {
        self.spaces();
        match self.take() {
            Word::Quoted(_, name) => Ok(name),
            word => Err((self.at(), format!("unexpected {} in {context}", show(&word)))),
        }
    }

    fn pipe(&mut self, context: &str) -> Result<Pipe, Fault> {
        self.spaces();
        let at = self.peek_at();
        let mut pipe = Pipe { at, assigns: false, variables: Vec::new(), commands: Vec::new() };
        self.variables(&mut pipe, context)?;
        loop {
            self.spaces();
            match self.peek() {
                Word::Close | Word::Right if !pipe.commands.is_empty() => return Ok(pipe),
                Word::Close | Word::Right => return Err((at, format!("missing value for {context}"))),
                _ => {
                    let command = self.command(context)?;
                    if let (true, Some(first)) = (!pipe.commands.is_empty(), command.args.first())
                        && let Operand::Bool(_) | Operand::Dot | Operand::Nil | Operand::Number(..) | Operand::Text(..) =
                            first.kind
                    {
                        let stage = pipe.commands.len() + 1;
                        return Err((first.at, format!("non executable command in pipeline stage {stage}")));
                    }
                    pipe.commands.push(command);
                }
            }
        }
    }

    /// `$a :=`, `$a =` and, in a range, `$a, $b :=`.
    fn variables(&mut self, pipe: &mut Pipe, context: &str) -> Result<(), Fault> {
        loop {
            let Word::Variable(name) = self.peek().clone() else { return Ok(()) };
            let start = self.next;
            self.next += 1;
            self.spaces();
            match self.peek() {
                Word::Declare | Word::Assign => {
                    pipe.assigns = *self.peek() == Word::Assign;
                    self.next += 1;
                    pipe.variables.push(name);
                    if pipe.assigns {
                        for name in &pipe.variables {
                            self.known(name)?;
                        }
                    } else {
                        self.variables.extend(pipe.variables.iter().cloned());
                    }
                    return Ok(());
                }
                Word::Comma if context == "range" && pipe.variables.is_empty() => {
                    self.next += 1;
                    self.spaces();
                    pipe.variables.push(name);
                    if !matches!(self.peek(), Word::Variable(_)) {
                        return Err((self.peek_at(), "range can only initialize variables".into()));
                    }
                }
                Word::Comma => return Err((self.peek_at(), format!("too many declarations in {context}"))),
                _ if pipe.variables.is_empty() => {
                    self.next = start;
                    return Ok(());
                }
                _ => return Err((self.peek_at(), "expected :=".into())),
            }
        }
    }

    fn known(&self, name: &str) -> Result<(), Fault> {
        let known = self.variables.iter().any(|known| known == name);
        if known { Ok(()) } else { Err((self.at(), format!("undefined variable {name:?}"))) }
    }

    fn command(&mut self, context: &str) -> Result<Command, Fault> {
        let at = self.peek_at();
        let mut args = Vec::new();
        loop {
            self.spaces();
            if let Some(arg) = self.operand()? {
                args.push(arg);
            }
            match self.peek() {
                Word::Space => continue,
                Word::Close | Word::Right => break,
                Word::Pipe => {
                    self.next += 1;
                    self.spaces();
                    if let Word::Close | Word::Right | Word::Pipe = self.peek() {
                        return Err((self.at(), format!("missing value for {context}")));
                    }
                    break;
                }
                word => return Err((self.peek_at(), format!("unexpected {} in operand", show(word)))),
            }
        }
        if args.is_empty() { Err((at, "empty command".into())) } else { Ok(Command { at, args }) }
    }

    fn operand(&mut self) -> Result<Option<Arg>, Fault> {
        let mut at = self.peek_at();
        let Some(kind) = self.term()? else { return Ok(None) };
        if let Word::Field(_) = self.peek() {
            // As Go: errors about a field name the place of the first one that follows.
            at = self.peek_at();
        }
        let mut fields = Vec::new();
        while let Word::Field(name) = self.peek() {
            fields.push(name.clone());
            self.next += 1;
        }
        if fields.is_empty() {
            return Ok(Some(Arg { at, kind }));
        }
        let kind = match kind {
            Operand::Field(mut names) => {
                names.extend(fields);
                Operand::Field(names)
            }
            Operand::Variable(name, mut names) => {
                names.extend(fields);
                Operand::Variable(name, names)
            }
            kind @ (Operand::Pipe(_) | Operand::Function(_)) => Operand::Chain(Box::new(Arg { at, kind }), fields),
            kind => return Err((at, format!("unexpected . after term {:?}", Arg { at, kind }.to_string()))),
        };
        Ok(Some(Arg { at, kind }))
    }

    fn term(&mut self) -> Result<Option<Operand>, Fault> {
        let at = self.peek_at();
        let kind = match self.peek().clone() {
            Word::Name(name) => match name.as_str() {
                "true" | "false" => Operand::Bool(name == "true"),
                "nil" => Operand::Nil,
                word if KEYWORDS.contains(&word) || ["else", "end", "define"].contains(&word) => {
                    return Err((at, format!("unexpected <{word}> in operand")));
                }
                word if functions::exists(word) => Operand::Function(name),
                word => return Err((at, format!("function {word:?} not defined"))),
            },
            Word::Dot => Operand::Dot,
            Word::Field(name) => Operand::Field(vec![name]),
            Word::Variable(name) => {
                self.next += 1;
                self.known(&name)?;
                return Ok(Some(Operand::Variable(name, Vec::new())));
            }
            Word::Number(text) => number(text).map_err(|what| (at, what))?,
            Word::Char(raw, code) => Operand::Number(raw, Some(code), code as f64),
            Word::Quoted(raw, text) => Operand::Text(raw, text),
            Word::Left => {
                self.next += 1;
                self.deeper()?;
                let pipe = self.pipe("parenthesized pipeline")?;
                self.depth -= 1;
                if self.take() != Word::Right {
                    return Err((at, "unclosed left paren".into()));
                }
                return Ok(Some(Operand::Pipe(Box::new(pipe))));
            }
            _ => return Ok(None),
        };
        self.next += 1;
        Ok(Some(kind))
    }
}

const KEYWORDS: [&str; 7] = ["if", "with", "range", "break", "continue", "template", "block"];

fn number(text: String) -> Result<Operand, String> {
    let bare = text.replace('_', "");
    let (sign, digits) = match bare.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, bare.trim_start_matches('+')),
    };
    let radix = |prefix: &[&str], radix| {
        prefix
            .iter()
            .find_map(|prefix| digits.strip_prefix(prefix))
            .and_then(|rest| i64::from_str_radix(rest, radix).ok())
    };
    let whole = radix(&["0x", "0X"], 16)
        .or_else(|| radix(&["0o", "0O"], 8))
        .or_else(|| radix(&["0b", "0B"], 2))
        .or_else(|| {
            digits.strip_prefix('0').filter(|rest| !rest.is_empty()).and_then(|rest| i64::from_str_radix(rest, 8).ok())
        })
        .or_else(|| digits.parse().ok());
    if let Some(whole) = whole {
        return Ok(Operand::Number(text, Some(sign * whole), (sign * whole) as f64));
    }
    let float: Option<f64> = digits.parse().ok().filter(|_| digits.contains(|c: char| c.is_ascii_digit()));
    match float {
        Some(float) if float.is_finite() => {
            // A whole number that is written as one and fits is both, as in Go.
            let float = float * sign as f64;
            Ok(Operand::Number(text, None, float))
        }
        _ => Err(format!("bad number syntax: {text:?}")),
    }
}

fn show(word: &Word) -> String {
    match word {
        Word::End => "EOF".into(),
        Word::Close => "\"}}\"".into(),
        Word::Name(name) if KEYWORDS.contains(&name.as_str()) || name == "end" || name == "else" => format!("<{name}>"),
        Word::Name(text) | Word::Number(text) | Word::Quoted(text, _) | Word::Char(text, _) | Word::Variable(text) => {
            format!("{text:?}")
        }
        Word::Field(name) => format!("\".{name}\""),
        Word::Dot => "\".\"".into(),
        Word::Declare => "\":=\"".into(),
        Word::Assign => "\"=\"".into(),
        Word::Comma => "\",\"".into(),
        Word::Pipe => "\"|\"".into(),
        Word::Left => "\"(\"".into(),
        Word::Right => "\")\"".into(),
        Word::Space => "\" \"".into(),
        Word::Open => "\"{{\"".into(),
        Word::Text(_) => "text".into(),
    }
}
