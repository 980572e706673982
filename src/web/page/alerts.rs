//! The page's rows of alerts: what fires, what is about to, what cannot.

use super::Page;
use crate::alert::view::{ActiveView, Presence, RuleView, View};
use crate::status::report::words::age;

/// Rows of one rule; one that went wild must not be the whole page.
const EACH: usize = 20;

impl Page {
    /// At `now` (Unix milliseconds).
    pub(super) fn alerts(&mut self, view: &View, now: i64) {
        if view.off {
            self.element("h2", "", "Alerts");
            self.element("p", "", "Switched off on this box.");
            return;
        }
        let rules: Vec<&RuleView> = view.groups.iter().flat_map(|group| &group.rules).collect();
        if rules.is_empty() {
            return;
        }
        let mut rows: Vec<(&RuleView, &ActiveView)> = Vec::new();
        for rule in &rules {
            let active = rule.alert.iter().flat_map(|alert| &alert.active);
            // The heartbeat always fires.
            let told = active.filter(|alert| alert.labels.get("severity") != "none");
            rows.extend(told.take(EACH).map(|alert| (*rule, alert)));
        }
        rows.sort_by_key(|(_, alert)| (!alert.firing, alert.active));
        let failing: Vec<&RuleView> = rules.iter().copied().filter(|rule| fails(rule)).collect();
        if rows.is_empty() && failing.is_empty() {
            self.element("h2", "", "Alerts");
            let here = || rules.iter().filter(|rule| rule.alert.is_some() && rule.presence == Presence::Here);
            let waiting = here().filter(|rule| rule.evaluated == 0).count();
            let yet = if waiting > 0 { format!(", not evaluated yet: {waiting}") } else { String::new() };
            self.element("p", "", &format!("Nothing fires. Quiet rules: {}{yet}.", here().count() - waiting));
            return;
        }
        let columns = [("alert", ""), ("severity", ""), ("state", ""), ("since", "n"), ("what", "")];
        self.table("Alerts", &columns);
        for (rule, alert) in rows {
            self.alert(rule, alert, now);
        }
        for rule in failing {
            self.failing(rule);
        }
        self.raw("</table>\n");
    }

    fn alert(&mut self, rule: &RuleView, alert: &ActiveView, now: i64) {
        let nanos = u64::try_from(now.saturating_sub(alert.active)).unwrap_or(0).saturating_mul(1_000_000);
        let what = alert.annotations.iter().find(|(name, _)| name == "summary").or(alert.annotations.first());
        let labels = alert.labels.filter(|name| !["__name__", "alertname", "severity"].contains(&name)).to_string();
        self.raw("<tr>");
        self.element("td", if alert.firing { "fault" } else { "" }, &rule.name);
        self.element("td", "", alert.labels.get("severity"));
        self.element("td", "", if alert.firing { "fires" } else { "pending" });
        self.element("td", "n", &age(nanos));
        self.element("td", "", what.map_or(labels.as_str(), |(_, text)| text));
        self.raw("</tr>\n");
    }

    fn failing(&mut self, rule: &RuleView) {
        let what = match &rule.presence {
            Presence::CannotFire { why, mend } => format!("{why}: {mend}"),
            _ => rule.error.clone(),
        };
        self.raw("<tr>");
        self.element("td", "", &rule.name);
        self.raw("<td></td>");
        self.element("td", "fault", "cannot fire");
        self.raw("<td></td>");
        self.element("td", "", &what);
        self.raw("</tr>\n");
    }
}

fn fails(rule: &RuleView) -> bool {
    matches!(rule.presence, Presence::CannotFire { .. }) || rule.presence == Presence::Here && !rule.error.is_empty()
}
