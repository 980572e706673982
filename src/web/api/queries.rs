//! `/api/v1/query`, `query_range`, `query_exemplars`, `format_query`.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;

use super::params::Params;
use super::{Api, LIMITS, Refusal, TRUNCATED, answer, json, params, remarks, success};
use crate::base::clock;
use crate::query::{self, Answer, Limits, Query, QueryError, Value};

pub(super) async fn query(State(api): State<Api>, request: Request) -> Response {
    answer(instant(&api, request).await)
}

pub(super) async fn query_range(State(api): State<Api>, request: Request) -> Response {
    answer(range(&api, request).await)
}

/// There are no exemplars in the store; Grafana asks for them all the same.
pub(super) async fn exemplars(request: Request) -> Response {
    answer(no_exemplars(request).await)
}

pub(super) async fn format(request: Request) -> Response {
    answer(formatted(request).await)
}

async fn instant(api: &Api, request: Request) -> Result<Response, Refusal> {
    let params = params(request).await?;
    let limit = params.limit()?;
    let now = i64::try_from(clock::unix_nanos() / 1_000_000).unwrap_or(i64::MAX);
    let at = params.time_or("time", now)?;
    let limits = limits(&params)?;
    let text = params.get("query").to_owned();
    let run = move |store: &_, left| {
        let query = Query::parse(&text)?;
        Ok(query::instant(store, &query, at, Limits { time: left, ..limits })?)
    };
    let found = api.run(limits.time, run).await?;
    send(api, found, limit, at).await
}

async fn range(api: &Api, request: Request) -> Result<Response, Refusal> {
    let params = params(request).await?;
    let limit = params.limit()?;
    let (from, to) = (params.time("start")?, params.time("end")?);
    if to < from {
        return Err(Refusal::parameter("end", "end timestamp must not be before start time"));
    }
    let step = params::duration(params.get("step")).map_err(|why| Refusal::parameter("step", &why))?;
    if step <= 0 {
        let why = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(Refusal::parameter("step", why));
    }
    if (i128::from(to) - i128::from(from)) * 1_000_000 / i128::from(step) > 11_000 {
        let why = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution \
                   (?step=XX)";
        return Err(Refusal::bad(why));
    }
    let limits = limits(&params)?;
    // Prometheus counts in milliseconds; a shorter step has one point at most, or the check above refused it.
    let step = (step / 1_000_000).max(1);
    let text = params.get("query").to_owned();
    let run = move |store: &_, left| {
        let query = Query::parse(&text)?;
        query::range(store, &query, (from, to, step), Limits { time: left, ..limits }).map_err(|error| match &error {
            // Told by the evaluator, though it is a mistake in the request.
            QueryError::Execution(text) if text.starts_with("invalid expression type") => {
                Refusal::parameter("query", text)
            }
            _ => error.into(),
        })
    };
    let found = api.run(limits.time, run).await?;
    send(api, found, limit, to).await
}

/// `timeout` and `lookback_delta`.
fn limits(params: &Params) -> Result<Limits, Refusal> {
    let mut limits = LIMITS;
    let text = params.get("timeout");
    if !text.is_empty() {
        let nanos = params::duration(text).map_err(|why| Refusal::parameter("timeout", &why))?;
        let time = u64::try_from(nanos).unwrap_or(0);
        if time == 0 {
            let got = nanos as f64 / 1e9;
            return Err(Refusal::parameter("timeout", &format!("timeout must be positive, got {got}s")));
        }
        // A longer time than ours is no error: the shorter one holds.
        limits.time = limits.time.min(Duration::from_nanos(time));
    }
    let text = params.get("lookback_delta");
    if !text.is_empty() {
        let nanos = params::duration(text)
            .map_err(|why| Refusal::bad(format!("error parsing lookback delta duration: {why}")))?;
        // Prometheus takes zero and less for the default.
        match u64::try_from(nanos) {
            Ok(0) | Err(_) => {}
            Ok(nanos) => limits.lookback = Duration::from_nanos(nanos),
        }
    }
    Ok(limits)
}

async fn send(api: &Api, found: Answer, limit: Option<usize>, at: i64) -> Result<Response, Refusal> {
    let Answer { mut value, mut warnings, infos } = found;
    if limit.is_some_and(|limit| cut(&mut value, limit)) {
        warnings.push(TRUNCATED.to_owned());
    }
    let bytes = json::held(&value);
    api.stream(bytes, json::Pieces::new(value, at), remarks(&warnings, &infos)).await
}

/// Whether something was cut off.
fn cut(value: &mut Value, limit: usize) -> bool {
    match value {
        Value::Vector(elements) if elements.len() > limit => elements.truncate(limit),
        Value::Matrix(rows) if rows.len() > limit => rows.truncate(limit),
        _ => return false,
    }
    true
}

async fn no_exemplars(request: Request) -> Result<Response, Refusal> {
    let params = params(request).await?;
    let (start, end) = (params.time_or("start", i64::MIN)?, params.time_or("end", i64::MAX)?);
    if end < start {
        return Err(Refusal::bad("end timestamp must not be before start timestamp"));
    }
    Query::parse(params.get("query")).map_err(|error| Refusal::bad(error.to_string()))?;
    Ok(success("[]"))
}

async fn formatted(request: Request) -> Result<Response, Refusal> {
    let params = params(request).await?;
    let query = Query::parse(params.get("query"))?;
    let mut out = String::new();
    json::text(&mut out, query.text());
    Ok(success(&out))
}
