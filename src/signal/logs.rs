//! OTLP log requests, written as the records are made.
//!
//! `ExportLogsServiceRequest` of opentelemetry-proto 1.10. The buffer *is* the request: a change of resource
//! closes one `ResourceLogs` and opens the next. `observed_time_unix_nano` is left out: Loki would store it
//! with each line and charge for it, and the time of reading says nothing that the time of the frame does not.

use std::sync::Arc;

use super::frame::{Codec, Frame, Position, Signal};
use super::record::{Record, Value};
use super::resource::Resource;
use super::wire::{self, Any};

/// What Loki may charge for one frame: below its default burst of 6 MB with room for a proxy's limit.
pub const MAX_CHARGE: u64 = 2_000_000;

/// Collects records until they are sealed to a frame.
#[derive(Default)]
pub struct LogBatch {
    request: Vec<u8>,
    open: Option<Open>,
    records: u32,
    times: (u64, u64),
    charge: u64,
    services: Vec<String>,
    positions: Vec<Position>,
}

/// The `ResourceLogs` that is being written, with the marks of its two open messages.
struct Open {
    resource: Arc<Resource>,
    resource_logs: usize,
    scope_logs: usize,
}

impl LogBatch {
    /// Writes one record that happened at `nanos` (Unix).
    pub fn push(&mut self, resource: &Arc<Resource>, nanos: u64, record: &Record, line: &str) {
        self.open(resource);
        let out = &mut self.request;
        let mark = wire::open(out, 0x12);
        wire::fixed64(out, 0x09, nanos);
        if record.severity > 0 {
            wire::number(out, 0x10, u64::from(record.severity));
        }
        if !record.severity_text.is_empty() {
            wire::bytes(out, 0x1a, record.text(line, record.severity_text).as_bytes());
        }
        let body = record.text(line, record.body);
        wire::any(out, 0x2a, Any::Str(body));
        let mut charge = resource.charge() + body.len() as u64 + record.severity_text.len() as u64;
        for (name, value) in &record.attributes {
            let name = record.text(line, *name);
            let value = match *value {
                Value::Text(text) => Any::Str(record.text(line, text)),
                Value::Int(int) => Any::Int(int),
                Value::Double(double) => Any::Double(double),
                Value::Bool(flag) => Any::Bool(flag),
            };
            charge += name.len() as u64 + if let Any::Str(text) = value { text.len() as u64 } else { 8 };
            wire::key_value(out, 0x32, name, value);
        }
        if let Some(id) = &record.trace_id {
            wire::bytes(out, 0x4a, id);
        }
        if let Some(id) = &record.span_id {
            wire::bytes(out, 0x52, id);
        }
        if !record.event_name.is_empty() {
            wire::bytes(out, 0x62, record.text(line, record.event_name).as_bytes());
        }
        wire::close(out, mark);
        self.times =
            if self.records == 0 { (nanos, nanos) } else { (self.times.0.min(nanos), self.times.1.max(nanos)) };
        self.records += 1;
        self.charge += charge;
    }

