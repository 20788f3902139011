//! `ringway check`: everything that is wrong with a configuration, found by the code that the running proxy uses
//! (docs/reference/check.md).

mod containers;
mod places;
mod routes;

use std::io::{self, Write};
use std::process::ExitCode;

use super::{acme, bootstrap, certificates, trace_setup};
use crate::cli::{self, CheckFormat, CliError, Invocation};
use crate::config::static_config::{self, StaticConfig};
use crate::control::watched_files;
use crate::diagnostics::{Code, Counts, Finding, Level, Place, RunSummary, json, sarif, text};

/// The exit code if the check itself cannot run (docs/reference/check.md#exit-codes).
const CANNOT_RUN: u8 = 2;

/// Checks the configuration, prints the findings, and returns the exit code.
pub fn run(invocation: &Invocation) -> ExitCode {
    let mut findings = static_findings(invocation);
    let starts = findings.iter().all(|finding| finding.level != Level::Error);
    match dynamic_findings(invocation, starts) {
        Ok(found) => findings.extend(found),
        Err(reason) => return cannot_run(&reason),
    }
    let file = invocation.file.as_deref().map_or_else(String::new, |file| file.display().to_string());
    report(&file, invocation.options.format, invocation.options.strict, findings)
}

/// Reports a command line or a file that could not be read at all.
pub fn report_unreadable(format: CheckFormat, error: &CliError) -> ExitCode {
    match error {
        CliError::Config(invalid) => report(&invalid.file, format, false, vec![invalid.finding()]),
        CliError::Usage(_) | CliError::Unreadable { .. } => cannot_run(&error.to_string()),
    }
}

fn cannot_run(reason: &str) -> ExitCode {
    eprintln!("{reason}");
    ExitCode::from(CANNOT_RUN)
}

/// Remarks about the configuration that do not keep the proxy from starting: the log shows them at the default level.
pub fn remarks(invocation: &Invocation) -> Vec<Finding> {
    let variables = quoted_variables();
    let ignored = static_config::unsupported_options(&invocation.static_config).into_iter().map(|key| {
        let text = format!("{key} has no effect in this version: COMPAT.md says what happens instead");
        invocation.located(Finding::new(Level::Warning, Code::UnsupportedOption, text).about(key))
    });
    invocation.findings.iter().cloned().chain(variables).chain(ignored).collect()
}

/// Problems of the options and of the files that they name. An error ends the process.
pub fn problems(invocation: &Invocation) -> Vec<Finding> {
    let config = &invocation.static_config;
    let mut problems = static_config::check(config);
    problems.extend(static_config::check_files(config, &watched_files::read_text));
    problems.extend(trace_setup::problems(config));
    problems.iter().map(|problem| invocation.located(problem.finding())).collect()
}

/// A warning for each variable of the environment that Ringway reads and whose value keeps its quotes (an `env_file`, `environment:` in list
/// form).
fn quoted_variables() -> impl Iterator<Item = Finding> {
    const VARIABLES: [&str; 5] =
        ["LEGO_CA_CERTIFICATES", "SSL_CERT_FILE", "SSL_CERT_DIR", "HOME", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    VARIABLES.into_iter().filter_map(|name| {
        let text = cli::kept_quotes(name, &std::env::var(name).ok()?)?;
        Some(Finding::new(Level::Warning, Code::Environment, text).at(Place::Flag(name.to_owned())))
    })
}

fn static_findings(invocation: &Invocation) -> Vec<Finding> {
    let mut findings = remarks(invocation);
    findings.extend(problems(invocation));
    findings.extend(acme_problems(&invocation.static_config).map(|finding| invocation.located(finding)));
    findings
}

fn acme_problems(config: &StaticConfig) -> impl Iterator<Item = Finding> {
    acme::problems(config).into_iter().map(|(code, key, text)| Finding::new(Level::Warning, code, text).about(key))
}

/// Lists what the start would find before it opens ports, and what the providers deliver. Without entry points that start, the routes are compiled
/// for those that are written: everything that is wrong is listed at once.
fn dynamic_findings(invocation: &Invocation, starts: bool) -> Result<Vec<Finding>, String> {
    let config = &invocation.static_config;
    let mut findings = Vec::new();
    let mut components = match bootstrap::build(config) {
        Ok(components) => components,
        Err(reason) => {
            findings.extend(starts.then(|| Finding::new(Level::Error, Code::CannotStart, reason)));
            bootstrap::without_entry_points(config)?
        }
    };
    findings.extend(components.remarks.drain(..).map(|finding| invocation.located(finding)));
    let containers = match invocation.options.docker {
        true => Some(containers::ask(&invocation.static_config)?),
        false => None,
    };
    findings.extend(routes::findings(invocation, &mut components, containers));
    let remarks = certificates::remarks(invocation);
    findings.extend(remarks.into_iter().map(|(code, text)| Finding::new(Level::Note, code, text)));
    Ok(findings)
}

/// Prints the findings in the order of their files and lines. Exit code 1 if one of them is an error, or a warning and the check is strict.
fn report(file: &str, format: CheckFormat, is_strict: bool, mut findings: Vec<Finding>) -> ExitCode {
    findings.sort_by_key(|finding| order(&finding.place));
    findings.dedup();
    let run = RunSummary { version: super::VERSION, file };
    let shown = match format {
        CheckFormat::Text => as_text(file, &findings),
        CheckFormat::Json => json(&run, &findings),
        CheckFormat::Sarif => sarif(&run, &findings),
    };
    // If the reader has closed the pipe, the check has not failed.
    let _ = io::stdout().write_all(shown.as_bytes());
    let counts = Counts::of(&findings);
    match counts.errors > 0 || is_strict && counts.warnings > 0 {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn order(place: &Place) -> (u8, String, usize) {
    match place {
        Place::Unknown => (0, String::new(), 0),
        Place::Flag(_) => (1, String::new(), 0),
        Place::File(file) => (2, file.clone(), 0),
        Place::Line { file, line, .. } => (2, file.clone(), *line),
        Place::Container { name, .. } => (3, name.clone(), 0),
    }
}

fn as_text(file: &str, findings: &[Finding]) -> String {
    let file = if file.is_empty() { "no file" } else { file };
    let counts = Counts::of(findings);
    let mut shown: String = findings.iter().map(|finding| text(finding) + "\n\n").collect();
    let verdict = match (counts.errors, findings.is_empty()) {
        (0, true) => format!("configuration of {file} can be used\n"),
        (0, false) => format!("configuration of {file} can be used: {counts}\n"),
        _ => format!("configuration of {file} has mistakes: {counts}\n"),
    };
    shown.push_str(&verdict);
    shown
}
