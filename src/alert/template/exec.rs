//! Runs a template's tree over its data, bounded in steps, output and depth.

use super::functions::{self, Param};
use super::node::{Arg, Branch, Command, Node, Operand, Pipe};
use super::parse::Parsed;
use super::value::Value;
use super::{Ask, Data};
use crate::base::go::quoted;

/// What a template may cost: more than any that people write, and never a box.
const MAX_STEPS: usize = 100_000;
const MAX_OUTPUT: usize = 64 << 10;
const MAX_DEPTH: usize = 50;
const MAX_QUERIES: usize = 20;

/// One run of a template.
pub(super) struct Run<'a, 'b> {
    pub(super) data: &'a Data<'a>,
    pub(super) ask: &'a Ask<'b>,
    pub(super) queries: usize,
    parsed: &'a Parsed,
    text: &'a str,
    /// The name of the whole, for errors, and of the one that is being executed.
    name: &'a str,
    inner: String,
    out: String,
    variables: Vec<(String, Value)>,
    steps: usize,
    depth: usize,
}

/// Why a list of nodes ended early.
enum Flow {
    On,
    Break,
    Continue,
}

/// Fills in the template; the error in Go's words.
pub(super) fn expand(
    (parsed, text, name): (&Parsed, &str, &str),
    data: &Data<'_>,
    ask: &Ask<'_>,
) -> Result<String, String> {
    let mut run = Run {
        data,
        ask,
        queries: 0,
        parsed,
        text,
        name,
        inner: name.to_owned(),
        out: String::new(),
        variables: vec![("$".into(), Value::Root)],
        steps: 0,
        depth: 0,
    };
    run.list(&Value::Root, &parsed.body)?;
    Ok(run.out)
}

impl Run<'_, '_> {
    fn fail<T>(&self, at: usize, context: &str, what: &str) -> Result<T, String> {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rfind('\n').map_or(at, |end| at - end - 1);
        let inner = quoted(&self.inner);
        Err(format!("template: {}:{line}:{column}: executing {inner} at <{context}>: {what}", self.name))
    }

    fn step(&mut self) -> Result<(), String> {
        self.steps += 1;
        if self.steps > MAX_STEPS { Err(format!("the template takes more than {MAX_STEPS} steps")) } else { Ok(()) }
    }

    fn write(&mut self, text: &str) -> Result<(), String> {
        if self.out.len() + text.len() > MAX_OUTPUT {
            return Err(format!("the text becomes longer than {} KiB", MAX_OUTPUT >> 10));
        }
        self.out.push_str(text);
        Ok(())
    }

    /// One more call of `query`, or too many.
    pub(super) fn asks(&mut self) -> Result<(), String> {
        self.queries += 1;
        if self.queries > MAX_QUERIES { Err(format!("more than {MAX_QUERIES} queries in one text")) } else { Ok(()) }
    }

    fn list(&mut self, dot: &Value, nodes: &[Node]) -> Result<Flow, String> {
        for node in nodes {
            self.step()?;
            match node {
                Node::Text(text) => self.write(text)?,
                Node::Action(pipe) => {
                    let value = self.pipe(dot, pipe)?;
                    if pipe.variables.is_empty() {
                        let text = match value {
                            Value::Nothing => "<no value>".into(),
                            // What a pointer points at is printed.
                            Value::Sample(_) => value.print()[1..].to_owned(),
                            value => value.print(),
                        };
                        self.write(&text)?;
                    }
                }
                Node::Branch(kind, pipe, body, other) => {
                    let known = self.variables.len();
                    let flow = match kind {
                        Branch::Range => self.range(dot, pipe, body, other)?,
                        kind => {
                            let value = self.pipe(dot, pipe)?;
                            match (value.truth(), kind) {
                                (true, Branch::With) => self.list(&value, body)?,
                                (true, _) => self.list(dot, body)?,
                                (false, _) => self.list(dot, other)?,
                            }
                        }
                    };
                    self.variables.truncate(known);
                    if !matches!(flow, Flow::On) {
                        return Ok(flow);
                    }
                }
                Node::Call(at, name, pipe) => self.call(dot, *at, name, pipe.as_ref())?,
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
            }
        }
        Ok(Flow::On)
    }

