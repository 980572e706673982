//! A Prometheus and a Loki that are asked for their limits, their clock, and what arrived there.

use serde_json::Value;

use super::Args;
use super::boards::Panel;
use super::check::Check;
use super::presence::{Names, of, questions};
use crate::base::clock;
use crate::base::http::ask::{Reply, get};
use crate::store::labels::NAME;

/// The box whose data is looked for.
pub(super) struct This<'a> {
    pub(super) host: &'a str,
    /// Metrics that its own store has.
    pub(super) local: &'a Names,
    /// Whose they are: itself, and the servers that it watches.
    pub(super) instances: &'a Names,
    /// Names and expressions of its rules.
    pub(super) rules: &'a [(&'a str, &'a str)],
    pub(super) panels: &'a [Panel],
    /// Which panels show something of its own store.
    pub(super) filled: &'a [bool],
}

/// Seconds between two clocks from which it is worth a look, and from which data is refused.
const OFF: i64 = 5;
const REFUSED: i64 = 600;

/// Asks those that are named.
pub(super) async fn check(args: &Args, token: Option<&str>, this: Option<&This<'_>>, out: &mut Vec<Check>) {
    if let Some(base) = &args.prometheus {
        Server { part: "prometheus", base, token }.prometheus(this, out).await;
    }
    if let Some(base) = &args.loki {
        Server { part: "loki", base, token }.loki(this, out).await;
    }
}

struct Server<'a> {
    part: &'static str,
    base: &'a str,
    token: Option<&'a str>,
}

