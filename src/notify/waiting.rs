//! What waits to be delivered, and who was told of what: the part of the rules' state file that is the line's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Alert;

/// All that the line must know again after a start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// By notifier; one that sends to several servers has an entry for each.
    pub notifiers: BTreeMap<String, Queued>,
}

/// What waits for one notifier.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Queued {
    /// Not delivered yet, in their order.
    pub alerts: Vec<Alert>,
    /// What people were told, so that they are not told again.
    pub told: Vec<Told>,
}

/// That people were told of one alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The fingerprint of its labels.
    pub print: String,
    /// Since when it fires, Unix milliseconds.
    pub starts_at: i64,
    /// When its firing was last told, Unix milliseconds.
    pub at: i64,
    /// False where it was refused for good: its end is of no interest then.
    pub taken: bool,
    /// Whether its end was told too.
    pub ended: bool,
    /// When the rules last offered it, Unix milliseconds.
    pub seen: i64,
}

/// Labels as a JSON object.
pub(super) mod labels {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use crate::store::Labels;

    pub(in crate::notify) fn serialize<S: Serializer>(labels: &Labels, out: S) -> Result<S::Ok, S::Error> {
        out.collect_map(labels.iter())
    }

    pub(in crate::notify) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Labels, D::Error> {
        BTreeMap::<String, String>::deserialize(from).map(Labels::new)
    }
}

/// A double as text: JSON has no word for what is no number, and rules have such values.
pub(super) mod number {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub(in crate::notify) fn serialize<S: Serializer>(value: &f64, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(value)
    }

    pub(in crate::notify) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}
