//! The names of BullMQ's connections: `bull:<base64 of the queue>` of a worker, with `:w:<name>` behind it when the
//! worker has a name, and with `:qe` when it only listens to events.

use crate::base::base64;

/// What a line of CLIENT LIST tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) queue: String,
    pub(super) is_worker: bool,
}

/// The client of a line of CLIENT LIST, when it is one of BullMQ's.
pub(super) fn client_of(line: &str, prefix: &str) -> Option<Client> {
    let name = line.split(' ').find_map(|field| field.strip_prefix("name="))?;
    let rest = name.strip_prefix(prefix)?.strip_prefix(':')?;
    let (encoded, role) = rest.split_once(':').unwrap_or((rest, ""));
    let queue = String::from_utf8(base64::decode(encoded.as_bytes())?).ok().filter(|queue| is_name(queue))?;
    Some(Client { queue, is_worker: role.is_empty() || role.starts_with("w:") })
}

/// Whether it can be a queue's name. Names come from whoever writes to the server.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control)
}

/// Bytes of a name.
const MAX_NAME: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> Option<(String, bool)> {
        client_of(line, "bull").map(|client| (client.queue, client.is_worker))
    }

    #[test]
    fn a_workers_name_tells_its_queue() {
        let line = "id=7 addr=127.0.0.1:50000 name=bull:bWFpbA== age=3";
        assert_eq!(told(line), Some(("mail".into(), true)));
        assert_eq!(told("id=7 name=bull:bWFpbA==:w:first age=3"), Some(("mail".into(), true)));
        assert_eq!(told("id=7 name=bull:bWFpbA==:qe age=3"), Some(("mail".into(), false)));
        assert_eq!(told("id=7 name=web age=3"), None);
        assert_eq!(told("id=7 name=bull:!! age=3"), None);
    }

    #[test]
    fn hostile_names_are_no_queues() {
        assert_eq!(told("id=7 name=bull: age=3"), None);
        assert_eq!(told("id=7 name=bull:AAAA age=3"), None, "three zero bytes");
        assert_eq!(told(&format!("id=7 name=bull:{} age=3", "YWFh".repeat(1000))), None);
    }
}
