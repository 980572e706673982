//! A template as a tree, with the places that errors name.

use std::fmt;

/// One piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Text(String),
    /// `{{ pipe }}`
    Action(Pipe),
    /// `{{ if }}` and `{{ with }}`, each with its `else`.
    Branch(Branch, Pipe, Vec<Node>, Vec<Node>),
    /// `{{ template "name" pipe }}`
    Call(usize, String, Option<Pipe>),
    Break,
    Continue,
}

/// Which branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Branch {
    If,
    With,
    Range,
}

/// `$a, $b := command | command`
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pipe {
    pub(super) at: usize,
    /// `=` and not `:=`.
    pub(super) assigns: bool,
    pub(super) variables: Vec<String>,
    pub(super) commands: Vec<Command>,
}

/// A function or value with its arguments.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Command {
    pub(super) at: usize,
    pub(super) args: Vec<Arg>,
}

/// One operand.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Arg {
    pub(super) at: usize,
    pub(super) kind: Operand,
}

/// What an operand is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Dot,
    Nil,
    Bool(bool),
    /// As written, as a whole number where it is one, as a float.
    Number(String, Option<i64>, f64),
    /// As written, and what it means.
    Text(String, String),
    Function(String),
    Field(Vec<String>),
    /// The name with its `$`, and fields of it.
    Variable(String, Vec<String>),
    Pipe(Box<Pipe>),
    /// Fields of something in parentheses.
    Chain(Box<Arg>, Vec<String>),
}

impl fmt::Display for Pipe {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            write!(out, "{} {} ", self.variables.join(", "), if self.assigns { "=" } else { ":=" })?;
        }
        for (number, command) in self.commands.iter().enumerate() {
            write!(out, "{}{command}", if number > 0 { " | " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, arg) in self.args.iter().enumerate() {
            write!(out, "{}{arg}", if number > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Arg {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = |out: &mut fmt::Formatter<'_>, fields: &[String]| {
            fields.iter().try_for_each(|field| write!(out, ".{field}"))
        };
        match &self.kind {
            Operand::Dot => out.write_str("."),
            Operand::Nil => out.write_str("nil"),
            Operand::Bool(truth) => write!(out, "{truth}"),
            Operand::Number(text, ..) | Operand::Text(text, _) | Operand::Function(text) => out.write_str(text),
            Operand::Field(names) => fields(out, names),
            Operand::Variable(name, names) => {
                out.write_str(name)?;
                fields(out, names)
            }
            Operand::Pipe(pipe) => write!(out, "({pipe})"),
            Operand::Chain(arg, names) => {
                write!(out, "{arg}")?;
                fields(out, names)
            }
        }
    }
}
