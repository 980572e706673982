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

fn clamp(value: f64, least: f64, most: f64) -> f64 {
    higher(least, lower(most, value))
}

/// Go's `math.Min`: an infinite bound wins over NaN, NaN over numbers, and -0 is below 0.
fn lower(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { a } else { b }
    } else {
        a.min(b)
    }
}

/// Go's `math.Max`.
fn higher(a: f64, b: f64) -> f64 {
    -lower(-a, -b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, value: f64, args: &[f64]) -> f64 {
        find(name).unwrap()(value, args)
    }

    #[test]
    fn clamping_follows_go_with_nan_infinity_and_signed_zero() {
        assert_eq!(call("clamp", 7.0, &[1.0, 5.0]), 5.0);
        assert!(call("clamp", f64::NAN, &[1.0, 5.0]).is_nan());
        assert!(call("clamp_min", 3.0, &[f64::NAN]).is_nan());
        assert_eq!(call("clamp_min", f64::NAN, &[f64::INFINITY]), f64::INFINITY);
        assert_eq!(call("clamp_max", f64::NAN, &[f64::NEG_INFINITY]), f64::NEG_INFINITY);
        assert_eq!(call("clamp_min", -0.0, &[0.0]).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn halves_are_rounded_up_to_the_nearest_multiple() {
        assert_eq!(call("round", -2.5, &[]), -2.0);
        assert_eq!(call("round", 2.5, &[]), 3.0);
        assert_eq!(call("round", 0.0055, &[0.001]), 0.006);
        assert!(call("round", 1.0, &[f64::NAN]).is_nan());
    }

    #[test]
    fn the_sign_of_zero_and_nan_is_what_they_are() {
        assert_eq!(call("sgn", -0.0, &[]).to_bits(), (-0.0_f64).to_bits());
        assert!(call("sgn", f64::NAN, &[]).is_nan());
        assert_eq!(call("sgn", f64::NEG_INFINITY, &[]), -1.0);
        assert!(find("rate").is_none());
    }
}
