//! Options of the process log and the access log as written (docs/reference/logs.md#process-log, docs/reference/logs.md#access-log).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::duration::GoDuration;

/// The level of the process log, from the fewest lines to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Panic,
    Fatal,
    Error,
    Warn,
    Info,
    Debug,
}

impl LogLevel {
    /// Parses a level's name in any case; `None` if the text names no level.
    pub fn parse(text: &str) -> Option<LogLevel> {
        Some(match text.to_ascii_lowercase().as_str() {
            "panic" => LogLevel::Panic,
            "fatal" => LogLevel::Fatal,
            "error" => LogLevel::Error,
            "warn" | "warning" => LogLevel::Warn,
            "info" => LogLevel::Info,
            "debug" => LogLevel::Debug,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TraefikLog {
    /// Empty means standard output.
    pub file_path: String,
    /// `json`; any other text means the common format.
    pub format: String,
    /// Only in Ringway.
    pub rotation: Option<LogRotation>,
}

/// Rotation of a log's file by the process itself (docs/reference/logs.md#rotation).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogRotation {
    /// The longest file; 0 means no limit.
    pub max_bytes: i64,
    /// The time of one file's lines; 0 means no limit.
    pub interval: GoDuration,
    /// Old files that stay.
    pub keep: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AccessLog {
    /// Empty means standard output.
    pub file_path: String,
    /// `common` or `json`.
    pub format: String,
    /// Ignored: lines always go to a writer thread.
    pub buffering_size: i64,
    /// A request is logged if any of the filters matches it, or if no filter is set.
    pub filters: Option<Filters>,
    pub fields: Option<Fields>,
    /// Only in Ringway: the folder of the logs of frontends.
    pub folder: String,
    /// Only in Ringway.
    pub rotation: Option<LogRotation>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Filters {
    /// `"200"` or `"300-302"`.
    pub status_codes: Vec<String>,
    pub retry_attempts: bool,
    pub min_duration: GoDuration,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Fields {
    /// `keep` or `drop`.
    pub default_mode: String,
    pub names: BTreeMap<String, String>,
    pub headers: Option<HeaderFields>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderFields {
    /// `keep`, `drop` or `redact`.
    pub default_mode: String,
    pub names: BTreeMap<String, String>,
}

impl Default for TraefikLog {
    fn default() -> Self {
        TraefikLog { file_path: String::new(), format: "common".to_owned(), rotation: None }
    }
}

impl Default for AccessLog {
    fn default() -> Self {
        let (file_path, format) = (String::new(), "common".to_owned());
        AccessLog {
            file_path,
            format,
            buffering_size: 0,
            filters: None,
            fields: None,
            folder: String::new(),
            rotation: None,
        }
    }
}

impl Default for LogRotation {
    fn default() -> Self {
        LogRotation { max_bytes: 0, interval: GoDuration::default(), keep: 7 }
    }
}

impl Default for Fields {
    fn default() -> Self {
        Fields { default_mode: "keep".to_owned(), names: BTreeMap::new(), headers: None }
    }
}

impl Default for HeaderFields {
    fn default() -> Self {
        HeaderFields { default_mode: "keep".to_owned(), names: BTreeMap::new() }
    }
}
