//! Configs with a secret in every place where one can be.

use std::fmt::Write as _;

use super::harness::Site;
use super::secrets::Secrets;

/// The watched servers by their ports, and the password of them all.
pub(crate) struct Servers {
    pub(crate) password: String,
    pub(crate) postgres: u16,
    pub(crate) mysql: [u16; 2],
    pub(crate) redis: u16,
}

/// A config in the making.
pub(crate) struct Draft<'a> {
    site: &'a Site,
    secrets: &'a mut Secrets,
    /// Who answers over HTTP.
    peer: u16,
    /// What the agent finds in its environment.
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) yaml: String,
}

const EACH: &str = "interval: 1s";

impl<'a> Draft<'a> {
    /// Each kind of entry with its secrets, and many a failure.
    pub(crate) fn new(site: &'a Site, secrets: &'a mut Secrets, peer: u16, servers: &Servers) -> Self {
        let mut draft = Self { site, secrets, peer, variables: Vec::new(), yaml: String::new() };
        draft.line("host: { interval: 1s }\ncollect:".into());
        let own = draft.file("own", &servers.password);
        draft.watched(&own, servers);
        draft.scraped(&own);
        draft.destinations();
        draft.told();
        draft
    }

    fn line(&mut self, line: String) {
        writeln!(self.yaml, "{line}").unwrap();
    }

    fn file(&self, name: &str, secret: &str) -> String {
        std::fs::write(self.site.path(name), secret).unwrap();
        format!("{{ file: {} }}", self.site.path(name).display())
    }

    fn env(&mut self, name: &str, place: &str) -> String {
        self.variables.push((name.to_owned(), self.secrets.make(place)));
        format!("{{ env: {name} }}")
    }

    /// A secret in a file of its own.
    fn secret(&mut self, name: &str, place: &str) -> String {
        let secret = self.secrets.make(place);
        self.file(name, &secret)
    }

    /// Servers that let us in, that refuse the password, and that are not there.
    fn watched(&mut self, own: &str, servers: &Servers) {
        let wrong = self.env("WRONG", "a wrong password");
        let unused = self.secret("unused", "the password of a server that is not there");
        for (kind, port) in [("postgres", servers.postgres), ("mysql", servers.mysql[0]), ("redis", servers.redis)] {
            self.line(format!("  {kind}:"));
            let queues = match kind {
                "redis" => ", queues: { bullmq: auto, sidekiq: auto, celery: [celery], streams: [orders] }",
                _ => "",
            };
            self.line(format!(
                "    - {{ url: \"{kind}://plimsoll@127.0.0.1:{port}\", password: {own}, {EACH}{queues} }}"
            ));
            self.line(format!("    - {{ url: \"{kind}://plimsoll@localhost:{port}\", password: {wrong}, {EACH} }}"));
            self.line(format!("    - {{ url: \"{kind}://plimsoll@127.0.0.1:1\", password: {unused}, {EACH} }}"));
            if kind == "mysql" {
                let other = servers.mysql[1];
                self.line(format!("    - {{ url: \"mysql://plimsoll@127.0.0.1:{other}\", password: {own}, {EACH} }}"));
            }
        }
        for kind in ["rabbitmq", "nats"] {
            let password = self.secret(kind, &format!("the password of {kind}"));
            let url = format!("http://127.0.0.1:{}/login", self.peer);
            self.line(format!("  {kind}: [ {{ url: \"{url}\", username: me, password: {password}, {EACH} }} ]"));
        }
    }

    fn scraped(&mut self, own: &str) {
        self.line("  scrape:".into());
        let token = self.secret("token", "the token of a scrape");
        let all = ["http page", "http login", "http elsewhere", "http broken", "http missing", "https page"];
        for (scheme, path) in all.iter().filter_map(|all| all.split_once(' ')) {
            let secret = self.secrets.make(&format!("the address of a scrape of {scheme} {path}"));
            let url = format!("{scheme}://127.0.0.1:{}/{path}?token={secret}", self.peer);
            let login = match path {
                "broken" => format!("token: {token}"),
                _ => format!("username: me, password: {own}"),
            };
            self.line(format!("    - {{ url: \"{url}\", service: {scheme}-{path}, {login}, {EACH} }}"));
        }
        let secret = self.secrets.make("the address of a scrape that nobody serves");
        self.line(format!("    - {{ url: \"http://127.0.0.1:1/metrics?token={secret}\", {EACH} }}"));
    }

