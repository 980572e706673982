//! The functions that are answered here with their types, and those that are refused.

use super::syntax::{Function, Type};

const M: Type = Type::Matrix;
const S: Type = Type::Scalar;
const T: Type = Type::Text;
const V: Type = Type::Vector;

/// Functions that Prometheus has only behind its flag for experiments.
const EXPERIMENTAL: &[&str] = &[
    "double_exponential_smoothing",
    "end",
    "histogram_quantiles",
    "info",
    "integral",
    "mad_over_time",
    "max_of",
    "min_of",
    "range",
    "sort_by_label",
    "sort_by_label_desc",
    "start",
    "start_timestamp",
    "step",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
];

/// Functions of native histograms, which the store does not hold.
const NATIVE: &[&str] = &["histogram_avg", "histogram_count", "histogram_stddev", "histogram_stdvar", "histogram_sum"];

/// Functions whose answer depends on the step although the arguments do not.
const UNSTEADY: &[&str] = &[
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "time",
    "timestamp",
    "year",
];

/// Those that are answered, by name.
const ALL: &[Function] = &[
    Function { name: "abs", args: &[V], variadic: 0, result: V },
    Function { name: "absent", args: &[V], variadic: 0, result: V },
    Function { name: "absent_over_time", args: &[M], variadic: 0, result: V },
    Function { name: "acos", args: &[V], variadic: 0, result: V },
    Function { name: "acosh", args: &[V], variadic: 0, result: V },
    Function { name: "asin", args: &[V], variadic: 0, result: V },
    Function { name: "asinh", args: &[V], variadic: 0, result: V },
    Function { name: "atan", args: &[V], variadic: 0, result: V },
    Function { name: "atanh", args: &[V], variadic: 0, result: V },
    Function { name: "avg_over_time", args: &[M], variadic: 0, result: V },
    Function { name: "ceil", args: &[V], variadic: 0, result: V },
    Function { name: "changes", args: &[M], variadic: 0, result: V },
    Function { name: "clamp", args: &[V, S, S], variadic: 0, result: V },
    Function { name: "clamp_max", args: &[V, S], variadic: 0, result: V },
    Function { name: "clamp_min", args: &[V, S], variadic: 0, result: V },
    Function { name: "cos", args: &[V], variadic: 0, result: V },
    Function { name: "cosh", args: &[V], variadic: 0, result: V },
    Function { name: "count_over_time", args: &[M], variadic: 0, result: V },
    Function { name: "day_of_month", args: &[V], variadic: 1, result: V },
    Function { name: "day_of_week", args: &[V], variadic: 1, result: V },
    Function { name: "day_of_year", args: &[V], variadic: 1, result: V },
    Function { name: "days_in_month", args: &[V], variadic: 1, result: V },
    Function { name: "deg", args: &[V], variadic: 0, result: V },
    Function { name: "delta", args: &[M], variadic: 0, result: V },
    Function { name: "deriv", args: &[M], variadic: 0, result: V },
    Function { name: "exp", args: &[V], variadic: 0, result: V },
    Function { name: "first_over_time", args: &[M], variadic: 0, result: V },
    Function { name: "floor", args: &[V], variadic: 0, result: V },
    Function { name: "histogram_fraction", args: &[S, S, V], variadic: 0, result: V },
    Function { name: "histogram_quantile", args: &[S, V], variadic: 0, result: V },
    Function { name: "hour", args: &[V], variadic: 1, result: V },
    Function { name: "idelta", args: &[M], variadic: 0, result: V },
    Function { name: "increase", args: &[M], variadic: 0, result: V },
    Function { name: "irate", args: &[M], variadic: 0, result: V },
    Function { name: "label_join", args: &[V, T, T, T], variadic: 99, result: V },
    Function { name: "label_replace", args: &[V, T, T, T, T], variadic: 0, result: V },
    Function { name: "last_over_time", args: &[M], variadic: 0, result: V },
    Function { name: "ln", args: &[V], variadic: 0, result: V },
    Function { name: "log10", args: &[V], variadic: 0, result: V },
    Function { name: "log2", args: &[V], variadic: 0, result: V },
    Function { name: "max_over_time", args: &[M], variadic: 0, result: V },
    Function { name: "min_over_time", args: &[M], variadic: 0, result: V },
    Function { name: "minute", args: &[V], variadic: 1, result: V },
    Function { name: "month", args: &[V], variadic: 1, result: V },
    Function { name: "pi", args: &[], variadic: 0, result: S },
    Function { name: "predict_linear", args: &[M, S], variadic: 0, result: V },
    Function { name: "present_over_time", args: &[M], variadic: 0, result: V },
    Function { name: "quantile_over_time", args: &[S, M], variadic: 0, result: V },
    Function { name: "rad", args: &[V], variadic: 0, result: V },
    Function { name: "rate", args: &[M], variadic: 0, result: V },
    Function { name: "resets", args: &[M], variadic: 0, result: V },
    Function { name: "round", args: &[V, S], variadic: 1, result: V },
    Function { name: "scalar", args: &[V], variadic: 0, result: S },
    Function { name: "sgn", args: &[V], variadic: 0, result: V },
    Function { name: "sin", args: &[V], variadic: 0, result: V },
    Function { name: "sinh", args: &[V], variadic: 0, result: V },
    Function { name: "sort", args: &[V], variadic: 0, result: V },
    Function { name: "sort_desc", args: &[V], variadic: 0, result: V },
    Function { name: "sqrt", args: &[V], variadic: 0, result: V },
    Function { name: "stddev_over_time", args: &[M], variadic: 0, result: V },
    Function { name: "stdvar_over_time", args: &[M], variadic: 0, result: V },
    Function { name: "sum_over_time", args: &[M], variadic: 0, result: V },
    Function { name: "tan", args: &[V], variadic: 0, result: V },
    Function { name: "tanh", args: &[V], variadic: 0, result: V },
    Function { name: "time", args: &[], variadic: 0, result: S },
    Function { name: "timestamp", args: &[V], variadic: 0, result: V },
    Function { name: "vector", args: &[S], variadic: 0, result: V },
    Function { name: "year", args: &[V], variadic: 1, result: V },
];

/// What a name stands for.
pub(super) enum Found {
    Function(&'static Function),
    /// Known, but not answered here: why.
    Refused(String),
    Unknown,
}

/// Looks a function up.
pub(super) fn find(name: &str) -> Found {
    if let Ok(index) = ALL.binary_search_by(|function| function.name.cmp(name)) {
        return Found::Function(&ALL[index]);
    }
    if EXPERIMENTAL.contains(&name) {
        return Found::Refused(format!("function \"{name}\" is not enabled"));
    }
    if NATIVE.contains(&name) {
        return Found::Refused(format!("function \"{name}\" needs native histograms, which are not kept here"));
    }
    Found::Unknown
}

/// Whether the answer may change from step to step although the arguments do not.
pub(super) fn unsteady(name: &str) -> bool {
    UNSTEADY.contains(&name)
}
