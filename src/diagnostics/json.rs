//! Findings as JSON for programs (docs/reference/check.md#json).

use serde::Serialize;

use super::finding::{Counts, Finding, Level, Place};

/// The parts of the document besides the findings.
#[derive(Debug, Clone, Default)]
pub struct RunSummary<'a> {
    /// The version of the program.
    pub version: &'a str,
    /// The configuration file; empty without one.
    pub file: &'a str,
}

#[derive(Serialize)]
struct Document<'a> {
    version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    file: &'a str,
    #[serde(flatten)]
    counts: Counts,
    findings: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    level: Level,
    code: &'a str,
    message: &'a str,
    meaning: &'a str,
    help: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
}

/// Renders all findings as one document, with a line end.
pub fn json(run: &RunSummary<'_>, findings: &[Finding]) -> String {
    let entries = findings.iter().map(entry).collect();
    let document = Document { version: run.version, file: run.file, counts: Counts::of(findings), findings: entries };
    // Texts and numbers can always be written.
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

fn entry(finding: &Finding) -> Entry<'_> {
    let mut entry = Entry {
        level: finding.level,
        code: finding.code.name(),
        message: &finding.message,
        meaning: finding.meaning(),
        help: finding.help(),
        key: &finding.key,
        file: None,
        line: None,
        column: None,
        end_column: None,
        flag: None,
        container: None,
        label: None,
    };
    match &finding.place {
        Place::Unknown => {}
        Place::File(file) => entry.file = Some(file),
        Place::Line { file, line, column, width, .. } => {
            entry.file = Some(file);
            entry.line = Some(*line);
            entry.column = Some(*column);
            entry.end_column = Some(column + width);
        }
        Place::Flag(flag) => entry.flag = Some(flag),
        Place::Container { name, label } => {
            entry.container = Some(name);
            entry.label = label.as_deref();
        }
    }
    entry
}
