//! The page: the report as tables, made on the server, without scripts, everything from outside escaped.

use std::fmt::Write;

use crate::alert::view::View;
use crate::base::units::Size;
use crate::status::report::words::{age, clean};
use crate::status::report::{DestinationReport, Report, SourceReport};

mod alerts;
mod charts;

pub(super) use charts::{Chart, charts};

/// The style sheet of the page.
pub(super) const STYLE: &str = "\
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; margin: 0; }
h2 { font-size: 1rem; margin: 1.6rem 0 .3rem; }
p { margin: .3rem 0; }
td:first-child { min-width: 12rem; }
.hint { contain: inline-size; padding-left: 2rem; }
.hint code { display: block; user-select: all; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; opacity: .65; }
th, td { padding: .2rem 1rem .2rem 0; vertical-align: top; overflow-wrap: anywhere; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr { border-bottom: 1px solid color-mix(in srgb, currentColor 15%, transparent); }
.state { font-weight: 600; }
.good { color: #1a7f37; }
.bad, .fault { color: #b35900; }
.charts { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; }
figure { margin: 0; flex: 1 1 12rem; }
figcaption { display: flex; justify-content: space-between; }
svg { display: block; width: 100%; height: 2.5rem; border-bottom: 1px solid color-mix(in srgb, currentColor 15%, transparent); }
polyline { fill: none; stroke: #2f6fb0; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
footer { margin-top: 2rem; opacity: .65; }
";

/// The page of a report, of the rules and of the host's last hour.
pub(super) fn page(report: &Report, view: &View, charts: &[Chart]) -> String {
    let mut page = Page { out: String::with_capacity(8 * 1024) };
    page.head(report);
    page.alerts(view, i64::try_from(report.now / 1_000_000).unwrap_or(i64::MAX));
    page.charts(charts);
    page.sources(report);
    page.destinations(report);
    page.losses(report);
    page.raw(
        "<footer><a href=\"/metrics\">/metrics</a> · <a href=\"/-/healthy\">/-/healthy</a> · \
         <a href=\"/-/ready\">/-/ready</a> · on the box: <code>plimsoll status</code>, \
         <code>plimsoll alerts</code>, <code>plimsoll query</code></footer></body></html>\n",
    );
    page.out
}

struct Page {
    out: String,
}

impl Page {
    /// Our own markup.
    fn raw(&mut self, html: &str) {
        self.out.push_str(html);
    }

    /// Anything else.
    fn text(&mut self, text: &str) {
        for c in clean(text).chars() {
            match c {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                '\'' => self.out.push_str("&#39;"),
                c => self.out.push(c),
            }
        }
    }

    /// An element around a text; `tag` is our own.
    fn element(&mut self, tag: &str, class: &str, text: &str) {
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        let _infallible = write!(self.out, "<{tag}{class}>").is_ok();
        self.text(text);
        let _infallible = write!(self.out, "</{tag}>").is_ok();
    }

    fn table(&mut self, title: &str, columns: &[(&str, &str)]) {
        self.element("h2", "", title);
        self.raw("<table><tr>");
        for (name, class) in columns {
            self.element("th", class, name);
        }
        self.raw("</tr>\n");
    }

    fn head(&mut self, report: &Report) {
        self.raw("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
        self.raw(
            "<meta name=\"viewport\" content=\"width=device-width\"><link rel=\"stylesheet\" href=\"/style.css\">",
        );
        self.element("title", "", &format!("plimsoll on {}", report.host));
        self.raw("</head>\n<body>");
        self.element("h1", "", &format!("plimsoll on {}", report.host));
        let class = if report.health.is_fine() { "state good" } else { "state bad" };
        self.element("p", class, report.health.name());
        for reason in &report.reasons {
            self.element("p", "fault", reason);
        }
        let up = age(report.now.saturating_sub(report.started));
        let share = report.cpu_share * 100.0;
        let facts = format!("version {}, up {up}, {}, {share:.1} % of a core", report.version, Size(report.rss_bytes));
        self.element("p", "", &facts);
    }

    fn sources(&mut self, report: &Report) {
        let columns = [("source", ""), ("details", ""), ("per second", "n"), ("behind", "n"), ("fault", "")];
        self.table("Sources", &columns);
        for source in &report.sources {
            self.source(source);
        }
        self.raw("</table>\n");
    }

    fn source(&mut self, source: &SourceReport) {
        let rounds = source.interval_seconds > 0;
        let rate = if rounds { source.points_per_second } else { source.lines_per_second };
        let behind = if rounds { String::new() } else { Size(source.behind_bytes).to_string() };
        self.raw("<tr>");
        self.element("td", "", &source.name);
        self.element("td", "", &source.detail);
        self.element("td", "n", &format!("{rate:.1}"));
        self.element("td", "n", &behind);
        self.element("td", "fault", &source.fault);
        self.raw("</tr>\n");
        if !source.hint.is_empty() {
            self.raw("<tr><td colspan=\"5\"><div class=\"hint\">");
            // Its words, and below them its commands, to be copied.
            for (index, line) in source.hint.lines().enumerate() {
                self.element(if index == 0 { "span" } else { "code" }, "", line);
            }
            self.raw("</div></td></tr>\n");
        }
    }

    fn destinations(&mut self, report: &Report) {
        if report.destinations.is_empty() {
            self.element("h2", "", "Shipping");
            self.element("p", "", "Nowhere: everything stays on the box.");
            return;
        }
        let columns = [("to", ""), ("what", ""), ("sent", "n"), ("waiting", "n"), ("behind", "n"), ("last answer", "")];
        self.table("Shipping", &columns);
        for to in &report.destinations {
            self.destination(report, to);
        }
        self.raw("</table>\n");
    }

    fn destination(&mut self, report: &Report, to: &DestinationReport) {
        let behind = if to.backlog_frames == 0 { 0 } else { report.now.saturating_sub(to.oldest) };
        self.raw("<tr>");
        self.element("td", "", &to.name);
        self.element("td", "", &to.signal);
        self.element("td", "n", &Size(to.bytes).to_string());
        self.element("td", "n", &Size(to.backlog_bytes).to_string());
        self.element("td", "n", &age(behind));
        self.element("td", if to.failing_since > 0 { "fault" } else { "" }, &to.answer);
        self.raw("</tr>\n");
    }

    fn losses(&mut self, report: &Report) {
        if report.losses.is_empty() {
            self.element("h2", "", "Lost");
            self.element("p", "", "Nothing since the start.");
            return;
        }
        self.table("Lost since the start", &[("how many", "n"), ("where", ""), ("why", ""), ("latest case", "")]);
        for loss in &report.losses {
            self.raw("<tr>");
            self.element("td", "n", &loss.count.to_string());
            self.element("td", "", &loss.part);
            self.element("td", "", &loss.reason.replace('_', " "));
            self.element("td", "", &loss.hint);
            self.raw("</tr>\n");
        }
        self.raw("</table>\n");
    }
}
