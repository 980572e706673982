//! Mail over SMTP, in plain text.
//!
//! What a log or a peer can put in a name never becomes a header: the subject is one line of print that `lettre` encodes,
//! the addresses are the config's, and all else is body.

use std::time::Duration;

use async_trait::async_trait;
use lettre::address::Envelope;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Identity, Tls, TlsParameters};
use lettre::transport::smtp::{AsyncSmtpTransport, Error};
use lettre::{AsyncTransport, Tokio1Executor};

use super::config::{self, Security};
use super::line::About;
use super::text::{annotation, labels, line, link, rfc3339, summary, title};
use super::{Alert, Notifier, Outcome};
use crate::base::header::read;
use crate::base::http::shown;

/// Mail to some addresses.
pub(super) struct Email {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    about: About,
    timeout: Duration,
}

impl Email {
    /// Reads secrets and certificates. The error names the key.
    pub(super) fn new(config: &config::Email, about: &About, timeout: Duration) -> Result<Self, String> {
        let (host, port) = config.server().ok_or("smarthost: no host and port")?;
        let tls = match config.security {
            Security::None => Tls::None,
            Security::Starttls => Tls::Required(parameters(host, config)?),
            Security::Tls => Tls::Wrapper(parameters(host, config)?),
        };
        let mut builder =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host).port(port).timeout(Some(timeout)).tls(tls);
        if let (Some(user), Some(password)) = (&config.username, &config.password) {
            builder = builder.credentials(Credentials::new(user.clone(), read("password", password)?));
        }
        let mailbox = |key: &str, text: &String| text.parse().map_err(|_| format!("{key}: no mail address"));
        let to = config.to.iter().map(|to| mailbox("to", to)).collect::<Result<_, String>>()?;
        let from = mailbox("from", &config.from)?;
        Ok(Self { transport: builder.build(), from, to, about: about.clone(), timeout })
    }

    fn message(&self, alerts: &[Alert]) -> Result<Message, String> {
        let mut builder = Message::builder()
            .from(self.from.clone())
            .subject(title(alerts, &self.about.host))
            .header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        builder.body(body(alerts, &self.about)).map_err(|error| format!("no mail: {error}"))
    }
}

#[async_trait]
impl Notifier for Email {
    async fn send(&self, alerts: &[Alert]) -> Outcome {
        let message = match self.message(alerts) {
            Ok(message) => message,
            Err(why) => return Outcome::Refused(why),
        };
        let envelope: Envelope = message.envelope().clone();
        let raw = message.formatted();
        let sent = self.transport.send_raw(&envelope, &raw);
        match tokio::time::timeout(self.timeout, sent).await {
            Ok(Ok(_)) => Outcome::Taken,
            Ok(Err(error)) => understand(&error),
            Err(_) => Outcome::Later(format!("no answer within {}", crate::base::units::Dur(self.timeout)), None),
        }
    }
}

/// A mail server that says no for good means the sender, the receivers or the login as a rule, which somebody mends;
/// the text of a mail is never why a page is thrown away.
fn understand(error: &Error) -> Outcome {
    if let Some(code) = error.status() {
        return Outcome::Later(shown(&format!("the mail server says {code}: {}", deepest(error))), None);
    }
    Outcome::Later(crate::base::http::words(error), None)
}

fn deepest(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), deepest)
}

fn body(alerts: &[Alert], about: &About) -> String {
    let mut out = String::new();
    for alert in alerts.iter().take(MOST) {
        let word = if alert.resolved { "Resolved" } else { "Firing" };
        out.push_str(&format!("{word}: {}\n", summary(alert, 500)));
        out.push_str(&format!("  since {}\n", rfc3339(alert.starts_at)));
        if alert.resolved {
            out.push_str(&format!("  until {}\n", rfc3339(alert.ends_at)));
        }
        out.push_str(&format!("  value {}\n", alert.value));
        for text in [line(annotation(alert, "description"), 2000), labels(alert, 2000)] {
            if !text.is_empty() {
                out.push_str(&format!("  {text}\n"));
            }
        }
        for url in [annotation(alert, "runbook_url"), &alert.generator_url].into_iter().filter_map(link) {
            out.push_str(&format!("  {url}\n"));
        }
        out.push('\n');
    }
    if alerts.len() > MOST {
        out.push_str(&format!("and {} more\n\n", alerts.len() - MOST));
    }
    out.push_str(&format!("Plimsoll on {}", line(&about.host, 200)));
    if let Some(url) = link(&about.external_url) {
        out.push_str(&format!(", {url}"));
    }
    out.push('\n');
    out
}

fn parameters(host: &str, config: &config::Email) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(host.to_owned());
    let pem = |key: &str, path: &std::path::Path| {
        std::fs::read(path).map_err(|error| format!("cannot read {key} {}: {error}", path.display()))
    };
    if let Some(path) = &config.tls.ca {
        let found = Certificate::from_pem(&pem("tls.ca", path)?)
            .map_err(|_| format!("cannot read tls.ca {}: PEM is wanted", path.display()))?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(found);
    }
    if let (Some(cert), Some(key)) = (&config.tls.cert, &config.tls.key) {
        let identity = Identity::from_pem(&pem("tls.cert", cert)?, &pem("tls.key", key)?)
            .map_err(|_| format!("tls.cert {} does not go with tls.key {}", cert.display(), key.display()))?;
        builder = builder.identify_with(identity);
    }
    builder.build_rustls().map_err(|error| format!("cannot set up TLS: {}", shown(&error.to_string())))
}

/// Of one mail; the rest is counted.
const MOST: usize = 50;
