//! The answer of a query for people: tables and bars, pure, so that tests can hold them against golden files.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::super::figures::{Unit, bars};
use crate::base::terminal::{Paint, Style, WIDTH, cut, left, right};
use crate::query::{Row, Value};
use crate::status::report::words::{age, clean};
use crate::store::Labels;
use crate::store::labels::NAME;
use crate::store::sample::is_stale;

/// How an answer is shown.
pub(super) struct Screen {
    pub(super) zone: TimeZone,
    pub(super) paint: Paint,
    /// The time of the query, Unix milliseconds.
    pub(super) at: i64,
    /// From, to, step of a range query.
    pub(super) span: Option<(i64, i64, i64)>,
}

/// A wider column of labels is cut.
const MAX_COLUMN: usize = 40;
/// Bars of a range.
const BARS: usize = 40;

impl Screen {
    /// The answer to `expression`; empty when there is nothing to show.
    pub(super) fn show(&self, expression: &str, value: &Value) -> String {
        let unit = Unit::of(expression);
        match value {
            Value::Scalar(sample) => format!("{}\n", unit.text(sample.v)),
            Value::Text(text) => format!("{}\n", clean(text)),
            Value::Vector(elements) if elements.is_empty() => String::new(),
            Value::Vector(elements) => {
                let rows: Vec<(&Labels, Vec<String>)> =
                    elements.iter().map(|one| (&one.labels, vec![unit.text(one.sample.v)])).collect();
                self.table(&rows, &["value"], None)
            }
            Value::Matrix(rows) if rows.iter().all(|row| row.samples.is_empty()) => String::new(),
            Value::Matrix(rows) if self.span.is_none() => self.samples(rows, unit),
            Value::Matrix(rows) => self.range(rows, unit),
        }
    }

    /// A range selector in an instant query: each sample with its time.
    fn samples(&self, rows: &[Row], unit: Unit) -> String {
        let mut out = String::new();
        for row in rows {
            out.push_str(&self.paint.text(Style::Heading, &clean(&row.labels.to_string())));
            out.push('\n');
            for sample in &row.samples {
                let value = if is_stale(sample.v) { "ended".to_owned() } else { unit.text(sample.v) };
                out.push_str(&format!("  {}  {value}\n", self.time(sample.t, true)));
            }
        }
        out
    }

    fn range(&self, rows: &[Row], unit: Unit) -> String {
        let Some((from, to, step)) = self.span else { return String::new() };
        // No more bars than points: a bar without one is a gap.
        let width = usize::try_from((to - from) / step + 1).unwrap_or(BARS).min(BARS);
        let figures = |row: &Row| {
            let values = || row.samples.iter().map(|sample| sample.v).filter(|value| !value.is_nan());
            let min = values().fold(f64::INFINITY, f64::min);
            let max = values().fold(f64::NEG_INFINITY, f64::max);
            let told = |value: f64, any: bool| if any { unit.text(value) } else { "NaN".to_owned() };
            let any = values().next().is_some();
            let last = row.samples.last().map_or_else(String::new, |sample| unit.text(sample.v));
            let line = bars(row.samples.iter().map(|sample| (sample.t, sample.v)), (from, to + step), width);
            vec![told(min, any), told(max, any), last, line]
        };
        let shown: Vec<_> = rows.iter().map(|row| (&row.labels, figures(row))).collect();
        let millis = |millis: i64| u64::try_from(millis).unwrap_or(0).saturating_mul(1_000_000);
        let length = age(millis(to - from));
        let note = format!("{length} until {}, every {}", self.time(to, false), step_text(step));
        self.table(&shown, &["min", "max", "last", ""], Some(&note))
    }

