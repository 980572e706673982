//! The names of BullMQ's connections: `bull:<base64 of the queue>` of a worker, with `:w:<name>` behind it when the
//! worker has a name, and with `:qe` when it only listens to events.

use super::search::Place;
use crate::base::base64;

/// What a line of CLIENT LIST tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) place: Place,
    pub(super) is_worker: bool,
}

/// The client of a line of CLIENT LIST, when it may be one of BullMQ's. Of a prefix that is not among `known` nobody
/// says so but the name itself, and names come from whoever connects.
pub(super) fn client_of(line: &str, known: &[String]) -> Option<Client> {
    let name = line.split(' ').find_map(|field| field.strip_prefix("name="))?;
    let (name, is_worker) = match name.strip_suffix(":qe") {
        Some(name) => (name, false),
        None => (name.split_once(":w:").map_or(name, |(name, _)| name), true),
    };
    let (prefix, encoded) = split(name, known)?;
    let queue = String::from_utf8(base64::decode(encoded.as_bytes())?).ok().filter(|queue| is_name(queue))?;
    is_name(prefix).then(|| Client { place: Place { prefix: prefix.to_owned(), queue }, is_worker })
}

/// The prefix of a name, one of `known` where it is one, and what stands behind it.
pub(super) fn split<'a>(name: &'a str, known: &[String]) -> Option<(&'a str, &'a str)> {
    let behind = |prefix: &String| Some(name.strip_prefix(prefix.as_str())?.strip_prefix(':')?.len());
    match known.iter().find_map(behind) {
        Some(rest) => Some((name.get(..name.len() - rest - 1)?, name.get(name.len() - rest..)?)),
        None => name.rsplit_once(':'),
    }
}

/// Whether it can be the name of a queue or a prefix. Names come from whoever writes to the server.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control)
}

/// Bytes of a name.
const MAX_NAME: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> Option<(String, String, bool)> {
        let known = ["bull".to_owned(), "shop:jobs".to_owned()];
        let client = client_of(line, &known)?;
        Some((client.place.prefix, client.place.queue, client.is_worker))
    }

    fn is(prefix: &str, queue: &str, is_worker: bool) -> Option<(String, String, bool)> {
        Some((prefix.into(), queue.into(), is_worker))
    }

    #[test]
    fn a_workers_name_tells_its_queue() {
        let line = "id=7 addr=127.0.0.1:50000 name=bull:bWFpbA== age=3";
        assert_eq!(told(line), is("bull", "mail", true));
        assert_eq!(told("id=7 name=bull:bWFpbA==:w:first age=3"), is("bull", "mail", true));
        assert_eq!(told("id=7 name=bull:bWFpbA==:qe age=3"), is("bull", "mail", false));
        assert_eq!(told("id=7 name=shop:jobs:bWFpbA== age=3"), is("shop:jobs", "mail", true));
        assert_eq!(told("id=7 name=a:b:bWFpbA==:w:x:y age=3"), is("a:b", "mail", true), "a prefix that nobody named");
        assert_eq!(told("id=7 name=web age=3"), None);
        assert_eq!(told("id=7 name=bull:!! age=3"), None);
    }

    #[test]
    fn hostile_names_are_no_queues() {
        assert_eq!(told("id=7 name=bull: age=3"), None);
        assert_eq!(told("id=7 name=:bWFpbA== age=3"), None, "no prefix");
        assert_eq!(told("id=7 name=bull:AAAA age=3"), None, "three zero bytes");
        assert_eq!(told(&format!("id=7 name=bull:{} age=3", "YWFh".repeat(1000))), None);
        assert_eq!(told(&format!("id=7 name={}:bWFpbA== age=3", "x".repeat(1000))), None);
    }
}
