//! A second opinion of how queries are read: that of `promql-parser`, a grammar of others.
//!
//! What both read must mean the same. It does not know what Prometheus answers by default since 3.14 (lengths of time
//! that are calculated, `anchored`, `smoothed`), and of a fault it mostly tells no place, so it cannot read for us.

use promql_parser::label::Labels;
use promql_parser::parser::{self, BinModifier, Expr, LabelModifier, VectorMatchCardinality, VectorSelector};

use plimsoll::query::Query;

/// What became of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opinion {
    /// Both read it, as the same.
    Alike,
    /// Ours alone reads it.
    Alone,
    /// Neither does, or the other one alone.
    Refused,
}

/// How both read a query.
///
/// # Errors
/// They read it as something different.
pub(crate) fn opinion(text: &str) -> Result<Opinion, String> {
    let Ok(ours) = Query::parse(text) else { return Ok(Opinion::Refused) };
    let Ok(theirs) = parser::parse(text) else { return Ok(Opinion::Alone) };
    let written = parser::parse(ours.text()).map_err(|error| format!("{}: {error}", ours.text()))?;
    let same = plain(theirs) == plain(written);
    if same { Ok(Opinion::Alike) } else { Err(format!("{text} is read as {}", ours.text())) }
}

/// Without what may be written in several ways: matchers in another order, lists of labels that are empty.
fn plain(mut expr: Expr) -> Expr {
    smooth(&mut expr);
    expr
}

fn smooth(expr: &mut Expr) {
    match expr {
        Expr::VectorSelector(selector) => sort(selector),
        Expr::MatrixSelector(selector) => sort(&mut selector.vs),
        Expr::Subquery(subquery) => smooth(&mut subquery.expr),
        Expr::Call(call) => call.args.args.iter_mut().for_each(|arg| smooth(arg)),
        Expr::Aggregate(aggregate) => {
            smooth(&mut aggregate.expr);
            aggregate.param.iter_mut().for_each(|param| smooth(param));
            aggregate.modifier.take_if(|modifier| *modifier == LabelModifier::Include(Labels::new(Vec::new())));
        }
        Expr::Binary(binary) => {
            smooth(&mut binary.lhs);
            smooth(&mut binary.rhs);
            if let Some(modifier) = &mut binary.modifier {
                let one = modifier.card == VectorMatchCardinality::OneToOne;
                modifier.matching.take_if(|m| one && *m == LabelModifier::Exclude(Labels::new(Vec::new())));
            }
            binary.modifier.take_if(|modifier| *modifier == BinModifier::default());
        }
        Expr::Paren(paren) => smooth(&mut paren.expr),
        Expr::Unary(unary) => smooth(&mut unary.expr),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

fn sort(selector: &mut VectorSelector) {
    selector.matchers.matchers.sort_by_key(ToString::to_string);
}
