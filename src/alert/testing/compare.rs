//! What a test wants beside what came, with promtool's comparison and its way to print both.

use super::raw::ExpectedAlert;
use crate::alert::state::Alert;
use crate::store::Labels;

/// Labels and annotations, each sorted by name.
pub(super) type Pairs = Vec<(String, String)>;

pub(super) fn of_alert(alert: &Alert) -> (Pairs, Pairs) {
    let labels = alert.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut annotations: Pairs = alert.annotations.clone();
    annotations.sort();
    (labels, annotations)
}

pub(super) fn of_case(name: &str, alert: &ExpectedAlert) -> (Pairs, Pairs) {
    let mut labels = alert.exp_labels.clone().unwrap_or_default();
    labels.insert("alertname".into(), name.to_owned());
    (labels.into_iter().collect(), alert.exp_annotations.clone().unwrap_or_default().into_iter().collect())
}

/// `None`: both are equal.
pub(super) fn alerts(mut wanted: Vec<(Pairs, Pairs)>, mut got: Vec<(Pairs, Pairs)>) -> Option<String> {
    wanted.sort();
    got.sort();
    let show = |all: &[(Pairs, Pairs)]| {
        let each = all.iter().enumerate().map(|(number, (labels, annotations))| {
            let pad = "            ";
            let (labels, annotations) = (braces(labels), braces(annotations));
            format!("\n{pad}{number}:\n{pad}  Labels:{labels}\n{pad}  Annotations:{annotations}")
        });
        let inner: Vec<String> = each.collect();
        if inner.is_empty() { "[]".into() } else { format!("[{}\n            ]", inner.join(",")) }
    };
    (wanted != got).then(|| format!("        exp:{}, \n        got:{}", show(&wanted), show(&got)))
}

/// `None`: both are equal.
pub(super) fn samples(mut wanted: Vec<(Labels, f64)>, mut got: Vec<(Labels, f64)>, fuzzy: bool) -> Option<String> {
    wanted.sort_by(|a, b| a.0.cmp(&b.0));
    got.sort_by(|a, b| a.0.cmp(&b.0));
    let same = |a: f64, b: f64| a == b || (fuzzy && (a.next_up() == b || a.next_down() == b));
    let equal = wanted.len() == got.len() && wanted.iter().zip(&got).all(|(a, b)| a.0 == b.0 && same(a.1, b.1));
    let show = |all: &[(Labels, f64)]| {
        let each: Vec<String> = all.iter().map(|(labels, value)| format!("{labels} {}", upper(*value))).collect();
        if each.is_empty() { "nil".into() } else { each.join(", ") }
    };
    (!equal).then(|| format!("        exp: {}\n        got: {}", show(&wanted), show(&got)))
}

/// As Go's `FormatFloat(v, 'E', -1, 64)`.
fn upper(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    let text = format!("{value:E}");
    let (mantissa, power) = text.split_once('E').unwrap_or((&text, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    format!("{mantissa}E{}{:02}", if power < 0 { '-' } else { '+' }, power.abs())
}

fn braces(pairs: &Pairs) -> String {
    let each: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", each.join(", "))
}
