//! `plimsoll query`: asks the store of a running agent in PromQL; a table, a line of bars per series, or JSON.

use std::process::ExitCode;

use jiff::tz::TimeZone;

use super::reach::Reach;
use crate::base::clock;
use crate::base::terminal::{Paint, Style, complain, print};
use crate::query::{Answer, Query, QueryError};
use crate::status::report::words::clean;
use crate::web::api::{json, params};

mod screen;

/// Ask the agent's store in PromQL
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// The PromQL expression
    #[arg(value_name = "EXPR")]
    expression: String,
    /// Over this long until now (or --at), such as 1h: a line of bars per series
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    range: Option<i64>,
    /// From one point to the next, such as 15s [default: 60 points over the range]
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "range")]
    step: Option<i64>,
    /// At this time instead of now: RFC 3339 or Unix seconds
    #[arg(long, value_name = "TIME", value_parser = params::time, allow_hyphen_values = true)]
    at: Option<i64>,
    /// Print the `data` of Prometheus' HTTP API
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

const HELP: &str = "\
Labels that all series share stand above the table. Numbers are short: 12.9G; of names that end in _bytes 12 GiB, in \
_seconds 3.2 ms, in _ratio 41 %. The exact ones come with --json. Warnings and infos go to standard error.

Exit code: 0 with an answer, also an empty one; 1 when there is none; 2 when the expression is no PromQL.

Examples: plimsoll query 'rate(system_cpu_time_seconds_total[5m])'
          plimsoll query 'sum by (state) (system_memory_usage_bytes)' --range 6h";

/// Points of a range when no step is given: about as many as there are bars.
const POINTS: i64 = 60;

/// Milliseconds of a positive duration.
fn duration(text: &str) -> Result<i64, String> {
    let millis = params::duration(text)? / 1_000_000;
    if millis > 0 { Ok(millis) } else { Err(format!("{text:?} is shorter than a millisecond")) }
}

/// Runs the command.
///
/// # Errors
/// No agent answers, or standard output cannot be written to.
pub async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // Told here already: a mistake in the expression is none of the agent.
    if let Err(error) = Query::parse(&args.expression) {
        return Ok(refused(&args.expression, &error));
    }
    let mut client = args.reach.connect().await?;
    let at = args.at.unwrap_or_else(|| i64::try_from(clock::unix_nanos() / 1_000_000).unwrap_or(i64::MAX));
    let span = args.range.map(|range| span(at, range, args.step));
    let answer = match span {
        Some(span) => client.query_range(&args.expression, span).await?,
        None => client.query(&args.expression, at).await?,
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Ok(refused(&args.expression, &error)),
    };
    for remark in answer.warnings.iter().chain(&answer.infos) {
        complain(&clean(remark));
    }
    tell(args, answer, at, span)?;
    Ok(ExitCode::SUCCESS)
}

/// From, to and step; the default step is whole seconds where the range has enough of them.
fn span(at: i64, range: i64, step: Option<i64>) -> (i64, i64, i64) {
    let step = step.unwrap_or_else(|| match range / POINTS {
        short @ ..1000 => short.max(1),
        long => long / 1000 * 1000,
    });
    (at.saturating_sub(range), at, step)
}

fn tell(args: &Args, answer: Answer, at: i64, span: Option<(i64, i64, i64)>) -> anyhow::Result<()> {
    if args.json {
        print(&format!("{}\n", json::Pieces::new(answer.value, at).whole()))?;
        return Ok(());
    }
    let screen = screen::Screen { zone: TimeZone::system(), paint: Paint::for_stdout(), at, span };
    let made = screen.show(&args.expression, &answer.value);
    if made.is_empty() {
        complain("nothing found: no series matches at this time (plimsoll metrics lists what there can be)");
    }
    print(&made)?;
    Ok(())
}

fn refused(expression: &str, error: &QueryError) -> ExitCode {
    complain(&refusal(expression, error, Paint::for_stderr()));
    if matches!(error, QueryError::Parse { .. }) { ExitCode::from(2) } else { ExitCode::FAILURE }
}

/// The error; of one with a place also the line, and a caret below the place.
fn refusal(expression: &str, error: &QueryError, paint: Paint) -> String {
    let QueryError::Parse { line, column, what } = error else {
        return format!("plimsoll: {}", clean(&error.to_string()));
    };
    let mut out = format!("plimsoll: {line}:{column}: {}", clean(what));
    if let Some(text) = expression.lines().nth(line.saturating_sub(1)) {
        // Of a long line the part around the place; a tab would move the caret.
        let before = column.saturating_sub(1);
        let skip = before.saturating_sub(60);
        let shown: String = text.chars().skip(skip).take(90).collect();
        let caret = paint.text(Style::Bad, "^");
        out.push_str(&format!("\n    {}\n    {}{caret}", clean(&shown), " ".repeat(before - skip)));
    }
    out
}

#[cfg(test)]
mod tests;
