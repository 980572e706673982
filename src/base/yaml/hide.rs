//! Keeps secrets out of the lines that errors show.
//!
//! Where the text is YAML the outline knows the secrets. This works on the text alone, for lines that are none, and
//! hides too much rather than too little: the rest of the line behind a key that sounds like a secret, unless a map
//! follows that names the secret's place.

/// Names the place of a secret; is none itself.
pub(super) const PLACES: [&str; 3] = ["file", "credential", "env"];

/// Whether the setting of this key (`destinations.loki.otlp_http.token`) is a secret, or may be one as any header may.
pub(super) fn is_secret_setting(key: &str) -> bool {
    let (above, name) = key.rsplit_once('.').unwrap_or(("", key));
    !PLACES.contains(&name) && (is_secret(name) || above.ends_with(".headers"))
}

/// The line with secrets replaced by `(hidden)`; what stands before them keeps its columns. `known`: the characters
/// before a secret that the outline knows of.
pub(super) fn secrets(lines: &[&str], at: usize, known: Option<usize>) -> String {
    let line = lines[at];
    let known = known.map(|columns| line.char_indices().nth(columns).map_or(line.len(), |(at, _)| at));
    let mut cut = secret_value(line).into_iter().chain(password_in_address(line)).chain(query_in_address(line)).min();
    let tells = |name: &str| matches!(name, "webhook" | "heartbeat");
    if line.split(|letter: char| !letter.is_alphanumeric()).any(tells) || parents(lines, at).any(tells) {
        cut = cut.into_iter().chain(path_in_address(line)).min();
    }
    if let Some(parent) = parents(lines, at).find(|parent| is_secret(parent) || *parent == "headers") {
        cut = cut.into_iter().chain(value_below(line, parent)).min();
    }
    match cut.into_iter().chain(known).min() {
        Some(at) => format!("{}(hidden)", &line[..at]),
        None => line.into(),
    }
}

/// Whether the value of a key of this name is a secret.
pub(super) fn is_secret(key: &str) -> bool {
    const WORDS: [&str; 10] = [
        "password",
        "passwd",
        "secret",
        "token",
        "routing_key",
        "authorization",
        "api_key",
        "api-key",
        "apikey",
        "cookie",
    ];
    let key = key.to_lowercase();
    WORDS.iter().any(|word| key.contains(word)) || key == "webhook"
}

/// Where the value of a secret key starts on this line.
fn secret_value(line: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(colon) = line[from..].find(':').map(|at| from + at) {
        let name = key_before(line, colon);
        let start = colon + 1 + spaces(&line[colon + 1..]);
        let rest = &line[start..];
        if name == "headers" && rest.starts_with('{') {
            return Some(start);
        }
        if is_secret(name) && !rest.is_empty() && !rest.starts_with(['{', '#', '*']) {
            return Some(start);
        }
        from = colon + 1;
    }
    None
}

/// `://user:password@host`: where the password starts.
fn password_in_address(line: &str) -> Option<usize> {
    let scheme = line.find("://")? + 3;
    let rest = &line[scheme..];
    let at = rest.rfind('@')?;
    rest[..at].find(':').map(|colon| scheme + colon + 1)
}

/// `://host/path?token=secret`: where what is asked starts.
fn query_in_address(line: &str) -> Option<usize> {
    let scheme = line.find("://")? + 3;
    line[scheme..].find('?').map(|mark| scheme + mark + 1)
}

/// `://host/services/secret`, as those who are told of alerts have it: where the path starts.
fn path_in_address(line: &str) -> Option<usize> {
    let scheme = line.find("://")? + 3;
    line[scheme..].find('/').map(|slash| scheme + slash + 1)
}

/// Where the value of a line starts that stands below a secret key or below `headers:`.
fn value_below(line: &str, parent: &str) -> Option<usize> {
    let start = spaces(line);
    let Some(colon) = line.find(": ").or_else(|| line.trim_end().ends_with(':').then(|| line.trim_end().len() - 1))
    else {
        return (start < line.len()).then_some(start);
    };
    let name = key_before(line, colon);
    let place = PLACES.contains(&name) || name == "url";
    let value = colon + 1 + spaces(&line[colon + 1..]);
    let shown = place || value >= line.len() || (parent == "headers" && line[value..].starts_with('{'));
    (!shown).then_some(value)
}

/// The keys of the lines around this one, from the nearest outwards: each is indented less than the one before.
fn parents<'a>(lines: &[&'a str], at: usize) -> impl Iterator<Item = &'a str> {
    let mut indent = spaces(lines[at]);
    lines[..at]
        .iter()
        .rev()
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
        .filter_map(move |line| {
            let own = spaces(line);
            let less = own < indent;
            indent = indent.min(own);
            less.then_some(*line)
        })
        .filter_map(|line| line.find(':').map(|colon| key_before(line, colon)))
}

fn key_before(line: &str, colon: usize) -> &str {
    let before = line[..colon].trim_end_matches(['"', '\'', ' ']);
    let start = before
        .rfind(|letter: char| !(letter.is_alphanumeric() || "_-.".contains(letter)))
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    &before[start..]
}

fn spaces(text: &str) -> usize {
    text.len() - text.trim_start_matches([' ', '\t']).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str, at: usize) -> String {
        secrets(&text.lines().collect::<Vec<_>>(), at, None)
    }

    #[test]
    fn secrets_are_hidden_and_their_places_are_not() {
        assert_eq!(hidden("  password: hunter2", 0), "  password: (hidden)");
        assert_eq!(hidden("  \"api_token\" : 'x' # y", 0), "  \"api_token\" : (hidden)");
        assert_eq!(hidden("a: {password: hunter2, b: 1}", 0), "a: {password: (hidden)");
        assert_eq!(hidden("password: { file: /etc/x }", 0), "password: { file: /etc/x }");
        assert_eq!(hidden("headers: { a: hunter2 }", 0), "headers: (hidden)");
        assert_eq!(hidden("url: postgres://me:hunter2@db/x", 0), "url: postgres://me:(hidden)");
        assert_eq!(hidden("url: http://127.0.0.1:8222", 0), "url: http://127.0.0.1:8222");
        assert_eq!(hidden("- { url: \"http://a/metrics?token=hunter2\" }", 0), "- { url: \"http://a/metrics?(hidden)");
        assert_eq!(
            hidden("hook: { webhook: { url: http://a/s/hunter2 } }", 0),
            "hook: { webhook: { url: http://a/(hidden)"
        );
        assert_eq!(hidden("webhook:\n  url: http://a/s/hunter2\n", 1), "  url: http://a/(hidden)");
        assert_eq!(hidden("scrape:\n  - url: http://a/metrics\n", 1), "  - url: http://a/metrics");
        assert_eq!(hidden("tls: { key: /etc/key.pem }", 0), "tls: { key: /etc/key.pem }");
    }

    #[test]
    fn a_secret_on_a_line_of_its_own_is_hidden_too() {
        assert_eq!(hidden("password: |\n  hunter2\n", 1), "  (hidden)");
        assert_eq!(hidden("password:\n  file: /etc/x\n", 1), "  file: /etc/x");
        assert_eq!(hidden("headers:\n  x-team: hunter2\n", 1), "  x-team: (hidden)");
        assert_eq!(hidden("headers:\n  x-team: { fil: a }\n", 1), "  x-team: { fil: a }");
        assert_eq!(hidden("headers:\n  x: y\nservice: a b\n", 2), "service: a b");
    }
}
