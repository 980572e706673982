//! Anything that answers in Prometheus' text format or in OpenMetrics, by `GET` of its address.
//!
//! Rights: what the target asks for. Cost: one request in a round; what it costs the target is the target's own.
//!
//! Each series goes out as a plain number whose name and labels arrive in Prometheus unchanged: no unit, a counter
//! only where its name ends in `_total`, the buckets of a histogram as the series that they are in the text, so `le`
//! stays as it is written (Prometheus 3 itself would write `1` as `1.0` when it scrapes). The target's own `job` and
//! `instance` become `exported_job` and `exported_instance`. What Prometheus' OTLP receiver cannot take is told in
//! the source's detail: names with `__`, or with `_` in front or at the end, labels with one `_` in front.
//! Exemplars and a sample's own time stamp are left out: all points have the time of the round.

use std::io::Read;

use async_trait::async_trait;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::de::MapAccess;

use super::address::Url;
use super::entry::{self, Entry, System};
use super::http::{Answer, Http};
use super::{CollectError, Collector};
use crate::base::check;
use crate::base::fault::Fault;
use crate::base::secret::Secret;
use crate::signal::metrics::{Desc, Samples};

mod put;
pub(super) mod text;

/// What a round says beside what it read, under the names that Prometheus gives them.
pub const METRICS: &[Desc] = &[SCRAPED, BODY];
const SCRAPED: Desc = Desc::gauge("scrape_samples_scraped", "", "Series that the target exposed.");
const BODY: Desc = Desc::gauge("scrape_body_size_bytes", "", "Bytes of the target's answer, uncompressed.");

/// What an entry adds to the shared settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Sent as `Authorization: Bearer …`, instead of `username` and `password`. Default: none.
    pub token: Option<Secret>,
}

impl System for Config {
    const KIND: &'static str = "scrape";
    const SERVICE: &'static str = "scrape";
    const PORT: u16 = 0;
    const SCHEMES: &'static [&'static str] = &["http", "https"];
    const KEYS: &'static [&'static str] = &entry::keys::<1, 9>(["token"]);

    fn set<'de, A: MapAccess<'de>>(&mut self, _: &str, map: &mut A) -> Result<(), A::Error> {
        self.token = map.next_value()?;
        Ok(())
    }

    fn faults(&self) -> Vec<Fault> {
        self.token.iter().filter_map(|token| check::secret("token", token)).collect()
    }

    fn build(&self, entry: &Entry, url: &Url) -> Result<Box<dyn Collector>, String> {
        Ok(Box::new(Scrape::new(Http::of(entry, url, self.token.as_ref())?)))
    }
}

/// One target.
pub struct Scrape {
    http: Http,
    detail: String,
}

impl Scrape {
    /// Asks at the address itself.
    pub fn new(http: Http) -> Self {
        Self { http, detail: String::new() }
    }
}

#[async_trait]
impl Collector for Scrape {
    async fn collect(&mut self, out: &mut Samples) -> Result<(), CollectError> {
        let headers = HeaderMap::from_iter([
            (ACCEPT, HeaderValue::from_static(FORMATS)),
            (ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
        ]);
        let answer = self.http.get_with("", headers, MAX_BODY).await?;
        let open_metrics = is_open_metrics(&answer.headers);
        let failed = |why: String| CollectError::Parse(format!("{}: {why}", self.http.name()));
        let body = plain(answer).map_err(failed)?;
        let mut putter = put::Putter::new(out);
        if let Err(why) = text::parse(&body, open_metrics, &mut |line| putter.line(line)) {
            // Prometheus takes nothing of an answer that it does not understand to its end.
            out.clear();
            return Err(failed(why.to_string()));
        }
        let (series, changed) = putter.end();
        out.allow(METRICS.len());
        out.put(&SCRAPED, series);
        out.put(&BODY, body.len());
        self.detail = match changed {
            None => format!("{series} series"),
            Some((count, first)) => {
                format!("{series} series; {count} names change in Prometheus' OTLP receiver, such as {first}")
            }
        };
        Ok(())
    }

    fn detail(&self) -> String {
        self.detail.clone()
    }
}

/// OpenMetrics first, as Prometheus asks.
const FORMATS: &str = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";

/// Bytes of an answer, compressed and not: 40,000 series.
const MAX_BODY: usize = 8 << 20;

fn is_open_metrics(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("application/openmetrics-text")
}

/// The body, unpacked.
fn plain(answer: Answer) -> Result<Vec<u8>, String> {
    let codec = answer.headers.get(CONTENT_ENCODING).and_then(|codec| codec.to_str().ok()).unwrap_or("identity");
    match codec.trim() {
        "" | "identity" => Ok(answer.body),
        codec if codec.eq_ignore_ascii_case("gzip") => {
            let mut body = Vec::new();
            let unpacked = flate2::read::MultiGzDecoder::new(answer.body.as_slice());
            unpacked
                .take(MAX_BODY as u64 + 1)
                .read_to_end(&mut body)
                .map_err(|error| format!("the answer is no gzip: {error}"))?;
            if body.len() > MAX_BODY {
                return Err(format!("the answer is larger than {} MiB when it is unpacked", MAX_BODY >> 20));
            }
            Ok(body)
        }
        _ => Err("the answer is encoded in a way that was not asked for".into()),
    }
}

#[cfg(test)]
mod tests;
