//! Protobuf wire format, the writing half that OTLP needs.
//!
//! <https://protobuf.dev/programming-guides/encoding/>. A message whose size is not known when it starts gets
//! a length of fixed width ([`open`], [`close`]): a padded varint is as valid as a short one.

/// Bytes of a padded length: messages up to 2^28 - 1 bytes, far above any frame.
const PADDED: usize = 4;

/// Appends a varint.
#[inline]
pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes that a varint takes.
#[inline]
pub fn varint_len(value: u64) -> usize {
    // ceil(bits / 7) for 1 to 64 bits, without a division.
    ((70 - (value | 1).leading_zeros() as usize) * 37) >> 8
}

/// Appends a length-delimited field (string, bytes, message). `tag` is the whole tag byte, `field << 3 | 2`.
#[inline]
pub fn bytes(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    out.push(tag);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a `fixed64` field. `tag` is `field << 3 | 1`.
#[inline]
pub fn fixed64(out: &mut Vec<u8>, tag: u8, value: u64) {
    out.push(tag);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a varint field. `tag` is `field << 3`.
#[inline]
pub fn number(out: &mut Vec<u8>, tag: u8, value: u64) {
    out.push(tag);
    varint(out, value);
}

/// Starts a message of unknown size; hand the returned mark to [`close`].
#[inline]
pub fn open(out: &mut Vec<u8>, tag: u8) -> usize {
    out.extend_from_slice(&[tag, 0, 0, 0, 0]);
    out.len()
}

/// Ends the message that started at `mark`.
#[inline]
pub fn close(out: &mut [u8], mark: usize) {
    let len = out.len() - mark;
    debug_assert!(len < 1 << 28, "a message of {len} bytes");
    for (index, byte) in out[mark - PADDED..mark].iter_mut().enumerate() {
        let more = if index + 1 < PADDED { 0x80 } else { 0 };
        *byte = ((len >> (7 * index)) & 0x7f) as u8 | more;
    }
}

/// An attribute's value as it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Any<'a> {
    /// `string_value`.
    Str(&'a str),
    /// `int_value`.
    Int(i64),
    /// `double_value`.
    Double(f64),
    /// `bool_value`.
    Bool(bool),
}

/// Bytes of `AnyValue`'s content.
#[inline]
fn any_len(value: Any<'_>) -> usize {
    match value {
        Any::Str(text) => 1 + varint_len(text.len() as u64) + text.len(),
        Any::Int(number) => 1 + varint_len(number as u64),
        Any::Double(_) => 9,
        Any::Bool(_) => 2,
    }
}

/// Appends an `AnyValue` field with its tag.
#[inline]
pub fn any(out: &mut Vec<u8>, tag: u8, value: Any<'_>) {
    out.push(tag);
    varint(out, any_len(value) as u64);
    match value {
        Any::Str(text) => bytes(out, 0x0a, text.as_bytes()),
        Any::Bool(flag) => out.extend_from_slice(&[0x10, u8::from(flag)]),
        Any::Int(int) => number(out, 0x18, int as u64),
        Any::Double(double) => fixed64(out, 0x21, double.to_bits()),
    }
}

/// Appends a `KeyValue` field with its tag.
#[inline]
pub fn key_value(out: &mut Vec<u8>, tag: u8, key: &str, value: Any<'_>) {
    if let Any::Str(text) = value
        && key.len() + text.len() <= SHORT
    {
        return short_text(out, tag, key, text);
    }
    let inner = any_len(value);
    let len = 1 + varint_len(key.len() as u64) + key.len() + 1 + varint_len(inner as u64) + inner;
    out.push(tag);
    varint(out, len as u64);
    bytes(out, 0x0a, key.as_bytes());
    any(out, 0x12, value);
}

/// Bytes of a key and its text up to which each length in a `KeyValue` is a varint of one byte.
const SHORT: usize = 127 - 6;

/// Appends a `KeyValue` with a string, as most attributes are, all of whose lengths take one byte.
#[inline]
fn short_text(out: &mut Vec<u8>, tag: u8, key: &str, text: &str) {
    let (key_len, text_len) = (key.len() as u8, text.len() as u8);
    out.reserve(key.len() + text.len() + 8);
    out.extend_from_slice(&[tag, key_len + text_len + 6, 0x0a, key_len]);
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(&[0x12, text_len + 2, 0x0a, text_len]);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
    use prost::Message;

    use super::*;

    #[test]
    fn a_key_value_decodes_as_what_was_written_for_every_kind_of_value() {
        let cases = [
            (Any::Str("ünï\n"), Value::StringValue("ünï\n".into())),
            (Any::Str(""), Value::StringValue(String::new())),
            (Any::Int(-1), Value::IntValue(-1)),
            (Any::Int(i64::MAX), Value::IntValue(i64::MAX)),
            (Any::Double(-0.5), Value::DoubleValue(-0.5)),
            (Any::Bool(true), Value::BoolValue(true)),
        ];
        for (value, expected) in cases {
            let mut out = Vec::new();
            key_value(&mut out, 0x32, "a.key", value);
            assert_eq!(out[0], 0x32);
            let decoded = KeyValue::decode_length_delimited(&out[1..]).unwrap();
            assert_eq!(decoded.key, "a.key");
            assert_eq!(decoded.value, Some(AnyValue { value: Some(expected) }));
        }
    }

    #[test]
    fn a_text_of_any_length_decodes_as_what_was_written() {
        for len in [0, 1, 60, SHORT - 6, SHORT - 5, SHORT - 4, 126, 127, 128, 300, 20_000] {
            let text = "t".repeat(len);
            let mut out = Vec::new();
            key_value(&mut out, 0x32, "a.key", Any::Str(&text));
            let decoded = KeyValue::decode_length_delimited(&out[1..]).unwrap();
            assert_eq!(decoded.value, Some(AnyValue { value: Some(Value::StringValue(text)) }), "{len}");
        }
    }

    #[test]
    fn varints_take_as_many_bytes_as_their_length_says() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
        }
    }
}
