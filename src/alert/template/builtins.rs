//! The functions that Go's text/template brings itself.

use super::exec::Run;
use super::functions::escape;
use super::value::Value;

type Answer = Result<Value, String>;

/// What `and` and `or` yield when no argument decided before.
pub(super) fn last(_: &mut Run<'_, '_>, args: &[Value]) -> Answer {
    Ok(args.last().cloned().unwrap_or(Value::Nothing))
}

pub(super) fn not(_: &mut Run<'_, '_>, args: &[Value]) -> Answer {
    Ok(Value::Bool(!args[0].truth()))
}

pub(super) fn eq(_: &mut Run<'_, '_>, args: &[Value]) -> Answer {
    if args.len() < 2 {
        return Err("missing argument for comparison".into());
    }
    for other in &args[1..] {
        if equal(&args[0], other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

pub(super) fn ne(_: &mut Run<'_, '_>, args: &[Value]) -> Answer {
    Ok(Value::Bool(!equal(&args[0], &args[1])?))
}

pub(super) fn lt(_: &mut Run<'_, '_>, args: &[Value]) -> Answer {
    Ok(Value::Bool(less(&args[0], &args[1])?))
}

pub(super) fn le(_: &mut Run<'_, '_>, args: &[Value]) -> Answer {
    Ok(Value::Bool(less(&args[0], &args[1])? || equal(&args[0], &args[1])?))
}

// Go has these two as the opposites, also where a value is no number.
pub(super) fn gt(_: &mut Run<'_, '_>, args: &[Value]) -> Answer {
    Ok(Value::Bool(!(less(&args[0], &args[1])? || equal(&args[0], &args[1])?)))
}

pub(super) fn ge(_: &mut Run<'_, '_>, args: &[Value]) -> Answer {
    Ok(Value::Bool(!less(&args[0], &args[1])?))
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Int(a), Value::Int(b)) | (Value::Span(a), Value::Span(b)) | (Value::Time(a), Value::Time(b)) => {
            Ok(a == b)
        }
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Text(a), Value::Text(b)) => Ok(a == b),
        (Value::Nothing, Value::Nothing) => Ok(true),
        (Value::Nothing, _) | (_, Value::Nothing) => Ok(false),
        (a, b) if a.kind() == b.kind() => Err(format!("non-comparable type {}: {}", b.print(), b.kind())),
        (a, b) => Err(format!("incompatible types for comparison: {} and {}", a.kind(), b.kind())),
    }
}

fn less(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(a < b),
        (Value::Float(a), Value::Float(b)) => Ok(a < b),
        (Value::Text(a), Value::Text(b)) => Ok(a < b),
        (
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_),
            Value::Int(_) | Value::Float(_) | Value::Text(_),
        )
        | (Value::Int(_) | Value::Float(_) | Value::Text(_), Value::Bool(_)) => {
            Err(format!("incompatible types for comparison: {} and {}", a.kind(), b.kind()))
        }
        _ => Err("invalid type for comparison".into()),
    }
}

/// Go's `fmt.Sprint`: a space between two values of which neither is a text.
fn sprint(args: &[Value]) -> String {
    let mut out = String::new();
    let mut before = true;
    for arg in args {
        let text = matches!(arg, Value::Text(_));
        if !before && !text {
            out.push(' ');
        }
        out.push_str(&arg.print());
        before = text;
    }
    out
}

pub(super) fn print(_: &mut Run<'_, '_>, args: &[Value]) -> Answer {
    Ok(Value::text(sprint(args)))
}

pub(super) fn println(_: &mut Run<'_, '_>, args: &[Value]) -> Answer {
    let each: Vec<String> = args.iter().map(Value::print).collect();
    Ok(Value::text(format!("{}\n", each.join(" "))))
}

