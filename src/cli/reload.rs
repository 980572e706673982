//! `plimsoll reload`: has the agent read its configuration again, as SIGHUP does, and says what came of it.

use std::process::ExitCode;

use super::reach::Reach;
use crate::base::terminal::print;
use crate::status::report::words::clean;

/// Read the configuration again, as SIGHUP does
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A bad configuration changes nothing: the old one goes on, and the reason is printed (exit code 1)."
)]
pub struct Args {
    #[command(flatten)]
    reach: Reach,
}

/// Runs the command: exit code 0 when the configuration was taken, 1 when it was refused.
///
/// # Errors
/// No agent answers, or its answer cannot be printed.
pub async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match args.reach.connect().await?.reload().await? {
        Ok(changed) => {
            print(&format!("{}\n", lines(&changed)))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(refused) => {
            print(&format!("refused, the old configuration goes on:\n{}\n", lines(&refused)))?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// A refusal shows the line of the config, so line ends stay; the rest of it may hold anything.
fn lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_lines_and_loses_its_escapes() {
        assert_eq!(lines("line 3:\n  serivce: \u{1b}[31mx\n"), "line 3:\n  serivce: ?[31mx");
    }
}
