//! The subcommands.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::agent::{self, Ended};
use crate::base::terminal;
use crate::collect::{host, own, schedule};
use crate::signal::metrics::Desc;

pub mod alerts;
pub mod check;
pub mod dashboards;
pub mod doctor;
mod figures;
pub mod metrics;
pub mod query;
pub mod reach;
pub mod reload;
pub mod setup;
pub mod status;
pub mod test;

/// One small program per server: ships logs and host metrics to Loki and Prometheus, or keeps them on the box.
#[derive(Debug, Parser)]
#[command(name = "plimsoll", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent. Without a config it finds what is on the box
    Run(Run),
    /// Check the config: file, line, column, what is allowed
    Check(check::Args),
    /// Test what is written for the agent: rules, in promtool's file format
    Test(test::Args),
    /// One screen: sources, spool, destinations, losses
    Status(status::Args),
    /// Ask the agent's store in PromQL
    Query(query::Args),
    /// What fires, what is about to, what cannot, and why
    Alerts(alerts::Args),
    /// Check everything: each fault with the command that mends it
    Doctor(doctor::Args),
    /// The boards for Grafana: put them there, or write them as files
    Dashboards(dashboards::Args),
    /// Point this box at a Prometheus and a Loki
    Setup(setup::Args),
    /// Make the agent read its config again; a bad one changes nothing
    Reload(reload::Args),
    /// Every metric that the agent can emit
    Metrics(metrics::Args),
}

#[derive(Debug, clap::Args)]
struct Run {
    /// Config file [default: /etc/plimsoll/plimsoll.yaml where there is one, else none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// State folder [default: /var/lib/plimsoll for root, else your own]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

/// Every metric's description, for `plimsoll metrics` and for checks.
pub fn catalogue() -> Vec<&'static [Desc]> {
    let systems = crate::collect::CATALOGUE.iter().flat_map(|system| system.iter().copied());
    [host::METRICS, schedule::METRICS, own::METRICS].into_iter().chain(systems).collect()
}

/// The command line as it is, for its manual pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the program. Exit 0: fine, 1: not fine, 2: misuse.
pub fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            terminal::complain(&format!("plimsoll: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Check(args) => Ok(check::run(&args, &catalogue())),
        Command::Test(args) => Ok(test::run(&args)),
        Command::Metrics(args) => metrics::run(&args, &catalogue()),
        Command::Run(args) => {
            let options = agent::Options { config: args.config, state: args.state };
            let runtime = runtime(2)?;
            let ended = runtime.block_on(agent::run(options));
            // A round that hangs in the kernel must not hold up the end.
            runtime.shutdown_timeout(std::time::Duration::from_secs(1));
            match ended? {
                Ended::Told => Ok(ExitCode::SUCCESS),
                Ended::Clock => Err(again()),
            }
        }
        Command::Status(args) => runtime(1)?.block_on(status::run(&args)),
        Command::Alerts(args) => runtime(1)?.block_on(alerts::run(&args)),
        Command::Query(args) => runtime(1)?.block_on(query::run(&args)),
        Command::Doctor(args) => runtime(1)?.block_on(doctor::run(&args)),
        Command::Dashboards(args) => runtime(1)?.block_on(dashboards::run(&args)),
        Command::Setup(args) => runtime(1)?.block_on(setup::run(&args)),
        Command::Reload(args) => runtime(1)?.block_on(reload::run(&args)),
    }
}

/// Puts a new process of the same program, also where a package has replaced it, in the place of this one; comes back
/// only with why not. systemd sees no end, and would start it again after one.
fn again() -> anyhow::Error {
    let mut args = std::env::args_os();
    let mut program = std::process::Command::new("/proc/self/exe");
    if let Some(name) = args.next() {
        program.arg0(name);
    }
    anyhow::Error::new(program.args(args).exec()).context("cannot start again")
}

fn runtime(workers: usize) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(workers).max_blocking_threads(8).enable_all().build()
}
