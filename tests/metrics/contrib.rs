//! The board and the alert rules of `contrib`: every metric and label in them exists in a page of a proxy that has seen everything.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::proxy::{series_of, start, use_everything};
use crate::selectors::names_in;
use crate::support::{installed, project, stdout_of, tool_or_skip};

/// The labels that Prometheus adds to each series that it scrapes.
const ADDED_LABELS: [&str; 2] = ["instance", "job"];

/// The texts below this key, anywhere in a JSON value.
fn texts_of<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(key).and_then(Value::as_str));
            fields.values().for_each(|value| texts_of(value, key, found));
        }
        Value::Array(items) => items.iter().for_each(|item| texts_of(item, key, found)),
        _ => {}
    }
}

fn board() -> Value {
    let text = std::fs::read_to_string(project().join("contrib/grafana/ringway.json")).expect("the board");
    serde_json::from_str(&text).expect("JSON")
}

/// The expressions of the alert rules, as promtool would evaluate them: one rule has one `expr:` with its folded lines.
fn alert_expressions() -> Vec<String> {
    let text = std::fs::read_to_string(project().join("contrib/prometheus/ringway-alerts.yml")).expect("the rules");
    let parts = text.split("expr: ").skip(1);
    parts
        .map(|part| {
            part.split("\n        for:")
                .next()
                .unwrap_or_default()
                .split("\n        labels:")
                .next()
                .unwrap_or_default()
                .replace(">-", "")
        })
        .collect()
}

fn check(expression: &str, series: &BTreeMap<String, BTreeSet<String>>) {
    let names = names_in(expression);
    assert!(!names.selectors.is_empty(), "no metric in {expression}");
    let mut known: BTreeSet<&str> = ADDED_LABELS.into();
    for selector in &names.selectors {
        let labels = series.get(&selector.metric);
        let labels = labels.unwrap_or_else(|| panic!("/metrics has no {} ({expression})", selector.metric));
        known.extend(labels.iter().map(String::as_str));
        for label in selector.labels.iter().filter(|label| !ADDED_LABELS.contains(&label.as_str())) {
            assert!(labels.contains(label), "{} has no label {label} ({expression})", selector.metric);
        }
    }
    for label in &names.grouped {
        assert!(known.contains(label.as_str()), "no metric of {expression} has the label {label}");
    }
}

#[test]
fn every_metric_and_label_of_board_and_alerts_is_on_the_page() {
    let proxy = start("epoll", "[metrics.prometheus]");
    use_everything(&proxy);
    let series = series_of(&proxy.ringway.page("/metrics"));
    let board = board();
    let mut expressions = Vec::new();
    texts_of(&board, "expr", &mut expressions);
    assert!(expressions.len() > 30, "{}", expressions.len());
    expressions.iter().for_each(|expression| check(expression, &series));
    let alerts = alert_expressions();
    assert_eq!(alerts.len(), 12, "{alerts:#?}");
    alerts.iter().for_each(|expression| check(expression, &series));
    let mut queries = Vec::new();
    texts_of(&board["templating"], "query", &mut queries);
    let queries =
        queries.iter().filter_map(|query| query.strip_prefix("label_values(")?.strip_suffix(')')?.split_once(", "));
    let mut found = 0;
    for (metric, label) in queries {
        found += 1;
        assert!(series.contains_key(metric), "{metric}");
        assert!(ADDED_LABELS.contains(&label) || series[metric].contains(label), "{metric} has no label {label}");
    }
    assert_eq!(found, 2);
}

#[test]
fn alert_rules_pass_their_own_tests() {
    if !tool_or_skip("promtool", installed("promtool")) {
        return;
    }
    let folder = project().join("contrib/prometheus");
    let file = |name: &str| folder.join(name).display().to_string();
    stdout_of("promtool", &["check", "rules", &file("ringway-alerts.yml")]);
    stdout_of("promtool", &["test", "rules", &file("ringway-alerts-test.yml")]);
}
