//! Stopped containers, for the reports of the API: the provider reads nothing else of them.

use serde_json::Value;

use super::fields::Fields;
use crate::config::Rejected;
use crate::config::labels::{ContainerReport, Verdict};
use crate::limits::STOPPED_CONTAINERS_MAX;

/// `filters={"status":["created","dead","exited"]}`.
pub const STOPPED: &str = "all=true&filters=%7B%22status%22%3A%5B%22created%22%2C%22dead%22%2C%22exited%22%5D%7D";

/// The reports on the stopped containers of a listing. Entries without an id or a name are skipped.
pub fn reports(entries: &[Value]) -> Vec<ContainerReport> {
    let report = |entry: &Value| {
        let mut fields = Fields::default();
        let id = fields.text(entry, &["Id"]);
        let status = fields.text(entry, &["Status"]);
        let name = fields.items(entry, &["Names"]).find_map(Value::as_str)?.trim_start_matches('/').to_owned();
        let verdict = Verdict::Unused(format!("it does not run: {}", status_text(&status)));
        (!id.is_empty()).then(|| ContainerReport { id, name, verdict, ..ContainerReport::default() })
    };
    entries.iter().filter_map(report).take(STOPPED_CONTAINERS_MAX).collect()
}

fn status_text(status: &str) -> &str {
    if status.is_empty() { "stopped" } else { status }
}

/// The reports on containers whose description cannot be read.
pub fn unreadable(rejected: &[Rejected]) -> impl Iterator<Item = ContainerReport> {
    rejected.iter().map(|item| ContainerReport {
        name: item.name.strip_prefix("container ").unwrap_or(&item.name).to_owned(),
        running: true,
        verdict: Verdict::Failed(item.reason.clone()),
        ..ContainerReport::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stopped_containers_are_reported_with_their_status() {
        let listing: Vec<Value> = serde_json::from_str(
            r#"[{"Id":"c1","Names":["/shop-1"],"Status":"Exited (0) 3 minutes ago"},{"Id":"","Names":["/x"]},{"Id":"c2","Names":7}]"#,
        )
        .expect("JSON");
        let found = reports(&listing);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].running), ("shop-1", false));
        assert_eq!(found[0].verdict, Verdict::Unused("it does not run: Exited (0) 3 minutes ago".into()));
    }
}