    fn open(&mut self, resource: &Arc<Resource>) {
        if self.open.as_ref().is_some_and(|open| Arc::ptr_eq(&open.resource, resource)) {
            return;
        }
        self.close();
        if !self.services.iter().any(|known| known == resource.service()) {
            self.services.push(resource.service().to_owned());
        }
        let resource_logs = wire::open(&mut self.request, 0x0a);
        wire::bytes(&mut self.request, 0x0a, resource.encoded());
        let scope_logs = wire::open(&mut self.request, 0x12);
        self.open = Some(Open { resource: Arc::clone(resource), resource_logs, scope_logs });
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            wire::close(&mut self.request, open.scope_logs);
            wire::close(&mut self.request, open.resource_logs);
        }
    }

    /// Notes how far a source has been read. Of two notes with the same key the later one holds.
    pub fn position(&mut self, position: Position) {
        self.positions.push(position);
    }

    /// What Loki will charge so far, in bytes.
    pub fn charge(&self) -> u64 {
        self.charge
    }

    /// True when it is time to seal.
    pub fn is_full(&self) -> bool {
        self.charge >= MAX_CHARGE
    }

    /// True without records and positions.
    pub fn is_empty(&self) -> bool {
        self.records == 0 && self.positions.is_empty()
    }

    /// Records so far.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Ends the request and compresses it with `compress`, which appends to its second argument. The batch
    /// keeps its content until [`LogBatch::clear`], so that a full spool can be tried again.
    pub fn seal(
        &mut self,
        codec: Codec,
        compress: impl FnOnce(&[u8]) -> std::io::Result<Vec<u8>>,
    ) -> std::io::Result<Frame> {
        self.close();
        let payload = if self.records == 0 { Vec::new() } else { compress(&self.request)? };
        Ok(Frame {
            signal: Signal::Logs,
            codec,
            payload,
            raw_len: self.request.len() as u64,
            records: self.records,
            times: self.times,
            charge: self.charge,
            services: self.services.clone(),
            positions: self.positions.clone(),
        })
    }

    /// Empties the batch and keeps its room.
    pub fn clear(&mut self) {
        self.request.clear();
        self.open = None;
        self.records = 0;
        self.times = (0, 0);
        self.charge = 0;
        self.services.clear();
        self.positions.clear();
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Proto;
    use prost::Message;

    use super::*;
    use crate::signal::record::Text;

    fn decode(frame: &Frame) -> ExportLogsServiceRequest {
        ExportLogsServiceRequest::decode(frame.payload.as_slice()).unwrap()
    }

    #[test]
    fn records_of_two_resources_decode_with_every_field_under_their_own_resource() {
        let shop = Arc::new(Resource::new("shop", "box-1", &[("host.name", "box-1")]));
        let web = Arc::new(Resource::new("nginx", "box-1", &[]));
        let line = "hello wörld";
        let mut record = Record { body: Text::of(line, &line[6..]), severity: 17, ..Record::default() };
        record.severity_text = Text::Fixed("ERROR");
        record.trace_id = Some([7; 16]);
        record.span_id = Some([9; 8]);
        record.put_int("http.response.status_code", 502);
        let kept = record.keep("a\nb");
        record.put(Text::Fixed("kept"), Value::Text(kept));
        record.put(Text::Fixed("ratio"), Value::Double(0.5));
        record.put(Text::Fixed("ok"), Value::Bool(false));
        let mut batch = LogBatch::default();
        batch.push(&shop, 5, &record, line);
        batch.push(&web, 3, &record, line);
        batch.push(&web, 9, &record, line);
        let frame = batch.seal(Codec::Identity, |raw| Ok(raw.to_vec())).unwrap();
        assert_eq!((frame.records, frame.times), (3, (3, 9)));
        assert_eq!(frame.services, ["shop", "nginx"]);
        let request = decode(&frame);
        assert_eq!(request.resource_logs.len(), 2);
        let names: Vec<_> =
            request.resource_logs[0].resource.as_ref().unwrap().attributes.iter().map(|kv| kv.key.as_str()).collect();
        assert_eq!(names, ["service.name", "service.instance.id", "host.name"]);
        let records = &request.resource_logs[1].scope_logs[0].log_records;
        assert_eq!(records.len(), 2);
        let one = &records[1];
        assert_eq!((one.time_unix_nano, one.severity_number, one.severity_text.as_str()), (9, 17, "ERROR"));
        assert_eq!(one.body.as_ref().unwrap().value, Some(Proto::StringValue("wörld".into())));
        assert_eq!((one.trace_id.as_slice(), one.span_id.as_slice()), (&[7; 16][..], &[9; 8][..]));
        let values: Vec<_> = one.attributes.iter().map(|kv| kv.value.clone().unwrap().value.unwrap()).collect();
        let expected =
            [Proto::IntValue(502), Proto::StringValue("a\nb".into()), Proto::DoubleValue(0.5), Proto::BoolValue(false)];
        assert_eq!(values, expected);
    }

    #[test]
    fn a_batch_with_only_positions_has_no_payload() {
        let mut batch = LogBatch::default();
        assert!(batch.is_empty());
        batch.position(Position { key: Box::from(*b"file"), value: Box::from([2]) });
        let frame = batch.seal(Codec::Zstd, |_| unreachable!("nothing to compress")).unwrap();
        assert!(frame.payload.is_empty());
        assert_eq!(frame.positions.len(), 1);
        assert_eq!(&*frame.positions[0].value, [2]);
    }

    #[test]
    fn a_batch_is_full_at_what_loki_may_be_charged() {
        let resource = Arc::new(Resource::new("shop", "box", &[]));
        let line = "x".repeat(100_000);
        let record = Record { body: Text::of(&line, &line), ..Record::default() };
        let mut batch = LogBatch::default();
        while !batch.is_full() {
            batch.push(&resource, 1, &record, &line);
        }
        assert_eq!(batch.records(), 20);
        batch.clear();
        assert!(batch.is_empty() && !batch.is_full());
    }
}
