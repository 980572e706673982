//! The last hour of the host's main numbers as small drawings: SVG in the page, without a script.

use std::fmt::Write;
use std::time::Duration;

use super::Page;
use crate::base::units::Size;
use crate::query::{self, Limits, Query, Value};
use crate::store::Store;

/// A number's course.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::web) struct Chart {
    title: &'static str,
    kind: Kind,
    /// From the oldest to the newest; `None`: a gap.
    points: Vec<Option<f64>>,
}

/// What is drawn, and to which height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// From 0 to 1.
    Share,
    /// From 0 to the highest.
    BytesPerSecond,
}

const CHARTS: [(&str, Kind, &str); 4] = [
    (
        "processor",
        Kind::Share,
        "1 - sum(rate(system_cpu_time_seconds_total{cpu_mode=~\"idle|iowait\"}[2m])) \
         / sum(rate(system_cpu_time_seconds_total[2m]))",
    ),
    ("memory", Kind::Share, "1 - sum(system_memory_linux_available_bytes) / sum(system_memory_limit_bytes)"),
    ("fullest disk", Kind::Share, "max(system_filesystem_utilization_ratio)"),
    ("network", Kind::BytesPerSecond, "sum(rate(system_network_io_bytes_total{network_interface_name!=\"lo\"}[2m]))"),
];

/// The last hour, a point a minute.
const POINTS: i64 = 60;
const STEP: i64 = 60_000;
/// Of a drawing, in its own units.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 40.0;
/// A page must not take what queries are for.
const LIMITS: Limits = Limits {
    samples: 200_000,
    steps: 100,
    time: Duration::from_secs(2),
    lookback: Duration::from_secs(300),
    delayed_name_removal: false,
};

/// The charts that have points, until `now` (Unix milliseconds).
pub(in crate::web) fn charts(store: &Store, now: i64) -> Vec<Chart> {
    let to = now / STEP * STEP;
    CHARTS
        .iter()
        .filter_map(|(title, kind, text)| {
            let points = points(store, text, to)?;
            Some(Chart { title, kind: *kind, points })
        })
        .collect()
}

fn points(store: &Store, text: &str, to: i64) -> Option<Vec<Option<f64>>> {
    let from = to - (POINTS - 1) * STEP;
    // No chart rather than a page that fails for it.
    let answer = query::range(store, &Query::parse(text).ok()?, (from, to, STEP), LIMITS).ok()?;
    let Value::Matrix(rows) = answer.value else { return None };
    let mut points = vec![None; POINTS as usize];
    for sample in rows.first()?.samples.iter().filter(|sample| sample.v.is_finite()) {
        let place = usize::try_from((sample.t - from) / STEP).ok()?;
        *points.get_mut(place)? = Some(sample.v);
    }
    points.iter().any(Option::is_some).then_some(points)
}

impl Page {
    pub(super) fn charts(&mut self, charts: &[Chart]) {
        if charts.is_empty() {
            return;
        }
        self.element("h2", "", "The last hour");
        self.raw("<div class=\"charts\">");
        for chart in charts {
            self.chart(chart);
        }
        self.raw("</div>\n");
    }

    fn chart(&mut self, chart: &Chart) {
        let newest = chart.points.iter().rev().flatten().next().copied().unwrap_or(0.0);
        let highest = chart.points.iter().flatten().fold(0.0, |high: f64, value| high.max(*value));
        // A share has its whole height; a byte a second is the least that is worth a line.
        let top = highest.max(1.0);
        self.raw("<figure><figcaption>");
        self.element("span", "", chart.title);
        self.raw(" ");
        self.element("b", "", &told(chart.kind, newest));
        self.raw("</figcaption>");
        let box_ = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\">");
        self.raw(&box_);
        self.element(
            "title",
            "",
            &format!("{}: {}, at most {}", chart.title, told(chart.kind, newest), told(chart.kind, highest)),
        );
        for line in lines(&chart.points, top) {
            self.raw(&format!("<polyline points=\"{line}\"/>"));
        }
        self.raw("</svg></figure>");
    }
}

/// The points of each stretch without a gap.
fn lines(points: &[Option<f64>], top: f64) -> Vec<String> {
    let mut out = Vec::new();
    let mut line = String::new();
    let across = WIDTH / (points.len().max(2) - 1) as f64;
    for (index, point) in points.iter().enumerate() {
        match point {
            Some(value) => {
                let height = HEIGHT - 1.0 - (value / top).clamp(0.0, 1.0) * (HEIGHT - 2.0);
                let x = index as f64 * across;
                // A point alone is a line of its own, so that it shows.
                if line.is_empty() {
                    let _infallible = write!(line, "{:.1},{height:.1} ", (x - 1.0).max(0.0)).is_ok();
                }
                let _infallible = write!(line, "{x:.1},{height:.1} ").is_ok();
            }
            None if !line.is_empty() => out.push(std::mem::take(&mut line)),
            None => {}
        }
    }
    if !line.is_empty() {
        out.push(line);
    }
    out
}

fn told(kind: Kind, value: f64) -> String {
    match kind {
        Kind::Share => format!("{:.0} %", value * 100.0),
        Kind::BytesPerSecond => format!("{}/s", Size(value.max(0.0) as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Labels, Sample};

    #[test]
    fn a_chart_is_what_the_store_has_of_the_last_hour() {
        let (store, now) = (Store::memory(), 1_700_000_000_000);
        assert_eq!(charts(&store, now), []);
        let used = |mount| Labels::new([("__name__", "system_filesystem_utilization_ratio"), ("mountpoint", mount)]);
        for minute in 0..30 {
            for (mount, v) in [("/", 0.25), ("/srv", minute as f64 / 100.0)] {
                let sample = Sample { t: now - (60 - minute) * 60_000, v };
                assert_eq!(store.append(&used(mount), sample), crate::store::Taken::Yes);
            }
        }
        let made = charts(&store, now);
        assert_eq!(made.iter().map(|chart| chart.title).collect::<Vec<_>>(), ["fullest disk"]);
        let points = &made[0].points;
        assert_eq!((points.len(), points[20], points[59]), (60, Some(0.25), None));
        assert!(points.contains(&Some(0.29)), "{points:?}");
    }

    #[test]
    fn a_gap_breaks_the_line_and_a_lone_point_shows() {
        let made = lines(&[Some(0.0), Some(1.0), None, Some(0.5), None], 1.0);
        assert_eq!(made, ["0.0,39.0 0.0,39.0 60.0,1.0 ", "179.0,20.0 180.0,20.0 "]);
        assert_eq!(lines(&[None, None], 1.0), Vec::<String>::new());
        assert_eq!((told(Kind::Share, 0.417), told(Kind::BytesPerSecond, 1536.0)), ("42 %".into(), "1.5 KiB/s".into()));
    }
}
