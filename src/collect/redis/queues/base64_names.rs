//! BullMQ's workers call themselves `bull:<base64 of the queue>`.

/// The queue that a line of CLIENT LIST tells.
pub(super) fn queue_of_client(line: &str, prefix: &str) -> Option<String> {
    let name = line.split(' ').find_map(|field| field.strip_prefix("name="))?;
    let rest = name.strip_prefix(prefix)?.strip_prefix(':')?;
    let encoded = rest.split(':').next()?;
    String::from_utf8(decode(encoded)?).ok().filter(|queue| !queue.is_empty() && !queue.chars().any(char::is_control))
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len());
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workers_name_tells_its_queue() {
        let line = "id=7 addr=127.0.0.1:50000 name=bull:bWFpbA== age=3";
        assert_eq!(queue_of_client(line, "bull").as_deref(), Some("mail"));
        assert_eq!(queue_of_client("id=7 name=bull:bWFpbA==:qe age=3", "bull").as_deref(), Some("mail"));
        assert_eq!(queue_of_client("id=7 name=web age=3", "bull"), None);
        assert_eq!(queue_of_client("id=7 name=bull:!! age=3", "bull"), None);
    }
}
