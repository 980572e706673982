//! Which metrics and labels a query asks for, so that rules and panels can be compared with what there is.

use super::syntax::{Kind, Node, Selector};
use crate::store::Matcher;
use crate::store::labels::NAME;

/// The names in the selectors of `node`, sorted, each once.
pub(super) fn names(node: &Node) -> Vec<&str> {
    let mut found: Vec<&str> = selectors(node).into_iter().filter_map(|selector| selector.name.as_deref()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// What each selector demands, but for the name: with the name, where there is one.
pub(super) fn demands(node: &Node) -> Vec<(Option<&str>, Vec<&Matcher>)> {
    selectors(node).into_iter().map(|selector| (selector.name.as_deref(), demand(selector))).collect()
}

/// The labels by which `node` groups and matches, sorted, each once.
pub(super) fn groups(node: &Node) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    walk(node, |node| match &node.kind {
        Kind::Aggregate(aggregate) => found.extend(aggregate.labels.iter().map(String::as_str)),
        Kind::Binary(binary) => {
            found.extend(binary.matching.labels.iter().chain(&binary.matching.include).map(String::as_str));
        }
        _ => {}
    });
    found.sort_unstable();
    found.dedup();
    found
}

fn demand(selector: &Selector) -> Vec<&Matcher> {
    selector.matchers.iter().filter(|matcher| matcher.name != NAME).collect()
}

fn selectors(node: &Node) -> Vec<&Selector> {
    let mut found = Vec::new();
    walk(node, |node| {
        if let Kind::Select(selector) | Kind::Range(selector, _) = &node.kind {
            found.push(selector);
        }
    });
    found
}

/// Shows `node` and all below it.
fn walk<'a>(node: &'a Node, mut show: impl FnMut(&'a Node)) {
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        show(node);
        match &node.kind {
            Kind::Number(..) | Kind::Text(_) | Kind::Select(_) | Kind::Range(..) => {}
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
}
