//! The agents and their settings for the same job: follow a file from its beginning, parse what is JSON, compress
//! where they can, and send batches to a sink on loopback.
//!
//! | agent | sends | until it is delivered it lies |
//! | --- | --- | --- |
//! | plimsoll | OTLP, zstd | on disk, synced each second |
//! | otelcol | OTLP, zstd | in memory |
//! | syslog-ng | lines by HTTP, not compressed | on disk (`reliable(yes)`), not synced |
//! | rsyslog | lines by TCP, not compressed (Debian has no omhttp) | in memory, on disk when the queue is full |

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::data::Case;

/// An agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Plimsoll,
    Otelcol,
    SyslogNg,
    Rsyslog,
}

impl Peer {
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "plimsoll" => Self::Plimsoll,
            "otelcol" => Self::Otelcol,
            "syslog-ng" => Self::SyslogNg,
            "rsyslog" => Self::Rsyslog,
            _ => panic!("--agents {name}: plimsoll, otelcol, syslog-ng or rsyslog"),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plimsoll => "plimsoll",
            Self::Otelcol => "otelcol",
            Self::SyslogNg => "syslog-ng",
            Self::Rsyslog => "rsyslog",
        }
    }

    /// `None`: this agent has no such case.
    pub(crate) fn command(
        self,
        case: Case,
        file: &Path,
        state: &Path,
        http: SocketAddr,
        tcp: SocketAddr,
    ) -> Option<Command> {
        if case == Case::Nginx && self != Self::Plimsoll {
            return None;
        }
        let settings = match self {
            Self::Plimsoll => plimsoll(case, file, http),
            Self::Otelcol => otelcol(case, file, http),
            Self::SyslogNg => syslog_ng(case, file, state, http),
            Self::Rsyslog => rsyslog(case, file, state, tcp),
        };
        let config = state.join(if matches!(self, Self::Plimsoll | Self::Otelcol) { "config.yaml" } else { "conf" });
        fs::write(&config, settings).expect("a config");
        let mut command = match self {
            Self::Plimsoll => Command::new(env!("CARGO_BIN_EXE_plimsoll")),
            Self::Otelcol => Command::new(path("PLIMSOLL_OTELCOL")),
            Self::SyslogNg => peer("usr/sbin/syslog-ng"),
            Self::Rsyslog => peer("usr/sbin/rsyslogd"),
        };
        let at = |name: &str| state.join(name);
        match self {
            Self::Plimsoll => command.arg("run").arg("--state").arg(at("state")).arg("--config").arg(config),
            Self::Otelcol => command.arg("--config").arg(config),
            Self::SyslogNg => command
                .args(["--foreground", "--no-caps"])
                .arg("--cfgfile")
                .arg(config)
                .arg("--persist-file")
                .arg(at("persist"))
                .arg("--pidfile")
                .arg(at("pid"))
                .arg("--control")
                .arg(at("control"))
                .arg("--module-path")
                .arg(path("PLIMSOLL_PEERS").join("usr/lib/syslog-ng/3.38")),
            Self::Rsyslog => command
                .arg("-n")
                .arg("-f")
                .arg(config)
                .arg("-i")
                .arg(at("pid"))
                .arg("-M")
                .arg(path("PLIMSOLL_PEERS").join("usr/lib/x86_64-linux-gnu/rsyslog")),
        };
        let said = fs::File::create(at("said")).expect("a file");
        command.stdin(Stdio::null()).stdout(said.try_clone().expect("a handle")).stderr(said);
        Some(command)
    }
}

fn path(name: &str) -> PathBuf {
    std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set: start benches/run")).into()
}

/// A program of the unpacked Debian packages, with their libraries.
fn peer(program: &str) -> Command {
    let root = path("PLIMSOLL_PEERS");
    let libraries: Vec<_> = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib/syslog-ng"]
        .iter()
        .map(|folder| root.join(folder).display().to_string())
        .collect();
    let mut command = Command::new(root.join(program));
    command.env("LD_LIBRARY_PATH", libraries.join(":"));
    command
}

fn plimsoll(case: Case, file: &Path, http: SocketAddr) -> String {
    let (file, format) = (file.display(), case.name());
    format!(
        r#"service: bench
discover: false
host: off
listen: off
logs:
  journald: off
  files: [{{ path: "{file}", format: {format} }}]
destinations:
  sink: {{ otlp_http: {{ endpoint: "http://{http}", signals: [logs] }} }}
"#
    )
}

fn otelcol(case: Case, file: &Path, http: SocketAddr) -> String {
    let operators = if case == Case::Json { "[{ type: json_parser }]" } else { "[]" };
    format!(
        r#"receivers:
  file_log:
    include: ["{}"]
    start_at: beginning
    operators: {operators}
processors:
  batch: {{ send_batch_size: 8192, timeout: 1s }}
exporters:
  otlp_http:
    endpoint: "http://{http}"
    compression: zstd
    sending_queue: {{ block_on_overflow: true }}
service:
  telemetry:
    metrics: {{ level: none }}
  pipelines:
    logs: {{ receivers: [file_log], processors: [batch], exporters: [otlp_http] }}
"#,
        file.display()
    )
}

fn syslog_ng(case: Case, file: &Path, state: &Path, http: SocketAddr) -> String {
    let (parser, body) = match case {
        Case::Json => (r#"parser { json-parser(prefix("j.")); };"#, "$(format-json --key j.* --shift-levels 1)"),
        _ => ("", "$MESSAGE"),
    };
    format!(
        r#"@version: 3.38
options {{ stats-freq(0); log-msg-size(65536); log-fifo-size(100000); }};
source s {{ file("{}" flags(no-parse) log-fetch-limit(1000) log-iw-size(50000)); }};
destination d {{
  http(url("http://{http}/") method("POST") body("{body}") delimiter("\n")
    batch-lines(5000) batch-bytes(1000Kb) batch-timeout(1000) persist-name("d")
    disk-buffer(reliable(yes) disk-buf-size(2147483648) mem-buf-size(16777216) dir("{}")));
}};
log {{ source(s); {parser} destination(d); flags(flow-control); }};
"#,
        file.display(),
        state.display()
    )
}

fn rsyslog(case: Case, file: &Path, state: &Path, tcp: SocketAddr) -> String {
    let (parse, template) = match case {
        Case::Json => (
            r#"action(type="mmjsonparse" cookie="")"#,
            r#"type="list") { property(name="$!all-json-plain") constant(value="\n") }"#,
        ),
        _ => ("", r#"type="string" string="%msg%\n")"#),
    };
    format!(
        r#"global(workDirectory="{}" maxMessageSize="64k")
module(load="imfile" mode="inotify")
{load}
template(name="line" {template}
ruleset(name="ship" queue.type="LinkedList" queue.filename="ship" queue.size="50000" queue.maxDiskSpace="2g"
  queue.saveOnShutdown="on" queue.dequeueBatchSize="1024") {{
  {parse}
  action(type="omfwd" target="{}" port="{}" protocol="tcp" template="line" action.resumeRetryCount="-1")
}}
input(type="imfile" File="{}" Tag="bench" freshStartTail="off" ruleset="ship")
"#,
        state.display(),
        tcp.ip(),
        tcp.port(),
        file.display(),
        load = if case == Case::Json { r#"module(load="mmjsonparse")"# } else { "" },
    )
}