    fn destinations(&mut self) {
        let peer = self.peer;
        let header = self.secret("header", "a header of a destination");
        let endpoint = format!("http://127.0.0.1:{peer}/take");
        self.line("destinations:".into());
        self.line(format!("  sink: {{ otlp_http: {{ endpoint: \"{endpoint}\", headers: {{ x-team: {header} }} }} }}"));
        for path in ["login", "elsewhere", "broken", "missing"] {
            let secret = self.secrets.make("the path of a destination");
            let endpoint = format!("http://127.0.0.1:{peer}/{path}/{secret}");
            let password = self.secret(&format!("at-{path}"), "the password of a destination");
            let otlp = format!("{{ endpoint: \"{endpoint}\", username: me, password: {password} }}");
            self.line(format!("  {path}: {{ otlp_http: {otlp} }}"));
        }
    }

    fn told(&mut self) {
        let peer = self.peer;
        let rules = self.site.path("rules.yaml").display().to_string();
        self.line(format!("alerts:\n  rules: [ {rules} ]\n  interval: 1s\n  notify:"));
        for path in ["take", "login", "elsewhere", "broken", "missing"] {
            let url = format!("http://127.0.0.1:{peer}/{path}/{}", self.secrets.make("the path of a webhook"));
            let token = self.secret(&format!("hook-{path}"), "the token of a webhook");
            self.line(format!("    hook-{path}: {{ webhook: {{ url: \"{url}\", token: {token} }} }}"));
            let slack = format!("http://127.0.0.1:{peer}/{path}/{}", self.secrets.make("the webhook of Slack"));
            let slack = self.file(&format!("slack-{path}"), &slack);
            self.line(format!("    slack-{path}: {{ slack: {{ webhook: {slack} }} }}"));
        }
        let key = self.env("ROUTING_KEY", "the key of PagerDuty");
        let pagerduty = format!("{{ routing_key: {key}, url: \"http://127.0.0.1:{peer}/broken\" }}");
        self.line(format!("    pager: {{ pagerduty: {pagerduty}, severity: [page] }}"));
        let mail = self.secret("mail", "the password of the mail server");
        let email = format!("smarthost: \"127.0.0.1:1\", from: a@b.c, to: [d@e.f], username: me, password: {mail}");
        self.line(format!("    mail: {{ email: {{ {email} }} }}"));
        let beat = format!("http://127.0.0.1:{peer}/missing/{}", self.secrets.make("the address of the heartbeat"));
        self.line(format!("  heartbeat: {{ url: \"{beat}\", interval: 10s }}"));
    }
}

/// A config that is refused, line by line, because of what stands beside each secret.
pub(crate) fn refused(secrets: &mut Secrets) -> String {
    let mut yaml = String::from("discover: false\ncollect:\n");
    for (kind, scheme) in [("postgres", "postgres"), ("mysql", "mysql"), ("redis", "redis"), ("scrape", "http")] {
        let secret = secrets.make(&format!("the password in an address of {kind}"));
        let other = secrets.make(&format!("what is asked of {kind}"));
        writeln!(yaml, "  {kind}:\n    - {{ url: \"{scheme}://me:{secret}@127.0.0.1:9\" }}").unwrap();
        writeln!(yaml, "    - {{ url: \"{scheme}://127.0.0.1:9/m?token={other}\", intervall: 1s }}").unwrap();
        writeln!(yaml, "    - {{ url: \"{scheme}://127.0.0.1:9\", password: {} }}", secrets.make("a plain password"))
            .unwrap();
    }
    let [path, token, header] =
        ["a path", "a token", "a header"].map(|place| secrets.make(&format!("{place} of a bad config")));
    write!(
        yaml,
        "destinations:\n  one: {{ otlp_http: {{ endpoint: \"http://me:{token}@127.0.0.1:9\" }} }}\n  \
         two: {{ otlp_http: {{ endpoint: \"http://127.0.0.1:9\", headers: {{ x-key: {header} }}, tokenn: {token} }} }}\n\
         alerts:\n  notify:\n    a: {{ webhook: {{ url: \"http://127.0.0.1:9/{path}\", nothing: 1 }} }}\n    \
         b:\n      webhook:\n        url: \"http://a b/{path}\"\n    c: {{ slack: {{ webhook: \"http://127.0.0.1:9/{path}\" }} }}\n    \
         d: {{ pagerduty: {{ routing_key: {token} }} }}\n  heartbeat: {{ url: \"htp://127.0.0.1:9/{path}\" }}\n"
    )
    .unwrap();
    yaml
}