    /// What all series share above, a column for each label that differs, then the figures.
    fn table(&self, rows: &[(&Labels, Vec<String>)], heads: &[&str], note: Option<&str>) -> String {
        let (shared, names) = split(rows);
        if let ([(_, figures)], [_]) = (rows, heads) {
            let gap = if shared.is_empty() { "" } else { "  " };
            return format!("{shared}{gap}{}\n", figures[0]);
        }
        let mut columns: Vec<(String, Vec<String>, bool)> = Vec::new();
        for name in &names {
            let cells = rows.iter().map(|(labels, _)| clean(labels.get(name)).into_owned()).collect();
            columns.push((clean(name).into_owned(), cells, false));
        }
        let labels_width: usize = columns.iter().map(|column| width(column).min(MAX_COLUMN) + 2).sum();
        for (index, head) in heads.iter().enumerate() {
            let cells = rows.iter().map(|(_, figures)| figures[index].clone()).collect();
            columns.push(((*head).to_owned(), cells, !head.is_empty()));
        }
        let figures: usize = columns[names.len()..].iter().map(|column| width(column) + 2).sum();
        let mut out = String::new();
        let title = [shared, note.unwrap_or("").to_owned()];
        let title: Vec<&str> = title.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        if !title.is_empty() {
            out.push_str(&title.join("   "));
            out.push('\n');
        }
        if labels_width + figures > WIDTH && names.len() > 1 {
            return out + &self.list(rows, heads, &names);
        }
        let widths: Vec<usize> = columns
            .iter()
            .enumerate()
            .map(|(index, column)| if index < names.len() { width(column).min(MAX_COLUMN) } else { width(column) })
            .collect();
        let head = line(&columns, &widths, |(head, _, _)| head);
        out.push_str(&self.paint.text(Style::Heading, &head));
        out.push('\n');
        for row in 0..rows.len() {
            out.push_str(&line(&columns, &widths, |(_, cells, _)| &cells[row]));
            out.push('\n');
        }
        out
    }

    /// Where the columns have no room: the figures in front, then the labels that differ.
    fn list(&self, rows: &[(&Labels, Vec<String>)], heads: &[&str], names: &[&str]) -> String {
        let columns: Vec<(String, Vec<String>, bool)> = heads
            .iter()
            .enumerate()
            .map(|(index, head)| {
                let cells = rows.iter().map(|(_, figures)| figures[index].clone()).collect();
                ((*head).to_owned(), cells, !head.is_empty())
            })
            .collect();
        let widths: Vec<usize> = columns.iter().map(width).collect();
        let mut out = self.paint.text(Style::Heading, &line(&columns, &widths, |(head, _, _)| head));
        out.push('\n');
        for (row, (labels, _)) in rows.iter().enumerate() {
            let own = clean(&labels.filter(|name| names.contains(&name)).to_string()).into_owned();
            out.push_str(&format!("{}  {own}\n", line(&columns, &widths, |(_, cells, _)| &cells[row])));
        }
        out
    }

    fn time(&self, millis: i64, exact: bool) -> String {
        let Ok(time) = Timestamp::from_millisecond(millis) else { return millis.to_string() };
        let recent = self.at.saturating_sub(millis).unsigned_abs() < 86_400_000;
        let format = match (exact, recent) {
            (true, true) => "%H:%M:%S%.3f",
            (true, false) => "%Y-%m-%d %H:%M:%S%.3f",
            (false, true) => "%H:%M:%S",
            (false, false) => "%Y-%m-%d %H:%M:%S",
        };
        time.to_zoned_datetime(self.zone.clone()).strftime(format).to_string()
    }
}

/// The labels that all rows share, as a selector; and the names of the others.
fn split<'a>(rows: &[(&'a Labels, Vec<String>)]) -> (String, Vec<&'a str>) {
    let Some((first, _)) = rows.first() else { return (String::new(), Vec::new()) };
    let everywhere = |name: &str| rows.iter().all(|(labels, _)| labels.get(name) == first.get(name));
    let mut names: Vec<&str> = rows
        .iter()
        .flat_map(|(labels, _)| labels.iter().map(|(name, _)| name))
        .filter(|name| !everywhere(name))
        .collect();
    names.sort_unstable();
    names.dedup();
    // The metric's name goes in front where it differs.
    names.sort_by_key(|name| *name != NAME);
    let shared = first.filter(everywhere);
    let shared = if shared.is_empty() { String::new() } else { cut(&clean(&shared.to_string()), WIDTH) };
    (shared, names)
}

fn width((head, cells, _): &(String, Vec<String>, bool)) -> usize {
    cells.iter().chain([head]).map(|cell| cell.chars().count()).max().unwrap_or(0)
}

fn line<'a>(
    columns: &'a [(String, Vec<String>, bool)],
    widths: &[usize],
    cell: impl Fn(&'a (String, Vec<String>, bool)) -> &'a str,
) -> String {
    let each = columns.iter().zip(widths).map(|(column, width)| {
        let text = cut(cell(column), *width);
        if column.2 { right(&text, *width) } else { left(&text, *width) }
    });
    each.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

fn step_text(step: i64) -> String {
    if step % 1000 == 0 {
        age(u64::try_from(step).unwrap_or(0).saturating_mul(1_000_000))
    } else {
        format!("{step} ms")
    }
}
