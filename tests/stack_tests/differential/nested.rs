//! Queries of several levels, made by chance from a grammar: what nobody would write by hand, but somebody's board asks.
//!
//! Left out is what Prometheus itself answers by chance or by the processor: which of equal elements `topk` takes, dates
//! of what is no number, logarithms and powers of numbers below 1e-308, and what makes much of a last bit (`%`, `cos`;
//! `stddev` and `stdvar` over series, whose order Prometheus takes from a map when they arrive, so that their last bits
//! differ from run to run). `FUZZ=SEED COUNT=N` asks others than always.

use super::asked::{AGGREGATIONS, OF_RANGES, SELECTORS};
use crate::numbers::Numbers;

const RANGES: &[&str] = &["1m", "2m", "5m", "17m", "30s", "1h", "45s", "3m7s"];
const SHIFTS: &[&str] = &[
    "",
    "",
    "",
    "",
    "",
    " offset 3m",
    " offset -90s",
    " @ 1700001234.5",
    " @ start()",
    " @ end()",
    " offset 1m @ end()",
];
const GROUPS: &[&str] = &[
    "",
    "by (job) ",
    "by (http_request_method) ",
    "without (instance) ",
    "by (queue, cpu, state) ",
    "by (le) ",
    "without (le, http_route) ",
    "by () ",
    "by (__name__, job) ",
];
const MATCHINGS: &[&str] = &[
    "",
    "",
    "on (job) ",
    "on (job, instance) ",
    "ignoring (http_request_method) ",
    "ignoring (le) ",
    "on () ",
    "on (job) group_left ",
    "on (instance) group_right ",
    "ignoring (queue, cpu) group_left (job) ",
    "on (job, instance) group_left (service_version) ",
];
const OF_VECTORS: &[&str] = &[
    "abs",
    "ceil",
    "floor",
    "exp",
    "sqrt",
    "sgn",
    "sort",
    "sort_desc",
    "absent",
    "timestamp",
    "round",
    "-",
    "+",
    "deg",
];
const NUMBERS: &[&str] = &["0", "1", "2.5", "-3", "1e3", "NaN", "Inf", "-Inf", "0x1f", "5m", ".5", "100"];
const OPERATORS: &[&str] = &["+", "-", "*", "/", "==", "!=", ">", "<", ">=", "<="];

/// A query with at most `depth` levels.
pub(super) fn query(numbers: &mut Numbers, depth: u64) -> String {
    if numbers.below(12) == 0 { scalar(numbers, depth) } else { vector(numbers, depth) }
}

fn scalar(numbers: &mut Numbers, depth: u64) -> String {
    if depth == 0 {
        return numbers.pick(NUMBERS).to_owned();
    }
    match numbers.below(8) {
        0..=3 => numbers.pick(NUMBERS).to_owned(),
        4 => "time()".to_owned(),
        5 => format!("scalar({})", vector(numbers, depth - 1)),
        6 => {
            format!("({} {} {})", scalar(numbers, depth - 1), numbers.pick(&OPERATORS[..4]), scalar(numbers, depth - 1))
        }
        _ => format!("-{}", scalar(numbers, depth - 1)),
    }
}

fn selector(numbers: &mut Numbers) -> String {
    format!("{}{}", numbers.pick(SELECTORS), numbers.pick(SHIFTS))
}

fn range(numbers: &mut Numbers, depth: u64) -> String {
    let shift = numbers.pick(SHIFTS);
    let length = numbers.pick(RANGES);
    if depth == 0 || numbers.below(3) > 0 {
        return format!("{}[{length}]{shift}", numbers.pick(SELECTORS));
    }
    let step = numbers.pick(&["", "30s", "1m", "7s", "90s"]);
    let inner = if numbers.below(8) == 0 { scalar(numbers, depth - 1) } else { vector(numbers, depth - 1) };
    format!("({inner})[{length}:{step}]{shift}")
}

fn vector(numbers: &mut Numbers, depth: u64) -> String {
    if depth == 0 {
        return selector(numbers);
    }
    let less = depth - 1;
    match numbers.below(14) {
        0 => selector(numbers),
        1..=4 => over_time(numbers, less),
        5..=7 => aggregation(numbers, less),
        8 => format!("{}({})", numbers.pick(OF_VECTORS), vector(numbers, less)),
        9 => call(numbers, less),
        10 => relabelled(numbers, less),
        11 => {
            let (set, matching) = (numbers.pick(&["and", "or", "unless"]), numbers.pick(&MATCHINGS[..7]));
            format!("({} {set} {matching}{})", vector(numbers, less), vector(numbers, less))
        }
        _ => binary(numbers, less),
    }
}

fn over_time(numbers: &mut Numbers, less: u64) -> String {
    match numbers.below(8) {
        0 => format!("quantile_over_time({}, {})", scalar(numbers, 0), range(numbers, less)),
        1 => format!("predict_linear({}, {})", range(numbers, less), scalar(numbers, 0)),
        2 => format!("first_over_time({})", range(numbers, less)),
        _ => format!("{}({})", numbers.pick(OF_RANGES), range(numbers, less)),
    }
}

fn aggregation(numbers: &mut Numbers, less: u64) -> String {
    let (group, of) = (numbers.pick(GROUPS), vector(numbers, less));
    match numbers.below(5) {
        0 => format!("quantile {group}({}, {of})", scalar(numbers, 0)),
        _ => format!("{} {group}({of})", numbers.pick(&AGGREGATIONS[..6])),
    }
}

fn call(numbers: &mut Numbers, less: u64) -> String {
    match numbers.below(5) {
        0 => format!("clamp({}, {}, {})", vector(numbers, less), scalar(numbers, 0), scalar(numbers, 0)),
        1 => format!("clamp_min({}, {})", vector(numbers, less), scalar(numbers, less)),
        2 => format!("round({}, {})", vector(numbers, less), scalar(numbers, 0)),
        3 => format!("histogram_quantile({}, {})", scalar(numbers, 0), vector(numbers, less)),
        _ => format!("vector({})", scalar(numbers, less)),
    }
}

fn relabelled(numbers: &mut Numbers, less: u64) -> String {
    let of = vector(numbers, less);
    if numbers.below(3) == 0 {
        return format!("label_join({of}, \"both\", \"-\", \"job\", \"le\")");
    }
    let to = numbers.pick(&["job", "new", "__name__", "queue"]);
    let from = numbers.pick(&["job", "http_request_method", "__name__", "instance"]);
    let with = numbers.pick(&["$1", "x-$1-$2", "", "${1}y", "$name"]);
    let regex = numbers.pick(&["(.*)", "(.)(.*)", "shop", "(?P<name>.+)", ""]);
    format!("label_replace({of}, \"{to}\", \"{with}\", \"{from}\", \"{regex}\")")
}

fn binary(numbers: &mut Numbers, less: u64) -> String {
    let operator = numbers.pick(OPERATORS);
    let compares = OPERATORS[4..].contains(&operator);
    let truth = if compares && numbers.below(3) == 0 { "bool " } else { "" };
    let (left, right) = match numbers.below(3) {
        0 => (vector(numbers, less), scalar(numbers, less)),
        1 => (scalar(numbers, less), vector(numbers, less)),
        _ => (vector(numbers, less), format!("{}{}", numbers.pick(MATCHINGS), vector(numbers, less))),
    };
    format!("({left} {operator} {truth}{right})")
}
