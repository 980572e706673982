//! Functions of one number.

/// The function with this name.
pub(super) fn find(name: &str) -> Option<fn(f64, &[f64]) -> f64> {
    Some(match name {
        "abs" => |value, _| value.abs(),
        "ceil" => |value, _| value.ceil(),
        "floor" => |value, _| value.floor(),
        "exp" => |value, _| value.exp(),
        "ln" => |value, _| value.ln(),
        "log2" => |value, _| value.log2(),
        "log10" => |value, _| value.log10(),
        "sqrt" => |value, _| value.sqrt(),
        "sgn" => |value, _| sign(value),
        "round" => round,
        "clamp" => |value, bounds| clamp(value, at(bounds, 0), at(bounds, 1)),
        "clamp_min" => |value, bounds| clamp(value, at(bounds, 0), f64::INFINITY),
        "clamp_max" => |value, bounds| clamp(value, f64::NEG_INFINITY, at(bounds, 0)),
        "sin" => |value, _| value.sin(),
        "cos" => |value, _| value.cos(),
        "tan" => |value, _| value.tan(),
        "asin" => |value, _| value.asin(),
        "acos" => |value, _| value.acos(),
        "atan" => |value, _| value.atan(),
        "sinh" => |value, _| value.sinh(),
        "cosh" => |value, _| value.cosh(),
        "tanh" => |value, _| value.tanh(),
        "asinh" => |value, _| value.asinh(),
        "acosh" => |value, _| value.acosh(),
        "atanh" => |value, _| value.atanh(),
        // The factor first: the product must not overflow on the way.
        "deg" => |value, _| value * (180.0 / std::f64::consts::PI),
        "rad" => |value, _| value * (std::f64::consts::PI / 180.0),
        _ => return None,
    })
}

fn at(args: &[f64], index: usize) -> f64 {
    args.get(index).copied().unwrap_or(f64::NAN)
}

/// Zero and NaN stay what they are.
fn sign(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}

/// To the nearest multiple, halves up.
fn round(value: f64, args: &[f64]) -> f64 {
    // By its inverse, which costs less precision.
    let inverse = 1.0 / args.first().copied().unwrap_or(1.0);
    (value * inverse + 0.5).floor() / inverse
}

/// NaN, of the value or of a bound, stays NaN.
fn clamp(value: f64, least: f64, most: f64) -> f64 {
    if value.is_nan() || least.is_nan() || most.is_nan() { f64::NAN } else { least.max(most.min(value)) }
}
