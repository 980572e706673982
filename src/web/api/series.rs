//! `/api/v1/series`, `labels`, `label/NAME/values`, `metadata`: what the store has, without its numbers.

use std::collections::BTreeSet;

use axum::extract::{Path, Request, State};
use axum::response::Response;

use super::params::{Params, integer, label_name};
use super::selector::selector;
use super::{Api, LIMITS, MAX_NAMES, Refusal, TRUNCATED, answer, json, params, success, success_with};
use crate::store::{Labels, Matcher, Store};

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
    let found = api.run(LIMITS.time, move |store, _| sets(store, &wanted, from, to)).await?;
    let shown = found.len().min(limit.unwrap_or(MAX_NAMES)).min(MAX_NAMES);
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
    let found = api.run(LIMITS.time, move |store, _| {
        let all = sets(store, &wanted, from, to)?;
        Ok(all.iter().flat_map(Labels::iter).map(|(name, _)| name.to_owned()).collect::<BTreeSet<_>>())
    });
    Ok(list(&found.await?, limit))
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
    let found = api.run(LIMITS.time, move |store, _| {
        let all = sets(store, &wanted, from, to)?;
        let values = all.iter().map(|labels| labels.get(&name)).filter(|value| !value.is_empty());
        Ok(values.map(str::to_owned).collect::<BTreeSet<_>>())
    });
    Ok(list(&found.await?, limit))
}

async fn all_metadata(_api: &Api, request: Request) -> Result<Response, Refusal> {
    let params = params(request).await?;
    for name in ["limit", "limit_per_metric"] {
        let text = params.get(name);
        if !text.is_empty() && integer(text).is_err() {
            return Err(Refusal::bad(format!("{name} must be a number")));
        }
    }
    Ok(success("{}"))
}

fn list(all: &BTreeSet<String>, limit: Option<usize>) -> Response {
    let shown = all.len().min(limit.unwrap_or(MAX_NAMES)).min(MAX_NAMES);
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

/// The label sets of the series that one of the selectors finds; without selectors of all.
fn sets(store: &Store, selectors: &[Vec<Matcher>], from: i64, to: i64) -> Result<BTreeSet<Labels>, Refusal> {
    let mut found = BTreeSet::new();
    let all = [Vec::new()];
    for matchers in if selectors.is_empty() { &all } else { selectors } {
        found.extend(store.select(matchers, from, to)?.iter().map(|series| series.labels().clone()));
    }
    Ok(found)
}

/// `match[]`, each a selector that does not match everything.
pub(super) fn selectors(params: &Params) -> Result<Vec<Vec<Matcher>>, String> {
    params.all("match[]").take(MAX_SELECTORS).map(selector).collect()
}

/// More are nobody's; each one costs a look at the whole index.
const MAX_SELECTORS: usize = 100;
