//! One entry of `collect:`: the settings that all kinds of servers share, and those that one kind adds.
//!
//! The shared settings stand here once. serde's `flatten` would lose the positions of errors, so [`Of`] reads the
//! map by hand, key by key: a shared key goes to [`Entry`], any other to the kind's own [`System`].

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Collector;
use super::address::Url;
use crate::base::certs::Tls;
use crate::base::check;
use crate::base::fault::Fault;
use crate::base::secret::{Secret, SecretString};
use crate::base::tls;
use crate::base::units::Dur;

/// What every watched server's entry may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where the server is. Required.
    pub url: String,
    /// `service.name` of what is read. Default: the kind's name.
    pub service: Option<String>,
    /// User, when the address names none. Default: none.
    pub username: Option<String>,
    /// Password. Default: none.
    pub password: Option<Secret>,
    /// Time between two rounds. Default 15 s. From 1 s to 1 h.
    pub interval: Dur,
    /// How long a round may take. Default 5 s, or `interval` where that is shorter. At most `interval`.
    pub timeout: Dur,
    /// Most series of one round; what is beyond is left out and counted. Default 1000. From 1 to 100,000.
    pub series: usize,
    /// Certificates. Default: what the system trusts.
    pub tls: Tls,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            url: String::new(),
            service: None,
            username: None,
            password: None,
            interval: Dur(Duration::from_secs(15)),
            timeout: TIMEOUT,
            series: 1000,
            tls: Tls::default(),
        }
    }
}

const TIMEOUT: Dur = Dur(Duration::from_secs(5));

/// The shared keys.
const COMMON: [&str; 8] = ["url", "service", "username", "password", "interval", "timeout", "series", "tls"];

/// The shared keys and the `own` ones of a kind, for [`System::KEYS`]; `ALL` is the number of both.
pub const fn keys<const OWN: usize, const ALL: usize>(own: [&'static str; OWN]) -> [&'static str; ALL] {
    assert!(COMMON.len() + OWN == ALL, "ALL is not the number of the keys");
    let mut all = [""; ALL];
    let mut at = 0;
    while at < ALL {
        all[at] = if at < COMMON.len() { COMMON[at] } else { own[at - COMMON.len()] };
        at += 1;
    }
    all
}

/// A kind of server: what its entries add to the shared settings, and how its collector is made.
pub trait System: fmt::Debug + Clone + Default + PartialEq + Eq {
    /// The key below `collect:`, and the first word of the source's name.
    const KIND: &'static str;
    /// `service.name` of an entry that names none.
    const SERVICE: &'static str;
    /// The port of an address without one; 0: the port must be named.
    const PORT: u16;
    /// How an address may begin, the usual one first.
    const SCHEMES: &'static [&'static str];
    /// All keys of an entry: see [`keys`].
    const KEYS: &'static [&'static str];

    /// Reads the value of one of its own keys.
    ///
    /// # Errors
    /// The value does not fit.
    fn set<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let _key = key;
        map.next_value::<IgnoredAny>().map(drop)
    }

    /// What is wrong with its own settings.
    fn faults(&self) -> Vec<Fault> {
        Vec::new()
    }

    /// The collector. It connects in its first round, not here.
    ///
    /// # Errors
    /// A secret or certificate cannot be read; names the key.
    fn build(&self, entry: &Entry, url: &Url) -> Result<Box<dyn Collector>, String>;
}

/// An entry of the kind `S`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Of<S> {
    /// What all kinds share.
    pub entry: Entry,
    /// What this kind adds.
    pub own: S,
}

/// An entry of any kind.
pub trait Watched {
    /// The key below `collect:`.
    fn kind(&self) -> &'static str;
    /// The shared settings.
    fn entry(&self) -> &Entry;
    /// `service.name`.
    fn service(&self) -> &str;
    /// Where the server is.
    ///
    /// # Errors
    /// What is wrong with the address.
    fn url(&self) -> Result<Url, Fault>;
    /// What is wrong beyond the shape.
    fn faults(&self) -> Vec<Fault>;
    /// The collector.
    ///
    /// # Errors
    /// As [`System::build`].
    fn build(&self) -> Result<Box<dyn Collector>, String>;
}

