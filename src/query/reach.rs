//! How far back a query looks, and whether one answer is enough for it.

use super::syntax::{Kind, Node, Op};

/// Milliseconds that the ranges of `node` reach back, those of subqueries added to what they hold; without the lookback
/// of instant selectors. Calculated lengths count as in an instant query, which is what rules ask.
pub(super) fn reach(node: &Node) -> i64 {
    let below = |nodes: &mut dyn Iterator<Item = &Node>| nodes.map(reach).max().unwrap_or(0);
    match &node.kind {
        Kind::Number(..) | Kind::Text(_) => 0,
        Kind::Select(selector) => selector.shift.offset.millis.max(0),
        Kind::Range(selector, range) => range.millis.saturating_add(selector.shift.offset.millis.max(0)),
        Kind::Subquery(subquery) => {
            let own = subquery.range.millis.saturating_add(subquery.shift.offset.millis.max(0));
            reach(&subquery.expr).saturating_add(own)
        }
        Kind::Sign(_, expr) | Kind::Paren(expr) => reach(expr),
        Kind::Binary(binary) => below(&mut [&binary.left, &binary.right].into_iter()),
        Kind::Aggregate(aggregate) => below(&mut std::iter::once(&aggregate.expr).chain(&aggregate.param)),
        Kind::Call(_, args) => below(&mut args.iter()),
    }
}

/// Whether `node` may yield something though one of its selectors finds nothing: `or`, `unless`, `absent`.
pub(super) fn copes(node: &Node) -> bool {
    match &node.kind {
        Kind::Number(..) | Kind::Text(_) | Kind::Select(_) | Kind::Range(..) => false,
        Kind::Subquery(subquery) => copes(&subquery.expr),
        Kind::Sign(_, expr) | Kind::Paren(expr) => copes(expr),
        Kind::Binary(binary) => matches!(binary.op, Op::Or | Op::Unless) || copes(&binary.left) || copes(&binary.right),
        Kind::Aggregate(aggregate) => copes(&aggregate.expr),
        Kind::Call(function, args) => matches!(function.name, "absent" | "absent_over_time") || args.iter().any(copes),
    }
}

/// The metrics without each of which `node` yields nothing: of `or` what both sides need, of `unless` what the left one does.
pub(super) fn needs(node: &Node) -> Vec<&str> {
    match &node.kind {
        Kind::Number(..) | Kind::Text(_) => Vec::new(),
        Kind::Select(selector) | Kind::Range(selector, _) => selector.name.as_deref().into_iter().collect(),
        Kind::Subquery(subquery) => needs(&subquery.expr),
        Kind::Sign(_, expr) | Kind::Paren(expr) => needs(expr),
        Kind::Binary(binary) => {
            let (mut left, right) = (needs(&binary.left), needs(&binary.right));
            match binary.op {
                Op::Or => left.retain(|name| right.contains(name)),
                Op::Unless => {}
                _ => left.extend(right),
            }
            left
        }
        Kind::Aggregate(aggregate) => needs(&aggregate.expr),
        Kind::Call(function, _) if matches!(function.name, "absent" | "absent_over_time") => Vec::new(),
        Kind::Call(_, args) => args.iter().flat_map(needs).collect(),
    }
}
