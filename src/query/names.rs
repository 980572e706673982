//! Which metrics a query asks for, so that rules and panels can be compared with what there is.

use super::syntax::{Kind, Node};

/// The names in the selectors of `node`, sorted, each once.
pub(super) fn names(node: &Node) -> Vec<&str> {
    let mut found = Vec::new();
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        match &node.kind {
            Kind::Number(..) | Kind::Text(_) => {}
            Kind::Select(selector) | Kind::Range(selector, _) => found.extend(selector.name.as_deref()),
            Kind::Subquery(subquery) => open.push(&subquery.expr),
            Kind::Sign(_, expr) | Kind::Paren(expr) => open.push(expr),
            Kind::Binary(binary) => open.extend([&binary.left, &binary.right]),
            Kind::Aggregate(aggregate) => {
                open.push(&aggregate.expr);
                open.extend(&aggregate.param);
            }
            Kind::Call(_, args) => open.extend(args),
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}