impl<S: System> Watched for Of<S> {
    fn kind(&self) -> &'static str {
        S::KIND
    }

    fn entry(&self) -> &Entry {
        &self.entry
    }

    fn service(&self) -> &str {
        self.entry.service.as_deref().unwrap_or(S::SERVICE)
    }

    fn url(&self) -> Result<Url, Fault> {
        Url::parse(&self.entry.url, S::SCHEMES, S::PORT)
    }

    fn faults(&self) -> Vec<Fault> {
        let mut out: Vec<Fault> = self.url().err().into_iter().collect();
        out.extend(self.entry.faults());
        out.extend(self.own.faults());
        out
    }

    fn build(&self) -> Result<Box<dyn Collector>, String> {
        let url = self.url().map_err(|fault| fault.what)?;
        self.own.build(&self.entry, &url)
    }
}

impl Entry {
    fn faults(&self) -> Vec<Fault> {
        const SECOND: Duration = Duration::from_secs(1);
        const HOUR: Duration = Duration::from_secs(3600);
        let mut out = Vec::new();
        out.extend(self.service.as_deref().and_then(|name| check::name("service", name)));
        out.extend(self.username.as_deref().and_then(|name| check::name("username", name)));
        out.extend(self.password.as_ref().and_then(|secret| check::secret("password", secret)));
        out.extend(check::between("interval", self.interval, SECOND, HOUR));
        if self.timeout != TIMEOUT {
            let most = self.interval.0.clamp(SECOND, HOUR);
            out.extend(check::between("timeout", self.timeout, Duration::from_millis(100), most));
        }
        if !(1..=100_000).contains(&self.series) {
            out.push(Fault::new("series", format!("{} series", self.series), "from 1 to 100000"));
        }
        out.extend(check::tls("tls", &self.tls));
        out
    }

    /// How long a round may take.
    pub fn time(&self) -> Duration {
        self.timeout.0.min(self.interval.0)
    }

    /// The user: of the address, else of `username`.
    pub fn user(&self, url: &Url) -> Option<String> {
        url.username.clone().or_else(|| self.username.clone())
    }

    /// The password, read now.
    ///
    /// # Errors
    /// It cannot be read; names the place.
    pub fn password(&self) -> Result<Option<SecretString>, String> {
        self.password.as_ref().map(Secret::read).transpose().map_err(|error| format!("password: {error}"))
    }

    /// The client's side of TLS with the certificates of `tls:`.
    ///
    /// # Errors
    /// A file cannot be read, or the system trusts no authority.
    pub fn tls(&self) -> Result<std::sync::Arc<rustls::ClientConfig>, String> {
        tls::client(&self.tls)
    }

    fn set<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "url" => self.url = map.next_value()?,
            "service" => self.service = map.next_value()?,
            "username" => self.username = map.next_value()?,
            "password" => self.password = map.next_value()?,
            "interval" => self.interval = map.next_value()?,
            "timeout" => self.timeout = map.next_value()?,
            "series" => self.series = map.next_value()?,
            "tls" => self.tls = map.next_value()?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl<'de, S: System> Deserialize<'de> for Of<S> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Settings<S>(PhantomData<S>);
        impl<'de, S: System> Visitor<'de> for Settings<S> {
            type Value = Of<S>;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "struct {}", S::KIND)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Of<S>, A::Error> {
                let mut made = Of::<S>::default();
                while let Some(key) = map.next_key_seed(Key(S::KEYS))? {
                    if !made.entry.set(key, &mut map)? {
                        made.own.set(key, &mut map)?;
                    }
                }
                Ok(made)
            }
        }
        from.deserialize_struct(S::KIND, S::KEYS, Settings(PhantomData))
    }
}

/// One of these keys: an unknown one is refused where it stands.
struct Key(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = &'static str;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<&'static str, D::Error> {
        from.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key {
    type Value = &'static str;
    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("field identifier")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<&'static str, E> {
        self.0.iter().find(|key| **key == text).copied().ok_or_else(|| E::unknown_field(text, self.0))
    }
}

/// `auto`, or a list of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Names {
    /// What is found.
    #[default]
    Auto,
    /// Only these; an empty list is none.
    Named(Vec<String>),
}

impl Names {
    /// The list; `None`: what is found.
    pub fn named(&self) -> Option<Vec<String>> {
        match self {
            Self::Auto => None,
            Self::Named(names) => Some(names.clone()),
        }
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct AutoOrList;
        impl<'de> Visitor<'de> for AutoOrList {
            type Value = Names;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("`auto` or a list of names")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Names, E> {
                if text == "auto" { Ok(Names::Auto) } else { Err(E::invalid_value(de::Unexpected::Str(text), &self)) }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Names, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Names::Named)
            }
        }
        from.deserialize_any(AutoOrList)
    }
}
