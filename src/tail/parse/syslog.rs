//! stub
use super::time::Clock;
use crate::signal::record::Record;
pub(super) fn parse(_line: &str, _record: &mut Record, _clock: &mut Clock) -> bool {
    false
}
