//! `plimsoll setup`: points this box at a stack. Tries the addresses, writes them into the config beside what stands
//! there, keeps the token where root alone reads it, and has the service take all of it.
//!
//! Everything is made ready and tried before the first file is written, and each file is replaced as a whole. Done
//! again with the same arguments it changes nothing.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::base::secret::{self, ExposeSecret, Secret};
use crate::base::terminal::{complain, print};
use crate::config::{Config, DEFAULT_PATH, parse};
use crate::export;
use crate::export::config::Destination;
use crate::status::report::words::clean;

mod address;
mod files;
mod plan;
mod service;

use address::Kind;
use files::Files;
use plan::{Login, Wanted};

/// Point this box at a Prometheus and a Loki: try them, write the config, have the service take it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Prometheus (3 or newer) takes OTLP with --web.enable-otlp-receiver, Loki from 3 on by itself. \
    The config keeps its other keys and its comments. The token goes to /etc/plimsoll/credentials, for root alone; \
    systemd hands it to the service. Nothing is written unless all that is named answers."
)]
pub struct Args {
    /// Address of a Prometheus or Mimir, such as http://prometheus:9090
    #[arg(long, value_name = "URL", required_unless_present = "loki")]
    prometheus: Option<String>,
    /// Address of a Loki, such as http://loki:3100
    #[arg(long, value_name = "URL")]
    loki: Option<String>,
    /// File with the token that both take as Authorization: Bearer [default: the one that is set, else none]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// With --token-file: the user whose password it is, for Authorization: Basic, as Grafana Cloud wants it
    #[arg(long, value_name = "USER", requires = "token_file")]
    username: Option<String>,
    /// Another config to write; no service is touched, and the token stays in its file
    #[arg(long, value_name = "FILE", conflicts_with = "root")]
    config: Option<PathBuf>,
    /// Write below this folder, such as the tree of an image; no service is touched
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Write although an address does not answer yet
    #[arg(long)]
    untested: bool,
    /// Try the addresses and say what would be written
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command: exit code 0 when the box is set up, 1 when it is not, 2 when an argument is none.
///
/// # Errors
/// What was found or written cannot be printed.
pub async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let wanted = match wanted(args) {
        Ok(wanted) => wanted,
        Err(problem) => {
            complain(&format!("plimsoll setup: {problem}"));
            return Ok(ExitCode::from(2));
        }
    };
    match set_up(args, &wanted).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(Failed::Print(error)) => Err(error.into()),
        Err(Failed::Told(problem)) => {
            complain(&format!("plimsoll setup: {problem}"));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Why the box is not set up.
enum Failed {
    /// With what to do.
    Told(String),
    Print(std::io::Error),
}

impl From<String> for Failed {
    fn from(problem: String) -> Self {
        Self::Told(problem)
    }
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self::Print(error)
    }
}

fn wanted(args: &Args) -> Result<Vec<Wanted>, String> {
    let named = [(Kind::Prometheus, &args.prometheus), (Kind::Loki, &args.loki)];
    let each = named.into_iter().filter_map(|(kind, url)| url.as_ref().map(|url| (kind, url)));
    each.map(|(kind, url)| Ok(Wanted { kind, endpoint: address::endpoint(kind, url)? })).collect()
}

async fn set_up(args: &Args, wanted: &[Wanted]) -> Result<(), Failed> {
    let files = Files::new(args.config.as_deref(), args.root.as_deref());
    if !args.dry_run {
        files.check_rights()?;
    }
    let token = args.token_file.as_deref().map(secret::token).transpose()?;
    let old = files.config()?;
    let config = parse(&files.config, &old).map_err(|errors| format!("mend the config first:\n{errors}"))?;
    let login = token.as_ref().map(|token| {
        let name = plan::credential(&config, wanted, |name| files.is_another(name, token.expose_secret()));
        Login { user: args.username.clone(), secret: files.secret(args.token_file.as_deref(), name) }
    });
    let new = plan::edit(&old, &config, wanted, login.as_ref()).map_err(|problem| {
        format!("{}: {problem}; by hand it is\n\n{}", files.config.display(), plan::by_hand(wanted, login.as_ref()))
    })?;
    let parsed = parse(&files.config, &new).map_err(|errors| format!("with the new addresses:\n{errors}"))?;
    let untaken = try_out(&parsed, wanted, &files, args, login.as_ref()).await?;
    if untaken && !args.untested {
        return Err(Failed::Told("nothing was written; --untested writes all the same".into()));
    }
    let changed = files.changes(
        &new,
        token.as_ref().map(ExposeSecret::expose_secret),
        login.as_ref().map(|login| &login.secret),
    )?;
    if args.dry_run {
        print(&told("would write", &changed))?;
        return Ok(());
    }
    let written = changed.iter().map(|change| change.path.clone()).collect::<Vec<_>>();
    changed.iter().try_for_each(files::Change::write)?;
    print(&told("wrote", &changed))?;
    if args.config.is_some() || args.root.is_some() {
        print("service     not touched; a running agent takes it with plimsoll reload\n")?;
        return Ok(());
    }
    let state = service::take(&files, &written).await?;
    print(&format!("service     {state}\nnext: plimsoll status\n"))?;
    Ok(())
}

/// Asks each destination whether it takes what it would be sent, and prints the answers; true: one does not.
async fn try_out(
    config: &Config,
    wanted: &[Wanted],
    files: &Files,
    args: &Args,
    login: Option<&Login>,
) -> Result<bool, Failed> {
    let mut untaken = false;
    for wanted in wanted {
        let (name, destination) = plan::find(config, wanted).ok_or_else(|| wanted.kind.name().to_owned())?;
        let given = args.token_file.as_deref().zip(login.map(|login| &login.secret));
        let destination = with_readable_token(destination, files, given);
        let prepared = export::prepare(name, &destination)?;
        let head = format!("{:<11} {}", wanted.kind.name(), clean(&wanted.endpoint));
        match prepared.try_out(wanted.kind.signal()).await {
            Ok(answer) => print(&format!("{head}: takes {} ({})\n", wanted.kind.signal().name(), clean(&answer)))?,
            Err(why) => {
                untaken = true;
                print(&format!("{head}: {}{}\n", clean(&why), wanted.kind.mend(&why)))?;
            }
        }
    }
    Ok(untaken)
}

/// Outside the service a credential lies where systemd takes it from.
fn with_readable_token(destination: &Destination, files: &Files, given: Option<(&Path, &Secret)>) -> Destination {
    let mut destination = destination.clone();
    let (Destination::OtlpHttp(otlp) | Destination::OtlpGrpc(otlp)) = &mut destination;
    for secret in [&mut otlp.token, &mut otlp.password].into_iter().flatten() {
        if let Secret::Credential(name) = &*secret {
            let file = match given {
                Some((given, new)) if *new == *secret => given.to_owned(),
                _ => files.credentials().join(name.as_str()),
            };
            *secret = Secret::File(file);
        }
    }
    destination
}

fn told(word: &str, changed: &[files::Change]) -> String {
    if changed.is_empty() {
        return "files       nothing changed\n".into();
    }
    changed.iter().map(|change| format!("{word:<11} {}{}\n", change.path.display(), change.note)).collect()
}

/// Whether a path is the config of the service.
fn is_the_service(path: &Path) -> bool {
    path == Path::new(DEFAULT_PATH)
}