impl Server<'_> {
    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Reply, String> {
        get(self.base, path, query, self.token).await
    }

    /// The `data` of an answer in Prometheus' form.
    async fn data(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        let reply = self.get(path, query).await?;
        let mut answer: Value = serde_json::from_slice(reply.success()?).map_err(|error| format!("{path}: {error}"))?;
        Ok(answer["data"].take())
    }

    /// Whether it answers at all; `path` tells its version, at this place of the answer.
    async fn answers(&self, path: &str, pointer: &str, out: &mut Vec<Check>) -> bool {
        let version = match self.get(path, &[]).await {
            Ok(reply) => {
                out.extend(clocks(self.part, &reply));
                reply.success().map(|body| said(body, pointer))
            }
            Err(error) => Err(error),
        };
        let (check, good) = match version {
            Ok(version) => (Check::ok(self.part, "answers", format!("{version} at {}", self.base)), true),
            Err(error) => (Check::fail(self.part, "answers", format!("{}: {error}", self.base)), false),
        };
        out.push(check);
        good
    }

    async fn prometheus(&self, this: Option<&This<'_>>, out: &mut Vec<Check>) {
        let (part, base) = (self.part, self.base);
        if !self.answers("/api/v1/status/buildinfo", "/data/version", out).await {
            return;
        }
        if let Ok(flags) = self.data("/api/v1/status/flags", &[]).await {
            out.push(receiver(&flags));
        }
        if let Ok(config) = self.data("/api/v1/status/config", &[]).await {
            out.push(window(config["yaml"].as_str().unwrap_or_default()));
        }
        if let Some(this) = this {
            out.push(match self.arrived(this).await {
                Ok(check) => check,
                Err(error) => Check::fail(part, "metrics", format!("{base}: {error}")),
            });
            out.push(self.rules(this.rules).await);
            let asked = this.panels.iter().zip(this.filled).filter(|(panel, filled)| **filled && !panel.logs);
            out.push(self.panels("/api/v1/query", asked.map(|(panel, _)| panel).collect()).await);
        }
    }

    /// Whether it evaluates each rule; how many yield something at the moment.
    async fn rules(&self, rules: &[(&str, &str)]) -> Check {
        let mut yielding = 0;
        for (name, expr) in rules {
            match self.data("/api/v1/query", &[("query", expr)]).await {
                Ok(data) => yielding += usize::from(data["result"].as_array().is_some_and(|rows| !rows.is_empty())),
                Err(error) => return Check::fail(self.part, "rules", format!("{name}: {error}")),
            }
        }
        let words = format!("all {} rules are evaluated there, {yielding} of them yield something now", rules.len());
        Check::ok(self.part, "rules", words)
    }

    /// Whether each of these panels, which have data, has it there too.
    async fn panels(&self, path: &str, panels: Vec<&Panel>) -> Check {
        let mut empty = Vec::new();
        for panel in &panels {
            let mut any = false;
            for ask in &panel.asks {
                match self.data(path, &[("query", ask)]).await {
                    Ok(data) => any |= data["result"].as_array().is_some_and(|rows| !rows.is_empty()),
                    Err(error) => {
                        let words = format!("{}, {}: {error}", panel.board, panel.title);
                        return Check::fail(self.part, "boards", words);
                    }
                }
            }
            if !any {
                empty.push(format!("{}: {}", panel.board, panel.title));
            }
        }
        if empty.is_empty() {
            return Check::ok(self.part, "boards", format!("all {} panels with data here have it there", panels.len()));
        }
        let words =
            format!("{} of {} panels with data here are empty there: {}", empty.len(), panels.len(), empty.join("; "));
        Check::fail(self.part, "boards", words)
    }

    /// Which panels of logs find lines; that one finds none is no fault.
    async fn panels_of_logs(&self, this: &This<'_>) -> Check {
        let panels: Vec<&Panel> = this.panels.iter().filter(|panel| panel.logs).collect();
        let mut quiet = Vec::new();
        let start = (i64::try_from(clock::unix_nanos() / 1_000_000_000).unwrap_or(0) - 3600).to_string();
        for panel in &panels {
            for ask in &panel.asks {
                let query = [("query", ask.as_str()), ("start", start.as_str()), ("limit", "1"), ("step", "300")];
                match self.data("/loki/api/v1/query_range", &query).await {
                    Ok(data) if data["result"].as_array().is_some_and(|rows| !rows.is_empty()) => {}
                    Ok(_) => quiet.push(format!("{}: {}", panel.board, panel.title)),
                    Err(error) => {
                        let words = format!("{}, {}: {error}", panel.board, panel.title);
                        return Check::fail(self.part, "boards", words);
                    }
                }
            }
        }
        let words =
            if quiet.is_empty() { String::new() } else { format!("; nothing in the last hour: {}", quiet.join("; ")) };
        Check::ok(self.part, "boards", format!("all {} panels of logs are answered{words}", panels.len()))
    }

    /// Whether what the rules ask for, and the box has, is there too.
    async fn arrived(&self, this: &This<'_>) -> Result<Check, String> {
        let mut found = Names::new();
        for question in questions(NAME, this.local, &of(this.instances)) {
            let data = self.data("/api/v1/query", &[("query", &question)]).await?;
            let rows = data["result"].as_array().into_iter().flatten();
            found.extend(rows.filter_map(|row| row["metric"][NAME].as_str()).map(str::to_owned));
        }
        let missing: Vec<&str> = this.local.difference(&found).map(String::as_str).collect();
        let of = this.local.len();
        if of == 0 {
            let words = "nothing to compare yet: the agent's own store has none of what rules and boards ask for";
            return Ok(Check::warn(self.part, "metrics", words));
        }
        if missing.is_empty() {
            return Ok(Check::ok(
                self.part,
                "metrics",
                format!("all {of} that rules and boards ask for arrive from {}", this.host),
            ));
        }
        let words = format!(
            "{} of {of} that rules and boards ask for do not arrive from {}: {}; see SHIPPING above, and \
             whether `destinations` names this Prometheus",
            missing.len(),
            this.host,
            missing.join(", ")
        );
        Ok(Check::fail(self.part, "metrics", words)
            .mended_by(vec![format!("plimsoll setup --prometheus {}", self.base)]))
    }

    async fn loki(&self, this: Option<&This<'_>>, out: &mut Vec<Check>) {
        let (part, base) = (self.part, self.base);
        if !self.answers("/loki/api/v1/status/buildinfo", "/version", out).await {
            return;
        }
        // Behind a gateway the configuration is often not to be had: then nothing is said of it.
        if let Ok(reply) = self.get("/config", &[]).await
            && let Ok(body) = reply.success()
        {
            out.extend(limits(&String::from_utf8_lossy(body)));
        }
        if let Some(this) = this {
            out.push(match self.lines(this).await {
                Ok(check) => check,
                Err(error) => Check::fail(part, "lines", format!("{base}: {error}")),
            });
            out.push(self.panels_of_logs(this).await);
        }
    }

    /// Whether lines of this box came within the last hour.
    async fn lines(&self, this: &This<'_>) -> Result<Check, String> {
        let host = this.host.replace(['\\', '"', '`'], "");
        let query = format!("sum(count_over_time({{service_name=~\".+\"}} | host_name=`{host}` [1h]))");
        let data = self.data("/loki/api/v1/query", &[("query", &query)]).await?;
        let count = data["result"][0]["value"][1].as_str().unwrap_or("0").to_owned();
        if count != "0" {
            return Ok(Check::ok(self.part, "lines", format!("{count} of {host} in the last hour")));
        }
        let words = format!("none of {host} in the last hour; see SOURCES and SHIPPING above");
        Ok(Check::warn(self.part, "lines", words))
    }
}