pub(super) fn len(_: &mut Run<'_, '_>, args: &[Value]) -> Answer {
    let length = match &args[0] {
        Value::Text(text) => text.len(),
        Value::Labels(labels) => labels.iter().len(),
        Value::Map(map) => map.len(),
        Value::Vector(all) => all.len(),
        Value::Nothing => return Err("len of nil pointer".into()),
        other => return Err(format!("len of type {}", other.kind())),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn position(index: &Value, (what, length): (&str, usize), inclusive: bool) -> Result<usize, String> {
    let Value::Int(number) = index else {
        return Err(format!(
            "cannot index slice/array with {}",
            if matches!(index, Value::Nothing) { "nil" } else { "type " }.to_owned()
                + if matches!(index, Value::Nothing) { "" } else { index.kind() }
        ));
    };
    let found = usize::try_from(*number).ok().filter(|at| *at < length || (inclusive && *at == length));
    found.ok_or_else(|| match usize::try_from(*number) {
        // Go looks for it right behind the end too.
        Ok(at) if at == length => format!("reflect: {what} index out of range"),
        _ => format!("index out of range: {number}"),
    })
}

pub(super) fn index(_: &mut Run<'_, '_>, args: &[Value]) -> Answer {
    let mut item = args[0].clone();
    if matches!(item, Value::Nothing) {
        return Err("index of untyped nil".into());
    }
    for index in &args[1..] {
        item = match (&item, index) {
            (Value::Labels(labels), Value::Text(name)) => Value::text(labels.get(name)),
            (Value::Map(map), Value::Text(name)) => map.get(&**name).cloned().unwrap_or(Value::Nothing),
            (Value::Labels(_) | Value::Map(_), Value::Nothing) => {
                return Err("value is nil; should be of type string".into());
            }
            (Value::Labels(_) | Value::Map(_), other) => {
                return Err(format!("value has type {}; should be string", other.kind()));
            }
            (Value::Vector(all), index) => Value::Sample(all[position(index, ("slice", all.len()), false)?].clone()),
            (Value::Text(text), index) => {
                Value::Int(i64::from(text.as_bytes()[position(index, ("string", text.len()), false)?]))
            }
            (Value::Nothing, _) => return Err("index of nil pointer".into()),
            (other, _) => return Err(format!("can't index item of type {}", other.kind())),
        };
    }
    Ok(item)
}

pub(super) fn slice(_: &mut Run<'_, '_>, args: &[Value]) -> Answer {
    let length = match &args[0] {
        Value::Text(text) => text.len(),
        Value::Vector(all) => all.len(),
        Value::Nothing => return Err("slice of untyped nil".into()),
        other => return Err(format!("can't slice item of type {}", other.kind())),
    };
    if args.len() > 4 {
        return Err(format!("too many slice indexes: {}", args.len() - 1));
    }
    if args.len() == 4 && matches!(args[0], Value::Text(_)) {
        return Err("cannot 3-index slice a string".into());
    }
    let mut range = [0, length];
    for (at, index) in args[1..].iter().take(2).enumerate() {
        range[at] = position(index, ("", length), true)?;
    }
    let [from, to] = range;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    Ok(match &args[0] {
        Value::Text(text) => Value::text(String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned()),
        Value::Vector(all) => Value::Vector(all[from..to].into()),
        other => other.clone(),
    })
}

pub(super) fn html(_: &mut Run<'_, '_>, args: &[Value]) -> Answer {
    let mut out = String::new();
    for c in sprint(args).chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    Ok(Value::text(out))
}

pub(super) fn js(_: &mut Run<'_, '_>, args: &[Value]) -> Answer {
    let mut out = String::new();
    for c in sprint(args).chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' => out.push_str("\\u003C"),
            '>' => out.push_str("\\u003E"),
            '&' => out.push_str("\\u0026"),
            '=' => out.push_str("\\u003D"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    Ok(Value::text(out))
}

pub(super) fn urlquery(_: &mut Run<'_, '_>, args: &[Value]) -> Answer {
    Ok(Value::text(escape(&sprint(args))))
}
