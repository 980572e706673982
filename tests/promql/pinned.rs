//! A query with `@` on every selector and subquery that has none, as Prometheus' own runner tries each query again.

use std::time::{Duration, UNIX_EPOCH};

use promql_parser::parser::{self, AtModifier, Expr};

/// Functions whose answer depends on the time of the query though their arguments do not.
const UNSAFE: [&str; 15] = [
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "time",
    "timestamp",
    "start",
    "end",
    "range",
    "step",
];

/// The query pinned to `at` (Unix milliseconds); `None` where that would change its meaning.
pub(crate) fn pinned(query: &str, at: i64) -> Option<String> {
    // The printer writes a byte that is no UTF-8 as a letter.
    let mut expr = parser::parse(query).ok().filter(|_| !query.contains("\\x"))?;
    let mut fine = true;
    pin(&mut expr, at, &mut fine);
    fine.then(|| expr.to_string())
}

fn pin(expr: &mut Expr, at: i64, fine: &mut bool) {
    match expr {
        Expr::VectorSelector(selector) => set(&mut selector.at, at),
        Expr::MatrixSelector(selector) => set(&mut selector.vs.at, at),
        // What lies inside looks from the subquery's time on, and its functions with it.
        Expr::Subquery(subquery) => set(&mut subquery.at, at),
        Expr::Call(call) => {
            *fine &= !UNSAFE.contains(&call.func.name);
            call.args.args.iter_mut().for_each(|arg| pin(arg, at, fine));
        }
        Expr::Aggregate(aggregate) => {
            pin(&mut aggregate.expr, at, fine);
            aggregate.param.iter_mut().for_each(|param| pin(param, at, fine));
        }
        Expr::Binary(binary) => {
            pin(&mut binary.lhs, at, fine);
            pin(&mut binary.rhs, at, fine);
        }
        Expr::Paren(paren) => pin(&mut paren.expr, at, fine),
        Expr::Unary(unary) => pin(&mut unary.expr, at, fine),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => {}
        Expr::Extension(_) => *fine = false,
    }
}

fn set(known: &mut Option<AtModifier>, at: i64) {
    if known.is_none() {
        let time = Duration::from_millis(at.unsigned_abs());
        let time = if at < 0 { UNIX_EPOCH - time } else { UNIX_EPOCH + time };
        *known = Some(AtModifier::At(time));
    }
}