/// The version that a server tells; of one that was built without, that.
fn said(body: &[u8], pointer: &str) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    match answer.pointer(pointer).and_then(Value::as_str) {
        Some(version) if !version.is_empty() => format!("version {version}"),
        _ => "a version that it does not tell".into(),
    }
}

fn clocks(part: &'static str, reply: &Reply) -> Option<Check> {
    let ours = i64::try_from(clock::unix_nanos() / 1_000_000_000).ok()?;
    Some(clock_check(part, ours - reply.date?))
}

/// `ahead`: seconds by which our clock is ahead of theirs.
fn clock_check(part: &'static str, ahead: i64) -> Check {
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    let words = format!("the clock of this box is {} s {side} theirs", ahead.abs());
    let mend = vec!["timedatectl set-ntp true".to_owned()];
    if ahead.abs() <= OFF {
        return Check::ok(part, "clock", "within a few seconds of ours");
    }
    if ahead.abs() <= REFUSED {
        return Check::warn(part, "clock", words).mended_by(mend);
    }
    Check::fail(part, "clock", format!("{words}: what is sent may be refused")).mended_by(mend)
}

fn receiver(flags: &Value) -> Check {
    let on = flags["web.enable-otlp-receiver"].as_str() == Some("true");
    if on {
        return Check::ok("prometheus", "OTLP receiver", "on");
    }
    let words = "off: it answers 404 to what is sent. Start it with --web.enable-otlp-receiver";
    Check::fail("prometheus", "OTLP receiver", words)
}

/// The window for samples that come late, from the text of Prometheus' configuration.
fn window(yaml: &str) -> Check {
    let found = yaml.lines().find_map(|line| line.trim().strip_prefix("out_of_order_time_window:"));
    match found.map(str::trim).filter(|window| !matches!(*window, "" | "0s" | "0")) {
        Some(window) => Check::ok("prometheus", "late samples", format!("taken up to {window} late")),
        None => Check::warn(
            "prometheus",
            "late samples",
            "refused when they come out of order, as after an outage of the network: set \
             storage.tsdb.out_of_order_time_window: 30m in its configuration",
        ),
    }
}

/// What Loki's configuration refuses of what is sent, from its text.
fn limits(yaml: &str) -> Vec<Check> {
    let value = |key: &str| {
        yaml.lines()
            .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(':'))
            .map(|value| value.trim().to_owned())
    };
    let mut out = Vec::new();
    if value("allow_structured_metadata").as_deref() == Some("false") {
        let words = "refused: OTLP needs limits_config.allow_structured_metadata: true";
        out.push(Check::fail("loki", "metadata", words));
    }
    if let Some(size) = value("max_line_size") {
        let cut = value("max_line_size_truncate").as_deref() == Some("true");
        let what = if cut { "cut" } else { "refused" };
        out.push(Check::ok("loki", "long lines", format!("{what} beyond {size}")));
    }
    if let (Some(age), Some("true")) = (value("reject_old_samples_max_age"), value("reject_old_samples").as_deref()) {
        out.push(Check::ok("loki", "old lines", format!("refused when older than {age}")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    #[test]
    fn limits_are_read_from_the_configuration() {
        assert_eq!(window("storage:\n  tsdb:\n    out_of_order_time_window: 30m\n").words, "taken up to 30m late");
        assert_eq!(window("global:\n  scrape_interval: 15s\n").verdict, Verdict::Warn);
        assert_eq!(window("out_of_order_time_window: 0s").verdict, Verdict::Warn);
        let got = limits(
            "limits_config:\n  max_line_size: 256KB\n  max_line_size_truncate: false\n  reject_old_samples: true\n  \
             reject_old_samples_max_age: 1w\n  allow_structured_metadata: false\n",
        );
        let words: Vec<(&str, Verdict)> = got.iter().map(|check| (check.words.as_str(), check.verdict)).collect();
        let want = [
            ("refused: OTLP needs limits_config.allow_structured_metadata: true", Verdict::Fail),
            ("refused beyond 256KB", Verdict::Ok),
            ("refused when older than 1w", Verdict::Ok),
        ];
        assert_eq!(words, want);
        assert!(limits("").is_empty());
    }

    #[test]
    fn clocks_that_differ_are_told() {
        assert_eq!(clock_check("loki", 2).verdict, Verdict::Ok);
        assert_eq!(clock_check("loki", -70).words, "the clock of this box is 70 s behind theirs");
        assert_eq!(clock_check("loki", 4000).verdict, Verdict::Fail);
        assert_eq!(receiver(&serde_json::json!({"web.enable-otlp-receiver": "false"})).verdict, Verdict::Fail);
    }
}