    fn call(&mut self, dot: &Value, at: usize, name: &str, pipe: Option<&Pipe>) -> Result<(), String> {
        let context = || match pipe {
            Some(pipe) => format!("{{{{template {} {pipe}}}}}", quoted(name)),
            None => format!("{{{{template {}}}}}", quoted(name)),
        };
        let parsed = self.parsed;
        let Some(body) = parsed.defined.get(name) else {
            return self.fail(at, &context(), &format!("template {} not defined", quoted(name)));
        };
        if self.depth == MAX_DEPTH {
            return self.fail(at, &context(), "exceeded maximum template depth");
        }
        let value = match pipe {
            Some(pipe) => self.pipe(dot, pipe)?,
            None => Value::Nothing,
        };
        self.depth += 1;
        let around = std::mem::replace(&mut self.variables, vec![("$".into(), value.clone())]);
        let inner = std::mem::replace(&mut self.inner, name.to_owned());
        self.list(&value, body)?;
        (self.variables, self.inner) = (around, inner);
        self.depth -= 1;
        Ok(())
    }

    fn range(&mut self, dot: &Value, pipe: &Pipe, body: &[Node], other: &[Node]) -> Result<Flow, String> {
        let known = self.variables.len();
        let value = self.value(dot, pipe)?;
        let items: Vec<(Value, Value)> = match &value {
            Value::Nothing => Vec::new(),
            Value::Vector(all) => {
                (0..).map(Value::Int).zip(all.iter().map(|sample| Value::Sample(sample.clone()))).collect()
            }
            Value::Labels(all) => all.iter().map(|(name, value)| (Value::text(name), Value::text(value))).collect(),
            Value::Map(all) => all.iter().map(|(name, value)| (Value::text(name.as_str()), value.clone())).collect(),
            Value::Int(count) => {
                let count = (*count).clamp(0, MAX_STEPS as i64);
                (0..count).map(|number| (Value::Int(number), Value::Int(number))).collect()
            }
            other => {
                return self.fail(pipe.at, &pipe.to_string(), &format!("range can't iterate over {}", other.print()));
            }
        };
        if items.is_empty() {
            return self.list(dot, other);
        }
        for (key, item) in items {
            self.step()?;
            match (pipe.variables.as_slice(), pipe.assigns) {
                ([name], true) => self.set(name, item.clone()),
                ([first, second], true) => {
                    self.set(first, key);
                    self.set(second, item.clone());
                }
                ([name], false) => self.variables.push((name.clone(), item.clone())),
                ([first, second], false) => {
                    self.variables.extend([(first.clone(), key), (second.clone(), item.clone())]);
                }
                _ => {}
            }
            let flow = self.list(&item, body)?;
            self.variables.truncate(known);
            if matches!(flow, Flow::Break) {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn set(&mut self, name: &str, value: Value) {
        if let Some(found) = self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            found.1 = value;
        }
    }

    /// A pipeline's value, with its variables set.
    fn pipe(&mut self, dot: &Value, pipe: &Pipe) -> Result<Value, String> {
        let value = self.value(dot, pipe)?;
        for name in &pipe.variables {
            if pipe.assigns {
                self.set(name, value.clone());
            } else {
                self.variables.push((name.clone(), value.clone()));
            }
        }
        Ok(value)
    }

    fn value(&mut self, dot: &Value, pipe: &Pipe) -> Result<Value, String> {
        let mut last = None;
        for command in &pipe.commands {
            self.step()?;
            last = Some(self.command(dot, command, last)?);
        }
        Ok(last.unwrap_or(Value::Nothing))
    }

    fn command(&mut self, dot: &Value, command: &Command, last: Option<Value>) -> Result<Value, String> {
        let Some(first) = command.args.first() else { return Ok(Value::Nothing) };
        if let Operand::Function(name) = &first.kind {
            return self.function(dot, command, name, last);
        }
        if command.args.len() > 1 || last.is_some() {
            let what = match &first.kind {
                Operand::Field(names) | Operand::Variable(_, names) | Operand::Chain(_, names) if !names.is_empty() => {
                    let name = names.last().map_or("", String::as_str);
                    format!("{name} is not a method but has arguments")
                }
                _ => format!("can't give argument to non-function {first}"),
            };
            return self.fail(first.at, &first.to_string(), &what);
        }
        if first.kind == Operand::Nil {
            return self.fail(first.at, "nil", "nil is not a command");
        }
        self.operand(dot, first)
    }

    fn operand(&mut self, dot: &Value, arg: &Arg) -> Result<Value, String> {
        match &arg.kind {
            Operand::Dot => Ok(dot.clone()),
            Operand::Nil => Ok(Value::Nothing),
            Operand::Bool(truth) => Ok(Value::Bool(*truth)),
            Operand::Number(text, whole, float) => {
                let hex = text.contains("0x") || text.contains("0X") || text.starts_with('\'');
                let float_like = !hex && text.contains(['.', 'e', 'E', 'p', 'P']);
                match whole {
                    Some(whole) if !float_like => Ok(Value::Int(*whole)),
                    None if !float_like => self.fail(arg.at, text, &format!("{text} overflows int")),
                    _ => Ok(Value::Float(*float)),
                }
            }
            Operand::Text(_, text) => Ok(Value::text(text.as_str())),
            Operand::Function(name) => {
                let command = Command { at: arg.at, args: vec![arg.clone()] };
                self.function(dot, &command, name, None)
            }
            Operand::Field(names) => self.fields(dot.clone(), names, arg),
            Operand::Variable(name, names) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                let value = found.map_or(Value::Nothing, |(_, value)| value.clone());
                self.fields(value, names, arg)
            }
            Operand::Pipe(pipe) => self.pipe(dot, pipe),
            Operand::Chain(inner, names) => {
                let value = self.operand(dot, inner)?;
                self.fields(value, names, arg)
            }
        }
    }

    fn fields(&self, mut value: Value, names: &[String], arg: &Arg) -> Result<Value, String> {
        for name in names {
            value = match (&value, name.as_str()) {
                (Value::Root, "Labels") => Value::Labels(self.data.labels.clone()),
                (Value::Root, "ExternalLabels") => Value::Labels(self.data.external_labels.clone()),
                (Value::Root, "ExternalURL") => Value::text(self.data.external_url),
                (Value::Root, "Value") => Value::Float(self.data.value),
                (Value::Labels(labels), name) => Value::text(labels.get(name)),
                (Value::Map(map), name) => map.get(name).cloned().unwrap_or(Value::Nothing),
                (Value::Sample(sample), "Labels") => Value::Labels(sample.labels.clone()),
                (Value::Sample(sample), "Value") => Value::Float(sample.value),
                (Value::Time(_) | Value::Span(_), name) => {
                    functions::method(&value, name).map_or_else(|| self.no_field(arg, name, &value), Ok)?
                }
                (Value::Nothing, _) => Value::Nothing,
                (value, name) => self.no_field(arg, name, value)?,
            };
        }
        Ok(value)
    }

    fn no_field(&self, arg: &Arg, name: &str, value: &Value) -> Result<Value, String> {
        self.fail(arg.at, &arg.to_string(), &format!("can't evaluate field {name} in type {}", value.kind()))
    }

    fn function(&mut self, dot: &Value, command: &Command, name: &str, last: Option<Value>) -> Result<Value, String> {
        let Some(function) = functions::find(name) else {
            return self.fail(command.at, &command.to_string(), &format!("{name:?} is not a defined function"));
        };
        let given = command.args.len() - 1 + usize::from(last.is_some());
        let wanted = function.params.len();
        let wrong = match function.rest {
            Some(_) if given < wanted => {
                Some(format!("wrong number of args for {name}: want at least {wanted} got {given}"))
            }
            None if given != wanted => Some(format!("wrong number of args for {name}: want {wanted} got {given}")),
            _ => None,
        };
        if let Some(wrong) = wrong {
            return self.fail(command.at, &command.to_string(), &wrong);
        }
        let mut values = Vec::with_capacity(given);
        for (number, arg) in command.args.iter().skip(1).enumerate() {
            let param = function.param(number);
            let value = self.operand(dot, arg)?;
            self.fits(param, &value, arg)?;
            // `and` and `or` do not even look at what comes behind the one that decides.
            let decided = matches!((name, value.truth()), ("and", false) | ("or", true));
            values.push(value);
            if decided {
                return Ok(values.pop().unwrap_or(Value::Nothing));
            }
        }
        if let Some(last) = last {
            let param = function.param(values.len());
            if let (Some(wanted), true) = (param.kind(), !param.takes(&last)) {
                let what = match last {
                    Value::Nothing => format!("invalid value; expected {wanted}"),
                    last => format!("wrong type for value; expected {wanted}; got {}", last.kind()),
                };
                return self.fail(command.at, &command.to_string(), &what);
            }
            values.push(last);
        }
        match (function.call)(self, &values) {
            Ok(value) => Ok(value),
            Err(error) => self.fail(command.at, &command.to_string(), &format!("error calling {name}: {error}")),
        }
    }

    fn fits(&self, param: Param, value: &Value, arg: &Arg) -> Result<(), String> {
        let Some(wanted) = param.kind().filter(|_| !param.takes(value)) else { return Ok(()) };
        let what = match (&arg.kind, value) {
            (Operand::Number(..) | Operand::Bool(_), _) if param == Param::Text => {
                format!("expected string; found {arg}")
            }
            (Operand::Nil, _) => format!("cannot assign nil to {wanted}"),
            (Operand::Number(..) | Operand::Bool(_) | Operand::Text(..), _) => {
                format!("can't handle {arg} for arg of type {wanted}")
            }
            (_, Value::Nothing) => format!("invalid value; expected {wanted}"),
            (_, value) => format!("wrong type for value; expected {wanted}; got {}", value.kind()),
        };
        self.fail(arg.at, &arg.to_string(), &what)
    }
}
