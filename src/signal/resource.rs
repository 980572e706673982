//! Who a signal comes from: OTLP's `Resource`, encoded once.

use super::wire::{self, Any};

/// A resource with its wire bytes. Immutable; share it by `Arc`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resource {
    service: String,
    instance: String,
    attributes: Vec<(String, String)>,
    encoded: Vec<u8>,
    charge: u64,
}

impl Resource {
    /// `service` becomes `service.name` (Prometheus' `job`), `instance` `service.instance.id` (Prometheus'
    /// `instance`); `attributes` follow in the given order. Names given twice keep the first value.
    pub fn new(service: &str, instance: &str, attributes: &[(&str, &str)]) -> Self {
        let mut all: Vec<(String, String)> = Vec::with_capacity(attributes.len() + 2);
        let identity = [("service.name", service), ("service.instance.id", instance)];
        for (name, value) in identity.iter().chain(attributes) {
            if !value.is_empty() && !all.iter().any(|(known, _)| known == name) {
                all.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        let mut encoded = Vec::new();
        for (name, value) in &all {
            wire::key_value(&mut encoded, 0x0a, name, Any::Str(value));
        }
        let charge = all.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum();
        Self { service: service.to_owned(), instance: instance.to_owned(), attributes: all, encoded, charge }
    }

    /// `service.name`.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// `service.instance.id`.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// All attributes, `service.name` and `service.instance.id` among them.
    pub fn attributes(&self) -> &[(String, String)] {
        &self.attributes
    }

    /// The content of an OTLP `Resource` message.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// Bytes that Loki charges for it with each line.
    pub fn charge(&self) -> u64 {
        self.charge
    }
}
