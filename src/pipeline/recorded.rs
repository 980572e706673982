//! What rules record, as a frame: each series under the resource that its `job` and `instance` name, so that the stack
//! gives it the same labels; a series that names neither goes out under Plimsoll's own.
//!
//! The scope says that it comes from rules: the store reads it back under exactly the labels it had.

use std::collections::BTreeMap;

use crate::signal::metrics::Kind;
use crate::signal::resource::Resource;
use crate::signal::wire::{self, Any};
use crate::store::decode::{OWN, RULES};
use crate::store::labels::NAME;
use crate::store::sample::is_stale;
use crate::store::{Labels, Sample, translate};

/// Rows of one time.
pub(super) struct Request {
    pub(super) raw: Vec<u8>,
    pub(super) rows: u32,
    pub(super) services: Vec<String>,
    /// Rows whose labels no resource and attributes become on the stack.
    pub(super) untold: u32,
}

/// The OTLP request of rows that all have the time `t` (Unix milliseconds).
pub(super) fn encode(rows: &[(&Labels, f64)], t: i64, own: &Resource) -> Request {
    let mut groups: BTreeMap<(&str, &str), Vec<(&Labels, f64)>> = BTreeMap::new();
    for (labels, value) in rows {
        groups.entry((labels.get("job"), labels.get("instance"))).or_default().push((*labels, *value));
    }
    let mut request = Request { raw: Vec::new(), rows: 0, services: Vec::new(), untold: 0 };
    for ((job, instance), rows) in groups {
        let named = !job.is_empty() || !instance.is_empty();
        let resource = if named { resource(job, instance) } else { own.clone() };
        let count = rows.len();
        let rows: Vec<_> = rows.into_iter().filter(|(labels, _)| told(&resource, labels, named)).collect();
        request.untold += (count - rows.len()) as u32;
        if !rows.is_empty() {
            request.rows += rows.len() as u32;
            group(&mut request.raw, &resource, &rows, t, named);
            request.services.push(resource.service().to_owned());
        }
    }
    request.services.sort_unstable();
    request.services.dedup();
    request
}

/// `namespace/service` is what Prometheus makes of a service in a namespace.
fn resource(job: &str, instance: &str) -> Resource {
    match job.split_once('/').filter(|(namespace, service)| !namespace.is_empty() && !service.is_empty()) {
        Some((namespace, service)) => Resource::new(service, instance, &[("service.namespace", namespace)]),
        None => Resource::new(job, instance, &[]),
    }
}

/// Whether the stack makes the same series of it.
fn told(resource: &Resource, labels: &Labels, named: bool) -> bool {
    let name = translate::metric_name(labels.name(), Kind::Gauge, "");
    let made = translate::labels(resource, others(labels));
    let mut made = made.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut wanted = labels.iter().filter(|(name, _)| *name != NAME);
    name.as_deref() == Some(labels.name())
        && (if named { made.eq(wanted) } else { wanted.all(|pair| made.any(|made| made == pair)) })
}

fn others(labels: &Labels) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().filter(|(name, _)| ![NAME, "job", "instance"].contains(name))
}

fn group(out: &mut Vec<u8>, resource: &Resource, rows: &[(&Labels, f64)], t: i64, named: bool) {
    let nanos = u64::try_from(t).unwrap_or(0).saturating_mul(1_000_000);
    let of_resource = wire::open(out, 0x0a);
    wire::bytes(out, 0x0a, resource.encoded());
    let of_scope = wire::open(out, 0x12);
    let scope = wire::open(out, 0x0a);
    wire::bytes(out, 0x0a, RULES.as_bytes());
    if !named {
        wire::bytes(out, 0x12, OWN.as_bytes());
    }
    wire::close(out, scope);
    for same in rows.chunk_by(|a, b| a.0.name() == b.0.name()) {
        let metric = wire::open(out, 0x12);
        wire::bytes(out, 0x0a, same[0].0.name().as_bytes());
        let gauge = wire::open(out, 0x2a);
        for (labels, value) in same {
            let point = wire::open(out, 0x0a);
            wire::fixed64(out, 0x19, nanos);
            if is_stale(*value) {
                // FLAG_NO_RECORDED_VALUE: Prometheus ends the series.
                wire::number(out, 0x40, 1);
            } else {
                wire::fixed64(out, 0x21, value.to_bits());
            }
            for (name, value) in others(labels) {
                wire::key_value(out, 0x3a, name, Any::Str(value));
            }
            wire::close(out, point);
        }
        wire::close(out, gauge);
        wire::close(out, metric);
    }
    wire::close(out, of_scope);
    wire::close(out, of_resource);
}

/// Rows by their time, oldest first.
pub(super) fn by_time<'a>(rows: impl Iterator<Item = &'a (Labels, Sample)>) -> BTreeMap<i64, Vec<(&'a Labels, f64)>> {
    let mut times: BTreeMap<i64, Vec<(&Labels, f64)>> = BTreeMap::new();
    for (labels, sample) in rows {
        times.entry(sample.t).or_default().push((labels, sample.v));
    }
    for rows in times.values_mut() {
        rows.sort_by_key(|(labels, _)| (*labels).clone());
    }
    times
}
