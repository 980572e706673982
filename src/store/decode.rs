//! Reads back the metric requests that `signal::metrics` and the pipeline write, to rebuild the head after a crash.
//!
//! Only what those write is understood; the rest is skipped. A frame lies in a file, so it is taken as hostile: nothing
//! is allocated for a declared count, and the request is bounded before (`pack::MAX_RAW`).

use super::sample::STALE;
use super::{Labels, Sample};
use crate::signal::metrics::{Histogram, Kind, Limits, Metric, Number, Point, Samples};
use crate::signal::resource::Resource;

/// The scope of what rules recorded: their names and labels are Prometheus' already.
pub const RULES: &str = "plimsoll.rules";
/// The scope's version where the resource says nothing of the labels `job` and `instance`.
pub const OWN: &str = "own";

/// Attributes of one point or resource, and metrics of one round: those are looked through, so their number squared is
/// what a hostile frame can make us do.
const MAX_ATTRIBUTES: usize = 256;
const MAX_METRICS: usize = 10_000;

/// One round, as it was pushed.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) source: String,
    pub(super) resource: Resource,
    pub(super) samples: Samples,
    pub(super) nanos: u64,
    /// What rules recorded.
    pub(super) recorded: Vec<(Labels, Sample)>,
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message; ends at the first that is torn.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = varint(&mut self.0)?;
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut self.0)?),
            1 => {
                let (bytes, rest) = self.0.split_first_chunk::<8>()?;
                self.0 = rest;
                Value::Number(u64::from_le_bytes(*bytes))
            }
            2 => {
                let len = usize::try_from(varint(&mut self.0)?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(len)?;
                self.0 = rest;
                Value::Bytes(bytes)
            }
            5 => {
                let (bytes, rest) = self.0.split_first_chunk::<4>()?;
                self.0 = rest;
                Value::Number(u32::from_le_bytes(*bytes).into())
            }
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let (first, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(first & 0x7f).checked_shl(shift).unwrap_or(0);
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The messages in field `number`.
fn messages(message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    Fields(message).filter_map(move |(field, value)| match value {
        Value::Bytes(bytes) if field == number => Some(bytes),
        _ => None,
    })
}

fn text(message: &[u8], number: u64) -> String {
    messages(message, number).last().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

fn attributes(message: &[u8], number: u64) -> Vec<(String, String)> {
    // Only texts: no other value is written.
    let pairs = messages(message, number).take(MAX_ATTRIBUTES);
    pairs.map(|pair| (text(pair, 1), messages(pair, 2).map(|any| text(any, 1)).collect())).collect()
}

/// The rounds of a request.
pub(super) fn decode(request: &[u8]) -> Vec<Decoded> {
    let mut rounds = Vec::new();
    for of_resource in messages(request, 1) {
        let all: Vec<(String, String)> =
            messages(of_resource, 1).flat_map(|resource| attributes(resource, 1)).collect();
        let find = |wanted: &str| all.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value.as_str());
        let pairs: Vec<(&str, &str)> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let resource = Resource::new(find("service.name"), find("service.instance.id"), &pairs);
        for of_scope in messages(of_resource, 2) {
            let scope = messages(of_scope, 1).next().unwrap_or_default();
            let mut round = Decoded {
                source: text(scope, 1),
                resource: resource.clone(),
                samples: Samples::new(Limits { series: 1 << 20, value_bytes: 1 << 20 }),
                nanos: 0,
                recorded: Vec::new(),
            };
            let own = text(scope, 2) == OWN;
            for metric in messages(of_scope, 2).take(MAX_METRICS) {
                round.metric(metric, own);
            }
            rounds.push(round);
        }
    }
    rounds
}

impl Decoded {
    fn metric(&mut self, message: &[u8], own: bool) {
        for (field, value) in Fields(message) {
            let Value::Bytes(data) = value else { continue };
            let rising = || Fields(data).any(|(field, value)| field == 3 && matches!(value, Value::Number(1)));
            let kind = match field {
                5 => Kind::Gauge,
                7 if rising() => Kind::Counter,
                7 => Kind::UpDown,
                9 => Kind::Histogram,
                _ => continue,
            };
            let (name, help, unit) = (text(message, 1).into(), text(message, 2).into(), text(message, 3).into());
            let metric = Metric { name, kind, unit, help };
            for point in messages(data, 1) {
                self.point(&metric, point, own);
            }
            return;
        }
    }

    fn point(&mut self, metric: &Metric, message: &[u8], own: bool) {
        let mut histogram = Histogram { bounds: Vec::new(), counts: Vec::new(), sum: 0.0 };
        let (mut number, mut ended) = (Number::Int(0), false);
        let counted = metric.kind == Kind::Histogram;
        let longs = |bytes: &[u8]| {
            bytes.chunks_exact(8).map(|b| u64::from_le_bytes(b.try_into().unwrap_or_default())).collect::<Vec<u64>>()
        };
        for (field, value) in Fields(message) {
            match (field, value) {
                (3, Value::Number(nanos)) => self.nanos = nanos,
                (4, Value::Number(bits)) if !counted => number = Number::Double(f64::from_bits(bits)),
                (6, Value::Number(int)) if !counted => number = Number::Int(int as i64),
                (8, Value::Number(flags)) if !counted => ended = flags & 1 == 1,
                (5, Value::Number(bits)) if counted => histogram.sum = f64::from_bits(bits),
                (6, Value::Bytes(bytes)) if counted => histogram.counts = longs(bytes),
                (7, Value::Bytes(bytes)) if counted => {
                    histogram.bounds = longs(bytes).into_iter().map(f64::from_bits).collect();
                }
                _ => {}
            }
        }
        let all = attributes(message, if counted { 9 } else { 7 });
        if self.source == RULES {
            let v = if ended { STALE } else { number.as_f64() };
            let t = super::round::millis(self.nanos);
            self.recorded.push((self.labels(metric, all, own), Sample { t, v }));
            return;
        }
        let pairs: Vec<(&str, &str)> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let whole = !counted || histogram.counts.len() == histogram.bounds.len() + 1;
        if whole {
            let point = if counted { Point::Histogram(histogram) } else { Point::Number(number) };
            self.samples.put_metric(metric, &pairs, point);
        }
    }

    fn labels(&self, metric: &Metric, all: Vec<(String, String)>, own: bool) -> Labels {
        let (job, instance) = (super::translate::job(&self.resource), self.resource.instance().to_owned());
        let identity = [("job".to_owned(), job), ("instance".to_owned(), instance)];
        let identity = identity.into_iter().filter(|_| !own);
        let name = [(super::labels::NAME.to_owned(), metric.name.clone().into_owned())];
        Labels::new(all.into_iter().chain(identity).chain(name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::signal::metrics::Desc;

    const SENT: Desc = Desc::counter("thing.sent", "By", "Bytes.");
    const UP: Desc = Desc::gauge("thing.up", "1", "Whether it runs.");
    const OPEN: Desc = Desc::updown("thing.open", "", "");

    fn request() -> (Samples, Vec<u8>) {
        let mut round = Samples::default();
        round.put(&UP, f64::NAN);
        round.put_with(&SENT, &[("a", "x"), ("b", "y")], u64::MAX);
        round.put_with(&OPEN, &[("a", "x")], -3_i64);
        let kind = Kind::Histogram;
        let metric = Metric { name: "d".into(), kind, unit: "s".into(), help: "D.".into() };
        let histogram = Histogram { bounds: vec![0.5, 2.0], counts: vec![3, 1, 2], sum: 9.5 };
        round.put_metric(&metric, &[("c", "z")], Point::Histogram(histogram));
        let resource = Resource::new("thing", "box:1", &[("host.name", "box")]);
        let raw = round.encode(&resource, 5, 77);
        (round, raw)
    }

    #[test]
    fn a_round_reads_back_as_it_was_written() {
        let (round, raw) = request();
        let [read] = <[Decoded; 1]>::try_from(decode(&raw)).unwrap();
        assert_eq!(read.resource, Resource::new("thing", "box:1", &[("host.name", "box")]));
        assert_eq!(read.nanos, 77);
        assert_eq!(read.samples.metrics(), round.metrics());
        assert_eq!(format!("{:?}", read.samples.samples()), format!("{:?}", round.samples()));
    }

    proptest! {
        #[test]
        fn any_bytes_and_any_damage_are_read_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            at in any::<prop::sample::Index>(),
            byte: u8,
        ) {
            let _any = decode(&bytes);
            let (_, mut raw) = request();
            let at = at.index(raw.len());
            raw[at] = byte;
            let _damaged = decode(&raw);
            let _cut = decode(&raw[..at]);
        }
    }
}
