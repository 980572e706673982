//! `plimsoll check`: reads config and rules as the agent would and tells everything that is wrong with them.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::base::secret;
use crate::base::switch::Switch;
use crate::base::yaml::{Errors, visible};
use crate::config::{Config, DEFAULT_PATH, load};
use crate::signal::metrics::Desc;

mod rules;

/// Check the config and the rules: each error with its line, what is wrong and what would be right
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Run it as the user of the agent, so that files and secrets are those that the agent can read: \
    sudo -u plimsoll plimsoll check"
)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// The file [default: /etc/plimsoll/plimsoll.yaml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print a list of {file, line, column, message, help}, empty when all is well
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Check rule files only, such as those for the stack
    Rules(Rules),
}

#[derive(Debug, clap::Args)]
struct Rules {
    /// Rule files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print a list of {file, line, column, message, help}, empty when all is well
    #[arg(long)]
    json: bool,
}

/// Runs the command: exit code 0 when all is fine, 1 when it is not or the answer cannot be printed. `catalogue`: what
/// rules may name without a hint.
pub fn run(args: &Args, catalogue: &[&'static [Desc]]) -> ExitCode {
    let (json, fine, errors) = match &args.what {
        Some(What::Rules(args)) => {
            let checked = rules::files(&args.files, catalogue);
            (args.json, checked.lines.join(""), checked.errors)
        }
        None => match load(args.config.as_deref()) {
            Err(errors) => (args.json, String::new(), vec![errors]),
            Ok(config) => {
                let file = args.config.as_deref().unwrap_or(Path::new(DEFAULT_PATH));
                let checked = rules::of_config(&config, catalogue);
                (args.json, fine(file, &config) + &checked.lines.join(""), checked.errors)
            }
        },
    };
    let told = match (errors.is_empty(), json) {
        (_, true) => tell(io::stdout().lock(), &format!("{}\n", list(&errors))),
        (true, false) => tell(io::stdout().lock(), &fine),
        (false, false) => {
            let each: Vec<String> = errors.iter().map(ToString::to_string).collect();
            tell(io::stderr().lock(), &format!("{}\n", each.join("\n")))
        }
    };
    if errors.is_empty() && told.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A reader that has seen enough (`| head`) is no error.
fn tell(mut out: impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn fine(file: &Path, config: &Config) -> String {
    let state = if file.exists() { "fine" } else { "not there, so the defaults hold: fine" };
    let mut lines = vec![
        format!("{}: {state}", file.display()),
        format!("  sources       {}", sources(config)),
        format!("  destinations  {}", destinations(config)),
    ];
    let names_one = || std::fs::read_to_string(file).is_ok_and(|text| text.contains("credential:"));
    if !secret::has_credentials() && names_one() {
        lines.push("  credentials   not read: systemd gives them to the service alone".into());
    }
    lines.iter().flat_map(|line| line.chars().map(visible).chain(['\n'])).collect()
}

fn sources(config: &Config) -> String {
    let mut out = Vec::new();
    if let Some(host) = config.host.on() {
        out.push(format!("the host every {}", host.interval));
    }
    if let Some(logs) = config.logs.on() {
        out.extend(logs.files.iter().map(|file| file.path.clone()));
        match logs.journald.as_ref().and_then(Switch::on) {
            Some(journal) if journal.units.is_empty() => out.push("the whole journal".into()),
            Some(journal) => out.push(format!("the journal of {}", journal.units.join(", "))),
            None => {}
        }
    }
    if config.discover {
        out.push("what is found on the box".into());
    }
    if out.is_empty() { "none: nothing is watched".into() } else { out.join(", ") }
}

fn destinations(config: &Config) -> String {
    if config.destinations.is_empty() {
        return "none: everything stays on the box".into();
    }
    let each = config.destinations.iter().map(|(name, destination)| {
        let otlp = destination.otlp();
        let signals: Vec<&str> = otlp.signals.iter().map(|signal| signal.name()).collect();
        format!("{name} ({} to {})", signals.join(", "), otlp.endpoint)
    });
    each.collect::<Vec<_>>().join(", ")
}

fn list(all: &[Errors]) -> Value {
    let mut out = Vec::new();
    for errors in all {
        out.extend(errors.problems.iter().map(|problem| {
            let (line, column) = problem.at.unzip();
            json!({
                "file": errors.file.display().to_string(),
                "line": line,
                "column": column,
                "message": problem.message,
                "help": problem.help,
            })
        }));
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_sources_and_destinations() {
        let text = "
discover: false
host: { interval: 30s }
logs: { files: [ { path: /srv/shop/log/*.json } ], journald: { units: [nginx.service] } }
destinations: { loki: { otlp_http: { endpoint: 'http://loki:3100/otlp', signals: [logs] } } }
";
        let config = crate::config::parse(Path::new("x.yaml"), text).unwrap();
        let lines = fine(Path::new("/"), &config);
        assert_eq!(
            lines,
            "/: fine\n  sources       the host every 30s, /srv/shop/log/*.json, the journal of nginx.service\n  \
             destinations  loki (logs to http://loki:3100/otlp)\n"
        );
        let bare = fine(
            Path::new("/nonexistent/plimsoll.yaml"),
            &Config { discover: false, host: Switch::Off, ..Config::default() },
        );
        assert!(bare.contains("not there, so the defaults hold") && bare.contains("nothing is watched"), "{bare}");
    }

    #[test]
    fn the_exit_code_says_whether_the_config_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plimsoll.yaml");
        let code = |text: &str, json: bool| {
            std::fs::write(&path, text).unwrap();
            format!("{:?}", run(&Args { what: None, config: Some(path.clone()), json }, &[]))
        };
        let (fine, not) = (format!("{:?}", ExitCode::SUCCESS), format!("{:?}", ExitCode::FAILURE));
        assert_eq!((code("host: off\n", false), code("host: off\n", true)), (fine.clone(), fine));
        assert_eq!((code("hots: off\n", false), code("hots: off\n", true)), (not.clone(), not));
    }

    #[test]
    fn errors_are_a_list_with_places_in_json() {
        let errors = crate::config::parse(Path::new("x.yaml"), "hots: off\n").unwrap_err();
        let value = list(&[errors]);
        assert_eq!(value[0]["file"], "x.yaml");
        assert_eq!((&value[0]["line"], &value[0]["column"]), (&json!(1), &json!(1)));
        assert_eq!(value[0]["message"], "unknown key `hots`");
        assert!(value[0]["help"].as_str().unwrap().starts_with("did you mean `host`?"));
        let missing = load(Some(Path::new("/nonexistent/x.yaml"))).unwrap_err();
        assert_eq!(list(&[missing])[0]["line"], Value::Null);
    }
}
