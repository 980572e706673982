//! `plimsoll test rules`: unit tests of rules in promtool's file format, with promtool's verdicts.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::alert::testing::{self, Report};
use crate::base::terminal::{complain, print};
use crate::base::yaml::{Errors, visible};

/// Test what is written for the agent
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Unit tests of rules, in the format of promtool test rules
    Rules(Rules),
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Differs from promtool in that native histograms are refused. Exit 0: all hold, 1: not, 2: misuse."
)]
struct Rules {
    /// Files of tests; their rule_files are relative to them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print a list of {file, tests, failures: [{test, message}], warnings}
    #[arg(long)]
    json: bool,
}

/// Runs the command: exit code 0 when all tests hold, 1 when not or the answer cannot be printed.
pub fn run(args: &Args) -> ExitCode {
    let What::Rules(args) = &args.what;
    let results: Vec<_> = args.files.iter().map(|file| (file, testing::run(file))).collect();
    let fine = results.iter().all(|(_, result)| result.as_ref().is_ok_and(|report| report.failures.is_empty()));
    let mut text = String::new();
    if args.json {
        let all: Value = results.iter().map(|(file, result)| facts(&file.display().to_string(), result)).collect();
        text = format!("{all}\n");
    } else {
        for (file, result) in &results {
            screen(&mut text, &file.display().to_string(), result);
        }
    }
    if let Err(error) = print(&text) {
        complain(&format!("plimsoll: {error}"));
        return ExitCode::FAILURE;
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn screen(out: &mut String, file: &str, result: &Result<Report, Vec<Errors>>) {
    let mut text = format!("Unit Testing:  {file}\n");
    match result {
        Ok(report) => {
            for warning in &report.warnings {
                text.push_str(&format!("  WARNING: {warning}\n"));
            }
            if report.failures.is_empty() {
                text.push_str("  SUCCESS\n");
            } else {
                text.push_str("  FAILED:\n");
            }
            for failure in &report.failures {
                text.push_str(&format!("{}\n\n", failure.message.trim_end()));
            }
        }
        Err(errors) => {
            text.push_str("  FAILED:\n");
            for errors in errors {
                text.push_str(&format!("{errors}\n"));
            }
        }
    }
    // What a template printed may come from anywhere: nothing in it reaches the terminal as it is.
    for line in text.lines() {
        let shown: String = line.chars().map(visible).collect();
        // Writing to a text cannot fail.
        let _written = writeln!(out, "{shown}").is_ok();
    }
    out.push('\n');
}

fn facts(file: &str, result: &Result<Report, Vec<Errors>>) -> Value {
    match result {
        Ok(report) => {
            let failures: Value = report
                .failures
                .iter()
                .map(|failure| json!({ "test": failure.test, "message": failure.message }))
                .collect();
            json!({ "file": file, "tests": report.tests, "failures": failures, "warnings": report.warnings })
        }
        Err(errors) => {
            let failures: Value =
                errors.iter().map(|errors| json!({ "test": null, "message": errors.to_string() })).collect();
            json!({ "file": file, "tests": 0, "failures": failures, "warnings": [] })
        }
    }
}
