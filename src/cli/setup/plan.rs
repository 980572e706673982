//! What the config comes to: the text with the destinations in it, and the proof that nothing else changed.

use std::path::Path;

use super::address::Kind;
use super::files::CREDENTIAL;
use crate::base::secret::Secret;
use crate::base::yaml::edit::{Value, set};
use crate::config::{Config, parse};
use crate::export::config::{Destination, Otlp};

/// A destination that somebody asked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) kind: Kind,
    pub(super) endpoint: String,
}

/// How all of them are logged in to.
#[derive(Debug, Clone)]
pub(super) struct Login {
    /// With a user the secret is the password, else a bearer's token.
    pub(super) user: Option<String>,
    pub(super) secret: Secret,
}

/// `text`, which is `config`, with what is wanted.
pub(super) fn edit(text: &str, config: &Config, wanted: &[Wanted], login: Option<&Login>) -> Result<String, String> {
    let (mut text, mut expected) = (text.to_owned(), config.clone());
    for wanted in wanted {
        text = one(&text, &mut expected, wanted, login)?;
    }
    // Faults of the new destinations are told by the caller: here it is only asked whether the rest is as it was.
    match parse(Path::new("the new config"), &text) {
        Ok(parsed) if parsed != expected => Err("it is written in a way that cannot be edited safely".into()),
        _ => Ok(text),
    }
}

fn one(text: &str, config: &mut Config, wanted: &Wanted, login: Option<&Login>) -> Result<String, String> {
    let name = find(config, wanted).map_or(wanted.kind.name(), |(name, _)| name).to_owned();
    let Some(known) = config.destinations.get_mut(&name) else {
        let mut otlp =
            Otlp { endpoint: wanted.endpoint.clone(), signals: vec![wanted.kind.signal()], ..Otlp::default() };
        if let Some(login) = login {
            login.apply(&mut otlp);
        }
        config.destinations.insert(name.clone(), Destination::OtlpHttp(otlp));
        return set(text, &["destinations", &name], &entry(wanted, login));
    };
    let Destination::OtlpHttp(known) = known else {
        return Err(format!("destinations.{name} is spoken to by gRPC: give it another name, or change it"));
    };
    let mut changes = Vec::new();
    if known.endpoint != wanted.endpoint {
        known.endpoint.clone_from(&wanted.endpoint);
        changes.push(("endpoint", quoted(&wanted.endpoint)));
    }
    if let Some(login) = login {
        let before = known.clone();
        login.apply(known);
        if *known != before {
            changes.extend(login.entries());
        }
    }
    changes
        .iter()
        .try_fold(text.to_owned(), |text, (key, value)| set(&text, &["destinations", &name, "otlp_http", key], value))
}

impl Login {
    fn apply(&self, otlp: &mut Otlp) {
        let secret = Some(self.secret.clone());
        match &self.user {
            Some(user) => (otlp.username, otlp.password) = (Some(user.clone()), secret),
            None => otlp.token = secret,
        }
    }

    fn entries(&self) -> Vec<(&'static str, Value)> {
        match &self.user {
            Some(user) => vec![("username", quoted(user)), ("password", secret(&self.secret))],
            None => vec![("token", secret(&self.secret))],
        }
    }
}

/// The destination that is meant: one with this endpoint for this signal, else the one of this name.
pub(super) fn find<'a>(config: &'a Config, wanted: &Wanted) -> Option<(&'a str, &'a Destination)> {
    let same = config.destinations.iter().find(|(_, destination)| {
        let otlp = destination.otlp();
        otlp.endpoint.trim_end_matches('/') == wanted.endpoint
            && otlp.signals.contains(&wanted.kind.signal())
            && matches!(destination, Destination::OtlpHttp(_))
    });
    let named = || config.destinations.get_key_value(wanted.kind.name());
    same.or_else(named).map(|(name, destination)| (name.as_str(), destination))
}

/// The name of the credential for what is wanted: one for all, unless a destination that is not meant logs in with it
/// and with another token, which `is_another` tells.
pub(super) fn credential(config: &Config, wanted: &[Wanted], is_another: impl Fn(&str) -> bool) -> String {
    let meant: Vec<&str> = wanted.iter().filter_map(|wanted| find(config, wanted)).map(|(name, _)| name).collect();
    let shared = Secret::Credential(CREDENTIAL.into());
    let others = config.destinations.iter().filter(|(name, _)| !meant.contains(&name.as_str()));
    let taken = others
        .map(|(_, other)| other.otlp())
        .any(|otlp| [&otlp.token, &otlp.password].contains(&&Some(shared.clone())));
    match wanted.first() {
        Some(first) if taken && is_another(CREDENTIAL) => format!("{CREDENTIAL}-{}", first.kind.name()),
        _ => CREDENTIAL.into(),
    }
}

/// What a person would write.
pub(super) fn by_hand(wanted: &[Wanted], login: Option<&Login>) -> String {
    let entries = wanted.iter().map(|wanted| (wanted.kind.name().to_owned(), entry(wanted, login))).collect();
    set("", &["destinations"], &Value::Map(entries)).unwrap_or_default()
}

fn entry(wanted: &Wanted, login: Option<&Login>) -> Value {
    let mut otlp = vec![
        ("endpoint".to_owned(), quoted(&wanted.endpoint)),
        ("signals".to_owned(), Value::Inline(format!("[{}]", wanted.kind.signal().name()))),
    ];
    otlp.extend(login.into_iter().flat_map(Login::entries).map(|(key, value)| (key.to_owned(), value)));
    Value::Map(vec![("otlp_http".into(), Value::Map(otlp))])
}

