//! What a stage's agents shipped, in one file: `tests/fixtures/stages/stage-N.otlp.zst`.
//!
//! Unpacked it is a row of entries, in the order in which they arrived. Each begins with a line of three words, what it
//! is (`metrics`, `logs` or `mark`), when it arrived (Unix nanoseconds) and how many bytes follow: an OTLP export
//! request as protobuf, or the name of a mark. The marks are `healthy`, from which on everything runs as it should, and
//! `fault`; a scenario may add its own behind these.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, Read, Write as _};
use std::path::PathBuf;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::points::{self, Key, Point, Series};

/// Fixtures are read by people who clone the project: one that is larger than this is a mistake.
const LARGEST: usize = 600 << 10;

#[derive(Debug, Clone)]
pub(crate) enum Entry {
    Metrics(ExportMetricsServiceRequest),
    Logs(ExportLogsServiceRequest),
    Mark(String),
}

/// Entries with their arrival.
#[derive(Debug, Default)]
pub(crate) struct Fixture(pub(crate) Vec<(u64, Entry)>);

fn path(stage: u8) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/stages/stage-{stage}.otlp.zst"))
}

impl Fixture {
    pub(crate) fn read(stage: u8) -> Self {
        let path = path(stage);
        let packed = fs::read(&path)
            .unwrap_or_else(|error| panic!("{}: {error}; tests/run --record-stages makes it", path.display()));
        let unpacked = zstd::decode_all(packed.as_slice()).unwrap();
        let mut rest = unpacked.as_slice();
        let mut entries = Vec::new();
        while !rest.is_empty() {
            entries.push(entry(&mut rest));
        }
        Self(entries)
    }

    /// Writes it, and says how large it is.
    pub(crate) fn write(&self, stage: u8) -> usize {
        let mut text = Vec::new();
        for (at, entry) in &self.0 {
            let (kind, body) = match entry {
                Entry::Metrics(request) => ("metrics", request.encode_to_vec()),
                Entry::Logs(request) => ("logs", request.encode_to_vec()),
                Entry::Mark(name) => ("mark", name.clone().into_bytes()),
            };
            writeln!(text, "{kind} {at} {}", body.len()).unwrap();
            text.extend(body);
        }
        let mut encoder = zstd::Encoder::new(Vec::new(), 19).unwrap();
        // The rounds repeat each other at a distance of all series.
        encoder.window_log(26).unwrap();
        encoder.write_all(&text).unwrap();
        let packed = encoder.finish().unwrap();
        assert!(packed.len() <= LARGEST, "the fixture of stage {stage} has {} bytes", packed.len());
        fs::create_dir_all(path(stage).parent().unwrap()).unwrap();
        fs::write(path(stage), &packed).unwrap();
        packed.len()
    }

    /// Every point, in its order.
    pub(crate) fn points(&self) -> Vec<(Key, Series, Point)> {
        let metrics = |(_, entry): &(u64, Entry)| match entry {
            Entry::Metrics(request) => points::each(request),
            _ => Vec::new(),
        };
        self.0.iter().flat_map(metrics).collect()
    }

    /// What everything came from.
    pub(crate) fn resources(&self) -> Vec<&Resource> {
        fn of((_, entry): &(u64, Entry)) -> Vec<&Resource> {
            match entry {
                Entry::Metrics(request) => {
                    request.resource_metrics.iter().filter_map(|of| of.resource.as_ref()).collect()
                }
                Entry::Logs(request) => request.resource_logs.iter().filter_map(|of| of.resource.as_ref()).collect(),
                Entry::Mark(_) => Vec::new(),
            }
        }
        self.0.iter().flat_map(of).collect()
    }

    /// When the mark `name` was set.
    pub(crate) fn mark(&self, name: &str) -> u64 {
        self.marks().get(name).copied().unwrap_or_else(|| panic!("no mark {name}"))
    }

    pub(crate) fn marks(&self) -> BTreeMap<String, u64> {
        let mark = |(at, entry): &(u64, Entry)| match entry {
            Entry::Mark(name) => Some((name.clone(), *at)),
            _ => None,
        };
        self.0.iter().filter_map(mark).collect()
    }

    /// When the last entry arrived.
    pub(crate) fn end(&self) -> u64 {
        self.0.iter().map(|(at, _)| *at).max().expect("an empty fixture")
    }
}

fn entry(rest: &mut &[u8]) -> (u64, Entry) {
    let mut line = String::new();
    rest.read_line(&mut line).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let [kind, at, length] = words.as_slice() else { panic!("no head of an entry: {line:?}") };
    let mut body = vec![0; length.parse().unwrap()];
    rest.read_exact(&mut body).unwrap();
    let entry = match *kind {
        "metrics" => Entry::Metrics(ExportMetricsServiceRequest::decode(body.as_slice()).unwrap()),
        "logs" => Entry::Logs(ExportLogsServiceRequest::decode(body.as_slice()).unwrap()),
        "mark" => Entry::Mark(String::from_utf8(body).unwrap()),
        other => panic!("an entry of kind {other}"),
    };
    (at.parse().unwrap(), entry)
}
