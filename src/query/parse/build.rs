//! Nodes of the tree, checked as they are made: types, counts of arguments, height.

use crate::query::calls;
use crate::query::length::Length;
use crate::query::notes::quoted;
use crate::query::syntax::{
    Aggregate, Aggregator, Binary, Edges, Function, Group, Kind, Matching, Node, Op, Shift, Type,
};

use super::{MAX_HEIGHT, Parsed};

/// A node, if the tree is not too high with it.
pub(super) fn checked(kind: Kind, place: usize, end: usize, height: usize, fixed: bool) -> Parsed<Node> {
    if height > MAX_HEIGHT {
        return Err((place, format!("nested deeper than {MAX_HEIGHT} levels")));
    }
    Ok(Node { kind, place, end, height, fixed })
}

pub(super) fn paren(place: usize, end: usize, inner: Node) -> Parsed<Node> {
    let (height, fixed) = (inner.height + 1, inner.fixed);
    checked(Kind::Paren(Box::new(inner)), place, end, height, fixed)
}

pub(super) fn sign(place: usize, minus: bool, inner: Node) -> Parsed<Node> {
    if let Kind::Number(value, duration) = inner.kind {
        let value = if minus { -value } else { value };
        return Ok(Node { kind: Kind::Number(value, duration), place, ..inner });
    }
    let ty = inner.ty();
    if !matches!(ty, Type::Scalar | Type::Vector) {
        let got = quoted(ty.words());
        let what = format!("unary expression only allowed on expressions of type scalar or instant vector, got {got}");
        return Err((place, what));
    }
    let (end, height, fixed) = (inner.end, inner.height + 1, inner.fixed);
    checked(Kind::Sign(minus, Box::new(inner)), place, end, height, fixed)
}

pub(super) fn binary(at: usize, op: Op, left: Node, right: Node, matching: Matching, truth: bool) -> Parsed<Node> {
    let (lt, rt) = (left.ty(), right.ty());
    let scalars = lt == Type::Scalar && rt == Type::Scalar;
    if truth && !op.compares() {
        return Err((at, "bool modifier can only be used on comparison operators".into()));
    }
    if op.compares() && !truth && scalars {
        return Err((at, "comparisons between scalars must use BOOL modifier".into()));
    }
    if let Some(label) = matching.labels.iter().find(|label| matching.on && matching.include.contains(label)) {
        return Err((at, format!("label {} must not occur in ON and GROUP clause at once", quoted(label))));
    }
    for node in [&left, &right] {
        if !matches!(node.ty(), Type::Scalar | Type::Vector) {
            return Err((node.place, "binary expression must contain only scalar and instant vector types".into()));
        }
    }
    let vectors = lt == Type::Vector && rt == Type::Vector;
    if !vectors && !matching.labels.is_empty() {
        return Err((left.place, "vector matching only allowed between instant vectors".into()));
    }
    let text = quoted(op.text());
    if vectors && op.is_set() && matching.group != Group::One {
        return Err((left.place, format!("no grouping allowed for {text} operation")));
    }
    if !vectors && op.is_set() {
        return Err((left.place, format!("set operator {text} not allowed in binary scalar expression")));
    }
    let (place, end) = (left.place, right.end);
    let (height, fixed) = (left.height.max(right.height) + 1, left.fixed && right.fixed);
    let binary = Binary { op, left, right, matching, truth };
    checked(Kind::Binary(Box::new(binary)), place, end, height, fixed)
}

/// Whether a word, in small letters, is an aggregator, even one that is refused.
pub(super) fn is_aggregator(word: &str) -> bool {
    matches!(word, "limitk" | "limit_ratio") || Aggregator::ALL.iter().any(|(text, _)| *text == word)
}

