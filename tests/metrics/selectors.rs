//! Finds the metrics and labels that a PromQL expression names.

use std::collections::BTreeSet;

/// A metric that an expression selects, with the labels of its matchers.
#[derive(Debug, PartialEq, Eq)]
pub struct Selector {
    pub metric: String,
    pub labels: BTreeSet<String>,
}

/// The names that an expression uses.
#[derive(Debug, Default)]
pub struct Names {
    pub selectors: Vec<Selector>,
    /// The labels of `by`, `without` and `on`.
    pub grouped: BTreeSet<String>,
}

const GROUPING: [&str; 5] = ["by", "without", "on", "ignoring", "group_left"];
const OPERATORS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];

/// Reads an expression. Functions are names in front of a parenthesis.
pub fn names_in(expression: &str) -> Names {
    let (mut names, mut rest) = (Names::default(), expression);
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '"' || c == '[') {
        rest = &rest[start..];
        if let Some(text) = rest.strip_prefix('"') {
            rest = &text[text.find('"').expect("the end of a text") + 1..];
            continue;
        }
        if rest.starts_with('[') {
            rest = &rest[rest.find(']').expect("the end of a range")..];
            continue;
        }
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let next = after.trim_start();
        rest = after;
        if GROUPING.contains(&word) {
            let list = next.strip_prefix('(').and_then(|list| list.split(')').next()).expect("a list of labels");
            names
                .grouped
                .extend(list.split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()));
            rest = &next[list.len() + 2..];
        } else if let Some(matchers) = next.strip_prefix('{') {
            let (labels, length) = matchers_in(matchers);
            names.selectors.push(Selector { metric: word.to_owned(), labels });
            rest = &matchers[length..];
        } else if !next.starts_with('(') && !is_aggregation(next) && !OPERATORS.contains(&word) {
            names.selectors.push(Selector { metric: word.to_owned(), labels: BTreeSet::new() });
        }
    }
    names
}

/// Whether the word in front of this is an aggregation: `sum by (...)`.
fn is_aggregation(next: &str) -> bool {
    ["by ", "by(", "without ", "without("].iter().any(|word| next.starts_with(word))
}

/// The labels in front of `=`, `!=`, `=~`, `!~` up to the closing brace, and the length of that.
fn matchers_in(text: &str) -> (BTreeSet<String>, usize) {
    let (mut labels, mut word, mut is_text) = (BTreeSet::new(), String::new(), false);
    for (at, c) in text.char_indices() {
        match c {
            '"' => is_text = !is_text,
            _ if is_text => {}
            '}' => return (labels, at + 1),
            '=' | '!' | '~' => drop((!word.is_empty()).then(|| labels.insert(std::mem::take(&mut word)))),
            c if c.is_ascii_alphanumeric() || c == '_' => word.push(c),
            _ => {}
        }
    }
    panic!("no closing brace: {text}");
}

#[test]
fn metrics_and_labels_of_expressions_are_found() {
    let names = names_in(
        "histogram_quantile(0.95, sum by (le, entrypoint) (rate(a_bucket{protocol=\"x}\",code=~\"5..\"}[5m]))) > 1 or b - time()",
    );
    let selector = |metric: &str, labels: &[&str]| Selector {
        metric: metric.into(),
        labels: labels.iter().map(|&label| label.to_owned()).collect(),
    };
    assert_eq!(names.selectors, [selector("a_bucket", &["code", "protocol"]), selector("b", &[])]);
    assert_eq!(names.grouped, ["entrypoint", "le"].map(str::to_owned).into());
}
