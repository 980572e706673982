//! Series and their values in promtool's notation: `m{a="b"}`, `1+0x6 _x3 stale`.

use crate::store::Labels;
use crate::store::labels::NAME;
use crate::store::sample::STALE;

/// More points than this in one series are a slip of the keyboard.
const MAX_POINTS: usize = 1_000_000;

/// The labels of a series.
pub(super) fn labels(text: &str) -> Result<Labels, String> {
    let text = text.trim();
    let open = text.find('{').unwrap_or(text.len());
    let name = text[..open].trim_end();
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    if !name.chars().all(good) || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("{name:?} is no name of a metric"));
    }
    let mut pairs = Vec::new();
    if !name.is_empty() {
        pairs.push((NAME.to_owned(), name.to_owned()));
    }
    if open == text.len() {
        return if name.is_empty() {
            Err("a series is wanted, such as m{a=\"b\"}".into())
        } else {
            Ok(Labels::new(pairs))
        };
    }
    let inner = text[open + 1..].strip_suffix('}').ok_or_else(|| format!("{text:?} has no closing brace"))?;
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let (key, after) = if rest.starts_with(['"', '\'', '`']) {
            quoted(rest)?
        } else {
            let end = rest.find(|c: char| !good(c)).unwrap_or(rest.len());
            (rest[..end].to_owned(), &rest[end..])
        };
        let after = after.trim_start();
        rest = match after.strip_prefix('=') {
            Some(value) if !value.starts_with(['=', '~']) => {
                let (value, after) = quoted(value.trim_start())?;
                pairs.push((key, value));
                after.trim_start()
            }
            // A name in quotes alone is the metric's.
            _ if after.is_empty() || after.starts_with(',') => {
                pairs.push((NAME.to_owned(), key));
                after
            }
            _ => return Err(format!("{text:?}: `=` and a value in quotes are wanted behind {key:?}")),
        };
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None if rest.is_empty() => {}
            None => return Err(format!("{text:?}: a comma is wanted before {rest:?}")),
        }
    }
    Ok(Labels::new(pairs))
}

/// A text in quotes, and what follows it.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let fault = || format!("a text in quotes is wanted at {text:?}");
    let quote = text.chars().next().filter(|c| ['"', '\'', '`'].contains(c)).ok_or_else(fault)?;
    let mut out = String::new();
    let mut chars = text[1..].char_indices();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Ok((out, &text[at + 2..]));
        }
        if c != '\\' || quote == '`' {
            out.push(c);
            continue;
        }
        match chars.next().ok_or_else(fault)?.1 {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            c @ ('\\' | '"' | '\'') => out.push(c),
            c => return Err(format!("unknown escape \\{c} in {text:?}")),
        }
    }
    Err(fault())
}

/// The points of a series; `None` where one is missing.
pub(super) fn values(text: &str) -> Result<Vec<Option<f64>>, String> {
    let mut out = Vec::new();
    for item in text.split_whitespace() {
        let fault = || format!("{item:?} is no value: such as 5, 1+2x10, 3x5, _, _x3, stale");
        if item.contains("{{") {
            return Err("native histograms are not in this version".into());
        }
        let (head, times) = match item.split_once('x') {
            Some((head, times)) => (head, times.parse::<usize>().map_err(|_| fault())?),
            None => (item, 0),
        };
        let repeated = item.contains('x');
        if out.len().saturating_add(times) > MAX_POINTS {
            return Err(format!("more than {MAX_POINTS} points"));
        }
        if head == "_" {
            out.extend(std::iter::repeat_n(None, if repeated { times } else { 1 }));
            continue;
        }
        if head == "stale" && !repeated {
            out.push(Some(STALE));
            continue;
        }
        let step =
            head.char_indices().skip(1).find(|(at, c)| ['+', '-'].contains(c) && !head[..*at].ends_with(['e', 'E']));
        let (start, step) = match step {
            Some((at, _)) if repeated => (&head[..at], number(&head[at..]).ok_or_else(fault)?),
            Some(_) => return Err(fault()),
            None => (head, 0.0),
        };
        // Repeated, promtool takes them for names.
        let odd = repeated && start.contains(['I', 'N', 'i', 'n']);
        let mut value = number(start).filter(|_| !odd).ok_or_else(fault)?;
        for _ in 0..=times {
            out.push(Some(value));
            value += step;
        }
    }
    Ok(out)
}

fn number(text: &str) -> Option<f64> {
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    let fits = bare.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || bare.eq_ignore_ascii_case("inf")
        || bare.eq_ignore_ascii_case("nan");
    if fits { text.replace('_', "").parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promtools_notation_is_read() {
        let points = |text: &str| values(text).unwrap();
        assert_eq!(points("1+2x3 _ 5"), [Some(1.0), Some(3.0), Some(5.0), Some(7.0), None, Some(5.0)]);
        assert_eq!(points("-1-1x1 _x2 3x1"), [Some(-1.0), Some(-2.0), None, None, Some(3.0), Some(3.0)]);
        assert_eq!(points("1e3 1e-1+1e1x1"), [Some(1000.0), Some(0.1), Some(10.1)]);
        assert!(points("stale")[0].unwrap().is_nan() && points("NaN")[0].unwrap().is_nan());
        assert_eq!(points("-Inf 0x2").len(), 4);
        for wrong in ["a", "1+", "1+2", "1x", "1xx2", "1x99999999999", "{{schema:1}}", "+"] {
            assert!(values(wrong).is_err(), "{wrong}");
        }
        let labels = |text: &str| labels(text).map(|labels| labels.to_string());
        assert_eq!(labels("m{a=\"b\", c='d\\n',}").as_deref(), Ok("m{a=\"b\", c=\"d\\n\"}"));
        assert_eq!((labels("{}"), labels("m")), (Ok("{}".into()), Ok("m".into())));
        assert_eq!(labels("{\"m.x\", a=\"b\"}").as_deref(), Ok("m.x{a=\"b\"}"));
        for wrong in ["", "m{", "m{a}x", "m{a=b}", "m{a=~\"b\"}", "1m", "m{a=\"b\" c=\"d\"}"] {
            assert!(labels(wrong).is_err(), "{wrong}");
        }
    }
}
