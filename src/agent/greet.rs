//! What `plimsoll run` says first: what it found, where its state lies, what to do next.

use std::fmt::Write;

use super::Base;
use super::plan::Plan;
use crate::base::terminal;
use crate::base::yaml;
use crate::config::{Config, DEFAULT_PATH};

/// Prints a few lines to standard output.
pub(super) fn print(base: &Base, config: &Config, plan: &Plan) -> std::io::Result<()> {
    terminal::print(&text(base, config, plan).unwrap_or_default())
}

fn text(base: &Base, settings: &Config, plan: &Plan) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    writeln!(out, "plimsoll {} on {}", env!("CARGO_PKG_VERSION"), visible(&base.host))?;
    for (kind, what) in plan.sources() {
        writeln!(out, "  {kind:<9} {}", visible(&what))?;
    }
    if plan.destinations().is_empty() {
        writeln!(out, "  ships to  nothing yet: everything stays on this box")?;
    }
    for (name, signals) in plan.destinations() {
        writeln!(out, "  ships to  {} ({signals})", visible(&name))?;
    }
    match &plan.alerts {
        Some(alerts) => writeln!(out, "  alerts    {}", visible(&alerts.summary()))?,
        None => writeln!(out, "  alerts    off")?,
    }
    writeln!(out, "  state     {}", base.state.display())?;
    if let Some(listen) = settings.listen.on()
        && let Some(address) = listen.http.on()
    {
        let scheme = if listen.tls.is_some() { "https" } else { "http" };
        writeln!(out, "  page      {scheme}://{address}/")?;
    }
    let state = base.options.state.as_ref().map(|state| format!(" --state {}", state.display())).unwrap_or_default();
    writeln!(out, "next: plimsoll status{state}")?;
    if plan.destinations().is_empty() {
        let place = base.options.config.as_deref().unwrap_or(DEFAULT_PATH.as_ref());
        writeln!(
            out,
            "      name a Loki and a Prometheus under `destinations:` in {}, then plimsoll reload{state}",
            place.display()
        )?;
    }
    Ok(out)
}

/// Names from a config or a host must not move the cursor of whoever reads this.
fn visible(text: &str) -> String {
    text.chars().map(yaml::visible).collect()
}