pub(super) fn aggregate(
    place: usize,
    end: usize,
    word: &str,
    mut args: Vec<Node>,
    (without, labels): (bool, Vec<String>),
) -> Parsed<Node> {
    if args.is_empty() {
        return Err((place, "no arguments for aggregate expression provided".into()));
    }
    let Some((_, op)) = Aggregator::ALL.iter().find(|(text, _)| *text == word) else {
        let flag = "must be enabled with --enable-feature=promql-experimental-functions";
        return Err((place, format!("{word}() is experimental and {flag}")));
    };
    let wanted = if op.has_param() { 2 } else { 1 };
    let got = args.len();
    let (Some(expr), true) = (args.pop(), got == wanted) else {
        let what = "wrong number of arguments for aggregate expression provided";
        return Err((place, format!("{what}, expected {wanted}, got {got}")));
    };
    expect(&expr, Type::Vector, "aggregation expression")?;
    let param = args.pop();
    if let Some(param) = &param {
        let ty = if *op == Aggregator::CountValues { Type::Text } else { Type::Scalar };
        expect(param, ty, "aggregation parameter")?;
    }
    let height = expr.height.max(param.as_ref().map_or(0, |param| param.height)) + 1;
    let fixed = expr.fixed && param.as_ref().is_none_or(|param| param.fixed);
    let aggregate = Aggregate { op: *op, expr, param, without, labels };
    checked(Kind::Aggregate(Box::new(aggregate)), place, end, height, fixed)
}

fn expect(node: &Node, ty: Type, context: &str) -> Parsed<()> {
    if node.ty() == ty {
        return Ok(());
    }
    Err((node.place, format!("expected type {} in {context}, got {}", ty.words(), node.ty().words())))
}

pub(super) fn call(place: usize, end: usize, function: &'static Function, args: Vec<Node>) -> Parsed<Node> {
    let (name, types, got) = (quoted(function.name), function.args, args.len());
    if function.variadic == 0 && got != types.len() {
        return Err((place, format!("expected {} argument(s) in call to {name}, got {got}", types.len())));
    }
    if function.variadic > 0 {
        let least = types.len() - 1;
        let most = least + function.variadic;
        if got < least {
            return Err((place, format!("expected at least {least} argument(s) in call to {name}, got {got}")));
        }
        if got > most {
            return Err((place, format!("expected at most {most} argument(s) in call to {name}, got {got}")));
        }
    }
    for (index, arg) in args.iter().enumerate() {
        let ty = types.get(index).or(types.last()).copied().unwrap_or(Type::Vector);
        expect(arg, ty, &format!("call to function {name}"))?;
    }
    let height = args.iter().map(|arg| arg.height).max().unwrap_or(0) + 1;
    let steady = args.iter().all(|arg| arg.fixed);
    let own = function.name == "timestamp" && matches!(args[0].bare().kind, Kind::Select(_));
    let fixed = steady && (own || !calls::unsteady(function.name));
    checked(Kind::Call(function, args), place, end, height, fixed)
}

/// A range selector from an instant one.
pub(super) fn range(open: usize, end: usize, node: Node, range: Length) -> Parsed<Node> {
    let Kind::Select(selector) = node.kind else {
        return Err((open, "ranges only allowed for vector selectors".into()));
    };
    if selector.shift.offset.given() {
        return Err((open, "no offset modifiers allowed before range".into()));
    }
    if selector.shift.at.is_some() {
        return Err((open, "no @ modifiers allowed before range".into()));
    }
    checked(Kind::Range(selector, range), node.place, end, node.height, node.fixed)
}

/// Marks a selector as `anchored` or `smoothed`.
pub(super) fn edges(node: &mut Node, edges: Edges) -> Parsed<()> {
    let what = match &mut node.kind {
        Kind::Select(selector) | Kind::Range(selector, _) => {
            if selector.edges == Edges::Plain || selector.edges == edges {
                selector.edges = edges;
                return Ok(());
            }
            "anchored and smoothed modifiers cannot be used together".to_owned()
        }
        Kind::Subquery(_) => format!("{} modifier is not supported for subqueries", edges.word()),
        _ => format!("{} modifier not implemented", edges.word()),
    };
    Err((node.place, what))
}

/// Where `offset` and `@` of a node go.
pub(super) fn shift<'a>(node: &'a mut Node, what: &str) -> Parsed<&'a mut Shift> {
    match &mut node.kind {
        Kind::Select(selector) | Kind::Range(selector, _) => Ok(&mut selector.shift),
        Kind::Subquery(subquery) => Ok(&mut subquery.shift),
        _ => {
            let before = "an instant vector selector or range vector selector or a subquery";
            Err((node.place, format!("{what} must be preceded by {before}")))
        }
    }
}
