//! `plimsoll alerts`: what fires, what is about to, what cannot, and why; and what fired before.

use std::process::ExitCode;

use jiff::tz::TimeZone;

use super::reach::Reach;
use crate::alert::view::{Presence, RuleView};
use crate::base::clock;
use crate::base::terminal::{Paint, print};
use crate::base::units::Dur;
use crate::control::Alerts;

mod facts;
pub mod review;
mod screen;

/// Show what fires, what is about to, what cannot, and why
#[derive(Debug, clap::Args)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// What fired over this long, newest first [default without a value: 7d]
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "7d")]
    history: Option<Dur>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say which alerts were noise, and what would make them fewer
    Review(review::Args),
}

const HELP: &str = "\
Exit code: 0 when nothing fires (but what has the severity none) and every rule that belongs here can; 1 when \
something fires, fails or cannot fire, or no agent answers; 2 for misuse.

With --json, one object: now, off, rules and, with --history, history. A rule has group, file, name, type (alerting or \
recording), query, labels, annotations, for_seconds, keep_firing_for_seconds, state (firing, pending, quiet, \
cannot_fire, waiting, heartbeat, not_here, fleet), why, mend, error, last_evaluation, and alerts: each with state, labels, \
annotations, active_since, fires_in_seconds, kept_since and value. An entry of history has rule, labels, start, end, \
value, told and silenced. Times are Unix seconds, null for never.";

/// Runs the command.
///
/// # Errors
/// No agent answers, or standard output cannot be written to.
pub async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(Command::Review(args)) = &args.command {
        return review::run(args).await;
    }
    let now = i64::try_from(clock::unix_nanos() / 1_000_000).unwrap_or(i64::MAX);
    let since =
        args.history.map(|span| now.saturating_sub(i64::try_from(span.0.as_millis()).unwrap_or(i64::MAX)).max(1));
    let alerts = args.reach.connect().await?.alerts(since.unwrap_or(0)).await?;
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&facts::facts(&alerts, since.is_some()))?))?;
        return Ok(exit_code(&alerts));
    }
    let screen = screen::Screen { alerts: &alerts, zone: TimeZone::system(), paint: Paint::for_stdout() };
    print(&match since {
        Some(since) => screen.history(since),
        None => screen.now(),
    })?;
    Ok(exit_code(&alerts))
}

fn exit_code(alerts: &Alerts) -> ExitCode {
    let bad = rules(alerts).any(|(_, rule)| matches!(State::of(rule), State::Firing | State::CannotFire));
    if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// How a rule is, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Firing,
    Pending,
    /// Its source fails, or the rule itself.
    CannotFire,
    /// Not evaluated yet.
    Waiting,
    /// Fires all the time, so that somebody notices when it stops.
    Heartbeat,
    Quiet,
    NotHere,
    Fleet,
}

impl State {
    fn of(rule: &RuleView) -> Self {
        let mut firing = active(rule).filter(|alert| alert.firing).peekable();
        if firing.peek().is_some() {
            let heartbeat = firing.all(|alert| alert.labels.get("severity") == "none");
            return if heartbeat { Self::Heartbeat } else { Self::Firing };
        }
        match &rule.presence {
            Presence::Fleet => return Self::Fleet,
            Presence::NotHere(_) => return Self::NotHere,
            Presence::CannotFire { .. } => return Self::CannotFire,
            Presence::Here => {}
        }
        if !rule.error.is_empty() {
            Self::CannotFire
        } else if active(rule).next().is_some() {
            Self::Pending
        } else if rule.evaluated == 0 {
            Self::Waiting
        } else {
            Self::Quiet
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Pending => "pending",
            Self::CannotFire => "cannot_fire",
            Self::Waiting => "waiting",
            Self::Heartbeat => "heartbeat",
            Self::Quiet => "quiet",
            Self::NotHere => "not_here",
            Self::Fleet => "fleet",
        }
    }
}

/// All rules with the index of their group.
fn rules(alerts: &Alerts) -> impl Iterator<Item = (usize, &RuleView)> {
    alerts.view.groups.iter().enumerate().flat_map(|(index, group)| group.rules.iter().map(move |rule| (index, rule)))
}

fn active(rule: &RuleView) -> impl Iterator<Item = &crate::alert::view::ActiveView> {
    rule.alert.iter().flat_map(|alert| &alert.active)
}

#[cfg(test)]
mod tests;
