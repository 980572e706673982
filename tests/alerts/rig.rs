//! A box whose numbers are the test's: a target that the agent scrapes each second, rules, and those who are told.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::harness::{self, Process, Site, escaped, wait_for};
use super::peer::Peer;

/// For things that take a few seconds: the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Series by name and labels, as the exposition has them; `None`: the target fails.
type Series = Arc<Mutex<Option<BTreeMap<String, f64>>>>;

/// What the agent scrapes. It lives as long as the test binary.
pub(crate) struct Target {
    pub(crate) port: u16,
    series: Series,
}

impl Target {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let series: Series = Arc::new(Mutex::new(Some(BTreeMap::new())));
        let served = Arc::clone(&series);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &served);
            }
        });
        Self { port, series }
    }

    /// `series` has `value` from the next scrape on.
    pub(crate) fn set(&self, series: &str, value: f64) {
        self.series.lock().unwrap().get_or_insert_default().insert(series.to_owned(), value);
    }

    /// `series` is gone from the next scrape on.
    pub(crate) fn remove(&self, series: &str) {
        self.series.lock().unwrap().get_or_insert_default().remove(series);
    }

    /// Every scrape fails until something is set again.
    pub(crate) fn fail(&self) {
        *self.series.lock().unwrap() = None;
    }
}

fn answer(mut stream: TcpStream, series: &Series) {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let _asked = stream.read(&mut [0; 4096]).is_ok();
    let (status, body) = match &*series.lock().unwrap() {
        Some(series) => {
            let lines = series.iter().map(|(series, value)| format!("{series} {value}\n"));
            ("200 OK", lines.collect::<String>() + "anything 1\n")
        }
        None => ("500 Internal Server Error", String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // The other side may have gone.
    let _sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_ok();
}

/// One alert of a message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) summary: String,
    pub(crate) resolved: bool,
    pub(crate) starts_at: i64,
    pub(crate) ends_at: i64,
}

/// The box.
pub(crate) struct Rig {
    pub(crate) site: Site,
    pub(crate) target: Target,
    pub(crate) hook: Peer,
}

impl Rig {
    /// With a webhook that records, nothing started.
    pub(crate) fn new() -> Self {
        Self { site: Site::new(), target: Target::new(), hook: Peer::new(&[]) }
    }

    /// Writes a rule file in one step.
    pub(crate) fn rules(&self, name: &str, text: &str) {
        fs::write(self.site.path("new.rules"), text).unwrap();
        fs::rename(self.site.path("new.rules"), self.site.path(name)).unwrap();
    }

    /// Writes the config; `more` are further ones who are told, `rest` further parts.
    pub(crate) fn config(&self, more: &str, rest: &str) {
        let rules = self.site.path("*.yml");
        self.site.config(&format!(
            "{}alerts:\n  rules: [{:?}]\n  notify:\n    hook: {{ webhook: {{ url: {:?} }} }}\n{more}{rest}",
            self.sources(),
            rules.display().to_string(),
            self.hook.url("/alerts"),
        ));
    }

    /// The part of the config that says what is watched.
    pub(crate) fn sources(&self) -> String {
        let url = format!("http://127.0.0.1:{}/metrics", self.target.port);
        format!("host: off\ncollect:\n  scrape: [{{ url: {url:?}, service: shop, interval: 1s }}]\n")
    }

    /// Starts the agent, without shipped rules.
    pub(crate) fn start(&self) -> Process {
        let none = self.site.path("none").display().to_string();
        self.site.start_with(&[("PLIMSOLL_SHIPPED_ALERTS", &none)])
    }

    /// All that the webhook was told of `alert`, in its order.
    pub(crate) fn told(&self, alert: &str) -> Vec<Told> {
        let messages = self.hook.taken();
        let all = messages.iter().flat_map(|message| message["alerts"].as_array().unwrap());
        all.map(told).filter(|told| told.labels["alertname"] == alert).collect()
    }

    /// The same once there are `count` of them.
    pub(crate) fn wait_told(&self, alert: &str, count: usize) -> Vec<Told> {
        wait_for(&format!("{count} messages about {alert}"), SOON, || {
            let told = self.told(alert);
            if told.len() >= count { Ok(told) } else { Err(format!("{told:?}; {}", self.state(alert))) }
        })
    }

    /// The rule as the API shows it.
    pub(crate) fn rule(&self, name: &str) -> Result<Value, String> {
        let answer = self.api("rules")?;
        let rules = answer["data"]["groups"].as_array().into_iter().flatten();
        let mut rules = rules.flat_map(|group| group["rules"].as_array().into_iter().flatten());
        rules.find(|rule| rule["name"] == name).cloned().ok_or_else(|| format!("no rule {name}: {answer}"))
    }

    /// The rule once it has been evaluated and is `state`.
    pub(crate) fn wait_rule(&self, name: &str, state: &str) -> Value {
        wait_for(&format!("{name} {state}"), SOON, || {
            let rule = self.rule(name)?;
            let is = rule["state"] == state && rule["health"] != "unknown";
            if is { Ok(rule) } else { Err(rule.to_string()) }
        })
    }

    /// Waits until the rule was evaluated `count` times more.
    pub(crate) fn rounds(&self, name: &str, count: usize) {
        let mut last = String::new();
        let mut seen = 0;
        wait_for(&format!("{count} rounds of {name}"), SOON, || {
            let at = self.rule(name)?["lastEvaluation"].to_string();
            if at != last {
                (last, seen) = (at, seen + 1);
            }
            // The first one that is seen had begun before.
            if seen > count + 1 { Ok(()) } else { Err(format!("{seen}, the last at {last}")) }
        });
    }

    /// The states and times (Unix milliseconds) in which `ALERTS` has the alerts `selector`.
    pub(crate) fn shown(&self, selector: &str) -> BTreeMap<String, Vec<i64>> {
        let answer = self.query(&format!("ALERTS{{{selector}}}[10m]")).unwrap();
        let mut out: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for row in answer.as_array().unwrap() {
            let values = row["values"].as_array().unwrap();
            let times = values.iter().map(|value| (value[0].as_f64().unwrap() * 1000.0).round() as i64);
            out.entry(row["metric"]["alertstate"].as_str().unwrap().to_owned()).or_default().extend(times);
        }
        out
    }

    /// The `result` of an instant query now.
    pub(crate) fn query(&self, expression: &str) -> Result<Value, String> {
        Ok(self.api(&format!("query?query={}", escaped(expression)))?["data"]["result"].take())
    }

    fn state(&self, alert: &str) -> String {
        self.rule(alert).map_or_else(|error| error, |rule| rule.to_string())
    }

    fn api(&self, what: &str) -> Result<Value, String> {
        let text = harness::get(self.site.port, &format!("/api/v1/{what}"), &[])?;
        serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
    }
}

fn told(alert: &Value) -> Told {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let labels = alert["labels"].as_object().unwrap();
    Told {
        labels: labels.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        summary: alert["annotations"]["summary"].as_str().unwrap_or_default().to_owned(),
        resolved: alert["status"] == "resolved",
        starts_at: millis(&alert["startsAt"]),
        ends_at: millis(&alert["endsAt"]),
    }
}

/// Unix milliseconds of a time as the APIs write it.
pub(crate) fn millis(time: &Value) -> i64 {
    time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond()
}
