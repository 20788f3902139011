//! Findings as SARIF 2.1.0, the format that code-review tools read (docs/reference/check.md#sarif).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::finding::{Finding, Level, Place};
use super::{Code, RunSummary};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// Renders all findings as one log with one run, with a line end.
pub fn sarif(run: &RunSummary<'_>, findings: &[Finding]) -> String {
    let codes: BTreeSet<Code> = findings.iter().map(|finding| finding.code).collect();
    let rules: Vec<Value> = codes.iter().map(|code| rule(*code)).collect();
    let results: Vec<Value> = findings.iter().map(|finding| result(finding, &codes)).collect();
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "ringway check", "semanticVersion": run.version, "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    // Texts and numbers can always be written.
    serde_json::to_string_pretty(&log).unwrap_or_default() + "\n"
}

fn rule(code: Code) -> Value {
    json!({
        "id": code.name(),
        "shortDescription": { "text": code.meaning() },
        "help": { "text": code.help() },
    })
}

fn result(finding: &Finding, codes: &BTreeSet<Code>) -> Value {
    let level = match finding.level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "note",
    };
    let index = codes.iter().position(|code| *code == finding.code);
    let text = format!("{}\n{}\n{}", finding.message, finding.meaning(), finding.help());
    json!({
        "ruleId": finding.code.name(),
        "ruleIndex": index,
        "level": level,
        "message": { "text": text },
        "locations": location(finding).map_or_else(Vec::new, |location| vec![location]),
    })
}

fn location(finding: &Finding) -> Option<Value> {
    match &finding.place {
        Place::Unknown if finding.key.is_empty() => None,
        Place::Unknown => Some(logical(&finding.key, "member")),
        Place::File(file) => Some(json!({ "physicalLocation": { "artifactLocation": { "uri": uri(file) } } })),
        Place::Line { file, line, column, width, .. } => Some(json!({
            "physicalLocation": {
                "artifactLocation": { "uri": uri(file) },
                "region": { "startLine": line, "startColumn": column, "endColumn": column + width },
            },
        })),
        Place::Flag(flag) => Some(logical(flag, "parameter")),
        Place::Container { name, label: Some(label) } => Some(logical(&format!("{name}/{label}"), "member")),
        Place::Container { name, label: None } => Some(logical(name, "object")),
    }
}

fn logical(name: &str, kind: &str) -> Value {
    json!({ "logicalLocations": [{ "fullyQualifiedName": name, "kind": kind }] })
}

/// A file's name as a URI reference (RFC 3986 section 2.1): all bytes but unreserved ones and `/` are escaped.
fn uri(file: &str) -> String {
    let path: String = file
        .bytes()
        .map(|byte| match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    if file.starts_with('/') { format!("file://{path}") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_name_becomes_a_uri_reference() {
        assert_eq!(uri("routes/a b.toml"), "routes/a%20b.toml");
        assert_eq!(uri("/etc/ringway.toml"), "file:///etc/ringway.toml");
        assert_eq!(uri("ä"), "%C3%A4");
    }
}
