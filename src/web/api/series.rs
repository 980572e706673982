//! `/api/v1/series`, `labels`, `label/NAME/values`, `metadata`: what the store has, without its numbers.

use axum::extract::{Path, Request, State};
use axum::response::Response;

use super::params::{Params, integer, label_name};
use super::selector::selector;
use super::{Api, LIMITS, MAX_NAMES, Refusal, TRUNCATED, answer, json, params, success, success_with};
use crate::store::Matcher;

pub(super) async fn series(State(api): State<Api>, request: Request) -> Response {
    answer(all_series(&api, request).await)
}

pub(super) async fn labels(State(api): State<Api>, request: Request) -> Response {
    answer(names(&api, request).await)
}

pub(super) async fn values(State(api): State<Api>, Path(name): Path<String>, request: Request) -> Response {
    answer(values_of(&api, &name, request).await)
}

pub(super) async fn metadata(State(api): State<Api>, request: Request) -> Response {
    answer(all_metadata(&api, request).await)
}

async fn all_series(api: &Api, request: Request) -> Result<Response, Refusal> {
    let params = params(request).await?;
    if let Some(why) = &params.broken {
        return Err(Refusal::bad(format!("error parsing form values: {why}")));
    }
    if params.all("match[]").next().is_none() {
        return Err(Refusal::bad("no match[] parameter provided"));
    }
    let limit = params.limit()?;
    let (from, to) = span(&params)?;
    let wanted = selectors(&params).map_err(|why| Refusal::parameter("match[]", &why))?;
    let most = most(limit);
    let found = api.run(LIMITS.time, move |store, _| Ok(store.series(&wanted, from, to, most + 1)?)).await?;
    let shown = found.len().min(most);
    let mut out = String::from("[");
    for (index, labels) in found.iter().take(shown).enumerate() {
        if index > 0 {
            out.push(',');
        }
        json::labels(&mut out, labels.iter());
    }
    out.push(']');
    Ok(success_with(&out, &truncated(shown < found.len())))
}

async fn names(api: &Api, request: Request) -> Result<Response, Refusal> {
    let params = params(request).await?;
    let limit = params.limit()?;
    let (from, to) = span(&params)?;
    let wanted = selectors(&params).map_err(Refusal::bad)?;
    let most = most(limit);
    let found = api.run(LIMITS.time, move |store, _| Ok(store.label_names(&wanted, from, to, most + 1)?));
    Ok(list(&found.await?, most))
}

async fn values_of(api: &Api, segment: &str, request: Request) -> Result<Response, Refusal> {
    let name = label_name(segment);
    if name.is_empty() {
        return Err(Refusal::bad("invalid label name: \"\""));
    }
    let params = params(request).await?;
    let limit = params.limit()?;
    let (from, to) = span(&params)?;
    let wanted = selectors(&params).map_err(Refusal::bad)?;
    let most = most(limit);
    let found = api.run(LIMITS.time, move |store, _| Ok(store.label_values(&name, &wanted, from, to, most + 1)?));
    Ok(list(&found.await?, most))
}

async fn all_metadata(api: &Api, request: Request) -> Result<Response, Refusal> {
    let params = params(request).await?;
    let mut limit = None;
    for name in ["limit", "limit_per_metric"] {
        let text = params.get(name);
        if text.is_empty() {
            continue;
        }
        let number = integer(text).map_err(|_| Refusal::bad(format!("{name} must be a number")))?;
        // A negative one is none; there is one description of each metric here.
        limit = limit.or(usize::try_from(number).ok().filter(|_| name == "limit"));
    }
    let wanted = params.get("metric");
    let found = api.run(LIMITS.time, |store, _| Ok(store.metadata(MAX_NAMES))).await?;
    let mut out = String::from("{");
    let shown = found.iter().filter(|family| wanted.is_empty() || family.name == wanted);
    for (index, family) in shown.take(limit.unwrap_or(MAX_NAMES)).enumerate() {
        if index > 0 {
            out.push(',');
        }
        json::text(&mut out, &family.name);
        out.push_str(":[");
        json::labels(&mut out, [("type", family.kind), ("help", &family.help), ("unit", &family.unit)]);
        out.push(']');
    }
    out.push('}');
    Ok(success(&out))
}

/// How many are shown; one more is asked for, to tell whether there are others.
fn most(limit: Option<usize>) -> usize {
    limit.unwrap_or(MAX_NAMES).min(MAX_NAMES)
}

fn list(all: &[String], most: usize) -> Response {
    let shown = all.len().min(most);
    let mut out = String::new();
    json::texts(&mut out, all.iter().take(shown).map(String::as_str));
    success_with(&out, &truncated(shown < all.len()))
}

fn truncated(is: bool) -> Vec<String> {
    if is { vec![TRUNCATED.to_owned()] } else { Vec::new() }
}

/// `start` and `end`; without them all time.
fn span(params: &Params) -> Result<(i64, i64), Refusal> {
    Ok((params.time_or("start", i64::MIN / 2)?, params.time_or("end", i64::MAX / 2)?))
}

/// `match[]`, each a selector that does not match everything.
pub(super) fn selectors(params: &Params) -> Result<Vec<Vec<Matcher>>, String> {
    params.all("match[]").take(MAX_SELECTORS).map(selector).collect()
}

/// More are nobody's; each one costs a look at the whole index.
const MAX_SELECTORS: usize = 100;
