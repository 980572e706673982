//! `plimsoll doctor`: each check with its verdict and the command that mends it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::reach::Reach;
use crate::agent;
use crate::base::clock;
use crate::base::secret::{self, ExposeSecret};
use crate::base::terminal::{Paint, print};
use crate::control::Client;
use crate::query::Value;

mod boards;
mod check;
mod machine;
mod parts;
mod presence;
mod rules;
mod screen;
mod stack;

use check::Check;

/// Check the agent, its sources, its destinations, rules and boards, with the command that mends each fault
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// Ask this Prometheus too: its limits, and whether what rules and boards need arrives there
    #[arg(long, value_name = "URL", value_parser = address)]
    prometheus: Option<String>,
    /// Ask this Loki too: its limits, and whether the lines of this box arrive there
    #[arg(long, value_name = "URL", value_parser = address)]
    loki: Option<String>,
    /// A file with the bearer token for both
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

const HELP: &str = "\
Verdicts: ok; warn, worth a look; fail, does not work, with the command that mends it; not here, nothing of this kind \
was found on the box or configured.

Exit code: 0 without a fail, 1 with one, 2 for misuse.

With --json, one object: ok, and checks, each with part, name, verdict (ok, warn, fail, not_here), words and mend (a \
list of commands).

Example: plimsoll doctor --prometheus http://prometheus:9090 --loki http://loki:3100";

/// An address of a server, without a slash at its end.
fn address(text: &str) -> Result<String, String> {
    let trimmed = text.trim_end_matches('/');
    let rest = trimmed.strip_prefix("http://").or_else(|| trimmed.strip_prefix("https://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(['?', '#', '@']) => Ok(trimmed.to_owned()),
        Some(_) => Err("an address such as http://prometheus:9090, without login and query".into()),
        None => Err(format!("`{text}` begins with neither http:// nor https://")),
    }
}

/// Runs the command.
///
/// # Errors
/// The token cannot be read, or standard output cannot be written to.
pub async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let token = args.token_file.as_deref().map(secret::token).transpose().map_err(anyhow::Error::msg)?;
    let token = token.as_ref().map(ExposeSecret::expose_secret);
    let mut checks = Vec::new();
    match args.reach.connect().await {
        Ok(mut client) => ask(args, token, &mut client, &mut checks).await?,
        Err(error) => {
            let mend = vec!["systemctl start plimsoll".to_owned()];
            checks.push(Check::fail("agent", "plimsoll", error.to_string()).mended_by(mend));
            stack::check(args, token, None, &mut checks).await;
        }
    }
    checks.extend(machine::listeners(Path::new("/proc")));
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&check::facts(&checks))?))?;
    } else {
        print(&screen::screen(&checks, Paint::for_stdout()))?;
    }
    Ok(if check::fine(&checks) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All checks that need the agent's answers.
async fn ask(args: &Args, token: Option<&str>, client: &mut Client, checks: &mut Vec<Check>) -> anyhow::Result<()> {
    let report = client.status().await?;
    let alerts = client.alerts(0).await?;
    let now = i64::try_from(clock::unix_nanos() / 1_000_000).unwrap_or(i64::MAX);
    checks.extend(parts::agent(&report, env!("CARGO_PKG_VERSION")));
    checks.extend(machine::rights(Path::new("/"), report.pid));
    checks.push(machine::clock(Path::new("/")));
    checks.extend(parts::sources(&report));
    checks.extend(parts::shipping(&report));
    let panels = boards::panels();
    let of_boards = panels.iter().filter(|panel| !panel.logs).flat_map(|panel| &panel.asks);
    let asked = rules::names(&alerts).into_iter().chain(of_boards.flat_map(|ask| boards::names(ask))).collect();
    let local = presence::local(client, &asked, now).await?;
    let catalogue = agent::catalogue();
    let awaited = |name: &str| {
        let kinds = catalogue.kinds(name);
        let mut sources = report.sources.iter().filter(|source| kinds.contains(&source.kind.as_str()));
        sources.any(|source| source.fault.is_empty() && source.hint.is_empty())
    };
    checks.extend(rules::check(&alerts, &local, &awaited));
    let filled = filled(client, &panels, now).await?;
    let scene = boards::Scene::new(&report, &alerts, &catalogue, &local);
    checks.extend(boards::check(&panels, &filled, &scene));
    let rules = rules::queries(&alerts);
    let instances = presence::instances(client, &local, now).await?;
    let this = stack::This {
        host: &report.host,
        local: &local,
        instances: &instances,
        rules: &rules,
        panels: &panels,
        filled: &filled,
    };
    stack::check(args, token, Some(&this), checks).await;
    Ok(())
}

/// Which panels have something to show from the agent's store; a panel of logs has none there.
async fn filled(client: &mut Client, panels: &[boards::Panel], now: i64) -> anyhow::Result<Vec<bool>> {
    let mut out = Vec::with_capacity(panels.len());
    for panel in panels {
        let mut any = false;
        for ask in panel.asks.iter().filter(|_| !panel.logs) {
            any |= match client.query(ask, now).await? {
                Ok(answer) => match answer.value {
                    Value::Vector(elements) => !elements.is_empty(),
                    Value::Matrix(rows) => !rows.is_empty(),
                    Value::Scalar(_) | Value::Text(_) => true,
                },
                Err(_) => false,
            };
        }
        out.push(any);
    }
    Ok(out)
}