fn secret(secret: &Secret) -> Value {
    Value::Inline(match secret {
        Secret::Credential(name) => format!("{{ credential: {name} }}"),
        Secret::Env(name) => format!("{{ env: {name} }}"),
        Secret::File(path) => format!("{{ file: {} }}", text(&path.to_string_lossy())),
    })
}

fn quoted(value: &str) -> Value {
    Value::Inline(text(value))
}

/// In double quotes, where YAML reads what JSON does.
fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> [Wanted; 2] {
        [(Kind::Prometheus, "http://p:9090/api/v1/otlp"), (Kind::Loki, "http://l:3100/otlp")]
            .map(|(kind, endpoint)| Wanted { kind, endpoint: endpoint.into() })
    }

    #[test]
    fn a_token_of_its_own_takes_nothing_from_the_other_destination() {
        let [prometheus, loki] = wanted();
        let one = Login { user: None, secret: Secret::Credential(CREDENTIAL.into()) };
        let parsed = |text: &str| parse(Path::new("t"), text).unwrap();
        let text = edit("", &Config::default(), std::slice::from_ref(&prometheus), Some(&one)).unwrap();
        let config = parsed(&text);
        let name =
            |config: &Config, wanted: &Wanted, other| credential(config, std::slice::from_ref(wanted), |_| other);
        assert_eq!(name(&config, &loki, true), "stack-loki");
        assert_eq!(name(&config, &loki, false), "stack", "the same token");
        assert_eq!(name(&config, &prometheus, true), "stack", "its own, renewed");
        let own = Login { user: None, secret: Secret::Credential("stack-loki".into()) };
        let config = parsed(&edit(&text, &config, std::slice::from_ref(&loki), Some(&own)).unwrap());
        assert_eq!(
            (name(&config, &loki, true), name(&config, &prometheus, true)),
            ("stack-loki".into(), "stack".into())
        );
    }

    fn edited(old: &str, login: Option<&Login>) -> Result<String, String> {
        let config = parse(Path::new("old"), old).unwrap_or_else(|errors| panic!("{errors}"));
        edit(old, &config, &wanted(), login)
    }

    fn token(user: Option<&str>) -> Login {
        Login { user: user.map(str::to_owned), secret: Secret::Credential("stack".into()) }
    }

    #[test]
    fn an_empty_config_gets_both_and_a_second_time_changes_nothing() {
        let token = token(None);
        let new = edited("# ours\n", Some(&token)).unwrap();
        assert_eq!(
            new,
            "# ours\n\ndestinations:\n  prometheus:\n    otlp_http:\n      endpoint: \"http://p:9090/api/v1/otlp\"\n      \
             signals: [metrics]\n      token: { credential: stack }\n  loki:\n    otlp_http:\n      \
             endpoint: \"http://l:3100/otlp\"\n      signals: [logs]\n      token: { credential: stack }\n"
        );
        assert_eq!(edited(&new, Some(&token)).unwrap(), new);
        assert_eq!(edited(&new, None).unwrap(), new, "a token that is there stays");
    }

    #[test]
    fn other_keys_comments_and_settings_of_a_destination_stay() {
        let old = "service: shop # us\ndestinations:\n  # the old one\n  loki:\n    otlp_http: { endpoint: \"http://old/otlp\", \
                   signals: [logs], compression: gzip } # slow line\nhost: off\n";
        let new = edited(old, None).unwrap();
        let endpoint = "http://l:3100/otlp";
        assert!(new.starts_with(&old.replace("http://old/otlp", endpoint)[..old.find("host:").unwrap()]), "{new}");
        assert!(new.ends_with("host: off\n") && new.contains("  prometheus:\n    otlp_http:\n"), "{new}");
        let parsed = parse(Path::new("new"), &new).unwrap();
        assert_eq!(parsed.destinations["loki"].otlp().compression, crate::export::config::Compression::Gzip);
    }

    #[test]
    fn a_destination_of_another_name_with_this_address_is_the_one_that_is_meant() {
        let old =
            "destinations: { mimir: { otlp_http: { endpoint: 'http://p:9090/api/v1/otlp/', signals: [metrics] } } }\n";
        let new = edited(old, None).unwrap();
        let parsed = parse(Path::new("new"), &new).unwrap();
        assert_eq!(parsed.destinations.keys().collect::<Vec<_>>(), ["loki", "mimir"], "{new}");
    }

    #[test]
    fn with_a_user_the_secret_is_a_password_and_a_destination_has_one_login_only() {
        let login = token(Some("123456"));
        let new = edited("", Some(&login)).unwrap();
        assert!(new.contains("      username: \"123456\"\n      password: { credential: stack }\n"), "{new}");
        assert_eq!(edited(&new, Some(&login)).unwrap(), new);
        let both = edited(&new, Some(&token(None))).unwrap();
        assert!(parse(Path::new("new"), &both).unwrap_err().to_string().contains("both a token and a password"));
    }

    #[test]
    fn what_cannot_be_edited_is_refused_and_told_by_hand() {
        let grpc = "destinations: { loki: { otlp_grpc: { endpoint: 'http://l:4317' } } }\n";
        assert!(edited(grpc, None).unwrap_err().contains("destinations.loki is spoken to by gRPC"));
        let anchored = "destinations:\n  a: &a\n    otlp_http: { endpoint: http://a }\n  loki: *a\n";
        assert!(edited(anchored, None).is_err(), "{:?}", edited(anchored, None));
        let login = Login { user: None, secret: Secret::File("/a b/token".into()) };
        let hand = by_hand(&wanted(), Some(&login));
        assert!(hand.starts_with("destinations:\n  prometheus:\n") && hand.contains("token: { file: \"/a b/token\" }"));
    }
}
