//! `plimsoll status`: one screen that says what an agent reads, keeps, ships and lost, and what to do about it.

use std::process::ExitCode;

use jiff::tz::TimeZone;

use super::reach::Reach;
use crate::base::terminal::{Paint, print};
use crate::status::report::Report;

mod screen;

pub use screen::screen;

/// Show one screen: sources, spool, destinations, who is told, drops
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

// One line a paragraph: clap breaks them at the width of the terminal.
const HELP: &str = "\
Exit code: 0 when the agent is healthy or starting, 1 when it is not or none answers, 2 for misuse.

Per second: of log lines over the last 10 to 20 seconds (since the start in the first ones), of metric points \
those of the latest round over the seconds between rounds.

With --json, one object: version, host, pid, started, now, rss_bytes, cpu_seconds, cpu_share (0.01 is one percent \
of a core), window_seconds (what rates are taken over), health (a word), healthy (what /-/healthy answers), \
reasons, alerts (counts of rules), and the lists sources, spools, destinations, notifiers, losses and notes. Times \
are Unix seconds, null for never; counters count since the start of the agent.";

/// Runs the command.
///
/// # Errors
/// No agent answers, or standard output cannot be written to.
pub async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let report = args.reach.connect().await?.status().await?;
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else {
        print(&screen(&report, &TimeZone::system(), Paint::for_stdout()))?;
    }
    Ok(exit_code(&report))
}

fn exit_code(report: &Report) -> ExitCode {
    if report.health.is_fine() && report.healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests;
