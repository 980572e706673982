//! `plimsoll check`: reads the config as the agent would and tells everything that is wrong with it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::base::switch::Switch;
use crate::base::yaml::{Errors, visible};
use crate::config::{Config, DEFAULT_PATH, load};

/// Check the config: each error with its line, what is wrong and what would be right
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Run it as the user of the agent, so that files and secrets are those that the agent can read: \
    sudo -u plimsoll plimsoll check"
)]
pub struct Args {
    /// The file [default: /etc/plimsoll/plimsoll.yaml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print a list of {file, line, column, message, help}, empty when all is well
    #[arg(long)]
    pub json: bool,
}

/// Runs the command: exit code 0 when the config is fine, 1 when it is not or the answer cannot be printed.
pub fn run(args: &Args) -> ExitCode {
    let result = load(args.config.as_deref());
    let file = args.config.as_deref().unwrap_or(Path::new(DEFAULT_PATH));
    let told = match (&result, args.json) {
        (Ok(_), true) => tell(io::stdout().lock(), "[]\n"),
        (Ok(config), false) => tell(io::stdout().lock(), &fine(file, config)),
        (Err(errors), true) => tell(io::stdout().lock(), &format!("{}\n", list(errors))),
        (Err(errors), false) => tell(io::stderr().lock(), &format!("{errors}\n")),
    };
    if result.is_ok() && told.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
    let lines = [
        format!("{}: {state}", file.display()),
        format!("  sources       {}", sources(config)),
        format!("  destinations  {}", destinations(config)),
    ];
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

fn list(errors: &Errors) -> Value {
    let each = errors.problems.iter().map(|problem| {
        let (line, column) = problem.at.unzip();
        json!({
            "file": errors.file.display().to_string(),
            "line": line,
            "column": column,
            "message": problem.message,
            "help": problem.help,
        })
    });
    each.collect()
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
            format!("{:?}", run(&Args { config: Some(path.clone()), json }))
        };
        let (fine, not) = (format!("{:?}", ExitCode::SUCCESS), format!("{:?}", ExitCode::FAILURE));
        assert_eq!((code("host: off\n", false), code("host: off\n", true)), (fine.clone(), fine));
        assert_eq!((code("hots: off\n", false), code("hots: off\n", true)), (not.clone(), not));
    }

    #[test]
    fn errors_are_a_list_with_places_in_json() {
        let errors = crate::config::parse(Path::new("x.yaml"), "hots: off\n").unwrap_err();
        let value = list(&errors);
        assert_eq!(value[0]["file"], "x.yaml");
        assert_eq!((&value[0]["line"], &value[0]["column"]), (&json!(1), &json!(1)));
        assert_eq!(value[0]["message"], "unknown key `hots`");
        assert!(value[0]["help"].as_str().unwrap().starts_with("did you mean `host`?"));
        let missing = load(Some(Path::new("/nonexistent/x.yaml"))).unwrap_err();
        assert_eq!(list(&missing)[0]["line"], Value::Null);
    }
}
