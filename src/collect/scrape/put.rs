//! Lines of an exposition as points that arrive in Prometheus under the name that they have.

use std::borrow::Cow;
use std::collections::HashMap;

use super::text::{Line, Type};
use crate::signal::metrics::{Kind, Metric, Number, Point, Samples};
use crate::store::translate;

/// Puts the lines of one answer.
pub(super) struct Putter<'a, 'o> {
    out: &'o mut Samples,
    families: HashMap<&'a str, (Type, &'a str)>,
    /// The metric of the line before: series of one name stand together.
    last: Option<Metric>,
    series: u64,
    changed: u64,
    first_changed: Option<String>,
}

impl<'a, 'o> Putter<'a, 'o> {
    pub(super) fn new(out: &'o mut Samples) -> Self {
        Self { out, families: HashMap::new(), last: None, series: 0, changed: 0, first_changed: None }
    }

    pub(super) fn line(&mut self, line: Line<'a, '_>) {
        match line {
            Line::Type(name, kind) => self.families.entry(name).or_insert((kind, "")).0 = kind,
            Line::Help(name, help) => self.families.entry(name).or_insert((Type::Other, help)).1 = help,
            Line::Sample { name, labels, value } => self.sample(name, labels, value),
        }
    }

    /// How many series there were, and how many names cannot arrive unchanged, with the first of them.
    pub(super) fn end(self) -> (u64, Option<(u64, String)>) {
        (self.series, self.first_changed.map(|first| (self.changed, first)))
    }

    fn sample(&mut self, name: &str, labels: &[(Cow<'a, str>, Cow<'a, str>)], value: f64) {
        self.series += 1;
        // The round itself says whether the target is up.
        if name == "up" && labels.is_empty() {
            return;
        }
        if self.last.as_ref().is_none_or(|last| last.name != name) {
            self.last = Some(self.metric(name));
        }
        let Some(metric) = &self.last else { return };
        let own = |wanted: &str| labels.iter().any(|(name, _)| name == wanted);
        let renamed: Vec<(Cow<'_, str>, &str)> =
            labels.iter().map(|(name, value)| (exported(name, &own), &**value)).collect();
        let attributes: Vec<(&str, &str)> = renamed.iter().map(|(name, value)| (&**name, *value)).collect();
        if let Some((name, _)) = labels.iter().find(|(name, _)| translate::label_name(name).as_deref() != Some(&**name))
        {
            self.changed += 1;
            self.first_changed.get_or_insert_with(|| shorten(name));
        }
        self.out.put_metric(metric, &attributes, Point::Number(Number::Double(value)));
    }

    fn metric(&mut self, name: &str) -> Metric {
        let (counter, help) = self.family(name);
        let is_kept = |kind| translate::metric_name(name, kind, "").as_deref() == Some(name);
        let kind = match counter {
            Some(true) if is_kept(Kind::Counter) => Kind::Counter,
            // Any sum that goes up by its meaning: Prometheus adds nothing to its name.
            Some(_) => Kind::UpDown,
            None => Kind::Gauge,
        };
        if !is_kept(kind) {
            self.changed += 1;
            self.first_changed.get_or_insert_with(|| shorten(name));
        }
        Metric { name: name.to_owned().into(), kind, unit: "".into(), help: help.to_owned().into() }
    }

    /// Whether the series is a counter, or (`false`) another sum; and its help.
    fn family(&self, name: &str) -> (Option<bool>, &'a str) {
        if let Some((kind, help)) = self.families.get(name) {
            return ((*kind == Type::Counter).then_some(true), help);
        }
        for suffix in ["_total", "_bucket", "_sum", "_count"] {
            let family = name.strip_suffix(suffix).and_then(|base| self.families.get(base));
            match family {
                Some((Type::Counter, help)) if suffix == "_total" => return (Some(true), help),
                Some((Type::Histogram | Type::Summary, help)) if suffix != "_total" => return (Some(false), help),
                _ => {}
            }
        }
        (None, "")
    }
}

/// `job` and `instance` are the round's own; the target's go by another name, as Prometheus names them.
fn exported<'b>(name: &'b str, taken: &dyn Fn(&str) -> bool) -> Cow<'b, str> {
    if !matches!(name, "job" | "instance") {
        return Cow::Borrowed(name);
    }
    let mut made = format!("exported_{name}");
    while taken(&made) {
        made.insert_str(0, "exported_");
    }
    Cow::Owned(made)
}

fn shorten(name: &str) -> String {
    name.chars().take(100).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
