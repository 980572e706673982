//! `plimsoll metrics`: every metric that the agent can emit, from the descriptions beside the code that fills them.

use std::process::ExitCode;

use serde::Serialize;

use crate::base::terminal::{left, print};
use crate::signal::metrics::Desc;
use crate::store::translate;

/// List every metric that plimsoll can emit
#[derive(Debug, clap::Args)]
#[command(after_help = "With --json: a list of objects with name, prometheus, kind, unit and help. A histogram has \
                        the series <prometheus>_bucket, _sum and _count.")]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A line of the list.
#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    prometheus: String,
    kind: &'static str,
    unit: &'static str,
    help: &'static str,
}

/// Prints the metrics of `lists`, each once, by name.
///
/// # Errors
/// Standard output cannot be written to.
pub fn run(args: &Args, lists: &[&'static [Desc]]) -> anyhow::Result<ExitCode> {
    let rows = rows(lists);
    print(&if args.json { format!("{}\n", serde_json::to_string_pretty(&rows)?) } else { table(&rows) })?;
    Ok(ExitCode::SUCCESS)
}

fn rows(lists: &[&'static [Desc]]) -> Vec<Row> {
    let mut rows: Vec<Row> = lists.iter().flat_map(|list| list.iter()).map(row).collect();
    rows.sort_by(|a, b| (a.name, a.kind, a.unit).cmp(&(b.name, b.kind, b.unit)));
    rows.dedup_by(|a, b| (a.name, a.kind, a.unit) == (b.name, b.kind, b.unit));
    rows
}

fn row(desc: &Desc) -> Row {
    let prometheus = translate::metric_name(desc.name, desc.kind, desc.unit).unwrap_or_default();
    Row { name: desc.name, prometheus, kind: desc.kind.name(), unit: desc.unit, help: desc.help }
}

fn table(rows: &[Row]) -> String {
    let width = |text: fn(&Row) -> &str| rows.iter().map(|row| text(row).chars().count()).max().unwrap_or(0);
    let (name, prometheus) = (width(|row| row.name), width(|row| &row.prometheus));
    let (kind, unit) = (width(|row| row.kind), width(|row| row.unit));
    let line = |row: &Row| {
        let columns =
            [left(row.name, name), left(&row.prometheus, prometheus), left(row.kind, kind), left(row.unit, unit)];
        format!("{}  {}\n", columns.join("  "), row.help)
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &[Desc] = &[
        Desc::gauge("system.memory.utilization", "1", "Share of memory in use."),
        Desc::counter("system.cpu.time", "s", "Seconds by mode."),
    ];
    const AGAIN: &[Desc] = &[Desc::counter("system.cpu.time", "s", "Seconds by mode.")];

    #[test]
    fn each_metric_is_listed_once_with_both_its_names() {
        let expected = "\
system.cpu.time            system_cpu_time_seconds_total    counter  s  Seconds by mode.
system.memory.utilization  system_memory_utilization_ratio  gauge    1  Share of memory in use.
";
        assert_eq!(table(&rows(&[HOST, AGAIN])), expected);
    }

    #[test]
    fn json_has_the_fields_that_the_help_names() {
        let json = serde_json::to_value(rows(&[AGAIN])).unwrap();
        let expected = serde_json::json!([{
            "name": "system.cpu.time", "prometheus": "system_cpu_time_seconds_total",
            "kind": "counter", "unit": "s", "help": "Seconds by mode.",
        }]);
        assert_eq!(json, expected);
    }
}
